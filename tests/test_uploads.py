"""T8: a file that somebody uploads is read in a process of its own, and can't hurt the server."""

import io
import json
import resource
import subprocess
import sys
import time
import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synchist import child
from synchist.child import MOST_BYTES, UnreadableFile
from synchist.loading.child import read_upload
from synchist.loading.evidence import Numbered, matched
from synchist.status_changes import Evidence
from tests.conftest import ROOT

TOO_MUCH = "takes too much time or memory to read. Save it again as csv, and try that."


def refused(name: str, content: bytes) -> str:
    """The one sentence that is said of a file."""
    with pytest.raises(UnreadableFile) as raised:
        read_upload(name, content)
    said = str(raised.value)
    assert said.startswith(name)
    assert said.endswith(".")
    assert "\n" not in said
    assert len(said) < 250
    for leak in ("Traceback", "Error", "/", str(ROOT)):
        assert leak not in said
    return said


def workbook(*rows: Sequence[Any]) -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(file)
    return file.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


def _sheet(rows: bytes) -> bytes:
    head = b'<?xml version="1.0"?><worksheet xmlns="'
    head += b'http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
    return head + rows + b"</sheetData></worksheet>"


def with_rows(xml: bytes) -> bytes:
    """A workbook whose first sheet has these rows, as no Excel would write them."""
    return with_part(SHEET, _sheet(xml))


def with_part(name: str, content: bytes) -> bytes:
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["a"]))) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for part in old.namelist():
            new.writestr(part, content if part == name else old.read(part))
    return made.getvalue()


