"""One record: its fields, both statuses, the exact error, what holds it up, charges, links, history
and what can be done with it. Made of tables and text, not of a grid, so that it prints.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from synchist.currencies import money
from synchist.diagnosis import ANY, diagnose
from synchist.entities import BY_SLUG, Column, Entity, Kind
from synchist.filters import readable
from synchist.history import Charge, Event, Record, load_record
from synchist.queries import Ticked
from synchist.statuses import CloseReason, SyncStatus
from synchist.ui import actions, faults, owners, receipt_view, remedy, viewer
from synchist.ui.wording import badge, moment, plain

# Shown above the fields in their own way.
_HEADED = (
    *("number", "party", "sync_status", "tms_status", "sync_error", "differs", "currency"),
    *("cause", "waits", "blocked_by", "period", "owner", "note"),
)

ASKED = "record_asked"
"""Session key: the change that a click into a record has asked for."""

MEANS = {
    SyncStatus.PENDING: "waits for a sync job to write it to the accounting system",
    SyncStatus.COMPLETE: "is in the accounting system",
    SyncStatus.FAILED: "the last attempt to write it failed",
}
TMS_MEANS = {
    "Draft": "not finished",
    "Created": "entered, not yet checked",
    "Ready": "checked, ready for the books",
    "Approved": "approved for the books",
    "On hold": "held back by someone",
    "Voided": "cancelled",
}


def open_drawer(entity: Entity, record_id: int, *, from_past: bool = False) -> None:
    """Show a record in a drawer beside the list; from a list of the past, only to look at."""
    with viewer.reading(f"open {entity.singular} {record_id}") as (connection, _):
        record = load_record(connection, entity, record_id)
    if record is None:
        st.toast("This record is no longer there. Reload the page.")
        return
    title = plain(f"{entity.singular.capitalize()} {record.fields['number']}")
    st.dialog(title, width="large", position="right")(_drawer)(record, from_past)


def _drawer(record: Record, from_past: bool) -> None:
    entity, key = record.entity, record.fields["id"]
    address = f"/record?entity={entity.slug}&id={key}"
    st.markdown(f"[Open on its own page, for printing too]({address})")
    if from_past:
        st.info(
            "This is the record as it is now. Its history below says what it was then.",
            icon=":material/history:",
        )
    show(record, read_only=from_past)


def show_page() -> None:
    """The record that the address names: `/record?entity=invoices&id=…`."""
    entity = BY_SLUG.get(st.query_params.get("entity", ""))
    identity = st.query_params.get("id", "")
    # 18 digits: what fits every database's whole numbers.
    if entity is None or not (identity.isascii() and identity.isdigit() and len(identity) <= 18):
        st.info("This address names no record. Open one from a list by clicking its number.")
        return
    with viewer.reading(f"open {entity.singular} {identity}") as (connection, actor):
        record = load_record(connection, entity, int(identity))
    if record is None:
        st.info(f"There is no {entity.singular} with this id. Open one from the list.")
        return
    faults.show_kept()
    receipt_view.show_latest(actor, entity)
    title = plain(f"{entity.singular.capitalize()} {record.fields['number']}")
    st.subheader(title, anchor=False)
    show(record)
    carry_on()


def show(record: Record, *, read_only: bool = False) -> None:
    """Draw a record from top to bottom."""
    _statuses(record)
    if not read_only:
        _actions(record)
    owners.show(record.entity, record.fields["id"], read_only=read_only)
    _after_closing(record)
    _closed_period(record)
    _blocking(record)
    _error(record)
    _fields(record)
    _charges(record)
    _links(record)
    _events(record)


def _statuses(record: Record) -> None:
    fields = record.fields
    status = SyncStatus(fields["sync_status"])
    amount = money(fields["amount"], fields["currency"])
    tms = fields["tms_status"]
    st.markdown(f"**{plain(fields['party'])}** · **{amount}**")
    means = MEANS[status]
    if fields["closed_reason"]:
        means = f"closed by a person: {CloseReason(fields['closed_reason']).label}"
    syncs = "can be synced" if tms in record.entity.syncable else "can't be synced as it stands"
    st.markdown(
        f"Sync status {badge(status)} {means}  \n"
        f"TMS status :gray-badge[{plain(tms)}] {TMS_MEANS.get(tms, 'set in the TMS')}; {syncs}",
        help="The sync status is the outcome of the last attempt to write the record to the"
        " accounting system. The TMS status is its accounting status inside the TMS.",
    )
    if status is SyncStatus.PENDING:
        since = moment(fields["outcome_at"])
        st.caption(f":material/schedule: {plain(fields['waits'])}. Pending since {since}.")


def _actions(record: Record) -> None:
    """What can be done with this one record. The dialog opens in the next run, since one can't
    open from within the drawer, which is a dialog itself."""
    fields, entity = record.fields, record.entity
    ticked = Ticked(fields["version"], fields["currency"], fields["amount"])
    chosen = {entity.key: {fields["id"]: ticked}}
    with st.container(horizontal=True):
        for label, icon, to in (
            (actions.RETRY, ":material/replay:", SyncStatus.PENDING),
            ("Update Sync Status", ":material/edit:", None),
        ):
            # What was on the screen when it was clicked counts, as with a tick in a list.
            asked = {ASKED: (chosen, f"{entity.singular} {fields['number']}", to)}
            if st.button(
                label,
                icon=icon,
                key=f"record_{fields['id']}_{label}",
                on_click=st.session_state.update,
                args=(asked,),
            ):
                st.rerun()


def carry_on() -> None:
    """Open the dialog that a click into a record has asked for."""
    if ASKED in st.session_state:
        chosen, words, to = st.session_state.pop(ASKED)
        actions.open_dialog(chosen, words, to=to)


def _after_closing(record: Record) -> None:
    event = record.after_closing
    if event is None:
        return
    st.warning(
        f"**Attempted after {plain(event.after_closing)} closed it**, on {moment(event.at)}. A job"
        " had already taken it. Look into the books whether it stands there twice, then close or"
        " retry it here.",
        icon=":material/content_copy:",
    )


def _closed_period(record: Record) -> None:
    """What to do first where the books would refuse it."""
    fields = record.fields
    if not fields["period"]:
        return
    st.warning(
        f"**Its period is closed.** The accounting date is {readable(fields['accounting_date'])},"
        f" and the books of {plain(fields['connection'])} are closed through"
        f" {readable(fields['closed_through'])}: they would refuse it. Ask to reopen the"
        " period, or change the date in the TMS, before it is sent back or tried.",
        icon=":material/lock_clock:",
    )


def _blocking(record: Record) -> None:
    """What must come first, or what waits for this record."""
    other = record.linked_entity
    for link in record.blockers:
        waiting = record.entity.count(link.holds_up.count)
        address = f"/record?entity={other.slug}&id={link.record_id}"
        name = f"{other.singular} [{plain(link.number)}]({address})"
        # What is Pending may pass by itself.
        first = f"Waits for {name}" if link.status is SyncStatus.PENDING else f"Fix {name} first"
        st.markdown(
            f":material/block: {first} ({link.status.label}): it unblocks {waiting},"
            f" {link.holds_up.money}."
        )
    if record.holds_up.count:
        st.markdown(
            f":material/block: Holds up {other.count(record.holds_up.count)},"
            f" {record.holds_up.money}, until it is Complete."
        )


def _error(record: Record) -> None:
    fields = record.fields
    if fields["sync_status"] == SyncStatus.COMPLETE or not fields["sync_error"]:
        return
    failed = fields["sync_status"] == SyncStatus.FAILED
    code = f" · code {plain(fields['sync_error_code'])}" if fields["sync_error_code"] else ""
    st.markdown(f"**{'Error' if failed else 'Last error'}**{code}")
    st.code(fields["sync_error"], language=None, wrap_lines=True)
    _explanation(record)


def _explanation(record: Record) -> None:
    """What the error means and what to do. Computed here, so that it is never out of date."""
    fields = record.fields
    found = diagnose(
        fields["sync_error"],
        fields["system"] or ANY,
        fields["sync_error_code"],
        record.entity.key,
        fields["party"],
    )
    with viewer.reading("read what worked") as (connection, actor):
        known = remedy.load_known(connection, actor)
    with st.container(border=True):
        st.markdown(f"**{found.cause.label}**")
        remedy.show(found, known, f"{record.entity.key}_{fields['id']}")


def _value(column: Column, record: Record) -> str:
    """A field as text for a Markdown table."""
    value = record.fields[column.key]
    if value is None:
        return ""
    if column.kind is Kind.MONEY:
        return money(value, record.fields["currency"])
    if column.kind is Kind.MOMENT:
        return moment(value)
    if column.kind is Kind.DAY:
        return f"{value.day} {value:%b %Y}"
    if column.key == "closed_reason":
        return CloseReason(value).label
    return plain(value)


def _fields(record: Record) -> None:
    pairs = [
        (column.label, _value(column, record))
        for column in record.entity.columns
        if column.key not in _HEADED
    ]
    pairs.append(("Created", moment(record.fields["created_at"])))
    pairs.append(("TMS id", plain(record.fields["tms_id"])))
    filled = [(label, value) for label, value in pairs if value]
    half = -(-len(filled) // 2)
    for side, part in zip(st.columns(2), (filled[:half], filled[half:]), strict=True):
        with side:
            _table(part, ["", " "], "Fields of the record")


def _charges(record: Record) -> None:
    """Charge lines beside what the books hold of them, so that a difference shows on its line."""
    if not record.charges:
        return
    currency = record.fields["currency"]
    held = [line.held for line in record.charges if line.held is not None]
    total = Charge(
        "Total of the charges",
        sum(line.amount for line in record.charges),
        sum(held) if len(held) == len(record.charges) else None,
    )
    lines = [(plain(line.description), line) for line in record.charges]
    rows = [
        (
            name,
            money(line.amount, currency),
            "" if line.held is None else money(line.held, currency),
            f"**:red[{money(line.difference, currency)}]**" if line.difference else "–",
        )
        for name, line in (*lines, (f"**{total.description}**", total))
    ]
    # Where no job has told what the books hold, there is nothing to compare.
    labels = ["Charge", "TMS", "Books", "Difference"][: 4 if held else 2]
    st.markdown("**Charges**")
    _table([row[: len(labels)] for row in rows], labels, "Charges")


def _links(record: Record) -> None:
    if not record.links:
        return
    other = record.linked_entity
    st.markdown(f"**{other.title}**")
    rows = [
        (
            f"[{plain(link.number)}](/record?entity={other.slug}&id={link.record_id})",
            money(link.applied, link.applied_currency),
            money(link.amount, link.currency),
            badge(link.status),
        )
        for link in record.links
    ]
    alt = f"{other.title} of this {record.entity.singular}"
    _table(rows, ["Number", "Applied", "Amount", "Sync status"], alt)


def _table(rows: Sequence[tuple[str, ...]], labels: list[str], alt: str) -> None:
    """A table of Markdown texts: every value must have gone through `plain` or be our own."""
    st.table(
        pd.DataFrame(rows, columns=labels),
        hide_index=True,
        hide_header=not any(label.strip() for label in labels),
        border="horizontal",
        alt=alt,
    )


def _events(record: Record) -> None:
    """The whole history: lines of text between exact errors, each run of lines in one element."""
    st.markdown("**History**, newest first")
    lines: list[str] = []
    for event in record.events:
        lines.append(" · ".join(part for part in _event(event) if part))
        # As code: Markdown would turn -> into an arrow, and every error is kept exactly.
        if event.error:
            st.markdown("\n\n".join(lines))
            st.code(event.error, language=None, wrap_lines=True)
            lines = []
    if lines:
        st.markdown("\n\n".join(lines))


def _event(event: Event) -> tuple[str, ...]:
    """When, what, by whom, and the state after it, as far as each is known."""
    synced = event.synced_amount
    # What a person did says both statuses already.
    differs = event.was is not event.status and not event.operation_id
    moved = f"{badge(event.was)} → " if event.was is not None and differs else ""
    return (
        moment(event.at),
        f"**{plain(event.what)}**",
        f"by {plain(event.who)}",
        f"“{plain(event.note)}”" if event.note else "",
        f"{moved}{badge(event.status)}",
        _reference(event),
        f"amount {money(event.amount, event.currency)}",
        "" if synced is None else f"synced {money(synced, event.currency)}",
        f"*{plain(event.problem)}*" if event.problem else "",
    )


def _reference(event: Event) -> str:
    """The reference, and since when the books hold it where somebody has looked."""
    known_as = plain(event.reference) if event.reference else ""
    if event.booked_on:
        return f"in the books on {readable(event.booked_on)}" + (known_as and f" as {known_as}")
    return known_as and f"reference {known_as}"
