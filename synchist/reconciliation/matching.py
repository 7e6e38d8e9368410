"""Which line of a report is which record of the TMS, and where they differ.

A wrong match costs money, an uncertain one a minute. So a pair is made only by a key that both
sides share, and a key counts for as much as party, amount and date bear it out: `evidence` has
the rule. Whatever else speaks for a pair is “not certain”, with its candidates.
"""

import numpy as np
import pandas as pd

from synchist.reconciliation.cases import (
    BY_PARTY,
    DUPLICATE,
    LEFT_OVER,
    UNCERTAIN,
    Cases,
    Sums,
    sides,
)
from synchist.reconciliation.evidence import DECISIVE, LAST, NO, OF_MEMO, WEAK, Judged
from synchist.reconciliation.keys import EXACT, MEMO, Edges, Flags, Ints, Keys
from synchist.reconciliation.names import UNKNOWN
from synchist.reconciliation.outcome import Bucket, Scope, told
from synchist.reconciliation.suggesting import add_up, explain_differences, near_in_time


def match(documents: pd.DataFrame, records: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    """The documents of a report against the records of one connection and entity.

    `documents` as in `Report`. `records` by id: `number`, `sync_reference` and the others of
    `keys.KINDS` that the entity has (text or missing), `party`, `amount` (Int64, minor units),
    `currency`, `date`, `sync_status`, `closed_reason` and, if it is there, `tms_status`.

    Each line stands in the result once, and so does each record of the period that was to be
    synced; others only where they belong to a line. Columns: `bucket` (text), `case` (int64: rows
    that belong together share it), `line` (Int64: position in `documents`) and `record` (Int64: id)
    of which one may be missing, `how` (text: by what they belong together), `reason` (text: a
    sentence, or empty), `difference` (Int64: ten-thousandths, books minus TMS).
    """
    cases = Cases(*sides(documents, records, scope.amount_is_open))
    lines, found = cases.lines, cases.records
    _pair_up(cases, Keys(documents, records, lines.party, found.party))
    return told(cases, records, scope)


def _pair_up(cases: Cases, all_keys: Keys) -> None:
    """Pairs by a key, the surest first; then what a key, the party or a sum suggests."""
    edges = all_keys.exact()
    exact = Judged(edges, cases, all_keys)
    _agreeing(cases, exact, 0)
    if _learn(cases, 2):
        exact = Judged(edges, cases, all_keys)
        _agreeing(cases, exact, 0)
    lines, records = cases.lines, cases.records
    rest = edges.only(lines.free[edges.line] | records.free[edges.record])
    judged = Judged(Edges.of(rest, all_keys.near(lines.free, records.free)), cases, all_keys)
    for rank in range(2 * (LAST + 1)):
        _agreeing(cases, judged, rank)
        _twice(cases, judged, rank)
    _differing(cases, judged)
    _left_over(cases, judged)
    explain_differences(cases)
    _learn(cases, 1)  # once is enough to suggest
    _suggest(cases, judged)
    explain_differences(cases)  # fewer are left, so that those near are seen
    add_up(cases)


def _agreeing(cases: Cases, judged: Judged, rank: int) -> None:
    """Pairs by a key of that rank with the same amount; of the same day first, as numbers may
    come again. One line for two, or two for one: the same document twice."""
    edges = judged.edges
    for days in (judged.same_day, np.ones(len(edges), bool)):
        decisive = judged.free & (judged.verdict == DECISIVE)
        better = _better(judged, decisive)
        here = decisive & judged.equal & (judged.rank == rank) & ~better & days
        single = here & _alone(edges.line, here) & _alone(edges.record, here)
        cases.pair(edges.line[single], edges.record[single], judged.how[single])
    several = here & judged.free
    state = UNCERTAIN if rank % (LAST + 1) == OF_MEMO else DUPLICATE
    cases.join(edges.line[several], edges.record[several], judged.how[several], state)


def _better(judged: Judged, among: Flags) -> Flags:
    """Whether the line or the record has a better key for another one."""
    worse = np.zeros(len(among), bool)
    for side in (judged.edges.line, judged.edges.record):
        best = np.full(side.max(initial=-1) + 1, 2 * (LAST + 1))
        np.minimum.at(best, side[among], judged.rank[among])
        worse |= best[side] < judged.rank
    return worse


def _alone(side: Ints, among: Flags) -> Flags:
    counts = np.bincount(side[among], minlength=side.max(initial=-1) + 1)
    return np.asarray(counts[side] == 1)


def _twice(cases: Cases, judged: Judged, rank: int) -> None:
    """What would be a pair with the same amount, were the other side not taken: a duplicate."""
    edges, lines, records = judged.edges, cases.lines, cases.records
    of_load = (edges.kind == 2) | (edges.kind == 3)
    which = (judged.verdict == DECISIVE) & judged.equal & (judged.rank == rank)
    which &= ((edges.form != MEMO) | of_load) & ~judged.unexpected
    for side, at, other, to in (
        (lines, edges.line, records, edges.record),
        (records, edges.record, lines, edges.line),
    ):
        state = cases.state[other.case[to]]
        again = which & side.free[at] & ~other.free[to] & (state <= DUPLICATE)
        side.case[at[again]] = other.case[to[again]]
        cases.state[side.case[at[again]]] = DUPLICATE


def _learn(cases: Cases, times: int) -> bool:
    """Whom a strange name means, if its lines were all found to be one party's, so many times."""
    lines, (line, record) = cases.lines, cases.pairs()
    strange = lines.party[line] == UNKNOWN
    if not strange.any():
        return False
    party = pd.Series(cases.records.party[record[strange]]).groupby(lines.name[line[strange]])
    meant = party.agg(["min", "max", "size"])
    meant = meant[(meant["min"] == meant["max"]) & (meant["min"] >= 0) & (meant["size"] >= times)]
    for name, code in meant["min"].items():
        lines.party[lines.name == name] = code
    return len(meant) > 0


def _differing(cases: Cases, judged: Judged) -> None:
    """Pairs by a key with another amount; several for one are not certain."""
    edges = judged.edges
    decisive = judged.free & (judged.verdict == DECISIVE)
    decisive &= judged.equal | ~_better(judged, decisive)
    single = decisive & _alone(edges.line, decisive) & _alone(edges.record, decisive)
    cases.pair(edges.line[single], edges.record[single], judged.how[single])
    several = np.flatnonzero(decisive & ~single)
    several = several[np.argsort(judged.rank[several], kind="stable")]
    line, record = edges.line[several], edges.record[several]
    new = cases.join(line, record, judged.how[several], UNCERTAIN)
    cases.state[new[_is_twice(cases, new)]] = DUPLICATE


def _is_twice(cases: Cases, new: Ints) -> Flags:
    """Whether one side of a case is one document several times, and not its parts."""
    lines, records = Sums(cases.lines, cases.count), Sums(cases.records, cases.count)
    twice = (lines.repeated & (records.number == 1)) | (records.repeated & (lines.number == 1))
    return np.asarray((twice & (lines.total != records.total))[new])


def _left_over(cases: Cases, judged: Judged) -> None:
    """What has the very number of another pair is neither missing nor foreign: look at it."""
    edges = judged.edges
    which = (judged.verdict == DECISIVE) & (judged.rank == 0)
    for side, at, other, to in (
        (cases.lines, edges.line, cases.records, edges.record),
        (cases.records, edges.record, cases.lines, edges.line),
    ):
        left = which & side.free[at] & ~other.free[to]
        places, first = np.unique(at[left], return_index=True)
        side.case[places] = cases.open(len(places), LEFT_OVER, judged.how[left][first])


def _suggest(cases: Cases, judged: Judged) -> None:
    """What shares a key that is not enough, or party, amount and date: not certain."""
    edges = judged.edges
    weak = np.flatnonzero(judged.free & (judged.verdict == WEAK))
    weak = weak[np.argsort(judged.rank[weak], kind="stable")]
    # A line that names a record is not another one's because of its amount.
    nameless = np.ones(cases.lines.count, bool)
    nameless[edges.line[(edges.form == EXACT) & (judged.verdict > NO)]] = False
    line, record = near_in_time(cases, nameless)
    cases.join(
        np.concatenate((edges.line[weak], line)),
        np.concatenate((edges.record[weak], record)),
        np.concatenate((judged.how[weak], np.full(len(line), BY_PARTY))),
        UNCERTAIN,
    )


__all__ = ["Bucket", "Scope", "match"]
