"""What the server does beside answering: it diagnoses failures soon after jobs have stored them,
sees when closed books are open again, counts what was open at the end of each day, and seals the
history."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from secrets import token_hex
from threading import Event, Thread
from time import monotonic

import structlog

from synchist import closed_books, overview, problems
from synchist.db.engine import DatabaseUnavailable
from synchist.sealing import Sealer, SealFileNotWritten

log = structlog.get_logger()

PAUSE_SECONDS = 5.0
"""How often it looks for failures that nobody has diagnosed."""

BREATH_SECONDS = 0.02
"""Between two batches, so that pages are answered while there are many."""

COUNT_SECONDS = 60.0
"""How often it looks whether a finished day has to be counted."""

SEAL_SECONDS = 60.0
"""How often the history is sealed."""

SEALING_SECONDS = 0.1
"""So long it seals between two pauses where there is much to seal: 2 in 100 seconds, since whoever
works in the same process waits for it."""


def at_work() -> AbstractContextManager[None]:
    """A thread that keeps up with the jobs for as long as the server runs."""
    return beside(_keep_up)


@contextmanager
def beside(work: Callable[[Event], None]) -> Iterator[None]:
    """A thread that works until it is told to stop, at the end."""
    stop = Event()
    thread = Thread(target=work, args=(stop,), name="companion", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keep_up(stop: Event) -> None:
    counted, sealed, sealer = -COUNT_SECONDS, -SEAL_SECONDS, Sealer()
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
        if monotonic() >= sealed + SEAL_SECONDS and not _seal(sealer, stop):
            sealed = monotonic()
        stop.wait(PAUSE_SECONDS)


def _count_days(stop: Event) -> None:
    for day in overview.outdated():
        overview.count(day)
        if stop.wait(BREATH_SECONDS):
            return


def _seal(sealer: Sealer, stop: Event) -> bool:
    """Seal a little of the history; whether there is more to do soon."""
    try:
        sealer.look()
        worked, since = 0.0, monotonic()
        for _ in sealer.seals():
            worked += monotonic() - since
            if worked >= SEALING_SECONDS or stop.wait(BREATH_SECONDS):
                break
            since = monotonic()
        sealer.announce()
    except DatabaseUnavailable:
        return False  # logged where it happened
    except SealFileNotWritten as error:
        log.warning("seal file not written", error=str(error.__cause__))
    except Exception as error:  # a database without seals still has its history
        log.error("sealing failed", error_id=token_hex(4), exc_info=error)
        return False
    return sealer.unfinished
