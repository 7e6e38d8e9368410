"""Simulated jobs keep the contract of `docs/jobs.md`, answer believably, and end in time."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from threading import Event
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Row, func, insert, make_url, select, text

from synchist.accounts import Principal
from synchist.db.engine import reading, writing
from synchist.db.prepare import DEMO
from synchist.db.tables import (
    attempt_line,
    charge_line,
    connection,
    database_fact,
    sync_event,
)
from synchist.db.types import moment_text, utc_now
from synchist.demo import live, make_demo
from synchist.demo.live import NotADemo, Pace, Report, Worker, simulate
from synchist.diagnosis import Cause, diagnose
from synchist.entities import BILL_PAYMENTS, BILLS, ENTITIES, INVOICE_PAYMENTS, INVOICES, Entity
from synchist.history import load_events
from synchist.status_changes import Change, change_status
from synchist.statuses import CloseReason, EventKind, SyncStatus
from tests.conftest import (
    POSTGRESQL,
    ROOT,
    SQLITE,
    Database,
    _free_port,
    _wait_until_ready,
    checked,
    configured,
)
from tests.test_cli import process, refused
from tests.world import EXPIRED, NOT_MAPPED, World

pytestmark = pytest.mark.owner
BRISK = Pace(push_seconds=(0, 0), pause_seconds=0)
THROTTLED = "message=ThrottleExceeded; errorCode=003001; statusCode=429"

THROTTLED_AT, FAILING, PASSING = 0.05, 0.11, 0.5
"""What chance says so that every first attempt is put off, fails for another reason, or passes."""


class Chance(Random):
    """Chance that always says the same."""

    def __init__(self, always: float) -> None:
        super().__init__()
        self.always = always

    def random(self) -> float:
        return self.always


class Watched(Worker):
    """A worker that does something of the test's while the books are asked."""

    def __init__(self, chance: float, meanwhile: Callable[[Entity, int], None], **options: Any):
        super().__init__(Chance(chance), BRISK, **options)
        self.meanwhile = meanwhile

    def talk(self, entity: Entity, record_id: int) -> None:
        self.meanwhile(entity, record_id)


def worker(chance: float = PASSING) -> Worker:
    return Worker(Chance(chance), BRISK)


def row(entity: Entity, record_id: int) -> Row[Any]:
    with reading() as db:
        return db.execute(select(entity.table).where(entity.table.c.id == record_id)).one()


def kinds(entity: Entity, record_id: int) -> list[str]:
    """What has happened to a record, oldest first."""
    of = sync_event.c
    found = select(of.kind).where(of.entity == entity.key, of.record_id == record_id)
    with reading() as db:
        return list(db.scalars(found.order_by(of.version)))


def attempts() -> list[Row[Any]]:
    with reading() as db:
        found = select(sync_event).where(sync_event.c.kind == EventKind.ATTEMPT.value)
        return list(db.execute(found.order_by(sync_event.c.id)))


def say(statement: str, **values: object) -> None:
    with writing() as db:
        db.execute(text(statement), values)


def fail(entity: Entity, record_id: int, error: str, code: str | None = None) -> None:
    """The attempt of an earlier job."""
    say(
        f"UPDATE {entity.key} SET sync_status = 2, sync_at = :at, sync_error = :error,"
        " sync_error_code = :code, sync_reference = NULL, synced_amount = NULL WHERE id = :id",
        at=now(),
        error=error,
        code=code,
        id=record_id,
    )


def now(ago: float = 0) -> str:
    return moment_text(utc_now() - timedelta(seconds=ago)) + "+00"[: 3 * is_postgresql()]


def is_postgresql() -> bool:
    with reading() as db:
        return db.dialect.name == POSTGRESQL


def send_back(entity: Entity, record_id: int, reason: str | None = None) -> None:
    """An operation, as the product writes it."""
    version = row(entity, record_id).version
    values = {"op": str(uuid4()), "at": now(), "reason": reason, "id": record_id, "seen": version}
    for statement in (
        "INSERT INTO operation (id, at, actor, action, to_status, reason, digest, requested)"
        " VALUES (:op, :at, 'Ada', 'change_status', 0, :reason, '', 1)",
        f"UPDATE {entity.key} SET sync_status = 0, last_operation_id = :op WHERE id = :id",
        "INSERT INTO operation_item (operation_id, entity, record_id, version_seen, outcome)"
        f" VALUES (:op, '{entity.key}', :id, :seen, 'applied')",
    ):
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        say(statement, **used)


