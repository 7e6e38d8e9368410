"""One record, in its drawer and on its own page: what can be done, and what is in the way."""

import io
import re

import openpyxl
import pytest
from playwright.sync_api import expect
from sqlalchemy import select

from synchist.currencies import money
from synchist.db.engine import reading
from synchist.db.tables import charge_line
from synchist.entities import BILL_PAYMENTS, BILLS, INVOICE_PAYMENTS, INVOICES
from synchist.status_changes import Change
from synchist.statuses import CloseReason
from tests.conftest import configured
from tests.ui.desk import Desk
from tests.ui.stage import (
    COMPLETE,
    FAILED,
    MISSING,
    PENDING,
    UNSURE,
    Stage,
    Staged,
    listing,
    page_of,
)


@pytest.fixture
def stage(served: str) -> Stage:
    return Stage(served)


def flat(text: str) -> str:
    return re.sub(r"\s+", " ", text)


# ---------------------------------------------------------------- doing something about it


def test_the_dialog_follows_the_drawer(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    (record,) = stage.failed(BILLS, error=UNSURE)
    desk.open(listing([record]))
    drawer = desk.open_record(0)
    drawer.get_by_role("button", name="Send back to Pending").click()
    expect(desk.page.get_by_role("dialog", name="Send back to Pending")).to_be_visible()
    desk.settle()
    expect(desk.page.get_by_role("dialog")).to_have_count(1)
    expect(desk.dialog()).to_contain_text("1 may already be in the books.")
    desk.apply()
    assert stage.statuses([record]) == [PENDING]
    assert stage.latest.filters == f"bill {record.number}"
    assert "1 bill moved to Pending" in flat(desk.said)
    desk.search(record.number)  # nothing opens again by itself
    assert desk.page.get_by_role("dialog").count() == 0


def test_a_record_is_closed_on_its_own_page(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    (record,) = stage.failed(INVOICES)
    desk.open(page_of(record))
    desk.click("Update Sync Status")
    desk.dialog().get_by_role("radio", name="Complete").click()
    desk.settle()
    desk.choose("Reason", "Reconciled manually")
    desk.dialog().get_by_role("textbox", name="Reference in the books").fill("QB-OWN")
    desk.apply()
    assert stage.statuses([record]) == [COMPLETE]
    said = flat(desk.said)
    assert "1 invoice moved to Complete (Reconciled manually)" in said
    assert "closed by a person: Reconciled manually" in said
    assert "reference QB-OWN" in said


@pytest.mark.parametrize("drawer", [False, True], ids=["page", "drawer"])
def test_what_a_job_did_meanwhile_is_a_conflict(
    analyst_desk: Desk, stage: Stage, drawer: bool
) -> None:
    """What was on the screen at the click counts, and not what the click has loaded since."""
    desk = analyst_desk
    (record,) = stage.failed(INVOICES)
    if drawer:
        desk.open(listing([record]))
        desk.open_record(0)
    else:
        desk.open(page_of(record))
    stage.attempt(record, COMPLETE, sync_reference="QB-JOB")
    place = desk.dialog() if drawer else desk.page.get_by_test_id("stMain")
    place.get_by_role("button", name="Send back to Pending").click()
    expect(desk.page.get_by_role("dialog", name="Send back to Pending")).to_be_visible()
    desk.settle()
    desk.apply()
    assert stage.statuses([record]) == [COMPLETE]
    assert "tried by a sync job meanwhile, left untouched" in desk.said


# ---------------------------------------------------------------- what is in the way


def test_a_payment_leads_to_what_holds_it_up_and_back(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    (payment,) = stage.failed(INVOICE_PAYMENTS)
    parents = stage.linked(payment)
    for one in parents:
        stage.attempt(one, FAILED, MISSING, sync_reference=None)
    desk.open(page_of(payment))
    for one in parents:
        assert f"Fix invoice {one.number} first (Failed): it unblocks" in flat(desk.said)
    link = desk.page.get_by_role("link", name=parents[0].number).first
    address = link.get_attribute("href") or ""
    assert address.endswith(page_of(parents[0]))
    desk.open(page_of(parents[0]))
    its = stage.now(payment)
    assert f"Holds up 1 invoice payment, {money(its.amount, its.currency)}, until" in flat(
        desk.said
    )
    for one in parents:
        stage.attempt(one, COMPLETE, sync_reference="QB-1")
    desk.open(page_of(payment))
    assert "first (" not in desk.said
    desk.open(page_of(parents[0]))
    assert "Holds up" not in desk.said


def test_a_difference_stands_on_its_charge(analyst_desk: Desk, stage: Stage, served: str) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_status=Complete&invoices_range=All+dates&invoices_differs=true")
    number = desk.cell(1, 0)
    of, line = INVOICES.table.c, charge_line.c
    with configured(served), reading() as connection:
        record, currency = connection.execute(
            select(of.id, of.currency).where(of.number == number)
        ).one()
        charges = connection.execute(
            select(line.description, line.amount).where(line.invoice_id == record)
        ).all()
    desk.open(page_of(Staged(INVOICES, record, number)))
    table = desk.page.locator("[aria-label='Charges'] tbody tr")
    rows = [row.locator("td").all_inner_texts() for row in table.all()]
    assert [row[:2] for row in rows[:-1]] == [
        [name, money(amount, currency)] for name, amount in charges
    ]
    assert rows[-1][0] == "Total of the charges"
    lacking = stage.now(Staged(INVOICES, record, number))
    assert rows[-1][3] == money(lacking.amount - lacking.synced_amount, currency)
    assert {row[3] for row in rows} != {"–"}


def test_an_attempt_after_closing_is_said_until_somebody_acts(
    analyst_desk: Desk, stage: Stage
) -> None:
    desk = analyst_desk
    (record,) = stage.failed(BILLS)
    stage.change([record], Change(COMPLETE, CloseReason.ALREADY_IN_BOOKS))
    stage.attempt(record, COMPLETE, sync_reference="QB-TWICE")
    desk.open(page_of(record))
    assert "Attempted after cli:Olga Operator closed it, on" in flat(desk.said)
    stage.change([record], Change(COMPLETE, CloseReason.RECONCILED))
    desk.open(page_of(record))
    assert "Attempted after" not in desk.said


# ---------------------------------------------------------------- on paper


def test_a_record_prints_with_its_whole_history(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    (record,) = stage.failed(INVOICES)
    for number in range(40):
        stage.attempt(record, FAILED, f"refused for the {number}th time: " + "very long " * 30)
    desk.open(page_of(record))
    desk.page.emulate_media(media="print")
    said = desk.page.get_by_test_id("stMain").inner_text()
    assert all(f"refused for the {number}th time" in said for number in range(40))
    assert desk.page.get_by_test_id("stMain").locator("canvas").count() == 0
    # Nothing scrolls within the page by then: what is not in view would not be on the paper.
    hidden = desk.page.evaluate(
        """() => [...document.querySelectorAll('[data-testid=stMain], [data-testid=stMain] *,'
             + ' [data-testid=stAppViewContainer], [data-testid=stApp]')]
            .filter(one => /auto|scroll|hidden/.test(getComputedStyle(one).overflowY)
                && one.scrollHeight > one.clientHeight + 4 && one.clientHeight > 40)
            .map(one => one.dataset.testid || one.className)"""
    )
    assert hidden == []
    assert desk.page.pdf(format="A4").count(b"/Type /Page\n") > 3


# ---------------------------------------------------------------- hostile texts

MARKS = "**b** <img src=x onerror=alert(1)> ![i](http://x.example/i) [l](http://x.example) :red[x]"


def test_hostile_texts_are_shown_as_they_are(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    number, reference, note = f"N1 {MARKS}", f"R {MARKS}"[:100], f"$a$ `c` # h\n\n- {MARKS}"
    error = MARKS + " x" * 50_000
    one, two = stage.failed(BILLS, 2, error)
    for record, name in ((one, number), (two, "N2 " + MARKS)):
        stage.write(record, number=name)
    stage.attempt(one, FAILED, error, sync_reference=reference)
    hostile = [Staged(BILLS, one.id, number), Staged(BILLS, two.id, "N2 " + MARKS)]
    asked: list[str] = []
    desk.page.on("request", lambda request: asked.append(request.url))
    desk.page.on("dialog", lambda _: (_ for _ in ()).throw(AssertionError("a script ran")))

    def harmless() -> None:
        main = desk.page.locator("[data-testid=stMain], [role=dialog]")
        assert main.locator("img[src=x], img[src*='x.example']").count() == 0
        # Streamlit makes a bare address a link; none may hide behind another text.
        for link in main.locator("a[href*='x.example']").all():
            assert link.inner_text() in (link.get_attribute("href") or "")
        assert main.locator("strong", has_text=re.compile("^b$")).count() == 0
        assert main.locator(".katex").count() == 0
        assert not [url for url in asked if "x.example" in url]

    desk.open(page_of(hostile[0]))
    assert number in flat(desk.said)
    assert f"reference {reference}" in flat(desk.said)
    harmless()
    desk.click("Send back to Pending")
    expect(desk.dialog()).to_contain_text("1 may already be in the books.")
    why = desk.dialog().get_by_test_id("glide-cell-2-0").text_content() or ""
    assert why.startswith(f"The books gave it the reference {reference}")
    harmless()
    desk.dialog().get_by_role("textbox", name="Note").fill(note.replace("\n", " "))
    stage.attempt(one, FAILED, error)  # so that the receipt lists it as left untouched
    desk.apply()
    assert f"bill {number}" in flat(desk.said)
    harmless()

    identity = stage.change(hostile, Change(COMPLETE, CloseReason.OTHER, note))
    stage.change(hostile[:1], Change(PENDING, note=note, accepted={"bill": [one.id]}), who=MARKS)
    for path in ("/operations", f"/operations?id={identity}", page_of(hostile[0])):
        desk.open(path)
        assert f"- {MARKS}" in flat(desk.said)
        harmless()
    desk.open(f"/operations?id={identity}")
    desk.click("Undo")
    expect(desk.dialog()).to_contain_text(f"changed by cli:{MARKS} meanwhile, left untouched")
    expect(desk.dialog()).to_contain_text(f"bill {number}")
    harmless()


# ---------------------------------------------------------------- the filter


def test_blocked_payments_can_be_listed_and_exported(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    blocked, free = stage.failed(BILL_PAYMENTS, 2)
    parents = stage.linked(blocked)
    for one in parents:
        stage.attempt(one, FAILED, MISSING, sync_reference=None)
    for one in stage.linked(free):
        stage.attempt(one, COMPLETE, sync_reference="QB-FREE")
    desk.open(listing([blocked, free]))
    assert desk.matching == 2
    desk.click("More")
    desk.page.get_by_text("Blocked: its bill is not Complete").click()
    desk.settle()
    assert "bill_payments_blocked=true" in desk.page.url
    desk.page.reload()
    desk.settle()
    assert desk.numbers(desk.matching) == [blocked.number]
    assert desk.cell(desk.column("Blocked by"), 0).startswith(parents[0].number)
    assert desk.page.get_by_role("button", name="More (1)").count() == 1
    assert exported(desk) == [blocked.number]
    desk.open("/bills")  # documents have no such filter
    desk.click("More")
    assert "Blocked:" not in desk.page.locator("body").inner_text()


def exported(desk: Desk) -> list[str]:
    """The numbers in the file that the page offers."""
    link = desk.page.get_by_role("link", name="Export to Excel")
    reply = desk.page.context.request.get(desk.address + (link.get_attribute("href") or ""))
    sheet = openpyxl.load_workbook(io.BytesIO(reply.body())).worksheets[0]
    return [str(row[0]) for row in sheet.iter_rows(min_row=2, values_only=True)]
