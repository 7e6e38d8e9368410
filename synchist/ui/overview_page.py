"""The home page: what is failed and pending, each number a link to exactly those records."""

import streamlit as st

from synchist import queries
from synchist.entities import ENTITIES, Entity
from synchist.filters import Filters, Window
from synchist.queries import Total
from synchist.statuses import SyncStatus
from synchist.ui import viewer
from synchist.ui.filter_bar import link


def show() -> None:
    """Draw the overview."""
    with viewer.reading("open Overview") as (connection, actor):
        found = queries.overview(connection)
        empty = queries.is_empty(connection)
    viewer.title_bar(actor, "Overview", "Everything that is open, over all dates")
    if empty:
        st.info(
            "There are no records yet. Let your sync jobs write into this database, or make a demo"
            " in an empty one with: python -m synchist demo",
            icon=":material/database:",
        )
        return
    for column, entity in zip(st.columns(len(ENTITIES)), ENTITIES, strict=True):
        with column.container(border=True, gap="xsmall"):
            st.markdown(f"**{entity.title}**")
            for status in (SyncStatus.FAILED, SyncStatus.PENDING):
                _open(entity, status, found[entity.key].get(status, Total()))


def _open(entity: Entity, status: SyncStatus, total: Total) -> None:
    filters = Filters(status=status, window=Window.ALL)
    link(entity, filters, f"**{total.count:,}** {status.label.lower()}")
    st.caption(total.money or "nothing open")
