"""How syncing has gone: attempts, successes and the time that it took, day by day.

What counts
- An **attempt** is an event of the kind `attempt`: a job wrote a fresh sync date. It counts on the
  business day of that date, under the connection and billing organization that the record had
  then. A record that was created or loaded with an outcome brings no attempt: nobody knows how many
  it took elsewhere.
- It is a **success** if it left the record Complete, a **failure** if it left it Failed. What it
  left Pending had no result, and is neither.
- It is a **first attempt** if the record had no sync date in any state before it.
- A record **became Complete** with the first attempt that succeeded, unless it had been Complete
  before in another way than being closed by a person. So it counts once in its life. The time it
  took runs from when the record was created in the TMS.
- A record was **closed** where an operation left it Complete with a reason that it had not just
  before. “Will not be synced” counts apart from the other reasons, and both from all attempts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    cast,
    func,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.types import NullType

from synchist.db.tables import connection as connection_table
from synchist.db.tables import organization, sync_event
from synchist.entities import ENTITIES, Entity
from synchist.filters import NO_CONNECTION, next_month, readable, start_of
from synchist.statuses import CloseReason, EventKind, SyncStatus

MOST_DAYS, MOST_WEEKS = 62, 370
"""Ranges of up to so many days are shown by day, or else by week; longer ones by month."""

CHUNK = 50_000

ALL = "All"

_TRIED, _COMPLETE = 1, 2
"""What a record had been before an event, as bits."""


class Step(StrEnum):
    """How long one period of a range is."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class By(StrEnum):
    """What the figures are told apart by."""

    NOTHING = "Nothing"
    ENTITY = "Kind of record"
    CONNECTION = "Connection"
    BILLING = "Billing organization"


@dataclass(frozen=True)
class Asked:
    """A range of business days, both included, and what it is narrowed to: an entity's key and
    names. None means all."""

    start: date
    end: date
    entity: str | None = None
    connection: str | None = None
    billing: str | None = None

    @property
    def days(self) -> int:
        """How many days the range has."""
        return (self.end - self.start).days + 1

    @property
    def before(self) -> "Asked":
        """The same over as many days right before."""
        length = timedelta(days=self.days)
        return Asked(
            self.start - length, self.end - length, self.entity, self.connection, self.billing
        )

    @property
    def step(self) -> Step:
        """How the range is divided."""
        if self.days <= MOST_DAYS:
            return Step.DAY
        return Step.WEEK if self.days <= MOST_WEEKS else Step.MONTH

    @property
    def periods(self) -> list[date]:
        """The first day of each period. Weeks begin on Monday, months on the first; the range may
        cut the first and the last one short."""
        starts, day = [], self.start
        while day <= self.end:
            starts.append(day)
            day = self._following(day)
        return starts

    def _following(self, day: date) -> date:
        if self.step is Step.DAY:
            return day + timedelta(days=1)
        if self.step is Step.WEEK:
            return day + timedelta(days=7 - day.weekday())
        return next_month(day)


class Trends:
    """What happened in a range, as measures of it as a whole or of any of its parts."""

    def __init__(self, asked: Asked, happened: pd.DataFrame) -> None:
        self.asked = asked
        self._happened = happened

    @property
    def groups(self) -> list[str]:
        """The groups that something happened in, in alphabetical order."""
        return sorted(self._happened["group"].unique(), key=str.casefold)

    def whole(self) -> pd.Series:
        """The measures of the whole range, named as the columns of `by_period`."""
        return _measures(self._happened, None).iloc[0]

    def by_group(self) -> pd.DataFrame:
        """The measures of each group over the whole range, indexed by `group`."""
        return _measures(self._happened, "group").reindex(self.groups)

    def by_period(self, group: str | None = None) -> pd.DataFrame:
        """The measures of every period, of one group or of all together.

        Indexed by `period`, its first day as datetime64. Columns: `attempts`, `successes`,
        `failures`, `without_result`, `first_attempts`, `first_successes`, `completed`,
        `will_not_sync` and `closed_otherwise` are numbers (int64); `success_rate` and
        `first_success_rate` shares from 0 to 1 (float64, missing without any attempt);
        `median_hours` and `late_hours` the hours that half and nine tenths of what became Complete
        took at most (float64, missing where nothing did).
        """
        of = self._happened if group is None else self._happened[self._happened["group"] == group]
        periods = pd.DatetimeIndex(pd.to_datetime(self.asked.periods), name="period")
        found = _measures(of, "period").reindex(range(len(periods)))
        counts = found[COUNTS].fillna(0).astype("int64")
        return found.assign(**{name: counts[name] for name in COUNTS}).set_index(periods)


