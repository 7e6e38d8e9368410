"""How a month stands: what blocks its close, for each billing organization and connection.

A month is that of the accounting date. Every function takes the connection of an authorized
transaction (`accounts.viewing`), so that all numbers come from one state of the database.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    union_all,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from synchist.db.tables import TRACKED, organization, period_close, period_reopen, sync_event
from synchist.db.tables import connection as connection_table
from synchist.entities import BY_KEY, ENTITIES, Entity
from synchist.filters import (
    NO_CONNECTION,
    NO_DATE,
    Attempted,
    Filters,
    WillNotSync,
    Window,
    month_of,
    next_month,
    start_of,
    today,
)
from synchist.queries import Total, added
from synchist.statuses import CloseReason, SyncStatus

Columns = ReadOnlyColumnCollection[str, Any]


class Kind(StrEnum):
    """What a record of a month counts as; each is of exactly one kind."""

    FAILED = "failed"
    PENDING = "pending"
    NEVER = "never_attempted"
    DIFFERS = "amount_differs"
    WILL_NOT_SYNC = "will_not_sync"
    COMPLETE = "complete"

    @property
    def label(self) -> str:
        """The words that users read."""
        return {
            Kind.FAILED: "Failed",
            Kind.PENDING: "Pending, attempted",
            Kind.NEVER: "Never attempted",
            Kind.DIFFERS: "Amount differs",
            Kind.WILL_NOT_SYNC: "Will not be synced",
            Kind.COMPLETE: "Complete",
        }[self]


BLOCKING = (Kind.FAILED, Kind.PENDING, Kind.NEVER, Kind.DIFFERS)
"""What a month should not be closed with."""

CLOSING_DAYS = 10
"""Until this day of a month people are closing the month before."""

PROGRESS_DAYS = 10


def kind_of(of: Columns) -> ColumnElement[str]:
    """The kind of a record or event as SQL. Written out, so that both databases see that what is
    selected is what is grouped by."""

    def word(kind: Kind) -> ColumnElement[str]:
        return literal_column(f"'{kind.value}'")

    def is_in(status: SyncStatus) -> ColumnElement[bool]:
        is_it: ColumnElement[bool] = of["sync_status"] == literal_column(str(int(status)))
        return is_it

    will_not: ColumnElement[str] = literal_column(f"'{CloseReason.WILL_NOT_SYNC.value}'")
    return case(
        (is_in(SyncStatus.FAILED), word(Kind.FAILED)),
        (and_(is_in(SyncStatus.PENDING), of["sync_at"].is_(None)), word(Kind.NEVER)),
        (is_in(SyncStatus.PENDING), word(Kind.PENDING)),
        (of["closed_reason"] == will_not, word(Kind.WILL_NOT_SYNC)),
        (of["synced_amount"] != of["amount"], word(Kind.DIFFERS)),
        else_=word(Kind.COMPLETE),
    )


def blocks(of: Columns) -> ColumnElement[bool]:
    """Whether a record or event blocks the close, as SQL."""
    return kind_of(of).in_([kind.value for kind in BLOCKING])


def filters_of(
    kind: Kind, month: date | None, billing: str = "", connection: str | None = ""
) -> Filters:
    """What shows exactly the records of a kind: of a month (None: without an accounting date), of
    all billing organizations and connections where these are empty; None: without a connection.

    Of Complete it shows those whose amount differs as well.
    """
    status, more = _SHOWN[kind]
    return Filters(
        status,
        Window.ALL,
        month=month_of(month) if month else NO_DATE,
        billing=billing or None,
        connection=NO_CONNECTION if connection is None else connection or None,
        **more,
    )


_SHOWN: Mapping[Kind, tuple[SyncStatus, Mapping[str, Any]]] = {
    Kind.FAILED: (SyncStatus.FAILED, {}),
    Kind.PENDING: (SyncStatus.PENDING, {"attempted": Attempted.BEFORE.value}),
    Kind.NEVER: (SyncStatus.PENDING, {"attempted": Attempted.NEVER.value}),
    Kind.DIFFERS: (
        SyncStatus.COMPLETE,
        {"will_not_sync": WillNotSync.WITHOUT.value, "differs": True},
    ),
    Kind.WILL_NOT_SYNC: (SyncStatus.COMPLETE, {"will_not_sync": WillNotSync.ONLY.value}),
    Kind.COMPLETE: (SyncStatus.COMPLETE, {"will_not_sync": WillNotSync.WITHOUT.value}),
}


# ---------------------------------------------------------------- months and their units


def first_of(day: date) -> date:
    """The first day of a day's month."""
    return day.replace(day=1)


