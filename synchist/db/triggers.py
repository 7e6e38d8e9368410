"""History is written by the database: the triggers of both dialects, and the check that they stand.

Sync jobs run elsewhere and overwrite rows with plain UPDATEs; these triggers keep what was. Every
INSERT, and every UPDATE that *names* a tracked column, raises the row's `version` and appends one
`sync_event` with the state after it. Naming counts, not differing: the same failure twice is two
attempts.

What a change is called, and what it does to `outcome_at`:

==========  =============================================  =====================================
kind        when                                           outcome_at
==========  =============================================  =====================================
created     INSERT                                         `sync_at` if set, else `created_at`
operation   `last_operation_id` differs                    `sync_at` if it differs, else now
attempt     `sync_at` differs                              `sync_at`; `closed_reason` is cleared
direct      another sync column differs, or nothing does   now, if a sync column differs
tms         only columns of the TMS differ                 unchanged: no outcome has changed
==========  =============================================  =====================================

`closed_reason` is also cleared wherever the record is not Complete any more. `problem_id` becomes 0
with an event that says why a push failed, and where an error shows again that has no problem; it
becomes null where a record that has been diagnosed shows no error any more.

SQLite can't refuse everything: a forged *next* event is found by replay (`history.py`), not here.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence

from sqlalchemy import Connection, Integer, Table, UniqueConstraint, inspect, text

from synchist.db.tables import (
    APPEND_ONLY,
    CHRONICLED,
    ENTITY_TABLES,
    SYNC_COLUMNS,
    TELLS_WHY,
    TRACKED,
    UNDIAGNOSED,
    chronicle,
)

_FIRING = ", ".join((*TRACKED, "last_operation_id"))
_TMS_COLUMNS = TRACKED[len(SYNC_COLUMNS) :]
_EVENT_COLUMNS = ", ".join(
    [
        *("entity", "record_id", "version", "at", "recorded_at", "kind", "operation_id"),
        *("outcome_at", *TRACKED),
    ]
)


def _fresh(differ: str) -> str:
    """SQL for whether an update brings a new `sync_at`."""
    return f"NEW.sync_at IS NOT NULL AND NEW.sync_at {differ} OLD.sync_at"


def _kind(differ: str) -> str:
    """SQL for the kind of an update; `differ` is the dialect's null-safe inequality."""

    def any_differs(columns: tuple[str, ...]) -> str:
        return " OR ".join(f"NEW.{column} {differ} OLD.{column}" for column in columns)

    return f"""CASE
        WHEN NEW.last_operation_id {differ} OLD.last_operation_id THEN 'operation'
        WHEN {_fresh(differ)} THEN 'attempt'
        WHEN {any_differs(SYNC_COLUMNS)} THEN 'direct'
        WHEN {any_differs(_TMS_COLUMNS)} THEN 'tms'
        ELSE 'unchanged' END"""


# ---------------------------------------------------------------- SQLite

_SQLITE_NOW = "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


def _sqlite_refuse(message: str, condition: str = "1") -> str:
    return f"SELECT RAISE(ABORT, 'synchist: {message}') WHERE {condition};"


def _sqlite_event(source: str, kind: str, version: str, at: str, outcome_at: str) -> str:
    closed = f"CASE WHEN {kind} <> 'attempt' AND NEW.sync_status = 1 THEN NEW.closed_reason END"
    state = ", ".join(closed if c == "closed_reason" else f"NEW.{c}" for c in TRACKED)
    return f"""INSERT INTO sync_event ({_EVENT_COLUMNS})
        SELECT '{source}', NEW.id, {version}, {at}, {_SQLITE_NOW},
            CASE {kind} WHEN 'unchanged' THEN 'direct' ELSE {kind} END,
            NEW.last_operation_id, {outcome_at}, {state};"""


