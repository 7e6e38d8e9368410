"""The sheets of a file, whatever it is stored as: the content decides, not the name.

Runs where hostile files are read (see `synchist.child`), so it imports little.
"""

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from html.parser import HTMLParser
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError, iterparse

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from synchist.child import UnreadableFile
from synchist.reconciliation.formulas import values_of

MOST_UNPACKED = 100 * 2**20
MOST_ROWS = 200_000
MOST_COLUMNS = 100

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How old Excel files begin, and new ones with a password."""

SPREADSHEET = "{urn:schemas-microsoft-com:office:spreadsheet}"

PROTECTED = "{} is protected by a password. Save it without one."
BROKEN = "{} is a broken workbook. Open it in Excel and save it again."


class Sheet(NamedTuple):
    """A sheet: its name (empty for a file that has none) and its rows of cells.

    The first row is row 1 of the spreadsheet. A blank cell is an empty text.
    """

    title: str
    rows: list[list[Any]]


def sheets(name: str, content: bytes) -> list[Sheet]:
    """The sheets of a file that hold anything; none: the file is empty.

    Raises UnreadableFile.
    """
    found = [
        Sheet(title, _trimmed(name, rows)) for title, rows in _reader(name, content)(name, content)
    ]
    return [sheet for sheet in found if sheet.rows]


def _reader(name: str, content: bytes) -> Callable[[str, bytes], Sequence[Sheet]]:
    if content.startswith((b"PK", OLE)):
        return _workbook
    if content.startswith(b"%PDF"):
        raise UnreadableFile(f"{name} is a PDF. Export the report as Excel or csv.")
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<?xml", b"<workbook", b"<html", b"<!doctype", b"<table", b"<meta")):
        return _xml if b"urn:schemas-microsoft-com:office:spreadsheet" in head else _html
    return _text


def _trimmed(name: str, rows: list[list[Any]]) -> list[list[Any]]:
    """Without blank rows at the end. Raises UnreadableFile where there is too much."""
    while rows and not any(map(_said, rows[-1])):
        rows.pop()
    if len(rows) > MOST_ROWS:
        raise UnreadableFile(f"{name} has more than {MOST_ROWS:,} rows. Split it.")
    widest = max(map(len, rows), default=0)
    if widest > MOST_COLUMNS:
        if any(any(map(_said, row[MOST_COLUMNS:])) for row in rows):
            raise UnreadableFile(f"{name} has more than {MOST_COLUMNS} columns. Leave some out.")
        rows = [row[:MOST_COLUMNS] for row in rows]
    return rows


def _said(cell: Any) -> bool:
    return not isinstance(cell, str) or (bool(cell) and not cell.isspace())


# ---------------------------------------------------------------- text


def _text(name: str, content: bytes) -> list[Sheet]:
    text = _decoded(name, content)
    head = text[:20_000].splitlines()[:200]
    delimiter = max(",;\t|", key=lambda sign: sum(line.count(sign) for line in head))
    csv.field_size_limit(1_000_000)
    rows = []
    guarded = '="' in text
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            rows.append(list(map(_unguarded, cells)) if guarded else cells)
            if len(rows) > MOST_ROWS + 1_000:  # some may be blank
                break
    except csv.Error:
        raise UnreadableFile(
            f"{name} can't be read from line {reader.line_num:,} on. Export it again."
        ) from None
    return [Sheet("", rows)]


def _unguarded(cell: str) -> str:
    """What stands in `="00071234"`, by which a spreadsheet is kept from making it a number."""
    return cell[2:-1] if cell.startswith('="') and cell.endswith('"') else cell


def _decoded(name: str, content: bytes) -> str:
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if wide else ("utf-8-sig", "cp1252"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" not in text:
            return text
    raise UnreadableFile(
        f"{name} is no spreadsheet and no text. Export the report as Excel or csv."
    )


# ---------------------------------------------------------------- workbooks


def _workbook(name: str, content: bytes) -> list[Sheet]:
    formulas = _unpacks(name, content) if content.startswith(b"PK") else {}
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        found = []
        for title in book.sheet_names:
            rows = book.get_sheet_by_name(title).to_python(skip_empty_area=False)
            found.append(Sheet(title, values_of(rows, formulas.get(title, {}))))
        return found
    except PasswordError:
        raise UnreadableFile(PROTECTED.format(name)) from None
    except (CalamineError, ValueError, KeyError, IndexError, OSError) as error:
        if "password" in str(error).lower() or "encrypt" in str(error).lower():
            raise UnreadableFile(PROTECTED.format(name)) from None
        raise UnreadableFile(BROKEN.format(name)) from None


def _unpacks(name: str, content: bytes) -> dict[str, dict[tuple[int, int], str]]:
    """The formulas of each sheet whose results are not stored.

    Counts what the file unpacks to while it does, since what it says of that may be a lie. Raises
    UnreadableFile.
    """
    left = MOST_UNPACKED
    parts: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for info in packed.infolist():
                if info.flag_bits & 1:
                    raise UnreadableFile(PROTECTED.format(name))
                with packed.open(info) as part:
                    unpacked = part.read(left + 1)
                left -= len(unpacked)
                if left < 0:
                    raise UnreadableFile(
                        f"{name} unpacks to more than {MOST_UNPACKED >> 20} MB. Split it."
                    )
                if info.filename.startswith("xl/") and info.filename.endswith((".xml", ".rels")):
                    parts[info.filename] = unpacked
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError):
        raise UnreadableFile(BROKEN.format(name)) from None
    return {
        title: _formulas(parts[path])
        for title, path in _paths(parts)
        if any(sign in parts.get(path, b"") for sign in (b"</f>", b":f>"))
    }


def _paths(parts: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """The name of each sheet, and where in the package it is."""
    relations = {}
    for one in re.findall(rb"<Relationship [^>]*>", parts.get("xl/_rels/workbook.xml.rels", b"")):
        relations[_attribute(one, b"Id")] = _attribute(one, b"Target")
    for one in re.findall(rb"<(?:\w+:)?sheet [^>]*>", parts.get("xl/workbook.xml", b"")):
        target = relations.get(_attribute(one, rb"\w+:id"), "")
        yield _attribute(one, b"name"), target[1:] if target.startswith("/") else f"xl/{target}"


def _attribute(tag: bytes, name: bytes) -> str:
    found = re.search(rb"[\s]" + name + rb"\s*=\s*[\"']([^\"']*)[\"']", tag)
    return _unescaped(found[1]) if found else ""


def _unescaped(text: bytes) -> str:
    plain = text.decode("utf-8", "replace")
    for mark, sign in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'")):
        plain = plain.replace(mark, sign)
    return plain.replace("&amp;", "&")


_CELL = re.compile(
    rb"<(?:\w+:)?c (?P<cell>[^>]*)>\s*<(?:\w+:)?f(?: [^>]*)?>(?P<formula>[^<]+)</(?:\w+:)?f>\s*"
    rb"(?:<(?:\w+:)?v>(?P<value>[^<]+)</)?"
)


def _formulas(sheet: bytes) -> dict[tuple[int, int], str]:
    """The formulas without a stored result, by row and column from 0."""
    found = {}
    for cell in _CELL.finditer(sheet):
        if cell["value"] is None:
            place = re.search(rb"r=[\"']([A-Z]{1,3})([0-9]{1,7})[\"']", cell["cell"])
            if place:
                column = 0
                for letter in place[1]:
                    column = column * 26 + letter - 64
                found[int(place[2]) - 1, column - 1] = _unescaped(cell["formula"])
    return found


# ---------------------------------------------------------------- XML and HTML that is named .xls


def _xml(name: str, content: bytes) -> list[Sheet]:
    """The sheets of an XML Spreadsheet, as Excel wrote them in 2003 and NetSuite does."""
    found: list[Sheet] = []
    try:
        # Entities that blow up are stopped by expat itself, or by the limits of this process.
        for event, tag in iterparse(io.BytesIO(content), ("start", "end")):  # noqa: S314
            if event == "start":
                if tag.tag == f"{SPREADSHEET}Worksheet":
                    found.append(Sheet(tag.get(f"{SPREADSHEET}Name", ""), []))
            elif tag.tag == f"{SPREADSHEET}Row" and found:
                rows = found[-1].rows
                index = int(tag.get(f"{SPREADSHEET}Index", len(rows) + 1))
                if index > MOST_ROWS + 1:
                    raise UnreadableFile(f"{name} has more than {MOST_ROWS:,} rows. Split it.")
                rows.extend([] for _ in range(len(rows), index - 1))
                rows.append(_xml_cells(name, tag))
                tag.clear()
    except (ParseError, ValueError):
        raise UnreadableFile(BROKEN.format(name)) from None
    return found


def _xml_cells(name: str, row: Any) -> list[Any]:
    cells: list[Any] = []
    for cell in row.iter(f"{SPREADSHEET}Cell"):
        index = int(cell.get(f"{SPREADSHEET}Index", len(cells) + 1))
        if index > 16_384:
            raise UnreadableFile(BROKEN.format(name))
        cells.extend("" for _ in range(len(cells), index - 1))
        data = cell.find(f"{SPREADSHEET}Data")
        cells.append("" if data is None else "".join(data.itertext()))
    return cells


def _html(name: str, content: bytes) -> list[Sheet]:
    """The tables of a page that was saved as if it were a workbook."""
    tables = _Tables()
    tables.feed(_decoded(name, content))
    if not any(len(row) > 2 for row in tables.rows):
        raise UnreadableFile(f"{name} is a web page. Export the report as Excel or csv.")
    return [Sheet("", tables.rows)]


class _Tables(HTMLParser):
    """The rows of all tables of a page, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[Any]] = []
        self._inside = False
        self._more = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A row or a cell begins."""
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            if not self.rows:
                self.rows.append([])
            self.rows[-1].append("")
            self._inside = True
            span = dict(attrs).get("colspan") or "1"
            self._more = int(span) - 1 if span.isdecimal() and len(span) < 3 else 0

    def handle_endtag(self, tag: str) -> None:
        """A cell ends; one that spans several columns leaves blank ones."""
        if tag in ("td", "th") and self._inside:
            self.rows[-1].extend([""] * self._more)
            self._inside = False

    def handle_data(self, data: str) -> None:
        """What stands in a cell."""
        if self._inside:
            self.rows[-1][-1] += " ".join(data.split())
