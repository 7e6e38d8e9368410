"""What somebody found in the books, stored with closing: reference and amount, and their risks."""

from typing import Any

import pytest

from synchist.accounts import Principal
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.status_changes import (
    LONGEST_REFERENCE,
    Change,
    Evidence,
    InvalidChange,
)
from synchist.statuses import CloseReason
from tests.changes import (
    APPLIED,
    COMPLETE,
    FAILED,
    PENDING,
    RISKY,
    attempt,
    events,
    row,
    run,
    sets,
    ticked,
    to,
    warily,
    written,
)
from tests.conftest import Database
from tests.test_risks import at_risk, why
from tests.world import World

every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)
LARGEST = 2**63 - 1


def closing(entity: Entity, found: dict[int, Evidence], **more: Any) -> Change:
    return to(COMPLETE, evidence={entity.key: found}, **more)


# ---------------------------------------------------------------- what is stored


@every_entity
def test_reference_and_amount_are_one_event(
    database: Database, world: World, analyst: Principal, entity: Entity
) -> None:
    of = world.records(entity.key)
    proven, plain = of["failed"], of["failed_old"]
    before = {record: row(entity, record) for record in (proven, plain)}
    change = closing(entity, {proven: Evidence("QB-77", 123_000)})
    receipt = warily(analyst, ticked(entity, proven, plain), change)
    assert (receipt.outcomes, receipt.reason) == ({APPLIED: 2}, CloseReason.ALREADY_IN_BOOKS)
    for record, reference, amount in ((proven, "QB-77", 123_000), (plain, None, None)):
        now = row(entity, record)
        assert (now["sync_reference"], now["synced_amount"]) == (reference, amount)
        assert (now["sync_status"], now["closed_reason"]) == (COMPLETE, "already_in_books")
        assert now["version"] == before[record]["version"] + 1
        event = events(entity, record)[-1]
        assert (event.sync_reference, event.synced_amount) == (reference, amount)
        untouched = ("sync_at", "sync_error", "sync_error_code", "amount", "number")
        assert {name: now[name] for name in untouched} == {
            name: before[record][name] for name in untouched
        }


@pytest.mark.parametrize(
    ("found", "reference", "amount"),
    [
        (Evidence("NEW", 7), "NEW", 7),
        (Evidence("NEW"), "NEW", 135_000),
        (Evidence("", 7), "QB-5002", 7),
        (Evidence("", 0), "QB-5002", 0),
        (Evidence(), "QB-5002", 135_000),
    ],
)
def test_what_was_not_found_stays_as_it_was(
    database: Database,
    world: World,
    analyst: Principal,
    found: Evidence,
    reference: str,
    amount: int,
) -> None:
    record = world.bill["partial"]
    receipt = warily(analyst, ticked(BILLS, record), closing(BILLS, {record: found}))
    assert receipt.outcomes == {APPLIED: 1}
    now = row(BILLS, record)
    assert (now["sync_reference"], now["synced_amount"]) == (reference, amount)
    assert len(events(BILLS, record)) == now["version"] == 3


@pytest.mark.parametrize("amount", [LARGEST, -LARGEST, 2**53 + 1, -1])
def test_money_is_exact(database: Database, world: World, analyst: Principal, amount: int) -> None:
    record = world.bill["failed"]
    warily(analyst, ticked(BILLS, record), closing(BILLS, {record: Evidence("", amount)}))
    assert row(BILLS, record)["synced_amount"] == amount


def test_two_kinds_with_the_same_ids(database: Database, world: World, analyst: Principal) -> None:
    record = world.bill["failed"]
    assert world.invoice["failed"] == record
    selection = {**ticked(BILLS, record), **ticked(INVOICES, record)}
    receipt = warily(analyst, selection, closing(BILLS, {record: Evidence("QB-77", 1)}))
    assert receipt.outcomes == {APPLIED: 2}
    assert row(BILLS, record)["sync_reference"] == "QB-77"
    assert row(INVOICES, record)["sync_reference"] is None


def test_a_hundred_at_once(database: Database, world: World, analyst: Principal) -> None:
    """Each its own, and no record another's."""
    records = list(world.bill.values())
    found = {record: Evidence(f"B-{record}", record) for record in records}
    receipt = warily(analyst, ticked(BILLS, *records), closing(BILLS, found))
    assert receipt.outcomes == {APPLIED: len(records)}
    stored = {record: row(BILLS, record) for record in records}
    assert {
        record: Evidence(now["sync_reference"], now["synced_amount"])
        for record, now in stored.items()
    } == found


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("status", [PENDING, FAILED], ids=lambda status: f"to {status.label}")
def test_only_what_is_closed_has_evidence(status: Any) -> None:
    with pytest.raises(InvalidChange, match="belongs to records that are closed"):
        Change(status, evidence={"bill": {1: Evidence("A")}})


