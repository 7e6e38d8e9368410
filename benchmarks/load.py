"""Twenty people at work, with and without somebody's export of 50,000 invoices.

`python -m benchmarks.load ADDRESS SECONDS EXPORT` acts for so long in a process of its own and
prints how long each action took. EXPORT is an export's path, or nothing.
"""

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import httpx
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.Delta_pb2 import Delta
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import WebSocketException

from benchmarks import servers
from benchmarks.databases import Database, configured, copied
from benchmarks.exports import ROWS, about
from benchmarks.measure import Figure, Pair, limit
from synchist.entities import INVOICES
from tests.ui.protocol import Tab

SESSIONS, PAUSE = 20, 2.0
SECONDS, WINDOWS = 30.0, 2


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    with copied(large, "bench_work") as work, configured(work), servers.product(work) as address:
        filters, rows = about(ROWS)
        export = f"/export/{INVOICES.slug}.xlsx?{filters.address(INVOICES)}"
        _window(address, 5, "")  # the server's first answers are slower
        taken: dict[str, list[float]] = {"": [], export: []}
        errors = exported = 0
        for _ in range(WINDOWS):
            for meanwhile in taken:
                said = _window(address, SECONDS, meanwhile)
                taken[meanwhile] += said["seconds"]
                errors += len(said["errors"])
                exported += said["exported"]
    what = f"p95 of {SESSIONS} sessions' actions while {rows:,} are exported ({exported} times)"
    without, during = (_p95(taken[meanwhile]) for meanwhile in ("", export))
    actions = len(taken[export])
    baseline = "the same without the export"
    figure = Pair(during, without, actions).at_most(2, what, large.where, baseline)
    if without > PAUSE:
        # Who waits longer than the pause does not act every two seconds: the ratio says nothing.
        figure = replace(figure, what=f"{what}, overloaded without it as well", reached=False)
    yield figure
    yield limit(f"errors of {SESSIONS} sessions", large.where, errors, 0, "errors", actions)


def _p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


def _window(address: str, seconds: float, export: str) -> Any:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.load"]
    done = subprocess.run(
        [*command, address, str(seconds), export], stdout=subprocess.PIPE, check=True
    )
    return json.loads(done.stdout)


# ---------------------------------------------------------------- in the child


class Wrong(Exception):
    """A page showed an error, or an export was not a workbook."""


class Person(Tab):
    """A session that works on the failed invoices: ticks, which a fragment answers, and searches,
    for which the whole page is read again."""

    def act(self, turn: int) -> None:
        """Every fourth action searches, and the one after it takes the search back."""
        if turn % 4 in (2, 3):
            text = "CHI-6" if turn % 4 == 2 else ""
            self.run(WidgetState(id=self.search.id, string_value=text))
        else:
            content = {"edited_rows": {"0": {"Select": True}}, "added_rows": [], "deleted_rows": []}
            state = WidgetState(id=self.grid().id, string_value=json.dumps(content))
            self.run(state, fragment=self.fragment)

    def take(self, delta: Delta) -> None:
        """Note what can be used, and whether the page shows an error."""
        super().take(delta)
        element = delta.new_element
        kind = element.WhichOneof("type")
        if kind == "dataframe":
            self.fragment = delta.fragment_id
        elif kind == "text_input" and element.text_input.label == "Search":
            self.search = element.text_input
        elif kind == "exception" or (kind == "alert" and element.alert.format == Alert.ERROR):
            raise Wrong(str(element)[:500])


class Report:
    """What became of everybody's actions."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.exported = 0

    def note(self, task: Callable[[], None]) -> bool:
        """Do something; False where it went wrong."""
        try:
            task()
        except (Wrong, OSError, TimeoutError, WebSocketException, httpx.HTTPError) as error:
            self.errors.append(repr(error))
            return False
        return True


class Window:
    """The time that counts: it begins when everybody has opened the page."""

    def __init__(self, seconds: float, people: int) -> None:
        self._seconds = seconds
        self._barrier = threading.Barrier(people, action=self._open)

    def wait(self) -> None:
        """Wait for the others."""
        self._barrier.wait(120)

    def _open(self) -> None:
        self.begin = time.monotonic()
        self.end = self.begin + self._seconds


def _work(address: str, number: int, window: Window, report: Report) -> None:
    """One person: an action every PAUSE seconds, not all at the same moment."""
    with Person(address, "invoices", "analyst") as person:
        opened = report.note(person.run)
        window.wait()
        if not opened:
            return
        for turn in count():
            due = window.begin + PAUSE * (turn + number / SESSIONS)
            if due >= window.end:
                return
            time.sleep(max(0.0, due - time.monotonic()))
            start = time.monotonic()
            if report.note(partial(person.act, turn)):
                report.seconds.append(time.monotonic() - start)


def _export(address: str, path: str, window: Window, report: Report) -> None:
    """One file after the other, so that there is an export at any time."""
    form = {"demo": "analyst", "next": "/"}
    with httpx.Client(base_url=address, headers={"Origin": address}, timeout=120) as client:
        client.post("/sign-in", data=form)

        def once() -> None:
            reply = client.get(path)
            if reply.status_code != httpx.codes.OK or not reply.content.startswith(b"PK"):
                raise Wrong(reply.text[:500])
            report.exported += 1

        window.wait()
        while time.monotonic() < window.end and report.note(once):
            pass


def main(address: str, seconds: str, export: str) -> None:
    """Let everybody act until the time is over, then say how it went."""
    report = Report()
    threading.excepthook = lambda args: report.errors.append(repr(args.exc_value))
    window = Window(float(seconds), SESSIONS + bool(export))
    threads = [
        threading.Thread(target=_work, args=(address, number, window, report))
        for number in range(SESSIONS)
    ]
    if export:
        threads.append(threading.Thread(target=_export, args=(address, export, window, report)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(vars(report)))


if __name__ == "__main__":
    main(*sys.argv[1:])
