"""What belongs together by party, amount and date alone: never a match, always “not certain”."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np

from synchist.reconciliation.cases import BY_SUM, UNCERTAIN, Cases, Side
from synchist.reconciliation.keys import Flags, Ints, tied

SUGGESTED = (0, 3, 10)
"""Days between the dates for a suggestion by party and amount alone, one round after the other."""

NEAREST = 12
"""Candidates for a sum: those of the same party that are nearest by date."""

LARGEST = 4
"""How many of them may add up."""

DAYS = 10
"""How far from each other the dates may be."""

AT_ONCE = 2_000

TOO_MUCH = 2**56
"""Amounts below this, some trillions, are added up."""

_CHOICES = {
    size: np.array(list(combinations(range(NEAREST), size))) for size in range(1, LARGEST + 1)
}
"""Every choice of so many candidates."""

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
    can = (side.datable & side.expected)[targets] & (amount < TOO_MUCH)
    targets, amount = targets[can], amount[can]
    possible = (other.amount > 0) & (other.amount < TOO_MUCH)
    parts = np.flatnonzero(other.free & other.datable & other.expected & possible)
    which, chosen = adding_up(
        (side.party[targets], side.day[targets], amount),
        (other.party[parts], other.day[parts], other.amount[parts]),
        fewest,
    )
    one, several = targets[which], parts[chosen]
    foreign = cases.foreign(*((one, several) if side is cases.lines else (several, one)))
    fits = ~np.isin(one, one[foreign])
    one, several = one[fits], several[fits]
    new = np.unique(one[side.case[one] < 0])
    side.case[new] = cases.open(len(new), UNCERTAIN, BY_SUM)
    other.case[several] = side.case[one]
    cases.state[side.case[one]] = UNCERTAIN


def adding_up(
    targets: tuple[Ints, Ints, Ints], parts: tuple[Ints, Ints, Ints], fewest: int
) -> tuple[Ints, Ints]:
    """Targets and parts that add up to them, by position, a row for each part.

    Both are given as party codes, days and amounts: all known, more than 0, less than `TOO_MUCH`.
    A target takes the first choice of at least `fewest` parts that fits, the smallest ones first;
    a part is used once. The work grows with the number of targets alone.
    """
    found: list[tuple[int, int]] = []
    done, used = set[int](), set[int]()
    for target, chosen in _hits(targets, parts, fewest):
        if target not in done and used.isdisjoint(chosen):
            done.add(target)
            used.update(chosen)
            found += [(target, one) for one in chosen]
    which, several = np.array(found, np.int64).reshape(-1, 2).T
    return which, several


def _hits(
    targets: tuple[Ints, Ints, Ints], parts: tuple[Ints, Ints, Ints], fewest: int
) -> Iterator[tuple[int, list[int]]]:
    """A target, and some of the parts nearest to it that add up to its amount."""
    part_party, part_day, part_amount = parts
    if not len(part_party):
        return
    order = np.lexsort((part_day, part_party))
    # One number for party and day, so that a party's nearest days stand beside each other.
    wide = 1 << 24
    place = part_party[order] * wide + part_day[order]
    for start in range(0, len(targets[0]), AT_ONCE):
        party, day, amount = (one[start : start + AT_ONCE, None] for one in targets)
        around = np.searchsorted(place, party * wide + day) + _AROUND
        near = order[np.clip(around, 0, len(order) - 1)]
        fits = (around >= 0) & (around < len(order)) & (part_party[near] == party)
        fits &= (np.abs(part_day[near] - day) <= DAYS) & (part_amount[near] <= amount)
        total = np.where(fits, part_amount[near], 0).sum(axis=1, keepdims=True)
        hopeful = np.flatnonzero((fits.sum(axis=1) >= fewest) & (total >= amount)[:, 0])
        amounts = np.where(fits, part_amount[near], TOO_MUCH)[hopeful]
        for size in range(fewest, LARGEST + 1):
            choices = _CHOICES[size]
            sums = amounts[:, choices].sum(axis=2)
            for row, choice in np.argwhere(sums == amount[hopeful]):
                target = hopeful[row]
                yield start + int(target), near[target][choices[choice]].tolist()
