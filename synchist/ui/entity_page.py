"""The story of an entity's page, in reading order."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache

import pandas as pd
import streamlit as st
from sqlalchemy import Connection
from streamlit.delta_generator import DeltaGenerator

from synchist import problems, queries
from synchist.accounts import Actor
from synchist.db.engine import DatabaseUnavailable
from synchist.entities import Entity
from synchist.filters import Filters, Window, readable
from synchist.queries import Counts, Ticked, Total
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import SyncStatus
from synchist.triage import Person, people
from synchist.ui import (
    actions,
    faults,
    filter_bar,
    grid,
    owners,
    receipt_view,
    record_view,
    selection,
    viewer,
)
from synchist.ui.filter_bar import key, link

PAGE_SIZES = (100, 1_000, 10_000)


@dataclass(frozen=True)
class Loaded:
    """A page of the list, and everybody who may own a record. `counts` counts all that matches,
    once, in the same state of the database: of a million records that takes longer than to load the
    page."""

    actor: Actor
    frame: pd.DataFrame
    team: Sequence[Person]
    counts: Callable[[], Counts]


def show(entity: Entity) -> None:
    """Draw the page of one entity: the grid as soon as its rows are there, then the receipt of the
    last change, then what has to be counted."""
    owners.must_load(entity)  # as it does now
    with viewer.reading(f"open {entity.title}") as (connection, actor):
        choices, team = queries.choices(connection, entity), people(connection)
    with suppress(DatabaseUnavailable):  # the list is there also without the newest causes
        problems.catch_up([entity])
    faults.show_kept()
    bar, receipt, headline = st.container(), st.container(), st.empty()
    body, footer = st.container(), st.container()
    with bar:
        filters = filter_bar.show(entity, choices, team, actor)
    with viewer.reading(f"list {entity.plural}") as (connection, actor):
        place = _place(entity)
        frame = _page(connection, entity, filters, place)
        counts = cache(lambda: queries.counts(connection, entity, filters))
        loaded = Loaded(actor, frame, team, counts)
        arrives_selected = filter_bar.arrives_selected(entity)
        if filters.as_of is None:
            selection.keep_valid(entity, filters, frame)
            if arrives_selected:
                _select_matching(connection, entity, filters)
        headline.subheader(
            f"Counting {filters.status.label.lower()} {entity.plural} …", anchor=False
        )
        with body:
            _list(connection, entity, filters, loaded)
        if filters.as_of is None:
            # After the grid, since it looks into the history of up to 10,000 records, and before
            # the counting: whoever has just changed some waits for it.
            with receipt:
                receipt_view.show_read(connection, actor, entity)
        _headline(headline, entity, filters, loaded.counts())
        with footer:
            _paging(entity, loaded.counts().total.count, place)


def _place(entity: Entity) -> tuple[int, int]:
    """Rows a page and the number of the page, as chosen, or as the address says where the widgets
    for it have not been drawn yet: they need the count."""
    sizes = {rows_a_page(size): size for size in PAGE_SIZES}
    rows, page = key(entity, "rows"), key(entity, "page")
    number = str(st.session_state.get(page, st.query_params.get(page)))
    return (
        st.session_state.get(rows) or sizes.get(st.query_params.get(rows, ""), PAGE_SIZES[1]),
        max(1, int(number)) if re.fullmatch(r"\d{1,6}", number) else 1,
    )


def rows_a_page(size: int) -> str:
    """A size of pages in words; so it stands in the address."""
    return f"{size:,} rows a page"


def _page(
    connection: Connection, entity: Entity, filters: Filters, place: tuple[int, int]
) -> pd.DataFrame:
    """The rows of a page; of the first one where there are not that many pages."""
    size, number = place
    frame = queries.load(connection, entity, filters, size, (number - 1) * size)
    if frame.empty and number > 1:
        filter_bar.first_page(entity)
        frame = queries.load(connection, entity, filters, size)
    return frame


def _paging(entity: Entity, count: int, place: tuple[int, int]) -> None:
    """Rows a page and the number of the page. Nothing to choose where one small page is all."""
    if count <= PAGE_SIZES[0]:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        size = st.selectbox(
            "Rows a page",
            PAGE_SIZES,
            index=1,
            format_func=rows_a_page,
            key=key(entity, "rows"),
            label_visibility="collapsed",
            width=170,
            bind="query-params",
            on_change=filter_bar.first_page,
            args=(entity,),
        )
        number, pages = 1, -(-count // size)
        if pages > 1:
            if st.session_state.get(key(entity, "page"), 1) > pages:
                filter_bar.first_page(entity)
            number = st.pagination(pages, key=key(entity, "page"), bind="query-params")
            st.caption(
                "A click on a column header sorts this page only; “Sort by” above orders all pages."
            )
    if (size, number) != place and place[1] <= pages:
        st.rerun()  # the widgets have understood the address in another way


# ---------------------------------------------------------------- above the grid


def _headline(place: DeltaGenerator, entity: Entity, filters: Filters, counts: Counts) -> None:
    """Number and sum of what matches, and where the rest is."""
    total, others = counts.total, counts.others
    with place.container(horizontal=True, vertical_alignment="center", gap="small"):
        status = filters.status.label.lower()
        noun = entity.singular if total.count == 1 else entity.plural
        money = f" · {total.money}" if total.count else ""
        st.subheader(f"{total.count:,} {status} {noun}{money}", anchor=False, width="content")
        for other in (SyncStatus.FAILED, SyncStatus.COMPLETE, SyncStatus.PENDING):
            if other in others:
                words = f"{others[other].count:,} {other.label}"
                link(entity, replace(filters, status=other), words)
        _outside(entity, filters, counts.outside)


def _outside(entity: Entity, filters: Filters, outside: tuple[Total, Total]) -> None:
    """What the date range leaves out, before and after it."""
    start, end = filters.days()
    all_dates = replace(filters, window=Window.ALL)
    for found, side, day in zip(outside, ("before", "after"), (start, end), strict=True):
        if found.count and day:
            what = f"{found.count:,} more {filters.status.label.lower()} {side} {readable(day)}"
            link(entity, all_dates, f"{what} · {found.money} · show")


def _nothing_found(
    entity: Entity, filters: Filters, everywhere: Mapping[SyncStatus, Total]
) -> None:
    """An empty list says where to look instead."""
    if not filters.beyond_status_and_window(entity):
        days = " in these days" if filters.dated and filters.days() != (None, None) else ""
        st.info(f"No {filters.status.label.lower()} {entity.plural}{days}.")
    elif not everywhere:
        st.info(
            "Nothing matches, under no status and on no date. Check the spelling, or take filters"
            " away under More.",
            icon=":material/search_off:",
        )
    else:
        st.info("Nothing matches here. The same filters find:", icon=":material/search_off:")
        for status, found in everywhere.items():
            elsewhere = replace(filters, status=status, window=Window.ALL)
            link(entity, elsewhere, f"{found.count:,} in {status.label}, all dates · {found.money}")


# ---------------------------------------------------------------- the list


def _list(connection: Connection, entity: Entity, filters: Filters, loaded: Loaded) -> None:
    if loaded.frame.empty:
        _nothing_found(entity, filters, queries.everywhere(connection, entity, filters))
        if filters.as_of or not selection.current(entity):
            record_view.carry_on()
            return
    _selectable(entity, filters, loaded)


@st.fragment
def _selectable(entity: Entity, filters: Filters, loaded: Loaded) -> None:
    """Selection, actions and grid. A fragment: a tick answers without loading anything."""
    # A tick runs this alone: it keeps the session alive, and stops one that has ended.
    with viewer.reading(f"select {entity.plural}"):
        pass
    if owners.must_load(entity):
        st.rerun()
    faults.show_kept()
    if lost := selection.lost(entity):
        st.caption(
            f":material/sync_problem: {entity.count(lost)} changed since you ticked"
            f" {'it' if lost == 1 else 'them'}; the tick was taken away. Look again."
        )
    if filters.as_of:
        with st.container(horizontal=True, horizontal_alignment="right", gap="small"):
            _take_away(entity, filters, loaded)
        # A line between the buttons and the grid, whose own tools come up above it.
        st.caption("Nothing can be ticked in the past: click a number to open the record")
    else:
        _toolbar(entity, filters, loaded)
    opened = key(entity, "open_record")
    if not loaded.frame.empty:
        grid.show(filters.of(entity), filters.status, loaded.frame, opened, loaded.team)
    if opened in st.session_state:
        from_past = filters.as_of is not None
        record_view.open_drawer(entity, st.session_state.pop(opened), from_past=from_past)
    record_view.carry_on()


def _toolbar(entity: Entity, filters: Filters, loaded: Loaded) -> None:
    chosen, rows = selection.current(entity), len(loaded.frame)
    in_view = sum(record_id in chosen for record_id in loaded.frame.index) if chosen else 0
    words = filters.sentence(entity)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Select all",
            icon=":material/select_all:",
            disabled=in_view == rows,
            on_click=_select_page,
            args=(entity, loaded.frame),
        )
        st.button(
            "Clear",
            icon=":material/deselect:",
            disabled=not chosen,
            on_click=selection.replace,
            args=(entity, {}),
        )
        if st.button(actions.RETRY, icon=":material/replay:", type="primary", disabled=not chosen):
            actions.open_dialog(
                {entity.key: chosen},
                words,
                hidden=len(chosen) - in_view,
                to=SyncStatus.PENDING,
            )
        if st.button("Update Sync Status", icon=":material/edit:", disabled=not chosen):
            actions.open_dialog({entity.key: chosen}, words, hidden=len(chosen) - in_view)
        owners.toolbar(entity, chosen, loaded.frame, loaded.team, loaded.actor)
        st.space("stretch")
        _take_away(entity, filters, loaded)
    # A line of its own: the grid's own tools appear at its right end and must not cover a button.
    with st.container(horizontal=True, vertical_alignment="center"):
        _selected(chosen, in_view)
        if len(chosen) == 1:
            # A number in the grid can be clicked only, which takes a mouse.
            st.button(
                ":blue[Open it]",
                type="tertiary",
                on_click=st.session_state.update,
                args=({key(entity, "open_record"): next(iter(chosen))},),
            )
        if chosen and in_view == rows and loaded.counts().total.count > rows:
            st.button(
                f":blue[Select all {loaded.counts().total.count:,} that match]",
                type="tertiary",
                on_click=_select_all_that_match,
                args=(entity, filters),
            )


def _selected(chosen: Mapping[int, Ticked], in_view: int) -> None:
    """Number and sum of the selection."""
    if not chosen:
        st.caption("Nothing selected: tick rows, or click a number to open it", width="content")
        return
    hidden = f" · {len(chosen) - in_view:,} not in view" if len(chosen) > in_view else ""
    st.markdown(
        f"**{len(chosen):,} selected** · {selection.money(chosen)}{hidden}", width="content"
    )


def _take_away(entity: Entity, filters: Filters, loaded: Loaded) -> None:
    """Copy link and Export. The link carries every filter with its dates written out."""
    address = filters.fixed().address(entity)
    with st.popover("Copy link", icon=":material/link:"):
        st.caption(
            f"Opens this very list, also tomorrow{_but_its_age(filters)}."
            " Whoever opens it has to sign in."
        )
        st.code(f"{_origin()}/{entity.slug}?{address}", language=None, wrap_lines=True)
    if Role.HIDE_EXPORT not in loaded.actor.roles:
        st.link_button(
            "Export to Excel",
            f"/export/{entity.slug}.xlsx?{address}",
            icon=":material/download:",
            help="Everything that matches, not only this page",
            disabled=loaded.frame.empty,
        )


def _but_its_age(filters: Filters) -> str:
    return "; ages count from the day on which it is opened" if filters.age else ""


def _origin() -> str:
    """Scheme and host under which the browser has opened the page."""
    parts = (st.context.url or "").split("/")
    return "/".join(parts[:3])


def _select_page(entity: Entity, frame: pd.DataFrame) -> None:
    selection.add(entity, selection.of_page(frame))


def _select_all_that_match(entity: Entity, filters: Filters) -> None:
    with faults.kept(), viewer.reading(f"select {entity.plural}") as (connection, _):
        selection.add(entity, queries.selectable(connection, entity, filters))


def _select_matching(connection: Connection, entity: Entity, filters: Filters) -> None:
    """Tick all that match, for a link that asked for it; not more than one change may touch."""
    most = settings().max_records_per_operation
    found = queries.selectable(connection, entity, filters, limit=most + 1)
    if len(found) <= most:
        selection.replace(entity, found)
    else:
        st.caption(f":material/info: More than {most:,} records match, so none is ticked.")