def test_nothing_is_told_of_records_outside_of_the_selection(
    database: Database, world: World, analyst: Principal
) -> None:
    record, other = world.bill["failed"], world.bill["failed_old"]
    before = written()
    for evidence in (
        {"bill": {other: Evidence("A")}},
        {"bill": {record: Evidence("A"), other: Evidence("B")}},
        {"invoice": {record: Evidence("A")}},
        {"account": {1: Evidence("A")}},
    ):
        with pytest.raises(InvalidChange, match="is of records not selected"):
            warily(analyst, ticked(BILLS, record), to(COMPLETE, evidence=evidence))
    assert written() == before


@pytest.mark.parametrize(
    "reference",
    ["x" * (LONGEST_REFERENCE + 1), "two\nlines", "tab\tbed", "nul\x00", "\x1b[31m", "\u202eabc"],
)
def test_a_reference_is_short_and_can_be_read(reference: str) -> None:
    with pytest.raises(InvalidChange, match="at most 100 characters and no line ends"):
        Evidence(reference)


def test_the_longest_reference_fits(database: Database, world: World, analyst: Principal) -> None:
    record, reference = world.bill["failed"], "ñ" * LONGEST_REFERENCE
    warily(analyst, ticked(BILLS, record), closing(BILLS, {record: Evidence(reference)}))
    assert row(BILLS, record)["sync_reference"] == reference


@pytest.mark.parametrize("amount", [2**63, -(2**63), 10**30])
def test_an_amount_fits_into_the_database(amount: int) -> None:
    with pytest.raises(InvalidChange, match="too large to be one"):
        Evidence("", amount)


# ---------------------------------------------------------------- references that are taken

TAKEN = "QB-5001"
"""What `complete` holds, of the second party on QuickBooks US."""


def like_complete(world: World, entity: Entity, story: str = "failed") -> tuple[int, str]:
    """A record of the same party and connection as `complete`, and what it is told of that."""
    of = world.records(entity.key)
    record, holder = of[story], row(entity, of["complete"])
    return record, f"{entity.singular.capitalize()} {holder['number']} holds "


def of_party(
    database: Database,
    entity: Entity,
    record: int,
    like: int,
    of: Entity | None = None,
    **more: Any,
) -> None:
    """Give a record the party and connection of another one."""
    holder = row(of or entity, like)
    run(
        database,
        sets(
            entity,
            record,
            {
                "party_id": holder["party_id"],
                "connection_id": holder["connection_id"],
                **more,
            },
        ),
    )


@every_entity
@pytest.mark.parametrize("reference", [TAKEN, TAKEN.lower()])
def test_a_reference_that_is_taken_is_a_risk(
    database: Database, world: World, analyst: Principal, entity: Entity, reference: str
) -> None:
    record, says = like_complete(world, entity)
    of_party(database, entity, record, world.records(entity.key)["complete"])
    change = closing(entity, {record: Evidence(reference, 5)})
    assert why(entity, record, change) == (says + reference,)
    before = row(entity, record)
    receipt = warily(analyst, ticked(entity, record), change)
    assert receipt.outcomes == {RISKY: 1}
    assert row(entity, record) == before
    accepted = closing(entity, {record: Evidence(reference, 5)}, accepted={entity.key: [record]})
    assert warily(analyst, ticked(entity, record), accepted).outcomes == {APPLIED: 1}
    assert row(entity, record)["sync_reference"] == reference


@pytest.mark.parametrize("differs", ["party", "connection", "no connection", "entity"])
def test_another_party_connection_or_kind_may_have_the_same_reference(
    database: Database, world: World, analyst: Principal, differs: str
) -> None:
    record, complete = world.bill["failed"], world.bill["complete"]
    change: dict[str, Any] = {
        "party": {"party_id": world.organization["Bluebird Foods"]},
        "connection": {"connection_id": world.connection["Xero Canada"]},
        "no connection": {"connection_id": None},
        "entity": {},
    }[differs]
    of_party(database, BILLS, record, complete, **change)
    if differs == "entity":  # an invoice of the same organization holds it
        run(database, sets(BILLS, complete, {"sync_reference": "moved"}))
        of_party(database, INVOICES, world.invoice["complete"], record, BILLS)
    closed = closing(BILLS, {record: Evidence(TAKEN)})
    assert why(BILLS, record, closed) == ()
    assert warily(analyst, ticked(BILLS, record), closed).outcomes == {APPLIED: 1}


