"""Dates and amounts: how they are written is decided from whole columns, then each is read.

Runs where hostile files are read, so it imports little. Days are texts in ISO form, amounts whole
ten-thousandths.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

UNIT = 10_000
"""Parts of a currency unit: amounts are exact whatever the currency turns out to be."""

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january", "feb february", "mar march", "apr april", "may", "jun june",
            "jul july", "aug august", "sep sept september", "oct october", "nov november",
            "dec december",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip

YEARS = range(1990, 2101)
LARGEST = 10**15
"""An amount beyond it is none: a telephone number, an account number."""

# ---------------------------------------------------------------- dates

_NUMERIC = re.compile(r"(\d{1,2})([/.\-])(\d{1,2})\2(\d{4}|\d{2})(?:[ T,].*)?")
_ISO = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[ T].*)?")
_DAY_NAMED = re.compile(
    r"(\d{1,2})(?:st|nd|rd|th)?[ \-/]([A-Za-z]{3,9})\.?,?[ \-/](\d{4}|\d{2})(?:[ T,].*)?"
)
_MONTH_NAMED = re.compile(
    r"([A-Za-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4}|\d{2})(?:[ T,].*)?"
)
_WEEKDAY = re.compile(r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? ", re.IGNORECASE)

_EPOCH = date(1899, 12, 30)
"""Day 0 of a spreadsheet's calendar, after its leap year that never was."""


def order_of(cells: Iterable[Any]) -> tuple[bool | None, bool]:
    """Whether the day comes first in the dates of a column (None: each could be either), and
    whether any date is written so that this matters."""
    first = second = matters = False
    dotted = False
    for text in {cell for cell in cells if isinstance(cell, str)}:
        if found := _NUMERIC.fullmatch(text.strip()):
            matters = True
            first = first or int(found[1]) > 12
            second = second or int(found[3]) > 12
            dotted = dotted or found[2] == "."
    if first != second:
        return first, matters
    return (True if dotted and not first else None), matters


def days(cells: Sequence[Any], day_first: bool) -> list[str | None]:
    """The day in each cell in ISO form, None where there is none."""
    known: dict[Any, str | None] = {}
    for cell in set(cells):
        known[cell] = _day(cell, day_first)
    return [known[cell] for cell in cells]


def _day(cell: Any, day_first: bool) -> str | None:
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.year in YEARS else None
    if isinstance(cell, date):
        return cell.isoformat() if cell.year in YEARS else None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        # What Excel keeps of a date whose cell is not formatted as one.
        return (_EPOCH + timedelta(int(cell))).isoformat() if 30_000 < cell < 75_000 else None
    if not isinstance(cell, str):
        return None
    text = _WEEKDAY.sub("", cell.strip())
    try:
        if found := _NUMERIC.fullmatch(text):
            one, other = int(found[1]), int(found[3])
            month, day = (other, one) if day_first else (one, other)
            if month > 12 >= day:  # mixed in one column: it can only be the other way round
                month, day = day, month
            return _iso(found[4], month, day)
        if found := _ISO.fullmatch(text):
            return _iso(found[1], int(found[2]), int(found[3]))
        if found := _DAY_NAMED.fullmatch(text):
            return _iso(found[3], MONTHS[found[2].lower()], int(found[1]))
        if found := _MONTH_NAMED.fullmatch(text):
            return _iso(found[3], MONTHS[found[1].lower()], int(found[2]))
    except (KeyError, ValueError):
        return None
    if re.fullmatch(r"[34567]\d{4}(\.0+)?", text):
        return (_EPOCH + timedelta(int(float(text)))).isoformat()
    return None


def _iso(year: str, month: int, day: int) -> str | None:
    number = int(year) + (0 if len(year) == 4 else 2000 if int(year) < 70 else 1900)
    return date(number, month, day).isoformat() if number in YEARS else None


# ---------------------------------------------------------------- amounts

