"""What the lists show: SELECTs that return DataFrames and totals. Nothing here writes.

Every function takes the connection of an authorized transaction (`accounts.viewing`), so that all
numbers of a page come from one state of the database. DataFrames are indexed by record id and
carry money as whole minor units (Int64) and moments in UTC; `readable` turns a frame into what
people see, for the grid and for Excel alike. Filters with `as_of` read the past: each function asks
`Filters.of` for the records that they are about.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import IntEnum
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    Select,
    UnaryExpression,
    case,
    func,
    literal_column,
    select,
    type_coerce,
)
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.types import NullType

from synchist.currencies import exponent, sums
from synchist.db.engine import among
from synchist.db.tables import connection as connection_table
from synchist.db.tables import organization, problem, sync_event
from synchist.diagnosis import Cause
from synchist.entities import ENTITIES, Column, Entity, Kind
from synchist.errors import SynchistError
from synchist.filters import (
    EARLIEST,
    NO_CONNECTION,
    NO_DATE,
    NOBODY,
    Filters,
    Window,
    happened_since,
    month_of,
    today,
)
from synchist.settings import settings
from synchist.statuses import CloseReason, SyncStatus
from synchist.triage import people

MOST_RECENT = 200_000
"""Events since a past moment up to which it may be counted from the present."""

RECENT_PAYS = 4
"""How much more one of them costs than one that lies before the moment."""


class Past(SynchistError):
    """Records as they stood can't be selected."""

    def __init__(self) -> None:
        super().__init__(
            "The list shows records as they stood, so nothing in it can be selected or changed."
            " Go back to now first."
        )


@dataclass(frozen=True)
class Total:
    """How many records, and their TMS amounts in whole minor units per currency."""

    count: int = 0
    by_currency: Mapping[str, int] = field(default_factory=dict)

    @property
    def money(self) -> str:
        """The sums as people read them, or an empty text."""
        return sums(self.by_currency)


def added(totals: Iterable[Total]) -> Total:
    """The sum of totals, currency by currency."""
    count, by_currency = 0, dict[str, int]()
    for total in totals:
        count += total.count
        for currency, amount in total.by_currency.items():
            by_currency[currency] = by_currency.get(currency, 0) + amount
    return Total(count, by_currency)


@dataclass(frozen=True)
class Ticked:
    """What a selection remembers of a record: its version when it was ticked, and its amount."""

    version: int
    currency: str
    amount: int


def _select(entity: Entity, filters: Filters, *columns: ColumnElement[Any]) -> Select[Any]:
    """A SELECT over the entity, joined to the names only where the filters look at them."""
    source = entity.source if filters.looks_at_names else entity.rows
    return select(*columns).select_from(source)


# ---------------------------------------------------------------- numbers


class Side(IntEnum):
    """Where a record lies, seen from the date range."""

    BEFORE = -1
    WITHIN = 0
    AFTER = 1


@dataclass(frozen=True)
class Counts:
    """What stands above a list: what matches; the same search under each other status, as that
    status's link would show it; and what lies before and after the date range."""

    total: Total
    others: Mapping[SyncStatus, Total]
    outside: tuple[Total, Total]


Sums: TypeAlias = dict[tuple[SyncStatus, Side], dict[str, tuple[int, int]]]
"""Number and amount of each currency, by status and side."""


def _sums(
    connection: Connection,
    entity: Entity,
    filters: Filters,
    conditions: Iterable[ColumnElement[bool]],
    side: Side | ColumnElement[int] = Side.WITHIN,
) -> Iterator[tuple[SyncStatus, Side, str, int, int]]:
    """Counts and amounts of what fulfils the conditions, by status, side and currency."""
    of = entity.rows.c
    fixed, more = (side, ()) if isinstance(side, Side) else (None, (side,))
    groups = (of.sync_status, of.currency, *more)
    rows = connection.execute(
        _select(entity, filters, func.count(), func.sum(of.amount), *groups)
        .where(*conditions)
        .group_by(*groups)
    )
    for count, amount, status, currency, *on in rows:
        yield (
            SyncStatus(status),
            Side(*on) if fixed is None else fixed,
            currency,
            count,
            int(amount),
        )


