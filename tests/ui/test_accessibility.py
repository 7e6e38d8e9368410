"""axe-core finds nothing serious on any page, light and dark, and the main path needs no mouse."""

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from synchist.entities import BILLS
from synchist.ui.places import SCRIPTS
from tests.ui.desk import Desk
from tests.ui.stage import PENDING, Stage, listing

SERIOUS = ("serious", "critical")
GROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 21, 34)"}

STREAMLIT = {
    # Streamlit writes white on the primary colour, and writes the chosen option of a segmented
    # control in that colour. On a dark ground no colour gives both a contrast of 4.5; ours gives
    # 4.6 to the option, which is on every page, and 3.5 to the button.
    ("dark", "color-contrast", "[data-testid=stBaseButton-primary] *"),
    # The label of a field that is switched off. The rule exempts what can't be used, and axe does
    # not see that this label belongs to such a field.
    ("light", "color-contrast", "[data-testid=stSelectbox]:has(input:disabled) label *"),
    ("dark", "color-contrast", "[data-testid=stSelectbox]:has(input:disabled) label *"),
    # The point under the mouse in Streamlit's own charts: an empty group while there is none.
    ("light", "svg-img-alt", "[data-testid=stVegaLiteChart] g.mark-symbol:empty"),
    ("dark", "svg-img-alt", "[data-testid=stVegaLiteChart] g.mark-symbol:empty"),
}
"""What is left to Streamlit: colour scheme, rule and element."""

PAGES = sorted(path.stem for path in SCRIPTS.glob("*.py"))
ADDRESSES = {
    "overview": "/",
    "record": "/record?entity=bills&id=12",
    "accounts": "/accounts?accounts_account=Vera+Sandow+%28demo+visitor%29+%28visitor%29",
}
"""Those of the pages whose address is not their name."""
WHOSE = {"audit": "auditor", "accounts": "administrator"}
"""Whose pages they are, where they are not the analyst's."""


def serious(desk: Desk) -> list[str]:
    """What axe finds serious in either colour scheme, but for what is left to Streamlit."""
    found = []
    for scheme, ground in GROUNDS.items():
        desk.page.emulate_media(color_scheme=scheme)  # the page follows without a new load
        if desk.page.get_by_test_id("stApp").count():
            expect(desk.page.get_by_test_id("stApp")).to_have_css("background-color", ground)
        # A dialog lets the body collapse, and axe then takes everything in it for hidden.
        desk.page.evaluate("document.documentElement.style.minHeight = '100vh'")
        desk.page.evaluate("document.body.style.minHeight = '100vh'")
        found += [
            f"{scheme}: {rule['id']}: {node['html'][:200]}: {node['failureSummary']}"
            for rule in Axe().run(desk.page).response["violations"]
            if rule["impact"] in SERIOUS
            for node in rule["nodes"]
            if not is_streamlits(desk, scheme, rule["id"], node)
        ]
    return found


def is_streamlits(desk: Desk, scheme: str, rule: str, node: dict[str, Any]) -> bool:
    element = desk.page.locator(node["target"][-1]).first
    return any(
        (scheme, rule) == (of, name) and element.evaluate("(e, where) => e.matches(where)", where)
        for of, name, where in STREAMLIT
    )


@pytest.mark.parametrize("page", PAGES)
def test_no_page_has_a_serious_violation(analyst_desk: Desk, page: str) -> None:
    """Every page there is, also one that is made later."""
    analyst_desk.become(WHOSE.get(page, "analyst"))
    analyst_desk.open(ADDRESSES.get(page, f"/{page}"))
    assert serious(analyst_desk) == []
    analyst_desk.become("analyst")


def test_nor_has_the_sign_in_page(desk: Desk) -> None:
    desk.page.goto(f"{desk.address}/sign-in")
    assert serious(desk) == []


def _more(desk: Desk) -> None:
    desk.open("/bills?bills_status=Pending")
    desk.click("More")


def _drawer(desk: Desk) -> None:
    desk.open("/bills?bills_range=All+dates")
    desk.open_record(0)


def _retry(desk: Desk) -> None:
    desk.open("/bills?bills_range=All+dates")
    desk.click("Select all")
    desk.click("Send back to Pending")
    expect(desk.dialog()).to_contain_text("Apply to")


def _lock_date(desk: Desk) -> None:
    desk.open("/connections")
    desk.click("Books are closed through")


@pytest.mark.parametrize("opened", [_more, _drawer, _retry, _lock_date])
def test_nor_has_what_opens_on_a_page(analyst_desk: Desk, opened: Callable[[Desk], None]) -> None:
    opened(analyst_desk)
    analyst_desk.settle()
    assert serious(analyst_desk) == []


# ---------------------------------------------------------------- keyboard


def tab_to(desk: Desk, words: str, key: str = "Tab") -> None:
    """Press Tab until something with these words has the focus. What scrolls can have it too."""
    says = (
        "() => {const e = document.activeElement; return e.matches('body, main') ? '' :"
        " e.getAttribute('aria-label') || e.innerText || e.getAttribute('placeholder')"
        " || e.dataset.testid || ''}"
    )
    seen = []
    for _ in range(60):
        desk.page.keyboard.press(key)
        seen.append(desk.page.evaluate(says))
        if words in seen[-1]:
            return
    raise AssertionError(f"{key} does not come to “{words}”, only to {seen}")


def press(desk: Desk, *keys: str) -> None:
    for one in keys:
        desk.page.keyboard.press(one)
    desk.settle()


def test_a_retry_needs_no_mouse(desk: Desk, served: str) -> None:
    """From the sign-in to the receipt: tick, look at the record, send back with a note."""
    records = Stage(served).failed(BILLS, 2)
    keys = desk.page.keyboard
    desk.page.goto(f"{desk.address}/sign-in")
    tab_to(desk, "Continue as Analyst")
    keys.press("Enter")
    desk.settle()

    desk.open(listing(records))
    tab_to(desk, "data-grid-canvas")
    press(desk, "ArrowDown", "Space")
    assert desk.selected == 1
    second = desk.cell(1, 1)
    tab_to(desk, "Open it", "Shift+Tab")  # Tab goes through the row first
    press(desk, "Enter")
    drawer = desk.page.get_by_role("dialog")
    expect(drawer).to_contain_text(f"Bill {second}")
    press(desk, "Escape")
    expect(drawer).to_have_count(0)

    tab_to(desk, "Select all")
    press(desk, "Enter")
    assert desk.selected == 2
    tab_to(desk, "Send back to Pending")
    press(desk, "Enter")
    expect(desk.dialog()).to_contain_text("Send back to Pending")
    desk.settle()
    tab_to(desk, "Note")
    keys.type("by keyboard")
    tab_to(desk, "Apply to 2 bills")
    press(desk, "Enter")
    expect(desk.page.get_by_role("dialog")).to_have_count(0)
    stage = Stage(served)
    assert stage.statuses(records) == [PENDING, PENDING]
    assert stage.latest.note == "by keyboard"
