"""The chain: seal what is committed for certain, and verify that it still is what was sealed.

A seal covers the next rows of one source. Its hash is the SHA-256 of one line in the encoding of
`forms.py`: the hash of the seal before (empty for the first), number, moment, form, source, last
id, count, fingerprints, and the hashes of the rows one after another. The fingerprints only name
the row that was touched; what proves is the hash.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, astuple, dataclass, field, fields, replace
from datetime import UTC, datetime
from hashlib import sha256
from time import monotonic, sleep

from sqlalchemy import Connection, func, select, text

from synchist.db.engine import dialect_insert, reading, writing
from synchist.db.tables import metadata
from synchist.db.tables import seal as table
from synchist.db.types import moment_text, utc_now
from synchist.errors import SynchistError
from synchist.sealing import anchors
from synchist.sealing.anchors import Anchors
from synchist.sealing.forms import (
    CHRONICLE,
    FORMS,
    NEWEST,
    Row,
    any_text,
    encoded,
    rows,
    stored,
    unnamed,
)
from synchist.settings import settings

ROWS = 1_000
"""Most rows that one seal covers."""

ENTRIES = 20
"""The same of the chronicle, each of whose rows may stand for ten thousand."""

PAGE = 20
"""Seals that one transaction verifies, so that none lasts long."""

WAIT_SECONDS = 0.1
"""How often the command looks whether what it waits for has ended."""

NAMES = {
    "sync_event": "sync event",
    "access_event": "access event",
    "attempt_line": "attempt line",
    "export_reading": "reading of an export",
    "triage_event": "triage event",
    "team_hint": "hint",
    CHRONICLE: "entry",
    "operation": "operation",
    "operation_item": "an item of operation",
    "reconciliation": "reconciliation",
    "reconciliation_line": "a line of reconciliation",
    "reconciliation_confirmation": "confirmation",
    "period_close": "sign-off",
    "period_close_sum": "a sum of sign-off",
    "period_close_record": "a record of sign-off",
    "period_reopen": "reopening of sign-off",
}
"""What a row of each table is called."""

Transactions = Callable[[], AbstractContextManager[Connection]]


@dataclass(frozen=True)
class Seal:
    """A seal as it is stored; its moment in the one form of text."""

    number: int
    at: str
    form: int
    source: str
    last_id: int
    count: int
    fingerprints: str
    hash: str

    @property
    def moment(self) -> datetime:
        """When it was set."""
        return datetime.fromisoformat(self.at).replace(tzinfo=UTC)

    @property
    def told(self) -> str:
        """When it was set, and its number, as a sentence has them."""
        try:
            local = self.moment.astimezone(settings().zone)
        except (ValueError, TypeError, OverflowError):  # somebody has put something else there
            return f"sealed (seal {self.number:,})"
        return f"sealed on {local.day} {local:%b %Y, %H:%M} (seal {self.number:,})"


FIRST = Seal(0, "", NEWEST, "", 0, 0, "", "")
"""What the first seal is linked to."""


class HeldUp(SynchistError):
    """A transaction that may still write between what is there keeps the rest from being sealed."""

    def __init__(self, who: str, newest: int) -> None:
        sealed = f"Up to seal {newest:,}, all is sealed." if newest else "Nothing is sealed yet."
        super().__init__(
            f"{who} has written to the history and not ended yet, so what was written since can't"
            f" be sealed. {sealed} Run the command again once it has ended."
        )


class NothingSealed(SynchistError):
    """There is no chain that could be verified."""

    def __init__(self) -> None:
        super().__init__("Nothing is sealed yet. Seal first: python -m synchist audit seal")


class HistoryAltered(SynchistError):
    """The first place where the history, or its chain, is not what was sealed."""

    def __init__(
        self, what: str, seal: int | None = None, source: str = "", row: int | None = None
    ) -> None:
        super().__init__(
            f"The history was altered: {what}. Leave the database as it is; docs/assurance.md says"
            " what to do."
        )
        self.seal, self.source, self.row = seal, source, row


# ---------------------------------------------------------------- sealing


@dataclass(frozen=True)
class _Point:
    """The highest id of a source at one moment, and the transactions that may have had lower ones
    by then."""

    upto: int
    writers: frozenset[str]


class Sealer:
    """Seals what is committed for certain. One a process: it remembers what it waits for."""

    def __init__(self) -> None:
        self._points: dict[str, _Point] = {}
        self._announced = 0

    @property
    def unfinished(self) -> bool:
        """Whether something that was there at the last look is not sealed yet."""
        return bool(self._points)

    def look(self) -> None:
        """See what there is to seal; a source that is waited for stays with the look before.

        Raises DatabaseUnavailable.
        """
        self._points = _points() | self._points

    def seals(self) -> Iterator[Seal]:
        """Set seal after seal over what was there at the look, as far as it is certain.

        Ends early where another process is sealing: that one goes on. Raises DatabaseUnavailable.
        """
        held = {source for source, _ in self._held_up()}
        for source in [source for source in self._points if source not in held]:
            while batch := _next_batch(source, self._points[source].upto):
                if not _set(batch):
                    return
                yield batch
            del self._points[source]

    def announce(self) -> Seal:
        """Tell the log, and the seal file, the newest seal where it is another than before.

        Raises DatabaseUnavailable, SealFileNotWritten.
        """
        with reading() as connection:
            newest = _newest(connection)
        if newest.number != self._announced:
            anchors.announce(
                newest.number, newest.hash, newest.source, newest.last_id, newest.moment
            )
            self._announced = newest.number
        return newest

    def hindrance(self) -> HeldUp | None:
        """What the rest waits for; None where it waits for nothing any more."""
        pids = [pid for _, pid in self._held_up()]
        if not pids:
            return None
        with reading() as connection:
            return HeldUp(_told_writer(connection, pids), _newest(connection).number)

    def _held_up(self) -> list[tuple[str, int | None]]:
        """The sources that have to wait, and the process of each transaction that they wait for."""
        if not any(point.writers for point in self._points.values()):
            return []
        with reading() as connection:
            return [
                (source, pid)
                for source, writer, pid in _writers(connection)
                if source in self._points and writer in self._points[source].writers
            ]


def seal_all(progress: Callable[[int], None] = lambda rows: None) -> tuple[int, Seal]:
    """Seal everything that is committed when this is called; how many seals were set, and the
    newest seal, whose number is 0 where there is nothing to seal.

    `progress` is told after each seal how many rows it covers. Raises HeldUp where a transaction
    that was writing does not end within `lock_wait_seconds`, DatabaseUnavailable,
    SealFileNotWritten.
    """
    sealer, count, since = Sealer(), 0, monotonic()
    sealer.look()
    while True:
        for one in sealer.seals():
            count, since = count + 1, monotonic()
            progress(one.count)
        if not sealer.unfinished:
            return count, sealer.announce()
        waited = monotonic() > since + settings().lock_wait_seconds
        if waited and (held := sealer.hindrance()):
            sealer.announce()
            raise held
        sleep(WAIT_SECONDS)


def backlog() -> int:
    """About how many rows are not sealed yet. Raises DatabaseUnavailable."""
    with reading() as connection:
        return sum(
            _unsealed(connection, source, _last_id(connection, source))
            for source in FORMS[NEWEST].sources
        )


def covered() -> int:
    """How many rows the seals cover. Raises DatabaseUnavailable."""
    with reading() as connection:
        return int(connection.scalar(select(func.sum(table.c.count))) or 0)


def _next_batch(source: str, upto: int) -> Seal | None:
    """The seal of the next rows of a source, not set yet; None where there are none."""
    form = FORMS[NEWEST]
    with _anything() as connection:
        newest, after = _newest(connection), _last_id(connection, source)
        most = ENTRIES if source == CHRONICLE else ROWS
        covered = rows(connection, form, source, after, upto, most)
    if not covered:
        return None
    made = Seal(
        number=newest.number + 1,
        at=moment_text(utc_now()),
        form=NEWEST,
        source=source,
        last_id=covered[-1].id,
        count=len(covered),
        fingerprints=" ".join(f"{row.id}:{row.fingerprint}" for row in covered),
        hash="",
    )
    return replace(made, hash=_linked(newest.hash, made, covered))


def _set(made: Seal) -> bool:
    """Store a seal, unless another process has set one since. The lock is held for one INSERT."""
    with writing() as connection:
        if _newest(connection).number != made.number - 1:
            return False
        given = {**asdict(made), "at": made.moment}
        # On PostgreSQL another one may still come first; here it waits for that one to commit.
        statement = dialect_insert(connection, table).values(given).on_conflict_do_nothing()
        return connection.scalar(statement.returning(table.c.number)) is not None


def _linked(before: str, made: Seal, covered: Iterable[Row]) -> str:
    """The hash of a seal that follows the one with the hash `before`."""
    digests = b"".join(row.digest for row in covered).hex()
    return sha256(encoded([before, *astuple(made)[:-1], digests]).encode()).hexdigest()


def _newest(connection: Connection) -> Seal:
    return next(_stored(connection, "ORDER BY number DESC LIMIT 1"), FIRST)


def _stored(connection: Connection, which: str, **given: object) -> Iterator[Seal]:
    columns = stored(connection, table.name, [one.name for one in fields(Seal)])
    found = connection.execute(text(f"SELECT {columns} FROM {table.name} {which}"), given)
    return (Seal(*row) for row in found)


@contextmanager
def _anything(transactions: Transactions = reading) -> Iterator[Connection]:
    """A transaction that reads whatever somebody may have stored."""
    with transactions() as connection, any_text(connection):
        yield connection


def _last_id(connection: Connection, source: str) -> int | None:
    """Up to where a source is sealed; None where nothing of it is."""
    last = select(func.max(table.c.last_id)).where(table.c.source == source)
    found: int | None = connection.scalar(last)
    return found


def _unsealed(connection: Connection, source: str, after: int | None) -> int:
    of = metadata.tables[source]
    above = [] if after is None else [of.c.id > after]
    return connection.scalar(select(func.count()).select_from(of).where(*above)) or 0


# ---------------------------------------------------------------- committed for certain

# On SQLite there is one writer at a time, so ids follow the order of commit. On PostgreSQL a
# transaction may take an id early and commit late. Whoever has taken one has written to the table
# and holds its lock until the end; so, of all below the highest id seen, no row can come any more
# once all have ended that held the lock just after that look.
_WRITERS = text(
    """
    SELECT c.relname AS source, l.virtualtransaction AS writer, l.pid
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(:sources)
    """
)
_WHO = text(
    "SELECT pid, usename, xact_start FROM pg_stat_activity WHERE pid = ANY(:pids)"
    " ORDER BY xact_start LIMIT 1"
)


def _points() -> dict[str, _Point]:
    """Of each source that is not sealed to its end: up to where it may be, and after whom."""
    with reading() as connection:
        highest = {
            source: connection.scalar(select(func.max(metadata.tables[source].c.id)))
            for source in FORMS[NEWEST].sources
        }
        sealed = {source: _last_id(connection, source) for source in highest}
        writers = _writers(connection)  # not before the ids are read
    return {
        source: _Point(upto, frozenset(writer for of, writer, _ in writers if of == source))
        for source, upto in highest.items()
        if upto is not None and ((last := sealed[source]) is None or upto > last)
    }


def _writers(connection: Connection) -> list[tuple[str, str, int | None]]:
    """The transactions that are writing to sources just now: source, transaction, process."""
    if connection.dialect.name == "sqlite":
        return []
    found = connection.execute(_WRITERS, {"sources": list(FORMS[NEWEST].sources)})
    return [(row.source, row.writer, row.pid) for row in found]


def _told_writer(connection: Connection, pids: list[int | None]) -> str:
    """The oldest of these processes' transactions, as a sentence begins with it."""
    known = [pid for pid in pids if pid is not None]
    found = connection.execute(_WHO, {"pids": known}).first() if known else None
    if found is None:  # prepared, and waiting for its second phase
        return "A transaction without a process"
    since = ""
    if found.xact_start is not None:  # not told to every role
        local = found.xact_start.astimezone(settings().zone)
        since = f", begun on {local.day} {local:%b %Y, %H:%M:%S}"
    return f"A transaction of {found.usename or 'an unknown user'} (process {found.pid}{since})"


