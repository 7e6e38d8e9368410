"""One record: its fields, both statuses, the exact error, charges, links and history.

Made of tables and text, not of a grid, so that it prints.
"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from synchist.currencies import money
from synchist.diagnosis import ANY, diagnose
from synchist.entities import BY_SLUG, Column, Entity, Kind
from synchist.history import Event, Record, load_record
from synchist.statuses import CloseReason, SyncStatus
from synchist.ui import viewer
from synchist.ui.wording import badge, moment, numbered, plain

# Shown above the fields in their own way.
_HEADED = (
    *("number", "party", "sync_status", "tms_status", "sync_error", "differs", "currency"),
    *("cause", "waits"),
)


def open_drawer(entity: Entity, record_id: int) -> None:
    """Show a record in a drawer beside the list."""
    with viewer.reading(f"open {entity.singular} {record_id}") as (connection, _):
        record = load_record(connection, entity, record_id)
    if record is None:
        st.toast("This record is no longer there. Reload the page.")
        return
    title = plain(f"{entity.singular.capitalize()} {record.fields['number']}")
    st.dialog(title, width="large", position="right")(_drawer)(record)


def _drawer(record: Record) -> None:
    entity, key = record.entity, record.fields["id"]
    st.html(
        f'<a href="/record?entity={entity.slug}&id={key}" target="_blank" rel="noopener">'
        "Open on its own page</a>"
    )
    show(record)


def show_page() -> None:
    """The record that the address names: `/record?entity=invoices&id=…`."""
    entity = BY_SLUG.get(st.query_params.get("entity", ""))
    identity = st.query_params.get("id", "")
    # 18 digits: what fits every database's whole numbers.
    if entity is None or not (identity.isascii() and identity.isdigit() and len(identity) <= 18):
        st.info("This address names no record. Open one from a list by clicking its number.")
        return
    with viewer.reading(f"open {entity.singular} {identity}") as (connection, _):
        record = load_record(connection, entity, int(identity))
    if record is None:
        st.info(f"There is no {entity.singular} with this id. Open one from the list.")
        return
    title = plain(f"{entity.singular.capitalize()} {record.fields['number']}")
    st.subheader(title, anchor=False)
    show(record)


def show(record: Record) -> None:
    """Draw a record from top to bottom."""
    _statuses(record)
    _error(record)
    _fields(record)
    _charges(record)
    _links(record)
    _events(record)


def _statuses(record: Record) -> None:
    fields = record.fields
    status = SyncStatus(fields["sync_status"])
    amount = money(fields["amount"], fields["currency"])
    st.markdown(f"**{plain(fields['party'])}** · **{amount}**")
    st.markdown(
        f"Sync status {badge(status)} &nbsp; TMS status :gray-badge[{plain(fields['tms_status'])}]",
        help="The sync status is the outcome of the last attempt to write the record to the"
        " accounting system. The TMS status is its accounting status inside the TMS.",
    )
    if status is SyncStatus.PENDING:
        since = moment(fields["outcome_at"])
        st.caption(f":material/schedule: {plain(fields['waits'])}. Pending since {since}.")


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
    with st.container(border=True):
        st.markdown(f"**{found.cause.label}.** {plain(found.explanation)}")
        st.markdown(f"{numbered(found.steps)}\n\n:material/replay: {found.retry.sentence}")


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
    if not record.charges:
        return
    currency = record.fields["currency"]
    st.markdown("**Charges**")
    rows = [(plain(line.description), money(line.amount, currency)) for line in record.charges]
    total = sum(line.amount for line in record.charges)
    rows.append(("**Total of the charges**", f"**{money(total, currency)}**"))
    _table(rows, ["Charge", "Amount"], "Charges")


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
    st.markdown("**History**, newest first")
    for event in record.events:
        st.markdown(" · ".join(part for part in _event(event) if part))
        # As code: Markdown would turn -> into an arrow, and every error is kept exactly.
        if event.error:
            st.code(event.error, language=None, wrap_lines=True)


def _event(event: Event) -> tuple[str, ...]:
    """When, what, by whom, and the state after it, as far as each is known."""
    synced = event.synced_amount
    return (
        moment(event.at),
        f"**{plain(event.what)}**",
        f"by {plain(event.who)}",
        f"“{plain(event.note)}”" if event.note else "",
        badge(event.status),
        f"reference {plain(event.reference)}" if event.reference else "",
        f"amount {money(event.amount, event.currency)}",
        "" if synced is None else f"synced {money(synced, event.currency)}",
    )
