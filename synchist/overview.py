"""What a controller looks at each morning: what is open, since when, why, and what is new.

What is open now is counted from an index that holds nothing else. What was open at the end of a
finished day is counted once from the history and kept (`daily_open`): no write of a job waits for
a counter. A day is counted anew where the history of it has grown afterwards.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
    union,
    union_all,
    update,
)

from synchist import causes, connections, queries
from synchist.accounts import Actor, Principal, acting
from synchist.connections import Attention
from synchist.db.engine import dialect_insert, reading, writing
from synchist.db.tables import daily_open, daily_open_day, sync_event, visit
from synchist.db.types import utc_now
from synchist.diagnosis import Cause
from synchist.entities import ENTITIES, Entity
from synchist.filters import Age, Filters, Window, start_of, today
from synchist.queries import Total, added
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import SyncStatus

KEPT_DAYS = 35
"""Of so many finished days the totals are kept."""

SERIES_DAYS = 14
"""So many of them are shown."""

TOO_FAR_BEHIND = 50_000
"""With so many events not looked at yet, nobody says what a day's total was."""

LATE = timedelta(minutes=10)
"""On PostgreSQL an event may be committed so long after events with higher ids."""

NEW_VISIT = timedelta(hours=1)
"""After so long without a look at the overview, the next one is a new visit."""

ByStatus = Mapping[SyncStatus, Total]
_OPEN = (SyncStatus.FAILED, SyncStatus.PENDING)
_STILL_OPEN = {entity.key: entity.table.c.sync_status != literal_column("1") for entity in ENTITIES}
"""As the partial index says it: SQLite does not look into parameters."""


# ---------------------------------------------------------------- the page


@dataclass(frozen=True)
class Open:
    """What is Failed and Pending of one entity: now, by age, and at the ends of finished days.

    `ends` has a total for each of the days of `Overview.days`, the last one is yesterday's; None
    where a day is not counted yet.
    """

    now: ByStatus
    by_age: Mapping[tuple[SyncStatus, Age], Total]
    ends: Mapping[SyncStatus, Sequence[Total | None]]


@dataclass(frozen=True)
class Overview:
    """Everything on the page, from one state of the database.

    `by_cause` and `undiagnosed` split what is Failed now, by cause and entity key. `new` counts
    what has failed since `since`, and is Failed still, by entity key; `since` is None where there
    was no visit before.
    """

    days: tuple[date, ...]
    open: Mapping[str, Open]
    by_cause: Mapping[Cause, Mapping[str, Total]]
    undiagnosed: Total
    since: datetime | None
    new: Mapping[str, Total]
    attention: Sequence[Attention]


def load(connection: Connection, actor: Actor) -> Overview:
    """The overview of an account."""
    now = today()
    days = tuple(now - timedelta(days=back) for back in range(SERIES_DAYS, 0, -1))
    ends = _ends(connection, days)
    since = _last_visit(connection, actor)
    by_cause, undiagnosed = causes.load_by_cause(connection)
    return Overview(
        days=days,
        open={entity.key: _open(connection, entity, ends) for entity in ENTITIES},
        by_cause=by_cause,
        undiagnosed=undiagnosed,
        since=since,
        new={entity.key: _new(connection, entity, since) for entity in ENTITIES} if since else {},
        attention=connections.load_attention(connection),
    )


def load_open(connection: Connection) -> dict[str, ByStatus]:
    """Failed and Pending of every entity over all dates, by entity key."""
    found: dict[str, ByStatus] = {}
    for entity in ENTITIES:
        by_age = _by_age(connection, entity)
        found[entity.key] = _now(by_age)
    return found


def newly_failed(since: datetime) -> Filters:
    """The list of what has failed since a moment."""
    return Filters(SyncStatus.FAILED, Window.ALL, since=since)


