"""Who may do what in a PostgreSQL database: rights of three roles, and the script that grants them.

The **application** is the product: pages, downloads, command line. **Jobs** are the sync jobs that
run elsewhere, the **TMS** is whatever brings its records by SQL. None of them owns anything, so
none can take away what keeps the history. What is not said here is refused; nobody may delete.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from textwrap import fill

from sqlalchemy import Connection, Table, text

from synchist.db.tables import APPEND_ONLY, ENTITY_TABLES, SYNC_COLUMNS, metadata
from synchist.db.triggers import trigger_functions
from synchist.errors import SynchistError

VERSION = "alembic_version"
"""Alembic's own table: which schema this is."""


class RoleUnusable(SynchistError):
    """A role can't have this name."""


class GrantsMissing(SynchistError):
    """The configured role may do less than the product needs: an upgrade has brought something."""

    def __init__(self, lacking: Iterable[str]) -> None:
        super().__init__(
            f"The database does not let its role {', '.join(sorted(lacking)[:3])}. Grant what this"
            " version needs, as the owner of the tables: python -m synchist db grants | psql"
        )


@dataclass(frozen=True)
class Rights:
    """What a role may do with a table beside reading all of it. `updates` are columns."""

    inserts: bool = False
    updates: tuple[str, ...] = ()

    def as_sql(self) -> str:
        """The privileges as GRANT names them."""
        insert = ", INSERT" * self.inserts
        return f"SELECT{insert}" + (f", UPDATE ({_names(self.updates)})" if self.updates else "")

    def each(self) -> Iterator[tuple[str, str]]:
        """Privilege and column of each right; no column where it is on the whole table."""
        yield "SELECT", ""
        if self.inserts:
            yield "INSERT", ""
        yield from (("UPDATE", column) for column in self.updates)


READS = Rights()
APPENDS = Rights(inserts=True)

KEPT = ("id", "tms_id", "created_at", "version", "outcome_at")
"""Columns of a record that never change, or that the database itself keeps."""

WRITTEN_BY_TRIGGERS = ("sync_event", "chronicle")

BROUGHT = ("charge_line", "invoice_payment_application", "bill_payment_application")
"""What the TMS brings with its records."""


def _settable(table: Table, *but: str) -> Rights:
    columns = tuple(column.name for column in table.c if column.name not in (*KEPT, *but))
    return Rights(inserts=True, updates=columns)


APPLICATION: Mapping[str, Rights] = {
    **{table.name: _settable(table) for table in ENTITY_TABLES},
    "organization": Rights(inserts=True, updates=("is_payer", "is_vendor", "is_billing")),
    "connection": Rights(updates=("lock_date", "learnt_lock_date")),
    **dict.fromkeys(BROUGHT, READS),
    **{table.name: APPENDS for table in APPEND_ONLY},
    **dict.fromkeys((*WRITTEN_BY_TRIGGERS, "attempt_line"), READS),
    # Derived, so that it may be computed anew.
    "problem": Rights(inserts=True, updates=("title",)),
    "diagnosis": Rights(inserts=True, updates=("problem_id", "at", "catalogue", "retry")),
    "daily_open": Rights(inserts=True, updates=("count", "amount")),
    "daily_open_day": Rights(inserts=True, updates=("time_zone", "last_event_id")),
    # People.
    "account": Rights(inserts=True, updates=("password_hash", "disabled_at")),
    "role_grant": Rights(inserts=True, updates=("until_at",)),
    "auth_session": Rights(inserts=True, updates=("seen_at", "ended_at")),
    "sign_in_attempt": Rights(inserts=True, updates=("succeeded",)),
    "visit": Rights(inserts=True, updates=("seen_at", "before_at")),
    "triage": Rights(inserts=True, updates=("owner_id", "note", "version")),
    "database_fact": READS,
    VERSION: READS,
}
"""What the product does, by table."""

OUTCOME = tuple(column for column in SYNC_COLUMNS if column != "closed_reason")
"""What a job says about a record. Why one was closed is a person's word."""

JOBS: Mapping[str, Rights] = {
    **{table.name: Rights(updates=OUTCOME) for table in ENTITY_TABLES},
    "connection": Rights(updates=("state", "token_expires_at", "last_success_at", "lock_date")),
    "attempt_line": APPENDS,
    **dict.fromkeys(("organization", *BROUGHT), READS),
}
"""What the contract of docs/jobs.md lets a job do, by table; of any other it sees nothing."""

_OURS = (*SYNC_COLUMNS, "last_operation_id", "problem_id")

TMS: Mapping[str, Rights] = {
    **{table.name: _settable(table, *_OURS) for table in ENTITY_TABLES},
    "organization": _settable(metadata.tables["organization"]),
    "connection": _settable(metadata.tables["connection"], "last_success_at", "learnt_lock_date"),
    **{name: _settable(metadata.tables[name]) for name in BROUGHT},
}
"""What the TMS does, by table. It may bring a record with its outcome and not change one later."""


# ---------------------------------------------------------------- the script


