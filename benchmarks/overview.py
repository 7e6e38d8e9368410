"""The home page: its numbers against the bare SELECTs, and a million records against a tenth."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, event, select

from benchmarks import databases, servers
from benchmarks.databases import Database, configured
from benchmarks.measure import Figure, alone, interleaved, limit, timed
from synchist import overview
from synchist.accounts import Actor
from synchist.db.engine import dialect_insert, reading, writing
from synchist.db.tables import account, visit
from synchist.db.types import utc_now
from synchist.filters import today
from synchist.roles import Role
from tests.ui.protocol import Tab


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    tenth = databases.database(large.kind, large.records // 10)
    for one in (tenth, large):
        with configured(one):
            overview.catch_up()  # as the server has done by then
    yield from _numbers(large)
    yield from _a_day(large)
    yield _large_against_small(tenth, large)


def _numbers(database: Database) -> Iterator[Figure]:
    with configured(database):
        actor = _somebody_three_days_away()
        with reading() as connection:
            yield from _against_the_driver(connection, actor, database.where)


def _somebody_three_days_away() -> Actor:
    """An account whose last visit is a while ago: what is new since then is counted as well."""
    now = utc_now()
    with writing() as connection:
        someone = connection.scalars(select(account.c.id).limit(1)).one()
        seen = {"seen_at": now, "before_at": now - timedelta(days=3)}
        put = dialect_insert(connection, visit).values(account_id=someone, **seen)
        connection.execute(put.on_conflict_do_update(index_elements=["account_id"], set_=seen))
    return Actor(someone, "", "", frozenset({Role.ACCOUNTING_SYNC}))


def _against_the_driver(connection: Connection, actor: Actor, where: str) -> Iterator[Figure]:
    what = "overview: all numbers"
    load = timed(lambda: overview.load(connection, actor))
    statements = _statements(connection, lambda: overview.load(connection, actor))
    driver: Any = connection.connection.driver_connection

    def raw() -> None:
        for statement, parameters in statements:
            cursor = driver.cursor()
            cursor.execute(statement, parameters)
            cursor.fetchall()
            cursor.close()

    pair = interleaved(load, timed(raw))
    yield pair.at_most(2, what, where, "same SELECTs, raw driver")
    value, rounds = alone(load)
    yield limit(what, where, value * 1000, 500, "ms", rounds)


def _statements(connection: Connection, read: Any) -> list[tuple[str, Any]]:
    """The SELECTs and their parameters, exactly as they reach the driver."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, sql: str, parameters: Any, *_rest: Any) -> None:
        seen.append((sql, parameters))

    event.listen(connection, "before_cursor_execute", note)
    read()
    event.remove(connection, "before_cursor_execute", note)
    return seen


def _a_day(database: Database) -> Iterator[Figure]:
    """What the server does in the background: once a day for the latest, and after a backdated
    load for every day that it is about."""
    with configured(database):
        for back in (1, overview.KEPT_DAYS):
            value, rounds = alone(timed(partial(overview.count, today() - timedelta(days=back))))
            what = f"end of the day {back} days ago, counted from the history"
            yield limit(what, database.where, value * 1000, 10_000, "ms", rounds)


def _large_against_small(small: Database, large: Database) -> Figure:
    """One run of the page, with nobody else at the server."""
    with ExitStack() as stack:
        tabs = [
            stack.enter_context(
                Tab(stack.enter_context(servers.product(database)), "overview", "analyst")
            )
            for database in (large, small)
        ]
        pair = interleaved(timed(tabs[0].run), timed(tabs[1].run))
    return pair.at_most(
        1.5,
        f"page: overview of {large.records:,} records",
        large.name,
        f"the same of {small.records:,}",
    )
