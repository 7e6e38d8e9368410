"""Files to load, as lines of cells, and the files of examples."""

import codecs
import csv
import io
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile

import openpyxl

from synchist.child import UnreadableFile

MOST_ROWS = 200_000

Line: TypeAlias = tuple[int, Sequence[Any]]
"""The number of a line that is not blank, and its cells."""


def is_blank(cell: Any) -> bool:
    """Whether a cell says nothing."""
    return cell is None or (isinstance(cell, str) and not cell.strip())


def read(path: Path) -> list[Line]:
    """The lines of a file, as `parse` has them. Raises UnreadableFile."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{path} can't be read: {error.strerror}.") from None
    lines = parse(path.name, content)
    if not lines:
        raise UnreadableFile(f"{path.name} is empty. See an example with --template.")
    return lines


def parse(name: str, content: bytes) -> list[Line]:
    """The lines of a csv or xlsx file; blank ones are left out.

    Cells of a csv file are texts; those of a workbook's first sheet are what Excel keeps. Raises
    UnreadableFile.
    """
    cells_of = _workbook if content.startswith(b"PK") else _csv
    # What the reader of workbooks warns of (styles, odd dates) tells the user nothing.
    with warnings.catch_warnings(action="ignore"):
        lines = [
            (line, cells)
            for line, cells in cells_of(name, content)
            if not all(map(is_blank, cells))
        ]
    if len(lines) > MOST_ROWS + 1:
        raise UnreadableFile(f"{name} has more than {MOST_ROWS:,} rows. Split it.")
    return lines


def _csv(name: str, content: bytes) -> Iterator[Line]:
    """Cells of each row, and the line where it begins: a quoted cell may hold line ends."""
    text = _decoded(name, content)
    header = text.lstrip("\r\n").partition("\n")[0]
    delimiter = max(",;\t|", key=header.count)
    csv.field_size_limit(1_000_000)
    # Strict, since a quote that is never closed would swallow the rest of the file.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableFile(f"{name} can't be read from line {line} on: {error}.") from None


def _decoded(name: str, content: bytes) -> str:
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    raise UnreadableFile(f"{name} is no csv and no xlsx file. Save it as one of these.")


def _workbook(name: str, content: bytes) -> Iterator[Line]:
    """Cells of each row of the first sheet."""
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        # The size that a workbook says is often wrong; one with a cell in the very last column
        # and row would be filled up with millions of blanks.
        sheet.reset_dimensions()
        yield from enumerate(sheet.iter_rows(values_only=True), start=1)
    except (
        *(BadZipFile, zlib.error, ParseError, EOFError, OSError),
        *(AttributeError, IndexError, KeyError, TypeError, ValueError, NotImplementedError),
    ):
        raise UnreadableFile(
            f"{name} is a broken Excel workbook. Open it in Excel and save it again."
        ) from None


def written(path: Path, lines: Iterable[Sequence[Any]]) -> bytes:
    """The content of a file of these lines: csv or xlsx, as the path ends.

    Raises UnreadableFile for any other ending.
    """
    if path.suffix.lower() == ".csv":
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        return text.getvalue().encode("utf-8-sig")  # the mark by which Excel knows UTF-8
    if path.suffix.lower() == ".xlsx":
        book = openpyxl.Workbook()
        for line in lines:
            book.worksheets[0].append(line)
        file = io.BytesIO()
        book.save(file)
        return file.getvalue()
    raise UnreadableFile("Let the file's name end in .csv or .xlsx.")
