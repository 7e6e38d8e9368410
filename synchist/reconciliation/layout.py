"""Which report a file is, and where its columns are: by its content, never by its name.

Runs where hostile files are read, so it imports little.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from synchist.reconciliation import columns, vocabulary
from synchist.reconciliation.sheets import Sheet
from synchist.reconciliation.vocabulary import BUCKET, PAYABLES, RECEIVABLES, Known, fold

HEADING_ROWS = 60
"""How far down the headings may stand."""

PREVIEW_ROWS = 15

LONGEST_TITLE = 300
"""Signs of a line that may hold the title of a report."""

Row = list[Any]


@dataclass
class Layout:
    """Where things are in a sheet. `header` is the index of the row of headings, -1: none."""

    sheet: int
    rows: list[Row]
    header: int
    fields: dict[str, int]
    also: list[int]
    labels: list[str]
    title: str = ""
    known: Known | None = None
    start: str | None = None
    end: str | None = None
    period: str = ""
    basis: str = ""
    lines_of: bool = False
    buckets: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def amount_is_open(self) -> bool:
        """Whether the amounts are only what is still open."""
        return self.buckets or not self.fields.keys() & {"amount", "debit", "credit"}

    def label(self, name: str) -> str:
        """The folded heading of a field, empty where the file has none."""
        return self.labels[self.fields[name]] if name in self.fields else ""


def best(sheets: Sequence[Sheet], payments: bool) -> Layout:
    """The sheet that looks most like a list of transactions, and how it is laid out."""
    found = [_layout(number, sheet, payments) for number, sheet in enumerate(sheets)]
    return max(found, key=lambda one: (one.header >= 0, len(one.fields), -one.sheet))


def mapped(sheets: Sequence[Sheet], sheet: int, header: int, fields: dict[str, int]) -> Layout:
    """A sheet as somebody says that it is laid out; `header` as the spreadsheet numbers it."""
    rows = sheets[sheet].rows
    header = header if 0 < header <= len(rows) else 0
    labels = [fold(cell) for cell in rows[header - 1]] if header else []
    width = max(map(len, rows), default=0)
    labels += [""] * (width - len(labels))
    places = {name: place for name, place in fields.items() if 0 <= place < width}
    also = [places.pop("also")] if "also" in places else []
    layout = Layout(sheet, rows, header - 1, places, also, labels)
    _face(layout, sheets[sheet].title)
    if layout.known is not None and layout.known.wrong:
        layout.known = None  # somebody says that it is a list
    return layout


def guessed(place: Layout, payments: bool) -> Layout:
    """What a person can start from who says how a sheet is laid out: the row that looks most like
    headings, and the columns that it names."""
    words = vocabulary.headings(payments)
    rows = [
        (_places([fold(cell) for cell in row], words), row) for row in place.rows[:HEADING_ROWS]
    ]
    most = max(range(len(rows)), key=lambda at: (len(rows[at][0]), sum(map(bool, rows[at][1]))))
    return replace(place, header=most, fields=rows[most][0])


def _layout(number: int, sheet: Sheet, payments: bool) -> Layout:
    words = vocabulary.headings(payments)
    header, fields, most = -1, dict[str, int](), 0
    for index, row in enumerate(sheet.rows[:HEADING_ROWS]):
        labels = [fold(cell) for cell in row]
        places = _places(labels, words)
        if _is_list(places) and len(places) > most:
            header, fields, most = index, places, len(places)
    labels = [fold(cell) for cell in sheet.rows[header]] if header >= 0 else []
    width = max(map(len, sheet.rows), default=0)
    labels += [""] * (width - len(labels))
    if "open_balance" not in fields and "balance" in labels and _PAID & set(labels):
        # Beside what was paid it is no running balance.
        fields["open_balance"] = labels.index("balance")
    if "currency" in fields:
        fields |= _places(labels, vocabulary.beside_a_currency())
    taken = set(fields.values())
    also = [
        place
        for word in vocabulary.second_numbers()
        for place, label in enumerate(labels)
        if label == word and place not in taken
    ]
    layout = Layout(number, sheet.rows, header, fields, also, labels)
    layout.lines_of = bool(vocabulary.line_items() & set(labels))
    layout.buckets = sum(bool(BUCKET.fullmatch(label)) for label in labels) >= 3
    _face(layout, sheet.title)
    return layout


def _places(labels: Sequence[str], words: dict[str, list[str]]) -> dict[str, int]:
    """Where each field is, by the first of its words that stands in the row."""
    where = {label: place for place, label in reversed(list(enumerate(labels))) if label}
    found: dict[str, int] = {}
    for name, candidates in words.items():
        for word in candidates:
            if word in where and (where[word] not in found.values() or name == "due_date"):
                found[name] = where[word]
                break
    return found


def _is_list(places: dict[str, int]) -> bool:
    """Whether a row of headings is that of a list of transactions."""
    money = places.keys() & {"amount", "open_balance", "debit", "credit"}
    what = places.keys() & {"type", "reference", "party"}
    return "date" in places and bool(money) and bool(what)


# ---------------------------------------------------------------- what stands above the headings

STAMP = re.compile(
    r"\s*((accrual|cash) basis\b.*|(accrual|cash)$"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day,? .*\d{4}.*|generated (on|at|by)\b.*|printed\b.*"
    r"|run date\b.*|report (date|created|generated)\b.*|page \d+.*|prepared\b.*"
    r"|created on\b.*|exported\b.*|as of date.*)",
    re.IGNORECASE,
)
"""A line that says when and how a report was made."""


def _face(layout: Layout, sheet_title: str) -> None:
    """Read title, period and basis."""
    above = layout.rows[: layout.header] if layout.header >= 0 else layout.rows[:8]
    lines = list(dict.fromkeys(line for row in above for line in _lines(row)))[:20]
    _recognise(layout, [*lines, sheet_title])
    for line in lines:
        period = columns.period_of(line)
        if period is not None and not layout.period and layout.header >= 0:
            layout.period, (layout.start, layout.end) = line, period
    foot = [_first(row) for row in (*layout.rows[-6:], *layout.rows[: layout.header + 1])]
    for line in (*foot, *lines):
        if found := re.search(r"\b(accrual|cash) basis\b|basis: ?(accrual|cash)\b", line.lower()):
            layout.basis = found[1] or found[2]


def _lines(row: Row) -> list[str]:
    """What a row above the headings says: as a whole, since a comma may have parted it, and cell by
    cell."""
    cells = [" ".join(cell.split()) for cell in row[:8] if isinstance(cell, str) and cell.strip()]
    return [", ".join(cells), *cells] if len(cells) > 1 else cells


def _first(row: Row) -> str:
    return next((cell for cell in row if isinstance(cell, str) and cell.strip()), "")


def _recognise(layout: Layout, lines: Sequence[str]) -> None:
    """The report whose title makes up most of a line: a company may be called Budget Freight."""
    most = 0.0
    for line in lines:
        if len(line) > LONGEST_TITLE:
            continue
        folded = " ".join(line.lower().replace("_", " ").split())
        for known in vocabulary.reports():
            if _is_titled(known.title, folded):
                share = len(known.title) / len(folded)
                if share > most:
                    most, layout.known, layout.title = share, known, line
                break


def _is_titled(title: str, line: str) -> bool:
    """Whether a title stands in a line, and not at the beginning of a company's name."""
    if title not in line:
        return False
    words = re.compile(rf"(?<![a-z]){re.escape(title)}(?![a-z])(.*)")
    found = map(words.search, re.split(r" [-–—|:·] |: | for ", line))
    return any(
        one and not vocabulary.companies().intersection(re.findall(r"[a-z]+", one[1]))
        for one in found
    )


