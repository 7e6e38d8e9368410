"""Why records failed, stored: marked by triggers, diagnosed in batches beside the jobs."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from sqlalchemy import Connection, Row, make_url, select, text

from synchist import problems, queries
from synchist.accounts import Principal
from synchist.db import prepare
from synchist.db.engine import engine, reading, writing
from synchist.db.tables import UNDIAGNOSED, diagnosis, problem
from synchist.db.triggers import install_triggers
from synchist.db.types import moment_text
from synchist.diagnosis import ANY, Cause, Diagnosis, explained, version
from synchist.entities import BILLS, ENTITIES, INVOICE_PAYMENTS, INVOICES, Entity
from synchist.filters import Filters, Window
from synchist.settings import settings
from synchist.status_changes import Change, change_status
from synchist.statuses import CloseReason, SyncStatus
from tests.conftest import POSTGRESQL, SQLITE, Database
from tests.invariants import violations
from tests.world import STORIES, World, build, noon

PENDING, COMPLETE, FAILED = SyncStatus
NOW = noon(0)
LATER = NOW + timedelta(minutes=5)
NOT_FOUND = 'Customer "Blue Mesa Foods" was not found'
NOT_RECOGNIZED = "The sky is green"

TOLD = {
    "failed": (2,),
    "failed_twice": (2, 3),
    "failed_expired": (2,),
    "failed_old": (2,),
    "failed_hostile": (2,),
    "recovered": (2,),
    "closed": (2,),
    "pending_again": (2,),
}
"""The versions of the events that say why a push failed, by story."""

only_sqlite = pytest.mark.parametrize("database", [SQLITE], indirect=True)
only_postgresql = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)


def job(database: Database, statement: str, *values: object) -> None:
    """One statement over a connection of its own; `?` stands for a value."""
    with database.elsewhere(statement) as connection:
        mark = "%s" if database.dialect == POSTGRESQL else "?"
        connection.execute(statement.replace("?", mark), values)
        connection.commit()


def attempt(
    database: Database,
    entity: Entity,
    record: int,
    error: str | None,
    at: datetime = NOW,
    status: SyncStatus = FAILED,
) -> None:
    """What a sync job writes after an attempt."""
    job(
        database,
        f"UPDATE {entity.key} SET sync_status = {int(status)}, sync_at = '{moment_text(at)}',"
        f" sync_error_code = NULL, sync_error = ? WHERE id = {record}",
        error,
    )


def insert_like(
    database: Database, entity: Entity, like: int, tms_id: str, error: str | None = None
) -> int:
    """One more record like another one, failed where an error is given. Returns its id."""
    copied = (
        "number, party_id, billing_organization_id, connection_id, currency, amount, tms_status,"
        " created_at"
    )
    job(
        database,
        f"INSERT INTO {entity.key} (tms_id, {copied}, sync_status, sync_error, problem_id)"
        f" SELECT '{tms_id}', {copied}, {2 if error else 0}, ?, 4711"
        f" FROM {entity.key} WHERE id = {like}",
        error,
    )
    with reading() as connection:
        of = entity.table.c
        return int(connection.execute(select(of.id).where(of.tms_id == tms_id)).scalar_one())


def problem_id(entity: Entity, record: int) -> int | None:
    with reading() as connection:
        found: int | None = connection.scalar(
            select(entity.table.c.problem_id).where(entity.table.c.id == record)
        )
        return found


def problem_of(entity: Entity, record: int) -> Row[Any]:
    """The stored problem of a record, which has to have one."""
    with reading() as connection:
        return connection.execute(
            select(problem).where(problem.c.id == problem_id(entity, record))
        ).one()


def diagnosed() -> list[tuple[Any, ...]]:
    """Every stored diagnosis."""
    with reading() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                select(diagnosis).order_by(*diagnosis.primary_key.columns)
            )
        ]


def versions() -> set[tuple[str, int, int]]:
    """Entity, record and version of every event with a diagnosis."""
    return {(entity, record, number) for entity, record, number, *_ in diagnosed()}


def told(world: World, *entities: Entity) -> set[tuple[str, int, int]]:
    return {
        (entity.key, world.records(entity.key)[story], number)
        for entity in entities or ENTITIES
        for story, numbers in TOLD.items()
        for number in numbers
    }


def catch_up() -> None:
    while problems.catch_up():
        pass


# ---------------------------------------------------------------- what the triggers mark


@every_entity
@pytest.mark.parametrize("status", [FAILED, PENDING], ids=["failed", "to be tried again"])
def test_an_attempt_with_an_error_is_marked(
    database: Database, world: World, entity: Entity, status: SyncStatus
) -> None:
    record = world.records(entity.key)["pending"]
    assert problem_id(entity, record) is None
    attempt(database, entity, record, NOT_FOUND, status=status)
    assert problem_id(entity, record) == UNDIAGNOSED


@every_entity
@pytest.mark.parametrize(("error", "marked"), [(NOT_FOUND, UNDIAGNOSED), (None, None)])
def test_an_inserted_record_is_marked_if_it_failed(
    database: Database, world: World, entity: Entity, error: str | None, marked: int | None
) -> None:
    like = world.records(entity.key)["pending"]
    assert problem_id(entity, insert_like(database, entity, like, "new", error)) == marked


@pytest.mark.parametrize("error", [None, ""])
def test_an_attempt_that_left_a_record_pending_without_error_is_not(
    database: Database, world: World, error: str | None
) -> None:
    record = world.invoice["pending"]
    attempt(database, INVOICES, record, error, status=PENDING)
    assert problem_id(INVOICES, record) is None


@every_entity
@pytest.mark.parametrize("status", [COMPLETE, PENDING], ids=["synced", "no error"])
def test_an_attempt_without_error_clears_the_problem(
    database: Database, world: World, entity: Entity, status: SyncStatus
) -> None:
    record = world.records(entity.key)["failed"]
    catch_up()
    assert problem_id(entity, record)
    attempt(database, entity, record, None, status=status)
    assert problem_id(entity, record) is None


def test_the_next_failure_is_marked_again(database: Database, world: World) -> None:
    record = world.invoice["failed"]
    catch_up()
    attempt(database, INVOICES, record, NOT_FOUND)
    assert problem_id(INVOICES, record) == UNDIAGNOSED


@every_entity
def test_a_change_in_the_tms_touches_no_problem(
    database: Database, world: World, entity: Entity
) -> None:
    record, synced = (world.records(entity.key)[story] for story in ("failed", "complete"))
    change = f"""UPDATE {entity.key} SET amount = amount + 1, tms_status = 'Ready',
        connection_id = {world.connection["Xero Canada"]} WHERE id IN ({record}, {synced})"""
    job(database, change)
    assert (problem_id(entity, record), problem_id(entity, synced)) == (UNDIAGNOSED, None)
    catch_up()
    before = problem_id(entity, record)
    assert before
    job(database, change)
    assert (problem_id(entity, record), problem_id(entity, synced)) == (before, None)


def test_a_person_who_moves_a_record_leaves_its_problem_while_its_error_shows(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.invoice["failed"]
    catch_up()
    before = problem_id(INVOICES, record)
    assert before
    for seen, (change, expected) in enumerate(
        (
            (Change(PENDING), before),
            (Change(COMPLETE, CloseReason.OTHER), None),
            (Change(PENDING), UNDIAGNOSED),
        ),
        2,
    ):
        change_status(analyst, str(uuid4()), {"invoice": {record: seen}}, change)
        assert problem_id(INVOICES, record) == expected
    catch_up()
    assert problem_id(INVOICES, record) == before


def test_a_failure_made_by_hand_is_diagnosed(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["complete"]
    change_status(analyst, str(uuid4()), {"bill": {record: 2}}, Change(FAILED, note=NOT_FOUND))
    assert problem_id(BILLS, record) == UNDIAGNOSED
    catch_up()
    assert problem_of(BILLS, record).cause == Cause.CUSTOMER_MAPPING
    assert ("bill", record, 3) in versions()


# ---------------------------------------------------------------- catching up


def test_every_event_that_tells_why_is_diagnosed(database: Database, world: World) -> None:
    """Also of the records that were synced, closed or sent back before anybody looked."""
    assert problems.catch_up() == len(TOLD) * len(ENTITIES)
    assert versions() == told(world)
    assert {catalogue for *_, catalogue, _ in diagnosed()} == {version()}
    for entity in ENTITIES:
        with_problem = {
            story for story in STORIES if problem_id(entity, world.records(entity.key)[story])
        }
        assert with_problem == TOLD.keys() - {"recovered", "closed"}
        for story in ("recovered", "closed"):
            assert problem_id(entity, world.records(entity.key)[story]) is None


def test_what_a_retry_does_is_stored(database: Database, world: World) -> None:
    """And told anew where it was not known, before revision 0004."""
    catch_up()
    told_first = diagnosed()
    assert {retry for *_, retry in told_first} == {"after the fix", "check first"}
    with writing() as connection:
        connection.execute(text("UPDATE diagnosis SET retry = NULL WHERE record_id < 4"))
    assert problems.catch_up() == 0
    assert diagnosed() != told_first
    problems.rediagnose()
    assert diagnosed() == told_first


def test_of_two_failures_the_latest_gives_the_problem(database: Database, world: World) -> None:
    record = world.invoice["pending"]
    attempt(database, INVOICES, record, NOT_RECOGNIZED)
    attempt(database, INVOICES, record, NOT_FOUND, LATER)
    catch_up()
    assert problem_of(INVOICES, record).cause == Cause.CUSTOMER_MAPPING
    attempt(database, INVOICES, record, NOT_RECOGNIZED, LATER + timedelta(minutes=5))
    catch_up()
    assert problem_of(INVOICES, record).cause == Cause.UNKNOWN
    assert versions() - told(world) == {("invoice", record, number) for number in (2, 3, 4)}


def state(connection: Connection) -> list[tuple[Any, ...]]:
    """The history, and of the records everything but their problem."""
    found = [tuple(row) for row in connection.execute(text("SELECT * FROM sync_event ORDER BY id"))]
    for entity in ENTITIES:
        columns = [column for column in entity.table.c if column.name != "problem_id"]
        found += map(tuple, connection.execute(select(*columns).order_by(entity.table.c.id)))
    return found


def test_records_and_their_history_stay_as_they_are(database: Database, world: World) -> None:
    with reading() as connection:
        before = state(connection)
    catch_up()
    assert diagnosed()
    with reading() as connection:
        assert state(connection) == before


def test_a_batch_takes_the_newest_of_the_entities_asked_for(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "BATCH", 3)
    newest = sorted((world.bill[story] for story in TOLD), reverse=True)
    assert problems.catch_up([BILLS]) == 3
    assert {(entity, record) for entity, record, _ in versions()} == {
        ("bill", record) for record in newest[:3]
    }
    assert [problems.catch_up([BILLS]) for _ in range(3)] == [3, 2, 0]
    assert versions() == told(world, BILLS)
    assert problems.catch_up() == 9


def test_a_second_time_does_nothing(database: Database, world: World) -> None:
    catch_up()
    before = diagnosed()
    assert problems.catch_up() == 0
    assert problems.rediagnose() == 0
    assert diagnosed() == before


@only_postgresql
def test_what_a_job_holds_is_left_for_later(database: Database, world: World) -> None:
    """What its failures mean is stored, since that never changes; the record waits."""
    record = world.invoice["failed_twice"]
    with database.bare() as holder:
        holder.execute(f"SELECT id FROM invoice WHERE id = {record} FOR UPDATE")
        assert problems.catch_up() == len(TOLD) * len(ENTITIES) - 1
        assert problems.catch_up() == 0
        assert problem_id(INVOICES, record) == UNDIAGNOSED
        assert problem_id(INVOICES, world.invoice["failed"])
    assert problems.catch_up() == 1
    assert problem_id(INVOICES, record)
    assert versions() == told(world)


def once_while_explaining(
    monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None]
) -> list[Callable[[], None]]:
    """Let something happen between a batch's reading and its writing. Returns what has happened."""
    explain, happened = problems._explained, list[Callable[[], None]]()

    def meanwhile(entity: Entity, row: Row[Any]) -> problems._Found:
        if not happened:
            happened.append(happens)
            happens()
        return explain(entity, row)

    monkeypatch.setattr(problems, "_explained", meanwhile)
    return happened


