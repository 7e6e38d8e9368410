"""Loading: what a file creates and updates, what it may not, and that it is all or nothing."""

import io
import threading
import time
import zipfile
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from openpyxl.cell.cell import TYPE_FORMULA
from sqlalchemy import event, func, insert, select

from synchist import export
from synchist import status_changes as changing
from synchist.accounts import NotAllowed, Principal
from synchist.db.engine import database as the_engine
from synchist.db.engine import reading, writing
from synchist.db.prepare import DEMO
from synchist.db.tables import (
    ENTITY_TABLES,
    access_event,
    database_fact,
    operation,
    operation_item,
    organization,
    sync_event,
)
from synchist.db.types import utc_now
from synchist.entities import BILL_PAYMENTS, BILLS, ENTITIES, INVOICE_PAYMENTS, INVOICES, Entity
from synchist.filters import Filters, Window
from synchist.loading.records import (
    DemoNotLoadable,
    Refusal,
    Report,
    UnreadableFile,
    fields,
    files,
    load,
    template,
)
from synchist.settings import settings
from synchist.statuses import CloseReason, SyncStatus
from tests.conftest import POSTGRESQL, ROOT, SQLITE, Database, owned
from tests.world import World, noon

ME = Principal.command_line("tests")
SQLITE_ONLY = pytest.mark.parametrize("database", [SQLITE], indirect=True)

INVOICE = {
    "tms_id": "T-1",
    "number": "1042",
    "payer": "Bluebird Foods",
    "billing_organization": "Harbor Point Chicago",
    "currency": "USD",
    "amount": "1,234.50",
}


def a_file(folder: Path, rows: Iterable[dict[str, Any]], name: str = "file.csv") -> Path:
    """A file of these rows; the columns are those of the first."""
    rows = list(rows)
    path = folder / name
    lines = [list(rows[0]), *([row.get(key) for key in rows[0]] for row in rows)]
    path.write_bytes(files.written(path, lines))
    return path


def record(entity: Entity, **where: Any) -> dict[str, Any]:
    """The one record with these values."""
    with reading() as connection:
        of = entity.table
        found = connection.execute(
            select(of).where(*(of.c[name] == value for name, value in where.items()))
        )
        return dict(found.mappings().one())


def contents() -> tuple[int, ...]:
    """How many rows each table holds that a load may write to."""
    tables = [*ENTITY_TABLES, sync_event, operation, operation_item, organization, access_event]
    with reading() as connection:
        return tuple(
            connection.scalar(select(func.count()).select_from(table)) or 0 for table in tables
        )


def reasons(report: Report) -> list[str]:
    return [refusal.reason for refusal in report.refused]


@pytest.fixture
def invoices(tmp_path: Path) -> Callable[..., Report]:
    """Load invoices that differ from the usual one in what is named."""

    def loaded(*rows: dict[str, Any], name: str = "file.csv", **options: bool) -> Report:
        return load(
            ME, INVOICES, a_file(tmp_path, [INVOICE | row for row in rows], name), **options
        )

    return loaded


# ---------------------------------------------------------------- create and update


