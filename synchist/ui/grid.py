"""The grid: a loaded page of records with a tick per row, drawn from the entity's columns."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from synchist.currencies import exponent
from synchist.entities import Column, Entity, Kind
from synchist.queries import readable
from synchist.statuses import SyncStatus
from synchist.triage import LONGEST_NOTE, Person
from synchist.ui import owners, selection

ROW_HEIGHT = 34
HEIGHT = 13 * ROW_HEIGHT + 2
SELECT_WIDTH = 60


def _config(column: Column, money: str, possible: Sequence[str]) -> Any:
    """How Streamlit draws a column; `money` is the format of amounts, `possible` are the owners."""
    options: dict[str, Any] = {"width": column.width, "help": column.help or None}
    if column.key == "owner":
        return st.column_config.SelectboxColumn(column.label, options=possible, **options)
    if column.key == "note":
        return st.column_config.TextColumn(column.label, max_chars=LONGEST_NOTE, **options)
    if column.kind is Kind.MONEY:
        return st.column_config.NumberColumn(column.label, format=money, **options)
    if column.kind is Kind.MOMENT:
        return st.column_config.DatetimeColumn(column.label, format="D MMM YYYY, HH:mm", **options)
    if column.kind is Kind.DAY:
        return st.column_config.DateColumn(column.label, format="D MMM YYYY", **options)
    return st.column_config.TextColumn(column.label, **options)


def show(
    entity: Entity,
    status: SyncStatus,
    frame: pd.DataFrame,
    opened: str,
    team: Sequence[Person],
) -> None:
    """Draw the rows, with owner and note to be edited; those of an entity of the past only to look
    at. A click on a number puts its record id into session state under `opened`."""
    columns = entity.shown(status)
    shown = readable(frame, columns)
    if entity.as_of is None:  # nothing of the past can be ticked
        chosen = selection.current(entity)
        shown.insert(0, "Select", [key in chosen for key in frame.index])
    # Streamlit's own format has two decimals; where a currency has three, none may be rounded off.
    money = "%.3f" if (frame["currency"].map(exponent) > 2).any() else "accounting"
    still = set(frame.get("owner", ()))  # whoever has left shows where a record is theirs
    possible = [one.label for one in team if one.may_own or one.label in still]
    # The key names the very rows, so that an edit can never meet other data than it was made on.
    shows = (frame.index, frame["version"], frame["told"])
    identity = hash((*map(tuple, shows), entity.as_of))
    editor = f"{entity.slug}_grid_{selection.generation(entity)}_{identity}"
    st.data_editor(
        shown,
        key=editor,
        on_change=_edited if entity.as_of is None else None,
        args=(entity, editor, frame, team),
        # By name: where all is disabled, buttons are as well.
        disabled=[column.key for column in columns if column.key not in owners.CELLS],
        hide_index=True,
        placeholder="",
        row_height=ROW_HEIGHT,
        height=min(HEIGHT, ROW_HEIGHT * (len(frame) + 1) + 4),
        column_config={
            "Select": st.column_config.CheckboxColumn("Select", pinned=True, width=SELECT_WIDTH),
            **{column.key: _config(column, money, possible) for column in columns},
            "number": st.column_config.ButtonColumn(
                "Number",
                help="Opens the record with all that happened to it",
                pinned=True,
                alignment="left",
                type="tertiary",
                width=entity.columns[0].width,
                key=f"{entity.slug}_opened",
                on_click=_open,
                args=(entity, frame, opened),
            ),
        },
        alt=f"{status.label} {entity.plural}",
    )


def _edited(entity: Entity, editor: str, frame: pd.DataFrame, team: Sequence[Person]) -> None:
    selection.fold(entity, editor, frame)
    owners.save(entity, editor, frame, team)


def _open(entity: Entity, frame: pd.DataFrame, opened: str) -> None:
    click = st.session_state[f"{entity.slug}_opened"]
    if click and 0 <= click.row < len(frame):
        st.session_state[opened] = int(frame.index[click.row])
