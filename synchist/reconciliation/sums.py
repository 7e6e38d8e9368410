"""Amounts that add up: one line for several records, or several lines for one record."""

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from synchist.reconciliation.keys import Ints

NEAREST = 10
"""Candidates for a sum: those of the same party and currency that are nearest by date."""

LARGEST = 4
"""How many of them may add up."""

DAYS = 10
"""How far from each other the dates may be."""

AT_ONCE = 2_000

_CHOICES = np.array(
    [
        [place in chosen for place in range(NEAREST)]
        for size in range(1, LARGEST + 1)
        for chosen in combinations(range(NEAREST), size)
    ],
    np.int64,
)
"""Every choice of candidates, the smallest first."""


def adding_up(
    party: "Ints", day: "Ints", amount: "Ints", parts: tuple["Ints", "Ints", "Ints"], fewest: int
) -> Iterator[tuple[int, list[int]]]:
    """Each target with the first choice of at least `fewest` parts that add up to its amount.

    Targets and `parts` are given as party codes, days and amounts, all of them known; the answer
    counts through both. A part is used once. The work is bounded by the number of targets.
    """
    part_party, part_day, part_amount = parts
    if not len(part_party):
        return
    order = np.lexsort((part_day, part_party))
    first = 1 if fewest == 1 else NEAREST + 1
    choices = _CHOICES[first - 1 if fewest == 1 else NEAREST :]
    # One number for party and day, so that a party's nearest days stand beside each other.
    wide = 1 << 24
    place = part_party[order] * wide + part_day[order]
    used: set[int] = set()
    for start in range(0, len(party), AT_ONCE):
        chunk = slice(start, start + AT_ONCE)
        middle = np.searchsorted(place, party[chunk] * wide + day[chunk])
        around = middle[:, None] + np.arange(-(NEAREST // 2), NEAREST - NEAREST // 2)
        inside = (around >= 0) & (around < len(order))
        candidates = order[np.clip(around, 0, max(len(order) - 1, 0))]
        fits = (
            inside
            & (part_party[candidates] == party[chunk, None])
            & (np.abs(part_day[candidates] - day[chunk, None]) <= DAYS)
        )
        amounts = np.where(fits, part_amount[candidates], np.int64(0))
        sums = amounts @ choices.T
        # A choice that holds a place without a candidate would count a nothing.
        holes = (~fits).astype(np.int64) @ choices.T
        hits = (sums == amount[chunk, None]) & (holes == 0)
        for target in np.flatnonzero(hits.any(axis=1)):
            for choice in np.flatnonzero(hits[target]):
                chosen = [int(one) for one in candidates[target][choices[choice] == 1]]
                if used.isdisjoint(chosen):
                    used.update(chosen)
                    yield start + int(target), chosen
                    break
