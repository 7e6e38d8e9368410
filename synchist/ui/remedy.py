"""What an error means, what to do about it, what has worked before, and what colleagues know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import streamlit as st
from sqlalchemy import Connection

from synchist import hints, receipts
from synchist.accounts import Actor
from synchist.diagnosis import Cause, Diagnosis, shared
from synchist.filters import readable
from synchist.hints import Hint, HintChanged, Standing, Subject
from synchist.receipts import Worked
from synchist.roles import Role
from synchist.settings import settings
from synchist.ui import faults, viewer
from synchist.ui.wording import counted, moment, numbered, plain


@dataclass(frozen=True)
class Known:
    """What experience adds to our own words: how often retries have passed, by cause, and the
    team's hints; and whether the viewer is offered to write some."""

    worked: Mapping[Cause, Worked]
    hints: Standing
    writable: bool


def load_known(connection: Connection, actor: Actor) -> Known:
    """What is known of every cause and every name: enough for a whole page."""
    return replace(load_hints(connection, actor), worked=receipts.what_worked(connection))


def load_hints(connection: Connection, actor: Actor) -> Known:
    """Of that the hints alone."""
    return Known({}, hints.load(connection), Role.HINTS in actor.roles)


def show(found: Diagnosis, known: Known, place: str) -> None:
    """The team's hints, then explanation, steps, what a retry does, and how often retries have
    passed; then the way to write a hint. `place` tells apart what stands on a page several times.
    """
    show_hints(found, known, place)
    st.markdown(
        f"{plain(found.explanation)}\n\n{numbered(found.steps)}\n\n"
        f":material/replay: {found.retry.sentence}"
    )
    if worked := known.worked.get(found.cause):
        st.caption(f":material/query_stats: {_rates(worked)}")
    offer_hints(found, known, place)


def _rates(worked: Worked) -> str:
    """What retries of failures of a cause have led to, in words."""
    parts = [
        f"{when} {rate.percent} % of {counted(rate.tried, 'record')} passed"
        for rate, when in ((worked.fixed, "after a fix"), (worked.plain, "after a plain retry"))
        if rate.tried
    ]
    return f"What worked lately: {', '.join(parts)}."


# ---------------------------------------------------------------- hints of the team


def show_hints(found: Diagnosis, known: Known, place: str) -> None:
    """What the team knows, told apart from our own words: of the name before of the cause."""
    for _, hint, key in _hints(found, known, place):
        if hint and hint.text:
            with st.container(border=True, gap="xsmall"):
                _hint(hint, known.writable, key)


def offer_hints(found: Diagnosis, known: Known, place: str) -> None:
    """The way to write where nothing is told yet, and what was taken away."""
    for subject, hint, key in _hints(found, known, place):
        if hint and hint.text:
            continue
        faults.show_kept(key)
        if hint:
            _earlier(hint, f"Earlier hints for {subject.words}", key)
        if known.writable and key in st.session_state:
            with st.container(border=True):
                _form(subject, hint, key)
        elif known.writable:
            _button(f"Write a hint for {subject.words}", key)


def _hints(
    found: Diagnosis, known: Known, place: str
) -> Iterator[tuple[Subject, Hint | None, str]]:
    """What there can be hints for, the newest version of each, and the key of its elements."""
    for subject in hints.subjects(found.cause, shared(found.cause, found.named)):
        yield (
            subject,
            known.hints.of(subject),
            f"hint_{place}_{'cause' if subject.cause else 'name'}",
        )


def _hint(hint: Hint, writable: bool, key: str) -> None:
    day = hint.at.astimezone(settings().zone).date()
    st.caption(
        f":material/groups: **Hint of your team** for {plain(hint.subject.words)} ·"
        f" {plain(hint.author)}, {readable(day)}"
    )
    st.text(hint.text)
    faults.show_kept(key)
    if hint.number > 1:
        _earlier(hint, "Earlier", key)
    if writable and key in st.session_state:
        _form(hint.subject, hint, key)
    elif writable:
        _button("Change", key)


def _button(label: str, key: str) -> None:
    st.button(
        plain(label),
        icon=":material/edit_note:",
        type="tertiary",
        key=f"{key}_write",
        on_click=st.session_state.update,
        args=({key: True},),
    )


def _form(subject: Subject, hint: Hint | None, key: str) -> None:
    """What was in the database when the field was filled is what its author has seen."""
    field, seen = f"{key}_text", f"{key}_seen"
    if field not in st.session_state:
        st.session_state[field] = hint.text if hint else ""
        st.session_state[seen] = hint.id if hint else 0
    with st.form(f"{key}_form", border=False):
        st.text_area(
            plain(f"Hint for {subject.words}"),
            key=field,
            max_chars=hints.LONGEST,
            placeholder="Whom to ask, what the books call it, what to try first …",
        )
        with st.container(horizontal=True):
            st.form_submit_button("Save hint", type="primary", on_click=_save, args=(subject, key))
            if hint and hint.text:
                st.form_submit_button("Take away", on_click=_save, args=(subject, key, ""))
            st.form_submit_button("Cancel", on_click=_close, args=(key,))


def _save(subject: Subject, key: str, words: str | None = None) -> None:
    if words is None:
        words = st.session_state.get(f"{key}_text") or ""
    with faults.kept(key):
        try:
            hints.write(viewer.principal(), subject, words, st.session_state.get(f"{key}_seen", 0))
        except HintChanged as changed:
            st.session_state[f"{key}_seen"] = changed.newest.id  # the sentence tells what it says
            raise
        _close(key)


def _close(key: str) -> None:
    for name in (key, f"{key}_text", f"{key}_seen"):
        st.session_state.pop(name, None)


def _earlier(hint: Hint, label: str, key: str) -> None:
    """What stood there before, read only where somebody wants to know."""
    with st.expander(
        plain(label), type="compact", key=f"{key}_earlier", on_change="rerun"
    ) as earlier:
        if not earlier.open:
            return
        with viewer.reading("read earlier hints") as (connection, _):
            versions = hints.history(connection, hint.subject)
        for before in versions[1:] if hint.text else versions:
            did = "" if before.text else ": taken away"
            st.caption(f"{plain(before.author)}, {moment(before.at)}{did}")
            if before.text:
                st.text(before.text)
