"""Which line of a report is which record of the TMS, and where they differ.

A wrong match costs money, an uncertain one a minute. So a pair is made only by a key that both
sides share, and a key counts for as much as party, amount and date bear it out: `_decisive` is the
rule. Whatever else speaks for a pair is “not certain”, with its candidates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synchist.currencies import exponent
from synchist.reconciliation import keys
from synchist.reconciliation.keys import EXACT, LOOSE, MEMO, WRITTEN, Edges, Flags, Ints, Keys
from synchist.reconciliation.names import BLANK, UNKNOWN, Parties
from synchist.reconciliation.report import DECIMALS, Coverage
from synchist.reconciliation.sums import adding_up
from synchist.statuses import CloseReason, SyncStatus


class Bucket(StrEnum):
    """What is to be said of a line, a record or a pair of them, in the words that users read."""

    AGREES = "agrees"
    AMOUNT = "amount differs"
    STATUS = "status differs"
    NOT_IN_BOOKS = "not in the books"
    NOT_IN_REPORT = "not in this report"
    ONLY_IN_BOOKS = "only in the books"
    DUPLICATE = "duplicate"
    UNCERTAIN = "not certain"


@dataclass(frozen=True)
class Scope:
    """What a report can prove, as the user has confirmed it.

    `start` and `end` are the first and last day of its period, None: it is open on that side.
    `amount_is_open`: its amounts are what is still open, and may be less than the documents'.
    """

    coverage: Coverage
    start: date | None
    end: date | None
    amount_is_open: bool = False


CLOSE = 60
"""Days between the dates of the two sides within which a key is taken for the same document."""

SUGGESTED = (0, 3, 10)
"""Days between the dates for a suggestion by party and amount alone, one round after the other."""

_MISSING = np.iinfo(np.int64).min
"""A day or an amount that is not known."""

_EPOCH = date(1970, 1, 1)
_MOST = 9 * 10**17
"""Amounts, in ten-thousandths, that can still be added up; larger ones count as not known."""

_HOW = (*keys.KINDS.values(), "Number in the memo", "Party, amount and date", "Party and sum", "")
_IN_MEMO, _BY_PARTY, _BY_SUM, _ALONE = range(len(keys.KINDS), len(_HOW))

_NO, _WEAK, _DECISIVE = range(3)

_PAIR, _DUPLICATE, _UNCERTAIN, _LEFT_OVER, _LINE, _RECORD = range(6)
"""What a case is; the last three are a line or a record alone."""


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
    lines = _Side(documents, *_line_amounts(documents, scope.amount_is_open))
    found = _Side(records, _record_amounts(records))
    parties = Parties(found.names)
    lines.party = _by_name(lines, parties.recognize(lines.names))
    found.party = _by_name(found, parties.codes(found.names))
    cases = _Cases(lines, found)
    _by_keys(cases, Keys(documents, records, lines.party, found.party))
    _by_sums(cases, _expected(records))
    return _Result(cases, records, scope).frame()


# ---------------------------------------------------------------- the two sides


class _Side:
    """Lines or records by position: amount in ten-thousandths, currency, day, party, case.

    `only_open` marks amounts that may be less than the document's. `party` is a code of `Parties`,
    `case` -1 where there is none yet.
    """

    def __init__(self, frame: pd.DataFrame, amount: Ints, only_open: Flags | None = None) -> None:
        self.count = len(frame)
        self.amount = np.where(np.abs(amount) > _MOST, _MISSING, amount)
        self.only_open = np.zeros(self.count, bool) if only_open is None else only_open
        self.day = _days(frame["date"])
        self.currency = _currencies(frame["currency"])
        self.name, self.names = _encoded(frame["party"])
        self.party = np.full(self.count, BLANK)
        self.case = np.full(self.count, -1)

    @property
    def free(self) -> Flags:
        return self.case < 0


def _line_amounts(documents: pd.DataFrame, only_open: bool) -> tuple[Ints, Flags]:
    amount, balance = _whole(documents["amount"]), _whole(documents["open_balance"])
    missing = amount == _MISSING
    return np.where(missing, balance, amount), missing | only_open


def _record_amounts(records: pd.DataFrame) -> Ints:
    amount = _whole(records["amount"])
    code, names = _encoded(records["currency"])
    scale = np.array([10 ** (DECIMALS - exponent(name)) for name in names] + [100])[code]
    too_large = np.abs(amount) > _MOST // scale
    return np.where(too_large, _MISSING, np.where(too_large, 0, amount) * scale)


def _whole(amounts: "pd.Series[Any]") -> Ints:
    return amounts.astype("Int64").to_numpy(np.int64, na_value=_MISSING)


def _days(dates: "pd.Series[Any]") -> Ints:
    days = pa.array(dates, pa.date32(), from_pandas=True).cast(pa.int32()).cast(pa.int64())
    return np.asarray(days.fill_null(_MISSING).to_numpy(zero_copy_only=False))


def _encoded(texts: "pd.Series[Any]") -> tuple[Ints, list[str]]:
    """The different texts, and for each place which one; -1: none."""
    array = pa.array(texts, pa.large_string(), from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    coded = array.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, coded.dictionary.to_pylist()


def _currencies(texts: "pd.Series[Any]") -> Ints:
    """A currency as a number, 0 where it is not given."""
    codes, names = _encoded(texts)
    letters = [int.from_bytes(name.strip().upper().encode()[:7]) for name in names]
    return np.array([*letters, 0], np.int64)[codes]


def _by_name(side: _Side, codes: Sequence[int]) -> Ints:
    return np.array([*codes, BLANK], np.int64)[side.name]


def _expected(records: pd.DataFrame) -> Flags:
    """Records that were meant to be in the books at all."""
    return ~_is(records, "closed_reason", CloseReason.WILL_NOT_SYNC) & ~_is(
        records, "tms_status", "Voided"
    )


def _is(records: pd.DataFrame, column: str, value: str) -> Flags:
    if column not in records:
        return np.zeros(len(records), bool)
    return np.asarray(records[column].eq(value).fillna(False).to_numpy(bool))


# ---------------------------------------------------------------- what a key counts for


class _Judged:
    """Pairs that share a key, and what that counts for: their `verdict`, and whether the amounts
    are `equal`. `rank` orders the kinds of keys, the best is 0."""

    def __init__(self, edges: Edges, cases: "_Cases", all_keys: Keys) -> None:
        self.edges, self._cases, self._keys = edges, cases, all_keys
        ours, its = cases.lines, cases.records
        line, record = edges.line, edges.record
        self.equal = cases.comparable(line, record) & (ours.amount[line] == its.amount[record])
        gap = np.abs(np.where(ours.day == _MISSING, 0, ours.day)[line] - its.day[record])
        unknown = (ours.day[line] == _MISSING) | (its.day[record] == _MISSING)
        self.same_day = ~unknown & (gap == 0)
        self.rank = np.select(
            [
                edges.form == EXACT,
                (edges.form == WRITTEN) & (edges.kind < 2),
                (edges.form == WRITTEN) & (edges.kind < 4),
                edges.form == WRITTEN,
                edges.form == MEMO,
            ],
            range(5),
            5,
        )
        self.how = np.where((edges.form == MEMO) & (edges.kind < 2), _IN_MEMO, edges.kind)
        self.verdict = self._weigh(unknown | (gap <= CLOSE))

    def _weigh(self, close: Flags) -> Ints:
        """The rule: how much party, amount and date must bear out a key of each kind."""
        edges, cases, equal = self.edges, self._cases, self.equal
        party, its = cases.lines.party[edges.line], cases.records.party[edges.record]
        same = (party == its) & (party >= 0)
        other = (party >= 0) & (its >= 0) & ~same
        exact, memo, loose = (edges.form == form for form in (EXACT, MEMO, LOOSE))
        of_load = (edges.kind == 2) | (edges.kind == 3)
        long = edges.length >= np.select([exact, memo & ~equal, memo, loose], [4, 6, 5, 5], 4)
        # The same party: the amount may differ, unless the key stands among other words.
        by_party = same & (equal | (close & long & (~memo | of_load)))
        by_amount = ~other & equal & close & long
        distinctive = exact & ~same
        distinctive[distinctive] = self._keys.distinctive(edges.only(distinctive))
        by_itself = distinctive & (party == BLANK) & close
        decisive = (by_party | by_amount | by_itself) & ~edges.group
        hint = same | equal | distinctive | (exact & (party == BLANK))
        verdict = np.where(decisive, _DECISIVE, np.where(hint, _WEAK, _NO))
        # Whose number is exactly one record's is no other's because of its memo.
        owned = np.full(cases.lines.count, -1)
        mine = exact & (verdict > _NO)
        owned[edges.line[mine]] = edges.record[mine]
        elsewhere = (owned[edges.line] >= 0) & (owned[edges.line] != edges.record)
        return np.where((memo | loose) & elsewhere, np.minimum(verdict, _WEAK), verdict)

    def only(self, which: Flags) -> Edges:
        return self.edges.only(which)

    @property
    def free(self) -> Flags:
        """Both sides have no case yet."""
        lines, records = self._cases.lines, self._cases.records
        return lines.free[self.edges.line] & records.free[self.edges.record]


# ---------------------------------------------------------------- cases


class _Cases:
    """Lines and records, and what belongs together so far."""

    def __init__(self, lines: _Side, records: _Side) -> None:
        self.lines, self.records = lines, records
        most = lines.count + records.count
        self.state, self.how = np.zeros(most, np.int64), np.full(most, _ALONE)
        self.count = 0

    def comparable(self, line: Ints, record: Ints) -> Flags:
        """Whether both amounts are known, and not of two currencies."""
        known = (self.lines.amount[line] != _MISSING) & (self.records.amount[record] != _MISSING)
        return known & ~self.foreign(line, record)

    def foreign(self, line: Ints, record: Ints) -> Flags:
        """Whether both sides name a currency, and not the same."""
        ours, its = self.lines.currency[line], self.records.currency[record]
        return (ours != its) & (ours > 0) & (its > 0)

    def open(self, number: int, state: int, how: Ints | int) -> Ints:
        """So many new cases."""
        new = np.arange(self.count, self.count + number)
        self.state[new], self.how[new] = state, how
        self.count += number
        return new

    def pair(self, line: Ints, record: Ints, how: Ints) -> None:
        """A case for each pair."""
        new = self.open(len(line), _PAIR, how)
        self.lines.case[line] = new
        self.records.case[record] = new

    def join(self, line: Ints, record: Ints, how: Ints, state: int) -> Ints:
        """A case for all that hang together; the pairs are given the best first."""
        label = _components(line, record + self.lines.count)
        labels, first, place = np.unique(label, return_index=True, return_inverse=True)
        new = self.open(len(labels), state, how[first])
        self.lines.case[line] = new[place]
        self.records.case[record] = new[place]
        return new

    def sizes(self) -> tuple[Ints, Ints]:
        """How many lines and how many records each case has."""
        return tuple(  # type: ignore[return-value]
            np.bincount(side.case[~side.free], minlength=self.count)
            for side in (self.lines, self.records)
        )


def _components(one: Ints, other: Ints) -> Ints:
    """A label for each edge, the same for edges that hang together."""
    nodes, ends = np.unique(np.concatenate((one, other)), return_inverse=True)
    a, b = ends[: len(one)], ends[len(one) :]
    label = np.arange(len(nodes))
    while True:
        least = np.minimum(label[a], label[b])
        if (label[a] == least).all() and (label[b] == least).all():
            return least
        # Whole trees are hung below the smaller root at once, so that chains end soon.
        np.minimum.at(label, label[a], least)
        np.minimum.at(label, label[b], least)
        label = label[label]


# ---------------------------------------------------------------- by keys


def _by_keys(cases: _Cases, all_keys: Keys) -> None:
    """Pairs by a key first, the surest first; then what a key or the party suggests."""
    edges = all_keys.exact()
    exact = _Judged(edges, cases, all_keys)
    _agreeing(cases, exact, 0)
    if _learn(cases, 2):
        exact = _Judged(edges, cases, all_keys)
        _agreeing(cases, exact, 0)
    lines, records = cases.lines, cases.records
    rest = edges.only(lines.free[edges.line] | records.free[edges.record])
    judged = _Judged(Edges.of(rest, all_keys.near(lines.free, records.free)), cases, all_keys)
    for rank in range(6):
        _agreeing(cases, judged, rank)
        _twice(cases, judged, rank)
    _differing(cases, judged)
    _left_over(cases, judged)
    _learn(cases, 1)  # once is enough to suggest
    _suggest(cases, judged)


def _agreeing(cases: _Cases, judged: _Judged, rank: int) -> None:
    """Pairs by a key of that rank with the same amount; of the same day first, as numbers may
    come again. One line for two, or two for one: the same document twice."""
    edges = judged.edges
    for days in (judged.same_day, np.ones(len(edges), bool)):
        decisive = judged.free & (judged.verdict == _DECISIVE)
        better = _better(judged, decisive)
        here = decisive & judged.equal & (judged.rank == rank) & ~better & days
        single = here & _alone(edges.line, here) & _alone(edges.record, here)
        cases.pair(edges.line[single], edges.record[single], judged.how[single])
    several = here & judged.free
    state = _DUPLICATE if rank <= 3 else _UNCERTAIN
    cases.join(edges.line[several], edges.record[several], judged.how[several], state)


def _better(judged: _Judged, among: Flags) -> Flags:
    """Whether the line or the record has a better key for another one."""
    worse = np.zeros(len(among), bool)
    for side in (judged.edges.line, judged.edges.record):
        best = np.full(side.max(initial=-1) + 1, 9)
        np.minimum.at(best, side[among], judged.rank[among])
        worse |= best[side] < judged.rank
    return worse


def _alone(side: Ints, among: Flags) -> Flags:
    counts = np.bincount(side[among], minlength=side.max(initial=-1) + 1)
    return np.asarray(counts[side] == 1)


def _twice(cases: _Cases, judged: _Judged, rank: int) -> None:
    """What would be a pair with the same amount, were the other side not taken: a duplicate."""
    edges, lines, records = judged.edges, cases.lines, cases.records
    of_load = (edges.kind == 2) | (edges.kind == 3)
    which = (judged.verdict == _DECISIVE) & judged.equal & (judged.rank == rank)
    which &= (rank <= 3) | of_load
    for side, at, other, to in (
        (lines, edges.line, records, edges.record),
        (records, edges.record, lines, edges.line),
    ):
        state = cases.state[other.case[to]]
        again = which & side.free[at] & ~other.free[to] & (state <= _DUPLICATE)
        side.case[at[again]] = other.case[to[again]]
        cases.state[side.case[at[again]]] = _DUPLICATE


def _learn(cases: _Cases, times: int) -> bool:
    """Whom a strange name means, if its lines were all found to be one party's, so many times."""
    lines, records = cases.lines, cases.records
    record_of = np.full(cases.count, -1)
    record_of[records.case[~records.free]] = np.flatnonzero(~records.free)
    strange = np.flatnonzero(~lines.free & (lines.party == UNKNOWN))
    if not len(strange):
        return False
    party = pd.Series(records.party[record_of[lines.case[strange]]]).groupby(lines.name[strange])
    told = party.agg(["min", "max", "size"])
    told = told[(told["min"] == told["max"]) & (told["min"] >= 0) & (told["size"] >= times)]
    for name, code in told["min"].items():
        lines.party[lines.name == name] = code
    return len(told) > 0


