"""The one way in which people change a sync status: an operation, in one transaction.

Nothing is pushed to the accounting system. The TMS-side record changes, and the next sync job acts
on it; what the last attempt said (`sync_at`, the error) stays.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    cast,
    column,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from synchist.accounts import Actor, Principal, acting
from synchist.db.engine import dialect_insert
from synchist.db.tables import operation, operation_item
from synchist.db.types import utc_now
from synchist.entities import BY_KEY, Entity
from synchist.errors import SynchistError
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import CloseReason, ItemOutcome, SyncStatus

Selection = Mapping[str, Mapping[int, int]]
"""Entity key → record id → the version that was seen when it was ticked."""

LONGEST_NOTE = 2_000
LISTED = 500
"""How many untouched records a receipt lists by number; it counts all of them."""


class InvalidChange(SynchistError):
    """The change can't be carried out as asked."""


class OperationReused(SynchistError):
    """An operation id came back with other content."""

    def __init__(self) -> None:
        super().__init__(
            "This change was already carried out with other records. Close the dialog and open it"
            " again."
        )


@dataclass(frozen=True)
class Change:
    """To which status, and why. Complete needs a reason."""

    to: SyncStatus
    reason: CloseReason | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.to is SyncStatus.COMPLETE and self.reason is None:
            raise InvalidChange("Choose a reason for closing the records as Complete.")
        if len(self.note) > LONGEST_NOTE:
            raise InvalidChange(f"Shorten the note to {LONGEST_NOTE:,} characters.")

    @property
    def closed_reason(self) -> str | None:
        """What the record keeps: a reason only where a person closes it as Complete."""
        return self.reason.value if self.reason and self.to is SyncStatus.COMPLETE else None


@dataclass(frozen=True)
class Untouched:
    """A record that the operation left as it was."""

    entity: str
    record_id: int
    number: str
    outcome: ItemOutcome


@dataclass(frozen=True)
class Receipt:
    """What an operation did. `requested` is the sum of all outcomes."""

    operation_id: str
    at: datetime
    actor: str
    to: SyncStatus
    reason: CloseReason | None
    note: str
    requested: int
    outcomes: Mapping[ItemOutcome, int]
    untouched: tuple[Untouched, ...] = field(default=())

    @property
    def applied(self) -> int:
        """How many records were changed."""
        return self.outcomes.get(ItemOutcome.APPLIED, 0)


def change_status(
    principal: Principal,
    operation_id: str,
    selection: Selection,
    change: Change,
    filters: str = "",
) -> Receipt:
    """Move the selected records to another sync status, and say what became of each.

    `operation_id` is a UUID made when the dialog opened: a second call with the same content
    answers with the stored outcome and changes nothing. A record that is not any more at the
    version seen is a conflict, one that a job holds is busy; both stay untouched. `filters` says
    in words what the list showed.

    Raises NotSignedIn, NotAllowed, InvalidChange, OperationReused, DatabaseUnavailable.
    """
    identity = _operation_id(operation_id)
    requested = _requested(selection)
    with acting(principal, Role.ACCOUNTING_SYNC, "change sync status") as (connection, actor):
        digest = _digest(selection, change)
        if not _begin(connection, identity, actor, change, digest, requested, filters):
            _same_content(connection, identity, digest)
            return receipt(connection, identity)
        for key in sorted(selection):
            _change_entity(connection, BY_KEY[key], identity, selection[key], change, actor)
        return receipt(connection, identity)


def _operation_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidChange("Close the dialog and open it again.") from None


def _requested(selection: Selection) -> int:
    if unknown := selection.keys() - BY_KEY.keys():
        raise InvalidChange(f"There are no records of the kind “{min(unknown)[:40]}”.")
    requested = sum(len(versions) for versions in selection.values())
    most = settings().max_records_per_operation
    if requested == 0:
        raise InvalidChange("Select at least one record.")
    if requested > most:
        raise InvalidChange(
            f"Select at most {most:,} records at a time; {requested:,} are selected."
        )
    return requested


