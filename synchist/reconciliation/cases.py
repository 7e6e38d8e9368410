"""Lines and records side by side, and which of them belong together so far."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synchist.currencies import exponent
from synchist.reconciliation.keys import KINDS, Flags, Ints, texts_of
from synchist.reconciliation.names import BLANK, Parties
from synchist.reconciliation.report import DECIMALS
from synchist.statuses import CloseReason

MISSING = np.iinfo(np.int64).min
"""A day or an amount that is not known."""

MOST = 9 * 10**17
"""Amounts, in ten-thousandths, that can still be added up; larger ones count as not known."""

HOW = (*KINDS.values(), "Number in the memo", "Party, amount and date", "Party and sum", "")
"""By what lines and records belong together: a key of KINDS, or one of these."""

IN_MEMO, BY_PARTY, BY_SUM, ALONE = range(len(KINDS), len(HOW))

PAIR, DUPLICATE, UNCERTAIN, LEFT_OVER, LINE, RECORD = range(6)
"""What a case is; the last three are a line or a record alone."""


class Side:
    """Lines or records by position: amount in ten-thousandths, day, currency, party and case.

    `party` is a code of `Parties`, `as_named` what it was before anything was learned of its name,
    `case` -1 where there is none yet. `only_open` marks amounts
    that may be less than the document's, `expected` what was meant to be on the other side at all.
    """

    def __init__(self, frame: pd.DataFrame, amount: Ints) -> None:
        self.count = len(frame)
        self.amount = np.where(np.abs(amount) > MOST, MISSING, amount)
        self.day = _days(frame["date"])
        self.currency = _currencies(frame["currency"])
        self.name, self.names = _encoded(frame["party"])
        self.party = np.full(self.count, BLANK)
        self.as_named = self.party
        self.case = np.full(self.count, -1)
        self.only_open = np.zeros(self.count, bool)
        self.expected = np.ones(self.count, bool)

    @property
    def free(self) -> Flags:
        """What has no case yet."""
        return np.asarray(self.case < 0)

    def of_case(self, cases: int) -> Ints:
        """For each case one that it holds, -1 for none."""
        members, found = np.flatnonzero(~self.free), np.full(cases, -1)
        found[self.case[members]] = members
        return found

    @property
    def datable(self) -> Flags:
        """What can be found by party, amount and date: all three are known."""
        return np.asarray((self.party >= 0) & (self.amount != MISSING) & (self.day != MISSING))


def sides(documents: pd.DataFrame, records: pd.DataFrame, only_open: bool) -> tuple[Side, Side]:
    """The lines and the records, with their parties recognized."""
    amount, balance = _whole(documents["amount"]), _whole(documents["open_balance"])
    unknown = amount == MISSING
    lines = Side(documents, np.where(unknown, balance, amount))
    lines.only_open = unknown | only_open
    found = Side(records, _scaled(records))
    found.expected = ~says(records, "closed_reason", CloseReason.WILL_NOT_SYNC)
    found.expected &= ~says(records, "tms_status", "Voided")
    parties = Parties(found.names)
    lines.party = np.array([*parties.recognize(lines.names), BLANK], np.int64)[lines.name]
    lines.as_named = lines.party.copy()
    found.party = np.array([*parties.codes(found.names), BLANK], np.int64)[found.name]
    return lines, found


def says(records: pd.DataFrame, column: str, value: str) -> Flags:
    """Which records have that text in a column, if it is there."""
    if column not in records:
        return np.zeros(len(records), bool)
    return np.asarray(records[column].eq(value).fillna(False).to_numpy(bool))


def _scaled(records: pd.DataFrame) -> Ints:
    """Minor units as ten-thousandths."""
    amount = _whole(records["amount"])
    code, names = _encoded(records["currency"])
    scale = np.array([*(10 ** (DECIMALS - exponent(name)) for name in names), 100])[code]
    too_large = np.abs(amount) > MOST // scale
    return np.where(too_large, MISSING, np.where(too_large, 0, amount) * scale)


def _whole(amounts: "pd.Series[Any]") -> Ints:
    return np.asarray(amounts.astype("Int64").to_numpy(np.int64, na_value=MISSING), np.int64)


def _days(dates: "pd.Series[Any]") -> Ints:
    if dates.isna().all():  # of whatever kind
        return np.full(len(dates), MISSING)
    days = pa.array(dates, pa.date32(), from_pandas=True).cast(pa.int32()).cast(pa.int64())
    return np.asarray(days.fill_null(MISSING).to_numpy(zero_copy_only=False))


def _encoded(texts: "pd.Series[Any]") -> tuple[Ints, list[str]]:
    """Which of the different texts stands at each place, -1 for none; and the texts."""
    coded = texts_of(texts).dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return codes, coded.dictionary.to_pylist()


def _currencies(texts: "pd.Series[Any]") -> Ints:
    """A currency as a number, 0 where it is not given."""
    codes, names = _encoded(texts)
    letters = [int.from_bytes(name.strip().upper().encode()[:7]) for name in names]
    return np.array([*letters, 0], np.int64)[codes]


class Cases:
    """Lines and records, and what belongs together so far."""

    def __init__(self, lines: Side, records: Side) -> None:
        self.lines, self.records = lines, records
        most = lines.count + records.count
        self.state, self.how = np.zeros(most, np.int64), np.full(most, ALONE)
        self.count = 0

    def comparable(self, line: Ints, record: Ints) -> Flags:
        """Whether both amounts are known, and not of two currencies."""
        known = (self.lines.amount[line] != MISSING) & (self.records.amount[record] != MISSING)
        return np.asarray(known & ~self.foreign(line, record))

    def foreign(self, line: Ints, record: Ints) -> Flags:
        """Whether both sides name a currency, and not the same."""
        ours, its = self.lines.currency[line], self.records.currency[record]
        return np.asarray((ours != its) & (ours > 0) & (its > 0))

    def open(self, number: int, state: int, how: Ints | int) -> Ints:
        """So many new cases."""
        new = np.arange(self.count, self.count + number)
        self.state[new], self.how[new] = state, how
        self.count += number
        return new

    def pair(self, line: Ints, record: Ints, how: Ints) -> None:
        """A case for each pair."""
        new = self.open(len(line), PAIR, how)
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

    def pairs(self) -> tuple[Ints, Ints]:
        """The lines and the records that are a pair, beside each other."""
        pairs = np.flatnonzero(self.state[: self.count] == PAIR)
        return self.lines.of_case(self.count)[pairs], self.records.of_case(self.count)[pairs]


def _components(one: Ints, other: Ints) -> Ints:
    """A label for each edge, the same for edges that hang together."""
    nodes, ends = np.unique(np.concatenate((one, other)), return_inverse=True)
    a, b = ends[: len(one)], ends[len(one) :]
    label = np.arange(len(nodes))
    while True:
        least = np.minimum(label[a], label[b])
        if (label[a] == least).all() and (label[b] == least).all():
            return np.asarray(least)
        # Whole trees are hung below the smaller root at once, so that chains end soon.
        np.minimum.at(label, label[a], least)
        np.minimum.at(label, label[b], least)
        label = label[label]


class Sums:
    """The amounts of one side by case: how many, their total, whether one comes several times."""

    def __init__(self, side: Side, cases: int) -> None:
        members = np.flatnonzero(~side.free)
        case, amount = side.case[members], side.amount[members]
        self.number = np.bincount(case, minlength=cases)
        self.total, least = np.zeros(cases, np.int64), np.full(cases, MOST)
        most = np.full(cases, MISSING)
        np.add.at(self.total, case, np.where(amount == MISSING, 0, amount))
        np.minimum.at(least, case, amount)
        np.maximum.at(most, case, amount)
        self.known = least != MISSING
        self.repeated = (self.number > 1) & (least == most) & self.known
