"""The dialog that changes sync statuses: for the ticked records of a list, for one record, or for
all failures of one cause."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import streamlit as st

from synchist import blocking, closed_books
from synchist.closed_books import Closed
from synchist.entities import BY_KEY
from synchist.filters import readable
from synchist.loading.evidence import Found, read_amount
from synchist.queries import Ticked
from synchist.risks import Risk
from synchist.settings import settings
from synchist.status_changes import (
    LONGEST_NOTE,
    LONGEST_REFERENCE,
    Change,
    Evidence,
    InvalidChange,
    change_status,
    risks_of,
)
from synchist.statuses import CloseReason, SyncStatus
from synchist.ui import evidence_list, faults, risk_grid, selection, viewer
from synchist.ui.wording import listed, plain

RETRY = "Send back to Pending"
APPLIED = "applied"
"""Session key: the operation that the open dialog has carried out."""

Chosen = Mapping[str, Mapping[int, Ticked]]
"""Entity key → record id → what a selection remembers of it."""


@dataclass(frozen=True)
class Asked:
    """What a dialog is about, fixed when it opens.

    `words` says where the records come from, `hidden` how many of them the list does not show, `to`
    fixes the new status, `fixed` whether the cause counts as fixed at first. `parents` are failed
    documents that hold up chosen payments.
    """

    operation_id: str
    chosen: Chosen
    words: str
    hidden: int = 0
    to: SyncStatus | None = None
    fixed: bool = False
    parents: Chosen = field(default_factory=dict)

    def key(self, name: str) -> str:
        """The session key of a widget. It names the operation, so that a dialog that is opened
        again starts afresh."""
        return f"{name}_{self.operation_id}"

    def value(self, name: str) -> Any:
        """What stands in a widget."""
        return st.session_state.get(self.key(name))


def open_dialog(
    chosen: Chosen,
    words: str,
    *,
    hidden: int = 0,
    to: SyncStatus | None = None,
    fixed: bool = False,
) -> None:
    """Open the dialog for these records."""
    with viewer.reading("open a change") as (connection, _):
        parents = blocking.failed_parents(connection, chosen)
    # The id is made here and not at Apply: it makes a second click, or a retry, harmless.
    asked = Asked(str(uuid4()), chosen, words, hidden, to, fixed, parents)
    title = RETRY if to is SyncStatus.PENDING else "Update sync status"
    st.dialog(title, width="large")(_dialog)(asked)


def count_of(chosen: Chosen) -> str:
    """`1 invoice`, `3 invoice payments and 2 invoices`."""
    return listed([BY_KEY[key].count(len(records)) for key, records in chosen.items() if records])


def _flat(chosen: Chosen) -> dict[tuple[str, int], Ticked]:
    return {(key, one): it for key, records in chosen.items() for one, it in records.items()}


def _dialog(asked: Asked) -> None:
    if st.session_state.get(APPLIED) == asked.operation_id:
        st.rerun()
    faults.show_kept()
    status = asked.to or _new_status(asked)
    _with_parents(asked, status)
    closed = _closed(asked, status)
    chosen = _chosen(asked, status, closed)
    number = len(_flat(chosen))
    st.markdown(f"**{count_of(chosen)}** · {selection.money(_flat(chosen))}")
    if asked.hidden:
        st.caption(f":material/visibility_off: {asked.hidden:,} of them are not in view.")
    _warn_of_closed(asked, closed)
    if number > settings().max_records_per_operation:
        st.warning(
            f"At most {settings().max_records_per_operation:,} records can be changed at a time."
            " Close this and select fewer, for example one month."
        )
        return
    if status is SyncStatus.COMPLETE:
        _reason(asked, chosen)
    found = _found(asked, chosen, status)
    at_risk = _risks(asked, chosen, status, found)
    risk_grid.show(asked.operation_id, at_risk, status or SyncStatus.PENDING)
    if status is SyncStatus.PENDING:
        st.checkbox(
            "I have fixed what caused the errors",
            value=asked.fixed,
            key=asked.key("fixed"),
            help="It is kept with the change, and Causes shows how often a retry passes after a fix"
            " and without one.",
        )
    st.text_input(
        "Note",
        max_chars=LONGEST_NOTE,
        placeholder="Optional: what you found or fixed; it stays in the history",
        key=asked.key("note"),
    )
    st.caption(_meaning(status))
    will_change = number - risk_grid.left_out(asked.operation_id, at_risk)
    sure = confirmed(asked.operation_id, will_change)
    noun = _noun(chosen, will_change)
    st.button(
        f"Apply to {will_change:,} {noun}",
        type="primary",
        key=asked.key("apply"),
        disabled=not will_change
        or not sure
        or status is None
        or (status is SyncStatus.COMPLETE and not asked.value("reason"))
        or _unsettled(found, number),
        on_click=_apply,
        args=(asked, Shown(status, tuple(at_risk), tuple(found.unused), tuple(closed))),
    )


def _noun(chosen: Chosen, number: int) -> str:
    kinds = [BY_KEY[key] for key, records in chosen.items() if records]
    if len(kinds) != 1:
        return "record" if number == 1 else "records"
    return kinds[0].singular if number == 1 else kinds[0].plural


def _new_status(asked: Asked) -> SyncStatus | None:
    label = st.segmented_control(
        "New sync status", [status.label for status in SyncStatus], key=asked.key("status")
    )
    return SyncStatus.from_label(label) if label else None


# ---------------------------------------------------------------- which records


def _with_parents(asked: Asked, status: SyncStatus | None) -> None:
    """Offer to take along the failed documents that hold up chosen payments."""
    if status is not SyncStatus.PENDING or not asked.parents:
        return
    parents = _flat(asked.parents)
    st.checkbox(
        f"Also send back {count_of(asked.parents)} on which these payments wait"
        f" · {selection.money(parents)}",
        key=asked.key("parents"),
        help="A payment passes only once its invoice or bill is in the books.",
    )


def _chosen(asked: Asked, status: SyncStatus | None, closed: Sequence[Closed]) -> Chosen:
    """The records that the change is asked for."""
    chosen = _asked_for(asked, status)
    if not asked.value("open_only"):
        return chosen
    return {
        key: {
            one: it
            for one, it in records.items()
            if not any(one in books.records.get(key, ()) for books in closed)
        }
        for key, records in chosen.items()
    }


def _asked_for(asked: Asked, status: SyncStatus | None) -> Chosen:
    """The same before anything is left out."""
    if status is not SyncStatus.PENDING or not asked.value("parents"):
        return asked.chosen
    chosen = {key: dict(records) for key, records in asked.chosen.items()}
    for key, records in asked.parents.items():
        chosen[key] = {**records, **chosen.get(key, {})}
    return chosen


def _closed(asked: Asked, status: SyncStatus | None) -> Sequence[Closed]:
    """What lies in closed books and would be refused again, asked of the database once."""
    if status is not SyncStatus.PENDING:
        return ()
    scope = (asked.operation_id, bool(asked.value("parents")))
    known: tuple[Any, Sequence[Closed]] | None = st.session_state.get("closed_books")
    if known is None or known[0] != scope:
        with viewer.reading("look for closed periods") as (connection, _):
            known = (scope, closed_books.closed(connection, _asked_for(asked, status)))
        st.session_state["closed_books"] = known
    return known[1]


def _warn_of_closed(asked: Asked, closed: Sequence[Closed]) -> None:
    """Say of how many records the period is closed, and offer to leave them out."""
    if not closed:
        return
    number = sum(books.count for books in closed)
    lie = listed(
        [
            f"**{books.count:,} {'lies' if books.count == 1 else 'lie'} in a period that"
            f" {plain(books.connection)} has closed** (through {readable(books.through)})"
            for books in closed
        ]
    )
    st.warning(
        f"{lie}. {'It' if number == 1 else 'They'} would fail again until the period is reopened,"
        " or the accounting date is changed in the TMS.",
        icon=":material/lock_clock:",
    )
    st.checkbox(
        "Leave it out" if number == 1 else f"Leave these {number:,} out", key=asked.key("open_only")
    )


def _risks(
    asked: Asked, chosen: Chosen, status: SyncStatus | None, found: Found
) -> dict[tuple[str, int], Risk]:
    """What needs a tick of its own, asked of the database once for each choice."""
    evidence = found.evidence
    if status is None or (status is not SyncStatus.PENDING and not evidence):
        return {}
    options = (bool(asked.value("parents")), bool(asked.value("open_only")))
    scope = (asked.operation_id, status, options, repr(evidence))
    known: tuple[Any, dict[tuple[str, int], Risk]] | None = st.session_state.get("risks")
    if known is None or known[0] != scope:
        change = Change(status, CloseReason.OTHER, evidence=evidence)
        with viewer.reading("look for duplicates") as (connection, _):
            known = (scope, risks_of(connection, chosen, change))
        st.session_state["risks"] = known
    return known[1]


# ---------------------------------------------------------------- why


def _reason(asked: Asked, chosen: Chosen) -> None:
    """Ask why the records are closed, and what was found in the books."""
    st.selectbox(
        "Reason",
        list(CloseReason),
        index=None,
        format_func=lambda reason: reason.label,
        placeholder="Why these records are closed",
        key=asked.key("reason"),
    )
    records = _flat(chosen)
    if len(records) > 1:
        evidence_list.show(asked.operation_id, chosen)
        return
    (ticked,) = records.values()
    with st.container(horizontal=True):
        st.text_input(
            "Reference in the books",
            max_chars=LONGEST_REFERENCE,
            placeholder="Optional",
            key=asked.key("reference"),
        )
        st.text_input(
            f"Amount in the books ({ticked.currency})",
            placeholder="Optional",
            key=asked.key("amount"),
        )
    for wrong in _one_found(asked, chosen).unused:
        st.caption(f":red[:material/error:] {plain(wrong)}")


def _found(asked: Asked, chosen: Chosen, status: SyncStatus | None) -> Found:
    """What was found in the books, as it stands in the widgets now."""
    if status is not SyncStatus.COMPLETE:
        return Found({}, ())
    if len(_flat(chosen)) > 1:
        return evidence_list.found(asked.operation_id, chosen)
    return _one_found(asked, chosen)


def _one_found(asked: Asked, chosen: Chosen) -> Found:
    """The same of a single record. What can't be read must not get lost: it holds up Apply."""
    (((key, record), ticked),) = _flat(chosen).items()
    amount, wrong = read_amount(asked.value("amount") or "", ticked.currency)
    evidence = Evidence((asked.value("reference") or "").strip(), amount)
    return Found(
        {key: {record: evidence}} if evidence != Evidence() else {}, (wrong,) if wrong else ()
    )


