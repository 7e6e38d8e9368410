"""How a file is read is asked once, and remembered for files with the same headings."""

import pytest
from sqlalchemy import func, select

from synchist.accounts import NotAllowed, Principal
from synchist.db.engine import reading
from synchist.db.tables import export_reading
from synchist.reconciliation.mappings import Remembered, remember, remembered
from synchist.reconciliation.report import Coverage, Reading
from tests.conftest import Database

HEADINGS = ["Wann", "Beleg", "Wieviel", ""]
READING = Reading(1, 3, {"date": 0, "reference": 1, "amount": 2}, True, None, "bill", Coverage.OPEN)


def found(entity: str, *rows: list[str], first: int = 1) -> Remembered | None:
    with reading() as connection:
        return remembered(connection, entity, rows, first)


def test_the_answer_is_remembered_by_headings_and_entity(
    database: Database, analyst: Principal
) -> None:
    assert found("bill", HEADINGS) is None
    remember(analyst, "bill", HEADINGS, READING)
    again = found("bill", HEADINGS, first=3)
    assert again is not None
    assert (again.reading, again.actor) == (READING, "Ada")
    assert found("invoice", HEADINGS) is None
    assert found("bill", ["Wann", "Beleg", "Wer"]) is None
    assert found("bill") is None


def test_headings_are_the_same_in_another_case_and_on_another_row(
    database: Database, analyst: Principal
) -> None:
    remember(analyst, "bill", HEADINGS, READING)
    again = found("bill", ["A report"], [], ["WANN", " beleg ", "Wieviel"])
    assert again is not None
    assert again.reading == Reading(**{**vars(READING), "header": 3})


def test_the_last_answer_counts_and_none_is_lost(database: Database, analyst: Principal) -> None:
    remember(analyst, "bill", HEADINGS, READING)
    corrected = Reading(0, 3, {"date": 1, "amount": 2})
    remember(analyst, "bill", HEADINGS, corrected)
    again = found("bill", HEADINGS, first=3)
    assert again is not None
    assert again.reading == corrected
    with reading() as connection:
        assert connection.scalar(select(func.count()).select_from(export_reading)) == 2


def test_who_may_not_teaches_nothing(database: Database, visitor: Principal) -> None:
    with pytest.raises(NotAllowed):
        remember(visitor, "bill", HEADINGS, READING)
    assert found("bill", HEADINGS) is None
