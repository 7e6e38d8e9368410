"""A list of what was found in the books, pasted or uploaded, for many records at once."""

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from synchist import queries
from synchist.child import UnreadableFile
from synchist.entities import BY_KEY
from synchist.loading import evidence
from synchist.loading.child import read_upload
from synchist.loading.evidence import Found, Numbered
from synchist.loading.files import Line
from synchist.queries import Ticked
from synchist.ui import viewer
from synchist.ui.wording import counted, plain

LISTED = 20
LONGEST = 500_000


def show(operation_id: str, chosen: Mapping[str, Mapping[int, Ticked]]) -> None:
    """Ask for the list, and say what of it is used."""
    with st.expander("References and amounts found in the books (optional)"):
        st.text_area(
            "Paste number, reference, amount",
            placeholder="INV-1042\t40123\t1,250.00",
            help="One record a line, as copied from a spreadsheet; reference or amount may be"
            " missing. A header may name the columns in another order.",
            max_chars=LONGEST,
            key=_pasted(operation_id),
            height=110,
        )
        st.file_uploader("Or upload them", type=["csv", "xlsx"], key=_file(operation_id))
        _summary(found(operation_id, chosen), sum(map(len, chosen.values())))


def found(operation_id: str, chosen: Mapping[str, Mapping[int, Ticked]]) -> Found:
    """What of the list, as it stands in the widgets now, is of the chosen records."""
    file: UploadedFile | None = st.session_state.get(_file(operation_id))
    try:
        lines = _uploaded(file.file_id, file.name, file.getvalue()) if file else []
    except UnreadableFile as error:
        return Found({}, (str(error),))
    pasted = evidence.pasted(st.session_state.get(_pasted(operation_id)) or "")
    if not (lines or pasted):
        return Found({}, ())
    matched = evidence.matched(lines or pasted, _numbered(chosen))
    if lines and pasted:
        ignored = "What is pasted is not used beside a file: take one of them away."
        return replace(matched, unused=(ignored, *matched.unused))
    return matched


def _pasted(operation_id: str) -> str:
    return f"pasted_{operation_id}"


def _file(operation_id: str) -> str:
    return f"uploaded_{operation_id}"


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


def _summary(found: Found, chosen: int) -> None:
    if not (found.evidence or found.unused):
        return
    used = (
        f":green[:material/check_circle:] {found.count:,} of {counted(chosen, 'record')} found in"
        " the list"
    )
    st.caption(used if found.count else "No line of the list is used.")
    if found.unused:
        more = len(found.unused) - LISTED
        lines = [*found.unused[:LISTED], *([f"and {more:,} more"] if more > 0 else [])]
        st.caption("  \n".join(f":orange[:material/info:] {plain(line)}" for line in lines))
