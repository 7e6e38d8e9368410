"""The audit log: everything that people did is in it, and what is asked for is what comes out."""

import io
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import openpyxl
import pandas as pd
import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.event import listen

from synchist import accounts, audit, export, hints
from synchist.accounts import NotAllowed, Principal
from synchist.audit import COMMAND_LINE, NOBODY, PEOPLE, Asked, Kind
from synchist.closed_books import set_lock_date
from synchist.db.engine import reading, writing
from synchist.db.tables import access_event, account, bill, team_hint, triage, triage_event
from synchist.db.types import utc_now
from synchist.entities import INVOICES
from synchist.export import CUT, TooManyRows
from synchist.filters import Filters, today
from synchist.reconciliation import decisions
from synchist.reconciliation.mappings import remember
from synchist.reconciliation.report import Reading
from synchist.roles import Role
from synchist.status_changes import Change, change_status, undo
from synchist.statuses import CloseReason, SyncStatus
from tests.conftest import Database, sign_in
from tests.reconciliation.desk import compare, like, place
from tests.world import HOSTILE, World, noon

OPERATOR = Principal.command_line("operator")
PASSWORD = "correct horse battery"
ADA = "Ada (ada)"
EVERYTHING = frozenset(Kind)


@pytest.fixture
def auditor(database: Database) -> Principal:
    return sign_in("otto", Role.AUDIT)


def log(asked: Asked | None = None, limit: int = 1_000) -> pd.DataFrame:
    with reading() as connection:
        return audit.load(connection, asked or Asked(), limit)


def told(asked: Asked | None = None) -> list[tuple[str, str, str]]:
    """Kind, who and what, newest first."""
    return list(log(asked)[["kind", "who", "what"]].itertuples(index=False, name=None))


def kinds(*chosen: Kind, **more: Any) -> Asked:
    return Asked(kinds=frozenset(chosen), **more)


def counted(asked: Asked, limit: int | None = None) -> int:
    with reading() as connection:
        return audit.count(connection, asked, limit)


def write(*statements: Any) -> None:
    with writing() as connection:
        for statement in statements:
            connection.execute(statement)


def move(who: Principal, record: int, to: Change) -> str:
    """One invoice, as its world begins."""
    of = INVOICES.table.c
    with reading() as connection:
        version = connection.scalar(select(of.version).where(of.id == record))
    identity = str(uuid4())
    change_status(who, identity, {"invoice": {record: version or 0}}, to, "Failed invoices")
    return identity


# ---------------------------------------------------------------- what is in it


def test_changes_of_people_with_their_reason_and_note(world: World, analyst: Principal) -> None:
    record = world.invoice["failed"]
    closing = Change(SyncStatus.COMPLETE, CloseReason.WILL_NOT_SYNC, "The customer is bankrupt")
    identity = move(analyst, record, closing)
    undo(analyst, str(uuid4()), identity, {})
    found = log(kinds(Kind.CHANGES, who=ADA))
    assert list(found["kind"]) == ["Change taken back", "Status change"]
    assert list(found["who"]) == ["Ada", "Ada"]
    assert found["what"][1] == (
        "1 record to Complete (Will not be synced) · “The customer is bankrupt” · Failed invoices"
    )
    assert set(found["record"]) == {"Invoice INV-2001"}
    assert found["link"][1] == f"/operations?id={identity}"


def test_who_came_in_and_who_was_refused(world: World, visitor: Principal) -> None:
    accounts.add_account(OPERATOR, "dana", "Dana Whitfield", PASSWORD)
    with pytest.raises(accounts.SignInFailed):
        accounts.sign_in("dana", "a wrong password", "192.0.2.7")
    accounts.sign_out(accounts.sign_in("dana", PASSWORD, "192.0.2.8"))
    with pytest.raises(NotAllowed):
        export.workbook(visitor, INVOICES, Filters())
    assert told(kinds(Kind.SIGN_INS, Kind.DENIALS)) == [
        ("Denied", "Vera", "export invoices"),
        ("Signed out", "Dana Whitfield", ""),
        ("Signed in", "Dana Whitfield", ""),
        ("Sign-in failed", "dana", ""),
    ]
    assert list(log(kinds(Kind.SIGN_INS))["address"]) == ["", "192.0.2.8", "192.0.2.7"]
    # Also what somebody else has tried with her login.
    assert len(told(kinds(Kind.SIGN_INS, who="Dana Whitfield (dana)"))) == 3


