"""The one bar of filters above an entity's list. Every widget is bound to the address."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import streamlit as st

from synchist.accounts import Actor
from synchist.entities import Entity
from synchist.filters import (
    EARLIEST,
    Age,
    Attempted,
    Filters,
    WillNotSync,
    Window,
    month_before,
    parse,
    readable_moment,
    stood,
    today,
)
from synchist.settings import settings
from synchist.statuses import SyncStatus
from synchist.triage import Person
from synchist.ui import looking_back, owners, viewer
from synchist.ui.places import page_of
from synchist.ui.wording import STATUS_ICONS, plain

STATUSES = [status.label for status in (SyncStatus.FAILED, SyncStatus.COMPLETE, SyncStatus.PENDING)]

NAMES = (
    "status",
    "range",
    "dates",
    "search",
    "sort",
    "party",
    "billing",
    "connection",
    "currency",
    "cause",
    "problem",
    "waits",
    "month",
    "attempted",
    "will_not_sync",
    "owner_chosen",
    "age",
    "since",
    "blocked",
    "closed",
    "differs",
    "as_of_chosen",
)
FRESH = "fresh"
"""The address parameter of a link: what it does not name is at its default."""
SELECT = "select"
"""Its value where all that the list shows is to be ticked as well."""


def key(entity: Entity, name: str) -> str:
    """Session key and address parameter of one of the entity's widgets."""
    return f"{entity.slug}_{name}"


def first_page(entity: Entity) -> None:
    """Go back to page 1; called whenever a filter changes."""
    st.session_state[key(entity, "page")] = 1


def link(
    entity: Entity,
    filters: Filters,
    label: str,
    *,
    select: bool = False,
    icon: str | None = None,
    hint: str | None = None,
) -> None:
    """A link to an entity's list that shows these filters and no others; with `select`, all that
    they show is ticked there. The icon is the status's unless another is given (empty: none);
    `hint` appears when the link is pointed at."""
    parameters = {**filters.parameters(entity), FRESH: [SELECT if select else "1"]}
    shown = STATUS_ICONS[filters.status] if icon is None else icon
    st.page_link(page_of(entity), label=label, icon=shown, help=hint, query_params=parameters)


def _forget(entity: Entity) -> None:
    """After a click on a link, let go of what was chosen before: Streamlit keeps the value of a
    widget that the new address does not name."""
    if FRESH not in st.query_params:
        return
    st.session_state[key(entity, SELECT)] = st.query_params[FRESH] == SELECT
    # Once, since the browser remembers each address as a page to go back to.
    del st.query_params[FRESH]
    for name in (*NAMES, "page", "dates_applied", "address"):
        if key(entity, name) not in st.query_params:
            st.session_state.pop(key(entity, name), None)


def arrives_selected(entity: Entity) -> bool:
    """Whether the link that led here asked for all to be ticked; true once."""
    return bool(st.session_state.pop(key(entity, SELECT), False))