def _differing(cases: _Cases, judged: _Judged) -> None:
    """Pairs by a key with another amount; several for one are not certain."""
    edges = judged.edges
    decisive = judged.free & (judged.verdict == _DECISIVE)
    decisive &= judged.equal | ~_better(judged, decisive)
    single = decisive & _alone(edges.line, decisive) & _alone(edges.record, decisive)
    cases.pair(edges.line[single], edges.record[single], judged.how[single])
    several = np.flatnonzero(decisive & ~single)
    several = several[np.argsort(judged.rank[several], kind="stable")]
    line, record = edges.line[several], edges.record[several]
    new = cases.join(line, record, judged.how[several], _UNCERTAIN)
    cases.state[new[_is_twice(cases, new)]] = _DUPLICATE


def _is_twice(cases: _Cases, new: Ints) -> Flags:
    """Whether one side of a case is one document several times, and not its parts."""
    lines, records = _Sums(cases.lines, cases.count), _Sums(cases.records, cases.count)
    twice = (lines.repeated & (records.number == 1)) | (records.repeated & (lines.number == 1))
    return np.asarray((twice & (lines.total != records.total))[new])


class _Sums:
    """The amounts of one side by case: how many, their total, whether one comes several times."""

    def __init__(self, side: _Side, cases: int) -> None:
        members = np.flatnonzero(~side.free)
        case, amount = side.case[members], side.amount[members]
        self.number = np.bincount(case, minlength=cases)
        self.total, least = np.zeros(cases, np.int64), np.full(cases, _MOST)
        most = np.full(cases, _MISSING)
        np.add.at(self.total, case, np.where(amount == _MISSING, 0, amount))
        np.minimum.at(least, case, amount)
        np.maximum.at(most, case, amount)
        self.known = least != _MISSING
        self.repeated = (self.number > 1) & (least == most) & self.known


