"""Payments that wait for their documents: which, and what each of them holds up."""

from collections.abc import Iterable

import pytest

from synchist import queries
from synchist.accounts import Principal
from synchist.blocking import failed_parents, held_up
from synchist.db.engine import reading
from synchist.entities import (
    BILL_PAYMENTS,
    BILLS,
    BY_KEY,
    ENTITIES,
    INVOICE_PAYMENTS,
    INVOICES,
    Entity,
)
from synchist.filters import Filters, Window, parse
from synchist.history import Record, load_record
from synchist.queries import Ticked, Total
from synchist.statuses import SyncStatus
from tests.changes import (
    COMPLETE,
    FAILED,
    PENDING,
    attempt,
    move,
    row,
    run,
    ticked,
    to,
    versions,
)
from tests.conftest import Database
from tests.world import STORIES, World

every_payment = pytest.mark.parametrize(
    "entity", [INVOICE_PAYMENTS, BILL_PAYMENTS], ids=lambda entity: entity.key
)


def document_of(payment: Entity) -> Entity:
    return BY_KEY[payment.applications.other_key]


def pays(payment: Entity, record: int, document: int, amount: int = 100) -> str:
    """A payment goes to one more document, or once more to the same."""
    other = document_of(payment).key
    return (
        f"INSERT INTO {payment.key}_application ({payment.key}_id, {other}_id, amount)"
        f" VALUES ({record}, {document}, {amount})"
    )


def synced(entity: Entity, record: int) -> str:
    return attempt(entity, record, None, sync_status=1)


def listed(world: World, entity: Entity, filters: Filters) -> dict[str, str | None]:
    """What a list tells of blocking, by story."""
    names = {record: name for name, record in world.records(entity.key).items()}
    with reading() as connection:
        frame = queries.load(connection, entity, filters)
    return dict(zip(frame.index.map(names), frame["blocked_by"], strict=True))


def held(entity: Entity, ids: Iterable[int]) -> dict[int, Total]:
    with reading() as connection:
        return held_up(connection, entity, ids)


def parents(selection: dict[str, list[int]]) -> dict[str, dict[int, Ticked]]:
    with reading() as connection:
        return failed_parents(connection, selection)


def record_of(entity: Entity, record: int) -> Record:
    with reading() as connection:
        found = load_record(connection, entity, record)
    assert found is not None
    return found


# ---------------------------------------------------------------- the list


@every_payment
def test_a_payment_names_what_blocks_it(database: Database, world: World, entity: Entity) -> None:
    document = document_of(entity)
    of, payments = world.records(document.key), world.records(entity.key)
    number = {name: row(document, record)["number"] for name, record in of.items()}
    run(
        database,
        synced(document, of["failed_twice"]),
        pays(entity, payments["failed"], of["failed_old"]),
        pays(entity, payments["failed"], of["complete"]),
        pays(entity, payments["failed_expired"], of["pending"]),
        pays(entity, payments["failed_expired"], of["failed"]),
        pays(entity, payments["failed_hostile"], of["failed_hostile"]),
    )
    everything = Filters(window=Window.ALL)
    assert listed(world, entity, everything) == {
        "failed": f"{number['failed']} and 1 more",
        "failed_twice": None,
        "failed_old": number["failed_old"],
        "failed_expired": f"{number['failed']} and 2 more",
        "failed_hostile": number["failed_hostile"],  # in two portions, and one document
    }
    assert listed(world, entity, Filters(PENDING)) == {
        name: number[name] for name in ("pending", "pending_again", "pending_draft")
    }
    # Only what is blocked is listed then, under either status.
    blocked = listed(world, entity, Filters(window=Window.ALL, blocked=True))
    assert blocked.keys() == {"failed", "failed_old", "failed_expired", "failed_hostile"}
    run(database, synced(document, of["pending"]))
    waiting = listed(world, entity, Filters(PENDING, blocked=True))
    assert waiting.keys() == {"pending_again", "pending_draft"}


