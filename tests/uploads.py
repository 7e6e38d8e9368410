"""Files that are uploaded, as no spreadsheet would write them, and what may be said of one."""

import io
import resource
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import openpyxl

from tests.conftest import ROOT

SHEET = "xl/worksheets/sheet1.xml"


def workbook(*rows: Sequence[Any]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(file)
    return file.getvalue()


def sheet_of(rows: bytes) -> bytes:
    """The part of a sheet with these rows."""
    head = b'<?xml version="1.0"?><worksheet xmlns="'
    head += b'http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    return head + rows + b"</sheetData></worksheet>"


def with_rows(xml: bytes) -> bytes:
    """A workbook whose first sheet has these rows, as no Excel would write them."""
    return with_part(SHEET, sheet_of(xml))


def with_part(name: str, content: bytes) -> bytes:
    return with_parts({name: content})


def with_parts(parts: Mapping[str, bytes]) -> bytes:
    """A workbook with parts of its own, and others beside them."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["a"]))) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.namelist():
            if part not in parts:
                new.writestr(part, old.read(part))
        for part, content in parts.items():
            new.writestr(part, content)
    return made.getvalue()


def bomb(megabytes: int) -> bytes:
    """A workbook with one cell of so many millions of one letter."""
    made = io.BytesIO()
    head, tail = sheet_of(b'<row><c t="inlineStr"><is><t>#</t></is></c></row>').split(b"#")
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["a"]))) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for part in old.namelist():
            if part != SHEET:
                new.writestr(part, old.read(part))
        with new.open(SHEET, "w", force_zip64=True) as sheet:
            sheet.write(head)
            for _ in range(megabytes):
                sheet.write(b"x" * 1_000_000)
            sheet.write(tail)
    return made.getvalue()


def laughs(text: bytes) -> bytes:
    """A document (with its declaration) in which #LAUGH stands for a billion laughs."""
    told = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "haha">'
    for name, before in zip(b"bcdefghij", b"abcdefghi", strict=True):
        told += b'<!ENTITY %c "%s">' % (name, b"&%c;" % before * 10)
    return told + b"]>" + text.partition(b"?>")[2].replace(b"#LAUGH", b"&j;")


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def is_one_sentence(said: str) -> None:
    """What a user is told of a file: short, plain, and nothing of the machine."""
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < 250
    for leak in ("Traceback", "Error", "/", str(ROOT)):
        assert leak not in said
