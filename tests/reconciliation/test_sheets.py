"""Containers: the content decides what a file is, not its name (hostile ones: elsewhere)."""

import io
import zipfile
from datetime import datetime

import pytest

from synchist.child import UnreadableFile
from synchist.reconciliation.sheets import sheets
from tests.reconciliation.parsing import documents, parsed, workbook

LIST = "Date,Transaction type,Num,Name,Amount\r\n09/13/2026,Invoice,007,Müller’s,10.00\r\n"
ROW = ["09/13/2026", "Invoice", "007", "Müller’s", "10.00"]


@pytest.mark.parametrize(
    "content",
    [
        LIST.encode(),
        LIST.encode("utf-8-sig"),
        LIST.encode("cp1252"),
        LIST.encode("utf-16"),
        LIST.replace("\r\n", "\n").encode(),
        LIST.replace("\r\n", "\r").encode(),
        LIST.replace(",", ";").encode(),
        LIST.replace(",", "\t").encode("utf-16"),
        LIST.replace(",", "|").encode(),
        LIST.rstrip().encode(),
        (LIST + ",,,,\r\n \r\n\r\n").encode(),
    ],
)
def test_text_in_every_encoding_and_with_every_separator(content: bytes) -> None:
    (sheet,) = sheets("list.CSV", content)
    assert sheet.rows[1] == ROW
    assert len(sheet.rows) == 2


def test_quotes_keep_commas_line_ends_and_quotes() -> None:
    content = b'Date,Num,Customer,Memo,Amount\n09/13/2026,1,"Ash, Ltd","a\nb ""q""",1.00\n'
    assert sheets("list.csv", content)[0].rows[1] == [
        *("09/13/2026", "1", "Ash, Ltd", 'a\nb "q"', "1.00")
    ]


def test_rows_may_be_ragged() -> None:
    content = b"Date,Num,Customer,Amount\n09/13/2026,1,Ash,1.00,,,x\n09/13/2026,2\n"
    answer = parsed(content)
    assert documents(answer, "reference", "amount") == [("1", "1.00")]
    assert answer["skipped"]["no amount"] == 1


def test_thousands_without_quotes_are_no_amount() -> None:
    """A comma that parts thousands parted the cells, too: 1,234.00 is not one."""
    content = b"Date,Num,Customer,Amount\n09/13/2026,1,Ash,1,234.00\n09/14/2026,2,Ash,5.00\n"
    answer = parsed(content)
    assert documents(answer, "reference") == ["2"]
    assert "Left out: 1 row without an amount." in answer["warnings"]


XML = """<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?>
<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"
 xmlns:ss="urn:schemas-microsoft-com:office:spreadsheet"><Worksheet ss:Name="Results"><Table>
<Row><Cell><Data ss:Type="String">Date</Data></Cell><Cell><Data ss:Type="String">Type</Data></Cell>
<Cell><Data ss:Type="String">Document Number</Data></Cell>
<Cell ss:Index="5"><Data ss:Type="String">Amount</Data></Cell></Row>
<Row ss:Index="4"><Cell><Data ss:Type="DateTime">2026-09-13T00:00:00.000</Data></Cell>
<Cell><Data ss:Type="String">Invoice</Data></Cell><Cell><Data ss:Type="String">00071</Data></Cell>
<Cell ss:Index="5"><Data ss:Type="Number">1234.5699999999999</Data></Cell></Row>
<Row><Cell><Data ss:Type="DateTime">2026-09-14T00:00:00.000</Data></Cell>
<Cell><Data ss:Type="String">Invoice</Data></Cell><Cell><Data ss:Type="Number">72</Data></Cell>
<Cell ss:Index="5"><Data ss:Type="Number">7</Data></Cell></Row></Table></Worksheet></Workbook>"""


def test_xml_that_is_named_xls() -> None:
    """Numbers are written as a computer keeps them, and are none the less exact."""
    answer = parsed(XML)
    assert documents(answer, "row", "reference", "date", "amount") == [
        (4, "00071", "2026-09-13", "1234.57"),
        (5, "72", "2026-09-14", "7.00"),
    ]


