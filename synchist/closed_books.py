"""Through which day the books behind each connection are closed, and what lies in there.

Two days count, the later of them: `lock_date`, which a person enters or a job writes, and
`learnt_lock_date`, which follows from refusals: books that refuse a record because its period is
closed are closed through its accounting date. What a person enters takes the place of what was
learnt; what the books take afterwards shows that a period is open again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, literal_column, select, update

from synchist.accounts import Principal, acting, record_access
from synchist.db.engine import among, reading, writing
from synchist.db.tables import access_event, diagnosis, problem, sync_event
from synchist.db.tables import connection as connection_table
from synchist.diagnosis import Cause
from synchist.entities import BY_KEY
from synchist.errors import SynchistError
from synchist.filters import EARLIEST, readable, today
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import EventKind, SyncStatus

ENTERED = "lock_date"
"""The kind of access event that tells of a day which a person has entered."""

LOOKED_AT = 1_000
"""So many of the newest records that a connection's books have taken are looked at to see whether a
period is open again: a few milliseconds, however long the history is."""


class InvalidLockDate(SynchistError):
    """Books can't be closed through this day, or there is no such connection."""


@dataclass(frozen=True)
class Refusal:
    """The books of a connection have refused a record of this accounting date, since its period is
    closed. `at` is when, in UTC."""

    connection_id: int
    day: date
    at: datetime


@dataclass(frozen=True)
class Closed:
    """Records that lie in a period which a connection has closed, by entity key."""

    connection: str
    through: date
    records: Mapping[str, frozenset[int]]

    @property
    def count(self) -> int:
        """How many records."""
        return sum(map(len, self.records.values()))


# ---------------------------------------------------------------- by hand


def set_lock_date(principal: Principal, connection_id: int, day: date | None) -> None:
    """Say through which day the books of a connection are closed; None where they are open.

    What was learnt from refusals before is forgotten. Recorded with the days before and after.
    Raises NotSignedIn, NotAllowed, InvalidLockDate, DatabaseUnavailable.
    """
    doing = "say when the books are closed"
    with acting(principal, Role.ACCOUNTING_SYNC, doing) as (connection, actor):
        if day is not None and not EARLIEST <= day <= today():
            raise InvalidLockDate(
                f"Books can be closed through a day from {readable(EARLIEST)} to today."
            )
        of = connection_table.c
        before = connection.execute(
            select(of.name, of.lock_date, of.learnt_lock_date)
            .where(of.id == connection_id)
            .with_for_update(key_share=True)  # jobs may write records of it meanwhile
        ).one_or_none()
        if before is None:
            raise InvalidLockDate("This connection is no longer there. Reload the page.")
        connection.execute(
            update(connection_table)
            .where(of.id == connection_id)
            .values(lock_date=day, learnt_lock_date=None)
        )
        learnt = before.learnt_lock_date
        record_access(
            connection,
            actor,
            ENTERED,
            f"{_about(connection_id)}{before.name}: books closed through {_said(before.lock_date)}"
            + (f" (learnt: {learnt})" if learnt else "")
            + f" → {_said(day)}",
        )


def _about(connection_id: int) -> str:
    """How the detail of an access event begins."""
    return f"connection {connection_id}, "


def _said(day: date | None) -> str:
    return str(day) if day else "none"


def entered_by(connection: Connection, connection_id: int, day: date | None) -> str:
    """Who has entered this day; empty where the day is another one, which a job has written."""
    last = _last_entered(connection, connection_id)
    return last.actor if last is not None and last.detail.endswith(f"→ {_said(day)}") else ""


def _last_entered(connection: Connection, connection_id: int) -> Row[Any, Any, Any] | None:
    """When somebody last entered a day for a connection, who and what; None where nobody did."""
    of = access_event.c
    return connection.execute(
        select(of.at, of.actor, of.detail)
        .where(of.kind == ENTERED, of.detail.startswith(_about(connection_id)))
        .order_by(of.at.desc())
        .limit(1)
    ).one_or_none()


# ---------------------------------------------------------------- learnt


def learn(connection: Connection, refusals: Iterable[Refusal]) -> None:
    """Take in what refusals tell, in the transaction that stores why they came.

    A refusal tells nothing where a person has entered a day since, where the books have taken a
    record of that date since, or where its date lies after it: then a period is not open yet.
    """
    latest: dict[int, dict[date, datetime]] = {}
    for one in sorted(refusals, key=lambda one: one.at):
        if one.day <= one.at.astimezone(settings().zone).date():
            latest.setdefault(one.connection_id, {})[one.day] = one.at
    for connection_id in sorted(latest):
        _learn(connection, connection_id, latest[connection_id])


