"""Dates and amounts: each way in which they are written, and which way a column is."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synchist.reconciliation.columns import (
    UNIT,
    amounts,
    comma_is_decimal,
    days,
    look_swapped,
    order_of,
    period_of,
)
from tests.reconciliation.parsing import documents, listed, parsed

# ---------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("cell", "month_first", "day_first"),
    [
        ("09/12/2026", "2026-09-12", "2026-12-09"),
        ("9/1/26", "2026-09-01", "2026-01-09"),
        ("09-05-2026", "2026-09-05", "2026-05-09"),
        ("09/05/2026 12:00 AM", "2026-09-05", "2026-05-09"),
        ("Sat, 05/09/2026", "2026-05-09", "2026-09-05"),
        # There is no thirteenth month: such a date can only be the other way round.
        ("31/12/2026", "2026-12-31", "2026-12-31"),
        ("12/31/2026", "2026-12-31", "2026-12-31"),
        ("1/1/99", "1999-01-01", "1999-01-01"),
        ("1/1/69", "2069-01-01", "2069-01-01"),
        ("29.02.24", "2024-02-29", "2024-02-29"),
        ("29.02.23", None, None),
        ("00/00/2026", None, None),
        ("13/13/2026", None, None),
        ("09/05", None, None),
    ],
)
def test_a_date_in_figures(cell: str, month_first: str | None, day_first: str | None) -> None:
    assert days([cell], day_first=False) == [month_first]
    assert days([cell], day_first=True) == [day_first]


@pytest.mark.parametrize("day_first", [True, False])
@pytest.mark.parametrize(
    "cell",
    [
        *("2026-09-05", "2026-9-5", "2026/09/05", "2026.09.05", "2026-09-05T23:59:00Z"),
        *("Sept 5, 2026", "5 Sept 2026", "Sep. 5, 2026", "5-Sep-26", "5/Sep/2026", "sep 5 2026"),
        *("September 5th, 2026", "05 September, 2026", "Saturday, September 5, 2026"),
        *("Sat Sep 5 2026", "Saturday 5 Sep 2026", " 2026-09-05 ", "2026-09-05 10:00"),
        *(date(2026, 9, 5), datetime(2026, 9, 5, 23, 59), 46270, 46270.75, "46270", "46270.0"),
    ],
)
def test_a_date_that_can_be_only_one(cell: Any, day_first: bool) -> None:
    assert days([cell], day_first) == ["2026-09-05"]


@pytest.mark.parametrize(
    "cell",
    [
        *("", " ", "n/a", "Sunday", "Marching 5, 2026", "Month", "2026", "September 2026"),
        *("2026-02-29", "Feb 30, 2026", "1042", "00071234", "9/5/1226", "5/9/2026/1"),
        *(True, 42, 20260905, 1e300, float("nan"), None, date(1899, 1, 1)),
    ],
)
def test_what_is_no_date(cell: Any) -> None:
    assert days([cell], day_first=False) == [None]
    assert days([cell], day_first=True) == [None]


@pytest.mark.parametrize(
    ("cells", "order"),
    [
        (["05/09/2026", "13/09/2026"], (True, True, False)),
        (["05/09/2026", "09/13/2026"], (False, True, False)),
        (["Sun 13/09/2026"], (True, True, False)),
        (["05/09/2026", "06/09/2026"], (None, True, False)),
        (["05.09.2026"], (True, True, False)),
        (["05.09.2026", "09.13.2026"], (False, True, False)),
        (["13/09/2026", "09/14/2026"], (None, True, True)),
        (["2026-09-05", date(2026, 9, 5), 46270, "Sep 5, 2026", ""], (None, False, False)),
    ],
)
def test_the_whole_column_decides_the_order(cells: list[Any], order: tuple[Any, ...]) -> None:
    assert order_of(cells) == order


AMBIGUOUS = ("05/03/2026,Invoice,1,Ash,10.00", "06/03/2026,Invoice,2,Ash,20.00")
MARCH, MAY_JUNE = ["2026-03-05", "2026-03-06"], ["2026-05-03", "2026-06-03"]
HEADINGS = "Date,Transaction type,Num,Name,Amount"
PLAIN = "Date,Kind,Ref,Party,Amount"


@pytest.mark.parametrize(
    ("above", "read", "unsure"),
    [
        ("", MAY_JUNE, False),  # QuickBooks Online, by its headings
        ("Invoice List\nMarch 2026\n", MARCH, False),
        ("Invoice List\n01/03/2026 - 31/03/2026\n", MARCH, False),
        ("Invoice List\nMay - June, 2026\n", MAY_JUNE, False),
        ("Invoice List\nAs of April 30, 2026\n", MARCH, False),
    ],
)
def test_where_each_could_be_either_the_period_decides_then_the_system(
    above: str, read: list[str], unsure: bool
) -> None:
    answer = parsed(above + listed(*AMBIGUOUS))
    assert documents(answer, "date") == read
    assert bool(answer["unsure"]) == unsure


def test_the_due_dates_decide_by_usual_terms() -> None:
    rows = ("05/03/2026,04/04/2026,1,Ash,10.00", "06/03/2026,05/04/2026,2,Ash,20.00")
    answer = parsed(listed(*rows, headings="Date,Due date,Ref,Customer,Amount"))
    assert documents(answer, "date") == MARCH
    rows = ("05/03/2026,05/13/2026,1,Ash,10.00", "06/03/2026,07/03/2026,2,Ash,20.00")
    answer = parsed(listed(*rows, headings="Date,Due date,Ref,Customer,Amount"))
    assert documents(answer, "date") == MAY_JUNE


def test_where_nothing_decides_the_reader_says_so() -> None:
    rows = [row.replace("Invoice,", "") for row in AMBIGUOUS]
    answer = parsed(listed(*rows, headings="Date,Ref,Customer,Amount"))
    assert answer["unsure"] == [
        "The dates could be day/month or month/day. They are read as month/day."
    ]
    assert answer["unsure"][0] in answer["warnings"]


def test_dates_that_contradict_each_other_are_never_read_in_silence() -> None:
    rows = ("13/09/2026,Invoice,1,Ash,1.00", "09/14/2026,Invoice,2,Ash,1.00", AMBIGUOUS[0])
    answer = parsed(listed(*rows))
    assert documents(answer, "date")[:2] == ["2026-09-13", "2026-09-14"]
    assert "each that could be either is a guess" in answer["unsure"][0]


@pytest.mark.parametrize(
    ("cells", "swapped"),
    [
        (["2026-05-09", "2026-06-09", "13/09/2026", "14/09/2026"], True),
        ([date(2026, 5, 9), 46151, "09/13/2026", "09/14/2026"], True),
        (["2026-05-09", "2026-06-19", "13/09/2026", "14/09/2026"], False),
        (["2026-05-09", "2026-06-09", "13/09/2026", "05/09/2026"], False),
        (["13/09/2026", "14/09/2026"], False),
        (["2026-05-09", "2026-06-09"], False),
    ],
)
def test_dates_that_a_spreadsheet_has_swapped_are_said(cells: list[Any], swapped: bool) -> None:
    assert look_swapped(cells) == swapped
    if all(isinstance(cell, str) for cell in cells):
        answer = parsed(listed(*(f"{cell},Invoice,{at},Ash,1.00" for at, cell in enumerate(cells))))
        assert any("swapped day and month" in one for one in answer["unsure"]) == swapped


# ---------------------------------------------------------------- amounts


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        *(("1,234.50", "1234.50"), ("$1,234.50", "1234.50"), ("1234.5", "1234.5")),
        *(("(500.00)", "-500"), ("$(250.00)", "-250"), ("($250.00)", "-250")),
        *(("-$250.00", "-250"), ("$-250.00", "-250"), ("- $250.00", "-250")),
        *(("-129.73", "-129.73"), ("129.73-", "-129.73"), ("129.73 -", "-129.73")),
        *(("−129.73", "-129.73"), ("(−5.00)", "-5")),
        *(("129.73 CR", "-129.73"), ("129.73cr", "-129.73"), ("129.73 Cr.", "-129.73")),
        *(("129.73 DR", "129.73"), ("(129.73) DR", "-129.73")),
        *(("USD 1,234.50", "1234.50"), ("1,234.50 USD", "1234.50"), ("C$5.00", "5")),
        *(("£5", "5"), ("US$ 5", "5"), ("5.00 (USD)", "5")),
        *(("1'234.50", "1234.50"), ("1’234.50", "1234.50"), ("CHF 1’234.50", "1234.50")),
        *(("1\xa0234.50", "1234.50"), ("1\u202f234.50", "1234.50"), ("1 234.50", "1234.50")),
        *(("1,234.5678", "1234.5678"), ("10.120000", "10.12"), (".50", "0.5"), ("5.", "5")),
        *(("=123.45", "123.45"), ("=-123.45", "-123.45"), ("0.00", "0")),
        *(("1,234", "1234"), ("1,234,567", "1234567")),
    ],
)  # fmt: skip
def test_an_amount_with_a_decimal_point(cell: str, amount: str) -> None:
    assert amounts([cell], decimal_comma=False) == [int(Decimal(amount) * UNIT)]


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        *(("1.960,17", "1960.17"), ("2.300,00 $", "2300"), ("1 234,50", "1234.50")),
        *(("1\u202f234,50 €", "1234.50"), ("EUR 1.234,50", "1234.50"), ("1'234,50", "1234.50")),
        *(("(500,00)", "-500"), ("129,73-", "-129.73"), ("129,73 CR", "-129.73")),
        *(("1.234", "1234"), ("1.234.567", "1234567"), (",50", "0.5"), ("950", "950")),
    ],
)  # fmt: skip
def test_an_amount_with_a_decimal_comma(cell: str, amount: str) -> None:
    assert amounts([cell], decimal_comma=True) == [int(Decimal(amount) * UNIT)]


@pytest.mark.parametrize("decimal_comma", [True, False])
@pytest.mark.parametrize(
    "cell",
    [
        *("", " ", "-", "$ -", "n/a", "five", "5 %", "50%", "12/31", "12-5", "1e5", "7.1E+13"),
        *("1,23,456.00", "1.23.456,00", "1,2345.00", "1.2345,00", "1,234.56789", "1.234,56789"),
        *("=1+2", "=SUM(A1:A2)", "5.00.", "¼", "²", "1234567890123456", "+1 555 0100"),
        *(True, None, float("nan"), float("inf"), 1e16),
    ],
)
def test_what_is_no_amount(cell: Any, decimal_comma: bool) -> None:
    assert amounts([cell], decimal_comma) == [None]


@pytest.mark.parametrize("cell", ["1.234,50", "12,5", "1.234.567"])
def test_an_amount_of_the_other_convention_is_none(cell: str) -> None:
    """Rather no amount than one that is a hundred times too large."""
    assert amounts([cell], decimal_comma=False) == [None]
    swapped = cell.translate({ord(","): ".", ord("."): ","})
    assert amounts([swapped], decimal_comma=True) == [None]


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (["1.234,50"], (True, False)),
        (["1,234.50"], (False, False)),
        (["12,50", "1.234"], (True, False)),
        (["12.50", "1,234"], (False, False)),
        (["1.234.567"], (True, False)),
        (["1,234,567"], (False, False)),
        (["1234.567", "0.125"], (False, False)),
        (["1,234.50", "12,50", "13.50"], (False, False)),
        (["1,234 USD", "$2,000"], (None, False)),  # a name of a currency is no decimals
        (["1,234"], (None, False)),
        (["950", "", "n/a", 12.5], (None, False)),
        (["1.234", "950"], (True, True)),  # rather thousands than three decimals, but who knows
    ],
)
def test_the_whole_column_decides_what_a_comma_is(cells: list[Any], told: tuple[Any, ...]) -> None:
    assert comma_is_decimal([cells]) == told


@pytest.mark.parametrize(
    ("cells", "read", "unsure"),
    [
        (["1,234 USD", "2,000 USD"], ["1234.00", "2000.00"], False),
        (["1.234", "2.500"], ["1234.00", "2500.00"], True),
        (['"1,234"', '"2,500"'], ["1234.00", "2500.00"], False),
        (["1.234", "2.5"], ["1.23", "2.50"], False),
    ],
)
def test_thousands_alone(cells: list[str], read: list[str], unsure: bool) -> None:
    quoted = [f'"{cell}"' if "," in cell and '"' not in cell else cell for cell in cells]
    answer = parsed(
        listed(*(f"2026-09-0{at + 1},Invoice,{at},A,{one}" for at, one in enumerate(quoted)))
    )
    assert documents(answer, "amount") == read
    assert bool(answer["unsure"]) == unsure


MONEY = st.decimals(min_value=-(10**13), max_value=10**13, places=2)


@given(MONEY, st.sampled_from(["{}", "${}", "USD {}", "{} USD", " {} "]), st.booleans())
def test_no_cent_is_lost(amount: Decimal, form: str, decimal_comma: bool) -> None:
    written = f"{abs(amount):,.2f}"
    if decimal_comma:
        written = written.translate({ord(","): ".", ord("."): ","})
    exact = int(amount * UNIT)
    negative = ["-{}", "({})", "{}-", "{} CR"] if amount < 0 else ["{}"]
    for sign in negative:
        cell = form.format(sign.format(written))
        if "CR USD" in cell:
            continue
        assert amounts([cell], decimal_comma) == [exact], cell
        told, _ = comma_is_decimal([[cell]])
        assert told is decimal_comma, cell


@given(MONEY)
def test_no_cent_is_lost_in_a_workbook(amount: Decimal) -> None:
    """Excel keeps floats: the nearest to 0.1 + 0.2 is not 0.3."""
    assert amounts([float(amount), amount], False) == [int(amount * UNIT)] * 2


def test_floats_are_what_excel_shows() -> None:
    assert amounts([0.1 + 0.2, 1.005, 2.675, 1e-9, 3], False) == [3_000, 10_050, 26_750, 0, 30_000]


# ---------------------------------------------------------------- periods


@pytest.mark.parametrize(
    ("line", "period"),
    [
        ("All Dates", (None, None)),
        ("January 2026", ("2026-01-01", "2026-01-31")),
        ("Feb 2024", ("2024-02-01", "2024-02-29")),
        ("2026", ("2026-01-01", "2026-12-31")),
        ("January - March, 2026", ("2026-01-01", "2026-03-31")),
        ("Dec 2025 - Jan 2026", ("2025-12-01", "2026-01-31")),
        ("January 1 - March 31, 2026", ("2026-01-01", "2026-03-31")),
        ("December 15, 2025 - January 14, 2026", ("2025-12-15", "2026-01-14")),
        ("October 1 through 15, 2026", ("2026-10-01", "2026-10-15")),
        ("1-15 September 2026", ("2026-09-01", "2026-09-15")),
        ("Sept. 1, 2026 - Sept. 30, 2026", ("2026-09-01", "2026-09-30")),
        ("For the period 1 Sep 2026 to 30 Sep 2026", ("2026-09-01", "2026-09-30")),
        ("For the month ended 31 August 2026", ("2026-08-01", "2026-08-31")),
        ("From 2026-01-01 to 2026-03-31", ("2026-01-01", "2026-03-31")),
        ("1/1/2026 - 3/31/2026", ("2026-01-01", "2026-03-31")),
        ("01/03/2026 - 31/03/2026", ("2026-03-01", "2026-03-31")),
        ("01.03.2026 - 05.03.2026", ("2026-03-01", "2026-03-05")),
        ("As of March 31, 2026", (None, "2026-03-31")),
        ("As at 31 March 2026", (None, "2026-03-31")),
        ("Through March 31, 2026", (None, "2026-03-31")),
        ("until 31/03/2026", (None, "2026-03-31")),
        *((line, None) for line in ("May", "March Freight", "May 2026 Freight", "Ashgrove 2026")),
        *((line, None) for line in ("Last month", "Since March 1, 2026", "", "Feb 30, 2026")),
        ("March 31, 2026 - March 1, 2026", None),
        ("As of March 31, 2026" + " " * 100, None),  # whatever is that long is a text
        ("Thursday, October 1, 2026 09:12 AM GMT-04:00", None),
    ],
)
def test_the_period_above_the_headings(
    line: str, period: tuple[str | None, str | None] | None
) -> None:
    assert period_of(line) == period


def test_a_period_is_written_like_the_dates_below_it() -> None:
    """Else documents of January would count as missing from a report of March."""
    rows = ("02/03/2026,Invoice,1,Ash,1.00", "15/03/2026,Invoice,2,Ash,1.00")
    answer = parsed("Invoice List\n01/03/2026 - 05/04/2026\n\n" + listed(*rows))
    assert (answer["start"], answer["end"]) == ("2026-03-01", "2026-04-05")
