"""Whether each connection to an accounting system works: authorization, answers, silence."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    String,
    and_,
    func,
    literal_column,
    select,
)

from synchist import closed_books
from synchist.db.tables import connection as connection_table
from synchist.db.tables import diagnosis, problem, sync_event
from synchist.db.types import utc_now
from synchist.diagnosis import Cause
from synchist.entities import ENTITIES
from synchist.filters import PROBLEM_NAME, PROBLEMS
from synchist.queries import Total
from synchist.settings import settings
from synchist.statuses import ConnectionState, EventKind, SyncStatus

BURST = 3
"""So many refusals in a row, and nothing in between that the accounting system has looked at, mean
that the connection is down, whatever its state says."""

SOON_DAYS = 14
"""So many days before its end an authorization is pointed out."""

WEEKS, USUALLY = 4, 3
"""An hour of the week usually has attempts if it had some in so many of the past weeks."""

LONGEST_SILENCE = timedelta(days=7)
"""How far back hours without attempts are counted."""

_NO_ANSWERS = (
    Cause.AUTHORIZATION,
    Cause.SERVICE_UNAVAILABLE,
    Cause.RATE_LIMIT,
    Cause.SUBSCRIPTION,
    Cause.UNKNOWN,
)
"""Failures which do not show that the accounting system would let us in."""


@dataclass(frozen=True)
class Health:
    """How a connection does. Moments are in UTC.

    `refusals` counts the attempts refused for lack of authorization since the last answer of
    another kind, the first of them at `refused_since`; `refused` totals the records failed for that
    reason now, by entity key, and `problem` is the name under which the lists show them.
    `lock_date_by` is who has entered the lock date at last, empty where a job has written it.
    `silent_hours` are the full hours since the last attempt in which there usually are some, as
    business time.
    """

    id: int
    name: str
    system: str
    company: str
    state: ConnectionState
    token_expires_at: datetime | None
    lock_date: date | None
    learnt_lock_date: date | None
    lock_date_by: str
    last_success: datetime | None
    last_attempt: datetime | None
    refusals: int
    refused_since: datetime | None
    refused: Mapping[str, Total]
    problem: str
    silent_hours: tuple[datetime, ...]

    @property
    def expired(self) -> bool:
        """Whether its authorization has run out or was withdrawn, as far as it is known."""
        ends = self.token_expires_at
        return self.state is not ConnectionState.AUTHORIZED or (
            ends is not None and ends <= utc_now()
        )

    @property
    def closed_through(self) -> date | None:
        """The day up to and including which the books are closed, as far as it is known."""
        return max(filter(None, (self.lock_date, self.learnt_lock_date)), default=None)

    @property
    def is_down(self) -> bool:
        """Whether nothing can be pushed until somebody authorizes it again."""
        return self.expired or self.refusals >= BURST

    @property
    def expires_in_days(self) -> int | None:
        """Full days until its authorization ends; None where that is not known."""
        ends = self.token_expires_at
        return None if ends is None else (ends - utc_now()).days


def names(connection: Connection) -> dict[int, tuple[str, str]]:
    """Name and system of every connection by id, in alphabetical order."""
    of = connection_table.c
    rows = connection.execute(select(of.id, of.name, of.system).order_by(of.name))
    return {key: (name, system) for key, name, system in rows}


@dataclass(frozen=True)
class Attention:
    """A connection that somebody should look at: `expired`, or its last attempts were `refused`,
    or its authorization ends in `days`."""

    name: str
    expired: bool
    refused: bool
    days: int | None


def load_attention(connection: Connection) -> list[Attention]:
    """The connections that are down, or whose authorization ends soon, in alphabetical order.

    Found by a few looks, unlike `load_connections`; silence is not told.
    """
    found = []
    rows = connection.execute(select(connection_table).order_by(connection_table.c.name))
    for row in rows.all():
        ends, now = row.token_expires_at, utc_now()
        expired = row.state != ConnectionState.AUTHORIZED or (ends is not None and ends <= now)
        refused = not expired and _is_refused(connection, row)
        days = None if ends is None else (ends - now).days
        if expired or refused or (days is not None and days <= SOON_DAYS):
            found.append(Attention(row.name, expired, refused, days))
    return found


def _is_refused(connection: Connection, row: Row[Any]) -> bool:
    """Whether as many attempts as make it count as down were refused in a row."""
    refused = connection.scalar(_refusing(row.id))
    if refused is None:
        return False
    success = _latest_attempt(connection, row.id, SyncStatus.COMPLETE)
    answered = _last([success, row.last_success_at, _last_answer(connection, row.id)])
    return _refusals(connection, refused, answered, most=BURST)[0] >= BURST


def load_connections(connection: Connection) -> list[Health]:
    """Every connection, in alphabetical order."""
    rows = connection.execute(select(connection_table).order_by(connection_table.c.name))
    return [_health(connection, row) for row in rows.all()]


def _health(connection: Connection, row: Row[Any]) -> Health:
    latest = {status: _latest_attempt(connection, row.id, status) for status in SyncStatus}
    last_success = _last([latest[SyncStatus.COMPLETE], row.last_success_at])
    last_attempt = _last([*latest.values(), row.last_success_at])
    refused = connection.execute(_refusing(row.id)).first()
    refusals, since = (0, None)
    if refused is not None:
        answered = _last([last_success, _last_answer(connection, row.id)])
        refusals, since = _refusals(connection, refused.id, answered)
    return Health(
        id=row.id,
        name=row.name,
        system=row.system,
        company=row.company,
        state=ConnectionState(row.state),
        token_expires_at=row.token_expires_at,
        lock_date=row.lock_date,
        learnt_lock_date=row.learnt_lock_date,
        lock_date_by=closed_books.entered_by(connection, row.id, row.lock_date),
        last_success=last_success,
        last_attempt=last_attempt,
        refusals=refusals,
        refused_since=since,
        refused=_failed(connection, refused.id) if refused else {},
        problem=refused.name if refused else "",
        silent_hours=_silent_hours(connection, row.id, last_attempt),
    )


def _refusing(connection_id: int) -> Select[int, str]:
    """The problem of a connection that refuses for lack of authorization: id and name."""
    return (
        select(problem.c.id, PROBLEM_NAME.label("name"))
        .select_from(PROBLEMS)
        .where(
            problem.c.connection_id == connection_id,
            problem.c.cause == Cause.AUTHORIZATION.value,
        )
    )


def _last(moments: list[datetime | None]) -> datetime | None:
    return max((moment for moment in moments if moment is not None), default=None)


def _attempts(connection_id: int) -> list[ColumnElement[bool]]:
    """The attempts of a connection; the kind written out, so that SQLite uses their index."""
    of = sync_event.c
    return [of.kind == literal_column("'attempt'"), of.connection_id == connection_id]


def _latest_attempt(
    connection: Connection, connection_id: int, status: SyncStatus
) -> datetime | None:
    of = sync_event.c
    moment: datetime | None = connection.scalar(
        select(func.max(of.at)).where(*_attempts(connection_id), of.sync_status == int(status))
    )
    return moment


_BY_ATTEMPTS = diagnosis.join(
    sync_event,
    and_(
        sync_event.c.entity == diagnosis.c.entity,
        sync_event.c.record_id == diagnosis.c.record_id,
        sync_event.c.version == diagnosis.c.version,
        sync_event.c.kind == EventKind.ATTEMPT.value,
    ),
)
"""What accounting systems answered to attempts. A record that a person marks as failed is none."""


def _last_answer(connection: Connection, connection_id: int) -> datetime | None:
    """When the accounting system last refused a record for what is in it."""
    latest = (
        select(diagnosis.c.at)
        .select_from(_BY_ATTEMPTS)
        .where(diagnosis.c.problem_id == problem.c.id)
        .order_by(diagnosis.c.at.desc())
        .limit(1)
        .correlate(problem)
        .scalar_subquery()
    )
    moment: datetime | None = connection.scalar(
        select(func.max(latest)).where(
            problem.c.connection_id == connection_id,
            problem.c.cause.not_in([cause.value for cause in _NO_ANSWERS]),
        )
    )
    return moment


def _refusals(
    connection: Connection, problem_id: int, answered: datetime | None, most: int | None = None
) -> tuple[int, datetime | None]:
    """Number and first moment of the refusals after an answer; `most` is how far to count."""
    at = diagnosis.c.at
    later = [] if answered is None else [at > answered]
    found = (
        select(at)
        .select_from(_BY_ATTEMPTS)
        .where(diagnosis.c.problem_id == problem_id, *later)
        .order_by(at)
        .limit(most)
        .subquery()
    )
    count, since = connection.execute(select(func.count(), func.min(found.c.at))).one()
    return count, since


def _failed(connection: Connection, problem_id: int) -> dict[str, Total]:
    """The records that are failed for this problem, by entity key."""
    found = {}
    for entity in ENTITIES:
        of = entity.table.c
        sums = connection.execute(
            select(of.currency, func.count(), func.sum(of.amount))
            .where(of.sync_status == literal_column("2"), of.problem_id == problem_id)
            .group_by(of.currency)
        ).all()
        if sums:
            by_currency = {currency: int(amount) for currency, _, amount in sums}
            found[entity.key] = Total(sum(count for _, count, _ in sums), by_currency)
    return found


# ---------------------------------------------------------------- silence


def _silent_hours(
    connection: Connection, connection_id: int, last_attempt: datetime | None
) -> tuple[datetime, ...]:
    """The full hours since the last attempt which usually have one, in business time."""
    if last_attempt is None:
        return ()
    now = utc_now()
    start = max(last_attempt, now - LONGEST_SILENCE)
    full = _hours(start, now)[1:-1]  # neither the hour of the last attempt nor the present one
    if not full:
        return ()
    last, week = _hour(last_attempt), timedelta(weeks=1)
    busy = _busy_hours(connection, connection_id, last - (WEEKS + 1) * week)

    def usual(hour: datetime) -> bool:
        # Compared with the weeks before the silence: in a long one nothing would seem usual.
        first = max(1, -(-(hour - last) // week))
        weeks = range(first, first + WEEKS)
        return sum(hour - back * week in busy for back in weeks) >= USUALLY

    return tuple(hour for hour in full if usual(hour))


def _hours(start: datetime, end: datetime) -> list[datetime]:
    """Every hour of the clock from one moment to another, as naive business time. An hour that the
    clocks skip is not in it, one that they repeat stands in it once."""
    steps = int((end - start) / timedelta(hours=1)) + 1
    moments = [start + timedelta(hours=number) for number in range(steps)]
    return list(dict.fromkeys(_hour(moment) for moment in [*moments, end]))


def _hour(moment: datetime) -> datetime:
    local = moment.astimezone(settings().zone)
    return local.replace(minute=0, second=0, microsecond=0, tzinfo=None)


def _busy_hours(connection: Connection, connection_id: int, since: datetime) -> set[datetime]:
    """The hours with attempts since a naive business time, as such times."""
    of = sync_event.c
    minute = (
        func.to_char(of.at, "YYYY-MM-DD HH24:MI")  # the session's time zone is UTC
        if connection.dialect.name == "postgresql"
        else of.at
    )
    start = since.replace(tzinfo=settings().zone)
    minutes = connection.scalars(
        select(func.substr(minute, 1, 16, type_=String))
        .distinct()
        .where(*_attempts(connection_id), of.sync_status.in_([0, 1, 2]), of.at >= start)
    )
    return {_hour(datetime.fromisoformat(f"{one}+00:00")) for one in minutes}