def test_what_left_and_what_came(world: World, analyst: Principal) -> None:
    export.workbook(analyst, INVOICES, Filters())
    identity = compare(analyst, world, [like(world, "failed", reference="")])
    decisions.confirm(analyst, identity, {(at := place(identity, world.invoice["failed"])): at})
    remember(analyst, "invoice", ["Wann"], Reading())
    found = log(Asked(who=ADA))
    assert list(found["kind"]) == [
        "Decision on a report",
        "Decision on a report",
        "File compared",
        "Export",
    ]
    assert found["what"][0] == "How files of invoices with the same headings are read"
    assert found["what"][1].endswith(" is this record")
    assert (found["record"][1], found["link"][1]) == (
        "Invoice INV-2001",
        f"/reconcile?id={identity}",
    )


def test_roles_accounts_and_closed_books(world: World) -> None:
    sign_in("nils", Role.ADMINISTRATOR)
    nils = sign_in("nora", Role.ADMINISTRATOR, Role.ACCOUNTING_SYNC)
    accounts.grant(nils, "nora", Role.AUDIT)
    accounts.revoke(nils, "nils", Role.ADMINISTRATOR)
    accounts.disable(nils, "nils")
    accounts.enable(nils, "nils")
    accounts.set_password(nils, "nils", PASSWORD)
    set_lock_date(nils, world.connection["QuickBooks US"], today())
    assert told()[:6] == [
        (
            "Books closed through",
            "Nora",
            f"connection {world.connection['QuickBooks US']}, QuickBooks US: books closed through"
            f" none → {today()}",
        ),
        ("Password set", "Nora", "nils"),
        ("Account enabled", "Nora", "nils"),
        ("Account disabled", "Nora", "nils"),
        ("Role revoked", "Nora", "Administrator from nils"),
        ("Role granted", "Nora", "Audit to nora, to oneself"),
    ]
    assert PASSWORD not in log().to_string()


def test_owners_notes_and_hints(world: World, analyst: Principal) -> None:
    now = utc_now()
    with reading() as connection:
        ada = connection.scalar(select(account.c.id).where(account.c.login == "ada"))
    owner = {"owner_id": ada, "owner": "Dana"}
    record = {"entity": "bill", "record_id": world.bill["failed"], "actor": "Ada"}
    write(
        insert(triage).values(entity="bill", record_id=world.bill["failed"], note="", version=2),
        insert(triage_event).values(**record, version=1, at=now, note="Asked them", **owner),
        insert(triage_event).values(**record, version=2, at=now + timedelta(seconds=1), note=""),
        insert(team_hint).values(
            cause="customer_mapping", text="Ask Dana", at=now + timedelta(seconds=2), actor="Ada"
        ),
        insert(team_hint).values(
            named="Norte Produce", text="", at=now + timedelta(seconds=3), actor="Ada"
        ),
    )
    found = log(kinds(Kind.NOTES, Kind.HINTS))
    assert list(found["what"]) == [
        "Taken away for “Norte Produce”",
        f"For the cause “{_label('customer_mapping')}”: Ask Dana",
        "Nobody's, no note",
        "Owner Dana, note “Asked them”",
    ]
    assert list(found["record"]) == ["", "", "Bill BIL-2001", "Bill BIL-2001"]
    assert found["link"][3] == f"/record?entity=bills&id={world.bill['failed']}"


def test_a_hint_stands_there_once(world: World) -> None:
    who = sign_in("hanna", Role.ACCOUNTING_SYNC, Role.HINTS)
    hints.write(who, hints.Subject(named="Norte Produce"), "Ask Dana", 0)
    assert told(Asked(who="Hanna (hanna)")) == [("Hint", "Hanna", "For “Norte Produce”: Ask Dana")]


def _label(cause: str) -> str:
    return audit.Cause(cause).label


def test_an_access_that_nobody_foresaw_is_shown(database: Database) -> None:
    write(
        insert(access_event).values(at=utc_now(), kind="door_opened", actor="Ada", detail="by hand")
    )
    assert told() == told(kinds(Kind.OTHER)) == [("Door opened", "Ada", "by hand")]
    assert told(kinds(*(EVERYTHING - {Kind.OTHER}))) == []


