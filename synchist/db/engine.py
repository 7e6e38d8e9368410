"""The one way to the database: an engine per address, and transactions for reading and writing."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import date
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Condition
from types import ModuleType
from typing import Any
from urllib.parse import quote

import structlog
from sqlalchemy import (
    JSON,
    URL,
    BigInteger,
    BindParameter,
    Connection,
    Engine,
    Integer,
    Select,
    String,
    Table,
    TableValuedAlias,
    bindparam,
    cast,
    column,
    create_engine,
    event,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import InterfaceError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from synchist.db.types import folded
from synchist.errors import SynchistError
from synchist.settings import settings

# 3.7.0 to 3.51.2 can corrupt a write-ahead log that is reset while it is read.
SAFE_WAL = (3, 51, 3)

POOL_WAIT_SECONDS = 10
"""How long a call waits for a connection while all of them are in use."""

log = structlog.get_logger()


class DatabaseUnavailable(SynchistError):
    """The database is locked, down, out of connections or missing."""

    def __init__(self) -> None:
        super().__init__(
            "The database can't be reached right now. Try again in a minute: a change that did go"
            " through is not applied a second time."
        )


class NotGranted(SynchistError):
    """PostgreSQL does not let the configured role do this."""

    def __init__(self) -> None:
        super().__init__(
            "The database does not let the product's role do this. Upgrades, demos and simulated"
            " jobs are the owner's; for anything else, rights are missing, which an administrator"
            " grants with: python -m synchist db grants"
        )


def is_refusal(error: Exception) -> bool:
    """Whether PostgreSQL refused a statement for lack of rights."""
    cause = error.orig if isinstance(error, ProgrammingError) else error
    return getattr(cause, "sqlstate", None) == "42501"


def _sqlite_module() -> ModuleType:
    """The newest SQLite library at hand: the wheel's where there is one, else Python's own."""
    try:
        return import_module("pysqlite3.dbapi2")
    except ImportError:
        return sqlite3


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file is at a path; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _File:
    """The SQLite file of an address, which all transactions let go of once another takes its place.

    Connections share memory, and the log of what is not in the file yet, by the file's name. One
    to a new file would read the old one's log into it, and take the memory away from connections
    to the old one, which ends the process. These would write where nobody looks anyway.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = [path.with_name(path.name + end) for end in ("-wal", "-shm")]
        self._opened = _identity(path)
        self._seen = self._opened, _identity(self._beside[0])
        self._in_use = 0
        self._change = Condition()

    @contextmanager
    def held(self, engine: Engine) -> Iterator[None]:
        """Keep the file from being exchanged under a transaction. Raises DatabaseUnavailable."""
        with self._change:
            while _identity(self._path) != self._opened:
                if self._in_use == 0:
                    self._let_go(engine)
                elif not self._change.wait(settings().lock_wait_seconds):
                    raise DatabaseUnavailable
            self._in_use += 1
        try:
            yield
        finally:
            with self._change:
                self._in_use -= 1
                if self._opened and _identity(self._path) == self._opened:
                    self._seen = self._opened, _identity(self._beside[0])
                self._change.notify_all()

    def _let_go(self, engine: Engine) -> None:
        engine.dispose()
        self._opened = _identity(self._path)
        file, log = self._seen
        # SQLite leaves the log there when its file has moved. The same file may have come back,
        # and another may have brought a log of its own.
        if self._opened not in (None, file) and log and _identity(self._beside[0]) == log:
            for path in self._beside:
                path.unlink(missing_ok=True)


_file = cache(_File)


def _prepare_sqlite(engine: Engine, module: Any) -> None:
    journal = "WAL" if module.sqlite_version_info >= SAFE_WAL else "DELETE"
    wait = settings().lock_wait_seconds * 1000

    @event.listens_for(engine, "connect")
    def _connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {wait}")
        cursor.execute(f"PRAGMA journal_mode = {journal}")
        cursor.execute("PRAGMA synchronous = NORMAL" if journal == "WAL" else "SELECT 1")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA cache_size = -32000")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred BEGIN that turns into a write fails at once when another writer was first.
        write = connection.get_execution_options().get("synchist_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@cache
def engine(url: str, create: bool = False) -> Engine:
    """The engine of an address, made once a process.

    With `create`, a SQLite file that is not there yet is made; without, opening it fails, so that
    a database that went missing is noticed and not silently replaced by an empty one.
    """
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        module = _sqlite_module()
        path = Path(address.database or "")
        mode = "rwc" if create else "rw"
        made = create_engine(
            URL.create(
                "sqlite", database=f"file:{quote(str(path))}", query={"mode": mode, "uri": "true"}
            ),
            module=module,
            pool_timeout=POOL_WAIT_SECONDS,
        )
        _prepare_sqlite(made, module)
        return made
    return create_engine(
        address,
        pool_size=10,
        max_overflow=10,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": 10,
            "options": f"-c lock_timeout={settings().lock_wait_seconds}s"
            " -c idle_in_transaction_session_timeout=60s -c timezone=UTC",
        },
    )


