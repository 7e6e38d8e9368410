"""A browser tab at the running product."""

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.ui.desk import Desk

expect.set_options(timeout=15_000)  # tests beside it may keep both cores busy


def _tab(browser: Browser) -> Page:
    """A tab with cookies of its own, on a screen as large as a small laptop's. All tests use it one
    after the other: a new one compiles the pages' code once more, which takes four times as long
    as a page does."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    return context.new_page()


@pytest.fixture(scope="session")
def _newcomers(browser: Browser) -> Page:
    return _tab(browser)


@pytest.fixture(scope="session")
def _analysts(browser: Browser) -> Page:
    return _tab(browser)


def _put_down(page: Page) -> None:
    """End what a test has chosen, ticked and opened."""
    for other in page.context.pages[1:]:
        other.close()
    page.emulate_media(media="null", color_scheme="null")
    page.goto("about:blank")


@pytest.fixture
def desk(_newcomers: Page, server: str) -> Iterator[Desk]:
    """A tab that is not signed in, and remembers nothing but the code of the pages."""
    told = {"origin": server, "storageTypes": "cookies,local_storage"}
    _newcomers.context.new_cdp_session(_newcomers).send("Storage.clearDataForOrigin", told)
    _newcomers.context.clear_cookies()
    yield Desk(_newcomers, server)
    _put_down(_newcomers)


@pytest.fixture
def analyst_desk(_analysts: Page, server: str) -> Iterator[Desk]:
    """A tab that is signed in as the demo's analyst."""
    desk = Desk(_analysts, server)
    whoever = _analysts.context.request.get(server, max_redirects=0)
    if whoever.status != httpx.codes.OK:
        desk.sign_in("Analyst")
        desk.settle()
    yield desk
    _put_down(_analysts)
