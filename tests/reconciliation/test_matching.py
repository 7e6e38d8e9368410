"""Matching: no wrong pair, what is found of disturbed exports, and every rule by an example."""

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synchist.demo import make_demo
from synchist.entities import ENTITIES, Entity
from synchist.reconciliation.matching import Bucket, Scope, match
from synchist.reconciliation.report import Coverage
from tests.conftest import configured
from tests.reconciliation import disturbed
from tests.reconciliation.disturbed import documents, records

A_DAY = date(2026, 5, 12)
MAY = Scope(Coverage.ALL, date(2026, 5, 1), date(2026, 5, 31))


def line(reference: str = "", amount: Any = 500, **values: Any) -> dict[str, Any]:
    """A line of the books, its amount in whole units of a currency with two decimals."""
    whole = {} if amount is None else {"amount": amount * 10_000}
    return {"reference": reference, "party": "Kestrel Foods Inc.", "date": A_DAY} | whole | values


def record(number: str | None = None, amount: Any = 500, **values: Any) -> dict[str, Any]:
    given = {"number": number, "party": "Kestrel Foods Inc.", "date": A_DAY}
    return given | {"amount": None if amount is None else amount * 100} | values


def matched(
    lines: list[dict[str, Any]], found: list[dict[str, Any]], scope: Scope = MAY
) -> list[tuple[Any, ...]]:
    """Bucket, line, record (from 1) of each row; None for none."""
    result = match(documents(lines), records(found), scope)
    return [
        tuple(None if pd.isna(value) else value for value in row)
        for row in result[["bucket", "line", "record"]].itertuples(index=False)
    ]


def only(lines: list[dict[str, Any]], found: list[dict[str, Any]], scope: Scope = MAY) -> Any:
    """The only row of the result."""
    result = match(documents(lines), records(found), scope)
    assert len(result) == 1, result
    return next(result.itertuples())


# ---------------------------------------------------------------- the numbers to reach


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[None]:
    """A demo of its own size in the configured database."""
    path = tmp_path_factory.mktemp("books") / "demo.db"
    shutil.copy(sqlite_template, path)
    with configured(f"sqlite:///{path}"):
        make_demo(4_000, seed=5)
        yield


def test_disturbed_exports_are_matched(books: None) -> None:
    scores = [
        disturbed.score(_export(entity, company, seed))
        for seed in (11, 12, 13)
        for entity in ENTITIES
        for company in (1, 2, 3)
    ]
    total = pd.concat(scores).groupby(level=["what", "kind"]).sum()
    assert total["wrong"].sum() == 0, total[total["wrong"] > 0]
    assert total.loc[("with a number", "all")].sum() > 4_000
    assert _found(total, "with a number") >= 0.99, total.loc["with a number"]
    assert _found(total, "without") >= 0.9, total.loc["without"]
    assert _found(total, "groups") >= 0.9, total.loc["groups"]
    for kind in disturbed.DISTURBANCES:
        assert total.loc[("with a number", kind)].sum() > 0, "each of them was tried"


def _found(total: pd.DataFrame, what: str) -> float:
    """Which part of them was found."""
    of = total.loc[what]
    of = of.loc[["all"]] if "all" in of.index else of
    return float(of["found"].sum() / of.sum().sum())


def _export(entity: Entity, company: int, seed: int) -> disturbed.Export:
    found = disturbed.load(entity, company)
    last = found["date"].max()
    start, end = last - timedelta(days=240), last - timedelta(days=30)
    return disturbed.export(found, entity, company, start, end, Random(seed))


# ---------------------------------------------------------------- everything once

