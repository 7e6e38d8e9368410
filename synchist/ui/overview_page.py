"""The home page: what is failed and pending, each number a link to exactly those records."""

from collections.abc import Sequence
from contextlib import suppress

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from synchist import overview, queries
from synchist.connections import Attention
from synchist.db.engine import DatabaseUnavailable
from synchist.entities import BY_KEY, ENTITIES, Entity
from synchist.filters import Age, Filters, Window
from synchist.overview import Open, Overview
from synchist.queries import Total, added
from synchist.statuses import SyncStatus
from synchist.ui import places, receipt_view, viewer
from synchist.ui.filter_bar import link
from synchist.ui.wording import LEVELS, counted, moment, plain

CAUSES = 5
"""How many causes are shown, the most frequent ones."""

STATUSES = (SyncStatus.FAILED, SyncStatus.PENDING)


def show() -> None:
    """Draw the overview."""
    with viewer.reading("open Overview") as (connection, actor):
        empty = queries.is_empty(connection)
        found = overview.load(connection, actor)
        noted = overview.is_noted(connection, actor)
    if not noted:
        with suppress(DatabaseUnavailable):  # then the next look is noted
            overview.visited(viewer.principal())
    viewer.title_bar(
        actor,
        "Overview",
        f"Everything that is open, over all dates · bars: the ends of the past"
        f" {overview.SERIES_DAYS} days, from the lowest number to the highest",
    )
    if empty:
        st.info(
            "There are no records yet. Let your sync jobs write into this database, or make a demo"
            " in an empty one with: python -m synchist demo",
            icon=":material/database:",
        )
        return
    receipt_view.show_latest(actor)
    for column, entity in zip(st.columns(len(ENTITIES)), ENTITIES, strict=True):
        with column.container(border=True, gap="xsmall"):
            _card(entity, found.open[entity.key])
    left, right = st.columns([2, 1])
    with left.container(border=True, gap="xsmall"):
        _causes(found)
    with right.container(border=True, gap="xsmall"):
        _new(found)
        _attention(found.attention)


# ---------------------------------------------------------------- what is open


def _card(entity: Entity, found: Open) -> None:
    st.markdown(f"**{entity.title}**")
    for column, status in zip(st.columns(2, gap=None), STATUSES, strict=True):
        with column.container(gap=None):
            _now(entity, status, found.now[status])
            _development(found.now[status], found.ends[status])
    with st.container(gap=None):
        _ages(entity, found)


def _ages(entity: Entity, found: Open) -> None:
    for column, words in zip(_by_age(), ("Created", "failed", "pending"), strict=True):
        column.caption(words)
    for age in Age:
        label, *cells = _by_age()
        label.caption(age.value)
        for cell, status in zip(cells, STATUSES, strict=True):
            filters = Filters(status, Window.ALL, age=age)
            total = found.by_age.get((status, age), Total())
            with cell:
                _number(entity, filters, total, "")


def _by_age() -> list[DeltaGenerator]:
    return st.columns([1.1, 1, 1], gap=None, vertical_alignment="center")


def _now(entity: Entity, status: SyncStatus, total: Total) -> None:
    words = f"**{total.count:,}** {status.label.lower()}"
    link(entity, Filters(status, Window.ALL), words)
    # Each currency on a line of its own: beside those of the next column they would run together.
    st.caption(total.money.replace(" + ", "  \n") or "nothing open")


def _development(now: Total, ends: Sequence[Total | None]) -> None:
    """Against yesterday and last week, and the days between as small bars."""
    lines = [
        f"{_signed(now.count - before.count)} since {when}"
        for before, when in ((ends[-1], "yesterday"), (ends[-7], "last week"))
        if before is not None
    ]
    counts = [end.count for end in ends if end is not None]
    whole = len(counts) == len(ends)
    st.caption("  \n".join(lines if whole else [*lines, "Past days follow"]))
    if whole:
        st.caption(_bars(counts), wrap=False)


def _signed(change: int) -> str:
    return f"{change:+,}".replace("-", "−") if change else "±0"


def _bars(numbers: Sequence[int]) -> str:
    lowest = min(numbers)
    span = max(numbers) - lowest or 1
    return "".join(LEVELS[(number - lowest) * (len(LEVELS) - 1) // span] for number in numbers)


def _number(entity: Entity, filters: Filters, total: Total, icon: str) -> None:
    """A number of a table: a link, where there is anything to see."""
    if not total.count:
        st.caption("–")
        return
    hint = f"{filters.status.label} {entity.plural} · {total.money}"
    link(entity, filters, f"{total.count:,}", icon=icon, hint=hint)


# ---------------------------------------------------------------- why, and what is new


def _causes(found: Overview) -> None:
    """The most frequent causes of failures."""
    st.markdown("**Failures by cause**")
    ranked = sorted(
        found.by_cause.items(), key=lambda one: (-added(one[1].values()).count, one[0].label)
    )
    for cause, totals in ranked[:CAUSES]:
        label, money, *cells = st.columns([2.5, 3.3, 1.1, 1.1, 1.1, 1.1], gap=None)
        label.markdown(plain(cause.label))
        money.caption(added(totals.values()).money)
        for cell, entity in zip(cells, ENTITIES, strict=True):
            with cell:
                filters = Filters(SyncStatus.FAILED, Window.ALL, cause=cause.label)
                total = totals.get(entity.key, Total())
                _number(entity, filters, total, places.ICONS[entity.key])
    rest = len(ranked) - CAUSES
    st.page_link(places.causes(), label=f"{rest} more causes" if rest > 0 else "See Causes")
    if waiting := found.undiagnosed.count:
        st.caption(f"{counted(waiting, 'more failed record')} to be diagnosed, within minutes.")


def _new(found: Overview) -> None:
    if found.since is None:
        st.markdown("**Failed since your last visit**")
        st.caption("This is your first visit. From the next one on, what is new stands here.")
        return
    st.markdown(f"**Failed since your last visit** on {moment(found.since)}")
    new = {key: total for key, total in found.new.items() if total.count}
    if not new:
        st.caption("Nothing that is still failed.")
    for key, total in new.items():
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            link(BY_KEY[key], overview.newly_failed(found.since), BY_KEY[key].count(total.count))
            st.caption(total.money, width="content")


def _attention(connections: Sequence[Attention]) -> None:
    """What is wrong with connections."""
    st.markdown("**Connections that need attention**")
    for one in connections:
        st.markdown(f":material/link_off: {plain(one.name)} {_what(one)}")
    label = "See Connections" if connections else "None is down or ends soon"
    st.page_link(places.connections(), label=label)


def _what(one: Attention) -> str:
    if one.expired:
        return ":red[is down: its authorization has ended]"
    if one.refused:
        return ":red[is down: it refuses every attempt]"
    return f":orange[works; its authorization ends in {counted(one.days or 0, 'day')}]"
