"""What the books would export of a demo's records, disturbed in known ways, with the truth of it.

`export` takes the records of one connection and entity and writes a report of them; `score` says,
by kind of disturbance, how many lines were found, and which pairs are wrong.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from random import Random
from typing import Any

import pandas as pd
from sqlalchemy import func, select

from synchist.currencies import exponent
from synchist.db.engine import reading
from synchist.demo.names import COMPANIES
from synchist.entities import BILLS, INVOICES, Entity
from synchist.reconciliation.matching import Bucket, Scope, match
from synchist.reconciliation.report import Coverage
from synchist.statuses import CloseReason, SyncStatus

KEYS = ("number", "sync_reference", "pro_number", "shipment_id", "check_number")
PAIRS = (Bucket.AGREES, Bucket.AMOUNT, Bucket.STATUS)


@dataclass(frozen=True)
class Line:
    """A line of the report: its document, what was done to it, and which record it is.

    `keyed`: it gives a number by which it can be found.
    """

    document: dict[str, Any]
    kinds: tuple[str, ...]
    record: int | None
    keyed: bool


@dataclass
class Export:
    """A report and the records that it is held against.

    `missing` are records of the period that the books do not have; `groups` are lines and records
    that nobody can pair one by one, with what they are.
    """

    records: pd.DataFrame
    scope: Scope
    lines: list[Line] = field(default_factory=list)
    missing: set[int] = field(default_factory=set)
    groups: list[tuple[str, set[int], set[int]]] = field(default_factory=list)

    @property
    def documents(self) -> pd.DataFrame:
        """As reading the report would give them."""
        return documents([line.document for line in self.lines])


def documents(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Documents as `Report.documents` holds them, of what is given of them."""
    blank = {"row": 0, "type": "Invoice", "reference": "", "party": "", "also": "", "date": None}
    blank |= {"amount": None, "open_balance": None, "currency": ""}
    frame = pd.DataFrame([blank | row for row in rows], columns=list(blank))
    texts = dict.fromkeys(("type", "reference", "party", "also", "currency"), "str")
    whole = dict.fromkeys(("amount", "open_balance"), "Int64")
    return frame.astype({"row": "int64"} | texts | whole)


def records(rows: list[dict[str, Any]], ids: list[int] | None = None) -> pd.DataFrame:
    """Records as `match` takes them, of what is given of them."""
    blank = {"number": None, "sync_reference": None, "party": "", "amount": 0, "currency": "USD"}
    blank |= {"date": None, "sync_status": 1, "closed_reason": None, "tms_status": "Approved"}
    columns = [*blank, *dict.fromkeys(key for row in rows for key in row if key not in blank)]
    ids = list(range(1, len(rows) + 1)) if ids is None else ids
    frame = pd.DataFrame([blank | row for row in rows], pd.Index(ids, dtype="int64"), columns)
    return frame.astype({"amount": "Int64", "sync_status": "int64"})


def load(entity: Entity, company: int) -> pd.DataFrame:
    """The records of a demo that stands in the configured database."""
    of = entity.table.c
    keys = [of[key] for key in KEYS if key in of]
    day = func.coalesce(of.accounting_date, func.date(of.created_at)).label("date")
    columns = [of.amount, of.currency, day, of.sync_status, of.closed_reason, of.tms_status]
    query = (
        select(of.id, *keys, entity.party_name.label("party"), *columns)
        .select_from(entity.source)
        .where(of.connection_id == company)
        .order_by(of.id)
    )
    with reading() as db:
        rows = [dict(row._mapping) for row in db.execute(query)]
    for row in rows:
        row["date"] = date.fromisoformat(str(row["date"]))
    return records(
        [{k: v for k, v in row.items() if k != "id"} for row in rows], [row["id"] for row in rows]
    )


# ---------------------------------------------------------------- the books


def export(
    found: pd.DataFrame, entity: Entity, company: int, start: date, end: date, rng: Random
) -> Export:
    """What the books show of these records for a period."""
    return _Books(found, entity, company, start, end, rng).export


