"""What could stand in the books twice: found before anything goes back, and held back there."""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, text

from synchist import problems
from synchist.accounts import Principal
from synchist.db.engine import reading, writing
from synchist.db.tables import operation_item
from synchist.db.types import utc_now
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.risks import Risk
from synchist.status_changes import (
    Change,
    Evidence,
    OperationReused,
    change_status,
    risks_of,
)
from synchist.statuses import CloseReason
from tests.changes import (
    APPLIED,
    COMPLETE,
    CONFLICTED,
    FAILED,
    NOT_THERE,
    OPERATOR,
    PENDING,
    RISKY,
    TO_PENDING,
    attempt,
    row,
    run,
    sets,
    ticked,
    to,
    warily,
    written,
)
from tests.conftest import Database
from tests.world import NOT_MAPPED, World

every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)

DUPLICATE = "Duplicate Document Number Error : You must specify a different number."
CHECK = "Its last error leaves open whether it was written: check the books"


def held(reference: str) -> str:
    return f"The books gave it the reference {reference}"


def like(entity: Entity, number: str, where: str = " on QuickBooks US") -> str:
    return (
        f"Another {entity.singular} {number} of this {entity.party_label.lower()} and amount is"
        f" Complete{where}"
    )


def at_risk(
    selection: Mapping[str, Collection[int]], change: Change = TO_PENDING
) -> dict[tuple[str, int], Risk]:
    with reading() as connection:
        return risks_of(connection, selection, change)


def why(entity: Entity, record: int, change: Change = TO_PENDING) -> tuple[str, ...]:
    found = at_risk({entity.key: [record]}, change)
    assert found.keys() <= {(entity.key, record)}
    return found[entity.key, record].why if found else ()


def twin(entity: Entity, record: int, **changes: object) -> int:
    """Another record like this one, Complete, but for the changes."""
    given = {"id", "version", "outcome_at", "problem_id", "last_operation_id"}
    values = {name: value for name, value in row(entity, record).items() if name not in given}
    values |= {"tms_id": str(uuid4()), "sync_status": 1, "sync_at": utc_now(), "sync_error": None}
    with writing() as connection:
        made = connection.execute(insert(entity.table).values(values | changes))
    return int(made.inserted_primary_key[0])


def diagnosed() -> None:
    while problems.catch_up():
        pass


# ---------------------------------------------------------------- each reason


@every_entity
def test_a_reference_is_a_risk(database: Database, world: World, entity: Entity) -> None:
    record = world.records(entity.key)["failed"]
    assert why(entity, record) == ()
    run(database, attempt(entity, record, NOT_MAPPED, sync_reference="QB-9"))
    was = row(entity, record)
    (risk,) = at_risk({entity.key: [record, world.records(entity.key)["failed_old"]]}).values()
    assert (risk.entity, risk.record_id, risk.why) == (entity.key, record, (held("QB-9"),))
    assert (risk.number, risk.amount, risk.currency) == (was["number"], 123_450, "USD")
    assert world.organization[risk.party] == was["party_id"]
    run(database, sets(entity, record, {"sync_reference": ""}))
    assert why(entity, record) == ()


@every_entity
def test_a_like_record_in_the_books_is_a_risk(
    database: Database, world: World, entity: Entity
) -> None:
    record = world.records(entity.key)["failed"]
    number = row(entity, record)["number"]
    other = twin(entity, record)
    assert why(entity, record) == (like(entity, number),)
    assert why(entity, other) == ()  # the other one is not Complete
    run(database, sets(entity, other, {"sync_status": 0}))
    assert why(entity, record) == ()
    run(database, sets(entity, other, {"sync_status": 2, "sync_error": "No"}))
    assert why(entity, record) == ()


def test_where_the_like_record_is(database: Database, world: World) -> None:
    records = [world.bill[story] for story in ("failed", "failed_old", "pending")]
    numbers = [row(BILLS, record)["number"] for record in records]
    twin(BILLS, records[0], connection_id=world.connection["Xero Canada"])
    twin(BILLS, records[1], connection_id=None)
    twin(BILLS, records[2], billing_organization_id=world.organization["Harbor Point Toronto"])
    assert [why(BILLS, record) for record in records] == [
        (like(BILLS, numbers[0], " on Xero Canada"),),
        (like(BILLS, numbers[1], ""),),
        (like(BILLS, numbers[2]),),
    ]


