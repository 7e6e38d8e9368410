"""How syncing has gone: the figures of a range beside those of the range before, as charts or as a
table."""

from datetime import date, timedelta
from typing import Any

import pandas as pd
import streamlit as st
from sqlalchemy import Connection

from synchist import queries, trends
from synchist.entities import ENTITIES, INVOICES
from synchist.filters import EARLIEST, readable, today
from synchist.settings import settings
from synchist.trends import Asked, By, Step, Trends
from synchist.ui import charts, viewer
from synchist.ui.wording import counted, plain

CUSTOM, USUAL = "Custom", "Past 30 days"
RANGES = ["Today", "Past 7 days", USUAL, "Past 90 days", "This month", "Last month", CUSTOM]
CHARTS, TABLE = "Charts", "Table"
CHARTED = 8
"""So many groups can be told apart by colour."""

STEPS = {Step.DAY: "Day", Step.WEEK: "Week from", Step.MONTH: "Month"}

LONG_HOURS = 48
"""Durations that go beyond so many hours are shown in days."""


def show() -> None:
    """Draw the page."""
    with viewer.reading("open Trends") as (connection, actor):
        choices = queries.choices(connection, INVOICES)
    title = st.container()
    asked, by = _bar(choices)
    with title:
        viewer.title_bar(actor, "Trends", _of_what(asked))
    with (
        st.spinner("Going through the history …", show_time=True),
        viewer.reading("look at trends") as (connection, _),
    ):
        now, before = trends.load(connection, asked, by), _whole(connection, asked.before)
    _figures(now.whole(), before, asked)
    view = _view(now.whole())
    if view == TABLE:
        _tables(now, by)
    else:
        _charts(now, by)


def _of_what(asked: trends.Asked) -> str:
    """The days of the figures, and those they are compared with."""
    return (
        f"{trends.in_words(asked)}, compared with {trends.in_words(asked.before)} ·"
        f" {settings().time_zone}"
    )


