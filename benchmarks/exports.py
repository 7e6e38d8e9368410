"""Export of 50,000 invoices, each in a process of its own, so that its memory can be told apart.

`python -m benchmarks.exports {product,openpyxl,writer} ADDRESS` does it once and prints seconds
and MiB. The address is an export's, as the product itself makes and parses it.
"""

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs

import pandas as pd
from rustpy_xlsxwriter import write_worksheet

from benchmarks.databases import Database, configured
from benchmarks.measure import Figure, Timing, interleaved, limit
from synchist import export, queries
from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.entities import INVOICES
from synchist.filters import EARLIEST, Filters, Window, parse, today
from synchist.statuses import SyncStatus

ROWS = 50_000
OPENPYXL_ROUNDS = 3
WRITER_ROUNDS = 5


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    with configured(large):
        filters, count = about(ROWS)
        what = f"export of {count:,} invoices"
        memory: list[float] = []
        product = _child("product", filters, memory)
        pair = interleaved(product, _child("openpyxl", filters), OPENPYXL_ROUNDS)
        baseline = 'DataFrame.to_excel(engine="openpyxl") of the ready frame'
        yield pair.faster(8, what, large.where, baseline)
        pair = interleaved(product, _child("writer", filters), WRITER_ROUNDS)
        yield pair.at_most(2, what, large.where, "bare Rust writer on the ready frame")
        what = f"memory of an {what} over idle, at its peak"
        yield limit(what, large.where, max(memory), 300, "MiB", len(memory))


def about(rows: int) -> tuple[Filters, int]:
    """Complete invoices of as many latest days as hold so many rows, and how many those are."""
    days, step = 0, 4_096
    everything = Filters(
        status=SyncStatus.COMPLETE, window=Window.CUSTOM, start=EARLIEST, end=today()
    )

    def latest(number: int) -> Filters:
        return replace(everything, start=max(EARLIEST, today() - timedelta(days=number)))

    with reading() as connection:
        while step := step // 2:
            if queries.total(connection, INVOICES, latest(days + step)).count < rows:
                days += step
        found = latest(days + 1)
        return found, queries.total(connection, INVOICES, found).count


def _child(how: str, filters: Filters, memory: list[float] | None = None) -> Timing:
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.exports",
        how,
        filters.address(INVOICES),
    ]

    def timing() -> float:
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        said = json.loads(done.stdout)
        if memory is not None:
            memory.append(said["mib"])
        seconds: float = said["seconds"]
        return seconds

    return timing


# ---------------------------------------------------------------- in the child


def _once(how: str, address: str) -> None:
    filters, _ = parse(INVOICES, parse_qs(address))
    # As in a server that has exported before: everything imported, connected, the file read.
    TASKS["product"](replace(filters, start=filters.end))()
    task = TASKS[how](filters)
    idle = _mebibytes("VmRSS")
    start = time.perf_counter()
    task()
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "mib": _mebibytes("VmHWM") - idle}))


def _product(filters: Filters) -> Callable[[], object]:
    return partial(export.workbook, Principal.command_line("benchmarks"), INVOICES, filters)


def _openpyxl(filters: Filters) -> Callable[[], object]:
    return partial(_ready(filters).to_excel, io.BytesIO(), engine="openpyxl", index=False)


def _writer(filters: Filters) -> Callable[[], object]:
    return partial(write_worksheet, _ready(filters), io.BytesIO())


TASKS = {"product": _product, "openpyxl": _openpyxl, "writer": _writer}


def _ready(filters: Filters) -> pd.DataFrame:
    columns = INVOICES.shown(filters.status)
    with reading() as connection:
        frame = queries.load(connection, INVOICES, filters)
    return queries.readable(frame, columns).reset_index(drop=True)


def _mebibytes(name: str) -> float:
    """Memory of this process now (VmRSS) or at its highest (VmHWM), as Linux tells it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise KeyError(name)


if __name__ == "__main__":
    _once(*sys.argv[1:])
