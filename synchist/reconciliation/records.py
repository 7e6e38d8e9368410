"""The records of one connection that a report may speak of."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
from sqlalchemy import ColumnElement, Connection, and_, or_, select, type_coerce
from sqlalchemy.types import NullType

from synchist.db.engine import texts
from synchist.db.tables import organization
from synchist.db.types import folded
from synchist.entities import Entity
from synchist.filters import start_of
from synchist.settings import settings

AROUND = timedelta(days=60)
"""So far before and after its period a report may speak of a record by another date."""

KEYS = ("number", "sync_reference", "pro_number", "shipment_id", "check_number")
"""The columns by which a line may name a record."""

_OWN = ("id", "version", "amount", "currency", "sync_status", "closed_reason", "tms_status")


def candidates(
    connection: Connection,
    entity: Entity,
    connection_id: int,
    documents: pd.DataFrame,
    start: date | None,
    end: date | None,
) -> pd.DataFrame:
    """The records of the period and around it, and those that a line names by one of their numbers.

    Returns a DataFrame indexed by `id` with `version` (int64), the KEYS that the entity has and
    `party` (text or None), `amount` (Int64, minor units), `currency`, `date` (the accounting date,
    else the business day of its creation), `sync_status` (int64), `closed_reason` and `tms_status`.
    """
    first, last = _span(documents, start, end)
    found = [_read(connection, entity, connection_id, _around(entity, first, last))]
    named = _named(documents, found[0])
    for key in KEYS if named else ():
        if key in entity.table.c:
            by_key = folded(entity.table.c[key]).in_(texts(connection, named))
            found.append(_read(connection, entity, connection_id, by_key))
    together = pd.concat([frame for frame in found if len(frame)] or found[:1])
    return together[~together.index.duplicated()]


def _span(
    documents: pd.DataFrame, start: date | None, end: date | None
) -> tuple[date | None, date | None]:
    """From when to when records are looked at; a period that is not told is that of the lines."""
    days = [day for day in documents["date"] if isinstance(day, date)]
    first = min([*days, *([start] if start else [])], default=None)
    last = max([*days, *([end] if end else [])], default=None)
    return (first - AROUND if first else None), (last + AROUND if last else None)


def _around(entity: Entity, first: date | None, last: date | None) -> ColumnElement[bool]:
    of = entity.table.c
    if first is None or last is None:
        return of.id < 0
    created = and_(of.created_at >= start_of(first), of.created_at < start_of(last + timedelta(1)))
    return or_(of.accounting_date.between(first, last), and_(of.accounting_date.is_(None), created))


def _named(documents: pd.DataFrame, known: pd.DataFrame) -> list[str]:
    """The numbers of lines that none of the records in the period has."""
    there: set[str] = set()
    for key in KEYS:
        if key in known:
            there.update(text.upper() for text in known[key] if text)
    words: set[str] = set()
    for reference in documents["reference"]:
        words.add(reference.strip().upper())
    return sorted(words - there - {""})


def _read(
    connection: Connection, entity: Entity, connection_id: int, condition: ColumnElement[bool]
) -> pd.DataFrame:
    of = entity.table.c
    keys = [key for key in KEYS if key in of]
    # Moments as the driver has them: only those of records without an accounting date are read.
    created = type_coerce(of.created_at, NullType()).label("created")
    rows = connection.execute(
        select(
            *(of[name] for name in (*_OWN, *keys)),
            organization.c.name.label("party"),
            of.accounting_date,
            created,
        )
        .join(organization, organization.c.id == of.party_id)
        .where(of.connection_id == connection_id, condition)
        .order_by(of.id)
    ).all()
    names = [*_OWN, *keys, "party", "accounting_date", "created"]
    values: dict[str, Any] = dict(
        zip(names, zip(*rows, strict=True) if rows else [()] * len(names), strict=True)
    )
    frame = pd.DataFrame(
        {name: pd.Series(of_name, dtype=object) for name, of_name in values.items()}
    )
    for name in ("id", "version", "sync_status"):
        frame[name] = frame[name].astype("int64")
    frame["amount"] = frame["amount"].astype("Int64")
    frame["date"] = _dated(values["accounting_date"], values["created"])
    return frame.drop(columns=["accounting_date", "created"]).set_index("id")


def _dated(days: Iterable[date | None], created: Iterable[Any]) -> "pd.Series[Any]":
    """The day of each record: its accounting date, else that of its creation in business time."""
    return pd.Series(
        [day or _business_day(moment) for day, moment in zip(days, created, strict=True)],
        dtype=object,
    )


def _business_day(moment: datetime | str) -> date:
    if isinstance(moment, str):  # SQLite's one form of a moment in UTC
        moment = datetime.fromisoformat(f"{moment}+00:00")
    return moment.astimezone(settings().zone).date()
