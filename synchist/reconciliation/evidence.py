"""What it counts for that a line and a record share a key: the rule by which pairs are made."""

import numpy as np

from synchist.reconciliation.cases import IN_MEMO, MISSING, Cases
from synchist.reconciliation.keys import BARE, EXACT, MEMO, WRITTEN, Edges, Flags, Ints, Keys
from synchist.reconciliation.names import BLANK

CLOSE = 60
"""Days between the dates of the two sides within which a key is taken for the same document."""

LAST = 6
"""The rank of the poorest key."""

OF_MEMO = 4
"""The rank of a key that is a word of the memo."""

NO, WEAK, DECISIVE = range(3)


class Judged:
    """Pairs that share a key, and what that counts for: their `verdict`, and whether the amounts
    are `equal`. `rank` orders the kinds of keys, the best is 0."""

    def __init__(self, edges: Edges, cases: Cases, all_keys: Keys) -> None:
        self.edges, self._cases, self._keys = edges, cases, all_keys
        ours, its = cases.lines, cases.records
        line, record = edges.line, edges.record
        self.equal = cases.comparable(line, record) & (ours.amount[line] == its.amount[record])
        gap = np.abs(np.where(ours.day == MISSING, 0, ours.day)[line] - its.day[record])
        unknown = (ours.day[line] == MISSING) | (its.day[record] == MISSING)
        self.same_day = ~unknown & (gap == 0)
        self.rank = np.select(
            [
                edges.form == EXACT,
                (edges.form == WRITTEN) & (edges.kind < 2),
                (edges.form == WRITTEN) & (edges.kind < 4),
                edges.form == WRITTEN,
                edges.form == MEMO,
                edges.form == BARE,
            ],
            range(6),
            LAST,
        )
        # What was never meant to be in the books is the second choice.
        self.unexpected = ~its.expected[record]
        self.rank[self.unexpected] += LAST + 1
        self.how = np.where((edges.form == MEMO) & (edges.kind < 2), IN_MEMO, edges.kind)
        self.verdict = self._weigh(unknown | (gap <= CLOSE))

    def _weigh(self, close: Flags) -> Ints:
        """The rule: how much party, amount and date must bear out a key of each kind."""
        edges, cases, equal = self.edges, self._cases, self.equal
        party, its = cases.lines.party[edges.line], cases.records.party[edges.record]
        same = (party == its) & (party >= 0)
        other = (party >= 0) & (its >= 0) & ~same
        exact, memo = edges.form == EXACT, edges.form == MEMO
        of_load = (edges.kind == 2) | (edges.kind == 3)
        # A number names a document. A word of the memo or mere digits may be there by chance, and
        # of a load there can be several bills.
        names = exact | (edges.form == WRITTEN)
        enough = names | (close & (edges.length >= 4))
        long = edges.length >= np.where(names, 4, np.where(memo, 6, 5))
        may_differ = names | (memo & of_load & ~self._keys.numbered[edges.line])
        may_differ |= (edges.form == BARE) & (edges.length >= 6)
        by_party = same & ((equal & enough) | (may_differ & close & long))
        by_amount = ~other & equal & close & long
        distinctive = exact & ~same
        distinctive[distinctive] = self._keys.distinctive(edges.only(distinctive))
        by_itself = distinctive & (party == BLANK) & close
        decisive = (by_party | by_amount | by_itself) & ~edges.group
        hint = (same & enough) | (equal & long & (names | ~other))
        hint |= distinctive | (exact & (equal | (party == BLANK)))
        verdict = np.where(decisive, DECISIVE, np.where(hint, WEAK, NO))
        # Whose number is exactly one record's is no other's because of its memo.
        owned = np.full(cases.lines.count, -1)
        mine = exact & (verdict > NO)
        owned[edges.line[mine]] = edges.record[mine]
        elsewhere = (owned[edges.line] >= 0) & (owned[edges.line] != edges.record)
        return np.where(~names & elsewhere, np.minimum(verdict, WEAK), verdict)

    @property
    def free(self) -> Flags:
        """Both sides have no case yet."""
        lines, records = self._cases.lines, self._cases.records
        return lines.free[self.edges.line] & records.free[self.edges.record]
