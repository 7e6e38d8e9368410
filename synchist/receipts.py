"""What operations did, and what became of their records since.

Nothing of the latter is stored: it is read from the history each time, so that a receipt is never
out of date.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Subquery,
    and_,
    exists,
    func,
    or_,
    select,
)

from synchist import queries
from synchist.db.tables import (
    diagnosis,
    operation,
    operation_item,
    organization,
    problem,
    sync_event,
)
from synchist.diagnosis import Cause
from synchist.entities import BY_KEY, ENTITIES
from synchist.errors import SynchistError
from synchist.statuses import FIXED, Action, CloseReason, EventKind, ItemOutcome, SyncStatus

LISTED = 500
"""How many untouched records a receipt lists by number; it counts all of them."""

LATEST_RETRIES = 10_000
"""How many retries, the latest ones, what worked is judged by."""


class NoSuchOperation(SynchistError):
    """No operation has this id."""

    def __init__(self) -> None:
        super().__init__("There is no such change. Open Operations to see them all.")


class Since(StrEnum):
    """What became of a record since an operation changed it."""

    COMPLETE = "complete"
    SAME_CAUSE = "same cause"
    OTHER_CAUSE = "other cause"
    FAILED = "failed"  # and not diagnosed yet
    PENDING = "pending"  # an attempt left it Pending, as where there were too many requests
    CHANGED = "changed"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Untouched:
    """A record that the operation left as it was. `meanwhile` says what had changed it."""

    entity: str
    record_id: int
    number: str
    outcome: ItemOutcome
    meanwhile: str = ""

    @property
    def why(self) -> str:
        """The reason in words."""
        return self.meanwhile or self.outcome.sentence


@dataclass(frozen=True)
class Receipt:
    """What an operation did, at a moment in UTC.

    `requested` is the sum of all outcomes; `applied_to` counts the changed records by entity key,
    `since` what became of them, and `undoable` those that nothing has touched since. `to` is None
    where each record went its own way; `undoes` is the operation taken back.
    """

    operation_id: str
    at: datetime
    actor: str
    action: Action
    to: SyncStatus | None
    reason: CloseReason | None
    fixed: bool
    note: str
    filters: str
    undoes: str | None
    requested: int
    outcomes: Mapping[ItemOutcome, int]
    applied_to: Mapping[str, int]
    since: Mapping[Since, int]
    undoable: int
    untouched: tuple[Untouched, ...] = field(default=())

    @property
    def applied(self) -> int:
        """How many records were changed."""
        return self.outcomes.get(ItemOutcome.APPLIED, 0)


def receipt(connection: Connection, operation_id: str, just_done: bool = False) -> Receipt:
    """One operation with the records that it left untouched. What was just done, in the same
    transaction, has led to nothing yet, and is not looked up. Raises NoSuchOperation."""
    found = _receipts(connection, [operation_id], just_done)
    if not found:
        raise NoSuchOperation
    return replace(found[0], untouched=_untouched(connection, operation_id))


def latest(
    connection: Connection, actor_id: int | None = None, limit: int = 20, offset: int = 0
) -> list[Receipt]:
    """The latest operations, of one account or of everybody, without their untouched records."""
    newest = select(operation.c.id).order_by(operation.c.at.desc(), operation.c.id)
    if actor_id is not None:
        newest = newest.where(operation.c.actor_id == actor_id)
    ids = connection.scalars(newest.limit(limit).offset(offset)).all()
    return _receipts(connection, ids)


def latest_id(connection: Connection, actor_id: int | None, since: datetime) -> str | None:
    """The id of an account's latest operation after a moment."""
    of = operation.c
    return connection.scalar(
        select(of.id)
        .where(of.actor_id == actor_id, of.at >= since)
        .order_by(of.at.desc(), of.id)
        .limit(1)
    )


def count(connection: Connection, actor_id: int | None = None) -> int:
    """How many operations there are, of one account or of everybody."""
    number = select(func.count()).select_from(operation)
    if actor_id is not None:
        number = number.where(operation.c.actor_id == actor_id)
    return connection.scalar(number) or 0


