"""A file as the server reads it: in a child, and as a person says where nobody else can tell."""

import hashlib
from datetime import date

import pandas as pd
import pytest

from synchist.child import UnreadableFile
from synchist.reconciliation.reading import read
from synchist.reconciliation.report import (
    FIELDS,
    Coverage,
    Reading,
    Unmapped,
    WrongReport,
    exact,
)
from tests.reconciliation.parsing import documents, listed, parsed, workbook

FILE = (
    "Ashgrove\nInvoice List\nSeptember 2026\n\n"
    + listed(
        *("09/13/2026,Invoice,007,Ash,1234.50,34.50,PO 5", "09/14/2026,Payment,,Ash,-1.00,,"),
        *("TOTAL,,,,1233.50,34.50,", "Accrual basis"),
        headings="Date,Transaction type,Num,Name,Amount,Open balance,Memo",
    )
).encode()


def test_a_report_has_everything_that_it_promises() -> None:
    report = read("list.csv", FILE, "invoice")
    assert report.name == "list.csv"
    assert report.sha256 == hashlib.sha256(FILE).hexdigest()
    assert (report.report, report.coverage, report.basis) == (
        "Invoice List",
        Coverage.ALL,
        "accrual",
    )
    assert (report.start, report.end) == (date(2026, 9, 1), date(2026, 9, 30))
    assert report.rows_read == 9 == report.used + sum(report.skipped.values())
    assert (report.documents_total, report.control_total) == (12_345_000, 12_335_000)
    assert report.file_total == report.control_total
    assert [(one.row, one.reason) for one in report.left_out] == [(7, "payment"), (8, "total")]
    assert report.reading.header == 5
    assert report.reading.columns["also"] == 6
    assert report.reading.columns.keys() <= FIELDS.keys()
    table = report.documents
    assert str(table["row"].dtype) == "int64"
    assert str(table["amount"].dtype) == str(table["open_balance"].dtype) == "Int64"
    assert table.to_dict("records") == [
        {
            **{"row": 6, "type": "Invoice", "reference": "007", "party": "Ash", "also": "PO 5"},
            **{"date": date(2026, 9, 13), "amount": 12_345_000, "open_balance": 345_000},
            "currency": "",
        }
    ]
    assert report.told()["documents_total"] == "1234.50"


def test_an_empty_report_has_an_empty_table() -> None:
    report = read("list.csv", b"Invoice List\n" + listed().encode(), "invoice")
    assert report.documents.empty
    assert report.documents_total == 0
    assert list(report.documents.columns) == list(
        pd.Index(["row", "type", "reference", "party", "also", "date"]).append(
            pd.Index(["amount", "open_balance", "currency"])
        )
    )


def test_what_can_not_be_read_is_one_of_three_errors() -> None:
    with pytest.raises(WrongReport, match="This is a balance sheet"):
        read("b.csv", b"Balance Sheet\n\n,Total\nCash,1.00\n", "invoice")
    with pytest.raises(UnreadableFile, match=r"p\.pdf is a PDF"):
        read("p.pdf", b"%PDF-1.7", "invoice")
    with pytest.raises(Unmapped, match="which columns") as raised:
        read("u.csv", b"When,What,How much\n09/13/2026,Ash,10.00\n", "invoice")
    assert raised.value.preview[1] == ["09/13/2026", "Ash", "10.00"]
    assert (raised.value.guess.sheet, raised.value.guess.kind) == (0, "")


BARE = "05/09/2026,1,Ash,10.00\n06/09/2026,2,Elm,11.00\n"
PLACES = {"date": 0, "reference": 1, "party": 2, "amount": 3}


def test_a_file_without_headings_is_read_as_said() -> None:
    answer = parsed(BARE, reading=Reading(columns=PLACES, day_first=True, kind="invoice"))
    assert documents(answer, "row", "date", "reference", "party", "amount") == [
        *((1, "2026-09-05", "1", "Ash", "10.00"), (2, "2026-09-06", "2", "Elm", "11.00"))
    ]


def test_rows_of_a_file_without_headings_are_no_period() -> None:
    """Else the date of the first row would be the whole period that the report covers."""
    answer = parsed(BARE, reading=Reading(columns=PLACES, coverage=Coverage.ALL))
    assert (answer["start"], answer["end"], answer["period"]) == (None, None, "")
    assert answer["coverage"] == "all of a period"


@pytest.mark.parametrize(
    ("reading", "dates", "amounts"),
    [
        ({"day_first": True}, ["2026-09-05"], [12_340]),
        ({"day_first": False}, ["2026-05-09"], [12_340]),
        ({"decimal_comma": True}, ["2026-05-09"], [12_340_000]),
        ({"decimal_comma": False}, ["2026-05-09"], [12_340]),
    ],
)
def test_what_is_said_counts_more_than_what_the_columns_show(
    reading: dict[str, bool], dates: list[str], amounts: list[int]
) -> None:
    said = {"day_first": False, "decimal_comma": False, **reading}
    answer = parsed(
        "A,B,C,D\n05/09/2026,1,Ash,1.234\n", reading=Reading(0, 1, PLACES, kind="invoice", **said)
    )
    assert documents(answer, "date") == dates
    assert answer["documents"]["amount"] == amounts
    assert answer["unsure"] == []


def test_the_sheet_the_row_and_the_columns_are_those_that_are_said() -> None:
    rows = [("Note",), ("D", "N", "C", "A", "B"), ("2026-09-13", "1", "Ash", 99, 10)]
    answer = parsed(
        workbook(First=[("x", "y")], Second=rows),
        reading=Reading(1, 2, {**PLACES, "amount": 4, "also": 3, "currency": 77}),
    )
    assert documents(answer, "row", "amount", "also") == [(3, "10.00", "99")]


def test_a_kind_that_is_said_is_that_of_every_row() -> None:
    payments = parsed(BARE, "bill_payment", Reading(columns=PLACES, kind="bill_payment"))
    assert documents(payments, "type") == ["Bill Payment", "Bill Payment"]
    other = parsed(BARE, "invoice", Reading(columns=PLACES, kind="bill"))
    assert other["wrong"] == "These are bills, the page is Invoices. Choose Bills."


def test_a_title_that_would_be_refused_is_not_where_somebody_says_how_to_read_the_file() -> None:
    report = read("b.csv", f"Budget\nA,B,C,D\n{BARE}".encode(), "invoice", Reading(0, 2, PLACES))
    assert len(report.documents) == 2
    assert (report.report, report.coverage) == ("", Coverage.UNKNOWN)


@pytest.mark.parametrize(
    "reading",
    [Reading(), Reading(9, 999, {"date": 999}), Reading(-1, -5, {"amount": -1}), Reading(0, 2)],
)
def test_a_reading_that_makes_no_sense_finds_nothing(reading: Reading) -> None:
    assert documents(parsed(BARE, reading=reading), "row") == []


@pytest.mark.parametrize(
    ("amount", "text"),
    [(None, ""), (0, "0.00"), (100, "0.01"), (-12_345_000, "-1234.50"), (12_345_678, "1234.5678")],
)
def test_ten_thousandths_as_text(amount: int | None, text: str) -> None:
    assert exact(amount) == text
