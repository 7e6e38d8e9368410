"""Records that may be in the books twice, each with a tick of its own."""

from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from synchist.currencies import money
from synchist.entities import BY_KEY
from synchist.risks import Risk
from synchist.statuses import SyncStatus
from synchist.ui.grid import ROW_HEIGHT

ROWS = 6
TICK = "Change anyway"

Risks = Mapping[tuple[str, int], Risk]
ByEntity = dict[str, set[int]]


def show(operation_id: str, at_risk: Risks, to: SyncStatus) -> None:
    """List the records at risk and why. They are left out unless they are ticked."""
    if not at_risk:
        return
    number = len(at_risk)
    them = "it" if number == 1 else "them"
    if to is SyncStatus.COMPLETE:
        says = f"**{number:,} with a reference that is taken.** Compare {them} with the books"
    else:
        says = f"**{number:,} may already be in the books.** Look {them} up there"
    st.warning(f"{says}; what you don't tick is left out.", icon=":material/content_copy:")
    everything = (
        st.checkbox(f"Change all {number:,} anyway: I have looked them up", key=_all(operation_id))
        if number > 1
        else False
    )
    rows = list(at_risk.values())
    frame = pd.DataFrame(
        {
            TICK: [everything] * number,
            "Number": [risk.number for risk in rows],
            "Why": [". ".join(risk.why) for risk in rows],
            "Payer or vendor": [risk.party for risk in rows],
            "Amount": [money(risk.amount, risk.currency) for risk in rows],
            "Kind": [BY_KEY[risk.entity].singular for risk in rows],
        }
    )
    st.data_editor(
        frame,
        key=_grid(operation_id, everything, rows),
        disabled=list(frame.columns[1:]) if not everything else True,
        hide_index=True,
        row_height=ROW_HEIGHT,
        height=ROW_HEIGHT * (min(number, ROWS) + 1) + 4,
        column_config={
            TICK: st.column_config.CheckboxColumn(TICK, pinned=True, width=120),
            "Number": st.column_config.TextColumn(width=110),
            "Why": st.column_config.TextColumn(width=420),
            "Amount": st.column_config.TextColumn(width=110, alignment="right"),
        },
        alt="Records that may already be in the books",
    )


def decided(operation_id: str, at_risk: Collection[Risk]) -> tuple[ByEntity, ByEntity]:
    """Ids of the records that are ticked and of those that are not, by entity key."""
    rows = list(at_risk)
    everything = bool(st.session_state.get(_all(operation_id)))
    state: Any = st.session_state.get(_grid(operation_id, everything, rows)) or {}
    # Positions of the rows that this very grid was given; whatever else is claimed is ignored.
    edits = {str(position): edit for position, edit in state.get("edited_rows", {}).items()}
    accepted: ByEntity = {}
    left: ByEntity = {}
    for position, risk in enumerate(rows):
        edit = edits.get(str(position))
        ticked = everything or (isinstance(edit, Mapping) and edit.get(TICK) is True)
        (accepted if ticked else left).setdefault(risk.entity, set()).add(risk.record_id)
    return accepted, left


def left_out(operation_id: str, at_risk: Risks) -> int:
    """How many records are not ticked."""
    _, left = decided(operation_id, at_risk.values())
    return sum(map(len, left.values()))


def _all(operation_id: str) -> str:
    return f"accept_all_{operation_id}"


def _grid(operation_id: str, everything: bool, rows: Collection[Risk]) -> str:
    """The key names the rows, so that an edit can never meet others than it was made on."""
    identity = hash(tuple((risk.entity, risk.record_id) for risk in rows))
    return f"risks_{operation_id}_{everything}_{identity}"
