"""Where the pages are, for the navigation and for links between them."""

from pathlib import Path

import streamlit as st

from synchist.entities import Entity

SCRIPTS = Path(__file__).resolve().parents[2] / "pages"
ICONS = {
    "invoice": ":material/receipt_long:",
    "invoice_payment": ":material/payments:",
    "bill": ":material/request_quote:",
    "bill_payment": ":material/price_check:",
}


def page_of(entity: Entity) -> st.Page:
    """The page of an entity."""
    return st.Page(SCRIPTS / f"{entity.slug}.py", title=entity.title, icon=ICONS[entity.key])


def audit() -> st.Page:
    """The page of who did what, and when."""
    return st.Page(SCRIPTS / "audit.py", title="Audit", icon=":material/policy:")


def accounts() -> st.Page:
    """The page of who may sign in, and do what."""
    return st.Page(SCRIPTS / "accounts.py", title="Accounts", icon=":material/group:")


def causes() -> st.Page:
    """The page of what has to be fixed."""
    return st.Page(SCRIPTS / "causes.py", title="Causes", icon=":material/rule:")


def trends() -> st.Page:
    """The page of how syncing has gone, day by day."""
    return st.Page(SCRIPTS / "trends.py", title="Trends", icon=":material/trending_up:")


def connections() -> st.Page:
    """The page of the links to the accounting systems."""
    return st.Page(SCRIPTS / "connections.py", title="Connections", icon=":material/link:")


def close() -> st.Page:
    """The page of the month-end close."""
    return st.Page(SCRIPTS / "close.py", title="Close", icon=":material/event_available:")


def operations() -> st.Page:
    """The page of what people have changed."""
    return st.Page(SCRIPTS / "operations.py", title="Operations", icon=":material/receipt:")


def reconcile() -> st.Page:
    """The page where a report of the accounting system is held against the TMS."""
    return st.Page(SCRIPTS / "reconcile.py", title="Reconcile", icon=":material/balance:")
