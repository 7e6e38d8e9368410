"""What has to be fixed: failures grouped by problem, each a link to its records."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st

from synchist import causes, problems, queries
from synchist.causes import Group, State, Trend
from synchist.currencies import to_decimal
from synchist.db.engine import DatabaseUnavailable
from synchist.diagnosis import ANY, Cause, explained
from synchist.entities import BY_KEY
from synchist.filters import Filters, Window
from synchist.queries import added
from synchist.settings import settings
from synchist.statuses import SyncStatus
from synchist.ui import actions, faults, places, receipt_view, remedy, viewer
from synchist.ui.filter_bar import link
from synchist.ui.remedy import Known
from synchist.ui.wording import LEVELS, age, counted, plain

PAGE = 25
ALL = "All"
COLORS = {State.NEW: "blue", State.ONGOING: "orange", State.QUIET: "gray", State.BACK: "red"}
MEANINGS = {
    State.NEW: f"Failed first within the past {causes.NEW_DAYS} days",
    State.ONGOING: f"Failed again within the past {causes.QUIET_DAYS} days",
    State.QUIET: f"No new failure for {causes.QUIET_DAYS} days, yet records are still open",
    State.BACK: f"Failed again after at least {causes.QUIET_DAYS} quiet days",
}
CHARTED = 6


def _money(group: Group) -> float:
    """The sum in whole units, currencies as they stand."""
    amounts = group.total.by_currency.items()
    return float(sum(to_decimal(amount, currency) for currency, amount in amounts))


SORTS: Mapping[str, Callable[[Group], Any]] = {
    "Money, highest first": lambda group: -_money(group),
    "Most records first": lambda group: -group.total.count,
    "Oldest record first": lambda group: group.oldest,
    "Newest problem first": lambda group: -group.first.timestamp(),
}


def show() -> None:
    """Draw the page."""
    with viewer.reading("open Causes") as (_, actor):
        pass
    with suppress(DatabaseUnavailable):  # the newest failures can wait
        problems.catch_up()
    faults.show_kept()
    with viewer.reading("list the causes") as (connection, actor):
        found = causes.load_open(connection)
        trend = causes.load_trend(connection)
        known = remedy.load_known(connection, actor)
    viewer.title_bar(actor, "Causes", _explained(found.groups))
    receipt_view.show_latest(actor)
    if waiting := found.undiagnosed.count:
        st.caption(
            f":material/hourglass_top: {counted(waiting, 'more failed record')} to be diagnosed,"
            " within minutes."
        )
    elif not found.groups:
        st.info("Nothing is failed. New failures appear here by what has to be fixed.")
    if not found.groups:
        return
    chosen = _chosen(found.groups, known)
    _trend(trend)
    _list(chosen, trend, known)


def _explained(groups: Sequence[Group]) -> str:
    total = added(group.total for group in groups)
    verb = "explains" if len(groups) == 1 else "explain"
    return (
        f"{counted(len(groups), 'problem')} {verb} {counted(total.count, 'failed record')}"
        f" · {total.money} · over all dates"
        if groups
        else ""
    )


# ---------------------------------------------------------------- which


def _first_page() -> None:
    st.session_state["causes_page"] = 1


def _chosen(groups: Sequence[Group], known: Known) -> list[Group]:
    """The groups that the bar asks for, in its order."""
    bound: dict[str, Any] = {"bind": "query-params", "on_change": _first_page}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        state = st.segmented_control(
            "Development",
            [ALL, *State],
            default=ALL,
            required=True,
            key="causes_state",
            help="  \n".join(f"{one}: {meaning}." for one, meaning in MEANINGS.items()),
            **bound,
        )
        words = st.text_input(
            "Search",
            key="causes_search",
            placeholder="Customer, vendor, account, cause …",
            type="search",
            icon=":material/search:",
            **bound,
        )
        connection = st.selectbox(
            "Connection",
            sorted({group.connection for group in groups if group.connection}, key=str.casefold),
            index=None,
            placeholder="All connections",
            key="causes_connection",
            width=260,
            **bound,
        )
        sort = st.selectbox(
            "Sort by",
            list(SORTS),
            key="causes_sort",
            help="Amounts of different currencies are compared as they stand, without any exchange"
            " rate.",
            width=210,
            **bound,
        )
    chosen = [
        group
        for group in groups
        if state in (None, ALL, group.state)
        and connection in (None, group.connection)
        and words.casefold().strip() in _searched(group, known)
    ]
    return sorted(chosen, key=lambda group: (SORTS[sort](group), group.name))


def _searched(group: Group, known: Known) -> str:
    told = (hint.text for hint in known.hints.told(group.cause, group.named))
    return " ".join([group.name, group.cause.label, *told]).casefold()


def _list(chosen: Sequence[Group], trend: Trend, known: Known) -> None:
    """One page of the chosen groups, and the way to the others below them."""
    total = added(group.total for group in chosen)
    money = f" · {total.money}" if total.count else ""
    st.markdown(f"**{counted(len(chosen), 'problem')}** · {counted(total.count, 'record')}{money}")
    cards, number, pages = st.container(), 1, -(-len(chosen) // PAGE)
    if pages > 1:
        if st.session_state.get("causes_page", 1) > pages:
            _first_page()
        number = st.pagination(pages, key="causes_page", bind="query-params")
    with cards:
        for group in chosen[(number - 1) * PAGE : number * PAGE]:
            failures = trend.by_problem.get(group.problem_id, ())
            _card(group, failures, known)


# ---------------------------------------------------------------- one problem


def _card(group: Group, failures: Sequence[int], known: Known) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(
                f"**{plain(group.title)}** :{COLORS[group.state]}-badge[{group.state}]",
                width="content",
            )
            st.caption(plain(group.connection), width="content")
            if known.hints.told(group.cause, group.named):
                st.badge("Hint of your team", icon=":material/groups:", color="violet")
            if group.cause is Cause.AUTHORIZATION:
                st.page_link(places.connections(), label="See Connections")
            st.space("stretch")
            st.caption(_spark(failures), width="content")
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            for key, total in group.totals.items():
                filters = Filters(SyncStatus.FAILED, Window.ALL, problem=group.name)
                link(BY_KEY[key], filters, BY_KEY[key].count(total.count), select=True)
            st.markdown(f"**{group.total.money}**", width="content")
            st.caption(
                f"first seen {age(group.first)} ago · last {age(group.last)} ago"
                f" · oldest record {age(group.oldest)}",
                width="content",
            )
            st.space("stretch")
            with st.popover("What to do", icon=":material/lightbulb:", type="tertiary"):
                _steps(group, known)
            _send_back(group)


def _send_back(group: Group) -> None:
    """Act on the whole problem at once, through the same dialog as everywhere."""
    if group.total.count > settings().max_records_per_operation:
        st.caption("Too many for one change: open a list and narrow it.", width="content")
    elif st.button(
        f"Fixed it: send {'it' if group.total.count == 1 else f'all {group.total.count:,}'} back",
        icon=":material/replay:",
        key=f"send_back_{group.problem_id}",
    ):
        filters = Filters(SyncStatus.FAILED, Window.ALL, problem=group.name)
        with viewer.reading("select the records of a cause") as (connection, _):
            chosen = {
                key: queries.selectable(connection, BY_KEY[key], filters) for key in group.totals
            }
        words = f"Causes · {group.name}"
        actions.open_dialog(chosen, words, to=SyncStatus.PENDING, fixed=True)


def _steps(group: Group, known: Known) -> None:
    entity = next(iter(group.totals)) if len(group.totals) == 1 else ANY
    found = explained(group.cause, group.named, group.system, entity)
    remedy.show(found, known, str(group.problem_id))


def _spark(failures: Sequence[int]) -> str:
    """Failures a day as small bars, and their number in words."""
    count = sum(failures)
    if not count:
        return f"no failure in {causes.TREND_DAYS} days"
    highest = max(failures)
    bars = "".join(LEVELS[max(0, number * 8 - 1) // highest] for number in failures)
    return f"{bars} {counted(count, 'failure')} in {causes.TREND_DAYS} days"


def _trend(trend: Trend) -> None:
    with st.expander(f"Failures a day by cause, past {causes.TREND_DAYS} days"):
        frame = pd.DataFrame(
            {cause.label: list(numbers) for cause, numbers in trend.by_cause.items()},
            index=pd.Index([f"{day.day} {day:%b}" for day in trend.days], name="Day"),
        )
        if frame.empty:
            st.caption("No failure in these days.")
            return
        frame = frame[frame.sum().sort_values(ascending=False).index]
        st.bar_chart(
            _most(frame), sort=False, y_label="Failures", alt="Failures a day by cause, as bars"
        )
        st.dataframe(frame.T, alt="Failures a day by cause, as numbers")


def _most(frame: pd.DataFrame) -> pd.DataFrame:
    """The most frequent causes, and the others as one: more colours could not be told apart."""
    most, others = frame.iloc[:, :CHARTED], frame.iloc[:, CHARTED:]
    return most if others.empty else most.assign(**{"Other causes": others.sum(axis=1)})
