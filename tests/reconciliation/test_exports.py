"""Reports as people export them: what is read of each, what is refused, and no row unaccounted."""

import json
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner

from synchist.child import UnreadableFile
from synchist.cli import main
from synchist.entities import ENTITIES
from synchist.reconciliation.reading import read
from synchist.reconciliation.report import Report, Unmapped, WrongReport, exact

EXPORTS = Path(__file__).parent / "exports"
EXPECTED: Mapping[str, Mapping[str, Any]] = tomllib.loads(
    (EXPORTS / "expected.toml").read_text(encoding="utf-8")
)
READ = [
    (name, entity.key)
    for name, expected in EXPECTED.items()
    for entity in ENTITIES
    if entity.key in expected
]
REFUSED = [
    (name, key)
    for name, expected in EXPECTED.items()
    for key in expected.get("refused", {}).get("entities", ())
]


@cache
def reading(name: str, entity: str) -> Report:
    """A file as it is read for an entity; once, since several tests look at it."""
    return read(name, (EXPORTS / name).read_bytes(), entity)


def lines(documents: pd.DataFrame) -> list[str]:
    """Documents as `expected.toml` writes them."""

    def text(value: Any) -> str:
        return "" if pd.isna(value) else str(value)

    def money(value: Any) -> str:
        return "" if pd.isna(value) else exact(int(value))

    return [
        " | ".join(
            (
                row["reference"],
                row["party"],
                text(row["date"]),
                money(row["amount"]),
                money(row["open_balance"]),
            )
        ).rstrip()
        for row in documents.to_dict("records")
    ]


def test_every_file_has_its_expectation() -> None:
    files = {path.name for path in EXPORTS.iterdir()} - {"expected.toml"}

    assert files == set(EXPECTED)


@pytest.mark.parametrize(("name", "entity"), READ)
def test_documents_are_read(name: str, entity: str) -> None:
    found = lines(reading(name, entity).documents)

    assert sorted(found) == sorted(EXPECTED[name][entity])


@pytest.mark.parametrize(("name", "entity"), READ)
def test_every_row_is_used_or_skipped_for_a_reason(name: str, entity: str) -> None:
    report = reading(name, entity)

    assert report.rows_read == report.used + sum(report.skipped.values())
    assert all(reason and count > 0 for reason, count in report.skipped.items())
    assert report.used >= len(report.documents)
    assert report.documents["row"].is_unique


@pytest.mark.parametrize(
    ("name", "entity"), [(name, key) for name, key in READ if "coverage" in EXPECTED[name]]
)
def test_a_report_says_what_it_can_prove(name: str, entity: str) -> None:
    assert reading(name, entity).coverage == EXPECTED[name]["coverage"]


@pytest.mark.parametrize(
    ("name", "entity"), [(name, key) for name, key in READ if "file_total" in EXPECTED[name]]
)
def test_the_reports_own_total_is_found(name: str, entity: str) -> None:
    total = reading(name, entity).file_total

    assert total is not None
    assert exact(abs(total)) in EXPECTED[name]["file_total"]


@pytest.mark.parametrize(
    ("name", "entity"), [(name, key) for name, key in READ if "warning" in EXPECTED[name]]
)
def test_what_is_odd_is_said(name: str, entity: str) -> None:
    warnings = " ".join(reading(name, entity).warnings).lower()

    assert EXPECTED[name]["warning"] in warnings


@pytest.mark.parametrize(("name", "entity"), REFUSED)
def test_the_wrong_file_is_refused_by_its_name(name: str, entity: str) -> None:
    with pytest.raises((WrongReport, Unmapped, UnreadableFile)) as refusal:
        reading(name, entity)

    said = str(refusal.value).lower()
    assert any(word in said for word in EXPECTED[name]["refused"]["words"]), said


@pytest.mark.parametrize(
    ("name", "entity", "rows"),
    [
        ("qbo_invoice_list_newline_memo.csv", "invoice", [6, 7]),
        ("qbo_ar_aging_client_location.csv", "invoice", [7, 10, 11]),
        ("qbd_ap_aging_detail_spacers.xlsx", "bill", [3, 4, 7]),
        ("plain_repeated_page_headers.csv", "invoice", [4, 5, 10]),
        ("plain_bills_utf16.txt", "bill", [2, 3]),
    ],
)
def test_rows_are_numbered_as_a_spreadsheet_shows_them(
    name: str, entity: str, rows: list[int]
) -> None:
    assert sorted(reading(name, entity).documents["row"]) == rows


# ---------------------------------------------------------------- the command


def read_export(name: str, entity: str) -> Any:
    return CliRunner().invoke(
        main, ["read-export", str(EXPORTS / name), "--entity", entity, "--json"]
    )


def test_the_command_prints_what_was_read() -> None:
    result = read_export("qbo_bill_payment_list_by_account.csv", "bill-payments")

    assert (result.exit_code, result.stderr) == (0, "")
    printed = json.loads(result.stdout)
    assert [
        (one["row"], one["type"], one["reference"], one["party"], one["date"], one["amount"])
        for one in printed["documents"]
    ] == [
        (7, "Bill Payment", "3001", "Towhee Transport", "2026-07-03", "2400.00"),
        (8, "Bill Payment", "3002", "Vireo Van Lines", "2026-07-17", "610.75"),
        (9, "Bill Payment", "", "Vireo Van Lines", "2026-07-17", "89.25"),
        (12, "Bill Payment", "1", "Towhee Transport", "2026-07-22", "45.00"),
        (13, "Bill Payment", "1", "Junco Junction Fuel", "2026-07-29", "310.00"),
    ]
    assert printed["coverage"] == "all of a period"
    assert printed["rows_read"] == printed["used"] + sum(printed["skipped"].values())
    assert abs(Decimal(printed["file_total"])) == Decimal("2745.00")


def test_the_command_refuses_in_one_sentence() -> None:
    result = read_export("qbo_ap_aging_detail.csv", "invoices")

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "payable" in result.stderr or "bill" in result.stderr
