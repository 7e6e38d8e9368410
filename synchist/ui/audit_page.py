"""Who did what, and when: the audit log with its filters, and its way to Excel."""

from datetime import date
from typing import Any

import pandas as pd
import streamlit as st

from synchist import audit
from synchist.accounts import Actor
from synchist.audit import PREFIX, RECORDS, Asked
from synchist.filters import EARLIEST, Window, month_before, today
from synchist.roles import Role
from synchist.settings import settings
from synchist.ui import viewer
from synchist.ui.grid import ROW_HEIGHT
from synchist.ui.wording import counted, listed, plain

ROWS = {"200 rows": 200, "1,000 rows": 1_000, "10,000 rows": 10_000}
HEIGHT = 15 * ROW_HEIGHT + 2


def show() -> None:
    """Draw the page."""
    with viewer.reading("open Audit", Role.AUDIT) as (connection, actor):
        known = audit.people(connection)
    viewer.title_bar(actor, "Audit", f"Who did what, newest first · {settings().time_zone}")
    asked, rows = _bar(known)
    with (
        st.spinner("Going through the log …", show_time=True),
        viewer.reading("read the audit log", Role.AUDIT) as (connection, actor),
    ):
        found = audit.load(connection, asked, rows + 1)
        # Events of records are too many to be counted each time that somebody looks.
        number = None if asked.records else audit.count(connection, asked)
    with st.container(horizontal=True, horizontal_alignment="right"):
        _take_away(asked, actor, found.empty)
    # A line between the button and the grid, whose own tools come up above it.
    st.caption(_how_many(len(found), rows, number))
    if found.empty:
        st.info("Nothing matches. Choose other days, or take a filter away.")
        return
    _grid(found.head(rows), Role.ACCOUNTING_SYNC in actor.roles)


def _how_many(found: int, rows: int, number: int | None) -> str:
    if found <= rows:
        return "1 entry" if found == 1 else f"{found:,} entries"
    return f"The newest {rows:,}" + (" of more" if number is None else f" of {number:,} entries")


def _take_away(asked: Asked, actor: Actor, empty: bool) -> None:
    if Role.HIDE_EXPORT not in actor.roles:
        st.link_button(
            "Export to Excel",
            f"/export/audit.xlsx?{asked.address()}",
            icon=":material/download:",
            help="Everything that matches, not only these rows",
            disabled=empty,
        )


# ---------------------------------------------------------------- what is asked


def _bar(known: list[str]) -> tuple[Asked, int]:
    """What the filters ask for, and how many rows are to be shown."""
    wrong = _wrong(known)
    bound: dict[str, Any] = {"bind": "query-params"}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        window = st.selectbox(
            "Date Range",
            list(Window),
            key=f"{PREFIX}range",
            help="Both ends are included. Days begin at midnight in the business time zone,"
            f" {settings().time_zone}.",
            width=140,
            **bound,
        )
        dates = _dates(bound) if window is Window.CUSTOM else ()
        kinds = st.multiselect(
            "Kind",
            [one.value for one in audit.Kind],
            placeholder="Everything that people did",
            key=f"{PREFIX}kinds",
            help="What happened to records by other hands is many entries, so it is there only"
            f" where it is chosen: {listed([one.value for one in RECORDS])}.",
            **bound,
        )
        who = st.selectbox(
            "Who",
            known,
            index=None,
            placeholder="Everybody",
            key=f"{PREFIX}who",
            width=230,
            **bound,
        )
        text = st.text_input(
            "Text",
            key=f"{PREFIX}text",
            placeholder="Words of note, file, role, error …",
            max_chars=audit.LONGEST_TEXT,
            type="search",
            icon=":material/search:",
            **bound,
        )
        rows = st.selectbox("Show", list(ROWS), key=f"{PREFIX}rows", width=130, **bound)
    # What widgets say can be forged: what counts is parsed, as the export's address is.
    asked, rejected = audit.parse(
        {
            f"{PREFIX}range": [str(window)],
            f"{PREFIX}dates": [day.isoformat() for day in dates],
            f"{PREFIX}kinds": [str(one) for one in kinds],
            f"{PREFIX}who": [who or ""],
            f"{PREFIX}text": [text or ""],
        },
        known,
    )
    for sentence in dict.fromkeys([*wrong, *rejected]):
        st.caption(f":material/info: {plain(sentence)}")
    return asked, ROWS.get(rows, 200)


def _wrong(known: list[str]) -> list[str]:
    """On the first run of the page, what its address names and is not there: Streamlit drops an
    unknown value in silence."""
    if f"{PREFIX}address" in st.session_state:
        return []
    st.session_state[f"{PREFIX}address"] = True
    given = {name: st.query_params.get_all(name) for name in st.query_params}
    return audit.parse(given, known)[1]


def _dates(bound: dict[str, Any]) -> tuple[date, ...]:
    """The custom range; while only its first day is picked, the one before it stays."""
    picked = st.date_input(
        "Dates",
        value=(month_before(today()), today()),
        min_value=EARLIEST,
        max_value=today(),
        key=f"{PREFIX}dates",
        width=230,
        **bound,
    )
    last = f"{PREFIX}dates_applied"
    if isinstance(picked, tuple) and len(picked) == 2:
        st.session_state[last] = picked
    applied: tuple[date, ...] = st.session_state.get(last, ())
    return applied


# ---------------------------------------------------------------- the entries


def _grid(found: pd.DataFrame, links: bool) -> None:
    """The entries; only who may open what they are about gets links to it."""
    shown = found.assign(at=found["at"].dt.tz_convert(settings().zone).dt.tz_localize(None))
    if not links:
        shown = shown.drop(columns="link")
    text, column = st.column_config.TextColumn, st.column_config
    st.dataframe(
        shown,
        hide_index=True,
        row_height=ROW_HEIGHT,
        height=min(HEIGHT, ROW_HEIGHT * (len(shown) + 1) + 4),
        placeholder="",
        column_config={
            "at": column.DatetimeColumn("When", format="D MMM YYYY, HH:mm:ss", width=165),
            "kind": text("Kind", width=130),
            "who": text("Who", width=190),
            "what": text("What", width=400 if links else 460),
            "record": text("Record", width=170),
            "link": column.LinkColumn("Open", display_text=":material/open_in_new:", width=60),
            "address": text("Address", width=105),
        },
        key=f"{PREFIX}grid",
        alt=f"Audit log, {counted(len(shown), 'row')}",
    )
