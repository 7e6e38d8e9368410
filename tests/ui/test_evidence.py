"""What somebody found in the books: typed for one record, as a list for many."""

import io
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import Locator, expect

from synchist.currencies import money
from synchist.entities import BILLS, INVOICES
from tests.ui.desk import Desk
from tests.ui.stage import COMPLETE, FAILED, Stage, Staged, listing


@pytest.fixture
def stage(served: str) -> Stage:
    return Stage(served)


def close(desk: Desk, records: list[Staged]) -> Locator:
    """Open the dialog for these records, up to its reason; the dialog."""
    desk.open(listing(records))
    desk.click("Select all")
    desk.click("Update Sync Status")
    dialog = desk.dialog()
    dialog.get_by_role("radio", name="Complete").click()
    desk.settle()
    desk.choose("Reason", "Already in the accounting system")
    return dialog


def fill(desk: Desk, label: str, text: str, *, leave: bool = True) -> None:
    """Type into a field; unless it is left, the cursor stays in it."""
    field = desk.dialog().get_by_role("textbox", name=label)
    field.fill(text)
    if leave:
        field.press("Tab")
        desk.settle()


def unfold(desk: Desk) -> None:
    desk.dialog().get_by_text("References and amounts found in the books").click()
    desk.settle()


def held(stage: Stage, records: list[Staged]) -> list[tuple[str | None, int | None]]:
    """Reference and amount of each, as they are stored now."""
    rows = [stage.now(one) for one in records]
    return [(row.sync_reference, row.synced_amount) for row in rows]


def apply_button(desk: Desk) -> Locator:
    return desk.dialog().get_by_role("button", name="Apply to")


# ---------------------------------------------------------------- one record


def test_reference_and_amount_of_one_record_also_what_was_typed_last(
    analyst_desk: Desk, stage: Stage
) -> None:
    desk = analyst_desk
    records = stage.failed(INVOICES)
    close(desk, records)
    fill(desk, "Reference in the books", " QB-**4711** ")
    fill(desk, "Amount in the books", "1,234.50", leave=False)
    desk.apply()
    assert stage.statuses(records) == [COMPLETE]
    assert held(stage, records) == [("QB-**4711**", 123_450)]

    desk.open(listing(records, "Complete"))
    drawer = desk.open_record(0)
    currency = stage.now(records[0]).currency
    expect(drawer).to_contain_text("Failed to Complete (Already in the accounting system)")
    expect(drawer).to_contain_text("reference QB-**4711**")
    expect(drawer).to_contain_text(f"synced {money(123_450, currency)}")


