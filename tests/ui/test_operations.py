"""What people have changed: receipts on the lists, the page of all operations, and undo."""

import re

import pytest
from playwright.sync_api import Locator, expect

from synchist.entities import BILLS, INVOICES
from synchist.status_changes import Change
from synchist.statuses import CloseReason
from synchist.ui.operations_page import PAGE
from tests.ui.desk import Desk
from tests.ui.protocol import Tab, sign_in
from tests.ui.stage import COMPLETE, FAILED, MISSING, PENDING, Stage, Staged, listing

CLOSE = Change(COMPLETE, CloseReason.RECONCILED)


@pytest.fixture
def stage(served: str) -> Stage:
    return Stage(served)


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def send_back(desk: Desk, records: list[Staged]) -> None:
    """Through the page, as the analyst."""
    desk.open(listing(records))
    desk.click("Select all")
    desk.click("Send back to Pending")
    desk.apply()


def cards(desk: Desk) -> Locator:
    """The operations on the page, newest first."""
    block = desk.page.get_by_test_id("stVerticalBlock")
    return block.filter(has_text=" by ").filter(has_not=block)


def table(place: Locator, alt: str) -> list[list[str]]:
    """The rows of a table."""
    rows = place.locator(f"table[aria-label='{alt}'] tbody tr, [aria-label='{alt}'] tbody tr")
    return [row.locator("td").all_inner_texts() for row in rows.all()]


# ---------------------------------------------------------------- receipts on the lists


