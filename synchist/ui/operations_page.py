"""What people have changed: each operation with its receipt, and the way to take it back."""

from typing import Any
from uuid import uuid4

import pandas as pd
import streamlit as st

from synchist import receipts
from synchist.currencies import money
from synchist.receipts import Followed, NoSuchOperation, Receipt
from synchist.status_changes import undo, undo_risks, undoable
from synchist.statuses import Action, SyncStatus
from synchist.ui import faults, places, receipt_view, risk_grid, viewer
from synchist.ui.wording import age, badge, counted, moment, plain

PAGE = 15
MINE, EVERYBODY = "Mine", "Everybody's"
SHOWN = "operation_shown"
"""Session key: the operation whose details the page shows."""
UNDONE = "undone"
"""Session key: the undo that the open dialog has carried out."""


def show() -> None:
    """Draw the page: one operation where the address names it, else the list."""
    faults.show_kept()
    with viewer.reading("open Operations") as (connection, actor):
        pass
    viewer.title_bar(actor, "Operations", "What people have changed, and what became of it")
    identity = st.query_params.get("id", "")
    _keep_address(identity)
    if identity:
        _one(identity)
        return
    whose = st.segmented_control(
        "Whose",
        [EVERYBODY, MINE],
        default=EVERYBODY,
        required=True,
        key="operations_whose",
        label_visibility="collapsed",
        bind="query-params",
        on_change=_first_page,
    )
    of = actor.id if whose == MINE else None
    with viewer.reading("list operations") as (connection, _):
        number = receipts.count(connection, of)
        place, pages = _place(), -(-number // PAGE)
        found = receipts.latest(connection, of, PAGE, (min(place, max(pages, 1)) - 1) * PAGE)
    if not found:
        nobody = "You have not" if of else "Nobody has"
        st.info(
            f"{nobody} changed a sync status yet. Tick records in a list and send them back to"
            " Pending, or close them; each change then stands here with what became of it."
        )
        return
    for receipt in found:
        _card(receipt)
    if pages > 1:
        st.pagination(pages, key="operations_page", bind="query-params")


def _keep_address(identity: str) -> None:
    """Put what is shown into the browser's address. A link to the page that is open already does
    not do that, and the next click would bring the operation back that was shown before."""
    if st.session_state.get(SHOWN, "") == identity:
        return
    st.session_state[SHOWN] = st.query_params["id"] = identity
    if not identity:
        del st.query_params["id"]


def _first_page() -> None:
    st.session_state["operations_page"] = 1


def _place() -> int:
    """The number of the page, from the address where its widget has not been drawn yet."""
    text = str(st.session_state.get("operations_page", st.query_params.get("operations_page")))
    return max(1, int(text)) if text.isdecimal() and len(text) < 7 else 1


# ---------------------------------------------------------------- one operation


def _card(receipt: Receipt) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(receipt_view.summary(receipt), width="content")
            st.space("stretch")
            if "id" not in st.query_params:
                st.page_link(
                    places.operations(), label="Details", query_params={"id": receipt.operation_id}
                )
            _undo_button(receipt)
        st.caption(_about(receipt))


def _about(receipt: Receipt) -> str:
    """Who, when, where from and why."""
    parts = [
        f"{moment(receipt.at)}, {age(receipt.at)} ago",
        f"by {plain(receipt.actor)}",
        plain(receipt.filters),
        f"“{plain(receipt.note)}”" if receipt.note else "",
    ]
    return " · ".join(part for part in parts if part)


def _undo_button(receipt: Receipt) -> None:
    if receipt.action is Action.LOAD or not receipt.undoable:
        return
    if st.button("Undo", icon=":material/undo:", key=f"undo_{receipt.operation_id}"):
        _open_undo(receipt)


def _one(identity: str) -> None:
    st.page_link(places.operations(), label="All operations", icon=":material/arrow_back:")
    try:
        with viewer.reading("read an operation") as (connection, _):
            receipt = receipts.receipt(connection, identity)
            records = receipts.followed(connection, identity)
    except NoSuchOperation as error:
        faults.show(error)
        return
    _card(receipt)
    if receipt.undoes:
        st.page_link(
            places.operations(), label="The change taken back", query_params={"id": receipt.undoes}
        )
    receipt_view.show_untouched(receipt.untouched)
    _records(receipt, records)


def _records(receipt: Receipt, records: list[Followed]) -> None:
    """The records that it changed, and what became of each."""
    if not records:
        return
    st.markdown(f"**{counted(receipt.applied, 'changed record')}**")
    st.table(
        pd.DataFrame(
            {
                "Record": [receipt_view.link(one) for one in records],
                "Payer or vendor": [plain(one.party) for one in records],
                "Amount": [money(one.amount, one.currency) for one in records],
                "Before": [badge(one.before) for one in records],
                "Now": [badge(one.now) for one in records],
                "Since then": [receipt_view.one_since(one.since) for one in records],
            }
        ),
        hide_index=True,
        border="horizontal",
        alt="Records that the operation changed",
    )
    if len(records) < receipt.applied:
        st.caption(f"The first {len(records):,} of {receipt.applied:,} are listed.")


# ---------------------------------------------------------------- undo


def _open_undo(receipt: Receipt) -> None:
    # The id is made here and not at Apply: it makes a second click, or a retry, harmless.
    st.dialog("Undo a change", width="large")(_undo)(receipt, str(uuid4()))


def _undo(receipt: Receipt, operation_id: str) -> None:
    if st.session_state.get(UNDONE) == operation_id:
        st.rerun()
    faults.show_kept()
    with viewer.reading("look at what an undo does") as (connection, _):
        touched = receipts.touched_since(connection, receipt.operation_id)
        selection = undoable(connection, receipt.operation_id)
        at_risk = undo_risks(connection, selection)
    st.markdown(receipt_view.what(receipt))
    st.caption(
        "Each record gets the status, reference, amount and reason from before. What was touched"
        " since stays as it is. The undo is kept in the history like any other change."
    )
    receipt_view.show_untouched(touched)
    risk_grid.show(operation_id, at_risk, SyncStatus.PENDING)
    number = receipt.undoable - risk_grid.left_out(operation_id, at_risk)
    st.button(
        f"Take back {counted(number, 'record')}",
        type="primary",
        key=f"undo_apply_{operation_id}",
        disabled=number < 1,
        on_click=_apply,
        args=(receipt.operation_id, operation_id, tuple(at_risk.values())),
    )


def _apply(undoes: str, operation_id: str, at_risk: Any) -> None:
    with faults.kept():
        accepted, _ = risk_grid.decided(operation_id, at_risk)
        undo(viewer.principal(), operation_id, undoes, accepted)
        st.session_state[UNDONE] = operation_id