def test_another_case_of_the_number_is_the_same_number(database: Database, world: World) -> None:
    record = world.invoice["failed"]
    number = row(INVOICES, record)["number"]
    twin(INVOICES, record, number=number.lower())
    twin(INVOICES, record, number=number)
    assert why(INVOICES, record) == (like(INVOICES, number.lower()),)  # of several the first


@pytest.mark.parametrize("reason", CloseReason)
def test_what_a_person_closed_is_in_the_books_unless_it_was_given_up(
    database: Database, world: World, reason: CloseReason
) -> None:
    record = world.bill["failed"]
    number = row(BILLS, record)["number"]
    twin(BILLS, record, closed_reason=reason.value)
    given_up = reason is CloseReason.WILL_NOT_SYNC
    assert why(BILLS, record) == (() if given_up else (like(BILLS, number),))
    if given_up:  # and does not hide one that is in the books
        twin(BILLS, record)
        assert why(BILLS, record) == (like(BILLS, number),)


DIFFERS: dict[str, Callable[[World], dict[str, Any]]] = {
    "party": lambda world: {"party_id": world.organization["Lone Pine Trucking"]},
    "amount": lambda _: {"amount": 123_449},
    "currency": lambda _: {"currency": "CAD"},
    "number": lambda _: {"number": "BIL-20010"},
}


@pytest.mark.parametrize("name", DIFFERS)
def test_what_differs_is_another_document(database: Database, world: World, name: str) -> None:
    record = world.bill["failed"]
    changes = DIFFERS[name](world)
    assert changes.items().isdisjoint(row(BILLS, record).items())
    twin(BILLS, record, **changes)
    assert why(BILLS, record) == ()


def test_a_record_is_not_its_own_like(database: Database, world: World) -> None:
    """Closed by hand without a reference; nor is one of another kind."""
    record = world.bill["failed"]
    warily(OPERATOR, ticked(BILLS, record), Change(COMPLETE, CloseReason.OTHER))
    assert why(BILLS, record) == ()
    invoice = world.invoice["failed"]
    of_bill = {name: row(BILLS, record)[name] for name in ("number", "party_id", "amount")}
    run(database, sets(INVOICES, invoice, of_bill))
    assert why(INVOICES, invoice) == ()


@pytest.mark.parametrize(
    ("reason", "says"),
    [
        (CloseReason.RECONCILED, ("It was closed as “Reconciled manually”",)),
        (CloseReason.ALREADY_IN_BOOKS, ("It was closed as “Already in the accounting system”",)),
        (CloseReason.WILL_NOT_SYNC, ()),
    ],
)
def test_what_a_person_says_is_in_the_books_is_a_risk(
    database: Database, world: World, reason: CloseReason, says: tuple[str, ...]
) -> None:
    record = world.bill["failed"]
    warily(OPERATOR, ticked(BILLS, record), Change(COMPLETE, reason))
    assert why(BILLS, record) == says


@every_entity
def test_an_error_that_leaves_it_open_is_a_risk(
    database: Database, world: World, entity: Entity
) -> None:
    """Read here where nobody has diagnosed it, or only before it was known what a retry does."""
    record = world.records(entity.key)["failed"]
    run(database, attempt(entity, record, DUPLICATE, sync_error_code="6140"))
    assert row(entity, record)["problem_id"] == 0
    assert why(entity, record) == (CHECK,)
    diagnosed()
    assert row(entity, record)["problem_id"] > 0
    assert why(entity, record) == (CHECK,)
    with writing() as connection:
        connection.execute(text("UPDATE diagnosis SET retry = NULL"))
    assert why(entity, record) == (CHECK,)


def test_what_was_diagnosed_is_not_read_again(database: Database, world: World) -> None:
    record = world.bill["failed"]
    run(database, attempt(BILLS, record, DUPLICATE))
    diagnosed()
    with writing() as connection:
        connection.execute(text("UPDATE diagnosis SET retry = 'safe'"))
    assert why(BILLS, record) == ()


