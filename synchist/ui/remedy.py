"""What an error means, what to do about it, and what has worked before."""

import streamlit as st

from synchist.diagnosis import Diagnosis
from synchist.receipts import Worked
from synchist.ui.wording import counted, numbered, plain


def show(found: Diagnosis, worked: Worked | None) -> None:
    """Explanation, steps, what a retry does, and how often retries have passed."""
    st.markdown(
        f"{plain(found.explanation)}\n\n{numbered(found.steps)}\n\n"
        f":material/replay: {found.retry.sentence}"
    )
    if worked:
        st.caption(f":material/query_stats: {_rates(worked)}")


def _rates(worked: Worked) -> str:
    """What retries of failures of a cause have led to, in words."""
    parts = [
        f"{when} {rate.percent} % of {counted(rate.tried, 'record')} passed"
        for rate, when in ((worked.fixed, "after a fix"), (worked.plain, "after a plain retry"))
        if rate.tried
    ]
    return f"What worked lately: {', '.join(parts)}."
