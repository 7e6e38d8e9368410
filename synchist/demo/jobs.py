"""What the sync jobs made of each record: the attempts, one after the other, and their outcomes."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from synchist.demo.books import Books, Record, Row, accept, unbooked
from synchist.demo.errors import Cause, Shape
from synchist.demo.names import EXPIRED

FAILS, FAILS_LATELY = 0.14, 0.3
"""How many first attempts fail for a reason of their own: in general, and since the accounts were
renumbered four weeks ago."""

STAYS = {Cause.RECORD: 0.55, Cause.CLOSED: 0.55, Cause.PASSING: 0.12, Cause.THROTTLED: 0.12}
"""How often the next attempt meets the same trouble again."""

GIVES_UP = 0.06
"""How often nobody tries again after a failure."""

WAITS = 0.12
"""How many records wait for days before their first attempt."""

MOST_ATTEMPTS = 7
ORDINARY = (Cause.RECORD, Cause.CLOSED, Cause.PASSING, Cause.THROTTLED)


@dataclass(frozen=True)
class Outcome:
    """The attempts of one record, oldest first.

    `booked_at` is when the books took it; `held` is what they hold per charge line, where that is
    not what the TMS says.
    """

    attempts: list[Row]
    booked_at: datetime | None = None
    held: list[int] | None = None


class Jobs:
    """The sync jobs of all connections, up to a moment; whatever is due later has not happened."""

    def __init__(self, rng: Random, until: datetime) -> None:
        self._rng = rng
        self._books = Books(rng)
        self._until = until
        self._references = 40_000
        self._renumbered_at = until - timedelta(days=28)
        self.expired_at = until - timedelta(days=7, hours=9)
        self.last_success: dict[int, datetime] = {}

    def sync(self, record: Record) -> Outcome:
        """Try to write a record to the books until that succeeds or nobody tries again.

        A failure because of closed books moves the record's accounting date into them.
        """
        rng, attempts = self._rng, list[Row]()
        at = record.row["created_at"] + timedelta(minutes=rng.uniform(4, 90))
        if rng.random() < WAITS:
            at += timedelta(days=rng.expovariate(1 / 2))
        trouble: Shape | None = None
        while at < self._until and len(attempts) < MOST_ATTEMPTS:
            trouble = self._trouble(record, at, trouble)
            if trouble is None:
                return self._success(record, at, attempts)
            attempts.append(self._failure(record, at, trouble))
            if rng.random() < GIVES_UP:
                break
            at += self._pause(trouble)
        return Outcome(attempts)

    def _trouble(self, record: Record, at: datetime, before: Shape | None) -> Shape | None:
        """What the books answer at that moment, or None if they take the record."""
        company = record.company
        if company is EXPIRED and at >= self.expired_at:
            return self._books.choose(record, Cause.AUTHORIZATION)
        if unbooked(record, at):
            return self._books.choose(record, Cause.LINK)
        if record.party.is_missing(at):
            return self._books.choose(record, Cause.PARTY)
        if before is not None:
            return before if self._rng.random() < STAYS.get(before.cause, 0) else None
        fails = FAILS if at < self._renumbered_at else FAILS_LATELY
        return self._books.choose(record, *ORDINARY) if self._rng.random() < fails else None

    def _pause(self, trouble: Shape) -> timedelta:
        """How long until somebody or something tries again."""
        if trouble.cause in (Cause.PASSING, Cause.THROTTLED):
            return timedelta(minutes=self._rng.uniform(20, 180))
        if trouble.cause is Cause.AUTHORIZATION:
            return timedelta(hours=self._rng.uniform(10, 30))
        return timedelta(hours=2, days=self._rng.expovariate(1 / 12))

    def _success(self, record: Record, at: datetime, before: list[Row]) -> Outcome:
        company, held = record.company, self._books.hold(record)
        self.last_success[company.id] = max(at, self.last_success.get(company.id, at))
        return Outcome([*before, accept(record, at, self._reference(record), held)], at, held)

    def _reference(self, record: Record) -> str:
        """The reference in the style of each system, new for every record."""
        self._references += self._rng.randint(1, 3)
        system = record.company.system
        if system == "xero":
            return self._books.uuid()
        return str(self._references + (7_000_000 if system == "netsuite" else 0))

    def _failure(self, record: Record, at: datetime, trouble: Shape) -> Row:
        if trouble.cause is Cause.CLOSED:
            created: date = record.row["created_at"].date()
            record.row["accounting_date"] = created.replace(day=1) - timedelta(days=1)
        return self._books.refuse(record, at, trouble)