def _sqlite_entity(name: str) -> Iterator[tuple[str, str]]:
    """Name and statement of each trigger of one entity table."""
    kind = _kind("IS NOT")
    yield (
        f"{name}_guard_insert",
        f"""BEFORE INSERT ON {name} BEGIN
        {
            _sqlite_refuse(
                f"{name} rows are inserted once; replacing and upserts are refused",
                f"EXISTS (SELECT 1 FROM {name} WHERE id = NEW.id)"
                f" OR EXISTS (SELECT 1 FROM {name} WHERE tms_id = NEW.tms_id)",
            )
        }
        {
            _sqlite_refuse(
                "version and outcome_at are kept by the database",
                "NEW.version <> 0 OR NEW.outcome_at IS NOT NULL",
            )
        }
    END""",
    )
    first = "coalesce(NEW.sync_at, NEW.created_at)"
    yield (
        f"{name}_inserted",
        f"""AFTER INSERT ON {name} BEGIN
        {_sqlite_event(name, "'created'", "1", first, first)}
        UPDATE {name} SET version = 1, outcome_at = {first},
            problem_id = CASE WHEN NEW.sync_status = 2 THEN {UNDIAGNOSED} END,
            closed_reason = CASE WHEN NEW.sync_status = 1 THEN NEW.closed_reason END
        WHERE id = NEW.id;
    END""",
    )
    # WHEN keeps the trigger's own UPDATE from firing it again where recursive_triggers is on.
    yield (
        f"{name}_updated",
        f"""AFTER UPDATE OF {_FIRING} ON {name} WHEN NEW.version = OLD.version BEGIN
        {
            _sqlite_event(
                name,
                f"({kind})",
                "OLD.version + 1",
                f"CASE {kind} WHEN 'attempt' THEN NEW.sync_at ELSE {_SQLITE_NOW} END",
                f"CASE WHEN {_fresh('IS NOT')} THEN NEW.sync_at"
                f" WHEN {kind} IN ('tms', 'unchanged') THEN OLD.outcome_at"
                f" ELSE {_SQLITE_NOW} END",
            )
        }
        UPDATE {name} SET (version, outcome_at, closed_reason, problem_id) =
            (SELECT version, outcome_at, closed_reason,
                CASE WHEN {TELLS_WHY} OR NEW.problem_id = {UNDIAGNOSED} THEN {UNDIAGNOSED}
                    WHEN sync_status = 1 OR coalesce(sync_error, '') = '' THEN NULL
                    ELSE coalesce(NEW.problem_id, {UNDIAGNOSED}) END
             FROM sync_event
             WHERE entity = '{name}' AND record_id = NEW.id AND version = OLD.version + 1)
        WHERE id = NEW.id;
    END""",
    )
    yield (
        f"{name}_guard_version",
        f"""BEFORE UPDATE OF version, outcome_at ON {name}
        WHEN NEW.version IS NOT OLD.version OR NEW.outcome_at IS NOT OLD.outcome_at BEGIN
        {
            _sqlite_refuse(
                "version and outcome_at are kept by the database",
                "NEW.version IS NOT OLD.version + 1 OR NOT EXISTS (SELECT 1 FROM sync_event"
                f" WHERE entity = '{name}' AND record_id = OLD.id AND version = NEW.version)",
            )
        }
    END""",
    )
    yield (
        f"{name}_guard_identity",
        f"""BEFORE UPDATE OF id, tms_id, created_at ON {name}
        WHEN NEW.id IS NOT OLD.id OR NEW.tms_id IS NOT OLD.tms_id
            OR NEW.created_at IS NOT OLD.created_at BEGIN
        {_sqlite_refuse("id, tms_id and created_at never change")}
    END""",
    )
    yield (
        f"{name}_guard_delete",
        f"""BEFORE DELETE ON {name} BEGIN
        {_sqlite_refuse(f"{name} rows are never deleted; void them in the TMS")}
    END""",
    )


