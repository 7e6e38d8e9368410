"""Widget state that no browser would send: what counts is looked up, not what a client claims."""

import re
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import select, update
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from synchist import hints, queries
from synchist.accounts import Principal, revoke
from synchist.db.engine import reading, writing
from synchist.db.tables import (
    access_event,
    auth_session,
    daily_open,
    daily_open_day,
    seal,
    sign_in_attempt,
    triage,
    triage_event,
)
from synchist.db.types import utc_now
from synchist.entities import BILLS, INVOICES
from synchist.filters import Filters
from synchist.queries import Ticked
from synchist.roles import Role
from synchist.triage import Edit, Person, Told, assign, told
from synchist.ui import owners
from synchist.ui.selection import folded
from tests.changes import everything
from tests.conftest import Database, configured, sign_in
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


TEAM = [Person("ada", "Ada", may_own=True), Person("dana", "Dana", may_own=False)]
TOLD = ROWS.assign(
    told=[2, 0], owner=pd.Series(["Dana", None], index=ROWS.index, dtype=object), note=["Hers", ""]
)
FORGED_TYPES: list[object] = [1, 1.5, True, ["Ada"], {"Ada": "Ada"}]


@pytest.mark.parametrize(
    "edit",
    [
        *({str(position): {"note": "x", "owner": "Ada"}} for position in (2, -1, 10**9)),
        *({"0": {"owner": value}} for value in (*FORGED_TYPES, "ada", "Nobody Known", "")),
        *({"0": {"note": value}} for value in FORGED_TYPES),
        {"0": {"owner": "Nobody Known", "note": "With an owner that there is not"}},
        {"0": {"number": "FORGED", "version": 9, "told": 9, "amount": 1.0, "Select": True}},
        {"0": {"owner": "Dana", "note": " Hers "}},  # as it is
        {"0": None, "1": "note"},
    ],
)
def test_an_edit_that_the_grid_never_offered_says_nothing(edit: dict[str, object]) -> None:
    assert owners.asked(edit, TOLD, {}, TEAM) == {}


def test_edits_are_of_the_record_and_version_that_was_seen() -> None:
    """They pile up while a grid stands: what was stored through it is not asked for again."""
    edits: dict[str, dict[str, object]] = {"0": {"owner": "Ada"}, "1": {"note": "New"}}
    assert owners.asked(edits, TOLD, {}, TEAM) == {
        70: Edit(2, "ada", "Hers"),
        50: Edit(0, None, "New"),
    }
    held = {70: Told(3, "Ada", "ada", "Hers"), 50: Told(1, None, None, "New")}
    assert owners.asked(edits, TOLD, held, TEAM) == {}
    edits = {"0": {"owner": None, "note": None}, "1": {"note": "Newer"}}
    assert owners.asked(edits, TOLD, held, TEAM) == {
        70: Edit(3, None, ""),
        50: Edit(1, None, "Newer"),
    }


def test_a_forged_edit_stores_nothing(server: str, served: str) -> None:
    """But for owner and note, whole tables are what they were."""
    # What sign-ins and the server write by themselves.
    apart = (auth_session, access_event, sign_in_attempt, seal, daily_open, daily_open_day)
    said = (triage, triage_event)
    with configured(served):
        before = everything(*apart)
    moment = "invoices_as_of=2026-11-01T12:00:00Z"
    for query, edited_rows in (
        ("", {"0": {"amount": 1.0, "sync_status": "Complete", "sync_error": "", "told": 9}}),
        ("", {"1": {"number": "FORGED", "tms_status": "Voided", "version": 9, "id": 5}}),
        ("", {"999999": {"note": "x"}, "-1": {"note": "x"}}),
        ("", {str(row): {"note": value} for row, value in enumerate(FORGED_TYPES)}),
        ("", {str(row): {"owner": value} for row, value in enumerate(FORGED_TYPES)}),
        ("", {"0": {"owner": "analyst"}, "1": {"owner": "Vera Visitor"}}),
        ("", {"0": {"note": "x" * 201}}),
        ("", {"0": {"note": "two\nlines"}}),
        (moment, {"0": {"note": "x"}, "1": {"owner": None}}),
    ):
        with Tab(server, "invoices", "analyst", query=query) as tab:
            tab.run()
            tab.run(edits(tab.grid(), edited_rows))
        with configured(served):
            assert everything(*apart) == before, edited_rows
    with Tab(server, "invoices", "analyst") as tab:
        tab.run()
        tab.run(edits(tab.grid(), {"0": {"note": "Real", "amount": 1.0, "number": "FORGED"}}))
    with configured(served):
        assert everything(*apart, *said) == {
            name: rows for name, rows in before.items() if name not in {"triage", "triage_event"}
        }
        with reading() as connection:
            assert connection.scalars(select(triage.c.note)).all() == ["Real"]


