"""Numbers that a line of the books and a record of the TMS share: written alike, or nearly so."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Ints: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Flags: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

KINDS: Mapping[str, str] = {
    "sync_reference": "Reference",
    "number": "Number",
    "pro_number": "PRO number",
    "shipment_id": "Load number",
    "check_number": "Check number",
}
"""The columns of a record that hold a key, the best first, and how a match by them is named."""

EXACT, WRITTEN, MEMO, BARE, LOOSE = range(5)
"""How a line gives a key: as it stands; with another prefix, punctuation or zeros; among other
words; as digits alone where the other side has letters before them; with other letters."""

MOST = 100
"""Pairs that one key may give. A key that more lines and records share tells them not apart."""

_PREFIX = (
    r"(?:INVOICE|INV|BILL|PRO|PAYMENT|PYMT|PMT|CHECK|CHK|CK|LOAD|LD|SHIPMENT|SHP|REF|NUMBER|NUM|NO)"
)
_BEFORE = " 0ABCDEFGHIJKLMNOPQRSTUVWXYZ#-_./:"
_NULL = pa.scalar(None, pa.large_string())
_PREFIXES = rf"^[^A-Z0-9]*(?:{_PREFIX}(?:[^A-Z0-9]*(?:NO|NUM|NR))?[^A-Z0-9]+)*(?:{_PREFIX}([0-9]))?"
_MANGLED = r"^[0-9](\.[0-9]+)?E\+[0-9]+$"
"""What a spreadsheet makes of a long number: the digits are lost."""


@dataclass(frozen=True)
class Edges:
    """Pairs of a line and a record that share a key, by position, and by which one.

    `kind` counts through KINDS, `form` is EXACT to LOOSE, `length` is the number of digits, without
    leading zeros. `group` marks pairs that stand for more than MOST with the same key and party.
    """

    line: Ints
    record: Ints
    kind: Ints
    form: Ints
    length: Ints
    group: Flags

    def __len__(self) -> int:
        return len(self.line)

    def only(self, which: Flags | Ints) -> "Edges":
        """Those of them."""
        return Edges(*(column[which] for column in self._columns()))

    def _columns(self) -> Iterator[Any]:
        yield from (self.line, self.record, self.kind, self.form, self.length, self.group)

    @staticmethod
    def of(*parts: "Edges") -> "Edges":
        """All of them together, each pair once, by its best key."""
        columns = zip(*(part._columns() for part in parts), strict=True)
        edges = Edges(*(np.concatenate(column) for column in columns))
        pair = edges.line * (edges.record.max(initial=0) + 1) + edges.record
        order = np.lexsort((edges.kind, edges.form, pair))
        first = np.ones(len(pair), bool)
        first[1:] = pair[order][1:] != pair[order][:-1]
        return edges if first.all() else edges.only(order[first])


class Keys:
    """The keys of all lines and records, prepared as far as they are needed.

    `line_party` and `record_party` are codes of `Parties`; they tell apart what shares a number
    with too many.
    """

    def __init__(
        self,
        documents: pd.DataFrame,
        records: pd.DataFrame,
        line_party: Ints,
        record_party: Ints,
    ) -> None:
        self._reference = _Texts(_upper(documents["reference"]))
        self._also = documents["also"]
        self._of = {
            kind: _Texts(_upper(records[name]))
            for kind, name in enumerate(KINDS)
            if name in records
        }
        self._line_party, self._record_party = line_party, record_party

    @property
    def numbered(self) -> Flags:
        """Which lines have a number of their own."""
        return _flags(pc.is_valid(self._reference.digits))

    def exact(self) -> Edges:
        """Where the reference is, in any case, the one of the books or the number of the TMS."""
        lines, parts = np.arange(len(self._reference)), [NONE]
        for kind in [kind for kind in self._of if kind < 2]:
            left, right = _codes(self._reference.keys, self._of[kind].keys)
            at, to, group = self._paired(lines, left, None, right)
            form, length = np.full(len(at), EXACT), self._reference.lengths[at]
            edges = Edges(at, to, np.full(len(at), kind), form, length, group)
            parts.append(edges.only(length > 0))
        return Edges.of(*parts)

    def near(self, free_lines: Flags, free_records: Flags) -> Edges:
        """Where keys are written in another way, of lines or records that are still free."""
        lines, records = np.flatnonzero(free_lines), np.flatnonzero(free_records)
        everywhere = np.arange(len(self._reference))
        owners, tokens = self._tokens(lines)
        form = np.repeat((WRITTEN, MEMO), (len(lines), len(owners)))
        owners, texts = np.concatenate((lines, owners)), self._reference.take(lines).and_(tokens)
        parts = [NONE]
        for kind, theirs in self._of.items():
            parts.append(self._same_digits(owners, texts, form, None, theirs, kind))
            if kind < 2:
                its, as_number = theirs.take(records), np.full(len(everywhere), WRITTEN)
                ours = self._reference
                parts.append(self._same_digits(everywhere, ours, as_number, records, its, kind))
        return Edges.of(*parts)

    def distinctive(self, edges: Edges) -> Flags:
        """Whether the record's key is one that nobody else would use."""
        found = np.zeros(len(edges), bool)
        for kind, texts in self._of.items():
            here = np.flatnonzero(edges.kind == kind)
            core = _core(texts.keys.take(pa.array(edges.record[here])))
            found[here] = _flags(pc.match_substring_regex(core, "[A-Z].*[0-9]{4}|.{9}"))
        return found

    def _same_digits(
        self,
        lines: Ints,
        ours: "_Texts",
        form: Ints,
        records: Ints | None,
        its: "_Texts",
        kind: int,
    ) -> Edges:
        """However a number is written, its digits are the same: join by them, then look."""
        left, right = _codes(ours.digits, its.digits)
        at, to, group = self._paired(lines, left, records, right)
        if not len(at):
            return NONE
        one, other = ours.keys.take(pa.array(at)), its.keys.take(pa.array(to))
        core, its_core = _core(one), _core(other)
        same = _flags(pc.equal(one, other)) | _flags(pc.equal(core, its_core))
        record = to if records is None else records[to]
        bare = _flags(pc.or_(pc.ascii_is_decimal(core), pc.ascii_is_decimal(its_core)))
        forms = np.where(same, form[at], np.where(bare, BARE, LOOSE))
        edges = Edges(lines[at], record, np.full(len(at), kind), forms, ours.lengths[at], group)
        return edges.only(same | (form[at] == WRITTEN))

    def _paired(
        self, lines: Ints, left: Ints, records: Ints | None, right: Ints
    ) -> tuple[Ints, Ints, Flags]:
        """Positions of pairs with the same code, and which of them stand for many more.

        What too many share is told apart by the party; where that is not enough, each is tied to
        the first of the other side.
        """
        at, to, heavy = _join(left, right)
        if not heavy.any():
            return at, to, np.zeros(len(at), bool)
        ours = self._line_party[lines]
        its = self._record_party if records is None else self._record_party[records]
        one = np.flatnonzero((left >= 0) & heavy[left] & (ours >= 0))
        other = np.flatnonzero((right >= 0) & heavy[right] & (its >= 0))
        wide = int(self._record_party.max(initial=0)) + 1
        code = np.concatenate((left[one] * wide + ours[one], right[other] * wide + its[other]))
        code = np.unique(code, return_inverse=True)[1]
        mine, yours = code[: len(one)], code[len(one) :]
        more, others, heavy = _join(mine, yours)
        stars = tied(mine, yours, heavy)
        return (
            np.concatenate((at, one[more], one[stars[0]])),
            np.concatenate((to, other[others], other[stars[1]])),
            np.repeat((False, True), (len(at) + len(more), len(stars[0]))),
        )

    def _tokens(self, lines: Ints) -> tuple[Ints, "_Texts"]:
        """The words with digits of what else a line says, each with its line."""
        also = _upper(self._also.iloc[lines])
        reference = self._reference.keys.take(pa.array(lines))
        several = pc.match_substring_regex(reference, r"[\s,;&|]")
        reference = pc.if_else(several, reference, _NULL)
        owners, words = [np.empty(0, np.int64)], [pa.array([], pa.large_string())]
        for texts in (also, reference):
            if texts.null_count < len(texts):
                split = pc.split_pattern_regex(texts, r"[\s,;:&|()]+")
                owners.append(lines[_ints(pc.list_parent_indices(split))])
                words.append(pc.list_flatten(split))
        return np.concatenate(owners), _Texts(pa.concat_arrays(words))


