"""What has to be fixed: failures of all four entities, grouped by their problem."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    String,
    column,
    func,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.types import NullType

from synchist.db.tables import UNDIAGNOSED, diagnosis, problem
from synchist.db.types import Minor, utc_now
from synchist.diagnosis import ANY, Cause
from synchist.entities import ENTITIES, Entity
from synchist.filters import LINK, PROBLEM_NAME, PROBLEMS, start_of, today
from synchist.queries import Total, added

NEW_DAYS = 3
"""A problem counts as new for so many days after its first failure."""

QUIET_DAYS = 7
"""Without any new failure for so many days, a problem has gone quiet; a failure after that means
that it has come back."""

TREND_DAYS = 14


class State(StrEnum):
    """How a problem has developed."""

    NEW = "New"
    ONGOING = "Ongoing"
    QUIET = "Gone quiet"
    BACK = "Come back"


@dataclass(frozen=True)
class Group:
    """The open failures of one problem. Moments are in UTC.

    `totals` count and sum them by entity key, `total` all together. `oldest` is when the oldest of
    these records was created; `first` and `last` are the first and the last failure that this
    problem ever caused.
    """

    problem_id: int
    name: str
    title: str
    cause: Cause
    named: str
    connection: str
    system: str
    totals: Mapping[str, Total]
    total: Total
    oldest: datetime
    first: datetime
    last: datetime
    state: State


@dataclass(frozen=True)
class Open:
    """Everything that is failed now: by problem, and what nobody has diagnosed yet."""

    groups: tuple[Group, ...]
    undiagnosed: Total


def load_open(connection: Connection) -> Open:
    """The open failures of all entities over all dates."""
    sums: dict[int, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    counts: dict[tuple[int, str], int] = defaultdict(int)
    oldest: dict[int, Any] = {}  # as the driver has it: to be read once a problem, not once a row
    for entity in ENTITIES:
        key = entity.key
        for problem_id, currency, number, money, since in connection.execute(
            _failed(connection, entity)
        ):
            counts[problem_id, key] += number
            sums[problem_id][key][currency] = int(money)
            if since < oldest.setdefault(problem_id, since):
                oldest[problem_id] = since
    totals = {
        problem_id: {key: Total(counts[problem_id, key], money) for key, money in of.items()}
        for problem_id, of in sums.items()
    }
    undiagnosed = added(totals.pop(UNDIAGNOSED, {}).values())
    created = {problem_id: _moment(oldest[problem_id]) for problem_id in totals}
    return Open(tuple(_groups(connection, totals, created)), undiagnosed)


def load_by_cause(connection: Connection) -> tuple[dict[Cause, dict[str, Total]], Total]:
    """The open failures of all entities over all dates by cause and entity key, and those that
    nobody has diagnosed yet."""
    found: dict[Cause, dict[str, Total]] = defaultdict(dict)
    undiagnosed = Total()
    for entity in ENTITIES:
        failed = _failed(connection, entity).subquery()
        rows = connection.execute(
            select(problem.c.cause, of.currency, func.sum(of.number), func.sum(of.money))
            .select_from(failed.outerjoin(problem, problem.c.id == of.problem_id))
            .group_by(problem.c.cause, of.currency)
        )
        for cause, currency, number, money in rows:
            total = Total(int(number), {currency: int(money)})
            if cause is None:
                undiagnosed = added([undiagnosed, total])
            else:
                totals = found[Cause.from_stored(cause)]
                totals[entity.key] = added([totals.get(entity.key, Total()), total])
    return dict(found), undiagnosed


def _failed(connection: Connection, entity: Entity) -> Select[int, str, int, int, Any]:
    # Without statistics SQLite takes an index of all statuses and looks up every row, unless told.
    told = f" INDEXED BY ix_{entity.key}_problem" if connection.dialect.name == "sqlite" else ""
    # The columns by name: as the table's own they would bring the table along without the hint.
    amount, created_at = column("amount", Minor), column("created_at", NullType)
    problem_id, currency = column("problem_id", BigInteger), column("currency", String)
    return (
        select(
            func.coalesce(problem_id, UNDIAGNOSED).label("problem_id"),
            currency,
            func.count().label("number"),
            func.sum(amount).label("money"),
            func.min(created_at).label("oldest"),
        )
        .select_from(text(entity.key + told))
        .where(text("sync_status = 2"))  # as the partial index says it
        .group_by(problem_id, currency)
    )


def _moment(stored: Any) -> datetime:
    """SQLite's driver has a moment as text in UTC, PostgreSQL's as a datetime."""
    if isinstance(stored, datetime):
        return stored
    return datetime.fromisoformat(stored).replace(tzinfo=UTC)


def _groups(
    connection: Connection,
    totals: Mapping[int, Mapping[str, Total]],
    oldest: Mapping[int, datetime],
) -> list[Group]:
    now = utc_now()
    of, seen = problem.c, diagnosis.c
    quiet_since = now - timedelta(days=QUIET_DAYS)

    def moment(pick: Any, *when: ColumnElement[bool]) -> ScalarSelect[datetime]:
        """One look into the index of a problem's failures."""
        return select(pick(seen.at)).where(seen.problem_id == of.id, *when).scalar_subquery()

    rows = connection.execute(
        select(
            of.id,
            PROBLEM_NAME.label("name"),
            of.title,
            of.cause,
            of.named,
            LINK.c.name.label("connection"),
            LINK.c.system,
            moment(func.min).label("first"),
            moment(func.max).label("last"),
            moment(func.max, seen.at < quiet_since).label("before"),
            moment(func.min, seen.at >= quiet_since).label("since"),
        ).select_from(PROBLEMS)
    ).all()
    return [
        Group(
            problem_id=row.id,
            name=row.name,
            title=row.title,
            cause=Cause.from_stored(row.cause),
            named=row.named,
            connection=row.connection or "",
            system=row.system or ANY,
            totals=totals[row.id],
            total=added(totals[row.id].values()),
            oldest=oldest[row.id],
            first=row.first,
            last=row.last,
            state=_state(now, row.first, row.before, row.since),
        )
        for row in rows
        if row.id in totals
    ]