# ---------------------------------------------------------------- what it is instead


def wrong(layout: Layout, sheets: Sequence[Sheet]) -> str:
    """What a file is that holds no list of transactions; empty where nobody can tell."""
    if layout.known is not None and layout.known.wrong:
        return layout.known.wrong
    if layout.header >= 0:
        return _bank(layout)
    texts = {
        fold(cell) for sheet in sheets for row in sheet.rows[:400] for cell in row if fold(cell)
    }
    for sheet in sheets:
        other = Layout(0, sheet.rows, -1, {}, [], [])
        _recognise(other, [sheet.title, *map(_first, sheet.rows[:8])])
        if other.known is not None and other.known.wrong:
            return other.known.wrong
    if any(_is_bank_row([fold(cell) for cell in row]) for one in sheets for row in one.rows[:20]):
        return "a bank statement"
    for what, signs, needed in vocabulary.signs():
        if len(texts & signs) >= needed:
            return what
    if any(_are_buckets(row) for sheet in sheets for row in sheet.rows[:HEADING_ROWS]):
        return "an ageing summary, which has no document numbers"
    return ""


def _are_buckets(row: Row) -> bool:
    """Whether a row is the headings of a summary by age."""
    return sum(isinstance(cell, str) and bool(BUCKET.fullmatch(fold(cell))) for cell in row) >= 3


