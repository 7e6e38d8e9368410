"""What a sync job may rely on: plain SQL over a plain connection of any driver."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from synchist.db.engine import reading
from synchist.db.tables import sync_event
from synchist.db.types import moment_text
from synchist.entities import ENTITIES, Entity
from tests.conftest import POSTGRESQL, SQLITE, Database
from tests.world import World, noon

every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)
NOW = moment_text(noon(0))
LATER = moment_text(noon(0) + timedelta(minutes=5))


def run(connection: Any, statement: str) -> list[tuple[Any, ...]]:
    """One statement of a job, in a transaction of its own."""
    cursor = connection.cursor()
    cursor.execute(statement)
    found = cursor.fetchall() if cursor.description else []
    connection.commit()
    return found


def outcome(entity: Entity, record: int, status: int, at: str, error: str | None = None) -> str:
    """The one UPDATE with which a job reports what became of its attempt."""
    said = "NULL" if error is None else f"'{error}'"
    return (
        f"UPDATE {entity.key} SET sync_status = {status}, sync_at = '{at}', sync_error = {said},"
        f" sync_reference = 'QB-1', synced_amount = 100 WHERE id = {record}"
    )


def latest(entity: Entity, record: int) -> tuple[Any, ...]:
    """The newest event of a record, which a job can't see itself."""
    of = sync_event.c
    with reading() as connection:
        found = connection.execute(
            select(of.version, of.kind, of.sync_status, of.sync_error, of.closed_reason)
            .where(of.entity == entity.key, of.record_id == record)
            .order_by(of.version.desc())
            .limit(1)
        ).one()
        return tuple(found)


@every_entity
def test_a_plain_update_appends_its_event(database: Database, world: World, entity: Entity) -> None:
    record = world.records(entity.key)["pending"]
    with database.bare() as job:
        run(job, outcome(entity, record, 2, NOW, "No such account"))
        assert latest(entity, record) == (2, "attempt", 2, "No such account", None)
        assert run(
            job,
            f"SELECT version, sync_at = outcome_at FROM {entity.key} WHERE id = {record}",
        ) == [(2, True)]


def test_the_same_failure_twice_is_two_attempts(database: Database, world: World) -> None:
    entity, record = ENTITIES[0], world.invoice["pending"]
    with database.bare() as job:
        run(job, outcome(entity, record, 2, NOW, "Timeout"))
        run(job, outcome(entity, record, 2, LATER, "Timeout"))
    with database.owner() as reader:
        assert run(
            reader,
            "SELECT version, kind, sync_error FROM sync_event"
            f" WHERE entity = 'invoice' AND record_id = {record} ORDER BY version",
        ) == [(1, "created", None), (2, "attempt", "Timeout"), (3, "attempt", "Timeout")]


@every_entity
@pytest.mark.parametrize(("status", "error"), [(2, "Timeout"), (1, None)])
def test_an_attempt_on_a_closed_record_counts_and_opens_it(
    database: Database, world: World, entity: Entity, status: int, error: str | None
) -> None:
    record = world.records(entity.key)["closed"]
    with database.bare() as job:
        assert latest(entity, record)[1:3] == ("operation", 1)
        run(job, outcome(entity, record, status, NOW, error))
        assert latest(entity, record) == (4, "attempt", status, error, None)
        assert run(job, f"SELECT closed_reason FROM {entity.key} WHERE id = {record}") == [(None,)]


def test_a_status_moved_without_an_attempt_is_unexplained(database: Database, world: World) -> None:
    entity, record = ENTITIES[0], world.invoice["closed"]
    with database.bare() as job:
        run(job, f"UPDATE invoice SET sync_status = 0 WHERE id = {record}")
        version, kind, status, _, closed_reason = latest(entity, record)
        assert (version, kind, status, closed_reason) == (4, "direct", 0, None)


def test_a_change_in_the_tms_leaves_the_outcome_where_it_was(
    database: Database, world: World
) -> None:
    entity, record = ENTITIES[2], world.bill["failed"]
    with database.tms() as tms:
        was = run(tms, f"SELECT outcome_at FROM bill WHERE id = {record}")
        run(tms, f"UPDATE bill SET amount = amount + 1, tms_status = 'Ready' WHERE id = {record}")
        assert latest(entity, record)[:3] == (3, "tms", 2)
        assert run(tms, f"SELECT outcome_at FROM bill WHERE id = {record}") == was


def test_an_error_of_100_kilobytes_is_kept_whole(database: Database, world: World) -> None:
    entity, record = ENTITIES[0], world.invoice["pending"]
    with database.bare() as job:
        run(job, outcome(entity, record, 2, NOW, "x" * 100_000))
        assert latest(entity, record)[3] == "x" * 100_000


def test_a_lost_transaction_leaves_neither_status_nor_event(
    database: Database, world: World
) -> None:
    entity, record = ENTITIES[0], world.invoice["pending"]
    with database.bare() as job:
        job.cursor().execute(outcome(entity, record, 1, NOW))
        job.rollback()
        assert latest(entity, record)[:3] == (1, "created", 0)


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_two_jobs_claim_different_records(database: Database, world: World) -> None:
    claim = (
        "SELECT id FROM invoice WHERE sync_status = 0 AND tms_status <> 'Draft'"
        " ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
    )
    with database.bare() as first, database.bare() as second:
        claimed = [job.execute(claim).fetchone()[0] for job in (first, second)]
        assert claimed == sorted([world.invoice["pending"], world.invoice["pending_again"]])
        assert database_answers_nothing_to_a_third(database, claim)
        for job, record in zip((first, second), claimed, strict=True):
            job.execute(outcome(ENTITIES[0], record, 1, NOW))
            job.commit()
            assert latest(ENTITIES[0], record)[1:3] == ("attempt", 1)


