"""A list of what was found in the books, pasted or uploaded, for many records at once."""

from collections.abc import Mapping

import streamlit as st

from synchist import queries
from synchist.entities import BY_KEY
from synchist.loading import evidence
from synchist.loading.child import read_upload
from synchist.loading.evidence import Found, Numbered
from synchist.loading.files import Line, UnreadableFile
from synchist.queries import Ticked
from synchist.ui import viewer
from synchist.ui.wording import counted, plain

LISTED = 20
LONGEST = 500_000


def show(operation_id: str, chosen: Mapping[str, Mapping[int, Ticked]]) -> Found:
    """Ask for the list, and say what of it is used."""
    with st.expander("References and amounts found in the books (optional)"):
        text = st.text_area(
            "Paste number, reference, amount",
            placeholder="INV-1042\t40123\t1,250.00",
            help="One record a line, as copied from a spreadsheet; reference or amount may be"
            " missing. A header may name the columns in another order.",
            max_chars=LONGEST,
            key=f"pasted_{operation_id}",
            height=110,
        )
        file = st.file_uploader(
            "Or upload them", type=["csv", "xlsx"], key=f"uploaded_{operation_id}"
        )
        try:
            lines = _uploaded(file.file_id, file.name, file.getvalue()) if file else []
        except UnreadableFile as error:
            st.caption(f":red[:material/error:] {plain(error)}")
            lines = []
        lines = lines or evidence.pasted(text or "")
        if not lines:
            return Found({}, ())
        found = evidence.matched(lines, _numbered(chosen))
        _summary(found)
        return found


def _uploaded(identity: str, name: str, content: bytes) -> list[Line]:
    """Read a file once, not at every click into the dialog."""
    known: tuple[str, list[Line]] | None = st.session_state.get("uploaded_lines")
    if known is None or known[0] != identity:
        known = (identity, read_upload(name, content))
        st.session_state["uploaded_lines"] = known
    return known[1]


def _numbered(chosen: Mapping[str, Mapping[int, Ticked]]) -> list[Numbered]:
    with viewer.reading("match a list with the selection") as (connection, _):
        return [
            Numbered(key, record, number, records[record].currency)
            for key, records in chosen.items()
            for record, number in queries.numbers(connection, BY_KEY[key], list(records)).items()
        ]


def _summary(found: Found) -> None:
    used = f":green[:material/check_circle:] {counted(found.count, 'record')} found in the list"
    st.caption(used if found.count else "No line of the list is used.")
    if found.unused:
        more = len(found.unused) - LISTED
        lines = [*found.unused[:LISTED], *([f"and {more:,} more"] if more > 0 else [])]
        st.caption("  \n".join(f":orange[:material/info:] {plain(line)}" for line in lines))