def _open(
    connection: Connection,
    entity: Entity,
    ends: Mapping[tuple[str, SyncStatus], Sequence[Total | None]],
) -> Open:
    by_age = _by_age(connection, entity)
    return Open(_now(by_age), by_age, {status: ends[entity.key, status] for status in _OPEN})


def _now(by_age: Mapping[tuple[SyncStatus, Age], Total]) -> ByStatus:
    return {
        status: added(total for (one, _), total in by_age.items() if one is status)
        for status in _OPEN
    }


def _by_age(connection: Connection, entity: Entity) -> dict[tuple[SyncStatus, Age], Total]:
    """Range by range from the index of what is open: no row is looked up, and none is sorted by
    age."""
    of = entity.table.c
    rows = connection.execute(
        union_all(
            *(
                select(literal_column(f"'{age.name}'"), *_sums_of(of))
                .where(*Filters(status, Window.ALL, age=age).conditions(entity))
                .group_by(of.sync_status, of.currency)
                for status in _OPEN
                for age in Age
            )
        )
    )
    found: dict[tuple[SyncStatus, Age], Total] = defaultdict(Total)
    for name, status, currency, count, amount in rows:
        key = SyncStatus(status), Age[name]
        found[key] = added([found[key], Total(count, {currency: int(amount)})])
    return dict(found)


def _new(connection: Connection, entity: Entity, since: datetime) -> Total:
    return queries.total(connection, entity, newly_failed(since))


# ---------------------------------------------------------------- visits


def visited(principal: Principal) -> None:
    """Remember that somebody looks at the overview; at most once a minute.

    After an hour without a look it is a new visit, and what is new counts from the end of the one
    before. Nothing is kept of the command line. Raises NotSignedIn, NotAllowed,
    DatabaseUnavailable.
    """
    with acting(principal, Role.ACCOUNTING_SYNC, "open Overview") as (connection, actor):
        if actor.id is None:
            return
        # To the second: so the moment stands in addresses.
        now, of = utc_now().replace(microsecond=0), visit.c
        put = dialect_insert(connection, visit).values(account_id=actor.id, seen_at=now)
        ended = of.seen_at < now - NEW_VISIT
        connection.execute(
            put.on_conflict_do_update(
                index_elements=["account_id"],
                set_={"before_at": case((ended, of.seen_at), else_=of.before_at), "seen_at": now},
                where=of.seen_at <= now - timedelta(minutes=1),
            )
        )


def is_noted(connection: Connection, actor: Actor) -> bool:
    """Whether there is nothing to remember of this visit for now."""
    latest = select(visit.c.seen_at).where(visit.c.account_id == actor.id)
    seen_at: datetime | None = connection.scalar(latest)
    return actor.id is None or (seen_at is not None and seen_at > utc_now() - timedelta(minutes=1))


def _last_visit(connection: Connection, actor: Actor) -> datetime | None:
    """When the visit before this one ended."""
    row = connection.execute(
        select(visit.c.seen_at, visit.c.before_at).where(visit.c.account_id == actor.id)
    ).one_or_none()
    if row is None:
        return None
    # The first look of a new visit comes before it is noted.
    seen_at: datetime = row.seen_at
    before_at: datetime | None = row.before_at
    return seen_at if seen_at < utc_now().replace(microsecond=0) - NEW_VISIT else before_at


# ---------------------------------------------------------------- ends of days


def _end_of(day: date) -> datetime:
    """The moment at which a business day ends, the first of the next one."""
    return start_of(day + timedelta(days=1))


def _ends(
    connection: Connection, days: Sequence[date]
) -> dict[tuple[str, SyncStatus], list[Total | None]]:
    """The totals at the ends of these days, by entity key and status."""
    held = set(days) - set(_stale(connection, days))
    of = daily_open.c
    found: dict[tuple[Any, ...], Total] = defaultdict(Total)
    rows = select(of.day, of.entity, of.sync_status, of.currency, of["count"], of.amount)
    for *key, currency, number, amount in connection.execute(
        rows.where(of.day.in_(held), of["count"] > 0)
    ):
        found[tuple(key)] = added([found[tuple(key)], Total(number, {currency: amount})])
    return {
        (entity.key, status): [
            found[day, entity.key, int(status)] if day in held else None for day in days
        ]
        for entity in ENTITIES
        for status in _OPEN
    }


