"""One cell at a time: what stands in a file, as the database stores it.

A cell of a csv file is a text, one of a workbook what Excel keeps: text, number, date, yes or no.
Every function raises Refused where a cell can't be what its column needs.
"""

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from openpyxl.cell.cell import ERROR_CODES

from synchist.currencies import to_minor
from synchist.db.types import utc_now
from synchist.settings import settings
from synchist.statuses import SyncStatus

EXCEL_ERRORS = frozenset(ERROR_CODES)
"""What a cell holds whose formula went wrong: #N/A and the like."""

YEARS = range(2000, 2101)
"""Years that a record can lie in; any other one is a slip of the pen."""

# Groups of three digits or none: in 1.234,50 or 1,50 the comma is not ours to interpret.
_AMOUNT = re.compile(r"-?([0-9]{1,3}(,[0-9]{3})+|[0-9]{1,19})(\.[0-9]{0,8})?")

_STATUSES = {status.label.lower(): status for status in SyncStatus} | {
    str(status.value): status for status in SyncStatus
}


class Refused(Exception):
    """Why a row is not loaded; caught where rows are checked, and listed."""


def quoted(cell: Any) -> str:
    """A cell as a reason cites it."""
    text = str(cell)
    return f"“{text if len(text) <= 60 else text[:60] + '…'}”"


def as_text(name: str, cell: Any, most: int | None = None) -> str:
    """A text of at most so many characters."""
    if not isinstance(cell, str | int | float) or isinstance(cell, bool):
        raise Refused(f"{name} {quoted(cell)} is no text; format its column as text in Excel")
    # Excel keeps a number like 1042 as 1042.0 at times.
    text = str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()
    if most is not None and len(text) > most:
        raise Refused(f"{name} has {len(text):,} characters; at most {most} are kept")
    return text


def as_currency(name: str, cell: Any) -> str:
    """A currency's three letters."""
    text = as_text(name, cell).upper()
    if not re.fullmatch("[A-Z]{3}", text):
        raise Refused(f"{name} {quoted(cell)} is none; use its three letters, like USD")
    return text


def as_status(name: str, cell: Any) -> SyncStatus:
    """A sync status by its word or its stored number."""
    found = _STATUSES.get(as_text(name, cell).lower())
    if found is None:
        raise Refused(f"{name} {quoted(cell)} is none of Pending, Complete, Failed")
    return found


def as_money(name: str, cell: Any, currency: str) -> int:
    """An amount in whole minor units of its currency, exactly."""
    if isinstance(cell, float) and abs(cell) < 1e12:
        cell = Decimal(f"{cell:.15g}")  # as Excel shows it: 0.1 + 0.2 is 0.3
    text = str(cell).strip()
    try:
        if not _AMOUNT.fullmatch(text):
            raise ValueError(text)
        minor = to_minor(Decimal(text.replace(",", "")), currency)
        if abs(minor) >= 2**63:
            raise ValueError(text)
    except (InvalidOperation, ValueError):
        raise Refused(f"{name} {quoted(cell)} is no amount in {currency}, like 1234.50") from None
    return minor


def _written(name: str, cell: Any, example: str) -> datetime:
    """A day or a moment as it stands in the file."""
    try:
        found = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell).strip())
    except ValueError:
        raise Refused(f"{name} {quoted(cell)} is not of the form {example}") from None
    if found.year not in YEARS:
        raise Refused(f"{name} {quoted(cell)} is not of the years {YEARS[0]} to {YEARS[-1]}")
    return found


def as_day(name: str, cell: Any) -> date:
    """A day; what time a file adds to it means nothing."""
    return _written(name, cell, "2026-11-30").date()


def as_moment(name: str, cell: Any) -> datetime:
    """A moment of the past, in UTC; one without a zone is business time."""
    found = _written(name, cell, "2026-11-30 17:00")
    moment = found if found.tzinfo else found.replace(tzinfo=settings().zone)
    if moment > utc_now():
        raise Refused(f"{name} {quoted(cell)} lies in the future")
    return moment.astimezone(UTC)
