"""An exported report as JSON: what it is, its documents of one kind, and every row that is none.

A command of its own (`python -m synchist.reconciliation.parse NAME KIND [READING]`), since the file
may be hostile: see `synchist.child`.
"""

import json
import re
from collections.abc import Sequence
from datetime import date
from typing import Any

from synchist.child import UnreadableFile, serve
from synchist.reconciliation import columns, layout, rows, vocabulary
from synchist.reconciliation.layout import PREVIEW_ROWS, Layout
from synchist.reconciliation.rows import Table, text_of
from synchist.reconciliation.sheets import Sheet, sheets
from synchist.reconciliation.vocabulary import KIND_WORDS, KINDS, PAGES, PAYABLES, RECEIVABLES

ALL, OPEN, UNKNOWN = "all of a period", "open items only", "unknown"
LISTED = 2_000
"""How many rows that are left out are told one by one."""


class _Wrong(Exception):
    """The file is something else than the page is about."""


class _Unmapped(Exception):
    """Nobody can say which column holds what."""


def parse(name: str, content: bytes, asked: Sequence[str]) -> dict[str, Any]:
    """The answer for a file. `asked` is the kind of document (a key of the entities), and maybe how
    to read the file, as JSON. Raises UnreadableFile."""
    kind = asked[0]
    told = json.loads(asked[1]) if len(asked) > 1 else None
    found = sheets(name, content)
    if not found:
        raise UnreadableFile(f"{name} is empty. Export the report again.")
    payments = kind in ("invoice_payment", "bill_payment")
    if told:
        where = min(max(told["sheet"], 0), len(found) - 1)
        place = layout.mapped(found, where, told["header"], told["columns"])
    else:
        place = layout.best(found, payments)
        if place.header < 0:  # what it is shows maybe only by the other words
            place = layout.best(found, not payments)
    try:
        return _report(found, place, kind, told or {})
    except _Wrong as error:
        return {"wrong": str(error)}
    except _Unmapped as error:
        guess = layout.guessed(place, payments)
        return {"unmapped": str(error), **_shown(found, guess), "fields": _fields(guess)}


def _report(
    found: Sequence[Sheet], place: Layout, kind: str, told: dict[str, Any]
) -> dict[str, Any]:
    if not told:
        _refuse(found, place, kind)
    table, unsure = _table(place, kind, told)
    _refuse_sums(table)
    rows.classify(table)
    rows.leave_out(table)
    if not told.get("kind"):
        rows.credits_apart(table)
    _refuse_kinds(table, kind)
    coverage = told.get("coverage") or _coverage(table, kind)
    signed = _control(table)
    held, unknown = _held(table), _unknown(table)
    documents = rows.documents(table, kind)
    above = ["blank" if not any(map(rows.said, row)) else "title" for row in _above(place)]
    skipped = rows.skipped(table)
    for reason in above:
        skipped[reason] += 1
    if place.header >= 0:
        skipped["headings"] += 1
    used = table.reasons.count(None)
    warnings = unsure + _warnings(found, table, signed, unknown, documents)
    if held and not documents.row:
        warnings.append(f"The file holds no {KIND_WORDS[kind]}.")
    return {
        "system": layout.system(place),
        "report": place.title if place.known else "",
        "coverage": coverage,
        "start": place.start,
        "end": place.end,
        "period": place.period,
        "basis": place.basis,
        "rows_read": len(place.rows),
        "used": used,
        "skipped": dict(skipped.most_common()),
        "left_out": _left_out(table),
        "documents": vars(documents),
        "control_total": signed,
        "file_total": table.file_total,
        "amount_is_open": place.amount_is_open,
        "warnings": warnings,
        "unsure": unsure,
        "fields": _fields(place),
        **_shown(found, place),
    }


def _above(place: Layout) -> Sequence[Sequence[Any]]:
    return place.rows[: max(place.header, 0)]


def _fields(place: Layout) -> dict[str, int]:
    also = {"also": place.also[0]} if place.also else {}
    return {**place.fields, **also}


def _shown(found: Sequence[Sheet], place: Layout) -> dict[str, Any]:
    """What a person needs to see to say how the file is to be read."""
    first = found[place.sheet].rows
    until = max(PREVIEW_ROWS, place.header + 8)
    return {
        "sheet": place.sheet,
        "header": place.header + 1,
        "headings": [text_of(cell) for cell in place.rows[place.header]]
        if place.header >= 0
        else [],
        "preview": [[text_of(cell)[:80] for cell in row] for row in first[:until]],
    }


