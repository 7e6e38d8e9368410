"""Which records are ticked: kept by record id, with the version that was seen.

The grid knows rows by position only, and positions move when data reload. So ticks are folded into
this selection at once, through the ids that this very grid was given.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from synchist.currencies import sums
from synchist.entities import Entity
from synchist.filters import Filters
from synchist.queries import Ticked


def of_page(frame: pd.DataFrame) -> dict[int, Ticked]:
    """Every row of a loaded frame as a selection remembers it."""
    columns = (frame[name].tolist() for name in ("version", "currency", "amount"))
    rows = zip(frame.index.tolist(), *columns, strict=True)
    return {key: Ticked(version, currency, amount) for key, version, currency, amount in rows}


def current(entity: Entity) -> dict[int, Ticked]:
    """The entity's selection, by record id."""
    chosen: dict[int, Ticked] = st.session_state.setdefault(f"{entity.slug}_selection", {})
    return chosen


def replace(entity: Entity, chosen: Mapping[int, Ticked]) -> None:
    """Set the selection as a whole and make the grid draw its ticks anew."""
    st.session_state[f"{entity.slug}_selection"] = dict(chosen)
    st.session_state[f"{entity.slug}_generation"] = generation(entity) + 1


def generation(entity: Entity) -> int:
    """Grows whenever ticks change other than by a click into the grid."""
    count: int = st.session_state.get(f"{entity.slug}_generation", 0)
    return count


def fold(entity: Entity, editor: str, frame: pd.DataFrame) -> None:
    """Take over the ticks of a grid, in its callback."""
    edits = st.session_state[editor].get("edited_rows", {})
    st.session_state[f"{entity.slug}_selection"] = folded(current(entity), edits, frame)


def folded(
    chosen: Mapping[int, Ticked], edits: Mapping[Any, Any], frame: pd.DataFrame
) -> dict[int, Ticked]:
    """The selection after a grid's edits by position. Whatever else they claim is ignored: a
    client can send positions, columns and values that the grid never offered."""
    after = dict(chosen)
    for position, edit in edits.items():
        ticked = edit.get("Select") if isinstance(edit, Mapping) else None
        if not 0 <= int(position) < len(frame) or not isinstance(ticked, bool):
            continue
        if ticked:
            after |= of_page(frame.iloc[[int(position)]])
        else:
            after.pop(int(frame.index[int(position)]), None)
    return after


def keep_valid(entity: Entity, filters: Filters, frame: pd.DataFrame) -> None:
    """Drop what the selection may not keep.

    Another status or other dates clear it: those records are no longer what the page is about.
    """
    scope = (filters.status, filters.window, filters.start, filters.end)
    if st.session_state.get(f"{entity.slug}_scope", scope) != scope:
        replace(entity, {})
    st.session_state[f"{entity.slug}_scope"] = scope
    if current(entity):
        _drop_changed(entity, of_page(frame))


def add(entity: Entity, found: Mapping[int, Ticked]) -> None:
    """Tick these too. What was ticked before keeps the version that was seen then."""
    replace(entity, {**found, **current(entity)})
    _drop_changed(entity, found)


def _drop_changed(entity: Entity, now: Mapping[int, Ticked]) -> None:
    """A record that a job or a colleague has changed since it was ticked must be looked at again:
    it loses its tick, and `lost` counts it."""
    chosen = current(entity)
    changed = {key for key in chosen if key in now and chosen[key].version != now[key].version}
    if changed:
        replace(entity, {key: ticked for key, ticked in chosen.items() if key not in changed})
        st.session_state[f"{entity.slug}_lost"] = len(changed)


def lost(entity: Entity) -> int:
    """How many ticks were taken away since this was asked last."""
    count: int = st.session_state.pop(f"{entity.slug}_lost", 0)
    return count


def money(chosen: Mapping[Any, Ticked]) -> str:
    """Sums of a selection per currency."""
    by_currency: dict[str, int] = {}
    for ticked in chosen.values():
        by_currency[ticked.currency] = by_currency.get(ticked.currency, 0) + ticked.amount
    return sums(by_currency)
