"""T1: no sync status changes without an event, and nobody rewrites history, by whatever SQL."""

from typing import Any

import pytest

from synchist.db.engine import reading, writing
from synchist.db.triggers import broken_triggers, install_triggers
from tests.conftest import POSTGRESQL, SQLITE, Database
from tests.invariants import violations
from tests.world import World

only_sqlite = pytest.mark.parametrize("database", [SQLITE], indirect=True)
only_postgresql = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)

COLUMNS = (
    "tms_id, number, party_id, billing_organization_id, currency, amount, tms_status, created_at"
)
COPY = f"INTO invoice ({COLUMNS}, sync_status) SELECT {COLUMNS}, 1 FROM invoice WHERE id = 11"
"""Writes a record that is there already, as Complete: `INSERT` + COPY."""

EVENT = "entity, record_id, version, at, recorded_at, kind, outcome_at, sync_status, tms_status,"
EVENT += " number, amount, currency, party_id, billing_organization_id"
LATEST = "FROM sync_event WHERE entity = 'invoice' AND record_id = 1 ORDER BY version DESC LIMIT 1"


def state(connection: Any) -> tuple[Any, ...]:
    """Everything that a hostile statement might have changed."""
    cursor = connection.cursor()
    found = []
    for table in ("invoice", "bill", "sync_event", "operation", "operation_item", "attempt_line"):
        cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
        found.append(tuple(cursor.fetchall()))
    connection.rollback()
    return tuple(found)


def refused(database: Database, statement: str, *before: str) -> None:
    """The statement is refused with a sentence, and nothing has changed."""
    with database.owner() as connection:
        was = state(connection)
        cursor = connection.cursor()
        for preparation in before:
            cursor.execute(preparation)
        with pytest.raises(database.refusals, match="synchist: "):
            cursor.execute(statement)
        connection.rollback()
        assert state(connection) == was


REFUSED = {
    "delete a record": "DELETE FROM invoice WHERE id = 1",
    "delete the history": "DELETE FROM sync_event",
    "rewrite the history": "UPDATE sync_event SET sync_status = 1 WHERE id = 1",
    "renumber the history": "UPDATE sync_event SET version = version + 10",
    "rewrite an operation": "UPDATE operation SET actor = 'Somebody else'",
    "delete an operation": "DELETE FROM operation_item",
    "rewrite what the books held": "UPDATE attempt_line SET amount = 0",
    "raise the version": "UPDATE invoice SET version = version + 1 WHERE id = 1",
    "lower the version": "UPDATE invoice SET version = 0 WHERE id = 1",
    "raise the version with the status": (
        "UPDATE invoice SET version = version + 1, sync_status = 1 WHERE id = 1"
    ),
    "set the outcome's date": "UPDATE invoice SET outcome_at = created_at WHERE id = 1",
    "clear the outcome's date": "UPDATE invoice SET outcome_at = NULL WHERE id = 1",
    "change the load key": "UPDATE invoice SET tms_id = 'other' WHERE id = 1",
    "change the id": "UPDATE invoice SET id = 999 WHERE id = 1",
    "change the creation date": "UPDATE invoice SET created_at = sync_at WHERE id = 1",
    "insert with a version": (
        f"INSERT INTO invoice ({COLUMNS}, version) SELECT 'new', number, party_id,"
        " billing_organization_id, currency, amount, tms_status, created_at, 7"
        " FROM invoice WHERE id = 1"
    ),
    "forge an event that is there": f"INSERT INTO sync_event ({EVENT}) SELECT {EVENT} {LATEST}",
}


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
def test_hostile_statement_is_refused(database: Database, world: World, statement: str) -> None:
    refused(database, statement)


EVENTS_OF_ONE = (
    "SELECT count(*) FROM sync_event"
    " WHERE entity = 'invoice' AND record_id = 11 AND kind = 'direct'"
)
LEAVES_AN_EVENT = {
    "plain": "UPDATE invoice SET sync_status = 1 WHERE id = 11",
    "the same value": "UPDATE invoice SET sync_status = sync_status WHERE id = 11",
    "with more": "UPDATE invoice SET pro_number = 'P', sync_status = 1 WHERE id = 11",
    "from a query": (
        "UPDATE invoice SET sync_status = other.sync_status FROM bill other"
        " WHERE other.number = 'BIL-2006' AND invoice.id = 11"
    ),
    "by row values": "UPDATE invoice SET (sync_status, sync_reference) = (1, 'X') WHERE id = 11",
}


