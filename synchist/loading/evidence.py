"""What somebody found in the books: a list of numbers, references and amounts, pasted or a file."""

import csv
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synchist.loading.cells import Refused, as_money, as_text, quoted
from synchist.loading.files import Line, is_blank
from synchist.status_changes import LONGEST_REFERENCE, Evidence

HEADERS = ("number", "reference", "amount")


@dataclass(frozen=True)
class Numbered:
    """A selected record, as far as a list can name it."""

    entity: str
    record_id: int
    number: str
    currency: str


@dataclass(frozen=True)
class Found:
    """Evidence by entity key and record id, and one sentence for each line that is not used."""

    evidence: Mapping[str, Mapping[int, Evidence]]
    unused: Sequence[str]

    @property
    def count(self) -> int:
        """How many records have some."""
        return sum(len(records) for records in self.evidence.values())


def read_amount(text: str, currency: str) -> tuple[int | None, str]:
    """An amount in minor units and an empty text, or None and what is wrong with it."""
    if not text.strip():
        return None, ""
    try:
        return as_money("Amount", _bare(text), currency), ""
    except Refused as reason:
        return None, f"{reason}."


def pasted(text: str) -> list[Line]:
    """The lines of a list pasted from a spreadsheet or typed: cells between tabs, else between
    semicolons, else between commas."""
    lines: list[Line] = []
    for number, line in enumerate(text.splitlines(), start=1):
        delimiter = next((sign for sign in "\t;," if sign in line), ",")
        try:
            cells = next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
        except csv.Error:  # a cell longer than the reader takes
            cells = line.split(delimiter)
        if not all(map(is_blank, cells)):
            lines.append((number, cells))
    return lines


def matched(lines: Sequence[Line], records: Sequence[Numbered]) -> Found:
    """Lines of number, reference and amount (either may be missing) beside the selected records.

    A header may name the columns in another order. A number that several selected records share, or
    that stands twice in the list, is used for none.
    """
    columns, width, lines = _columns(lines)
    by_number: dict[str, list[Numbered]] = defaultdict(list)
    for record in records:
        by_number[record.number.upper()].append(record)
    evidence: dict[str, dict[int, Evidence]] = defaultdict(dict)
    unused, seen = [], dict[str, int]()
    for line, cells in lines:
        try:
            if not all(map(is_blank, cells[width:])):
                # In “1042, 40123, 1,234.50” the amount is not 1.
                raise Refused(
                    "it has more cells than number, reference and amount; put tabs between them, or"
                    " name every column in a header"
                )
            record, found = _matched(cells, columns, by_number)
        except Refused as reason:
            unused.append(f"Line {line}: {reason}.")
            continue
        if (first := seen.setdefault(record.number.upper(), line)) != line:
            evidence[record.entity].pop(record.record_id, None)
            unused.append(
                f"Line {line}: {record.number} stands in line {first} too; neither is used."
            )
            continue
        evidence[record.entity][record.record_id] = found
    return Found({key: of for key, of in evidence.items() if of}, tuple(unused))


def _columns(lines: Sequence[Line]) -> tuple[dict[str, int], int, Sequence[Line]]:
    """Where each column stands, how many there are, and the lines without the header."""
    head = [str(cell).strip().lower() for cell in lines[0][1]] if lines else []
    if "number" in head:
        return {name: head.index(name) for name in HEADERS if name in head}, len(head), lines[1:]
    return {name: position for position, name in enumerate(HEADERS)}, len(HEADERS), lines


def _matched(
    cells: Sequence[Any], columns: Mapping[str, int], by_number: Mapping[str, Sequence[Numbered]]
) -> tuple[Numbered, Evidence]:
    def cell(name: str) -> Any:
        position = columns.get(name, len(cells))
        found = cells[position] if position < len(cells) else None
        return None if is_blank(found) else found

    if cell("number") is None:
        raise Refused("the number is missing")
    number = as_text("number", cell("number"))
    of_number = by_number.get(number.upper(), ())
    if len(of_number) != 1:
        raise Refused(
            f"{len(of_number)} of the selected records have the number {quoted(number)}; close them"
            " one by one"
            if of_number
            else f"none of the selected records has the number {quoted(number)}"
        )
    record = of_number[0]
    reference, amount = cell("reference"), cell("amount")
    if reference is None and amount is None:
        raise Refused(f"neither a reference nor an amount for {quoted(number)}")
    text = "" if reference is None else as_text("reference", reference, LONGEST_REFERENCE)
    if not text.isprintable():
        raise Refused(f"the reference of {quoted(number)} holds signs that can't be shown")
    minor = None if amount is None else as_money("amount", _bare(amount), record.currency)
    return record, Evidence(text, minor)


def _bare(amount: Any) -> Any:
    return amount.strip().removeprefix("$") if isinstance(amount, str) else amount
