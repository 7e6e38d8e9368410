"""Books that are closed: entered by a person, learnt from refusals, and what lies in there."""

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from synchist import closed_books, export, problems, queries
from synchist.accounts import NotAllowed, Principal
from synchist.closed_books import Closed, InvalidLockDate, set_lock_date
from synchist.db.engine import reading
from synchist.db.tables import access_event
from synchist.db.tables import connection as connection_table
from synchist.db.types import moment_text
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.filters import EARLIEST, Filters, Window, today
from synchist.history import load_record
from synchist.statuses import SyncStatus
from tests.changes import OPERATOR, attempt, quoted, run, sets
from tests.conftest import Database
from tests.test_export import opened
from tests.world import World, noon

PENDING, COMPLETE, FAILED = SyncStatus
CLOSED = "6200: The account period has closed. The closing date is in the past."
QUICKBOOKS, XERO = "QuickBooks US", "Xero Canada"
every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)


def ago(days: int) -> date:
    return today() - timedelta(days=days)


def dated(entity: Entity, world: World, story: str, day: date | None) -> str:
    return sets(
        entity, world.records(entity.key)[story], {"accounting_date": day and day.isoformat()}
    )


def told(database: Database, world: World, day: date | None, name: str = QUICKBOOKS) -> None:
    """What a job writes where the accounting system says when its books are closed."""
    value = quoted(day and day.isoformat())
    run(
        database,
        f"UPDATE connection SET lock_date = {value} WHERE id = {world.connection[name]}",
    )


def days(world: World, name: str = QUICKBOOKS) -> tuple[date | None, date | None]:
    """What is entered or told, and what is learnt."""
    of = connection_table.c
    with reading() as connection:
        row = connection.execute(
            select(of.lock_date, of.learnt_lock_date).where(of.id == world.connection[name])
        ).one()
    return row.lock_date, row.learnt_lock_date


def diagnose_all() -> None:
    while problems.catch_up():
        pass


def refused(
    database: Database,
    world: World,
    story: str,
    day: date,
    entity: Entity = INVOICES,
    error: str = CLOSED,
    minutes: int = 0,
    **more: Any,
) -> None:
    """The books refuse a record of that accounting date, and somebody looks why."""
    record = world.records(entity.key)[story]
    run(
        database,
        dated(entity, world, story, day),
        attempt(entity, record, error, minutes, **more),
    )
    diagnose_all()


def taken(database: Database, world: World, story: str, day: date, minutes: int) -> None:
    record = world.invoice[story]
    run(
        database,
        dated(INVOICES, world, story, day),
        attempt(INVOICES, record, None, minutes, sync_status=int(COMPLETE)),
    )


def found(world: World, entity: Entity, filters: Filters) -> set[str]:
    """The stories that a list shows; its count agrees."""
    with reading() as connection:
        frame = queries.load(connection, entity, filters)
        page = queries.load(connection, entity, filters, 100)
        total = queries.total(connection, entity, filters)
        all_of_them = queries.selectable(connection, entity, filters)
    assert list(frame.index) == list(page.index)
    assert total.count == len(frame) == len(all_of_them)
    names = {record: name for name, record in world.records(entity.key).items()}
    return {names[record] for record in frame.index}


# ---------------------------------------------------------------- marks


@every_entity
def test_open_records_up_to_the_later_of_both_days_are_marked(
    database: Database, world: World, entity: Entity
) -> None:
    """The day itself is closed as well; no date and no connection are not known to be."""
    run(
        database,
        dated(entity, world, "failed", ago(40)),
        dated(entity, world, "failed_twice", ago(39)),
        dated(entity, world, "failed_hostile", ago(50)),
        dated(entity, world, "failed_expired", ago(50)),  # of the other connection
        dated(entity, world, "failed_old", None),
        dated(entity, world, "pending", ago(41)),
        dated(entity, world, "complete", ago(60)),
        f"UPDATE connection SET lock_date = '{ago(45)}', learnt_lock_date = '{ago(40)}'"
        f" WHERE id = {world.connection[QUICKBOOKS]}",
    )
    failed = Filters(FAILED, Window.ALL, closed=True)
    assert found(world, entity, failed) == {"failed", "failed_hostile"}
    assert found(world, entity, Filters(PENDING, closed=True)) == {"pending", "pending_again"}
    assert found(world, entity, Filters(COMPLETE, Window.ALL, closed=True)) == set()

    run(database, "UPDATE connection SET learnt_lock_date = NULL")
    assert found(world, entity, failed) == {"failed_hostile"}
    told(database, world, None)
    assert found(world, entity, failed) == set()