# ---------------------------------------------------------------- refusals


def _refuse(found: Sequence[Sheet], place: Layout, kind: str) -> None:
    """Raise where the file as a whole is something else."""
    if what := layout.wrong(place, found):
        raise _Wrong(
            f"This is {what}. Export a list of {KIND_WORDS[kind]} with date, number and amount"
            " instead."
        )
    if place.header < 0:
        raise _Unmapped("We can't tell which columns hold the date, the amount and the number.")
    possible = layout.kinds(place)
    if possible and kind not in possible:
        _refuse_side(place, possible, kind)


def _refuse_side(place: Layout, possible: Sequence[str], kind: str) -> None:
    title = f" ({place.title[:80]})" if place.known else ""
    side = "receivables" if possible[0] in RECEIVABLES else "payables"
    pages = " or ".join(PAGES[one] for one in possible)
    what = side if len(possible) > 1 else KIND_WORDS[possible[0]]
    raise _Wrong(f"These are {what}{title}, the page is {PAGES[kind]}. Choose {pages}.")


def _refuse_sums(table: Table) -> None:
    """Raise where amounts add up to more than is counted anywhere (2⁶³ ten-thousandths)."""
    for column in (table.amounts, table.opens, table.debits):
        if sum(abs(one or 0) for one in column) >= 2**63:
            raise _Wrong(
                "The amounts add up to more than any books hold. Check which column holds the"
                " amount."
            )


def _refuse_kinds(table: Table, kind: str) -> None:
    """Raise where the rows themselves are all of another kind."""
    there = {
        table.kinds[index]
        for index, reason in enumerate(table.reasons)
        if reason is None and table.kinds[index] in KINDS
    }
    if not there or kind in there:
        return
    same_side = RECEIVABLES if kind in RECEIVABLES else PAYABLES
    if len(there) == 1 or not there & set(same_side):
        _refuse_side(table.layout, [one for one in KINDS if one in there], kind)


# ---------------------------------------------------------------- how dates and numbers are written


def _table(place: Layout, kind: str, told: dict[str, Any]) -> tuple[Table, list[str]]:
    body = place.rows[place.header + 1 :]
    width = max([len(place.labels), *map(len, body)])
    padded = [row if len(row) == width else [*row, *[""] * (width - len(row))] for row in body]
    cells: list[Sequence[Any]] = list(zip(*padded, strict=True)) or [()] * width
    unsure = _missing(place)

    def of(name: str) -> Sequence[Any]:
        at = place.fields.get(name)
        return cells[at] if at is not None else ()

    money = [of(name) for name in ("amount", "open_balance", "debit", "credit")]
    comma = told.get("decimal_comma")
    if comma is None:
        found, doubtful = columns.comma_is_decimal(money)
        comma = bool(found)
        if doubtful:
            unsure.append(
                "Amounts like 1.234 could be 1,234 or 1 and a bit. They are read as 1,234."
            )
    first = told.get("day_first")
    if first is None:
        first, doubt = _day_first(place, of("date"), of("due_date"), comma)
        if doubt:
            unsure.append(f"{doubt} They are read as {'day/month' if first else 'month/day'}.")
    if period := columns.period_of(place.period, first):
        place.start, place.end = period
    if columns.look_swapped(of("date")):
        unsure.append(
            "A spreadsheet seems to have swapped day and month of some dates. Export the report"
            " again and don't open it in between."
        )
    dates = columns.days(of("date"), first)
    debits = columns.amounts(of("debit"), comma)
    credited = columns.amounts(of("credit"), comma)
    opens = columns.amounts(of("open_balance"), comma) or [None] * len(body)
    amounts = columns.amounts(of("amount"), comma)
    if not amounts:
        amounts = _sided(debits, credited) if debits or credited else list(opens)
    elif place.buckets and "open_balance" not in place.fields:
        opens = amounts
    elif "original amount" in place.labels and place.label("amount") != "original amount":
        # A check that pays several bills: its own amount stands in the other column.
        whole = columns.amounts(cells[place.labels.index("original amount")], comma)
        amounts = [one if two is None else two for one, two in zip(whole, amounts, strict=True)]
    for index in _torn(place, cells):
        amounts[index] = None
    return (
        Table(
            place,
            cells,
            dates or [None] * len(body),
            amounts,
            opens,
            debits,
            told.get("kind") or _default_kind(place, kind),
        ),
        unsure,
    )