def _learn(connection: Connection, connection_id: int, refused: Mapping[date, datetime]) -> None:
    """The same of one connection: accounting dates, and when each was last refused."""
    of = connection_table.c
    # Nobody waits for a connection that a job holds: it may wait for a record that is held here.
    # The next refusal tells the same.
    held = connection.execute(
        select(of.learnt_lock_date)
        .where(of.id == connection_id)
        .with_for_update(key_share=True, skip_locked=True)
    ).one_or_none()
    if held is None:
        return
    news = [day for day in refused if held.learnt_lock_date is None or day > held.learnt_lock_date]
    entered = _last_entered(connection, connection_id) if news else None
    for day in sorted(news, reverse=True):
        at = refused[day]
        is_old = entered is not None and entered.at >= at
        if not is_old and not _taken_since(connection, connection_id, day, at):
            connection.execute(
                update(connection_table).where(of.id == connection_id).values(learnt_lock_date=day)
            )
            return


def forget_reopened() -> None:
    """Forget what was learnt of connections whose books have taken a record of such a date since
    they last refused one. Raises DatabaseUnavailable."""
    of = connection_table.c
    with reading() as connection:
        learnt = connection.execute(
            select(of.id, of.learnt_lock_date).where(of.learnt_lock_date.is_not(None))
        ).all()
        reopened = [
            (key, day)
            for key, day in learnt
            if (since := _last_refusal(connection, key)) is not None
            and _taken_since(connection, key, day, since)
        ]
    for key, day in reopened:
        with writing() as connection:
            connection.execute(
                update(connection_table)
                .where(of.id == key, of.learnt_lock_date == day)
                .values(learnt_lock_date=None)
            )


def _last_refusal(connection: Connection, connection_id: int) -> datetime | None:
    """When the books last refused a record because its period is closed."""
    latest = (
        select(diagnosis.c.at)
        .where(diagnosis.c.problem_id == problem.c.id)
        .order_by(diagnosis.c.at.desc())
        .limit(1)
        .correlate(problem)
        .scalar_subquery()
    )
    moments = connection.scalars(
        select(latest).where(
            problem.c.connection_id == connection_id,
            problem.c.cause == Cause.CLOSED_PERIOD.value,
        )
    )
    return max((moment for moment in moments if moment is not None), default=None)


def _taken_since(connection: Connection, connection_id: int, day: date, since: datetime) -> bool:
    """Whether the newest records that the books have taken since then hold one of such a date."""
    of = sync_event.c
    newest = (
        select(of.accounting_date)
        .where(
            # Both written out, so that SQLite uses the index of attempts.
            of.kind == literal_column(f"'{EventKind.ATTEMPT.value}'"),
            of.connection_id == connection_id,
            of.sync_status == literal_column(str(int(SyncStatus.COMPLETE))),
            of.at > since,
        )
        .order_by(of.at.desc())
        .limit(LOOKED_AT)
        .subquery()
    )
    taken = select(newest.c.accounting_date).where(newest.c.accounting_date <= day).limit(1)
    return connection.scalar(taken) is not None


# ---------------------------------------------------------------- what lies in there


def closed(connection: Connection, selection: Mapping[str, Iterable[int]]) -> list[Closed]:
    """The selected open records (ids by entity key) that lie in closed books, by connection in
    alphabetical order."""
    found: dict[tuple[str, date], dict[str, list[int]]] = {}
    for key in sorted(selection):
        entity = BY_KEY[key]
        of = entity.table.c
        rows = connection.execute(
            select(of.id, entity.connection_name, entity.closed_through)
            .select_from(entity.source)
            .where(of.id.in_(among(connection, list(selection[key]))), entity.in_closed_period)
        )
        for record, name, through in rows:
            found.setdefault((name, through), {}).setdefault(key, []).append(record)
    return [
        Closed(*which, {key: frozenset(ids) for key, ids in records.items()})
        for which, records in sorted(found.items())
    ]


__all__ = [
    "Closed",
    "InvalidLockDate",
    "Refusal",
    "closed",
    "entered_by",
    "forget_reopened",
    "learn",
    "set_lock_date",
]
