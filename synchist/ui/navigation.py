"""The script that every browser tab runs: who is there, which pages, then the chosen page."""

from pathlib import Path

import streamlit as st

from synchist.accounts import NotAllowed, NotSignedIn
from synchist.entities import ENTITIES
from synchist.roles import Role
from synchist.ui import faults, places, viewer
from synchist.ui.places import SCRIPTS, page_of

# Ours, since Streamlit would have browsers fetch a Material icon from another site.
ICON = Path(__file__).with_name("icon.png")

HOME = "overview"
"""The page at the root, for those who may see it."""

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
        held = viewer.roles()
    except (NotSignedIn, NotAllowed) as error:
        faults.show(error)
        st.stop()
    menu = _menu(held)
    # The others have their address all the same, and refuse on their own: were they left out, it
    # would show another page.
    shown = {page.url_path or HOME for page in menu}
    others = [
        st.Page(script, default=script.stem == HOME, visibility="hidden")
        for script in sorted(SCRIPTS.glob("*.py"))
        if script.stem not in shown
    ]
    st.navigation([*menu, *others], position="top").run()


def _menu(held: frozenset[Role]) -> list[st.Page]:
    """The pages that roles open, but for that of one record."""
    menu = []
    if Role.ACCOUNTING_SYNC in held:
        menu += [
            st.Page(SCRIPTS / f"{HOME}.py", title="Overview", icon=":material/home:", default=True),
            *(page_of(entity) for entity in ENTITIES),
            places.causes(),
            places.trends(),
            places.reconcile(),
            places.close(),
            places.connections(),
            places.operations(),
        ]
    if Role.AUDIT in held:
        menu.append(places.audit())
    if Role.ADMINISTRATOR in held:
        menu.append(places.accounts())
    return menu


main()