def _sqlite_append_only(name: str, keys: list[tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    for verb in ("UPDATE", "DELETE"):
        yield (
            f"{name}_guard_{verb.lower()}",
            f"BEFORE {verb} ON {name} BEGIN {_sqlite_refuse(f'{name} is append-only')} END",
        )
    taken = " OR ".join(
        f"EXISTS (SELECT 1 FROM {name} WHERE "
        + " AND ".join(f"{column} = NEW.{column}" for column in key)
        + ")"
        for key in keys
    )
    # These are inserted with ON CONFLICT DO NOTHING, which is what IGNORE does here.
    again = ("operation", "reconciliation", "reconciliation_confirmation")
    act = "IGNORE" if name in again else f"ABORT, 'synchist: {name} is append-only'"
    yield (
        f"{name}_guard_insert",
        f"BEFORE INSERT ON {name} BEGIN SELECT RAISE({act}) WHERE {taken}; END",
    )


def _sqlite_chronicled(table: Table) -> Iterator[tuple[str, str]]:
    key = " || '/' || ".join(f"NEW.{column.name}" for column in table.primary_key.columns)
    yield (
        f"{table.name}_written",
        f"AFTER INSERT ON {table.name} BEGIN"
        f" INSERT INTO chronicle (source, key) VALUES ('{table.name}', {key}); END",
    )


def _sqlite(append_only: Sequence[Table] = APPEND_ONLY) -> dict[str, str]:
    """Every trigger of SQLite by name."""
    triggers: dict[str, str] = {}
    for table in ENTITY_TABLES:
        triggers |= dict(_sqlite_entity(table.name))
    for table in append_only:
        keys = [tuple(column.name for column in table.primary_key.columns)]
        keys += [
            tuple(column.name for column in constraint.columns)
            for constraint in table.constraints
            if isinstance(constraint, UniqueConstraint)
        ]
        if "id" not in table.c or not isinstance(table.c.id.type, Integer):
            keys.append(("rowid",))  # a hidden second key, by which REPLACE would find its row
        triggers |= dict(_sqlite_append_only(table.name, keys))
        if table in CHRONICLED and chronicle in append_only:
            triggers |= dict(_sqlite_chronicled(table))
    return {name: f"CREATE TRIGGER {name} {body}" for name, body in triggers.items()}


# ---------------------------------------------------------------- PostgreSQL

_REFUSE = "synchist_refuse"
_APPENDS = "synchist_append"


def _postgresql_functions() -> dict[str, str]:
    """Body of each trigger function by name.

    The ones that append events are SECURITY DEFINER with a fixed search_path, so that a role
    which may not insert events itself can't slip its own `sync_event` under them.
    """
    kind = _kind("IS DISTINCT FROM")
    state = ", ".join(f"NEW.{column}" for column in TRACKED)
    tells_why = TELLS_WHY.replace("sync_", "NEW.sync_")
    event = f"INSERT INTO sync_event ({_EVENT_COLUMNS})"
    rows = state.replace("NEW.", "n.")
    row_kind = kind.replace("NEW.", "n.").replace("OLD.", "o.")
    return {
        _REFUSE: """BEGIN
            RAISE EXCEPTION 'synchist: %', TG_ARGV[0] USING ERRCODE = 'check_violation';
        END""",
        "synchist_stamp_insert": f"""BEGIN
            IF NEW.version <> 0 OR NEW.outcome_at IS NOT NULL THEN
                RAISE EXCEPTION 'synchist: version and outcome_at are kept by the database'
                    USING ERRCODE = 'check_violation';
            END IF;
            NEW.version := 1;
            NEW.outcome_at := coalesce(NEW.sync_at, NEW.created_at);
            NEW.problem_id := NULL;
            IF NEW.sync_status = 2 THEN
                NEW.problem_id := {UNDIAGNOSED};
            END IF;
            IF NEW.sync_status <> 1 THEN
                NEW.closed_reason := NULL;
            END IF;
            RETURN NEW;
        END""",
        "synchist_stamp_update": f"""DECLARE kind text := {kind};
        BEGIN
            NEW.version := OLD.version + 1;
            IF {_fresh("IS DISTINCT FROM")} THEN
                NEW.outcome_at := NEW.sync_at;
            ELSIF kind IN ('operation', 'direct') THEN
                NEW.outcome_at := clock_timestamp();
            END IF;
            IF kind = 'attempt' OR NEW.sync_status <> 1 THEN
                NEW.closed_reason := NULL;
            END IF;
            IF {tells_why} OR NEW.problem_id = {UNDIAGNOSED} THEN
                NEW.problem_id := {UNDIAGNOSED};
            ELSIF NEW.sync_status = 1 OR coalesce(NEW.sync_error, '') = '' THEN
                NEW.problem_id := NULL;
            ELSE
                NEW.problem_id := coalesce(NEW.problem_id, {UNDIAGNOSED});
            END IF;
            RETURN NEW;
        END""",
        "synchist_append_created": f"""BEGIN
            {event}
            SELECT TG_TABLE_NAME, n.id, n.version, n.outcome_at, clock_timestamp(), 'created',
                n.last_operation_id, n.outcome_at, {rows}
            FROM new_rows n;
            RETURN NULL;
        END""",
        "synchist_append_changed": f"""BEGIN
            {event}
            SELECT TG_TABLE_NAME, n.id, n.version,
                CASE WHEN k.kind = 'attempt' THEN n.sync_at
                    WHEN n.outcome_at IS DISTINCT FROM o.outcome_at
                        AND n.outcome_at IS DISTINCT FROM n.sync_at THEN n.outcome_at
                    ELSE clock_timestamp() END,
                clock_timestamp(),
                CASE k.kind WHEN 'unchanged' THEN 'direct' ELSE k.kind END,
                n.last_operation_id, n.outcome_at, {rows}
            FROM new_rows n JOIN old_rows o ON o.id = n.id
            CROSS JOIN LATERAL (SELECT {row_kind} AS kind) k
            WHERE n.version <> o.version;
            RETURN NULL;
        END""",
        "synchist_append_chronicle": """DECLARE columns text[] := TG_ARGV;
        BEGIN
            INSERT INTO chronicle (source, key)
            SELECT TG_TABLE_NAME, string_agg(to_jsonb(NEW) ->> c.name, '/' ORDER BY c.place)
            FROM unnest(columns) WITH ORDINALITY AS c (name, place);
            RETURN NULL;
        END""",
    }


def trigger_functions() -> list[str]:
    """Names of PostgreSQL's trigger functions, which take no arguments."""
    return list(_postgresql_functions())


def _postgresql_triggers(
    append_only: Sequence[Table] = APPEND_ONLY,
) -> dict[tuple[str, str], str]:
    """Everything after CREATE TRIGGER by (table, name).

    Triggers of one moment fire in the order of their names: the guard looks at what the statement
    asked for, then the stamp sets version and outcome.
    """
    triggers: dict[tuple[str, str], str] = {}

    def add(table: str, name: str, body: str) -> None:
        triggers[table, name] = body.format(table=table, refuse=f"EXECUTE FUNCTION {_REFUSE}")

    for table in ENTITY_TABLES:
        name = table.name
        add(
            name,
            "a_guard_update",
            "BEFORE UPDATE ON {table} FOR EACH ROW WHEN (NEW.version <> OLD.version"
            " OR NEW.outcome_at IS DISTINCT FROM OLD.outcome_at OR NEW.id <> OLD.id"
            " OR NEW.tms_id <> OLD.tms_id OR NEW.created_at <> OLD.created_at)"
            " {refuse}('id, tms_id, created_at, version and outcome_at are kept by the database')",
        )
        add(
            name,
            "b_stamp_insert",
            "BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION synchist_stamp_insert()",
        )
        add(
            name,
            "b_stamp_update",
            f"BEFORE UPDATE OF {_FIRING} ON {{table}} FOR EACH ROW"
            " EXECUTE FUNCTION synchist_stamp_update()",
        )
        add(
            name,
            "c_append_created",
            "AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT"
            " EXECUTE FUNCTION synchist_append_created()",
        )
        add(
            name,
            "c_append_changed",
            "AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"
            " FOR EACH STATEMENT EXECUTE FUNCTION synchist_append_changed()",
        )
        add(
            name,
            "a_guard_delete",
            "BEFORE DELETE OR TRUNCATE ON {table} FOR EACH STATEMENT"
            " {refuse}('rows are never deleted; void them in the TMS')",
        )
    for table in append_only:
        add(
            table.name,
            "a_guard_change",
            "BEFORE DELETE OR UPDATE OR TRUNCATE ON {table} FOR EACH STATEMENT"
            " {refuse}('{table} is append-only')",
        )
        if table in CHRONICLED and chronicle in append_only:
            key = ", ".join(f"'{column.name}'" for column in table.primary_key.columns)
            add(
                table.name,
                "c_append_chronicle",
                "AFTER INSERT ON {table} FOR EACH ROW"
                f" EXECUTE FUNCTION synchist_append_chronicle({key})",
            )
    for name in ("sync_event", "chronicle"):
        if name in {table.name for table in append_only}:
            add(
                name,
                "a_guard_insert",
                "BEFORE INSERT ON {table} FOR EACH STATEMENT WHEN (pg_trigger_depth() = 0)"
                " {refuse}('{table} is written by the database alone')",
            )
    return triggers


def _plain(definition: str) -> str:
    """A trigger's definition without what PostgreSQL adds when it writes one out."""
    return re.sub(r"::text|[\s()]", "", definition).lower()


def _fingerprint(body: str) -> str:
    return hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def _install_postgresql(connection: Connection) -> None:
    schema = connection.scalar(text("SELECT quote_ident(current_schema())"))
    for name, body in _postgresql_functions().items():
        secured = f"SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp"
        # Whoever may execute the function could hang it on a table of their own and forge events.
        connection.exec_driver_sql(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
            f" {secured if _APPENDS in name else ''} AS $body${body}$body$".replace("%", "%%")
        )
        connection.exec_driver_sql(f"REVOKE EXECUTE ON FUNCTION {name}() FROM PUBLIC")
    for (table, name), body in _postgresql_triggers(_there(connection)).items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name} ON {table}")
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {body}")


def _broken_postgresql(connection: Connection) -> set[str]:
    triggers = connection.execute(
        text(
            "SELECT c.relname, t.tgname, pg_get_triggerdef(t.oid, true)"
            " FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')"
            " AND c.relnamespace = current_schema()::regnamespace"
        )
    )
    standing = {(table, name): _plain(definition) for table, name, definition in triggers}
    functions = connection.execute(
        text(
            "SELECT proname, md5(prosrc), prosecdef AND proconfig IS NOT NULL FROM pg_proc"
            " WHERE pronamespace = current_schema()::regnamespace"
        )
    )
    sources = {name: (digest, secured) for name, digest, secured in functions}
    return {
        f"{table}.{name}"
        for (table, name), body in _postgresql_triggers().items()
        if standing.get((table, name)) != _plain(f"CREATE TRIGGER {name} {body}")
    } | {
        name
        for name, body in _postgresql_functions().items()
        if sources.get(name) != (_fingerprint(body), _APPENDS in name)
    }


# ---------------------------------------------------------------- both


def install_triggers(connection: Connection) -> None:
    """Put every trigger in place, replacing what is there. Each migration ends with this call,
    since Alembic's batch mode on SQLite rebuilds tables and silently drops their triggers."""
    if connection.dialect.name == "postgresql":
        _install_postgresql(connection)
        return
    for name, statement in _sqlite(_there(connection)).items():
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
        connection.exec_driver_sql(statement)


def _there(connection: Connection) -> list[Table]:
    """The append-only tables that are made already: an early migration precedes the later ones."""
    names = set(inspect(connection).get_table_names())
    return [table for table in APPEND_ONLY if table.name in names]


def broken_triggers(connection: Connection) -> set[str]:
    """Names of the triggers (or trigger functions) that are missing, disabled or altered."""
    if connection.dialect.name == "postgresql":
        return _broken_postgresql(connection)
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    standing = {row.name: row.sql for row in rows}
    return {name for name, statement in _sqlite().items() if standing.get(name) != statement}