@pytest.mark.parametrize("stored", ["undiagnosed", "diagnosed", "before the migration"])
def test_the_last_error_counts(database: Database, world: World, stored: str) -> None:
    over, still = world.bill["failed"], world.bill["failed_old"]
    run(
        database,
        attempt(BILLS, over, DUPLICATE),
        attempt(BILLS, still, NOT_MAPPED, 1),
        attempt(BILLS, over, NOT_MAPPED, 2),
        attempt(BILLS, still, DUPLICATE, 3),
    )
    if stored != "undiagnosed":
        diagnosed()
    if stored == "before the migration":
        with writing() as connection:
            connection.execute(text("UPDATE diagnosis SET retry = NULL"))
    found = at_risk({"bill": [over, still, world.bill["failed_expired"], world.bill["pending"]]})
    assert {key: risk.why for key, risk in found.items()} == {("bill", still): (CHECK,)}


def test_an_attempt_that_left_it_pending_counts(database: Database, world: World) -> None:
    record = world.bill["failed"]
    run(database, attempt(BILLS, record, DUPLICATE, sync_status=0))
    assert why(BILLS, record) == (CHECK,)
    diagnosed()
    assert why(BILLS, record) == (CHECK,)


def test_closing_does_not_make_the_last_error_safe(database: Database, world: World) -> None:
    """A person closed it without a reference, and somebody sends it back: diagnosed or not."""
    record = world.bill["failed"]
    run(database, attempt(BILLS, record, DUPLICATE))
    warily(OPERATOR, ticked(BILLS, record), Change(COMPLETE, CloseReason.OTHER))
    assert why(BILLS, record) == (CHECK,)
    diagnosed()
    assert row(BILLS, record)["problem_id"] is None
    assert why(BILLS, record) == (CHECK,)
    run(database, attempt(BILLS, record, None, sync_status=1))
    assert why(BILLS, record) == ()


def test_every_reason_is_told(database: Database, world: World) -> None:
    record, safe = world.bill["failed"], world.bill["failed_old"]
    run(database, attempt(BILLS, record, DUPLICATE, sync_reference="40123"))
    twin(BILLS, record)
    number = row(BILLS, record)["number"]
    found = at_risk({"bill": [safe, record], "invoice": [world.invoice["complete"], NOT_THERE]})
    assert {key: risk.why for key, risk in found.items()} == {
        ("bill", record): (held("40123"), like(BILLS, number), CHECK),
        ("invoice", world.invoice["complete"]): (held("QB-5001"),),
    }


@pytest.mark.parametrize("change", [to(FAILED), to(COMPLETE)], ids=["to Failed", "to Complete"])
def test_only_what_goes_back_is_pushed_again(
    database: Database, world: World, change: Change
) -> None:
    record = world.bill["failed"]
    run(database, attempt(BILLS, record, DUPLICATE, sync_reference="40123"))
    twin(BILLS, record)
    assert why(BILLS, record, change) == ()
    assert warily(OPERATOR, ticked(BILLS, record), change).outcomes == {APPLIED: 1}


# ---------------------------------------------------------------- the operation holds them back


@every_entity
def test_what_nobody_accepted_stays(
    database: Database, world: World, analyst: Principal, entity: Entity
) -> None:
    """The dialog need not have asked: the operation looks by itself."""
    of = world.records(entity.key)
    risky, safe = of["complete"], of["failed"]
    before = row(entity, risky)
    receipt = warily(analyst, ticked(entity, risky, safe), TO_PENDING)
    assert (receipt.requested, receipt.outcomes) == (2, {RISKY: 1, APPLIED: 1})
    assert [(left.entity, left.record_id, left.number, left.why) for left in receipt.untouched] == [
        (
            entity.key,
            risky,
            before["number"],
            "at risk of a duplicate and not ticked, left untouched",
        )
    ]
    assert row(entity, risky) == before
    assert row(entity, safe)["sync_status"] == PENDING
    with reading() as connection:
        items = connection.execute(
            select(operation_item.c.record_id, operation_item.c.outcome).where(
                operation_item.c.operation_id == receipt.operation_id
            )
        ).all()
    assert sorted(items) == sorted([(risky, "risky"), (safe, "applied")])