NUMBERS = st.sampled_from(
    ["", "1", "1001", "INV-1001", "01001", "1001.0", "ABCD1001", "7.1E+13", "x", "200-1", "2001"]
)
NAMES = st.sampled_from(
    [
        "",
        "Kestrel Foods Inc.",
        "KESTREL  FOODS",
        "Kestrel Fods",
        "Lark Steel",
        "C10021 Lark Steel",
        "Lark Steel:Kestrel Foods",
        "Ünlikely & Sons",
        "***",
        "Kestrel Foods LLC",
    ]
)
AMOUNTS = st.one_of(st.none(), st.sampled_from([0, 1, 100, 200, 300, -100]), st.integers(0, 2**62))
DAYS = st.one_of(st.none(), st.dates(date(2026, 4, 1), date(2026, 6, 30)), st.just(A_DAY))
LINES = st.fixed_dictionaries(
    {
        "reference": NUMBERS,
        "party": NAMES,
        "date": DAYS,
        "currency": st.sampled_from(["", "USD", "CAD", "JPY", "dollars"]),
        "amount": AMOUNTS.map(lambda one: one and one * 100 % 2**62),
        "open_balance": AMOUNTS,
        "also": st.one_of(NUMBERS, st.just("PRO 1001, 2001 (thanks)"), st.text(max_size=5)),
    }
)
RECORDS = st.fixed_dictionaries(
    {
        "number": NUMBERS | st.none(),
        "sync_reference": NUMBERS | st.none(),
        "party": NAMES,
        "pro_number": NUMBERS | st.none(),
        "amount": AMOUNTS,
        "date": DAYS,
        "currency": st.sampled_from(["USD", "CAD", "JPY", "KWD"]),
        "sync_status": st.integers(0, 2),
        "tms_status": st.sampled_from(["Approved", "Voided"]),
        "closed_reason": st.sampled_from([None, "will_not_sync", "reconciled"]),
    }
)


@settings(max_examples=150)
@given(
    st.lists(LINES, max_size=12),
    st.lists(RECORDS, max_size=12),
    st.sampled_from(Coverage),
    st.booleans(),
)
def test_every_line_and_every_record_stands_once(
    lines: list[dict[str, Any]], found: list[dict[str, Any]], coverage: Coverage, is_open: bool
) -> None:
    scope = Scope(coverage, MAY.start, MAY.end, is_open)
    given_records = records(found)
    result = match(documents(lines), given_records, scope)
    holds_together(result, len(lines), given_records, scope)


def holds_together(result: pd.DataFrame, lines: int, found: pd.DataFrame, scope: Scope) -> None:
    """What is true of any result."""
    assert sorted(result["line"].dropna()) == list(range(lines))
    shown = result["record"].dropna()
    assert shown.is_unique
    days = found["date"].map(lambda day: day is not None and scope.start <= day <= scope.end)
    due = found[
        days.astype(bool)
        & (found["closed_reason"] != "will_not_sync")
        & (found["tms_status"] != "Voided")
    ]
    assert set(due.index) <= set(shown)
    missing = result[result["bucket"].isin([Bucket.NOT_IN_BOOKS, Bucket.NOT_IN_REPORT])]
    assert set(missing["record"]) <= set(due.index)
    if scope.coverage is not Coverage.ALL:
        assert Bucket.NOT_IN_BOOKS not in set(result["bucket"])
    paired = result["line"].notna() & result["record"].notna()
    surely = result["bucket"].isin(disturbed.PAIRS)
    assert (paired | ~surely).all()
    assert (surely | ~paired | (result["bucket"] == Bucket.UNCERTAIN)).all()
    assert result["case"].is_monotonic_increasing
    assert set(result["bucket"]) <= set(Bucket)
    alone = Counter(
        result.loc[
            result["bucket"].isin(
                [*disturbed.PAIRS, Bucket.ONLY_IN_BOOKS, Bucket.NOT_IN_BOOKS, Bucket.NOT_IN_REPORT]
            ),
            "case",
        ]
    )
    assert set(alone.values()) <= {1}


@pytest.mark.parametrize("reference", ["1001", ""])
@pytest.mark.parametrize("amount", [500, None])
def test_thousands_alike_are_one_case_and_take_no_time(reference: str, amount: int | None) -> None:
    many = 5_000
    found = records([record(reference, amount)] * many)
    result = match(documents([line(reference, amount)] * many), found, MAY)
    holds_together(result, many, found, MAY)
    assert not set(result["bucket"]) & {Bucket.AGREES, Bucket.AMOUNT}