def test_only_payments_are_blocked_and_only_open_ones_say_so(world: World) -> None:
    for entity in ENTITIES:
        is_payment = entity in (INVOICE_PAYMENTS, BILL_PAYMENTS)
        assert (entity.blocking is not None) == is_payment
        for status in SyncStatus:
            keys = [column.key for column in entity.shown(status)]
            assert ("blocked_by" in keys) == (is_payment and status is not COMPLETE)
    assert INVOICE_PAYMENTS.blocking is not None
    assert INVOICE_PAYMENTS.blocking.document == "invoice"


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)
def test_blocked_in_an_address_and_in_words(entity: Entity) -> None:
    """Documents are blocked by nothing, whatever an address says."""
    asked = {f"{entity.slug}_blocked": ["true"]}
    filters, corrections = parse(entity, asked)
    assert corrections == []
    assert filters.blocked == (entity.blocking is not None)
    if entity.blocking:
        assert filters.parameters(entity).items() >= asked.items()
        assert parse(entity, filters.parameters(entity)) == (filters, [])
        says = f"blocked, its {entity.blocking.document} is not Complete"
        assert filters.sentence(entity).endswith(says)
    else:
        assert filters == Filters()
    for value in ("false", "", "1"):
        assert not parse(entity, {f"{entity.slug}_blocked": [value]})[0].blocked
    assert "blocked" not in Filters(blocked=True).sentence(INVOICES)


def test_a_document_that_is_asked_whether_it_is_blocked(database: Database, world: World) -> None:
    with reading() as connection:
        number = [
            len(queries.load(connection, BILLS, Filters(window=Window.ALL, blocked=blocked)))
            for blocked in (False, True)
        ]
    assert number == [5, 5]


# ---------------------------------------------------------------- what to fix first


@every_payment
def test_the_failed_documents_of_payments(database: Database, world: World, entity: Entity) -> None:
    document = document_of(entity)
    of, payments = world.records(document.key), world.records(entity.key)
    run(database, pays(entity, payments["failed_old"], of["failed"]))
    run(database, pays(entity, payments["failed_old"], of["failed"]))
    stories = ("failed", "failed_old", "failed_expired", "complete", "pending")
    chosen = {entity.key: [payments[story] for story in stories]}
    current = versions()[document.key]

    def expected(*stories: str) -> dict[str, dict[int, Ticked]]:
        return {
            document.key: {
                of[story]: Ticked(
                    current[of[story]], STORIES[story].currency, STORIES[story].amount
                )
                for story in stories
            }
        }

    assert parents(chosen) == expected("failed", "failed_old", "failed_expired")
    chosen[document.key] = [of["failed"]]
    assert parents(chosen) == expected("failed_old", "failed_expired")
    chosen[document.key] = [of[story] for story in stories]
    assert parents(chosen) == {}


def test_documents_of_both_kinds_and_of_none(database: Database, world: World) -> None:
    both = {
        "invoice_payment": [world.invoice_payment["failed"]],
        "bill_payment": [world.bill_payment["failed_old"]],
    }
    found = parents(both)
    assert {key: list(records) for key, records in found.items()} == {
        "invoice": [world.invoice["failed"]],
        "bill": [world.bill["failed_old"]],
    }
    for nothing in ({}, {"bill_payment": []}, {"bill": [world.bill["failed"]]}):
        assert parents(nothing) == {}
    assert parents({"bill_payment": [world.bill_payment["pending"], 999_999]}) == {}


# ---------------------------------------------------------------- what waits for it


