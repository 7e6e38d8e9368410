"""T8: a report that somebody uploads is read in a process of its own, and can't hurt the server."""

import subprocess
import sys

import pytest

from synchist.child import MOST_BYTES, TOO_MUCH, plain_name
from synchist.reconciliation.formulas import DEEPEST, values_of
from synchist.reconciliation.report import Reading, Report
from tests.conftest import ROOT
from tests.reconciliation.hostile import FILES, NAMES, answer, cells, csv
from tests.reconciliation.mutated import mutated

NAME = "report.xlsx"


TOO_LONG = f"{NAME} has more than 200,000 rows. Split it."
TOO_WIDE = f"{NAME} has more than 100 columns. Leave some out."
TOO_LARGE = f"{NAME} unpacks to more than 100 MB. Split it."
PROTECTED = f"{NAME} is protected by a password. Save it without one."
SHEETS = f"{NAME} has more than 200 sheets. Leave some out."
CUT = f"{NAME} ends in the middle. Export it again."

SAID = {
    "a bomb of one part": TOO_LARGE,
    "a bomb of many parts": TOO_LARGE,
    "one part a thousand times": TOO_LARGE,
    "encrypted parts": PROTECTED,
    "an encrypted workbook": PROTECTED,
    "the last cell alone": TOO_LONG,
    "the first cell and the last": TOO_LONG,
    "a list and a cell far below": TOO_LONG,
    "a list and a cell far to the right": TOO_WIDE,
    "a hundred thousand sheets": SHEETS,
    "a row far below": TOO_LONG,
    "a cell far to the right in each row": TOO_WIDE,
    "a row far below in each of many sheets": TOO_LONG,
    "a million cells": TOO_WIDE,
    "a million rows": TOO_LONG,
    "comments without end": CUT,
    "a quote that is never closed": f"{NAME} has a quote in line 3 that never ends."
    " Export it again.",
    "200,001 rows": TOO_LONG,
    "101 columns": TOO_WIDE,
    "amounts beyond what a column holds": "The amounts add up to more than any books hold. Check"
    " which column holds the amount.",
    "a byte too many": f"{NAME} is larger than 10 MB. Split it.",
}
"""What is said of those that have a reason of their own."""

LIMITED = (
    "a row of a thousand millions",
    "a row beyond what a machine counts",
    "a text of 32,000 signs a million times",
    "a text of ten millions a hundred times",
    "tags without end",
    "a million attributes of a cell",
)
"""Those that only the limits of the process stop; each within seconds."""


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_report_gives_a_report_or_a_sentence(name: str) -> None:
    content = FILES[name]()
    assert len(content) <= MOST_BYTES or name == "a byte too many"
    said = answer(content)
    if name in SAID:
        assert said == SAID[name]
    assert (said == TOO_MUCH.format(NAME)) == (name in LIMITED)


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_report_is_called(name: str) -> None:
    shown = plain_name(name)
    assert shown.isprintable()
    assert 0 < len(shown) <= 100
    report = answer(csv(), name)
    assert isinstance(report, Report)
    assert report.name == shown
    said = answer(b"\0", name)
    assert isinstance(said, str)
    assert said.startswith(shown)


@pytest.mark.parametrize(
    "reading",
    [
        Reading(99, 1, {"date": 0, "amount": 4}),
        Reading(-5, -5, {"date": -1, "amount": -1}),
        Reading(0, 10**9, {"date": 10**6, "amount": 0}),
        Reading(0, 1, {}),
        Reading(0, 2, dict.fromkeys(("date", "type", "reference", "amount", "also"), 4)),
    ],
)
def test_whatever_is_said_of_its_columns(reading: Reading) -> None:
    said = answer(csv(), reading=reading)
    assert said != TOO_MUCH.format(NAME)


def test_as_much_as_may_be() -> None:
    """What is just within the limits is read."""
    report = answer(csv(*[cells(Num=str(number)) for number in range(199_998)]))
    assert isinstance(report, Report)
    assert (report.rows_read, report.used) == (200_000, 199_999)
    wide = (
        b"Date,Type,Num,Amount" + b"," * 96 + b"Last\n1/31/2026,Invoice,1,2.00" + b"," * 96 + b"x"
    )
    report = answer(wide)
    assert isinstance(report, Report)
    assert (len(report.headings), report.used) == (100, 1)


# ---------------------------------------------------------------- formulas


def worked_out(*formulas: str) -> list[object]:
    """What formulas in the first column come to; blank where they are left alone."""
    rows = values_of([[""] for _ in formulas], {(at, 0): one for at, one in enumerate(formulas)})
    return [float(row[0]) if row[0] != "" else "" for row in rows]


def test_formulas_as_deep_as_reports_need() -> None:
    assert worked_out("(" * 50 + "7" + ")" * 50) == [7]
    assert worked_out(*(f"A{row}+1" for row in range(2, 41)), "1")[0] == 40
    assert worked_out("(" * 30 + "A2" + ")" * 30, "(" * 30 + "A3" + ")" * 30, "7") == [7, 7, 7]


def test_formulas_deeper_than_that_are_left_alone() -> None:
    assert worked_out("(" * DEEPEST + "7" + ")" * DEEPEST) == [""]
    assert worked_out("-" * 8_000 + "7", "SUM(" * 1_000 + "7" + ")" * 1_000, "1") == ["", "", 1]
    around = "(" * 60 + "A{}" + ")" * 60
    assert worked_out(around.format(2), around.format(3), "7") == ["", "", 7]


def test_sums_visit_so_many_cells_and_no_more() -> None:
    rows = [[1.0, ""] for _ in range(200_000)]
    values_of(rows, {(row, 1): "SUM(A1:A200000)" for row in range(100)})
    assert [row[1] for row in rows[:12]] == [200_000] * 5 + [""] * 7


def test_numbers_stay_within_bounds() -> None:
    huge = ("1E999", "9E30*9E30", "1/0", "0/0", "ROUND(1E30,10)", "1E-999999999", "9" * 5_000)
    assert worked_out(*huge) == ["", "", "", "", "", 0, ""]
    assert values_of([[float("nan"), ""]], {(0, 1): "A1+1"})[0][1] == ""


# ---------------------------------------------------------------- spoilt reports


def test_spoilt_reports_give_a_report_or_a_sentence() -> None:
    """Each row of a report is used or left out for a reason, whatever bytes are wrong."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.reconciliation.mutated", "0", "500"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.splitlines() == ["done 500"], done.stderr[-500:]


@pytest.mark.parametrize("seed", range(5))
def test_a_spoilt_report_in_the_process_of_its_own(seed: int) -> None:
    answer(mutated(seed)[1])