@pytest.mark.parametrize("coverage", Coverage)
def test_nothing_is_no_error(coverage: Coverage) -> None:
    scope = Scope(coverage, None, None)
    assert len(match(documents([]), records([]), scope)) == 0
    assert matched([line("1")], [], scope) == [(Bucket.ONLY_IN_BOOKS, 0, None)]
    bucket = Bucket.NOT_IN_BOOKS if coverage is Coverage.ALL else Bucket.NOT_IN_REPORT
    assert matched([], [record("1")], scope) == [(bucket, None, 1)]


# ---------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("reference", "key", "how"),
    [
        ("CHI-200123", {"number": "CHI-200123"}, "Number"),
        (" chi-200123 ", {"number": "CHI-200123"}, "Number"),
        ("INV-CHI-200123", {"number": "CHI-200123"}, "Number"),
        ("Invoice No. 20012", {"number": "INV-20012"}, "Number"),
        ("CHI 200123", {"number": "CHI-200123"}, "Number"),
        ("200123", {"number": "CHI-200123"}, "Number"),
        ("20012", {"number": "00020012"}, "Number"),
        ("20012.0", {"number": "20012"}, "Number"),
        ("CHI-123", {"number": "CHI-00123"}, "Number"),
        ("7048375", {"sync_reference": "7048375", "number": "CHI-200123"}, "Reference"),
        ("PRO 175866503", {"pro_number": "175866503"}, "PRO number"),
        ("1041838", {"shipment_id": "SHP1041838"}, "Load number"),
        ("51329", {"check_number": "51329"}, "Check number"),
    ],
)
def test_a_key_is_found_however_it_is_written(
    reference: str, key: dict[str, str], how: str
) -> None:
    found = only([line(reference)], [record(**{"number": "T-1"} | key)])
    assert (found.bucket, found.how, found.difference) == (Bucket.AGREES, how, 0)


@pytest.mark.parametrize(
    ("also", "how"),
    [
        ("PRO# 175866503, thanks", "PRO number"),
        ("load SHP1041838", "Load number"),
        ("for CHI-200123", "Number in the memo"),
    ],
)
def test_a_key_is_found_in_the_memo(also: str, how: str) -> None:
    keys = {"pro_number": "175866503", "shipment_id": "SHP1041838"}
    found = only([line(also=also)], [record("CHI-200123", **keys)])
    assert (found.bucket, found.how) == (Bucket.AGREES, how)


def test_a_memo_about_another_invoice_is_no_match() -> None:
    """One number of their own, another in the memo: the other one is another document."""
    lines = [line("CHI-200124", 700, also="Replaces CHI-200123")]
    records_ = [record("CHI-200123", 500), record("CHI-200124", 700)]
    assert matched(lines, records_) == [
        (Bucket.AGREES, 0, 2),
        (Bucket.NOT_IN_BOOKS, None, 1),
    ]


def test_a_spoiled_number_is_no_key() -> None:
    lines = [line("7.1E+13", 100), line("7.1E+13", 200, party="Lark Steel")]
    records_ = [record("7.1E+13", 900), record("71000000000000", 800)]
    assert {row[0] for row in matched(lines, records_)} == {
        Bucket.ONLY_IN_BOOKS,
        Bucket.NOT_IN_BOOKS,
    }


def test_the_exact_form_wins() -> None:
    """1001 is 1001 although INV-1001 has the same amount; then nothing is left to be sure of."""
    records_ = [record("INV-10010", 500), record("10010", 510)]
    assert matched([line("10010", 510)], records_) == [
        (Bucket.AGREES, 0, 2),
        (Bucket.NOT_IN_BOOKS, None, 1),
    ]
    unsure = matched([line("10010", 500)], records_)
    assert unsure[0] == (Bucket.UNCERTAIN, 0, None) or unsure[0] == (Bucket.AMOUNT, 0, 2)


def test_vendors_have_the_same_numbers() -> None:
    lines = [line("1001", 500, party="Lark Steel"), line("1001", 510), line("1001", 9, party="X")]
    records_ = [record("1001", 510), record("1001", 520, party="Lark Steel LLC")]
    assert matched(lines, records_) == [
        (Bucket.AMOUNT, 0, 2),
        (Bucket.AGREES, 1, 1),
        (Bucket.ONLY_IN_BOOKS, 2, None),
    ]


