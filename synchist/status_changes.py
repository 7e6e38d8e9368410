"""The one way in which people change a sync status: an operation, in one transaction.

Nothing is pushed to the accounting system. The TMS-side record changes, and the next sync job acts
on it; what the last attempt said (`sync_at`, the error) stays. An operation is taken back by
another one, which leaves alone what was touched since.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Date,
    Integer,
    String,
    and_,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    select,
    update,
)

from synchist import risks
from synchist.accounts import Actor, Principal, acting
from synchist.db.engine import among, dialect_insert, paired
from synchist.db.tables import operation, operation_item, sync_event
from synchist.db.types import utc_now
from synchist.entities import BY_KEY, Entity
from synchist.errors import SynchistError
from synchist.receipts import NoSuchOperation, Receipt, receipt
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import FIXED, Action, CloseReason, ItemOutcome, SyncStatus

Selection = Mapping[str, Mapping[int, int]]
"""Entity key → record id → the version that was seen when it was ticked."""

Accepted = Mapping[str, Collection[int]]
"""Entity key → ids of the records that are to be changed despite what `risks` says of them."""

LONGEST_NOTE = 2_000
LONGEST_REFERENCE = 100


class InvalidChange(SynchistError):
    """The change can't be carried out as asked."""


class OperationReused(SynchistError):
    """An operation id came back with other content."""

    def __init__(self) -> None:
        super().__init__(
            "This change was already carried out with other records. Close the dialog and open it"
            " again."
        )


class NotUndoable(SynchistError):
    """The operation can't be taken back."""


@dataclass(frozen=True)
class Evidence:
    """What somebody found in the books: the reference there, the amount in minor units of the
    record's currency, and the date there. An empty reference, no amount and no date say nothing."""

    reference: str = ""
    amount: int | None = None
    booked_on: date | None = None

    def __post_init__(self) -> None:
        if len(self.reference) > LONGEST_REFERENCE or not self.reference.isprintable():
            raise InvalidChange(
                f"A reference has at most {LONGEST_REFERENCE} characters and no line ends."
            )
        if self.amount is not None and abs(self.amount) >= 2**63:
            raise InvalidChange("An amount found in the books is too large to be one.")