def _digest(selection: Selection, change: Change) -> str:
    content = [
        sorted((key, sorted(versions.items())) for key, versions in selection.items()),
        [int(change.to), change.reason, change.note],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _begin(
    connection: Connection,
    identity: str,
    actor: Actor,
    change: Change,
    digest: str,
    requested: int,
    filters: str,
) -> bool:
    """Store the operation; False where its id is already taken."""
    # RETURNING and not rowcount, which is unknown after an INSERT on PostgreSQL.
    begun = connection.scalar(
        dialect_insert(connection, operation)
        .values(
            id=identity,
            at=utc_now(),
            actor_id=actor.id,
            actor=actor.name,
            action="change_status",
            to_status=int(change.to),
            reason=change.reason.value if change.reason else None,
            note=change.note,
            filters=filters,
            digest=digest,
            requested=requested,
        )
        .on_conflict_do_nothing()
        .returning(operation.c.id)
    )
    return begun is not None


def _same_content(connection: Connection, identity: str, digest: str) -> None:
    stored = connection.scalar(select(operation.c.digest).where(operation.c.id == identity))
    if stored != digest:
        raise OperationReused


def _among(connection: Connection, ids: list[int]) -> Select[int]:
    """The ids as a subquery of one parameter, however many there are."""
    if connection.dialect.name == "postgresql":
        return select(func.unnest(cast(literal(ids, ARRAY(BigInteger)), ARRAY(BigInteger))))
    return select(column("value", Integer)).select_from(
        func.json_each(bindparam("ids", json.dumps(ids), unique=True))
    )


def _change_entity(
    connection: Connection,
    entity: Entity,
    identity: str,
    seen: Mapping[int, int],
    change: Change,
    actor: Actor,
) -> None:
    """Sort the records into outcomes, change those that may be changed, store every outcome."""
    table = entity.table
    ids = sorted(seen)
    # SQLite ignores FOR UPDATE: there BEGIN IMMEDIATE already holds the only write lock. In the
    # order of ids, so that two operations never wait for each other in a circle.
    obtained = connection.execute(
        select(table.c.id, table.c.version)
        .where(table.c.id.in_(_among(connection, ids)))
        .order_by(table.c.id)
        .with_for_update(skip_locked=True)
    )
    current: dict[int, int] = dict(obtained.all())
    absent = [key for key in ids if key not in current]
    locked = set(
        connection.scalars(select(table.c.id).where(table.c.id.in_(_among(connection, absent))))
        if absent
        else ()
    )

    def outcome(key: int) -> ItemOutcome:
        if key in current:
            return ItemOutcome.APPLIED if current[key] == seen[key] else ItemOutcome.CONFLICTED
        return ItemOutcome.BUSY if key in locked else ItemOutcome.MISSING

    outcomes = {key: outcome(key) for key in ids}
    applied = [key for key, found in outcomes.items() if found is ItemOutcome.APPLIED]
    if applied:
        _update(connection, entity, identity, applied, change, actor)
    for found in set(outcomes.values()):
        versions = {key: seen[key] for key, one in outcomes.items() if one is found}
        _store_items(connection, entity, identity, versions, found)


def _store_items(
    connection: Connection,
    entity: Entity,
    identity: str,
    versions: Mapping[int, int],
    outcome: ItemOutcome,
) -> None:
    """The records of one outcome, in one statement: row by row, ten thousand of them would take
    as long as their update."""
    each = func.json_each if connection.dialect.name == "sqlite" else func.json_each_text
    row = each(literal(versions, JSON)).table_valued("key", "value")
    connection.execute(
        insert(operation_item).from_select(
            ["operation_id", "entity", "record_id", "version_seen", "outcome"],
            select(
                literal(identity),
                literal(entity.key),
                cast(row.c.key, BigInteger),
                cast(row.c.value, Integer),
                literal(outcome.value),
            ),
        )
    )


def _update(
    connection: Connection,
    entity: Entity,
    identity: str,
    ids: list[int],
    change: Change,
    actor: Actor,
) -> None:
    """The one UPDATE; triggers append the events."""
    table = entity.table
    values: dict[str, object] = {
        "sync_status": int(change.to),
        "closed_reason": change.closed_reason,
        "last_operation_id": identity,
    }
    if change.to is SyncStatus.FAILED:
        # Failed needs an error; one that an attempt left is kept.
        said = change.note or "no note"
        values["sync_error"] = case(
            (
                func.coalesce(func.length(table.c.sync_error), 0) == 0,
                f"Marked as failed by {actor.name}: {said}",
            ),
            else_=table.c.sync_error,
        )
    connection.execute(update(table).where(table.c.id.in_(_among(connection, ids))).values(values))


def receipt(connection: Connection, operation_id: str) -> Receipt:
    """The stored outcome of an operation."""
    row = connection.execute(select(operation).where(operation.c.id == operation_id)).one()
    items = operation_item.c
    counts = connection.execute(
        select(items.outcome, func.count())
        .where(items.operation_id == operation_id)
        .group_by(items.outcome)
    )
    return Receipt(
        operation_id=row.id,
        at=row.at,
        actor=row.actor,
        to=SyncStatus(row.to_status),
        reason=CloseReason(row.reason) if row.reason else None,
        note=row.note,
        requested=row.requested,
        outcomes={ItemOutcome(outcome): count for outcome, count in counts},
        untouched=_untouched(connection, operation_id),
    )


def _untouched(connection: Connection, operation_id: str) -> tuple[Untouched, ...]:
    items = operation_item.c
    rows = connection.execute(
        select(items.entity, items.record_id, items.outcome)
        .where(items.operation_id == operation_id, items.outcome != ItemOutcome.APPLIED.value)
        .order_by(items.entity, items.record_id)
        .limit(LISTED)
    ).all()
    numbers: dict[tuple[str, int], str] = {}
    for key in {row.entity for row in rows}:
        of = BY_KEY[key].table.c
        ids = [row.record_id for row in rows if row.entity == key]
        for record_id, number in connection.execute(select(of.id, of.number).where(of.id.in_(ids))):
            numbers[key, record_id] = number
    return tuple(
        Untouched(
            row.entity,
            row.record_id,
            numbers.get((row.entity, row.record_id), f"id {row.record_id}"),
            ItemOutcome(row.outcome),
        )
        for row in rows
    )
