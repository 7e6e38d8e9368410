"""A report of the books is dropped on the page: read, compared, accepted, exported, found again."""

import csv
import io
import re
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from synchist.currencies import to_decimal
from synchist.db.engine import reading
from synchist.db.tables import connection, organization
from synchist.entities import INVOICES
from synchist.filters import today
from tests.conftest import configured
from tests.ui.desk import Desk
from tests.ui.stage import COMPLETE, FAILED, PENDING, Stage, Staged, page_of

DAY = (today() - timedelta(days=900)).replace(day=14)
"""A day in a month in which nothing else of the demo has happened."""


@pytest.fixture
def stage(served: str) -> Stage:
    return Stage(served)


def booked(stage: Stage, count: int) -> list[Staged]:
    """Failures of one connection, all of them of the same far day."""
    with configured(stage.url), reading() as database:
        link = database.scalar(select(connection.c.id).order_by(connection.c.id))
    records = stage.failed(INVOICES, count)
    for record in records:
        stage.write(record, connection_id=link, accounting_date=DAY, currency="USD")
    return records


def report(stage: Stage, records: Sequence[Staged], folder: Path, **numbers: str) -> Path:
    """What QuickBooks would export of them; a number may be another one there."""
    lines = []
    for record in records:
        now = stage.now(record)
        with configured(stage.url), reading() as database:
            party = database.scalar(
                select(organization.c.name).where(organization.c.id == now.party_id)
            )
        amount = to_decimal(now.amount, "USD")
        number = numbers.get(record.number.replace("-", "_"), record.number)
        lines.append([f"{DAY:%m/%d/%Y}", "Invoice", number, party, f"{amount:,.2f}"])
    total = sum(Decimal(line[-1].replace(",", "")) for line in lines)
    text = io.StringIO()
    csv.writer(text).writerows(
        [
            *(["Invoice List by Date"], ["Corvane Freight"]),
            [f"{DAY:%B} 1-28, {DAY.year}"],
            *([], ["Date", "Transaction type", "Num", "Name", "Amount"]),
            *lines,
            ["TOTAL", "", "", "", f"${total:,.2f}"],
        ]
    )
    path = folder / "september **books**.csv"
    path.write_text(text.getvalue())
    return path


def upload(desk: Desk, path: Path) -> None:
    desk.page.locator("input[type=file]").set_input_files(path)
    expect(
        desk.page.get_by_text(re.compile("rows? read =|Row of the headings")).first
    ).to_be_visible(timeout=30_000)
    desk.settle()


def compare(desk: Desk) -> None:
    desk.page.get_by_role("button", name="Compare", exact=True).click()
    desk.page.wait_for_url("**id=**")
    desk.settle()


def bucket(desk: Desk, name: str) -> int:
    """Open a list; how many lines it says it has."""
    radio = desk.page.get_by_role("radio", name=name)
    radio.click()
    desk.settle()
    return int(radio.inner_text().split()[-1].replace(",", ""))