def peak() -> int:
    """Bytes of memory that this process has had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# ---------------------------------------------------------------- what is read

LINES = [(1, ["Number", "Reference", "Amount"]), (3, ["INV-1", "40123", "1234.50"])]


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [("utf-8", ","), ("utf-8-sig", ";"), ("utf-16", "\t"), ("cp1252", ";")],
)
def test_a_csv_file(encoding: str, delimiter: str) -> None:
    text = "Number,Reference,Amount\r\n\r\nINV-1,40123,1234.50\r\n".replace(",", delimiter)
    assert read_upload("found.csv", text.encode(encoding)) == LINES


def test_signs_beyond_ascii() -> None:
    text = "INV-1,Ñandú — 東京 \U0001f4b6"
    for encoding in ("utf-8", "utf-16"):
        assert read_upload("found.csv", text.encode(encoding)) == [(1, text.split(","))]


def test_a_workbook_as_plain_cells() -> None:
    """What a page keeps and a list is matched with is text, number, yes or no."""
    day, moment = date(2026, 11, 30), datetime(2026, 11, 30, 17, 5)
    content = workbook(
        ["Number", "Reference", "Amount"],
        [],
        ["INV-1", 40123, 1234.5, True, None, day, moment, moment.time(), "=1+1", "#N/A"],
    )
    assert read_upload("found.xlsx", content) == [
        (1, ["Number", "Reference", "Amount"]),
        (
            3,
            [
                *("INV-1", 40123, 1234.5, True, None),
                *("2026-11-30T00:00:00", "2026-11-30T17:05:00", "17:05:00", None, "#N/A"),
            ],
        ),
    ]


def test_an_uploaded_list_is_evidence() -> None:
    content = workbook(["Amount", "Number", "Reference"], [1234.5, "inv-1", 40123.0])
    found = matched(read_upload("f.xlsx", content), [Numbered("invoice", 1, "INV-1", "USD")])
    assert found.evidence == {"invoice": {1: Evidence("40123", 123_450)}}
    assert found.unused == ()


def test_the_kind_is_told_by_the_content_and_not_by_the_name() -> None:
    assert read_upload("found.csv", workbook(["a", 1])) == [(1, ["a", 1])]
    assert read_upload("found.xlsx", b"a,1") == [(1, ["a", "1"])]


def test_nothing_in_it() -> None:
    for content in (b"", b"\n\n", b",,\n ", b"\xef\xbb\xbf", workbook()):
        assert read_upload("empty", content) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../../etc/passwd", "passwd"),
        ("", "The file"),
        ("/", "The file"),
        ("x" * 300 + ".csv", "x" * 100),
        ("--help", "--help"),
        ("-", "-"),
        ("a\nb.csv", "a\nb.csv"),
        ("nul\x00.csv", "nul\x00.csv"),
        ("half\ud800.csv", "half\ud800.csv"),
    ],
)
def test_any_name(name: str, said: str) -> None:
    with pytest.raises(UnreadableFile) as raised:
        read_upload(name, b"\x00\x01")
    assert str(raised.value).startswith(f"{said} ")


# ---------------------------------------------------------------- what is refused


def test_a_large_file_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = b"a,b\n" + b"\n" * (MOST_BYTES - 4)
    assert read_upload("long.csv", longest) == [(1, ["a", "b"])]
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(UnreadableFile, match=r"^long\.csv is larger than 10 MB\. Split it\.$"):
        read_upload("long.csv", longest + b"\n")


GARBAGE = {
    "binary": b"\x00\x01\x02\xff" * 100,
    "a picture": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "half a workbook": workbook(["a"])[:900],
    "only its first letters": b"PK",
    "an archive of something else": with_part("[Content_Types].xml", b"nothing"),
    "no XML": with_part(SHEET, b"\x00\x01"),
    "half its XML": with_part(SHEET, b"<worksheet><sheetData><row>"),
    "an open quote": b'a,b\n"c,d\n',
    "a cell of a million signs": b"a," + b"x" * 1_000_001,
    "utf-16 cut in two": "a,b".encode("utf-16")[:-1],
    "a number that is none": with_rows(b'<row><c r="A1"><v>x</v></c></row>'),
    "a number of 5,000 digits": with_rows(b"<row><c><v>" + b"9" * 5_000 + b"</v></c></row>"),
    "101 columns": b"x," * 100 + b"x",
    "a cell in a column that Excel lacks": with_rows(b'<row r="1"><c r="ZZZ1"><v>1</v></c></row>'),
    "a cell in the last column and row": with_rows(
        b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    ),
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE.keys())
def test_what_can_not_be_used_is_said_in_one_sentence(content: bytes) -> None:
    refused("found.xlsx", content)


@settings(max_examples=5)
@given(st.binary(max_size=200).map(lambda tail: b"PK\x03\x04" + tail) | st.binary(max_size=200))
def test_any_bytes_give_lines_or_a_sentence(content: bytes) -> None:
    said, lines = "any ", list[tuple[int, Sequence[Any]]]()
    try:
        lines = read_upload("any", content)
    except UnreadableFile as error:
        said = str(error)
    assert said.startswith("any ")
    assert json.loads(json.dumps(lines)) == [list(line) for line in lines]


def test_formatted_columns_without_content_do_no_harm() -> None:
    rows = b'<row r="1"><c r="A1"><v>1</v></c><c r="XFD1" s="1"/></row>'
    assert read_upload("found.xlsx", with_rows(rows)) == [(1, [1])]


def test_the_last_cell_of_a_workbook_is_read_at_once() -> None:
    rows = b'<row r="1048576"><c r="A1048576"><v>7</v></c></row>'
    assert read_upload("found.xlsx", with_rows(rows)) == [(1_048_576, [7])]


def test_too_many_rows() -> None:
    assert (
        refused("long.csv", b"1,2\n" * 200_002) == "long.csv has more than 200,000 rows. Split it."
    )


# ---------------------------------------------------------------- what would hurt


def test_a_file_that_takes_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of that number would be reached through a hundred thousand million blank ones."""
    endless = with_rows(b'<row r="99999999999"><c><v>1</v></c></row>')
    began = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(child, "WALL_SECONDS", 3)
        with pytest.raises(UnreadableFile, match=f"^endless.xlsx {TOO_MUCH}$"):
            read_upload("endless.xlsx", endless)
    assert 3 <= time.monotonic() - began < 15
    assert read_upload("next.csv", b"a,b") == [(1, ["a", "b"])]


