"""Charts over periods: units on the axes, values under the pointer, the colours of the theme."""

from collections.abc import Mapping

import altair
import pandas as pd
import streamlit as st

HEIGHT, LEGEND_ROW, ABREAST = 155, 26, 3
"""Pixels of a chart, and of each further row of its legend, with so many names in a row."""

LEGEND = altair.Legend(
    orient="top",
    offset=4,
    padding=0,
    columns=ABREAST,
    labelLimit=165,
    symbolSize=60,
    symbolType="square",
)

MOST_DOTS = 31
"""With so many periods a line shows each of its points."""


def draw(
    frame: pd.DataFrame,
    title: str,
    *,
    unit: str,
    of: str,
    bars: bool = False,
    colors: Mapping[str, str] | None = None,
) -> None:
    """Draw each column of a frame as a series, over its index: texts, in this order.

    The index is named as what a period is, `of` says what the series are, `unit` of what the values
    are. `colors` names theme colours by column. Missing values leave gaps.
    """
    period = str(frame.index.name)
    long = frame.rename_axis("period").reset_index()
    long = long.melt("period", var_name="series", value_name="value")
    is_alone = len(frame.columns) == 1
    chart = altair.Chart(long)
    # A single period would be a line without any length.
    bars = bars or len(frame) == 1
    marked = (
        chart.mark_bar()
        if bars
        else chart.mark_line(point={"size": 22} if len(frame) <= MOST_DOTS else False)
    )
    series = altair.Tooltip("series:N", title=of)
    drawn = marked.encode(
        x=altair.X("period:O", title=None, sort=None).axis(
            labelOverlap="greedy", labelAngle=0, labelLimit=90
        ),
        y=altair.Y("value:Q", title=unit).axis(tickCount=4),
        color=altair.Color(
            "series:N", title=None, sort=None, scale=_scale(list(frame.columns), colors)
        ).legend(None if is_alone else LEGEND),
        tooltip=[
            altair.Tooltip("period:O", title=period),
            *([] if is_alone else [series]),
            altair.Tooltip("value:Q", title=unit, format=",.2~f"),
        ],
    )
    st.markdown(f"**{title}**")
    further = (len(frame.columns) - 1) // ABREAST
    st.altair_chart(drawn, height=HEIGHT + LEGEND_ROW * further, alt=title)


def _scale(columns: list[str], colors: Mapping[str, str] | None) -> altair.Scale:
    """The series in their order; in the colours of the theme that is on."""
    if colors is None:
        return altair.Scale(domain=columns)
    theme = st.context.theme.type or "light"
    named = [st.get_option(f"theme.{theme}.{colors[column]}Color") for column in columns]
    return altair.Scale(domain=columns, range=named)