def _view(whole: pd.Series) -> str:
    """Charts or table, beside what stands apart from the figures."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        view = st.segmented_control(
            "View",
            [CHARTS, TABLE],
            default=CHARTS,
            required=True,
            key="trends_view",
            label_visibility="collapsed",
            bind="query-params",
        )
        st.caption(
            "Counted apart, since a person closed them:"
            f" {counted(int(whole['will_not_sync']), 'record')} as “Will not be synced”,"
            f" {int(whole['closed_otherwise']):,} for another reason",
            width="content",
        )
        st.space("stretch")
        with st.popover("What the figures mean", icon=":material/help:", type="tertiary"):
            for name, meaning in trends.MEANINGS.items():
                st.markdown(f"**{name}**: {meaning}")
    return view or CHARTS


def _whole(connection: Connection, asked: Asked) -> pd.Series:
    return trends.load(connection, asked).whole()


# ---------------------------------------------------------------- what is asked


def _bar(choices: dict[str, list[str]]) -> tuple[Asked, By]:
    bound: dict[str, Any] = {"bind": "query-params"}
    titles = {entity.title: entity.key for entity in ENTITIES}
    wrong = _wrong({**choices, "range": RANGES, "entity": list(titles), "by": list(By)})
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.selectbox(
            "Date Range",
            RANGES,
            index=RANGES.index(USUAL),
            key="trends_range",
            help="Both ends are included. Days begin at midnight in the business time zone,"
            f" {settings().time_zone}.",
            width=150,
            **bound,
        )
        start, end = _dates(bound) if chosen == CUSTOM else _days(chosen)
        title = st.selectbox(
            "Kind of record",
            list(titles),
            index=None,
            placeholder="All kinds",
            key="trends_entity",
            width=170,
            **bound,
        )
        link = st.selectbox(
            "Connection",
            choices["connection"],
            index=None,
            placeholder="All connections",
            key="trends_connection",
            **bound,
        )
        billing = st.selectbox(
            "Billing organization",
            choices["billing"],
            index=None,
            placeholder="All billing organizations",
            key="trends_billing",
            **bound,
        )
        by = st.selectbox(
            "Compare by", [one.value for one in By], key="trends_by", width=180, **bound
        )
    for sentence in wrong:
        st.caption(f":material/info: {plain(sentence)}")
    entity = titles.get(title) if title else None
    return Asked(start, end, entity, link, billing), By(by or By.NOTHING)


def _wrong(known: dict[str, list[str]]) -> list[str]:
    """On the first run of the page, what its address names and is not there: Streamlit drops an
    unknown value in silence."""
    if "trends_address" in st.session_state:
        return []
    st.session_state["trends_address"] = True
    words = {
        "range": "date range",
        "entity": "kind of record",
        "connection": "connection",
        "billing": "billing organization",
        "by": "way to compare",
    }
    given = {name: st.query_params.get(f"trends_{name}") for name in words}
    return [
        f"There is no {words[name]} “{value[:40]}”; it is left out."
        for name, value in given.items()
        if value and value not in known[name]
    ]


def _days(chosen: str) -> tuple[date, date]:
    """The first and last day of a preset."""
    now = today()
    if chosen == "This month":
        return now.replace(day=1), now
    if chosen == "Last month":
        last = now.replace(day=1) - timedelta(days=1)
        return last.replace(day=1), last
    back = {"Today": 1, "Past 7 days": 7, "Past 90 days": 90}.get(chosen, 30)
    return now - timedelta(days=back - 1), now


def _dates(bound: dict[str, Any]) -> tuple[date, date]:
    """The custom range; while only its first day is picked, the one before it stays."""
    usual = _days(USUAL)
    picked = st.date_input(
        "Dates",
        value=usual,
        min_value=EARLIEST,
        max_value=today(),
        key="trends_dates",
        width=230,
        **bound,
    )
    if isinstance(picked, tuple) and len(picked) == 2:
        st.session_state["trends_dates_applied"] = picked
    start, end = sorted(st.session_state.get("trends_dates_applied", usual))
    # A widget's limits can be forged.
    return max(start, EARLIEST), max(min(end, today()), EARLIEST)


# ---------------------------------------------------------------- figures


def _figures(now: pd.Series, before: pd.Series, asked: Asked) -> None:
    """The range as a whole, each figure against the range before."""
    attempts, rate, time, first = st.columns(4)
    than = f"Against the {counted(asked.days, 'day')} before: {trends.in_words(asked.before)}."
    attempts.metric(
        "Attempts",
        f"{int(now['attempts']):,}",
        _more(now["attempts"] - before["attempts"]),
        delta_color="off",
        help=f"{than} {int(now['successes']):,} succeeded, {int(now['failures']):,} failed,"
        f" {int(now['without_result']):,} had no result.",
        border=True,
    )
    _share(rate, "Success rate", "success_rate", now, before, than)
    longer = now["median_hours"] - before["median_hours"]
    time.metric(
        "Median time to Complete",
        _duration(now["median_hours"]),
        None if pd.isna(longer) else f"{'-' if longer < 0 else ''}{_duration(abs(longer))}",
        delta_color="inverse",
        help=f"{than} {counted(int(now['completed']), 'record')} became Complete; nine of ten took"
        f" at most {_duration(now['late_hours'])}.",
        border=True,
    )
    _share(first, "First attempt succeeded", "first_success_rate", now, before, than)


def _share(
    column: Any, label: str, name: str, now: pd.Series, before: pd.Series, than: str
) -> None:
    better = now[name] - before[name]
    delta = None if pd.isna(better) else f"{100 * better:+.1f} points"
    column.metric(label, _percent(now[name]), delta, help=than, border=True)


def _more(difference: float) -> str:
    return f"{int(difference):+,}"


def _percent(share: float) -> str:
    return "–" if pd.isna(share) else f"{100 * share:.1f} %"


def _duration(hours: float) -> str:
    """Hours in the unit that people would choose: 12 min, 3.4 h, 5.1 days."""
    if pd.isna(hours):
        return "–"
    if hours < 1:
        return f"{60 * hours:.0f} min"
    return f"{hours:.1f} h" if hours < LONG_HOURS else f"{hours / 24:.1f} days"


# ---------------------------------------------------------------- charts


def _charts(now: Trends, by: By) -> None:
    if not now.whole()["attempts"]:
        st.info("No attempt in this range. Choose other dates, or fewer filters.")
        return
    shown = _shown(now, by)
    per = f"per {now.asked.step}"
    left, right = st.columns(2)
    with left:
        _attempts(by, shown, per)
        _times(by, shown, per)
    with right:
        _rates("success_rate", "Success rate", by, shown, per)
        _rates("first_success_rate", "First attempt succeeded", by, shown, per)


def _shown(now: Trends, by: By) -> dict[str, pd.DataFrame]:
    """The frames to draw by the words for them: everything, or the groups with most attempts."""
    if by is By.NOTHING:
        return {trends.ALL: _named(now, None)}
    busiest = now.by_group()["attempts"].sort_values(ascending=False, kind="stable").index
    if len(busiest) > CHARTED:
        st.caption(
            f"The charts show the {CHARTED} of {len(busiest)} with most attempts; the table shows"
            " all of them."
        )
    return {group: _named(now, group) for group in busiest[:CHARTED]}


def _named(now: Trends, group: str | None) -> pd.DataFrame:
    """The periods of a group by their names."""
    frame, step = now.by_period(group), now.asked.step
    if step is Step.MONTH:
        names = [f"{day:%b %Y}" for day in frame.index]
    else:
        short = frame.index[0].year == frame.index[-1].year
        names = [f"{day.day} {day:%b}" if short else readable(day) for day in frame.index]
    return frame.set_axis(pd.Index(names, name=STEPS[step]), axis="index")


def _attempts(by: By, shown: dict[str, pd.DataFrame], per: str) -> None:
    colors = {"Succeeded": "green", "Failed": "red", "No result": "border"}
    if by is By.NOTHING:
        counts = shown[trends.ALL][["successes", "failures", "without_result"]]
        frame = counts.set_axis(list(colors), axis="columns")
        charts.draw(
            frame, f"Attempts {per}", unit="Attempts", of="Outcome", bars=True, colors=colors
        )
    else:
        frame = _side_by_side(shown, "attempts")
        charts.draw(frame, f"Attempts {per}", unit="Attempts", of=by.value, bars=True)


def _rates(name: str, words: str, by: By, shown: dict[str, pd.DataFrame], per: str) -> None:
    frame = (100 * _side_by_side(shown, name)).round(1)
    charts.draw(frame, f"{words} {per}", unit="%", of=by.value)


def _times(by: By, shown: dict[str, pd.DataFrame], per: str) -> None:
    if by is By.NOTHING:
        hours = shown[trends.ALL][["median_hours", "late_hours"]]
        frame = hours.set_axis(["Half took at most", "90 % took at most"], axis="columns")
        words, of = "Time to Complete", "Records"
    else:
        frame = _side_by_side(shown, "median_hours")
        words, of = "Median time to Complete", by.value
    in_days = frame.max().max() > LONG_HOURS
    frame = (frame / 24 if in_days else frame).round(2)
    charts.draw(frame, f"{words} {per}", unit="Days" if in_days else "Hours", of=of)


def _side_by_side(shown: dict[str, pd.DataFrame], name: str) -> pd.DataFrame:
    return pd.DataFrame({group: frame[name] for group, frame in shown.items()})


# ---------------------------------------------------------------- tables


def _tables(now: Trends, by: By) -> None:
    """The numbers behind the charts."""
    if by is By.NOTHING:
        _table(now.by_period(), STEPS[now.asked.step], "Measures of each period")
        return
    _table(now.by_group(), by.value, f"Measures by {by.value.lower()}")
    groups = now.groups
    if groups:
        group = st.selectbox("Periods of", groups, key="trends_group", bind="query-params")
        _table(now.by_period(group), STEPS[now.asked.step], f"Periods of {group}")


COLUMNS = {
    "attempts": ("Attempts", "localized"),
    "successes": ("Succeeded", "localized"),
    "failures": ("Failed", "localized"),
    "without_result": ("No result", "localized"),
    "success_rate": ("Success rate", "percent"),
    "first_attempts": ("First attempts", "localized"),
    "first_successes": ("First succeeded", "localized"),
    "first_success_rate": ("First-attempt rate", "percent"),
    "completed": ("Became Complete", "localized"),
    "median_hours": ("Median time", "%.2f h"),
    "late_hours": ("90 % took at most", "%.2f h"),
    "will_not_sync": ("Will not be synced", "localized"),
    "closed_otherwise": ("Closed otherwise", "localized"),
}
"""What the table shows of each measure, in this order: its title and its format."""


def _table(frame: pd.DataFrame, first: str, alt: str) -> None:
    config: dict[str, Any] = {
        name: st.column_config.NumberColumn(title, format=form)
        for name, (title, form) in COLUMNS.items()
    }
    config["_index"] = (
        st.column_config.DateColumn(first, format="ddd D MMM YYYY")
        if isinstance(frame.index, pd.DatetimeIndex)
        else st.column_config.TextColumn(first)
    )
    st.dataframe(frame, alt=alt, column_config=config, column_order=list(COLUMNS))
