"""Whether each connection works, in a real browser; and who may see the new pages, and how wide."""

import re
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from playwright.sync_api import Locator, expect
from sqlalchemy import func, select, update

from synchist.accounts import Principal
from synchist.db.engine import reading, writing
from synchist.db.tables import connection as connections
from synchist.db.tables import sync_event
from synchist.entities import BILLS
from synchist.filters import readable, today
from synchist.ui.wording import moment
from tests.conftest import configured
from tests.ui.desk import Desk
from tests.ui.stage import FAILED, PENDING, Stage, listing, page_of
from tests.ui.test_forged import on_sqlite, open_page
from tests.world import World

QUICKBOOKS = "Corvane Freight · QuickBooks Online"
OTHERS = ("Corvane Canada · Xero", "Tallmere Logistics · NetSuite")
each_page = pytest.mark.parametrize("page", ["causes", "connections"])


class Facts(NamedTuple):
    """What the tables say of a connection."""

    ends: datetime
    success: datetime
    attempt: datetime
    refusals: int
    first_refusal: datetime | None


def facts(served: str, name: str) -> Facts:
    """The connection's end and attempts; the demo's fail for it alone once that has come."""
    event, link = sync_event.c, connections.c
    with configured(served), reading() as connection:
        identity, ends = connection.execute(
            select(link.id, link.token_expires_at).where(link.name == name)
        ).one()
        attempts = select(func.max(event.at), func.min(event.at), func.count()).where(
            event.kind == "attempt", event.connection_id == identity
        )
        success, *_ = connection.execute(attempts.where(event.sync_status == 1)).one()
        attempt, *_ = connection.execute(attempts).one()
        _, first, refusals = connection.execute(
            attempts.where(event.sync_status == 2, event.at >= ends)
        ).one()
    return Facts(ends, success, attempt, refusals, first)


def card(desk: Desk, name: str) -> Locator:
    block = desk.page.get_by_test_id("stVerticalBlock").filter(has_text=name)
    return block.filter(has_not=block)


def said(place: Locator) -> str:
    return re.sub(r"\s+", " ", place.inner_text())