@dataclass(frozen=True)
class _Held:
    """The newest event that each day has been counted with."""

    by_day: Mapping[date, int]
    newest: int

    @property
    def oldest(self) -> int:
        """Up to this event every day has been counted with all."""
        return min(self.by_day.values(), default=self.newest)


def _held(connection: Connection, days: Iterable[date]) -> _Held:
    of = daily_open_day.c
    rows = connection.execute(
        select(of.day, of.last_event_id).where(
            of.day.in_(list(days)), of.time_zone == settings().time_zone
        )
    )
    newest = connection.scalar(select(func.max(sync_event.c.id)))
    return _Held(dict(rows.all()), newest or 0)


def _stale(connection: Connection, days: Sequence[date]) -> list[date]:
    """Those of the days whose totals are not there, or not of the history as it is now."""
    held = _held(connection, days)
    if held.newest - held.oldest > TOO_FAR_BEHIND:
        return list(days)
    return _grown(connection, days, held)


def _grown(connection: Connection, days: Sequence[date], held: _Held) -> list[date]:
    """The days that are not counted, and those with events that they were not counted with."""
    earliest = {
        last: _earliest_after(connection, last) for last in set(held.by_day.values())
    }  # of one or two events: days are looked at together

    def is_stale(day: date) -> bool:
        at = earliest[held.by_day[day]] if day in held.by_day else start_of(day)
        return at is not None and at <= _end_of(day)

    return [day for day in days if is_stale(day)]


def _earliest_after(connection: Connection, event_id: int) -> datetime | None:
    """When the earliest of the events after this one happened."""
    of = sync_event.c
    earliest: datetime | None = connection.scalar(select(func.min(of.at)).where(of.id > event_id))
    return earliest


def outdated() -> list[date]:
    """The finished days to be counted, the latest first; the others are noted as up to date.

    Raises DatabaseUnavailable.
    """
    now = today()
    days = [now - timedelta(days=back) for back in range(1, KEPT_DAYS + 1)]
    with reading() as connection:
        held = _held(connection, days)
        stale = _grown(connection, days, held)
        if connection.dialect.name == "postgresql":
            stale += _perhaps_late(connection, [day for day in days if day not in stale])
    behind = [day for day, last in held.by_day.items() if day not in stale and last < held.newest]
    if behind:
        _note(behind, held)
    return sorted(stale, reverse=True)


def _perhaps_late(connection: Connection, days: Sequence[date]) -> list[date]:
    """The days that events of the past minutes belong to.

    An event gets its id before its transaction ends: one that was open for long may add an event
    below the newest that a day was counted with. So days are counted again for a while after
    events that belong to them; until then such an event is missing.
    """
    of = sync_event.c
    last = connection.scalar(
        select(of.id).where(of.recorded_at < utc_now() - LATE).order_by(of.id.desc()).limit(1)
    )
    earliest = _earliest_after(connection, last or 0)
    return [day for day in days if earliest is not None and earliest <= _end_of(day)]


def _note(days: Sequence[date], held: _Held) -> None:
    """Note that nothing has changed in these days up to the newest event."""
    of = daily_open_day.c
    with writing() as connection:
        for day in sorted(days):  # in one order, so that two servers never wait in a circle
            connection.execute(
                update(daily_open_day)
                .where(
                    of.day == day,
                    of.last_event_id == held.by_day[day],
                    of.time_zone == settings().time_zone,
                )
                .values(last_event_id=held.newest)
            )


def catch_up() -> int:
    """Count every outdated day; how many. Raises DatabaseUnavailable."""
    days = outdated()
    for day in days:
        count(day)
    return len(days)


