"""Every row of a report, with what it is, and the documents that they make.

Runs where hostile files are read, so it imports little. Amounts are whole ten-thousandths, days
texts in ISO form.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from synchist.reconciliation import vocabulary
from synchist.reconciliation.layout import STAMP, Layout, kinds
from synchist.reconciliation.vocabulary import (
    BUCKET,
    CREDITS,
    KINDS,
    PAYABLES,
    RECEIVABLES,
    type_of,
)

TYPE_WORDS = {
    "invoice": "Invoice",
    "invoice_payment": "Payment",
    "bill": "Bill",
    "bill_payment": "Bill Payment",
}

_TOTAL = re.compile(r"\s*(grand |report )?totals?\s*:?\s*", re.IGNORECASE)
_SUBTOTAL = re.compile(r"\s*(sub)?total(\s*-\s*|\s+for\s+|\s*:\s*|\s+)\S.*", re.IGNORECASE)
_SUBTOTAL_NAME = re.compile(r"^total(\s*-\s*|\s+for\s+|\s*:\s*|\s+)", re.IGNORECASE)
_BALANCE = re.compile(
    r"\s*((beginning|opening|closing|ending) balance|balance (brought |carried )?forward"
    r"|net movement|net change|percentage of total|% of total).*",
    re.IGNORECASE,
)
_CONTROL = {
    RECEIVABLES: re.compile(
        r"accounts? receivable|\ba/r\b|trade (receivables|debtors)|debtors|\breceivables?\b",
        re.IGNORECASE,
    ),
    PAYABLES: re.compile(
        r"accounts? payable|\ba/p\b|trade (payables|creditors)|creditors|\bpayables?\b",
        re.IGNORECASE,
    ),
}
MANGLED = re.compile(r"\d(?:[.,]\d+)?E\+?\d{1,3}", re.IGNORECASE)
"""What a spreadsheet leaves of a long number."""


@dataclass
class Documents:
    """The documents of one kind, column by column."""

    row: list[int] = field(default_factory=list)
    type: list[str] = field(default_factory=list)
    reference: list[str] = field(default_factory=list)
    party: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    date: list[str | None] = field(default_factory=list)
    amount: list[int | None] = field(default_factory=list)
    open_balance: list[int | None] = field(default_factory=list)
    currency: list[str] = field(default_factory=list)


@dataclass
class Table:
    """The rows below the headings, column by column, and what each of them is.

    `dates`, `amounts`, `opens`, `debits` have a value per row, None where there is none. After
    `classify`, `reasons` says of each row why it is left out (None: it holds a transaction),
    `kinds` what a transaction is and `groups` under which heading it stands.
    """

    layout: Layout
    columns: list[Sequence[Any]]
    dates: list[str | None]
    amounts: list[int | None]
    opens: list[int | None]
    debits: list[int | None]
    default_kind: str
    reasons: list[str | None] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    file_total: int | None = None
    headings: list[str] = field(default_factory=list)
    ended: frozenset[str] = frozenset()

    @property
    def first(self) -> int:
        """The index of the first row in the sheet."""
        return self.layout.header + 1

    def of(self, name: str) -> Sequence[Any]:
        """The cells of a field, blanks where the file has none."""
        place = self.layout.fields.get(name)
        return self.columns[place] if place is not None else [""] * len(self.dates)

    def cells(self, index: int) -> list[Any]:
        """One row."""
        return [column[index] for column in self.columns]


def said(cell: Any) -> bool:
    """Whether a cell says anything."""
    return not isinstance(cell, str) or bool(cell.strip())


def text_of(cell: Any) -> str:
    """A cell as text: a workbook keeps 1042 as 1042.0."""
    if isinstance(cell, str):
        return " ".join(cell.split())
    if isinstance(cell, datetime | date):
        return cell.isoformat()[:10]
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    return str(cell)


# ---------------------------------------------------------------- what each row is


def classify(table: Table) -> None:
    """Say of each row what it is."""
    typed = "type" in table.layout.fields
    kind_of = {cell: _kind(table, cell) for cell in set(table.of("type"))} if typed else {}
    typed_as = [kind_of[cell] for cell in table.of("type")] if typed else []
    heading, totals = list[str](), 0
    table.ended = _ended(table)
    for index, when in enumerate(table.dates):
        kind = typed_as[index] if typed else table.default_kind or None
        if when is not None and kind is not None and table.amounts[index] is not None:
            table.reasons.append(None)
            table.kinds.append(kind)
            table.groups.append(heading[-1] if heading else "")
            continue
        reason, label = _undocumented(table, index)
        if reason == "group heading":
            heading.append(label)
            table.headings.append(label)
        elif reason == "subtotal" and heading:
            # A group ends, and with it those inside it.
            ended = next((i for i, one in enumerate(heading) if one and one in label), None)
            heading = heading[:ended] if ended is not None else heading[:-1]
        elif reason == "total":
            totals += 1
            table.file_total = _own_total(table, index)
        table.reasons.append(reason)
        table.kinds.append(kind or "")
        table.groups.append(heading[-1] if heading else "")
    if totals > 1:  # one for each group, as under every check: none is that of the report
        table.file_total = None


_OF_VENDORS = {"invoice": "bill", "invoice_payment": "bill_payment", "credit memo": "vendor credit"}


def _kind(table: Table, cell: Any) -> str | None:
    """What a type stands for; among payables an invoice is a bill, and a payment one of a bill."""
    kind = type_of(cell)
    payables = set(kinds(table.layout)) <= set(PAYABLES) and kinds(table.layout)
    return _OF_VENDORS.get(kind, kind) if kind and payables else kind


def _ended(table: Table) -> frozenset[str]:
    """The names of groups that end with a subtotal."""
    found = set()
    for column in table.columns[:3]:
        for cell in column:
            if isinstance(cell, str) and cell[:8].strip().lower().startswith("total"):
                found.add(_SUBTOTAL_NAME.sub("", " ".join(cell.split())))
    return frozenset(found)


def _own_total(table: Table, index: int) -> int | None:
    """The total that a report states; of debits and credits that of the debits."""
    if "amount" not in table.layout.fields and table.debits:
        found = table.debits[index]
    else:
        found = table.amounts[index]
    found = table.opens[index] if found is None else found
    return table.file_total if found is None else found


def _undocumented(table: Table, index: int) -> tuple[str | None, str]:
    """Why a row is no transaction, and the text that says so."""
    cells = [column[index] for column in table.columns]
    told = [(place, text_of(cell)) for place, cell in enumerate(cells) if said(cell)]
    if not told:
        return "blank", ""
    label = told[0][1]
    texts = [text for _, text in told]
    if any(_TOTAL.fullmatch(text) for text in texts):
        return "total", label
    if _SUBTOTAL.fullmatch(label) and table.dates[index] is None:
        # A company may be called Total Freight: its heading has no sums beside it.
        alone = len(told) == 1 and label in table.ended
        return ("group heading" if alone else "subtotal"), label
    if any(_BALANCE.fullmatch(text) for text in texts[:3]):
        return "balance", label
    if STAMP.fullmatch(label) and len(told) <= 2:
        return "footer", label
    folded = [vocabulary.fold(text) for text in texts]
    if len(folded) > 2 and set(folded) <= {one for one in table.layout.labels if one}:
        return "repeated headings", label
    if len(told) == 1 and label in _titles(table.layout):
        return "repeated title", label
    if table.dates[index] is not None:
        if table.amounts[index] is None:
            return "no amount", label
        return "no transaction type", label
    if len(told) == 1 or _is_heading(table, index, told):
        below = bool(table.reasons) and table.reasons[-1] == "group heading"
        nameless = len(label) > 120 or (below and bool(table.ended) and label not in table.ended)
        return ("note" if nameless else "group heading"), label
    if table.amounts[index] is None and table.opens[index] is None:
        return "note", label
    place = table.layout.fields.get("date", 0)
    if said(cells[place]):
        return "can't be read", label
    typed = "type" in table.layout.fields and said(table.of("type")[index])
    return ("no date" if typed else "detail line"), label


def _is_heading(table: Table, index: int, told: Sequence[tuple[int, str]]) -> bool:
    """Whether a row is the name of a group, with at most sums beside it."""
    fields = table.layout.fields
    if said(table.of("type")[index]) and fields.get("type") != told[0][0]:
        return False
    leftmost = min(fields.values(), default=0)
    in_front = told[0][0] <= leftmost or told[0][0] == fields.get("date")
    numbers = all(re.fullmatch(r"[-($£€]*[\d.,]+\)?%?", text) for _, text in told[1:])
    return in_front and numbers and not re.fullmatch(r"[\d.,]+", told[0][1])


def _titles(layout: Layout) -> set[str]:
    """What stands above the headings, and again wherever a page begins."""
    above = layout.rows[: max(layout.header, 0)]
    return {text_of(cell) for row in above for cell in row if said(cell)}


# ---------------------------------------------------------------- documents


def leave_out(table: Table) -> None:
    """Leave out transactions that are not in the books: drafts, void ones, unposted ones."""
    for index, reason in enumerate(_unposted(table)):
        if reason and table.reasons[index] is None:
            table.reasons[index] = reason


def _unposted(table: Table) -> Iterable[str]:
    fields = table.layout.fields
    if "status" not in fields and "posting" not in fields:
        return ()
    status = [text_of(cell).lower() for cell in table.of("status")]
    posting = [text_of(cell).lower() for cell in table.of("posting")]
    return [
        "void"
        if one in ("voided", "void", "deleted")
        else "draft"
        if one in ("draft", "submitted", "awaiting approval")
        else "not posted"
        if other in ("no", "n", "false")
        else ""
        for one, other in zip(status, posting, strict=True)
    ]


def is_ledger(table: Table) -> bool:
    """Whether rows are lines of accounts, several to a document."""
    layout = table.layout
    if layout.known is not None:
        return layout.known.ledger
    named = "party" in layout.fields
    if "balance" in layout.labels and named and table.headings and not _bucketed(table):
        return True
    return "account" in layout.fields and "debit" in layout.fields and named


def control_lines(table: Table, kinds: Sequence[str]) -> list[int]:
    """The transactions on the account of receivables or of payables."""
    account = _CONTROL[RECEIVABLES if kinds[0] in RECEIVABLES else PAYABLES]
    accounts = table.of("account") if "account" in table.layout.fields else table.groups
    hit = {name: bool(account.search(text_of(name))) for name in set(accounts)}
    return [
        index
        for index, reason in enumerate(table.reasons)
        if reason is None and table.kinds[index] in kinds and hit[accounts[index]]
    ]


def documents(table: Table, kind: str) -> Documents:
    """The documents of a kind; rows that make none of their own get their reason."""
    mine: list[int] = []
    for index, reason in enumerate(table.reasons):
        if reason is None:
            if table.kinds[index] == kind:
                mine.append(index)
            else:
                table.reasons[index] = _other(table.kinds[index])
    layout = table.layout
    if "main_line" in layout.fields and any(text_of(one) == "*" for one in table.of("main_line")):
        mine = _kept(
            table,
            mine,
            {
                i
                for i, one in enumerate(table.of("main_line"))
                if text_of(one) == "*" or text_of(one).lower() in ("yes", "true")
            },
        )
        groups = [[index] for index in mine]
    elif is_ledger(table):
        control = set(control_lines(table, (kind,)))
        if control:
            mine = _kept(table, mine, control)
        groups = grouped(table, mine, control=bool(control))
    elif layout.lines_of or _names_documents_paid(table, kind):
        groups = grouped(table, mine)
    else:
        groups = [[index] for index in mine]
    return _made(table, kind, groups)


def _other(kind: str) -> str:
    return (
        {"invoice_payment": "payment"}.get(kind, kind.replace("_", " ")) if kind in KINDS else kind
    )


def _kept(table: Table, mine: list[int], keep: set[int]) -> list[int]:
    for index in mine:
        if index not in keep:
            table.reasons[index] = "detail line"
    return [index for index in mine if index in keep]


def _names_documents_paid(table: Table, kind: str) -> bool:
    """Whether a list of payments has a row for each document that one pays."""
    paid = {"invoice no", "invoice number", "bill number", "bill no", "invoice #", "bill #"}
    others = {table.layout.labels[place] for place in table.layout.also}
    return kind in ("invoice_payment", "bill_payment") and bool(paid & others)


def grouped(table: Table, mine: Sequence[int], control: bool = False) -> list[list[int]]:
    """The rows of each document, in the order of the file."""
    references, parties = table.of("reference"), _parties(table)
    ids = table.of("line_of")
    journal = table.layout.known is not None and table.layout.known.title == "journal"
    groups: dict[Any, list[int]] = defaultdict(list)
    for index in mine:
        reference, identity = text_of(references[index]), text_of(ids[index])
        if journal and table.groups[index]:
            identity = table.groups[index]
        if identity:
            key: Any = (identity,)
        elif reference:
            key = (reference, parties[index].lower(), table.dates[index])
        else:
            key = index
        groups[key].append(index)
    return list(groups.values())


def _parties(table: Table) -> list[str]:
    """Whose each transaction is: the cell, or the heading that it stands under."""
    own = [text_of(cell) for cell in table.of("party")]
    if "party" not in table.layout.fields and (named := _named_within(table)):
        return named
    if all(own[index] for index, reason in enumerate(table.reasons) if reason is None):
        return own
    if is_ledger(table) or _grouped_by_other(table, own):
        return own
    return [
        one or ("" if BUCKET.fullmatch(group) else group)
        for one, group in zip(own, table.groups, strict=True)
    ]


def _named_within(table: Table) -> list[str]:
    """Parties of files that name them inside another column: Xero writes `Name - text`, Sage 50
    `Name, text` or the code of the account."""
    labels = table.layout.labels
    if "source" in labels and "description" in labels:
        return [
            text_of(cell).split(" - ")[0] for cell in table.columns[labels.index("description")]
        ]
    if "je #" in labels and "comment" in labels:
        return [text_of(cell).split(", ")[0] for cell in table.columns[labels.index("comment")]]
    if "account" in labels and {"net", "gross"} <= set(labels):
        return [text_of(cell) for cell in table.columns[labels.index("account")]]
    return []


def _grouped_by_other(table: Table, own: Sequence[str]) -> bool:
    """Whether the headings are ageing buckets or accounts, and no parties."""
    if _bucketed(table):
        return True
    place = table.layout.fields.get("party")
    named = sum(bool(own[index]) for index, reason in enumerate(table.reasons) if reason is None)
    # A column of names with a few blanks: the headings are something else.
    return place is not None and named > 0


def _bucketed(table: Table) -> bool:
    """Whether the groups are ageing buckets."""
    buckets = sum(bool(BUCKET.fullmatch(one)) for one in table.headings)
    return buckets > 0 and buckets * 2 >= len(table.headings)


def _made(table: Table, kind: str, groups: Sequence[Sequence[int]]) -> Documents:
    heads = [rows[0] for rows in groups]
    parties = _parties(table)
    found = Documents(
        row=[table.first + head + 1 for head in heads],
        type=[TYPE_WORDS[kind]] * len(heads),
        reference=_texts(table.of("reference"), heads),
        party=[parties[head] for head in heads],
        also=_others(table, groups),
        date=[table.dates[head] for head in heads],
        amount=[_absolute(table.amounts[head]) for head in heads],
        open_balance=[_absolute(table.opens[head]) for head in heads],
        currency=[_currency(cell) for cell in _texts(table.of("currency"), heads)],
    )
    repeats = total_repeats(table)
    for place, rows in enumerate(groups):
        if len(rows) > 1:
            found.party[place] = next((parties[row] for row in rows if parties[row]), "")
            if not repeats:
                found.amount[place] = abs(_sum_of(table, rows))
                if found.open_balance[place] is not None:
                    found.open_balance[place] = abs(sum(table.opens[row] or 0 for row in rows))
    return found


def _texts(cells: Sequence[Any], rows: Sequence[int]) -> list[str]:
    return [text_of(cells[row]) for row in rows]


def _absolute(amount: int | None) -> int | None:
    return None if amount is None else abs(amount)


_APPLIED = frozenset(
    ["amount applied", "applied amount", "applied", "amount allocated", "allocated", "invoice paid",
     "paid to invoice", "applied to invoice"]
)  # fmt: skip


def total_repeats(table: Table) -> bool:
    """Whether each line of a document repeats the total of the whole."""
    label = table.layout.label("amount")
    if label in ("payment amount", "payment total", "check amount", "cheque amount"):
        return bool(_APPLIED & set(table.layout.labels))
    return table.layout.lines_of and (
        "total" in label or "gross" in label or label == "invoice amount"
    )


def _sum_of(table: Table, rows: Sequence[int]) -> int:
    """The amount of a document of several lines. Where they are balanced, the one side."""
    signed = [table.amounts[row] or 0 for row in rows]
    total = sum(signed)
    if total == 0 and is_ledger(table):
        return sum(one for one in signed if one > 0)
    return total


def _others(table: Table, groups: Sequence[Sequence[int]]) -> list[str]:
    """What else is said of each document: every text once."""
    columns = [table.columns[place] for place in table.layout.also]
    columns = [column for column in columns if any(map(said, column))]
    if not columns:
        return [""] * len(groups)
    return [
        "\n".join(
            dict.fromkeys(
                text_of(column[row]) for row in rows[:20] for column in columns if said(column[row])
            )
        )
        for rows in groups
    ]


def _currency(text: str) -> str:
    return text.upper() if len(text) == 3 and text.isalpha() and text.isascii() else ""


def skipped(table: Table) -> Counter[str]:
    """How many rows are left out, by reason."""
    return Counter(reason for reason in table.reasons if reason is not None)


def credits_apart(table: Table) -> None:
    """In a list of open documents that does not say what each is, a negative one is a credit."""
    if "type" in table.layout.fields or table.default_kind not in ("invoice", "bill"):
        return
    name = CREDITS[0] if table.default_kind == "invoice" else CREDITS[1]
    for index, reason in enumerate(table.reasons):
        if reason is None and (table.amounts[index] or 0) < 0:
            table.kinds[index] = name