def _left_over(cases: _Cases, judged: _Judged) -> None:
    """What has the very number of another pair is neither missing nor foreign: look at it."""
    edges = judged.edges
    which = (judged.verdict == _DECISIVE) & (judged.rank == 0)
    for side, at, other, to in (
        (cases.lines, edges.line, cases.records, edges.record),
        (cases.records, edges.record, cases.lines, edges.line),
    ):
        left = which & side.free[at] & ~other.free[to]
        places, first = np.unique(at[left], return_index=True)
        side.case[places] = cases.open(len(places), _LEFT_OVER, judged.how[left][first])


# ---------------------------------------------------------------- by party


def _suggest(cases: _Cases, judged: _Judged) -> None:
    """What shares a key that is not enough, or party, amount and date: not certain."""
    edges = judged.edges
    weak = np.flatnonzero(judged.free & (judged.verdict == _WEAK))
    weak = weak[np.argsort(judged.rank[weak], kind="stable")]
    own = np.zeros(cases.lines.count, bool)
    own[edges.line[(judged.rank == 0) & (judged.verdict > _NO)]] = True
    line, record = _near_in_time(cases, ~own)
    cases.join(
        np.concatenate((edges.line[weak], line)),
        np.concatenate((edges.record[weak], record)),
        np.concatenate((judged.how[weak], np.full(len(line), _BY_PARTY))),
        _UNCERTAIN,
    )


