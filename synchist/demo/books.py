"""What accounting systems answer to a push: to the jobs of the made-up story, and to live ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from html import escape
from itertools import accumulate
from random import Random
from typing import Any
from uuid import UUID

from synchist.currencies import to_decimal
from synchist.demo.errors import Cause, Shape, fitting
from synchist.demo.names import Company, Party
from synchist.filters import readable
from synchist.statuses import SyncStatus

Row = dict[str, Any]
"""One row as it is written: values by column name."""

DIFFERS = 0.03
"""How many documents the books take with another amount on a line."""

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
class Paid:
    """A document, as far as the push of its payment needs to know it."""

    number: str
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
    company: Company
    lines: Sequence[tuple[str, int]] = ()
    documents: Sequence[Paid] = ()


@cache
def _choices(system: str, entity: str, *causes: Cause) -> tuple[list[Shape], list[int]]:
    """The answers that fit, and their running weights."""
    shapes = fitting(system, entity, *causes)
    return shapes, list(accumulate(shape.weight for shape in shapes))


class Books:
    """The answers of all accounting systems, by chance where there is a choice."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def choose(self, record: Record, *causes: Cause) -> Shape:
        """One of the answers that the record's system gives for one of these causes."""
        shapes, weights = _choices(record.company.system, record.entity, *causes)
        return self._rng.choices(shapes, cum_weights=weights)[0]

    def refuse(self, record: Record, at: datetime, trouble: Shape) -> Row:
        """The attempt that this answer leaves."""
        # A job that was throttled tries again by itself, so it leaves the record pending.
        throttled = trouble.cause is Cause.THROTTLED
        return attempt(
            record,
            at,
            SyncStatus.PENDING if throttled else SyncStatus.FAILED,
            sync_error_code=trouble.code,
            sync_error=trouble.text.substitute(self._values(record, at)),
        )

    def hold(self, record: Record) -> list[int] | None:
        """What the books hold per charge line, where that is not what the TMS says."""
        return self._differing(record.lines) if self._rng.random() < DIFFERS else None

    def _differing(self, lines: Sequence[tuple[str, int]]) -> list[int] | None:
        """A charge left out, or an older rate."""
        if not lines:
            return None
        amounts = [amount for _, amount in lines]
        if len(lines) > 1:
            amounts[-1] = 0
        else:
            amounts[0] -= self._rng.randint(10, 250) * 100
        return amounts

    def _values(self, record: Record, at: datetime) -> dict[str, str]:
        """What the places in an error text are filled with."""
        rng, row = self._rng, record.row
        day: date = row["accounting_date"]
        amount = to_decimal(row["amount"], row["currency"])
        linked = unbooked(record, at) or (record.documents[0] if record.documents else None)
        return {
            "party": record.party.name,
            "party_xml": escape(record.party.name, quote=False),
            "company": record.company.name,
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
            "ref": self.uuid(),
        }

    def uuid(self) -> str:
        """A new one, in the form that Xero uses."""
        return str(UUID(int=self._rng.getrandbits(128), version=4))


def unbooked(record: Record, at: datetime) -> Paid | None:
    """The first document of a payment that the books do not hold at that moment."""
    for document in record.documents:
        if document.booked_at is None or document.booked_at > at:
            return document
    return None


def accept(record: Record, at: datetime, reference: str, held: list[int] | None) -> Row:
    """The attempt of a record that the books took."""
    return attempt(
        record,
        at,
        SyncStatus.COMPLETE,
        sync_reference=reference,
        synced_amount=sum(held) if held else record.row["amount"],
    )


def attempt(record: Record, at: datetime, status: SyncStatus, **outcome: Any) -> Row:
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