def _receipts(connection: Connection, ids: Sequence[str], just_done: bool = False) -> list[Receipt]:
    """Receipts in the order of the ids; what is no operation is left out."""
    rows = {
        row.id: row for row in connection.execute(select(operation).where(operation.c.id.in_(ids)))
    }
    items = operation_item.c
    outcomes: dict[str, dict[ItemOutcome, int]] = defaultdict(lambda: defaultdict(int))
    applied_to: dict[str, dict[str, int]] = defaultdict(dict)
    for identity, entity, outcome, number in connection.execute(
        select(items.operation_id, items.entity, items.outcome, func.count())
        .where(items.operation_id.in_(ids))
        .group_by(items.operation_id, items.entity, items.outcome)
        .order_by(items.entity)
    ):
        outcomes[identity][ItemOutcome(outcome)] += number
        if outcome == ItemOutcome.APPLIED:
            applied_to[identity][entity] = number
    became = {} if just_done else _became(connection, ids)
    return [
        _receipt(
            rows[identity],
            outcomes=dict(outcomes[identity]),
            applied_to=dict(applied_to[identity]),
            became=became.get(
                identity, {(Since.NOTHING, False): sum(applied_to[identity].values())}
            ),
        )
        for identity in ids
        if identity in rows
    ]


def _became(connection: Connection, ids: Sequence[str]) -> dict[str, dict[tuple[Since, bool], int]]:
    """What became of the records of each operation, and whether anything has touched them."""
    became: dict[str, dict[tuple[Since, bool], int]] = defaultdict(lambda: defaultdict(int))
    for group in _counted(connection, ids):
        became[group.operation_id][_since(group), bool(group.touched)] += group.number
    return became


def _receipt(row: Any, became: Mapping[tuple[Since, bool], int], **counts: Any) -> Receipt:
    since: dict[Since, int] = defaultdict(int)
    for (one, _), number in became.items():
        since[one] += number
    closing = row.reason and row.reason != FIXED
    return Receipt(
        operation_id=row.id,
        at=row.at,
        actor=row.actor,
        action=Action(row.action),
        to=None if row.to_status is None else SyncStatus(row.to_status),
        reason=CloseReason(row.reason) if closing else None,
        fixed=row.reason == FIXED,
        note=row.note,
        filters=row.filters,
        undoes=row.undoes,
        requested=row.requested,
        since={one: number for one, number in since.items() if number},
        undoable=sum(number for (_, touched), number in became.items() if not touched),
        **counts,
    )


# ---------------------------------------------------------------- what became of them


@dataclass(frozen=True)
class Followed:
    """A record that an operation changed: its status before and now, and what came in between.
    `amount` is in minor units of `currency`."""

    entity: str
    record_id: int
    number: str
    party: str
    amount: int
    currency: str
    before: SyncStatus
    now: SyncStatus
    since: Since


def followed(connection: Connection, operation_id: str) -> list[Followed]:
    """The records that an operation changed, at most LISTED of them."""
    rows = _followed([operation_id])
    before = sync_event.alias()
    found: list[Any] = []
    for entity in ENTITIES:
        of = entity.table.c
        found += connection.execute(
            select(
                rows,
                of.number,
                organization.c.name,
                of.amount,
                of.currency,
                of.sync_status.label("now"),
                before.c.sync_status.label("was"),
            )
            .join_from(rows, entity.table, of.id == rows.c.record_id)
            .join(organization, organization.c.id == of.party_id)
            .join(before, _same(before, rows, rows.c.version - 1))
            .where(rows.c.entity == entity.key)
            .order_by(of.id)
            .limit(LISTED - len(found))
        ).all()
    return [
        Followed(
            row.entity,
            row.record_id,
            row.number,
            row.name,
            row.amount,
            row.currency,
            SyncStatus(row.was),
            SyncStatus(row.now),
            _since(row),
        )
        for row in found
    ]


def _counted(connection: Connection, ids: Sequence[str]) -> Sequence[Any]:
    """What followed the operations' changes, counted."""
    rows = _followed(ids)
    groups = [rows.c[name] for name in ("operation_id", "before", "status", "after")]
    groups += [rows.c.overtaken.is_not(None).label("overtaken"), rows.c.touched]
    return connection.execute(select(*groups, func.count().label("number")).group_by(*groups)).all()


