"""What a person waits for, in a real Chromium on the real server, against bare Streamlit pages."""

import os
import pickle
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, count, cycle
from urllib.parse import urlencode
from uuid import uuid4

import pandas as pd
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import Connection, select

from benchmarks import servers
from benchmarks.databases import Database, configured, copied
from benchmarks.measure import Figure, Timing, interleaved, timed
from benchmarks.servers import FRAMES, STATUSES, TICKED
from synchist import queries
from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.entities import INVOICES
from synchist.filters import Filters, Window
from synchist.status_changes import Change, change_status
from synchist.statuses import SyncStatus
from synchist.ui.entity_page import rows_a_page
from synchist.ui.filter_bar import key
from synchist.ui.grid import ROW_HEIGHT
from tests.ui.desk import Desk

LONG_PAGE, PAGE = 10_000, 1_000
PAINT_ROUNDS, TICK_ROUNDS, APPLY_ROUNDS = 11, 31, 7

# Both stopwatches run inside the page: from the press of the mouse to the frame that shows it.

PAINTED = """() => { window.stopwatch = new Promise((done, give_up) => {
    setTimeout(give_up, 30000, 'the page did not show it')
    let pressed = null, changed = null, shown = null
    addEventListener('pointerdown', () => { pressed = performance.now() },
        {once: true, capture: true})
    const look = () => {
        const now = performance.now()
        const grid = document.querySelector('[data-testid=data-grid-canvas]')
        // The first column's upper rows; an empty grid has but one colour.
        const pixels = grid && grid.width
            ? grid.getContext('2d').getImageData(65, 40, 150, 200) : null
        let print = 0
        if (pixels) for (let i = 0; i < pixels.data.length; i += 4)
            print = (print * 31 + pixels.data[i]) | 0
        if (print !== shown) { shown = print; changed = now }
        const state = document.querySelector('[data-testid=stApp]').dataset.testScriptState
        if (pressed && changed > pressed && now - changed > 700 && state === 'notRunning')
            done(changed - pressed)
        else requestAnimationFrame(look)
    }
    look()
}) }"""

SAID = """pattern => { window.stopwatch = new Promise((done, give_up) => {
    setTimeout(give_up, 30000, 'the page did not show it')
    let pressed = null
    addEventListener('pointerdown', () => { pressed = performance.now() },
        {once: true, capture: true})
    const look = () => {
        const said = [...document.querySelectorAll('[data-testid=stMarkdown]')]
        if (pressed && said.some(text => new RegExp(pattern).test(text.textContent)))
            done(performance.now() - pressed)
        else requestAnimationFrame(look)
    }
    look()
}) }"""


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    with ExitStack() as stack:
        work = stack.enter_context(copied(large, "bench_work"))
        stack.enter_context(configured(work))
        _leave_frames()
        browser = stack.enter_context(_chromium())
        real = _desk(browser, stack.enter_context(servers.product(work)))
        real.sign_in("Analyst")
        real.settle()
        bare = _desk(browser, stack.enter_context(servers.bare_page()))
        yield _painting(real, bare, large)
        yield _ticking(real, bare, large)
        yield _applying(real, large)


@contextmanager
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("google-chrome")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


def _desk(browser: Browser, address: str) -> Desk:
    context = browser.new_context(viewport={"width": 1366, "height": 768}, locale="en-US")
    return Desk(context.new_page(), address)


def _filters(status: str) -> Filters:
    return Filters(status=SyncStatus.from_label(status) or SyncStatus.FAILED, window=Window.ALL)


def _leave_frames() -> None:
    """Give the bare page the very frames that the real one shows."""
    with reading() as connection:
        shown = {status: _shown(_filters(status), LONG_PAGE, connection) for status in STATUSES}
    for frame in shown.values():
        frame.insert(0, "Select", False)
    FRAMES.write_bytes(pickle.dumps({**shown, TICKED: shown[STATUSES[0]].head(PAGE)}))


def _shown(filters: Filters, rows: int, connection: Connection) -> pd.DataFrame:
    columns = INVOICES.shown(filters.status)
    return queries.readable(queries.load(connection, INVOICES, filters, rows), columns)