@pytest.mark.parametrize("name", ["example.csv", "example.xlsx"])
def test_the_example_of_every_entity_loads(database: Database, tmp_path: Path, name: str) -> None:
    for entity in ENTITIES:
        path = tmp_path / name
        path.write_bytes(template(entity, path))
        report = load(ME, entity, path, create_organizations=True)
        assert (report.created, report.refused, report.ignored) == (3, (), ())
        with reading() as connection:
            of = entity.table.c
            rows = connection.execute(
                select(of.number, of.amount, of.sync_status, of.synced_amount).order_by(of.id)
            ).all()
        assert [tuple(row) for row in rows] == [
            ("EX-1001", 123450, 0, None),
            ("EX-1002", 98000, 2, None),
            ("EX-1003", 41025, 1, 41025),
        ]
        before = contents()
        again = load(ME, entity, path)
        assert (again.created, again.updated, again.unchanged) == (0, 0, 3)
        assert contents() == (*before[:-1], before[-1] + 1)  # but for the note that it was loaded


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.slug)
def test_an_example_holds_no_formulas(entity: Entity) -> None:
    path = Path("example.xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(template(entity, path))).worksheets[0]
    cells = [cell for row in sheet.iter_rows() for cell in row]
    assert [cell.value for cell in cells[: sheet.max_column]] == list(fields(entity))
    assert not [cell for cell in cells if cell.data_type == TYPE_FORMULA]


def test_an_example_is_csv_or_xlsx() -> None:
    with pytest.raises(UnreadableFile, match=r"end in \.csv or \.xlsx"):
        template(INVOICES, Path("example.pdf"))


def test_a_record_is_created_with_every_value(
    world: World, invoices: Callable[..., Report]
) -> None:
    report = invoices(
        {
            "connection": "QuickBooks US",
            "tms_status": "Approved",
            "shipment_id": "SHP-1",
            "pro_number": "PRO-1",
            "accounting_date": "2026-10-01",
            "due_date": "2026-11-30",
            "created_at": "2026-10-01T08:00:00Z",
        }
    )
    assert report == Report(1, 0, 0, 0, (), (), written=True)
    found = record(INVOICES, tms_id="T-1")
    assert found["party_id"] == world.organization["Bluebird Foods"]
    assert found["billing_organization_id"] == world.organization["Harbor Point Chicago"]
    assert found["connection_id"] == world.connection["QuickBooks US"]
    assert (found["number"], found["currency"], found["amount"]) == ("1042", "USD", 123450)
    assert (found["tms_status"], found["shipment_id"], found["pro_number"]) == (
        *("Approved", "SHP-1", "PRO-1"),
    )
    assert (found["accounting_date"], found["due_date"]) == (date(2026, 10, 1), date(2026, 11, 30))
    assert found["created_at"] == found["outcome_at"] == datetime(2026, 10, 1, 8, tzinfo=UTC)
    assert (found["sync_status"], found["version"]) == (0, 1)


def test_a_record_without_status_and_time_is_created_now(
    world: World, invoices: Callable[..., Report]
) -> None:
    before = utc_now()
    invoices({})
    found = record(INVOICES, tms_id="T-1")
    assert found["tms_status"] == "Created"
    assert before <= found["created_at"] <= utc_now()


def test_a_record_is_updated_by_its_tms_id(world: World, invoices: Callable[..., Report]) -> None:
    invoices({"shipment_id": "SHP-1", "tms_status": "Ready", "created_at": "2026-10-01"})
    before = record(INVOICES, tms_id="T-1")
    report = invoices(
        {
            "number": "1043",
            "amount": "99.00",
            "payer": "100% Fresh_Produce",
            "shipment_id": "",
            "tms_status": "Approved",
            "created_at": "2026-10-02",
        }
    )
    assert report == Report(0, 1, 0, 0, (), (), written=True)
    found = record(INVOICES, tms_id="T-1")
    assert {name for name in found if found[name] != before[name]} == {
        *("number", "amount", "party_id", "tms_status", "version")
    }
    with reading() as connection:
        kinds = connection.scalars(
            select(sync_event.c.kind)
            .where(sync_event.c.record_id == found["id"], sync_event.c.entity == "invoice")
            .order_by(sync_event.c.version)
        ).all()
    assert kinds == ["created", "tms"]


def test_columns_that_no_event_tracks_are_updated_too(
    world: World, invoices: Callable[..., Report]
) -> None:
    invoices({"shipment_id": "SHP-1"})
    assert invoices({"shipment_id": "SHP-2"}).updated == 1
    found = record(INVOICES, tms_id="T-1")
    assert (found["shipment_id"], found["version"]) == ("SHP-2", 1)


def test_loading_the_same_file_again_changes_nothing(
    world: World, invoices: Callable[..., Report]
) -> None:
    rows = [
        {"tms_id": "T-1", "sync_status": "", "sync_at": "", "sync_error": ""},
        {"tms_id": "T-2", "sync_status": "Failed", "sync_at": "", "sync_error": "No"},
        {"tms_id": "T-3", "sync_status": "Complete", "sync_at": "2026-11-01 10:00:00.5"},
        {"tms_id": "T-4", "sync_status": "Pending"},
    ]
    assert invoices(*rows).created == 4
    before = contents()
    assert invoices(*rows) == Report(0, 0, 4, 0, (), (), written=True)
    assert contents() == (*before[:-1], before[-1] + 1)


# ---------------------------------------------------------------- natural keys

PAYMENT_KEY = [
    {"party": "Lone Pine Trucking"},
    {"number": "1043"},
    {"accounting_date": "2026-10-02"},
    {"amount": "1.00"},
]


@pytest.mark.parametrize(
    ("entity", "same", "others"),
    [
        (INVOICES, {"party": "Delta Vans", "amount": "2.00"}, None),
        (BILLS, {"billing_organization": "Harbor Point Toronto", "amount": "2.00"}, None),
        (INVOICE_PAYMENTS, {"billing_organization": "Harbor Point Toronto"}, PAYMENT_KEY),
        (BILL_PAYMENTS, {"billing_organization": "Harbor Point Toronto"}, PAYMENT_KEY),
    ],
    ids=[entity.slug for entity in (INVOICES, BILLS, INVOICE_PAYMENTS, BILL_PAYMENTS)],
)
def test_without_a_tms_id_the_natural_key_tells_records_apart(
    world: World,
    tmp_path: Path,
    entity: Entity,
    same: dict[str, str],
    others: list[dict[str, str]] | None,
) -> None:
    usual = {
        "number": "1042",
        "party": "Bluebird Foods",
        "billing_organization": "Harbor Point Chicago",
        "currency": "USD",
        "amount": "1234.50",
        "accounting_date": "2026-10-01",
    }
    own = "billing_organization" if entity is INVOICES else "party"
    others = others or [{own: "Lone Pine Trucking"}, {"number": "1043"}]
    load(ME, entity, a_file(tmp_path, [usual]))
    report = load(ME, entity, a_file(tmp_path, [usual | same]))
    assert (report.created, report.updated) == (0, 1)
    report = load(ME, entity, a_file(tmp_path, [usual | other for other in others]))
    assert (report.created, report.updated) == (len(others), 0)


def test_where_two_records_match_the_row_is_refused(
    world: World, invoices: Callable[..., Report]
) -> None:
    invoices({"tms_id": "T-1"}, {"tms_id": "T-2"})
    report = invoices({"tms_id": ""}, {"tms_id": "T-1", "amount": "1.00"})
    assert report.refused == (Refusal(2, "2 invoices match; add the tms_id"),)
    assert (report.updated, report.written) == (1, False)


@pytest.mark.parametrize(
    "rows",
    [
        [{"tms_id": "T-1"}, {"tms_id": "T-1", "number": "7"}],
        [{"tms_id": ""}, {"tms_id": ""}],
        [{"tms_id": ""}, {"tms_id": "T-1"}],
        [{"tms_id": "INV-T1", "number": "7"}, {"tms_id": "", "number": "INV-2001"}],
    ],
    ids=["tms_id", "natural key", "both", "found twice"],
)
def test_a_record_stands_in_a_file_once(
    world: World, invoices: Callable[..., Report], rows: list[dict[str, str]]
) -> None:
    report = invoices(*rows, {"tms_id": "T-9", "number": "9"})
    assert report.refused == (
        Refusal(2, "the same invoice as in line 3"),
        Refusal(3, "the same invoice as in line 2"),
    )
    assert report.created == 1


def test_the_same_number_under_two_tms_ids_is_two_records(
    world: World, invoices: Callable[..., Report]
) -> None:
    assert invoices({"tms_id": "T-1"}, {"tms_id": "T-2"}).created == 2


def test_a_tms_id_that_comes_later_doubles_nothing(
    world: World, invoices: Callable[..., Report]
) -> None:
    """A record's tms_id never changes, so the one that was made up has to stay."""
    invoices({"tms_id": ""})
    assert reasons(invoices({"tms_id": "T-1"})) == [
        "the invoice was loaded without a tms_id before; leave it out here"
    ]


# ---------------------------------------------------------------- all or nothing


def test_every_refused_row_is_listed_and_nothing_is_written(world: World, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(
        b"number,payer,billing_organization,currency,amount,shipment_id\r\n"
        b"1,Bluebird Foods,Harbor Point Chicago,USD,1.00,\r\n"
        b'2,Bluebird Foods,Harbor Point Chicago,USD,1.00,"a\nb\nc"\r\n'
        b"3,Nobody,Harbor Point Chicago,USD,1.00,\r\n"
        b",,,,,\r\n"
        b"\r\n"
        b"4,Bluebird Foods,Harbor Point Chicago,US,1.00,\r\n"
        b"5,Bluebird Foods,Harbor Point Chicago,USD,,\r\n"
        b"6,Bluebird Foods,Harbor Point Chicago,USD,6.00\r\n"
        b'7,Bluebird Foods,Harbor Point Chicago,USD,1.005,"a\n"\r\n'
        b"8,Bluebird Foods,Harbor Point Chicago,USD,1.00,,too much\r\n"
    )
    before = contents()
    report = load(ME, INVOICES, path)
    assert report.refused == (
        Refusal(6, "there is no organization “Nobody”; make it with --create-organizations"),
        Refusal(9, "currency “US” is none; use its three letters, like USD"),
        Refusal(10, "amount is missing"),
        Refusal(12, "amount “1.005” is no amount in USD, like 1234.50"),
        Refusal(14, "it has more cells than the header"),
    )
    assert (report.created, report.written, report.rows) == (3, False, 8)
    assert contents() == before
    report = load(ME, INVOICES, path, skip_refused=True)
    assert (report.created, len(report.refused), report.written) == (3, 5, True)
    assert record(INVOICES, number="2")["shipment_id"] == "a\nb\nc"


def test_a_dry_run_says_the_same_and_writes_nothing(
    world: World, invoices: Callable[..., Report]
) -> None:
    rows = [
        {"tms_id": "INV-T1", "payer": "New Payer"},
        {"tms_id": "T-2", "billing_organization": "New Branch", "sync_status": "Complete"},
        {"tms_id": "T-3", "amount": "much"},
    ]
    rows = [{"sync_status": "", **row} for row in rows]
    options = {"create_organizations": True, "skip_refused": True}
    before = contents()
    tried = invoices(*rows, dry_run=True, **options)
    assert contents() == before
    done = invoices(*rows, **options)
    assert (tried.written, done.written) == (False, True)
    assert (tried.created, tried.updated, tried.refused) == (1, 1, done.refused)
    assert (done.created, done.updated, len(done.refused)) == (1, 1, 1)


def test_what_was_loaded_is_recorded(world: World, invoices: Callable[..., Report]) -> None:
    invoices({})
    with reading() as connection:
        kind, actor, detail = connection.execute(
            select(access_event.c.kind, access_event.c.actor, access_event.c.detail)
        ).one()
    assert (kind, actor) == ("load", "cli:tests")
    assert "file.csv" in detail


def test_nobody_loads_without_the_role(world: World, visitor: Principal, tmp_path: Path) -> None:
    with pytest.raises(NotAllowed):
        load(visitor, INVOICES, a_file(tmp_path, [INVOICE]))
    with reading() as connection:
        assert connection.scalars(select(access_event.c.kind)).all() == ["denied"]


def test_the_demo_is_not_loaded_into(world: World, invoices: Callable[..., Report]) -> None:
    with owned(), writing() as connection:
        connection.execute(insert(database_fact).values(key=DEMO, value="1"))
    before = contents()
    with pytest.raises(DemoNotLoadable, match="SYNCHIST_DATABASE_URL"):
        invoices({})
    assert contents() == before


# ---------------------------------------------------------------- organizations and connections


def test_an_unknown_organization_is_made_where_that_is_wanted(
    world: World, invoices: Callable[..., Report]
) -> None:
    rows = [
        {"tms_id": "T-1", "payer": "New Foods", "billing_organization": "New Branch"},
        {"tms_id": "T-2", "payer": "New Foods", "billing_organization": "New Foods"},
        {"tms_id": "T-3", "payer": "Not Made", "amount": "much"},
    ]
    report = invoices(*rows, create_organizations=True, skip_refused=True)
    assert report.created == 2
    with reading() as connection:
        of = organization.c
        made = connection.execute(
            select(of.name, of.is_payer, of.is_vendor, of.is_billing)
            .where(of.name.like("N%"))
            .order_by(of.name)
        ).all()
    assert [tuple(row) for row in made] == [
        ("New Branch", False, False, True),
        ("New Foods", True, False, True),
    ]
    assert invoices(*rows[:2]).unchanged == 2


def test_an_organization_takes_the_role_it_is_used_in(
    world: World, invoices: Callable[..., Report]
) -> None:
    """Or the filters would not offer it."""
    invoices({"payer": "Delta Vans"})
    with reading() as connection:
        of = organization.c
        assert connection.scalars(select(of.name).where(of.is_payer).order_by(of.id)).all() == [
            *("Bluebird Foods", "100% Fresh_Produce", "Delta Vans")
        ]


def test_an_organization_is_named_by_its_tms_id_too(
    world: World, invoices: Callable[..., Report]
) -> None:
    invoices({"payer": "ORG-2"})
    found = record(INVOICES, tms_id="T-1")
    assert found["party_id"] == world.organization["100% Fresh_Produce"]


def test_one_name_of_two_organizations_is_refused(
    world: World, invoices: Callable[..., Report]
) -> None:
    with writing() as connection:
        connection.execute(insert(organization).values(tms_id="X", name="Bluebird Foods"))
    assert reasons(invoices({}, create_organizations=True)) == [
        "2 organizations are called “Bluebird Foods”; use the tms_id"
    ]
    assert invoices({"payer": "X"}).created == 1


def test_an_unknown_connection_is_never_made(world: World, invoices: Callable[..., Report]) -> None:
    report = invoices({"connection": "QuickBooks UK"}, create_organizations=True)
    assert reasons(report) == ["there is no connection “QuickBooks UK”"]


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("currency", "cell", "minor"),
    [
        ("USD", "1234.50", 123450),
        ("USD", "1,234.5", 123450),
        ("USD", "-1,234,567.89", -123456789),
        ("USD", "92233720368547758.07", 2**63 - 1),
        ("JPY", "1,042", 1042),
        ("JPY", "1042.00", 1042),
        ("KWD", "1.005", 1005),
        ("usd", " 7 ", 700),
    ],
)
@SQLITE_ONLY
def test_an_amount_is_exact(
    world: World, invoices: Callable[..., Report], currency: str, cell: str, minor: int
) -> None:
    invoices({"currency": currency, "amount": cell, "synced_amount": cell, "sync_status": "1"})
    found = record(INVOICES, tms_id="T-1")
    assert (found["amount"], found["synced_amount"]) == (minor, minor)
    assert found["currency"] == currency.upper()


@pytest.mark.parametrize(
    ("currency", "cell", "minor"),
    [
        ("USD", 1042.1, 104210),
        ("USD", 1042, 104200),
        ("USD", 0.1 + 0.2, 30),
        ("USD", 4.35 * 100, 43500),
        ("USD", -0.29, -29),
        ("USD", 999999999999.99, 99999999999999),
        ("KWD", 1.005, 1005),
        ("JPY", 1e11, 100000000000),
        ("USD", "1,042.10", 104210),
    ],
)
@SQLITE_ONLY
def test_an_amount_in_a_workbook_is_exact(
    world: World, invoices: Callable[..., Report], currency: str, cell: Any, minor: int
) -> None:
    invoices({"currency": currency, "amount": cell}, name="file.xlsx")
    assert record(INVOICES, tms_id="T-1")["amount"] == minor


@pytest.mark.parametrize(
    ("currency", "cell"),
    [
        *(("USD", cell) for cell in ("1,50", "1.234,50", "1 234.50", "$5", "(5.00)", "5 USD")),
        *(("USD", cell) for cell in ("1e3", "NaN", "Infinity", "--1", "1.005", "٣", ".")),
        *(("USD", cell) for cell in ("92233720368547758.08", "9" * 400)),
        ("JPY", "1.5"),
        ("KWD", "1.0005"),
    ],
)
@SQLITE_ONLY
def test_what_is_no_amount_is_refused(
    world: World, invoices: Callable[..., Report], currency: str, cell: str
) -> None:
    (reason,) = reasons(invoices({"currency": currency, "amount": cell}))
    assert reason.startswith("amount “")
    assert reason.endswith(f"” is no amount in {currency}, like 1234.50")


@pytest.mark.parametrize(
    "cell", ["2026-10-01", "20261001", "2026-10-01 00:00:00", "2026-10-01T23:30:00Z"]
)
@SQLITE_ONLY
def test_a_day_is_read_as_it_stands(
    world: World, invoices: Callable[..., Report], cell: str
) -> None:
    invoices({"accounting_date": cell})
    assert record(INVOICES, tms_id="T-1")["accounting_date"] == date(2026, 10, 1)


@pytest.mark.parametrize("cell", [date(2026, 10, 1), datetime(2026, 10, 1, 23, 30)])
@SQLITE_ONLY
def test_a_day_of_a_workbook_is_read_as_it_stands(
    world: World, invoices: Callable[..., Report], cell: date
) -> None:
    invoices({"accounting_date": cell}, name="file.xlsx")
    assert record(INVOICES, tms_id="T-1")["accounting_date"] == date(2026, 10, 1)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2026-11-01 12:00", datetime(2026, 11, 1, 18, tzinfo=UTC)),  # business time
        ("2026-07-01 12:00", datetime(2026, 7, 1, 17, tzinfo=UTC)),  # in summer
        ("2026-07-01", datetime(2026, 7, 1, 5, tzinfo=UTC)),
        ("2026-07-01T12:00:00Z", datetime(2026, 7, 1, 12, tzinfo=UTC)),
        ("2026-07-01T12:00:00+02:00", datetime(2026, 7, 1, 10, tzinfo=UTC)),
        ("2026-07-01 12:00:00.123456", datetime(2026, 7, 1, 17, 0, 0, 123456, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_business_time(
    world: World, invoices: Callable[..., Report], cell: str, moment: datetime
) -> None:
    assert settings().time_zone == "America/Chicago"
    invoices({"created_at": cell})
    assert record(INVOICES, tms_id="T-1")["created_at"] == moment


@SQLITE_ONLY
def test_a_time_of_a_workbook_is_business_time(
    world: World, invoices: Callable[..., Report]
) -> None:
    invoices({"created_at": datetime(2026, 7, 1, 12, 30)}, name="file.xlsx")
    assert record(INVOICES, tms_id="T-1")["created_at"] == datetime(2026, 7, 1, 17, 30, tzinfo=UTC)


REFUSED = {
    "number": [("", "number is missing"), ("9" * 61, "61 characters; at most 60")],
    "payer": [("", "payer is missing"), ("N" * 201, "at most 200")],
    "currency": [("", "currency is missing"), ("US$", "three letters"), ("dollar", "“dollar”")],
    "tms_id": [("T" * 65, "at most 64")],
    "tms_status": [("#N/A", "tms_status holds Excel's error #N/A")],
    "accounting_date": [
        ("10/01/2026", "“10/01/2026” is not of the form 2026-11-30"),
        ("2026-02-30", "is not of the form 2026-11-30"),
        ("0206-10-01", "is not of the years 2000 to 2100"),
    ],
    "created_at": [
        ("yesterday", "is not of the form 2026-11-30 17:00"),
        ("2099-01-01", "lies in the future"),
        ("9999-12-31 23:59", "is not of the years 2000 to 2100"),
    ],
    "sync_status": [("Broken", "“Broken” is none of Pending, Complete, Failed"), ("3", "none of")],
}


@pytest.mark.parametrize(
    ("column", "cell", "why"),
    [(column, cell, why) for column, cells in REFUSED.items() for cell, why in cells],
)
@SQLITE_ONLY
def test_what_a_column_can_not_hold_is_refused(
    world: World, invoices: Callable[..., Report], column: str, cell: str, why: str
) -> None:
    (reason,) = reasons(invoices({column: cell}, create_organizations=True))
    assert reason.startswith(column if column != "currency" else "currency")
    assert why in reason


@SQLITE_ONLY
def test_numbers_of_a_workbook_are_text_where_text_is_kept(
    world: World, invoices: Callable[..., Report]
) -> None:
    invoices({"number": 1042, "shipment_id": 9001.0, "pro_number": 1.5}, name="file.xlsx")
    found = record(INVOICES, tms_id="T-1")
    assert (found["number"], found["shipment_id"], found["pro_number"]) == ("1042", "9001", "1.5")


@pytest.mark.parametrize("cell", [datetime(2026, 10, 1), True, timedelta(hours=30)])
@SQLITE_ONLY
def test_a_number_that_excel_has_made_a_date_is_refused(
    world: World, invoices: Callable[..., Report], cell: Any
) -> None:
    (reason,) = reasons(invoices({"number": cell}, name="file.xlsx"))
    assert "format its column as text in Excel" in reason


def test_every_text_survives(world: World, invoices: Callable[..., Report]) -> None:
    hostile = "=1+1'; DROP TABLE invoice; -- %s :x \\ “é” 漢字 🚚"
    invoices({"pro_number": hostile, "sync_status": "Failed", "sync_error": f" {hostile}\n"})
    found = record(INVOICES, tms_id="T-1")
    assert (found["pro_number"], found["sync_error"]) == (hostile, f" {hostile}\n")


# ---------------------------------------------------------------- files

HEADER = "number,payer,billing_organization,currency,amount,shipment_id"
LINE = "1042,Bluebird Foods,Harbor Point Chicago,USD,1234.50,Café"


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{LINE}\n".encode(),
        f"{HEADER}\r\n{LINE}".encode("utf-8-sig"),
        f"{HEADER}\r\n{LINE}".encode("utf-16"),
        f"{HEADER}\r\n{LINE}".encode("cp1252"),
        f"{HEADER}\r{LINE}\r".encode(),
        f"\n\n{HEADER}\n{LINE}\n".replace(",", ";").encode(),
        f"{HEADER}\n{LINE}\n".replace(",", "\t").encode(),
        f"{HEADER}\n{LINE}\n".replace(",", "|").encode(),
        f"{HEADER}\n{LINE}\n".replace("1234.50", '"1,234.50"').encode(),
        f"{HEADER.upper().replace('_', ' ')}\n{LINE}\n".replace("PAYER", " Party ").encode(),
    ],
    ids=["utf-8", "mark", "utf-16", "cp1252", "cr", "semicolon", "tab", "bar", "quoted", "titles"],
)
@SQLITE_ONLY
def test_a_csv_file_is_read_whoever_wrote_it(world: World, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(content)
    assert load(ME, INVOICES, path).created == 1
    found = record(INVOICES, number="1042")
    assert (found["amount"], found["shipment_id"]) == (123450, "Café")


def workbook(**changes: bytes) -> bytes:
    """The example as a workbook, with some of its parts replaced."""
    source = zipfile.ZipFile(io.BytesIO(template(INVOICES, Path("example.xlsx"))))
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as changed:
        for name in source.namelist():
            part = Path(name).stem
            changed.writestr(name, changes.get(part, source.read(name)))
    return target.getvalue()


XLSX = template(INVOICES, Path("example.xlsx"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "is no csv and no xlsx file"),
        (b"\x81\x8d\xff", "is no csv and no xlsx file"),
        (f'{HEADER}\n{LINE}\n"1043,Bluebird\n'.encode(), "can't be read from line 3 on"),
        (f"{HEADER}\n".encode() + b"9" * 1_100_000, "can't be read from line 2 on"),
        (XLSX[: len(XLSX) // 2], "is a broken Excel workbook"),
        (b"PK\x03\x04 and no more", "is a broken Excel workbook"),
        (workbook(sheet1=b"<worksheet><sheetData><row>"), "is a broken Excel workbook"),
        (workbook(workbook=b"not even XML"), "is a broken Excel workbook"),
        (workbook(workbook=b"<html/>"), "is a broken Excel workbook"),
    ],
)
@SQLITE_ONLY
def test_a_file_that_can_not_be_read_is_one_sentence(
    database: Database, tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile) as refused:
        load(ME, INVOICES, path)
    assert str(refused.value).startswith("file ")
    assert why in str(refused.value)


def test_a_damaged_workbook_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.xlsx"
    refusals = 0
    for position in range(0, len(XLSX), 60):
        damaged = bytes([XLSX[position] ^ 0xFF])
        path.write_bytes(XLSX[:position] + damaged + XLSX[position + 1 :])
        try:
            assert len(files.read(path)) <= 4
        except UnreadableFile:
            refusals += 1
    assert refusals > 20


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UnreadableFile, match="can't be read"):
            load(ME, INVOICES, path)


@SQLITE_ONLY
def test_a_workbook_is_read_as_far_as_it_has_cells(world: World, tmp_path: Path) -> None:
    """Not as far as it says it has; one lone cell at the end of the sheet costs nothing."""
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(list(INVOICE))
    sheet["XFD1048576"] = " "
    for column, value in enumerate(INVOICE.values(), start=1):
        sheet.cell(row=5, column=column, value=value)
    sheet["H7"] = "=1+1"  # never calculated, so that there is nothing in it
    sheet["A8"] = "only this"
    path = tmp_path / "file.xlsx"
    book.save(path)
    report = load(ME, INVOICES, path, skip_refused=True)
    assert (report.created, report.refused) == (1, (Refusal(8, "number is missing"),))


@SQLITE_ONLY
def test_too_many_rows_are_said(
    world: World, invoices: Callable[..., Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_ROWS", 2)
    assert invoices({"tms_id": "T-1"}, {"tms_id": "T-2"}).created == 2
    with pytest.raises(UnreadableFile, match="more than 2 rows"):
        invoices({"tms_id": "T-1"}, {"tms_id": "T-2"}, {"tms_id": "T-3"})


@SQLITE_ONLY
def test_a_missing_column_is_named(world: World, tmp_path: Path) -> None:
    path = a_file(tmp_path, [{"tms_id": "T-1", "number": "1", "payer": "x", "currency": "USD"}])
    with pytest.raises(UnreadableFile) as refused:
        load(ME, INVOICES, path)
    assert str(refused.value) == (
        "file.csv lacks the column billing_organization and amount. See an example with --template."
    )


@SQLITE_ONLY
def test_a_column_that_stands_twice_is_refused(world: World, tmp_path: Path) -> None:
    path = a_file(tmp_path, [INVOICE | {"Amount": "2.00"}])
    with pytest.raises(UnreadableFile, match="has the column amount twice"):
        load(ME, INVOICES, path)


@SQLITE_ONLY
def test_columns_that_are_not_loaded_are_named(
    world: World, invoices: Callable[..., Report]
) -> None:
    report = invoices({"Branch manager": "Ada", "version": "7", "id": "7"})
    assert report.ignored == ("branch_manager", "version", "id")
    assert record(INVOICES, tms_id="T-1")["version"] == 1


@SQLITE_ONLY
def test_what_the_product_exported_says_what_it_lacks(world: World, tmp_path: Path) -> None:
    _, content = export.workbook(ME, BILLS, Filters())
    path = tmp_path / "export.xlsx"
    path.write_bytes(content)
    with pytest.raises(UnreadableFile, match="lacks the column amount"):
        load(ME, BILLS, path)


# ---------------------------------------------------------------- sync columns

SYNCED = [
    {"tms_id": "T-1", "sync_status": "Pending"},
    {
        "tms_id": "T-2",
        "sync_status": "failed",
        "sync_at": "2026-11-01 12:00",
        "sync_error_code": "6000",
        "sync_error": "Not mapped",
    },
    {
        "tms_id": "INV-T11",  # pending in the world, never attempted
        "sync_status": "1",
        "sync_at": "2026-11-02 12:00",
        "sync_reference": "QB-1",
        "synced_amount": "1,234.50",
    },
]
BLANK = dict.fromkeys(
    ["sync_status", "sync_at", "sync_error_code", "sync_error", "sync_reference", "synced_amount"]
)


def test_sync_columns_are_an_operation(world: World, invoices: Callable[..., Report]) -> None:
    report = invoices(*(BLANK | row for row in SYNCED))
    assert (report.created, report.updated, report.outdated) == (2, 1, 0)
    failed, complete = record(INVOICES, tms_id="T-2"), record(INVOICES, tms_id="INV-T11")
    assert failed["outcome_at"] == failed["sync_at"] == datetime(2026, 11, 1, 18, tzinfo=UTC)
    assert (failed["sync_status"], failed["sync_error_code"], failed["sync_error"]) == (
        *(2, "6000", "Not mapped"),
    )
    assert complete["outcome_at"] == complete["sync_at"] == datetime(2026, 11, 2, 18, tzinfo=UTC)
    assert (complete["sync_status"], complete["sync_reference"], complete["synced_amount"]) == (
        *(1, "QB-1", 123450),
    )
    with reading() as connection:
        done = connection.execute(select(operation).where(operation.c.action == "load")).one()
        items = connection.execute(
            select(operation_item).where(operation_item.c.operation_id == done.id)
        ).all()
        events = connection.execute(
            select(sync_event.c.record_id, sync_event.c.version, sync_event.c.kind)
            .where(sync_event.c.operation_id == done.id)
            .order_by(sync_event.c.record_id)
        ).all()
    assert (done.actor, done.actor_id, done.requested) == ("cli:tests", None, 2)
    assert done.note == "Loaded from file.csv"
    changed = sorted([failed["id"], complete["id"]])
    assert sorted(item.record_id for item in items) == changed
    assert {item.outcome for item in items} == {"applied"}
    assert {(item.record_id, item.version_seen + 1) for item in items} == {
        (record_id, version) for record_id, version, _ in events
    }
    assert [(record_id, kind) for record_id, _, kind in events] == [
        (record_id, "operation") for record_id in changed
    ]


def test_a_file_without_sync_columns_leaves_them_alone(
    world: World, invoices: Callable[..., Report]
) -> None:
    before = record(INVOICES, id=world.invoice["failed"])
    invoices({"tms_id": "INV-T1", "amount": "5.00"})
    found = record(INVOICES, id=world.invoice["failed"])
    assert {name for name in found if found[name] != before[name]} >= {"amount", "version"}
    assert all(found[name] == before[name] for name in [*BLANK, "outcome_at", "last_operation_id"])


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"sync_status": "Failed"}, "sync_error is missing: Failed needs one"),
        ({"sync_status": "Failed", "sync_error": " "}, "sync_error is missing: Failed needs one"),
        ({"sync_error": "No"}, "sync_status is missing: Pending, Complete or Failed"),
        ({"sync_at": "2026-11-01"}, "sync_status is missing: Pending, Complete or Failed"),
    ],
)
@SQLITE_ONLY
def test_sync_columns_have_to_fit_each_other(
    world: World, invoices: Callable[..., Report], row: dict[str, str], why: str
) -> None:
    assert reasons(invoices(BLANK | row)) == [why]


