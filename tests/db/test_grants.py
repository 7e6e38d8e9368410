"""T1, least privilege: what each role of a PostgreSQL database may do, and that it is no more."""

from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege, IntegrityError

from synchist.db import grants
from synchist.db.engine import NotGranted, reading, writing
from synchist.db.grants import GrantsMissing, Rights, RoleUnusable, grants_script
from synchist.db.prepare import prepare, unguarded, upgrade
from synchist.db.tables import APPEND_ONLY, metadata
from synchist.demo import make_demo
from tests.conftest import APPLICATION, JOBS, OWNER, POSTGRESQL, TMS, Database, configured, owned
from tests.conftest import _named as named
from tests.world import World

only_postgresql = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
ROLES = {APPLICATION: grants.APPLICATION, JOBS: grants.JOBS, TMS: grants.TMS}
every_role = pytest.mark.parametrize("role", ROLES)

COLUMNS = {
    **{table.name: [column.name for column in table.c] for table in metadata.tables.values()},
    grants.VERSION: ["version_num"],
}


def test_every_table_has_its_line() -> None:
    """A table without one could not be used; this one reminds whoever adds it."""
    assert set(grants.APPLICATION) == {*metadata.tables, grants.VERSION}
    for rights in ROLES.values():
        for table, of in rights.items():
            assert set(of.updates) <= set(COLUMNS[table])


def test_what_is_appended_is_never_changed() -> None:
    for rights in ROLES.values():
        for table in APPEND_ONLY:
            assert rights.get(table.name, Rights()).updates == ()
        assert not any(rights.get(table, Rights()).inserts for table in ("sync_event", "chronicle"))


# ---------------------------------------------------------------- the whole matrix


def stated(rights: dict[str, Rights]) -> set[tuple[str, str, str]]:
    """Privilege, table and column of everything that a role may do, as `grants.py` says it."""
    return {
        (privilege, table, column)
        for table, of in rights.items()
        for privilege, only in of.each()
        for column in ([only] if only else COLUMNS[table])
    }


HELD = """
SELECT p, c.relname, a.attname FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND c.relnamespace = 'public'::regnamespace
AND has_column_privilege(%(role)s, c.oid, a.attnum, p)
"""

HELD_ON_WHOLE_TABLES = """
SELECT p, c.relname FROM pg_class c
CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES',
    'TRIGGER', 'MAINTAIN', 'SELECT WITH GRANT OPTION', 'INSERT WITH GRANT OPTION']) p
WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND c.relnamespace = 'public'::regnamespace
AND has_table_privilege(%(role)s, c.oid, p)
"""

HELD_OTHERWISE = """
SELECT p, c.relname FROM pg_class c CROSS JOIN unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
WHERE c.relkind = 'S' AND c.relnamespace = 'public'::regnamespace
AND has_sequence_privilege(%(role)s, c.oid, p)
UNION ALL
SELECT 'EXECUTE', proname FROM pg_proc
WHERE pronamespace = 'public'::regnamespace AND has_function_privilege(%(role)s, oid, 'EXECUTE')
UNION ALL
SELECT p, nspname FROM pg_namespace CROSS JOIN unnest(ARRAY['USAGE', 'CREATE']) p
WHERE nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema'
AND has_schema_privilege(%(role)s, oid, p)
UNION ALL
SELECT 'MEMBER', r.rolname FROM pg_roles r
WHERE r.rolname <> %(role)s AND pg_has_role(%(role)s, r.oid, 'MEMBER')
UNION ALL
SELECT 'OWNER', relname FROM pg_class WHERE relowner = %(role)s::regrole
UNION ALL
SELECT 'CREATE', datname FROM pg_database
WHERE datname = current_database() AND has_database_privilege(%(role)s, oid, 'CREATE')
"""

GIVEN_TO_EVERYBODY = """
SELECT relname, privilege_type FROM pg_class, aclexplode(relacl)
WHERE grantee = 0 AND relnamespace = 'public'::regnamespace
UNION ALL
SELECT attname, privilege_type FROM pg_attribute, aclexplode(attacl)
WHERE grantee = 0 AND NOT starts_with(attrelid::regclass::text, 'pg_')
UNION ALL
SELECT proname, privilege_type FROM pg_proc,
    aclexplode(coalesce(proacl, acldefault('f', proowner)))
WHERE grantee = 0 AND pronamespace = 'public'::regnamespace
UNION ALL
SELECT nspname, privilege_type FROM pg_namespace, aclexplode(nspacl)
WHERE grantee = 0 AND nspname = 'public'
"""