class _Books:
    def __init__(
        self, found: pd.DataFrame, entity: Entity, company: int, start: date, end: date, rng: Random
    ) -> None:
        self._rng, self._entity = rng, entity
        self._type = {"invoice": "Invoice", "bill": "Bill"}.get(entity.key) or (
            "Payment" if entity.key == "invoice_payment" else "Bill Payment"
        )
        self._document = entity in (INVOICES, BILLS)
        self._currency = rng.random() < 0.5
        self._flat: set[Any] = set()
        self._system = COMPANIES[company - 1].system
        found = self._lived_in(found)
        self.export = Export(found, Scope(Coverage.ALL, start, end))
        inside = found[(found["date"] >= start) & (found["date"] <= end)]
        parties = sorted(set(inside["party"]))
        self._renamed = {
            party: f"{rng.choice(NEW)} {rng.choice(NEW)} Holdings"
            for party in rng.sample(parties, len(parties) // 15)
        }
        inside = inside.astype(object).where(inside.notna(), None)
        self._write(
            [
                {"id": key} | row
                for key, row in zip(inside.index, inside.to_dict("records"), strict=True)
            ]
        )

    def _lived_in(self, found: pd.DataFrame) -> pd.DataFrame:
        """The demo's numbers are all different and tidy; those of vendors are not."""
        found, rng = found.copy(), self._rng
        if self._entity is BILLS:
            for place, (_, rows) in enumerate(found.groupby("party", sort=True)):
                if place % 4 == 0:  # counts its own bills
                    found.loc[rows.index, "number"] = [f"{1001 + n}" for n in range(len(rows))]
                if place % 4 == 1:
                    found.loc[rows.index, "number"] = ["00" + one[-5:] for one in rows["number"]]
        for place, (party, rows) in enumerate(found.groupby("party", sort=True)):
            if place % 15 == 7:
                self._flat.add(party)
                found.loc[rows.index, "amount"] = rng.choice((85_000, 120_000, 150_000))
        chosen = rng.sample(list(found.index[found["sync_status"] == 1]), len(found) // 100)
        found.loc[chosen, "closed_reason"] = CloseReason.WILL_NOT_SYNC.value
        found.loc[chosen, "sync_reference"] = None
        return found

    def _write(self, rows: list[dict[str, Any]]) -> None:
        rng, waiting = self._rng, []
        for row in rows:
            taken = {SyncStatus.COMPLETE: 1.0, SyncStatus.FAILED: 0.15, SyncStatus.PENDING: 0.05}
            expected = row["closed_reason"] is None and row["tms_status"] != "Voided"
            if not expected:
                continue
            if rng.random() >= taken[SyncStatus(row["sync_status"])]:
                self.export.missing.add(row["id"])
                continue
            waiting.append(row)
        alike = defaultdict(list)
        for row in waiting:
            alike[row["party"], row["currency"]].append(row)
        merged: set[int] = set()
        for row in waiting:
            if row["id"] in merged:
                continue
            merged.add(row["id"])
            chance = rng.random()
            others = alike[row["party"], row["currency"]] if chance < 0.015 else []
            near = [
                one
                for one in others
                if one["id"] not in merged and abs((one["date"] - row["date"]).days) <= 6
            ][: rng.randint(1, 2)]
            merged |= {one["id"] for one in near}
            if near:
                self._merge([row, *near])
            elif chance < 0.035:
                self.export.missing.add(row["id"])
            elif chance < 0.045:
                self._split(row)
            else:
                self._line(row)
        for _ in range(len(waiting) // 40):
            self._foreign(rng.choice(rows))
        self._shuffle()

    # ------------------------------------------------------------ lines

    def _line(self, row: dict[str, Any]) -> None:
        rng = self._rng
        document, keyed, source = self._plain(row)
        kinds = [source]
        for name, disturb in DISTURBANCES.items():
            if rng.random() < 0.04 and disturb(rng, document):
                kinds.append(name)
        if row["party"] in self._renamed:
            document["party"] = self._renamed[row["party"]]
            kinds.append("renamed wholly")
        if row["party"] in self._flat:
            kinds.append("flat rate")
        if row["sync_status"] != 1:
            kinds.append("not Complete here")
        if document.pop("spoiled", False):
            keyed = document["also"] != "" and self._document
        self._add(document, tuple(kinds), row["id"], keyed)
        if rng.random() < 0.015 and keyed:
            self.export.groups.append(
                ("duplicate", {len(self.export.lines) - 1, len(self.export.lines)}, {row["id"]})
            )
            later = document | {"date": document["date"] + timedelta(days=rng.randint(0, 3))}
            self._add(later, (*kinds, "duplicate"), row["id"], keyed)

    def _plain(self, row: dict[str, Any]) -> tuple[dict[str, Any], bool, str]:
        """The line as it should be, whether it can be found by a number, and by which."""
        rng = self._rng
        shift = rng.choice((-3, -2, -1, 1, 2, 3)) if rng.random() < 0.15 else 0
        source = rng.choices(*self._sources())[0]
        if source and row.get(source) is None:
            source = "number" if self._document else ""
        document = {
            "type": self._type,
            "reference": row[source] if source else "",
            "party": row["party"],
            "date": row["date"] + timedelta(days=shift),
            "amount": row["amount"] * 10 ** (4 - exponent(row["currency"])),
            "currency": row["currency"] if self._currency else "",
            "also": "",
        }
        memo = self._memo(row) if rng.random() < 0.4 else ""
        document["also"] = memo
        keyed = bool(source) or (bool(memo) and self._document)
        return document, keyed, f"by {source or ('memo' if keyed else 'nothing')}"

    def _sources(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        if self._entity is INVOICES:
            return ("number", "sync_reference"), (90, 10)
        if self._entity is BILLS:
            return ("number", "sync_reference", "pro_number", ""), (65, 10, 10, 15)
        return ("number", "sync_reference", "check_number", ""), (20, 15, 30, 35)

    def _memo(self, row: dict[str, Any]) -> str:
        rng = self._rng
        if not self._document:
            return rng.choice(("Thank you", "ACH", f"Remittance {rng.randint(100, 999)}"))
        return rng.choice(
            (
                f"PRO {row['pro_number']}",
                f"Load {row['shipment_id']}",
                f"PRO# {row['pro_number']}, {row['shipment_id']}",
            )
        )

    def _add(
        self, document: dict[str, Any], kinds: tuple[str, ...], record: int | None, keyed: bool
    ) -> None:
        self.export.lines.append(Line(document, kinds, record, keyed))

    # ------------------------------------------------------------ split, merged, foreign

    def _split(self, row: dict[str, Any]) -> None:
        document, _, _ = self._plain(row)
        if self._rng.random() < 0.5:
            document |= {"reference": "", "also": ""}
        part = document["amount"] * self._rng.randint(20, 80) // 100 // 100 * 100
        first = len(self.export.lines)
        for amount in (part, document["amount"] - part):
            self._add(document | {"amount": amount}, ("split",), None, False)
        self.export.groups.append(("split", {first, first + 1}, {row["id"]}))

    def _merge(self, several: list[dict[str, Any]]) -> None:
        document, _, _ = self._plain(several[0])
        if self._rng.random() < 0.6:
            document |= {"reference": "", "also": ""}
        scale = 10 ** (4 - exponent(several[0]["currency"]))
        document["amount"] = sum(one["amount"] for one in several) * scale
        ids = {one["id"] for one in several}
        self.export.groups.append(("merged", {len(self.export.lines)}, ids))
        self._add(document, ("merged",), None, False)

    def _foreign(self, like: dict[str, Any]) -> None:
        """What the books have of their own: unknown, or with the number or party of a record."""
        rng = self._rng
        document, _, _ = self._plain(like)
        document["amount"] = rng.randint(1_000, 900_000) * 100
        kind = rng.choice(("stranger", "same number, stranger", "same party", "near number"))
        document["also"] = ""
        if kind == "stranger":
            document["reference"] = rng.choice(("", f"{rng.randint(100, 99_999)}", "1", "ACH"))
        if kind == "same number, stranger" and self._entity is INVOICES:
            kind = "stranger"  # the TMS gives these numbers: nobody else has them
            document["reference"] = f"{rng.randint(100, 99_999)}"
        if kind == "same party":
            document["reference"] = rng.choice(("", f"X{rng.randint(1_000, 99_999)}"))
        if kind == "near number":
            document["reference"] = f"{document['reference']}9"
        if kind != "same party":
            document["party"] = f"{rng.choice(NEW)} {rng.choice(NEW)} Supply Co."
        self._add(document, (f"foreign: {kind}",), None, False)

    def _shuffle(self) -> None:
        order = list(range(len(self.export.lines)))
        self._rng.shuffle(order)
        place = {old: new for new, old in enumerate(order)}
        self.export.lines = [self.export.lines[old] for old in order]
        self.export.groups = [
            (kind, {place[line] for line in lines}, ids) for kind, lines, ids in self.export.groups
        ]


# ---------------------------------------------------------------- disturbances

NEW = (
    "Ashgrove",
    "Brightwell",
    "Coldspring",
    "Dunmarrow",
    "Everhart",
    "Farrowdale",
    "Glenhurst",
    "Hartmoor",
    "Inverloch",
    "Kirkbride",
    "Lowmere",
    "Millbrook",
    "Northcott",
    "Oxenholme",
)


def _prefix(rng: Random, document: dict[str, Any]) -> bool:
    reference = document["reference"]
    letters = "".join(one for one in reference if one.isalpha())
    bare = reference.removeprefix(letters).lstrip("-")
    if letters and bare.isdigit() and len(bare) > 4 and rng.random() < 0.5:
        document["reference"] = bare
    elif reference:
        document["reference"] = rng.choice(("INV-", "INV ", "#", "Inv. No. ", "PRO ")) + reference
    return bool(reference)


def _zeros(rng: Random, document: dict[str, Any]) -> bool:
    reference = document["reference"]
    if not reference.isdigit():
        return False
    stripped = reference.lstrip("0")
    document["reference"] = stripped if stripped != reference else f"000{reference}"
    return True


def _number(rng: Random, document: dict[str, Any]) -> bool:
    if not document["reference"].isdigit():
        return False
    document["reference"] = document["reference"].lstrip("0") + ".0"
    return True


def _punctuation(rng: Random, document: dict[str, Any]) -> bool:
    before = document["reference"]
    document["reference"] = rng.choice(
        (before.lower(), before.replace("-", ""), before.replace("-", " "), f" {before} ")
    )
    return document["reference"] != before


def _spoiled(rng: Random, document: dict[str, Any]) -> bool:
    if not document["reference"].isdigit() or rng.random() < 0.8:
        return False
    document["reference"] = "7.1E+13"
    document["spoiled"] = True
    return True


def _renamed(rng: Random, document: dict[str, Any]) -> bool:
    before = document["party"]
    plain = unicodedata.normalize("NFKD", before).encode("ascii", "ignore").decode()
    place = rng.randrange(3, len(before) - 1)
    document["party"] = rng.choice(
        (
            f"C{rng.randint(10_000, 99_999)} {before}",
            f"{before} ({rng.randint(1_000, 9_999)})",
            f"{before}:{rng.choice(NEW)}",
            f"{rng.choice(NEW)} Group:{before}",
            plain.upper().replace(",", ""),
            plain.replace(" ", "  "),
            before.removesuffix(" Inc.").removesuffix(" LLC").removesuffix(" Co.") + ", Inc.",
            before.replace("&", "and").replace("'", ""),
            before[:place] + before[place + 1 :],
        )
    )
    return document["party"] != before


def _amount(rng: Random, document: dict[str, Any]) -> bool:
    change = rng.choice((-1, 1)) * rng.randint(1, 40_000) * 100
    if document["amount"] + change <= 0:
        return False
    document["amount"] += change
    return True


DISTURBANCES: dict[str, Callable[[Random, dict[str, Any]], bool]] = {
    "prefix": _prefix,
    "zeros": _zeros,
    "as a number": _number,
    "punctuation": _punctuation,
    "spoiled": _spoiled,
    "renamed": _renamed,
    "changed amount": _amount,
}


# ---------------------------------------------------------------- the score


def score(given: Export) -> pd.DataFrame:
    """How the matching did, by kind of disturbance.

    Columns: `found` (paired with its record; without a number: suggested alone; groups: a case with
    all of them and no other), `uncertain` (the right one is among the candidates), `missed`,
    `misled` (only another record is suggested), `wrong` (paired with another record, or in a false
    bucket).
    """
    result = match(given.documents, given.records, given.scope)
    return (
        pd.DataFrame(_outcomes(given, result), columns=["kind", "what", "outcome", "count"])
        .pivot_table(
            index=["what", "kind"], columns="outcome", values="count", aggfunc="sum", fill_value=0
        )
        .reindex(columns=["found", "uncertain", "missed", "misled", "wrong"], fill_value=0)
    )


def _outcomes(given: Export, result: pd.DataFrame) -> Iterator[tuple[str, str, str, int]]:
    rows = {row.line: row for row in result.itertuples() if not pd.isna(row.line)}
    members: defaultdict[int, tuple[set[int], set[int]]] = defaultdict(lambda: (set(), set()))
    for row in result.itertuples():
        for place, value in enumerate((row.line, row.record)):
            if not pd.isna(value):
                members[row.case][place].add(int(value))
    grouped: set[int] = set().union(*(lines for _, lines, _ in given.groups))
    for place, line in enumerate(given.lines):
        if place in grouped:
            continue
        row, case = rows[place], members[rows[place].case]
        paired = row.bucket in PAIRS
        # Of many alike without a number nobody can tell which is which: counted apart.
        alike = "flat rate" in line.kinds
        what = "with a number" if line.keyed else "many alike" if alike else "without"
        if line.record is None:
            what = "foreign"
            outcome = "wrong" if paired else "uncertain" if case[1] else "found"
        elif paired:
            outcome = "found" if row.record == line.record else "wrong"
        elif line.record in case[1]:
            alone = len(case[0]) == len(case[1]) == 1 and not line.keyed
            outcome = "found" if alone else "uncertain"
        else:
            alone = len(case[0]) == len(case[1]) == 1
            outcome = "misled" if alone else "missed"
        for kind in ("all", *line.kinds):
            yield kind, what, outcome, 1
    for kind, lines, ids in given.groups:
        row = rows[min(lines)]
        case = members[row.case]
        bucket = Bucket.DUPLICATE if kind == "duplicate" else Bucket.UNCERTAIN
        paired = any(rows[one].bucket in PAIRS for one in lines)
        right = (
            paired
            and kind == "duplicate"
            and all(rows[one].record in ids for one in lines if rows[one].bucket in PAIRS)
        )
        if (lines, ids) == case and row.bucket == bucket:
            outcome = "found"
        elif paired and not right:
            outcome = "wrong"
        else:
            outcome = "uncertain" if ids <= case[1] and lines & case[0] else "missed"
        yield kind, "groups", outcome, 1
    buckets = {
        int(row.record): row.bucket for row in result.itertuples() if not pd.isna(row.record)
    }
    for record in given.missing:
        outcome = {Bucket.NOT_IN_BOOKS: "found", Bucket.UNCERTAIN: "uncertain"}.get(
            buckets[record], "wrong"
        )
        yield "all", "missing", outcome, 1
    inside = given.records["date"].between(given.scope.start, given.scope.end)
    never = given.records[
        ~inside
        | (given.records["closed_reason"] == "will_not_sync")
        | (given.records["tms_status"] == "Voided")
    ]
    for record in never.index:
        wrong = buckets.get(record) == Bucket.NOT_IN_BOOKS
        yield "all", "outside", "wrong" if wrong else "found", 1
