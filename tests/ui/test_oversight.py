"""The pages of the auditor and of the administrator, in a real browser; each has that alone."""

import io
import re

import openpyxl
from playwright.sync_api import expect

from tests.ui.desk import Desk

NILS = "Nils Ferro (demo administrator) (administrator)"
VERA = "Vera Sandow (demo visitor) (visitor)"


def test_an_auditor_reads_the_log_and_takes_it_along(desk: Desk) -> None:
    desk.sign_in("Auditor")
    desk.settle()
    page = desk.page
    assert page.url == f"{desk.address}/audit"
    assert desk.headline == "Audit"
    when, kind, who, what, record = (desk.cell(column, 0) for column in range(5))
    assert (kind, who, what, record) == ("Signed in", "Ada Quill (demo auditor)", "", "")
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", when)
    page.goto(f"{desk.address}/bills")
    expect(page.get_by_role("alert")).to_contain_text("has no access to the sync history")

    desk.open("/audit?audit_kinds=Denials&audit_kinds=Records%3A+attempts&audit_kinds=Nonsense")
    assert "There is no kind of entry “Nonsense”; it is left out." in desk.said
    assert [desk.cell(column, 0) for column in (1, 3)] == ["Denied", "open /bills"]
    assert desk.cell(1, 1) == "Attempt"
    assert "Open" not in page.locator("[role=columnheader]").all_inner_texts()  # it leads nowhere
    desk.choose("Who", "Ada Quill (demo auditor) (auditor)")
    assert "audit_who=" in page.url
    expect(page.get_by_text("1 entry")).to_be_visible()

    link = page.get_by_role("link", name="Export to Excel").get_attribute("href")
    file = page.context.request.get(f"{desk.address}{link}")
    (row,) = openpyxl.load_workbook(io.BytesIO(file.body()))["Audit log"].iter_rows(min_row=2)
    assert [cell.value for cell in row][1:4] == [
        "Denied",
        "Ada Quill (demo auditor)",
        "open /bills",
    ]


def test_an_administrator_grants_and_revokes_and_stays_the_last(desk: Desk) -> None:
    desk.sign_in("Administrator")
    desk.settle()
    page = desk.page
    assert page.url == f"{desk.address}/accounts"
    desk.choose("Account to change", VERA)
    desk.click("Grant Hints")
    expect(page.get_by_role("row", name="Vera Sandow")).to_contain_text("Hints")
    expect(page.get_by_text(re.compile(r"Since .*, by Nils Ferro"))).to_be_visible()
    desk.click("Revoke Hints")
    expect(page.get_by_role("row", name="Vera Sandow")).not_to_contain_text("Hints")
    assert "granted by" not in desk.said

    desk.choose("Account to change", NILS)
    desk.click("Revoke Administrator")
    assert "administrator is the last account that can sign in and administer" in desk.said
    desk.click("Grant Audit")
    assert "1 role was granted by its own holder." in desk.said
    assert "own grant" in page.get_by_role("row", name="Nils Ferro").inner_text()

    desk.click("Add an account")
    dialog = desk.dialog()
    dialog.get_by_label("Name", exact=True).fill("Dana Whitfield")
    dialog.get_by_label("Login", exact=True).fill("dana@example.com")
    dialog.get_by_role("button", name="Add account").click()
    issued = dialog.get_by_test_id("stCode").inner_text().strip()
    assert len(issued) == 24
    dialog.get_by_role("button", name="Close", exact=True).last.click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("row", name="Dana Whitfield")).to_be_visible()
    assert issued not in page.content() + page.url

    page.context.clear_cookies()
    page.goto(f"{desk.address}/sign-in")
    page.get_by_label("Login").fill("dana@example.com")
    page.get_by_label("Password").fill(issued)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Dana Whitfield is signed in but has no")