def test_a_list_its_export_and_the_record_say_the_same(
    database: Database, world: World, analyst: Principal
) -> None:
    run(database, dated(INVOICES, world, "failed", ago(10)))
    told(database, world, ago(20))
    marks = {"failed": "", "failed_twice": "Closed"}
    with reading() as connection:
        frame = queries.load(connection, INVOICES, Filters())
        records = {
            story: load_record(connection, INVOICES, world.invoice[story]) for story in marks
        }
    _name, content = export.workbook(analyst, INVOICES, Filters())
    header, *rows = opened(content)["Invoices"].iter_rows(values_only=True)
    exported = {row[0]: row[header.index("Period")] or "" for row in rows}
    for story, mark in marks.items():
        record = records[story]
        assert record is not None
        assert frame.at[world.invoice[story], "period"] == mark
        assert (record.fields["period"], record.fields["closed_through"]) == (mark, ago(20))
        assert exported[record.fields["number"]] == mark


def test_complete_lists_have_no_such_column(database: Database, world: World) -> None:
    told(database, world, today())
    with reading() as connection:
        assert "period" not in queries.load(connection, INVOICES, Filters(COMPLETE))
        record = load_record(connection, INVOICES, world.invoice["complete"])
    assert record is not None
    assert record.fields["period"] == ""


def test_chosen_records_in_closed_books_are_told_by_connection(
    database: Database, world: World
) -> None:
    """Both kinds together, each with the day that counts."""
    told(database, world, ago(20))
    run(database, f"UPDATE connection SET learnt_lock_date = '{ago(30)}'")
    run(database, dated(BILLS, world, "failed", ago(5)))
    chosen = {
        "invoice": [world.invoice["failed"], world.invoice["failed_expired"]],
        "bill": [world.bill["failed"], world.bill["failed_twice"], world.bill["complete"]],
    }
    with reading() as connection:
        assert closed_books.closed(connection, {}) == []
        told_of = closed_books.closed(connection, chosen)
    assert told_of == [
        Closed(
            QUICKBOOKS,
            ago(20),
            {"bill": {world.bill["failed_twice"]}, "invoice": {world.invoice["failed"]}},
        ),
        Closed(XERO, ago(30), {"invoice": {world.invoice["failed_expired"]}}),
    ]
    assert [one.count for one in told_of] == [2, 1]


# ---------------------------------------------------------------- by hand


def test_a_person_enters_a_day_and_it_is_recorded(
    database: Database, world: World, analyst: Principal
) -> None:
    identity = world.connection[QUICKBOOKS]
    run(database, f"UPDATE connection SET learnt_lock_date = '{ago(3)}'")
    set_lock_date(analyst, identity, ago(20))
    assert days(world) == (ago(20), None)
    assert days(world, XERO) == (None, ago(3)), "another connection keeps what is its own"
    set_lock_date(analyst, identity, None)
    assert days(world) == (None, None)
    with reading() as connection:
        of = access_event.c
        events = connection.execute(
            select(of.actor, of.detail).where(of.kind == closed_books.ENTERED).order_by(of.id)
        ).all()
        who = {
            (name, day): closed_books.entered_by(connection, world.connection[name], day)
            for name in (QUICKBOOKS, XERO)
            for day in (None, ago(20))
        }
    about = f"connection {identity}, {QUICKBOOKS}: books closed through"
    assert [tuple(event) for event in events] == [
        ("Ada", f"{about} none (learnt: {ago(3)}) → {ago(20)}"),
        ("Ada", f"{about} {ago(20)} → none"),
    ]
    # A job that writes another day says so itself.
    assert {which for which, name in who.items() if name == "Ada"} == {(QUICKBOOKS, None)}