_FAST = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,12})\.[0-9]{2}")
_CODE = re.compile(r"(?:US|CA|C|A|AU|NZ|MX|HK|S)?\$|[£€¥₹]|\b[A-Z]{3}\b")
_POINT = re.compile(r"[0-9]{1,3}(?:[,' ][0-9]{3})*(?:\.[0-9]*)?|[0-9]*(?:\.[0-9]*)?")
_COMMA = re.compile(r"[0-9]{1,3}(?:[.' ][0-9]{3})*(?:,[0-9]*)?|[0-9]*(?:,[0-9]*)?")


def comma_is_decimal(columns: Iterable[Iterable[Any]]) -> bool | None:
    """Whether amounts are written as 1.234,50; None: nothing in the columns tells.

    Of many amounts that tell, the first thousands are enough.
    """
    votes = {",": 0, ".": 0}
    for cells in columns:
        for cell in cells:
            if isinstance(cell, str) and ("," in cell or "." in cell):
                sign = _decimal_sign(cell)
                if sign:
                    votes[sign] += 1
                    if votes[sign] > 2_000:
                        break
    return None if votes[","] == votes["."] else votes[","] > votes["."]


def _decimal_sign(text: str) -> str:
    """The decimal sign that an amount shows, empty where 1,234 could be either."""
    digits = text.strip(" ()-$€£\xa0CDRcdr")
    commas, points = digits.count(","), digits.count(".")
    if not commas + points:
        return ""
    last = max(digits.rfind(","), digits.rfind("."))
    if commas and points:
        return digits[last]
    if commas + points > 1:  # twice in one number: it parts thousands
        return "." if commas else ","
    return digits[last] if len(digits) - last - 1 != 3 else ""


def amounts(cells: Sequence[Any], decimal_comma: bool) -> list[int | None]:
    """The amount in each cell in ten-thousandths, None where there is none."""
    number = _reader(decimal_comma)
    fast = _FAST.fullmatch
    if decimal_comma:
        return [number(cell) for cell in cells]
    return [
        int(cell.replace(",", "").replace(".", "")) * 100
        if type(cell) is str and fast(cell)
        else number(cell)
        for cell in cells
    ]


def _reader(decimal_comma: bool) -> Callable[[Any], int | None]:
    shape, groups, point = (_COMMA, ".", ",") if decimal_comma else (_POINT, ",", ".")

    def number(cell: Any) -> int | None:
        if not isinstance(cell, str):
            return _native(cell)
        if not cell:
            return None
        text = cell.replace("\xa0", " ").replace(" ", " ").replace("−", "-").strip()
        if text.startswith("="):
            text = text[1:]
        if text[:1].isalpha() or text[-1:].isalpha():
            sided = re.fullmatch(r"(.*\d[)]?) ?(CR|DR|Cr|Dr|cr|dr)\.?", text)
            if sided:
                text = sided[1] if sided[2].lower() == "dr" else f"-{sided[1]}"
        text = _CODE.sub("", text).strip()
        negative = text.count("-") == 1 or (text.startswith("(") and text.endswith(")"))
        text = text.strip("()").strip().strip("-").strip().strip("()").strip()
        if not any(map(str.isdigit, text)) or not shape.fullmatch(text):
            return None
        whole, _, part = text.replace("'", "").replace(" ", "").replace(groups, "").partition(point)
        if len(part) > 4 and part[4:].strip("0"):
            return None
        value = int(whole or "0") * UNIT + int((part + "0000")[:4])
        return None if value >= LARGEST * UNIT else -value if negative else value

    return number


