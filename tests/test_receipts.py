"""What became of the records that an operation changed: receipts, and what worked."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, text, update

from synchist import problems, receipts
from synchist.accounts import Principal
from synchist.db.engine import reading, writing
from synchist.db.tables import operation
from synchist.db.types import utc_now
from synchist.diagnosis import Cause
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.receipts import (
    Followed,
    NoSuchOperation,
    Rate,
    Receipt,
    Since,
    Worked,
    count,
    followed,
    latest,
    latest_id,
    receipt,
    what_worked,
)
from synchist.roles import Role
from synchist.status_changes import Change, change_status, undo
from synchist.statuses import Action, CloseReason
from tests.changes import (
    APPLIED,
    COMPLETE,
    CONFLICTED,
    FAILED,
    MISSING,
    NOT_THERE,
    OPERATOR,
    PENDING,
    RISKY,
    TO_PENDING,
    attempt,
    move,
    row,
    run,
    sets,
    ticked,
    to,
    versions,
)
from tests.conftest import Database, sign_in
from tests.test_risks import DUPLICATE
from tests.world import EXPIRED, NOT_MAPPED, World

THROTTLED = "message=ThrottleExceeded; errorCode=003001; statusCode=429"
PASSED = {"sync_status": 1, "sync_reference": "QB-9", "synced_amount": 1}
FIXED = Change(PENDING, fixed=True)
every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)


def diagnosed() -> None:
    while problems.catch_up():
        pass


@pytest.fixture
def known(world: World) -> World:
    """The known world, in which every failure is diagnosed."""
    diagnosed()
    return world


def told(operation_id: str | Receipt) -> Receipt:
    with reading() as connection:
        return receipt(
            connection, operation_id if isinstance(operation_id, str) else operation_id.operation_id
        )


def since(changed: Receipt) -> dict[Since, int]:
    return dict(told(changed).since)


def stories(changed: Receipt) -> dict[tuple[str, int], Followed]:
    with reading() as connection:
        found = followed(connection, changed.operation_id)
    return {(one.entity, one.record_id): one for one in found}


def worked() -> dict[Cause, Worked]:
    with reading() as connection:
        return what_worked(connection)


def everything_failed(known: World) -> dict[str, dict[int, int]]:
    current = versions()
    return {
        entity.key: {
            known.records(entity.key)[story]: current[entity.key][known.records(entity.key)[story]]
            for story in ("failed", "failed_old")
        }
        for entity in ENTITIES
    }


# ---------------------------------------------------------------- what became of them


def passed(entity: Entity, record: int, minutes: int = 1) -> str:
    return attempt(entity, record, None, minutes, **PASSED)


# What happens to bill `failed` after it went back to Pending, and what a receipt says of it then.
LATER: dict[str, tuple[list[str], Since]] = {
    "nothing": ([], Since.NOTHING),
    "synced": (["passed"], Since.COMPLETE),
    "the same cause": (["not mapped"], Since.SAME_CAUSE),
    "another cause": (["expired"], Since.OTHER_CAUSE),
    "put off": (["throttled"], Since.PENDING),
    "left Pending without a word": (["no result"], Since.PENDING),
    "put off, then synced": (["throttled", "throttled", "passed"], Since.COMPLETE),
    "put off, then the same cause": (["throttled", "not mapped"], Since.SAME_CAUSE),
    "another cause, then the same one": (["expired", "not mapped"], Since.SAME_CAUSE),
    "synced, then failed again": (["passed", "not mapped"], Since.SAME_CAUSE),
    "changed in the TMS": (["tms"], Since.NOTHING),
    "changed by hand": (["direct"], Since.NOTHING),
    "synced and then changed in the TMS": (["passed", "tms"], Since.COMPLETE),
    "closed before any attempt": (["closed"], Since.CHANGED),
    "closed before an attempt that passed": (["closed", "passed"], Since.CHANGED),
    "failed, then pushed again, then synced": (
        ["not mapped", "pushed", "passed"],
        Since.SAME_CAUSE,
    ),
    "put off, then closed": (["throttled", "closed"], Since.PENDING),
}


@pytest.mark.parametrize("later", LATER)
def test_what_became_of_a_record(
    database: Database, known: World, analyst: Principal, later: str
) -> None:
    happens, becomes = LATER[later]
    record = known.bill["failed"]
    changed = move(analyst, ticked(BILLS, record), TO_PENDING)
    assert changed.since == {Since.NOTHING: 1}
    for minutes, what in enumerate(happens, start=1):
        if what in ("closed", "pushed"):
            move(OPERATOR, ticked(BILLS, record), to(COMPLETE if what == "closed" else PENDING))
            continue
        run(
            database,
            {
                "passed": passed(BILLS, record, minutes),
                "not mapped": attempt(BILLS, record, NOT_MAPPED, minutes),
                "expired": attempt(BILLS, record, EXPIRED, minutes),
                "throttled": attempt(BILLS, record, THROTTLED, minutes, sync_status=0),
                "no result": attempt(BILLS, record, None, minutes, sync_status=0),
                "tms": sets(BILLS, record, {"tms_status": "Draft"}),
                "direct": sets(BILLS, record, {"sync_reference": "X"}),
            }[what],
        )
    diagnosed()
    assert since(changed) == {becomes: 1}
    assert told(changed).undoable == (0 if happens else 1)
    one = stories(changed)["bill", record]
    assert one.since is becomes
    assert (one.before, one.now) == (FAILED, row(BILLS, record)["sync_status"])


def test_a_failure_that_nobody_has_diagnosed_yet(
    database: Database, known: World, analyst: Principal
) -> None:
    record = known.bill["failed"]
    changed = move(analyst, ticked(BILLS, record), TO_PENDING)
    run(database, attempt(BILLS, record, NOT_MAPPED, 1))
    assert since(changed) == {Since.FAILED: 1}
    diagnosed()
    assert since(changed) == {Since.SAME_CAUSE: 1}


def test_what_never_failed_has_no_same_cause(
    database: Database, known: World, analyst: Principal
) -> None:
    record = known.bill["pending"]
    changed = move(analyst, ticked(BILLS, record), TO_PENDING)
    run(database, attempt(BILLS, record, NOT_MAPPED, 1))
    diagnosed()
    assert since(changed) == {Since.OTHER_CAUSE: 1}


def test_the_cause_before_is_that_of_the_last_failure(
    database: Database, known: World, analyst: Principal
) -> None:
    record = known.bill["failed"]
    run(database, attempt(BILLS, record, EXPIRED, 1))
    diagnosed()
    changed = move(analyst, ticked(BILLS, record), TO_PENDING)
    run(database, attempt(BILLS, record, NOT_MAPPED, 2))
    diagnosed()
    assert since(changed) == {Since.OTHER_CAUSE: 1}
    again = move(analyst, ticked(BILLS, record), TO_PENDING)
    run(database, attempt(BILLS, record, NOT_MAPPED, 3))
    diagnosed()
    assert (since(changed), since(again)) == ({Since.OTHER_CAUSE: 1}, {Since.SAME_CAUSE: 1})


def test_of_many_records_each_is_counted_once(
    database: Database, known: World, analyst: Principal
) -> None:
    """Of each entity one is synced and one fails again."""
    selection = everything_failed(known)
    selection["bill"][NOT_THERE] = 1
    changed = move(analyst, selection, TO_PENDING)
    for entity in ENTITIES:
        of = known.records(entity.key)
        run(
            database,
            passed(entity, of["failed"]),
            attempt(entity, of["failed_old"], NOT_MAPPED, 1),
            attempt(entity, of["failed_old"], NOT_MAPPED, 2),
        )
    diagnosed()
    now = told(changed)
    assert now.since == {Since.COMPLETE: 4, Since.SAME_CAUSE: 4}
    assert now.applied_to == {entity.key: 2 for entity in ENTITIES}
    assert (now.applied, now.requested) == (8, 9)
    assert now.outcomes == {APPLIED: 8, MISSING: 1}
    assert (now.undoable, sum(now.since.values())) == (0, now.applied)
    assert Counter(one.since for one in stories(changed).values()) == now.since


def test_a_receipt_says_who_what_and_why(
    database: Database, known: World, analyst: Principal
) -> None:
    selection = ticked(BILLS, known.bill["failed"], known.bill["complete"])
    start = utc_now()
    asked = Change(PENDING, note="Mapped the vendor", fixed=True)
    identity = str(uuid4())
    done = change_status(analyst, identity, selection, asked, "Failed bills · all dates")
    now = told(identity)
    assert done == now
    assert start <= now.at <= utc_now()
    assert (now.actor, now.action, now.to) == ("Ada", Action.CHANGE_STATUS, PENDING)
    assert (now.fixed, now.reason, now.undoes) == (True, None, None)
    assert (now.note, now.filters) == ("Mapped the vendor", "Failed bills · all dates")
    assert now.outcomes == {APPLIED: 1, RISKY: 1}
    assert [left.outcome for left in now.untouched] == [RISKY]

    closing = Change(COMPLETE, CloseReason.OTHER, fixed=True)  # a fix is of retries alone
    closed = move(analyst, ticked(BILLS, known.bill["failed"]), closing)
    assert (closed.fixed, closed.reason) == (False, CloseReason.OTHER)


@pytest.mark.parametrize(
    ("touch", "says"),
    [
        ("attempt", "tried by a sync job meanwhile, left untouched"),
        ("tms", "changed in the TMS meanwhile, left untouched"),
        ("direct", "changed directly in the database meanwhile, left untouched"),
        ("person", "changed by cli:operator meanwhile, left untouched"),
    ],
)
def test_a_conflict_says_what_came_first(
    database: Database, known: World, analyst: Principal, touch: str, says: str
) -> None:
    """What followed the version that was seen, not what came after."""
    record = known.bill["failed"]
    selection = ticked(BILLS, record)
    if touch == "person":
        move(OPERATOR, selection, to(FAILED))
    else:
        run(
            database,
            {
                "attempt": attempt(BILLS, record),
                "tms": sets(BILLS, record, {"tms_status": "Draft"}),
                "direct": sets(BILLS, record, {"sync_reference": "X"}),
            }[touch],
        )
    run(database, attempt(BILLS, record, "Later", 9), sets(BILLS, record, {"number": "B"}))
    receipt_of = move(analyst, selection, TO_PENDING)
    assert receipt_of.outcomes == {CONFLICTED: 1}
    assert [(left.number, left.why) for left in receipt_of.untouched] == [("B", says)]


# ---------------------------------------------------------------- the records themselves


@every_entity
def test_the_records_of_an_operation(
    database: Database, known: World, analyst: Principal, entity: Entity
) -> None:
    of = known.records(entity.key)
    changed = move(analyst, ticked(entity, of["failed_expired"], of["complete"]), TO_PENDING)
    run(database, passed(entity, of["failed_expired"]))
    found = stories(changed)
    for story, before, now, becomes in (
        ("failed_expired", FAILED, COMPLETE, Since.COMPLETE),
        ("complete", COMPLETE, PENDING, Since.NOTHING),
    ):
        record = row(entity, of[story])
        one = found.pop((entity.key, of[story]))
        assert (one.number, one.amount) == (record["number"], record["amount"])
        assert (one.currency, known.organization[one.party]) == (
            record["currency"],
            record["party_id"],
        )
        assert (one.before, one.now, one.since) == (before, now, becomes)
    assert found == {}


def test_only_the_first_records_are_listed(
    database: Database, known: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "LISTED", 3)
    changed = move(analyst, everything_failed(known), TO_PENDING)
    assert len(stories(changed)) == 3
    assert told(changed).since == {Since.NOTHING: 8}


def test_what_was_left_alone_is_not_followed(
    database: Database, known: World, analyst: Principal
) -> None:
    record = known.bill["complete"]
    changed = change_status(analyst, str(uuid4()), ticked(BILLS, record), TO_PENDING)
    assert (stories(changed), changed.since, changed.undoable) == ({}, {}, 0)


# ---------------------------------------------------------------- the list of operations


def ids(found: Iterable[Receipt]) -> list[str]:
    return [one.operation_id for one in found]


def test_the_latest_operations_come_first(
    database: Database, known: World, analyst: Principal
) -> None:
    ben, records = sign_in("ben", Role.ACCOUNTING_SYNC), known.bill
    world_made = 8  # two of each entity, by the world itself
    made = [
        move(who, ticked(BILLS, records[story]), TO_PENDING)
        for who, story in ((analyst, "failed"), (ben, "failed_old"), (analyst, "failed_twice"))
    ]
    made.append(undo(analyst, str(uuid4()), made[0].operation_id))
    newest = [one.operation_id for one in reversed(made)]
    with reading() as connection:
        accounts = dict(connection.execute(text("SELECT name, id FROM account ORDER BY id")).all())
        ada, benjamin = accounts["Ada"], accounts["Ben"]
        assert ids(latest(connection, limit=4)) == newest
        assert ids(latest(connection, limit=2, offset=1)) == newest[1:3]
        assert ids(latest(connection, ada)) == [newest[0], newest[1], newest[3]]
        assert ids(latest(connection, ada, limit=1, offset=2)) == [newest[3]]
        assert ids(latest(connection, benjamin)) == [newest[2]]
        assert latest(connection, offset=world_made + 4) == []
        assert len(latest(connection, limit=100)) == world_made + 4
        assert count(connection) == world_made + 4
        assert (count(connection, ada), count(connection, benjamin)) == (3, 1)
        assert count(connection, NOT_THERE) == 0
        assert [one.untouched for one in latest(connection, limit=4)] == [()] * 4
        assert latest(connection, limit=1)[0].action is Action.UNDO
        assert latest(connection, limit=1)[0].undoes == made[0].operation_id

        assert latest_id(connection, ada, made[0].at) == newest[0]
        assert latest_id(connection, benjamin, made[0].at) == newest[2]
        assert latest_id(connection, benjamin, made[1].at) == newest[2]
        assert latest_id(connection, benjamin, made[1].at + timedelta(microseconds=1)) is None
        assert latest_id(connection, NOT_THERE, made[0].at) is None


def test_each_receipt_of_a_list_is_its_own(
    database: Database, known: World, analyst: Principal
) -> None:
    first = move(analyst, ticked(BILLS, known.bill["failed"]), TO_PENDING)
    second = move(analyst, everything_failed(known), to(FAILED))
    run(database, passed(BILLS, known.bill["failed"]))
    with reading() as connection:
        listed = {one.operation_id: one for one in latest(connection, limit=2)}
    for one in (first, second):
        assert listed[one.operation_id] == told(one)
    assert listed[first.operation_id].since == {Since.CHANGED: 1}
    assert listed[second.operation_id].since == {Since.COMPLETE: 1, Since.NOTHING: 7}
    assert listed[second.operation_id].undoable == 7


def test_an_operation_that_is_none(database: Database, world: World) -> None:
    for identity in (str(uuid4()), "", "7"):
        with pytest.raises(NoSuchOperation, match="Open Operations to see them all"):
            told(identity)


# ---------------------------------------------------------------- what worked


def test_what_worked_by_cause(database: Database, known: World, analyst: Principal) -> None:
    """After a fix, and without one; what nobody has tried yet counts for neither."""
    assert worked() == {}
    bills, invoices = known.bill, known.invoice
    both = ticked(BILLS, bills["failed"], bills["failed_old"])
    move(analyst, {**both, **ticked(INVOICES, invoices["failed"])}, FIXED)
    move(analyst, ticked(INVOICES, invoices["failed_old"], invoices["failed_twice"]), TO_PENDING)
    move(analyst, ticked(BILLS, bills["failed_expired"]), TO_PENDING)
    assert worked() == {}
    run(
        database,
        passed(BILLS, bills["failed"]),
        passed(BILLS, bills["failed_old"]),
        attempt(INVOICES, invoices["failed"], DUPLICATE, 1),
        attempt(INVOICES, invoices["failed_old"], NOT_MAPPED, 1),
        attempt(INVOICES, invoices["failed_twice"], THROTTLED, 1, sync_status=0),
        passed(BILLS, bills["failed_expired"]),
    )
    found = worked()
    diagnosed()  # whether or not somebody has read the new errors
    assert worked() == found
    assert found == {
        Cause.VENDOR_MAPPING: Worked(Rate(2, 2), Rate()),
        Cause.CUSTOMER_MAPPING: Worked(Rate(1, 0), Rate(2, 0)),
        Cause.AUTHORIZATION: Worked(Rate(), Rate(1, 1)),
    }


def test_only_what_a_retry_itself_led_to_counts(
    database: Database, known: World, analyst: Principal
) -> None:
    """It failed, somebody fixed it and tried again, and then it passed: one of each."""
    record = known.bill["failed"]
    move(analyst, ticked(BILLS, record), TO_PENDING)
    run(database, attempt(BILLS, record, NOT_MAPPED, 1))
    diagnosed()
    move(analyst, ticked(BILLS, record), FIXED)
    run(database, passed(BILLS, record, 2))
    assert worked() == {Cause.VENDOR_MAPPING: Worked(Rate(1, 1), Rate(1, 0))}


def test_closing_failing_undoing_and_loading_are_no_retries(
    database: Database, known: World, analyst: Principal
) -> None:
    closed, failed = known.bill["failed"], known.bill["failed_old"]
    undone, retried = known.bill["failed_twice"], known.bill["failed_expired"]
    move(analyst, ticked(BILLS, closed), to(COMPLETE))
    move(analyst, ticked(BILLS, failed), to(FAILED))
    changed = move(analyst, ticked(BILLS, undone), to(COMPLETE))
    undo(analyst, str(uuid4()), changed.operation_id)
    with writing() as connection:  # what a load writes, as if it brought Pending
        load = str(uuid4())
        connection.execute(
            insert(operation).values(
                id=load,
                at=utc_now(),
                actor="cli:x",
                action="load",
                to_status=0,
                digest="",
                requested=1,
            )
        )
        connection.execute(
            update(BILLS.table)
            .where(BILLS.table.c.id == retried)
            .values(sync_status=0, last_operation_id=load)
        )
        connection.execute(
            text("INSERT INTO operation_item VALUES (:load, 'bill', :record, 2, 'applied', NULL)"),
            {"load": load, "record": retried},
        )
    run(database, *(passed(BILLS, one) for one in (closed, failed, undone, retried)))
    assert worked() == {}


def test_a_record_that_never_failed_says_nothing_of_causes(
    database: Database, known: World, analyst: Principal
) -> None:
    record = known.bill["pending"]
    move(analyst, ticked(BILLS, record), TO_PENDING)
    run(database, passed(BILLS, record))
    assert worked() == {}


def test_a_failure_that_is_over_is_no_cause(
    database: Database, known: World, analyst: Principal
) -> None:
    """It was synced since, and somebody has it written once more."""
    over, closed = known.bill["recovered"], known.bill["closed"]
    changed = move(analyst, ticked(BILLS, over, closed), TO_PENDING)
    run(database, *(attempt(BILLS, one, NOT_MAPPED, 1) for one in (over, closed)))
    diagnosed()
    # A person has closed the other one, which does away with no cause.
    assert {record: one.since for (_, record), one in stories(changed).items()} == {
        over: Since.OTHER_CAUSE,
        closed: Since.SAME_CAUSE,
    }
    assert worked() == {Cause.VENDOR_MAPPING: Worked(Rate(), Rate(1, 0))}


def test_only_the_latest_retries_count(
    database: Database, known: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    older, newer = known.bill["failed_expired"], known.bill["failed"]
    for record in (older, newer):
        move(analyst, ticked(BILLS, record), TO_PENDING)
        run(database, passed(BILLS, record))
    of = [Cause.AUTHORIZATION, Cause.VENDOR_MAPPING]
    assert set(worked()) == set(of)
    monkeypatch.setattr(receipts, "LATEST_RETRIES", 1)
    assert set(worked()) == set(of[1:])
    monkeypatch.setattr(receipts, "LATEST_RETRIES", 0)  # the latest one always does
    assert set(worked()) == set(of[1:])


@pytest.mark.parametrize(("rate", "percent"), [(Rate(), 0), (Rate(3, 2), 67), (Rate(9, 9), 100)])
def test_a_rate(rate: Rate, percent: int) -> None:
    assert rate.percent == percent