def test_without_a_connection_there_are_books_too(database: Database, world: World) -> None:
    record, complete = world.bill["failed"], world.bill["complete"]
    run(database, sets(BILLS, complete, {"connection_id": None}))
    of_party(database, BILLS, record, complete)
    says = f"Bill {row(BILLS, complete)['number']} holds {TAKEN}"
    assert why(BILLS, record, closing(BILLS, {record: Evidence(TAKEN)})) == (says,)


def test_its_own_reference_is_no_risk(database: Database, world: World, analyst: Principal) -> None:
    record = world.bill["complete"]
    change = closing(BILLS, {record: Evidence(TAKEN, 210_000)})
    assert warily(analyst, ticked(BILLS, record), change).outcomes == {APPLIED: 1}


def test_a_reference_given_twice_at_once_is_a_risk(
    database: Database, world: World, analyst: Principal
) -> None:
    """Of the same party and connection, in any case; the others go through."""
    one, two = world.bill["failed"], world.bill["failed_old"]
    of_party(database, BILLS, two, one)
    stranger, other = world.bill["failed_expired"], world.bill["failed_twice"]
    found = {one: Evidence("N-1"), two: Evidence("n-1"), stranger: Evidence("N-1")}
    found[other] = Evidence("N-2")
    selection, change = ticked(BILLS, *found), closing(BILLS, found)
    assert {key: risk.why for key, risk in at_risk(selection, change).items()} == {
        ("bill", one): ("N-1 is given to 2 records here",),
        ("bill", two): ("n-1 is given to 2 records here",),
    }
    receipt = warily(analyst, selection, change)
    assert receipt.outcomes == {RISKY: 2, APPLIED: 2}
    assert {left.record_id for left in receipt.untouched} == {one, two}


def test_one_of_two_with_the_same_reference_may_be_accepted(
    database: Database, world: World, analyst: Principal
) -> None:
    one, two = world.bill["failed"], world.bill["failed_old"]
    of_party(database, BILLS, two, one)
    change = closing(BILLS, {one: Evidence("N-1"), two: Evidence("N-1")}, accepted={"bill": [two]})
    receipt = warily(analyst, ticked(BILLS, one, two), change)
    assert receipt.outcomes == {RISKY: 1, APPLIED: 1}
    assert row(BILLS, one)["sync_reference"] is None
    assert row(BILLS, two)["sync_reference"] == "N-1"


def test_a_reference_that_was_taken_after_the_dialog_looked(
    database: Database, world: World, analyst: Principal
) -> None:
    record, other = world.bill["failed"], world.bill["failed_old"]
    of_party(database, BILLS, other, record)
    selection, change = ticked(BILLS, record), closing(BILLS, {record: Evidence("N-1")})
    assert at_risk(selection, change) == {}
    run(database, attempt(BILLS, other, None, sync_status=1, sync_reference="N-1"))
    assert warily(analyst, selection, change).outcomes == {RISKY: 1}


def test_amounts_alone_are_no_risk(database: Database, world: World, analyst: Principal) -> None:
    one, two = world.bill["failed"], world.bill["failed_old"]
    of_party(database, BILLS, two, one)
    change = closing(BILLS, {one: Evidence("", 5), two: Evidence("", 5)})
    assert warily(analyst, ticked(BILLS, one, two), change).outcomes == {APPLIED: 2}


@pytest.mark.parametrize("reference", ["100%_OFF", "a'b", '{"x": 1}', "=1+1", "\\", "null", "12"])
def test_a_reference_is_compared_as_text(
    database: Database, world: World, analyst: Principal, reference: str
) -> None:
    one, two = world.bill["failed"], world.bill["failed_old"]
    of_party(database, BILLS, two, one)
    first = closing(BILLS, {one: Evidence(reference)})
    assert warily(analyst, ticked(BILLS, one), first).outcomes == {APPLIED: 1}
    second = closing(BILLS, {two: Evidence(reference)})
    assert warily(analyst, ticked(BILLS, two), second).outcomes == {RISKY: 1}
