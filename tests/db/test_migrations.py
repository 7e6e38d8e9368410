"""The schema that migrations make is the one that the code declares, down to each CHECK."""

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import URL, Column, Connection, create_engine

from synchist.db import prepare
from synchist.db.engine import DatabaseUnavailable, NotGranted, reading, writing
from synchist.db.grants import GrantsMissing, grants_script
from synchist.db.tables import ENTITY_TABLES, metadata
from synchist.db.triggers import broken_triggers, install_triggers
from tests.conftest import POSTGRESQL, ROOT, SQLITE, Database, configured, owned
from tests.invariants import violations

MIGRATIONS = ROOT / "synchist" / "db" / "migrations"

only_sqlite = pytest.mark.parametrize("database", [SQLITE], indirect=True)
only_postgresql = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)

POSTGRESQL_SCHEMA = """
    SELECT conrelid::regclass::text || ' ' || conname, pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
    UNION ALL SELECT indexrelid::regclass::text, replace(pg_get_indexdef(indexrelid),
            quote_ident(current_schema()) || '.', '')
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        WHERE c.relnamespace = current_schema()::regnamespace
    UNION ALL SELECT attrelid::regclass::text || ' ' || attname,
            format_type(atttypid, atttypmod) || ' ' || attnotnull || ' '
            || coalesce(replace(pg_get_expr(adbin, adrelid), quote_ident(current_schema()) || '.',
                ''), '') || ' ' || coalesce(col_description(attrelid, attnum), '')
        FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
            AND attnum > 0 AND NOT attisdropped
"""


def schema(connection: Connection) -> dict[str, Any]:
    """Everything that a database says about itself, triggers and Alembic's own table aside."""
    if connection.dialect.name == "postgresql":
        rows = connection.exec_driver_sql(POSTGRESQL_SCHEMA)
        found = {row[0]: row[1] for row in rows}
    else:
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type <> 'trigger'"
        )
        found = {name: _parts(definition) for name, definition in rows}
    return {name: found[name] for name in found if "alembic_version" not in name}


def _parts(definition: str | None) -> list[str]:
    """What stands between the outer commas of a CREATE statement, in alphabetical order: the order
    of constraints is free, and a column that was added later stands behind them."""
    head, _, body = " ".join((definition or "").split()).partition("(")
    parts, depth = [""], 0
    for sign in body.rstrip(" )"):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [head.strip(), *sorted(part.strip(" )") for part in parts)]


def declared(connection: Connection) -> dict[str, Any]:
    """The same of a database that is made from the declarations in `tables.py`."""
    if connection.dialect.name == "sqlite":
        with create_engine("sqlite://").begin() as empty:
            metadata.create_all(empty)
            return schema(empty)
    connection.exec_driver_sql("CREATE SCHEMA declared")
    connection.exec_driver_sql("SET LOCAL search_path = declared")
    metadata.create_all(connection, checkfirst=False)
    return schema(connection)


def test_migrated_and_declared_schema_are_the_same(database: Database) -> None:
    with reading() as connection:
        migrated = schema(connection)
    with owned(), writing() as connection:
        assert migrated == declared(connection)
        connection.rollback()


@only_postgresql
def test_records_are_vacuumed_often(database: Database) -> None:
    options = "SELECT relname, reloptions FROM pg_class WHERE reloptions[1] LIKE 'auto%%'"
    with reading() as connection:
        found = dict(connection.exec_driver_sql(options).tuples().all())
    assert found == {one.name: ["autovacuum_vacuum_scale_factor=0.02"] for one in ENTITY_TABLES}


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_nothing_is_left_to_generate(database: Database) -> None:
    # Alembic can't compare indexes on expressions; the test before this one does.
    on_expressions = {
        index.name
        for table in metadata.tables.values()
        for index in table.indexes
        if not isinstance(next(iter(index.expressions)), Column)
    }
    with reading() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"include_name": lambda name, kind, parents: name not in on_expressions},
        )
        differences = compare_metadata(context, metadata)
    assert [found for found in differences if found[1].name not in on_expressions] == []


def test_upgrading_again_changes_nothing(database: Database) -> None:
    with reading() as connection:
        before = schema(connection)
    with owned():
        prepare.upgrade()
    with reading() as connection:
        assert schema(connection) == before
        assert prepare.is_current(connection)
        assert broken_triggers(connection) == set()


