"""One record and everything that happened to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, and_, select

from synchist.blocking import held_up
from synchist.db.engine import among
from synchist.db.tables import (
    TRACKED,
    attempt_line,
    charge_line,
    diagnosis,
    operation,
    operation_item,
    problem,
    sync_event,
)
from synchist.db.tables import connection as connection_table
from synchist.entities import BY_KEY, Entity
from synchist.queries import Total
from synchist.statuses import Action, EventKind, SyncStatus, reason_label


@dataclass(frozen=True)
class Event:
    """One entry of a record's history, with the state after it.

    `at` is when it happened, in UTC; `who` did `what`; `was` is the status before, None for the
    first event. `amount` and `synced_amount` are in minor units of `currency`. `error` is the exact
    text, where this event brought it, and `problem` what it means in a few words, once diagnosed.
    `after_closing` names who had closed the record that a job attempted all the same. `booked_on`
    is the date in the books where the person who closed it found it there.
    """

    at: datetime
    what: str
    who: str
    was: SyncStatus | None
    status: SyncStatus
    reference: str | None
    amount: int
    synced_amount: int | None
    currency: str
    tms_status: str
    error: str | None
    problem: str
    note: str
    operation_id: str | None
    after_closing: str = ""
    booked_on: date | None = None


@dataclass(frozen=True)
class Charge:
    """One charge of an invoice or bill, in minor units of its currency. `held` is what the books
    hold of it, None where no job has told."""

    description: str
    amount: int
    held: int | None

    @property
    def difference(self) -> int | None:
        """What the books lack of it."""
        return None if self.held is None else self.amount - self.held


@dataclass(frozen=True)
class Link:
    """A payment of a document, or a document of a payment, and how much of it is applied.

    `applied` is in minor units of the payment's currency, `amount` in those of the linked record.
    `holds_up` counts the open payments that wait for the linked document, of a payment's own page.
    """

    record_id: int
    number: str
    applied: int
    applied_currency: str
    amount: int
    currency: str
    status: SyncStatus
    holds_up: Total


@dataclass(frozen=True)
class Record:
    """A record as its drawer shows it.

    `fields` holds every `entity.columns` key and `id`, `version`, `created_at`, `tms_id`, the
    `system` of its connection and the day through which its books are closed (`closed_through`).
    Charges belong to invoices and bills; links lead to records of `linked_entity`. `holds_up`
    counts the open payments that wait for this document.
    """

    entity: Entity
    fields: RowMapping
    charges: tuple[Charge, ...]
    links: tuple[Link, ...]
    linked_entity: Entity
    holds_up: Total
    events: tuple[Event, ...]

    @property
    def blockers(self) -> tuple[Link, ...]:
        """The documents that hold this payment up."""
        if self.entity.blocking is None or self.fields["sync_status"] == SyncStatus.COMPLETE:
            return ()
        # By id, since a payment may go to a document in several portions.
        blocking = {
            link.record_id: link for link in self.links if link.status is not SyncStatus.COMPLETE
        }
        return tuple(blocking.values())

    @property
    def after_closing(self) -> Event | None:
        """The last attempt, where it came after a person had closed the record and nobody has
        looked at the record since."""
        for event in self.events:
            if event.after_closing:
                return event
            if event.operation_id:
                return None
        return None


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
                entity.closed_through.label("closed_through"),
                *(column.source.label(column.key) for column in entity.columns),
            )
            .select_from(entity.listed)
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
        holds_up=_holds_up(connection, entity, [record_id]).get(record_id, Total()),
        events=tuple(load_events(connection, entity, record_id)),
    )


def _charges(connection: Connection, entity: Entity, record_id: int) -> tuple[Charge, ...]:
    return tuple(charges(connection, entity, [record_id]).get(record_id, ()))


def charges(connection: Connection, entity: Entity, ids: Sequence[int]) -> dict[int, list[Charge]]:
    """The charges of invoices or bills by record id; payments have none."""
    if entity.charge_lines is None:
        return {}
    line = charge_line.c
    held = (
        select(attempt_line.c.amount)
        .where(attempt_line.c.charge_line_id == line.id)
        .order_by(attempt_line.c.sync_at.desc(), attempt_line.c.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    found: dict[int, list[Charge]] = {}
    for record_id, *charge in connection.execute(
        select(entity.charge_lines, line.description, line.amount, held)
        .where(entity.charge_lines.in_(among(connection, ids)))
        .order_by(line.position, line.id)
    ):
        found.setdefault(record_id, []).append(Charge(*charge))
    return found


def _holds_up(connection: Connection, entity: Entity, ids: list[int]) -> dict[int, Total]:
    """What documents hold up; payments hold nothing up."""
    return held_up(connection, entity, ids) if entity.blocking is None else {}


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
    ).all()
    waiting = [row.id for row in rows if row.sync_status != SyncStatus.COMPLETE]
    holds_up = _holds_up(connection, BY_KEY[link.other_key], waiting) if waiting else {}
    return tuple(
        Link(*row[:6], SyncStatus(row.sync_status), holds_up.get(row.id, Total())) for row in rows
    )


def load_events(connection: Connection, entity: Entity, record_id: int) -> list[Event]:
    """Everything that happened to the record, newest first."""
    rows = connection.execute(
        told(entity).where(sync_event.c.record_id == record_id).order_by(sync_event.c.version)
    ).all()
    events = [
        as_event(row, rows[position - 1] if position else None) for position, row in enumerate(rows)
    ]
    return events[::-1]


def told(entity: Entity | None = None) -> Select[Any]:
    """Events of an entity's records, or of all, with all that `as_event` tells of them."""
    events = (
        select(
            *(sync_event.c[name] for name in ("record_id", "version")),
            *(sync_event.c[name] for name in ("at", "kind", "operation_id", *TRACKED)),
            operation.c.actor,
            operation.c.action,
            operation.c.reason,
            operation.c.note,
            operation_item.c.booked_on,
            problem.c.title,
            connection_table.c.name.label("connection"),
        )
        .outerjoin(connection_table, connection_table.c.id == sync_event.c.connection_id)
        .outerjoin(operation, sync_event.c.operation_id == operation.c.id)
        .outerjoin(
            operation_item,
            and_(
                operation_item.c.operation_id == sync_event.c.operation_id,
                operation_item.c.entity == sync_event.c.entity,
                operation_item.c.record_id == sync_event.c.record_id,
            ),
        )
        .outerjoin(
            diagnosis,
            and_(
                diagnosis.c.entity == sync_event.c.entity,
                diagnosis.c.record_id == sync_event.c.record_id,
                diagnosis.c.version == sync_event.c.version,
            ),
        )
        .outerjoin(problem, problem.c.id == diagnosis.c.problem_id)
    )
    return events if entity is None else events.where(sync_event.c.entity == entity.key)