def close(analyst: Principal, entity: Entity, record_id: int) -> None:
    """Mark it Complete, as a person does."""
    seen = {entity.key: {record_id: row(entity, record_id).version}}
    change = Change(SyncStatus.COMPLETE, CloseReason.ALREADY_IN_BOOKS)
    assert change_status(analyst, str(uuid4()), seen, change).applied == 1


# ---------------------------------------------------------------- the contract


def test_a_round_attempts_what_is_due_and_nothing_else(database: Database, world: World) -> None:
    before = {entity.key: _rows(entity) for entity in ENTITIES}
    assert worker().round() == Report(complete=8)
    for entity in ENTITIES:
        due = {world.records(entity.key)[name] for name in ("pending", "pending_again")}
        now = _rows(entity)
        assert {key for key, was in before[entity.key].items() if now[key] != was} == due
    assert worker().round() == Report()


def _rows(entity: Entity) -> dict[int, Row[Any]]:
    with reading() as db:
        return {found.id: found for found in db.execute(select(entity.table))}


def test_a_success_is_written_as_the_contract_has_it(database: Database, world: World) -> None:
    record = world.bill["pending_again"]
    fail(BILLS, record, "Error", "E1")
    send_back(BILLS, record, "fixed")
    began = utc_now()
    worker().round()
    found = row(BILLS, record)
    assert (found.sync_status, found.sync_error, found.sync_error_code) == (1, None, None)
    assert found.synced_amount == found.amount
    assert began < found.sync_at == found.outcome_at < utc_now()
    assert kinds(BILLS, record)[-2:] == ["operation", "attempt"]
    with reading() as db:
        last_success = db.scalar(
            select(connection.c.last_success_at).where(connection.c.id == found.connection_id)
        )
    assert last_success == max(one.sync_at for one in attempts() if one.sync_status == 1)


def test_a_failure_is_written_as_the_contract_has_it(database: Database, world: World) -> None:
    record = world.invoice["pending"]
    say(
        "UPDATE invoice SET sync_status = 1, sync_reference = 'OLD', synced_amount = 1,"
        " sync_at = :at WHERE id = :id",
        at=now(60),
        id=record,
    )
    send_back(INVOICES, record)
    assert worker(FAILING).round().failed > 0
    found = row(INVOICES, record)
    assert (found.sync_status, found.sync_reference, found.synced_amount) == (2, None, None)
    assert found.sync_error
    assert kinds(INVOICES, record) == ["created", "attempt", "operation", "attempt"]


def test_moments_and_references_are_new_each_time(database: Database) -> None:
    make_demo(400)
    began = utc_now()
    for entity in ENTITIES:
        say(f"UPDATE {entity.key} SET sync_status = 0")
    simulated = Worker(Random(5), BRISK)
    while simulated.round().complete:
        pass
    with reading() as db:
        earlier = set(db.scalars(_references().where(sync_event.c.at < began)))
        later = db.scalars(_references().where(sync_event.c.at > began)).all()
    mine = [one for one in attempts() if one.at > began]
    assert len({one.at for one in mine}) == len(mine) > 200
    assert len(set(later)) == len(later) > 100
    assert not earlier & set(later)
    assert {re.sub(r"[0-9a-f]", "0", one) for one in later} == {
        "00000000",
        "00000000-0000-0000-0000-000000000000",
    }


def _references() -> Any:
    of = sync_event.c
    return select(of.sync_reference).where(of.sync_reference.is_not(None), of.kind == "attempt")


def test_a_partial_sync_says_what_the_books_hold_per_line(database: Database, world: World) -> None:
    record = world.invoice["pending"]
    fail(INVOICES, record, "Error")
    send_back(INVOICES, record, "fixed")
    worker(0.01).round()
    found = row(INVOICES, record)
    assert (found.sync_status, found.amount - found.synced_amount) == (1, 15_000)
    with reading() as db:
        held = db.execute(
            select(charge_line.c.description, attempt_line.c.amount)
            .join(attempt_line)
            .where(charge_line.c.invoice_id == record, attempt_line.c.sync_at == found.sync_at)
            .order_by(charge_line.c.position)
        ).all()
    assert held == [("Linehaul", found.amount - 15_000), ("Fuel surcharge", 0)]


