"""Widget state that no browser would send: what counts is looked up, not what a client claims."""

import re
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select, update
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from synchist import queries
from synchist.accounts import Principal, revoke
from synchist.db.engine import reading, writing
from synchist.db.tables import access_event
from synchist.db.types import utc_now
from synchist.entities import INVOICES
from synchist.filters import Filters
from synchist.queries import Ticked
from synchist.roles import Role
from synchist.ui.selection import folded
from tests.conftest import Database, configured
from tests.ui.protocol import Tab, edits
from tests.world import World

PAGES = Path(__file__).resolve().parents[2] / "pages"
on_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

ROWS = pd.DataFrame(
    {"version": [3, 1], "currency": ["USD", "CAD"], "amount": pd.array([100, 200], dtype="Int64")},
    index=[70, 50],
)


@pytest.mark.parametrize(
    "edit",
    [
        {"2": {"Select": True}},
        {"-1": {"Select": True}},
        {str(10**9): {"Select": True}},
        {"0": {"Select": "yes"}},
        {"0": {"Select": 1}},
        {"0": {"number": "FORGED", "sync_status": "Complete"}},
        {"0": None},
    ],
)
def test_an_edit_that_the_grid_never_offered_selects_nothing(edit: dict[str, object]) -> None:
    assert folded({}, edit, ROWS) == {}


def test_ticks_are_kept_by_record_and_version() -> None:
    ticked = folded({}, {"1": {"Select": True}}, ROWS)
    assert ticked == {50: Ticked(1, "CAD", 200)}
    assert folded(ticked, {"0": {"Select": True}, "1": {"Select": False}}, ROWS) == {
        70: Ticked(3, "USD", 100)
    }


def test_a_forged_edit_changes_no_record(server: str, served: str) -> None:
    filters = Filters()
    with configured(served), reading() as connection:
        before = queries.load(connection, INVOICES, filters)
    with Tab(server, "invoices", "analyst") as tab:
        tab.run()
        forged = edits(
            tab.grid(),
            {
                "0": {"Select": True, "sync_status": "Complete", "amount": 1.0},
                "1": {"number": "FORGED", "sync_error": ""},
                "999999": {"Select": True},
            },
        )
        tab.run(forged)
        assert "**1 selected**" in tab.texts()
    with configured(served), reading() as connection:
        assert queries.load(connection, INVOICES, filters).equals(before)


def test_a_forged_click_after_the_role_is_gone_is_refused_and_recorded(
    server: str, served: str
) -> None:
    with Tab(server, "invoices", "analyst") as tab:
        tab.run()
        ticked = edits(tab.grid(), {"0": {"Select": True}})
        tab.run(ticked)
        # The dialog opens while the role still holds; it is applied when it does not any more.
        retry = tab.button("Send back to Pending")
        tab.run(ticked, WidgetState(id=retry.id, trigger_value=True))
        apply = tab.applying()
        with configured(served), reading() as connection:
            before = queries.total(connection, INVOICES, Filters())
        with configured(served):
            revoke(Principal.command_line("tests"), "analyst", Role.ACCOUNTING_SYNC)
        tab.run(ticked, *apply)
        assert "lacks the role Accounting Sync" in tab.texts().replace("\\", "")
        assert not re.search(r"\d+ failed invoices", tab.texts())
    with configured(served), reading() as connection:
        assert queries.total(connection, INVOICES, Filters()) == before
        denied = connection.scalars(
            select(access_event.c.detail).where(access_event.c.kind == "denied")
        ).all()
    assert "change sync status" in denied


def open_page(name: str, who: Principal | None) -> AppTest:
    """Run one page's script as somebody, without a server."""
    page = AppTest.from_file(str(PAGES / f"{name}.py"), default_timeout=60)
    if who is not None:
        page.user["session"] = who.session_id
        page.user["login"] = who.login
    return page.run()


@on_sqlite
def test_a_page_alone_shows_nothing_without_a_session(world: World, database: Database) -> None:
    for name in ("overview", "invoices", "causes", "connections", "record"):
        for who in (None, Principal("no-such-session", "ada")):
            page = open_page(name, who)
            assert not page.subheader
            assert not page.dataframe
            assert not page.markdown


@on_sqlite
def test_a_job_that_writes_meanwhile_takes_the_tick_away(
    world: World, analyst: Principal, database: Database
) -> None:
    page = open_page("invoices", analyst)
    record = world.invoice["failed"]
    of = INVOICES.table.c
    with reading() as connection:
        version = connection.scalar(select(of.version).where(of.id == record))
    page.session_state["invoices_selection"] = {record: Ticked(version or 0, "USD", 1)}
    page.run()
    assert any("**1 selected**" in text.value for text in page.markdown)
    with writing() as connection:
        connection.execute(
            update(INVOICES.table)
            .where(of.id == record)
            .values(sync_status=2, sync_at=utc_now(), sync_error="again")
        )
    page.run()
    assert any("changed since you ticked it" in text.value for text in page.caption)
    assert page.session_state["invoices_selection"] == {}


@on_sqlite
def test_an_empty_database_says_how_to_go_on(database: Database, analyst: Principal) -> None:
    page = open_page("overview", analyst)
    assert "python -m synchist demo" in page.info[0].value
