"""What the server does beside answering: it diagnoses failures soon after jobs have stored them,
sees when closed books are open again, and counts what was open at the end of each day."""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from threading import Event, Thread
from time import monotonic

import structlog

from synchist import closed_books, overview, problems
from synchist.db.engine import DatabaseUnavailable

log = structlog.get_logger()

PAUSE_SECONDS = 5.0
"""How often it looks for failures that nobody has diagnosed."""

BREATH_SECONDS = 0.02
"""Between two batches, so that pages are answered while there are many."""

COUNT_SECONDS = 60.0
"""How often it looks whether a finished day has to be counted."""


@contextmanager
def at_work() -> Iterator[None]:
    """A thread that keeps up with the jobs for as long as the server runs."""
    stop = Event()
    thread = Thread(target=_keep_up, args=(stop,), name="companion", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keep_up(stop: Event) -> None:
    counted = -COUNT_SECONDS
    while not stop.is_set():
        try:
            while problems.catch_up() and not stop.wait(BREATH_SECONDS):
                pass
            closed_books.forget_reopened()
            if monotonic() >= counted + COUNT_SECONDS:
                _count_days(stop)
                counted = monotonic()
        except DatabaseUnavailable:
            pass  # logged where it happened
        except Exception as error:  # whatever it is, the server lives on and tries again
            log.error("keeping up failed", error_id=token_hex(4), exc_info=error)
        stop.wait(PAUSE_SECONDS)


def _count_days(stop: Event) -> None:
    for day in overview.outdated():
        overview.count(day)
        if stop.wait(BREATH_SECONDS):
            return
