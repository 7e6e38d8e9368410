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


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_disturbed_exports_are_matched(books: None, seed: int) -> None:
    scores = []
    for entity in ENTITIES:
        for company in (1, 2, 3):
            scores.append(disturbed.score(_export(entity, company, seed)))
    total = pd.concat(scores).groupby(level=["what", "kind"]).sum()
    assert total["wrong"].sum() == 0, total[total["wrong"] > 0]
    shares = total["found"] / total.sum(axis=1)
    assert total.loc[("with a number", "all")].sum() > 1_500
    assert shares[("with a number", "all")] >= 0.99, total.loc["with a number"]
    assert shares[("without", "all")] >= 0.9, total.loc["without"]
    assert shares[("groups", "split")] >= 0.9
    assert shares[("groups", "merged")] >= 0.9
    assert shares[("groups", "duplicate")] >= 0.9


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
