"""Who may sign in and do what, and the way to change that."""

from collections.abc import Callable
from uuid import uuid4

import pandas as pd
import streamlit as st

from synchist import accounts
from synchist.accounts import SHORTEST_PASSWORD, AccountRow, Actor, Grant
from synchist.roles import Role
from synchist.ui import faults, viewer
from synchist.ui.wording import counted, moment, plain

DONE = "account_done"
"""Session key: what the open dialog was opened for has been carried out."""
ISSUED = "account_password"
"""Session key of a generated password, from the callback that made it to the run that shows it."""
LISTED = 5
"""So many of the roles that people have granted themselves are named; the audit log has all."""


def show() -> None:
    """Draw the page."""
    st.session_state.pop(ISSUED, None)  # nobody waits for it any more
    with viewer.reading("open Accounts", Role.ADMINISTRATOR) as (connection, actor):
        found = accounts.list_accounts(connection)
        own = accounts.own_grants(connection)
    viewer.title_bar(actor, "Accounts", "Who may sign in, and what each of them may do")
    faults.show_kept()
    if own:
        _warn_of_own(own)
    left, right = st.columns([6, 5], gap="medium")
    with left:
        _list(found)
    with right:
        _one(found, actor)


# ---------------------------------------------------------------- the list


def _warn_of_own(own: list[Grant]) -> None:
    """Whoever administers can give themselves everything; so it is seen by all who do."""
    one = len(own) == 1
    lines = [
        f"- {plain(grant.name)} ({plain(grant.login)}): **{grant.role}**, {moment(grant.since)}"
        + (f" until {moment(grant.until)}" if grant.until else "")
        for grant in own[:LISTED]
    ]
    more = f"\n- and {len(own) - LISTED:,} earlier ones" if len(own) > LISTED else ""
    st.warning(
        f"**{counted(len(own), 'role')} {'was' if one else 'were'} granted by"
        f" {'its' if one else 'their'} own holder.**\n" + "\n".join(lines) + more,
        icon=":material/shield_person:",
    )


def _list(found: list[AccountRow]) -> None:
    st.table(
        pd.DataFrame(
            {
                "Name": [_named(row) for row in found],
                "Login": [plain(row.login) for row in found],
                "Roles": [", ".join(_marked(grant) for grant in row.grants) for row in found],
                "Last sign-in": [moment(row.last_sign_in) or "never" for row in found],
            }
        ),
        hide_index=True,
        border="horizontal",
        alt="Accounts",
    )


def _named(row: AccountRow) -> str:
    return plain(row.name) + (" :gray-badge[Disabled]" if row.disabled_at else "")


def _marked(grant: Grant) -> str:
    return f"{grant.role} :orange-badge[own grant]" if grant.own else grant.role


# ---------------------------------------------------------------- one account


def _one(found: list[AccountRow], actor: Actor) -> None:
    """The account that is chosen, and what can be done with it."""
    rows = {f"{row.name} ({row.login})": row for row in found}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Account to change",
            list(rows),
            index=None,
            placeholder="Choose an account",
            key="accounts_account",
            bind="query-params",
        )
        if st.button("Add an account", icon=":material/person_add:"):
            _open("Add an account", _add)
    row = rows.get(chosen or "")
    if row is None:
        return
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            with st.container(gap=None):
                st.markdown(f"**{_named(row)}**")
                st.caption(
                    f"Added {moment(row.created_at)}"
                    + ("" if row.has_password else "; no password")
                )
            if st.button("Set password", icon=":material/key:"):
                _open("Set password", _set_password, row, row.login == actor.login)
            _ability(row)
        held = {grant.role: grant for grant in row.grants}
        for role in Role:
            _role(row, role, held.get(role))


def _role(row: AccountRow, role: Role, grant: Grant | None) -> None:
    """A role: what it means, since when and by whom it is held, and the way to change that."""
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(gap=None):
            st.markdown(_marked(grant) if grant else str(role))
            by = f" Since {moment(grant.since)}, by {plain(grant.by)}." if grant else ""
            st.caption(f"{role.meaning}{by}")
        st.button(
            f"Revoke {role}" if grant else f"Grant {role}",
            key=f"accounts_{row.login}_{role}",
            on_click=_revoke if grant else _grant,
            args=(row.login, role),
            width=220,
        )