def _near_in_time(cases: _Cases, may: Flags) -> tuple[Ints, Ints]:
    """Pairs of the same party and amount, the nearest first; at last those that could be several,
    each tied to the first of the other side."""
    at = [
        np.flatnonzero(
            side.free & (side.party >= 0) & (side.amount != _MISSING) & (side.day != _MISSING) & who
        )
        for side, who in ((cases.lines, may), (cases.records, True))
    ]
    found: list[tuple[Ints, Ints]] = []
    for days in SUGGESTED:
        line, record = _clusters(cases, at[0], at[1], days)
        of_line, of_record = (
            np.bincount(one, minlength=max(line.max(initial=-1), record.max(initial=-1)) + 1)
            for one in (line, record)
        )
        single = (of_line == 1) & (of_record == 1)
        pairs = at[0][single[line]], at[1][single[record]]
        order = np.argsort(line[single[line]]), np.argsort(record[single[record]])
        ours, its = pairs[0][order[0]], pairs[1][order[1]]
        fits = ~cases.foreign(ours, its)
        found.append((ours[fits], its[fits]))
        if days == SUGGESTED[-1]:
            several = (of_line > 0) & (of_record > 0) & ~single
            ends = keys.tied(line, record, several)
            found.append((at[0][ends[0]], at[1][ends[1]]))
        at = [at[0][~single[line]], at[1][~single[record]]]
    return (
        np.concatenate([one for one, _ in found]),
        np.concatenate([other for _, other in found]),
    )