def _add(into: Sums, status: SyncStatus, side: Side, currency: str, count: int, sum_: int) -> None:
    held = into.setdefault((status, side), {})
    before = held.get(currency, (0, 0))
    held[currency] = before[0] + count, before[1] + sum_


def _added_up(*many: Iterable[tuple[SyncStatus, Side, str, int, int]]) -> Sums:
    found: Sums = {}
    for part in chain(*many):
        _add(found, *part)
    return found


def _total(sums_of: Sums, status: SyncStatus, side: Side = Side.WITHIN) -> Total:
    held = {key: one for key, one in sums_of.get((status, side), {}).items() if one[0]}
    return Total(
        sum(count for count, _ in held.values()), {key: one[1] for key, one in held.items()}
    )


def _of_now(connection: Connection, entity: Entity, filters: Filters) -> Sums:
    """The numbers of a list of now, part by part, as the indexes have them."""
    each = [replace(filters, status=status).conditions(entity) for status in SyncStatus]
    within = [_sums(connection, entity, filters, conditions) for conditions in each]
    beyond = [filters.of_status(entity), *filters.beyond_status_and_window(entity)]
    sides = filters.outside_window(entity.rows.c.outcome_at)
    outside = [
        _sums(connection, entity, filters, [*beyond, condition], side)
        for side, condition in zip((Side.BEFORE, Side.AFTER), sides, strict=True)
        if condition is not None
    ]
    return _added_up(*within, *outside)


def counts(connection: Connection, entity: Entity, filters: Filters) -> Counts:
    """Everything that stands above a list, of now or of the past."""
    of = _of_then if filters.as_of else _of_now
    found = of(connection, entity, filters)
    status = filters.status
    return Counts(
        _total(found, status),
        {other: _total(found, other) for other in SyncStatus if other is not status},
        (_total(found, status, Side.BEFORE), _total(found, status, Side.AFTER)),
    )


def total(connection: Connection, entity: Entity, filters: Filters) -> Total:
    """Number and sums of everything that matches the filters."""
    if filters.as_of:
        return counts(connection, entity, filters).total
    found = _added_up(_sums(connection, entity, filters, filters.conditions(entity)))
    return _total(found, filters.status)


def everywhere(connection: Connection, entity: Entity, filters: Filters) -> dict[SyncStatus, Total]:
    """What the same search finds under every status and over all dates."""
    found = counts(connection, entity, replace(filters, window=Window.ALL))
    totals = {filters.status: found.total, **found.others}
    return {status: totals[status] for status in SyncStatus if totals[status].count}


# ---------------------------------------------------------------- numbers of the past


def _on(side: Side) -> ColumnElement[int]:
    """A side as SQL. Written out, so that PostgreSQL sees that what is selected is what is grouped
    by."""
    return literal_column(str(int(side)), Integer)


def _side(entity: Entity, filters: Filters) -> ColumnElement[int]:
    """Where a record of any status lies; Pending ones have no date."""
    of = entity.rows.c
    dated = replace(filters, status=SyncStatus.FAILED)
    outside = zip((Side.BEFORE, Side.AFTER), dated.outside_window(of.outcome_at), strict=True)
    sides = [(condition, _on(side)) for side, condition in outside if condition is not None]
    is_pending = of.sync_status == literal_column(str(int(SyncStatus.PENDING)))
    return case((is_pending, _on(Side.WITHIN)), *sides, else_=_on(Side.WITHIN))


