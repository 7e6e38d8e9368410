"""A browser tab per test, at the running product."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.ui.desk import Desk


@pytest.fixture
def desk(browser: Browser, server: str) -> Iterator[Desk]:
    """A tab of its own cookies, not yet signed in, as large as a small laptop's screen."""
    context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="en-US")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    yield Desk(context.new_page(), server)
    context.close()


@pytest.fixture
def analyst_desk(desk: Desk) -> Desk:
    """A tab that is signed in as the demo's analyst."""
    desk.sign_in("Analyst")
    desk.settle()
    return desk