# ---------------------------------------------------------------- verifying


@dataclass
class Whole:
    """What was verified: the newest seal, how many rows, and how many wait for the next one."""

    newest: Seal = FIRST
    rows: int = 0
    unsealed: int = 0
    _upto: dict[str, int] = field(default_factory=dict)


def verify(
    known: Anchors | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    transactions: Transactions = reading,
) -> Whole:
    """Verify the whole chain and, first, that all anchors are in it.

    `progress` is told after each seal how many rows it covers; `transactions` gives those to read
    in. Raises HistoryAltered with the first bad place, NothingSealed, DatabaseUnavailable.
    """
    with _anything(transactions) as connection:
        _compare(connection, known or Anchors())
    whole, more = Whole(), True
    while more:
        with _anything(transactions) as connection:
            more = _verify_page(connection, whole, progress)
    if whole.newest is FIRST:
        raise NothingSealed
    with _anything(transactions) as connection:
        for named, key in unnamed(connection, FORMS[NEWEST]):
            raise HistoryAltered(
                f"{NAMES[named]} {key} was written past the database's own triggers", source=named
            )
        whole.unsealed = sum(
            _unsealed(connection, source, whole._upto.get(source))
            for source in FORMS[NEWEST].sources
        )
    return whole


def _compare(connection: Connection, known: Anchors) -> None:
    """Raise HistoryAltered for the first anchor that is not in the chain."""
    last = _newest(connection).number
    found = text("SELECT hash FROM seal WHERE number = :number")
    for anchor in sorted(known.known, key=lambda anchor: anchor.number):
        is_there = connection.scalar(found, {"number": anchor.number})
        if anchor.number > last:
            raise HistoryAltered(
                f"the chain ends at seal {last:,}, but {known.file} knows seal {anchor.number:,}"
                f" (line {anchor.line:,})",
                anchor.number,
            )
        if is_there != anchor.hash:
            raise HistoryAltered(
                f"seal {anchor.number:,} is not the one that {known.file} knows (line"
                f" {anchor.line:,}), so the chain up to there was made anew",
                anchor.number,
            )


