"""Excel files of what a list shows: the same query as the grid, typed cells, no formulas."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import pandas as pd
import pyarrow as pa
from pyarrow import compute
from rustpy_xlsxwriter import Format, write_worksheets
from sqlalchemy import Connection

from synchist import audit, queries
from synchist.accounts import Actor, NotAllowed, Principal, acting, record_access, viewing
from synchist.audit import Asked
from synchist.currencies import to_decimal
from synchist.entities import Column, Entity, Kind
from synchist.errors import SynchistError
from synchist.filters import Filters, moment_words
from synchist.roles import Role
from synchist.settings import settings

EXCEL_ROWS = 1_048_576
"""Rows of a sheet, header included."""

EXCEL_TEXT = 32_767
"""Characters of a cell."""

CUT = " … (cut: Excel holds no more)"

EXCEL_BEGIN = date(1900, 1, 1)
"""The first day of Excel's calendar."""

FORMATS = {
    # The third decimal shows only where a currency has one that is not 0.
    Kind.MONEY: "#,##0.00#",
    Kind.MOMENT: "yyyy-mm-dd hh:mm",
    Kind.DAY: "yyyy-mm-dd",
}


AUDIT_COLUMNS = {
    "Kind": "kind",
    "Who": "who",
    "What": "what",
    "Record": "record",
    "Address": "address",
}
"""The texts of an entry of the audit log, by their label."""


