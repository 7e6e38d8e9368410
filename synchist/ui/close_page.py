"""The month-end close: what blocks a month, its sign-off, and what moved afterwards.

Made of tables, links and text, not of a grid, so that it prints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from urllib.parse import urlencode
from uuid import uuid4

import pandas as pd
import streamlit as st

from synchist import queries
from synchist.accounts import Actor
from synchist.closing import signing
from synchist.closing.changes import After, How, Move, changed_after
from synchist.closing.signing import LONGEST_NOTE, Exceptions
from synchist.closing.state import (
    BLOCKING,
    Close,
    Holding,
    Kind,
    Month,
    Standing,
    State,
    Unit,
    filters_of,
    held,
    load_month,
    load_progress,
    month_to_close,
    named,
)
from synchist.entities import ENTITIES
from synchist.filters import moment_address, month_of, next_month, readable, stood, today
from synchist.queries import Total
from synchist.roles import Role
from synchist.settings import settings
from synchist.ui import faults, looking_back, viewer
from synchist.ui.filter_bar import link
from synchist.ui.wording import counted, moment, plain

ALL = "All of them"
MOVES = 30
"""So many changes after the close are listed; the Excel file has all."""
AS_OF = "close_as_of"
"""Address parameter: the moment in the past that the page shows."""
DONE = "close_done"
"""Session key: the sign-off or reopening that the open dialog has carried out."""
COLORS = {State.OPEN: "orange", State.SIGNED_OFF: "green", State.REOPENED: "red"}


def show() -> None:
    """Draw the page."""
    with viewer.reading("open Close") as (connection, actor):
        months = queries.months(connection)
    faults.show_kept()
    if not months:
        viewer.title_bar(actor, "Close", "What blocks a month, by accounting date")
        st.info("There are no records with an accounting date yet, so there is nothing to close.")
        return
    top, bar = (
        st.container(),
        st.container(horizontal=True, vertical_alignment="bottom", gap="small"),
    )
    with bar:
        month = _month(months)
        as_of, corrections = looking_back.settle(AS_OF)
        with st.container(width=230):
            looking_back.field(AS_OF)
    with viewer.reading("look at the close of a month") as (connection, actor):
        found = load_month(connection, month, as_of=as_of)
        with bar:
            unit = _unit(found)
            st.space("stretch")
            _export(actor, month, unit, as_of)
        with top:
            viewer.title_bar(actor, f"Close {named(month)}", _summary(found))
            for sentence in corrections:
                st.caption(f":material/info: {plain(sentence)}")
            if as_of:
                _past(as_of)
        after = {
            one.unit: changed_after(connection, one.close)
            for one in found.units
            if one.close and unit in (None, one) and not as_of
        }
        if unit is None:
            _units(found, after)
        else:
            close = unit.close
            accepted = signing.accepted(connection, close.id) if close else Total()
            _sign(actor, unit, accepted, changeable=as_of is None)
        left, right = st.columns([5, 2])
        with left:
            holding = unit.holding if unit else found.holding
            _blocking(month, unit, holding, as_of)
            if unit is None and not as_of:
                _undated(found)
        for one in found.units:
            if one.close and one.unit in after:
                _after(one, one.close, after[one.unit], alone=unit is not None)
        if as_of:
            return
        with right:  # last, since it looks into the history of all that has moved
            st.caption("Records that block, at the end of each day")
            days = load_progress(connection, month, unit.unit if unit else None)
            blocking = unit.blocking if unit else held(found.holding, BLOCKING)
            _progress([*days, (today(), blocking.total.count)])


# ---------------------------------------------------------------- which


def _month(months: Sequence[date]) -> date:
    """The chosen month; at first the one that people are closing."""
    closing = month_to_close()
    listed = sorted({*months, closing}, reverse=True)
    names = {named(month): month for month in listed}
    chosen = st.selectbox(
        "Month",
        list(names),
        index=listed.index(closing),
        key="close_month",
        help="By accounting date. At first the month that is being closed: the last one until the"
        " 10th day of the present one.",
        width=190,
        bind="query-params",
    )
    return names[chosen]


def _unit(month: Month) -> Standing | None:
    """The chosen billing organization and connection, or None for all of them."""
    names = _unit_names(month)
    chosen = st.selectbox(
        "Billing organization and connection",
        [ALL, *names],
        key="close_unit",
        width=420,
        bind="query-params",
    )
    return names.get(chosen)


def _unit_names(month: Month) -> dict[str, Standing]:
    """The units by their names; two of one name keep their numbers."""
    names = [_name(one) for one in month.units]
    labels = [
        name if names.count(name) == 1 else f"{name} ({one.unit.billing_organization_id})"
        for name, one in zip(names, month.units, strict=True)
    ]
    pairs = zip(labels, month.units, strict=True)
    return dict(sorted(pairs, key=lambda pair: pair[0].casefold()))


def _name(one: Standing) -> str:
    return f"{one.billing} · {one.connection or 'no connection'}"


def _summary(month: Month) -> str:
    if not month.units:
        return "no records"
    signed = month.signed_off
    return f"{signed:,} of {len(month.units):,} signed off · by accounting date"


def _past(as_of: datetime) -> None:
    """The mark of a month that is shown as it stood, and the way back."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.warning(
            f"**As it stood {plain(stood(as_of))}.** This is the past: nothing can be signed off.",
            icon=":material/history:",
        )
        st.button("Back to now", on_click=looking_back.back_to_now, args=(AS_OF,))


