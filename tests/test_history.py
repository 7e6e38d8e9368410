"""One record and everything that happened to it, as its drawer tells it."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import select

from synchist import problems
from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.db.tables import charge_line
from synchist.db.types import moment_text
from synchist.entities import BILL_PAYMENTS, BILLS, ENTITIES, INVOICE_PAYMENTS, INVOICES, Entity
from synchist.history import Event, Record, load_events, load_record
from synchist.status_changes import Change, change_status, undo
from synchist.statuses import CloseReason, SyncStatus
from tests.conftest import Database
from tests.world import EXPIRED, NOT_MAPPED, World, noon

JOB = "Sync job of QuickBooks US"
PENDING, COMPLETE, FAILED = SyncStatus
UNEXPLAINED = "Changed directly in the database, unexplained: "


def told(entity: Entity, record: int) -> list[Event]:
    with reading() as connection:
        return load_events(connection, entity, record)


def sentences(entity: Entity, record: int) -> list[tuple[str, str]]:
    """Who did what, newest first."""
    return [(event.who, event.what) for event in told(entity, record)]


def record_of(entity: Entity, record: int) -> Record:
    with reading() as connection:
        found = load_record(connection, entity, record)
    assert found is not None
    return found


def job(database: Database, *statements: str) -> None:
    """Plain statements of a job or the TMS, each in a transaction of its own."""
    for statement in statements:
        with database.elsewhere(statement) as connection:
            connection.execute(statement)
            connection.commit()


def attempt(record: int, status: int, error: str = "NULL", minutes: int = 0) -> str:
    at = moment_text(noon(0) + timedelta(minutes=minutes))
    return (
        f"UPDATE bill SET sync_status = {status}, sync_at = '{at}', sync_error = {error}"
        f" WHERE id = {record}"
    )


def move(principal: Principal, record: int, change: Change) -> None:
    with reading() as connection:
        of = BILLS.table.c
        seen = connection.scalar(select(of.version).where(of.id == record)) or 0
    change_status(principal, str(uuid4()), {"bill": {record: seen}}, change)


# ---------------------------------------------------------------- the sentences


def test_the_stories_of_the_world(database: Database, world: World) -> None:
    """B13. A retry never overwrites what failed before."""
    created = ("TMS", "Created in the TMS")
    failed = (JOB, "Sync attempt failed")
    for entity in ENTITIES:
        of = world.records(entity.key)
        assert sentences(entity, of["pending"]) == [created]
        assert sentences(entity, of["failed_twice"]) == [failed, failed, created]
        assert sentences(entity, of["recovered"]) == [(JOB, "Synced"), failed, created]
        assert sentences(entity, of["closed"]) == [
            ("Ada Analyst", "Failed to Complete (Will not be synced)"),
            failed,
            created,
        ]
        assert sentences(entity, of["pending_again"]) == [
            ("Ada Analyst", "Failed to Pending"),
            failed,
            created,
        ]


def test_an_event_carries_the_state_after_it(database: Database, world: World) -> None:
    synced, failed, created = told(BILLS, world.bill["recovered"])
    an_hour_later = noon(2) + timedelta(hours=1)
    assert [event.at for event in (synced, failed, created)] == [an_hour_later, noon(12), noon(90)]
    assert [event.status for event in (synced, failed, created)] == [COMPLETE, FAILED, PENDING]
    assert [event.error for event in (synced, failed, created)] == [None, NOT_MAPPED, None]
    assert [event.reference for event in (synced, failed, created)] == ["QB-5003", None, None]
    assert [event.synced_amount for event in (synced, failed, created)] == [50_000, None, None]
    assert {(event.amount, event.currency, event.tms_status) for event in (synced, failed)} == {
        (50_000, "USD", "Approved")
    }


def test_the_error_is_told_where_it_failed_only(database: Database, world: World) -> None:
    """The record keeps its last error while Pending; the history tells it once."""
    again, failed, _created = told(BILLS, world.bill["pending_again"])
    assert (again.error, failed.error) == (None, EXPIRED)


def test_a_note_belongs_to_the_persons_change(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["failed"]
    move(analyst, record, Change(COMPLETE, CloseReason.ALREADY_IN_BOOKS, "See QB-77"))
    job(database, f"UPDATE bill SET tms_status = 'Voided' WHERE id = {record}")
    voided, closed, *_ = told(BILLS, record)
    assert (closed.who, closed.what) == (
        "Ada",
        "Failed to Complete (Already in the accounting system)",
    )
    assert (closed.note, voided.note) == ("See QB-77", "")


def test_pushed_again(database: Database, world: World, analyst: Principal) -> None:
    move(analyst, world.bill["pending"], Change(PENDING))
    assert sentences(BILLS, world.bill["pending"])[0] == ("Ada", "Pushed again, still Pending")


@pytest.mark.parametrize(
    ("status", "error", "tried"),
    [
        (FAILED, "'Timeout'", "Sync attempt failed"),
        (COMPLETE, "NULL", "Synced"),
        (PENDING, "NULL", "Sync attempt ended without a result"),
    ],
)
def test_an_attempt_after_a_person_had_closed_it(
    database: Database, world: World, status: SyncStatus, error: str, tried: str
) -> None:
    record = world.bill["closed"]
    job(database, attempt(record, status, error), attempt(record, status, error, minutes=5))
    assert sentences(BILLS, record)[:2] == [
        (JOB, tried),
        (JOB, f"{tried}, after Ada Analyst had closed it"),
    ]


def test_what_the_tms_changed_in_between_hides_no_closing(database: Database, world: World) -> None:
    record = world.bill["closed"]
    job(
        database,
        f"UPDATE bill SET tms_status = 'On hold' WHERE id = {record}",
        attempt(record, FAILED, "'Timeout'"),
    )
    assert sentences(BILLS, record)[0] == (
        JOB,
        "Sync attempt failed, after Ada Analyst had closed it",
    )


def test_an_attempt_after_a_success_closed_by_nobody(database: Database, world: World) -> None:
    record = world.bill["complete"]
    job(database, attempt(record, FAILED, "'Timeout'"))
    assert sentences(BILLS, record)[0] == (JOB, "Sync attempt failed")


def test_a_direct_change_is_flagged(database: Database, world: World) -> None:
    record = world.bill["closed"]
    job(
        database,
        f"UPDATE bill SET sync_status = 0 WHERE id = {record}",
        f"UPDATE bill SET sync_reference = 'X', synced_amount = 5 WHERE id = {record}",
    )
    assert sentences(BILLS, record)[:2] == [
        ("Unknown", f"{UNEXPLAINED}reference, synced amount"),
        ("Unknown", f"{UNEXPLAINED}sync status, reason for closing"),
    ]


def test_the_same_written_again(database: Database, world: World) -> None:
    record = world.bill["failed"]
    job(database, f"UPDATE bill SET sync_status = 2 WHERE id = {record}")
    assert sentences(BILLS, record)[0] == ("Unknown", "Written again without any change")


def test_a_change_in_the_tms_says_what(database: Database, world: World) -> None:
    record = world.bill["failed"]
    connection = world.connection["Xero Canada"]
    job(
        database,
        f"UPDATE bill SET tms_status = 'Voided' WHERE id = {record}",
        f"UPDATE bill SET amount = 1, currency = 'CAD', number = 'B-7' WHERE id = {record}",
        f"UPDATE bill SET connection_id = {connection}, accounting_date = '2026-01-31',"
        f" party_id = {world.organization['Bluebird Foods']},"
        f" billing_organization_id = {world.organization['Delta Vans']} WHERE id = {record}",
    )
    assert sentences(BILLS, record)[:3] == [
        (
            "TMS",
            "Changed in the TMS: payer or vendor, billing organization, connection,"
            " accounting date",
        ),
        (
            "TMS",
            "Changed in the TMS: number from BIL-2001 to B-7, amount, currency from USD to CAD",
        ),
        ("TMS", "Changed in the TMS: TMS status from Approved to Voided"),
    ]


def test_the_newest_stands_first_even_where_clocks_disagree(
    database: Database, world: World
) -> None:
    """The order is the one in which things were written, whatever time a job claims."""
    record = world.bill["failed"]
    job(database, attempt(record, COMPLETE, minutes=-60 * 24 * 300))
    first, second, *_ = told(BILLS, record)
    assert (first.what, second.what) == ("Synced", "Sync attempt failed")
    assert first.at < second.at


def test_events_are_those_of_one_record_of_one_entity(database: Database, world: World) -> None:
    """Ids repeat across the four entities."""
    record = world.bill["pending"]
    assert record == world.invoice["pending"]
    job(database, attempt(record, FAILED, "'Timeout'"))
    assert [len(told(entity, record)) for entity in ENTITIES] == [1, 1, 2, 1]


# ---------------------------------------------------------------- the record


def test_an_unknown_record(database: Database, world: World) -> None:
    with reading() as connection:
        for entity in ENTITIES:
            assert load_record(connection, entity, 999_999) is None
            assert load_events(connection, entity, 999_999) == []


def test_the_fields_of_a_record(database: Database, world: World) -> None:
    for entity in ENTITIES:
        record = record_of(entity, world.records(entity.key)["partial"])
        assert set(record.fields) == {
            *("id", "version", "created_at", "tms_id", "system", "closed_through"),
            *(column.key for column in entity.columns),
        }
        assert (record.entity, record.fields["id"]) == (
            entity,
            world.records(entity.key)["partial"],
        )
        assert record.fields["version"] == len(record.events) == 2
        assert record.fields["created_at"] == noon(90)
        assert (record.fields["amount"], record.fields["synced_amount"]) == (150_000, 135_000)
        assert record.fields["billing"] == "Harbor Point Chicago"
        assert record.fields["connection"] == "QuickBooks US"
        assert list(record.events) == told(entity, record.fields["id"])


def test_charges_in_their_order(database: Database, world: World) -> None:
    """B14. Which line differs is told line by line, for what has lines."""
    for entity in (INVOICES, BILLS):
        charges = record_of(entity, world.records(entity.key)["partial"]).charges
        assert [(charge.description, charge.amount) for charge in charges] == [
            ("Linehaul", 135_000),
            ("Fuel surcharge", 15_000),
        ]
    for entity in (INVOICE_PAYMENTS, BILL_PAYMENTS):
        assert record_of(entity, world.records(entity.key)["partial"]).charges == ()


def holding(charge: int, amount: int, minutes: int = 0) -> str:
    """What a job found in the books of one charge."""
    return (
        "INSERT INTO attempt_line (charge_line_id, sync_at, amount) VALUES"
        f" ({charge}, '{moment_text(noon(0) + timedelta(minutes=minutes))}', {amount})"
    )


def test_a_charge_beside_what_the_books_hold(database: Database, world: World) -> None:
    """The last attempt counts, in the order of their time and not of writing."""
    with reading() as connection:
        linehaul, fuel = connection.scalars(
            select(charge_line.c.id)
            .where(charge_line.c.bill_id == world.bill["failed"])
            .order_by(charge_line.c.position)
        )

    def charges(entity: Entity = BILLS, story: str = "failed") -> list[tuple[int | None, ...]]:
        record = record_of(entity, world.records(entity.key)[story])
        return [(charge.amount, charge.held, charge.difference) for charge in record.charges]

    assert charges() == [(108_450, None, None), (15_000, None, None)]
    assert charges(INVOICES, "partial") == [(135_000, 135_000, 0), (15_000, 0, 15_000)]
    job(
        database,
        holding(linehaul, 100_000, 5),
        holding(linehaul, 1, 3),  # told late
        holding(linehaul, 2, 4),
    )
    assert charges() == [(108_450, 100_000, 8_450), (15_000, None, None)]
    job(database, holding(fuel, 16_000, 5), holding(fuel, 17_000, 5))  # the same moment
    assert charges() == [(108_450, 100_000, 8_450), (15_000, 17_000, -2_000)]


# ---------------------------------------------------------------- after somebody closed it


def closing(world: World, database: Database, *statements: str) -> Event | None:
    job(database, *statements)
    return record_of(BILLS, world.bill["closed"]).after_closing


def test_an_attempt_on_a_closed_record_shows_until_somebody_acts(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["closed"]
    assert closing(world, database) is None
    found = closing(world, database, attempt(record, COMPLETE))
    assert found is not None
    assert (found.after_closing, found.status) == ("Ada Analyst", COMPLETE)
    # The TMS and later attempts do not answer it.
    on_hold = f"UPDATE bill SET tms_status = 'On hold' WHERE id = {record}"
    assert closing(world, database, on_hold) == found
    assert closing(world, database, attempt(record, FAILED, "'Timeout'", minutes=5)) == found
    # A person does.
    move(analyst, record, Change(COMPLETE, CloseReason.RECONCILED))
    assert closing(world, database) is None
    found = closing(world, database, attempt(record, FAILED, "'Timeout'", minutes=9))
    assert found is not None
    assert (found.after_closing, found.status) == ("Ada", FAILED)


def test_an_attempt_on_what_a_job_completed_is_nothing_new(
    database: Database, world: World
) -> None:
    record = world.bill["complete"]
    job(database, attempt(record, FAILED, "'Timeout'"))
    assert record_of(BILLS, record).after_closing is None
    assert {event.after_closing for event in told(BILLS, record)} == {""}


def test_a_closing_that_was_taken_back_is_none(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["failed"]
    selection = {"bill": {record: 2}}
    identity = str(uuid4())
    change_status(analyst, identity, selection, Change(COMPLETE, CloseReason.OTHER))
    undo(analyst, str(uuid4()), identity)
    job(database, attempt(record, FAILED, "'Timeout'"))
    assert record_of(BILLS, record).after_closing is None
    assert sentences(BILLS, record)[1:3] == [
        ("Ada", "Complete to Failed (a change taken back)"),
        ("Ada", "Failed to Complete (Other)"),
    ]


def test_a_retry_after_a_fix_says_so(database: Database, world: World, analyst: Principal) -> None:
    move(analyst, world.bill["failed"], Change(PENDING, fixed=True))
    assert sentences(BILLS, world.bill["failed"])[0] == ("Ada", "Failed to Pending (after a fix)")


def test_an_event_tells_what_was_before(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["failed"]
    job(database, f"UPDATE bill SET number = 'B' WHERE id = {record}")
    move(analyst, record, Change(PENDING))
    job(database, attempt(record, COMPLETE))
    assert [(event.was, event.status) for event in told(BILLS, record)] == [
        (PENDING, COMPLETE),
        (FAILED, PENDING),
        (FAILED, FAILED),
        (PENDING, FAILED),
        (None, PENDING),
    ]


def test_an_error_stands_with_the_event_that_brought_it(
    database: Database, world: World, analyst: Principal
) -> None:
    """And what it means, once somebody has read it."""
    record = world.bill["failed"]
    job(
        database,
        f"UPDATE bill SET number = 'B' WHERE id = {record}",
        f"UPDATE bill SET sync_error = 'By hand' WHERE id = {record}",
        attempt(record, FAILED, "'By hand'"),  # the same once more, and an attempt of its own
    )
    move(analyst, record, Change(FAILED, note="Look at it"))
    errors = [None, "By hand", "By hand", None, NOT_MAPPED, None]
    assert [event.error for event in told(BILLS, record)] == errors
    assert {event.problem for event in told(BILLS, record)} == {""}
    while problems.catch_up():
        pass
    said = [event.problem for event in told(BILLS, record)]
    assert [bool(problem) for problem in said] == [bool(error) for error in errors]
    assert said[4] != said[1] == said[2]

    silent = world.bill["complete"]
    move(analyst, silent, Change(FAILED, note="Recalled"))
    assert told(BILLS, silent)[0].error == "Marked as failed by Ada: Recalled"
    move(analyst, silent, Change(COMPLETE, CloseReason.OTHER))
    assert told(BILLS, silent)[0].error is None


def test_links_lead_both_ways(database: Database, world: World) -> None:
    job(
        database,
        "INSERT INTO bill_payment_application (bill_payment_id, bill_id, amount) VALUES"
        f" ({world.bill_payment['failed']}, {world.bill['complete_cad']}, 4200)",
    )
    payment = record_of(BILL_PAYMENTS, world.bill_payment["failed"])
    assert payment.linked_entity is BILLS
    assert [
        (link.record_id, link.number, link.applied, link.amount, link.currency, link.status)
        for link in payment.links
    ] == [
        (world.bill["failed"], "BIL-2001", 123_450, 123_450, "USD", FAILED),
        (world.bill["complete_cad"], "BIL-2007", 4_200, 99_999, "CAD", COMPLETE),
    ]
    bill = record_of(BILLS, world.bill["complete_cad"])
    assert bill.linked_entity is BILL_PAYMENTS
    assert [(link.record_id, link.applied) for link in bill.links] == [
        (world.bill_payment["failed"], 4_200),
        (world.bill_payment["complete_cad"], 99_999),
    ]
    for document, payments in ((INVOICES, INVOICE_PAYMENTS), (BILLS, BILL_PAYMENTS)):
        for one, other in ((document, payments), (payments, document)):
            record = record_of(one, world.records(one.key)["pending"])
            assert [link.record_id for link in record.links] == [
                world.records(other.key)["pending"]
            ]
            assert record.linked_entity is other