@SQLITE_ONLY
def test_a_file_without_the_column_for_errors_can_not_say_failed(
    world: World, invoices: Callable[..., Report]
) -> None:
    assert reasons(invoices({"sync_status": "Failed"})) == [
        "sync_error is missing: Failed needs one"
    ]


def test_a_newer_attempt_is_taken_over(world: World, invoices: Callable[..., Report]) -> None:
    """Blank cells too: what the earlier attempt said is history now."""
    row = {"tms_id": "INV-T10", "sync_status": "Complete", "sync_at": noon(1).isoformat()}
    before = record(INVOICES, id=world.invoice["closed"])
    assert (before["closed_reason"], before["sync_error"]) != (None, None)
    report = invoices(BLANK | row)
    assert (report.updated, report.outdated) == (1, 0)
    found = record(INVOICES, id=world.invoice["closed"])
    assert (found["sync_status"], found["outcome_at"]) == (1, noon(1))
    assert (found["closed_reason"], found["sync_error"]) == (None, None)


@pytest.mark.parametrize("days", [8, 9, None], ids=["same", "older", "without a time"])
def test_an_old_file_does_not_undo_what_a_job_has_found(
    world: World, invoices: Callable[..., Report], days: int | None
) -> None:
    before = record(INVOICES, id=world.invoice["complete"])
    at = noon(days).isoformat() if days else ""
    row = {"tms_id": "INV-T6", "sync_status": "Failed", "sync_at": at, "sync_error": "No"}
    report = invoices(BLANK | row)
    assert (report.updated, report.outdated) == (1, 1)  # the TMS's own columns are loaded
    found = record(INVOICES, id=world.invoice["complete"])
    assert found["number"] == INVOICE["number"]
    assert all(found[name] == before[name] for name in [*BLANK, "outcome_at", "last_operation_id"])