@pytest.mark.parametrize("statement", LEAVES_AN_EVENT.values(), ids=LEAVES_AN_EVENT.keys())
def test_every_way_to_change_a_status_leaves_an_event(
    database: Database, world: World, statement: str
) -> None:
    with database.owner() as connection:
        cursor = connection.cursor()
        cursor.execute(statement)
        connection.commit()
        cursor.execute(EVENTS_OF_ONE)
        assert cursor.fetchone() == (1,)


def test_every_record_of_a_bulk_change_leaves_an_event(database: Database, world: World) -> None:
    with database.owner() as connection:
        cursor = connection.cursor()
        cursor.execute("UPDATE invoice SET sync_status = 0")
        connection.commit()
        cursor.execute("SELECT count(*) FROM sync_event WHERE kind = 'direct'")
        assert cursor.fetchone() == (len(world.invoice),)


def test_a_change_without_meaning_for_the_sync_leaves_none(
    database: Database, world: World
) -> None:
    with database.owner() as connection:
        cursor = connection.cursor()
        cursor.execute("UPDATE invoice SET pro_number = 'P', due_date = '2026-12-01' WHERE id = 11")
        connection.commit()
        cursor.execute("SELECT version FROM invoice WHERE id = 11")
        assert cursor.fetchone() == (1,)


# ---------------------------------------------------------------- SQLite

OVERWRITES = {
    "insert or replace": "INSERT OR REPLACE " + COPY,
    "replace": "REPLACE " + COPY,
    "insert or ignore": "INSERT OR IGNORE " + COPY,
    "upsert": (
        f"INSERT {COPY} ON CONFLICT (tms_id) DO UPDATE SET sync_status = excluded.sync_status"
    ),
    "replace by id": (
        f"INSERT OR REPLACE INTO invoice (id, {COLUMNS}) SELECT 1, 'new', number, party_id,"
        " billing_organization_id, currency, amount, tms_status, created_at"
        " FROM invoice WHERE id = 11"
    ),
    "update or replace": "UPDATE OR REPLACE invoice SET id = 2 WHERE id = 1",
    "update or replace the load key": (
        "UPDATE OR REPLACE invoice SET tms_id = 'INV-T2' WHERE id = 1"
    ),
    "update or ignore the version": (
        "UPDATE OR IGNORE invoice SET sync_status = 1, version = 9 WHERE id = 1"
    ),
    "replace an event": f"REPLACE INTO sync_event (id, {EVENT}) SELECT 1, {EVENT} {LATEST}",
    "replace an event by its version": (
        f"INSERT OR REPLACE INTO sync_event ({EVENT}) SELECT {EVENT} {LATEST}"
    ),
    "update or replace an event": "UPDATE OR REPLACE sync_event SET id = 1 WHERE id = 2",
    "replace an item": (
        "REPLACE INTO operation_item (operation_id, entity, record_id, version_seen, outcome)"
        " SELECT operation_id, entity, record_id, version_seen, 'busy'"
        " FROM operation_item LIMIT 1"
    ),
    "replace an item by its row": (
        "REPLACE INTO operation_item (rowid, operation_id, entity, record_id, version_seen,"
        " outcome) SELECT rowid, operation_id, 'bill', 999, 1, 'applied' FROM operation_item"
    ),
    "replace an attempt line": (
        "REPLACE INTO attempt_line (id, charge_line_id, sync_at, amount)"
        " SELECT id, charge_line_id, sync_at, 0 FROM attempt_line"
    ),
}


@only_sqlite
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
@pytest.mark.parametrize("statement", OVERWRITES.values(), ids=OVERWRITES.keys())
def test_sqlite_overwrites_nothing(
    database: Database, world: World, statement: str, recursive: str
) -> None:
    refused(database, statement, f"PRAGMA recursive_triggers = {recursive}")


@only_sqlite
@pytest.mark.parametrize("columns", ["id", "rowid, id"])
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
def test_sqlite_keeps_the_operation_that_is_there(
    database: Database, world: World, columns: str, recursive: str
) -> None:
    # Not an error: an operation is begun with ON CONFLICT DO NOTHING, and that is what happens.
    with database.owner() as connection:
        was = state(connection)
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA recursive_triggers = {recursive}")
        cursor.execute(
            f"REPLACE INTO operation ({columns}, at, actor, action, digest, requested)"
            f" SELECT {columns.replace(' id', chr(39) + 'x' + chr(39))}, at, 'Somebody else',"
            " action, digest, 0 FROM operation"
        )
        connection.commit()
        assert state(connection) == was