# ---------------------------------------------------------------- texts


class _Texts:
    """Numbers in capitals, and their digits; these are missing where it can be no key.

    A key has a digit other than 0, and is not what a spreadsheet has made of a long number.
    """

    def __init__(self, keys: pa.Array, digits: pa.Array | None = None) -> None:
        self.keys = keys
        self.digits = _digits(keys) if digits is None else digits

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def lengths(self) -> Ints:
        """How many digits they have, 0 for no key."""
        return _ints(pc.utf8_length(self.digits).fill_null(0))

    def take(self, places: Ints) -> "_Texts":
        """Those of them."""
        chosen = pa.array(places)
        return _Texts(self.keys.take(chosen), self.digits.take(chosen))

    def and_(self, others: "_Texts") -> "_Texts":
        """These and then the others."""
        keys = pa.concat_arrays([self.keys, others.keys])
        return _Texts(keys, pa.concat_arrays([self.digits, others.digits]))


def _upper(texts: "pd.Series[Any]") -> pa.Array:
    return pc.utf8_upper(pc.utf8_trim_whitespace(texts_of(texts)))


def texts_of(column: "pd.Series[Any]") -> pa.Array:
    """A column of texts as Arrow has them, whatever pandas keeps them in."""
    if column.isna().all():  # then it may be of any kind
        return pa.nulls(len(column), pa.large_string())
    array = pa.array(column, pa.large_string(), from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _digits(texts: pa.Array) -> pa.Array:
    """The digits alone, without leading zeros; missing where that leaves nothing."""
    # Most have letters before the digits and nothing else: these need no regular expression.
    digits = pc.ascii_ltrim(texts, _BEFORE)
    other = pc.invert(pc.ascii_is_decimal(digits))
    odd = texts.filter(other)
    if len(odd):
        odd = pc.if_else(pc.match_substring_regex(odd, _MANGLED), _NULL, odd)
        odd = pc.replace_substring_regex(odd, r"\.0+$|[^0-9]+", "")
        digits = pc.replace_with_mask(digits, other, pc.ascii_ltrim(odd, "0"))
    return pc.if_else(pc.equal(digits, ""), _NULL, digits)


def _core(texts: pa.Array) -> pa.Array:
    """A key without prefix, punctuation, leading zeros and the .0 of a spreadsheet."""
    texts = pc.replace_substring_regex(texts, r"\.0+$", "")
    texts = pc.replace_substring_regex(texts, _PREFIXES, r"\1")
    texts = pc.replace_substring_regex(texts, "[^A-Z0-9]+", "")
    return pc.replace_substring_regex(texts, "^([A-Z]*)0+", r"\1")


# ---------------------------------------------------------------- joins


def _codes(left: pa.Array, right: pa.Array) -> tuple[Ints, Ints]:
    """A number for each text, the same for the same; -1 for what is not on both sides."""
    small, large = sorted((left, right), key=len)
    coded = small.dictionary_encode()
    ours = _ints(coded.indices.fill_null(-1))
    its = _ints(pc.index_in(large, value_set=coded.dictionary, skip_nulls=True).fill_null(-1))
    return (ours, its) if small is left else (its, ours)


def _join(left: Ints, right: Ints) -> tuple[Ints, Ints, Flags]:
    """Positions of all pairs with the same code, and which codes are left out: they have too many.

    Codes count from 0; -1 is paired with nothing.
    """
    codes = max(left.max(initial=-1), right.max(initial=-1)) + 1
    mine, its = np.flatnonzero(left >= 0), np.flatnonzero(right >= 0)
    ours, theirs = (
        np.bincount(left[mine], minlength=codes),
        np.bincount(right[its], minlength=codes),
    )
    heavy = ours * theirs > MOST
    if theirs.max(initial=0) > 1:
        its = its[np.argsort(right[its], kind="stable")]
        start = np.cumsum(theirs) - theirs
    else:
        start = np.zeros(codes, np.int64)
        start[right[its]] = np.arange(len(its))
    at = mine[(theirs[left[mine]] > 0) & ~heavy[left[mine]]]
    counts = theirs[left[at]]
    pairs = np.repeat(at, counts)
    within = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    return pairs, its[np.repeat(start[left[at]], counts) + within], heavy


def tied(left: Ints, right: Ints, which: Flags) -> tuple[Ints, Ints]:
    """Positions of pairs that hold together all that share one of those codes, without all the
    pairs that this could give: each is tied to the first of the other side."""
    ends = []
    for one, other in ((left, right), (right, left)):
        codes, first = np.unique(other, return_index=True)
        inside = np.flatnonzero(which[one])
        ends.append((inside, first[np.searchsorted(codes, one[inside])]))
    return np.concatenate((ends[0][0], ends[1][1])), np.concatenate((ends[0][1], ends[1][0]))


def _ints(array: pa.Array) -> Ints:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.int64)


def _flags(array: pa.Array) -> Flags:
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), bool)


_NO = np.empty(0, np.int64)
NONE = Edges(_NO, _NO, _NO, _NO, _NO, np.empty(0, bool))
