"""Owner and note on the pages: the cells of a grid, the toolbar, a record, the filter."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from synchist.accounts import Actor
from synchist.entities import Entity
from synchist.filters import NOBODY
from synchist.triage import (
    LONGEST_NOTE,
    Edit,
    Event,
    Person,
    Told,
    assign,
    events,
    people,
    told,
)
from synchist.ui import faults, selection, viewer
from synchist.ui.wording import moment, plain

CELLS = frozenset({"owner", "note"})
"""The columns of a grid that can be edited."""


# ---------------------------------------------------------------- in the grid


def save(entity: Entity, editor: str, frame: pd.DataFrame, team: Sequence[Person]) -> None:
    """Store what was edited in a grid, in its callback. Where it can't be, the sentence says why,
    and the list is loaded anew."""
    edits = st.session_state[editor].get("edited_rows", {})
    held = _held(entity, editor)
    wanted = asked(edits, frame, held, team)
    if not wanted:
        return
    with faults.kept():
        done = assign(viewer.principal(), entity, wanted)
        labels = {person.login: person.label for person in team}
        for record, version in done.versions.items():
            edit = wanted[record]
            label = labels[edit.owner] if edit.owner else None
            held[record] = Told(version, label, edit.owner, (edit.note or "").strip())
        done.check()
        return
    _load_anew(entity)


def asked(
    edits: Mapping[Any, Any],
    frame: pd.DataFrame,
    held: Mapping[int, Told],
    team: Collection[Person],
) -> dict[int, Edit]:
    """What a grid's edits by position ask for, beyond what is `held` already: edits pile up as long
    as the grid stands. All else that they claim is ignored: a client can send positions, columns
    and values that the grid never offered."""
    logins: dict[str | None, str | None] = {one.label: one.login for one in team} | {None: None}
    wanted = {}
    for position, edit in edits.items():
        if not isinstance(edit, Mapping) or not edit.keys() & CELLS:
            continue
        if not 0 <= int(position) < len(frame):
            continue
        record = int(frame.index[int(position)])
        row = frame.iloc[int(position)]
        was = held.get(record) or Told(int(row["told"]), row["owner"], None, row["note"])
        owner, note = edit.get("owner", was.owner), edit.get("note", was.note) or ""
        if not isinstance(owner, str | None) or owner not in logins or not isinstance(note, str):
            continue
        if (owner, note.strip()) != (was.owner, was.note):
            wanted[record] = Edit(was.version, logins[owner], note)
    return wanted


def _held(entity: Entity, editor: str) -> dict[int, Told]:
    """What was stored through this very grid since its rows were loaded, by record."""
    key = f"{entity.slug}_held"
    if st.session_state.get(key, ("",))[0] != editor:
        st.session_state[key] = (editor, {})
    held: dict[int, Told] = st.session_state[key][1]
    return held


def _load_anew(entity: Entity) -> None:
    """Let the list show what is stored, and the grid forget its edits; the ticks stay."""
    selection.replace(entity, selection.current(entity))
    st.session_state[f"{entity.slug}_anew"] = True


def must_load(entity: Entity) -> bool:
    """Whether the rows at hand are not what is stored; true once."""
    return bool(st.session_state.pop(f"{entity.slug}_anew", False))


# ---------------------------------------------------------------- for all that are ticked


def toolbar(
    entity: Entity, chosen: Collection[int], frame: pd.DataFrame, team: Sequence[Person], me: Actor
) -> None:
    """Give all ticked records to somebody in one go."""
    with st.popover("Owner", icon=":material/person:", disabled=not chosen):
        names = {me.login: "Me"} | {one.login: one.label for one in team if one.login != me.login}
        left = {one.login for one in team if not one.may_own}
        login = st.selectbox(
            f"Who looks after {entity.count(len(chosen))}",
            [*(login for login in names if login not in left), NOBODY],
            format_func=lambda login: names.get(login, "Nobody"),
            key=f"{entity.slug}_new_owner",
        )
        st.button(
            "Assign",
            type="primary",
            on_click=_assign_all,
            args=(entity, tuple(chosen), frame, None if login == NOBODY else login),
        )


def _assign_all(
    entity: Entity, chosen: Collection[int], frame: pd.DataFrame, owner: str | None
) -> None:
    """What was seen of the rows in view counts; of the others, what is stored now."""
    _load_anew(entity)
    with faults.kept():
        with viewer.reading(f"own {entity.plural}") as (connection, _):
            seen = {record: one.version for record, one in told(connection, entity, chosen).items()}
        seen |= dict(zip(frame.index.tolist(), frame["told"].tolist(), strict=True))
        _, held = st.session_state.get(f"{entity.slug}_held", ("", {}))
        for record, one in held.items():
            seen[record] = max(one.version, seen.get(record, 0))
        edits = {record: Edit(seen.get(record, 0), owner) for record in chosen}
        assign(viewer.principal(), entity, edits).check()


# ---------------------------------------------------------------- of one record


def show(entity: Entity, record_id: int, *, read_only: bool = False) -> None:
    """Owner and note of a record, to be edited by keyboard too, and what was said before."""
    with viewer.reading(f"open {entity.singular} {record_id}") as (connection, _):
        now = told(connection, entity, [record_id]).get(record_id, Told())
        past, team = events(connection, entity, record_id), people(connection)
    if not read_only:
        _form(entity, record_id, now, team)
    lines = "  \n".join(_line(one) for one in past)
    if len(past) > 2:
        st.caption(_line(past[0]))
        with st.expander(f"All {len(past)} changes of owner and note"):
            st.caption(lines)
    elif past:
        st.caption(lines)


def _form(entity: Entity, record_id: int, now: Told, team: Sequence[Person]) -> None:
    # The version in the keys: what others have stored is shown, and not what stood here before.
    key = f"told_{entity.slug}_{record_id}_{now.version}"
    labels = ["", *(one.label for one in team if one.may_own or one.label == now.owner)]
    with (
        st.form(key, border=False),
        st.container(horizontal=True, vertical_alignment="bottom", gap="small"),
    ):
        st.selectbox(
            "Owner",
            labels,
            index=labels.index(now.owner or ""),
            format_func=lambda label: label or "Nobody",
            key=f"{key}_owner",
            width=200,
        )
        st.text_input(
            "Note",
            now.note,
            max_chars=LONGEST_NOTE,
            placeholder="A line for the team",
            key=f"{key}_note",
        )
        if st.form_submit_button(
            "Save", on_click=_save_one, args=(entity, record_id, now, key, team)
        ):
            st.rerun()  # the list behind a drawer shows it as well


def _save_one(entity: Entity, record_id: int, now: Told, key: str, team: Sequence[Person]) -> None:
    """A field that a client leaves out is as it was."""
    with faults.kept():
        owner = st.session_state.get(f"{key}_owner", now.owner)
        note = st.session_state.get(f"{key}_note", now.note)
        logins = {one.label: one.login for one in team}
        edit = Edit(now.version, logins.get(owner), note)
        assign(viewer.principal(), entity, {record_id: edit}).check()


def _line(event: Event) -> str:
    """One change in words."""
    owner = f"owner **{plain(event.owner)}**" if event.owner else "nobody’s"
    note = f" · note “{plain(event.note)}”" if event.note else ""
    return f"{moment(event.at)} · {plain(event.who)} · {owner}{note}"


# ---------------------------------------------------------------- the filter


def choose(
    address: str,
    team: Sequence[Person],
    me: Actor,
    *,
    past: bool,
    changed: Callable[[], None],
) -> list[str]:
    """The filter under More, and the login that it asks for. The login stands in the address, also
    for “Mine”, so that whoever gets the link sees the same list; so the widget, which shows names,
    is not bound to it."""
    key = f"{address}_chosen"
    names = {me.login: "Mine", NOBODY: "Nobody’s"}
    names |= {one.login: one.label for one in team if one.login != me.login}
    given = st.query_params.get(address)
    if given is not None and (past or given not in names):
        given = None
        st.query_params.pop(address, None)
    st.session_state[key] = given

    def apply() -> None:
        changed()
        if login := st.session_state[key]:
            st.query_params[address] = login
        else:
            st.query_params.pop(address, None)

    st.selectbox(
        "Owner",
        list(names),
        index=None,
        format_func=names.__getitem__,
        placeholder="Anyone’s",
        key=key,
        on_change=apply,
        disabled=past,
        help="Who looks after a record now. Of the past nobody knows: there it is off.",
    )
    return [given] if given else []
