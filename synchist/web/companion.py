"""What the server does beside answering: it diagnoses failures soon after jobs have stored them,
and sees when closed books are open again."""

from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex
from threading import Event, Thread

import structlog

from synchist import closed_books, problems
from synchist.db.engine import DatabaseUnavailable

log = structlog.get_logger()

PAUSE_SECONDS = 5.0
"""How often it looks for failures that nobody has diagnosed."""

BREATH_SECONDS = 0.02
"""Between two batches, so that pages are answered while there are many."""


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
    while not stop.is_set():
        try:
            while problems.catch_up() and not stop.wait(BREATH_SECONDS):
                pass
            closed_books.forget_reopened()
        except DatabaseUnavailable:
            pass  # logged where it happened
        except Exception as error:  # whatever it is, the server lives on and tries again
            log.error("diagnosing failed", error_id=token_hex(4), exc_info=error)
        stop.wait(PAUSE_SECONDS)
