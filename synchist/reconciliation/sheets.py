"""The sheets of a file, whatever it is stored as: the content decides, not the name.

Runs where hostile files are read (see `synchist.child`), so it imports little.
"""

import codecs
import csv
import io
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from html.parser import HTMLParser
from itertools import chain
from typing import Any, NamedTuple
from xml.etree.ElementTree import ParseError, iterparse

from python_calamine import CalamineError, CalamineWorkbook, PasswordError

from synchist.child import UnreadableFile
from synchist.reconciliation.formulas import values_of

MOST_UNPACKED = 100 * 2**20
MOST_ROWS = 200_000
MOST_COLUMNS = 100
MOST_SHEETS = 200

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""How old Excel files begin, and new ones with a password."""

SPREADSHEET = "{urn:schemas-microsoft-com:office:spreadsheet}"

PROTECTED = "{} is protected by a password. Save it without one."
BROKEN = "{} is a broken workbook. Open it in Excel and save it again."
LONG = f"{{}} has more than {MOST_ROWS:,} rows. Split it."
WIDE = f"{{}} has more than {MOST_COLUMNS} columns. Leave some out."


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
    found: list[Sheet] = []
    left = MOST_ROWS
    for number, (title, rows) in enumerate(_reader(name, content)(name, content)):
        if number == MOST_SHEETS:
            raise UnreadableFile(f"{name} has more than {MOST_SHEETS} sheets. Leave some out.")
        found.append(Sheet(title, _trimmed(name, rows, left)))
        left -= len(found[-1].rows)
    return [sheet for sheet in found if sheet.rows]


def _reader(name: str, content: bytes) -> Callable[[str, bytes], Iterable[Sheet]]:
    if content.startswith((b"PK", OLE)):
        return _workbook
    if content.startswith(b"%PDF"):
        raise UnreadableFile(f"{name} is a PDF. Export the report as Excel or csv.")
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<?xml", b"<workbook", b"<html", b"<!doctype", b"<table", b"<meta")):
        return _xml if b"urn:schemas-microsoft-com:office:spreadsheet" in head else _html
    return _text


def _trimmed(name: str, rows: list[list[Any]], most: int) -> list[list[Any]]:
    """Without blank rows at the end. Raises UnreadableFile where there is too much."""
    while rows and not any(map(_said, rows[-1])):
        rows.pop()
    if len(rows) > most:
        raise UnreadableFile(LONG.format(name))
    widest = max(map(len, rows), default=0)
    if widest > MOST_COLUMNS:
        if any(any(map(_said, row[MOST_COLUMNS:])) for row in rows):
            raise UnreadableFile(WIDE.format(name))
        rows = [row[:MOST_COLUMNS] for row in rows]
    return rows


def _said(cell: Any) -> bool:
    return not isinstance(cell, str) or (bool(cell) and not cell.isspace())


# ---------------------------------------------------------------- text


_END = "\x00end"
"""Read behind the last line, alone: a quote that never ends swallows it. No text holds a NUL."""


def _text(name: str, content: bytes) -> list[Sheet]:
    text = _decoded(name, content)
    head = text[:20_000].splitlines()[:200]
    delimiter = max(",;\t|", key=lambda sign: sum(line.count(sign) for line in head))
    csv.field_size_limit(1_000_000)
    guarded = '="' in text
    rows: list[list[Any]] = []
    reader = csv.reader(chain(io.StringIO(text, newline=""), [_END]), delimiter=delimiter)
    line = 1
    try:
        for cells in reader:
            if cells == [_END]:
                break
            if cells and cells[-1].endswith(_END):
                raise UnreadableFile(
                    f"{name} has a quote in line {line:,} that never ends. Export it again."
                )
            rows.append(list(map(_unguarded, cells)) if guarded else cells)
            line = reader.line_num + 1
            if len(rows) > MOST_ROWS + 1_000:  # some may be blank
                break
    except csv.Error:
        raise UnreadableFile(
            f"{name} can't be read from line {line:,} on. Export it again."
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


def _workbook(name: str, content: bytes) -> Iterator[Sheet]:
    if content.startswith(OLE) and "EncryptedPackage".encode("utf-16-le") in content:
        raise UnreadableFile(PROTECTED.format(name))
    parts = _unpacked(name, content) if content.startswith(b"PK") else {}
    try:
        book = CalamineWorkbook.from_filelike(io.BytesIO(content))
        paths = dict(_paths(parts))
        for title in book.sheet_names:
            xml = parts.get(paths.get(title, ""), b"")
            _refuse_far(name, xml)
            rows = book.get_sheet_by_name(title).to_python(skip_empty_area=False)
            yield Sheet(title, values_of(_without_nuls(rows), _formulas(xml)))
    except PasswordError:
        raise UnreadableFile(PROTECTED.format(name)) from None
    except (CalamineError, ValueError, KeyError, IndexError, OSError) as error:
        if "password" in str(error).lower() or "encrypt" in str(error).lower():
            raise UnreadableFile(PROTECTED.format(name)) from None
        raise UnreadableFile(BROKEN.format(name)) from None


def _without_nuls(rows: list[list[Any]]) -> list[list[Any]]:
    """A workbook can spell them (_x0000_), and no database keeps them."""
    for row in rows:
        for place, cell in enumerate(row):
            if isinstance(cell, str) and "\x00" in cell:
                row[place] = cell.replace("\x00", "")
    return rows


_FAR = re.compile(
    rb"""<c r="(?:[A-Z]+[0-9]{7}|(?P<right>(?:C[W-Z]|[D-Z][A-Z]|[A-Z]{3})[0-9]+))"[^<>]*><[^/]"""
)


def _refuse_far(name: str, sheet: bytes) -> None:
    """Raise where something stands so far below or to the right that all before it would take
    gigabytes. Blank formatted cells may stand anywhere."""
    if far := _FAR.search(sheet):
        raise UnreadableFile((WIDE if far["right"] else LONG).format(name))


def _unpacked(name: str, content: bytes) -> dict[str, bytes]:
    """The parts of a workbook that say something.

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
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise UnreadableFile(BROKEN.format(name))
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
    return parts


