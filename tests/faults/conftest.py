"""The running product while something under it breaks.

Whatever it answers is looked at: a traceback, SQL or a path in any reply or on any page is a
failure of the test, whichever test it is (T11).
"""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState

from tests.conftest import started
from tests.ui.protocol import Tab, edits, sign_in

UNREACHABLE = "The database can't be reached right now. Try again in a minute"
SOON = 10.0
"""Seconds within which the product works again by itself."""

_LEAK = re.compile(
    r"Traceback|File \"|, line \d+|\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+\w+[\s,]"
    r"|sqlite|sqlalchemy|psycopg|\wError\b|/(tmp|home|root|usr|work|srv|var)/|\.(py|db)\b"
    r"|relation \"|no such table|constraint"
)


def harmless(text: str) -> str:
    """The text, which gives away nothing of what is behind the page."""
    found = _LEAK.search(text)
    assert not found, (
        f"The page gives away {found[0]!r}: …{text[max(0, found.start() - 200) :][:600]}"
    )
    return text


class WatchedTab(Tab):
    """A tab, each run of which is looked at."""

    def run(self, *states: WidgetState, fragment: str = "") -> None:
        super().run(*states, fragment=fragment)
        for element in self.elements:
            kind = element.WhichOneof("type")
            assert kind != "exception", element.exception.message
            if kind != "dataframe":  # the records themselves, in a format of their own
                harmless(str(element))

    @property
    def said(self) -> str:
        """What the page says, without the marks of its formatting."""
        return self.texts().replace("\\", "").replace("*", "")

    def press(self, label: str, *states: WidgetState) -> None:
        """Run the page with a click on the button."""
        self.run(*states, WidgetState(id=self.button(label).id, trigger_value=True))

    def send_first_back(self) -> None:
        """Tick the first record and send it back to Pending, up to the receipt or the refusal."""
        self.run()
        ticked = edits(self.grid(), {"0": {"Select": True}})
        self.run(ticked)
        self.press("Send back to Pending", ticked)
        self.run(ticked, *self.applying())


@dataclass(frozen=True)
class Product:
    """The running product: its address, the database behind it, and what it logs."""

    address: str
    url: str
    output: Path

    def browser(self, who: str = "analyst") -> httpx.Client:
        """A browser that is signed in, and whose every reply is looked at."""

        def look(reply: httpx.Response) -> None:
            if not reply.headers.get("content-type", "").startswith("application/vnd"):
                harmless(reply.read().decode())

        return httpx.Client(
            base_url=self.address,
            cookies={"synchist_session": sign_in(self.address, who)},
            headers={"Origin": self.address},
            event_hooks={"response": [look]},
            timeout=30,
        )

    def tab(self, page: str = "invoices", query: str = "") -> WatchedTab:
        """A tab of the analyst's."""
        return WatchedTab(self.address, page, "analyst", query=query)

    @property
    def log(self) -> str:
        """Everything that the server has said so far."""
        return self.output.read_text()


@contextmanager
def running(url: str, folder: Path, **variables: str) -> Iterator[Product]:
    """The product on a free port, with these settings; it lasts."""
    output = folder / "output.txt"
    with started(url, output, **variables) as address:
        yield Product(address, url, output)


def recovers(works: Callable[[], Any]) -> None:
    """The product works again soon, and nobody has restarted it."""
    deadline = time.monotonic() + SOON
    while not works():
        if time.monotonic() > deadline:
            pytest.fail(f"It did not recover within {SOON:.0f} seconds.", pytrace=False)
        time.sleep(0.1)
