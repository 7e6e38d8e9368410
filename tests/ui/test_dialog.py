"""What the dialog asks for before it changes anything."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from synchist.entities import BILLS
from tests.conftest import started
from tests.ui.desk import Desk
from tests.ui.stage import FAILED, Stage, listing


@pytest.fixture(scope="module")
def server(served: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for the count above two records, and changes three at a time, at most."""
    output = tmp_path_factory.mktemp("server") / "output.txt"
    limits = {
        "SYNCHIST_TYPED_CONFIRMATION_ABOVE": "2",
        "SYNCHIST_MAX_RECORDS_PER_OPERATION": "3",
    }
    with started(served, output, **limits) as address:
        yield address


def test_many_records_are_confirmed_by_typing_how_many(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    before = desk.matching
    for row in range(3):
        desk.tick(row)
    desk.click("Send back to Pending")
    apply = desk.dialog().get_by_role("button", name="Apply to 3 invoices")
    expect(apply).to_be_disabled()
    for typed in ("2", "33", "three"):
        question = desk.dialog().get_by_label("Type 3 to confirm")
        question.fill(typed)
        question.press("Tab")
        desk.settle()
        expect(apply).to_be_disabled()
    question.fill("3")
    question.press("Tab")
    desk.settle()
    expect(apply).to_be_enabled()
    desk.apply()
    assert desk.matching == before - 3


def test_few_records_are_changed_with_three_clicks(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/bills?bills_range=All+dates")
    before = desk.matching
    desk.tick(0)
    desk.click("Send back to Pending")
    assert desk.dialog().get_by_label("Type ").count() == 0
    desk.apply()
    assert desk.matching == before - 1


def test_a_dialog_that_is_closed_changes_nothing(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/bills?bills_range=All+dates")
    before = desk.matching
    desk.tick(0)
    desk.click("Update Sync Status")
    desk.dialog().get_by_role("radio", name="Pending").click()
    desk.settle()
    desk.page.keyboard.press("Escape")
    desk.settle()
    assert desk.selected == 1
    desk.page.reload()
    desk.settle()
    assert desk.matching == before


# ---------------------------------------------------------------- more than one change may touch

NAMED = 'Invalid reference to QuickBooks Customer "Limit Foods" in the Invoice'


def test_a_list_says_how_many_there_may_be(analyst_desk: Desk, served: str) -> None:
    desk, stage = analyst_desk, Stage(served)
    records = stage.failed(BILLS, 4)
    before = stage.operations
    desk.open(listing(records))
    desk.click("Select all")
    for opens in ("Send back to Pending", "Update Sync Status"):
        desk.click(opens)
        expect(desk.dialog()).to_contain_text("At most 3 records can be changed at a time.")
        assert desk.dialog().get_by_role("button", name="Apply").count() == 0
        desk.page.keyboard.press("Escape")
        desk.settle()
    assert stage.statuses(records) == [FAILED] * 4
    assert stage.operations == before


def test_a_cause_says_that_it_is_too_many(analyst_desk: Desk, served: str) -> None:
    desk, stage = analyst_desk, Stage(served)
    records = stage.failed(BILLS, 4, NAMED)
    its = stage.now(records[0])
    for one in records:
        stage.write(one, connection_id=its.connection_id)
        stage.attempt(one, FAILED, NAMED)
    desk.open_causes()
    desk.search("Limit Foods")
    assert "Too many for one change: open a list and narrow it." in desk.said
    assert desk.page.get_by_role("button", name="Fixed it").count() == 0
    desk.follow(desk.page.get_by_role("link", name="4 bills"), "4 failed bills")
    assert "More than 3 records match, so none is ticked." in desk.said
    assert desk.selected == 0