def _export(actor: Actor, month: date, unit: Standing | None, as_of: datetime | None) -> None:
    if Role.HIDE_EXPORT in actor.roles:
        return
    asked = {"month": month_of(month), **({"as_of": moment_address(as_of)} if as_of else {})}
    if unit:
        asked["billing"] = str(unit.unit.billing_organization_id)
        if unit.unit.connection_id is not None:
            asked["connection"] = str(unit.unit.connection_id)
    st.link_button(
        "Export to Excel",
        f"/export/close.xlsx?{urlencode(asked)}",
        icon=":material/download:",
        help="What blocks, line by line; sums; what changed after the close",
    )


# ---------------------------------------------------------------- what blocks


def _units(month: Month, after: Mapping[Unit, After]) -> None:
    """All billing organizations and connections, those with most that blocks first."""
    if not month.units:
        st.info(f"No record has an accounting date in {named(month.month)}.")
        return
    rows = [
        {
            "Billing organization": plain(one.billing),
            "Connection": plain(one.connection) or "*none*",
            **{kind.label: _figure(one.held([kind]).total.count) for kind in BLOCKING},
            "Money": one.blocking.total.money or "–",
            "Oldest created": _day(one.blocking.oldest) or "–",
            "State": _badge(one),
            "Changed after": _figure(after[one.unit].count) if one.unit in after else "",
        }
        for one in month.units
    ]
    st.table(
        pd.DataFrame(rows),
        hide_index=True,
        border="horizontal",
        alt="What blocks the close, by billing organization and connection",
    )


def _figure(number: int) -> str:
    return f"{number:,}" if number else "–"


def _day(at: datetime | None) -> str:
    """The business day of a moment: unlike an age it stays true on paper."""
    return readable(at.astimezone(settings().zone).date()) if at else ""


def _badge(one: Standing) -> str:
    return f":{COLORS[one.state]}-badge[{one.state}]"


def _blocking(month: date, unit: Standing | None, holding: Holding, as_of: datetime | None) -> None:
    """Each number a link to the list of exactly these records."""
    total = held(holding, BLOCKING)
    oldest = f" · the oldest created on {_day(total.oldest)}" if total.oldest else ""
    st.markdown(
        f"**{counted(total.total.count, 'record')} block{'' if total.total.count != 1 else 's'} the"
        f" close**{' · ' + total.total.money if total.total.count else ''}{oldest}"
    )
    billing = unit.billing if unit else ""
    books = "" if unit is None else unit.connection or None
    kinds = list(Kind)
    with st.container(gap="xsmall"):
        heads = st.columns([1.2, *[1] * len(kinds)])
        for column, kind in zip(heads[1:], kinds, strict=True):
            column.caption(kind.label if kind in BLOCKING else f"*{kind.label}*")
        for entity in ENTITIES:
            cells = st.columns([1.2, *[1] * len(kinds)], vertical_alignment="top")
            cells[0].markdown(f"**{entity.title}**")
            for column, kind in zip(cells[1:], kinds, strict=True):
                one = held(holding, [kind], entity)
                with column.container(gap=None):
                    if not one.total.count:
                        st.caption("–")
                        continue
                    if kind is Kind.COMPLETE:  # no list leaves out those whose amount differs
                        st.markdown(f"{one.total.count:,}")
                    else:
                        shown = replace(filters_of(kind, month, billing, books), as_of=as_of)
                        link(entity, shown, f"**{one.total.count:,}**")
                    st.caption(one.total.money)


