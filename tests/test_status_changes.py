"""People change sync statuses: what an operation does, what it leaves alone, and who may."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from threading import Barrier
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from synchist import accounts, receipts
from synchist.accounts import NotAllowed, NotSignedIn, Principal
from synchist.db.engine import reading, writing
from synchist.db.tables import access_event, auth_session, operation
from synchist.db.types import utc_now
from synchist.entities import BILLS, ENTITIES, INVOICES
from synchist.errors import SynchistError
from synchist.receipts import Receipt
from synchist.roles import Role
from synchist.settings import settings
from synchist.status_changes import (
    LONGEST_NOTE,
    Change,
    InvalidChange,
    OperationReused,
    Selection,
    change_status,
)
from synchist.statuses import CloseReason, SyncStatus
from tests.changes import (
    APPLIED,
    BUSY,
    COMPLETE,
    CONFLICTED,
    FAILED,
    MISSING,
    NOT_THERE,
    OPERATOR,
    PENDING,
    TO_PENDING,
    attempt,
    events,
    move,
    row,
    ticked,
    to,
    versions,
    written,
)
from tests.conftest import POSTGRESQL, Database, sign_in
from tests.world import NOT_MAPPED, World

on_postgresql = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)


# ---------------------------------------------------------------- what a change does

CHANGED = {
    *("sync_status", "closed_reason", "last_operation_id", "version", "outcome_at"),
    "problem_id",  # only marks what is to be diagnosed
}


@pytest.mark.parametrize("status", SyncStatus, ids=lambda status: f"to {status.label}")
@pytest.mark.parametrize("story", ["pending", "pending_again", "complete", "failed"])
def test_any_status_becomes_any_status(
    database: Database, world: World, analyst: Principal, story: str, status: SyncStatus
) -> None:
    """B10. What the last attempt said stays, and each change is one event."""
    records = {entity: world.records(entity.key)[story] for entity in ENTITIES}
    before = {entity: row(entity, record) for entity, record in records.items()}
    selection = {
        entity.key: {record: before[entity]["version"]} for entity, record in records.items()
    }
    receipt = move(analyst, selection, to(status))
    assert (receipt.requested, receipt.outcomes, receipt.untouched) == (4, {APPLIED: 4}, ())

    for entity, record in records.items():
        was, now = before[entity], row(entity, record)
        marked = {"sync_error"} if status is FAILED and not was["sync_error"] else set()
        differ = {name for name in was if was[name] != now[name]}
        assert differ <= CHANGED | marked
        assert now["sync_status"] == status
        assert now["closed_reason"] == ("already_in_books" if status is COMPLETE else None)
        event = events(entity, record)[-1]
        assert (event.kind, event.operation_id) == ("operation", receipt.operation_id)
        assert event.version == now["version"] == was["version"] + 1
        assert was["outcome_at"] < now["outcome_at"] == event.outcome_at <= event.at


def test_pending_again_is_an_operation_of_its_own(
    database: Database, world: World, analyst: Principal
) -> None:
    """A push for a fresh attempt changes no status, and shows all the same."""
    record = world.invoice["pending_again"]
    move(analyst, ticked(INVOICES, record), TO_PENDING)
    move(analyst, ticked(INVOICES, record), TO_PENDING)
    kinds = [(event.kind, event.sync_status) for event in events(INVOICES, record)]
    assert kinds[-3:] == [("operation", PENDING)] * 3


@pytest.mark.parametrize("status", [PENDING, FAILED], ids=lambda status: f"to {status.label}")
def test_a_closed_record_that_moves_on_has_no_reason_any_more(
    database: Database, world: World, analyst: Principal, status: SyncStatus
) -> None:
    closed = {entity: world.records(entity.key)["closed"] for entity in ENTITIES}
    assert {row(*record)["closed_reason"] for record in closed.items()} == {"will_not_sync"}
    for entity, record in closed.items():
        move(analyst, ticked(entity, record), Change(status, CloseReason.OTHER))
    assert {row(*record)["closed_reason"] for record in closed.items()} == {None}


@pytest.mark.parametrize("reason", CloseReason)
def test_closing_keeps_the_reason(
    database: Database, world: World, analyst: Principal, reason: CloseReason
) -> None:
    record = world.bill["failed"]
    receipt = move(analyst, ticked(BILLS, record), Change(COMPLETE, reason, "As agreed"))
    assert (receipt.reason, receipt.note) == (reason, "As agreed")
    assert row(BILLS, record)["closed_reason"] == reason.value


def test_complete_needs_a_reason() -> None:
    with pytest.raises(InvalidChange, match="Choose a reason for closing the records as Complete"):
        Change(COMPLETE)


def test_failed_needs_an_error_and_keeps_the_one_there_is(
    database: Database, world: World, analyst: Principal
) -> None:
    records = [world.invoice[story] for story in ("pending", "failed_old")]
    move(analyst, ticked(INVOICES, *records), to(FAILED, "Wrong customer"))
    errors = [row(INVOICES, record)["sync_error"] for record in records]
    assert errors == ["Marked as failed by Ada: Wrong customer", NOT_MAPPED]

    silent = world.invoice["complete"]
    move(analyst, ticked(INVOICES, silent), to(FAILED))
    assert row(INVOICES, silent)["sync_error"] == "Marked as failed by Ada: no note"


def test_the_operation_says_who_when_what_and_why(
    database: Database, world: World, analyst: Principal
) -> None:
    identity, start = str(uuid4()), utc_now()
    selection = ticked(BILLS, world.bill["failed"])
    change = Change(COMPLETE, CloseReason.RECONCILED, "Paid by wire")
    receipt = change_status(analyst, identity, selection, change, "Failed bills · all dates")
    with reading() as connection:
        stored = connection.execute(select(operation).where(operation.c.id == identity)).one()
    assert start <= stored.at == receipt.at <= utc_now()
    assert (stored.actor, stored.action, stored.to_status) == ("Ada", "change_status", 1)
    assert (stored.reason, stored.note) == ("reconciled", "Paid by wire")
    assert (stored.filters, stored.requested) == ("Failed bills · all dates", 1)
    assert stored.actor_id is not None
    assert (receipt.actor, receipt.to, receipt.operation_id) == ("Ada", COMPLETE, identity)


def test_the_command_line_acts_under_its_own_name(database: Database, world: World) -> None:
    receipt = move(OPERATOR, ticked(BILLS, world.bill["failed"]), TO_PENDING)
    assert (receipt.actor, receipt.applied) == ("cli:operator", 1)
    with reading() as connection:
        assert (
            connection.scalar(
                select(operation.c.actor_id).where(operation.c.id == receipt.operation_id)
            )
            is None
        )


# ---------------------------------------------------------------- what stays untouched


def test_what_a_job_wrote_meanwhile_is_a_conflict(
    database: Database, world: World, analyst: Principal
) -> None:
    stale = {entity: world.records(entity.key)["failed"] for entity in ENTITIES}
    selection = versions()
    with database.bare() as job:
        for entity, record in stale.items():
            job.execute(attempt(entity, record, "No such account"))
        job.commit()
    after_job = {entity: row(entity, record) for entity, record in stale.items()}

    receipt = move(analyst, selection, TO_PENDING)
    assert receipt.outcomes == {APPLIED: 48, CONFLICTED: 4}
    assert {left.outcome for left in receipt.untouched} == {CONFLICTED}
    listed = {(left.entity, left.record_id, left.number) for left in receipt.untouched}
    assert listed == {(entity.key, was["id"], was["number"]) for entity, was in after_job.items()}
    assert {entity: row(entity, record) for entity, record in stale.items()} == after_job
    assert row(BILLS, world.bill["failed_old"])["sync_status"] == PENDING


def test_a_second_change_of_the_same_tick_is_a_conflict(
    database: Database, world: World, analyst: Principal
) -> None:
    selection = ticked(BILLS, world.bill["failed"])
    assert move(analyst, selection, TO_PENDING).outcomes == {APPLIED: 1}
    assert move(analyst, selection, to(COMPLETE)).outcomes == {CONFLICTED: 1}
    assert row(BILLS, world.bill["failed"])["sync_status"] == PENDING


def test_what_is_not_there_is_missing(database: Database, world: World, analyst: Principal) -> None:
    selection = ticked(BILLS, world.bill["failed"])
    selection[BILLS.key][NOT_THERE] = 1
    receipt = move(analyst, selection, TO_PENDING)
    assert receipt.outcomes == {APPLIED: 1, MISSING: 1}
    assert [(left.number, left.outcome) for left in receipt.untouched] == [
        (f"id {NOT_THERE}", MISSING)
    ]


@on_postgresql
def test_what_a_job_holds_is_busy_and_not_waited_for(
    database: Database, world: World, analyst: Principal
) -> None:
    """The job ends its transaction only after the answer: waiting for it would never end."""
    held, free = world.invoice["failed"], world.invoice["failed_old"]
    selection = ticked(INVOICES, held, free)
    before = row(INVOICES, held)
    with database.bare() as job:
        job.execute(attempt(INVOICES, held))
        receipt = move(analyst, selection, TO_PENDING)
        job.rollback()
    assert receipt.outcomes == {APPLIED: 1, BUSY: 1}
    assert [(left.record_id, left.outcome) for left in receipt.untouched] == [(held, BUSY)]
    assert row(INVOICES, held) == before
    assert move(analyst, ticked(INVOICES, held), TO_PENDING).outcomes == {APPLIED: 1}


@on_postgresql
def test_requested_is_the_sum_of_all_outcomes(
    database: Database, world: World, analyst: Principal
) -> None:
    selection = {**ticked(INVOICES, *world.invoice.values()), **ticked(BILLS, *world.bill.values())}
    selection[BILLS.key][NOT_THERE] = 1
    with database.bare() as job:
        job.execute(attempt(BILLS, world.bill["failed"]))
        job.commit()
        job.execute(attempt(INVOICES, world.invoice["failed"]))
        receipt = move(analyst, selection, to(COMPLETE))
        job.rollback()
    assert receipt.outcomes == {APPLIED: 24, CONFLICTED: 1, BUSY: 1, MISSING: 1}
    assert receipt.requested == sum(receipt.outcomes.values()) == 27
    assert [(left.entity, left.outcome) for left in receipt.untouched] == [
        ("bill", CONFLICTED),
        ("bill", MISSING),
        ("invoice", BUSY),
    ]


def test_a_receipt_counts_all_and_lists_the_first(
    database: Database, world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "LISTED", 2)
    gone = {NOT_THERE + number: 1 for number in range(5)}
    receipt = move(analyst, {BILLS.key: gone}, TO_PENDING)
    assert receipt.outcomes == {MISSING: 5}
    assert [left.record_id for left in receipt.untouched] == [NOT_THERE, NOT_THERE + 1]


# ---------------------------------------------------------------- exactly once


def test_the_same_operation_again_answers_with_the_stored_outcome(
    database: Database, world: World, analyst: Principal
) -> None:
    """T4: the reply was lost and the page asks again."""
    identity, record = str(uuid4()), world.bill["failed"]
    seen = ticked(BILLS, record, world.bill["failed_old"])[BILLS.key] | {NOT_THERE: 1}
    first = change_status(analyst, identity, {BILLS.key: seen}, to(COMPLETE, "Twice"))
    after = written()
    backwards = {BILLS.key: dict(reversed(seen.items()))}
    assert change_status(analyst, identity, backwards, to(COMPLETE, "Twice")) == first
    assert change_status(analyst, identity.upper(), backwards, to(COMPLETE, "Twice")) == first
    assert (first.outcomes, written()) == ({APPLIED: 2, MISSING: 1}, after)


def test_an_operation_id_stands_for_one_content(
    database: Database, world: World, analyst: Principal
) -> None:
    identity, record = str(uuid4()), world.bill["failed"]
    selection = ticked(BILLS, record)
    change_status(analyst, identity, selection, TO_PENDING)
    after, stands = written(), row(BILLS, record)
    others: list[tuple[Selection, Change]] = [
        (selection, to(COMPLETE)),
        (selection, Change(PENDING, note="Another note")),
        (ticked(BILLS, record), TO_PENDING),
        (ticked(BILLS, world.bill["failed_old"]), TO_PENDING),
        ({"invoice": selection["bill"]}, TO_PENDING),
    ]
    for other, change in others:
        with pytest.raises(OperationReused, match="already carried out with other records"):
            change_status(analyst, identity, other, change)
    assert (written(), row(BILLS, record)) == (after, stands)


def test_a_double_click_is_one_operation(
    database: Database, world: World, analyst: Principal
) -> None:
    identity, selection = str(uuid4()), ticked(BILLS, *world.bill.values())
    change, together = replace(TO_PENDING, accepted=selection), Barrier(2)

    def click(_: int) -> Receipt:
        together.wait()
        return change_status(analyst, identity, selection, change)

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(click, range(2))
    assert one == other
    assert one.outcomes == {APPLIED: len(world.bill)}
    assert versions()[BILLS.key] == {
        record: seen + 1 for record, seen in selection[BILLS.key].items()
    }


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("selection", [{}, {"invoice": {}}, {"invoice": {}, "bill": {}}])
def test_nothing_selected(selection: Selection) -> None:
    with pytest.raises(InvalidChange, match="Select at least one record"):
        move(OPERATOR, selection, TO_PENDING)


def test_the_limit_of_an_operation(
    database: Database, world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCHIST_MAX_RECORDS_PER_OPERATION", "3")
    settings.cache_clear()
    before = written()
    bills = ticked(BILLS, world.bill["failed"], world.bill["complete"])
    invoices = ticked(INVOICES, world.invoice["failed"], world.invoice["complete"])
    with pytest.raises(InvalidChange, match="at most 3 records at a time; 4 are selected"):
        move(analyst, {**bills, **invoices}, TO_PENDING)
    assert written() == before
    one_less = {**bills, **ticked(INVOICES, world.invoice["failed"])}
    assert move(analyst, one_less, TO_PENDING).applied == 3


@pytest.mark.parametrize("identity", ["", "7", "'; DROP TABLE operation; --", "x" * 36])
def test_an_operation_id_that_is_none(identity: str) -> None:
    with pytest.raises(InvalidChange, match="Close the dialog and open it again"):
        change_status(OPERATOR, identity, {"bill": {1: 1}}, TO_PENDING)


@pytest.mark.parametrize("key", ["account", "invoices", "", "x" * 500])
def test_an_unknown_kind_of_record(key: str) -> None:
    """Said before anything is read or written: this test has no database at all."""
    with pytest.raises(InvalidChange, match="There are no records of the kind") as refused:
        move(OPERATOR, {"bill": {1: 1}, key: {1: 1}}, TO_PENDING)
    assert len(str(refused.value)) < 100


def test_a_long_note_is_refused_and_the_longest_kept(
    database: Database, world: World, analyst: Principal
) -> None:
    with pytest.raises(InvalidChange, match="Shorten the note to 2,000 characters"):
        Change(PENDING, note="n" * (LONGEST_NOTE + 1))
    note = "ñ" * LONGEST_NOTE
    assert move(analyst, ticked(BILLS, world.bill["failed"]), to(FAILED, note)).note == note


# ---------------------------------------------------------------- who may


def _end_session(ada: Principal) -> Principal:
    ended = update(auth_session).where(auth_session.c.id == ada.session_id)
    with writing() as connection:
        connection.execute(ended.values(ended_at=utc_now()))
    return ada


def _revoke(ada: Principal) -> Principal:
    accounts.revoke(OPERATOR, "ada", Role.ACCOUNTING_SYNC)
    return ada


def _disable(ada: Principal) -> Principal:
    accounts.disable(OPERATOR, "ada")
    return ada


REFUSED: dict[str, tuple[Callable[[Principal], Principal], type[SynchistError], str]] = {
    "without any role": (lambda _: sign_in("vera"), NotAllowed, "Vera"),
    "only Hide Export": (lambda _: sign_in("hal", Role.HIDE_EXPORT), NotAllowed, "Hal"),
    "role revoked since": (_revoke, NotAllowed, "Ada"),
    "session ended": (_end_session, NotSignedIn, "Ada"),
    "account disabled": (_disable, NotSignedIn, "Ada"),
    "nobody": (lambda _: Principal(None, "ada"), NotSignedIn, "ada"),
    "made-up session": (lambda _: Principal(str(uuid4()), "ada"), NotSignedIn, "ada"),
}


@pytest.mark.parametrize("who", REFUSED)
def test_who_may_not_changes_nothing_and_is_recorded(
    database: Database, world: World, analyst: Principal, who: str
) -> None:
    """T9."""
    become, refusal, name = REFUSED[who]
    principal = become(analyst)
    selection = ticked(BILLS, world.bill["failed"])
    before = written(), row(BILLS, world.bill["failed"])
    with pytest.raises(refusal):
        move(principal, selection, TO_PENDING)
    assert (written(), row(BILLS, world.bill["failed"])) == before
    with reading() as connection:
        denials = connection.execute(
            select(access_event.c.actor, access_event.c.detail).where(
                access_event.c.kind == "denied"
            )
        ).all()
    assert denials == [(name, "change sync status")]


def test_a_stored_outcome_is_shown_only_to_who_may(
    database: Database, world: World, analyst: Principal, visitor: Principal
) -> None:
    identity, selection = str(uuid4()), ticked(BILLS, world.bill["failed"])
    change_status(analyst, identity, selection, TO_PENDING)
    with pytest.raises(NotAllowed):
        change_status(visitor, identity, selection, TO_PENDING)


def test_hiding_the_export_hides_nothing_else(
    database: Database, world: World, viewer: Principal
) -> None:
    assert move(viewer, ticked(BILLS, world.bill["failed"]), TO_PENDING).applied == 1


# ---------------------------------------------------------------- many at once


def test_four_people_at_once_lose_nothing_and_double_nothing(
    database: Database, world: World
) -> None:
    """T3, small: all have seen the same; of each record exactly one change goes through."""
    people = [sign_in(name, Role.ACCOUNTING_SYNC) for name in ("ada", "ben", "cleo", "dov")]
    changes = [TO_PENDING, to(FAILED), to(COMPLETE), TO_PENDING]
    chance = Random(4)
    together = Barrier(len(people))

    def apply(work: tuple[Principal, Selection, Change]) -> Receipt:
        together.wait()
        return move(*work)

    with ThreadPoolExecutor(len(people)) as pool:
        for _ in range(12):
            current = versions()
            selections: list[Selection] = [
                {key: dict(chance.sample(sorted(seen.items()), 9)) for key, seen in current.items()}
                for _ in people
            ]
            receipts = list(pool.map(apply, zip(people, selections, changes, strict=True)))

            chosen = {(key, record) for one in selections for key in one for record in one[key]}
            assert versions() == {
                key: {record: seen + ((key, record) in chosen) for record, seen in rows.items()}
                for key, rows in current.items()
            }
            assert sum(receipt.applied for receipt in receipts) == len(chosen)
            assert all(sum(receipt.outcomes.values()) == 36 for receipt in receipts)