@dataclass(frozen=True)
class Change:
    """To which status, and why. Complete needs a reason and may bring evidence, by entity key and
    record id; `fixed` says that what the error was about has been fixed before a retry."""

    to: SyncStatus
    reason: CloseReason | None = None
    note: str = ""
    fixed: bool = field(default=False, kw_only=True)
    evidence: Mapping[str, Mapping[int, Evidence]] = field(default_factory=dict, kw_only=True)
    accepted: Accepted = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        if self.to is SyncStatus.COMPLETE and self.reason is None:
            raise InvalidChange("Choose a reason for closing the records as Complete.")
        if len(self.note) > LONGEST_NOTE:
            raise InvalidChange(f"Shorten the note to {LONGEST_NOTE:,} characters.")
        if self.evidence and self.to is not SyncStatus.COMPLETE:
            raise InvalidChange("What was found in the books belongs to records that are closed.")

    @property
    def closed_reason(self) -> str | None:
        """What the record keeps: a reason only where a person closes it as Complete."""
        return self.reason.value if self.reason and self.to is SyncStatus.COMPLETE else None

    @property
    def stored_reason(self) -> str | None:
        """What the operation keeps."""
        if self.fixed and self.to is SyncStatus.PENDING:
            return FIXED
        return self.reason.value if self.reason else None


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
    version seen is a conflict, one that a job holds is busy, one that `risks_of` names and nobody
    has accepted is risky; all of them stay untouched. `filters` says in words what the list showed.

    Raises NotSignedIn, NotAllowed, InvalidChange, OperationReused, DatabaseUnavailable.
    """
    identity = _operation_id(operation_id)
    requested = _requested(selection)
    _known_evidence(selection, change)
    with acting(principal, Role.ACCOUNTING_SYNC, "change sync status") as (connection, actor):
        told = {
            "action": Action.CHANGE_STATUS.value,
            "to_status": int(change.to),
            "reason": change.stored_reason,
            "note": change.note,
            "filters": filters,
            "requested": requested,
            "digest": _digest(selection, change),
        }
        begun = _begin(connection, identity, actor, told)
        if begun:
            for key in sorted(selection):
                entity = BY_KEY[key]
                _change(
                    connection,
                    entity,
                    identity,
                    selection[key],
                    at_risk=partial(_change_at_risk, connection, entity, change),
                    apply=partial(_move, connection, entity, identity, change, actor),
                    evidence=change.evidence.get(key, {}),
                )
        return receipt(connection, identity, just_done=begun)


def risks_of(
    connection: Connection, selection: Mapping[str, Collection[int]], change: Change
) -> dict[tuple[str, int], risks.Risk]:
    """The selected records that the change would leave alone unless somebody accepts the risk, by
    entity key and id. The dialog asks this too, so that it shows what the operation will do."""
    if change.to is SyncStatus.PENDING:
        return risks.of_retry(connection, selection)
    references = {
        key: {
            record: found.reference
            for record, found in change.evidence.get(key, {}).items()
            if record in chosen
        }
        for key, chosen in selection.items()
    }
    return risks.of_references(connection, references)


def undo(
    principal: Principal, operation_id: str, undoes: str, accepted: Accepted | None = None
) -> Receipt:
    """Take an operation back: give each record that it changed the state from before.

    Records that anything has touched since are conflicts and stay as they are; one that would be
    Pending again goes through the same gate as a retry (`accepted`). A change that is taken back
    can be made again by taking back the undo.

    Raises NotUndoable, NoSuchOperation, NotSignedIn, NotAllowed, InvalidChange, OperationReused,
    DatabaseUnavailable.
    """
    identity, accepted = _operation_id(operation_id), accepted or {}
    with acting(principal, Role.ACCOUNTING_SYNC, "undo an operation") as (connection, actor):
        selection = undoable(connection, _operation_id(undoes))
        told = {
            "action": Action.UNDO.value,
            "undoes": _operation_id(undoes),
            "requested": sum(len(versions) for versions in selection.values()),
            "digest": _hashed([_operation_id(undoes), _listed(accepted)]),
        }
        begun = _begin(connection, identity, actor, told)
        if begun:
            for key, versions in selection.items():
                entity, despite = BY_KEY[key], set(accepted.get(key, ()))
                _change(
                    connection,
                    entity,
                    identity,
                    versions,
                    at_risk=partial(_undo_at_risk, connection, entity, versions, despite),
                    apply=partial(_restore, connection, entity, identity),
                )
        return receipt(connection, identity, just_done=begun)


def undoable(connection: Connection, operation_id: str) -> dict[str, dict[int, int]]:
    """The records that an operation changed, with their versions right after it.

    Raises NotUndoable, NoSuchOperation.
    """
    action = connection.scalar(select(operation.c.action).where(operation.c.id == operation_id))
    if action is None:
        raise NoSuchOperation
    if action == Action.LOAD.value:
        raise NotUndoable("A load can't be taken back. Load a corrected file.")
    items = operation_item.c
    selection: dict[str, dict[int, int]] = {}
    for key, record, version in connection.execute(
        select(items.entity, items.record_id, items.version_seen + 1)
        .where(items.operation_id == operation_id, items.outcome == ItemOutcome.APPLIED.value)
        .order_by(items.entity, items.record_id)
    ):
        selection.setdefault(key, {})[record] = version
    if not selection:
        raise NotUndoable("This change has changed no record, so there is nothing to take back.")
    return selection


def undo_risks(connection: Connection, selection: Selection) -> dict[tuple[str, int], risks.Risk]:
    """Those of the records still at these versions that an undo would make Pending again and that
    may be in the books, by entity key and id."""
    pending = {}
    for key, versions in selection.items():
        of = BY_KEY[key].table.c
        rows = connection.execute(
            select(of.id, of.version)
            .join(sync_event, and_(*_is_before(BY_KEY[key])))
            .where(
                of.id.in_(among(connection, list(versions))),
                sync_event.c.sync_status == int(SyncStatus.PENDING),
            )
        )
        pending[key] = [record for record, version in rows if version == versions[record]]
    return risks.of_retry(connection, pending, undoing=True)


# ---------------------------------------------------------------- what is asked


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


def _known_evidence(selection: Selection, change: Change) -> None:
    for key, found in change.evidence.items():
        if found.keys() - selection.get(key, {}).keys():
            raise InvalidChange("Some of what was found in the books is of records not selected.")


def _digest(selection: Selection, change: Change) -> str:
    content: list[Any] = [
        sorted((key, sorted(versions.items())) for key, versions in selection.items()),
        [int(change.to), change.reason, change.note],
    ]
    # Only where there is any, so that an operation begun before an upgrade is still known by it.
    if change.fixed or change.evidence or change.accepted:
        evidence = [
            # The date likewise only where there is one.
            (key, record, found.reference, found.amount, *map(str, filter(None, [found.booked_on])))
            for key, of in sorted(change.evidence.items())
            for record, found in sorted(of.items())
        ]
        content.append([change.fixed, evidence, _listed(change.accepted)])
    return _hashed(content)


def _listed(accepted: Accepted) -> list[tuple[str, list[int]]]:
    return sorted((key, sorted(ids)) for key, ids in accepted.items() if ids)


def _hashed(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


# ---------------------------------------------------------------- the operation


def _begin(connection: Connection, identity: str, actor: Actor, told: Mapping[str, Any]) -> bool:
    """Store the operation; False where the same one is stored already.

    Raises OperationReused where its id stands for other content.
    """
    # RETURNING and not rowcount, which is unknown after an INSERT on PostgreSQL.
    begun = connection.scalar(
        dialect_insert(connection, operation)
        .values(id=identity, at=utc_now(), actor_id=actor.id, actor=actor.name, **told)
        .on_conflict_do_nothing()
        .returning(operation.c.id)
    )
    if begun is not None:
        return True
    stored = connection.scalar(select(operation.c.digest).where(operation.c.id == identity))
    if stored != told["digest"]:
        raise OperationReused
    return False


def _change(
    connection: Connection,
    entity: Entity,
    identity: str,
    seen: Mapping[int, int],
    at_risk: Callable[[Sequence[int]], Collection[int]],
    apply: Callable[[Sequence[int]], None],
    evidence: Mapping[int, Evidence] | None = None,
) -> None:
    """Sort the records into outcomes, change those that may be changed, store every outcome."""
    table = entity.table
    ids = sorted(seen)
    # SQLite ignores FOR UPDATE: there BEGIN IMMEDIATE already holds the only write lock. In the
    # order of ids, so that two operations never wait for each other in a circle.
    obtained = connection.execute(
        select(table.c.id, table.c.version)
        .where(table.c.id.in_(among(connection, ids)))
        .order_by(table.c.id)
        .with_for_update(skip_locked=True)
    )
    current: dict[int, int] = dict(obtained.all())
    absent = [key for key in ids if key not in current]
    locked = set(
        connection.scalars(select(table.c.id).where(table.c.id.in_(among(connection, absent))))
        if absent
        else ()
    )
    unchanged = [key for key in ids if current.get(key) == seen[key]]
    risky = at_risk(unchanged) if unchanged else ()

    def outcome(key: int) -> ItemOutcome:
        if key not in current:
            return ItemOutcome.BUSY if key in locked else ItemOutcome.MISSING
        if current[key] != seen[key]:
            return ItemOutcome.CONFLICTED
        return ItemOutcome.RISKY if key in risky else ItemOutcome.APPLIED

    outcomes = {key: outcome(key) for key in ids}
    if applied := [key for key, found in outcomes.items() if found is ItemOutcome.APPLIED]:
        apply(applied)
    alike: dict[tuple[ItemOutcome, date | None], dict[int, int]] = defaultdict(dict)
    for key, found in outcomes.items():
        # What is left as it was takes over nothing.
        proof = (evidence or {}).get(key) if found is ItemOutcome.APPLIED else None
        alike[found, proof.booked_on if proof else None][key] = seen[key]
    for (found, booked_on), versions in alike.items():
        _store_items(connection, entity, identity, versions, found, booked_on)


def _change_at_risk(
    connection: Connection, entity: Entity, change: Change, ids: Sequence[int]
) -> set[int]:
    """The records that the change must leave alone, since nobody has accepted their risk."""
    found = risks_of(connection, {entity.key: set(ids)}, change)
    return {record for _, record in found} - set(change.accepted.get(entity.key, ()))


def _undo_at_risk(
    connection: Connection,
    entity: Entity,
    versions: Mapping[int, int],
    accepted: AbstractSet[int],
    ids: Sequence[int],
) -> set[int]:
    """The same of an undo."""
    found = undo_risks(connection, {entity.key: {one: versions[one] for one in ids}})
    return {record for _, record in found} - accepted


def _store_items(
    connection: Connection,
    entity: Entity,
    identity: str,
    versions: Mapping[int, int],
    outcome: ItemOutcome,
    booked_on: date | None,
) -> None:
    """The records of one outcome and date in the books, in one statement: row by row, ten thousand
    of them would take as long as their update."""
    row = paired(connection, versions)
    connection.execute(
        insert(operation_item).from_select(
            ["operation_id", "entity", "record_id", "version_seen", "outcome", "booked_on"],
            select(
                literal(identity),
                literal(entity.key),
                cast(row.c.key, BigInteger),
                cast(row.c.value, Integer),
                literal(outcome.value),
                literal(booked_on, Date),
            ),
        )
    )


# ---------------------------------------------------------------- the UPDATEs; triggers do the rest


def _move(
    connection: Connection,
    entity: Entity,
    identity: str,
    change: Change,
    actor: Actor,
    ids: Sequence[int],
) -> None:
    """One UPDATE for records with evidence, one for the others: a second one for the same record
    would be a second event."""
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
    evidence = change.evidence.get(entity.key, {})
    proven = [key for key in ids if evidence.get(key, Evidence()) != Evidence()]
    if proven:
        connection.execute(
            update(table)
            .where(table.c.id == bindparam("record"))
            .values(
                **values,
                sync_reference=func.coalesce(
                    bindparam("found_reference", type_=String), table.c.sync_reference
                ),
                synced_amount=func.coalesce(
                    bindparam("found_amount", type_=BigInteger), table.c.synced_amount
                ),
            ),
            [
                {
                    "record": key,
                    "found_reference": evidence[key].reference or None,
                    "found_amount": evidence[key].amount,
                }
                for key in proven
            ],
        )
    if others := sorted(set(ids) - set(proven)):
        connection.execute(
            update(table).where(table.c.id.in_(among(connection, others))).values(values)
        )


RESTORED = ("sync_status", "sync_reference", "synced_amount", "sync_error", "closed_reason")
"""What a status change may have set, and an undo sets back."""


def _restore(connection: Connection, entity: Entity, identity: str, ids: Sequence[int]) -> None:
    """Set back what a change may have set, from the event before it."""
    of, event = entity.table.c, sync_event.c
    connection.execute(
        update(entity.table)
        .where(of.id.in_(among(connection, ids)), *_is_before(entity))
        .values({name: event[name] for name in RESTORED} | {"last_operation_id": identity})
    )


def _is_before(entity: Entity) -> tuple[ColumnElement[bool], ...]:
    """Whether an event tells the state of a record before its last one."""
    of, event = entity.table.c, sync_event.c
    return (
        event.entity == entity.key,
        event.record_id == of.id,
        event.version == of.version - 1,
    )
