"""Records as they stood at a past moment: the same as a copy taken then, by every list."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from io import BytesIO
from random import Random
from time import sleep
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest
from openpyxl import load_workbook
from sqlalchemy import select

from synchist import queries
from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.db.types import moment_text, utc_now
from synchist.entities import BILL_PAYMENTS, ENTITIES, INVOICES, Entity, as_of
from synchist.export import workbook
from synchist.filters import Filters, Window, moment_words, today
from synchist.queries import Counts, Past
from synchist.settings import settings
from synchist.status_changes import Change, undo
from synchist.statuses import SyncStatus
from tests.changes import OPERATOR, TO_PENDING, attempt, move, run, sets, ticked, to
from tests.conftest import Database
from tests.test_queries import add, diagnosed, load, some_filters, total
from tests.world import World

PENDING, COMPLETE, FAILED = SyncStatus
every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)


UNTOLD = {"waits", "blocked_by", "period", "owner", "note"}
"""Columns that nobody knows of the past."""


def past_filters(entity: Entity, chance: Random) -> Filters:
    """Any filters that can be asked of the past."""
    return replace(some_filters(entity, chance), waits=None, closed=False, owner=None)


def now() -> datetime:
    """The present moment, and none of what is written afterwards: SQLite's clock knows
    thousandths of a second only."""
    sleep(0.003)
    moment = utc_now()
    sleep(0.003)
    return moment


def rows(entity: Entity) -> dict[int, Mapping[Any, Any]]:
    """Every record in the columns that lists of the past read."""
    kept = [column.name for column in as_of(entity, utc_now()).rows.c if column.name != "at"]
    with reading() as connection:
        found = connection.execute(select(*(entity.rows.c[name] for name in kept))).mappings()
        return {one["id"]: dict(one) for one in found}


def rows_as_of(entity: Entity, moment: datetime) -> dict[int, Mapping[Any, Any]]:
    with reading() as connection:
        found = connection.execute(select(as_of(entity, moment).rows)).mappings()
        return {
            one["id"]: {name: value for name, value in one.items() if name != "at"} for one in found
        }


def same(past: pd.DataFrame, copy: pd.DataFrame) -> None:
    """Row by row, in order, in the columns that the past has."""
    assert set(copy.columns) - set(past.columns) <= UNTOLD
    pd.testing.assert_frame_equal(past, copy[list(past.columns)])


@every_entity
def test_as_of_now_is_the_present(database: Database, world: World, entity: Entity) -> None:
    """Fifty random filters of each entity: rows and order, of some pages, numbers and sums too."""
    diagnosed()
    chance = Random(entity.key)
    moment, found = now(), 0
    assert rows_as_of(entity, moment) == rows(entity)
    with reading() as connection:
        for turn in range(50):
            filters = past_filters(entity, chance)
            then = replace(filters, as_of=moment)
            present = queries.load(connection, entity, filters)
            found += len(present) > 0
            same(queries.load(connection, entity, then), present)
            assert queries.total(connection, entity, then).count == len(present)
            if turn % 5:
                continue
            page = chance.choice([(2, 0), (2, 2), (1, 3)])
            same(queries.load(connection, entity, then, *page), present.iloc[page[1] :][: page[0]])
            for numbers in (queries.counts, queries.everywhere):
                assert numbers(connection, entity, then) == numbers(connection, entity, filters)
    assert found > 5


@dataclass(frozen=True)
class Copy:
    """The records at a moment: as they stood, and as lists of some filters showed them."""

    moment: datetime
    rows: Mapping[str, Mapping[int, Mapping[Any, Any]]]
    lists: list[tuple[Entity, Filters, pd.DataFrame, Counts]]


def counts(entity: Entity, filters: Filters) -> Counts:
    with reading() as connection:
        return queries.counts(connection, entity, filters)


def copied(chance: Random) -> Copy:
    diagnosed()
    lists = []
    for entity in ENTITIES:
        for _ in range(5):
            filters = past_filters(entity, chance)
            lists.append((entity, filters, load(entity, filters), counts(entity, filters)))
    return Copy(now(), {entity.key: rows(entity) for entity in ENTITIES}, lists)


class Days:
    """Random days of jobs, people and the TMS."""

    def __init__(self, database: Database, world: World, chance: Random) -> None:
        self.database, self.world, self.chance = database, world, chance
        self.done: list[tuple[Entity, list[int], str]] = []

    def go_on(self) -> None:
        """Something happens."""
        entity = self.chance.choice(ENTITIES)
        records = list(self.world.records(entity.key).values())
        some = self.chance.sample(records, self.chance.randint(1, 4))
        happening: Callable[[Entity, list[int]], None] = self.chance.choice(
            [self.job, self.job, self.tms, self.tms, self.person, self.taken_back, self.born]
        )
        happening(entity, some)

    def job(self, entity: Entity, some: list[int]) -> None:
        for record in some:
            status = self.chance.choice([*SyncStatus])
            error = None if status is COMPLETE else self.chance.choice(["Timeout", "No such tax"])
            values: dict[str, object] = {
                "sync_status": int(status),
                "sync_at": moment_text(utc_now()),
                "sync_reference": self.chance.choice([None, "QB-5099"]),
                "synced_amount": self.chance.choice([None, 100]),
            }
            run(self.database, attempt(entity, record, error, **values))

    def tms(self, entity: Entity, some: list[int]) -> None:
        changes: list[dict[str, object]] = [
            {"amount": self.chance.randint(1, 9) * 100},
            {"number": f"N-{self.chance.randint(1, 99)}"},
            {"tms_status": self.chance.choice(["Draft", "Approved"])},
            {"accounting_date": str(today() - timedelta(days=self.chance.randint(0, 60)))},
            {"connection_id": self.chance.choice([None, *self.world.connection.values()])},
            {"billing_organization_id": self.world.organization["Harbor Point Toronto"]},
        ]
        for record in some:
            run(self.database, sets(entity, record, self.chance.choice(changes)))

    def person(self, entity: Entity, some: list[int]) -> None:
        change: Change = self.chance.choice([TO_PENDING, to(COMPLETE)])
        receipt = move(OPERATOR, ticked(entity, *some), change)
        self.done.append((entity, some, receipt.operation_id))

    def taken_back(self, _entity: Entity, _some: list[int]) -> None:
        if self.done:
            entity, some, operation = self.done.pop()
            undo(OPERATOR, str(uuid4()), operation, {entity.key: some})

    def born(self, entity: Entity, some: list[int]) -> None:
        add(entity, some[0], tms_id=str(uuid4()), created_at=utc_now())


def test_a_past_moment_is_a_copy_taken_then(database: Database, world: World) -> None:
    """Rows and lists, while jobs, people and the TMS go on, and after operations are undone; other
    days on each database."""
    chance = Random(database.dialect)
    days, copies = Days(database, world, chance), []
    for _ in range(6):
        copies.append(copied(chance))
        for _ in range(6):
            days.go_on()
    assert any(copy.rows != copies[0].rows for copy in copies)
    for copy in copies:
        for entity in ENTITIES:
            then = rows_as_of(entity, copy.moment)
            assert then == copy.rows[entity.key]
        for entity, filters, frame, its_counts in copy.lists:
            then_too = replace(filters, as_of=copy.moment)
            same(load(entity, then_too), frame)
            assert counts(entity, then_too) == its_counts


def test_the_newest_are_found_however_far_back(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages that look at a few of the newest events first: most of those led nowhere."""
    for minutes in range(1, 9):
        job = attempt(INVOICES, world.invoice["complete"], minutes=minutes)
        run(database, job)
    filters = Filters(window=Window.ALL)
    # The job's own times, so that they are there whatever time it is.
    then = replace(filters, as_of=utc_now() + timedelta(days=1))
    whole = load(INVOICES, filters)
    for start in range(len(whole) + 1):
        same(load(INVOICES, then, 2, start), whole.iloc[start : start + 2])