def _clusters(cases: _Cases, at: Ints, to: Ints, days: int) -> tuple[Ints, Ints]:
    """A label for each line and record: the same for one party and amount, with no more than so
    many days between one date and the next."""
    ours, its = cases.lines, cases.records
    party, amount, day = (
        np.concatenate((getattr(ours, name)[at], getattr(its, name)[to]))
        for name in ("party", "amount", "day")
    )
    order = np.lexsort((day, amount, party))
    new = np.zeros(len(order), np.int64)
    for values, gap in ((party, 0), (amount, 0), (day, days)):
        new[1:] |= np.diff(values[order]) > gap
        new[1:] |= np.diff(values[order]) < 0
    label = np.empty(len(order), np.int64)
    label[order] = np.cumsum(new)
    return label[: len(at)], label[len(at) :]


def _by_sums(cases: _Cases, expected: Flags) -> None:
    """One line that pays several records, or several lines for one record: not certain.

    What is already a pair, and differs, may be explained by others that make up the difference.
    """
    lines, records = cases.lines, cases.records
    pairs = _paired(cases)
    known = cases.comparable(*pairs) & ~lines.only_open[pairs[0]]
    line, record = pairs[0][known], pairs[1][known]
    more = lines.amount[line] - records.amount[record]
    for side, ends, difference, other, may in (
        (lines, line, more, records, expected),
        (records, record, -more, lines, np.ones(lines.count, bool)),
    ):
        here = difference > 0
        _add_up(cases, side, ends[here], difference[here], other, may)
        whole = np.flatnonzero(side.free & (side.amount > 0))
        _add_up(cases, side, whole, side.amount[whole], other, may)


