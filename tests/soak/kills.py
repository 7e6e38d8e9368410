"""T5: `kill -9` at each step of an operation: all of it is there or nothing, and asked again it is
carried out exactly once."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Engine, event, text

from synchist.accounts import Principal
from synchist.db import engine as engine_module
from synchist.db.engine import database, reading
from synchist.settings import settings
from synchist.statuses import SyncStatus
from tests.invariants import violations
from tests.soak.operations import (
    Versions,
    carried_out_once,
    configure,
    move,
    new_identity,
    processes,
    some,
    stored,
    versions,
)

BEFORE, AFTER = "before COMMIT", "after COMMIT"
NOT_THERE = 999_999_999
VICTIM = "victim"
"""What its connection is called on PostgreSQL."""

Asked = tuple[Principal, str, Versions, SyncStatus]
"""What `operations.move` takes."""


def kill_at_each_step(
    principal: Principal, times: int, progress: Callable[[str], None] = lambda step: None
) -> str:
    """Kill an operation so many times at each of its steps. Returns in words what was done; raises
    AssertionError."""
    chance, began = Random(5), time.monotonic()
    steps = _rehearsed(_asked(principal, chance))
    assert [steps.index(BEFORE), steps.index(AFTER)] == [len(steps) - 2, len(steps) - 1], (
        f"An operation should end with its only COMMIT: {steps}"
    )
    in_the_file = 0
    for number, step in enumerate(steps):
        for time_of_many in range(times):
            asked = _asked(principal, chance)
            in_the_file += _kill_and_ask_again(asked, number, thorough=time_of_many == 0)
        progress(step)
    left = f", {in_the_file:,} of them with half of it written to the file" if in_the_file else ""
    return (
        f"{times * len(steps):,} operations killed at {len(steps)} steps{left}, in"
        f" {time.monotonic() - began:,.0f} s: each all or nothing, then done once"
    )


def _asked(principal: Principal, chance: Random) -> Asked:
    """For some hundred records of two entities: of each a tenth was changed since, and one is not
    there at all."""
    selection = some(versions(), chance, entities=2, share=0.5)
    for records in selection.values():
        for record in chance.sample(sorted(records), len(records) // 10):
            records[record] -= 1
        records[NOT_THERE] = 1
    return principal, new_identity(chance), selection, SyncStatus.COMPLETE


def _kill_and_ask_again(asked: Asked, number: int, thorough: bool) -> bool:
    """Returns whether half of it already stood in SQLite's file, to be rolled back."""
    before, identity = versions(), asked[1]
    file = _content()
    step = _killed(asked, number)
    half = step != AFTER and _content() != file
    database().dispose()  # so that it is opened anew, as after a restart
    with reading() as connection:
        there = stored(connection, identity)
        wrong = violations(connection) if thorough else []
    assert not wrong, f"After a kill at “{step}”: {wrong[:5]}"
    assert bool(there) == (step == AFTER), f"After a kill at “{step}” there is {there}."
    assert there or versions() == before, f"After a kill at “{step}” records have changed."
    carried_out_once(*asked, before)
    return half


def _content() -> bytes:
    """Of SQLite's file itself; with a write-ahead log, nothing is written to it for a while."""
    if database().dialect.name == "postgresql":
        return b""
    return Path(settings().url.removeprefix("sqlite:///")).read_bytes()


# ---------------------------------------------------------------- the victim


def _rehearsed(asked: Asked) -> list[str]:
    """The steps of an operation that nobody kills."""
    process, steps = _victim(asked, None)
    assert process.exitcode == 0
    return steps


def _killed(asked: Asked, number: int) -> str:
    """At which step a victim was killed."""
    process, steps = _victim(asked, number)
    assert process.exitcode == -signal.SIGKILL, f"Step {number} did not come: {steps}"
    if database().dialect.name == "postgresql":
        _wait_until_gone()
    return steps[-1]


def _victim(asked: Asked, kill_at: int | None) -> tuple[Any, list[str]]:
    """Let a process of its own try it; the process once it has ended, and its steps."""
    with processes(__name__) as context:
        receiver, sender = context.Pipe(duplex=False)
        given = (settings().url, engine_module.SAFE_WAL, sender, kill_at, asked)
        process = context.Process(target=_operate, args=given)
        process.start()
    sender.close()  # only the victim's end is left, so that this one ends with it
    steps = []
    with suppress(EOFError):
        while True:
            steps.append(receiver.recv())
    process.join()
    return process, steps


def _operate(
    url: str, safe_wal: tuple[int, ...], sender: Pipe, kill_at: int | None, asked: Asked
) -> None:
    """What the victim does: the operation, and an end to itself at the step."""
    engine_module.SAFE_WAL = safe_wal
    os.environ["PGAPPNAME"] = VICTIM
    configure(url)
    numbers = count()

    def step(name: str) -> None:
        sender.send(name)
        if next(numbers) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch(database(), step)
    move(*asked)


def _watch(engine: Engine, step: Callable[[str], None]) -> None:
    """Call `step` after each statement, and around the COMMIT."""

    @event.listens_for(engine, "after_cursor_execute")
    def _executed(*arguments: Any) -> None:
        step(" ".join(arguments[2].split()[:3]))

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        # What does not fit into a small cache goes to the file before the COMMIT.
        if engine.dialect.name == "sqlite":
            connection.execute("PRAGMA cache_size = 10")

    commit = engine.dialect.do_commit

    def committing(connection: Any) -> None:
        step(BEFORE)
        commit(connection)
        step(AFTER)

    engine.dialect.do_commit = committing


def _wait_until_gone() -> None:
    """Until the server has noticed that its client is dead."""
    deadline = time.monotonic() + 10
    gone = text("SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = :name")
    while time.monotonic() < deadline:
        with reading() as connection:
            if connection.scalar(gone, {"name": VICTIM}):
                return
        time.sleep(0.005)
    raise AssertionError("The server still works for a client that was killed 10 seconds ago.")