@pytest.mark.parametrize("at", ["", "2026-11-01 12:00"])
def test_loading_again_does_not_undo_what_a_person_has_done(
    world: World, invoices: Callable[..., Report], at: str
) -> None:
    row = {"sync_status": "Failed", "sync_at": at, "sync_error": "No"}
    invoices(row)
    loaded = record(INVOICES, tms_id="T-1")
    changing.change_status(
        ME,
        "6d1a4f4e-7d8e-4a35-9d3b-0a4c8d3f5a11",
        {"invoice": {loaded["id"]: loaded["version"]}},
        changing.Change(SyncStatus.COMPLETE, CloseReason.RECONCILED),
    )
    report = invoices(row)
    assert (report.unchanged, report.outdated) == (1, 1)
    found = record(INVOICES, tms_id="T-1")
    assert (found["sync_status"], found["closed_reason"]) == (1, "reconciled")


def test_a_status_without_a_time_may_be_corrected_by_the_next_file(
    world: World, invoices: Callable[..., Report]
) -> None:
    invoices({"sync_status": "Failed", "sync_error": "No"})
    assert invoices({"sync_status": "Complete", "sync_error": ""}).updated == 1
    assert record(INVOICES, tms_id="T-1")["sync_status"] == 1


def test_what_was_loaded_is_in_the_lists(world: World, invoices: Callable[..., Report]) -> None:
    row = {"sync_status": "Failed", "sync_at": noon(2).isoformat(), "sync_error": "No"}
    invoices(row)
    _, content = export.workbook(ME, INVOICES, Filters(window=Window.PAST_MONTH, search="1042"))
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    numbers = [cell.value for cell in next(sheet.iter_cols(1, 1, 2))]
    assert numbers == ["1042"]