def test_nothing_is_held_while_the_books_are_asked(database: Database, world: World) -> None:
    """Another connection locks and changes that very row, and finds no transaction open."""
    talked = []

    def meanwhile(entity: Entity, record_id: int) -> None:
        talked.append(record_id)
        with database.owner() as other:
            cursor = other.cursor()
            if database.dialect == POSTGRESQL:
                cursor.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state LIKE 'idle in transaction%'"
                )
                assert cursor.fetchone() == (0,)
                cursor.execute(
                    f"SELECT id FROM {entity.key} WHERE id = {record_id} FOR UPDATE NOWAIT"
                )
            else:
                cursor.execute("PRAGMA busy_timeout = 0")
                cursor.execute("BEGIN EXCLUSIVE")
            cursor.execute(f"UPDATE {entity.key} SET amount = amount + 1 WHERE id = {record_id}")
            other.commit()

    done = Watched(PASSING, meanwhile).round()
    assert done.attempted == len(talked) == 8
    assert kinds(INVOICES, world.invoice["pending"])[-2:] == ["tms", "attempt"]


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_what_somebody_holds_is_not_claimed(database: Database, world: World) -> None:
    with database.bare() as other:
        other.execute(f"SELECT id FROM invoice WHERE id = {world.invoice['pending']} FOR UPDATE")
        assert worker().round().attempted == 7
        other.rollback()
    assert row(INVOICES, world.invoice["pending"]).version == 1


def test_a_record_closed_before_its_push_is_left_alone(
    database: Database, world: World, analyst: Principal
) -> None:
    first, second = world.invoice["pending"], world.invoice["pending_again"]

    def meanwhile(entity: Entity, record_id: int) -> None:
        assert (entity, record_id) != (INVOICES, second)
        if (entity, record_id) == (INVOICES, first):
            close(analyst, INVOICES, second)

    assert Watched(PASSING, meanwhile).round().skipped == 1
    assert kinds(INVOICES, second)[-1] == "operation"
    assert row(INVOICES, second).closed_reason == CloseReason.ALREADY_IN_BOOKS


def test_a_record_changed_before_its_push_waits_for_the_next_round(
    database: Database, world: World
) -> None:
    """It is Pending still, but what was claimed is no longer what would be pushed."""
    first, second = world.invoice["pending"], world.invoice["pending_again"]

    def meanwhile(entity: Entity, record_id: int) -> None:
        if (entity, record_id) == (INVOICES, first):
            say("UPDATE invoice SET tms_status = 'On hold' WHERE id = :id", id=second)

    assert Watched(PASSING, meanwhile).round().skipped == 1
    assert kinds(INVOICES, second)[-1] == "tms"


@pytest.mark.parametrize("chance", [PASSING, FAILING])
def test_a_record_closed_during_its_push_takes_the_outcome(
    database: Database, world: World, analyst: Principal, chance: float
) -> None:
    record = world.invoice["pending"]

    def meanwhile(entity: Entity, record_id: int) -> None:
        if (entity, record_id) == (INVOICES, record):
            close(analyst, INVOICES, record)

    Watched(chance, meanwhile).round()
    with reading() as db:
        last = load_events(db, INVOICES, record)[0]
    said = "Synced" if chance == PASSING else "Sync attempt failed"
    assert last.what == f"{said}, after Ada had closed it"
    assert row(INVOICES, record).closed_reason is None


def test_workers_beside_each_other_share_the_records(database: Database) -> None:
    make_demo(600)
    for entity in ENTITIES:
        say(f"UPDATE {entity.key} SET sync_status = 0")
    talks: list[list[tuple[str, int]]] = [[], [], []]

    def work(number: int) -> None:
        done = Watched(
            PASSING,
            lambda entity, record_id: talks[number].append((entity.key, record_id)),
            share=(number, 3),
        )
        for _ in range(3):
            assert done.round().skipped == 0

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    everything = [one for talk in talks for one in talk]
    assert all(len(talk) > 100 for talk in talks)
    assert len(set(everything)) == len(everything)


def test_it_ends_with_the_push_in_hand(database: Database, world: World) -> None:
    stop = Event()
    done = Watched(PASSING, lambda *_: stop.set(), stop=stop).round()
    assert done.attempted == 1
    assert row(INVOICES, world.invoice["pending"]).sync_at is not None


# ---------------------------------------------------------------- what the books answer


