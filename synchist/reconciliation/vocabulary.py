"""The words of `vocabulary.toml`, ready to be looked up."""

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

CREDITS = ("credit memo", "vendor credit")
RECEIVABLES = ("invoice", "invoice_payment")
PAYABLES = ("bill", "bill_payment")
KINDS = (*RECEIVABLES, *PAYABLES)

KIND_WORDS = {
    "invoice": "invoices",
    "invoice_payment": "invoice payments",
    "bill": "bills",
    "bill_payment": "bill payments",
}
PAGES = {
    "invoice": "Invoices",
    "invoice_payment": "Invoice Payments",
    "bill": "Bills",
    "bill_payment": "Bill Payments",
}


class Known(NamedTuple):
    """A report by its title. `kinds` are the entities that it can hold, `wrong` says what a report
    is that can't be reconciled."""

    title: str
    kinds: tuple[str, ...]
    coverage: str
    ledger: bool
    wrong: str


@cache
def _words() -> dict[str, Any]:
    with Path(__file__).with_name("vocabulary.toml").open("rb") as file:
        return tomllib.load(file)


@lru_cache(10_000)  # headings stand again on each page
def fold(cell: Any) -> str:
    """A heading as it is compared: `*InvoiceNumber` and `Invoice_Number:` are `invoice number`."""
    if not isinstance(cell, str):
        return ""
    if cell.strip() == "*":
        return "*"
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cell.replace("_", " ").replace("*", " "))
    text = re.sub(r"\((?:[A-Z]{3}|[$£€])\)\s*$", "", text.strip())
    return re.sub(r"\s+", " ", text).strip(" .:").lower()


def headings(payments: bool) -> dict[str, list[str]]:
    """The words of each field, the best first."""
    words = {field: list(found) for field, found in _words()["headings"].items()}
    if payments:
        for field, first in _words()["headings_of_payments"].items():
            words[field] = [*first, *words[field]]
    return words


def beside_a_currency() -> dict[str, list[str]]:
    """The words of amounts in each document's own currency."""
    return dict(_words()["headings_beside_a_currency"])


def second_numbers() -> list[str]:
    """Headings of other numbers, and of words that may hold one."""
    return list(_words()["second_numbers"]["also"])


def line_items() -> frozenset[str]:
    """Headings by which a file shows lines of documents."""
    return frozenset(_words()["line_items"]["headings"])


@cache
def unposted() -> dict[str, str]:
    """Why a document with a status is not in the books."""
    return {word: why for why, words in _words()["unposted"].items() for word in words}


def portions() -> frozenset[str]:
    """Headings of what a payment pays of one document, beside the whole payment."""
    return frozenset(_words()["line_items"]["portions"])


@cache
def reports() -> tuple[Known, ...]:
    """Every title that is known, the longest first: one may hold another."""
    found = [
        Known(title, tuple(one["kinds"]), one["coverage"], one.get("ledger", False), "")
        for one in _words()["reports"]
        for title in one["titles"]
    ]
    found += [
        Known(title, (), "", False, one["is"])
        for one in _words()["wrong"]
        for title in one["titles"]
    ]
    return tuple(sorted(found, key=lambda one: -len(one.title)))


@cache
def companies() -> frozenset[str]:
    """Words after what looks like a title: Budget Freight LLC is no budget."""
    return frozenset(_words()["companies"]["words"])


def signs() -> list[tuple[str, frozenset[str], int]]:
    """What a file without a title is, the texts that say so, and how many of them it takes."""
    return [(one["is"], frozenset(one["texts"]), one["needed"]) for one in _words()["signs"]]


@cache
def types() -> dict[str, str]:
    """What a transaction type is: one of `KINDS`, or the words for something else."""
    return {word: kind for kind, words in _words()["types"].items() for word in words}


def type_of(cell: Any) -> str | None:
    """What the text in a type column stands for: one of `KINDS`, or words for something else; None
    for a blank."""
    text = re.sub(r"\s+", " ", cell).strip().lower() if isinstance(cell, str) else ""
    if not text:
        return None
    if text in types():
        return types()[text]
    if re.search(r"\b(bill|payable|vendor|supplier)\b.*\b(payment|pmt)\b", text):
        return "bill_payment"
    if re.search(r"\b(invoice|receivable|customer|client)\b.*\b(payment|pmt|receipt)\b", text):
        return "invoice_payment"
    return text[:40]


BUCKET = re.compile(
    r"(current|not (yet )?due|older|<\s*1 month|\d months?"
    r"|\d{1,3}\s*-\s*\d{1,3}( days?)?( past due| overdue)?|[<>]\s*\d+( days?)?|\d+\s*\+( days?)?"
    r"|\d+ (or more|and over|and above|& over|or over)( days?)?( past due| overdue)?"
    r"|over \d+( days?)?( past due)?|\d+ days?( past due)?"
    r"|past due|1 - 30|91 and over|no due date)",
    re.IGNORECASE,
)
"""An ageing bucket, as a heading of a column or of a group."""