def _native(cell: Any) -> int | None:
    """An amount that a workbook keeps as a number, as Excel shows it: 0.1 + 0.2 is 0.3."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | Decimal):
        return None
    return round(cell * UNIT) if -LARGEST < cell < LARGEST else None


# ---------------------------------------------------------------- periods

_POINT_IN_TIME = re.compile(
    r"(?P<iso>\d{4}-\d{1,2}-\d{1,2})"
    r"|(?P<numeric>\d{1,2}([/.\-])\d{1,2}\3(?:\d{4}|\d{2}))(?!\d)"
    r"|(?P<day>\d{1,2})(?:st|nd|rd|th)? (?P<of>[a-z]{3,9})\b(?: (?P<day_year>\d{4}))?"
    r"|(?P<month>[a-z]{3,9})\b(?: (?P<month_day>\d{1,2})(?:st|nd|rd|th)?(?!\d))?"
    r"(?: ?'?(?P<month_year>\d{4}|(?<=')\d{2}))?"
    r"|(?P<year>\d{4})|(?P<bare>\d{1,2})(?!\d)(?: (?P<bare_year>\d{4}))?"
)
_PERIOD_WORDS = frozenset(
    ["for", "the", "period", "from", "to", "through", "thru", "until", "and", "month", "months",
     "year", "ended", "ending", "date", "range", "dates", "in", "-", "–", "—", ":", "between",
     "transaction", "report", "fiscal", "quarter", "of"]
)  # fmt: skip

_Point = tuple[int | None, int | None, int | None]


def period_of(text: str, day_first: bool = False) -> tuple[str | None, str | None] | None:
    """First and last day that a line above the headings names, None if it names no period. No
    first day: as of the last one; neither: all dates."""
    words = " ".join(text.lower().replace(",", " ").split())
    if words in ("all dates", "all"):
        return None, None
    open_ended = re.match(r"(?:as (?:of|at|on)|aged as (?:of|at)|at)\b:? ", words)
    points: list[_Point] = []
    rest = words[open_ended.end() :] if open_ended else words
    at = 0
    while at < len(rest):
        found = _POINT_IN_TIME.match(rest, at)
        point = _point(found, day_first) if found else None
        if found and point:
            points.append(point)
            at = found.end()
        else:
            word = re.match(r"\s+|[a-z]+|.", rest[at:])
            if word and word[0].strip() and word[0] not in _PERIOD_WORDS:
                return None
            at += word.end() if word else 1
    period = _between(points, bool(open_ended))
    if period and period[1] and re.search(r"\bmonth (?:ended|ending)\b", words):
        return f"{period[1][:7]}-01", period[1]
    return period


def _point(found: re.Match[str], day_first: bool) -> _Point | None:
    """Year, month and day, as far as they are said."""
    if written := found["iso"] or found["numeric"]:
        iso = _day(written, day_first)
        return (int(iso[:4]), int(iso[5:7]), int(iso[8:])) if iso else None
    if found["year"]:
        return (int(found["year"]), None, None) if int(found["year"]) in YEARS else None
    if found["bare"]:
        return int(found["bare_year"]) if found["bare_year"] else None, None, int(found["bare"])
    month = MONTHS.get(found["of"] or found["month"])
    if month is None:
        return None
    said = found["day_year"] or found["month_year"]
    year = (int(said) + (2000 if len(said) == 2 else 0)) if said else None
    day = found["day"] or found["month_day"]
    return year, month, int(day) if day else None


def _between(points: Sequence[_Point], open_ended: bool) -> tuple[str | None, str | None] | None:
    if not 1 <= len(points) <= 2:
        return None
    (year, month, day), last = points[0], points[-1]
    to_year, to_month, to_day = last[0], last[1] or month, last[2]
    if to_year is None or (to_month is None and to_day is not None):
        return None
    try:
        end = date(to_year, to_month or 12, to_day or _last_day(to_year, to_month or 12))
        begin = date(year or to_year, month or (to_month if day else None) or 1, day or 1)
    except ValueError:
        return None
    if open_ended:
        return None, end.isoformat()
    return (begin.isoformat(), end.isoformat()) if begin <= end else None


def _last_day(year: int, month: int) -> int:
    return (date(year + month // 12, month % 12 + 1, 1) - timedelta(1)).day