def _add_up(
    cases: _Cases, side: _Side, targets: Ints, amount: Ints, other: _Side, may: Flags
) -> None:
    """Find the parts of each target among what is free on the other side."""
    can = (side.party >= 0) & (side.day != _MISSING)
    amount, targets = amount[can[targets]], targets[can[targets]]
    parts = np.flatnonzero(
        other.free & may & (other.party >= 0) & (other.day != _MISSING) & (other.amount > 0)
    )
    fewest = 2 if len(targets) and side.free[targets[0]] else 1
    for target, chosen in adding_up(
        side.party[targets],
        side.day[targets],
        amount,
        (other.party[parts], other.day[parts], other.amount[parts]),
        fewest,
    ):
        one, several = targets[target], parts[chosen]
        pair = (one, several) if side is cases.lines else (several, one)
        if cases.foreign(*pair).any():
            continue
        if side.free[one]:
            side.case[one] = cases.open(1, _UNCERTAIN, _BY_SUM)[0]
        other.case[several] = side.case[one]
        cases.state[side.case[one]] = _UNCERTAIN


def _paired(cases: _Cases) -> tuple[Ints, Ints]:
    """The lines and records that are a pair, beside each other."""
    ends = []
    for side in (cases.lines, cases.records):
        members = np.flatnonzero(~side.free)
        members = members[cases.state[side.case[members]] == _PAIR]
        ends.append(members[np.argsort(side.case[members], kind="stable")])
    return ends[0], ends[1]


# ---------------------------------------------------------------- the result