_BANK = frozenset(
    ["check or slip #", "running bal", "running balance", "withdrawals", "withdrawal", "deposits",
     "money in", "money out", "paid in", "paid out", "post date", "posting date", "category",
     "balance", "transaction description", "available balance", "details", "description",
     "merchant"]
)  # fmt: skip


_NO_BANK = frozenset(["source", "account", "je #", "source #", "trans #", "internal id"])


def _is_bank_row(labels: Sequence[str]) -> bool:
    """Whether a row is the headings of a bank's list: no name, no number, a description."""
    there = set(labels)
    dated = there & {"date", "transaction date", "posting date", "post date", "value date"}
    money = there & {"amount", "debit", "credit", "withdrawals", "deposits", "paid in", "money in"}
    return bool(dated and money and there & _BANK)


def _bank(layout: Layout) -> str:
    """A list with dates and amounts in which nobody and no document is named."""
    labels = set(layout.labels)
    bank = labels & _BANK
    nameless = "party" not in layout.fields
    if layout.known is not None or not nameless or not bank or labels & _NO_BANK:
        return ""
    typed = layout.fields.get("type")
    ours = typed is not None and _transaction_types(layout, typed)
    return "" if ours else "a bank statement"


def _transaction_types(layout: Layout, place: int) -> bool:
    """Whether a column holds types of transactions that are ours."""
    known = vocabulary.types()
    cells = [row[place] for row in layout.rows[layout.header + 1 :][:500] if place < len(row)]
    told = [str(cell).strip().lower() for cell in cells if str(cell).strip()]
    ours = [
        text for text in told if known.get(text) in (*RECEIVABLES, *PAYABLES, *vocabulary.CREDITS)
    ]
    return bool(ours)


# ---------------------------------------------------------------- what it holds

_CUSTOMERS = re.compile(
    r"\b(customer|client|payer|debtor|received from|donor|patient|tenant|member)\b"
)
_VENDORS = re.compile(r"\b(vendor|supplier|payee|carrier|creditor|paid to)\b")
_PAYMENTS = frozenset(
    ["payment id", "payment number", "payment no", "payment #", "pay date", "payment date",
     "payment amount", "check number", "check no", "check #", "cheque number", "cheque no",
     "date paid", "receipt no", "receipt number", "receipt #", "receipt date"]
)  # fmt: skip
_PAID = frozenset(["amount paid", "paid amount", "amount received"])
_BILLED = frozenset(["total", "gross", "balance", "invoice total", "total amount", "bill total"])


def kinds(layout: Layout) -> tuple[str, ...]:
    """The entities that the report can hold, as its title or its headings say; all: none says."""
    if layout.known is not None and layout.known.kinds:
        return layout.known.kinds
    text = " · ".join(layout.labels)
    receivable, payable = bool(_CUSTOMERS.search(text)), bool(_VENDORS.search(text))
    if re.search(r"\bbill (number|no|#|date|amount)", text):
        payable = True
    if receivable == payable:
        return ()
    return RECEIVABLES if receivable else PAYABLES


def is_of_payments(layout: Layout) -> bool:
    """Whether the rows of a list without types are payments and not documents."""
    if "open_balance" in layout.fields:
        return False
    labels = set(layout.labels)
    numbers = labels & {"document number", "num", "number"}
    of_bill = labels & {"bill number", "bill no", "invoice number", "invoice no"}
    if labels & _PAYMENTS or (numbers and of_bill and "bill amount" in labels):
        return True
    # A list of invoices may say beside the total what was paid of it.
    return bool(labels & _PAID) and not labels & _BILLED


def system(layout: Layout) -> str:
    """The accounting system that writes such files, empty where several do."""
    labels, text = set(layout.labels), " ".join(layout.labels)
    folded = layout.title.lower()
    foot = " ".join(_first(row) for row in layout.rows[-6:])
    if "internal id" in labels or "document number" in labels or "transaction search" in folded:
        return "NetSuite"
    if {"contact name", "invoice number"} <= labels or "account transactions" in folded:
        return "Xero"
    if (
        re.match(r"aged (receivables|payables) (detail|summary)", folded)
        or "expected date" in labels
    ):
        return "Xero"
    if {"source #", "je #"} <= labels or {"net", "tax", "gross", "ref"} <= labels:
        return "Sage 50"
    if "trans #" in labels or (
        "type" in labels and "num" in labels and "transaction type" not in labels
    ):
        return "QuickBooks Desktop"
    if "transaction type" in text or "posting" in text or re.search(r"GMT", foot):
        return "QuickBooks Online"
    if re.search(r"bill payment list|transaction list by|unpaid bills|invoice list by", folded):
        return "QuickBooks Online"
    return ""
