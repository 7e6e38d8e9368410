"""What an accountant does at the screen, in words: a page of the running product in a browser."""

import re
import time
from itertools import takewhile

from playwright.sync_api import Locator, Page, expect

from synchist.entities import Entity
from synchist.statuses import SyncStatus
from synchist.ui.grid import ROW_HEIGHT, SELECT_WIDTH

SELECT, NUMBER = 0, 1


class Desk:
    """One browser tab, signed in or not."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address

    def sign_in(self, who: str) -> None:
        """Use one of the demo's buttons: Analyst, Viewer or Visitor."""
        self.page.goto(f"{self.address}/sign-in")
        self.page.get_by_role("button", name=f"Continue as {who}").click()

    def become(self, who: str) -> None:
        """Sign in as another of the demo's accounts; the session until now ends."""
        self.page.context.request.post(
            f"{self.address}/sign-in",
            form={"demo": who, "next": "/sign-out"},
            headers={"origin": self.address},
            max_redirects=0,
        )

    def open(self, path: str) -> None:
        self.page.goto(self.address + path)
        self.settle()

    def settle(self) -> None:
        """Wait until the script has run and the page has drawn what it says."""
        page = self.page
        page.wait_for_selector("[data-testid=stApp][data-test-connection-state=CONNECTED]")
        # A click starts its run a moment later: two looks that agree are an end.
        for _ in range(2):
            page.wait_for_timeout(200)
            page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
        # The browser fetches the code of some elements, such as links, when it first needs it.
        expect(page.get_by_test_id("stSkeleton")).to_have_count(0)

    # ------------------------------------------------------------ reading

    @property
    def headline(self) -> str:
        return self.page.get_by_role("heading").first.inner_text()

    @property
    def matching(self) -> int:
        """The number in the headline."""
        return int(self.headline.split()[0].replace(",", ""))

    @property
    def selected(self) -> int:
        """The number in the line on the selection."""
        line = self.page.get_by_text(" selected · ")
        return int(line.inner_text().split()[0].replace(",", "")) if line.count() else 0

    @property
    def said(self) -> str:
        """Everything that the page says outside of the grid."""
        return self.page.get_by_test_id("stMain").inner_text()

    def cell(self, column: int, row: int) -> str:
        return self.page.get_by_test_id(f"glide-cell-{column}-{row}").text_content() or ""

    def numbers(self, count: int) -> list[str]:
        """The numbers of the first rows."""
        return [self.cell(NUMBER, row) for row in range(count)]

    def column(self, label: str) -> int:
        """The position of a column that is in view, by its header."""
        headers = self.page.locator("[role=columnheader]")
        header = headers.filter(has_text=re.compile(f"^{re.escape(label)}$"))
        return int(header.get_attribute("aria-colindex") or 0) - 1

    # ------------------------------------------------------------ doing

    def follow(self, link: Locator, heading: str) -> None:
        """Click a link and wait until the page with that heading is there."""
        link.click()
        expect(self.page.get_by_role("heading").first).to_contain_text(heading)
        self.settle()

    def open_causes(self, seconds: float = 30) -> None:
        """Open Causes as soon as every failure is diagnosed."""
        deadline = time.monotonic() + seconds
        self.open("/causes")
        while "to be diagnosed" in self.said:
            assert time.monotonic() < deadline
            self.open("/causes")

    def _at(self, x: float, row: int, grid: Locator | None = None) -> None:
        box = (grid or self.page.get_by_test_id("stDataFrame")).bounding_box()
        assert box is not None
        self.page.mouse.click(box["x"] + x, box["y"] + ROW_HEIGHT * (row + 1) + ROW_HEIGHT / 2)
        self.settle()

    def tick(self, row: int) -> None:
        """Click the checkbox of a row, counted from 0."""
        self._at(30, row)

    def point_at(self, entity: Entity, key: str, row: int) -> None:
        """Click a cell of the list of failed records, by its column and where its row stands."""
        before = takewhile(lambda column: column.key != key, entity.shown(SyncStatus.FAILED))
        self._at(SELECT_WIDTH + sum(column.width for column in before) + 20, row)

    def scroll(self, rows: int) -> None:
        """Bring the row that stands so far down to the top of the grid."""
        self.page.mouse.wheel(0, rows * ROW_HEIGHT)
        scroller = self.page.get_by_test_id("stDataFrame").locator(".dvn-scroller")
        expect(scroller).to_have_js_property("scrollTop", rows * ROW_HEIGHT)

    def write(self, text: str) -> None:
        """Put text into the cell that was pointed at. The browser fetches the code of the field
        when it first needs it: what is typed before that is lost."""
        self.page.keyboard.press("Enter")
        field = self.page.locator("textarea.gdg-input")
        field.fill(text)
        field.press("Enter")
        expect(field).to_have_count(0)
        self.settle()

    def open_record(self, row: int) -> Locator:
        """Click the number of a row; the drawer that opens."""
        self._at(100, row)
        drawer = self.page.get_by_role("dialog")
        expect(drawer).to_be_visible()
        expect(drawer.get_by_text("newest first")).to_be_visible()
        return drawer

    def sort_page_by(self, x: float) -> None:
        """Click the header of a column, `x` pixels from the grid's left edge."""
        self._at(x, -1)

    def click(self, name: str, *, exact: bool = False) -> None:
        """Click a button of the page."""
        self.page.get_by_role("button", name=name, exact=exact).first.click()
        self.settle()

    def status(self, name: str) -> None:
        """Choose a sync status in the bar."""
        self.page.get_by_role("radio", name=name, exact=True).first.click()
        self.settle()

    def search(self, text: str) -> None:
        field = self.page.get_by_label("Search", exact=True)
        field.fill(text)
        field.press("Enter")
        self.settle()

    def choose(self, label: str, option: str) -> None:
        """Pick an entry of a select box."""
        self.page.get_by_label(label, exact=True).first.click()
        self.page.get_by_role("option", name=option, exact=True).click()
        self.settle()

    def dialog(self) -> Locator:
        dialog = self.page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        return dialog

    def accept_risks(self) -> None:
        """Tick every record of the open dialog that needs a tick of its own, where one does."""
        dialog = self.dialog()
        everything = dialog.get_by_text(re.compile("^Change all"))
        risky = dialog.get_by_test_id("stDataFrame")
        if everything.count():
            everything.click()
        elif risky.count():
            self.tick_risk(0)
        self.settle()

    def tick_risk(self, row: int) -> None:
        """Click the checkbox of a record that may already be in the books."""
        self._at(60, row, self.dialog().get_by_test_id("stDataFrame"))

    def apply(self, *, despite_risks: bool = True) -> None:
        """Apply the change of the open dialog and wait for it to close."""
        if despite_risks:
            self.accept_risks()
        self.page.get_by_role("button", name="Apply to").click()
        expect(self.page.get_by_role("dialog")).to_have_count(0)
        self.settle()
