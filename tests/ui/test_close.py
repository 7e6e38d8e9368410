"""The Close page: what blocks a month, to its records, signed off, and changed afterwards."""

import re

from playwright.sync_api import Locator, expect
from sqlalchemy import select

from synchist.closing.state import Kind, load_month, month_to_close
from synchist.db.engine import reading, writing
from synchist.db.tables import period_close_record
from synchist.entities import INVOICES
from tests.conftest import configured
from tests.ui.desk import Desk

UNIT = "Billing organization and connection"


def links(desk: Desk) -> Locator:
    """The numbers that lead to lists."""
    return desk.page.get_by_test_id("stPageLink").filter(has_text=re.compile(r"\d"))


def test_every_number_leads_to_exactly_these_records(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/close")
    expect(desk.page.get_by_text("block the close")).to_be_visible()
    shown = [int(text.split()[-1].replace(",", "")) for text in links(desk).all_inner_texts()]
    assert len(shown) >= 4
    for place, number in enumerate(shown[:4]):
        if place:
            desk.follow(desk.page.get_by_role("link", name="Close", exact=True), "Close")
        links(desk).nth(place).locator("a").click()
        expect(desk.page.get_by_test_id("stDataFrame")).to_be_visible()
        desk.settle()
        assert desk.matching == number
    assert desk.page.get_by_role("button", name="More (").count() == 1


def test_a_month_is_signed_off_and_shows_what_moves_afterwards(desk: Desk, served: str) -> None:
    with configured(served), reading() as connection:
        (one, *_) = load_month(connection, month_to_close()).units
    desk.sign_in("Controller")
    desk.settle()
    desk.open("/close")
    desk.choose(UNIT, f"{one.billing} · {one.connection}")
    assert f"{one.blocking.total.count} records block the close" in desk.said
    desk.click("Sign off")
    dialog = desk.dialog()
    expect(dialog.get_by_text(one.held([Kind.FAILED]).total.money)).to_be_visible()
    apply = dialog.get_by_role("button", name="Sign off")
    expect(apply).to_be_disabled()
    dialog.get_by_text("I accept").click()
    dialog.get_by_label("Note").fill("Northgate is being mapped")
    apply.click()
    expect(desk.page.get_by_role("dialog")).to_have_count(0)
    desk.settle()
    assert "“Northgate is being mapped”" in desk.said
    assert f"accepted {one.blocking.total.count} exceptions" in desk.said
    assert "Changed after close · nothing" in desk.said

    record, of = period_close_record.c, INVOICES.table.c
    with configured(served), writing() as connection:
        record_id, number = connection.execute(
            select(record.record_id, of.number)
            .join(INVOICES.table, of.id == record.record_id)
            .where(record.entity == "invoice")
            .limit(1)
        ).one()
        connection.exec_driver_sql(
            f"UPDATE invoice SET tms_status = 'Voided' WHERE id = {record_id}"
        )
    desk.page.reload()
    desk.settle()
    moved = desk.page.get_by_test_id("stTable").filter(has_text=number)
    expect(moved).to_contain_text("to Voided")
    expect(moved).to_contain_text("TMS")

    desk.click("Reopen")
    dialog = desk.dialog()
    dialog.get_by_label("Reason").fill("A load was voided")
    dialog.get_by_role("button", name="Reopen").click()
    expect(desk.page.get_by_role("dialog")).to_have_count(0)
    expect(desk.page.get_by_text("“A load was voided”")).to_be_visible()
    expect(desk.page.get_by_role("button", name="Sign off")).to_be_visible()
