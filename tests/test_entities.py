"""The four entities are declared completely, and what derives from them fits the database."""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from synchist.db.engine import reading
from synchist.db.tables import ENTITY_TABLES
from synchist.entities import BY_KEY, BY_SLUG, ENTITIES, INVOICES, Entity, Kind
from synchist.statuses import TMS_STATUSES, SyncStatus
from tests.conftest import Database
from tests.world import STORIES, World

every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)


def test_the_four_tabs_in_their_order() -> None:
    assert [entity.title for entity in ENTITIES] == [
        "Invoices",
        "Invoice Payments",
        "Bills",
        "Bill Payments",
    ]
    assert [entity.table for entity in ENTITIES] == list(ENTITY_TABLES)
    assert [BY_KEY[entity.key] for entity in ENTITIES] == list(BY_SLUG.values())


@every_entity
def test_a_row_shows_what_the_brief_asks_for(entity: Entity) -> None:
    """B6, B7, B8."""
    keys = {column.key for column in entity.columns}
    assert keys >= {
        *("number", "amount", "currency", "party", "billing"),
        *("sync_at", "sync_status", "sync_reference", "synced_amount", "sync_error", "tms_status"),
    }
    documents = {"shipment_id", "differs", "difference"}
    assert keys & documents == (documents if entity.charge_lines is not None else set())


@every_entity
def test_the_error_shows_while_it_matters(entity: Entity) -> None:
    for column in entity.columns:
        if column.key == "sync_error":
            assert [status for status in SyncStatus if column.shown_under(status)] == [
                SyncStatus.PENDING,
                SyncStatus.FAILED,
            ]
            assert column.kind is Kind.LONG_TEXT


@every_entity
def test_the_two_statuses_are_never_confused(entity: Entity) -> None:
    labels = {column.key: column.label for column in entity.columns}
    assert labels["sync_status"] == "Sync status"
    assert labels["tms_status"] == "TMS status"
    assert set(entity.syncable) < set(TMS_STATUSES)


@every_entity
def test_labels_and_keys_stand_once(entity: Entity) -> None:
    for words in ([c.key for c in entity.columns], [c.label for c in entity.columns]):
        assert len(words) == len(set(words))


def test_a_column_declared_twice_fails_at_import() -> None:
    with pytest.raises(ValueError, match="Invoices: a column key stands twice"):
        replace(INVOICES, columns=(*INVOICES.columns, INVOICES.columns[0]))


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 bill payments"), (1, "1 bill payment"), (1204, "1,204 bill payments")],
)
def test_counted_in_words(number: int, words: str) -> None:
    assert BY_KEY["bill_payment"].count(number) == words


@every_entity
def test_every_record_comes_once_with_all_its_columns(
    database: Database, world: World, entity: Entity
) -> None:
    columns = [column.source.label(column.key) for column in entity.columns]
    with reading() as connection:
        rows = connection.execute(select(*columns).select_from(entity.listed)).all()
    assert len(rows) == len(STORIES)


@every_entity
def test_every_sort_order_works(database: Database, world: World, entity: Entity) -> None:
    with reading() as connection:
        for sort in entity.sorts:
            order = sort.by.desc() if sort.descending else sort.by
            ids = connection.scalars(
                select(entity.table.c.id)
                .select_from(entity.source)
                .order_by(order, entity.table.c.id)
            )
            assert sorted(ids) == sorted(world.records(entity.key).values()), sort.label


@every_entity
def test_unknown_synced_amount_is_no_difference(
    database: Database, world: World, entity: Entity
) -> None:
    with reading() as connection:
        found = connection.scalars(select(entity.table.c.id).where(entity.differs)).all()
        unknown = connection.scalar(
            select(func.count()).where(entity.table.c.synced_amount.is_(None))
        )
    assert found == [world.records(entity.key)["partial"]]
    assert unknown == len(STORIES) - 4