# By stored values and once: a record may have hundreds of events.
_STATUS = {status.value: status for status in SyncStatus}
_TRIED = {
    SyncStatus.FAILED.value: "Sync attempt failed",
    SyncStatus.COMPLETE.value: "Synced",
    SyncStatus.PENDING.value: "Sync attempt ended without a result",
}


def as_event(row: Any, before: Any) -> Event:
    """What an event tells, beside the one before it (None for the first)."""
    kind, status = row.kind, _STATUS[row.sync_status]
    was = None if before is None else _STATUS[before.sync_status]
    attempted, by_person = kind == EventKind.ATTEMPT.value, kind == EventKind.OPERATION.value
    # Only a person's closing has a reason, and it stands through changes of the TMS.
    closed = attempted and before is not None and before.closed_reason
    after_closing = (before.actor or "") if closed else ""
    brought = attempted or before is None or row.sync_error != before.sync_error
    error = row.sync_error if brought and status is not SyncStatus.COMPLETE else None
    if attempted:
        what = _TRIED[status] + (f", after {after_closing} had closed it" if after_closing else "")
        who = f"Sync job of {row.connection}" if row.connection else "Sync job"
    elif by_person and was is not None:
        what, who = _moved(row, was, status), row.actor
    else:
        what = "Created in the TMS" if before is None else _changed_outside(row, before)
        who = "Unknown" if kind == EventKind.DIRECT.value else "TMS"
    return Event(
        at=row.at,
        what=what,
        who=who,
        was=was,
        status=status,
        reference=row.sync_reference,
        amount=row.amount,
        synced_amount=row.synced_amount,
        currency=row.currency,
        tms_status=row.tms_status,
        error=error,
        problem=(row.title or "") if error else "",
        note=(row.note or "") if by_person else "",
        operation_id=row.operation_id if by_person else None,
        after_closing=after_closing,
        booked_on=row.booked_on if by_person else None,
    )


def _moved(row: Any, was: SyncStatus, now: SyncStatus) -> str:
    """What an operation did, and why."""
    moved = f"{was.label} to {now.label}"
    if row.action == Action.UNDO.value:
        return f"{moved} (a change taken back)"
    if was is now is SyncStatus.PENDING:
        moved = "Pushed again, still Pending"
    return f"{moved} ({reason_label(row.reason)})" if row.reason else moved


def _changed_outside(row: Any, before: Any) -> str:
    """What the TMS, or somebody past it, has changed."""
    changed = ", ".join(_changed(row, before))
    if row.kind == EventKind.TMS.value:
        return f"Changed in the TMS: {changed}"
    if not changed:
        return "Written again without any change"
    return f"Changed directly in the database, unexplained: {changed}"


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