def test_only_the_accepted_ones_pass(database: Database, world: World, analyst: Principal) -> None:
    one, other = world.bill["complete"], world.bill["partial"]
    receipt = warily(analyst, ticked(BILLS, one, other), Change(PENDING, accepted={"bill": [one]}))
    assert receipt.outcomes == {APPLIED: 1, RISKY: 1}
    assert [left.record_id for left in receipt.untouched] == [other]
    assert row(BILLS, one)["sync_status"] == PENDING
    # The reference stays: the next attempt overwrites it.
    assert row(BILLS, one)["sync_reference"] == "QB-5001"


@pytest.mark.parametrize(
    "accepted", [{"bill": [NOT_THERE]}, {"invoice": "the same id"}, {"account": [1]}, {"bill": []}]
)
def test_accepting_others_does_not_help(
    database: Database, world: World, analyst: Principal, accepted: dict[str, Any]
) -> None:
    record = world.bill["complete"]
    ids = {key: [record] if of == "the same id" else of for key, of in accepted.items()}
    receipt = warily(analyst, ticked(BILLS, record), Change(PENDING, accepted=ids))
    assert receipt.outcomes == {RISKY: 1}


def test_accepting_does_not_help_what_was_touched(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["complete"]
    selection = ticked(BILLS, record)
    run(database, attempt(BILLS, record, sync_reference="QB-5001"))
    receipt = warily(analyst, selection, Change(PENDING, accepted=selection))
    assert receipt.outcomes == {CONFLICTED: 1}


def test_what_becomes_risky_after_the_dialog_looked_is_left_alone(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["failed"]
    selection = ticked(BILLS, record)
    assert at_risk(selection) == {}
    twin(BILLS, record)  # a job wrote the other one meanwhile
    assert warily(analyst, selection, TO_PENDING).outcomes == {RISKY: 1}
    assert row(BILLS, record)["sync_status"] == FAILED


# ---------------------------------------------------------------- exactly once


def test_acceptance_and_evidence_belong_to_the_content(
    database: Database, world: World, analyst: Principal
) -> None:
    one, other = world.bill["complete"], world.bill["partial"]
    selection, identity = ticked(BILLS, one, other), str(uuid4())
    asked = Change(PENDING, accepted={"bill": [one, other]})
    first = change_status(analyst, identity, selection, asked)
    again = Change(PENDING, accepted={"invoice": [], "bill": {other: 0, one: 0}})
    after = written()
    assert change_status(analyst, identity, selection, again) == first
    for change in (
        TO_PENDING,
        Change(PENDING, accepted={"bill": [one]}),
        Change(PENDING, accepted={"invoice": [one, other]}),
        Change(PENDING, accepted={"bill": [one, other]}, fixed=True),
    ):
        with pytest.raises(OperationReused):
            change_status(analyst, identity, selection, change)
    assert written() == after


def test_what_was_found_belongs_to_the_content(
    database: Database, world: World, analyst: Principal
) -> None:
    one, other = world.bill["failed"], world.bill["failed_old"]
    selection, identity = ticked(BILLS, one, other), str(uuid4())
    found = {one: Evidence("A-1", 5), other: Evidence("A-2")}
    first = change_status(analyst, identity, selection, to(COMPLETE, evidence={"bill": found}))
    after = written()
    backwards = dict(reversed(found.items()))
    same = to(COMPLETE, evidence={"bill": backwards})
    assert change_status(analyst, identity, selection, same) == first
    assert first.outcomes == {APPLIED: 2}
    others: list[dict[int, Evidence]] = [
        {},
        {one: Evidence("A-1", 5)},
        {one: Evidence("A-1", 6), other: Evidence("A-2")},
        {one: Evidence("A-1", 5), other: Evidence("A-3")},
        {one: Evidence("A-1"), other: Evidence("A-2", 5)},
    ]
    for evidence in others:
        with pytest.raises(OperationReused):
            change_status(analyst, identity, selection, to(COMPLETE, evidence={"bill": evidence}))
    assert written() == after
