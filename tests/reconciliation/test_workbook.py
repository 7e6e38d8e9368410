"""A reconciliation as an Excel file: every line, typed, nothing that Excel would compute."""

import io

import openpyxl
import pytest
from openpyxl.worksheet.worksheet import Worksheet
from sqlalchemy import select

from synchist.accounts import NotAllowed, Principal
from synchist.db.engine import reading
from synchist.db.tables import access_event
from synchist.export import TooManyRows
from synchist.reconciliation import decisions, workbook
from synchist.reconciliation.matching import Bucket
from synchist.reconciliation.saved import NoSuchReconciliation
from tests.conftest import Database
from tests.reconciliation.desk import compare, day, document, kept, like, lines, place
from tests.world import World

HOSTILE = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", '=cmd|"/c calc"!A1', "=" + "x" * 40_000)


def exported(principal: Principal, identity: str) -> dict[str, Worksheet]:
    """The sheets, as another program reads them; formulas would come as formulas."""
    name, content = workbook.workbook(principal, identity)
    assert name.startswith("Reconciliation transactions ")
    return {sheet.title: sheet for sheet in openpyxl.load_workbook(io.BytesIO(content)).worksheets}


def table(sheet: Worksheet) -> list[dict[str, object]]:
    titles, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(map(str, titles), row, strict=True)) for row in rows]


def test_every_line_is_there_with_both_sides(
    database: Database, world: World, analyst: Principal
) -> None:
    documents = [
        like(world, "complete", open_balance=15_000),
        like(world, "failed", date=day(80)),
        like(world, "partial", amount=13_500_000),
        document("0007", 12_345, type="Invoice", party="Öl & Söhne", currency=""),
    ]
    identity = compare(analyst, world, documents)
    decisions.accept(
        analyst,
        "00000000-0000-4000-8000-000000000001",
        identity,
        [place(identity, world.invoice["failed"])],
    )
    sheets = exported(analyst, identity)
    assert list(sheets) == [
        *("Agrees", "Amount differs", "Status differs", "Not in the books", "Only in the books"),
        "About",
    ]
    rows = [row for title, sheet in sheets.items() if title != "About" for row in table(sheet)]
    assert len(rows) == len(lines(identity))
    assert sorted(row["Row in the file"] for row in rows if row["Row in the file"]) == [5, 6, 7, 8]

    (agrees,) = table(sheets["Agrees"])
    assert (agrees["Books: amount"], agrees["TMS: amount"], agrees["Difference"]) == (2100, 2100, 0)
    assert agrees["Books: open balance"] == 1.5
    (status,) = table(sheets["Status differs"])
    assert (status["Sync status when compared"], status["Sync status now"]) == (
        "Failed",
        "Complete",
    )
    assert status["Books: date"].date() == day(80)
    (differs,) = table(sheets["Amount differs"])
    assert (differs["Difference"], differs["On which charges"]) == (-150, "Fuel surcharge -150.00")
    (only,) = table(sheets["Only in the books"])
    assert (only["Books: number"], only["Books: amount"]) == ("0007", 1.2345)
    assert (only["Books: name"], only["TMS: number"]) == ("Öl & Söhne", None)


def test_it_says_what_it_is_and_how_it_adds_up(
    database: Database, world: World, analyst: Principal
) -> None:
    identity = compare(analyst, world, [like(world, "complete"), document("A", 10_001)])
    rows = table(exported(analyst, identity)["About"])
    about = {row["What"]: row["Value"] for row in rows}
    assert about["What"] == "transactions.csv against invoices of QuickBooks US"
    assert about["File's sha256"] == "ab" * 32
    assert (about["Compared by"], about["Exported by"]) == ("Ada", "Ada")
    assert (about["Rows read"], about["Rows used"], about["Rows left out: totals"]) == (5, 2, 1)
    assert about["Sum of what was read"] == about["The report's own total"] == 2101.0001
    assert about["Documents in the lists"] == 2
    assert about["Agrees: books USD"] == about["Agrees: TMS USD"] == 2100
    assert about["Only in the books: books USD"] == 1.0001
    assert about["Warning 1"] == "The file does not say its basis."
    with reading() as connection:
        said = connection.scalars(
            select(access_event.c.detail).where(access_event.c.kind == "export")
        ).all()
    assert said == [f"{len(lines(identity))} rows: reconciliation {identity} of transactions.csv"]


def test_no_cell_is_ever_a_formula(database: Database, world: World, analyst: Principal) -> None:
    documents = [document(text, 10_000, party=text, also=text, type=text[:20]) for text in HOSTILE]
    identity = compare(analyst, world, documents)
    for sheet in exported(analyst, identity).values():
        assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n", "d"}


def test_who_may_not_export_is_refused_and_recorded(
    database: Database, world: World, analyst: Principal, viewer: Principal, visitor: Principal
) -> None:
    identity = compare(analyst, world, [like(world, "complete")])
    for who in (viewer, visitor):
        with pytest.raises(NotAllowed):
            workbook.workbook(who, identity)
    with reading() as connection:
        kinds = connection.execute(select(access_event.c.kind, access_event.c.detail)).all()
    assert [tuple(one) for one in kinds if one.kind != "upload"] == [
        ("denied", "export a reconciliation")
    ] * 2
    with pytest.raises(NoSuchReconciliation):
        workbook.workbook(analyst, "no-such-id")


def test_more_than_a_sheet_holds_is_refused(
    database: Database, world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [document(f"A-{number}", 10_000) for number in range(3)]
    identity = compare(analyst, world, documents)
    monkeypatch.setattr(workbook, "EXCEL_ROWS", 3)
    with pytest.raises(TooManyRows):
        workbook.workbook(analyst, identity)
    assert len(lines(identity, Bucket.ONLY_IN_BOOKS)) == 3
    assert kept(identity).used == 3