def test_a_conflict_is_said_and_the_grid_shows_what_is_stored(server: str, served: str) -> None:
    """What was typed is not stored later either, since the grid is another one then."""
    with Tab(server, "bills", "analyst") as tab:
        tab.run()
        grid = tab.grid()
        tab.run(edits(grid, {"0": {"note": "First"}}))
        with configured(served):
            with reading() as connection:
                record = connection.scalar(
                    select(triage.c.record_id).where(triage.c.note == "First")
                )
            other = {record or 0: Edit(1, "controller", "Second")}
            assign(Principal.command_line("olga"), BILLS, other)
        typed = edits(grid, {"0": {"note": "Third"}})
        tab.run(typed)
        assert re.search(r"was changed meanwhile by cli:olga: owner .*, note “Second”", tab.said())
        assert tab.grid().id != grid.id
        tab.run(typed)
        grid = tab.grid()
        tab.run(edits(grid, {"0": {"note": "x" * 201}}))
        assert "one line of at most 200" in tab.said()
        assert tab.grid().id != grid.id
    with configured(served), reading() as connection:
        assert told(connection, BILLS, [record or 0])[record or 0].note == "Second"


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


# ---------------------------------------------------------------- hints of the team


def press(page: AppTest, label: str) -> AppTest:
    return next(one for one in page.button if one.label.startswith(label)).click().run()


@on_sqlite
def test_a_hint_is_refused_once_the_role_is_gone(world: World, database: Database) -> None:
    eve = sign_in("eve", Role.ACCOUNTING_SYNC, Role.HINTS)
    page = press(open_page("causes", eve), "Write a hint")
    page.text_area[0].set_value("Ask Eve")
    revoke(Principal.command_line("tests"), "eve", Role.HINTS)
    press(page, "Save hint")
    assert [one.value for one in page.error] == [
        "Your account lacks the role Hints\\. Ask an administrator for it\\."
    ]
    assert not page.text_area
    with reading() as connection:
        assert hints.load(connection).newest == {}


@on_sqlite
def test_only_holders_of_the_role_are_offered_to_write(
    world: World, analyst: Principal, database: Database
) -> None:
    eve = sign_in("eve", Role.ACCOUNTING_SYNC, Role.HINTS)
    page = press(open_page("causes", eve), "Write a hint")
    page.text_area[0].set_value("Ask Eve")
    press(page, "Save hint")
    assert "Ask Eve" in {one.value for one in page.text}

    others = open_page("causes", analyst)
    assert "Ask Eve" in {one.value for one in others.text}
    assert not {one.label for one in others.button if re.match("Change|Write", one.label)}

    press(press(page, "Change"), "Take away")
    assert not page.text
    assert not page.text_area
    assert [one.label for one in page.expander if one.label.startswith("Earlier")]


@on_sqlite
def test_what_another_has_written_while_the_form_was_open_is_not_overlooked(
    world: World, database: Database
) -> None:
    eve = sign_in("eve", Role.ACCOUNTING_SYNC, Role.HINTS)
    page = press(open_page("causes", eve), "Write a hint for “Bluebird Foods”")
    name = hints.Subject(named="Bluebird Foods")
    hints.write(Principal.command_line("olga"), name, "Ask Olga", 0)
    page.run()  # as any click beside the form does
    page.text_area[0].set_value("Ask Eve")
    press(page, "Save hint")
    assert ["Ask Olga" in one.value for one in page.error] == [True]
    page.text_area[0].set_value("Ask Eve or Olga")
    press(page, "Save hint")
    assert not page.error
    with reading() as connection:
        assert [one.text for one in hints.history(connection, name)] == [
            "Ask Eve or Olga",
            "Ask Olga",
        ]
