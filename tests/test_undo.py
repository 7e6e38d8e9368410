"""An operation is taken back by another one: exactly, and only where nothing was touched since."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from synchist import accounts, problems, receipts
from synchist.accounts import NotAllowed, NotSignedIn, Principal
from synchist.db.engine import reading
from synchist.db.tables import access_event, operation
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.receipts import NoSuchOperation, Receipt, Since, touched_since
from synchist.risks import Risk
from synchist.roles import Role
from synchist.status_changes import (
    Change,
    Evidence,
    InvalidChange,
    NotUndoable,
    OperationReused,
    change_status,
    undo,
    undo_risks,
    undoable,
)
from synchist.statuses import Action, CloseReason, ItemOutcome
from tests.changes import (
    APPLIED,
    BUSY,
    COMPLETE,
    CONFLICTED,
    FAILED,
    OPERATOR,
    PENDING,
    RISKY,
    TO_PENDING,
    attempt,
    events,
    move,
    row,
    run,
    sets,
    ticked,
    to,
    versions,
    written,
)
from tests.conftest import POSTGRESQL, Database, sign_in
from tests.test_risks import DUPLICATE, held, like, twin
from tests.world import World

on_postgresql = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)


def take_back(principal: Principal, undoes: str | Receipt, **accepted: list[int]) -> Receipt:
    identity = undoes if isinstance(undoes, str) else undoes.operation_id
    return undo(principal, str(uuid4()), identity, accepted)


def state(entity: Entity, record: int) -> dict[str, Any]:
    """All of a record but what says how often and when it changed."""
    kept = {"version", "outcome_at", "last_operation_id", "problem_id"}
    return {name: value for name, value in row(entity, record).items() if name not in kept}


def receipt_of(identity: str | Receipt) -> Receipt:
    with reading() as connection:
        return receipts.receipt(
            connection, identity if isinstance(identity, str) else identity.operation_id
        )


def at_risk(undone: Receipt) -> dict[tuple[str, int], Risk]:
    """What the dialog would show."""
    with reading() as connection:
        return undo_risks(connection, undoable(connection, undone.operation_id))


# ---------------------------------------------------------------- what comes back

KINDS: dict[str, tuple[str, Change | Evidence]] = {
    "Failed to Pending": ("failed", TO_PENDING),
    "Failed to Pending after a fix": ("failed", Change(PENDING, fixed=True)),
    "Failed to Complete": ("failed", to(COMPLETE)),
    "Failed to Complete with evidence": ("failed", Evidence("N-1", 5)),
    "Failed to Failed": ("failed", to(FAILED, "Look at it")),
    "Pending to Pending": ("pending_again", TO_PENDING),
    "Pending to Complete": ("pending_again", to(COMPLETE)),
    "Pending to Failed": ("pending_again", to(FAILED)),
    "Pending without an error to Failed": ("pending", to(FAILED, "Recalled")),
    "Complete to Failed without an error": ("complete", to(FAILED)),
    "Complete to Pending": ("complete", TO_PENDING),
    "Complete to Complete with evidence": ("partial", Evidence("N-1", 5)),
    "Complete to Complete, the amount alone": ("partial", Evidence("", 5)),
    "given up to Pending": ("closed", TO_PENDING),
    "given up to Complete": ("closed", Change(COMPLETE, CloseReason.RECONCILED)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_is_as_it_was(
    database: Database, world: World, analyst: Principal, kind: str
) -> None:
    while problems.catch_up():
        pass
    story, change = KINDS[kind]
    records = {entity: world.records(entity.key)[story] for entity in ENTITIES}
    if isinstance(change, Evidence):
        found = {entity.key: {record: change} for entity, record in records.items()}
        change = to(COMPLETE, evidence=found)
    before = {entity: row(entity, record) for entity, record in records.items()}
    was = {entity: state(entity, record) for entity, record in records.items()}
    current = versions()
    selection = {
        entity.key: {record: current[entity.key][record]} for entity, record in records.items()
    }
    changed = move(analyst, selection, change)
    assert receipt_of(changed).undoable == 4

    ids = {entity.key: [record] for entity, record in records.items()}
    receipt = take_back(analyst, changed, **ids)
    assert (receipt.action, receipt.undoes) == (Action.UNDO, changed.operation_id)
    assert (receipt.to, receipt.reason, receipt.fixed) == (None, None, False)
    assert (receipt.requested, receipt.outcomes) == (4, {APPLIED: 4})
    assert receipt.applied_to == {entity.key: 1 for entity in ENTITIES}
    while problems.catch_up():
        pass
    for entity, record in records.items():
        assert state(entity, record) == was[entity]
        now, last = row(entity, record), events(entity, record)[-1]
        assert now["problem_id"] == before[entity]["problem_id"]
        assert (now["version"], last.version) == (before[entity]["version"] + 2,) * 2
        assert (last.kind, last.operation_id) == ("operation", receipt.operation_id)


def test_only_the_changed_records_are_asked_for(
    database: Database, world: World, analyst: Principal
) -> None:
    """What was left alone the first time is no part of the undo."""
    safe, risky = world.bill["failed"], world.bill["complete"]
    changed = change_status(analyst, str(uuid4()), ticked(BILLS, safe, risky), TO_PENDING)
    assert changed.outcomes == {APPLIED: 1, RISKY: 1}
    before = row(BILLS, risky)
    receipt = take_back(analyst, changed)
    assert (receipt.requested, receipt.outcomes) == (1, {APPLIED: 1})
    assert row(BILLS, risky) == before
    assert row(BILLS, safe)["sync_status"] == FAILED


def test_anybody_with_the_role_may_and_is_named(
    database: Database, world: World, analyst: Principal
) -> None:
    changed = move(analyst, ticked(BILLS, world.bill["failed"]), TO_PENDING)
    other = sign_in("ben", Role.ACCOUNTING_SYNC)
    receipt = take_back(other, changed)
    assert receipt.actor == "Ben"
    with reading() as connection:
        stored = connection.execute(
            select(operation).where(operation.c.id == receipt.operation_id)
        ).one()
    assert (stored.action, stored.undoes) == ("undo", changed.operation_id)
    assert (stored.to_status, stored.reason, stored.note) == (None, None, "")


def test_an_undo_is_taken_back_like_any_other(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["partial"]
    first = state(BILLS, record)
    change = to(COMPLETE, evidence={"bill": {record: Evidence("N-1", 5)}})
    changed = move(analyst, ticked(BILLS, record), change)
    then = state(BILLS, record)
    undone = take_back(analyst, changed)
    assert state(BILLS, record) == first
    redone = take_back(analyst, undone)
    assert (redone.undoes, redone.outcomes) == (undone.operation_id, {APPLIED: 1})
    assert state(BILLS, record) == then
    assert take_back(analyst, redone).outcomes == {APPLIED: 1}
    assert state(BILLS, record) == first
    assert [event.kind for event in events(BILLS, record)][-4:] == ["operation"] * 4


def test_what_is_taken_back_already(database: Database, world: World, analyst: Principal) -> None:
    record = world.bill["failed"]
    changed = move(analyst, ticked(BILLS, record), TO_PENDING)
    take_back(analyst, changed)
    after = row(BILLS, record)
    again = take_back(analyst, changed)
    assert again.outcomes == {CONFLICTED: 1}
    assert [left.why for left in again.untouched] == ["changed by Ada meanwhile, left untouched"]
    assert row(BILLS, record) == after
    told = receipt_of(changed)
    assert (told.undoable, told.since) == (0, {Since.CHANGED: 1})


# ---------------------------------------------------------------- what was touched since

TOUCHES: Mapping[str, tuple[Callable[[int], str], str]] = {
    "attempt": (
        lambda record: attempt(BILLS, record, "No"),
        "tried by a sync job meanwhile, left untouched",
    ),
    "as it is already": (
        lambda record: sets(BILLS, record, {"sync_status": 0}),
        "changed directly in the database meanwhile, left untouched",
    ),
    "the TMS": (
        lambda record: sets(BILLS, record, {"tms_status": "On hold"}),
        "changed in the TMS meanwhile, left untouched",
    ),
    "by hand": (
        lambda record: sets(BILLS, record, {"sync_reference": "X"}),
        "changed directly in the database meanwhile, left untouched",
    ),
}


@pytest.mark.parametrize("touch", [*TOUCHES, "another person"])
def test_what_was_touched_since_is_left_alone(
    database: Database, world: World, analyst: Principal, touch: str
) -> None:
    touched, free = world.bill["failed"], world.bill["failed_old"]
    changed = move(analyst, ticked(BILLS, touched, free), TO_PENDING)
    if touch == "another person":
        says = "changed by Ben meanwhile, left untouched"
        move(sign_in("ben", Role.ACCOUNTING_SYNC), ticked(BILLS, touched), TO_PENDING)
    else:
        statement, says = TOUCHES[touch]
        run(database, statement(touched), sets(BILLS, touched, {"tms_status": "Draft"}))
    number, before = row(BILLS, touched)["number"], row(BILLS, touched)
    expected = [("bill", touched, number, CONFLICTED, says)]

    with reading() as connection:
        warned = touched_since(connection, changed.operation_id)
    assert receipt_of(changed).undoable == 1
    receipt = take_back(analyst, changed)
    assert (receipt.requested, receipt.outcomes) == (2, {APPLIED: 1, CONFLICTED: 1})
    for listed in (warned, receipt.untouched):
        assert [
            (left.entity, left.record_id, left.number, left.outcome, left.why) for left in listed
        ] == expected
    assert row(BILLS, touched) == before
    assert row(BILLS, free)["sync_status"] == FAILED


def test_what_changed_and_changed_back_was_touched(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["failed"]
    changed = move(analyst, ticked(BILLS, record), TO_PENDING)
    run(
        database,
        sets(BILLS, record, {"tms_status": "Draft"}),
        sets(BILLS, record, {"tms_status": "Approved"}),
    )
    assert take_back(analyst, changed).outcomes == {CONFLICTED: 1}


def test_the_first_touched_ones_are_listed(
    database: Database, world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "LISTED", 2)
    stories = ("failed", "failed_old", "failed_twice")
    of = [(entity, world.records(entity.key)[story]) for entity in ENTITIES for story in stories]
    selection: dict[str, dict[int, int]] = {}
    current = versions()
    for entity, record in of:
        selection.setdefault(entity.key, {})[record] = current[entity.key][record]
    changed = move(analyst, selection, TO_PENDING)
    run(database, *(sets(entity, record, {"tms_status": "Draft"}) for entity, record in of))
    with reading() as connection:
        assert len(touched_since(connection, changed.operation_id)) == 2
    assert take_back(analyst, changed).outcomes == {CONFLICTED: 12}


@on_postgresql
def test_what_a_job_holds_is_busy(database: Database, world: World, analyst: Principal) -> None:
    held_row, free = world.bill["failed"], world.bill["failed_old"]
    changed = move(analyst, ticked(BILLS, held_row, free), TO_PENDING)
    before = row(BILLS, held_row)
    with database.bare() as job:
        job.execute(attempt(BILLS, held_row))
        receipt = take_back(analyst, changed)
        job.rollback()
    assert receipt.outcomes == {APPLIED: 1, BUSY: 1}
    assert [(left.record_id, left.outcome) for left in receipt.untouched] == [(held_row, BUSY)]
    assert row(BILLS, held_row) == before
    # Once the job has let go, the rest can be taken back.
    assert take_back(analyst, changed).outcomes == {APPLIED: 1, CONFLICTED: 1}
    assert row(BILLS, held_row)["sync_status"] == FAILED


# ---------------------------------------------------------------- what would be pushed again


@every_entity
def test_what_becomes_pending_again_goes_through_the_gate(
    database: Database, world: World, analyst: Principal, entity: Entity
) -> None:
    of = world.records(entity.key)
    risky, safe = of["pending_again"], of["pending"]
    changed = move(analyst, ticked(entity, risky, safe), to(COMPLETE))
    assert at_risk(changed) == {}
    twin(entity, risky)  # is in the books by now
    number, before = row(entity, risky)["number"], row(entity, risky)
    assert {key: risk.why for key, risk in at_risk(changed).items()} == {
        (entity.key, risky): (like(entity, number),)
    }
    receipt = take_back(analyst, changed)
    assert receipt.outcomes == {RISKY: 1, APPLIED: 1}
    assert [(left.record_id, left.why) for left in receipt.untouched] == [
        (risky, ItemOutcome.RISKY.sentence)
    ]
    assert row(entity, risky) == before
    assert row(entity, safe)["sync_status"] == PENDING
    others = {key.key: [risky] for key in ENTITIES if key is not entity}
    assert take_back(analyst, changed, **others).outcomes == {RISKY: 1, CONFLICTED: 1}
    accepted = take_back(analyst, changed, **{entity.key: [risky]})
    assert accepted.outcomes == {APPLIED: 1, CONFLICTED: 1}
    assert row(entity, risky)["sync_status"] == PENDING


def test_each_reason_holds_an_undo_back(
    database: Database, world: World, analyst: Principal
) -> None:
    found, unsure = world.bill["pending"], world.bill["pending_draft"]
    run(database, attempt(BILLS, unsure, DUPLICATE, sync_status=0))
    evidence = {"bill": {found: Evidence("N-1")}}
    changed = move(analyst, ticked(BILLS, found, unsure), to(COMPLETE, evidence=evidence))
    why = {record: risk.why for (_, record), risk in at_risk(changed).items()}
    assert why.keys() == {found, unsure}
    assert why[found] == (held("N-1"),)  # somebody has seen it in the books
    assert take_back(analyst, changed).outcomes == {RISKY: 2}
    assert take_back(analyst, changed, bill=[found, unsure]).outcomes == {APPLIED: 2}
    assert row(BILLS, found)["sync_reference"] is None


def test_what_is_not_pushed_again_is_no_risk(
    database: Database, world: World, analyst: Principal
) -> None:
    """Failed or Complete again, though the same stands in the books."""
    failed, complete = world.bill["failed"], world.bill["complete"]
    changed = move(analyst, ticked(BILLS, failed, complete), TO_PENDING)
    twin(BILLS, failed)
    assert at_risk(changed) == {}
    assert take_back(analyst, changed).outcomes == {APPLIED: 2}


def test_what_was_touched_is_no_risk(database: Database, world: World, analyst: Principal) -> None:
    record = world.bill["pending"]
    changed = move(analyst, ticked(BILLS, record), to(COMPLETE))
    twin(BILLS, record)
    assert at_risk(changed).keys() == {("bill", record)}
    run(database, sets(BILLS, record, {"tms_status": "Draft"}))
    assert at_risk(changed) == {}


def test_an_undo_of_an_undo_goes_through_the_gate(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.bill["failed"]
    changed = move(analyst, ticked(BILLS, record), TO_PENDING)
    undone = take_back(analyst, changed)
    twin(BILLS, record)
    assert take_back(analyst, undone).outcomes == {RISKY: 1}
    assert take_back(analyst, undone, bill=[record]).outcomes == {APPLIED: 1}


# ---------------------------------------------------------------- exactly once


def test_the_same_undo_again_answers_with_the_stored_outcome(
    database: Database, world: World, analyst: Principal
) -> None:
    bills = [world.bill["pending"], world.bill["pending_draft"]]
    changed = move(analyst, ticked(BILLS, *bills), to(COMPLETE))
    twin(BILLS, bills[0])
    identity = str(uuid4())
    first = undo(analyst, identity, changed.operation_id, {"bill": bills[:1]})
    after = written()
    same = {"bill": set(bills[:1]), "invoice": []}
    assert undo(analyst, identity.upper(), changed.operation_id.upper(), same) == first
    assert first.outcomes == {APPLIED: 2}
    for accepted in (None, {"bill": bills}, {"invoice": bills[:1]}):
        with pytest.raises(OperationReused):
            undo(analyst, identity, changed.operation_id, accepted)
    assert written() == after


def test_an_id_stands_for_one_operation(
    database: Database, world: World, analyst: Principal
) -> None:
    one, other = (
        move(analyst, ticked(BILLS, world.bill[story]), TO_PENDING)
        for story in ("failed", "failed_old")
    )
    identity = str(uuid4())
    undo(analyst, identity, one.operation_id)
    after = written()
    with pytest.raises(OperationReused):
        undo(analyst, identity, other.operation_id)
    with pytest.raises(OperationReused):
        undo(analyst, other.operation_id, other.operation_id)
    with pytest.raises(OperationReused):
        change_status(analyst, identity, ticked(BILLS, world.bill["failed_old"]), TO_PENDING)
    assert written() == after


def test_two_at_once_take_it_back_once(
    database: Database, world: World, analyst: Principal
) -> None:
    records = [world.bill["failed"], world.bill["failed_old"], world.bill["failed_twice"]]
    changed = move(analyst, ticked(BILLS, *records), TO_PENDING)
    together = Barrier(2)

    def click(_: int) -> Receipt:
        together.wait()
        return take_back(analyst, changed)

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(click, range(2)))
    assert sum(receipt.applied for receipt in both) == 3
    for receipt in both:
        assert sum(receipt.outcomes.values()) == receipt.requested == 3
    assert {row(BILLS, record)["version"] for record in records} == {4, 5}


# ---------------------------------------------------------------- what is refused


def test_what_can_not_be_taken_back(database: Database, world: World, analyst: Principal) -> None:
    load, record = str(uuid4()), world.bill["failed"]
    run(
        database,
        "INSERT INTO operation (id, at, actor, action, digest, requested)"
        f" SELECT '{load}', at, actor, 'load', digest, 0 FROM operation LIMIT 1",
    )
    stale = ticked(BILLS, record)
    run(database, attempt(BILLS, record))
    nothing = move(analyst, stale, TO_PENDING)
    assert nothing.outcomes == {CONFLICTED: 1}
    before = written()
    with pytest.raises(NotUndoable, match="A load can't be taken back"):
        take_back(analyst, load)
    with pytest.raises(NotUndoable, match="has changed no record"):
        take_back(analyst, nothing)
    with pytest.raises(NoSuchOperation, match="There is no such change"):
        take_back(analyst, str(uuid4()))
    for identity in ("", "7", "'; DROP TABLE operation; --"):
        with pytest.raises(InvalidChange, match="Close the dialog and open it again"):
            take_back(analyst, identity)
        with pytest.raises(InvalidChange, match="Close the dialog and open it again"):
            undo(analyst, identity, load)
    assert written() == before
    with reading() as connection, pytest.raises(NoSuchOperation):
        undoable(connection, str(uuid4()))


def _revoke(ada: Principal) -> Principal:
    accounts.revoke(OPERATOR, "ada", Role.ACCOUNTING_SYNC)
    return ada


WHO: dict[str, tuple[Callable[[Principal], Principal], type[Exception], str]] = {
    "role revoked since": (_revoke, NotAllowed, "Ada"),
    "without any role": (lambda _: sign_in("vera"), NotAllowed, "Vera"),
    "nobody": (lambda _: Principal(None, "ada"), NotSignedIn, "ada"),
}


@pytest.mark.parametrize("who", WHO)
def test_who_may_not_takes_nothing_back_and_is_recorded(
    database: Database, world: World, analyst: Principal, who: str
) -> None:
    """T9."""
    become, refusal, name = WHO[who]
    record, identity = world.bill["failed"], str(uuid4())
    changed = move(analyst, ticked(BILLS, record), TO_PENDING)
    stored = undo(analyst, identity, changed.operation_id)
    redone = take_back(analyst, stored)
    principal = become(analyst)
    before = written(), row(BILLS, record)
    with pytest.raises(refusal):
        take_back(principal, redone)
    with pytest.raises(refusal):  # nor reads what was stored
        undo(principal, identity, changed.operation_id)
    with pytest.raises(refusal):  # nor learns which operations there are
        take_back(principal, str(uuid4()))
    assert (written(), row(BILLS, record)) == before
    with reading() as connection:
        denials = connection.execute(
            select(access_event.c.actor, access_event.c.detail).where(
                access_event.c.kind == "denied"
            )
        ).all()
    assert denials == [(name, "undo an operation")] * 3


def test_the_command_line_may(database: Database, world: World, analyst: Principal) -> None:
    changed = move(analyst, ticked(INVOICES, world.invoice["failed"]), TO_PENDING)
    receipt = take_back(OPERATOR, changed)
    assert (receipt.actor, receipt.applied) == ("cli:operator", 1)