def show(
    entity: Entity, choices: Mapping[str, list[str]], team: Sequence[Person], actor: Actor
) -> Filters:
    """Draw the bar and return what it says, corrected where the address was wrong."""
    _forget(entity)
    corrections = _read_address(entity, choices)
    looking_back.settle(key(entity, "as_of"))
    bound: dict[str, Any] = {
        "bind": "query-params",
        "on_change": first_page,
        "args": (entity,),
    }
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        label = st.segmented_control(
            "Sync Status",
            STATUSES,
            default=SyncStatus.FAILED.label,
            required=True,
            key=key(entity, "status"),
            **bound,
        )
        status = SyncStatus.from_label(label or "") or SyncStatus.FAILED
        pending = status is SyncStatus.PENDING
        window = st.selectbox(
            "Date Range",
            list(Window),
            key=key(entity, "range"),
            disabled=pending,
            help="Sync attempts of these days are included. Pending records may never have been"
            " attempted, so the range does not apply to them."
            f" Days begin at midnight in the business time zone, {settings().time_zone}.",
            width=140,
            **bound,
        )
        dates = _dates(entity, pending, bound) if window is Window.CUSTOM else ()
        search = st.text_input(
            "Search",
            key=key(entity, "search"),
            placeholder="Number, shipment, reference or name; or paste a list",
            type="search",
            icon=":material/search:",
            **bound,
        )
        sort = st.selectbox(
            "Sort by",
            [order.label for order in entity.sorts],
            key=key(entity, "sort"),
            width=190,
            **bound,
        )
        owner = partial(owners.choose, key(entity, "owner"), team, actor)
        more = _more(entity, choices, status, owner, bound)
        viewer.account_menu(actor)
    # Client-side limits of widgets can be forged: what counts is parsed once more.
    filters, rejected = parse(
        entity,
        {
            key(entity, name): values
            for name, values in {
                "status": [status.label],
                "range": [str(window)],
                "dates": [day.isoformat() for day in dates],
                "search": [search or ""],
                "sort": [sort],
                "as_of": st.query_params.get_all(key(entity, "as_of")),
                **more,
            }.items()
        },
        choices,
    )
    for sentence in dict.fromkeys([*corrections, *rejected]):
        st.caption(f":material/info: {plain(sentence)}")
    if filters.as_of:
        _past(entity, filters, filters.as_of)
    if filters.problem:
        # Set by a link from the causes, so it must not hide under More.
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.caption(f":material/filter_alt: Only {plain(filters.problem)}", width="content")
            link(entity, replace(filters, problem=""), "Show every cause")
    if filters.since:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            words = f"Only since {plain(readable_moment(filters.since))}"
            st.caption(f":material/filter_alt: {words}", width="content")
            link(entity, replace(filters, since=None), "Show earlier ones too")
    return filters


