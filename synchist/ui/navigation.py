"""The script that every browser tab runs: who is there, which pages, then the chosen page."""

from pathlib import Path

import streamlit as st

from synchist.accounts import NotAllowed, NotSignedIn
from synchist.entities import ENTITIES
from synchist.ui import faults, places, viewer
from synchist.ui.places import SCRIPTS, page_of

# Ours, since Streamlit would have browsers fetch a Material icon from another site.
ICON = Path(__file__).with_name("icon.png")

PRINT = """<style>
@media print {
  :root { color-scheme: light !important; }
  .stApp { background: #fff !important; }
  .stApp * { background: transparent !important; color: #111 !important; }
  .stAppHeader, .stButton, .stLinkButton, .stPopover { display: none !important; }
}
</style>"""
"""On paper it is dark on light, whatever it is on the screen, and nothing can be pressed."""


def main() -> None:
    """Run the page that the address names."""
    st.set_page_config(page_title="Synchist", page_icon=ICON, layout="wide")
    st.html(PRINT)
    try:
        with viewer.reading("open a page"):
            pass
    except (NotSignedIn, NotAllowed) as error:
        faults.show(error)
        st.stop()
    st.navigation(
        [
            st.Page(
                SCRIPTS / "overview.py", title="Overview", icon=":material/home:", default=True
            ),
            *(page_of(entity) for entity in ENTITIES),
            places.causes(),
            places.trends(),
            places.reconcile(),
            places.close(),
            places.connections(),
            places.operations(),
            st.Page(SCRIPTS / "record.py", title="Record", visibility="hidden"),
        ],
        position="top",
    ).run()


main()
