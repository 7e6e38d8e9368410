"""The month-end close: what blocks a month, signing it off, and what moves afterwards."""

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from io import BytesIO
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
from openpyxl import load_workbook
from sqlalchemy import event, func, select

from synchist import accounts, queries
from synchist.accounts import NotAllowed, NotSignedIn, Principal
from synchist.closing import state
from synchist.closing.changes import After, How, changed_after
from synchist.closing.signing import (
    AlreadySignedOff,
    BlockingChanged,
    Exceptions,
    InvalidClose,
    NotSignedOff,
    exceptions,
    frozen_sums,
    reopen,
    sign_off,
)
from synchist.closing.state import (
    BLOCKING,
    Close,
    Held,
    Kind,
    Month,
    Standing,
    State,
    Unit,
    filters_of,
    load_close,
    load_month,
    load_progress,
    together,
)
from synchist.closing.workbook import workbook
from synchist.db.engine import database as engine_of
from synchist.db.engine import reading
from synchist.db.tables import access_event, period_close, period_close_record
from synchist.db.types import moment_text, utc_now
from synchist.entities import BILLS, ENTITIES, INVOICE_PAYMENTS, INVOICES, Entity
from synchist.filters import parse, readable, readable_moment, start_of, today
from synchist.queries import Total
from synchist.roles import Role
from tests.changes import COMPLETE, OPERATOR, PENDING, attempt, move, run, sets, ticked, to
from tests.conftest import POSTGRESQL, Database, sign_in
from tests.world import NOT_MAPPED, World, noon

MONTH = state.first_of(today() - timedelta(days=90))
"""The month in which most of the world's stories began."""


@pytest.fixture
def unit(world: World) -> Unit:
    """Chicago's part of the month, in the books of QuickBooks."""
    return Unit(
        MONTH, world.organization["Harbor Point Chicago"], world.connection["QuickBooks US"]
    )


@pytest.fixture
def controller(database: Database) -> Principal:
    return sign_in("cora", Role.ACCOUNTING_SYNC, Role.CLOSE)


def month(unit: Unit | None = None, as_of: datetime | None = None) -> Month:
    with reading() as connection:
        return load_month(connection, MONTH, unit, as_of)


def of(unit: Unit) -> Standing:
    found = month().of(unit)
    assert found is not None
    return found


def seen(unit: Unit) -> Exceptions:
    with reading() as connection:
        return exceptions(connection, unit)


def signed(who: Principal, unit: Unit, note: str = "") -> Close:
    return sign_off(who, str(uuid4()), unit, note, seen(unit))


def after(close: Close) -> After:
    with reading() as connection:
        return changed_after(connection, close)


def counts(one: Standing, entity: Entity | None = None) -> dict[Kind, int]:
    return {kind: number for kind in Kind if (number := one.held([kind], entity).total.count)}


# ---------------------------------------------------------------- how a month stands


def test_each_record_of_a_month_is_of_one_kind(world: World, unit: Unit) -> None:
    assert counts(of(unit), INVOICES) == {
        Kind.FAILED: 4,
        Kind.PENDING: 1,
        Kind.DIFFERS: 1,
        Kind.WILL_NOT_SYNC: 1,
        Kind.COMPLETE: 2,
    }
    failed = of(unit).held([Kind.FAILED], INVOICES)
    assert failed.total.by_currency == {"USD": 123_450 + 80_000 + 70_000 + 66_600}
    assert failed.oldest == noon(90)


def test_what_was_never_attempted_stands_apart(database: Database, world: World) -> None:
    this_month = state.first_of(today() - timedelta(days=1))
    with reading() as connection:
        units = load_month(connection, this_month).units
    never = {one.connection: one.held([Kind.NEVER], BILLS).total.by_currency for one in units}
    assert never == {"QuickBooks US": {"USD": 42_000}, "Xero Canada": {"CAD": 22_000}}
    assert all(one.held([Kind.PENDING]).total.count == 0 for one in units)


def test_a_month_counts_every_record_once(database: Database, world: World) -> None:
    run(
        database,
        sets(INVOICES, world.invoice["failed"], {"connection_id": None}),
        sets(INVOICES, world.invoice["complete"], {"accounting_date": None}),
    )
    months = {MONTH, state.first_of(today() - timedelta(days=1))}
    with reading() as connection:
        found = [load_month(connection, one) for one in months]
    held = sum(one.held(Kind).total.count for each in found for one in each.units)
    undated = sum(one.total.count for one in found[0].undated.values())
    assert undated == 1
    assert held + undated == sum(len(world.records(entity.key)) for entity in ENTITIES)
    assert [one.connection for one in month().units if one.unit.connection_id is None] == [""]


