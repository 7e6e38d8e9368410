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

EXACT, WRITTEN, MEMO, LOOSE = range(4)
"""How a line gives a key: as it stands; with another prefix, punctuation or zeros; among other
words; as bare digits where the TMS has letters before them, or the other way round."""

MOST = 36
"""Pairs that one key may give. A key that more lines and records share tells them not apart."""

_PREFIX = (
    r"(?:INVOICE|INV|BILL|PRO|PAYMENT|PYMT|PMT|CHECK|CHK|CK|LOAD|LD|SHIPMENT|SHP|REF|NUMBER|NUM|NO)"
)
_MANGLED = r"^[0-9](\.[0-9]+)?E\+[0-9]+$"
"""What a spreadsheet makes of a long number: the digits are lost."""


@dataclass(frozen=True)
class Edges:
    """Pairs of a line and a record that share a key, by position, and by which one.

    `kind` counts through KINDS, `form` is EXACT to LOOSE, `length` is that of the shorter key and
    `distinctive` whether it is one that nobody else would use. `group` marks pairs that stand for
    more than MOST with the same key and party.
    """

    line: Ints
    record: Ints
    kind: Ints
    form: Ints
    length: Ints
    distinctive: Flags
    group: Flags

    def __len__(self) -> int:
        return len(self.line)

    def only(self, which: Flags | Ints) -> "Edges":
        """Those of them."""
        return Edges(*(column[which] for column in self._columns()))

    def _columns(self) -> Iterator[Any]:
        yield from (self.line, self.record, self.kind, self.form, self.length)
        yield from (self.distinctive, self.group)

    @staticmethod
    def of(*parts: "Edges") -> "Edges":
        """All of them together, each pair once, by its best key."""
        columns = zip(*(part._columns() for part in parts), strict=True)
        edges = Edges(*(np.concatenate(column) for column in columns))
        pair = edges.line * (edges.record.max(initial=0) + 1) + edges.record
        order = np.lexsort((edges.kind, edges.form, pair))
        first = np.ones(len(pair), bool)
        first[1:] = pair[order][1:] != pair[order][:-1]
        return edges.only(order[first])


class Keys:
    """The keys of all lines and records, prepared as far as they are needed."""

    def __init__(self, documents: pd.DataFrame, records: pd.DataFrame) -> None:
        self._reference = _upper(documents["reference"])
        self._also = documents["also"]
        self._of = {
            kind: _upper(records[name]) for kind, name in enumerate(KINDS) if name in records
        }

    def exact(self, line_party: Ints, record_party: Ints) -> Edges:
        """Where the reference is, in any case, the one of the books or the number of the TMS."""
        lines = np.arange(len(self._reference))
        return Edges.of(
            NONE,
            *(
                self._joined(lines, self._reference, kind, EXACT, line_party, record_party)
                for kind in self._of
                if kind < 2
            ),
        )

    def near(self, free_lines: Flags, free_records: Flags) -> Edges:
        """Where keys are written in another way, of lines or records that are still free."""
        lines, records = np.flatnonzero(free_lines), np.flatnonzero(free_records)
        parts = [NONE]
        for kind in self._of:
            parts.append(self._written(lines, None, kind))
            if kind < 2:
                parts.append(self._written(None, records, kind))
        owners, tokens = self._tokens(lines)
        for kind in self._of:
            parts.append(self._same_digits(owners, tokens, None, kind, memo=True))
        return Edges.of(*parts)

    def _written(self, lines: Ints | None, records: Ints | None, kind: int) -> Edges:
        owners = np.arange(len(self._reference)) if lines is None else lines
        texts = self._reference if lines is None else self._reference.take(pa.array(lines))
        return self._same_digits(owners, texts, records, kind, memo=False)

    def _same_digits(
        self, owners: Ints, texts: pa.Array, records: Ints | None, kind: int, memo: bool
    ) -> Edges:
        """However a number is written, its digits are the same: join by them, then look."""
        if not len(owners) or (records is not None and not len(records)):
            return NONE
        theirs = self._of[kind]
        theirs = theirs if records is None else theirs.take(pa.array(records))
        left, right = _codes(_digits(texts), _digits(theirs))
        at, to, _ = _join(left, right)
        if not len(at):
            return NONE
        ours, its = texts.take(pa.array(at)), theirs.take(pa.array(to))
        core, other = _core(ours), _core(its)
        same = _flags(pc.equal(ours, its)) | _flags(pc.equal(core, other))
        bare = _flags(pc.or_(_is_bare(core), _is_bare(other)))
        form = np.where(same, MEMO if memo else WRITTEN, LOOSE)
        keep = same | (bare & (not memo))
        record = to if records is None else records[to]
        return _edges(owners[at], record, kind, form, core, other).only(keep)

    def _joined(
        self,
        lines: Ints,
        texts: pa.Array,
        kind: int,
        form: int,
        line_party: Ints,
        record_party: Ints,
    ) -> Edges:
        left, right = _codes(texts, self._of[kind])
        at, to, heavy = _join(left, right)
        edges = _edges(lines[at], to, kind, np.full(len(at), form), texts.take(pa.array(at)))
        if not heavy.any():
            return edges
        return Edges.of(edges, self._stars(left, right, heavy, kind, line_party, record_party))

    def _stars(
        self,
        left: Ints,
        right: Ints,
        heavy: Flags,
        kind: int,
        line_party: Ints,
        record_party: Ints,
    ) -> Edges:
        """All that share a key and a party, each tied to the first of the other side."""
        lines = np.flatnonzero((left >= 0) & heavy[left] & (line_party >= 0))
        records = np.flatnonzero((right >= 0) & heavy[right] & (record_party >= 0))
        of_line = pd.Series(lines, _pair(left[lines], line_party[lines]))
        of_record = pd.Series(records, _pair(right[records], record_party[records]))
        one = of_line[~of_line.index.duplicated()]
        other = of_record[~of_record.index.duplicated()]
        a, b = of_line[of_line.index.isin(other.index)], of_record[of_record.index.isin(one.index)]
        line = np.concatenate((a.to_numpy(), one.loc[b.index].to_numpy()))
        record = np.concatenate((other.loc[a.index].to_numpy(), b.to_numpy()))
        texts = self._reference.take(pa.array(line))
        stars = _edges(line, record, kind, np.full(len(line), EXACT), texts)
        return Edges(*list(stars._columns())[:-1], np.ones(len(line), bool))

    def _tokens(self, lines: Ints) -> tuple[Ints, pa.Array]:
        """The words with digits of what else a line says, each with its line."""
        also = _upper(self._also.iloc[lines])
        reference = self._reference.take(pa.array(lines))
        several = pc.match_substring_regex(reference, r"[\s,;&|]")
        reference = pc.if_else(several, reference, pa.scalar(None, pa.large_string()))
        owners, words = [], []
        for texts in (also, reference):
            if texts.null_count == len(texts):
                continue
            split = pc.split_pattern_regex(texts, r"[\s,;:&|()]+")
            owners.append(lines[_ints(pc.list_parent_indices(split))])
            words.append(pc.list_flatten(split))
        if not words:
            return np.empty(0, np.int64), pa.array([], pa.large_string())
        return np.concatenate(owners), _usable(pa.concat_arrays(words))