def differences(connection: psycopg.Connection[Any], role: str) -> dict[str, set[Any]]:
    """What a role may do and should not, and the other way round."""
    rights = ROLES[role]

    def held(query: str) -> set[Any]:
        return set(connection.execute(query, {"role": role}).fetchall())

    whole = {
        (right, table) for table, of in rights.items() for right, only in of.each() if not only
    }
    numbered = {grants._sequence(table) for table, of in rights.items() if of.inserts} - {None}
    other = {("USAGE", name) for name in [*numbered, "public"]}
    return {
        "columns": held(HELD) ^ stated(rights),
        "tables": held(HELD_ON_WHOLE_TABLES) ^ whole,
        "others": held(HELD_OTHERWISE) ^ other,
        "everybody": held(GIVEN_TO_EVERYBODY),
    }


NONE: dict[str, set[Any]] = {"columns": set(), "tables": set(), "others": set(), "everybody": set()}


@only_postgresql
@every_role
def test_a_role_may_do_what_is_said_and_nothing_else(database: Database, role: str) -> None:
    with database.owner() as connection:
        assert differences(connection, role) == NONE


@only_postgresql
def test_the_script_takes_away_whatever_was_granted_before(database: Database) -> None:
    """It may be run again and again, on a database that somebody has been generous with."""
    with database.owner() as connection:
        for everybody in ("PUBLIC", APPLICATION, JOBS):
            connection.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {everybody}")
            connection.execute(f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {everybody}")
            connection.execute(f"GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO {everybody}")
            connection.execute(f"GRANT ALL ON SCHEMA public TO {everybody}")
        connection.execute(f"GRANT UPDATE (amount) ON invoice TO {JOBS} WITH GRANT OPTION")
        connection.execute("GRANT SELECT (password_hash) ON account TO PUBLIC")
        connection.commit()
        assert all(differences(connection, JOBS).values())
        connection.commit()
        for _again in range(2):
            connection.execute(grants_script(APPLICATION, JOBS, TMS))
        assert [differences(connection, role) for role in ROLES] == [NONE] * 3


# ---------------------------------------------------------------- each right, tried


def attempts(table: str) -> Iterator[tuple[str, str, str]]:
    """A statement for each privilege on a table, or on a column of it."""
    first, columns = COLUMNS[table][0], ", ".join(COLUMNS[table])
    yield "SELECT", first, f"SELECT {columns} FROM {table} LIMIT 0"
    yield (
        "INSERT",
        first,
        f"INSERT INTO {table} ({columns}) VALUES ({columns.count(',') * 'DEFAULT, '}DEFAULT)",
    )
    for column in COLUMNS[table]:
        yield "UPDATE", column, f"UPDATE {table} SET {column} = NULL WHERE false"
    yield "DELETE", "", f"DELETE FROM {table} WHERE false"
    yield "TRUNCATE", "", f"TRUNCATE {table} CASCADE"
    yield "LOCK", "", f"DO 'BEGIN LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE; END'"
    yield "OWNER", "", f"ALTER TABLE {table} DISABLE TRIGGER ALL"
    yield "OWNER", "", f"ALTER TABLE {table} ADD COLUMN mine int"
    yield "OWNER", "", f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"
    yield "OWNER", "", f"DROP TABLE {table} CASCADE"
    yield "OWNER", "", f"CREATE RULE mine AS ON UPDATE TO {table} DO INSTEAD NOTHING"
    yield (
        *("TRIGGER", ""),
        f"CREATE TRIGGER mine BEFORE UPDATE ON {table} FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    )


@only_postgresql
@every_role
def test_each_statement_is_refused_or_not_as_is_said(database: Database, role: str) -> None:
    """Every privilege on every table is tried as the role, since a privilege that is said to be
    missing may still be of no effect."""
    allowed = stated(ROLES[role])
    wrong, refused = [], 0
    with psycopg.connect(database.url_of(role), autocommit=True) as connection:
        for table in COLUMNS:
            for privilege, column, statement in attempts(table):
                denied = False
                with suppress(IntegrityError):
                    try:
                        connection.execute(statement)
                    except InsufficientPrivilege:
                        denied = True
                refused += denied
                if denied is ((privilege, table, column) in allowed):
                    wrong.append(statement)
            with suppress(InsufficientPrivilege):  # else it warns and does nothing
                connection.execute(f"GRANT ALL ON {table} TO PUBLIC")
    assert wrong == []
    assert refused > 500
    with database.owner() as owner:
        assert differences(owner, role) == NONE


# ---------------------------------------------------------------- hostile statements

FORGED = (
    "INSERT INTO sync_event (entity, record_id, version, at, recorded_at, kind, outcome_at,"
    " sync_status, tms_status, number, amount, currency, party_id, billing_organization_id)"
    " SELECT 'invoice', 1, 999, now(), now(), 'attempt', now(), 1, 'Created', 'X', 1, 'USD', 1, 1"
)
OF_ANYBODY = {
    "forge an event": FORGED,
    "forge one by COPY": "COPY sync_event FROM STDIN",
    "forge its order": "INSERT INTO chronicle (source, key) VALUES ('operation', 'x')",
    "turn its numbers back": "SELECT setval('sync_event_id_seq', 1)",
    "use its numbers up": "SELECT nextval('sync_event_id_seq')",
    "rewrite by MERGE": "MERGE INTO sync_event e USING invoice i ON e.record_id = i.id"
    " WHEN MATCHED THEN UPDATE SET sync_status = 1",
    "rewrite by an upsert": "INSERT INTO operation SELECT * FROM operation"
    " ON CONFLICT (id) DO UPDATE SET actor = 'Nobody'",
    "raise the version": "UPDATE invoice SET version = version + 1",
    "change the load key": "UPDATE invoice SET tms_id = 'other'",
    "switch triggers off": "SET session_replication_role = replica",
    "switch them off for good": f"ALTER ROLE {APPLICATION} SET session_replication_role = replica",
    "drop a trigger": "DROP TRIGGER c_append_changed ON invoice",
    "edit the catalogue": "UPDATE pg_trigger SET tgenabled = 'D'",
    "edit the functions' source": "UPDATE pg_proc SET prosrc = 'BEGIN RETURN NULL; END'",
    "replace a function": "CREATE OR REPLACE FUNCTION public.synchist_append_changed() RETURNS"
    " trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "give a function another path": "ALTER FUNCTION public.synchist_append_changed()"
    " SET search_path = pg_temp",
    "take a function's rights": "ALTER FUNCTION public.synchist_append_changed() SECURITY INVOKER",
    "call a function": "SELECT public.synchist_append_changed()",
    "drop a function": "DROP FUNCTION public.synchist_refuse() CASCADE",
    "become the owner": f"SET ROLE {OWNER}",
    "become the owner for the session": f"SET SESSION AUTHORIZATION {OWNER}",
    "become a member": f"GRANT {OWNER} TO CURRENT_USER",
    "become a superuser": "ALTER ROLE CURRENT_USER SUPERUSER",
    "make a role": "CREATE ROLE another SUPERUSER",
    "change the owner's password": f"ALTER ROLE {OWNER} PASSWORD 'mine'",
    "read the passwords of roles": "SELECT rolpassword FROM pg_authid",
    "make a table": "CREATE TABLE public.sync_event_2 (id int)",
    "make a schema": "CREATE SCHEMA mine",
    "make a function": "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "make an operator": "CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text,"
    " FUNCTION = texteq)",
    "make an event trigger": "CREATE EVENT TRIGGER mine ON ddl_command_start"
    " EXECUTE FUNCTION public.synchist_refuse()",
    "make a subscription": "CREATE PUBLICATION mine FOR ALL TABLES",
    "load a library": "LOAD '/usr/lib/mine.so'",
    "use another language": "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE c AS 'mine', 'f'",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'id'",
    "read a program": "COPY attempt_line FROM PROGRAM 'id'",
    "write a file": "COPY (SELECT 1) TO '/tmp/mine'",
    "read a file": "SELECT pg_read_file('postgresql.conf')",
    "read a file into a large object": "SELECT lo_import('/etc/hosts')",
    "list files": "SELECT pg_ls_dir('.')",
    "change the server": "ALTER SYSTEM SET fsync = off",
    "reload the server": "SELECT pg_reload_conf()",
    "change the database": "ALTER DATABASE postgres SET session_replication_role = replica",
    "end others": "SELECT pg_terminate_backend(%(backend)s)",
    "block everybody": "DO 'BEGIN LOCK TABLE invoice IN ACCESS EXCLUSIVE MODE; END'",
    "block writers": "DO 'BEGIN LOCK TABLE sync_event IN SHARE MODE; END'",
    "default rights for others": f"ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} GRANT ALL ON TABLES"
    " TO PUBLIC",
}
OF_JOBS = {
    "read password hashes": "SELECT password_hash FROM account",
    "find a login": "SELECT 1 FROM account WHERE login = 'ada'",
    "take a role": "INSERT INTO role_grant (account_id, role, from_at, granted_by)"
    " VALUES (1, 'Accounting Sync', now(), 'me')",
    "keep a role": "UPDATE role_grant SET until_at = NULL",
    "open a session": "INSERT INTO auth_session (id, token_sha256, account_id, created_at, seen_at)"
    " VALUES ('x', 'x', 1, now(), now())",
    "steal a session": "SELECT token_sha256 FROM auth_session",
    "pass as a person": "UPDATE invoice SET sync_status = 1, last_operation_id ="
    " (SELECT last_operation_id FROM invoice WHERE last_operation_id IS NOT NULL LIMIT 1)",
    "close for a person": "UPDATE invoice SET sync_status = 1, closed_reason = 'duplicate'",
    "make an operation up": "INSERT INTO operation (id, at, actor, action, digest, requested)"
    " VALUES ('x', now(), 'Ada', 'status', 'x', 1)",
    "change an amount": "UPDATE invoice SET amount = 1",
    "change an amount beside the outcome": "UPDATE bill SET sync_status = 1, amount = 1",
    "change the TMS status": "UPDATE invoice SET tms_status = 'Voided'",
    "move a record to another connection": "UPDATE invoice SET connection_id = 2",
    "hide a problem": "UPDATE invoice SET problem_id = NULL",
    "add a record": "INSERT INTO invoice (tms_id) VALUES ('mine')",
    "rename a connection": "UPDATE connection SET name = 'Other books'",
    "add a connection": "INSERT INTO connection (name, system, company, state)"
    " VALUES ('Mine', 'xero', 'Mine', 'authorized')",
    "rewrite what the books held": "UPDATE attempt_line SET amount = 0",
    "read who did what": "SELECT detail FROM access_event",
    "read notes of the team": "SELECT note FROM triage",
    "read hints of the team": "SELECT text FROM team_hint",
    "mark it as a demo": "INSERT INTO database_fact VALUES ('demo', '1')",
}
OF_THE_TMS = {
    "say an outcome": "UPDATE invoice SET sync_status = 1",
    "pass as a job": "UPDATE invoice SET sync_at = now()",
    "read password hashes": "SELECT password_hash FROM account",
    "take a role": "INSERT INTO role_grant (account_id, role, from_at, granted_by)"
    " VALUES (1, 'Accounting Sync', now(), 'me')",
}
HOSTILE = [
    *((role, *one) for role in ROLES for one in OF_ANYBODY.items()),
    *((JOBS, *one) for one in OF_JOBS.items()),
    *((TMS, *one) for one in OF_THE_TMS.items()),
]


def everything(connection: psycopg.Connection[Any]) -> list[Any]:
    """Each table's rows as one hash, each role, each trigger."""
    tables = [
        connection.execute(f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t")
        for table in COLUMNS
    ]
    rest = [
        connection.execute("SELECT rolname, rolsuper, rolconfig FROM pg_roles ORDER BY 1"),
        connection.execute("SELECT oid, tgenabled FROM pg_trigger ORDER BY 1"),
        connection.execute("SELECT oid, prosrc FROM pg_proc ORDER BY 1"),
        connection.execute("SELECT oid, relname, relacl::text FROM pg_class ORDER BY 1"),
        connection.execute("SELECT last_value FROM sync_event_id_seq"),
    ]
    return [cursor.fetchall() for cursor in (*tables, *rest)]


@only_postgresql
@every_role
def test_hostile_statements_are_refused(database: Database, world: World, role: str) -> None:
    """All in one database, one after the other: none may pass, nor leave a trace."""
    passed = []
    with (
        psycopg.connect(database.url_of(OWNER), autocommit=True) as owner,
        psycopg.connect(database.url_of(role), autocommit=True) as attacker,
    ):
        before = everything(owner)
        for name, statement in ((name, sql) for who, name, sql in HOSTILE if who == role):
            try:
                attacker.execute(statement.replace("%(backend)s", str(owner.info.backend_pid)))
                passed.append(name)
            except InsufficientPrivilege:
                pass
        assert passed == []
        assert everything(owner) == before


@only_postgresql
def test_statistics_tell_a_job_nothing_of_accounts(database: Database, world: World) -> None:
    with database.owner() as owner:
        owner.execute("ANALYZE")
        owner.commit()
    with database.bare() as job:
        seen = job.execute("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'")
        assert {table for (table,) in seen} <= set(grants.JOBS)


# ---------------------------------------------------------------- what stays possible

EVENTS = "SELECT count(*) FROM sync_event"
ATTEMPT = "UPDATE invoice SET sync_status = 2, sync_at = now(), sync_error = 'No' WHERE id = 11"


@only_postgresql
def test_a_job_can_do_its_work_and_events_appear(database: Database, world: World) -> None:
    with database.bare() as job, database.owner() as owner:
        (before,) = owner.execute(EVENTS).fetchone() or ()
        claim = "SELECT id FROM invoice ORDER BY id FOR UPDATE SKIP LOCKED"
        assert job.execute(claim).fetchall()
        job.execute(ATTEMPT)
        job.execute("UPDATE connection SET state = 'revoked', last_success_at = now() WHERE id = 1")
        job.execute(
            "INSERT INTO attempt_line (charge_line_id, sync_at, amount)"
            " SELECT min(id), now(), 1 FROM charge_line"
        )
        job.commit()
        owner.rollback()
        assert owner.execute(EVENTS).fetchone() == (before + 1,)


def _by_a_table(connection: psycopg.Connection[Any]) -> None:
    columns = ", ".join(f"{column} text" for column in COLUMNS["sync_event"])
    connection.execute(f"CREATE TEMP TABLE sync_event ({columns})")
    connection.execute("SET search_path = pg_temp, public")


def _by_a_function(connection: psycopg.Connection[Any]) -> None:
    _by_a_table(connection)
    connection.execute(
        "CREATE FUNCTION pg_temp.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        " AS $$ SELECT '2000-01-01'::timestamptz $$"
    )
    connection.execute("SET search_path = pg_temp, pg_catalog, public")


@only_postgresql
@pytest.mark.parametrize("trick", [_by_a_table, _by_a_function])
def test_events_go_to_the_real_history(
    database: Database, world: World, trick: Callable[[psycopg.Connection[Any]], None]
) -> None:
    """Things of the same name before the real ones in the search path change nothing."""
    with database.bare() as job, database.owner() as owner:
        (before,) = owner.execute(EVENTS).fetchone() or ()
        owner.commit()
        trick(job)
        job.execute(ATTEMPT.replace("invoice", "public.invoice"))
        assert job.execute("SELECT count(*) FROM pg_temp.sync_event").fetchone() == (0,)
        job.commit()
        assert owner.execute(EVENTS).fetchone() == (before + 1,)
        newest = "SELECT recorded_at > '2026-01-01' FROM sync_event ORDER BY id DESC LIMIT 1"
        assert owner.execute(newest).fetchone() == (True,)


@only_postgresql
def test_a_borrowed_trigger_function_is_refused(database: Database, world: World) -> None:
    """Hung on a table of one's own it would write events as its owner."""
    with database.bare() as job:
        job.execute("CREATE TEMP TABLE invoice (LIKE public.invoice)")
        with pytest.raises(InsufficientPrivilege):
            job.execute(
                "CREATE TRIGGER z AFTER INSERT ON pg_temp.invoice REFERENCING NEW TABLE AS new_rows"
                " FOR EACH STATEMENT EXECUTE FUNCTION public.synchist_append_created()"
            )


# ---------------------------------------------------------------- the script


@pytest.fixture
def installation(postgresql_server: str) -> Iterator[str]:
    """The address of an empty database whose owner is no superuser, as that owner."""
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute("CREATE ROLE lisbeth LOGIN CREATEROLE")
        connection.execute("CREATE DATABASE lisbeth OWNER lisbeth")
        try:
            url = named(postgresql_server, "lisbeth")
            yield url.replace(f"//{OWNER}:", "//lisbeth:").replace(f"//{OWNER}@", "//lisbeth@")
        finally:
            connection.execute("DROP DATABASE lisbeth WITH (FORCE)")
            connection.execute('DROP ROLE IF EXISTS "pages.of-synchist", jobs, tms, lisbeth')


def test_an_installation_as_the_documentation_says(installation: str) -> None:
    """Upgrade, then grants, both as an owner who is no superuser, with names of one's own."""
    roles = ("pages.of-synchist", "jobs", "tms")
    with configured(installation):
        upgrade()
    with closing(psycopg.connect(installation, autocommit=True)) as owner:
        owner.execute(grants_script(*roles))
        owner.execute(grants_script(*roles))
        allowed = owner.execute(
            "SELECT coalesce(pg_get_userbyid(nullif(grantee, 0)), 'everybody'), privilege_type"
            " FROM pg_database, aclexplode(datacl) WHERE datname = current_database()"
            " AND grantee <> datdba"
        )
        assert set(allowed) == {(role, "CONNECT") for role in roles}
        with closing(psycopg.connect(installation.replace("//lisbeth", "//tms"))) as tms:
            tms.execute("INSERT INTO organization (tms_id, name) VALUES ('O', 'Marrow Freight')")
            tms.execute(
                "INSERT INTO bill (tms_id, number, party_id, billing_organization_id, currency,"
                " amount, tms_status, created_at)"
                " VALUES ('B', 'B', 1, 1, 'USD', 1, 'Created', now())"
            )
            tms.commit()
        with closing(psycopg.connect(installation.replace("//lisbeth", "//jobs"))) as job:
            job.execute("UPDATE bill SET sync_status = 1, sync_at = now()")
            job.commit()
            with pytest.raises(InsufficientPrivilege, match="temporary tables"):
                job.execute("CREATE TEMP TABLE mine (id int)")
        kinds = owner.execute("SELECT kind FROM sync_event ORDER BY id").fetchall()
        assert kinds == [("created",), ("attempt",)]
    with configured(installation.replace("//lisbeth", "//pages.of-synchist")):
        prepare()
        assert unguarded() == ""


@only_postgresql
@pytest.mark.parametrize(
    "attribute", ["SUPERUSER", "CREATEROLE", "BYPASSRLS", "IN ROLE pg_read_all_data"]
)
def test_a_role_that_may_more_is_refused(database: Database, attribute: str) -> None:
    """What no REVOKE takes away would make the rest worthless."""
    with database.owner() as owner:
        owner.execute(f"CREATE ROLE mighty {attribute}")
        with pytest.raises(psycopg.Error, match="may do more than this script says"):
            owner.execute(grants_script("mighty", JOBS, TMS).replace("BEGIN;\n", "", 1))
        owner.rollback()


@only_postgresql
def test_the_owner_is_refused_as_a_role(database: Database) -> None:
    with database.owner() as owner, pytest.raises(psycopg.Error, match="owns tables"):
        owner.execute(grants_script(OWNER))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 64,
        'a"b',
        "a'b",
        "$synchist$",
        "a;b",
        "a\nb",
        "a\0b",
        "a b",
        "public",
        "none",
        "pg_x",
    ],
)
def test_names_that_no_role_should_have_are_refused(name: str) -> None:
    with pytest.raises(RoleUnusable):
        grants_script(jobs=name)


def test_the_three_need_three_roles() -> None:
    with pytest.raises(RoleUnusable, match="a role of its own"):
        grants_script("same", "same")


# ---------------------------------------------------------------- the role in use


def test_the_product_says_if_its_role_could_alter_the_history(database: Database) -> None:
    assert unguarded() == ""
    with owned():
        said = unguarded()
        prepare()
    if database.dialect == POSTGRESQL:
        assert OWNER in said
        assert "python -m synchist db grants" in said


@only_postgresql
@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("INSERT ON triage_event", "insert triage_event"),
        ("UPDATE (note) ON triage", "update triage"),
        (f"SELECT ON {grants.VERSION}", f"select {grants.VERSION}"),
        ("USAGE ON SCHEMA public", "select account"),
    ],
)
def test_the_product_says_what_its_role_lacks(database: Database, missing: str, named: str) -> None:
    """Tables that an upgrade has brought belong to their owner alone until they are granted."""
    with database.owner() as owner:
        owner.execute(f"REVOKE {missing} FROM {APPLICATION}")
        owner.commit()
        try:
            with pytest.raises(GrantsMissing, match="python -m synchist db grants") as raised:
                prepare()
            assert named in str(raised.value) or named == "select account"
        finally:
            owner.execute(grants_script(APPLICATION, JOBS, TMS))


@only_postgresql
def test_what_the_role_may_not_is_said_in_one_sentence(database: Database) -> None:
    with pytest.raises(NotGranted, match="the owner's"), writing() as connection:
        connection.exec_driver_sql("DELETE FROM account")
    with pytest.raises(NotGranted):
        make_demo(10)
    with owned():
        make_demo(10)
    with reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM invoice").scalar_one()
