"""What can be done with the selected records: the dialog that changes their sync status."""

from uuid import uuid4

import streamlit as st

from synchist.entities import Entity
from synchist.settings import settings
from synchist.status_changes import LONGEST_NOTE, Change, Receipt, change_status
from synchist.statuses import CloseReason, ItemOutcome, SyncStatus
from synchist.ui import faults, selection
from synchist.ui.viewer import principal
from synchist.ui.wording import badge, plain

RETRY = "Send back to Pending"


def open_dialog(entity: Entity, words: str, in_view: int, to: SyncStatus | None = None) -> None:
    """Open the dialog for the entity's selection.

    `words` says what the list shows, `in_view` how many of the selected records it shows, `to`
    fixes the new status.
    """
    # Made here and not at Apply: it is what makes a second click, or a retry, harmless.
    operation_id = str(uuid4())
    title = RETRY if to is SyncStatus.PENDING else "Update sync status"
    st.dialog(title, width="medium")(_dialog)(entity, operation_id, words, in_view, to)


def _dialog(
    entity: Entity, operation_id: str, words: str, in_view: int, to: SyncStatus | None
) -> None:
    if st.session_state.get("applied") == operation_id:
        st.rerun()
    faults.show_kept()
    chosen = selection.current(entity)
    st.markdown(f"**{entity.count(len(chosen))}** · {selection.money(chosen)}")
    if hidden := len(chosen) - in_view:
        st.caption(f":material/visibility_off: {hidden:,} of them are not in view.")
    if len(chosen) > settings().max_records_per_operation:
        st.warning(
            f"At most {settings().max_records_per_operation:,} records can be changed at a time."
            " Close this and select fewer, for example one month."
        )
        return
    status = to or _new_status(operation_id)
    reason = _reason(operation_id) if status is SyncStatus.COMPLETE else None
    note = st.text_input(
        "Note",
        max_chars=LONGEST_NOTE,
        placeholder="Optional: what you found or fixed; it stays in the history",
        key=f"note_{operation_id}",
    )
    st.caption(_meaning(status))
    confirmed = _confirmed(operation_id, len(chosen))
    st.button(
        f"Apply to {entity.count(len(chosen))}",
        type="primary",
        key=f"apply_{operation_id}",
        disabled=not chosen
        or not confirmed
        or status is None
        or (status is SyncStatus.COMPLETE and reason is None),
        on_click=_apply,
        args=(entity, operation_id, status, reason, note, words),
    )


# Every key names the operation: a dialog that is opened again starts afresh.


def _new_status(operation_id: str) -> SyncStatus | None:
    label = st.segmented_control(
        "New sync status", [status.label for status in SyncStatus], key=f"status_{operation_id}"
    )
    return SyncStatus.from_label(label) if label else None


def _reason(operation_id: str) -> CloseReason | None:
    return st.selectbox(
        "Reason",
        list(CloseReason),
        index=None,
        format_func=lambda reason: reason.label,
        placeholder="Why these records are closed",
        key=f"reason_{operation_id}",
    )


def _meaning(status: SyncStatus | None) -> str:
    """What the change leads to, in one sentence."""
    if status is None:
        return "Choose the new status."
    return {
        SyncStatus.PENDING: "The next sync job tries these records again. Nothing is sent from"
        " this page.",
        SyncStatus.COMPLETE: "The records are closed here; no sync job picks them up. Nothing is"
        " sent to the accounting system.",
        SyncStatus.FAILED: "The records count as failed until someone retries or closes them.",
    }[status]


def _confirmed(operation_id: str, count: int) -> bool:
    """Many records at once are confirmed by typing how many."""
    if count <= settings().typed_confirmation_above:
        return True
    typed = st.text_input(f"Type {count} to confirm", key=f"typed_{operation_id}")
    return typed.replace(",", "").strip() == str(count)


def _apply(
    entity: Entity,
    operation_id: str,
    status: SyncStatus,
    reason: CloseReason | None,
    note: str,
    words: str,
) -> None:
    versions = {key: ticked.version for key, ticked in selection.current(entity).items()}
    with faults.kept():
        receipt = change_status(
            principal(), operation_id, {entity.key: versions}, Change(status, reason, note), words
        )
        st.session_state[f"{entity.slug}_receipt"] = receipt
        st.session_state["applied"] = operation_id
        selection.replace(entity, {})


def show_receipt(entity: Entity) -> None:
    """What the last change of these records did, until it is put away."""
    stored = f"{entity.slug}_receipt"
    receipt: Receipt | None = st.session_state.get(stored)
    if receipt is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        icon = ":green[:material/check_circle:]" if receipt.applied else ":material/info:"
        st.markdown(f"{icon} {_summary(entity, receipt)}", width="content")
        st.button(
            "Put away",
            type="tertiary",
            icon=":material/close:",
            on_click=st.session_state.pop,
            args=(stored, None),
        )
    if receipt.untouched:
        st.table(
            {
                "Left untouched": [plain(item.number) for item in receipt.untouched],
                "Why": [item.outcome.sentence for item in receipt.untouched],
            },
            hide_index=True,
            border="horizontal",
            alt="Records that the change left untouched",
        )


def _summary(entity: Entity, receipt: Receipt) -> str:
    reason = f" ({receipt.reason.label})" if receipt.reason else ""
    parts = [f"**{entity.count(receipt.applied)} moved to** {badge(receipt.to)}{reason}"]
    parts += [
        f"{count:,} {outcome.sentence}"
        for outcome, count in receipt.outcomes.items()
        if outcome is not ItemOutcome.APPLIED
    ]
    if receipt.to is SyncStatus.PENDING and receipt.applied:
        parts.append("the next sync job tries again")
    return " · ".join(parts)