def database_answers_nothing_to_a_third(database: Database, claim: str) -> bool:
    with database.bare() as third:
        return third.execute(claim).fetchone() is None


@pytest.mark.parametrize("database", [SQLITE], indirect=True)
def test_jobs_of_several_threads_lose_nothing(database: Database, world: World) -> None:
    record = world.invoice["pending"]

    def attempt(number: int) -> None:
        with database.bare() as job:
            for again in range(10):
                at = moment_text(datetime(2026, 1, 1 + number, 0, again, tzinfo=UTC))
                run(job, outcome(ENTITIES[0], record, 2, at, f"Timeout {number}.{again}"))

    jobs = [threading.Thread(target=attempt, args=(number,)) for number in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert latest(ENTITIES[0], record)[0] == 41


# ---------------------------------------------------------------- bad values

REFUSED = {
    "an unknown status": "sync_status = 7",
    "a negative status": "sync_status = -1",
    "no status": "sync_status = NULL",
    "Failed without an error": f"sync_status = 2, sync_error = NULL, sync_at = '{NOW}'",
    "Failed with an empty error": f"sync_status = 2, sync_error = '', sync_at = '{NOW}'",
    "a currency in lower case": "currency = 'usd'",
    "a currency of two letters": "currency = 'US'",
    "no amount": "amount = NULL",
    "no number": "number = NULL",
    "no TMS status": "tms_status = NULL",
    "an amount in words": "amount = 'a lot'",
    "a status in words": "sync_status = 'Failed'",
    "a sync date in words": "sync_at = 'yesterday, 5 o''clock'",
    "a day that is none": "accounting_date = '2026-13-45'",
    "a moment that is none": "sync_at = '2026-02-30 12:00:00.000000'",
}

REFUSED_BY_SQLITE = {
    # PostgreSQL rounds or reads these, since its columns have types.
    "a fraction of a cent": "amount = 1234.5",
    "a fraction of a synced cent": "synced_amount = 1234.5",
    "an amount out of range": "amount = 1e30",
    "a moment without fractions": "sync_at = '2026-11-22 12:00:00'",
    "a moment with a T": "sync_at = '2026-11-22T12:00:00.000000'",
    "a moment with an offset": "sync_at = '2026-11-22 12:00:00.000000+00:00'",
    "a moment in milliseconds": "sync_at = '2026-11-22 12:00:00.000'",
    "a moment as a number": "sync_at = 1795348800",
    "a day with a time": "accounting_date = '2026-11-22 12:00:00'",
    "a day as a number": "accounting_date = 20261122",
    "a day of another country": "accounting_date = '11/22/2026'",
}


def refused(database: Database, record: int, change: str) -> None:
    with database.owner() as job:
        with pytest.raises(database.refusals):
            job.cursor().execute(f"UPDATE invoice SET {change} WHERE id = {record}")
        job.rollback()
        assert latest(ENTITIES[0], record)[0] == 1


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_bad_values_are_refused(database: Database, world: World, change: str) -> None:
    refused(database, world.invoice["pending"], change)


@pytest.mark.parametrize("database", [SQLITE], indirect=True)
@pytest.mark.parametrize("change", REFUSED_BY_SQLITE.values(), ids=REFUSED_BY_SQLITE.keys())
def test_sqlite_refuses_other_forms(database: Database, world: World, change: str) -> None:
    refused(database, world.invoice["pending"], change)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO charge_line (position, description, amount) VALUES (1, 'Of nothing', 1)",
        "INSERT INTO charge_line (invoice_id, bill_id, position, description, amount)"
        " VALUES (1, 1, 1, 'Of both', 1)",
        "UPDATE connection SET state = 'maybe'",
        f"INSERT INTO account (login, name, created_at) VALUES ('Ada', 'Ada', '{NOW}')",
        "INSERT INTO organization (tms_id, name) VALUES ('ORG-1', 'There already')",
    ],
)
def test_bad_rows_are_refused(database: Database, world: World, statement: str) -> None:
    with database.owner() as job, pytest.raises(database.refusals):
        job.cursor().execute(statement)


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_postgresql_rounds_no_moment(database: Database, world: World) -> None:
    """Microseconds survive, whatever the session's time zone."""
    record = world.invoice["pending"]
    with database.bare() as job:
        job.execute("SET timezone = 'Asia/Tokyo'")
        job.execute(
            "UPDATE invoice SET sync_status = 1, sync_at = '2026-11-22 12:00:00.123456+00'"
            f" WHERE id = {record}"
        )
        job.commit()
        (at,) = run(job, f"SELECT sync_at FROM invoice WHERE id = {record}")[0]
        assert at.astimezone(UTC) == datetime(2026, 11, 22, 12, 0, 0, 123456, UTC)