def test_one_unit_alone_is_the_same(database: Database, world: World, unit: Unit) -> None:
    assert month(unit).units == (of(unit),)


@pytest.mark.parametrize(
    ("day", "closing"),
    [
        (date(2026, 11, 1), date(2026, 10, 1)),
        (date(2026, 11, 10), date(2026, 10, 1)),
        (date(2026, 11, 11), date(2026, 11, 1)),
        (date(2026, 1, 5), date(2025, 12, 1)),
    ],
)
def test_the_month_that_people_are_closing(day: date, closing: date) -> None:
    assert state.month_to_close(day) == closing


def test_a_number_leads_to_exactly_its_records(
    database: Database, world: World, unit: Unit
) -> None:
    """Also without a connection or a date; Complete shows those whose amount differs as well."""
    run(
        database,
        sets(BILLS, world.bill["failed"], {"connection_id": None}),
        sets(INVOICES, world.invoice["failed"], {"accounting_date": None}),
        sets(INVOICES, world.invoice["closed"], {"synced_amount": 1}),
        sets(BILLS, world.bill["pending_again"], {"sync_at": None}),
    )
    months = {MONTH, state.first_of(today() - timedelta(days=1))}
    looked = 0
    with reading() as connection:
        for one in months:
            found = load_month(connection, one)
            places = [
                (each.holding, one, each.billing, each.connection or None) for each in found.units
            ]
            places += [(found.holding, one, "", ""), (found.undated, None, "", "")]
            for holding, day, billing, books in places:
                for entity, kind in product(ENTITIES, Kind):
                    kinds = [kind, Kind.DIFFERS] if kind is Kind.COMPLETE else [kind]
                    held = state.held(holding, kinds, entity).total
                    shown = filters_of(kind, day, billing, books)
                    assert queries.total(connection, entity, shown) == held, (kind, places)
                    again, said = parse(
                        entity, shown.parameters(entity), queries.choices(connection, entity)
                    )
                    assert (again.parameters(entity), said) == (shown.parameters(entity), [])
                    looked += held.count > 0
    assert looked > 50


# ---------------------------------------------------------------- then and now


def test_the_oldest_is_told_of_each_currency() -> None:
    usd = Held(Total(1, {"USD": 100}), {"USD": 1}, {"USD": noon(9)})
    parts = [usd, *(Held(Total(1, {"CAD": 5}), {"CAD": 1}, {"CAD": noon(day)}) for day in (3, 4))]
    both = together(parts)
    assert (both.counts, both.created) == ({"USD": 1, "CAD": 2}, {"USD": noon(9), "CAD": noon(4)})
    assert both.oldest == noon(9)


def test_as_of_now_is_the_present(database: Database, world: World, unit: Unit) -> None:
    assert month(as_of=utc_now() + timedelta(days=1)) == month()


def test_as_of_then_is_what_was_there_then(database: Database, world: World, unit: Unit) -> None:
    def failed(days: int) -> int:
        found = month(as_of=noon(days) + timedelta(minutes=1)).of(unit)
        return found.held([Kind.FAILED], INVOICES).total.count if found else 0

    assert [failed(days) for days in (80, 69, 12, 11, 9, 3)] == [0, 1, 2, 3, 4, 7]


def test_a_record_that_has_left_is_there_as_of_before(
    database: Database, world: World, unit: Unit
) -> None:
    before, then = month(), utc_now()
    moved = {"accounting_date": today().isoformat()}
    run(database, sets(INVOICES, world.invoice["failed"], moved))
    assert of(unit).blocking.total.count == len(BLOCKED) * 4 - 1
    assert month(as_of=then) == before


BLOCKED = ("failed", "failed_twice", "failed_old", "failed_hostile", "partial", "pending_again")


def test_progress_is_what_blocked_at_the_end_of_each_day(
    database: Database, world: World, unit: Unit
) -> None:
    run(
        database,
        sets(INVOICES, world.invoice["failed"], {"accounting_date": today().isoformat()}),
    )
    with reading() as connection:
        progress = load_progress(connection, MONTH, unit)
        for day, blocking in progress:
            end = start_of(day + timedelta(days=1))
            found = load_month(connection, MONTH, unit, end - timedelta(microseconds=1)).units
            assert blocking == sum(one.blocking.total.count for one in found), day
    assert [day for day, _ in progress] == [today() - timedelta(days=n) for n in range(9, 0, -1)]
    assert len({blocking for _, blocking in progress}) > 2