def _paths(parts: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """The name of each sheet, and where in the package it is."""
    relations = {}
    for one in re.findall(rb"<Relationship [^<>]*>", parts.get("xl/_rels/workbook.xml.rels", b"")):
        relations[_attribute(one, b"Id")] = _attribute(one, b"Target")
    for one in re.findall(rb"<(?:\w+:)?sheet [^<>]*>", parts.get("xl/workbook.xml", b"")):
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
    rb"<(?:\w+:)?c (?P<cell>[^<>]*)>\s*<(?:\w+:)?f(?: [^<>]*)?>(?P<formula>[^<]+)</(?:\w+:)?f>\s*"
    rb"(?:<(?:\w+:)?v>(?P<value>[^<]+)</)?"
)


def _formulas(sheet: bytes) -> dict[tuple[int, int], str]:
    """The formulas without a stored result, by row and column from 0. A stored zero may be none:
    so workbooks are kept that nothing has calculated yet."""
    found: dict[tuple[int, int], str] = {}
    if b"</f>" not in sheet and b":f>" not in sheet:
        return found
    for cell in _CELL.finditer(sheet):
        if cell["value"] in (None, b"0", b"0.0"):
            place = re.search(rb"r=[\"']([A-Z]{1,3})([0-9]{1,7})[\"']", cell["cell"])
            if place:
                column = 0
                for letter in place[1]:
                    column = column * 26 + letter - 64
                found[int(place[2]) - 1, column - 1] = _unescaped(cell["formula"])
    return found


# ---------------------------------------------------------------- XML and HTML that is named .xls


