"""`make soak`: what the suite tries a few times, for long. Exit code 1 where anything is wrong."""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import structlog

from synchist.accounts import Principal
from synchist.db import engine as engine_module
from synchist.db.prepare import upgrade
from synchist.demo import make_demo
from synchist.roles import Role
from tests.conftest import checked, running_postgresql, sign_in
from tests.soak.commits import cut_commits
from tests.soak.kills import kill_at_each_step
from tests.soak.race import race
from tests.soak.spoilt import read_spoilt

BETWEEN = 30
"""Seconds between two words on how far it is."""


def main() -> int:
    """Try what was asked for, on both kinds of database."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("words", nargs="*", help="only parts with these words in their names")
    number = partial(parser.add_argument, type=int)
    number("--changes", default=1_000_000, help="rows that a race changes; on SQLite a fifth")
    number("--cuts", default=1_000, help="COMMITs that are cut")
    number("--kills", default=20, help="kills at each step of an operation")
    number("--spoilt", default=2_000, help="spoilt reports that are read")
    asked = parser.parse_args()
    chosen = [part for part in _parts(asked) if all(word in part.name for word in asked.words)]
    # That a connection was lost is no news here.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    wrong = sum(not _holds(part) for part in chosen)
    print(f"{wrong} of {len(chosen)} went wrong." if wrong else "Nothing was lost or done twice.")
    return 1 if wrong or not chosen else 0


# ---------------------------------------------------------------- the parts

People = list[Principal]
Progress = Callable[[object], None]


@dataclass(frozen=True)
class Part:
    """Something to try on a fresh demo of so many records, with so many people."""

    name: str
    database: Callable[[], AbstractContextManager[str]]
    records: int
    people: int
    attempt: Callable[[str, People, Progress], object]


def _parts(asked: argparse.Namespace) -> list[Part]:
    def racing(goal: int, address: str, people: People, progress: Progress) -> object:
        result = race(address, people, goal, progress=progress)
        assert not result.wrong, "\n".join([str(result), *result.wrong[:20]])
        return result

    def cutting(address: str, people: People, progress: Progress) -> object:
        return cut_commits(address, people[0], asked.cuts, progress)

    def killing(_: str, people: People, progress: Progress) -> object:
        return kill_at_each_step(people[0], asked.kills, progress)

    def spoiling(_: str, __: People, progress: Progress) -> object:
        return read_spoilt(asked.spoilt, progress)

    most, fewer = partial(racing, asked.changes), partial(racing, asked.changes // 5)
    return [
        Part("race, PostgreSQL", running_postgresql, 2_000, 16, most),
        Part("race, SQLite", _sqlite, 2_000, 8, fewer),
        Part("cuts, PostgreSQL", running_postgresql, 600, 1, cutting),
        Part("kills, PostgreSQL", running_postgresql, 600, 1, killing),
        Part("kills, SQLite", _sqlite, 600, 1, killing),
        Part("kills, SQLite with a rollback journal", _rolling_back, 600, 1, killing),
        Part("spoilt reports", _sqlite, 50, 1, spoiling),
    ]


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="synchist-soak-") as folder:
        yield f"sqlite:///{Path(folder) / 'synchist.db'}"


@contextmanager
def _rolling_back() -> Iterator[str]:
    """As where the SQLite library has no write-ahead log that is safe."""
    with pytest.MonkeyPatch.context() as patch, _sqlite() as address:
        patch.setattr(engine_module, "SAFE_WAL", (99,))
        yield address


# ---------------------------------------------------------------- trying one


def _holds(part: Part) -> bool:
    """Try it, and print what it came to."""
    print(f"   {part.name}", flush=True)
    try:
        with part.database() as address, checked(address):
            upgrade()
            make_demo(part.records, seed=1)
            people = [sign_in(f"person{n}", Role.ACCOUNTING_SYNC) for n in range(part.people)]
            result = part.attempt(address, people, _teller())
    except (Exception, pytest.fail.Exception) as wrong:  # it is said, and the next one is tried
        print(f"!! {part.name}: {type(wrong).__name__}: {wrong}", flush=True)
        return False
    print(f"ok {part.name}: {result}", flush=True)
    return True


def _teller() -> Progress:
    """Says now and then how far it is."""
    began = said = time.monotonic()

    def tell(done: object) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= BETWEEN:
            said = now
            far = f"{done:,}" if isinstance(done, int) else done
            print(f"      {far} after {now - began:,.0f} s", flush=True)

    return tell


if __name__ == "__main__":
    sys.exit(main())