def test_a_reference_typed_last_counts(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    records = stage.failed(INVOICES)
    close(desk, records)
    fill(desk, "Reference in the books", "QB-LAST", leave=False)
    desk.apply()
    assert held(stage, records) == [("QB-LAST", None)]


def test_an_amount_that_cannot_be_read_holds_everything_up(
    analyst_desk: Desk, stage: Stage
) -> None:
    desk = analyst_desk
    records = stage.failed(INVOICES)
    close(desk, records)
    fill(desk, "Reference in the books", "QB-1")
    for wrong in ("12,3x", "1.234,50", "1e5", "9" * 30, "-"):
        fill(desk, "Amount in the books", wrong)
        expect(desk.dialog()).to_contain_text(f"“{wrong}” is no amount")
        expect(apply_button(desk)).to_be_disabled()
    fill(desk, "Amount in the books", "12.50")
    expect(apply_button(desk)).to_be_enabled()
    # Typed last, and left by the click itself, which comes before anything could be said about it.
    fill(desk, "Amount in the books", "12.5O", leave=False)
    apply_button(desk).evaluate("button => { button.focus(); button.click() }")
    desk.settle()
    expect(desk.dialog()).to_contain_text("Look at what your last entry has changed here")
    expect(desk.dialog()).to_contain_text("“12.5O” is no amount")
    expect(apply_button(desk)).to_be_disabled()
    assert stage.statuses(records) == [FAILED]
    fill(desk, "Amount in the books", "12.50")
    desk.apply()
    assert held(stage, records) == [("QB-1", 1_250)]


def test_a_reference_that_is_taken_needs_a_tick(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    (record, other) = stage.failed(INVOICES, 2)
    its = stage.now(record)
    stage.write(other, party_id=its.party_id, connection_id=its.connection_id)
    stage.attempt(other, COMPLETE, sync_reference="QB-TAKEN", synced_amount=its.amount)
    close(desk, [record])
    fill(desk, "Reference in the books", "qb-taken", leave=False)
    apply_button(desk).click()  # before anybody can have seen that it is taken
    desk.settle()
    assert stage.statuses([record]) == [FAILED]
    expect(desk.dialog()).to_contain_text("1 with a reference that is taken.")
    why = desk.dialog().get_by_test_id("glide-cell-2-0").text_content()
    assert why == f"Invoice {other.number} holds qb-taken"
    expect(apply_button(desk)).to_have_text("Apply to 0 invoices")
    expect(apply_button(desk)).to_be_disabled()
    desk.tick_risk(0)
    expect(apply_button(desk)).to_have_text("Apply to 1 invoice")
    desk.apply(despite_risks=False)
    assert held(stage, [record]) == [("qb-taken", None)]


# ---------------------------------------------------------------- many records


def test_a_pasted_list_that_was_typed_last_counts(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    one, two, three = records = stage.failed(BILLS, 3)
    close(desk, records)
    unfold(desk)
    lines = f"Number\tAmount\tReference\n{two.number}\t20.00\tB-2\n{one.number.lower()}\t\tB-1"
    fill(desk, "Paste number", lines, leave=False)
    desk.apply()
    assert stage.statuses(records) == [COMPLETE] * 3
    assert held(stage, [one, two, three]) == [("B-1", None), ("B-2", 2_000), (None, None)]


def test_each_line_that_is_not_used_is_named(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    one, two, three = records = stage.failed(BILLS, 3)
    close(desk, records)
    unfold(desk)
    lines = [
        f"{one.number}, A-1, 10.00",
        f"{two.number}, A-2, ten",
        "NOT-MINE, A-3",
        f"{three.number}, A-4",
        f"{three.number}, A-5",
    ]
    fill(desk, "Paste number", "\n".join(lines))
    dialog = desk.dialog()
    for sentence in (
        "1 of 3 records found in the list",
        "Line 2: amount “ten” is no amount",
        "Line 3: none of the selected records has the number “NOT-MINE”.",
        f"Line 5: {three.number} stands in line 4 too; neither is used.",
    ):
        expect(dialog).to_contain_text(sentence)
    desk.apply()
    assert held(stage, records) == [("A-1", 1_000), (None, None), (None, None)]


def test_a_reference_given_twice_needs_a_tick(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    one, two = records = stage.failed(BILLS, 2)
    its = stage.now(one)
    stage.write(two, party_id=its.party_id, connection_id=its.connection_id)
    close(desk, records)
    unfold(desk)
    fill(desk, "Paste number", f"{one.number};SAME\n{two.number};SAME")
    expect(desk.dialog()).to_contain_text("2 with a reference that is taken.")
    expect(apply_button(desk)).to_have_text("Apply to 0 bills")
    desk.apply()
    assert held(stage, records) == [("SAME", None)] * 2


def as_xlsx(rows: list[list[object]]) -> bytes:
    book, content = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.worksheets[0].append(row)
    book.save(content)
    return content.getvalue()


def test_a_list_can_be_uploaded(analyst_desk: Desk, stage: Stage, tmp_path: Path) -> None:
    desk = analyst_desk
    one, two = records = stage.failed(INVOICES, 2)
    rows: list[list[object]] = [
        ["number", "reference", "amount"],
        [one.number, "UP-1", 0.3],
        [two.number, "UP-2", 1250],
    ]
    file = tmp_path / "found.xlsx"
    file.write_bytes(as_xlsx(rows))
    close(desk, records)
    unfold(desk)
    fill(desk, "Paste number", f"{one.number}, PASTED")
    desk.dialog().locator("input[type=file]").set_input_files(file)
    expect(desk.dialog()).to_contain_text("2 of 2 records found in the list")
    expect(desk.dialog()).to_contain_text("What is pasted is not used beside a file")
    desk.settle()
    desk.apply()
    assert held(stage, records) == [("UP-1", 30), ("UP-2", 125_000)]


def test_a_file_that_is_none_holds_everything_up(
    analyst_desk: Desk, stage: Stage, tmp_path: Path
) -> None:
    desk = analyst_desk
    records = stage.failed(INVOICES, 2)
    file = tmp_path / "found.xlsx"
    file.write_bytes(b"<script>alert(1)</script>")
    close(desk, records)
    unfold(desk)
    desk.dialog().locator("input[type=file]").set_input_files(file)
    expect(desk.dialog()).to_contain_text("No line of the list is used.")
    expect(desk.dialog()).to_contain_text("found.xlsx")
    expect(apply_button(desk)).to_be_disabled()
    desk.dialog().get_by_role("button", name="Remove").click()
    desk.settle()
    expect(apply_button(desk)).to_be_enabled()
    assert stage.statuses(records) == [FAILED] * 2