def _state(
    now: datetime, first: datetime, before: datetime | None, since: datetime | None
) -> State:
    """From the first failure, the last one before the quiet days began, and the first in them."""
    if since is None:
        return State.QUIET
    if first >= now - timedelta(days=NEW_DAYS):
        return State.NEW
    if before is not None and since - before >= timedelta(days=QUIET_DAYS):
        return State.BACK
    return State.ONGOING


@dataclass(frozen=True)
class Trend:
    """Failures a day, open or not: `by_problem` and `by_cause` hold one number for each of `days`,
    the oldest first. Days are business days."""

    days: tuple[date, ...]
    by_problem: Mapping[int, Sequence[int]]
    by_cause: Mapping[Cause, Sequence[int]]


def load_trend(connection: Connection) -> Trend:
    """The failures of the past days."""
    days = tuple(today() - timedelta(days=back) for back in reversed(range(TREND_DAYS)))
    seen = diagnosis.c
    counted = union_all(
        *(
            select(literal(number).label("day"), seen.problem_id, func.count().label("number"))
            .where(seen.at >= start_of(day), seen.at < start_of(day + timedelta(days=1)))
            .group_by(seen.problem_id)
            for number, day in enumerate(days)
        )
    ).subquery()
    rows = connection.execute(
        select(counted.c.day, counted.c.problem_id, counted.c.number, problem.c.cause).join(
            problem, problem.c.id == counted.c.problem_id
        )
    )
    by_problem: dict[int, list[int]] = defaultdict(lambda: [0] * TREND_DAYS)
    by_cause: dict[Cause, list[int]] = defaultdict(lambda: [0] * TREND_DAYS)
    for row in rows:
        by_problem[row.problem_id][row.day] += row.number
        by_cause[Cause.from_stored(row.cause)][row.day] += row.number
    return Trend(days, by_problem, by_cause)
