"""Who looks at the page, as the gate has found out."""

from contextlib import AbstractContextManager

import streamlit as st
from sqlalchemy import Connection

from synchist.accounts import Actor, NotAllowed, Principal, viewing
from synchist.roles import FIRST_PAGES, Role
from synchist.ui.wording import plain


def principal() -> Principal:
    """The session behind this browser tab. It may have ended since the tab was opened: every
    operation looks it up again."""
    session, login = st.user.get("session"), st.user.get("login")
    return Principal(str(session) if session else None, str(login or ""))


def reading(
    doing: str, role: Role = Role.ACCOUNTING_SYNC
) -> AbstractContextManager[tuple[Connection, Actor]]:
    """A transaction for what the page shows.

    Raises NotSignedIn or NotAllowed where the session has ended or the role is gone.
    """
    return viewing(principal(), role, doing)


def roles() -> frozenset[Role]:
    """What whoever is there holds, of which at least one role opens pages.

    Raises NotSignedIn, and NotAllowed where no page is open to them.
    """
    with viewing(principal(), None, "open a page") as (_, actor):
        if actor.roles.isdisjoint(FIRST_PAGES):
            raise NotAllowed.lacking(Role.ACCOUNTING_SYNC)
    return actor.roles


def title_bar(actor: Actor, title: str, caption: str = "") -> None:
    """The first line of a page that has no filters: its title, what it shows, who is there."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title, anchor=False, width="content")
        if caption:
            st.caption(caption, width="content")
        st.space("stretch")
        account_menu(actor)


def account_menu(actor: Actor) -> None:
    """Who is signed in, and the way out."""
    with st.popover("Account", icon=":material/account_circle:", type="tertiary"):
        st.markdown(f"**{plain(actor.name)}**")
        st.caption(", ".join(sorted(actor.roles)))
        st.html('<a href="/sign-out" target="_self" style="color: inherit">Sign out</a>')