def month_before(month: date) -> date:
    """The first day of the month before."""
    return first_of(first_of(month) - timedelta(days=1))


def month_to_close(day: date | None = None) -> date:
    """The month that people are closing: the last one until the tenth day of the present one."""
    day = day or today()
    return month_before(day) if day.day <= CLOSING_DAYS else first_of(day)


def named(month: date) -> str:
    """A month as people read it: October 2026."""
    return f"{month:%B %Y}"


@dataclass(frozen=True)
class Unit:
    """What is signed off: a month (its first day) of a billing organization and connection (None:
    records that have no connection)."""

    month: date
    billing_organization_id: int
    connection_id: int | None

    def within(self, of: Columns) -> list[ColumnElement[bool]]:
        """The records or events that belong to it, as SQL."""
        return [
            *in_month(of, self.month),
            # Sums, so that SQLite takes the index by day: it would rather take that of a billing
            # organization, which holds all its years.
            of["billing_organization_id"] + 0 == self.billing_organization_id,
            _same(of["connection_id"] + 0, self.connection_id),
        ]


def in_month(of: Columns, month: date) -> list[ColumnElement[bool]]:
    """The records or events of a month, as SQL."""
    day = of["accounting_date"]
    return [day >= month, day < next_month(month)]


def _same(column: ColumnElement[Any], value: int | None) -> ColumnElement[bool]:
    # Not IS NOT DISTINCT FROM, for which PostgreSQL uses no index.
    return column.is_(None) if value is None else column == value


# ---------------------------------------------------------------- as of a moment


def standing(entity: Entity, as_of: datetime | None = None) -> FromClause:
    """The records of an entity as they stood at a moment, or now: `id`, `version`, `created_at` and
    the tracked columns.

    Whatever nothing has happened to since then stands in its row; of the others the last event
    until then tells, the one of the highest version that happened by then.
    """
    if as_of is None:
        return entity.table
    of, event, later = entity.table.c, sync_event.alias(), sync_event.alias()
    touched = _touched(entity, as_of)
    overtaken = (
        select(later.c.id)
        .where(
            later.c.entity == entity.key,
            later.c.record_id == event.c.record_id,
            later.c.version > event.c.version,
            later.c.at <= as_of,
        )
        .exists()
    )
    names = ("created_at", *TRACKED)
    untouched = select(of.id, of.version, *(of[name] for name in names)).where(
        of.id.not_in(touched)
    )
    before = (
        select(of.id, event.c.version, of.created_at, *(event.c[name] for name in TRACKED))
        .join(event, and_(event.c.entity == entity.key, event.c.record_id == of.id))
        .where(of.id.in_(touched), event.c.at <= as_of, ~overtaken)
    )
    return union_all(untouched, before).subquery(f"{entity.key}_then")


def _touched(entity: Entity, since: datetime) -> Select[int]:
    """The records that something has happened to since."""
    of = sync_event.c
    return select(of.record_id).where(
        of.entity == entity.key,
        of.sync_status.in_([0, 1, 2]),  # every one: the index begins with it
        of.at > since,
    )


# ---------------------------------------------------------------- a month


@dataclass(frozen=True)
class Held:
    """How many records of one kind and their TMS amounts; of each currency, how many there are and
    when the oldest of them was created (UTC)."""

    total: Total = field(default_factory=Total)
    counts: Mapping[str, int] = field(default_factory=dict)
    created: Mapping[str, datetime] = field(default_factory=dict)

    @property
    def oldest(self) -> datetime | None:
        """When the oldest of all currencies was created."""
        return min(self.created.values(), default=None)


def together(parts: Iterable[Held]) -> Held:
    """The sum of what is held, currency by currency."""
    found = list(parts)
    counts, created = Counter[str](), dict[str, datetime]()
    for one in found:
        counts.update(one.counts)
        for currency, at in one.created.items():
            created[currency] = min(at, created.get(currency, at))
    return Held(added(one.total for one in found), dict(counts), created)


@dataclass(frozen=True)
class Close:
    """A sign-off, at a moment in UTC, and who has reopened it since, when and why."""

    id: str
    unit: Unit
    note: str
    at: datetime
    actor: str
    reopened_at: datetime | None = None
    reopened_by: str = ""
    reason: str = ""

    @property
    def stands(self) -> bool:
        """Whether it has not been reopened."""
        return self.reopened_at is None