def _verify_page(connection: Connection, whole: Whole, progress: Callable[[int], None]) -> bool:
    """Verify the seals that follow; whether there may be more. Raises HistoryAltered."""
    begun = whole.newest is not FIRST
    after = "WHERE number > :after" if begun else ""
    given = {"after": whole.newest.number} if begun else {}
    count = 0
    for seal in list(_stored(connection, f"{after} ORDER BY number LIMIT {PAGE}", **given)):
        _verify_one(connection, whole, seal)
        progress(seal.count)
        count += 1
    return count == PAGE


def _verify_one(connection: Connection, whole: Whole, seal: Seal) -> None:
    before = whole.newest
    if seal.number > before.number + 1:
        raise HistoryAltered(f"seal {before.number + 1:,} is missing", before.number + 1)
    sealed = _fingerprints(seal)
    after = whole._upto.get(seal.source)
    if seal.number <= before.number or sealed is None or not _follows(seal, sealed, after):
        raise _not_that_seal(before, seal)
    # As many as were sealed are enough: one that was put in stands among the first of them.
    form = FORMS[seal.form]
    there = rows(connection, form, seal.source, after, seal.last_id, len(sealed))
    _refuse_differences(seal, sealed, {row.id: row for row in there})
    if _linked(before.hash, seal, there) != seal.hash:
        raise _not_that_seal(before, seal)
    whole.newest = seal
    whole.rows += seal.count
    whole._upto[seal.source] = seal.last_id