def test_a_file_that_unpacks_to_more_than_the_memory() -> None:
    """A gigabyte and a half of one letter."""
    made = io.BytesIO()
    head, tail = _sheet(b'<row><c t="inlineStr"><is><t>#</t></is></c></row>').split(b"#")
    with (
        zipfile.ZipFile(io.BytesIO(workbook(["a"]))) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for part in old.namelist():
            if part != SHEET:
                new.writestr(part, old.read(part))
        with new.open(SHEET, "w", force_zip64=True) as sheet:
            sheet.write(head)
            for _ in range(1_500):
                sheet.write(b"x" * 1_000_000)
            sheet.write(tail)
    bomb = made.getvalue()
    assert len(bomb) < MOST_BYTES
    before = peak()
    refused("bomb.xlsx", bomb)
    assert peak() - before < 100 * 2**20


@pytest.mark.parametrize("rows", [40, 400])
def test_one_long_text_in_many_cells_stays_small(rows: int) -> None:
    """Named by each cell, it is 144 MB or more for the server from a file of a few kilobytes."""
    content = workbook(*([["ü" * 30_000] * 20] * rows))
    assert len(content) < MOST_BYTES // 10
    before = peak()
    refused("wide.xlsx", content)
    assert peak() - before < 100 * 2**20


def test_entities_within_entities() -> None:
    """A billion laughs: the XML reader stops them, or the limits do."""
    laughs = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "haha">'
    for name, before in zip(b"bcdefghij", b"abcdefghi", strict=True):
        laughs += b'<!ENTITY %c "%s">' % (name, b"&%c;" % before * 10)
    text = _sheet(b'<row><c t="inlineStr"><is><t>&j;</t></is></c></row>')
    before_it = peak()
    refused("laughs.xlsx", with_part(SHEET, laughs + b"] >" + text.partition(b"?>")[2]))
    assert peak() - before_it < 100 * 2**20


def inside(code: str) -> subprocess.CompletedProcess[str]:
    """Run something in a process like the child's."""
    return subprocess.run(
        [sys.executable, "-c", f"from synchist import child\n{code}"],
        cwd=ROOT,
        input="a,b",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits are Linux's")


@only_linux
def test_the_child_limits_itself_before_it_reads() -> None:
    done = inside(
        "import resource, sys\n"
        "sys.argv = ['child', 'found.csv']\n"
        "def limits(*_):\n"
        "    print(*(resource.getrlimit(getattr(resource, f'RLIMIT_{n}'))[1]\n"
        "            for n in ('AS', 'CPU', 'FSIZE', 'CORE')))\n"
        "    return []\n"
        "child.serve(limits)\n"
    )
    memory, *others = map(int, done.stdout.partition("\n")[0].split())
    assert others == [child.CPU_SECONDS, 0, 0]
    assert child.MEMORY_BYTES < memory < 2 * child.MEMORY_BYTES


@only_linux
@pytest.mark.parametrize(
    ("before", "then", "happens"),
    [
        ("", "x = bytearray(1_200_000_000)", "MemoryError"),
        (
            "import os, tempfile\nfile = tempfile.TemporaryFile()",
            "os.write(file.fileno(), b'x')",
            "File too large",
        ),
        ("child.CPU_SECONDS = 1", "while True: pass", ""),
    ],
    ids=["memory", "file", "time"],
)
def test_each_limit_holds(before: str, then: str, happens: str) -> None:
    done = inside(f"{before}\nchild._limit()\n{then}")
    assert done.returncode != 0
    assert happens in done.stderr


def test_a_child_that_says_nothing_or_nonsense(monkeypatch: pytest.MonkeyPatch) -> None:
    for said in (b"", b"nonsense", b'[[1, ["a"'):
        done = subprocess.CompletedProcess([], -9, said, b"Traceback: secret")
        monkeypatch.setattr(subprocess, "run", lambda *_, done=done, **__: done)
        with pytest.raises(UnreadableFile, match=f"^cut.csv {TOO_MUCH}$"):
            read_upload("cut.csv", b"a,b")
