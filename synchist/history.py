"""One record and everything that happened to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select

from synchist.db.tables import charge_line, operation, sync_event
from synchist.entities import BY_KEY, Entity
from synchist.statuses import CloseReason, EventKind, SyncStatus


@dataclass(frozen=True)
class Event:
    """One entry of a record's history, with the state after it.

    `at` is when it happened, in UTC; `who` did `what`; `amount` and `synced_amount` are in minor
    units of `currency`; `error` is the exact text, only where the status after it is Failed.
    """

    at: datetime
    what: str
    who: str
    status: SyncStatus
    reference: str | None
    amount: int
    synced_amount: int | None
    currency: str
    tms_status: str
    error: str | None
    note: str


@dataclass(frozen=True)
class Charge:
    """One charge of an invoice or bill, in minor units of its currency."""

    description: str
    amount: int


@dataclass(frozen=True)
class Link:
    """A payment of a document, or a document of a payment, and how much of it is applied.

    `applied` is in minor units of the payment's currency, `amount` in those of the linked record.
    """

    record_id: int
    number: str
    applied: int
    applied_currency: str
    amount: int
    currency: str
    status: SyncStatus


@dataclass(frozen=True)
class Record:
    """A record as its drawer shows it.

    `fields` holds every `entity.columns` key and `id`, `version`, `created_at`, `tms_id` and the
    `system` of its connection. Charges belong to invoices and bills; links lead to records of
    `linked_entity`.
    """

    entity: Entity
    fields: RowMapping
    charges: tuple[Charge, ...]
    links: tuple[Link, ...]
    linked_entity: Entity
    events: tuple[Event, ...]


def load_record(connection: Connection, entity: Entity, record_id: int) -> Record | None:
    """The record, or None where there is none of that id."""
    of = entity.table.c
    row = (
        connection.execute(
            select(
                of.id,
                of.version,
                of.created_at,
                of.tms_id,
                entity.connection_system.label("system"),
                *(column.source.label(column.key) for column in entity.columns),
            )
            .select_from(entity.source)
            .where(of.id == record_id)
        )
        .mappings()
        .first()
    )
    if row is None:
        return None
    return Record(
        entity=entity,
        fields=row,
        charges=_charges(connection, entity, record_id),
        links=_links(connection, entity, record_id),
        linked_entity=BY_KEY[entity.applications.other_key],
        events=tuple(load_events(connection, entity, record_id)),
    )


def _charges(connection: Connection, entity: Entity, record_id: int) -> tuple[Charge, ...]:
    if entity.charge_lines is None:
        return ()
    line = charge_line.c
    rows = connection.execute(
        select(line.description, line.amount)
        .where(entity.charge_lines == record_id)
        .order_by(line.position, line.id)
    )
    return tuple(Charge(description, amount) for description, amount in rows)


def _links(connection: Connection, entity: Entity, record_id: int) -> tuple[Link, ...]:
    link, own = entity.applications, entity.table
    other = BY_KEY[link.other_key].table
    paying = own if "method" in own.c else other
    rows = connection.execute(
        select(
            other.c.id,
            other.c.number,
            link.table.c.amount,
            paying.c.currency.label("applied_currency"),
            other.c.amount,
            other.c.currency,
            other.c.sync_status,
        )
        .join_from(link.table, other, link.other == other.c.id)
        .join(own, link.own == own.c.id)
        .where(link.own == record_id)
        .order_by(other.c.number)
    )
    return tuple(Link(*row[:6], SyncStatus(row[6])) for row in rows)


def load_events(connection: Connection, entity: Entity, record_id: int) -> list[Event]:
    """Everything that happened to the record, newest first."""
    rows = connection.execute(
        select(
            sync_event,
            operation.c.actor,
            operation.c.reason,
            operation.c.note,
        )
        .outerjoin(operation, sync_event.c.operation_id == operation.c.id)
        .where(sync_event.c.entity == entity.key, sync_event.c.record_id == record_id)
        .order_by(sync_event.c.version)
    ).all()
    events = [
        _event(row, rows[position - 1] if position else None) for position, row in enumerate(rows)
    ]
    return events[::-1]


def _event(row: Any, before: Any) -> Event:
    by_person = row.kind == EventKind.OPERATION
    failed = row.sync_status == SyncStatus.FAILED
    return Event(
        at=row.at,
        what=_what(row, before),
        who=_who(row),
        status=SyncStatus(row.sync_status),
        reference=row.sync_reference,
        amount=row.amount,
        synced_amount=row.synced_amount,
        currency=row.currency,
        tms_status=row.tms_status,
        error=row.sync_error if failed else None,
        note=(row.note or "") if by_person else "",
    )


def _who(row: Any) -> str:
    if row.kind == EventKind.OPERATION:
        return str(row.actor)
    return {
        EventKind.CREATED: "TMS",
        EventKind.ATTEMPT: "Sync job",
        EventKind.TMS: "TMS",
    }.get(row.kind, "Unknown")


def _what(row: Any, before: Any) -> str:
    """One sentence on what happened, from the event and the one before it."""
    now = SyncStatus(row.sync_status)
    if row.kind == EventKind.CREATED:
        return "Created in the TMS"
    was = SyncStatus(before.sync_status)
    if row.kind == EventKind.ATTEMPT:
        tried = {
            SyncStatus.FAILED: "Sync attempt failed",
            SyncStatus.COMPLETE: "Synced",
            SyncStatus.PENDING: "Sync attempt ended without a result",
        }[now]
        # Only a person's closing has a reason, and it stands through changes of the TMS.
        closed = before.closed_reason and before.actor
        return f"{tried}, after {before.actor} had closed it" if closed else tried
    if row.kind == EventKind.OPERATION:
        moved = f"{was.label} to {now.label}"
        reason = f" ({CloseReason(row.reason).label})" if row.reason else ""
        if was is now is SyncStatus.PENDING:
            moved = "Pushed again, still Pending"
        return f"{moved}{reason}"
    if row.kind == EventKind.TMS:
        return "Changed in the TMS: " + ", ".join(_changed(row, before))
    changed = _changed(row, before)
    if not changed:
        return "Written again without any change"
    return "Changed directly in the database, unexplained: " + ", ".join(changed)


_WORDS = {
    "sync_status": "sync status",
    "sync_at": "sync date",
    "sync_reference": "reference",
    "synced_amount": "synced amount",
    "sync_error_code": "error code",
    "sync_error": "error",
    "closed_reason": "reason for closing",
    "tms_status": "TMS status",
    "number": "number",
    "amount": "amount",
    "currency": "currency",
    "party_id": "payer or vendor",
    "billing_organization_id": "billing organization",
    "connection_id": "connection",
    "accounting_date": "accounting date",
}


def _changed(row: Any, before: Any) -> list[str]:
    """What differs, in words, with the values where they are short."""
    changes = []
    for name, word in _WORDS.items():
        old, new = getattr(before, name), getattr(row, name)
        if old != new:
            says = name in ("tms_status", "number", "currency")
            changes.append(f"{word} from {old} to {new}" if says else word)
    return changes
