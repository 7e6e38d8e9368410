"""What was read from a report that somebody exported from the accounting system."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

import pandas as pd

from synchist.errors import SynchistError

DECIMALS = 4
"""Amounts of a file are whole ten-thousandths: exact, whatever currency they turn out to be in."""


class Coverage(StrEnum):
    """What a report can prove about a document that is not in it."""

    ALL = "all of a period"
    OPEN = "open items only"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Reading:
    """How a file is read.

    `sheet` counts from 0, `header` is the row of the headings as a spreadsheet numbers it (from 1;
    0: there is none), `columns` gives the position (from 0) of each field of `FIELDS` that the file
    has. `day_first` and `decimal_comma` say how dates and numbers are written; None: as the columns
    show. `kind` is the type of every row where no column says it (a key of `entities`).
    """

    sheet: int = 0
    header: int = 0
    columns: Mapping[str, int] = field(default_factory=dict)
    day_first: bool | None = None
    decimal_comma: bool | None = None
    kind: str = ""
    coverage: Coverage | None = None


FIELDS: Mapping[str, str] = {
    "date": "Date",
    "type": "Transaction type",
    "reference": "Number",
    "party": "Customer or vendor",
    "amount": "Amount",
    "debit": "Debit",
    "credit": "Credit",
    "open_balance": "Open balance",
    "currency": "Currency",
    "also": "Second number, PO or memo",
}
"""What a column can hold, by the words that the mapping form shows."""


@dataclass(frozen=True)
class LeftOut:
    """A row that is no document of the entity: where it stands, why it is none, what it says."""

    row: int
    reason: str
    text: str


@dataclass(frozen=True)
class Report:
    """A report as it was read for one entity.

    Every row of the sheet is either used or skipped for a reason: `rows_read` is `used` plus the
    sum of `skipped`; `left_out` lists the first of those that hold a transaction or can't be read.

    `documents` has a row per document and the columns `row` (int64: where it stands in the sheet),
    `type` (Invoice, Payment, Bill or Bill Payment), `reference` and `party` (text, maybe empty),
    `also` (text: other numbers and the memo), `date` (date or None), `amount` and `open_balance`
    (Int64: ten-thousandths of the currency, absolute; missing: unknown), `currency` (text, empty:
    the file does not say).

    `control_total` is the signed sum of all transactions read, to be held against `file_total`, the
    report's own; `documents_total` that of the documents. All in ten-thousandths, None: unknown.
    `amount_is_open`: the file shows only what is still open, which may be less than the amount.
    """

    name: str
    sha256: str
    entity: str
    system: str
    report: str
    coverage: Coverage
    start: date | None
    end: date | None
    period: str
    basis: str
    rows_read: int
    used: int
    skipped: Mapping[str, int]
    left_out: Sequence[LeftOut]
    documents: pd.DataFrame
    control_total: int | None
    documents_total: int
    file_total: int | None
    amount_is_open: bool
    warnings: Sequence[str]
    unsure: Sequence[str]
    reading: Reading
    headings: Sequence[str]
    preview: Sequence[Sequence[str]]

    def told(self) -> dict[str, object]:
        """The report as JSON can hold it: amounts as decimal texts, days in ISO form."""
        documents = self.documents.drop(columns="also")
        documents["date"] = [day.isoformat() if day else "" for day in documents["date"]]
        for name in ("amount", "open_balance"):
            amounts = documents[name].astype(object)
            documents[name] = [exact(None if pd.isna(one) else int(one)) for one in amounts]
        return {
            "system": self.system,
            "report": self.report,
            "coverage": self.coverage.value,
            "period": {
                "from": self.start.isoformat() if self.start else None,
                "to": self.end.isoformat() if self.end else None,
                "text": self.period,
            },
            "basis": self.basis,
            "rows_read": self.rows_read,
            "used": self.used,
            "skipped": dict(self.skipped),
            "documents": documents.to_dict("records"),
            "documents_total": exact(self.documents_total),
            "control_total": exact(self.control_total),
            "file_total": exact(self.file_total),
            "warnings": list(self.warnings),
        }


class WrongReport(SynchistError):
    """The file is something else than the page is about; the sentence names what it is."""


class Unmapped(SynchistError):
    """Nobody can say which column holds what, except the person who exported the file.

    `preview` shows the first rows of the sheet, `guess` what the mapping form starts with.
    """

    def __init__(self, why: str, preview: Sequence[Sequence[str]], guess: Reading) -> None:
        super().__init__(why)
        self.preview = preview
        self.guess = guess


def exact(amount: int | None) -> str:
    """Ten-thousandths as a decimal text with two decimals, or as many as are needed."""
    if amount is None:
        return ""
    value = Decimal(amount).scaleb(-DECIMALS)
    shorter = value.quantize(Decimal("0.01"))
    return str(shorter if shorter == value else value.normalize())
