"""What the product's pages are compared with: the same frames out of memory, nothing else.

`?show=` chooses between a grid that changes with a filter and a fragment that answers ticks.
"""

import pandas as pd
import streamlit as st

from benchmarks.servers import FRAMES, STATUSES, TICKED
from synchist.ui.grid import HEIGHT, ROW_HEIGHT


@st.cache_resource
def frames() -> dict[str, pd.DataFrame]:
    """The frames that the measuring process has left: by status, and the one to tick."""
    found: dict[str, pd.DataFrame] = pd.read_pickle(FRAMES)
    return found


def grid(frame: pd.DataFrame, key: str) -> None:
    """The grid that the product uses, since only this one has checkboxes."""
    st.data_editor(
        frame,
        key=key,
        row_height=ROW_HEIGHT,
        height=HEIGHT,
        hide_index=True,
        column_config={"Select": st.column_config.CheckboxColumn(width=60)},
    )


@st.fragment
def ticking() -> None:
    """A grid whose ticks are counted, and answered by the fragment alone."""
    edits = st.session_state.get("ticks", {}).get("edited_rows", {})
    st.markdown(f"**{sum(edit['Select'] for edit in edits.values())} selected**")
    grid(frames()[TICKED], "ticks")


st.set_page_config(layout="wide")
if st.query_params.get("show") == "ticking":
    ticking()
else:
    status = st.segmented_control("Sync Status", STATUSES, default=STATUSES[0], required=True)
    grid(frames()[status], status)
