"""What the sync jobs made of each record: the attempts, one after the other, and their outcomes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from html import escape
from itertools import accumulate
from random import Random
from typing import Any
from uuid import UUID

from synchist.currencies import to_decimal
from synchist.demo.errors import Cause, Shape, fitting
from synchist.demo.names import EXPIRED, Branch, Party
from synchist.filters import readable
from synchist.statuses import SyncStatus

Row = dict[str, Any]
"""One row as it is written: values by column name."""

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
KINDS = {
    "invoice": "Invoice",
    "invoice_payment": "Payment",
    "bill": "Bill",
    "bill_payment": "BillPayment",
}
ACCOUNTS = {
    "invoice": ("40100 Freight Revenue", "40300 Accessorial Revenue", "11000 Freight Receivables"),
    "bill": ("51200 Purchased Transportation", "51400 Carrier Accessorials", "20000 Payables"),
    "invoice_payment": ("10100 Operating Checking", "10900 Undeposited Funds"),
    "bill_payment": ("10100 Operating Checking", "10200 Carrier Pay Account"),
}


@dataclass(frozen=True)
class Document:
    """An invoice or bill, as far as its payment needs to know it."""

    id: int
    number: str
    amount: int
    party: Party
    branch: Branch
    created_at: datetime
    booked_at: datetime | None


@dataclass(frozen=True)
class Record:
    """A record on its way to the books: its row, and what it is about.

    `lines` are the charge lines (description, amount) of a document, `documents` what a payment
    is for.
    """

    entity: str
    row: Row
    party: Party
    branch: Branch
    lines: Sequence[tuple[str, int]] = ()
    documents: Sequence[Document] = ()


@dataclass(frozen=True)
class Outcome:
    """The attempts of one record, oldest first.

    `booked_at` is when the books took it; `held` is what they hold per charge line, where that is
    not what the TMS says.
    """

    attempts: list[Row]
    booked_at: datetime | None = None
    held: list[int] | None = None


@cache
def _choices(system: str, entity: str, *causes: Cause) -> tuple[list[Shape], list[int]]:
    """The answers that fit, and their running weights."""
    shapes = fitting(system, entity, *causes)
    return shapes, list(accumulate(shape.weight for shape in shapes))


class Jobs:
    """The sync jobs of all connections, up to a moment; whatever is due later has not happened."""

    def __init__(self, rng: Random, until: datetime) -> None:
        self._rng = rng
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
        company = record.branch.company
        if company is EXPIRED and at >= self.expired_at:
            return self._choose(record, Cause.AUTHORIZATION)
        if _unbooked(record, at):
            return self._choose(record, Cause.LINK)
        if record.party.is_missing(at):
            return self._choose(record, Cause.PARTY)
        if before is not None:
            return before if self._rng.random() < STAYS.get(before.cause, 0) else None
        fails = FAILS if at < self._renumbered_at else FAILS_LATELY
        return self._choose(record, *ORDINARY) if self._rng.random() < fails else None

    def _choose(self, record: Record, *causes: Cause) -> Shape:
        shapes, weights = _choices(record.branch.company.system, record.entity, *causes)
        return self._rng.choices(shapes, cum_weights=weights)[0]

    def _pause(self, trouble: Shape) -> timedelta:
        """How long until somebody or something tries again."""
        if trouble.cause in (Cause.PASSING, Cause.THROTTLED):
            return timedelta(minutes=self._rng.uniform(20, 180))
        if trouble.cause is Cause.AUTHORIZATION:
            return timedelta(hours=self._rng.uniform(10, 30))
        return timedelta(hours=2, days=self._rng.expovariate(1 / 12))

    def _success(self, record: Record, at: datetime, before: list[Row]) -> Outcome:
        amount = record.row["amount"]
        held = self._held(record.lines) if self._rng.random() < 0.03 else None
        self.last_success[record.branch.company.id] = max(
            at, self.last_success.get(record.branch.company.id, at)
        )
        attempt = _attempt(
            record,
            at,
            SyncStatus.COMPLETE,
            sync_reference=self._reference(record),
            synced_amount=sum(held) if held else amount,
        )
        return Outcome([*before, attempt], at, held)

    def _held(self, lines: Sequence[tuple[str, int]]) -> list[int] | None:
        """What the books hold where they differ: a charge left out, or an older rate."""
        if not lines:
            return None
        amounts = [amount for _, amount in lines]
        if len(lines) > 1:
            amounts[-1] = 0
        else:
            amounts[0] -= self._rng.randint(10, 250) * 100
        return amounts

    def _reference(self, record: Record) -> str:
        """The reference in the style of each system, new for every record."""
        self._references += self._rng.randint(1, 3)
        system = record.branch.company.system
        if system == "xero":
            return self._uuid()
        return str(self._references + (7_000_000 if system == "netsuite" else 0))

    def _failure(self, record: Record, at: datetime, trouble: Shape) -> Row:
        if trouble.cause is Cause.CLOSED:
            created: date = record.row["created_at"].date()
            record.row["accounting_date"] = created.replace(day=1) - timedelta(days=1)
        # A job that was throttled tries again by itself, so it leaves the record pending.
        throttled = trouble.cause is Cause.THROTTLED
        return _attempt(
            record,
            at,
            SyncStatus.PENDING if throttled else SyncStatus.FAILED,
            sync_error_code=trouble.code,
            sync_error=trouble.text.substitute(self._values(record, at)),
        )

    def _values(self, record: Record, at: datetime) -> dict[str, str]:
        """What the places in an error text are filled with."""
        rng, row = self._rng, record.row
        day: date = row["accounting_date"]
        amount = to_decimal(row["amount"], row["currency"])
        linked = _unbooked(record, at) or (record.documents[0] if record.documents else None)
        return {
            "party": record.party.name,
            "party_xml": escape(record.party.name, quote=False),
            "company": record.branch.company.name,
            "kind": KINDS[record.entity],
            "number": row["number"],
            "linked": linked.number if linked else row["number"],
            "amount": f"{amount:,}",
            "less": f"{amount - rng.randint(1, 200) * amount / 400:,.2f}",
            "currency": row["currency"],
            "account": rng.choice(ACCOUNTS[record.entity]),
            "item": rng.choice(record.lines)[0] if record.lines else "Payment",
            "day": day.isoformat(),
            "us_day": f"{day:%m/%d/%Y}",
            "lock": readable(day),
            "moment": at.isoformat(timespec="milliseconds"),
            "txn": str(rng.randint(1_000, 99_999)),
            "hex": f"{rng.getrandbits(64):016x}",
            "ref": self._uuid(),
        }

    def _uuid(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))


def _unbooked(record: Record, at: datetime) -> Document | None:
    """The first document of a payment that the books do not hold at that moment."""
    for document in record.documents:
        if document.booked_at is None or document.booked_at > at:
            return document
    return None


def _attempt(record: Record, at: datetime, status: SyncStatus, **outcome: Any) -> Row:
    """What a job's UPDATE sets: every column of the outcome, so that nothing of the last stays."""
    return {
        "id": record.row["id"],
        "sync_status": int(status),
        "sync_at": at,
        "sync_reference": None,
        "synced_amount": None,
        "sync_error_code": None,
        "sync_error": None,
        **outcome,
    }
