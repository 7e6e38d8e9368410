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