def test_a_table_of_a_page_that_is_named_xls() -> None:
    page = (
        "<html><table><tr><td colspan=5>Invoice List</td></tr><tr>"
        + "".join(f"<th>{one}</th>" for one in LIST.split("\r\n", maxsplit=1)[0].split(","))
        + "</tr><tr>"
        + "".join(f"<td> {one}\n</td>" for one in ROW)
        + "</tr></table></html>"
    )
    assert documents(parsed(page), "row", "reference", "amount") == [(3, "007", "10.00")]


HEADINGS = ("Date", "Transaction type", "Num", "Name", "Amount")


def test_a_workbook_keeps_dates_and_numbers() -> None:
    rows = [
        HEADINGS,
        (datetime(2026, 9, 13), "Invoice", 1042, "Ash", 0.1 + 0.2),
        (46279, "Invoice", "0071", "Ash", "1,000.00"),
        ("09/15/2026", "Invoice", 71_000_000_000_000, "Ash", -1234.565),
        ("09/16/2026", "Invoice", 7.1e16, "Ash", 1),
    ]
    answer = parsed(workbook(Sheet1=rows))
    assert documents(answer, "reference", "date", "amount") == [
        ("1042", "2026-09-13", "0.30"),
        ("0071", "2026-09-14", "1000.00"),
        ("71000000000000", "2026-09-15", "1234.56"),
        ("7.1e+16", "2026-09-16", "1.00"),
    ]
    assert answer["documents"]["amount"][2] == 12_345_650
    assert any(
        warning.startswith("A spreadsheet has shortened 1 long") for warning in answer["warnings"]
    )


def test_the_sheet_that_holds_the_list_is_read_and_the_others_are_named() -> None:
    tips = [("Tips for your export",), ("1. Open the file",)]
    rows = [HEADINGS, ("09/13/2026", "Invoice", "1", "Ash", 10)]
    answer = parsed(workbook(Tips=tips, Data=rows, More=[("x",)]))
    assert documents(answer, "reference") == ["1"]
    assert answer["sheet"] == 1
    assert "Only the sheet “Data” is read; not read: “Tips”, “More”." in answer["warnings"]


def test_a_stored_zero_beside_a_formula_is_worked_out() -> None:
    """So workbooks are kept that nothing has calculated yet."""
    book = workbook(Sheet1=[HEADINGS, ("09/13/2026", "Invoice", "1", "Ash", "=12.50")])
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(book)) as old, zipfile.ZipFile(changed, "w") as new:
        for info in old.infolist():
            part = old.read(info).replace(b"<f>12.50</f><v />", b"<f>12.50</f><v>0</v>")
            part = part.replace(b"<f>12.50</f><v></v>", b"<f>12.50</f><v>0</v>")
            new.writestr(info.filename, part)
    assert b"<v>0</v>" in zipfile.ZipFile(changed).read("xl/worksheets/sheet1.xml")
    assert documents(parsed(changed.getvalue()), "amount") == ["12.50"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"%PDF-1.7", "a PDF"),
        (b"PK\x03\x04nonsense", "a broken workbook"),
        (b"\x89PNG\x00\x00", "no spreadsheet and no text"),
        (b"<html><body>Sign in</body></html>", "a web page"),
    ],
)
def test_what_is_no_list_is_refused_with_one_sentence(content: bytes, says: str) -> None:
    with pytest.raises(UnreadableFile, match=says):
        sheets("report.csv", content)


@pytest.mark.parametrize("content", [b"", b"\r\n\r\n", b" , ,\n", b"\xef\xbb\xbf"])
def test_a_file_that_says_nothing_has_no_sheets(content: bytes) -> None:
    assert sheets("empty.csv", content) == []
    with pytest.raises(UnreadableFile, match="is empty"):
        parsed(content)
