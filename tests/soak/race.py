"""T3: many writers over the same records, sync jobs and the companion beside them, nothing lost.

Every writer is a process of its own, as servers are. It reads versions as a page does, ticks
records in any order, and moves them. Now and then what it has read is old, or it clicks twice, or
a badly behaved job holds some of its records during their push.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sqlalchemy import Connection, func, select, text
from structlog.testing import capture_logs

from synchist import problems
from synchist.accounts import Principal
from synchist.db.engine import database, reading, writing
from synchist.db.tables import operation_item, sync_event
from synchist.db.types import utc_now
from synchist.demo.live import Pace, Worker
from synchist.entities import BY_KEY, Entity
from synchist.status_changes import Receipt
from synchist.statuses import ItemOutcome, SyncStatus
from tests.soak.operations import (
    Versions,
    configure,
    move,
    new_identity,
    processes,
    some,
    stored,
    versions,
)

OLD, TWICE, HELD = 0.1, 0.1, 0.1
"""How often a writer acts on what it read long ago, clicks twice, meets a job in its push."""

Attempt = tuple[str, int]
"""The entity and the record whose outcome a job has written."""


@dataclass
class Tally:
    """What the writers and jobs have been told, and what they have met."""

    receipts: list[Receipt] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    met: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(
            self.receipts + other.receipts,
            self.attempts + other.attempts,
            self.met + other.met,
            self.troubles + other.troubles,
        )

    @property
    def outcomes(self) -> Counter[ItemOutcome]:
        """Over all operations."""
        return sum((Counter(one.outcomes) for one in self.receipts), Counter())


@dataclass(frozen=True)
class Result:
    """What a race came to; `wrong` is empty where nothing was lost and nobody was in trouble.
    Whether the history is whole is for the invariants to say."""

    tally: Tally
    seconds: float
    wrong: list[str]

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count:,} {one}" for one, count in self.tally.outcomes.items())
        met = ", ".join(f"{count:,} {what}" for what, count in self.tally.met.items())
        rate = self.tally.outcomes[ItemOutcome.APPLIED] / self.seconds
        return (
            f"{len(self.tally.receipts):,} operations ({outcomes}; {met}) and"
            f" {len(self.tally.attempts):,} attempts in {self.seconds:,.0f} s:"
            f" {rate:,.0f} changes a second"
        )


def race(
    url: str,
    writers: Sequence[Principal],
    goal: int,
    jobs: int = 4,
    seed: int = 1,
    progress: Callable[[int], None] = lambda changed: None,
) -> Result:
    """Let the writers change so many rows together, then look for what was lost.

    `url` is the configured database. `progress` is told every few seconds how many are changed.
    """
    with reading() as connection:
        last = connection.scalar(select(func.coalesce(func.max(sync_event.c.id), 0)))
        known = stored(connection).keys()
    began = time.monotonic()
    with processes(__name__) as context:
        stop, changed = context.Event(), context.Value("q", 0)
        with ProcessPoolExecutor(
            len(writers) + jobs + 1, context, _enter, (url, stop, changed)
        ) as pool:
            others = [pool.submit(_run, _sync, seed + n, n, jobs) for n in range(jobs)]
            others.append(pool.submit(_run, _keep_up))
            running = [
                pool.submit(_run, _write, seed + number, principal, goal)
                for number, principal in enumerate(writers, start=jobs)
            ]
            while wait(running, timeout=5).not_done:
                progress(changed.value)
            seconds = time.monotonic() - began
            stop.set()
    tally = sum((future.result() for future in (*running, *others)), Tally())
    with reading() as connection:
        wrong = [*tally.troubles, *_lost(connection, tally, last, known), *_deadlocks(connection)]
    return Result(tally, seconds, wrong)


def _lost(connection: Connection, tally: Tally, last: int, known: Any) -> Iterator[str]:
    """A sentence for each thing that was told and is not stored, or stored and was not told."""
    there = {key: one for key, one in stored(connection).items() if key not in known}
    told = {receipt.operation_id: receipt for receipt in tally.receipts}
    for key in there.keys() ^ told.keys():
        yield f"operation {key}: {'nobody was told of it' if key in there else 'it is not there'}."
    for key in there.keys() & told.keys():
        if not there[key].is_all_of(told[key]):
            yield f"operation {key}: told {told[key].outcomes}, stored {there[key]}."
    event = sync_event.c
    attempts = connection.execute(
        select(event.entity, event.record_id).where(event.kind == "attempt", event.id > last)
    )
    found, made = Counter(tuple(row) for row in attempts), Counter(tally.attempts)
    for key, record in found.keys() | made.keys():
        if found[key, record] != made[key, record]:
            yield (
                f"{key} {record}: {made[key, record]} attempts were made,"
                f" its history has {found[key, record]}."
            )


def _deadlocks(connection: Connection) -> Iterator[str]:
    """What the server has ended and somebody tried again: nobody was shown it."""
    if connection.dialect.name == "postgresql":
        counted = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        if found := connection.scalar(text(counted)):
            yield f"There were {found} deadlocks."


# ---------------------------------------------------------------- in each process

_stop: Any
_changed: Any


def _enter(url: str, stop: Any, changed: Any) -> None:
    """What a process of the race begins with."""
    global _stop, _changed
    configure(url)
    _stop, _changed = stop, changed


def _run(do: Callable[..., None], seed: int = 0, *rest: Any) -> Tally:
    """Do it, and end the race for all where that brings anybody into trouble."""
    tally = Tally()
    with capture_logs() as said:  # jobs and the companion try again where there is trouble
        try:
            do(tally, Random(seed), *rest)
        except Exception as error:  # whatever it is, it is what the race is there to find
            tally.troubles.append(f"{do.__name__}: {error!r}")
            _stop.set()
    tally.troubles += [f"{do.__name__}: {line}" for line in said]
    return tally


def _write(tally: Tally, chance: Random, principal: Principal, goal: int) -> None:
    """Move records until all writers together have changed enough."""
    seen = versions()
    while _changed.value < goal and not _stop.is_set():
        if chance.random() < OLD:
            tally.met["on old versions"] += 1
        else:
            seen = versions()
        selection = some(seen, chance, chance.randint(1, 4), chance.uniform(0.05, 0.6))
        receipt = _operate(tally, chance, principal, selection)
        tally.receipts.append(receipt)
        with _changed.get_lock():
            _changed.value += receipt.applied


def _operate(tally: Tally, chance: Random, principal: Principal, selection: Versions) -> Receipt:
    identity = new_identity(chance)
    to, dice = chance.choice(list(SyncStatus)), chance.random()

    def operate() -> Receipt:
        return move(principal, identity, selection, to)

    if dice < TWICE:
        tally.met["clicked twice"] += 1
        return _twice(operate)
    # On SQLite a job that held its lock would hold all of them: nothing to skip.
    if dice < TWICE + HELD and database().dialect.name == "postgresql":
        return _beside_a_push(tally, chance, selection, operate)
    return operate()


def _twice(operate: Callable[[], Receipt]) -> Receipt:
    with ThreadPoolExecutor(2) as clicks:
        one, other = clicks.map(lambda _: operate(), range(2))
    # Not what became of the records: that is of the moment at which it is read.
    if (one.requested, one.outcomes) != (other.requested, other.outcomes):
        raise AssertionError(f"Two clicks on one operation got two answers: {one} and {other}")
    return one


def _beside_a_push(
    tally: Tally, chance: Random, selection: Versions, operate: Callable[[], Receipt]
) -> Receipt:
    """A job keeps rows locked during its push, which ends only after the operation has answered:
    one that waited for the job would wait for ever."""
    key = chance.choice(sorted(selection))
    of = BY_KEY[key].table.c
    wanted = select(of.id).where(of.id.in_(list(selection[key])[:5]))
    with writing() as job:
        held = job.scalars(wanted.with_for_update(skip_locked=True)).all()
        receipt = operate()
        said = _said(receipt.operation_id, key, held)
        if said != [ItemOutcome.BUSY] * len(held):
            raise AssertionError(f"A job held {len(held)} records, and the operation says {said}.")
        for record in held:
            _fail(job, key, record)
    tally.attempts += [(key, record) for record in held]
    tally.met["held in a push"] += len(held)
    return receipt


def _said(identity: str, key: str, records: Sequence[int]) -> list[str]:
    of = operation_item.c
    with reading() as connection:
        return list(
            connection.scalars(
                select(of.outcome).where(
                    of.operation_id == identity, of.entity == key, of.record_id.in_(records)
                )
            )
        )


def _fail(job: Connection, key: str, record: int) -> None:
    """A job's outcome, as it stands in docs/jobs.md."""
    at = utc_now()
    job.execute(
        text(
            f"UPDATE {key} SET sync_status = 2, sync_at = :now, sync_error_code = '6240',"
            " sync_error = 'Duplicate name exists' WHERE id = :id"
        ),
        {"now": at, "id": record},
    )


class _Job(Worker):
    """A sync job that notes what it pushes, in a hurry."""

    def __init__(self, tally: Tally, chance: Random, share: tuple[int, int]) -> None:
        super().__init__(chance, Pace(push_seconds=(0, 0.01)), share=share, stop=_stop)
        self._tally = tally

    def talk(self, entity: Entity, record_id: int) -> None:
        self._tally.attempts.append((entity.key, record_id))
        super().talk(entity, record_id)


def _sync(tally: Tally, chance: Random, *share: int) -> None:
    """Sync jobs' rounds, one after the other."""
    job = _Job(tally, chance, share)
    while not _stop.wait(0.02):
        job.round()


def _keep_up(tally: Tally, _: Random) -> None:
    """The server's companion, without its pauses."""
    while not _stop.wait(0.02):
        tally.met["diagnosed"] += problems.catch_up()