@pytest.mark.parametrize("database", [SQLITE], indirect=True)
@pytest.mark.parametrize(
    ("error", "code", "reason", "changed", "passes"),
    [
        (NOT_MAPPED, "6000", None, False, False),
        (NOT_MAPPED, "6000", "other", False, False),
        (NOT_MAPPED, "6000", "fixed", False, True),
        (NOT_MAPPED, "6000", None, True, True),
        (THROTTLED, "3001", None, False, True),
        ("502 Bad Gateway", "502", None, False, True),
        (EXPIRED, "401", None, False, True),
    ],
    ids=["plain", "another reason", "fixed", "changed", "throttled", "away", "authorized again"],
)
def test_sending_back_helps_once_the_cause_is_gone(
    database: Database,
    world: World,
    error: str,
    code: str,
    reason: str | None,
    changed: bool,
    passes: bool,
) -> None:
    record, job, passed = world.invoice["failed"], Worker(Random(11), BRISK), 0
    for _ in range(40):
        fail(INVOICES, record, error, code)
        if changed:
            say("UPDATE invoice SET amount = amount + 1 WHERE id = :id", id=record)
        send_back(INVOICES, record, reason)
        job.round()
        found = row(INVOICES, record)
        passed += found.sync_status == SyncStatus.COMPLETE
        if found.sync_status != SyncStatus.COMPLETE:
            assert found.sync_status == SyncStatus.FAILED
            assert (found.sync_error, found.sync_error_code) == (error, code)
    assert passed > 25 if passes else 0 < passed < 12


@pytest.mark.parametrize(
    ("payment", "document"), [(INVOICE_PAYMENTS, INVOICES), (BILL_PAYMENTS, BILLS)]
)
def test_a_payment_waits_for_its_document(
    database: Database, world: World, payment: Entity, document: Entity
) -> None:
    record = world.records(payment.key)["pending"]
    worker(FAILING).round()
    found = row(payment, record)
    answer = diagnose(found.sync_error, "quickbooks_online", found.sync_error_code, payment.key)
    assert (found.sync_status, answer.cause) == (2, Cause.LINKED_TRANSACTION)

    send_back(document, world.records(document.key)["pending"], "fixed")
    send_back(payment, record)
    worker().round()
    assert row(document, world.records(document.key)["pending"]).sync_status == 1
    assert row(payment, record).sync_status == 1


@pytest.mark.parametrize("how", ["state = 'revoked'", "token_expires_at = :ago"])
def test_a_connection_that_is_down_refuses_everything(
    database: Database, world: World, how: str
) -> None:
    ago = {"ago": now(5)} if ":ago" in how else {}
    say(f"UPDATE connection SET {how} WHERE name = 'QuickBooks US'", **ago)
    before = _connections()
    assert worker().round() == Report(failed=8)
    assert _connections() == before, "a failure is no success"
    for one in attempts()[-8:]:
        answer = diagnose(one.sync_error, "quickbooks_online", one.sync_error_code, one.entity)
        assert answer.cause is Cause.AUTHORIZATION


def _connections() -> list[Row[Any]]:
    with reading() as db:
        return list(db.execute(select(connection).order_by(connection.c.id)))


def test_a_throttled_record_rests_unless_somebody_pushes_it(
    database: Database, world: World
) -> None:
    record = world.bill["pending"]
    throttle = "UPDATE bill SET sync_at = :at, sync_error = :error WHERE id = :id"
    worker().round()
    say(throttle.replace("SET", "SET sync_status = 0,"), at=now(5), error=THROTTLED, id=record)
    assert worker().round() == Report()
    send_back(BILLS, record)
    assert worker().round() == Report(complete=1)
    say(throttle.replace("SET", "SET sync_status = 0,"), at=now(31), error=THROTTLED, id=record)
    assert worker().round() == Report(complete=1)


def test_a_throttled_answer_leaves_it_pending(database: Database, world: World) -> None:
    record = world.invoice["pending"]
    assert worker(THROTTLED_AT).round().pending == 2
    found = row(INVOICES, record)
    assert found.sync_status == SyncStatus.PENDING
    answer = diagnose(found.sync_error, "quickbooks_online", found.sync_error_code)
    assert answer.cause is Cause.RATE_LIMIT
    assert kinds(INVOICES, record) == ["created", "attempt"]
    assert worker().round().attempted == 0


# ---------------------------------------------------------------- the database


@pytest.mark.parametrize("database", [SQLITE], indirect=True)
def test_a_database_that_goes_away_is_waited_for(database: Database, world: World) -> None:
    """The outcome of the push in hand is written when it is back."""
    path = Path(str(make_url(database.url).database))
    gone = path.with_suffix(".gone")

    class BackSoon(Event):
        def wait(self, timeout: float | None = None) -> bool:
            if gone.exists():
                gone.rename(path)
            return self.is_set()

    away = []

    def meanwhile(entity: Entity, record_id: int) -> None:
        if not away:
            away.append(record_id)
            path.rename(gone)

    assert Watched(PASSING, meanwhile, stop=BackSoon()).round().attempted == 8
    assert kinds(INVOICES, away[0]) == ["created", "attempt"]


