"""How a file is to be read, where only the person who exported it can say."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from synchist.entities import ENTITIES
from synchist.reconciliation.report import FIELDS, Reading

ROW_HEIGHT = 30
IN_VIEW = 7

DATES: Mapping[bool | None, str] = {
    None: "As the column shows",
    False: "Month first, 12/31/2026",
    True: "Day first, 31/12/2026",
}
DECIMALS: Mapping[bool | None, str] = {
    None: "As the column shows",
    False: "1,234.50",
    True: "1.234,50",
}
_DATE = re.compile(r"\d{1,4}[-/. ]\w{1,9}[-/. ]\d{2,4}")
_AMOUNT = re.compile(r"[-(]?\D{0,3}[\d.,' ]*\d[.,]\d{2}\)?")
_KINDS = {"": "What its column says"} | {one.key: one.singular.capitalize() for one in ENTITIES}


def show(key: str, preview: Sequence[Sequence[str]], guess: Reading) -> Reading | None:
    """Draw the form, filled in with a guess; how to read the file once that is confirmed.

    `key` names the file: another file starts with its own guess.
    """
    width = max([len(row) for row in preview], default=0)
    if not guess.columns:
        guess = _guessed(preview, width, guess)
    _preview(preview, width)
    with st.container(horizontal=True):
        header = st.number_input(
            "Row of the headings",
            0,
            max(len(preview), guess.header),
            guess.header,
            help="Its number on the left; 0 where the file has none.",
            key=f"{key}_header",
            width=170,
        )
        day_first = _choice("Dates", f"{key}_dates", DATES, guess.day_first)
        comma = _choice("Amounts", f"{key}_decimals", DECIMALS, guess.decimal_comma)
        kind = _choice("Each row is", f"{key}_kind", _KINDS, guess.kind)
    labels = _labels(preview, header, width)
    columns: dict[str, int] = {}
    places = st.columns(5)
    for position, (name, label) in enumerate(FIELDS.items()):
        at = guess.columns.get(name)
        with places[position % 5]:
            chosen = st.selectbox(
                label,
                range(width),
                index=at if at is not None and at < width else None,
                format_func=labels.__getitem__,
                placeholder="–",
                key=f"{key}_{name}",
            )
        if chosen is not None:
            columns[name] = chosen
    has_amount = bool(columns.keys() & {"amount", "debit", "credit", "open_balance"})
    complete = "date" in columns and has_amount
    if not complete:
        st.caption("Say at least which column holds the date and which the amount.")
    if st.button("Read it like this", type="primary", key=f"{key}_read", disabled=not complete):
        return Reading(guess.sheet, int(header), columns, day_first, comma, kind, guess.coverage)
    return None


def _guessed(preview: Sequence[Sequence[str]], width: int, guess: Reading) -> Reading:
    """What the first rows look like where no heading is known: a row of words alone above others,
    the first column of dates and the last one of amounts."""
    header = guess.header or next(
        (
            number
            for number, row in enumerate(preview[:-1], start=1)
            if sum(map(bool, row)) > 1 and not re.search(r"\d", "".join(row))
        ),
        0,
    )
    below = [row for row in preview[header:] if sum(map(bool, row)) > 1]

    def mostly(pattern: re.Pattern[str], place: int) -> bool:
        cells = [row[place].strip() for row in below if place < len(row)]
        return sum(bool(pattern.fullmatch(cell)) for cell in cells) * 2 > len(below)

    dates = [place for place in range(width) if mostly(_DATE, place)]
    amounts = [place for place in range(width) if mostly(_AMOUNT, place)]
    columns = {"date": dates[:1], "amount": amounts[-1:]}
    return replace(guess, header=header, columns={key: at[0] for key, at in columns.items() if at})


def _choice(label: str, key: str, words: Mapping[Any, str], guess: Any) -> Any:
    options = list(words)
    return st.selectbox(
        label, options, index=options.index(guess), format_func=words.__getitem__, key=key
    )


def _letters(position: int) -> str:
    """The name of a column, as a spreadsheet has it."""
    before, last = divmod(position, 26)
    return (_letters(before - 1) if before else "") + chr(ord("A") + last)


def _labels(preview: Sequence[Sequence[str]], header: int, width: int) -> list[str]:
    """Each column by its letter and its heading, or by its first value where it has none."""
    headings = preview[header - 1] if 0 < header <= len(preview) else ()
    below = preview[header] if header < len(preview) else ()

    def label(place: int) -> str:
        said = [row[place] for row in (headings, below) if place < len(row) and row[place].strip()]
        return f"{_letters(place)} · {said[0].strip()[:30]}" if said else _letters(place)

    return [label(place) for place in range(width)]


def _preview(preview: Sequence[Sequence[str]], width: int) -> None:
    frame = pd.DataFrame(
        [[*row, *[""] * (width - len(row))] for row in preview],
        columns=[_letters(place) for place in range(width)],
        index=range(1, len(preview) + 1),
    )
    st.dataframe(
        frame,
        row_height=ROW_HEIGHT,
        height=ROW_HEIGHT * (min(len(frame), IN_VIEW) + 1) + 4,
        alt="The first rows of the file",
    )
