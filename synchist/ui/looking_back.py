"""The field As of: the past moment that a page shows, which stands in its address."""

from collections.abc import Callable
from datetime import datetime, time, timedelta

import streamlit as st

from synchist.filters import EARLIEST_PAST, moment_address, parse_moment, past_moment, today
from synchist.settings import settings


def settle(address: str) -> tuple[datetime | None, list[str]]:
    """The moment that an address parameter asks for, in UTC (None: now), and what was wrong with
    it. Afterwards the address says it as it was understood."""
    given, corrections = st.query_params.get_all(address), list[str]()
    moment = past_moment(given[0], corrections) if given else None
    if moment is None:
        st.query_params.pop(address, None)
    elif given != [moment_address(moment)]:
        st.query_params[address] = moment_address(moment)
    return moment, corrections


def field(address: str, changed: Callable[[], None] | None = None) -> None:
    """The field, in business time. The moment stands in the address with its zone, since local
    times occur twice in autumn; so the widget is not bound to it. `changed` is called before the
    page is drawn anew."""
    chosen = f"{address}_chosen"
    moment = parse_moment(st.query_params.get(address, ""))
    shown = moment and moment.astimezone(settings().zone).replace(tzinfo=None, second=0)
    st.session_state[chosen] = shown and shown.replace(microsecond=0)

    def look_back() -> None:
        if changed:
            changed()
        if picked := st.session_state[chosen]:
            local = picked.replace(tzinfo=settings().zone)
            st.query_params[address] = moment_address(local)
        else:
            back_to_now(address)

    st.datetime_input(
        "As of",
        value=None,
        min_value=datetime.combine(EARLIEST_PAST, time()),
        max_value=datetime.combine(today() + timedelta(days=1), time()),
        step=60,
        format="YYYY-MM-DD",
        key=chosen,
        on_change=look_back,
        help="Shows everything as it stood at that moment, rebuilt from the history. Empty means"
        f" now. Times are in the business time zone, {settings().time_zone}.",
    )


def back_to_now(address: str) -> None:
    """Let the address ask for no moment."""
    st.query_params.pop(address, None)