def _ability(row: AccountRow) -> None:
    """Whether the account may sign in at all."""
    if row.disabled_at:
        st.button("Enable", icon=":material/person_check:", on_click=_enable, args=(row.login,))
        return
    with st.popover("Disable …", icon=":material/person_off:"):
        st.caption(
            "Ends all sessions of the account at once, and nobody can sign in with it. What it"
            " did stays, and so do its roles. It can be enabled again."
        )
        st.button("Disable", on_click=_disable, args=(row.login,))


def _grant(login: str, role: Role) -> None:
    with faults.kept():
        accounts.grant(viewer.principal(), login, role)


def _revoke(login: str, role: Role) -> None:
    with faults.kept():
        accounts.revoke(viewer.principal(), login, role)


def _disable(login: str) -> None:
    with faults.kept():
        accounts.disable(viewer.principal(), login)


def _enable(login: str) -> None:
    with faults.kept():
        accounts.enable(viewer.principal(), login)


# ---------------------------------------------------------------- with a password


def _add(identity: str) -> None:
    if _done(identity, "The account is there."):
        return
    faults.show_kept()
    st.text_input("Name", key=f"name_{identity}", help="As the history will show it.")
    st.text_input("Login", key=f"login_{identity}", placeholder="dana@example.com")
    st.multiselect("Roles", [str(role) for role in Role], key=f"roles_{identity}")
    _ask_password(identity)
    st.button("Add account", type="primary", on_click=_add_account, args=(identity,))


def _add_account(identity: str) -> None:
    with faults.kept():
        given = st.session_state
        login = given.get(f"login_{identity}") or ""
        password, is_generated = _password(identity)
        accounts.add_account(
            viewer.principal(), login, given.get(f"name_{identity}") or "", password
        )
        _finish(identity, password if is_generated else None)
        for role in given.get(f"roles_{identity}") or ():
            accounts.grant(viewer.principal(), login, Role(role))


def _set_password(identity: str, row: AccountRow, own: bool) -> None:
    if _done(identity, f"{plain(row.login)} has a new password."):
        return
    faults.show_kept()
    st.markdown(f"**{plain(row.name)}** ({plain(row.login)})")
    st.caption(
        "Your own sessions end: sign in again with the new password."
        if own
        else "All sessions of the account end."
    )
    _ask_password(identity, own)
    st.button(
        "Set password", type="primary", on_click=_give_password, args=(identity, row.login, own)
    )


def _give_password(identity: str, login: str, own: bool) -> None:
    with faults.kept():
        password, is_generated = _password(identity, own)
        accounts.set_password(viewer.principal(), login, password)
        _finish(identity, password if is_generated else None)


def _open(title: str, content: Callable[..., None], *args: object) -> None:
    # Closing it by its cross changes nothing, but the page behind it may be out of date.
    st.dialog(title, on_dismiss="rerun")(content)(str(uuid4()), *args)


def _ask_password(identity: str, own: bool = False) -> None:
    """Generate one or type it. One's own is typed: with it all sessions end, so that a generated
    one could not be shown any more."""
    if own or not st.checkbox(
        "Generate a password, shown once", value=True, key=f"generate_{identity}"
    ):
        st.text_input(
            "Password",
            type="password",
            key=f"password_{identity}",
            autocomplete="new-password",
            help=f"At least {SHORTEST_PASSWORD} characters.",
        )


def _password(identity: str, own: bool = False) -> tuple[str, bool]:
    """What was typed, which the session then forgets, or a generated one; and which of them."""
    typed = st.session_state.pop(f"password_{identity}", None) or ""
    if not own and st.session_state.get(f"generate_{identity}"):
        return accounts.generated_password(), True
    return typed, False


def _finish(identity: str, issued: str | None) -> None:
    st.session_state[DONE] = identity
    if issued:
        st.session_state[ISSUED] = issued


def _done(identity: str, words: str) -> bool:
    """Whether the dialog's work is done: then a generated password is shown, once."""
    if st.session_state.get(DONE) != identity:
        return False
    issued = st.session_state.pop(ISSUED, None)
    if issued is None:
        st.rerun()
    st.markdown(f"{words} Its password, shown only now:")
    st.code(issued, language=None)
    st.caption(
        "Hand it over in a safe way. Nobody can look it up again; set another one if it gets lost."
    )
    st.button("Close")  # any click draws the dialog anew, which then closes
    return True