def grants_script(
    application: str = "synchist", jobs: str = "synchist_jobs", tms: str = "synchist_tms"
) -> str:
    """SQL that leaves the three roles with their rights and no other; it may run again.

    Makes the roles where they are missing. Raises RoleUnusable.
    """
    roles = {_checked(application): APPLICATION, _checked(jobs): JOBS, _checked(tms): TMS}
    if len(roles) < 3:
        raise RoleUnusable("Each of the three needs a role of its own. Give them three names.")
    statements = [
        *_revoked(roles),
        *(statement for role, rights in roles.items() for statement in _granted(role, rights)),
    ]
    wrapped = (
        fill(one, 100, subsequent_indent="    ", break_on_hyphens=False) for one in statements
    )
    return "\n".join([_HEAD, _made(roles), *wrapped, "COMMIT;\n"])


_HEAD = """\
-- What each role may do. Run it as the owner of the tables, and again after every upgrade:
-- python -m synchist db grants | psql DATABASE
BEGIN;"""


def _checked(role: str) -> str:
    # Names are quoted below. One that needs more than letters is no use to anybody, though.
    if not re.fullmatch(r"[\w.@-]+", role) or len(role.encode()) > 63:
        raise RoleUnusable(
            "A role's name has up to 63 letters, digits and . _ @ -. Choose another one."
        )
    if role in ("public", "none") or role.startswith("pg_"):
        raise RoleUnusable(f"PostgreSQL keeps the name {role} to itself. Choose another one.")
    return role


def _names(names: Iterable[str]) -> str:
    """Identifiers, quoted where they have to be."""
    plain = re.compile("[a-z_][a-z0-9_]*")
    return ", ".join(name if plain.fullmatch(name) else f'"{name}"' for name in names)


def _made(roles: Iterable[str]) -> str:
    """The roles; one with a right that no REVOKE takes away is refused."""
    listed = ", ".join(f"'{role}'" for role in roles)
    made = "".join(
        f"""
    IF to_regrole('"{role}"') IS NULL THEN
        CREATE ROLE {_names([role])} LOGIN;
    END IF;"""
        for role in roles
    )
    return f"""DO $synchist$ BEGIN{made}
    IF EXISTS (
        SELECT FROM pg_roles WHERE rolname IN ({listed})
        AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls
            OR EXISTS (SELECT FROM pg_auth_members WHERE member = pg_roles.oid)
            OR EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid))
    ) THEN
        RAISE EXCEPTION 'A role may do more than this script says: it owns tables, is a member of'
            ' another role, or has an attribute such as SUPERUSER or CREATEROLE.'
            USING HINT = 'Take that away, or choose another role.';
    END IF;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO {_names(roles)}', current_database());
END $synchist$;"""


def _revoked(roles: Iterable[str]) -> Iterator[str]:
    everybody = f"FROM PUBLIC, {_names(roles)};"
    sequences = filter(None, map(_sequence, metadata.tables))
    functions = ", ".join(f"{name}()" for name in trigger_functions())
    yield f"REVOKE ALL ON SCHEMA public {everybody}"
    yield f"REVOKE ALL ON {_names((*metadata.tables, VERSION))} {everybody}"
    yield f"REVOKE ALL ON SEQUENCE {_names(sequences)} {everybody}"
    yield f"REVOKE ALL ON FUNCTION {functions} {everybody}"


def _granted(role: str, rights: Mapping[str, Rights]) -> Iterator[str]:
    to = f"TO {_names([role])};"
    yield f"GRANT USAGE ON SCHEMA public {to}"
    for table, of in rights.items():
        yield f"GRANT {of.as_sql()} ON {table} {to}"
        if of.inserts and (sequence := _sequence(table)):
            yield f"GRANT USAGE ON SEQUENCE {sequence} {to}"


def _sequence(table: str) -> str | None:
    """The sequence that numbers a table's rows."""
    numbered = metadata.tables[table].autoincrement_column if table in metadata.tables else None
    return None if numbered is None else f"{table}_{numbered.name}_seq"


# ---------------------------------------------------------------- the role in use


def lacking_rights(connection: Connection) -> set[str]:
    """What the product does and the role of this connection may not: "insert triage". Tables that
    are not there yet don't count."""
    if connection.dialect.name != "postgresql":
        return set()
    needed = [(table, *right) for table, rights in APPLICATION.items() for right in rights.each()]
    names, privileges, columns = map(list, zip(*needed, strict=True))
    found = connection.execute(
        text(
            "SELECT lower(n.privilege) || ' ' || c.relname"
            " FROM unnest(CAST(:names AS text[]), CAST(:privileges AS text[]),"
            " CAST(:columns AS text[])) AS n (name, privilege, part)"
            " JOIN pg_class c ON c.relname = n.name JOIN pg_namespace s ON s.oid = c.relnamespace"
            " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = n.part"
            " WHERE s.nspname = 'public' AND NOT (has_schema_privilege(s.oid, 'USAGE')"
            " AND CASE n.part WHEN '' THEN has_table_privilege(c.oid, n.privilege)"
            " ELSE coalesce(has_column_privilege(c.oid, a.attnum, n.privilege), true) END)"
        ),
        {"names": names, "columns": columns, "privileges": privileges},
    )
    return set(found.scalars())


def owner_in_use(connection: Connection) -> str | None:
    """The role of this connection, if it owns the tables or may do all that their owner may."""
    if connection.dialect.name != "postgresql":
        return None
    role: str | None = connection.scalar(
        text(
            "SELECT current_user FROM pg_class WHERE oid = CAST('sync_event' AS regclass)"
            " AND pg_has_role(relowner, 'MEMBER')"
        )
    )
    return role
