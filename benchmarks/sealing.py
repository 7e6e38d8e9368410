"""How long a million rows of history take to verify, and what sealing costs whoever writes."""

import statistics
from collections.abc import Iterator
from hashlib import sha256
from itertools import cycle
from threading import Event
from time import perf_counter
from typing import Any

from sqlalchemy import select, update

from benchmarks.changes import _product
from benchmarks.databases import Database, configured, copied
from benchmarks.measure import Figure, Timing, interleaved, limit, timed
from synchist import sealing
from synchist.db.engine import reading, writing
from synchist.db.types import utc_now
from synchist.entities import INVOICES
from synchist.sealing.forms import FORM_1
from synchist.web import companion

RECORDS = 1_000
ROUNDS = 7
A_MILLION = 1_000_000


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    with copied(large, "bench_work") as work, configured(work):
        sealing.seal_all()
        rows = sealing.covered()
        pair = interleaved(timed(sealing.verify), timed(_read_all), rounds=3)
        seconds = pair.measured * A_MILLION / rows
        what = f"verify {rows:,} rows"
        yield limit(f"{what}, a million of them", large.where, seconds, 60, "s", pair.rounds)
        yield pair.at_most(5, what, large.where, "SELECT of all, SHA-256 of each row, raw driver")
        with reading() as connection:
            of = INVOICES.table.c
            latest = select(of.id).order_by(of.id.desc()).limit(RECORDS)
            ids = sorted(connection.scalars(latest))
        baseline = "the same without sealing"
        for what, one in (
            (f"change of {RECORDS:,}", _product({"invoice": ids})),
            ("a job's UPDATE of one record", _job(ids)),
        ):
            pair = interleaved(_beside_sealing(one), _stretch(one), rounds=ROUNDS)
            yield pair.at_most(1.05, f"{what}, while a backlog is sealed", large.where, baseline)


def _read_all() -> None:
    """The least that it takes: every row from the database, and a hash of it."""
    with reading() as connection:
        cursor: Any = connection.connection.cursor()
        for source, columns in FORM_1.sources.items():
            cursor.execute(f"SELECT {', '.join(columns)} FROM {source} ORDER BY id")
            while rows := cursor.fetchmany(1_000):
                for row in rows:
                    sha256(repr(row).encode()).digest()
        cursor.close()


def _job(ids: list[int]) -> Timing:
    each = cycle(ids)

    def write() -> None:
        failed = {"sync_status": 2, "sync_at": utc_now(), "sync_error": "Timeout"}
        with writing() as connection:
            of = INVOICES.table
            connection.execute(update(of).where(of.c.id == next(each)).values(failed))

    def timing() -> float:
        start = perf_counter()
        write()
        return perf_counter() - start

    return timing


def _stretch(one: Timing) -> Timing:
    """One after the other, from one round of the server's sealing to the next: their mean."""

    def timing() -> float:
        end, times = perf_counter() + companion.PAUSE_SECONDS, list[float]()
        while perf_counter() < end:
            times.append(one())
        return statistics.mean(times)

    return timing


def _beside_sealing(one: Timing) -> Timing:
    stretch = _stretch(one)

    def timing() -> float:
        with companion.beside(_seal_as_the_server):
            return stretch()

    return timing


def _seal_as_the_server(stop: Event) -> None:
    """What the server does while there is more to seal than it may seal at once."""
    sealer = sealing.Sealer()
    while not stop.is_set():
        companion._seal(sealer, stop)
        stop.wait(companion.PAUSE_SECONDS)