def _undated(month: Month) -> None:
    """What belongs to no month, so that nothing falls out."""
    blocking = held(month.undated, BLOCKING)
    if not blocking.total.count:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown("**Without an accounting date**, and so in no month:", width="content")
        for entity in ENTITIES:
            for kind in BLOCKING:
                if count := held(month.undated, [kind], entity).total.count:
                    words = f"{count:,} {entity.plural if count > 1 else entity.singular}"
                    shown = filters_of(kind, None)
                    link(entity, shown, f"{words}, {kind.label.lower()}")


def _progress(days: Sequence[tuple[date, int]]) -> None:
    frame = pd.DataFrame(
        {"Records": [number for _, number in days]},
        index=pd.Index([f"{day.day} {day:%b}" for day, _ in days], name="Day"),
    )
    said = ", ".join(f"{day.day} {day:%b}: {number:,}" for day, number in days)
    st.bar_chart(
        frame, sort=False, height=190, y_label="Records", alt=f"A bar for each day: {said}"
    )


# ---------------------------------------------------------------- sign-off


@dataclass(frozen=True)
class Asked:
    """What a dialog is about, fixed when it opens: the id makes a second click harmless, `seen` is
    what the person accepts."""

    close_id: str
    one: Standing
    seen: Exceptions

    def key(self, name: str) -> str:
        """The session key of a widget of this very dialog."""
        return f"{name}_{self.close_id}"


def _sign(actor: Actor, one: Standing, accepted: Total, *, changeable: bool) -> None:
    """How far the unit is, and the way on."""
    close = one.close
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(_how_far(one, accepted), width="content")
        st.space("stretch")
        if not changeable:
            return
        if Role.CLOSE not in actor.roles:
            st.caption("Months are signed off by holders of the role Close.", width="content")
        elif close and close.stands:
            if st.button("Reopen", icon=":material/lock_open:"):
                st.dialog("Reopen the month", width="large")(_reopening)(one, close)
        elif st.button("Sign off", icon=":material/verified:", type="primary"):
            _open_sign_off(one)


def _how_far(one: Standing, accepted: Total) -> str:
    close = one.close
    if close is None:
        return _badge(one)
    note = f" · “{plain(close.note)}”" if close.note else ""
    signed = f"by {plain(close.actor)}, {moment(close.at)}{note}"
    if close.stands:
        return f"{_badge(one)} {signed} · {_exceptions(accepted)}"
    return (
        f"{_badge(one)} by {plain(close.reopened_by)}, {moment(close.reopened_at)} ·"
        f" “{plain(close.reason)}” · before that, signed off {signed}"
    )


def _exceptions(accepted: Total) -> str:
    """What was accepted, in words."""
    if not accepted.count:
        return "nothing blocked it"
    return f"accepted {counted(accepted.count, 'exception')}, {accepted.money}"


def _open_sign_off(one: Standing) -> None:
    with viewer.reading("look at what a sign-off accepts") as (connection, _):
        month = load_month(connection, one.unit.month, one.unit)
        seen = signing.exceptions(connection, one.unit)
    asked = Asked(str(uuid4()), month.of(one.unit) or one, seen)
    st.dialog("Sign the month off", width="large")(_signing)(asked)


