"""Results of formulas that a workbook does not store.

QuickBooks Online writes amounts as `=123.45` and totals as `=((B6)+(B7))`, without results, so that
whoever reads only stored values sees an empty report. Literals, cells, + - * / ( ), SUM and ROUND
are worked out; nothing else is, and nothing is ever run.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
    r"|(?P<range>\$?[A-Z]{1,3}\$?\d{1,7}:\$?[A-Z]{1,3}\$?\d{1,7})"
    r"|(?P<cell>\$?[A-Z]{1,3}\$?\d{1,7})(?![A-Za-z(])"
    r"|(?P<name>[A-Z]+)(?=\()"
    r'|"(?P<text>[^"]*)"'
    r"|(?P<sign>[-+*/(),]))"
)

DEEPEST = 60
"""How far formulas may refer to formulas, and brackets stand in brackets."""

Place = tuple[int, int]


class _NotOurs(Exception):
    """A formula that is not worked out."""


def values_of(rows: list[list[Any]], formulas: Mapping[Place, str]) -> list[list[Any]]:
    """The rows with the results of formulas (by row and column from 0) in their cells. What can't
    be worked out stays as it is."""
    known: dict[Place, Any] = {}
    for place in formulas:
        row, column = place
        if row < len(rows) and column < 200:
            cells = rows[row]
            cells.extend("" for _ in range(len(cells), column + 1))
            try:
                cells[column] = _result(place, rows, formulas, known, 0)
            except (_NotOurs, InvalidOperation, DivisionByZero):
                continue
    return rows


def _result(
    place: Place,
    rows: list[list[Any]],
    formulas: Mapping[Place, str],
    known: dict[Place, Any],
    depth: int,
) -> Any:
    if place not in known:
        if depth > DEEPEST:
            raise _NotOurs
        known[place] = None  # a formula that leads back to itself has no result
        known[place] = _Sum(formulas[place], rows, formulas, known, depth).result()
    if known[place] is None:
        raise _NotOurs
    return known[place]


class _Sum:
    """One formula, worked out from left to right."""

    def __init__(
        self,
        text: str,
        rows: list[list[Any]],
        formulas: Mapping[Place, str],
        known: dict[Place, Any],
        depth: int,
    ) -> None:
        self._rows, self._formulas, self._known, self._depth = rows, formulas, known, depth
        self._tokens = list(_tokens(text))
        self._at = 0
        self._nested = 0

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
        self._nested += 1
        if self._nested > DEEPEST:
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
                return Decimal(token)
            if kind == "cell":
                return self._cell(_place(token))
            if kind == "name":
                return self._called(token)
            raise _NotOurs
        finally:
            self._nested -= 1

    def _called(self, name: str) -> Decimal:
        if name not in ("SUM", "ROUND") or not self._take("("):
            raise _NotOurs
        values = []
        while True:
            kind, token = self._peek()
            if kind == "range":
                self._at += 1
                values.append(sum(map(self._cell, _range(token)), Decimal(0)))
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
        return round(values[0], int(values[1]))

    def _cell(self, place: Place) -> Decimal:
        if place in self._formulas:
            value = _result(place, self._rows, self._formulas, self._known, self._depth + 1)
        else:
            row, column = place
            cells = self._rows[row] if row < len(self._rows) else []
            value = cells[column] if column < len(cells) else ""
        if isinstance(value, Decimal):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Decimal(0)  # as Excel counts blanks and texts in a sum
        return Decimal(f"{value:.15g}")


def _tokens(text: str) -> Any:
    at = 0
    text = text.strip().removeprefix("=")
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.end() == at:
            raise _NotOurs
        at = found.end()
        yield found.lastgroup, found[str(found.lastgroup)]


def _place(text: str) -> Place:
    letters, digits = re.fullmatch(r"\$?([A-Z]+)\$?(\d+)", text).groups()  # type: ignore[union-attr]
    column = 0
    for letter in letters:
        column = column * 26 + ord(letter) - 64
    return int(digits) - 1, column - 1


def _range(text: str) -> list[Place]:
    (top, left), (bottom, right) = map(_place, text.split(":"))
    if (bottom - top + 1) * (right - left + 1) > 200_000:
        raise _NotOurs
    return [(row, column) for row in range(top, bottom + 1) for column in range(left, right + 1)]
