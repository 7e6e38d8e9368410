"""What a list reads: pages into DataFrames, searches, orders, counts and sums."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import product
from typing import Any

import pandas as pd
from sqlalchemy import Connection, event, func, select

from benchmarks import servers
from benchmarks.databases import Database, configured
from benchmarks.measure import Figure, alone, interleaved, limit, timed
from synchist import queries
from synchist.db.engine import reading
from synchist.db.tables import sync_event
from synchist.entities import INVOICES
from synchist.filters import Filters, Window, moment_address, today
from synchist.statuses import SyncStatus
from tests.ui.protocol import Tab

COMPLETE = Filters(status=SyncStatus.COMPLETE, window=Window.ALL)
PAGE, LONG_PAGE = 1_000, 10_000


def measure(small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    yield from _against_the_driver(small, PAGE, 3)
    yield from _against_the_driver(large, PAGE, 3)
    yield from _against_the_driver(large, LONG_PAGE, 2)
    yield from _large_against_small(small, large)
    yield from _within_reach(large)
    yield from _as_of(large)
    yield from _page_as_of(large)


def _page(connection: Connection, rows: int) -> pd.DataFrame:
    return queries.load(connection, INVOICES, COMPLETE, rows)


def _against_the_driver(database: Database, rows: int, times: float) -> Iterator[Figure]:
    with configured(database), reading() as connection:
        if queries.total(connection, INVOICES, COMPLETE).count < rows:
            return
        statement, parameters = _statement(connection, rows)
        driver: Any = connection.connection.driver_connection

        def raw() -> None:
            cursor = driver.cursor()
            cursor.execute(statement, parameters)
            cursor.fetchall()
            cursor.close()

        pair = interleaved(timed(lambda: _page(connection, rows)), timed(raw))
    what = f"page of {rows:,} rows into a DataFrame"
    yield pair.at_most(times, what, database.where, "same SELECT, raw driver")


def _statement(connection: Connection, rows: int) -> tuple[str, Any]:
    """The SELECT of a page and its parameters, exactly as they reach the driver."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, sql: str, parameters: Any, *_rest: Any) -> None:
        seen.append((sql, parameters))

    event.listen(connection, "before_cursor_execute", note)
    _page(connection, rows)
    event.remove(connection, "before_cursor_execute", note)
    return seen[-1]


def _large_against_small(small: Database, large: Database) -> Iterator[Figure]:
    """One process, two databases: the connections are opened beforehand, then used in turns."""
    with ExitStack() as stack:
        pages = []
        for database in (large, small):
            stack.enter_context(configured(database))
            connection = stack.enter_context(reading())
            pages.append(partial(_page, connection, PAGE))
        pair = interleaved(timed(pages[0]), timed(pages[1]))
    yield pair.at_most(
        1.5,
        f"page of {PAGE:,} rows out of {large.records:,}",
        large.name,
        f"the same out of {small.records:,}",
    )


def _as_of(database: Database) -> Iterator[Figure]:
    """Lists as they stood, against the same lists of now: the rows first, then all numbers."""
    with configured(database), reading() as connection:
        last = connection.scalar(select(func.max(sync_event.c.at)))
        if last is None:
            return
        for days, status in product((1, 30), (SyncStatus.FAILED, SyncStatus.PENDING)):
            now = Filters(status=status)
            then = replace(now, as_of=last - timedelta(days=days))
            what = f"{status.label} as of {days} days before the last event"
            for part, read in (("page", _rows), ("its numbers", _numbers)):
                pair = interleaved(
                    timed(partial(read, connection, then)), timed(partial(read, connection, now))
                )
                yield pair.at_most(3, f"{part}, {what}", database.where, "the same of now")


def _page_as_of(database: Database) -> Iterator[Figure]:
    """One run of the page, with nobody else at the server."""
    with configured(database), reading() as connection:
        last = connection.scalar(select(func.max(sync_event.c.at)))
    if last is None:
        return
    with servers.product(database) as server, Tab(server, "invoices", "analyst") as now:
        for days in (1, 30):
            moment = moment_address(last - timedelta(days=days))
            with Tab(server, "invoices", "analyst", query=f"invoices_as_of={moment}") as then:
                pair = interleaved(timed(then.run), timed(now.run))
                what = f"whole page, Failed as of {days} days before the last event"
                yield pair.at_most(3, what, database.where, "the same of now")


def _rows(connection: Connection, filters: Filters) -> None:
    queries.load(connection, INVOICES, filters, PAGE)


def _numbers(connection: Connection, filters: Filters) -> None:
    """What stands above the grid."""
    queries.counts(connection, INVOICES, filters)


def _within_reach(database: Database) -> Iterator[Figure]:
    """What takes seconds without the right index."""
    with configured(database), reading() as connection:
        last = queries.total(connection, INVOICES, COMPLETE).count - 1
        number = _page(connection, PAGE)["number"].iloc[PAGE // 2]
        two_years = replace(
            COMPLETE,
            window=Window.CUSTOM,
            start=today().replace(year=today().year - 2),
            end=today(),
            sort="Amount, highest first",
        )
        reads: dict[str, Callable[[], object]] = {
            "search for a number": partial(_found, connection, number),
            "search for a part of a name": partial(_found, connection, "dairy"),
            "sort by amount over two years": partial(
                queries.load, connection, INVOICES, two_years, PAGE
            ),
            "last page": partial(
                queries.load, connection, INVOICES, COMPLETE, PAGE, last // PAGE * PAGE
            ),
            "count and sums of all Complete, after the grid": partial(
                queries.total, connection, INVOICES, COMPLETE
            ),
            "count and sums of a search for a part of a name, after the grid": partial(
                queries.total, connection, INVOICES, replace(COMPLETE, search="dairy")
            ),
        }
        for what, read in reads.items():
            value, rounds = alone(timed(read))
            yield limit(what, database.where, value * 1000, 300, "ms", rounds)


def _found(connection: Connection, text: str) -> None:
    """The rows of a search. The page counts them once they are on their way to the browser."""
    queries.load(connection, INVOICES, replace(COMPLETE, search=text), PAGE)
