"""What the result says of each line, each record and each pair, in the words that users read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synchist.reconciliation.cases import (
    ALONE,
    BY_PARTY,
    DUPLICATE,
    HOW,
    LEFT_OVER,
    LINE,
    MISSING,
    MOST,
    PAIR,
    RECORD,
    UNCERTAIN,
    Cases,
    Sums,
    says,
)
from synchist.reconciliation.keys import Flags, Ints
from synchist.reconciliation.names import BLANK
from synchist.reconciliation.report import Coverage
from synchist.statuses import CloseReason, SyncStatus

_EPOCH = date(1970, 1, 1)


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


def told(cases: Cases, records: pd.DataFrame, scope: Scope) -> pd.DataFrame:
    """The result of the matching, in the order of the lines; what has no line comes last."""
    return _Result(cases, records, scope).frame()


class _Result:
    """What is said of each case, line and record."""

    def __init__(self, cases: Cases, records: pd.DataFrame, scope: Scope) -> None:
        self._cases, self._scope = cases, scope
        self._ids = records.index.to_numpy(np.int64)
        self._status = records["sync_status"].to_numpy(np.int64)
        self._dropped = says(records, "closed_reason", CloseReason.WILL_NOT_SYNC)
        self._voided = says(records, "tms_status", "Voided")
        self._due = cases.records.expected & _within(cases.records.day, scope)
        self._open_the_rest()
        lines, its = Sums(cases.lines, cases.count), Sums(cases.records, cases.count)
        self._of_line, self._of_record = lines.number, its.number
        self._adds_up = lines.known & its.known & (lines.total == its.total)

    def frame(self) -> pd.DataFrame:
        cases, lines, records = self._cases, self._cases.lines, self._cases.records
        both = (self._of_line == 1) & (self._of_record == 1)
        member = np.flatnonzero(~records.free)
        left_over = cases.state[records.case[member]] == LEFT_OVER
        beside = member[~both[records.case[member]] & (~left_over | self._due[member])]
        case = np.concatenate((lines.case, records.case[beside]))
        line = np.concatenate((np.arange(lines.count), np.full(len(beside), -1)))
        record = np.concatenate(
            (np.where(both, records.of_case(cases.count), -1)[lines.case], beside)
        )
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
                "how": _texts(HOW, cases.how[case]),
                "reason": _texts(reasons, reason[case]),
                "difference": self._difference(line, record),
            }
        )

    def _open_the_rest(self) -> None:
        """A case for each line and each record that is left and has something to say."""
        for side, state, which in (
            (self._cases.lines, LINE, True),
            (self._cases.records, RECORD, self._due),
        ):
            left = np.flatnonzero(side.free & which)
            side.case[left] = self._cases.open(len(left), state, ALONE)

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
            PAIR: Bucket.AGREES,
            DUPLICATE: Bucket.DUPLICATE,
            UNCERTAIN: Bucket.UNCERTAIN,
            LEFT_OVER: Bucket.UNCERTAIN,
            LINE: Bucket.ONLY_IN_BOOKS,
            RECORD: missing,
        }
        places = [list(Bucket).index(bucket) for bucket in of_state.values()]
        state = cases.state[: cases.count]
        bucket, reason = np.array(places)[state], np.zeros(cases.count, np.int64)
        line, record = cases.pairs()
        pairs = cases.lines.case[line]
        bucket[pairs], reason[pairs], reasons = self._of_pairs(line, record)
        groups = np.flatnonzero((state == DUPLICATE) | (state == UNCERTAIN))
        left = np.flatnonzero(state == LEFT_OVER)
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
        failed, pending = (
            self._status[record] == int(one) for one in (SyncStatus.FAILED, SyncStatus.PENDING)
        )
        bucket = np.select(
            [differs, unknown, failed | pending],
            [list(Bucket).index(one) for one in (Bucket.AMOUNT, Bucket.UNCERTAIN, Bucket.STATUS)],
            list(Bucket).index(Bucket.AGREES),
        )
        party = cases.lines.as_named[line]
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
        """The different reasons, and which of them each group has."""
        columns = (
            self._cases.state[: self._cases.count],
            self._cases.how[: self._cases.count],
            self._adds_up,
            self._of_line,
            self._of_record,
        )
        facts = pd.MultiIndex.from_arrays([column[groups] for column in columns])
        place, different = pd.factorize(facts)
        return [_why(*fact) for fact in different], place


def _within(day: Ints, scope: Scope) -> Flags:
    start = MISSING + 1 if scope.start is None else (scope.start - _EPOCH).days
    end = MOST if scope.end is None else (scope.end - _EPOCH).days
    return np.asarray((day >= start) & (day <= end))


def _sentence(notes: Mapping[str, Flags], code: int) -> str:
    return "; ".join(note for bit, note in enumerate(notes) if code >> bit & 1)


def _why(state: int, how: int, adds: bool, lines: int, records: int) -> str:
    """Why a case is a duplicate or not certain."""
    ours, its = f"{lines:,} lines of the report", f"{records:,} records here"
    several = ours if records == 1 else its if lines == 1 else f"{ours} and {its}"
    if state == DUPLICATE:
        return f"{several} are the same document"
    if lines == records == 1:
        if how == BY_PARTY:
            return "Party and amount agree and the dates are close, but there is no common number"
        return "The number agrees, but too little else does"
    if adds and 1 in (lines, records):
        return f"{several} add up to this {'line' if lines == 1 else 'record'}"
    return f"{several} have this {'party and amount' if how == BY_PARTY else 'number'}"


def _texts(words: Sequence[str], codes: Ints) -> "pd.Series[Any]":
    """The words by their places."""
    array = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(words, pa.large_string()))
    texts: pd.Series[Any] = array.cast(pa.large_string()).to_pandas()
    return texts


def _integers(values: Ints, missing: Flags) -> "pd.Series[Any]":
    return pd.Series(pd.arrays.IntegerArray(values.astype(np.int64), missing))