def test_a_number_of_another_vendor_is_no_match() -> None:
    """Whoever the books name: known as another, or not at all."""
    for party in ("Lark Steel", "Office Supplies Co."):
        rows = matched(
            [line("10234", 77, party=party)], [record("10234"), record("8", 1, party="Lark Steel")]
        )
        assert rows[0] == (Bucket.ONLY_IN_BOOKS, 0, None)


def test_a_renamed_party_is_found_by_number_and_amount() -> None:
    found = only([line("CHI-200123", party="Quite Another Factor")], [record("CHI-200123")])
    assert found.bucket == Bucket.AGREES
    assert "another party" in found.reason
    found = only([line("CHI-200123", 400, party="Quite Another Factor")], [record("CHI-200123")])
    assert found.bucket == Bucket.UNCERTAIN


def test_the_same_number_and_amount_of_another_known_party_is_not_certain() -> None:
    rows = matched(
        [line("CHI-200123", party="Lark Steel")],
        [record("CHI-200123"), record("T-1", 1, party="Lark Steel")],
    )
    assert rows[0] == (Bucket.UNCERTAIN, 0, 1)


def test_a_short_number_needs_the_amount() -> None:
    assert only([line("7")], [record("7")]).bucket == Bucket.AGREES
    assert only([line("7", 400)], [record("7")]).bucket == Bucket.UNCERTAIN


def test_a_number_that_comes_again_next_year_is_not_certain() -> None:
    lines = [line("10234", 400, date=A_DAY - timedelta(days=360))]
    assert only(lines, [record("10234")]).bucket == Bucket.UNCERTAIN


@pytest.mark.parametrize(
    "name",
    [
        "KESTREL  FOODS, INC.",
        "C10021 Kestrel Foods",
        "Kestrel Foods (4711)",
        "Kestrel Foods Inc. - USD",
        "Kestrel Foods:Chicago",
        "Midland Group:Kestrel Foods Inc",
        "Kestrl Foods",
        "Késtrel Foods",
        "Foods Kestrel",
    ],
)
def test_a_party_is_recognized_however_it_is_written(name: str) -> None:
    """Number and party without the amount."""
    others = [record("T-1", 1, party=one) for one in ("Kestrel Steel", "Lark Foods Inc.")]
    rows = matched([line("10234", 400, party=name)], [record("10234"), *others])
    assert rows[0] == (Bucket.AMOUNT, 0, 1)


@pytest.mark.parametrize("name", ["Kestrel Floods 2", "Kestrel", "Terminal 5", "Kestrel Food Mart"])
def test_a_party_that_is_only_alike_is_another(name: str) -> None:
    others = [record("T-1", 1, party="Terminal 4")]
    rows = matched([line("10234", 400, party=name)], [record("10234"), *others])
    assert rows[0] == (Bucket.ONLY_IN_BOOKS, 0, None)


def test_two_parties_that_differ_in_their_legal_form_are_two() -> None:
    records_ = [record("10234"), record("10234", 600, party="Kestrel Foods LLC")]
    lines = [line("10234", 610, party="Kestrel Foods LLC"), line("10234", 510)]
    assert matched(lines, records_) == [(Bucket.AMOUNT, 0, 2), (Bucket.AMOUNT, 1, 1)]


# ---------------------------------------------------------------- amounts


def test_by_how_much_the_amount_differs() -> None:
    found = only([line("CHI-200123", 470)], [record("CHI-200123")])
    assert (found.bucket, found.difference) == (Bucket.AMOUNT, -300_000)


@pytest.mark.parametrize(("status", "word"), [(0, "Pending"), (2, "Failed")])
def test_the_status_differs_where_the_amount_does_not(status: int, word: str) -> None:
    found = only([line("CHI-200123")], [record("CHI-200123", sync_status=status)])
    assert (found.bucket, found.difference) == (Bucket.STATUS, 0)
    assert word in found.reason
    found = only([line("CHI-200123", 1)], [record("CHI-200123", sync_status=status)])
    assert found.bucket == Bucket.AMOUNT
    assert word in found.reason


def test_another_currency_is_another_amount() -> None:
    found = only([line("CHI-200123", currency="CAD")], [record("CHI-200123")])
    assert (found.bucket, found.difference is pd.NA) == (Bucket.AMOUNT, True)
    assert "currencies" in found.reason
    assert only([line("CHI-200123", currency="usd")], [record("CHI-200123")]).difference == 0