def _missing(place: Layout) -> list[str]:
    """What a list without a known title may hold in a column that was not found."""
    missing = []
    if place.known is None and "reference" not in place.fields:
        missing.append("No column was found that holds the number.")
    if place.known is None and place.amount_is_open and not place.buckets:
        missing.append("No column was found that holds the amount, only what is open.")
    return missing


def _torn(place: Layout, cells: Sequence[Sequence[Any]]) -> list[int]:
    """The rows in which a comma without quotes has torn 1,234.00 into 1 and 234.00."""
    last = max((at for at, label in enumerate(place.labels) if label), default=len(cells))
    money = [place.fields[name] for name in ("amount", "debit", "credit") if name in place.fields]
    return [
        index
        for at in money
        for beyond in cells[last + 1 :]
        for index, cell in enumerate(beyond)
        if rows.said(cell)
        and re.fullmatch(r"[-($ ]*[0-9]{1,3}", text_of(cells[at][index]))
        and re.fullmatch(r"[0-9]{3}(\.[0-9]*)?[-) ]*", text_of(cells[at + 1][index]))
    ]


def _sided(debits: Sequence[int | None], others: Sequence[int | None]) -> list[int | None]:
    """Debit less credit."""
    debits = debits or [None] * len(others)
    others = others or [None] * len(debits)
    return [
        None if debit is None and credit is None else (debit or 0) - (credit or 0)
        for debit, credit in zip(debits, others, strict=True)
    ]


def _day_first(
    place: Layout, dates: Sequence[Any], due: Sequence[Any], comma: bool
) -> tuple[bool, str]:
    """Whether the day comes first, and why that is a guess (empty: it is none)."""
    order, matters, mixed = columns.order_of([*dates, *due])
    if order is not None:
        return order, ""
    doubt = "The dates could be day/month or month/day."
    if mixed:
        doubt = "Some dates are day/month, others month/day; each that could be either is a guess."
    inside = [_inside(columns.days(dates, first), place, first) for first in (True, False)]
    if inside[0] != inside[1]:
        return inside[0], doubt if mixed else ""
    if not matters:
        return False, ""
    terms = [
        _terms(columns.days(dates, first), columns.days(due, first)) for first in (True, False)
    ]
    if due and terms[0] != terms[1]:
        return terms[0] > terms[1], doubt if mixed else ""
    system = layout.system(place)
    if system.startswith("QuickBooks") or system == "NetSuite":
        return False, doubt if mixed else ""
    if comma or system == "Sage 50":
        return True, doubt if mixed else ""
    return system == "Xero", doubt


def _inside(dates: Sequence[str | None], place: Layout, first: bool) -> bool:
    """Whether all dates are in the report's period, where that is written in the same way."""
    begin, end = columns.period_of(place.period, first) or (None, None)
    there = [one for one in dates if one]
    return all((begin or "") <= one <= (end or "9999") for one in there)


def _terms(dates: Sequence[str | None], due: Sequence[str | None]) -> int:
    """How many due dates lie as far after their dates as usual terms."""
    return sum(
        0 <= (date.fromisoformat(last) - date.fromisoformat(first)).days <= 125
        for first, last in zip(dates, due, strict=False)
        if first and last
    )


# ---------------------------------------------------------------- what the rows are


def _default_kind(place: Layout, kind: str) -> str:
    """What a row is where no column says it."""
    possible = layout.kinds(place)
    if len(possible) == 1:
        return possible[0]
    if layout.is_of_payments(place):
        of_payments = [one for one in possible or KINDS if one.endswith("payment")]
        return kind if kind in of_payments else of_payments[0]
    if possible:
        return possible[0]
    documents = {"invoice_payment": "invoice", "bill_payment": "bill"}
    if place.known is not None and place.known.ledger:
        return ""
    return kind if layout.is_of_payments(place) else documents.get(kind, kind)


def _coverage(table: Table, kind: str) -> str:
    place = table.layout
    there = any(
        reason is None and table.kinds[index] == kind for index, reason in enumerate(table.reasons)
    )
    covered = _coverage_untitled(table) if place.known is None else place.known.coverage
    if covered == ALL and not there and _held(table):
        return UNKNOWN  # it was filtered, or shows something else
    if place.known is not None and place.known.ledger:
        side = RECEIVABLES if kind in RECEIVABLES else PAYABLES
        return covered if rows.control_lines(table, side) else UNKNOWN
    return covered