# ---------------------------------------------------------------- many rows, other writers


@contextmanager
def counted() -> Any:
    """How often the database is asked inside."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        asked.append(statement)

    event.listen(the_engine(), "before_cursor_execute", note)
    yield asked
    event.remove(the_engine(), "before_cursor_execute", note)


def test_ten_thousand_rows_are_written_in_few_statements(
    world: World, invoices: Callable[..., Report]
) -> None:
    rows = [
        {
            "tms_id": f"T-{number}",
            "number": f"N-{number}",
            "amount": f"{number}.25",
            "tms_status": "Ready",
            "sync_status": ("Pending", "Failed", "Complete")[number % 3],
            "sync_at": "2026-11-01 12:00" if number % 3 else "",
            "sync_error": "No" if number % 3 == 1 else "",
        }
        for number in range(10_000)
    ]
    with counted() as asked:
        assert invoices(*rows).created == 10_000
        assert len(asked) < 60
    for row in rows[:5_000]:
        row["tms_status"] = "Approved"
    with counted() as asked:
        report = invoices(*rows)
        assert (report.updated, report.unchanged, report.outdated) == (5_000, 5_000, 0)
        assert len(asked) < 60


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_a_job_that_writes_meanwhile_is_waited_for(
    database: Database, world: World, invoices: Callable[..., Report]
) -> None:
    """Its newer attempt is seen, and stays."""
    reports: list[Report] = []
    row = {
        "tms_id": "INV-T1",
        "sync_status": "Complete",
        "sync_at": noon(2).isoformat(),
    }
    loader = threading.Thread(target=lambda: reports.append(invoices(row)))
    with database.bare() as job, database.owner() as watcher:
        job.execute(
            "UPDATE invoice SET sync_status = 2, sync_at = %s, sync_error = 'Again' WHERE id = %s",
            (noon(1), world.invoice["failed"]),
        )
        loader.start()
        deadline = time.monotonic() + 15
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not watcher.execute(waiting).fetchone()[0]:
            assert time.monotonic() < deadline, "The load did not wait for the job."
            watcher.rollback()
        job.commit()
        loader.join()
    assert reports[0].outdated == 1
    found = record(INVOICES, id=world.invoice["failed"])
    assert (found["sync_status"], found["sync_error"], found["sync_at"]) == (2, "Again", noon(1))


# ---------------------------------------------------------------- the page about it


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.slug)
def test_every_column_is_documented(entity: Entity) -> None:
    page = (ROOT / "docs" / "loading.md").read_text()
    for name in fields(entity):
        assert f"`{name}`" in page
