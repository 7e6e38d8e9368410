"""Who a name of the books is in the TMS: names are written in many ways, and alike is not equal."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

from rapidfuzz import fuzz, process

BLANK = -2
"""Code of a name that is not given."""

UNKNOWN = -1
"""Code of a name that is nobody's in the TMS, or could be that of several."""

SIMILAR = 90
"""Score out of 100 from which two spellings are one name; one wrong letter in ten costs ten."""

MARGIN = 4
"""How far ahead of the next best the best one must be."""

MOST = 20_000_000
"""Comparisons of spellings that take about a second; names beyond them stay unknown."""

_LEGAL = re.compile(
    "inc|incorporated|llc|llp|lp|ltd|limited|ltee|co|company|corp|corporation|gmbh|ag|kg|bv|nv|sa"
    "|sas|sarl|srl|spa|plc|pty|ulc|usd|cad|eur|gbp|mxn|aud"
)
"""Last words that are no part of a name; books keep a party once for each of its currencies."""

_CODE = re.compile(r"[a-z]{0,4}\d{3,}[a-z]?")


def plain(name: str) -> str:
    """A name without what its spellings differ in: case, accents, punctuation, codes, legal form.

    `C10021 Kestrel Foods, Inc.` is `kestrel foods`.
    """
    letters = name.casefold().replace("&", " and ")
    if not letters.isascii():
        split = unicodedata.normalize("NFKD", letters)
        letters = "".join(one for one in split if not unicodedata.combining(one))
    words = re.sub(r"[^\w\s]+", " ", letters.replace(".", "").replace("'", "")).split()
    while len(words) > 1 and (_LEGAL.fullmatch(words[-1]) or _CODE.fullmatch(words[-1])):
        words.pop()
    while len(words) > 1 and (words[0] == "the" or _CODE.fullmatch(words[0])):
        words.pop(0)
    return " ".join(words)


class Parties:
    """The parties of the records, each with a code, and which of them a name of the books means."""

    def __init__(self, names: Iterable[str]) -> None:
        exact = dict.fromkeys(folded for name in names if (folded := _folded(name)))
        self._exact = {name: code for code, name in enumerate(exact)}
        plainly = {name: plain(name) for name in exact}
        spellings = Counter(plainly.values())
        # Two parties that differ only in their legal form are told apart by the whole name alone.
        self._plain = {
            spelling: self._exact[name]
            for name, spelling in plainly.items()
            if spelling and spellings[spelling] == 1
        }

    def codes(self, names: Sequence[str]) -> list[int]:
        """The code of each name that is written as the TMS writes it, else UNKNOWN or BLANK."""
        return [self._exact.get(_folded(name), UNKNOWN) if name else BLANK for name in names]

    def recognize(self, names: Sequence[str]) -> list[int]:
        """The code of the party that each name means: by spelling, then by similarity."""
        codes = [self._spelled(name) for name in names]
        unknown = [place for place, code in enumerate(codes) if code == UNKNOWN]
        for place, code in zip(
            unknown, self._similar([names[one] for one in unknown]), strict=True
        ):
            codes[place] = code
        return codes

    def _spelled(self, name: str) -> int:
        folded = _folded(name)
        if not folded:
            return BLANK
        if folded in self._exact:
            return self._exact[folded]
        # Parent:Sub is a customer under a customer; the TMS knows one of the two.
        for part in dict.fromkeys((name, *reversed(name.split(":")))):
            code = self._plain.get(plain(part))
            if code is not None:
                return code
        return UNKNOWN

    def _similar(self, names: Sequence[str]) -> list[int]:
        """The most similar one by its sorted words, if it is that and no other is near."""
        known = {_sorted(spelling): code for spelling, code in self._plain.items()}
        found = [UNKNOWN] * len(names)
        if not known:
            return found
        spellings = list(known)
        most = MOST // len(spellings)
        for start in range(0, min(len(names), most), 1000):
            sought = [_sorted(plain(name)) for name in names[start : min(start + 1000, most)]]
            scores = process.cdist(sought, spellings, scorer=fuzz.ratio, score_cutoff=80)
            for place, (one, row) in enumerate(zip(sought, scores, strict=True)):
                best = int(row.argmax())
                score, row[best] = float(row[best]), 0
                if score >= max(SIMILAR, row.max() + MARGIN) and _same_digits(one, spellings[best]):
                    found[start + place] = known[spellings[best]]
        return found


def _folded(name: str) -> str:
    return " ".join(name.casefold().split())


def _sorted(spelling: str) -> str:
    return " ".join(sorted(spelling.split()))


def _same_digits(one: str, other: str) -> bool:
    """Terminal 4 and Terminal 5 are alike, and two places."""
    return re.findall(r"\d+", one) == re.findall(r"\d+", other)