def count(day: date) -> None:
    """Count what was open at the end of a day and keep it. Raises DatabaseUnavailable."""
    with reading() as connection:  # without any lock, however long it takes
        newest = connection.scalar(select(func.max(sync_event.c.id))) or 0
        totals = {
            (entity.key, status, currency): (number, amount)
            for entity in ENTITIES
            for (status, currency), (number, amount) in _at(
                connection, entity, _end_of(day)
            ).items()
        }
    with writing() as connection:
        _keep(connection, day, newest, totals)


_Sums = dict[tuple[int, str], tuple[int, int]]
"""Number and amount by status and currency."""


def _sums_of(of: Any) -> tuple[Any, ...]:
    return of.sync_status, of.currency, func.count(), func.sum(of.amount)


def _summed(of: Any) -> Select[Any]:
    return select(*_sums_of(of)).group_by(of.sync_status, of.currency)


def _at(connection: Connection, entity: Entity, moment: datetime) -> _Sums:
    """What was open at a moment: what is open now, without the records that something happened to
    after it, and with what they were then. The later the moment, the less there is to read."""
    of, then, known = entity.table.c, sync_event.c, sync_event.alias().c
    # Written status by status, and joined from the left, since SQLite would read all events.
    touched = union(
        *(
            select(then.record_id).where(
                then.entity == entity.key, then.sync_status == int(status), then.at > moment
            )
            for status in SyncStatus
        )
    ).subquery("touched")
    version = (
        select(func.max(known.version))
        .where(
            known.entity == entity.key,
            known.record_id == touched.c.record_id,
            known.at <= moment,
        )
        .scalar_subquery()
    )
    still_open = _STILL_OPEN[entity.key]
    of_then = and_(
        then.entity == entity.key,
        then.record_id == touched.c.record_id,
        then.version == version,
        then.sync_status != int(SyncStatus.COMPLETE),
    )
    moved = touched.outerjoin(entity.table, and_(of.id == touched.c.record_id, still_open))
    back = touched.outerjoin(sync_event, of_then)
    sums: _Sums = defaultdict(lambda: (0, 0))
    for statement, sign in (
        (_summed(of).where(still_open), 1),
        (_summed(of).select_from(moved), -1),
        (_summed(then).select_from(back), 1),
    ):
        for status, currency, number, amount in connection.execute(statement):
            if status is not None:  # else it is of no open record
                before = sums[status, currency]
                sums[status, currency] = before[0] + sign * number, before[1] + sign * int(amount)
    return sums


def _keep(
    connection: Connection,
    day: date,
    newest: int,
    totals: Mapping[tuple[str, int, str], tuple[int, int]],
) -> None:
    """Replace the totals of a day, unless they have been counted with newer events meanwhile."""
    zone, kept = settings().time_zone, daily_open_day.c
    put = dialect_insert(connection, daily_open_day).values(
        day=day, time_zone=zone, last_event_id=newest
    )
    done = connection.execute(
        put.on_conflict_do_update(
            index_elements=["day"],
            set_={"time_zone": zone, "last_event_id": newest},
            where=or_(kept.last_event_id <= newest, kept.time_zone != zone),
        ).returning(kept.day)
    )
    if done.first() is None:
        return
    # Nothing is deleted: a role that may not do so is enough for the product.
    connection.execute(update(daily_open).where(daily_open.c.day == day).values(count=0, amount=0))
    rows = [
        {
            "day": day,
            "entity": entity,
            "sync_status": status,
            "currency": currency,
            "count": number,
            "amount": amount,
        }
        for (entity, status, currency), (number, amount) in totals.items()
    ]
    if rows:
        new = dialect_insert(connection, daily_open)
        connection.execute(
            new.on_conflict_do_update(
                index_elements=["day", "entity", "sync_status", "currency"],
                set_={"count": new.excluded["count"], "amount": new.excluded["amount"]},
            ),
            rows,
        )