def test_what_happened_to_records_is_there_where_it_is_asked_for(world: World) -> None:
    write(update(bill).where(bill.c.id == world.bill["complete"]).values(sync_status=0))
    assert not {"Attempt", "TMS", "Unexplained"} & set(log()["kind"])
    found = log(kinds(Kind.UNEXPLAINED))
    assert told(kinds(Kind.UNEXPLAINED)) == [
        (
            "Unexplained",
            "Unknown",
            "Changed directly in the database, unexplained: sync status",
        )
    ]
    assert (found["record"][0], found["link"][0]) == (
        "Bill BIL-2006",
        f"/record?entity=bills&id={world.bill['complete']}",
    )
    attempts = log(kinds(Kind.ATTEMPTS, text="QB-5001"))
    assert set(attempts["what"]) == {"Synced, reference QB-5001"}
    assert set(attempts["who"]) == {"Sync job of QuickBooks US"}
    assert len(log(kinds(Kind.TMS))) == 4 * 13  # each was created
    # Nobody's doing.
    assert log(kinds(Kind.ATTEMPTS, who=ADA)).empty
    assert log(kinds(Kind.ATTEMPTS, who=COMMAND_LINE)).empty


# ---------------------------------------------------------------- what is asked


def test_newest_first_over_all_sources(world: World) -> None:
    found = log(kinds(*EVERYTHING))
    assert len(found) == counted(kinds(*EVERYTHING))
    assert found["at"].is_monotonic_decreasing
    assert {"Status change", "Attempt", "TMS"} <= set(found["kind"])
    newest = log(kinds(*EVERYTHING), 7)
    assert newest.equals(found.head(7))
    assert counted(kinds(*EVERYTHING), 7) == 7


def test_days_are_business_days_and_both_included(database: Database) -> None:
    day = noon(5).date()
    begins = noon(5) - timedelta(hours=12)
    for hours, detail in ((-1, "before"), (0, "first"), (23, "last"), (24, "after")):
        at = begins + timedelta(hours=hours)
        write(insert(access_event).values(at=at, kind="export", actor="Ada", detail=detail))
    assert [what for _, _, what in told(Asked(day, day))] == ["last", "first"]
    assert counted(Asked(day, day)) == 2


def test_of_one_person(world: World, analyst: Principal) -> None:
    move(analyst, world.invoice["failed"], Change(SyncStatus.PENDING))
    export.workbook(OPERATOR, INVOICES, Filters())
    with pytest.raises(accounts.NotSignedIn):
        export.workbook(Principal(None, ""), INVOICES, Filters())
    access = kinds(*PEOPLE - {Kind.CHANGES})
    assert set(log(access)["who"]) == {"cli:operator", "nobody"}
    assert set(log(replace(access, who=COMMAND_LINE))["who"]) == {"cli:operator"}
    assert set(log(replace(access, who=NOBODY))["who"]) == {"nobody"}
    assert set(log(Asked(who=ADA))["who"]) == {"Ada"}
    assert log(Asked(who="Somebody (else)")).empty
    with reading() as connection:
        assert audit.people(connection) == [ADA, COMMAND_LINE, NOBODY]


@pytest.mark.parametrize("searched", ["100%", "100%_", "fresh_produce", "=HYPERLINK"])
def test_a_text_is_looked_for_as_it_stands(database: Database, searched: str) -> None:
    for detail in ("100%_Fresh_Produce", "1000 Fresh Produce", HOSTILE):
        write(insert(access_event).values(at=utc_now(), kind="export", actor="A", detail=detail))
    expected = {HOSTILE} if searched == "=HYPERLINK" else {"100%_Fresh_Produce"}
    assert {what for _, _, what in told(Asked(text=searched))} == expected


def test_an_address_asks_for_what_was_asked(database: Database) -> None:
    day = today()
    for asked in (
        Asked(),
        Asked(day - timedelta(days=3), day),
        kinds(Kind.TMS, Kind.DENIALS, who="Zoë O’Hara & Sons (zoë)", text="a+b=c&d"),
    ):
        assert audit.parse(parse_qs(asked.address())) == (asked, [])


def test_an_address_without_anything_asks_for_the_past_month(database: Database) -> None:
    asked, wrong = audit.parse({})
    assert (asked.end, asked.kinds, asked.records, wrong) == (today(), frozenset(), False, [])
    assert asked.start is not None
    assert 28 <= (today() - asked.start).days <= 31