@every_payment
def test_what_a_document_holds_up(database: Database, world: World, entity: Entity) -> None:
    document = document_of(entity)
    of, payments = world.records(document.key), world.records(entity.key)
    first, second, done = of["failed"], of["pending"], of["complete"]
    run(
        database,
        pays(entity, payments["failed_old"], first, 1),
        pays(entity, payments["failed_expired"], first),  # in CAD
        pays(entity, payments["complete"], first),  # in the books already
        pays(entity, payments["pending_again"], done),
    )
    usd = STORIES["failed"].amount + STORIES["failed_old"].amount
    expected = {
        first: Total(3, {"USD": usd, "CAD": STORIES["failed_expired"].amount}),
        second: Total(1, {"USD": STORIES["pending"].amount}),
    }
    assert held(document, [first, second, done, 999_999]) == expected
    assert held(document, [second]) == {second: expected[second]}
    assert held(document, []) == {}
    # A payment that is written holds nothing up any more, and a document that is Complete neither.
    run(database, synced(entity, payments["failed_old"]), synced(document, second))
    assert held(document, [first, second]) == {
        first: Total(
            2,
            {"USD": STORIES["failed"].amount, "CAD": STORIES["failed_expired"].amount},
        )
    }


@every_payment
def test_a_payment_in_two_portions_is_one_payment(
    database: Database, world: World, entity: Entity
) -> None:
    document = document_of(entity)
    of, payments = world.records(document.key), world.records(entity.key)
    run(database, pays(entity, payments["failed"], of["failed"], 5))
    alone = Total(1, {"USD": STORIES["failed"].amount})
    assert held(document, [of["failed"]]) == {of["failed"]: alone}


@every_payment
def test_a_document_closed_by_hand_holds_nothing_up(
    database: Database, world: World, analyst: Principal, entity: Entity
) -> None:
    """Reconciled or given up: nobody waits for it."""
    document = document_of(entity)
    record, payment = world.records(document.key)["failed"], world.records(entity.key)["failed"]
    assert held(document, [record]).keys() == {record}
    move(analyst, ticked(document, record), to(COMPLETE))
    assert held(document, [record]) == {}
    assert record_of(entity, payment).blockers == ()
    assert listed(world, entity, Filters())["failed"] is None


# ---------------------------------------------------------------- the record's own page


@every_payment
def test_a_payment_tells_its_blockers(database: Database, world: World, entity: Entity) -> None:
    document = document_of(entity)
    of, payments = world.records(document.key), world.records(entity.key)
    run(
        database,
        pays(entity, payments["failed"], of["pending"], 7),
        pays(entity, payments["failed"], of["complete"], 8),
        pays(entity, payments["failed_old"], of["failed"], 9),
    )
    record = record_of(entity, payments["failed"])
    assert [(link.record_id, link.status, link.applied) for link in record.blockers] == [
        (of["failed"], FAILED, STORIES["failed"].amount),
        (of["pending"], PENDING, 7),
    ]
    usd = STORIES["failed"].amount
    assert [link.holds_up for link in record.blockers] == [
        Total(2, {"USD": usd + STORIES["failed_old"].amount}),
        Total(2, {"USD": usd + STORIES["pending"].amount}),
    ]
    assert [link.holds_up for link in record.links if link.status is COMPLETE] == [Total()]
    assert record.holds_up == Total()  # a payment holds nothing up
    # What is in the books is held up by nothing, whatever its document says.
    run(database, synced(entity, payments["failed"]))
    assert record_of(entity, payments["failed"]).blockers == ()


@every_payment
def test_a_document_tells_what_it_holds_up(
    database: Database, world: World, entity: Entity
) -> None:
    document = document_of(entity)
    of, payments = world.records(document.key), world.records(entity.key)
    run(database, pays(entity, payments["failed_expired"], of["failed"]))
    record = record_of(document, of["failed"])
    assert record.holds_up == Total(
        2, {"USD": STORIES["failed"].amount, "CAD": STORIES["failed_expired"].amount}
    )
    assert record.blockers == ()
    assert [link.holds_up for link in record.links] == [Total()] * 2
    assert record_of(document, of["complete"]).holds_up == Total()
