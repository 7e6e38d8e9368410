"""A report of 100,000 lines: read, beside what reads its cells alone; matched with as many records,
beside a bare merge of the two tables."""

import csv
import io
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pandas as pd
from python_calamine import CalamineWorkbook
from rustpy_xlsxwriter import write_worksheet

from benchmarks.databases import SQLITE, Database, configured
from benchmarks.measure import Figure, interleaved, timed
from synchist.entities import INVOICES
from synchist.reconciliation.matching import match
from synchist.reconciliation.reading import read
from tests.reconciliation import disturbed

MOST = 100_000
"""Lines of the report, and records that it is held against."""


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group. None asks the database, so that one kind is enough."""
    if large.kind != SQLITE:
        return
    yield from _reading(large)
    with configured(large):
        found = pd.concat([disturbed.load(INVOICES, company) for company in (1, 2, 3)]).head(MOST)
    first, last = found["date"].min(), found["date"].max()
    report = disturbed.export(found, INVOICES, 1, first, last, Random(1))  # made up, no secret
    documents, records = report.documents.head(len(found)), report.records
    pair = interleaved(
        timed(lambda: match(documents, records, report.scope)),
        timed(lambda: _bare(documents, records)),
    )
    what = f"match {len(documents):,} lines with {len(records):,} records"
    yield pair.at_most(3, what, large.name, "pandas outer merge on the number, with indicator")


def _reading(large: Database) -> Iterator[Figure]:
    lines = _lines()
    text = io.StringIO(newline="")
    csv.writer(text).writerows(lines)
    report = text.getvalue().encode()
    for name, content, alone, baseline in (
        ("list.csv", report, _csv, "csv.reader"),
        ("list.xlsx", _xlsx(lines), _xlsx_cells, "python-calamine"),
    ):
        pair = interleaved(
            timed(lambda name=name, content=content: read(name, content, INVOICES.key)),
            timed(lambda alone=alone, content=content: alone(content)),
        )
        yield pair.at_most(2, f"read {MOST:,} lines of {name}", large.name, f"bare {baseline}")


def _lines() -> list[list[str]]:
    """An invoice list, as QuickBooks Online writes it."""
    rng = Random(1)  # made up, no secret
    lines = [
        ["Corvane Freight LLC"],
        ["Invoice List by Date"],
        ["January 1-September 28, 2026"],
        [],
    ]
    lines.append(
        ["Date", "Transaction type", "Num", "Name", "Memo", "Due date", "Amount", "Open balance"]
    )
    for number in range(MOST):
        day = f"{rng.randint(1, 9):02}/{rng.randint(1, 28):02}/2026"
        amount = f"{rng.randint(10_000, 9_999_999) / 100:,.2f}"
        name = f"Customer {rng.randint(1, 400)}"
        lines.append([day, "Invoice", f"INV-{number:07}", name, "", day, amount, amount])
    return lines


def _csv(content: bytes) -> Sequence[Any]:
    return list(csv.reader(io.StringIO(content.decode(), newline="")))


def _xlsx(lines: Sequence[Sequence[str]]) -> bytes:
    """The list as a workbook with amounts as numbers; what stands above it is left out."""
    head, *rows = lines[4:]
    records = []
    for row in rows:
        record: dict[str, Any] = dict(zip(head, row, strict=True))
        for name in ("Amount", "Open balance"):
            record[name] = float(record[name].replace(",", ""))
        records.append(record)
    file = io.BytesIO()
    write_worksheet(records, file)
    return file.getvalue()


def _xlsx_cells(content: bytes) -> Sequence[Any]:
    return CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_index(0).to_python()


def _bare(documents: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """What is on both sides, and what on one alone: the least that a reconciliation needs."""
    keys = {"left_on": "reference", "right_on": "number"}
    return pd.merge(documents, records, how="outer", indicator=True, **keys)