def test_what_is_wrong_with_an_address_is_said() -> None:
    asked, wrong = audit.parse(
        {
            "audit_range": ["Yesteryear"],
            "audit_kinds": ["Denials", "Secrets"],
            "audit_who": ["Eve (eve)"],
            "audit_text": ["\x00" + "x" * 300],
        },
        known=[ADA],
    )
    assert asked.kinds == {Kind.DENIALS}
    assert (asked.who, asked.text) == ("", "x" * 200)
    assert wrong == [
        "There is no date range “Yesteryear”; showing the past month.",
        "There is no kind of entry “Secrets”; it is left out.",
        "There is nobody “Eve (eve)”; showing everybody.",
        "The text is cut after 200 characters.",
    ]


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_events_are_read_by_their_index(database: Database, world: World) -> None:
    """There are millions of them, and only the newest are shown."""
    asked = kinds(Kind.ATTEMPTS, start=today() - timedelta(days=7), end=today())
    sent: list[tuple[str, Any]] = []
    with reading() as connection:
        listen(
            connection, "before_cursor_execute", lambda *given: sent.append((given[2], given[3]))
        )
        audit.load(connection, asked, 200)
        plans = [
            [
                step.detail
                for step in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
            ]
            for sql, values in list(sent)
        ]
    steps = [step for plan in plans for step in plan if "sync_event" in step]
    index = "ix_sync_event_entity_sync_status_at (entity=? AND sync_status=? AND at>? AND at<?)"
    assert sum(index in step for step in steps) == 12
    # What is looked up of those that were found is looked up one by one.
    assert not [step for step in steps if step.endswith("(entity=?)") or "SCAN" in step]


# ---------------------------------------------------------------- the file


def opened(content: bytes) -> Any:
    return openpyxl.load_workbook(io.BytesIO(content))


def test_the_file_is_the_log(world: World, auditor: Principal) -> None:
    asked = kinds(*EVERYTHING)
    shown = log(asked)
    name, content = export.audit_log(auditor, asked)
    assert name.startswith("Audit log ")
    book = opened(content)
    rows = list(book["Audit log"].iter_rows(values_only=True))
    assert rows[0] == ("When", "Kind", "Who", "What", "Record", "Address")
    written = [tuple(value or "" for value in row[1:]) for row in rows[1:]]
    columns = ["kind", "who", "what", "record", "address"]
    assert written == list(shown[columns].itertuples(index=False, name=None))
    local = shown["at"].dt.tz_convert("America/Chicago").dt.tz_localize(None)
    assert [row[0].replace(microsecond=0) for row in rows[1:3]] == [
        one.to_pydatetime().replace(microsecond=0) for one in local[:2]
    ]
    facts = dict(list(book["About"].iter_rows(values_only=True))[1:])
    assert (facts["Rows"], facts["Exported by"]) == (len(shown), "Otto")
    assert told(kinds(Kind.EXPORTS)) == [
        ("Export", "Otto", f"{len(shown):,} rows: {asked.sentence()}")
    ]


def test_no_cell_is_a_formula(world: World, auditor: Principal) -> None:
    """T7."""
    long = "=" + "x" * 40_000
    for detail in (HOSTILE, "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", long):
        write(insert(access_event).values(at=utc_now(), kind="=1+1", actor="=2", detail=detail))
    _, content = export.audit_log(auditor, Asked())
    cells = [cell for row in opened(content)["Audit log"].iter_rows(min_row=2) for cell in row]
    assert {cell.data_type for cell in cells} <= {"s", "n", "d"}
    texts = {cell.value for cell in cells}
    assert {"=1+1", "=2", "+1", HOSTILE, long[: 32_767 - len(CUT)] + CUT} <= texts


def test_more_than_a_sheet_holds_is_refused(
    world: World, auditor: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "EXCEL_ROWS", 53)
    with pytest.raises(TooManyRows, match="Narrow the filters"):
        export.audit_log(auditor, kinds(Kind.TMS, Kind.CHANGES))
    assert len(opened(export.audit_log(auditor, kinds(Kind.TMS))[1])["Audit log"]["A"]) == 53
    assert len(told(kinds(Kind.EXPORTS))) == 1


def test_some_may_not_export_it(world: World, analyst: Principal) -> None:
    hidden = sign_in("hugo", Role.AUDIT, Role.HIDE_EXPORT)
    for who, words in ((analyst, "lacks the role Audit"), (hidden, "may not export")):
        with pytest.raises(NotAllowed, match=words):
            export.audit_log(who, Asked())
    assert told(kinds(Kind.DENIALS)) == [
        ("Denied", "Hugo", "export the audit log"),
        ("Denied", "Ada", "export the audit log"),
    ]
