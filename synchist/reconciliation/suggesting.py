"""What belongs together by party, amount and date alone: never a match, always “not certain”."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from synchist.reconciliation.cases import BY_SUM, UNCERTAIN, Cases, Side
from synchist.reconciliation.keys import Flags, Ints, tied

SUGGESTED = (0, 3, 10)
"""Days between the dates for a suggestion by party and amount alone, one round after the other."""

NEAREST = 12
"""Candidates for a sum: those of the same party and currency that are nearest by date."""

LARGEST = 4
"""How many of them may add up."""

DAYS = 10
"""How far from each other the dates may be."""

AT_ONCE = 2_000

EXACT = 2**50
"""Amounts below this, some hundred billion, are added up."""

_CHOICES = np.array(
    [
        [place in chosen for place in range(NEAREST)]
        for size in range(1, LARGEST + 1)
        for chosen in combinations(range(NEAREST), size)
    ],
    np.float64,
)
"""Every choice of candidates, the smallest first."""

_AROUND = np.arange(-(NEAREST // 2), NEAREST - NEAREST // 2)


def near_in_time(cases: Cases, lines: Flags) -> tuple[Ints, Ints]:
    """Pairs of those lines and of records, of the same party and amount, the nearest first. What
    could be several is tied to the first of the other side."""
    ours, its = cases.lines, cases.records
    at = np.flatnonzero(ours.free & ours.datable & lines)
    to = np.flatnonzero(its.free & its.datable & its.expected)
    found: list[tuple[Ints, Ints]] = []
    for days in SUGGESTED:
        line, record = _clusters(cases, at, to, days)
        most = max(line.max(initial=-1), record.max(initial=-1)) + 1
        of_line, of_record = (np.bincount(one, minlength=most) for one in (line, record))
        single = (of_line == 1) & (of_record == 1)
        # Labels rise with the clusters, so that both sides come in the same order.
        one = at[single[line]][np.argsort(line[single[line]])]
        other = to[single[record]][np.argsort(record[single[record]])]
        fits = ~cases.foreign(one, other)
        found.append((one[fits], other[fits]))
        if days == SUGGESTED[-1]:
            ends = tied(line, record, (of_line > 0) & (of_record > 0) & ~single)
            found.append((at[ends[0]], to[ends[1]]))
        at, to = at[~single[line]], to[~single[record]]
    return (
        np.concatenate([one for one, _ in found]),
        np.concatenate([other for _, other in found]),
    )


def _clusters(cases: Cases, at: Ints, to: Ints, days: int) -> tuple[Ints, Ints]:
    """A label for each line and record: the same for one party and amount, with no more than so
    many days between one date and the next."""
    ours, its = cases.lines, cases.records
    party = np.concatenate((ours.party[at], its.party[to]))
    amount = np.concatenate((ours.amount[at], its.amount[to]))
    day = np.concatenate((ours.day[at], its.day[to]))
    order = np.lexsort((day, amount, party))
    party, amount, day = party[order], amount[order], day[order]
    new = np.zeros(len(order), np.int64)
    new[1:] = (party[1:] != party[:-1]) | (amount[1:] != amount[:-1]) | (np.diff(day) > days)
    label = np.empty(len(order), np.int64)
    label[order] = np.cumsum(new)
    return label[: len(at)], label[len(at) :]


def explain_differences(cases: Cases) -> None:
    """A pair with two amounts may be one line of several for the record, or the other way round:
    not certain, with the others that make up the difference."""
    lines, records = cases.lines, cases.records
    line, record = cases.pairs()
    known = cases.comparable(line, record) & ~lines.only_open[line]
    line, record = line[known], record[known]
    more = lines.amount[line] - records.amount[record]
    _add_up(cases, lines, line[more > 0], more[more > 0], records, 1)
    _add_up(cases, records, record[more < 0], -more[more < 0], lines, 1)


def add_up(cases: Cases) -> None:
    """One line that pays several records, or several lines for one record: not certain."""
    for side, other in ((cases.lines, cases.records), (cases.records, cases.lines)):
        targets = np.flatnonzero(side.free & (side.amount > 0))
        _add_up(cases, side, targets, side.amount[targets], other, 2)


def _add_up(
    cases: Cases, side: Side, targets: Ints, amount: Ints, other: Side, fewest: int
) -> None:
    """Find the parts of each target, `fewest` at least, among what is free on the other side."""
    can = (side.datable & side.expected)[targets] & (amount < EXACT)
    targets, amount = targets[can], amount[can]
    possible = (other.amount > 0) & (other.amount < EXACT)
    parts = np.flatnonzero(other.free & other.datable & other.expected & possible)
    for target, chosen in adding_up(
        (side.party[targets], side.day[targets], amount),
        (other.party[parts], other.day[parts], other.amount[parts]),
        fewest,
    ):
        one, several = targets[target], parts[chosen]
        if cases.foreign(*((one, several) if side is cases.lines else (several, one))).any():
            continue
        if side.case[one] < 0:
            side.case[one] = cases.open(1, UNCERTAIN, BY_SUM)[0]
        other.case[several] = side.case[one]
        cases.state[side.case[one]] = UNCERTAIN


def adding_up(
    targets: tuple[Ints, Ints, Ints], parts: tuple[Ints, Ints, Ints], fewest: int
) -> Iterator[tuple[int, Ints]]:
    """Each target that a choice of at least `fewest` parts adds up to, and the first such choice.

    Both are given as party codes, days and amounts, all of them known and amounts below `EXACT`;
    the answer has positions in both. A part is used once. The work grows with the number of
    targets alone.
    """
    part_party, part_day, part_amount = parts
    if not len(part_party):
        return
    order = np.lexsort((part_day, part_party))
    choices = _CHOICES[_CHOICES.sum(axis=1) >= fewest]
    # One number for party and day, so that a party's nearest days stand beside each other.
    wide = 1 << 24
    place = part_party[order] * wide + part_day[order]
    done, used = set[int](), set[int]()
    for start in range(0, len(targets[0]), AT_ONCE):
        party, day, amount = (one[start : start + AT_ONCE, None] for one in targets)
        around = np.searchsorted(place, party * wide + day) + _AROUND
        candidates = order[np.clip(around, 0, len(order) - 1)]
        fits = (around >= 0) & (around < len(order)) & (part_party[candidates] == party)
        fits &= np.abs(part_day[candidates] - day) <= DAYS
        enough = np.flatnonzero(fits.sum(axis=1) >= fewest)
        fits, candidates = fits[enough], candidates[enough]
        # What does not fit is too much for any sum. Floats multiply fast, and are exact so far.
        amounts = np.where(fits, part_amount[candidates], EXACT).astype(np.float64)
        hits = amounts @ choices.T == amount[enough]
        for row, choice in np.argwhere(hits):
            target, chosen = start + int(enough[row]), candidates[row][choices[choice] == 1]
            if target not in done and used.isdisjoint(chosen.tolist()):
                done.add(target)
                used.update(chosen.tolist())
                yield target, chosen