class _Result:
    """What is said of each case, line and record."""

    def __init__(self, cases: _Cases, records: pd.DataFrame, scope: Scope) -> None:
        self._cases, self._scope = cases, scope
        self._ids = records.index.to_numpy(np.int64)
        status = records["sync_status"].to_numpy(np.int64)
        self._failed, self._pending = (
            status == int(one) for one in (SyncStatus.FAILED, SyncStatus.PENDING)
        )
        self._dropped = _is(records, "closed_reason", CloseReason.WILL_NOT_SYNC)
        self._voided = _is(records, "tms_status", "Voided")
        self._in_scope = ~self._dropped & ~self._voided & _within(cases.records.day, scope)

    def frame(self) -> pd.DataFrame:
        """The result, in the order of the lines; what has no line comes last."""
        cases, lines, records = self._cases, self._cases.lines, self._cases.records
        self._open_the_rest()
        self._of_line, self._of_record = cases.sizes()
        both = (self._of_line == 1) & (self._of_record == 1)
        member = np.flatnonzero(~records.free)
        partner = np.full(cases.count, -1)
        partner[records.case[member]] = member
        left = cases.state[records.case[member]] == _LEFT_OVER
        beside = member[~both[records.case[member]] & (~left | self._in_scope[member])]
        case = np.concatenate((lines.case, records.case[beside]))
        line = np.concatenate((np.arange(lines.count), np.full(len(beside), -1)))
        record = np.concatenate((np.where(both, partner, -1)[lines.case], beside))
        first = np.full(cases.count, len(case))
        np.minimum.at(first, case, np.arange(len(case)))
        order = np.argsort(first[case], kind="stable")
        case, line, record = case[order], line[order], record[order]
        bucket, reason, reasons = self._said()
        return pd.DataFrame(
            {
                "bucket": _texts(list(Bucket), bucket[case]),
                "case": np.cumsum(np.diff(first[case], prepend=-1) > 0) - 1,
                "line": _integers(line, line < 0),
                "record": _integers(np.append(self._ids, 0)[record], record < 0),
                "how": _texts(_HOW, cases.how[case]),
                "reason": _texts(reasons, reason[case]),
                "difference": self._difference(line, record),
            }
        )

    def _open_the_rest(self) -> None:
        """A case for each line and each record that is left and has something to say."""
        for side, state, which in (
            (self._cases.lines, _LINE, True),
            (self._cases.records, _RECORD, self._in_scope),
        ):
            left = np.flatnonzero(side.free & which)
            side.case[left] = self._cases.open(len(left), state, _ALONE)

    def _difference(self, line: Ints, record: Ints) -> "pd.Series[Any]":
        lines, records = self._cases.lines, self._cases.records
        known = (line >= 0) & (record >= 0)
        known[known] = self._cases.comparable(line[known], record[known])
        difference = np.zeros(len(line), np.int64)
        difference[known] = lines.amount[line[known]] - records.amount[record[known]]
        return _integers(difference, ~known)

    def _said(self) -> tuple[Ints, Ints, list[str]]:
        """Of each case: its bucket, and which of the reasons."""
        cases = self._cases
        missing = Bucket.NOT_IN_REPORT
        if self._scope.coverage is Coverage.ALL:
            missing = Bucket.NOT_IN_BOOKS
        of_state = {
            _PAIR: Bucket.AGREES,
            _DUPLICATE: Bucket.DUPLICATE,
            _UNCERTAIN: Bucket.UNCERTAIN,
            _LEFT_OVER: Bucket.UNCERTAIN,
            _LINE: Bucket.ONLY_IN_BOOKS,
            _RECORD: missing,
        }
        places = [list(Bucket).index(bucket) for bucket in of_state.values()]
        state = cases.state[: cases.count]
        bucket, reason = np.array(places)[state], np.zeros(cases.count, np.int64)
        line, record = _paired(cases)
        pairs = cases.lines.case[line]
        bucket[pairs], reason[pairs], reasons = self._of_pairs(line, record)
        groups = np.flatnonzero((state == _DUPLICATE) | (state == _UNCERTAIN))
        left = np.flatnonzero(state == _LEFT_OVER)
        told, place = self._of_groups(groups)
        reason[groups] = place + len(reasons)
        reasons += told
        reason[left] = len(reasons) + (self._of_line[left] == 0)
        reasons += [
            "Another line of the report has this number, and belongs to the record",
            "The line with this number belongs to another record",
        ]
        return bucket, reason, reasons

    def _of_pairs(self, line: Ints, record: Ints) -> tuple[Ints, Ints, list[str]]:
        cases = self._cases
        known, foreign = cases.comparable(line, record), cases.foreign(line, record)
        more = np.where(known, cases.lines.amount[line] - cases.records.amount[record], 0)
        part = cases.lines.only_open[line] & (more < 0)
        differs, unknown = foreign | ((more != 0) & ~part), ~known & ~foreign
        failed, pending = self._failed[record], self._pending[record]
        bucket = np.select(
            [differs, unknown, failed | pending],
            [list(Bucket).index(one) for one in (Bucket.AMOUNT, Bucket.UNCERTAIN, Bucket.STATUS)],
            list(Bucket).index(Bucket.AGREES),
        )
        party = cases.lines.party[line]
        notes = {
            "The currencies differ": foreign,
            "The amount can't be compared, as one side does not tell it": unknown,
            "Only the open part of the amount is known": part,
            "Failed here": failed,
            "Pending here": pending,
            "Closed here as “Will not be synced”": self._dropped[record],
            "Voided here": self._voided[record],
            "The books name another party": (party != cases.records.party[record])
            & (party != BLANK),
        }
        code = sum(flag.astype(np.int64) << bit for bit, flag in enumerate(notes.values()))
        codes, place = np.unique(code, return_inverse=True)
        # The first reason is none: cases without a word of their own count from 0.
        return bucket, place + 1, ["", *(_sentence(notes, int(one)) for one in codes)]

    def _of_groups(self, groups: Ints) -> tuple[list[str], Ints]:
        cases = self._cases
        lines, records = _Sums(cases.lines, cases.count), _Sums(cases.records, cases.count)
        adds = lines.known & records.known & (lines.total == records.total)
        code = np.zeros(len(groups), np.int64)
        for value, bits in (
            (cases.state[: cases.count], 3),
            (cases.how[: cases.count], 4),
            (adds, 1),
            (lines.number, 28),
            (records.number, 28),
        ):
            code = code << bits | value[groups]
        _, first, place = np.unique(code, return_index=True, return_inverse=True)
        return [
            _why(
                int(cases.state[case]),
                int(cases.how[case]),
                bool(adds[case]),
                int(lines.number[case]),
                int(records.number[case]),
            )
            for case in groups[first]
        ], place


