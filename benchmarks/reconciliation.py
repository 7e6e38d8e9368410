"""Matching the lines of a report with records, beside a bare merge of the two tables."""

from collections.abc import Iterator
from random import Random

import pandas as pd

from benchmarks.databases import SQLITE, Database, configured
from benchmarks.measure import Figure, interleaved, timed
from synchist.entities import INVOICES
from synchist.reconciliation.matching import match
from tests.reconciliation import disturbed

MOST = 100_000
"""Lines of the report, and records that it is held against."""


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group. Matching reads no database, so that one kind is enough."""
    if large.kind != SQLITE:
        return
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


def _bare(documents: pd.DataFrame, records: pd.DataFrame) -> pd.DataFrame:
    """What is on both sides, and what on one alone: the least that a reconciliation needs."""
    keys = {"left_on": "reference", "right_on": "number"}
    return pd.merge(documents, records, how="outer", indicator=True, **keys)
