"""Trends in a real browser: figures, charts and table of what the address asks for."""

import re
from datetime import timedelta

from playwright.sync_api import expect

from synchist import trends
from synchist.db.engine import reading
from synchist.filters import today
from synchist.trends import Asked, By
from tests.conftest import configured
from tests.ui.desk import Desk

CANADA = "Corvane Canada · Xero"


def test_figures_charts_and_table_are_of_what_is_asked(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    asked = Asked(today() - timedelta(days=89), today(), entity="invoice")
    with configured(served), reading() as connection:
        every = trends.load(connection, asked, By.CONNECTION)
        of_canada = trends.load(connection, Asked(asked.start, asked.end, connection=CANADA))
    desk.open("/trends?trends_range=Past+90+days&trends_entity=Invoices&trends_by=Connection")
    figures = desk.page.get_by_test_id("stMetricValue")
    expect(figures).to_have_count(4)
    whole = every.whole()
    assert figures.all_inner_texts()[:2] == [
        f"{int(whole['attempts']):,}",
        f"{100 * whole['success_rate']:.1f} %",
    ]
    charts = desk.page.get_by_test_id("stVegaLiteChart")
    expect(charts).to_have_count(4)
    expect(charts.first.get_by_text(CANADA).first).to_be_visible()
    # A value under the pointer.
    bars = charts.first.locator("path[aria-roledescription=bar]")
    bars.first.hover()
    tip = desk.page.locator("#vg-tooltip-element")
    expect(tip).to_contain_text("Week")
    expect(tip).to_contain_text("Attempts")
    # It fits a laptop's screen.
    assert desk.page.evaluate(
        "document.querySelector('[data-testid=stMain]').scrollHeight <= window.innerHeight"
    )

    desk.page.get_by_text("Table", exact=True).click()
    desk.settle()
    groups = every.by_group()
    tables = desk.page.get_by_test_id("stDataFrame")
    expect(tables).to_have_count(2)
    for row, group in enumerate(groups.index):
        told = [
            tables.first.get_by_test_id(f"glide-cell-{column}-{row}").text_content()
            for column in (0, 1)
        ]
        assert told == [group, str(groups["attempts"].loc[group])]
    assert "trends_view=Table" in desk.page.url
    assert desk.page.get_by_label(re.compile("Download")).count() == 0

    desk.choose("Connection", CANADA)
    desk.choose("Kind of record", "Bills")
    assert {"trends_connection", "trends_entity"} <= set(re.findall(r"trends_\w+", desk.page.url))
    desk.open(re.sub(r"^https?://[^/]+|trends_entity=\w+&?", "", desk.page.url))
    assert figures.first.inner_text() == f"{int(of_canada.whole()['attempts']):,}"