@only_sqlite
@pytest.mark.parametrize("recursive", ["ON", "OFF"])
@pytest.mark.parametrize("conflict", ["", "OR ABORT", "OR FAIL", "OR IGNORE", "OR REPLACE"])
def test_sqlite_writes_one_event_a_change_under_every_conflict_policy(
    database: Database, world: World, conflict: str, recursive: str
) -> None:
    with database.owner() as connection:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA recursive_triggers = {recursive}")
        cursor.execute(f"UPDATE {conflict} invoice SET sync_status = 1 WHERE id = 11")
        connection.commit()
        cursor.execute(EVENTS_OF_ONE)
        assert cursor.fetchone() == (1,)


@only_sqlite
@pytest.mark.parametrize("verb", ["UPDATE", "UPDATE OR IGNORE"])
def test_sqlite_event_cannot_be_kept_out_by_a_trigger_of_ones_own(
    database: Database, world: World, verb: str
) -> None:
    refused(
        database,
        f"{verb} invoice SET sync_status = 1 WHERE id = 11",
        "CREATE TEMP TRIGGER keep_out BEFORE INSERT ON main.sync_event"
        " BEGIN SELECT RAISE(IGNORE); END",
    )


@only_sqlite
@pytest.mark.tampered
def test_sqlite_forged_next_event_is_found(database: Database, world: World) -> None:
    record = world.invoice["failed"]
    with database.owner() as connection:
        connection.execute(
            f"INSERT INTO sync_event ({EVENT}) SELECT entity, record_id, version + 1, at,"
            " recorded_at, 'direct', outcome_at, 1, tms_status, number, amount, currency,"
            " party_id, billing_organization_id FROM sync_event"
            " WHERE entity = 'invoice' AND record_id = ? ORDER BY version DESC LIMIT 1",
            (record,),
        )
        connection.commit()
    with reading() as connection:
        assert violations(connection) == [
            f"invoice {record}: its version is not the number of its events."
        ]


@only_sqlite
@pytest.mark.tampered
def test_sqlite_event_of_no_record_is_found(database: Database, world: World) -> None:
    with database.owner() as connection:
        connection.execute(
            f"INSERT INTO sync_event ({EVENT}) SELECT entity, 4711, 1, at, recorded_at, 'created',"
            " outcome_at, 1, tms_status, number, amount, currency, party_id,"
            f" billing_organization_id {LATEST}"
        )
        connection.commit()
    with reading() as connection:
        assert violations(connection) == ["invoice 4711: it has events but is not there."]


@only_sqlite
@pytest.mark.tampered
def test_sqlite_change_behind_a_dropped_trigger_is_found(database: Database, world: World) -> None:
    record = world.bill["failed"]
    with database.owner() as connection:
        connection.execute("DROP TRIGGER bill_updated")
        connection.execute("UPDATE bill SET sync_status = 1 WHERE id = ?", (record,))
        connection.commit()
    with writing() as connection:
        assert broken_triggers(connection) == {"bill_updated"}
        install_triggers(connection)
    with reading() as connection:
        assert violations(connection) == [
            f"bill {record}: replaying its events does not give the row."
        ]


@only_sqlite
@pytest.mark.tampered
@pytest.mark.parametrize("again", ["", "BEFORE DELETE ON invoice WHEN 0 BEGIN SELECT 1; END"])
def test_sqlite_missing_or_altered_trigger_is_found(database: Database, again: str) -> None:
    with database.owner() as connection:
        connection.execute("DROP TRIGGER invoice_guard_delete")
        if again:
            connection.execute(f"CREATE TRIGGER invoice_guard_delete {again}")
        connection.commit()
    with reading() as connection:
        assert broken_triggers(connection) == {"invoice_guard_delete"}


# ---------------------------------------------------------------- PostgreSQL


@only_postgresql
@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE sync_event",
        "TRUNCATE invoice CASCADE",
        "TRUNCATE operation CASCADE",
        "TRUNCATE access_event",
        f"INSERT INTO sync_event ({EVENT}) SELECT entity, record_id, version + 1, at, recorded_at,"
        " 'attempt', outcome_at, 1, tms_status, number, amount, currency, party_id,"
        f" billing_organization_id {LATEST}",
        "MERGE INTO invoice i USING bill b ON i.id = b.id WHEN MATCHED THEN DELETE",
    ],
)
def test_postgresql_refuses_even_the_owner(
    database: Database, world: World, statement: str
) -> None:
    refused(database, statement)


