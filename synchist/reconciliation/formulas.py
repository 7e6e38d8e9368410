"""Results of formulas that a workbook does not store.

QuickBooks Online writes amounts as `=123.45` and totals as `=((B6)+(B7))`, without results, so that
whoever reads only stored values sees an empty report. Literals, cells, + - * / ( ), SUM and ROUND
are worked out; nothing else is, and nothing is ever run.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import (
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)
from math import isfinite
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<range>\$?[A-Z]{1,3}\$?\d{1,7}:\$?[A-Z]{1,3}\$?\d{1,7})"
    r"|(?P<cell>\$?[A-Z]{1,3}\$?\d{1,7})(?![A-Za-z(])"
    r"|(?P<name>[A-Z]+)(?=\()"
    r'|"(?P<text>[^"]*)"'
    r"|(?P<sign>[-+*/(),]))"
)

DEEPEST = 100
"""How far formulas may refer to formulas and brackets stand in brackets, all in all."""

LONGEST = 8_192
"""Signs of a formula; Excel knows no longer one."""

MOST_CELLS = 1_000_000
"""How many cells the sums of a sheet may visit: thousands of them may name the same large range."""

# No amount is as large as this, and nothing is worked out for hours.
_BOUNDS = Context(prec=28, Emin=-40, Emax=40, traps=[InvalidOperation, DivisionByZero, Overflow])

Place = tuple[int, int]


class _NotOurs(Exception):
    """A formula that is not worked out."""


def values_of(rows: list[list[Any]], formulas: Mapping[Place, str]) -> list[list[Any]]:
    """The rows with the results of formulas (by row and column from 0) in their cells. What can't
    be worked out stays as it is."""
    cells = _Cells(rows, formulas)
    with localcontext(_BOUNDS):
        for row, column in formulas:
            if row < len(rows) and column < 200:
                try:
                    result = cells.result((row, column), 0)
                except (_NotOurs, ArithmeticError):
                    continue
                rows[row].extend("" for _ in range(len(rows[row]), column + 1))
                rows[row][column] = result
    return rows


class _Cells:
    """The cells of a sheet; formulas are worked out when they are asked for, each once."""

    def __init__(self, rows: list[list[Any]], formulas: Mapping[Place, str]) -> None:
        self._rows, self._formulas = rows, formulas
        self._known: dict[Place, Any] = {}
        self._left = MOST_CELLS

    def result(self, place: Place, depth: int) -> Any:
        """What a formula comes to."""
        if place not in self._known:
            if depth > DEEPEST:
                raise _NotOurs
            self._known[place] = None  # a formula that leads back to itself has no result
            self._known[place] = _Formula(self._formulas[place], self, depth).result()
        if self._known[place] is None:
            raise _NotOurs
        return self._known[place]

    def number(self, place: Place, depth: int) -> Decimal:
        """What a cell counts in a sum."""
        if place in self._formulas:
            value = self.result(place, depth + 1)
        else:
            row, column = place
            cells = self._rows[row] if 0 <= row < len(self._rows) else []
            value = cells[column] if column < len(cells) else ""
        if isinstance(value, Decimal):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Decimal(0)  # as Excel counts blanks and texts in a sum
        if not isfinite(value):
            raise _NotOurs
        return _BOUNDS.create_decimal(f"{value:.15g}")

    def sum_of(self, places: str, depth: int) -> Decimal:
        """The sum of a range of cells."""
        (top, left), (bottom, right) = map(_place, places.split(":"))
        # Below the last row there is nothing to add.
        bottom = min(bottom, len(self._rows) - 1)
        self._left -= max(bottom - top + 1, 0) * max(right - left + 1, 0)
        if self._left < 0:
            raise _NotOurs
        return sum(
            (
                self.number((row, column), depth)
                for row in range(top, bottom + 1)
                for column in range(left, right + 1)
            ),
            Decimal(0),
        )


class _Formula:
    """One formula, worked out from left to right."""

    def __init__(self, text: str, cells: _Cells, depth: int) -> None:
        self._cells = cells
        self._tokens = list(_tokens(text))
        self._at = 0
        self._depth = depth

    def result(self) -> Any:
        """The number, or the text of a formula that is one."""
        kind, token = self._peek()
        if kind == "text" and len(self._tokens) == 1:
            return token
        value = self._added()
        if self._at != len(self._tokens):
            raise _NotOurs
        return value

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self, sign: str) -> bool:
        if self._peek() == ("sign", sign):
            self._at += 1
            return True
        return False

    def _added(self) -> Decimal:
        value = self._multiplied()
        while True:
            if self._take("+"):
                value += self._multiplied()
            elif self._take("-"):
                value -= self._multiplied()
            else:
                return value

    def _multiplied(self) -> Decimal:
        value = self._one()
        while True:
            if self._take("*"):
                value *= self._one()
            elif self._take("/"):
                value /= self._one()
            else:
                return value

    def _one(self) -> Decimal:
        self._depth += 1
        if self._depth > DEEPEST:
            raise _NotOurs
        try:
            if self._take("-"):
                return -self._one()
            if self._take("+"):
                return self._one()
            if self._take("("):
                value = self._added()
                if not self._take(")"):
                    raise _NotOurs
                return value
            kind, token = self._peek()
            self._at += 1
            if kind == "number":
                return _BOUNDS.create_decimal(token)
            if kind == "cell":
                return self._cells.number(_place(token), self._depth)
            if kind == "name":
                return self._called(token)
            raise _NotOurs
        finally:
            self._depth -= 1

    def _called(self, name: str) -> Decimal:
        if name not in ("SUM", "ROUND") or not self._take("("):
            raise _NotOurs
        values = []
        while True:
            kind, token = self._peek()
            if kind == "range":
                self._at += 1
                values.append(self._cells.sum_of(token, self._depth))
            else:
                values.append(self._added())
            if self._take(")"):
                break
            if not self._take(","):
                raise _NotOurs
        if name == "SUM":
            return sum(values, Decimal(0))
        if len(values) != 2 or not 0 <= values[1] <= 10:
            raise _NotOurs
        # Half a cent goes up, as in Excel.
        return values[0].quantize(Decimal(1).scaleb(-int(values[1])), ROUND_HALF_UP)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    if len(text) > LONGEST:
        raise _NotOurs
    at = 0
    text = text.strip().removeprefix("=")
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.end() == at:
            raise _NotOurs
        at = found.end()
        yield str(found.lastgroup), found[str(found.lastgroup)]


def _place(text: str) -> Place:
    letters, digits = re.fullmatch(r"\$?([A-Z]+)\$?(\d+)", text).groups()  # type: ignore[union-attr]
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return int(digits) - 1, column - 1