def _edges(line: Ints, record: Ints, kind: int, form: Ints, *texts: pa.Array) -> Edges:
    lengths = [_ints(pc.utf8_length(text)) for text in texts]
    return Edges(
        line.astype(np.int64),
        record.astype(np.int64),
        np.full(len(line), kind),
        form,
        np.minimum.reduce(lengths),
        _flags(pc.match_substring_regex(_core(texts[0]), r"[A-Z].*[0-9]{4}|.{9}")),
        np.zeros(len(line), bool),
    )


def _pair(one: Ints, other: Ints) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([one, other])


# ---------------------------------------------------------------- texts


def _upper(texts: "pd.Series[Any]") -> pa.Array:
    """Texts as Arrow has them, in capitals; what can be no key is missing."""
    array = pa.array(texts, pa.large_string(), from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    return _usable(pc.utf8_upper(pc.utf8_trim_whitespace(array)))


def _usable(texts: pa.Array) -> pa.Array:
    """A key has a digit other than 0, and is not what a spreadsheet has made of a long number."""
    key = pc.match_substring_regex(texts, "[1-9]")
    mangled = pc.match_substring(texts, "E+")
    if pc.any(mangled).as_py():
        key = pc.and_not(key, pc.match_substring_regex(texts, _MANGLED))
    return pc.if_else(key, texts, pa.scalar(None, pa.large_string()))


def _core(texts: pa.Array) -> pa.Array:
    """A key without prefix, punctuation, leading zeros and the .0 of a spreadsheet."""
    texts = pc.replace_substring_regex(texts, r"\.0+$", "")
    texts = pc.replace_substring_regex(
        texts, rf"^{_PREFIX}(?:[^A-Z0-9]*(?:NO|NUM|NR))?(?:[^A-Z0-9]+|([0-9]))", r"\1"
    )
    texts = pc.replace_substring_regex(texts, "[^A-Z0-9]+", "")
    return pc.utf8_ltrim(texts, "0")


def _is_bare(core: pa.Array) -> pa.Array:
    return pc.match_substring_regex(core, "^[0-9]+$")


def _digits(texts: pa.Array) -> pa.Array:
    texts = pc.replace_substring_regex(texts, r"\.0+$|[^0-9]+", "")
    return pc.utf8_ltrim(texts, "0")


# ---------------------------------------------------------------- joins


def _codes(left: pa.Array, right: pa.Array) -> tuple[Ints, Ints]:
    """A number for each text, the same for the same; -1 where it is missing."""
    both = pa.chunked_array([left, right]).combine_chunks()
    indices = both.dictionary_encode().indices.fill_null(-1)
    codes = _ints(indices)
    return codes[: len(left)], codes[len(left) :]


def _join(left: Ints, right: Ints) -> tuple[Ints, Ints, Flags]:
    """Positions of all pairs with the same code, and which codes are left out: they have too many.

    Codes count from 0; -1 is paired with nothing.
    """
    codes = max(left.max(initial=-1), right.max(initial=-1)) + 1
    ours = np.bincount(left[left >= 0], minlength=codes)
    theirs = np.bincount(right[right >= 0], minlength=codes)
    heavy = ours * theirs > MOST
    order = np.argsort(right, kind="stable")
    order = order[np.searchsorted(right[order], 0) :]
    start = np.cumsum(theirs) - theirs
    at = np.flatnonzero((left >= 0) & (theirs[left] > 0) & ~heavy[left]) if codes else left[:0]
    counts = theirs[left[at]]
    pairs = np.repeat(at, counts)
    within = np.arange(len(pairs)) - np.repeat(np.cumsum(counts) - counts, counts)
    return pairs, order[np.repeat(start[left[at]], counts) + within], heavy


def _ints(array: pa.Array) -> Ints:
    return np.asarray(array.to_numpy(zero_copy_only=False), np.int64)


def _flags(array: pa.Array) -> Flags:
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False), bool)


_NO = np.empty(0, np.int64)
NONE = Edges(_NO, _NO, _NO, _NO, _NO, np.empty(0, bool), np.empty(0, bool))