def test_a_receipt_follows_its_records_without_a_reload(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    done, again, other, waits = records = stage.failed(INVOICES, 4)
    send_back(desk, records)
    assert "4 invoices moved to Pending" in flat(desk.said)
    assert "4 not attempted yet" in flat(desk.said)
    stage.attempt(done, COMPLETE, sync_reference="QB-1")
    stage.attempt(again, FAILED, MISSING)
    stage.attempt(other, FAILED, "Duplicate document number")
    desk.search(waits.number)
    said = flat(desk.said)
    for part in (
        "1 now Complete",
        "1 failed again for the same cause",
        "1 failed for another cause",
        "1 not attempted",
    ):
        assert part in said


def test_a_receipt_is_its_owners_until_it_is_put_away(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    records = stage.failed(INVOICES, 2)
    receipt = "2 invoices moved to Pending"
    send_back(desk, records)
    desk.page.reload()
    desk.settle()
    assert receipt in flat(desk.said)
    another = Desk(desk.page.context.new_page(), desk.address)
    another.open("/invoices")
    assert receipt in flat(another.said)
    another.open("/causes")
    assert receipt in flat(another.said)
    another.open("/bills")  # it was not about these
    assert "moved to" not in another.said
    desk.click("Put away")
    assert "moved to" not in desk.said
    desk.search("X")
    assert "moved to" not in desk.said


def test_nobody_else_sees_a_receipt_on_the_lists(analyst_desk: Desk, stage: Stage) -> None:
    send_back(analyst_desk, stage.failed(INVOICES, 3))
    token = sign_in(analyst_desk.address, "viewer")

    def said(page: str, query: str = "") -> str:
        with Tab(analyst_desk.address, page, token=token, query=query) as tab:
            tab.run()
            return tab.said()

    for page in ("invoices", "causes"):
        assert "moved to" not in said(page)
    assert "3 invoices moved to" in said("operations")
    mine = said("operations", "operations_whose=Mine")
    assert "You have not changed a sync status yet." in mine
    assert "moved to" not in mine


def test_a_receipt_leads_to_its_details(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    send_back(desk, stage.failed(BILLS, 2))
    desk.page.get_by_role("link", name="Receipt and undo").click()
    expect(desk.page.get_by_role("heading").first).to_contain_text("Operations")
    desk.settle()
    assert desk.page.url.endswith(f"/operations?id={stage.latest.id}")
    expect(desk.page.get_by_text("2 changed records")).to_be_visible()


# ---------------------------------------------------------------- the page


def test_mine_and_everybodys_newest_first_on_pages(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    mine, *others = stage.failed(BILLS, PAGE + 2)
    send_back(desk, [mine])
    for number, one in enumerate(others):
        stage.change([one], Change(PENDING, note=f"the {number}th of many"))
    desk.open("/operations")
    assert cards(desk).count() == PAGE
    expect(cards(desk).first).to_contain_text(f"the {PAGE}th of many")
    expect(cards(desk).first).to_contain_text("by cli:Olga Operator")
    expect(cards(desk).last).to_contain_text("the 1th of many")
    desk.click("Next page")
    expect(cards(desk).first).to_contain_text("the 0th of many")
    assert "operations_page=2" in desk.page.url
    desk.page.reload()
    desk.settle()
    expect(cards(desk).first).to_contain_text("the 0th of many")
    desk.status("Mine")  # another list begins at its first page
    assert "operations_whose=Mine" in desk.page.url
    assert "operations_page" not in desk.page.url
    expect(cards(desk).first).to_contain_text("1 bill moved to")
    assert "Olga Operator" not in desk.said


def test_a_page_that_is_not_there_is_the_last_one(server: str, stage: Stage) -> None:
    stage.change(stage.failed(BILLS), CLOSE)
    token = sign_in(server, "analyst")
    for number in ("99999", "-1", "0", "x", "9" * 30):
        query = f"operations_page={number}"
        with Tab(server, "operations", token=token, query=query) as tab:
            tab.run()
            assert " moved to " in tab.said(), number


def test_details_say_what_became_of_each_record(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    records = done, again, waits = stage.failed(INVOICES, 3)
    (bill,) = stage.failed(BILLS)
    identity = stage.change([*records, bill], Change(PENDING, note="all **four**", fixed=True))
    stage.attempt(done, COMPLETE, sync_reference="QB-1")
    stage.attempt(again, FAILED, MISSING)
    desk.open_causes()  # so that the new failure is diagnosed
    desk.open(f"/operations?id={identity}")
    assert "3 invoices and 1 bill moved to Pending after a fix" in flat(desk.said)
    assert "“all **four**”" in desk.said
    rows = {
        row[0]: row[3:]
        for row in table(desk.page.locator("body"), "Records that the operation changed")
    }
    assert rows == {
        f"invoice {done.number}": ["Failed", "Complete", "now Complete"],
        f"invoice {again.number}": ["Failed", "Failed", "failed again for the same cause"],
        f"invoice {waits.number}": ["Failed", "Pending", "nothing yet"],
        f"bill {bill.number}": ["Failed", "Pending", "nothing yet"],
    }
    link = desk.page.get_by_role("link", name=bill.number)
    assert (link.get_attribute("href") or "").endswith(f"/record?entity=bills&id={bill.id}")


def test_the_address_is_that_of_what_is_shown(analyst_desk: Desk, stage: Stage) -> None:
    """Links of the page to itself, which a browser's address does not follow by itself."""
    desk = analyst_desk
    identity = stage.change(stage.failed(BILLS, 2), CLOSE)
    desk.open("/operations")
    cards(desk).first.get_by_role("link", name="Details").click()
    expect(desk.page.get_by_text("2 changed records")).to_be_visible()
    desk.settle()
    assert desk.page.url.endswith(f"/operations?id={identity}")
    desk.click("Undo")  # a click runs the page again, from its address
    desk.page.keyboard.press("Escape")
    desk.settle()
    expect(desk.page.get_by_text("2 changed records")).to_be_visible()
    desk.page.get_by_role("link", name="All operations").click()
    expect(desk.page.get_by_text("2 changed records")).to_have_count(0)
    desk.settle()
    assert desk.page.url.endswith("/operations")
    desk.status("Mine")
    assert "All operations" not in desk.said


def test_an_address_of_no_operation_is_one_sentence(analyst_desk: Desk) -> None:
    desk = analyst_desk
    sentence = "There is no such change. Open Operations to see them all."
    token = sign_in(desk.address, "analyst")
    for identity in ("x", "%00", "'%3B--", "%3Cb%3Ex", "9" * 5_000):
        with Tab(desk.address, "operations", token=token, query=f"id={identity}") as tab:
            tab.run()
            assert tab.said().count(sentence) == 1, identity
            assert "Traceback" not in tab.said()
    desk.open("/operations?id=00000000-0000-0000-0000-000000000000")
    assert desk.said.count(sentence) == 1
    desk.page.get_by_role("link", name="All operations").click()
    expect(desk.page.get_by_text("Mine", exact=True)).to_be_visible()


# ---------------------------------------------------------------- undo


def undo(desk: Desk) -> Locator:
    """Open the dialog of the operation on top."""
    cards(desk).first.get_by_role("button", name="Undo").click()
    desk.settle()
    return desk.dialog()


def take_back(desk: Desk) -> None:
    desk.page.get_by_role("button", name="Take back").click()
    expect(desk.page.get_by_role("dialog")).to_have_count(0)
    desk.settle()


def test_an_undo_leaves_alone_what_was_touched_and_can_be_undone(
    analyst_desk: Desk, stage: Stage
) -> None:
    desk = analyst_desk
    records = one, two, tried, moved = stage.failed(INVOICES, 4)
    stage.change(records, Change(PENDING))
    stage.attempt(tried, COMPLETE, sync_reference="QB-9")
    stage.change([moved], CLOSE, who="Carla Colleague")
    before = stage.operations
    desk.open("/operations")
    expect(cards(desk).nth(1)).to_contain_text("4 invoices moved to")
    cards(desk).nth(1).get_by_role("button", name="Undo").click()
    desk.settle()
    dialog = desk.dialog()
    assert sorted(table(dialog, "Records that the change left untouched")) == sorted(
        [
            [f"invoice {tried.number}", "tried by a sync job meanwhile, left untouched"],
            [f"invoice {moved.number}", "changed by cli:Carla Colleague meanwhile, left untouched"],
        ]
    )
    expect(dialog.get_by_role("button", name="Take back 2 records")).to_be_enabled()
    take_back(desk)
    assert stage.statuses(records) == [FAILED, FAILED, COMPLETE, COMPLETE]
    assert stage.operations == before + 1
    assert sorted(stage.items(stage.latest.id).values()) == ["applied"] * 2 + ["conflicted"] * 2

    expect(cards(desk).first).to_contain_text("2 invoices taken back")
    assert cards(desk).nth(2).get_by_role("button", name="Undo").count() == 0
    undo(desk)
    take_back(desk)  # the undo itself
    assert stage.statuses([one, two]) == [PENDING, PENDING]
    expect(cards(desk).first).to_contain_text("2 invoices taken back")
    cards(desk).first.get_by_role("link", name="Details").click()
    desk.settle()
    expect(desk.page.get_by_role("link", name="The change taken back")).to_be_visible()


def test_an_undo_to_pending_goes_through_the_gate(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    plain, held = records = stage.failed(BILLS, 2)
    stage.change(records, Change(PENDING))
    stage.attempt(held, PENDING, sync_reference="QB-HELD")  # throttled, after it was written
    stage.change(records, CLOSE)
    desk.open("/operations")
    dialog = undo(desk)
    expect(dialog).to_contain_text("1 may already be in the books.")
    expect(dialog.get_by_role("button", name="Take back")).to_have_text("Take back 1 record")
    take_back(desk)
    assert stage.statuses(records) == [PENDING, COMPLETE]
    assert stage.items(stage.latest.id) == {
        ("bill", plain.id): "applied",
        ("bill", held.id): "risky",
    }


def test_evidence_is_taken_back_with_the_closing(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    (record,) = stage.failed(BILLS)
    desk.open(listing([record]))
    desk.tick(0)
    desk.click("Update Sync Status")
    desk.dialog().get_by_role("radio", name="Complete").click()
    desk.settle()
    desk.choose("Reason", "Reconciled manually")
    desk.dialog().get_by_role("textbox", name="Reference in the books").fill("R-1")
    desk.apply()
    assert stage.now(record).sync_reference == "R-1"
    desk.open("/operations")
    undo(desk)
    take_back(desk)
    its = stage.now(record)
    assert (its.sync_status, its.sync_reference, its.closed_reason) == (int(FAILED), None, None)


def test_what_cannot_be_taken_back_offers_no_undo(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    (record,) = stage.failed(BILLS)
    stage.change([record], Change(PENDING, note="overtaken"))
    stage.attempt(record, COMPLETE, sync_reference="QB-2")
    desk.open("/operations")
    card = cards(desk).first
    expect(card).to_contain_text("overtaken")
    expect(card).to_contain_text("1 now Complete")
    assert card.get_by_role("button", name="Undo").count() == 0


def test_a_record_touched_while_the_dialog_is_open_stays(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    records = stage.failed(BILLS, 2)
    stage.change(records, Change(PENDING))
    desk.open("/operations")
    undo(desk)
    stage.attempt(records[1], COMPLETE, sync_reference="QB-3")
    take_back(desk)
    assert stage.statuses(records) == [FAILED, COMPLETE]
    expect(cards(desk).first).to_contain_text("1 bill taken back")
    expect(cards(desk).first).to_contain_text("1 changed by someone else meanwhile, left untouched")