def _signing(asked: Asked) -> None:
    if st.session_state.get(DONE) == asked.close_id:
        st.rerun()
    faults.show_kept()
    one = asked.one
    month = named(one.unit.month)
    st.markdown(f"**{month}** · {plain(_name(one))}")
    if next_month(one.unit.month) > today():
        st.warning(f"{month} has not ended yet.", icon=":material/event_busy:")
    _accepted(one)
    st.text_area(
        "Note",
        max_chars=LONGEST_NOTE,
        placeholder="Optional: why this may be closed; it stays with the sign-off",
        key=asked.key("note"),
        height=90,
    )
    sure = not asked.seen.count or st.checkbox(
        f"I accept {counted(asked.seen.count, 'record')} as"
        f" {'an exception' if asked.seen.count == 1 else 'exceptions'}",
        key=asked.key("accepted"),
    )
    st.caption(
        "The counts, sums and records are kept as they are now. Nothing is locked: what moves"
        " afterwards shows here as changed after close."
    )
    st.button(
        f"Sign off {month}",
        type="primary",
        key=asked.key("apply"),
        disabled=not sure,
        on_click=_sign_off,
        args=(asked,),
    )


def _accepted(one: Standing) -> None:
    """What is accepted, in numbers."""
    if not one.blocking.total.count:
        st.success("Nothing blocks this month.", icon=":material/check_circle:")
    rows = [
        {
            "": f"**{kind.label}**" if kind in BLOCKING else kind.label,
            "Records": f"{part.total.count:,}",
            "Money": part.total.money,
            "Oldest created": _day(part.oldest),
        }
        for kind in Kind
        if (part := one.held([kind])).total.count
    ]
    if rows:
        st.table(
            pd.DataFrame(rows),
            hide_index=True,
            border="horizontal",
            alt="What the month holds; bold is what blocks its close",
        )


def _sign_off(asked: Asked) -> None:
    with faults.kept():
        note = st.session_state.get(asked.key("note")) or ""
        signing.sign_off(viewer.principal(), asked.close_id, asked.one.unit, note, asked.seen)
        st.session_state[DONE] = asked.close_id


def _reopening(one: Standing, close: Close) -> None:
    if st.session_state.get(DONE) == f"reopen {close.id}":
        st.rerun()
    faults.show_kept()
    st.markdown(f"**{named(one.unit.month)}** · {plain(_name(one))}")
    st.caption(
        f"Signed off by {plain(close.actor)}, {moment(close.at)}. The sign-off stays in the"
        " history, and the month can be signed off again."
    )
    key = f"reason_{close.id}"
    st.text_area("Reason", max_chars=LONGEST_NOTE, key=key, height=90)
    st.button(
        f"Reopen {named(one.unit.month)}", type="primary", on_click=_reopen, args=(close.id, key)
    )


def _reopen(close_id: str, key: str) -> None:
    with faults.kept():
        signing.reopen(viewer.principal(), close_id, st.session_state.get(key) or "")
        st.session_state[DONE] = f"reopen {close_id}"


# ---------------------------------------------------------------- afterwards


def _after(one: Standing, close: Close, after: After, *, alone: bool) -> None:
    """What moved since the sign-off, by record, with who or what did it."""
    if not after.count and not alone:
        return
    where = "" if alone else f"{plain(_name(one))} · "
    st.markdown(f"**Changed after close** · {where}{_moved(after)}")
    if not after.moves:
        return
    shown = after.moves[:MOVES]
    st.table(
        pd.DataFrame([_row(move) for move in shown]),
        hide_index=True,
        border="horizontal",
        alt=f"What changed after the sign-off of {moment(close.at)}",
    )
    if len(after.moves) > MOVES:
        st.caption(f"The newest {MOVES:,} of {len(after.moves):,} changes; the Excel file has all.")


def _moved(after: After) -> str:
    words = {How.CHANGED: "changed", How.LEFT: "left the month", How.CAME: "came in"}
    parts = [f"{counted(n, 'record')} {words[how]}" for how, n in after.records.items() if n]
    if after.retried:
        parts.append(f"{counted(after.retried, 'attempt')} changed nothing that counts")
    return " · ".join(parts) or "nothing"


def _row(move: Move) -> dict[str, str]:
    address = f"/record?entity={move.entity.slug}&id={move.record_id}"
    note = f" · “{plain(move.note)}”" if move.note else ""
    return {
        "Record": f"{move.entity.singular} [{plain(move.number)}]({address})",
        "How": move.how.value,
        "What changed": plain("; ".join(move.changes)) + note,
        "Who": plain(move.who),
        "When": moment(move.at),
    }
