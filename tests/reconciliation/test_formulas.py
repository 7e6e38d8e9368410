"""Formulas without a stored result are worked out; nothing is ever run."""

from decimal import Decimal
from typing import Any

import pytest

from synchist.reconciliation.formulas import values_of
from tests.reconciliation.parsing import documents, parsed, workbook

ROWS = [["10", 20.0, 0.1, "text"], ["", 5, 0.2, True]]


def worked_out(formula: str, **others: str) -> Any:
    """The result of a formula in cell A3, beside those of other cells; "" where there is none."""
    places = {(int(cell[1:]) - 1, "ABCDE".index(cell[0])): text for cell, text in others.items()}
    rows = [list(row) for row in ROWS] + [["", "", "", ""]]
    return values_of(rows, {(2, 0): formula, **places})[2][0]


@pytest.mark.parametrize(
    ("formula", "result"),
    [
        *(("=123.45", "123.45"), ("123.45", "123.45"), ("-1499", "-1499"), ("=-(5)", "-5")),
        *(("1+2*3", "7"), ("(1+2)*3", "9"), ("10-2-3", "5"), ("7/2", "3.5"), ("--5", "5")),
        *(("=((B1)+(B2))", "25"), ("$B$1-B2", "15"), ("C1+C2", "0.3"), ("1.5E2", "150")),
        *(("SUM(B1:B2)", "25"), ("SUM(B1,B2,1)", "26"), ("SUM(B1:C2)", "25.3")),
        *(("ROUND(SUM(C1:C2),1)", "0.3"), ("A2+D1+D2+Z99", "0")),
        # Half a cent goes up, as in Excel, and not to the even one.
        *(("ROUND(2.345,2)", "2.35"), ("ROUND(2.335,2)", "2.34"), ("ROUND(-2.345,2)", "-2.35")),
        ("ROUND(0.5,0)", "1"),
    ],
)  # fmt: skip
def test_sums_are_worked_out(formula: str, result: str) -> None:
    assert worked_out(formula) == Decimal(result)


def test_a_text_is_a_text() -> None:
    assert worked_out('="00071234"') == "00071234"


@pytest.mark.parametrize(
    "formula",
    [
        *("", "=", "1+", "(1", "1)", "1 2", "5%", "A1&B1", "Sheet2!A1", '"a"+1', "1;2", "[1]!A1"),
        *("IF(1,2,3)", "SUMIF(B1:B2,5)", "ROUND(1)", "ROUND(1,-3)", "ROUND(1,99)", "SUM", "sum(1)"),
        *("HYPERLINK(1)", "__import__(1)", "1/0", "B1:B2", "SUM(A1:XFD1048576)", "9" * 5 + "**9"),
        "(" * 100 + "1" + ")" * 100,
    ],
)
def test_nothing_else_is(formula: str) -> None:
    assert worked_out(formula) == ""


def test_formulas_may_refer_to_formulas_but_not_to_themselves() -> None:
    assert worked_out("=B3+1", B3="=C3*2", C3="=5") == Decimal(11)
    assert worked_out("=A3+1") == ""
    assert worked_out("=B3", B3="=A3") == ""


def test_a_workbook_that_nothing_has_calculated() -> None:
    """A library stores no result, as QuickBooks Online did: read as it stands it is empty."""
    rows = [
        ("Ashgrove", "", "", "", ""),
        ("Invoice List", "", "", "", ""),
        ("September 2026", "", "", "", ""),
        ("Date", "Transaction type", "Num", "Name", "Amount"),
        ("09/05/2026", "Invoice", "1", "Ash", "=1234.50"),
        ("09/06/2026", "Invoice", "2", "Ash", "=-(10.05)"),
        ("09/07/2026", "Invoice", "3", "Ash", "=VLOOKUP(1,A1:B2,2)"),
        ("TOTAL", "", "", "", "=SUM(E5:E6)"),
    ]
    answer = parsed(workbook(Report=rows))
    assert documents(answer, "reference", "amount") == [("1", "1234.50"), ("2", "10.05")]
    assert (answer["file_total"], answer["control_total"]) == (12_244_500, 12_244_500)
    assert answer["warnings"] == ["Left out: 1 row without an amount."]