def test_minor_units_are_those_of_the_currency() -> None:
    records_ = [record("JP-20012", 5, currency="JPY"), record("KW-20013", 5, currency="KWD")]
    lines = [line("JP-20012", 500), line("KW-20013", 0.5)]
    assert [row[0] for row in matched(lines, records_)] == [Bucket.AGREES, Bucket.AGREES]


def test_what_is_not_known_does_not_agree() -> None:
    found = only([line("CHI-200123", None)], [record("CHI-200123")])
    assert (found.bucket, found.difference is pd.NA) == (Bucket.UNCERTAIN, True)
    assert "amount" in found.reason


@pytest.mark.parametrize(
    ("amount", "status", "bucket"),
    [
        (500, 1, Bucket.AGREES),
        (300, 1, Bucket.AGREES),
        (300, 2, Bucket.STATUS),
        (600, 1, Bucket.AMOUNT),
    ],
)
def test_of_an_open_amount_only_more_is_a_difference(
    amount: int, status: int, bucket: Bucket
) -> None:
    scope = Scope(Coverage.OPEN, MAY.start, MAY.end, amount_is_open=True)
    found = only([line("CHI-200123", amount)], [record("CHI-200123", sync_status=status)], scope)
    assert found.bucket == bucket
    assert ("open part" in found.reason) == (amount < 500)
    lines = [line("CHI-200123", None, open_balance=amount * 10_000)]
    found = only(lines, [record("CHI-200123", sync_status=status)])
    assert found.bucket == bucket


# ---------------------------------------------------------------- several


def test_twice_in_the_books_is_a_duplicate() -> None:
    for again in ("CHI-200123", "INV-CHI-200123", "200123"):
        rows = matched([line("CHI-200123"), line(again)], [record("CHI-200123")])
        assert rows == [
            (Bucket.DUPLICATE, 0, None),
            (Bucket.DUPLICATE, 1, None),
            (Bucket.DUPLICATE, None, 1),
        ]
    result = match(documents([line("CHI-200123")] * 2), records([record("CHI-200123")]), MAY)
    assert set(result["case"]) == {0}
    assert set(result["reason"]) == {"2 lines of the report are the same document"}


def test_two_records_that_share_a_line_are_duplicates() -> None:
    rows = matched([line("10234")], [record("10234"), record("10234", sync_status=2)])
    assert [row[0] for row in rows] == [Bucket.DUPLICATE] * 3


def test_a_voided_record_is_the_second_choice() -> None:
    """Voided and billed again under the same number."""
    records_ = [record("10234", tms_status="Voided"), record("10234")]
    assert matched([line("10234")], records_) == [(Bucket.AGREES, 0, 2)]
    found = only([line("10234")], records_[:1])
    assert (found.bucket, found.reason) == (Bucket.AGREES, "Voided here")


def test_amounts_tell_apart_what_has_the_same_number() -> None:
    lines = [line("10234", 700), line("10234", 500), line("10234", 600)]
    records_ = [record("10234", 500), record("10234", 600), record("10234", 800)]
    assert matched(lines, records_) == [
        (Bucket.AMOUNT, 0, 3),
        (Bucket.AGREES, 1, 1),
        (Bucket.AGREES, 2, 2),
    ]


def test_what_is_left_of_a_number_is_looked_at() -> None:
    rows = matched([line("10234", 700), line("10234")], [record("10234")])
    assert rows == [(Bucket.UNCERTAIN, 0, None), (Bucket.AGREES, 1, 1)]
    rows = matched([line("10234")], [record("10234", 700), record("10234")])
    assert rows == [(Bucket.AGREES, 0, 2), (Bucket.UNCERTAIN, None, 1)]


@pytest.mark.parametrize("references", [("RCT-70001", "RCT-70001"), ("RCT-70001", ""), ("", "")])
def test_a_split_record_is_not_certain(references: tuple[str, str]) -> None:
    lines = [line(references[0], 300), line(references[1], 200), line("", 123, party="Lark Steel")]
    result = match(documents(lines), records([record("RCT-70001"), record("RCT-70002", 41)]), MAY)
    case = result[result["line"] == 0]["case"].item()
    inside = result[result["case"] == case]
    assert set(inside["bucket"]) == {Bucket.UNCERTAIN}
    assert set(inside["line"].dropna()) == {0, 1}
    assert set(inside["record"].dropna()) == {1}
    assert set(inside["reason"]) == {"2 lines of the report add up to this record"}


