"""What has to be right before the first request is answered."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from streamlit import config
from streamlit.web.server.app_discovery import discover_asgi_app
from structlog.testing import capture_logs

from synchist.db.engine import writing
from synchist.web.start import (
    HARDENING,
    DemoExposed,
    NotHardened,
    check_exposure,
    check_hardening,
    warn_of_an_owner,
)
from tests.conftest import Database, owned

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def options() -> Iterator[dict[str, object]]:
    """Streamlit's options as the start-up needs them; what a test sets is undone afterwards."""
    names = [*HARDENING, "server.address"]
    before = {name: (config.get_option(name), config.get_where_defined(name)) for name in names}
    for name, value in HARDENING.items():
        config.set_option(name, value)
    yield dict(HARDENING)
    for name, (value, where) in before.items():
        config.set_option(name, value, where)


def test_the_hardening_is_accepted(options: dict[str, object]) -> None:
    check_hardening()


@pytest.mark.parametrize("option", HARDENING)
def test_each_softened_option_is_noticed(options: dict[str, object], option: str) -> None:
    softer = {True: False, False: True}.get(bool(options[option]), "")
    config.set_option(option, "full" if option == "client.showErrorDetails" else softer)
    with pytest.raises(NotHardened, match=option):
        check_hardening()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("address", "exposed"),
    [
        ("localhost", False),
        ("127.0.0.1", False),
        ("::1", False),
        (None, True),
        ("", True),
        ("0.0.0.0", True),
        ("::", True),
        ("192.0.2.1", True),
        ("sync.example.com", True),
    ],
)
def test_the_demo_is_served_on_this_computer_only(
    demo: None, options: dict[str, object], address: str | None, exposed: bool
) -> None:
    config.set_option("server.address", address)
    if exposed:
        with pytest.raises(DemoExposed):
            check_exposure()
    else:
        check_exposure()


def test_another_database_may_be_served_anywhere(
    database: Database, options: dict[str, object]
) -> None:
    config.set_option("server.address", "0.0.0.0")
    check_exposure()


def test_an_owner_is_warned_of_once(database: Database) -> None:
    """A small installation may have but one role, and is told what that means."""
    with owned(), capture_logs() as logged:
        warn_of_an_owner()
    assert [one["log_level"] for one in logged] == ["warning"] * (database.dialect == "postgresql")
    with capture_logs() as logged:
        warn_of_an_owner()
    assert logged == []


def test_streamlit_finds_the_app() -> None:
    assert discover_asgi_app(ROOT / "app.py").import_string == "app:app"


def start(**variables: str) -> subprocess.CompletedProcess[str]:
    """Start the product as anybody would, and wait until it has refused to."""
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", "0"]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_it_refuses_to_start_on_a_database_that_is_behind(database: Database) -> None:
    with owned(), writing() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    refused = start()
    assert refused.returncode != 0
    assert "The database is not up to date with this version." in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_it_refuses_to_start_softened(database: Database) -> None:
    refused = start(STREAMLIT_CLIENT_DISABLE_DATA_EXPORT="false")
    assert refused.returncode != 0
    assert "Streamlit's option client.disableDataExport must be True." in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_it_refuses_to_show_the_demo_to_others(demo: None) -> None:
    refused = start(STREAMLIT_SERVER_ADDRESS="0.0.0.0")
    assert refused.returncode != 0
    assert "The demo has accounts without passwords" in refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