def _coverage_untitled(table: Table) -> str:
    """What a file without a title proves, by its shape."""
    place = table.layout
    if place.buckets or any(vocabulary.BUCKET.fullmatch(one) for one in table.headings):
        return OPEN
    labels = set(place.labels)
    if {"contact name", "invoice number", "invoice amount due"} <= labels:
        due = columns.amounts(table.columns[place.labels.index("invoice amount due")], False)
        return ALL if any(one == 0 for one in due) else UNKNOWN
    if layout.system(place) == "Sage 50" and "net" in labels:
        return ALL
    return UNKNOWN


def _unknown(table: Table) -> list[str]:
    """What the rows say that they are, of those that say something unheard of."""
    known = {*vocabulary.types().values(), ""}
    return [
        table.kinds[index]
        for index, reason in enumerate(table.reasons)
        if reason is None and table.kinds[index] not in known
    ]


def _held(table: Table) -> bool:
    return any(reason is None for reason in table.reasons)


# ---------------------------------------------------------------- sums and doubts


def _control(table: Table) -> int | None:
    """The signed sum of all transactions, as the report's own total counts them."""
    there = [index for index, reason in enumerate(table.reasons) if reason is None]
    counted = table.totalled or table.amounts
    if not table.totalled and "amount" not in table.layout.fields and table.debits:
        counted = table.debits
    elif "main_line" in table.layout.fields:
        main = [index for index in there if text_of(table.of("main_line")[index]) == "*"]
        there = main or there
    elif table.layout.lines_of or vocabulary.portions() & set(table.layout.labels):
        groups = rows.grouped(table, there)
        if rows.total_repeats(table, groups):
            there = [group[0] for group in groups]
    return sum(counted[index] or 0 for index in there)


def _warnings(
    found: Sequence[Sheet],
    table: Table,
    signed: int | None,
    unknown: Sequence[str],
    documents: rows.Documents,
) -> list[str]:
    warnings = []
    place = table.layout
    if table.file_total is not None and signed is not None and table.file_total != signed:
        warnings.append(
            f"The report's own total is {_plain(table.file_total)}, its rows add up to"
            f" {_plain(signed)}."
        )
    if len(found) > 1:
        names = [f"“{sheet.title[:40]}”" for sheet in found]
        read = names.pop(place.sheet)
        others = ", ".join(names[:5]) + (f" and {len(names) - 5:,} more" if names[5:] else "")
        warnings.append(f"Only the sheet {read} is read; not read: {others}.")
    if "type" not in place.fields and not layout.kinds(place):
        words = KIND_WORDS[table.default_kind] if table.default_kind else "transactions"
        warnings.append(f"The file does not say what its rows are; they are read as {words}.")
    mangled = [one for one in documents.reference if rows.MANGLED.fullmatch(one)]
    if mangled:
        warnings.append(
            f"A spreadsheet has shortened {len(mangled):,} long numbers, like {mangled[0][:40]};"
            " they can't be restored. Export the report again and don't open it in between."
        )
    reasons = rows.skipped(table)
    for reason, words in (
        ("no transaction type", "without the kind of transaction"),
        ("no amount", "without an amount"),
        ("no date", "without a date"),
        ("can't be read", "with a date that can't be read"),
        ("other account", "on an account that is neither receivables nor payables"),
    ):
        if count := reasons[reason]:
            warnings.append(f"Left out: {count:,} row{'s' if count > 1 else ''} {words}.")
    if unknown:
        kinds = ", ".join(f"“{one}”" for one in dict.fromkeys(unknown[:5]))
        rows_of = f"row{'s' if len(unknown) > 1 else ''} of a kind that we don't know"
        warnings.append(f"Left out: {len(unknown):,} {rows_of}: {kinds}.")
    return warnings


def _plain(amount: int) -> str:
    return f"{amount / columns.UNIT:,.2f}"


def _left_out(table: Table) -> list[tuple[int, str, str]]:
    """The rows that hold something and are left out, with what they say."""
    silent = {"blank", "repeated headings", "repeated title", "footer", "detail line"}
    found = []
    for index, reason in enumerate(table.reasons):
        if reason is not None and reason not in silent:
            said = " · ".join(text_of(cell) for cell in table.cells(index) if rows.said(cell))
            found.append((table.first + index + 1, reason, said[:200]))
            if len(found) >= LISTED:
                break
    return found


if __name__ == "__main__":
    serve(parse)