class TooManyRows(SynchistError):
    """More rows than a sheet holds; a file that is cut off would be trusted as complete."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"Excel holds at most {EXCEL_ROWS - 1:,} rows and {count:,} match. Narrow the filters,"
            " for example to one year, and export again."
        )


@dataclass(frozen=True)
class Sheet:
    """One sheet of a workbook: rows under their labels, and by label the width of each column in
    characters and the format of those that have one."""

    title: str
    rows: pd.DataFrame | list[dict[str, object]]
    widths: Mapping[str, float]
    formats: Mapping[str, str] = field(default_factory=dict)


def workbook(principal: Principal, entity: Entity, filters: Filters) -> tuple[str, bytes]:
    """Everything that matches the filters, as an Excel file.

    Returns the file's name and content. Raises NotSignedIn, NotAllowed (also for holders of Hide
    Export To Excel), TooManyRows, DatabaseUnavailable.
    """
    doing = f"export {entity.plural}"
    with exporting(principal, doing) as (connection, actor):
        frame = _load(connection, entity, filters)
    columns = filters.of(entity).shown(filters.status)
    now = datetime.now(settings().zone)
    sheet = Sheet(
        entity.title,
        _sheet(frame, columns),
        {column.label: column.width / 7 for column in columns},
        {column.label: FORMATS[column.kind] for column in columns if column.kind in FORMATS},
    )
    content = written([sheet, about(_about(entity, filters, frame, actor, now))])
    recorded(principal, doing, f"{len(frame):,} rows: {filters.sentence(entity)}")
    return f"{_name(entity, filters)} {now:%Y-%m-%d %H%M}.xlsx", content


def audit_log(principal: Principal, asked: Asked) -> tuple[str, bytes]:
    """Everything in the audit log that is asked for, as an Excel file.

    Returns the file's name and content. Raises as `workbook` does.
    """
    doing = "export the audit log"
    with exporting(principal, doing, Role.AUDIT) as (connection, actor):
        count = audit.count(connection, asked, EXCEL_ROWS)
        if count >= EXCEL_ROWS:
            raise TooManyRows(count)
        found = audit.load(connection, asked, EXCEL_ROWS)
    now = datetime.now(settings().zone)
    rows = pd.DataFrame(
        {
            "When": found["at"].dt.tz_convert(settings().zone).dt.tz_localize(None),
            **{label: found[name].map(text_of) for label, name in AUDIT_COLUMNS.items()},
        }
    )
    facts = [
        ("What", asked.sentence()),
        ("Exported by", actor.name),
        ("Exported at", f"{now:%Y-%m-%d %H:%M} ({settings().time_zone})"),
        ("Dates and times in", settings().time_zone),
        ("Rows", len(rows)),
    ]
    widths = {"When": 18.0, **dict.fromkeys(AUDIT_COLUMNS, 24.0), "What": 90.0}
    sheet = Sheet("Audit log", rows, widths, {"When": FORMATS[Kind.MOMENT]})
    content = written([sheet, about(facts)])
    recorded(principal, doing, f"{len(rows):,} rows: {asked.sentence()}", Role.AUDIT)
    return f"Audit log {now:%Y-%m-%d %H%M}.xlsx", content


# ---------------------------------------------------------------- what every workbook shares


@contextmanager
def exporting(
    principal: Principal, doing: str, role: Role = Role.ACCOUNTING_SYNC
) -> Iterator[tuple[Connection, Actor]]:
    """A transaction for what an export reads, for a principal who may export.

    Raises NotSignedIn, NotAllowed (also for holders of Hide Export To Excel), DatabaseUnavailable.
    """
    with viewing(principal, role, doing) as (connection, actor):
        if Role.HIDE_EXPORT in actor.roles:
            raise NotAllowed("Your account may not export. Ask an administrator if you need it.")
        yield connection, actor


def recorded(
    principal: Principal, doing: str, words: str, role: Role = Role.ACCOUNTING_SYNC
) -> None:
    """Record an export. A role that was taken away while the file was made refuses it here."""
    with acting(principal, role, doing) as (connection, actor):
        record_access(connection, actor, "export", words)


def about(facts: Iterable[tuple[str, object]]) -> Sheet:
    """The sheet that says what the file is, to check the others by."""
    rows: list[dict[str, object]] = [
        {"What": what, "Value": text_of(value) if isinstance(value, str) else value}
        for what, value in facts
    ]
    return Sheet("About", rows, {"What": 26.0, "Value": 90.0})


def written(sheets: Sequence[Sheet]) -> bytes:
    """The sheets as an Excel file. Every text is stored as text, never as a formula."""
    file = io.BytesIO()
    write_worksheets(
        [(sheet.title, sheet.rows) for sheet in sheets],
        file,
        bold_headers=True,
        freeze_panes={
            sheet.title: {"row": 1, "col": 0 if sheet.title == "About" else 1} for sheet in sheets
        },
        autofilter={sheet.title: True for sheet in sheets if sheet.title != "About"},
        column_widths={sheet.title: dict(sheet.widths) for sheet in sheets},
        column_formats={
            sheet.title: {
                label: Format().set_num_format(form) for label, form in sheet.formats.items()
            }
            for sheet in sheets
        },
    )
    return file.getvalue()


def _load(connection: Connection, entity: Entity, filters: Filters) -> pd.DataFrame:
    count = queries.total(connection, entity, filters).count
    if count >= EXCEL_ROWS:
        raise TooManyRows(count)
    return queries.load(connection, entity, filters)


def _sheet(frame: pd.DataFrame, columns: list[Column]) -> pd.DataFrame:
    """What the grid shows, under the labels that it shows."""
    shown = queries.readable(frame, columns)
    for column in columns:
        if column.kind in (Kind.TEXT, Kind.LONG_TEXT):
            # Cell by cell only where a text is too long: of many rows that takes a while.
            if _longest(shown[column.key]) > EXCEL_TEXT:
                shown[column.key] = shown[column.key].map(text_of, na_action="ignore")
            continue
        there = shown[column.key].dropna()
        if column.kind is Kind.DAY and min(there, default=EXCEL_BEGIN) < EXCEL_BEGIN:
            shown[column.key] = shown[column.key].map(dated, na_action="ignore")
        elif column.kind is Kind.MOMENT and (there.dt.year < EXCEL_BEGIN.year).any():
            moments = shown[column.key].astype(object)
            shown[column.key] = moments.map(dated, na_action="ignore")
    # The writer would append a named index as one more column.
    labels = {column.key: column.label for column in columns}
    return shown.rename(columns=labels).reset_index(drop=True)


def _longest(texts: pd.Series) -> int:
    """Characters of the longest text of a column."""
    lengths = compute.utf8_length(pa.array(texts, pa.large_string(), from_pandas=True))
    return compute.max(lengths).as_py() or 0


def text_of(value: str) -> str:
    """A text as a cell can hold it. The writer stores every text as text, never as a formula."""
    return value if len(value) <= EXCEL_TEXT else value[: EXCEL_TEXT - len(CUT)] + CUT


def dated(value: date) -> date | str:
    """A day or moment as a cell can hold it: one before Excel's calendar, a slip of the pen, as
    text, where the writer would leave a blank."""
    return value if value.year >= EXCEL_BEGIN.year else str(value)


def _about(
    entity: Entity, filters: Filters, frame: pd.DataFrame, actor: Actor, now: datetime
) -> list[tuple[str, object]]:
    """Who exported what and when, and the sums per currency to check it by, as numbers."""
    stood = [("As of", moment_words(filters.as_of))] if filters.as_of else []
    facts: list[tuple[str, object]] = [
        ("What", filters.sentence(entity)),
        *stood,
        ("Exported by", actor.name),
        ("Exported at", f"{now:%Y-%m-%d %H:%M} ({settings().time_zone})"),
        ("Dates and times in", settings().time_zone),
        ("Rows", len(frame)),
    ]
    for currency, group in frame.groupby("currency"):
        known = group["synced_amount"].notna()
        # A missing synced amount is unknown and no zero: the sum says of how many it is.
        facts += [
            (f"Sum of amounts, {currency}", _sum(group["amount"], str(currency))),
            (f"Sum of synced amounts, {currency}", _sum(group["synced_amount"], str(currency))),
            (f"Synced amounts known, {currency}", f"{known.sum():,} of {len(group):,}"),
        ]
    return facts


def _sum(minor: pd.Series, currency: str) -> float | None:
    """A sum as an amount; None where not one value is known."""
    if minor.isna().all():
        return None
    return float(to_decimal(int(minor.sum()), currency))


def _name(entity: Entity, filters: Filters) -> str:
    start, end = filters.days()
    days = f"{start} to {end}" if start and end else "all dates"
    name = f"{entity.title} {filters.status.label} {days}"
    if filters.as_of is None:
        return name
    return f"{name} as of {filters.as_of.astimezone(settings().zone):%Y-%m-%d %H%M} exported"