class State(StrEnum):
    """How far the close of a unit is."""

    OPEN = "Open"
    SIGNED_OFF = "Signed off"
    REOPENED = "Reopened"


Holding = Mapping[tuple[str, Kind], Held]
"""Entity key and kind → what there is of it."""


def held(holding: Holding, kinds: Iterable[Kind], entity: Entity | None = None) -> Held:
    """What there is of these kinds, of one entity or of all."""
    wanted = set(kinds)
    return together(
        one
        for (key, kind), one in holding.items()
        if kind in wanted and entity in (None, BY_KEY[key])
    )


@dataclass(frozen=True)
class Standing:
    """A unit: the names of its billing organization and connection (empty: none), what it holds,
    and its last sign-off."""

    unit: Unit
    billing: str
    connection: str
    holding: Holding
    close: Close | None = None

    def held(self, kinds: Iterable[Kind], entity: Entity | None = None) -> Held:
        """What it holds of these kinds, of one entity or of all."""
        return held(self.holding, kinds, entity)

    @property
    def blocking(self) -> Held:
        """What blocks its close."""
        return self.held(BLOCKING)

    @property
    def state(self) -> State:
        """Whether it is signed off."""
        if self.close is None:
            return State.OPEN
        return State.SIGNED_OFF if self.close.stands else State.REOPENED


@dataclass(frozen=True)
class Month:
    """A month by its units, those with most that blocks first. `undated` is what has no accounting
    date and so belongs to no month."""

    month: date
    units: tuple[Standing, ...]
    undated: Holding

    @property
    def holding(self) -> Holding:
        """What it holds altogether."""
        found: dict[tuple[str, Kind], Held] = {}
        for one in self.units:
            for key, part in one.holding.items():
                found[key] = together([found.get(key, Held()), part])
        return found

    @property
    def signed_off(self) -> int:
        """How many units are signed off."""
        return sum(one.state is State.SIGNED_OFF for one in self.units)

    def of(self, unit: Unit | None) -> Standing | None:
        """The unit, where it is one of them."""
        return next((one for one in self.units if one.unit == unit), None)


def load_month(
    connection: Connection,
    month: date,
    unit: Unit | None = None,
    as_of: datetime | None = None,
) -> Month:
    """A month, or one unit of it alone, as it stands now or stood at a moment."""
    holdings: dict[tuple[int, int | None], dict[tuple[str, Kind], Held]] = {}
    undated: dict[tuple[str, Kind], Held] = {}
    for entity in ENTITIES:
        for row in connection.execute(_holding(entity, month, unit, as_of)):
            if row.is_dated:
                _add(holdings.setdefault((row.billing, row.connection), {}), entity, row)
            else:
                _add(undated, entity, row)
    closes = load_closes(connection, month, as_of)
    for close in closes:
        if unit in (None, close.unit):
            key = (close.unit.billing_organization_id, close.unit.connection_id)
            holdings.setdefault(key, {})
    latest = {close.unit: close for close in closes}  # the last one of each stays
    billings, links = _names(connection)
    units = [
        Standing(
            one := Unit(month, billing, link),
            billings.get(billing, ""),
            links.get(link, "") if link else "",
            holding,
            latest.get(one),
        )
        for (billing, link), holding in holdings.items()
    ]
    units.sort(key=lambda one: (-one.blocking.total.count, one.billing.casefold(), one.connection))
    return Month(month, tuple(units), undated)


def _add(into: dict[tuple[str, Kind], Held], entity: Entity, row: Any) -> None:
    key = (entity.key, Kind(row.kind))
    total = Total(row.count, {row.currency: int(row.amount)})
    one = Held(total, {row.currency: row.count}, {row.currency: row.oldest})
    into[key] = together([into.get(key, Held()), one])


def _holding(entity: Entity, month: date, unit: Unit | None, as_of: datetime | None) -> Select[Any]:
    """Counts and sums of what the month holds, and of what has no accounting date."""
    source = standing(entity, as_of)
    of = source.c
    is_dated = of.accounting_date.is_not(None)
    groups = (of.billing_organization_id, of.connection_id, is_dated, kind_of(of), of.currency)
    return (
        select(
            of.billing_organization_id.label("billing"),
            of.connection_id.label("connection"),
            is_dated.label("is_dated"),
            kind_of(of).label("kind"),
            of.currency,
            func.count().label("count"),
            func.sum(of.amount).label("amount"),
            func.min(of.created_at).label("oldest"),
        )
        .select_from(source)
        .where(or_(and_(*_scope(of, month, unit)), ~is_dated))
        .group_by(*groups)
    )


