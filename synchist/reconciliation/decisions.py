"""What people decide on the lines of a reconciliation: they accept and they confirm.

Both act on what was kept when the file was compared. A record that has changed since is a conflict
of the operation and stays as it is, as everywhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Connection

from synchist.accounts import Principal, acting, viewing
from synchist.currencies import exponent
from synchist.db.engine import dialect_insert
from synchist.db.tables import reconciliation_confirmation
from synchist.db.types import utc_now
from synchist.errors import SynchistError
from synchist.filters import readable
from synchist.queries import Ticked
from synchist.receipts import Receipt
from synchist.reconciliation.matching import Bucket
from synchist.reconciliation.report import DECIMALS
from synchist.reconciliation.saved import Reconciliation, lines, opened
from synchist.roles import Role
from synchist.status_changes import (
    LONGEST_REFERENCE,
    Accepted,
    Change,
    Evidence,
    change_status,
)
from synchist.statuses import CloseReason, SyncStatus

VOIDED = "Voided"
"""The TMS status of what should not be in the books."""


class NotAcceptable(SynchistError):
    """Lines were chosen that say something else than that the books hold the same."""


class NotConfirmable(SynchistError):
    """Lines were chosen that are no suggestion, or not one document and one record."""


# ---------------------------------------------------------------- accept


@dataclass(frozen=True)
class Acceptance:
    """Records that the books hold with the same amount, as they stood when they were compared, by
    id, with what the file says of each, and the position of its line."""

    of: Reconciliation
    positions: Mapping[int, int]
    records: Mapping[int, Ticked]
    evidence: Mapping[int, Evidence]

    def change(self, note: str = "", accepted: Accepted | None = None) -> Change:
        """The change of status that it comes to."""
        return Change(
            SyncStatus.COMPLETE,
            CloseReason.ALREADY_IN_BOOKS,
            note,
            evidence={self.of.entity.key: self.evidence},
            accepted=accepted or {},
        )


def acceptance(connection: Connection, identity: str, positions: Sequence[int]) -> Acceptance:
    """What accepting these lines would do.

    Raises NoSuchReconciliation, and NotAcceptable unless each of them is a record that is neither
    Complete nor voided here while the books hold it with the same amount.
    """
    of = opened(connection, identity)
    chosen = lines(connection, of, Bucket.STATUS, positions=list(positions))
    chosen = chosen[acceptable(chosen)]
    if len(chosen) != len(set(positions)):
        raise NotAcceptable(
            "Only records that the books hold with the same amount, and that are not voided, can be"
            " accepted. Tick others."
        )
    rows = chosen.reset_index().to_dict("records")
    return Acceptance(
        of,
        {row["record_id"]: row["position"] for row in rows},
        {
            row["record_id"]: Ticked(row["version"], row["record_currency"], row["record_amount"])
            for row in rows
        },
        {row["record_id"]: _evidence(row) for row in rows},
    )


def acceptable(frame: pd.DataFrame) -> "pd.Series[bool]":
    """Which lines say that the books hold the record with the same amount. One that is voided in
    the TMS should not be there at all."""
    same = frame["difference"].eq(0).fillna(False) & frame["tms_status"].ne(VOIDED)
    return same & frame["bucket"].eq(Bucket.STATUS.value) & frame["record_id"].notna()


def _evidence(row: Mapping[Any, Any]) -> Evidence:
    reference = (row["reference"] or "").strip()
    usable = len(reference) <= LONGEST_REFERENCE and reference.isprintable()
    # The amounts are the same, and the record's is in the minor units of its currency.
    return Evidence(reference if usable else "", row["record_amount"], row["booked_on"])


def accept(
    principal: Principal,
    operation_id: str,
    identity: str,
    positions: Sequence[int],
    note: str = "",
    accepted: Accepted | None = None,
) -> Receipt:
    """Close records that the books hold with the same amount as Complete, with number, date and
    amount of the file as evidence: a change of status like any other, to be taken back likewise.

    Raises NoSuchReconciliation, NotAcceptable, and what `change_status` raises.
    """
    doing = "accept what the books hold"
    with viewing(principal, Role.ACCOUNTING_SYNC, doing) as (connection, _):
        found = acceptance(connection, identity, positions)
    return change_status(
        principal,
        operation_id,
        {found.of.entity.key: {one: ticked.version for one, ticked in found.records.items()}},
        found.change(note, accepted),
        words(found.of),
    )


def words(of: Reconciliation) -> str:
    """Which reconciliation an operation comes from."""
    days = (
        f", {readable(of.starts_on)} to {readable(of.ends_on)}"
        if of.starts_on and of.ends_on
        else ""
    )
    return f"Reconciled with {of.file_name} ({of.connection}{days})"


# ---------------------------------------------------------------- confirm


def confirm(principal: Principal, identity: str, pairs: Mapping[int, int]) -> int:
    """Keep that documents are the records beside them: by the position of the document, that of the
    record, the same one where both stand in one line. How many were kept: none is twice.

    Nothing of the records changes; the pairs go to where they belong, and can be accepted there.

    Raises NoSuchReconciliation, NotConfirmable, NotSignedIn, NotAllowed, DatabaseUnavailable.
    """
    doing = "confirm what belongs together"
    with acting(principal, Role.ACCOUNTING_SYNC, doing) as (connection, actor):
        of = opened(connection, identity)
        there = sorted({*pairs, *pairs.values()})
        frame = lines(connection, of, Bucket.UNCERTAIN, positions=there)
        rows = [
            _pair(frame, position, record, of.amount_is_open)
            for position, record in sorted(pairs.items())
        ]
        if not rows:
            return 0
        who = {"at": utc_now(), "actor_id": actor.id, "actor": actor.name}
        kept = connection.execute(
            dialect_insert(connection, reconciliation_confirmation)
            .on_conflict_do_nothing()
            .returning(reconciliation_confirmation.c.position),
            [{"reconciliation_id": of.id, **who, **row} for row in rows],
        )
        return len(kept.all())


def _pair(frame: pd.DataFrame, position: int, record: int, is_open: bool) -> dict[str, Any]:
    """A document and a record that are not certain so far, and where they belong together."""
    if not {position, record} <= set(frame.index):
        raise NotConfirmable(
            "Somebody has confirmed some of them meanwhile. Look at the list again."
        )
    ours, its = frame.loc[position], frame.loc[record]
    one_line = position == record
    if (
        ours["case"] != its["case"]
        or pd.isna(ours["sheet_row"])
        or pd.isna(its["record_id"])
        or (not one_line and (pd.notna(ours["record_id"]) or pd.notna(its["sheet_row"])))
    ):
        raise NotConfirmable("Tick one line of the report and one record that may be the same.")
    difference = _difference(ours, its)
    part = is_open and difference is not None and difference < 0
    if difference != 0 and not part:
        bucket = Bucket.AMOUNT
    elif its["sync_status"] != SyncStatus.COMPLETE:
        bucket = Bucket.STATUS
    else:
        bucket = Bucket.AGREES
    return {
        "position": position,
        "record_position": record,
        "bucket": bucket.value,
        "difference": difference,
    }


def _difference(ours: Any, its: Any) -> int | None:
    """Books minus TMS in ten-thousandths; None where that says nothing."""
    if pd.isna(ours["amount"]) or pd.isna(its["record_amount"]):
        return None
    if ours["currency"] and ours["currency"] != its["record_currency"]:
        return None
    scale = 10 ** (DECIMALS - exponent(its["record_currency"]))
    return int(ours["amount"] - its["record_amount"] * scale)
