"""The story of an entity's page, in reading order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from synchist import queries
from synchist.accounts import Actor
from synchist.entities import Entity
from synchist.filters import Filters, Window, readable
from synchist.queries import Ticked, Total
from synchist.roles import Role
from synchist.statuses import SyncStatus
from synchist.ui import actions, faults, filter_bar, grid, record_view, selection, viewer
from synchist.ui.filter_bar import key, link
from synchist.ui.selection import Row

PAGE_SIZES = (100, 1_000, 10_000)


@dataclass(frozen=True)
class Loaded:
    """Everything that the page shows, read from one state of the database."""

    actor: Actor
    total: Total
    others: dict[SyncStatus, Total]
    outside: tuple[Total, Total]
    everywhere: Mapping[SyncStatus, Total]
    frame: pd.DataFrame


def show(entity: Entity) -> None:
    """Draw the page of one entity."""
    with viewer.reading(f"open {entity.title}") as (connection, actor):
        choices = queries.choices(connection, entity)
    faults.show_kept()
    filters = filter_bar.show(entity, choices, actor)
    actions.show_receipt(entity)
    headline, body, footer = st.container(), st.container(), st.container()
    with viewer.reading(f"list {entity.plural}") as (connection, actor):
        total = queries.total(connection, entity, filters)
        with footer:
            size, number = _paging(entity, total.count)
        loaded = Loaded(
            actor=actor,
            total=total,
            others=queries.other_statuses(connection, entity, filters),
            outside=queries.outside_window(connection, entity, filters),
            everywhere={} if total.count else queries.everywhere(connection, entity, filters),
            frame=queries.load(connection, entity, filters, size, (number - 1) * size),
        )
    rows = selection.rows_of(loaded.frame)
    selection.keep_valid(entity, filters, rows)
    with headline:
        _headline(entity, filters, loaded)
    with body:
        _list(entity, filters, loaded, rows)


def _paging(entity: Entity, count: int) -> tuple[int, int]:
    """Rows a page and the number of the page. Nothing to choose where one small page is all."""
    smallest = PAGE_SIZES[0]
    size, number = PAGE_SIZES[1], 1
    if count <= smallest:
        return size, number
    with st.container(horizontal=True, vertical_alignment="center"):
        size = st.selectbox(
            "Rows a page",
            PAGE_SIZES,
            index=1,
            format_func=lambda rows: f"{rows:,} rows a page",
            key=key(entity, "rows"),
            label_visibility="collapsed",
            width=170,
            bind="query-params",
            on_change=filter_bar.first_page,
            args=(entity,),
        )
        pages = max(1, -(-count // size))
        if pages > 1:
            if st.session_state.get(key(entity, "page"), 1) > pages:
                filter_bar.first_page(entity)
            number = st.pagination(pages, key=key(entity, "page"), bind="query-params")
            st.caption(
                "A click on a column header sorts this page only; “Sort by” above orders all pages."
            )
    return size, number


# ---------------------------------------------------------------- above the grid


def _headline(entity: Entity, filters: Filters, loaded: Loaded) -> None:
    """Number and sum of what matches, and where the rest is."""
    total = loaded.total
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        status = filters.status.label.lower()
        noun = entity.singular if total.count == 1 else entity.plural
        money = f" · {total.money}" if total.count else ""
        st.subheader(f"{total.count:,} {status} {noun}{money}", anchor=False, width="content")
        for other in (SyncStatus.FAILED, SyncStatus.COMPLETE, SyncStatus.PENDING):
            if other in loaded.others:
                link(
                    entity,
                    replace(filters, status=other),
                    f"{loaded.others[other].count:,} {other.label}",
                )
        _outside(entity, filters, loaded)


def _outside(entity: Entity, filters: Filters, loaded: Loaded) -> None:
    """What the date range leaves out, before and after it."""
    start, end = filters.days()
    all_dates = replace(filters, window=Window.ALL)
    for found, side, day in zip(loaded.outside, ("before", "after"), (start, end), strict=True):
        if found.count and day:
            what = f"{found.count:,} more {filters.status.label.lower()} {side} {readable(day)}"
            link(entity, all_dates, f"{what} · {found.money} · show")


def _nothing_found(entity: Entity, filters: Filters, loaded: Loaded) -> None:
    """An empty list says where to look instead."""
    if not filters.beyond_status_and_window(entity):
        days = " in these days" if filters.dated and filters.days() != (None, None) else ""
        st.info(f"No {filters.status.label.lower()} {entity.plural}{days}.")
    elif not loaded.everywhere:
        st.info(
            "Nothing matches, under no status and on no date. Check the spelling, or take filters"
            " away under More.",
            icon=":material/search_off:",
        )
    else:
        st.info("Nothing matches here. The same filters find:", icon=":material/search_off:")
        for status, found in loaded.everywhere.items():
            elsewhere = replace(filters, status=status, window=Window.ALL)
            link(entity, elsewhere, f"{found.count:,} in {status.label}, all dates · {found.money}")


# ---------------------------------------------------------------- the list


def _list(entity: Entity, filters: Filters, loaded: Loaded, rows: Sequence[Row]) -> None:
    if not rows:
        _nothing_found(entity, filters, loaded)
        if not selection.current(entity):
            return
    _selectable(entity, filters, loaded, rows)


@st.fragment
def _selectable(entity: Entity, filters: Filters, loaded: Loaded, rows: Sequence[Row]) -> None:
    """Selection, actions and grid. A fragment: a tick answers without loading anything."""
    # A tick runs this alone: it keeps the session alive, and stops one that has ended.
    with viewer.reading(f"select {entity.plural}"):
        pass
    faults.show_kept()
    if lost := selection.lost(entity):
        st.caption(
            f":material/sync_problem: {entity.count(lost)} changed since you ticked"
            f" {'it' if lost == 1 else 'them'}; the tick was taken away. Look again."
        )
    _toolbar(entity, filters, loaded, rows)
    opened = key(entity, "open_record")
    if rows:
        grid.show(entity, filters.status, loaded.frame, rows, opened)
    if opened in st.session_state:
        record_view.open_drawer(entity, st.session_state.pop(opened))


def _toolbar(entity: Entity, filters: Filters, loaded: Loaded, rows: Sequence[Row]) -> None:
    chosen = selection.current(entity)
    in_view = sum(row.record_id in chosen for row in rows)
    words = filters.sentence(entity)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Select all",
            icon=":material/select_all:",
            disabled=not rows or in_view == len(rows),
            on_click=_select_page,
            args=(entity, rows),
        )
        st.button(
            "Clear",
            icon=":material/deselect:",
            disabled=not chosen,
            on_click=selection.replace,
            args=(entity, {}),
        )
        if st.button(actions.RETRY, icon=":material/replay:", type="primary", disabled=not chosen):
            actions.open_dialog(entity, words, in_view, SyncStatus.PENDING)
        if st.button("Update Sync Status", icon=":material/edit:", disabled=not chosen):
            actions.open_dialog(entity, words, in_view)
        st.space("stretch")
        _take_away(entity, filters, loaded)
    # A line of its own: the grid's own tools appear at its right end and must not cover a button.
    with st.container(horizontal=True, vertical_alignment="center"):
        _selected(chosen, in_view)
        if chosen and in_view == len(rows) and loaded.total.count > len(rows):
            st.button(
                f":blue[Select all {loaded.total.count:,} that match]",
                type="tertiary",
                on_click=_select_matching,
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
        st.caption("Opens this very list, also tomorrow. Whoever opens it has to sign in.")
        st.code(f"{_origin()}/{entity.slug}?{address}", language=None, wrap_lines=True)
    if Role.HIDE_EXPORT not in loaded.actor.roles:
        st.link_button(
            "Export to Excel",
            f"/export/{entity.slug}.xlsx?{address}",
            icon=":material/download:",
            help=f"All {entity.count(loaded.total.count)} that match, not only this page",
            disabled=not loaded.total.count,
        )


def _origin() -> str:
    """Scheme and host under which the browser has opened the page."""
    parts = (st.context.url or "").split("/")
    return "/".join(parts[:3])


def _select_page(entity: Entity, rows: Sequence[Row]) -> None:
    selection.add(entity, {row.record_id: row.ticked for row in rows})


def _select_matching(entity: Entity, filters: Filters) -> None:
    with faults.kept():
        with viewer.reading(f"select {entity.plural}") as (connection, _):
            matching = queries.selectable(connection, entity, filters)
        selection.add(entity, matching)