def _unsettled(found: Found, number: int) -> bool:
    """Whether evidence was given that can't be read: of one record, or a list as a whole. Records
    of a list are closed also where their line is not used, since the dialog lists those lines."""
    return bool(found.unused) and (number == 1 or not found.evidence)


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


def confirmed(operation_id: str, count: int) -> bool:
    """Whether a change of so many records may go on: many are confirmed by typing how many."""
    if count <= settings().typed_confirmation_above:
        return True
    typed = st.text_input(f"Type {count} to confirm", key=f"typed_{operation_id}")
    return typed.replace(",", "").strip() == str(count)


# ---------------------------------------------------------------- doing it


@dataclass(frozen=True)
class Shown:
    """What Apply was drawn beside: the new status, the records at risk, what of the evidence is
    not used, and what lies in closed books."""

    status: SyncStatus | None
    at_risk: Collection[tuple[str, int]]
    unused: Collection[str]
    closed: Collection[Closed]


def _apply(asked: Asked, shown: Shown) -> None:
    """Carry the change out. What stands in the widgets now counts, also what was typed last; where
    that asks for another look, nothing is done yet."""
    with faults.kept():
        status = asked.to or SyncStatus.from_label(asked.value("status") or "")
        closed = _closed(asked, status)
        everything = _chosen(asked, status, closed)
        found = _found(asked, everything, status)
        at_risk = _risks(asked, everything, status, found)
        if (
            status is None
            or _unsettled(found, len(_flat(everything)))
            or shown != Shown(status, tuple(at_risk), tuple(found.unused), tuple(closed))
        ):
            raise InvalidChange("Look at what your last entry has changed here, then apply.")
        accepted, left = risk_grid.decided(asked.operation_id, at_risk.values())
        chosen = {
            key: {one: it for one, it in records.items() if one not in left.get(key, ())}
            for key, records in everything.items()
        }
        evidence = {
            key: {one: it for one, it in records.items() if one in chosen.get(key, {})}
            for key, records in found.evidence.items()
        }
        change_status(
            viewer.principal(),
            asked.operation_id,
            {
                key: {one: it.version for one, it in records.items()}
                for key, records in chosen.items()
                if records
            },
            Change(
                status,
                asked.value("reason"),
                asked.value("note") or "",
                fixed=bool(asked.value("fixed")),
                evidence={key: records for key, records in evidence.items() if records},
                accepted=accepted,
            ),
            asked.words,
        )
        st.session_state[APPLIED] = asked.operation_id
        _untick(chosen)


def _untick(chosen: Chosen) -> None:
    """What has been asked for is done; what was left out at a risk stays ticked."""
    for key, records in chosen.items():
        ticked = selection.current(BY_KEY[key])
        selection.replace(
            BY_KEY[key], {one: it for one, it in ticked.items() if one not in records}
        )