def _within(day: Ints, scope: Scope) -> Flags:
    start = _MISSING + 1 if scope.start is None else (scope.start - _EPOCH).days
    end = _MOST if scope.end is None else (scope.end - _EPOCH).days
    return np.asarray((day >= start) & (day <= end))


def _sentence(notes: Mapping[str, Flags], code: int) -> str:
    return "; ".join(note for bit, note in enumerate(notes) if code >> bit & 1)


def _why(state: int, how: int, adds: bool, lines: int, records: int) -> str:
    """Why a case is a duplicate or not certain."""
    ours, its = f"{lines:,} lines of the report", f"{records:,} records here"
    several = ours if records == 1 else its if lines == 1 else f"{ours} and {its}"
    if state == _DUPLICATE:
        return f"{several} are the same document"
    if lines == records == 1:
        if how == _BY_PARTY:
            return "Party and amount agree and the dates are close, but there is no common number"
        return "The number agrees, but too little else does"
    if adds and 1 in (lines, records):
        return f"{several} add up to this {'line' if lines == 1 else 'record'}"
    return f"{several} have this {'party and amount' if how == _BY_PARTY else 'number'}"


def _texts(words: Sequence[str], codes: Ints) -> "pd.Series[Any]":
    """The words by their places."""
    array = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words, pa.large_string()))
    return array.cast(pa.large_string()).to_pandas()


def _integers(values: Ints, missing: Flags) -> "pd.Series[Any]":
    return pd.Series(pd.arrays.IntegerArray(values.astype(np.int64), missing))
