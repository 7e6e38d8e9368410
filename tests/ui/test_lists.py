"""Selection, filters and addresses in a real browser."""

import re
from datetime import UTC, datetime, time, timedelta
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

from openpyxl import load_workbook
from playwright.sync_api import expect
from sqlalchemy import select, update

from synchist import queries
from synchist.db.engine import reading, writing
from synchist.db.types import utc_now
from synchist.entities import BILL_PAYMENTS, INVOICES
from synchist.filters import Filters, Window, readable, today
from synchist.settings import settings
from synchist.statuses import SyncStatus
from synchist.ui.grid import ROW_HEIGHT
from tests.conftest import configured
from tests.ui.desk import Desk
from tests.ui.protocol import Tab, sign_in

ALL = "/invoices?invoices_status=Complete&invoices_range=All+dates&invoices_rows=100+rows+a+page"


def test_ticks_survive_paging_sorting_and_searching(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open(ALL)
    first = desk.cell(1, 0)
    desk.tick(0)
    desk.click("Next page")
    assert desk.cell(1, 0) != first
    assert desk.selected == 1
    assert "1 not in view" in desk.said
    desk.tick(0)
    assert desk.selected == 2
    desk.choose("Sort by", "Amount, highest first")
    assert desk.selected == 2
    desk.search(first)
    assert desk.matching == 1
    assert desk.selected == 2
    desk.tick(0)  # the one that was ticked first: now it is taken off
    assert desk.selected == 1


def test_select_all_takes_the_page_then_all_that_match(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open(ALL)
    matching = desk.matching
    assert matching > 100
    desk.click("Select all", exact=False)
    assert desk.selected == 100
    desk.click(f"Select all {matching:,} that match")
    assert desk.selected == matching
    desk.tick(3)
    assert desk.selected == matching - 1
    desk.click("Clear")
    assert desk.selected == 0
    desk.tick(3)
    assert desk.selected == 1


def test_a_tick_after_a_click_on_a_header_is_the_row_that_was_clicked(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open(ALL)
    before = desk.numbers(5)
    desk.sort_page_by(200)
    after = desk.numbers(5)
    assert after != before
    desk.tick(2)
    desk.click("Send back to Pending")
    desk.apply()
    desk.open(f"/invoices?invoices_status=Pending&invoices_search={after[2]}")
    assert desk.matching == 1


def test_another_status_or_other_dates_clear_the_selection(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open(ALL)
    desk.tick(0)
    desk.choose("Date Range", "This month")
    assert desk.selected == 0
    desk.tick(0)
    assert desk.selected == 1
    desk.status("Failed")
    assert desk.selected == 0


def test_a_row_that_a_job_changed_loses_its_tick_and_that_is_said(
    analyst_desk: Desk, served: str
) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    number = desk.cell(1, 2)
    desk.tick(2)
    of = INVOICES.table.c
    with configured(served), writing() as connection:
        record = connection.scalar(select(of.id).where(of.number == number))
        connection.execute(
            update(INVOICES.table)
            .where(of.id == record)
            .values(sync_status=2, sync_at=utc_now(), sync_error="refused once more")
        )
    desk.search(number)
    assert desk.selected == 0
    assert "changed since you ticked it" in desk.said


def test_a_stale_selection_is_a_conflict_and_stays_untouched(
    analyst_desk: Desk, served: str
) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    stale, fresh = desk.cell(1, 3), desk.cell(1, 4)
    desk.tick(3)
    desk.tick(4)
    of = INVOICES.table.c
    with configured(served), writing() as connection:
        connection.execute(
            update(INVOICES.table)
            .where(of.number == stale)
            .values(sync_status=2, sync_at=utc_now(), sync_error="refused meanwhile")
        )
    desk.click("Send back to Pending")
    desk.apply()
    said = re.sub(r"\s+", " ", desk.said)
    assert "1 invoice moved to Pending" in said
    assert "1 changed by someone else meanwhile, left untouched" in said
    assert stale in said
    assert fresh not in said.split("Left untouched")[1].split("failed")[0]


def test_owner_and_note_are_written_in_the_list_itself(analyst_desk: Desk) -> None:
    """Each is stored at once, and the list keeps its place and its ticks."""
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    desk.tick(1)
    desk.point_at(INVOICES, "note", 2)
    desk.scroll(10)
    for text in ("Ask the bank", "Ask Dana"):
        desk.point_at(INVOICES, "note", 2)
        desk.write(text)
    number = desk.cell(1, 12)
    desk.point_at(INVOICES, "owner", 2)
    desk.page.keyboard.press("Enter")
    desk.page.get_by_role("option", name="Ana Lytle (demo analyst)").click()
    desk.settle()
    assert desk.selected == 1

    desk.page.reload()
    desk.settle()
    desk.click("More")
    desk.choose("Owner", "Mine")
    assert desk.matching == 1
    assert "invoices_owner=analyst" in desk.page.url
    labels = ("Number", "Owner", "Note")
    shown = [desk.cell(desk.column(label), 0) for label in labels]
    assert shown == [number, "Ana Lytle (demo analyst)", "Ask Dana"]
    desk.page.keyboard.press("Escape")
    desk.open("/invoices?invoices_range=All+dates&invoices_owner=-")
    assert desk.matching > 12
    assert number not in desk.numbers(13)


def test_pending_has_no_date_range(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=This+month")
    expect(desk.page.get_by_label("Date Range", exact=True)).to_be_enabled()
    desk.status("Pending")
    expect(desk.page.get_by_label("Date Range", exact=True)).to_be_disabled()
    assert " before " not in desk.headline


def test_a_list_pasted_from_a_spreadsheet_finds_exactly_its_numbers(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    numbers = desk.numbers(4)
    desk.page.evaluate("text => navigator.clipboard.writeText(text)", "\n".join(numbers))
    field = desk.page.get_by_label("Search", exact=True)
    field.click()
    field.press("ControlOrMeta+v")
    field.press("Enter")
    desk.settle()
    assert desk.matching == len(numbers)


def test_a_search_without_a_hit_says_where_it_would_hit(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_status=Complete")
    number = desk.cell(1, 0)
    desk.status("Failed")
    desk.search(number)
    assert desk.matching == 0
    found = desk.page.get_by_role("link", name=re.compile("1 in Complete, all dates"))
    found.click()
    expect(desk.page.get_by_role("heading").first).to_contain_text("1 complete")
    assert desk.matching == 1


def test_the_copied_link_writes_every_filter_out(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices")
    headline = desk.headline
    desk.click("Copy link")
    link = desk.page.get_by_test_id("stCode").inner_text().strip()
    given = parse_qs(urlsplit(link).query)
    assert given["invoices_status"] == ["Failed"]
    assert given["invoices_range"] == ["Custom"]
    assert len(given["invoices_dates"]) == 2
    desk.page.goto(link)
    desk.settle()
    assert desk.headline == headline


def test_filters_stand_in_the_address_and_survive_a_reload(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/bills")
    desk.status("Complete")
    desk.search("S")
    headline, address = desk.headline, desk.page.url
    assert "bills_status=Complete" in address
    assert "bills_search=S" in address
    desk.page.reload()
    desk.settle()
    assert desk.headline == headline


def test_what_lies_before_the_window_is_one_click_away(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=Last+30+days")
    inside = desk.matching
    offer = desk.page.get_by_role("link", name=re.compile("more failed before"))
    outside = int(re.findall(r"([\d,]+) more failed", offer.inner_text())[0].replace(",", ""))
    offer.click()
    expect(offer).to_have_count(0)
    desk.settle()
    assert desk.matching == inside + outside


def test_a_tampered_address_gets_one_sentence_each(server: str) -> None:
    token = sign_in(server, "analyst")
    for query, sentence in (
        ("invoices_status=bogus", "There is no sync status “bogus”"),
        (
            "invoices_range=Custom&invoices_dates=2026-03-01&invoices_dates=2026-02-01",
            "reversed; they are swapped",
        ),
        (
            "invoices_range=Custom&invoices_dates=9999-01-01&invoices_dates=9999-12-31",
            "limited to 1 Jan 2000 through today",
        ),
        ("invoices_search=" + "A" * 45_000, "longer than 40,000 characters"),
        (
            "invoices_search=" + "+".join(f"N{number}" for number in range(2_500)),
            "2,500 entries; the first 2,000 are used",
        ),
        ("invoices_party=%3Cscript%3Ealert(1)%3C/script%3E", "There is no payer"),
        ("invoices_sort='%3B%20DROP%20TABLE%20invoice%3B--", "There is no sort order"),
        ("invoices_range=Custom&invoices_dates=junk", "could not be read"),
    ):
        with Tab(server, "invoices", token=token, query=query) as tab:
            tab.run()
            said = tab.texts().replace("\\", "")
        assert said.count(sentence) == 1, query
        assert "Traceback" not in said
        assert "SELECT" not in said


def test_text_from_the_books_is_shown_as_text(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    hostile = "**bold** <img src=x onerror=alert(1)> [x](http://x.example) =1+1 :red[no] $a$ `c`"
    desk.page.on("dialog", lambda _: (_ for _ in ()).throw(AssertionError("a script ran")))
    desk.open("/invoices?invoices_range=All+dates")
    number = desk.cell(1, 5)
    of = INVOICES.table.c
    with configured(served), writing() as connection:
        connection.execute(
            update(INVOICES.table)
            .where(of.number == number)
            .values(sync_status=2, sync_at=utc_now(), sync_error=hostile)
        )
    desk.search(number)
    drawer = desk.open_record(0)
    expect(drawer.get_by_test_id("stCode").first).to_be_visible()
    # Exactly as it came: once as the error, once in the history.
    assert drawer.get_by_test_id("stCode").all_inner_texts()[:2] == [hostile] * 2
    assert drawer.locator("img, strong:has-text('bold')").count() == 0


def test_a_failure_is_explained_beside_its_exact_message(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    number = desk.cell(1, 6)
    error = 'Invalid reference to QuickBooks Customer "**Blue** <b>Mesa</b>" in the Invoice'
    with configured(served), writing() as connection:
        connection.execute(
            update(INVOICES.table)
            .where(INVOICES.table.c.number == number)
            .values(sync_status=2, sync_at=utc_now(), sync_error=error)
        )
    desk.search(number)
    drawer = desk.open_record(0)
    expect(drawer).to_contain_text(
        "has no active customer “**Blue** <b>Mesa</b>” for this invoice."
    )
    expect(drawer).to_contain_text("Sending it back to Pending helps only after the fix.")
    assert drawer.locator("ol li").count() == 3
    assert drawer.locator("strong:has-text('Blue'), b").count() == 0


def test_a_record_has_an_address_of_its_own(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/bills?bills_range=All+dates")
    drawer = desk.open_record(0)
    address = drawer.get_by_role("link", name="Open on its own page").get_attribute("href") or ""
    number = desk.cell(1, 0)
    desk.open(address)
    assert desk.headline == f"Bill {number}"


def test_a_link_shows_its_own_filters_and_no_earlier_ones(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    failed = desk.matching
    desk.search("CHI")
    assert desk.matching < failed
    desk.page.get_by_role("link", name="Overview").first.click()
    promised = desk.page.get_by_role("link", name=re.compile("failed")).first
    expect(promised).to_contain_text(f"{failed:,}")
    promised.click()
    expect(desk.page.get_by_role("heading").first).to_contain_text(f"{failed:,} failed invoices")
    assert desk.page.get_by_label("Search", exact=True).input_value() == ""


def test_a_corrected_address_shows_what_its_sentence_says(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_status=complete&invoices_range=All+dates")
    assert "complete invoices" in desk.headline
    desk.open("/invoices?invoices_range=All+dates")
    everything = desk.matching
    desk.open("/invoices?invoices_range=Custom&invoices_dates=2001-01-01&invoices_dates=9999-12-31")
    assert "the range was adjusted" in desk.said
    assert desk.matching == everything


def test_what_was_seen_when_it_was_ticked_counts_also_with_select_all(
    analyst_desk: Desk, served: str
) -> None:
    desk = analyst_desk
    desk.open("/bill_payments?bill_payments_status=Complete&bill_payments_range=All+dates")
    desk.choose("Rows a page", "100 rows a page")
    desk.click("Select all")
    number = desk.cell(1, 0)
    of = BILL_PAYMENTS.table.c
    with configured(served), writing() as connection:
        connection.execute(
            update(BILL_PAYMENTS.table).where(of.number == number).values(sync_at=utc_now())
        )
    desk.click(f"Select all {desk.matching:,} that match")
    assert "1 bill payment changed since you ticked it" in desk.said
    assert desk.selected == desk.matching - 1


def test_a_dialog_that_is_opened_again_starts_afresh(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/bills?bills_range=All+dates")
    desk.tick(0)
    desk.click("Update Sync Status")
    desk.dialog().get_by_role("radio", name="Failed").click()
    desk.settle()
    desk.page.keyboard.press("Escape")
    desk.settle()
    desk.click("Update Sync Status")
    assert desk.dialog().get_by_role("radio", checked=True).count() == 0


def test_a_list_as_of_a_past_moment(analyst_desk: Desk, served: str) -> None:
    """Marked, read-only, exportable, and a way back."""
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    mark = desk.page.get_by_text("This is the past: nothing can be changed here.")
    moment = datetime.combine(today() - timedelta(days=10), time(17), settings().zone)
    desk.click("More")
    desk.page.get_by_test_id("stDateTimeInput").get_by_role("spinbutton").first.click()
    desk.page.keyboard.type(f"{moment:%Y%m%d%H%M}")
    desk.page.keyboard.press("Enter")
    expect(mark).to_contain_text(f"As it stood on {readable(moment.date())} at 17:00")
    desk.page.keyboard.press("Escape")
    desk.settle()
    filters = Filters(window=Window.ALL, as_of=moment.astimezone(UTC))
    with configured(served), reading() as connection:
        frame = queries.load(connection, INVOICES, filters)
        others = queries.counts(connection, INVOICES, filters).others
    assert desk.matching == len(frame) > 0
    assert f"{others[SyncStatus.PENDING].count:,} Pending" in desk.said
    number = desk.column("Number")
    assert [desk.cell(number, row) for row in range(5)] == frame["number"].tolist()[:5]
    assert desk.page.locator("[role=columnheader]", has_text="Select").count() == 0
    for act in ("Select all", "Send back to Pending", "Update Sync Status"):
        assert desk.page.get_by_role("button", name=act).count() == 0

    address = desk.page.get_by_role("link", name="Export to Excel").get_attribute("href") or ""
    reply = desk.page.request.get(desk.address + address)
    assert f"as of {moment:%Y-%m-%d} 1700" in reply.headers["content-disposition"]
    book = load_workbook(BytesIO(reply.body()))
    assert book["Invoices"].max_row == len(frame) + 1

    desk.page.mouse.click(*_middle(desk))
    drawer = desk.page.get_by_role("dialog")
    expect(drawer).to_contain_text("This is the record as it is now.")
    assert drawer.get_by_role("button", name="Update Sync Status").count() == 0
    desk.page.keyboard.press("Escape")
    desk.page.get_by_role("link", name="Back to now").click()
    expect(mark).to_have_count(0)
    expect(desk.page.get_by_role("button", name="Select all")).to_be_visible()


def _middle(desk: Desk) -> tuple[float, float]:
    """Where the first number stands in a grid without ticks."""
    box = desk.page.get_by_test_id("stDataFrame").bounding_box()
    assert box is not None
    return box["x"] + 50, box["y"] + ROW_HEIGHT * 1.5