def _fingerprints(seal: Seal) -> dict[int, str] | None:
    """The fingerprints by id; None where they are none."""
    try:
        pairs = [pair.split(":") for pair in seal.fingerprints.split(" ")]
        return {int(identity): fingerprint for identity, fingerprint in pairs}
    except (ValueError, AttributeError, TypeError):
        return None


def _follows(seal: Seal, sealed: dict[int, str], after: int | None) -> bool:
    """Whether what a seal says of itself can be true: else it is the seal that was altered."""
    ids = list(sealed)
    return (
        seal.form in FORMS
        and seal.source in FORMS[seal.form].sources
        and seal.count == len(ids)
        and seal.last_id == ids[-1]
        and ids == sorted(ids)
        and (after is None or ids[0] > after)
    )


def _refuse_differences(seal: Seal, sealed: dict[int, str], there: dict[int, Row]) -> None:
    """Raise HistoryAltered for the first row that is not what the fingerprints say."""
    for identity in sorted(sealed.keys() | there.keys()):
        row = there.get(identity)
        if row is not None and row.fingerprint == sealed.get(identity):
            continue
        if identity not in sealed:
            what = f"was put in later among what was {seal.told}"
        elif row is None or not row.whole:
            what = f"is missing; it was {seal.told}"
        else:
            what = f"is not what was {seal.told}"
        raise HistoryAltered(
            f"{_named(seal.source, identity, row)} {what}", seal.number, seal.source, identity
        )


def _not_that_seal(before: Seal, seal: Seal) -> HistoryAltered:
    link = f"does not follow seal {before.number:,}" if before.number else "is not the first one"
    return HistoryAltered(f"seal {seal.number:,} was altered, or {link}", seal.number)


def _named(source: str, identity: int, row: Row | None = None) -> str:
    """A row as a sentence names it."""
    if source == CHRONICLE:
        entry = f"entry {identity:,} of the chronicle"
        if row is None:
            return f"{entry} (an operation, a reconciliation or a sign-off)"
        kind, key = row.values[1:3]
        return f"{NAMES.get(kind, 'the row')} {key} ({entry})"
    told = f"{NAMES[source]} {identity:,}"
    if source == "sync_event" and row is not None:
        entity, record, version = row.values[1:4]
        return f"{told} ({str(entity).replace('_', ' ')} {record}, version {version})"
    return told