@only_postgresql
@pytest.mark.parametrize(
    "statement",
    [
        f"INSERT {COPY} ON CONFLICT (tms_id) DO UPDATE SET sync_status = excluded.sync_status",
        "MERGE INTO invoice i USING bill b ON i.id = b.id AND i.id = 11"
        " WHEN MATCHED THEN UPDATE SET sync_status = 1",
        "WITH moved AS (UPDATE invoice SET sync_status = 1 WHERE id = 11 RETURNING id)"
        " SELECT * FROM moved",
    ],
)
def test_postgresql_upserts_leave_an_event(
    database: Database, world: World, statement: str
) -> None:
    with database.owner() as connection:
        connection.execute(statement)
        connection.commit()
        assert connection.execute(EVENTS_OF_ONE).fetchone() == (1,)


@only_postgresql
@pytest.mark.tampered
@pytest.mark.parametrize(
    "around",
    [
        (
            "ALTER TABLE bill DISABLE TRIGGER c_append_changed",
            "ALTER TABLE bill ENABLE TRIGGER c_append_changed",
        ),
        ("SET session_replication_role = replica", "SET session_replication_role = origin"),
    ],
)
def test_postgresql_change_behind_switched_off_triggers_is_found(
    database: Database, world: World, around: tuple[str, str]
) -> None:
    record = world.bill["failed"]
    with database.owner() as connection:
        connection.execute(around[0])
        connection.execute("UPDATE bill SET sync_status = 1 WHERE id = %s", (record,))
        connection.execute(around[1])
        connection.commit()
    with reading() as connection:
        assert broken_triggers(connection) == set()
        assert f"bill {record}: replaying its events does not give the row." in violations(
            connection
        )


BREAKS = {
    "disabled": (
        "ALTER TABLE bill DISABLE TRIGGER c_append_changed",
        "bill.c_append_changed",
    ),
    "replica only": (
        "ALTER TABLE bill ENABLE REPLICA TRIGGER c_append_changed",
        "bill.c_append_changed",
    ),
    "dropped": ("DROP TRIGGER a_guard_change ON sync_event", "sync_event.a_guard_change"),
    "other function": (
        "CREATE OR REPLACE FUNCTION synchist_stamp_update() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
        "synchist_stamp_update",
    ),
    "narrowed by a condition": (
        "CREATE OR REPLACE TRIGGER b_stamp_update BEFORE UPDATE ON bill FOR EACH ROW"
        " WHEN (NEW.amount = 0) EXECUTE FUNCTION synchist_stamp_update()",
        "bill.b_stamp_update",
    ),
    "narrowed to a column": (
        "CREATE OR REPLACE TRIGGER b_stamp_update BEFORE UPDATE OF number ON bill FOR EACH ROW"
        " EXECUTE FUNCTION synchist_stamp_update()",
        "bill.b_stamp_update",
    ),
    "without the owner's rights": (
        "ALTER FUNCTION synchist_append_changed() SECURITY INVOKER",
        "synchist_append_changed",
    ),
}


@only_postgresql
@pytest.mark.tampered
@pytest.mark.parametrize(("statement", "name"), BREAKS.values(), ids=BREAKS.keys())
def test_postgresql_missing_or_altered_trigger_is_found(
    database: Database, statement: str, name: str
) -> None:
    with database.owner() as connection:
        connection.execute(statement)
        connection.commit()
    with reading() as connection:
        assert broken_triggers(connection) == {name}


# ---------------------------------------------------------------- what has no number of its own


def test_operations_are_chronicled_in_the_order_of_writing(
    database: Database, world: World
) -> None:
    with reading() as connection:
        written = connection.exec_driver_sql(
            "SELECT c.key FROM chronicle c JOIN operation o ON o.id = c.key"
            " WHERE c.source = 'operation' ORDER BY c.id"
        ).all()
        operations = connection.exec_driver_sql("SELECT count(*) FROM operation").scalar_one()
    assert len(written) == operations > 0


def test_nothing_is_chronicled_twice(database: Database, world: World) -> None:
    refused_by = "chronicle is"
    with database.owner() as connection, pytest.raises(database.refusals, match=refused_by):
        connection.cursor().execute(
            "INSERT INTO chronicle (source, key) SELECT source, key FROM chronicle"
        )
