"""Sync jobs that go on working on a demo: the contract of `docs/jobs.md`, executable.

What a real job does is here as the contract has it: claim, read again, push, write. Only the
accounting systems are made up: `Worker.talk` waits as long as one takes to answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta
from operator import add
from random import Random
from threading import Event
from typing import Any, ParamSpec, TypeAlias, TypeVar
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import Connection, Row, exists, insert, or_, select, update

from synchist.db.engine import DatabaseUnavailable, reading, writing
from synchist.db.prepare import is_demo
from synchist.db.tables import (
    attempt_line,
    charge_line,
    connection,
    operation,
    organization,
    sync_event,
)
from synchist.db.types import utc_now
from synchist.demo import books
from synchist.demo.books import Books, Paid, Record, unbooked
from synchist.demo.errors import SHAPES, Cause
from synchist.demo.names import Company, Party
from synchist.diagnosis import Cause as Diagnosed
from synchist.diagnosis import Retry, diagnose
from synchist.entities import BY_KEY, ENTITIES, Entity
from synchist.errors import SynchistError
from synchist.statuses import FIXED as AFTER_A_FIX
from synchist.statuses import ConnectionState, EventKind, SyncStatus

FAILS = 0.12
"""How many first attempts fail for a reason of their own."""

FIXED, CHANGED, PASSED, UNCHANGED = 0.85, 0.8, 0.85, 0.1
"""How often a record that failed is taken the next time: somebody says that it is fixed, the TMS
has changed it, its trouble passes by itself, nothing has happened."""

REST = timedelta(seconds=30)
"""How long a record that was throttled is left alone."""

AWAY_SECONDS = 1.0
"""After which time a database that went away is asked again."""

FIRST_REFERENCE = 20_000_000
"""References of live jobs lie above those of a demo of up to four million records."""

SYSTEMS = frozenset(shape.system for shape in SHAPES)

Found: TypeAlias = Row[*tuple[Any, ...]]
"""A row of a query, of any columns."""

T = TypeVar("T")
P = ParamSpec("P")


class NotADemo(SynchistError):
    """Made-up outcomes would reach real records."""

    def __init__(self) -> None:
        super().__init__(
            "This database is not a demo: simulated jobs would write made-up outcomes to real"
            " records. Make a demo in an empty database: python -m synchist demo"
        )


@dataclass(frozen=True)
class Pace:
    """How fast jobs work.

    `claims` is how many records of one entity a round takes at most, `push_seconds` how long the
    books take to answer (from, to), `pause_seconds` the time between two rounds.
    """

    claims: int = 20
    push_seconds: tuple[float, float] = (0.05, 0.6)
    pause_seconds: float = 4.0


USUAL = Pace()


@dataclass(frozen=True)
class Report:
    """What became of the records of one round, or of several together.

    `pending` were attempted and left Pending, `skipped` were claimed and then not attempted, since
    somebody changed them meanwhile.
    """

    complete: int = 0
    failed: int = 0
    pending: int = 0
    skipped: int = 0

    @property
    def attempted(self) -> int:
        """How many records were pushed."""
        return self.complete + self.failed + self.pending

    def __add__(self, other: "Report") -> "Report":
        return Report(*map(add, astuple(self), astuple(other)))

    def __str__(self) -> str:
        rare = [f"{self.pending:,} pending"] * (self.pending > 0)
        rare += [f"{self.skipped:,} skipped"] * (self.skipped > 0)
        counts = [f"{self.complete:,} complete", f"{self.failed:,} failed", *rare]
        return f"{self.attempted:,} attempted: {', '.join(counts)}"


@dataclass(frozen=True)
class _Seen:
    """A record just before its push, and what the books' answer depends on.

    `row` has the columns of the record and of its connection. `failure` is the event of its last
    attempt if that failed, `changed` whether the TMS changed it or a document was booked since.
    """

    entity: Entity
    record: Record
    row: Found
    line_ids: Sequence[int]
    failure: Found | None
    changed: bool


class Worker:
    """One sync job. `share` (n, of) lets several work side by side: it looks only at records whose
    id leaves n when divided by `of`. Once `stop` is set it ends with the push in hand.

    It does not ask whether the database is a demo; `simulate` does.
    """

    def __init__(
        self,
        rng: Random,
        pace: Pace = USUAL,
        *,
        share: tuple[int, int] = (0, 1),
        stop: Event | None = None,
    ) -> None:
        self._rng = rng
        self._pace = pace
        self._share = share
        self._stop = stop or Event()
        self._books = Books(rng)
        self._last_at = utc_now()

    def round(self) -> Report:
        """Go through all four entities once: claim, then push and write one record after the other.

        Where the database goes away it waits until it is back: what the books have answered must
        not be lost, or the record would be pushed a second time.
        """
        report = Report()
        try:
            for entity in ENTITIES:
                for record_id, version in self._patiently(self._claim, entity):
                    if self._stop.is_set():
                        return report
                    report += self._attempt(entity, record_id, version)
        except DatabaseUnavailable:
            pass  # it was still away when the end was asked for
        return report

    def talk(self, entity: Entity, record_id: int) -> None:
        """Wait for the books' answer about one record. No lock is held and no transaction open."""
        self._stop.wait(self._rng.uniform(*self._pace.push_seconds))

    def _attempt(self, entity: Entity, record_id: int, version: int) -> Report:
        seen = self._patiently(_read_again, entity, record_id, version)
        if seen is None:
            return Report(skipped=1)
        self.talk(entity, record_id)
        at = self._moment()
        refused = self._refused(seen, at)
        held = None if refused else self._books.hold(seen.record)
        outcome = refused or books.accept(seen.record, at, _reference(seen), held)
        self._patiently(_write, seen, outcome, held)
        name = SyncStatus(outcome["sync_status"]).name.lower()
        return Report(**{name: 1})

    def _patiently(self, step: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Carry out a step again and again until the database is there."""
        while True:
            try:
                return step(*args, **options)
            except DatabaseUnavailable:
                if self._stop.wait(AWAY_SECONDS):
                    raise

    def _moment(self) -> datetime:
        """Now, and later than any moment before: each attempt has its own."""
        self._last_at = max(utc_now(), self._last_at + timedelta(microseconds=1))
        return self._last_at

    # ------------------------------------------------------------ step 1

    def _claim(self, entity: Entity) -> Sequence[Found]:
        """Id and version of the next records, the oldest first."""
        of, (number, workers) = entity.table.c, self._share
        # A job that was throttled left the record Pending at the moment of its attempt.
        rested = or_(
            of.sync_at.is_(None), of.sync_at != of.outcome_at, of.sync_at < utc_now() - REST
        )
        due = (
            select(of.id, of.version)
            .where(
                of.sync_status == int(SyncStatus.PENDING),
                of.tms_status.in_(entity.syncable),
                of.connection_id.is_not(None),
                of.id % workers == number,
                rested,
            )
            .order_by(of.id)
            .limit(self._pace.claims)
            .with_for_update(skip_locked=True)
        )
        with writing() as db:
            return db.execute(due).all()

    # ------------------------------------------------------------ what the books answer

    def _refused(self, seen: _Seen, at: datetime) -> books.Row | None:
        """The outcome if the books refuse the record, or None if they take it."""
        if not _authorized(seen.row, at):
            return self._refuse(seen, at, Cause.AUTHORIZATION)
        if unbooked(seen.record, at):
            return self._refuse(seen, at, Cause.LINK)
        if seen.failure is not None:
            passes = self._rng.random() < _chance(seen, seen.failure)
            return None if passes else _again(seen.record, at, seen.failure)
        fails = self._rng.random() < FAILS
        return self._refuse(seen, at, *_ordinary(seen)) if fails else None

    def _refuse(self, seen: _Seen, at: datetime, *causes: Cause) -> books.Row:
        return self._books.refuse(seen.record, at, self._books.choose(seen.record, *causes))


def _authorized(row: Found, at: datetime) -> bool:
    ends = row.token_expires_at
    return row.state == ConnectionState.AUTHORIZED and (ends is None or ends > at)


def _chance(seen: _Seen, failure: Found) -> float:
    """How likely the books take a record that they refused the last time."""
    if seen.row.reason == AFTER_A_FIX:
        return FIXED
    if seen.changed:
        return CHANGED
    found = diagnose(failure.sync_error, seen.row.system, failure.sync_error_code, seen.entity.key)
    # Without authorization it would not have come this far: somebody has authorized it again.
    passes = (Diagnosed.AUTHORIZATION, Diagnosed.SERVICE_UNAVAILABLE)
    return PASSED if found.retry is Retry.SAFE or found.cause in passes else UNCHANGED


def _ordinary(seen: _Seen) -> tuple[Cause, ...]:
    """Why a first attempt may fail; because of closed books only where they are closed."""
    lock, day = seen.row.lock_date, seen.record.row["accounting_date"]
    closed = (Cause.CLOSED,) * (lock is not None and day <= lock)
    return (Cause.RECORD, Cause.PASSING, Cause.THROTTLED, *closed)


def _again(record: Record, at: datetime, failure: Found) -> books.Row:
    """The same answer as the last time, to the letter."""
    return books.attempt(
        record,
        at,
        SyncStatus(failure.sync_status),
        sync_error_code=failure.sync_error_code,
        sync_error=failure.sync_error,
    )


def _reference(seen: _Seen) -> str:
    """The reference in the style of the system. A record keeps its own when it is synced again:
    then the books change what they hold."""
    key, record_id = seen.entity.key, seen.row.id
    if seen.record.company.system == "xero":
        return str(uuid5(NAMESPACE_OID, f"{key} {record_id}"))
    return str(FIRST_REFERENCE + record_id * len(ENTITIES) + ENTITIES.index(seen.entity))


# ---------------------------------------------------------------- step 2


def _read_again(entity: Entity, record_id: int, version: int) -> _Seen | None:
    """The record as it is now, or None where it is not Pending any more or has changed."""
    table, link = entity.table, connection.c
    of = table.c
    with reading() as db:
        row = db.execute(
            select(
                table,
                organization.c.name.label("party"),
                link.name.label("connection"),
                *(link.system, link.company, link.state, link.token_expires_at, link.lock_date),
                operation.c.reason,
            )
            .join(organization, of.party_id == organization.c.id)
            .join(connection, of.connection_id == link.id)
            .outerjoin(operation, of.last_operation_id == operation.c.id)
            .where(
                of.id == record_id,
                of.sync_status == int(SyncStatus.PENDING),
                of.version == version,
            )
        ).first()
        if row is None:
            return None
        lines = _lines(db, entity, record_id)
        documents = _documents(db, entity, record_id)
        failure = _failure(db, entity, record_id)
        changed = failure is not None and _changed(db, entity, record_id, failure, documents)
    record = Record(
        entity.key,
        # Error texts name a day, which a record may lack.
        row._asdict() | {"accounting_date": row.accounting_date or row.created_at.date()},
        *_who(row),
        lines=[(line.description, line.amount) for line in lines],
        documents=documents,
    )
    return _Seen(entity, record, row, [line.id for line in lines], failure, changed)


def _who(row: Found) -> tuple[Party, Company]:
    """Customer or vendor, and the company whose books it is about. A system that the demo doesn't
    know speaks as QuickBooks Online does."""
    system = row.system if row.system in SYSTEMS else "quickbooks_online"
    company = Company(row.connection_id, row.company, system, row.connection, row.currency, {})
    return Party(row.party_id, row.party, company, row.currency), company


def _lines(db: Connection, entity: Entity, record_id: int) -> Sequence[Found]:
    if entity.charge_lines is None:
        return []
    line = charge_line.c
    return db.execute(
        select(line.id, line.description, line.amount)
        .where(entity.charge_lines == record_id)
        .order_by(line.position, line.id)
    ).all()


def _documents(db: Connection, entity: Entity, record_id: int) -> list[Paid]:
    """The documents of a payment; they are in the books if they are Complete."""
    if entity.charge_lines is not None:
        return []
    links, document = entity.applications, BY_KEY[entity.applications.other_key].table
    of = document.c
    rows = db.execute(
        select(of.number, of.sync_status, of.outcome_at)
        .join(links.table, links.other == of.id)
        .where(links.own == record_id)
        .order_by(links.table.c.id)
    )
    complete = SyncStatus.COMPLETE
    return [Paid(number, at if status == complete else None) for number, status, at in rows]


def _failure(db: Connection, entity: Entity, record_id: int) -> Found | None:
    """The event of the last attempt, if it left an error."""
    of = sync_event.c
    last = db.execute(
        select(of.version, of.at, of.sync_status, of.sync_error, of.sync_error_code)
        .where(
            of.entity == entity.key, of.record_id == record_id, of.kind == EventKind.ATTEMPT.value
        )
        .order_by(of.version.desc())
        .limit(1)
    ).first()
    failed = last is not None and last.sync_status != SyncStatus.COMPLETE and last.sync_error
    return last if failed else None


def _changed(
    db: Connection, entity: Entity, record_id: int, failure: Found, documents: Sequence[Paid]
) -> bool:
    """Whether the TMS changed the record after that failure, or a document of it was booked."""
    of = sync_event.c
    by_the_tms = exists().where(
        of.entity == entity.key,
        of.record_id == record_id,
        of.version > failure.version,
        of.kind == EventKind.TMS.value,
    )
    booked = any(one.booked_at and one.booked_at > failure.at for one in documents)
    return booked or bool(db.scalar(select(by_the_tms)))


# ---------------------------------------------------------------- step 3


def _write(seen: _Seen, outcome: books.Row, held: list[int] | None) -> None:
    """Write the outcome, whatever the status is by now; a second time, it changes nothing."""
    of, at = seen.entity.table.c, outcome["sync_at"]
    values = {name: value for name, value in outcome.items() if name != "id"}
    # A database that went away may have written it before: then it stands there already.
    written = (
        update(seen.entity.table)
        .where(of.id == outcome["id"], of.sync_at.is_distinct_from(at))
        .values(values)
    )
    with writing() as db:
        first = bool(db.execute(written).rowcount)
        if first and outcome["sync_status"] == SyncStatus.COMPLETE:
            _succeeded(db, seen.row.connection_id, at)
            _keep_lines(db, seen.line_ids, at, held)


def _succeeded(db: Connection, connection_id: int, at: datetime) -> None:
    """Note on the connection that it works."""
    of = connection.c
    later = or_(of.last_success_at.is_(None), of.last_success_at < at)
    db.execute(update(connection).where(of.id == connection_id, later).values(last_success_at=at))


def _keep_lines(
    db: Connection, line_ids: Sequence[int], at: datetime, held: list[int] | None
) -> None:
    """Note what the books hold per charge line, where that differs."""
    if held:
        rows = [
            {"charge_line_id": line_id, "sync_at": at, "amount": amount}
            for line_id, amount in zip(line_ids, held, strict=True)
        ]
        db.execute(insert(attempt_line), rows)


# ---------------------------------------------------------------- round after round


def refuse_what_is_no_demo() -> None:
    """Raise NotADemo where outcomes are not to be made up."""
    with reading() as db:
        if not is_demo(db):
            raise NotADemo


def simulate(
    stop: Event,
    pace: Pace = USUAL,
    seed: int | None = None,
    told: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Let a worker do round after round until `stop` is set; what became of all of them together.

    `told` is called after each round. The database may go away for a while, but at the start.

    Raises NotADemo, DatabaseUnavailable.
    """
    refuse_what_is_no_demo()
    # Made-up outcomes need chance that can be repeated, not secrets.
    worker = Worker(Random(seed), pace, stop=stop)  # noqa: S311
    total = Report()
    while not stop.is_set():
        done = worker.round()
        total += done
        told(done)
        stop.wait(pace.pause_seconds)
    return total