def _stopped(page: Page) -> float:
    milliseconds: float = page.evaluate("() => window.stopwatch")
    return milliseconds / 1000


# ---------------------------------------------------------------- a filter changes


def _painting(real: Desk, bare: Desk, database: Database) -> Figure:
    rows = urlencode({key(INVOICES, "rows"): rows_a_page(LONG_PAGE)})
    real.open(f"/invoices?{_filters(STATUSES[0]).address(INVOICES)}&{rows}")
    bare.open("/")
    pair = interleaved(_change_of_filter(real), _change_of_filter(bare), PAINT_ROUNDS)
    what = f"filter change to painted grid, {LONG_PAGE:,} rows"
    return pair.at_most(1.5, what, database.where, "bare page with the same frames from memory")


def _change_of_filter(desk: Desk) -> Timing:
    statuses = cycle(STATUSES[::-1])

    def change() -> float:
        desk.page.evaluate(PAINTED)
        desk.page.get_by_role("radio", name=next(statuses), exact=True).first.click()
        return _stopped(desk.page)

    return change


# ---------------------------------------------------------------- a tick


def _ticking(real: Desk, bare: Desk, database: Database) -> Figure:
    real.open(f"/invoices?{_filters(STATUSES[0]).address(INVOICES)}")
    bare.open("/?show=ticking")
    pair = interleaved(_tick(real), _tick(bare), TICK_ROUNDS)
    what = f"tick answered, {PAGE:,} rows"
    return pair.at_most(1.5, what, database.where, "bare fragment with the same frame")


def _tick(desk: Desk) -> Timing:
    """Tick ten rows one after the other and take them back. The row above them
    stays ticked, since where nothing is selected other words stand there."""
    turns = chain(
        [(0, 1)],
        cycle([(row, row + 1) for row in range(1, 11)] + [(row, row) for row in range(10, 0, -1)]),
    )

    def tick() -> float:
        row, selected = next(turns)
        desk.page.evaluate(SAID, f"^{selected} selected")
        desk.page.mouse.click(*_checkbox(desk.page, row))
        return _stopped(desk.page)

    return tick


def _checkbox(page: Page, row: int) -> tuple[float, float]:
    box = page.get_by_test_id("stDataFrame").bounding_box()
    assert box is not None
    return box["x"] + 30, box["y"] + ROW_HEIGHT * (row + 1.5)


# ---------------------------------------------------------------- a change of 1,000


def _applying(real: Desk, database: Database) -> Figure:
    real.open(f"/invoices?{_filters(STATUSES[0]).address(INVOICES)}")
    pair = interleaved(_apply(real), _operation(), APPLY_ROUNDS)
    what = f"Apply to receipt, {PAGE:,} records"
    return pair.at_most(2, what, database.where, "the operation alone")


def _apply(desk: Desk) -> Timing:
    def apply() -> float:
        if desk.page.get_by_role("button", name="Put away").count():
            desk.click("Put away")
        desk.click("Select all")
        desk.click("Send back to Pending")
        desk.page.get_by_text("anyway: I have looked").click()
        desk.settle()
        desk.page.evaluate(SAID, f"{PAGE:,} invoices moved to")
        desk.page.get_by_role("button", name="Apply to").click()
        taken = _stopped(desk.page)
        desk.settle()
        return taken

    return apply


def _operation() -> Timing:
    """The same change of the oldest records, without a page."""
    of = INVOICES.table.c
    who = Principal.command_line("benchmarks")
    turns = count()

    def operation() -> float:
        oldest = (
            select(of.id, of.version)
            .where(of.sync_status == int(SyncStatus.COMPLETE))
            .order_by(of.outcome_at)
            .limit(PAGE)
        )
        with reading() as connection:
            seen = dict(connection.execute(oldest).tuples().all())
        change = Change(SyncStatus.PENDING, accepted={INVOICES.key: list(seen)})
        return timed(
            lambda: change_status(who, str(uuid4()), {INVOICES.key: seen}, change, f"{next(turns)}")
        )()

    return operation
