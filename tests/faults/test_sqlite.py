"""The embedded database locked, gone, replaced or damaged under the running product."""

import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, select

from synchist.db.engine import DatabaseUnavailable, _sqlite_module, reading
from synchist.db.tables import organization
from tests.conftest import Database, checked
from tests.faults.conftest import UNREACHABLE, Product, harmless, recovers, running


@pytest.fixture(scope="module")
def product(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("faults")
    url = f"sqlite:///{shutil.copy(demo, folder / 'synchist.db')}"
    with running(url, folder, SYNCHIST_LOCK_WAIT_SECONDS="1") as started:
        yield started
    with checked(url):
        pass


@contextmanager
def job(url: str) -> Iterator[Any]:
    """Another program's connection to the file."""
    connection = _sqlite_module().connect(make_url(url).database, isolation_level=None)
    with closing(connection):
        yield connection


def test_a_write_lock_held_by_a_job(product: Product) -> None:
    """Reading goes on; a change is refused with one sentence, and works once the lock is gone."""
    with product.browser() as browser, product.tab() as tab:
        with job(product.url) as other:
            other.execute("BEGIN IMMEDIATE")
            tab.send_first_back()
            assert tab.said.count(UNREACHABLE) == 1
            assert re.search(r"\d failed invoices", tab.said)
            assert browser.get("/invoices").status_code == 200
            for reply in (
                browser.get("/export/invoices.xlsx"),
                browser.post("/sign-in", data={"demo": "viewer"}),
            ):
                assert reply.status_code == 503
                assert "can&#x27;t be reached right now" in reply.text
            other.execute("ROLLBACK")
        recovers(lambda: browser.get("/export/invoices.xlsx").status_code == 200)
        tab.send_first_back()
        assert "1 invoice moved to" in tab.said


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a database is opened: it waits a second for locks."""
    monkeypatch.setenv("SYNCHIST_LOCK_WAIT_SECONDS", "1")


def test_a_file_locked_even_against_reading(impatient: None, sqlite_database: Database) -> None:
    with sqlite_database.bare() as other:
        other.isolation_level = None
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailable) as refused, reading() as connection:
            connection.execute(select(organization.c.id))
        harmless(str(refused.value))
    with reading() as connection:
        assert connection.scalars(select(organization.c.id)).all() == []


def test_a_file_that_is_gone_and_comes_back(product: Product) -> None:
    """Open connections would go on writing into a file that nobody can find any more."""
    path = Path(make_url(product.url).database or "")
    with product.browser() as browser, product.tab() as tab:
        tab.run()
        moved = path.rename(path.with_suffix(".moved"))
        try:
            reply = browser.get("/invoices")
            assert reply.status_code == 503
            assert "can&#x27;t be reached right now" in reply.text
            assert browser.get("/readyz").status_code == 503
            tab.run()
            assert tab.said.count(UNREACHABLE) == 1
            assert not path.exists(), "A new file must not take the place of the one that is gone."
        finally:
            moved.rename(path)
        recovers(lambda: browser.get("/readyz").status_code == 200)
        assert browser.get("/invoices").status_code == 200
        tab.run()
        assert re.search(r"\d failed invoices", tab.said)


def test_a_file_that_is_replaced_is_the_one_that_counts(product: Product) -> None:
    """As when a backup is put back while the server runs: what was written after it is not mixed
    into it."""
    path = Path(make_url(product.url).database or "")
    with product.tab() as tab:
        tab.run()
        with job(product.url) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        copy = Path(shutil.copy(path, path.with_suffix(".copy")))
        with job(f"sqlite:///{copy}") as other:
            other.execute("UPDATE organization SET name = 'Restored ' || name WHERE is_payer")
        with job(product.url) as other:
            other.execute("UPDATE organization SET name = 'Lost ' || name WHERE is_payer")
        copy.rename(path)
        tab.run()
        choices = next(e.selectbox for e in tab.elements if "Payer" in e.selectbox.label)
        assert all(option.startswith("Restored ") for option in choices.options)


def test_a_damaged_value_is_an_id_that_finds_it_in_the_log(product: Product) -> None:
    """What nobody foresaw: the page and the export say an id, and no more."""
    with product.browser() as browser, product.tab() as tab:
        with job(product.url) as other:
            other.execute("PRAGMA ignore_check_constraints = ON")
            damaged, day = other.execute(
                "SELECT id, accounting_date FROM invoice WHERE sync_status = 2"
                " ORDER BY outcome_at DESC LIMIT 1"
            ).fetchone()
            other.execute("UPDATE invoice SET accounting_date = 'soon' WHERE id = ?", (damaged,))
        tab.run()
        reply = browser.get("/export/invoices.xlsx")
        assert reply.status_code == 500
        for said in (tab.said, reply.text):
            assert "Something went wrong, and it is not your doing." in said
            found = re.search(r"\bid: ([0-9a-f]{8})", said)
            assert found is not None
            assert found[1] in product.log
        assert "Invalid isoformat string: 'soon'" in product.log
        # Where it happened, and not what the variables held: a password could be one of them.
        assert "in load\n" in product.log
        assert "locals" not in product.log
        assert browser.cookies["synchist_session"] not in product.log
        with job(product.url) as other:
            other.execute("UPDATE invoice SET accounting_date = ? WHERE id = ?", (day, damaged))
        tab.run()
        assert re.search(r"\d failed invoices", tab.said)
        assert browser.get("/export/invoices.xlsx").status_code == 200
