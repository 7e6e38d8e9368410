"""Whether each connection works, and what to do where it does not."""

from datetime import datetime

import streamlit as st

from synchist import closed_books, connections
from synchist.connections import Health
from synchist.diagnosis import ANY, Cause, explained
from synchist.entities import BY_KEY
from synchist.filters import EARLIEST, Filters, Window, readable, today
from synchist.queries import added
from synchist.statuses import ConnectionState, SyncStatus
from synchist.ui import faults, remedy, viewer
from synchist.ui.filter_bar import link
from synchist.ui.remedy import Known
from synchist.ui.wording import age, counted, moment, numbered, plain


def show() -> None:
    """Draw the page."""
    with viewer.reading("open Connections") as (connection, actor):
        found = connections.load_connections(connection)
        known = remedy.load_hints(connection, actor)
    viewer.title_bar(actor, "Connections", "The links to your accounting systems")
    faults.show_kept()
    if not found:
        st.info("There are no connections yet. Sync jobs write them into the table connection.")
    for health in found:
        _card(health, known)


def _card(health: Health, known: Known) -> None:
    with st.container(border=True, gap="xsmall"):
        st.markdown(f"**{plain(health.name)}** {' '.join(_badges(health))}")
        st.caption(f"Company {plain(health.company)}")
        if health.is_down:
            _down(health, known)
        if health.silent_hours:
            st.warning(_silence(health), icon=":material/volume_off:")
        st.table(_facts(health), hide_header=True, border="horizontal", alt="About the connection")
        _lock_date(health)
        if health.refused:
            _refused(health)


def _badges(health: Health) -> list[str]:
    days = health.expires_in_days
    badges = []
    if health.is_down:
        badges.append(":red-badge[Down]")
    elif days is not None and days <= connections.SOON_DAYS:
        badges.append(f":orange-badge[Expires in {counted(days, 'day')}]")
    if health.silent_hours:
        badges.append(":orange-badge[Silent]")
    return badges or [":green-badge[Works]"]


def _down(health: Health, known: Known) -> None:
    """Once for all the failures that it brings."""
    found = explained(Cause.AUTHORIZATION, "", health.system, ANY)
    refused = (
        f" {health.refusals:,} attempts in a row were refused, the first on"
        f" {moment(health.refused_since)}."
        if health.refusals
        else ""
    )
    st.error(
        f"**The connection is down.** {plain(found.explanation)}{refused}"
        f"\n\n{numbered(found.steps)}",
        icon=":material/link_off:",
    )
    place = f"connection_{health.id}"
    remedy.show_hints(found, known, place)
    remedy.offer_hints(found, known, place)


def _silence(health: Health) -> str:
    hours = len(health.silent_hours)
    return (
        f"**Silence.** There was no attempt since {moment(health.last_attempt)}, although"
        f" {'one hour' if hours == 1 else f'{hours} hours'} since then usually"
        f" {'has' if hours == 1 else 'have'} some. Ask whoever runs the sync jobs whether they run."
    )


def _facts(health: Health) -> dict[str, str]:
    return {
        "Authorization": _authorization(health),
        "Last success": _when(health.last_success),
        "Last attempt": _when(health.last_attempt),
        "Books closed": _closed(health),
    }


def _closed(health: Health) -> str:
    """Through which day, and how that is known."""
    by = plain(health.lock_date_by)
    if health.closed_through is None:
        return f"no, entered by {by}" if by else "not known"
    if health.closed_through == health.lock_date:
        known = f"entered by {by}" if by else "told by a sync job"
    else:
        known = "learnt from refusals"
    return f"through {readable(health.closed_through)} ({known})"


def _lock_date(health: Health) -> None:
    """Say through which day the books are closed. The day that is known is part of the keys, so
    that the field shows what somebody else has entered meanwhile."""
    key = f"lock_date_{health.id}_{health.lock_date}_{health.learnt_lock_date}"
    st.session_state.setdefault(key, health.closed_through)
    with (
        st.popover("Books are closed through …", icon=":material/lock_clock:"),
        st.form(f"form_{key}", border=False),
    ):
        st.date_input(
            "Books are closed through",
            value=None,  # else nobody could clear it
            min_value=EARLIEST,
            max_value=today(),
            key=key,
            help="Failed and pending records up to this accounting date are marked, since the"
            " books would refuse them. Clear it where the books are open. It takes the place of"
            " what was learnt from refusals.",
        )
        st.form_submit_button("Save", on_click=_set_lock_date, args=(health.id, key))


def _set_lock_date(connection_id: int, key: str) -> None:
    with faults.kept():
        day = st.session_state.get(key)
        closed_books.set_lock_date(viewer.principal(), connection_id, day)


def _authorization(health: Health) -> str:
    ends, days = health.token_expires_at, health.expires_in_days
    if health.state is ConnectionState.REVOKED:
        return "withdrawn"
    if health.expired:
        return f"expired on {moment(ends)}" if ends else "expired"
    if ends is None or days is None:
        return "valid; no end is known"
    return f"valid until {moment(ends)}, for {counted(days, 'day')}"


def _when(at: datetime | None) -> str:
    return f"{moment(at)}, {age(at)} ago" if at else "never"


def _refused(health: Health) -> None:
    """The records that are failed for lack of authorization, each entity's a link to them."""
    total = added(health.refused.values())
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("Failed for lack of authorization:", width="content")
        for key, one in health.refused.items():
            filters = Filters(SyncStatus.FAILED, Window.ALL, problem=health.problem)
            link(BY_KEY[key], filters, BY_KEY[key].count(one.count), select=True)
        st.markdown(f"**{total.money}**", width="content")