def _xml(name: str, content: bytes) -> Iterator[Sheet]:
    """The sheets of an XML Spreadsheet, as Excel wrote them in 2003 and NetSuite does."""
    title, rows = "", list[list[Any]]()
    try:
        # Entities that blow up are stopped by expat itself, or by the limits of this process.
        for event, tag in iterparse(io.BytesIO(content), ("start", "end")):  # noqa: S314
            if event == "start":
                if tag.tag == f"{SPREADSHEET}Worksheet":
                    title, rows = tag.get(f"{SPREADSHEET}Name", ""), []
            elif tag.tag == f"{SPREADSHEET}Worksheet":
                yield Sheet(title, rows)
                tag.clear()
            elif tag.tag == f"{SPREADSHEET}Row":
                index = _index(tag, after=len(rows))
                if index > MOST_ROWS + 1:
                    raise UnreadableFile(LONG.format(name))
                rows.extend([] for _ in range(len(rows), index - 1))
                rows.append(_xml_cells(name, tag))
                tag.clear()
    except (ParseError, ValueError):
        raise UnreadableFile(BROKEN.format(name)) from None


def _xml_cells(name: str, row: Any) -> list[Any]:
    cells: list[Any] = []
    place = 0
    for cell in row.iterfind(f"{SPREADSHEET}Cell"):
        place = _index(cell, after=place)
        data = cell.find(f"{SPREADSHEET}Data")
        value = "" if data is None else _xml_value(data)
        if _said(value):
            if place > MOST_COLUMNS:
                raise UnreadableFile(WIDE.format(name))
            cells.extend("" for _ in range(len(cells), place - 1))
            cells.append(value)
    return cells


def _xml_value(data: Any) -> Any:
    """A number as a workbook keeps it (0.1 + 0.2 is written with 17 digits), else the text."""
    text = "".join(data.itertext())
    if data.get(f"{SPREADSHEET}Type") == "Number" and re.fullmatch(r"[-+\d.Ee]{1,30}", text):
        with suppress(ValueError):
            return float(text)
    return text


def _index(tag: Any, after: int) -> int:
    """The number of a row or a cell: the next, or the one it says. Raises ValueError."""
    index = int(tag.get(f"{SPREADSHEET}Index", after + 1))
    if index <= after:
        raise ValueError(index)
    return index


def _html(name: str, content: bytes) -> list[Sheet]:
    """The tables of a page that was saved as if it were a workbook."""
    text = _decoded(name, content)
    if "<<<<" in text:  # no page has that, and its reader takes a second for each million
        raise UnreadableFile(f"{name} is a broken web page. Export the report as Excel or csv.")
    tables = _Tables(name)
    tables.feed(text)
    tables.end_cell()
    if "<" in tables.rawdata:
        raise UnreadableFile(f"{name} ends in the middle. Export it again.")
    if not any(len(row) > 2 for row in tables.rows):
        raise UnreadableFile(f"{name} is a web page. Export the report as Excel or csv.")
    return [Sheet("", tables.rows)]


class _Tables(HTMLParser):
    """The rows of all tables of a page, one after the other."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.rows: list[list[Any]] = []
        self._name = name
        self._said: list[str] | None = None
        self._place = self._span = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A row or a cell begins, and ends the one before it."""
        if tag == "tr" or (tag in ("td", "th") and not self.rows):
            self.end_cell()
            self.rows.append([])
            self._place = 0
        if tag in ("td", "th"):
            self.end_cell()
            self._said = []
            span = dict(attrs).get("colspan") or "1"
            self._span = int(span) if span.isdecimal() and len(span) < 3 else 1
        elif tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        """A cell ends."""
        if tag in ("td", "th", "tr", "table"):
            self.end_cell()

    def handle_data(self, data: str) -> None:
        """What stands in a cell."""
        if self._said is not None:
            self._said.append(data)

    def end_cell(self) -> None:
        """Put what the cell says in its place; blank ones only move it."""
        if self._said is None:
            return
        if text := " ".join("".join(self._said).split()):
            if self._place >= MOST_COLUMNS:
                raise UnreadableFile(WIDE.format(self._name))
            if len(self.rows) > MOST_ROWS:
                raise UnreadableFile(LONG.format(self._name))
            cells = self.rows[-1]
            cells.extend("" for _ in range(len(cells), self._place))
            cells.append(text)
        self._place += self._span
        self._said = None