def test_what_makes_no_sense_changes_nothing(
    database: Database, world: World, visitor: Principal
) -> None:
    identity = world.connection[QUICKBOOKS]
    for day in (today() + timedelta(days=1), EARLIEST - timedelta(days=1)):
        with pytest.raises(InvalidLockDate):
            set_lock_date(OPERATOR, identity, day)
    with pytest.raises(InvalidLockDate):
        set_lock_date(OPERATOR, 4711, today())
    with pytest.raises(NotAllowed):
        set_lock_date(visitor, identity, today())
    assert days(world) == (None, None)


# ---------------------------------------------------------------- learnt


@every_entity
def test_refusals_teach_through_which_day_books_are_closed(
    database: Database, world: World, entity: Entity
) -> None:
    """The greatest accounting date that they have refused, of each connection apart."""
    refused(database, world, "failed", ago(40), entity)
    assert (days(world), days(world, XERO)) == ((None, ago(40)), (None, None))
    refused(database, world, "failed_twice", ago(35), entity)
    assert days(world) == (None, ago(35))
    refused(database, world, "failed_hostile", ago(50), entity)
    assert days(world) == (None, ago(35))


def test_other_failures_teach_nothing(database: Database, world: World) -> None:
    diagnose_all()
    refused(database, world, "failed", ago(40), error="Timeout")
    refused(database, world, "failed_twice", today() + timedelta(days=1))  # not open yet
    run(
        database,
        dated(INVOICES, world, "failed_hostile", None),
        attempt(INVOICES, world.invoice["failed_hostile"], CLOSED),
        # Not an attempt: somebody has written into the table.
        dated(INVOICES, world, "failed_old", ago(5)),
        sets(INVOICES, world.invoice["failed_old"], {"sync_error": CLOSED}),
    )
    diagnose_all()
    assert days(world) == (None, None)


def test_a_day_entered_later_stands_until_the_next_refusal(
    database: Database, world: World, analyst: Principal
) -> None:
    """Diagnosing anew must not bring back what a person has set aside."""
    refused(database, world, "failed", ago(40), sync_at=moment_text(noon(1)))
    set_lock_date(analyst, world.connection[QUICKBOOKS], None)
    run(database, "UPDATE diagnosis SET catalogue = 'older'")
    problems.rediagnose()
    assert days(world) == (None, None)
    in_a_moment = moment_text(noon(0) + timedelta(days=1))
    refused(database, world, "failed_twice", ago(45), sync_at=in_a_moment)
    assert days(world) == (None, ago(45))


def test_diagnosing_anew_learns_as_well(database: Database, world: World) -> None:
    refused(database, world, "failed", ago(40))
    run(
        database,
        "UPDATE connection SET learnt_lock_date = NULL",
        "UPDATE diagnosis SET catalogue = 'older'",
    )
    problems.rediagnose()
    assert days(world) == (None, ago(40))


def test_what_the_books_take_shows_that_they_are_open_again(
    database: Database, world: World
) -> None:
    refused(database, world, "failed", ago(40), minutes=1)
    taken(database, world, "failed_old", ago(40), minutes=0)  # before they were closed
    taken(database, world, "failed_twice", ago(39), minutes=2)  # after that day
    closed_books.forget_reopened()
    assert days(world) == (None, ago(40))
    taken(database, world, "failed_hostile", ago(40), minutes=3)
    closed_books.forget_reopened()
    assert days(world) == (None, None)
    run(database, "UPDATE diagnosis SET catalogue = 'older'")
    problems.rediagnose()
    assert days(world) == (None, None), "an old refusal teaches it again"
    refused(database, world, "failed", ago(40), minutes=4)
    assert days(world) == (None, ago(40))
