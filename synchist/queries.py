"""What the lists show: SELECTs that return DataFrames and totals. Nothing here writes.

Every function takes the connection of an authorized transaction (`accounts.viewing`), so that all
numbers of a page come from one state of the database. DataFrames are indexed by record id and
carry money as whole minor units (Int64) and moments in UTC; `readable` turns a frame into what
people see, for the grid and for Excel alike. Filters with `as_of` read the past: each function asks
`Filters.of` for the records that they are about.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    UnaryExpression,
    func,
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
from synchist.filters import Filters, happened_since
from synchist.settings import settings
from synchist.statuses import CloseReason, SyncStatus


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


def _totals(
    connection: Connection,
    entity: Entity,
    filters: Filters,
    conditions: Iterable[ColumnElement[bool]],
) -> dict[SyncStatus, Total]:
    """Totals by sync status of what fulfils the conditions."""
    of = entity.rows.c
    rows = connection.execute(
        _select(entity, filters, of.sync_status, of.currency, func.count(), func.sum(of.amount))
        .where(*conditions)
        .group_by(of.sync_status, of.currency)
    )
    found: dict[SyncStatus, Total] = {}
    for status, currency, count, amount in rows:
        before = found.get(SyncStatus(status), Total())
        found[SyncStatus(status)] = Total(
            before.count + count, {**before.by_currency, currency: int(amount)}
        )
    return found


def total(connection: Connection, entity: Entity, filters: Filters) -> Total:
    """Number and sums of everything that matches the filters."""
    entity = filters.of(entity)
    found = _totals(connection, entity, filters, filters.conditions(entity))
    return found.get(filters.status, Total())


def other_statuses(
    connection: Connection, entity: Entity, filters: Filters
) -> dict[SyncStatus, Total]:
    """The same search under each other status: as that status's link would show it."""
    others = (replace(filters, status=status) for status in SyncStatus if status != filters.status)
    return {other.status: total(connection, entity, other) for other in others}


def outside_window(connection: Connection, entity: Entity, filters: Filters) -> tuple[Total, Total]:
    """What the same filters find before the first and after the last day of the date range."""
    entity = filters.of(entity)
    at = entity.rows.c.outcome_at
    sides = []
    for side in filters.outside_window(at):
        conditions = [
            filters.of_status(entity),
            *filters.beyond_status_and_window(entity),
        ]
        found = {} if side is None else _totals(connection, entity, filters, [*conditions, side])
        sides.append(found.get(filters.status, Total()))
    return sides[0], sides[1]


def everywhere(connection: Connection, entity: Entity, filters: Filters) -> dict[SyncStatus, Total]:
    """What the same search finds under every status and over all dates."""
    entity = filters.of(entity)
    return _totals(connection, entity, filters, filters.beyond_status_and_window(entity))


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
        reach *= 10


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

    Returns a DataFrame indexed by `id` with `version` (int64) and one column per column that the
    status shows (`entity.shown`): money Int64 in minor units, moments datetime64 in UTC, days as
    dates, everything else as text; missing values are None, NaT or NA.
    """
    entity = filters.of(entity)
    columns = entity.shown(filters.status)
    statement = select(
        entity.rows.c.id, entity.rows.c.version, *(_selected(column) for column in columns)
    ).select_from(entity.source)
    if limit is None:
        statement = statement.where(*filters.conditions(entity))
    elif entity.as_of:
        listed = _past_page(connection, entity, filters, limit, offset)
        statement = statement.where(entity.rows.c.id.in_(among(connection, listed)))
    else:
        # Names are joined to the page alone, and not to all that is skipped on the way to it.
        page = _page(connection, entity, filters, limit, offset).subquery()
        statement = statement.where(entity.rows.c.id.in_(select(page.c.id)))
    rows = connection.execute(statement.order_by(*_order(entity, filters))).all()
    ids, versions, *values = zip(*rows, strict=True) if rows else [()] * (2 + len(columns))
    index = pd.Index(ids, dtype="int64", name="id")
    data = {"version": pd.Series(versions, index=index, dtype="int64")}
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
    currencies and causes, each in alphabetical order, and why Pending records wait."""

    def names(column: ColumnElement[str], *conditions: ColumnElement[bool]) -> list[str]:
        return sorted(
            connection.scalars(select(column).distinct().where(*conditions)), key=str.casefold
        )

    causes = set(connection.scalars(select(problem.c.cause).distinct()))
    return {
        "party": names(organization.c.name, entity.party_role),
        "billing": names(organization.c.name, organization.c.is_billing),
        "connection": names(connection_table.c.name),
        "currency": sorted(connection.scalars(_distinct(entity.rows.c.currency))),
        "cause": sorted(cause.label for cause in Cause if cause.value in causes),
        "waits": list(entity.waiting),
    }


def _distinct(column: ColumnElement[str]) -> Select[str]:
    """The values of an indexed column, one look into the index for each: neither database skips
    by itself over the rows in between."""
    value = select(func.min(column).label("value")).cte("value", recursive=True)
    following = select(func.min(column)).where(column > value.c.value).scalar_subquery()
    value = value.union_all(select(following).where(value.c.value.is_not(None)))
    return select(value.c.value).where(value.c.value.is_not(None))


def overview(connection: Connection) -> dict[str, dict[SyncStatus, Total]]:
    """Failed and Pending of every entity over all dates, by entity key."""
    found = {}
    for entity in ENTITIES:
        still_open = entity.rows.c.sync_status.in_([SyncStatus.PENDING, SyncStatus.FAILED])
        found[entity.key] = _totals(connection, entity, Filters(), [still_open])
    return found


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
