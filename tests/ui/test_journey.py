"""The whole way in a real browser, on the real server, as an accountant goes it."""

import io
import re
from datetime import timedelta
from urllib.parse import urlsplit

import openpyxl
import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from synchist.db.engine import writing
from synchist.db.tables import visit
from synchist.db.types import utc_now
from synchist.entities import BILL_PAYMENTS, INVOICES, Entity
from tests.conftest import configured
from tests.ui.desk import Desk
from tests.ui.protocol import Tab, sign_in


def test_from_the_sign_in_page_to_a_retried_invoice(desk: Desk) -> None:
    desk.page.goto(f"{desk.address}/invoices")
    assert desk.page.url.endswith("/sign-in?next=/invoices")
    desk.page.get_by_role("button", name="Continue as Analyst").click()
    desk.settle()
    assert desk.page.url.endswith("/invoices")
    failed = desk.matching
    assert failed > 0
    number = desk.cell(1, 0)

    drawer = desk.open_record(0)
    expect(drawer).to_contain_text(number)
    expect(drawer).to_contain_text("Sync status")
    expect(drawer).to_contain_text("TMS status")
    expect(drawer).to_contain_text("Sync attempt failed")
    expect(drawer).to_contain_text("Created in the TMS")
    desk.page.keyboard.press("Escape")
    desk.settle()

    desk.tick(0)
    assert desk.selected == 1
    desk.click("Send back to Pending")
    expect(desk.dialog()).to_contain_text("1 invoice")
    desk.apply()
    assert "1 invoice moved to Pending" in re.sub(r"\s+", " ", desk.said)
    assert desk.matching == failed - 1
    assert desk.selected == 0

    desk.status("Pending")
    desk.search(number)
    assert desk.matching == 1
    drawer = desk.open_record(0)
    expect(drawer).to_contain_text("Failed to Pending")
    expect(drawer).to_contain_text("Last error")


@pytest.mark.parametrize("entity", [INVOICES, BILL_PAYMENTS], ids=lambda entity: entity.slug)
def test_documents_and_payments_are_listed_opened_closed_and_exported(
    analyst_desk: Desk, entity: Entity
) -> None:
    desk = analyst_desk
    desk.open(f"/{entity.slug}?{entity.slug}_range=All+dates")
    before = desk.matching
    number = desk.cell(1, 1)
    expect(desk.open_record(1)).to_contain_text(number)
    desk.page.keyboard.press("Escape")
    desk.settle()

    desk.tick(1)
    desk.click("Update Sync Status")
    dialog = desk.dialog()
    expect(dialog.get_by_role("button", name="Apply to")).to_be_disabled()
    dialog.get_by_role("radio", name="Complete").click()
    desk.settle()
    # Complete needs a reason.
    expect(dialog.get_by_role("button", name="Apply to")).to_be_disabled()
    desk.choose("Reason", "Reconciled manually")
    dialog.get_by_label("Note").fill("found in the **books**")
    dialog.get_by_label("Note").press("Tab")
    desk.settle()
    desk.apply()
    assert desk.matching == before - 1

    link = desk.page.get_by_role("link", name="Export to Excel")
    reply = desk.page.context.request.get(desk.address + (link.get_attribute("href") or ""))
    assert reply.status == 200
    sheet = openpyxl.load_workbook(io.BytesIO(reply.body())).worksheets[0]
    assert sheet.title == entity.title
    assert sheet.max_row - 1 == before - 1

    desk.open(
        f"/{entity.slug}?{entity.slug}_status=Complete&{entity.slug}_range=All+dates"
        f"&{entity.slug}_search={number}"
    )
    drawer = desk.open_record(0)
    expect(drawer).to_contain_text("Failed to Complete (Reconciled manually)")
    expect(drawer).to_contain_text("found in the **books**")  # as text, not as Markdown


def test_the_export_downloads_in_a_tab_that_closes_itself(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices")
    context = desk.page.context
    with context.expect_page() as opened:
        desk.page.get_by_role("link", name="Export to Excel").click()
    opened.value.wait_for_event("close") if not opened.value.is_closed() else None
    assert context.pages == [desk.page]


def test_overview_numbers_lead_to_pages_that_show_as_many(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    token = sign_in(desk.address, "analyst")
    desk.open("/")
    with configured(served), writing() as connection:
        connection.execute(update(visit).values(before_at=utc_now() - timedelta(days=30)))
    desk.open("/")
    assert "Failed since your last visit on" in desk.said
    one_screen = "m => m.scrollHeight <= m.clientHeight"
    assert desk.page.get_by_test_id("stMain").evaluate(one_screen)
    links = desk.page.get_by_test_id("stPageLink-NavLink")
    found = [
        (link.get_attribute("href") or "", number[0].replace(",", ""))
        for link in links.all()
        if (number := re.findall(r"[\d,]+", link.inner_text()))
    ]
    for kind in ("status=Failed&", "status=Pending&", "_age=", "_cause=", "_since="):
        of_kind = [one for one in found if kind in one[0]]
        assert of_kind
        address, promised = of_kind[-1]
        asked = urlsplit(address)
        with Tab(desk.address, asked.path.lstrip("/"), token=token, query=asked.query) as tab:
            tab.run()
            headings = [heading.body for heading in tab.all("heading")]
        headline = next(said for said in headings if said[0].isdigit())  # once it has counted
        assert int(headline.split()[0].replace(",", "")) == int(promised)


def test_the_overview_is_left_and_found_again_by_keyboard(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/")
    links = desk.page.get_by_test_id("stPageLink-NavLink")
    link = links.filter(has_text=re.compile(r"\d failed$")).first
    promised = int(re.findall(r"[\d,]+", link.inner_text())[0].replace(",", ""))
    link.focus()
    desk.page.keyboard.press("Enter")
    expect(desk.page.get_by_role("heading").first).to_contain_text("·")
    desk.settle()
    assert desk.matching == promised
    desk.page.get_by_role("link", name="Overview").first.focus()
    desk.page.keyboard.press("Enter")
    expect(desk.page.get_by_role("heading").first).to_contain_text("Overview")


def test_a_viewer_has_no_export_and_the_route_refuses_it(desk: Desk) -> None:
    desk.sign_in("Viewer")
    desk.open("/invoices")
    assert desk.matching > 0
    assert desk.page.get_by_role("link", name="Export to Excel").count() == 0
    reply = desk.page.context.request.get(f"{desk.address}/export/invoices.xlsx")
    assert reply.status == 403
    assert "may not export" in reply.text()


def test_a_visitor_reads_one_sentence_and_sees_nothing(desk: Desk) -> None:
    desk.page.goto(f"{desk.address}/bills?bills_status=Pending")
    desk.page.get_by_role("button", name="Continue as Visitor").click()
    assert "/sign-in?next=/bills" in desk.page.url
    expect(desk.page.get_by_role("alert")).to_contain_text("has no access to the sync history")


def test_signing_out_ends_what_an_open_tab_may_do(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices")
    other = desk.page.context.new_page()
    other.goto(f"{desk.address}/sign-out")
    other.get_by_role("button", name="Sign out").click()
    assert "/sign-in" in other.url
    desk.search("anything")
    assert "Your session has ended" in desk.said
    assert desk.page.get_by_test_id("stDataFrame").count() == 0
    desk.page.get_by_role("link", name="Go to the sign-in page").click()
    assert "/sign-in" in desk.page.url