def _followed(ids: Sequence[str]) -> Subquery:
    """Each record that the operations changed, with its version after the change and what followed:
    the cause of the error shown before (`before`), the status that the last attempt since has left
    and its cause (`status`, `after`), the version at which a later operation took over
    (`overtaken`; what comes after that is its story), and whether there is any later event
    (`touched`)."""
    tried = _tried(_overtaken(ids))
    event, failure, earlier = sync_event.alias(), diagnosis.alias(), diagnosis.alias()
    cause_before, cause_after, last = problem.alias(), problem.alias(), diagnosis.alias()
    last_failure = (
        select(func.max(last.c.version))
        .where(
            last.c.entity == tried.c.entity,
            last.c.record_id == tried.c.record_id,
            last.c.version < tried.c.version,
        )
        .scalar_subquery()
    )
    # A job that succeeds clears the error: what it was about is over then.
    shown = sync_event.alias()
    unsolved = exists().where(_same(shown, tried, tried.c.version - 1), shown.c.sync_error != "")
    return (
        select(
            *tried.c,
            cause_before.c.cause.label("before"),
            event.c.sync_status.label("status"),
            cause_after.c.cause.label("after"),
        )
        .select_from(tried)
        .outerjoin(event, _same(event, tried, tried.c.attempt))
        .outerjoin(failure, _same(failure, tried, tried.c.attempt))
        .outerjoin(cause_after, cause_after.c.id == failure.c.problem_id)
        .outerjoin(earlier, and_(_same(earlier, tried, last_failure), unsolved))
        .outerjoin(cause_before, cause_before.c.id == earlier.c.problem_id)
        .subquery()
    )


def _same(other: FromClause, record: Subquery, version: Any) -> ColumnElement[bool]:
    """Whether a row of events or diagnoses is of this record and version."""
    return and_(
        other.c.entity == record.c.entity,
        other.c.record_id == record.c.record_id,
        other.c.version == version,
    )


def _overtaken(ids: Sequence[str]) -> Subquery:
    """Each changed record, its version after the change, and that of the next operation, if any."""
    items, later = operation_item.c, sync_event.alias()
    following = (
        select(func.min(later.c.version))
        .where(
            later.c.entity == items.entity,
            later.c.record_id == items.record_id,
            later.c.version > items.version_seen + 1,
            later.c.kind == EventKind.OPERATION.value,
        )
        .scalar_subquery()
    )
    touched = exists().where(
        later.c.entity == items.entity,
        later.c.record_id == items.record_id,
        later.c.version == items.version_seen + 2,
    )
    return (
        select(
            items.operation_id,
            items.entity,
            items.record_id,
            (items.version_seen + 1).label("version"),
            following.label("overtaken"),
            touched.label("touched"),
        )
        .where(items.operation_id.in_(ids), items.outcome == ItemOutcome.APPLIED.value)
        .subquery()
    )


def _tried(item: Subquery) -> Subquery:
    """The same with the version of the last attempt in between, if any."""
    attempt = sync_event.alias()
    last = (
        select(func.max(attempt.c.version))
        .where(
            attempt.c.entity == item.c.entity,
            attempt.c.record_id == item.c.record_id,
            attempt.c.version > item.c.version,
            or_(item.c.overtaken.is_(None), attempt.c.version < item.c.overtaken),
            attempt.c.kind == EventKind.ATTEMPT.value,
        )
        .scalar_subquery()
    )
    return select(item, last.label("attempt")).subquery()


def _since(row: Any) -> Since:
    if row.status is None:
        return Since.CHANGED if row.overtaken else Since.NOTHING
    if row.status == SyncStatus.COMPLETE:
        return Since.COMPLETE
    if row.status == SyncStatus.PENDING:
        return Since.PENDING
    if row.after is None:
        return Since.FAILED
    return Since.SAME_CAUSE if row.after == row.before else Since.OTHER_CAUSE


# ---------------------------------------------------------------- what was left alone


def _untouched(connection: Connection, operation_id: str) -> tuple[Untouched, ...]:
    """The records that an operation left as they were, at most LISTED of them."""
    items = operation_item.c
    rows = connection.execute(
        select(items.entity, items.record_id, items.version_seen, items.outcome)
        .where(items.operation_id == operation_id, items.outcome != ItemOutcome.APPLIED.value)
        .order_by(items.entity, items.record_id)
        .limit(LISTED)
    ).all()
    return tuple(
        Untouched(
            row.entity,
            row.record_id,
            number,
            ItemOutcome(row.outcome),
            meanwhile if row.outcome == ItemOutcome.CONFLICTED else "",
        )
        for row, number, meanwhile in _described(connection, rows)
    )