def _of_then(connection: Connection, entity: Entity, filters: Filters) -> Sums:
    """The numbers of a list of the past. Where far less has happened since than before, what has
    changed since counts as it was, and all else as it stands."""
    then = filters.of(entity)

    def conditions(of: Entity) -> list[ColumnElement[bool]]:
        return filters.beyond_status_and_window(of, every_status=True)

    if not _is_recent(connection, then):
        side = _side(then, filters)
        return _added_up(_sums(connection, then, filters, conditions(then), side))
    found = _of_now(connection, entity, filters)
    changed = set(connection.scalars(select(sync_event.c.record_id).where(*_since(then))))
    ids = among(connection, list(changed))
    for of, sign in ((then, 1), (entity, -1)):
        # Neither of one status nor grouped: SQLite would begin with the status, not with the ids.
        its = of.rows.c
        rows = connection.execute(
            _select(of, filters, its.sync_status, _side(of, filters), its.currency, its.amount)
            .where(*conditions(of))
            .where(its.id.in_(ids))
        )
        for status, side, currency, amount in rows:
            _add(found, SyncStatus(status), Side(side), currency, sign, sign * amount)
    return found


def _since(then: Entity) -> list[ColumnElement[bool]]:
    """Events that happened after the moment; with every status, as the index has it before it."""
    return [*_events(then), sync_event.c.at > then.as_of]


def _events(then: Entity) -> list[ColumnElement[bool]]:
    event = sync_event.c
    every = [int(status) for status in SyncStatus]
    return [event.entity == then.key, event.sync_status.in_(every)]


def _is_recent(connection: Connection, then: Entity) -> bool:
    """Whether far less has happened after the moment than there is to look through before it."""

    def reached(limit: int, *which: ColumnElement[bool]) -> int:
        some = select(sync_event.c.at).where(*which).limit(limit).subquery()
        return connection.scalar(select(func.count()).select_from(some)) or 0

    since = reached(MOST_RECENT, *_since(then))
    pays = since * RECENT_PAYS
    return since < MOST_RECENT and pays == reached(
        pays, *_events(then), sync_event.c.at <= then.as_of
    )


# ---------------------------------------------------------------- rows


def _order(entity: Entity, filters: Filters) -> tuple[ColumnElement[Any], ...]:
    order, key = filters.order(entity), entity.rows.c.id
    return (order.by.desc() if order.descending else order.by.asc(), key.asc())


def _page(
    connection: Connection,
    entity: Entity,
    filters: Filters,
    limit: int,
    offset: int,
    *more: ColumnElement[bool],
) -> Select[Any]:
    """The ids of one page, in the chosen order; `more` has to be true as well."""
    table, by = entity.rows, filters.order(entity).by
    is_own = by.table is table  # else the order is one of names
    source = table if is_own and not filters.looks_at_names else entity.source
    conditions = filters.conditions(entity)
    if entity.as_of is None and connection.dialect.name == "sqlite" and by is table.c.amount:
        # SQLite would rather collect the whole date range by its index and sort that.
        conditions = filters.conditions(entity, at=_unindexed(table.c.outcome_at))
    return (
        select(table.c.id)
        .select_from(source)
        .where(*conditions, *more)
        .order_by(*_order(entity, filters))
        .limit(limit)
        .offset(offset or None)
    )


def _past_page(
    connection: Connection, entity: Entity, filters: Filters, limit: int, offset: int
) -> list[int]:
    """The same ids of the past. Events are in the order of what happened, so the newest records are
    found among the newest events, as many as it takes."""
    order, reach = filters.order(entity), 3 * (limit + offset)
    newest_first = order.descending and order.by is entity.rows.c.outcome_at
    while True:
        since = _newest(connection, entity, filters, reach) if newest_first else None
        more = [] if since is None else [happened_since(entity, since)]
        page = _page(connection, entity, filters, limit, offset, *more)
        rows = connection.execute(page.add_columns(entity.rows.c.outcome_at)).all()
        if since is None or (len(rows) == limit and rows[-1].outcome_at >= since):
            return [row.id for row in rows]
        reach *= 16