def database() -> Engine:
    """The engine of the configured database."""
    return engine(settings().url)


def _file_held() -> AbstractContextManager[None]:
    if database().dialect.name != "sqlite":
        return nullcontext()
    return _file(Path(make_url(settings().url).database or "")).held(database())


@contextmanager
def _transaction(**options: Any) -> Iterator[Connection]:
    try:
        with (
            _file_held(),
            database().connect() as connection,
            connection.execution_options(**options).begin(),
        ):
            yield connection
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        log.warning("database unavailable", error=str(error.__cause__ or error)[:500])
        raise DatabaseUnavailable from error
    except ProgrammingError as error:
        if not is_refusal(error):
            raise
        log.error("the database refused its role", error=str(error.orig))
        raise NotGranted from error


def reading() -> AbstractContextManager[Connection]:
    """A transaction that sees one state throughout, so that count, sums and rows agree.

    Raises DatabaseUnavailable, NotGranted.
    """
    if database().dialect.name == "postgresql":
        return _transaction(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    return _transaction()


def writing() -> AbstractContextManager[Connection]:
    """A transaction that writes; on SQLite it takes the write lock at once.

    Raises DatabaseUnavailable, NotGranted. Whatever else is raised inside rolls everything back.
    """
    return _transaction(synchist_write=True)


def one_at_a_time(connection: Connection, table: Table) -> None:
    """Let those who look at a table's rows before they add one do so one after the other, until
    the transaction ends; SQLite does so by itself."""
    if connection.dialect.name == "postgresql":
        # LOCK TABLE would need the right to update every column.
        name = func.hashtextextended(f"synchist.{table.name}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(name)))


def dialect_insert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say what happens on a conflict, which both databases say alike."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def among(connection: Connection, ids: Sequence[int]) -> Select[int]:
    """The ids as a subquery of one parameter, however many there are."""
    if connection.dialect.name == "postgresql":
        listed = postgresql.ARRAY(BigInteger)
        return select(func.unnest(cast(literal(list(ids), listed), listed)))
    return select(column("value", Integer)).select_from(
        func.json_each(bindparam("ids", json.dumps(list(ids)), unique=True))
    )


def texts(connection: Connection, listed: Sequence[str]) -> Select[str]:
    """The same of texts, folded as the indexes for searches are."""
    if connection.dialect.name == "postgresql":
        array = postgresql.ARRAY(String)
        one = func.unnest(cast(literal(list(listed), array), array), type_=String)
        return select(folded(select(one.label("value")).subquery().c.value))
    given: BindParameter[str] = bindparam("texts", value=json.dumps(list(listed)), unique=True)
    return select(folded(column("value", String))).select_from(func.json_each(given))


def paired(connection: Connection, values: Mapping[int, Any]) -> TableValuedAlias:
    """A value for each id as a table of one parameter, with the columns `key` and `value`; both
    have to be cast."""
    each = func.json_each if connection.dialect.name == "sqlite" else func.json_each_text
    return each(literal(dict(values), JSON)).table_valued("key", "value")


def append(connection: Connection, table: Table, columns: Mapping[str, Sequence[Any]]) -> None:
    """Many rows, given by column, the fast way of each database."""
    if connection.dialect.name == "postgresql":
        cursor: Any = connection.connection.cursor()
        try:
            with cursor.copy(f"COPY {table.name} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in zip(*columns.values(), strict=True):
                    copy.write_row(row)
        except connection.dialect.loaded_dbapi.OperationalError as error:  # not SQLAlchemy's
            raise DatabaseUnavailable from error
        return
    statement = insert(table).compile(connection, column_keys=list(columns))
    ordered = [map(_sqlite_value, columns[name]) for name in statement.positiontup or ()]
    if rows := list(zip(*ordered, strict=True)):
        connection.exec_driver_sql(str(statement), rows)


def _sqlite_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