# ---------------------------------------------------------------- signing off


def test_a_sign_off_freezes_what_the_month_holds(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    before = of(unit)
    close = signed(controller, unit, " The customer is being mapped. ")
    assert (close.actor, close.note, close.stands) == (
        "Cora",
        "The customer is being mapped.",
        True,
    )
    now = of(unit)
    assert (now.state, now.close) == (State.SIGNED_OFF, close)
    with reading() as connection:
        sums = frozen_sums(connection, close.id)
        record = period_close_record.c
        kept = dict(
            connection.execute(
                select(record.exception, func.count())
                .where(record.close_id == close.id)
                .group_by(record.exception)
            ).all()
        )
        said = connection.scalars(
            select(access_event.c.detail).where(access_event.c.kind == "month_signed_off")
        ).all()
    for (key, kind), held in before.holding.items():
        mine = [one for one in sums if (one.entity, one.kind) == (key, kind)]
        assert {one.currency: one.amount for one in mine} == held.total.by_currency
        assert sum(one.count for one in mine) == held.total.count
    assert sum(one.count for one in sums) == before.held(Kind).total.count
    assert {Kind(kind) for kind in kept if kind} == set(BLOCKING) - {Kind.NEVER}
    assert sum(number for kind, number in kept.items() if kind) == before.blocking.total.count
    assert said == [
        f"{state.named(MONTH)}, Harbor Point Chicago, QuickBooks US;"
        f" {before.blocking.total.count} exceptions: The customer is being mapped."
    ]
    assert after(close) == After((), 0)


def test_the_same_sign_off_again_does_nothing(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    identity, what = str(uuid4()), seen(unit)
    first = sign_off(controller, identity, unit, "Fine", what)
    assert sign_off(controller, identity, unit, "Fine", what) == first
    with pytest.raises(InvalidClose):
        sign_off(controller, identity, unit, "Another note", what)
    with reading() as connection:
        assert connection.scalar(select(func.count()).select_from(period_close)) == 1


def test_a_month_is_signed_off_once(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    signed(controller, unit)
    with pytest.raises(AlreadySignedOff, match="Cora"):
        signed(OPERATOR, unit)
    other = replace(unit, connection_id=None)
    assert signed(OPERATOR, other).unit == other


@pytest.mark.parametrize(
    "change",
    [
        {"sync_status": 1, "synced_amount": 123_450},
        {"amount": 123_451},
        {"accounting_date": today().isoformat()},
        {"sync_status": 0},
    ],
)
def test_what_the_person_did_not_see_is_a_conflict(
    database: Database,
    world: World,
    unit: Unit,
    controller: Principal,
    change: dict[str, object],
) -> None:
    what = seen(unit)
    run(database, sets(INVOICES, world.invoice["failed"], change))
    with pytest.raises(BlockingChanged):
        sign_off(controller, str(uuid4()), unit, "", what)
    assert of(unit).state is State.OPEN
    with reading() as connection:
        assert connection.scalar(select(func.count()).select_from(period_close_record)) == 0


def test_the_same_failure_again_is_no_conflict(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    what = seen(unit)
    run(database, attempt(INVOICES, world.invoice["failed"], "Timeout"))
    assert sign_off(controller, str(uuid4()), unit, "", what).stands


@pytest.mark.parametrize(
    "wrong",
    [
        lambda unit: replace(unit, month=unit.month + timedelta(days=1)),
        lambda unit: replace(unit, month=state.next_month(today())),
        lambda unit: replace(unit, billing_organization_id=999),
        lambda unit: replace(unit, connection_id=999),
    ],
)
def test_what_is_not_there_is_not_signed_off(
    database: Database, world: World, unit: Unit, controller: Principal, wrong: Any
) -> None:
    with pytest.raises(InvalidClose):
        sign_off(controller, str(uuid4()), wrong(unit), "", seen(unit))
    with pytest.raises(InvalidClose, match="Shorten"):
        sign_off(controller, str(uuid4()), unit, "x" * 2_001, seen(unit))
    with pytest.raises(InvalidClose):
        sign_off(controller, "no id", unit, "", seen(unit))


@pytest.mark.parametrize(
    "roles",
    [(), (Role.ACCOUNTING_SYNC,), (Role.CLOSE,), (Role.ACCOUNTING_SYNC, Role.HIDE_EXPORT)],
)
def test_without_both_roles_nothing_is_closed(
    database: Database, world: World, unit: Unit, controller: Principal, roles: tuple[Role, ...]
) -> None:
    close = signed(controller, replace(unit, connection_id=None))
    who = sign_in("ben", *roles)
    with pytest.raises(NotAllowed):
        signed(who, unit)
    with pytest.raises(NotAllowed):
        reopen(who, close.id, "To look again")
    assert of(unit).state is State.OPEN
    with reading() as connection:
        denied = connection.scalars(
            select(access_event.c.detail).where(access_event.c.kind == "denied")
        ).all()
        assert load_close(connection, close.id) == close
    assert denied == ["sign a month off", "reopen a month"]


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_what_a_job_writes_while_it_is_signed_off_is_a_conflict(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    """Nothing is locked for the jobs: what was frozen is looked at, not what stood before."""
    what = seen(unit)
    job = [attempt(INVOICES, world.invoice["failed"], None, sync_status=1, synced_amount=123_450)]

    @event.listens_for(engine_of(), "before_cursor_execute")
    def _before(*given: Any) -> None:
        if job and "INSERT INTO period_close_record" in given[2]:
            run(database, job.pop())

    with pytest.raises(BlockingChanged):
        sign_off(controller, str(uuid4()), unit, "", what)
    event.remove(engine_of(), "before_cursor_execute", _before)
    assert not job
    assert of(unit).state is State.OPEN


def test_a_role_taken_away_counts_at_once(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    what = seen(unit)
    accounts.revoke(OPERATOR, "cora", Role.CLOSE)
    with pytest.raises(NotAllowed, match="role Close"):
        sign_off(controller, str(uuid4()), unit, "", what)
    with pytest.raises(NotSignedIn):
        sign_off(Principal(None, "cora"), str(uuid4()), unit, "", what)


# ---------------------------------------------------------------- reopening


def test_a_month_is_reopened_for_a_reason_and_signed_off_again(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    close = signed(controller, unit)
    for nothing in ("", "  \x00"):
        with pytest.raises(InvalidClose, match="why"):
            reopen(controller, close.id, nothing)
    again = reopen(controller, close.id, "A bill came late")
    assert (again.reopened_by, again.reason, again.stands) == ("Cora", "A bill came late", False)
    assert of(unit).state is State.REOPENED
    assert reopen(controller, close.id, "A bill came late") == again
    with pytest.raises(NotSignedOff, match="Cora"):
        reopen(OPERATOR, close.id, "Another reason")
    with pytest.raises(NotSignedOff):
        reopen(controller, str(uuid4()), "There is none")
    second = signed(controller, unit, "With the late bill")
    assert of(unit).close == second
    with reading() as connection:
        kinds = connection.scalars(
            select(access_event.c.kind).where(access_event.c.kind.like("month_%"))
        ).all()
    assert kinds == ["month_signed_off", "month_reopened", "month_signed_off"]


def test_as_of_then_the_month_was_signed_off(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    before = utc_now()
    close = signed(controller, unit)
    between = utc_now()
    reopen(controller, close.id, "A bill came late")

    def then(at: datetime) -> State:
        found = month(as_of=at).of(unit)
        assert found is not None
        return found.state

    assert [then(before), then(between), then(utc_now())] == [
        State.OPEN,
        State.SIGNED_OFF,
        State.REOPENED,
    ]


# ---------------------------------------------------------------- the Excel file


def sheets(content: bytes) -> dict[str, list[dict[str, Any]]]:
    book = load_workbook(BytesIO(content))
    return {
        sheet.title: [
            dict(zip([cell.value for cell in sheet[1]], row, strict=True))
            for row in sheet.iter_rows(min_row=2, values_only=True)
        ]
        for sheet in book
    }


def test_the_file_holds_what_blocks_what_there_is_and_what_moved(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    note = '=HYPERLINK("x")'
    signed(controller, unit, note)
    run(database, sets(INVOICES, world.invoice["failed"], {"amount": 100_000, "number": "=1+1"}))
    name, content = workbook(controller, MONTH, unit)
    assert name.startswith(f"Close {MONTH:%Y-%m} ")
    found = sheets(content)
    assert list(found) == ["Blocking", "Summary", "Changed after close", "About"]
    blocking = of(unit).blocking.total
    assert len(found["Blocking"]) == blocking.count
    assert sum(row["Amount"] for row in found["Blocking"]) == blocking.by_currency["USD"] / 100
    assert {row["Accepted at sign-off"] for row in found["Blocking"]} == {"yes"}
    (changed,) = [row for row in found["Blocking"] if row["Number"] == "=1+1"]
    assert (changed["What blocks"], changed["Last error"]) == ("Failed", NOT_MAPPED)
    holding = of(unit).holding
    assert sum(row["Count"] for row in found["Summary"]) == state.held(holding, Kind).total.count
    (failed,) = [
        row for row in found["Summary"] if (row["Records"], row["Kind"]) == ("invoices", "Failed")
    ]
    assert (failed["Count"], failed["Count when signed off"]) == (4, 4)
    assert failed["Amount when signed off"] - failed["Amount"] == 1_234.50 - 1_000
    assert (failed["Note"], failed["Signed off by"]) == (note, "Cora")
    (moved,) = found["Changed after close"]
    assert moved["What changed"] == (
        "Amount from 1,234.50 USD to 1,000.00 USD; Number from INV-2001 to =1+1"
    )
    facts = {row["What"]: row["Value"] for row in found["About"]}
    assert (facts["Signed off"], facts["Failed"]) == ("1 of 1", 16)
    with reading() as connection:
        kept = connection.scalars(
            select(access_event.c.detail).where(access_event.c.kind == "export")
        ).one()
    assert kept.startswith(f"{blocking.count} rows: close of {state.named(MONTH)}, Harbor Point")


def test_the_file_as_of_then_holds_what_stood_then(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    before, then = month(), utc_now()
    signed(controller, unit)
    moved = {"accounting_date": today().isoformat(), "amount": 1}
    run(database, sets(INVOICES, world.invoice["failed"], moved))
    name, content = workbook(controller, MONTH, as_of=then)
    assert " as of " in name
    found = sheets(content)
    blocking = state.held(before.holding, BLOCKING).total
    assert len(found["Blocking"]) == blocking.count
    sums = Counter[str]()
    for row in found["Blocking"]:
        sums[row["Currency"]] += round(row["Amount"] * 100)
    assert sums == blocking.by_currency
    assert {row["State"] for row in found["Summary"]} == {"Open"}
    assert found["Changed after close"] == []
    facts = {row["What"]: row["Value"] for row in found["About"]}
    assert facts["As it stood"] == readable_moment(then)


def test_an_empty_month_is_a_file_too(
    database: Database, world: World, analyst: Principal, viewer: Principal
) -> None:
    book = load_workbook(BytesIO(workbook(analyst, date(2001, 1, 1))[1]))
    for name, heading in (("Blocking", "Number"), ("Changed after close", "What changed")):
        assert heading in [cell.value for cell in book[name][1]]
        assert book[name].max_row == 1
    with pytest.raises(NotAllowed, match="may not export"):
        workbook(viewer, MONTH)


# ---------------------------------------------------------------- afterwards

LATER = {
    # what happens: how the record stands to the month, who did it, what is different
    "a job completes it": (
        lambda e, r: attempt(
            e, r, None, sync_status=1, synced_amount=123_450, sync_reference="QB-1"
        ),
        How.CHANGED,
        "Sync job of QuickBooks US",
        [
            "Sync status from Failed to Complete",
            "Reference: QB-1",
            "Synced amount: 1,234.50 USD",
        ],
    ),
    "the TMS amount": (
        lambda e, r: sets(e, r, {"amount": 150_000}),
        How.CHANGED,
        "TMS",
        ["Amount from 1,234.50 USD to 1,500.00 USD"],
    ),
    "the TMS status": (
        lambda e, r: sets(e, r, {"tms_status": "Voided"}),
        How.CHANGED,
        "TMS",
        ["TMS status from Approved to Voided"],
    ),
    "the number": (
        lambda e, r: sets(e, r, {"number": "NEW-1"}),
        How.CHANGED,
        "TMS",
        ["Number from {number} to NEW-1"],
    ),
    "past the TMS": (
        lambda e, r: sets(e, r, {"sync_status": 0}),
        How.CHANGED,
        "Unknown",
        ["Sync status from Failed to Pending"],
    ),
    "the accounting date": (
        lambda e, r: sets(e, r, {"accounting_date": "2020-02-03"}),
        How.LEFT,
        "TMS",
        ["Accounting date from {day} to 3 Feb 2020"],
    ),
    "no accounting date": (
        lambda e, r: sets(e, r, {"accounting_date": None}),
        How.LEFT,
        "TMS",
        ["Accounting date: no longer {day}"],
    ),
    "the connection": (
        lambda e, r: sets(e, r, {"connection_id": 2}),
        How.LEFT,
        "TMS",
        ["Connection from QuickBooks US to Xero Canada"],
    ),
}


@pytest.mark.parametrize("later", LATER)
@pytest.mark.parametrize("entity", [INVOICES, INVOICE_PAYMENTS], ids=lambda entity: entity.key)
def test_what_moves_afterwards_shows(
    database: Database,
    world: World,
    unit: Unit,
    controller: Principal,
    entity: Entity,
    later: str,
) -> None:
    record = world.records(entity.key)["failed"]
    with reading() as connection:
        number, day = connection.execute(
            select(entity.table.c.number, entity.table.c.accounting_date).where(
                entity.table.c.id == record
            )
        ).one()
    close = signed(controller, unit)
    does, how, who, changes = LATER[later]
    run(database, does(entity, record))
    (found,) = after(close).moves
    assert (found.entity, found.record_id, found.how, found.who) == (entity, record, how, who)
    words = {"number": number, "day": readable(day)}
    assert list(found.changes) == [one.format(**words) for one in changes]
    assert after(close).records[how] == after(close).count == 1


def test_a_person_who_moves_a_record_is_named(
    database: Database, world: World, unit: Unit, controller: Principal, analyst: Principal
) -> None:
    close = signed(controller, unit)
    move(analyst, ticked(BILLS, world.bill["failed"]), to(COMPLETE, "Found in the books"))
    (found,) = after(close).moves
    assert (found.who, found.note) == ("Ada", "Found in the books")
    assert found.what == "Failed to Complete (Already in the accounting system)"
    assert found.changes == (
        "Sync status from Failed to Complete",
        "Closed because: Already in the accounting system",
    )
    assert found.operation_id


def test_what_comes_in_afterwards_shows(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    close = signed(controller, unit)
    late, moved = world.invoice["pending"], world.bill["pending"]
    day = MONTH.isoformat()
    run(
        database,
        "INSERT INTO invoice (tms_id, number, party_id, billing_organization_id, connection_id,"
        " currency, amount, tms_status, accounting_date, created_at) SELECT 'LATE', 'LATE-1',"
        " party_id, billing_organization_id, connection_id, 'USD', 5000, 'Approved',"
        f" '{day}', '{moment_text(utc_now())}' FROM invoice WHERE id = {late}",
        sets(BILLS, moved, {"accounting_date": day}),
        attempt(BILLS, moved, "Timeout"),
    )
    moves = after(close).moves
    assert {(one.entity.key, one.number) for one in moves if one.how is not How.CAME} == set()
    created = [one for one in moves if one.entity is INVOICES]
    assert [one.changes for one in created] == [("Created with 50.00 USD, Pending",)]
    assert [one.who for one in created] == ["TMS"]
    bill = sorted((one for one in moves if one.entity is BILLS), key=lambda one: one.who)
    assert [one.who for one in bill] == ["Sync job of QuickBooks US", "TMS"]
    assert bill[1].changes[0].startswith("Accounting date from")
    assert after(close).records == {How.CHANGED: 0, How.LEFT: 0, How.CAME: 2}


def test_another_attempt_that_fails_alike_is_counted_apart(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    close = signed(controller, unit)
    run(database, attempt(INVOICES, world.invoice["failed"], "Something else", minutes=1))
    assert after(close) == After((), 1)


def test_after_a_reopening_it_still_shows_until_the_next_sign_off(
    database: Database, world: World, unit: Unit, controller: Principal
) -> None:
    close = signed(controller, unit)
    run(database, sets(INVOICES, world.invoice["failed"], {"amount": 1}))
    reopen(controller, close.id, "To take the change in")
    assert after(close).count == 1
    again = signed(controller, unit)
    assert after(again).count == 0
    move(OPERATOR, ticked(INVOICES, world.invoice["failed"]), to(PENDING))
    assert after(again).count == 1