def _newest(
    connection: Connection, entity: Entity, filters: Filters, reach: int
) -> datetime | None:
    """When the first of so many events happened that led to the status last; None where there are
    not that many."""
    event = sync_event.c
    return connection.scalar(
        select(event.at)
        .where(
            event.entity == entity.key,
            event.sync_status == int(filters.status),
            event.at <= entity.as_of,
        )
        .order_by(event.at.desc())
        .limit(1)
        .offset(reach)
    )


def _unindexed(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """The same value, for which SQLite looks at no index (a unary plus)."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def load(
    connection: Connection,
    entity: Entity,
    filters: Filters,
    limit: int | None = None,
    offset: int = 0,
) -> pd.DataFrame:
    """The records that match, in the chosen order; as they stood, where the filters look back.

    Returns a DataFrame indexed by `id` with `version` and `told`, the version of owner and note
    (int64), and one column per column that the status shows (`entity.shown`): money Int64 in minor
    units, moments datetime64 in UTC, days as dates, everything else as text; missing values are
    None, NaT or NA.
    """
    entity = filters.of(entity)
    columns = entity.shown(filters.status)
    statement = select(
        entity.rows.c.id,
        entity.rows.c.version,
        entity.told.label("told"),
        *(_selected(column) for column in columns),
    ).select_from(entity.listed)
    if limit is None:
        statement = statement.where(*filters.conditions(entity))
    elif entity.as_of:
        listed = _past_page(connection, entity, filters, limit, offset)
        statement = statement.where(entity.rows.c.id.in_(among(connection, listed)))
    else:
        # Names and what the team says are joined to the page alone, and not to all that is skipped
        # on the way to it.
        page = _page(connection, entity, filters, limit, offset).subquery()
        statement = statement.where(entity.rows.c.id.in_(select(page.c.id)))
    rows = connection.execute(statement.order_by(*_order(entity, filters))).all()
    ids, versions, told, *values = zip(*rows, strict=True) if rows else [()] * (3 + len(columns))
    index = pd.Index(ids, dtype="int64", name="id")
    data = {
        "version": pd.Series(versions, index=index, dtype="int64"),
        "told": pd.Series(told, index=index, dtype="int64"),
    }
    for column, of_column in zip(columns, values, strict=True):
        data[column.key] = _series(column, of_column, index)
    return pd.DataFrame(data, index=index, copy=False)


def _selected(column: Column) -> ColumnElement[Any]:
    """A column as `load` selects it: moments as the driver has them, to be converted together."""
    source = column.source
    return (type_coerce(source, NullType()) if column.kind is Kind.MOMENT else source).label(
        column.key
    )


def _series(column: Column, values: Sequence[Any], index: pd.Index) -> pd.Series:
    """The values of a column with the type that `load` promises."""
    if column.kind is Kind.MONEY:
        return pd.Series(pd.array(values, dtype="Int64"), index=index)
    if column.kind is not Kind.MOMENT:
        return pd.Series(values, index=index, dtype=object)
    if isinstance(next(filter(None, values), None), datetime):  # PostgreSQL
        return pd.to_datetime(pd.Series(values, index=index, dtype=object), utc=True)
    # SQLite's one form of a moment in UTC; read one by one, they would take as long as the query.
    moments = np.array(values, dtype="datetime64[us]")
    return pd.Series(pd.DatetimeIndex(moments).tz_localize("UTC"), index=index)


def selectable(
    connection: Connection, entity: Entity, filters: Filters, limit: int | None = None
) -> dict[int, Ticked]:
    """Every record that matches (or `limit` of them), as a selection remembers it.

    Raises Past where the filters look back.
    """
    if filters.as_of:
        raise Past
    of = entity.rows.c
    rows = connection.execute(
        _select(entity, filters, of.id, of.version, of.currency, of.amount)
        .where(*filters.conditions(entity))
        .limit(limit)
    )
    return {key: Ticked(version, currency, amount) for key, version, currency, amount in rows}


def numbers(connection: Connection, entity: Entity, ids: Sequence[int]) -> dict[int, str]:
    """The numbers of records by id."""
    of = entity.rows.c
    rows = connection.execute(select(of.id, of.number).where(of.id.in_(among(connection, ids))))
    return dict(rows.all())


def choices(connection: Connection, entity: Entity) -> dict[str, list[str]]:
    """What can be chosen under More: names of parties, billing organizations, connections,
    currencies and causes, each in alphabetical order, why Pending records wait, and the months of
    accounting dates; logins of owners."""

    def names(column: ColumnElement[str], *conditions: ColumnElement[bool]) -> list[str]:
        return sorted(
            connection.scalars(select(column).distinct().where(*conditions)), key=str.casefold
        )

    causes = set(connection.scalars(select(problem.c.cause).distinct()))
    return {
        "party": names(organization.c.name, entity.party_role),
        "billing": names(organization.c.name, organization.c.is_billing),
        "connection": [*names(connection_table.c.name), NO_CONNECTION],
        "currency": sorted(connection.scalars(_distinct(entity.rows.c.currency))),
        "cause": sorted(cause.label for cause in Cause if cause.value in causes),
        "waits": list(entity.waiting),
        "month": [*(month_of(month) for month in months(connection, [entity])), NO_DATE],
        "owner": [*(person.login for person in people(connection)), NOBODY],
    }


def months(connection: Connection, entities: Iterable[Entity] = ENTITIES) -> list[date]:
    """The first days of all months from the first accounting date to the last, newest first. A slip
    of the pen, in another century, adds no more than a few of them."""
    latest = today() + timedelta(days=366)
    found: list[date] = []
    for entity in entities:
        day = entity.table.c.accounting_date
        sane = day.between(EARLIEST, latest)
        found += filter(
            None,
            (
                connection.scalar(select(end(day)).where(sane))  # one look into the index each
                for end in (func.min, func.max)
            ),
        )
    if not found:
        return []
    first, month = min(found).replace(day=1), max(found).replace(day=1)
    listed = [month]
    while month > first:
        month = (month - timedelta(days=1)).replace(day=1)
        listed.append(month)
    return listed


def _distinct(column: ColumnElement[str]) -> Select[str]:
    """The values of an indexed column, one look into the index for each: neither database skips
    by itself over the rows in between."""
    value = select(func.min(column).label("value")).cte("value", recursive=True)
    following = select(func.min(column)).where(column > value.c.value).scalar_subquery()
    value = value.union_all(select(following).where(value.c.value.is_not(None)))
    return select(value.c.value).where(value.c.value.is_not(None))


def is_empty(connection: Connection) -> bool:
    """Whether the database holds no record of any entity."""
    return all(connection.scalar(select(entity.rows.c.id).limit(1)) is None for entity in ENTITIES)


def amounts(minor: pd.Series, currency: pd.Series) -> pd.Series:
    """Minor units as amounts (float64), rounded as their currency is; the edge, where money
    becomes a float. Missing stays missing."""
    numbers, codes = pd.factorize(currency)
    units = np.array([10.0 ** exponent(code) for code in codes])
    return minor.astype("float64") / (units[numbers] if len(codes) else 1.0)


def readable(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """A loaded frame as people see it: amounts as float64, moments as naive business time,
    statuses and reasons by their words. Columns are named by their keys, in the given order."""
    shown = {}
    for column in columns:
        values = frame[column.key]
        if column.kind is Kind.MONEY:
            values = amounts(values, frame["currency"])
        elif column.kind is Kind.MOMENT:
            values = values.dt.tz_convert(settings().zone).dt.tz_localize(None)
        elif column.kind is Kind.STATUS:
            values = values.map({int(status): status.label for status in SyncStatus})
        elif column.key == "closed_reason":
            values = values.map({reason.value: reason.label for reason in CloseReason})
        shown[column.key] = values
    return pd.DataFrame(shown, index=frame.index)