def test_an_expired_connection_is_down_with_what_to_do(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    desk.open_causes()
    desk.open("/connections")
    known, down = facts(served, QUICKBOOKS), card(desk, QUICKBOOKS)
    assert said(down).startswith(f"{QUICKBOOKS} Down ")
    assert known.refusals > 3
    assert (
        f"{known.refusals:,} attempts in a row were refused, the first on"
        f" {moment(known.first_refusal)}." in said(down)
    )
    steps = down.get_by_role("alert").locator("ol > li")
    expect(steps).to_have_count(2)
    expect(steps.first).to_contain_text("sign in to QuickBooks")
    assert f"Authorization expired on {moment(known.ends)} " in said(down)


def test_the_other_connections_are_not_down(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    desk.open("/connections")
    for name in OTHERS:
        shown = said(card(desk, name))
        assert shown.startswith(f"{name} ")
        assert "down" not in shown.casefold()
        assert f"Authorization valid until {moment(facts(served, name).ends)}, for " in shown


def test_the_last_success_and_attempt_are_shown(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    desk.open("/connections")
    for name in (QUICKBOOKS, *OTHERS):
        known, shown = facts(served, name), said(card(desk, name))
        assert f"Last success {moment(known.success)}, " in shown
        assert f"Last attempt {moment(known.attempt)}, " in shown


def test_a_connection_leads_to_exactly_what_was_refused(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    desk.open("/connections")
    labels = card(desk, QUICKBOOKS).get_by_role("link").all_inner_texts()
    assert len(labels) > 1
    for label in labels:
        count, noun = label.splitlines()[-1].split(" ", 1)
        links = card(desk, QUICKBOOKS).get_by_role("link", name=f"{count} {noun}", exact=True)
        desk.follow(links, f"failed {noun}")
        assert f"{desk.matching:,}" == f"{desk.selected:,}" == count
        assert f"Only The connection is down: QuickBooks is not authorized · {QUICKBOOKS}" in (
            desk.said
        )
        desk.follow(desk.page.get_by_role("link", name="Connections"), "Connections")


def test_a_cause_leads_to_the_connection(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    desk.search(f"QuickBooks is not authorized · {QUICKBOOKS}")
    desk.follow(desk.page.get_by_role("link", name="See Connections"), "Connections")
    expect(card(desk, QUICKBOOKS)).to_be_visible()


def enter(desk: Desk, name: str, day: str) -> None:
    """Enter through which day the books are closed; an empty text where they are open."""
    desk.open("/connections")
    card(desk, name).get_by_role("button", name="Books are closed through").click()
    form = desk.page.get_by_test_id("stForm")
    if day:
        form.get_by_role("spinbutton").first.click()
        desk.page.keyboard.type(day)  # year, month and day have a field each
    else:
        form.get_by_role("button", name="Clear").click()
    desk.click("Save")


def test_books_that_are_closed_are_warned_of_before_a_retry(
    analyst_desk: Desk, served: str
) -> None:
    """Entered on the page, marked in the list, left out of a retry, said on the record."""
    desk, stage, name = analyst_desk, Stage(served), OTHERS[1]
    closed, still_open = sorted(stage.failed(BILLS, 2), key=lambda one: one.number)
    with configured(served), reading() as connection:
        link = connection.scalar(select(connections.c.id).where(connections.c.name == name))
    yesterday = today() - timedelta(days=1)
    stage.write(closed, connection_id=link, accounting_date=yesterday)
    stage.write(still_open, connection_id=link, accounting_date=today())

    enter(desk, name, f"{yesterday:%Y%m%d}")
    through = f"through {readable(yesterday)}"
    assert f"Books closed {through} (entered by Ana Lytle" in said(card(desk, name))
    desk.open(listing([closed, still_open]))
    assert desk.numbers(2) == [closed.number, still_open.number]
    assert [desk.cell(desk.column("Period"), row) for row in (0, 1)] == ["Closed", ""]
    desk.click("Select all")
    desk.click("Send back to Pending")
    expect(desk.dialog()).to_contain_text(f"1 lies in a period that {name} has closed ({through})")
    desk.dialog().get_by_text("Leave it out").click()
    desk.settle()
    desk.apply()
    assert stage.statuses([closed, still_open]) == [FAILED, PENDING]
    desk.open(page_of(closed))
    assert f"the books of {name} are closed {through}" in said(desk.page.get_by_role("alert"))

    enter(desk, name, "")
    assert "Books closed no, entered by Ana Lytle" in said(card(desk, name))


# ---------------------------------------------------------------- both pages


@each_page
def test_a_visitor_gets_neither_page(desk: Desk, page: str) -> None:
    desk.page.goto(f"{desk.address}/{page}")
    desk.page.get_by_role("button", name="Continue as Visitor").click()
    assert f"/sign-in?next=/{page}" in desk.page.url
    expect(desk.page.get_by_role("alert")).to_contain_text("has no access to the sync history")


@on_sqlite
@each_page
def test_the_page_alone_shows_a_visitor_nothing(
    page: str, world: World, visitor: Principal
) -> None:
    shown = open_page(page, visitor)
    assert not shown.subheader
    assert not shown.markdown
    assert not shown.caption


def test_a_viewer_sees_both_pages(desk: Desk) -> None:
    desk.sign_in("Viewer")
    desk.open_causes()
    assert desk.headline == "Causes"
    expect(desk.page.get_by_role("button", name="What to do").first).to_be_visible()
    desk.follow(desk.page.get_by_role("link", name="Connections", exact=True), "Connections")
    expect(card(desk, QUICKBOOKS)).to_be_visible()


@each_page
def test_nothing_is_wider_than_the_screen(analyst_desk: Desk, page: str) -> None:
    desk = analyst_desk
    desk.open(f"/{page}")
    width = "element => element.scrollWidth"
    assert desk.page.evaluate("innerWidth") == 1366
    assert desk.page.locator("html").evaluate(width) <= 1366
    assert desk.page.get_by_test_id("stMain").evaluate(width) <= 1366  # it scrolls by itself


def test_names_of_a_connection_are_shown_as_text(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    name = "**B** <img src=x onerror=alert(1)> ![i](http://x.example/i) :red[x] $x$ `c`"
    desk.page.on("dialog", lambda _: (_ for _ in ()).throw(AssertionError("a script ran")))
    with configured(served), writing() as connection:
        connection.execute(
            update(connections)
            .where(connections.c.name == QUICKBOOKS)
            .values(name=name, company=name)
        )
    desk.open_causes()
    desk.open("/connections")
    shown = said(card(desk, "**B**"))
    assert shown.startswith(f"{name} Down ")
    assert f" Company {name} " in shown
    desk.follow(card(desk, "**B**").get_by_role("link", name=re.compile("bills")), "failed bill")
    assert desk.matching == desk.selected > 0
    assert f"Only The connection is down: QuickBooks is not authorized · {name}\n" in desk.said
    assert desk.page.locator("img[src=x], img[src*='x.example'], .katex").count() == 0
