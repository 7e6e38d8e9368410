"""What moved in a month after it was signed off: which records, how, when, and who did it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, and_, select

from synchist.closing.state import Close
from synchist.currencies import money
from synchist.db.engine import among
from synchist.db.tables import connection as connection_table
from synchist.db.tables import (
    organization,
    period_close_record,
    sync_event,
)
from synchist.entities import ENTITIES, Entity
from synchist.filters import readable
from synchist.history import as_event, told
from synchist.statuses import SyncStatus, reason_label


class How(StrEnum):
    """What a record has to do with the month now."""

    CHANGED = "Changed"
    LEFT = "Left the month"
    CAME = "Came in"


@dataclass(frozen=True)
class Move:
    """One thing that happened to a record after the sign-off, at a moment in UTC.

    `changes` says in words what is different after it, and is empty for what changes nothing that
    counts, such as another attempt that fails alike. `what` is what the record's history calls it.
    """

    entity: Entity
    record_id: int
    number: str
    how: How
    at: datetime
    who: str
    what: str
    changes: tuple[str, ...]
    operation_id: str | None
    note: str


@dataclass(frozen=True)
class After:
    """What moved after a sign-off, newest first. `retried` counts the attempts and the like that
    changed nothing which counts."""

    moves: tuple[Move, ...]
    retried: int

    @property
    def records(self) -> Mapping[How, int]:
        """How many records have changed, left or come in."""
        found = {(move.how, move.entity.key, move.record_id) for move in self.moves}
        return {how: sum(one[0] is how for one in found) for how in How}

    @property
    def count(self) -> int:
        """How many records have moved."""
        return sum(self.records.values())


def changed_after(connection: Connection, close: Close) -> After:
    """Everything that moved in what a sign-off has frozen, or came into it."""
    names = _Names(connection)
    moves: list[Move] = []
    retried = 0
    for entity in ENTITIES:
        for record, how, rows in _moved(connection, entity, close):
            for before, row in rows:
                changes = _changes(names, before, row)
                if not changes and how is not How.CAME:
                    retried += 1
                    continue
                moves.append(_move(entity, record, how, before, row, changes))
    moves.sort(key=lambda move: (move.at, move.record_id), reverse=True)
    return After(tuple(moves), retried)


def _move(
    entity: Entity, record: int, how: How, before: Any, row: Any, changes: Sequence[str]
) -> Move:
    event = as_event(row, before)
    return Move(
        entity,
        record,
        row.number,
        how,
        event.at,
        event.who,
        event.what,
        tuple(changes),
        event.operation_id,
        event.note,
    )


# ---------------------------------------------------------------- which records

Pairs = list[tuple[Any, Any]]
"""Events, each with the one before it (None for the first)."""


def _moved(
    connection: Connection, entity: Entity, close: Close
) -> Iterable[tuple[int, How, Pairs]]:
    """The records that have moved, with their events since."""
    of, record = entity.table.c, period_close_record.c
    belongs = and_(*close.unit.within(of))
    is_frozen = and_(record.close_id == close.id, record.entity == entity.key)
    went = connection.execute(
        select(of.id, record.version, belongs.label("within"))
        .join_from(period_close_record, entity.table, of.id == record.record_id)
        .where(is_frozen, of.version > record.version)
    ).all()
    since = {row.id: row.version for row in went}
    within = {row.id for row in went if row.within}
    for one, rows in _events(connection, entity, list(since)).items():
        later = [row for row in rows if row.version >= since[one]]
        pairs = list(pairwise(later))
        yield one, How.CHANGED if one in within else How.LEFT, pairs
    there = select(record.record_id).where(is_frozen)
    came = connection.scalars(select(of.id).where(belongs, of.id.not_in(there))).all()
    for one, rows in _events(connection, entity, came).items():
        yield one, How.CAME, _since_it_came(close, rows)


def _events(connection: Connection, entity: Entity, records: Sequence[int]) -> dict[int, list[Any]]:
    """All events of these records, by record and in their order."""
    found: dict[int, list[Any]] = {}
    if records:
        for row in connection.execute(
            told(entity)
            .where(sync_event.c.record_id.in_(among(connection, records)))
            .order_by(sync_event.c.record_id, sync_event.c.version)
        ):
            found.setdefault(row.record_id, []).append(row)
    return found


def _since_it_came(close: Close, rows: Sequence[Any]) -> Pairs:
    """From the event on that has brought a record into the unit, where it has been since."""
    first = len(rows) - 1
    while first and _belongs(close, rows[first - 1]):
        first -= 1
    return [(rows[one - 1] if one else None, rows[one]) for one in range(first, len(rows))]


def _belongs(close: Close, row: Any) -> bool:
    unit, day = close.unit, row.accounting_date
    return (
        day is not None
        and (day.year, day.month) == (unit.month.year, unit.month.month)
        and row.billing_organization_id == unit.billing_organization_id
        and row.connection_id == unit.connection_id
    )


# ---------------------------------------------------------------- in words

_LABELS = {
    "sync_status": "Sync status",
    "closed_reason": "Closed because",
    "sync_reference": "Reference",
    "amount": "Amount",
    "currency": "Currency",
    "synced_amount": "Synced amount",
    "tms_status": "TMS status",
    "number": "Number",
    "party_id": "Payer or vendor",
    "billing_organization_id": "Billing organization",
    "connection_id": "Connection",
    "accounting_date": "Accounting date",
}
"""What counts in a month that is signed off. An error text does not: it says why, not what."""


class _Names:
    """Names of organizations and connections, looked up where an event has changed one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, int], str] = {}

    def of(self, column: str, identity: int) -> str:
        table = connection_table if column == "connection_id" else organization
        key = (table.name, identity)
        if key not in self._known:
            name = self._connection.scalar(select(table.c.name).where(table.c.id == identity))
            self._known[key] = name or ""
        return self._known[key]


def _changes(names: _Names, before: Any, row: Any) -> list[str]:
    """What differs after an event, in words with both values."""
    if before is None:
        status = SyncStatus(row.sync_status).label
        return [f"Created with {money(row.amount, row.currency)}, {status}"]
    return [
        f"{label}{_from_to(_worded(names, column, before), _worded(names, column, row))}"
        for column, label in _LABELS.items()
        if getattr(before, column) != getattr(row, column)
    ]


def _from_to(before: str, now: str) -> str:
    if not before:
        return f": {now}"
    return f" from {before} to {now}" if now else f": no longer {before}"


def _worded(names: _Names, column: str, row: Any) -> str:
    value = getattr(row, column)
    if value is None:
        return ""
    if column.endswith("_id"):
        return names.of(column, value)
    words: Mapping[str, Callable[[], str]] = {
        "sync_status": lambda: SyncStatus(value).label,
        "amount": lambda: money(value, row.currency),
        "synced_amount": lambda: money(value, row.currency),
        "closed_reason": lambda: reason_label(value),
        "accounting_date": lambda: readable(value),
    }
    return words[column]() if column in words else str(value)