def test_triggers_are_installed_over_others(database: Database) -> None:
    with owned(), writing() as connection:
        connection.exec_driver_sql(
            "DROP TRIGGER invoice_updated"
            if database.dialect == SQLITE
            else "ALTER TABLE invoice DISABLE TRIGGER ALL"
        )
        assert broken_triggers(connection)
        install_triggers(connection)
        install_triggers(connection)
        assert broken_triggers(connection) == set()


def test_every_migration_ends_with_the_triggers() -> None:
    """Alembic's batch mode on SQLite rebuilds a table and drops its triggers without a word."""
    scripts = [*(MIGRATIONS / "versions").glob("*.py"), MIGRATIONS / "script.py.mako"]
    assert len(scripts) > 1
    for script in scripts:
        last = script.read_text().rstrip().splitlines()[-1].strip()
        assert last == "install_triggers(op.get_bind())", script.name


# ---------------------------------------------------------------- start-up


def test_ready_database_is_accepted(database: Database) -> None:
    prepare.prepare()


def test_embedded_database_is_created(tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "synchist.db"
    with configured(f"sqlite:///{file}"):
        prepare.prepare()
        with reading() as connection:
            assert prepare.is_current(connection)
            assert not prepare.is_demo(connection)
            assert violations(connection) == []


def test_missing_file_is_not_replaced_by_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "gone.db"
    with configured(f"sqlite:///{file}"), pytest.raises(DatabaseUnavailable), reading():
        pass
    assert not file.exists()


@pytest.mark.parametrize("folder", ["with blank", "100%", "a#b", "what?", "ünïcode", "a&b=c;d"])
def test_any_folder_will_do(tmp_path: Path, folder: str) -> None:
    file = tmp_path / folder / "synchist.db"
    address = URL.create("sqlite", database=str(file)).render_as_string()
    with configured(address):
        prepare.prepare()
        assert file.exists()


@only_sqlite
def test_a_missing_trigger_is_noticed_at_the_start_and_put_back_by_upgrade(
    database: Database,
) -> None:
    with writing() as connection:
        connection.exec_driver_sql("DROP TRIGGER invoice_updated")
    with pytest.raises(prepare.TriggersBroken, match="invoice_updated"):
        prepare.prepare()
    prepare.upgrade()
    prepare.prepare()
    with reading() as connection:
        assert broken_triggers(connection) == set()


@only_postgresql
def test_postgresql_that_is_behind_is_refused(database: Database) -> None:
    with owned(), writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(prepare.DatabaseBehind, match="python -m synchist db upgrade"):
        prepare.prepare()


@only_postgresql
def test_empty_postgresql_is_refused_then_made(database: Database, postgresql_server: str) -> None:
    """Nothing is created without being asked for."""
    with database.owner() as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        connection.commit()
    with pytest.raises(prepare.DatabaseBehind):
        prepare.prepare()
    with owned():
        prepare.upgrade()
    with pytest.raises(GrantsMissing, match="python -m synchist db grants"):
        prepare.prepare()
    with database.owner() as connection:
        connection.execute(grants_script())
    prepare.prepare()


@only_postgresql
def test_postgresql_without_its_triggers_is_refused(database: Database) -> None:
    with owned(), writing() as connection:
        connection.exec_driver_sql("ALTER TABLE bill DISABLE TRIGGER c_append_changed")
    with pytest.raises(prepare.TriggersBroken, match=r"bill\.c_append_changed"):
        prepare.prepare()
    with pytest.raises(NotGranted, match="the owner's"):
        prepare.upgrade()
    with owned():
        prepare.upgrade()
    prepare.prepare()


def test_server_that_is_down_is_said_in_one_sentence(tmp_path: Path) -> None:
    address = f"postgresql://nobody@/nothing?host={tmp_path}"
    with (
        configured(address),
        pytest.raises(DatabaseUnavailable, match="Try again in a minute"),
    ):
        prepare.prepare()


def test_a_database_of_a_newer_version_is_refused_in_one_sentence(database: Database) -> None:
    with owned(), writing() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with owned(), pytest.raises(prepare.DatabaseUnknown, match="newer version"):
        prepare.upgrade()
    with pytest.raises((prepare.DatabaseUnknown, prepare.DatabaseBehind)):
        prepare.prepare()
    with owned(), writing() as connection:  # as it was, for the check of the invariants
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0003'")


@only_sqlite
def test_a_file_that_is_no_database_is_refused_in_one_sentence(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "notes.db"
    path.write_text("no database at all, " * 1_000)
    with configured(f"sqlite:///{path}"), pytest.raises(prepare.DatabaseUnknown):
        prepare.prepare()
