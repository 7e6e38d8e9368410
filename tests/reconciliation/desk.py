"""What tests of saved reconciliations share: reports made by hand, held against the world."""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import pandas as pd

from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.entities import BY_KEY
from synchist.reconciliation import saved
from synchist.reconciliation.matching import Bucket, Scope
from synchist.reconciliation.report import Coverage, Reading, Report
from synchist.reconciliation.saved import Reconciliation
from tests.changes import row
from tests.world import World, noon

COLUMNS = (
    *("row", "type", "reference", "party", "also"),
    *("date", "amount", "open_balance", "currency"),
)


def day(days: int) -> date:
    """The business day so many days ago."""
    return noon(days).date()


def document(reference: str, amount: int, **more: Any) -> dict[str, Any]:
    """A document of a file; its amount in ten-thousandths."""
    return {
        "type": "Invoice",
        "reference": reference,
        "party": "",
        "also": "",
        "date": day(10),
        "amount": amount,
        "open_balance": None,
        "currency": "USD",
        **more,
    }


def report(documents: Sequence[dict[str, Any]], entity: str = "invoice", **more: Any) -> Report:
    """A report as the reader would have read it, without its file."""
    rows = [{"row": number, **one} for number, one in enumerate(documents, start=5)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("amount", "open_balance"):
        frame[name] = frame[name].astype("Int64")
    frame["row"] = frame["row"].astype("int64")
    total = int(frame["amount"].sum())
    values: dict[str, Any] = {
        "name": "transactions.csv",
        "sha256": "ab" * 32,
        "entity": entity,
        "system": "QuickBooks Online",
        "report": "Transaction List by Date",
        "coverage": Coverage.ALL,
        "start": day(120),
        "end": day(0),
        "period": "January - December 2026",
        "basis": "Accrual",
        "rows_read": len(rows) + 3,
        "used": len(rows),
        "skipped": {"headings": 2, "totals": 1},
        "left_out": (),
        "documents": frame,
        "control_total": total,
        "documents_total": total,
        "file_total": total,
        "amount_is_open": False,
        "warnings": ("The file does not say its basis.",),
        "unsure": (),
        "reading": Reading(columns={"reference": 0}),
        "headings": ("Num", "Date", "Amount"),
        "preview": (("Num", "Date", "Amount"),),
    }
    return Report(**values | more)


def like(world: World, story: str, entity: str = "invoice", **more: Any) -> dict[str, Any]:
    """The document that the books would hold of a record, under the number of the TMS."""
    record = row(BY_KEY[entity], world.records(entity)[story])
    return document(
        **{
            "reference": record["number"],
            "amount": record["amount"] * 100,
            "type": BY_KEY[entity].title.rstrip("s"),
            "party": organization(world, record["party_id"]),
            "date": record["accounting_date"],
            "currency": record["currency"],
            **more,
        },
    )


def organization(world: World, identity: int) -> str:
    return next(name for name, one in world.organization.items() if one == identity)


ALL = Scope(Coverage.ALL, day(120), day(0))


def compare(
    principal: Principal,
    world: World,
    documents: Sequence[dict[str, Any]],
    scope: Scope = ALL,
    entity: str = "invoice",
    connection: str = "QuickBooks US",
) -> str:
    """Compare a report with a connection; the id of the reconciliation."""
    return saved.compare(principal, report(documents, entity), world.connection[connection], scope)


def kept(identity: str) -> Reconciliation:
    with reading() as connection:
        return saved.opened(connection, identity)


def lines(identity: str, bucket: Bucket | None = None, **asked: Any) -> pd.DataFrame:
    with reading() as connection:
        return saved.lines(connection, saved.opened(connection, identity), bucket, **asked)


def records(identity: str, bucket: Bucket) -> set[int]:
    """The ids of the records in a bucket."""
    return set(lines(identity, bucket)["record_id"].dropna())


def place(identity: str, record: int) -> int:
    """Where a record stands."""
    frame = lines(identity)
    return int(frame.index[frame["record_id"] == record][0])


def ids(world: World, stories: Iterable[str], entity: str = "invoice") -> set[int]:
    return {world.records(entity)[story] for story in stories}