def test_from_the_file_to_accepted_records(
    analyst_desk: Desk, stage: Stage, tmp_path: Path
) -> None:
    desk = analyst_desk
    same, suggested, missing = booked(stage, 3)
    stage.attempt(missing, COMPLETE, sync_reference="QB-77")
    path = report(stage, [same, suggested], tmp_path, **{suggested.number.replace("-", "_"): ""})
    desk.open("/reconcile")
    upload(desk, path)
    assert "8 rows read = 2 used + 6 left out" in desk.said
    assert "is the sum of what was read" in desk.said
    assert desk.page.get_by_role("radio", name="All of a period").is_checked()
    compare(desk)
    assert "september **books**.csv · Invoices" in desk.said  # as text, not as Markdown

    # What has the same number and amount is accepted.
    assert bucket(desk, "Status differs") == 1
    desk.click("Select all")
    assert "1 selected" in desk.said
    desk.click("Accept")
    dialog = desk.dialog()
    expect(dialog).to_contain_text("1 invoice")
    dialog.get_by_label("Note").fill("month end")
    dialog.get_by_label("Note").press("Tab")
    desk.settle()
    dialog.get_by_role("button", name="Accept 1 invoice").click()
    expect(desk.page.get_by_role("dialog")).to_have_count(0)
    desk.settle()
    assert stage.statuses([same, suggested, missing]) == [COMPLETE, FAILED, COMPLETE]
    now = stage.now(same)
    assert (now.sync_reference, now.synced_amount) == (same.number, now.amount)
    assert "1 invoice moved to" in re.sub(r"\s+", " ", desk.said)
    assert desk.cell(desk.column("Status then"), 0) == "Failed"
    assert desk.cell(desk.column("Status now"), 0) == "Complete"

    # A number opens its record.
    expect(desk.open_record(0)).to_contain_text(same.number)
    desk.page.keyboard.press("Escape")
    desk.settle()

    # What has no number is confirmed first.
    assert bucket(desk, "Not certain") == 1
    desk.tick(0)
    desk.click("Confirm")
    assert bucket(desk, "Status differs") == 2
    assert desk.page.get_by_role("radio", name="Not certain").count() == 0

    # What is Complete here and not there goes back, through the gate for duplicates.
    assert bucket(desk, "Not in the books") == 1
    desk.tick(0)
    desk.click("Send back to Pending")
    expect(desk.dialog()).to_contain_text("The books gave it the reference QB-77")
    expect(desk.dialog().get_by_role("button", name="Apply to")).to_be_disabled()
    desk.apply()
    assert stage.statuses([missing]) == [PENDING]
    assert "Nothing selected" in desk.said

    # It is there again tomorrow, and leaves as a file.
    link = desk.page.get_by_role("link", name="Export to Excel")
    reply = desk.page.context.request.get(desk.address + (link.get_attribute("href") or ""))
    assert reply.status == 200
    book = openpyxl.load_workbook(io.BytesIO(reply.body()))
    assert book.sheetnames == ["Status differs", "Not in the books", "About"]
    desk.open("/reconcile")
    assert desk.cell(0, 0) == "september **books**.csv"
    desk.tick(0)
    desk.page.wait_for_url("**id=**")
    desk.settle()
    assert bucket(desk, "Status differs") == 2
    desk.open("/reconcile")  # the same without a mouse
    desk.page.get_by_label("Open a comparison").focus()
    for key in ("ArrowDown", "Enter"):
        desk.page.keyboard.press(key)
        desk.settle()
    desk.page.wait_for_url("**id=**")
    desk.open(page_of(same))
    said = f"in the books on {DAY.day} {DAY:%b %Y} as {same.number}"
    assert said in re.sub(r"\s+", " ", desk.said)


def test_a_file_that_nobody_can_read_is_asked_about_once(
    analyst_desk: Desk, stage: Stage, tmp_path: Path
) -> None:
    desk = analyst_desk
    (record,) = booked(stage, 1)
    amount = to_decimal(stage.now(record).amount, "USD")
    path = tmp_path / "fremd.csv"
    path.write_text(f"Wann,Beleg,Wieviel\n{DAY:%d.%m.%Y},{record.number},{amount}\n")
    desk.open("/reconcile")
    upload(desk, path)
    assert "Row of the headings" in desk.said
    assert desk.page.get_by_role("button", name="Compare", exact=True).count() == 0
    desk.choose("Number", "B · Beleg")
    desk.choose("Each row is", "Invoice")
    desk.click("Read it like this")
    expect(desk.page.get_by_text("2 rows read = 1 used + 1 left out")).to_be_visible()

    again = tmp_path / "fremd 2.csv"
    again.write_text(path.read_text())
    desk.open("/reconcile")
    upload(desk, again)
    assert "2 rows read = 1 used + 1 left out" in desk.said
    assert "of files with these headings" in desk.said


def test_dates_that_could_be_read_in_two_ways_are_asked_about(
    analyst_desk: Desk, tmp_path: Path
) -> None:
    desk = analyst_desk
    path = tmp_path / "either.csv"
    path.write_text("Date,Number,Customer,Amount\n03/04/2024,X-1,Nobody,10.00\n")
    desk.open("/reconcile")
    upload(desk, path)
    assert "could be day/month or month/day" in desk.said
    assert desk.page.get_by_role("button", name="Compare", exact=True).count() == 0
    desk.choose("Dates", "Day first, 31/12/2026")
    desk.click("Read it like this")
    assert desk.page.get_by_role("button", name="Compare", exact=True).count() == 1
    assert "could be day/month" not in desk.said


def test_a_file_of_something_else_is_refused_in_a_sentence(
    analyst_desk: Desk, tmp_path: Path
) -> None:
    desk = analyst_desk
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\x89PNG\x00\x00" * 50)
    desk.open("/reconcile")
    desk.page.locator("input[type=file]").set_input_files(path)
    expect(desk.page.get_by_test_id("stAlert")).to_be_visible(timeout=30_000)
    assert "Something went wrong" not in desk.said
    assert desk.page.get_by_role("button", name="Compare", exact=True).count() == 0
    desk.open("/reconcile?id=nothing")
    assert "There is no such reconciliation" in desk.said
