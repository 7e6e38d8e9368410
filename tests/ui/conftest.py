"""A browser tab at the running product."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.ui.desk import Desk

expect.set_options(timeout=15_000)  # tests beside it may keep both cores busy


def _user(browser: Browser) -> BrowserContext:
    """Somebody's cookies and screen, which is as large as a small laptop's."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    return context


@pytest.fixture(scope="session")
def _newcomer(browser: Browser) -> BrowserContext:
    return _user(browser)


@pytest.fixture(scope="session")
def _analyst(browser: Browser) -> BrowserContext:
    return _user(browser)


@contextmanager
def _tab(user: BrowserContext, server: str) -> Iterator[Desk]:
    yield Desk(user.new_page(), server)
    for page in user.pages:
        page.close()


@pytest.fixture
def desk(_newcomer: BrowserContext, server: str) -> Iterator[Desk]:
    """A tab that is not signed in, and remembers nothing but the code of the pages."""
    with _tab(_newcomer, server) as tab:
        told = {"origin": server, "storageTypes": "cookies,local_storage"}
        _newcomer.new_cdp_session(tab.page).send("Storage.clearDataForOrigin", told)
        _newcomer.clear_cookies()
        yield tab


@pytest.fixture(scope="module")
def _analysts_tab(_analyst: BrowserContext, server: str) -> Iterator[Desk]:
    with _tab(_analyst, server) as tab:
        yield tab


@pytest.fixture
def analyst_desk(_analysts_tab: Desk) -> Iterator[Desk]:
    """A tab that is signed in as the demo's analyst. The tests of a module use it one after the
    other: a new one compiles the page's code once more, which takes four times as long."""
    page = _analysts_tab.page
    whoever = page.context.request.get(_analysts_tab.address, max_redirects=0)
    if whoever.status != httpx.codes.OK:
        _analysts_tab.sign_in("Analyst")
        _analysts_tab.settle()
    yield _analysts_tab
    for other in page.context.pages[1:]:
        other.close()
    page.emulate_media(media="null", color_scheme="null")
    page.goto("about:blank")  # ends what the test has chosen, ticked and opened
