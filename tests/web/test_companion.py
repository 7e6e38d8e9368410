"""The server keeps up with the jobs by itself, whatever happens to the database."""

import threading
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from synchist import problems
from synchist.db.engine import DatabaseUnavailable
from synchist.db.tables import UNDIAGNOSED
from synchist.entities import BILLS, ENTITIES, INVOICES
from synchist.web import companion, start
from synchist.web.start import StartUp
from tests.conftest import Database
from tests.faults.conftest import recovers, running
from tests.test_problems import NOT_FOUND, attempt, problem_id
from tests.world import World


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companion, "PAUSE_SECONDS", 0.01)


def all_diagnosed(world: World) -> bool:
    return all(
        problem_id(entity, record) != UNDIAGNOSED
        for entity in ENTITIES
        for record in world.records(entity.key).values()
    )


def companions() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "companion"]


def test_failures_are_diagnosed_while_it_runs(database: Database, world: World) -> None:
    with companion.at_work():
        recovers(lambda: all_diagnosed(world))
        attempt(database, BILLS, world.bill["pending"], NOT_FOUND)
        recovers(lambda: problem_id(BILLS, world.bill["pending"]))


def test_a_backlog_is_worked_off_without_pauses(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companion, "PAUSE_SECONDS", 3_600)
    monkeypatch.setattr(problems, "BATCH", 1)
    with companion.at_work():
        recovers(lambda: all_diagnosed(world))


@pytest.mark.parametrize("left", [0, 1], ids=["in a pause", "in a backlog without end"])
def test_it_ends_when_told(monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    asked, ended = threading.Event(), threading.Event()

    def catch_up() -> int:
        asked.set()
        return left

    def serve() -> None:
        with companion.at_work():
            asked.wait()
        ended.set()

    monkeypatch.setattr(companion, "PAUSE_SECONDS", 3_600)
    monkeypatch.setattr(problems, "catch_up", catch_up)
    threading.Thread(target=serve, daemon=True).start()
    assert ended.wait(20)
    assert companions() == []


def test_it_ends_when_the_server_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "catch_up", lambda: 0)

    def serve() -> None:
        with companion.at_work():
            assert len(companions()) == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        serve()
    assert companions() == []


@pytest.mark.parametrize(
    ("error", "logged"),
    [(DatabaseUnavailable, []), (ZeroDivisionError, ["keeping up failed"])],
    ids=["the database is away", "unforeseen"],
)
def test_it_outlives_an_error(
    database: Database,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    logged: list[str],
) -> None:
    catch_up, raised = problems.catch_up, list[type[Exception]]()

    def fails_once() -> int:
        if not raised:
            raised.append(error)
            raise error
        return catch_up()

    monkeypatch.setattr(problems, "catch_up", fails_once)
    with capture_logs() as logs, companion.at_work():
        recovers(lambda: all_diagnosed(world))
    assert raised
    errors = [entry for entry in logs if entry["log_level"] != "info"]
    assert [entry["event"] for entry in errors] == logged
    assert all(entry["error_id"] and entry["log_level"] == "error" for entry in errors)


def test_the_server_has_it_from_start_to_end(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "_check", lambda: None)  # Streamlit is not there to be checked
    with TestClient(StartUp(Starlette())):
        recovers(lambda: all_diagnosed(world))
        attempt(database, INVOICES, world.invoice["pending"], NOT_FOUND)
        recovers(lambda: problem_id(INVOICES, world.invoice["pending"]))
    assert companions() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_started_product_runs_it(database: Database, world: World, tmp_path: Path) -> None:
    """Nobody opens a page."""
    with running(database.url, tmp_path):
        recovers(lambda: all_diagnosed(world))