COUNTS = [
    "attempts",
    "successes",
    "failures",
    "without_result",
    "first_attempts",
    "first_successes",
    "completed",
    "will_not_sync",
    "closed_otherwise",
]


def _measures(happened: pd.DataFrame, by: str | None) -> pd.DataFrame:
    """The measures of each value of a column, or of everything as one row."""
    status, before, tried = happened["status"], happened["before"], happened["is_attempt"]
    success = tried & (status == SyncStatus.COMPLETE.value)
    first = tried & ((before & _TRIED) == 0)
    completed = success & ((before & _COMPLETE) == 0)
    given_up = happened["reason"] == CloseReason.WILL_NOT_SYNC.value
    marks = pd.DataFrame(
        {
            "attempts": tried,
            "successes": success,
            "failures": tried & (status == SyncStatus.FAILED.value),
            "without_result": tried & (status == SyncStatus.PENDING.value),
            "first_attempts": first,
            "first_successes": first & success,
            "completed": completed,
            "will_not_sync": ~tried & given_up,
            "closed_otherwise": ~tried & ~given_up,
        }
    ).astype("int64")
    key = happened[by] if by else pd.Series(0, index=happened.index)
    measured = marks.groupby(key).sum()
    if by is None:
        measured = measured.reindex([0], fill_value=0)
    hours = happened.loc[completed, "hours"].groupby(key[completed])
    measured["success_rate"] = measured["successes"] / measured["attempts"].replace(0, np.nan)
    firsts = measured["first_attempts"].replace(0, np.nan)
    measured["first_success_rate"] = measured["first_successes"] / firsts
    measured["median_hours"] = hours.median().reindex(measured.index)
    measured["late_hours"] = hours.quantile(0.9).reindex(measured.index)
    return measured


# ---------------------------------------------------------------- out of the history


def load(connection: Connection, asked: Asked, by: By = By.NOTHING) -> Trends:
    """What happened in a range, its groups told apart by `by`."""
    names = _names(connection, by)
    entities = [entity for entity in ENTITIES if asked.entity in (None, entity.key)]
    chunks = [
        _chunk(rows, asked, entity, by, names)
        for entity in entities
        for rows in _rows(connection, entity, asked)
    ]
    return Trends(asked, pd.concat([_chunk([], asked, ENTITIES[0], by, names), *chunks]))


def _rows(connection: Connection, entity: Entity, asked: Asked) -> Iterator[Sequence[Any]]:
    statement = _happened(connection, entity, asked)
    result = connection.execute(statement.execution_options(yield_per=CHUNK))
    yield from result.partitions(CHUNK)


def _happened(connection: Connection, entity: Entity, asked: Asked) -> Select[Any]:
    """Every attempt and every closing of a range."""
    event, record = sync_event.alias("event"), entity.table
    earlier, of = sync_event.alias("earlier"), event.c
    complete = SyncStatus.COMPLETE.value
    past = earlier.c
    was_tried = func.max(case((past.sync_at.is_not(None), 1), else_=0))
    synced = and_(past.sync_status == complete, past.closed_reason.is_(None))
    was_complete = func.max(case((synced, 1), else_=0))
    before = (
        select(func.coalesce(was_tried * _TRIED + was_complete * _COMPLETE, 0))
        .where(past.entity == of.entity, past.record_id == of.record_id, past.version < of.version)
        .scalar_subquery()
    )
    # Looked up for successes alone, since nothing else has lasted till then.
    since = select(_micros(connection, record.c.created_at)).where(record.c.id == of.record_id)
    created = case((of.sync_status == complete, since.scalar_subquery()))
    just_before = sync_event.alias("just_before")
    stood = (
        select(just_before.c.id)
        .where(
            just_before.c.entity == of.entity,
            just_before.c.record_id == of.record_id,
            just_before.c.version == of.version - 1,
            just_before.c.closed_reason == of.closed_reason,
        )
        .exists()
    )
    closed = and_(
        of.kind == EventKind.OPERATION.value,
        of.sync_status == complete,
        of.closed_reason.is_not(None),
        ~stood,
    )
    return select(
        _micros(connection, of.at),
        created,
        of.sync_status,
        (of.kind == EventKind.ATTEMPT.value).label("is_attempt"),
        of.closed_reason,
        of.connection_id,
        of.billing_organization_id,
        case((of.kind == EventKind.ATTEMPT.value, before), else_=0).label("before"),
    ).where(
        of.entity == entity.key,
        of.sync_status.in_([status.value for status in SyncStatus]),
        of.at >= start_of(asked.start),
        of.at < start_of(asked.end + timedelta(days=1)),
        or_(of.kind == EventKind.ATTEMPT.value, closed),
        *_narrowed(of.connection_id, connection_table, asked.connection),
        *_narrowed(of.billing_organization_id, organization, asked.billing),
    )