def test_nothing_of_the_past_can_be_selected(database: Database, world: World) -> None:
    for entity in ENTITIES:
        for limit in (None, 1):
            with reading() as connection, pytest.raises(Past, match="Go back to now first"):
                queries.selectable(connection, entity, Filters(as_of=utc_now()), limit)


def test_what_history_does_not_hold_is_left_out_or_labelled(
    database: Database, world: World
) -> None:
    for entity in ENTITIES:
        then = as_of(entity, utc_now())
        past = {column.key: column.label for column in then.columns}
        present = {column.key: column.label for column in entity.columns}
        assert set(present) - set(past) == UNTOLD & set(present)
        now_only = {key for key, label in past.items() if label == f"{present[key]} (now)"}
        assert now_only == set(past) - {key for key, label in past.items() if label == present[key]}
        assert now_only & {"due_date", "memo"}
        assert then.blocking is None
    blocked = Filters(status=PENDING, blocked=True, waits=BILL_PAYMENTS.waiting[0])
    then_too = replace(blocked, as_of=now())
    assert len(load(BILL_PAYMENTS, then_too)) == total(BILL_PAYMENTS, then_too).count == 3
    assert "because" not in then_too.sentence(BILL_PAYMENTS)
    assert "blocked" not in then_too.sentence(BILL_PAYMENTS)


def test_an_export_is_what_the_page_shows(
    database: Database, world: World, analyst: Principal
) -> None:
    before = Filters(window=Window.ALL, as_of=now())
    page = load(INVOICES, before)
    run(
        database,
        sets(INVOICES, world.invoice["failed"], {"amount": 1, "number": "LATER"}),
        # Afterwards at any hour of the day.
        attempt(
            INVOICES,
            world.invoice["failed_twice"],
            None,
            sync_status=int(COMPLETE),
            sync_at=moment_text(utc_now()),
        ),
    )
    assert len(load(INVOICES, replace(before, as_of=None))) == len(page) - 1
    name, content = workbook(analyst, INVOICES, before)
    assert before.as_of is not None
    local = before.as_of.astimezone(settings().zone)
    assert name.startswith(f"Invoices Failed all dates as of {local:%Y-%m-%d %H%M} exported ")
    book = load_workbook(BytesIO(content))
    headers, *lines = book["Invoices"].iter_rows(values_only=True)
    columns = before.of(INVOICES).shown(FAILED)
    assert list(headers) == [column.label for column in columns]
    shown = queries.readable(page, columns)
    for key, position in (("number", 0), ("party", 1), ("amount", 2)):
        assert [line[position] for line in lines] == shown[key].tolist()
    about = dict(row[:2] for row in book["About"].iter_rows(values_only=True))
    assert about["As of"] == moment_words(before.as_of)
    assert "as they stood on" in about["What"]
    assert about["Rows"] == len(page)