def test_what_fails_between_reading_and_writing_is_left_for_later(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = world.invoice["failed"]
    once_while_explaining(monkeypatch, lambda: attempt(database, INVOICES, record, NOT_FOUND))
    assert problems.catch_up() == len(TOLD) * len(ENTITIES) - 1
    assert problem_id(INVOICES, record) == UNDIAGNOSED
    assert ("invoice", record, 3) not in versions()
    assert problems.catch_up() == 1
    assert problem_of(INVOICES, record).cause == Cause.CUSTOMER_MAPPING
    assert versions() == told(world) | {("invoice", record, 3)}


def test_what_syncs_between_reading_and_writing_has_no_problem(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = world.invoice["failed"]
    synced = partial(attempt, database, INVOICES, record, None, status=COMPLETE)
    happened = once_while_explaining(monkeypatch, synced)
    catch_up()
    assert happened
    assert problem_id(INVOICES, record) is None
    assert versions() == told(world)


@only_postgresql
def test_servers_at_once_diagnose_each_failure_once(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two look at each entity, all have read before any writes, and all need the same problems."""
    for entity in ENTITIES:
        attempt(database, entity, world.records(entity.key)["pending"], NOT_FOUND)
    everybody = [*ENTITIES, *ENTITIES]
    together = Barrier(len(everybody))

    @contextmanager
    def writing_together() -> Iterator[Connection]:
        together.wait(20)
        with writing() as connection:
            yield connection

    monkeypatch.setattr(problems, "writing", writing_together)
    with ThreadPoolExecutor(len(everybody)) as servers:
        list(servers.map(lambda entity: problems.catch_up([entity]), everybody))
    assert versions() == told(world) | {
        (entity.key, world.records(entity.key)["pending"], 2) for entity in ENTITIES
    }
    assert problems.catch_up() == 0
    found = {problem_id(entity, world.records(entity.key)["pending"]) for entity in ENTITIES}
    assert len(found) == 1


# ---------------------------------------------------------------- what belongs together


def test_one_customer_on_one_connection_is_one_problem(database: Database, world: World) -> None:
    told_twice = {
        INVOICES: NOT_FOUND,
        INVOICE_PAYMENTS: "There is an invalid reference to Customer 'Blue Mesa Foods'",
    }
    for entity, error in told_twice.items():
        attempt(database, entity, world.records(entity.key)["pending"], error)
        catch_up()
    one, other = (problem_of(entity, world.records(entity.key)["pending"]) for entity in told_twice)
    assert one == other
    assert (one.cause, one.named) == (Cause.CUSTOMER_MAPPING, "Blue Mesa Foods")
    assert one.title == "Customer “Blue Mesa Foods” is missing or inactive"
    assert one.connection_id == world.connection["QuickBooks US"]


def test_another_customer_is_another_problem(database: Database, world: World) -> None:
    attempt(database, INVOICES, world.invoice["pending"], NOT_FOUND)
    attempt(database, INVOICES, world.invoice["pending_again"], NOT_FOUND.replace("Blue", "Red"))
    catch_up()
    assert problem_of(INVOICES, world.invoice["pending"]).named == "Blue Mesa Foods"
    assert problem_of(INVOICES, world.invoice["pending_again"]).named == "Red Mesa Foods"


def test_the_same_customer_on_two_connections_is_two(database: Database, world: World) -> None:
    records = {"pending": "QuickBooks US", "pending_draft": "Xero Canada"}
    for story in records:
        attempt(database, INVOICES, world.invoice[story], NOT_FOUND)
    catch_up()
    found = [problem_of(INVOICES, world.invoice[story]) for story in records]
    assert found[0].id != found[1].id
    assert {one.named for one in found} == {"Blue Mesa Foods"}
    assert [one.connection_id for one in found] == [
        world.connection[name] for name in records.values()
    ]


def test_forty_duplicates_with_numbers_of_their_own_are_one(
    database: Database, world: World
) -> None:
    records = [
        insert_like(
            database,
            INVOICES,
            world.invoice["pending"],
            f"NEW-{number}",
            f"Duplicate Document Number Error: DocNumber=INV-{number} is already used",
        )
        for number in range(40)
    ]
    catch_up()
    assert len({problem_id(INVOICES, record) for record in records}) == 1
    found = problem_of(INVOICES, records[0])
    assert (found.cause, found.named) == (Cause.DUPLICATE, "")


def test_records_without_a_connection_share_a_problem(database: Database, world: World) -> None:
    for entity in (INVOICES, BILLS):
        record = world.records(entity.key)["pending"]
        job(database, f"UPDATE {entity.key} SET connection_id = NULL WHERE id = {record}")
        attempt(database, entity, record, NOT_FOUND)
        catch_up()
    found = problem_of(INVOICES, world.invoice["pending"])
    assert found == problem_of(BILLS, world.bill["pending"])
    assert found.connection_id is None


# ---------------------------------------------------------------- whatever the books answer

MARKS = "".join(map(chr, range(1, 32)))
NAMES = {
    "quotes": "O'Brien & “Sons” `Ltd` --",
    "emoji": "Bäckerei 🥐👩‍👩‍👧",
    "right to left": "\u202eحلويات\u200f دمشق\u202c",
    "markup": "<b>Bold</b> ]]> ${x} {name} %s",
    "wildcards": "100%_\\ Fresh",
}


def kept(record: int) -> list[str]:
    """The error as the record and the latest event have it."""
    with reading() as connection:
        return list(
            connection.scalars(
                text(
                    "SELECT sync_error FROM invoice WHERE id = :id UNION ALL"
                    " SELECT e.sync_error FROM sync_event e JOIN invoice i ON i.id = e.record_id"
                    " AND i.version = e.version WHERE e.entity = 'invoice' AND i.id = :id"
                ),
                {"id": record},
            )
        )


@pytest.mark.parametrize(
    "error",
    [
        NOT_FOUND + " ." * 50_000,
        "x" * 1_000_000 + NOT_FOUND,
        NOT_FOUND + "é" * 500_000,
        MARKS + NOT_FOUND + MARKS,
        *(f"“Customer: {name}” – {NOT_FOUND} – ({name})" for name in NAMES.values()),
    ],
    ids=["100 kB", "1 MB before", "1 MB behind", "control characters", *NAMES],
)
def test_any_error_is_kept_exactly_and_diagnosed(
    database: Database, world: World, error: str
) -> None:
    record = world.invoice["pending"]
    attempt(database, INVOICES, record, error)
    assert kept(record) == [error, error]
    catch_up()
    assert problem_of(INVOICES, record).cause == Cause.CUSTOMER_MAPPING
    assert kept(record) == [error, error]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_problem_of_any_name_is_found_by_its_name(
    database: Database, world: World, name: str
) -> None:
    """The name comes from the records' party, whose customer the books do not know."""
    catch_up()  # the others of this party, before it has that name
    record = world.invoice["pending"]
    job(
        database,
        "UPDATE organization SET name = ? WHERE id ="
        f" (SELECT party_id FROM invoice WHERE id = {record})",
        name,
    )
    attempt(database, INVOICES, record, "The customer you have chosen has been deleted")
    catch_up()
    found = problem_of(INVOICES, record)
    assert found.named == name
    wanted = Filters(FAILED, Window.ALL, problem=f"{found.title} · QuickBooks US")
    with reading() as connection:
        assert queries.selectable(connection, INVOICES, wanted).keys() == {record}


@only_sqlite
def test_an_error_stored_as_bytes_keeps_no_other_from_its_diagnosis(
    database: Database, world: World
) -> None:
    """SQLite stores any type in any column; a Python job that binds bytes leaves a BLOB."""
    job(
        database,
        f"UPDATE invoice SET sync_status = 2, sync_at = '{moment_text(NOW)}', sync_error = ?"
        f" WHERE id = {world.invoice['pending']}",
        NOT_FOUND.encode(),
    )
    catch_up()
    assert problem_id(INVOICES, world.invoice["failed"])


def test_a_cause_of_another_version_keeps_no_record_from_its_diagnosis(
    database: Database, world: World
) -> None:
    """As a later or earlier version may have stored it."""
    job(database, "INSERT INTO problem (cause, named, title) VALUES ('of old', '', 'Of old')")
    catch_up()
    assert problem_id(INVOICES, world.invoice["failed"])


# ---------------------------------------------------------------- another catalogue


def of_next_catalogue(*_: object) -> Diagnosis:
    return explained(Cause.TAX, "NY 8.875", ANY, ANY)


@pytest.fixture
def next_catalogue(database: Database, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is diagnosed; then the rules change, and with them the words."""
    catch_up()
    monkeypatch.setattr(problems, "version", lambda: "next")
    monkeypatch.setattr(problems, "diagnose", of_next_catalogue)
    monkeypatch.setattr(problems, "title", lambda cause, named, _: f"{cause.label}: {named}")


def test_catching_up_alone_keeps_what_the_earlier_catalogue_said(
    next_catalogue: None, world: World
) -> None:
    before, said = diagnosed(), problem_of(INVOICES, world.invoice["failed"])
    assert problems.catch_up() == 0
    assert diagnosed() == before
    assert problem_of(INVOICES, world.invoice["failed"]) == said


def test_rediagnosing_follows_the_new_catalogue(
    next_catalogue: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "BATCH", 3)
    assert problems.rediagnose() == len(TOLD) * len(ENTITIES)
    assert versions() == told(world)
    assert {catalogue for *_, catalogue, _ in diagnosed()} == {"next"}
    for story, record in world.invoice.items():
        if story in TOLD.keys() - {"recovered", "closed"}:
            found = problem_of(INVOICES, record)
            assert (found.cause, found.named) == (Cause.TAX, "NY 8.875")
            assert found.title == f"{Cause.TAX.label}: NY 8.875"
        else:
            assert problem_id(INVOICES, record) is None
    assert problems.rediagnose() == 0


def test_rediagnosing_tells_after_each_batch_how_far_it_is(
    next_catalogue: None, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(problems, "BATCH", 3)
    progress = list[int]()
    done = problems.rediagnose(progress.append)
    assert progress[-1] == done
    steps = [after - before for before, after in pairwise([0, *progress])]
    assert all(0 < step <= 3 for step in steps)


def test_rediagnosing_gives_every_problem_its_new_words(next_catalogue: None, world: World) -> None:
    """Also where the cause stays, and where no record has the problem any more."""
    before = problem_of(INVOICES, world.invoice["failed_expired"])
    problems.rediagnose()
    with reading() as connection:
        titles = dict(connection.execute(select(problem.c.id, problem.c.title)).all())
    assert titles[before.id] == f"{Cause.AUTHORIZATION.label}: "
    assert all(": " in title for title in titles.values())


def test_rediagnosing_takes_what_is_new_as_well(database: Database, world: World) -> None:
    assert problems.rediagnose() == len(TOLD) * len(ENTITIES)
    assert versions() == told(world)


@pytest.mark.parametrize("happens", ["a change in the TMS", "a new failure", "a success"])
def test_rediagnosing_forgets_no_record_that_changes_meanwhile(
    next_catalogue: None,
    database: Database,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    happens: str,
) -> None:
    record = world.invoice["failed"]
    change = {
        "a change in the TMS": partial(
            job, database, f"UPDATE invoice SET amount = amount + 1 WHERE id = {record}"
        ),
        "a new failure": partial(attempt, database, INVOICES, record, NOT_FOUND),
        "a success": partial(attempt, database, INVOICES, record, None, status=COMPLETE),
    }
    happened = once_while_explaining(monkeypatch, change[happens])
    problems.rediagnose()
    assert happened
    problems.rediagnose()
    if happens == "a success":
        assert problem_id(INVOICES, record) is None
    else:
        assert problem_of(INVOICES, record).cause == Cause.TAX


@only_postgresql
def test_rediagnosing_forgets_no_record_that_a_job_holds(
    next_catalogue: None, database: Database, world: World
) -> None:
    record = world.invoice["failed"]
    with database.bare() as holder:
        holder.execute(f"SELECT id FROM invoice WHERE id = {record} FOR UPDATE")
        problems.rediagnose()
        holder.rollback()  # closing alone lets go only once the server has noticed
    problems.rediagnose()
    assert problem_of(INVOICES, record).cause == Cause.TAX


def test_rediagnosing_looks_at_what_a_person_has_closed(
    database: Database, world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    catch_up()
    moved = {"failed": Change(PENDING), "failed_old": Change(COMPLETE, CloseReason.OTHER)}
    for story, change in moved.items():
        change_status(analyst, str(uuid4()), {"invoice": {world.invoice[story]: 2}}, change)
    monkeypatch.setattr(problems, "version", lambda: "next")
    monkeypatch.setattr(problems, "diagnose", of_next_catalogue)
    problems.rediagnose()
    assert problem_of(INVOICES, world.invoice["failed"]).cause == Cause.TAX
    assert problem_id(INVOICES, world.invoice["failed_old"]) is None


# ---------------------------------------------------------------- migration


def _upgrade_to(revision: str) -> None:
    config = prepare._config()
    with (
        engine(settings().url, create=True).connect() as connection,
        connection.execution_options(synchist_write=True).begin(),
    ):
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


@pytest.fixture
def older_world(database: Database) -> World:
    """The known world in a database of revision 0002, before there were problems."""
    if database.dialect == SQLITE:
        Path(make_url(database.url).database or "").unlink()
    else:
        job(database, "DROP SCHEMA public CASCADE")
        job(database, "CREATE SCHEMA public")
    _upgrade_to("0002")
    with writing() as connection:
        # The triggers of this version write to the column, so that it is there while they do.
        for entity in ENTITIES:
            connection.exec_driver_sql(f"ALTER TABLE {entity.key} ADD COLUMN problem_id BIGINT")
        world = build(connection)
        connection.exec_driver_sql(
            f"UPDATE bill SET sync_status = 0, sync_at = '{moment_text(NOW)}',"
            f" sync_error = 'Busy' WHERE id = {world.bill['pending']}"
        )
        if database.dialect == SQLITE:  # keeps no trigger that speaks of a column it has not
            triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for (name,) in connection.exec_driver_sql(triggers).all():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        for entity in ENTITIES:
            connection.exec_driver_sql(f"ALTER TABLE {entity.key} DROP COLUMN problem_id")
        install_triggers(connection)
    return world


@pytest.mark.owner
def test_the_migration_marks_what_failed_before(database: Database, older_world: World) -> None:
    with reading() as connection:
        history = list(connection.execute(text("SELECT * FROM sync_event ORDER BY id")))
        assert not prepare.is_current(connection)
    prepare.upgrade()
    prepare.prepare()
    for entity in ENTITIES:
        for story, record in older_world.records(entity.key).items():
            tried_again = (entity, story) == (BILLS, "pending")
            expected = UNDIAGNOSED if story in TOLD or tried_again else None
            assert problem_id(entity, record) == expected, (entity.key, story)
    with reading() as connection:
        assert list(connection.execute(text("SELECT * FROM sync_event ORDER BY id"))) == history
        assert violations(connection) == []
    catch_up()
    assert versions() == told(older_world) | {("bill", older_world.bill["pending"], 2)}


# ---------------------------------------------------------------- the invariants themselves

TAMPERED = {
    "invoice 1: it is failed and nobody will say why.": (
        "UPDATE invoice SET problem_id = NULL WHERE id = 1"
    ),
    "invoice 2: one of its failures is neither diagnosed nor marked.": (
        "DELETE FROM diagnosis WHERE entity = 'invoice' AND record_id = 2 AND version = 2"
    ),
    "bill 1: its problem is not the one of its latest diagnosis.": (
        "UPDATE bill SET problem_id = (SELECT max(id) FROM problem) + 1 WHERE id = 1"
    ),
    "invoice 9: it shows no error and still has a problem.": (
        "UPDATE invoice SET problem_id = (SELECT problem_id FROM diagnosis WHERE record_id = 9)"
        " WHERE id = 9"
    ),
    "invoice 1: a diagnosis is of no event that tells why, or not of its time.": (
        "UPDATE diagnosis SET at = '2026-01-01 00:00:00.000000'"
        " WHERE entity = 'invoice' AND record_id = 1"
    ),
    "invoice 6: a diagnosis is of no event that tells why, or not of its time.": (
        "INSERT INTO diagnosis SELECT e.entity, e.record_id, e.version, p.id, e.at, '', 'safe'"
        " FROM sync_event e JOIN problem p ON p.id = 1 WHERE entity = 'invoice' AND record_id = 6"
    ),
    "invoice 4: a diagnosis blames another connection.": (
        "UPDATE problem SET connection_id = 2 WHERE id ="
        " (SELECT problem_id FROM invoice WHERE id = 4)"
    ),
}


@only_sqlite
@pytest.mark.tampered
@pytest.mark.parametrize(("sentence", "statement"), TAMPERED.items(), ids=TAMPERED)
def test_what_does_not_hold_is_noticed(
    database: Database, world: World, sentence: str, statement: str
) -> None:
    catch_up()
    with reading() as connection:
        assert violations(connection) == []
    job(database, statement)
    with reading() as connection:
        assert sentence in violations(connection)