def _narrowed(column: ColumnElement[Any], table: Any, name: str | None) -> list[Any]:
    return [] if name is None else [column.in_(select(table.c.id).where(table.c.name == name))]


def _micros(connection: Connection, moment: ColumnElement[Any]) -> ColumnElement[Any]:
    """A moment as the driver hands it over fastest: SQLite's text, PostgreSQL's microseconds."""
    if connection.dialect.name == "sqlite":
        return type_coerce(moment, NullType())
    return cast(func.extract("epoch", moment) * 1_000_000, BigInteger)


def _names(connection: Connection, by: By) -> Mapping[int | None, str]:
    if by is By.CONNECTION:
        table = connection_table
    elif by is By.BILLING:
        table = organization
    else:
        return {}
    return {None: NO_CONNECTION, **dict(connection.execute(select(table.c.id, table.c.name)).all())}


def _chunk(
    rows: Sequence[Any], asked: Asked, entity: Entity, by: By, names: Mapping[int | None, str]
) -> pd.DataFrame:
    """Some of what happened: `period` (its number), `group`, `status`, `is_attempt`, `reason`,
    `before` (bits) and, of successes, the `hours` since the record was created."""
    columns = list(zip(*rows, strict=True)) or [()] * 8
    at, created, status, is_attempt, reason, link, billing, before = columns
    happened = np.array(at, dtype="datetime64[us]")
    edges = [np.datetime64(start_of(day).replace(tzinfo=None), "us") for day in asked.periods]
    ids = link if by is By.CONNECTION else billing
    group = [names[one] for one in ids] if names else _one_group(by, entity, len(rows))
    hours = (happened - np.array(created, dtype="datetime64[us]")) / np.timedelta64(1, "h")
    return pd.DataFrame(
        {
            "period": np.searchsorted(np.array(edges), happened, side="right") - 1,
            "group": pd.Series(group, dtype=object),
            "status": np.array(status, dtype="int8"),
            "is_attempt": np.array(is_attempt, dtype=bool),
            "reason": pd.Series(reason, dtype=object),
            "before": np.array(before, dtype="int8"),
            "hours": hours,
        }
    )


def _one_group(by: By, entity: Entity, count: int) -> list[str]:
    return [entity.title if by is By.ENTITY else ALL] * count


def in_words(asked: Asked) -> str:
    """The range as people read it."""
    if asked.start == asked.end:
        return readable(asked.start)
    return f"{readable(asked.start)} to {readable(asked.end)}"


MEANINGS: Mapping[str, str] = {
    "Attempts": "tries of sync jobs, by the business day of their sync date. Records that were"
    " loaded with their outcome bring none.",
    "Success rate": "of all attempts, the share that left the record Complete. An attempt that left"
    " it Pending had no result: it counts as an attempt, and neither as success nor as failure.",
    "Became Complete": "records that an attempt has written to the books for the first time; each"
    " counts once in its life.",
    "Time to Complete": "of these, from the record's creation in the TMS to that attempt. Half of"
    " them took at most the median, nine of ten at most the 90 % time.",
    "First attempt": "of the records attempted for the first time ever, the share whose first"
    " attempt succeeded.",
    "Closed": "by a person, without an attempt. “Will not be synced” counts apart, and no closing"
    " counts as a success.",
}
"""What each figure says, in the words of the page."""