def _names(connection: Connection) -> tuple[dict[int, str], dict[int, str]]:
    """Billing organizations and connections by id."""
    of, link = organization.c, connection_table.c
    return (
        dict(connection.execute(select(of.id, of.name).where(of.is_billing)).all()),
        dict(connection.execute(select(link.id, link.name)).all()),
    )


# ---------------------------------------------------------------- sign-offs

_CLOSES = select(
    period_close,
    period_reopen.c.at.label("reopened_at"),
    period_reopen.c.actor.label("reopened_by"),
    period_reopen.c.reason,
).outerjoin(period_reopen, period_reopen.c.close_id == period_close.c.id)


def load_closes(connection: Connection, month: date, as_of: datetime | None = None) -> list[Close]:
    """The sign-offs of a month, the oldest first; with `as_of` those that were there by then."""
    of = period_close.c
    statement = _CLOSES.where(of.month == month).order_by(of.at, of.id)
    if as_of is None:
        return [_close(row) for row in connection.execute(statement)]
    found = [_close(row) for row in connection.execute(statement.where(of.at <= as_of))]
    return [
        replace(one, reopened_at=None, reopened_by="", reason="")
        if one.reopened_at and one.reopened_at > as_of
        else one
        for one in found
    ]


def load_close(connection: Connection, close_id: str) -> Close | None:
    """The sign-off of that id, or None."""
    row = connection.execute(_CLOSES.where(period_close.c.id == close_id)).first()
    return _close(row) if row else None


def _close(row: Any) -> Close:
    return Close(
        row.id,
        Unit(row.month, row.billing_organization_id, row.connection_id),
        row.note,
        row.at,
        row.actor,
        row.reopened_at,
        row.reopened_by or "",
        row.reason or "",
    )


# ---------------------------------------------------------------- progress


def load_progress(
    connection: Connection, month: date, unit: Unit | None = None
) -> list[tuple[date, int]]:
    """How many records blocked the close at the end of each of the last days before today, the
    oldest first, as their events tell."""
    days = [today() - timedelta(days=back) for back in range(PROGRESS_DAYS - 1, 0, -1)]
    ends = [start_of(day + timedelta(days=1)) for day in days]
    counts = [0] * len(ends)
    for entity in ENTITIES:
        still = connection.scalar(_blocking_since(entity, month, unit, ends[0])) or 0
        moved = connection.execute(_blocking_then(entity, month, unit, ends)).one()
        for position, number in enumerate(moved):
            counts[position] += still + int(number or 0)
    return list(zip(days, counts, strict=True))


def _scope(of: Columns, month: date, unit: Unit | None) -> list[ColumnElement[bool]]:
    return unit.within(of) if unit else in_month(of, month)


def _blocking_since(entity: Entity, month: date, unit: Unit | None, since: datetime) -> Select[int]:
    """What blocks and has stood still since."""
    of = entity.table.c
    return select(func.count()).where(
        *_scope(of, month, unit), blocks(of), of.id.not_in(_touched(entity, since))
    )


def _blocking_then(
    entity: Entity, month: date, unit: Unit | None, ends: Sequence[datetime]
) -> Select[Any]:
    """Of what has moved since the first of these moments, how much blocked at each of them.

    An event tells until the first later one of its record has happened.
    """
    event, later = sync_event.alias(), sync_event.alias()
    until = (
        select(func.min(later.c.at))
        .where(
            later.c.entity == entity.key,
            later.c.record_id == event.c.record_id,
            later.c.version > event.c.version,
        )
        .scalar_subquery()
    )
    told = (
        select(event.c.at, until.label("until"))
        .where(
            event.c.entity == entity.key,
            event.c.record_id.in_(_touched(entity, ends[0])),
            *_scope(event.c, month, unit),
            blocks(event.c),
        )
        # Looked up once for each event, and not again for each moment.
        .cte("told")
        .prefix_with("MATERIALIZED")
    )
    of = told.c
    return select(
        *(
            func.sum(
                case((and_(of.at <= end, or_(of.until.is_(None), of.until > end)), 1), else_=0)
            )
            for end in ends
        )
    )
