"""A reconciliation as an Excel file, line by line: a sheet for each bucket, both sides of it."""

from collections.abc import Mapping
from datetime import datetime

import pandas as pd

from synchist.accounts import Actor, Principal
from synchist.currencies import to_decimal
from synchist.entities import Kind
from synchist.export import (
    EXCEL_BEGIN,
    EXCEL_ROWS,
    EXCEL_TEXT,
    FORMATS,
    Sheet,
    TooManyRows,
    about,
    dated,
    exporting,
    recorded,
    text_of,
    written,
)
from synchist.queries import amounts
from synchist.reconciliation import saved
from synchist.reconciliation.matching import Bucket
from synchist.reconciliation.report import exact
from synchist.reconciliation.saved import Counted, Reconciliation
from synchist.settings import settings
from synchist.statuses import CloseReason, SyncStatus

_STATUSES = {int(status): status.label for status in SyncStatus}
_REASONS = {reason.value: reason.label for reason in CloseReason}

AMOUNT = "#,##0.00##"
"""Files may hold four decimals; the last two show only where they are not 0."""

_WIDTHS: Mapping[str, float] = {
    "Row in the file": 9,
    "Case": 7,
    "Books: name": 26,
    "Books: memo and others": 28,
    "TMS: name": 26,
    "Matched by": 20,
    "Why": 46,
    "On which charges": 40,
    "Confirmed by": 20,
}


def workbook(principal: Principal, identity: str) -> tuple[str, bytes]:
    """Every line of a reconciliation, with a sheet on what was compared and how it adds up.

    Returns the file's name and content. Raises NoSuchReconciliation, NotSignedIn, NotAllowed (also
    for holders of Hide Export To Excel), TooManyRows, DatabaseUnavailable.
    """
    doing = "export a reconciliation"
    with exporting(principal, doing) as (connection, actor):
        of = saved.opened(connection, identity)
        counted = saved.summary(connection, identity)
        if (most := max(one.rows for one in counted.values())) >= EXCEL_ROWS:
            raise TooManyRows(most)
        sheets = []
        for bucket, one in counted.items():
            if one.rows:
                frame = saved.lines(connection, of, bucket)
                charges = saved.on_charges(connection, of, frame) if bucket is Bucket.AMOUNT else {}
                sheets.append(_sheet(bucket, frame, charges))
    now = datetime.now(settings().zone)
    content = written([*sheets, about(_about(of, counted, actor, now))])
    total = sum(one.rows for one in counted.values())
    recorded(principal, doing, f"{total:,} rows: reconciliation {of.id} of {of.file_name}")
    stem = of.file_name.rsplit(".", 1)[0]
    return f"Reconciliation {stem} {now:%Y-%m-%d %H%M}.xlsx", content


def _sheet(bucket: Bucket, frame: pd.DataFrame, charges: Mapping[int, str]) -> Sheet:
    """The lines of a bucket, both sides, as typed cells."""
    columns: dict[str, pd.Series] = {
        "Row in the file": frame["sheet_row"],
        "Case": frame["case"] + 1,
        "Books: type": _text(frame["type"]),
        "Books: number": _text(frame["reference"]),
        "Books: name": _text(frame["party"]),
        "Books: date": _day(frame["booked_on"]),
        "Books: amount": _amount(frame["amount"]),
        "Books: open balance": _amount(frame["open_balance"]),
        "Books: currency": _text(frame["currency"]),
        "Books: memo and others": _text(frame["also"]),
        "TMS: number": _text(frame["number"]),
        "TMS: name": _text(frame["record_party"]),
        "TMS: date": _day(frame["record_date"]),
        "TMS: amount": amounts(frame["record_amount"], frame["record_currency"].fillna("")),
        "TMS: currency": _text(frame["record_currency"]),
        "TMS: reference": _text(frame["sync_reference"]),
        "Sync status when compared": frame["sync_status"].map(_STATUSES),
        "TMS status when compared": frame["tms_status"],
        "Closed because": frame["closed_reason"].map(_REASONS),
        "Sync status now": frame["now_status"].map(_STATUSES),
        "Difference": _amount(frame["difference"]),
        "On which charges": frame["record_id"].map(charges).astype(object),
        "Matched by": _text(frame["how"]),
        "Why": _text(frame["reason"]),
        "Confirmed by": _text(frame["confirmed_by"]),
    }
    if not charges:
        del columns["On which charges"]
    money = ("Books: amount", "Books: open balance", "TMS: amount", "Difference")
    days = ("Books: date", "TMS: date")
    return Sheet(
        bucket.value.capitalize(),
        pd.DataFrame(columns).reset_index(drop=True),
        {label: _WIDTHS.get(label, 15) for label in columns},
        dict.fromkeys(money, AMOUNT) | dict.fromkeys(days, FORMATS[Kind.DAY]),
    )


def _text(values: pd.Series) -> pd.Series:
    """Texts as cells can hold them."""
    long = values.str.len().gt(EXCEL_TEXT).any() if len(values.dropna()) else False
    return values.map(text_of, na_action="ignore") if long else values


def _day(values: pd.Series) -> pd.Series:
    early = min(values.dropna(), default=EXCEL_BEGIN) < EXCEL_BEGIN
    return values.map(dated, na_action="ignore") if early else values


def _amount(values: pd.Series) -> pd.Series:
    """Ten-thousandths as amounts; the edge, where money becomes a float."""
    return values.astype("float64") / 10_000


def _about(
    of: Reconciliation, counted: Mapping[Bucket, Counted], actor: Actor, now: datetime
) -> list[tuple[str, object]]:
    """What was compared, by whom, and the counts and sums by which to check it."""
    zone = settings().time_zone
    facts: list[tuple[str, object]] = [
        ("What", f"{of.file_name} against {of.entity.plural} of {of.connection}"),
        ("File's sha256", of.sha256),
        ("Report", " · ".join(one for one in (of.report, of.system, of.basis) if one)),
        ("Period in the file", of.period),
        ("Period compared", f"{of.starts_on or ''} – {of.ends_on or ''}"),
        ("The report holds", of.coverage.value),
        ("Compared by", of.actor),
        ("Compared at", f"{of.at.astimezone(settings().zone):%Y-%m-%d %H:%M} ({zone})"),
        ("Exported by", actor.name),
        ("Exported at", f"{now:%Y-%m-%d %H:%M} ({zone})"),
        ("Rows read", of.rows_read),
        ("Rows used", of.used),
        *((f"Rows left out: {reason}", number) for reason, number in of.skipped.items()),
        ("Sum of what was read", _figure(of.control_total)),
        ("The report's own total", _figure(of.file_total)),
        ("Sum of the documents", _figure(of.documents_total)),
        *((f"Warning {number}", text) for number, text in enumerate(of.warnings, start=1)),
        ("Documents in the lists", sum(one.documents for one in counted.values())),
    ]
    for bucket, one in counted.items():
        name = bucket.value.capitalize()
        facts.append((name, f"{one.documents:,} in the file, {one.records:,} in the TMS"))
        facts += [(f"{name}: books {code}".strip(), _figure(n)) for code, n in one.books.items()]
        facts += [
            (f"{name}: TMS {code}", float(to_decimal(n, code))) for code, n in one.tms.items()
        ]
    return facts


def _figure(amount: int | None) -> float | None:
    """A sum of the file as a number."""
    return None if amount is None else float(exact(amount))