def _past(entity: Entity, filters: Filters, moment: datetime) -> None:
    """The mark of a list that shows the past, and the way back."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.warning(
            f"**As it stood {plain(stood(moment))}.** This is the past: nothing can be"
            " changed here. A click on a number opens the record as it is now.",
            icon=":material/history:",
        )
        link(entity, replace(filters, as_of=None), "Back to now")


def _read_address(entity: Entity, choices: Mapping[str, list[str]]) -> list[str]:
    """On the first run of a page, say what is wrong with its address.

    Streamlit itself drops an unknown value in silence.
    """
    seen = key(entity, "address")
    if seen in st.session_state:
        return []
    st.session_state[seen] = True
    given = {name: st.query_params.get_all(name) for name in st.query_params}
    filters, corrections = parse(entity, given, choices)
    # What Streamlit would not take from the address as it stands is set as it was understood.
    for name, value in (("status", filters.status.label), ("range", filters.window)):
        if given.get(key(entity, name), [str(value)]) != [str(value)] or name == "range":
            st.session_state[key(entity, name)] = value
    if filters.start and filters.end:
        st.session_state[key(entity, "dates")] = (filters.start, filters.end)
    return corrections


def _dates(entity: Entity, disabled: bool, bound: Mapping[str, Any]) -> tuple[Any, ...]:
    """The custom range; empty while only its first day is picked, so that nothing jumps."""
    picked = st.date_input(
        "Dates",
        value=(month_before(today()), today()),
        min_value=EARLIEST,
        max_value=today(),
        key=key(entity, "dates"),
        disabled=disabled,
        width=230,
        **bound,
    )
    last = key(entity, "dates_applied")
    if isinstance(picked, tuple) and len(picked) == 2:
        st.session_state[last] = picked
    applied: tuple[Any, ...] = st.session_state.get(last, ())
    return applied


_WHERE_FROM = (
    ("billing", "Billing organization", "All billing organizations"),
    ("connection", "Connection", "All connections"),
    ("currency", "Currency", "All currencies"),
    ("month", "Accounting month", "All months"),
)
_WHAT_CAME_OF_IT: Mapping[SyncStatus, tuple[tuple[str, str, str], ...]] = {
    SyncStatus.PENDING: (
        ("waits", "Why it waits", "All reasons"),
        ("attempted", "Attempted", "Never or before"),
    ),
    SyncStatus.COMPLETE: (("will_not_sync", "Will not be synced", "All complete records"),),
    SyncStatus.FAILED: (),
}
"""Filters by name and label, and what stands there while they are not used."""


def _marks(entity: Entity, past: bool) -> list[tuple[str, str, str]]:
    """What can be asked for by a tick: name, label and explanation."""
    marks = [
        ("differs", "Amount differs", "Only records whose synced amount is not the TMS amount")
    ]
    if past:  # nobody knows what held records up then
        return marks
    marks.append(
        (
            "closed",
            "Books closed",
            "Only failed and pending records whose accounting date lies in a period that is closed"
            " in the books: these would refuse them",
        )
    )
    if entity.blocking is not None:
        document = entity.blocking.document
        marks.append(
            (
                "blocked",
                f"Blocked: its {document} is not Complete",
                f"Only payments whose {document} is not Complete",
            )
        )
    return marks


def _more(
    entity: Entity,
    choices: Mapping[str, list[str]],
    status: SyncStatus,
    owner: Callable[..., list[str]],
    bound: Mapping[str, Any],
) -> dict[str, list[str]]:
    """The rarer filters, in a popover whose label says how many are on. `owner` draws that of the
    owner."""
    past = key(entity, "as_of") in st.query_params
    party = ("party", entity.party_label, f"All {entity.party_label.lower()}s")
    of_status = [one for one in _WHAT_CAME_OF_IT[status] if not (past and one[0] == "waits")]
    left = (party, *_WHERE_FROM)
    right = (("cause", "Cause", "All causes"), *of_status, ("age", "Created", "All ages"))
    marks = _marks(entity, past)
    names = ("as_of", "owner", "problem", "since", *(name for name, *_ in (*left, *right, *marks)))
    # On the first run no widget has a value yet; then the address tells.
    keys = [key(entity, name) for name in names]
    active = sum(bool(st.session_state.get(name, name in st.query_params)) for name in keys)
    listed = {
        **choices,
        "attempted": [one.value for one in Attempted],
        "will_not_sync": [one.value for one in WillNotSync],
        "age": [age.value for age in Age],
    }
    chosen: dict[str, list[str]] = {}

    def select(name: str, label: str, everything: str) -> None:
        value = st.selectbox(
            label,
            listed[name],
            index=None,
            placeholder=everything,
            key=key(entity, name),
            **bound,
        )
        chosen[name] = [value] if value else []

    def write(name: str, label: str, placeholder: str, hint: str | None = None) -> None:
        value = st.text_input(
            label, key=key(entity, name), placeholder=placeholder, help=hint, **bound
        )
        chosen[name] = [value] if value else []

    label = f"More ({active})" if active else "More"
    with st.popover(label, icon=":material/tune:"), st.container(width=560):
        columns = st.columns(2)
        with columns[0]:
            looking_back.field(key(entity, "as_of"), lambda: first_page(entity))
            for one in left:
                select(*one)
        with columns[1]:
            chosen["owner"] = owner(past=past, changed=lambda: first_page(entity))
            for one in right:
                select(*one)
            write("problem", "Problem", "Words of the column Cause")
            write(
                "since",
                "Status since",
                f"{today()} 17:00",
                "Only records that have got their sync status, or failed again, since then; in the"
                f" business time zone, {settings().time_zone}",
            )
        with st.container(horizontal=True):
            for name, words, explained in marks:
                ticked = st.checkbox(words, key=key(entity, name), help=explained, **bound)
                chosen[name] = ["true"] if ticked else []
    return chosen