@pytest.mark.parametrize("reference", ["RCT-70001", "RCT-70001, RCT-70002", ""])
def test_merged_records_are_not_certain(reference: str) -> None:
    records_ = [record("RCT-70001", 300), record("RCT-70002", 200), record("RCT-70003", 77)]
    result = match(documents([line(reference)]), records(records_), MAY)
    inside = result[result["case"] == 0]
    assert set(inside["bucket"]) == {Bucket.UNCERTAIN}
    assert set(inside["record"].dropna()) == {1, 2}
    assert set(inside["reason"]) == {"2 records here add up to this line"}
    assert result["bucket"].tolist()[-1] == Bucket.NOT_IN_BOOKS


# ---------------------------------------------------------------- suggestions


def test_party_amount_and_date_suggest_and_never_decide() -> None:
    found = only([line(date=A_DAY + timedelta(days=2))], [record("RCT-70001")])
    assert (found.bucket, found.record, found.how) == (
        Bucket.UNCERTAIN,
        1,
        "Party, amount and date",
    )


@pytest.mark.parametrize(
    "other",
    [
        {"amount": 501},
        {"party": "Lark Steel"},
        {"date": A_DAY + timedelta(days=30)},
        {"date": None},
        {"currency": "CAD"},
    ],
)
def test_nothing_is_suggested_where_one_of_them_differs(other: dict[str, Any]) -> None:
    rows = matched([line(**other)], [record("RCT-70001"), record("T", 9, party="Lark Steel")])
    assert rows[0] == (Bucket.ONLY_IN_BOOKS, 0, None)


def test_the_nearest_is_suggested_and_never_one_of_several() -> None:
    weeks = [A_DAY + timedelta(days=days) for days in (-7, 0, 7)]
    records_ = [record(f"RCT-7000{n}", date=day) for n, day in enumerate(weeks)]
    lines = [line(date=day) for day in reversed(weeks)]
    assert [row[1:] for row in matched(lines, records_)] == [(0, 3), (1, 2), (2, 1)]
    rows = matched([line()], [record("RCT-70001"), record("RCT-70002")])
    assert rows == [
        (Bucket.UNCERTAIN, 0, None),
        (Bucket.UNCERTAIN, None, 1),
        (Bucket.UNCERTAIN, None, 2),
    ]


def test_nothing_is_suggested_for_a_line_that_names_another_record() -> None:
    lines = [line("CHI-200123"), line("CHI-200123", 600)]
    rows = matched(lines, [record("CHI-200123"), record("CHI-200999", 600)])
    assert (Bucket.NOT_IN_BOOKS, None, 2) in rows


# ---------------------------------------------------------------- what is not there


@pytest.mark.parametrize(
    "values",
    [
        {"closed_reason": "will_not_sync"},
        {"tms_status": "Voided"},
        {"date": date(2026, 4, 30)},
        {"date": date(2026, 6, 1)},
        {"date": None},
    ],
)
def test_what_the_report_can_say_nothing_about_does_not_appear(values: dict[str, Any]) -> None:
    records_ = [record("CHI-200123", **values), record("CHI-200124")]
    assert matched([], records_) == [(Bucket.NOT_IN_BOOKS, None, 2)]
    found = only([line("CHI-200123")], records_[:1])
    assert found.record == 1, "but it can be matched"


@pytest.mark.parametrize("status", [0, 1, 2])
def test_only_all_of_a_period_proves_that_something_is_missing(status: int) -> None:
    records_ = [record("CHI-200123", sync_status=status)]
    for coverage in Coverage:
        scope = Scope(coverage, MAY.start, MAY.end)
        bucket = Bucket.NOT_IN_BOOKS if coverage is Coverage.ALL else Bucket.NOT_IN_REPORT
        assert matched([], records_, scope) == [(bucket, None, 1)]
