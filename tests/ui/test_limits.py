"""More records than one change may touch."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from synchist.entities import BILLS
from tests.conftest import started
from tests.ui.desk import Desk
from tests.ui.stage import FAILED, Stage, listing

NAMED = 'Invalid reference to QuickBooks Customer "Limit Foods" in the Invoice'


@pytest.fixture(scope="module")
def server(served: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that changes two records at a time, at most."""
    output = tmp_path_factory.mktemp("server") / "output.txt"
    with started(served, output, SYNCHIST_MAX_RECORDS_PER_OPERATION="2") as address:
        yield address


def test_a_list_says_how_many_there_may_be(analyst_desk: Desk, served: str) -> None:
    desk, stage = analyst_desk, Stage(served)
    records = stage.failed(BILLS, 3)
    before = stage.operations
    desk.open(listing(records))
    desk.click("Select all")
    for opens in ("Send back to Pending", "Update Sync Status"):
        desk.click(opens)
        expect(desk.dialog()).to_contain_text("At most 2 records can be changed at a time.")
        assert desk.dialog().get_by_role("button", name="Apply").count() == 0
        desk.page.keyboard.press("Escape")
        desk.settle()
    assert stage.statuses(records) == [FAILED] * 3
    assert stage.operations == before


def test_a_cause_says_that_it_is_too_many(analyst_desk: Desk, served: str) -> None:
    desk, stage = analyst_desk, Stage(served)
    records = stage.failed(BILLS, 3, NAMED)
    its = stage.now(records[0])
    for one in records:
        stage.write(one, connection_id=its.connection_id)
        stage.attempt(one, FAILED, NAMED)
    desk.open_causes()
    desk.search("Limit Foods")
    assert "Too many for one change: open a list and narrow it." in desk.said
    assert desk.page.get_by_role("button", name="Fixed it").count() == 0
    desk.follow(desk.page.get_by_role("link", name="3 bills"), "3 failed bills")
    assert "More than 2 records match, so none is ticked." in desk.said
    assert desk.selected == 0