def test_an_outcome_written_twice_is_one_attempt(
    database: Database, world: World, analyst: Principal
) -> None:
    """As where the answer to the UPDATE was lost; somebody sends it back meanwhile."""
    record = world.invoice["pending"]
    seen = live._read_again(INVOICES, record, 1)
    assert seen is not None
    outcome = live.books.accept(seen.record, utc_now(), "7", [27_000, 0])
    live._write(seen, outcome, [27_000, 0])
    send_back(INVOICES, record)
    live._write(seen, outcome, [27_000, 0])
    assert kinds(INVOICES, record) == ["created", "attempt", "operation"]
    with reading() as db:
        kept = select(func.count()).where(attempt_line.c.sync_at == outcome["sync_at"])
        assert db.scalar(kept) == 2


def test_outcomes_are_made_up_on_a_demo_alone(database: Database, world: World) -> None:
    before, stop = len(attempts()), Event()
    with pytest.raises(NotADemo, match="not a demo"):
        simulate(stop, BRISK, told=lambda _report: stop.set())
    assert refused("simulate-jobs", "--seconds", "1").startswith("This database is not a demo")
    assert len(attempts()) == before


def test_rounds_until_told_to_stop(database: Database, world: World) -> None:
    with writing() as db:
        db.execute(insert(database_fact).values(key=DEMO, value="1"))
    stop, told = Event(), list[Report]()

    def tell(report: Report) -> None:
        told.append(report)
        if len(told) == 2:
            stop.set()

    total = simulate(stop, BRISK, seed=1, told=tell)
    assert total == told[0] + told[1]
    assert (total.attempted, len(told)) == (8, 2)


# ---------------------------------------------------------------- the command line


@pytest.fixture
def url(demo: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a demo with much to do; its history is checked at the end."""
    address = f"sqlite:///{shutil.copy(demo, tmp_path / 'synchist.db')}"
    with configured(address):
        for entity in ENTITIES:
            say(f"UPDATE {entity.key} SET sync_status = 0 WHERE sync_status = 2")
    yield address
    with checked(address):
        pass


@contextmanager
def started(url: str, output: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with output.open("wb") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", "synchist", *arguments],
            cwd=ROOT,
            env={**os.environ, "SYNCHIST_DATABASE_URL": url},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def comes(what: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)


def attempted(url: str) -> int:
    with configured(url):
        return len(attempts())


def test_it_ends_after_so_many_seconds(url: str) -> None:
    before = attempted(url)
    ended = process("simulate-jobs", "--seconds", "2", "--seed", "3", "--pause", "0", url=url)
    assert (ended.returncode, ended.stderr) == (0, "")
    *rounds, total = ended.stdout.splitlines()
    for line in rounds:
        assert re.fullmatch(r"\d\d:\d\d:\d\d [\d,]+ attempted: [\d,]+ complete, .*", line)
    found = re.fullmatch(r"In all (\d+) attempted: \d+ complete, \d+ failed.*", total)
    assert found
    assert int(found[1]) == attempted(url) - before > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_after_the_push_in_hand(
    url: str, tmp_path: Path, number: signal.Signals
) -> None:
    before, output = attempted(url), tmp_path / "output.txt"
    with started(url, output, "simulate-jobs") as running:
        comes(lambda: attempted(url) > before)
        running.send_signal(number)
        assert running.wait(30) == 0
    found = re.search(r"^In all (\d+) attempted", output.read_text(), re.MULTILINE)
    assert found
    assert int(found[1]) == attempted(url) - before


def children(parent: int) -> list[int]:
    """The processes that a process has started and that still run."""
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    )
    lines = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, of, state in lines if int(of) == parent and state[0] != "Z"]


def runs(pid: int) -> bool:
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return bool(listed.stdout.strip()) and not listed.stdout.startswith("Z")


def test_jobs_beside_the_server_end_with_it_however_it_ends(url: str, tmp_path: Path) -> None:
    before, output, port = attempted(url), tmp_path / "output.txt", _free_port()
    with started(url, output, "run", "--jobs", "--port", str(port)) as server:
        _wait_until_ready(f"http://localhost:{port}", server, output)
        comes(lambda: attempted(url) > before)
        (child,) = children(server.pid)
        server.kill()
        server.wait()
        try:
            comes(lambda: not runs(child), seconds=20)
        finally:
            if runs(child):
                os.kill(child, signal.SIGKILL)
    assert "attempted" not in output.read_text()


def test_jobs_beside_a_server_of_real_records_are_refused(
    sqlite_database: Database, world: World, tmp_path: Path
) -> None:
    ended = process("run", "--jobs", "--port", str(_free_port()), url=sqlite_database.url)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.fullmatch(r"This database is not a demo: .*\n", ended.stderr)
