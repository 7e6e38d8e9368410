"""What the dialog asks for before it changes anything."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.conftest import started
from tests.ui.desk import Desk


@pytest.fixture(scope="module")
def server(served: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that asks for the count above two records."""
    output = tmp_path_factory.mktemp("server") / "output.txt"
    with started(served, output, SYNCHIST_TYPED_CONFIRMATION_ABOVE="2") as address:
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