def touched_since(connection: Connection, operation_id: str) -> tuple[Untouched, ...]:
    """The records that an undo would leave alone, and what has touched them, at most LISTED."""
    items, event = operation_item.c, sync_event.c
    rows = connection.execute(
        select(items.entity, items.record_id, (items.version_seen + 1).label("version_seen"))
        .join(
            sync_event,
            and_(
                event.entity == items.entity,
                event.record_id == items.record_id,
                event.version == items.version_seen + 2,
            ),
        )
        .where(items.operation_id == operation_id, items.outcome == ItemOutcome.APPLIED.value)
        .order_by(items.entity, items.record_id)
        .limit(LISTED)
    ).all()
    return tuple(
        Untouched(row.entity, row.record_id, number, ItemOutcome.CONFLICTED, meanwhile)
        for row, number, meanwhile in _described(connection, rows)
    )


def _described(connection: Connection, rows: Sequence[Any]) -> Iterable[tuple[Any, str, str]]:
    """Each row with the number of its record and with what followed the version that was seen."""
    for key in {row.entity: None for row in rows}:
        event = sync_event.c
        group = [row for row in rows if row.entity == key]
        ids = [row.record_id for row in group]
        numbers = queries.numbers(connection, BY_KEY[key], ids)
        followed = {
            (row.record_id, row.version): row
            for row in connection.execute(
                select(event.record_id, event.version, event.kind, operation.c.actor)
                .outerjoin(operation, operation.c.id == event.operation_id)
                .where(event.entity == key, event.record_id.in_(ids))
            )
        }
        for row in group:
            number = numbers.get(row.record_id, f"id {row.record_id}")
            yield row, number, _meanwhile(followed.get((row.record_id, row.version_seen + 1)))


def _meanwhile(event: Any) -> str:
    """What an event did, in words."""
    if event is None:
        return ""
    if event.kind == EventKind.OPERATION:
        return f"changed by {event.actor} meanwhile, left untouched"
    return {
        EventKind.ATTEMPT: "tried by a sync job meanwhile, left untouched",
        EventKind.TMS: "changed in the TMS meanwhile, left untouched",
    }.get(event.kind, "changed directly in the database meanwhile, left untouched")


# ---------------------------------------------------------------- what worked


@dataclass(frozen=True)
class Rate:
    """How many retries were tried by a job, and how many of them passed."""

    tried: int = 0
    passed: int = 0

    @property
    def percent(self) -> int:
        """The share that passed."""
        return round(100 * self.passed / self.tried) if self.tried else 0


@dataclass(frozen=True)
class Worked:
    """What retries of failures of one cause led to: after a fix, and without one."""

    fixed: Rate = Rate()
    plain: Rate = Rate()


def what_worked(connection: Connection) -> dict[Cause, Worked]:
    """By the cause of the failure before, over the latest retries that people asked for."""
    of = operation.c
    is_fixed, asked = dict[str, bool](), 0
    for row in connection.execute(
        select(of.id, of.reason, of.requested)
        .where(of.action == Action.CHANGE_STATUS.value, of.to_status == int(SyncStatus.PENDING))
        .order_by(of.at.desc())
        .limit(500)
    ):
        asked += row.requested
        if asked > LATEST_RETRIES and is_fixed:
            break
        is_fixed[row.id] = row.reason == FIXED
    tried: dict[tuple[Cause, bool], int] = defaultdict(int)
    passed: dict[tuple[Cause, bool], int] = defaultdict(int)
    for group in _counted(connection, list(is_fixed)):
        if group.before is None or group.status is None:
            continue
        key = Cause.from_stored(group.before), is_fixed[group.operation_id]
        tried[key] += group.number
        passed[key] += group.number * (group.status == SyncStatus.COMPLETE)
    return {
        cause: Worked(
            Rate(tried[cause, True], passed[cause, True]),
            Rate(tried[cause, False], passed[cause, False]),
        )
        for cause in {cause for cause, _ in list(tried)}
    }
