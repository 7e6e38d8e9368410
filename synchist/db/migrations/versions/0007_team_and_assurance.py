"""The team and its auditor: owners and notes, hints of the team, a chain of seals.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

from synchist.db.triggers import install_triggers
from synchist.db.types import Identifier, Moment

revision = "0007"
down_revision = "0006"

_MOMENT = (
    "{column} GLOB '????-??-?? ??:??:??.[0-9][0-9][0-9][0-9][0-9][0-9]'"
    " AND datetime(substr({column}, 1, 19)) IS substr({column}, 1, 19)"
)
# Newest last, as they were written; what belongs to one moment in the order of the keys.
_WRITTEN = """
    INSERT INTO chronicle (source, key)
    SELECT source, key FROM (
        SELECT 'operation' AS source, id AS key, at FROM operation
        UNION ALL SELECT 'reconciliation', id, at FROM reconciliation
        UNION ALL SELECT 'reconciliation_confirmation', reconciliation_id || '/' || position, at
            FROM reconciliation_confirmation
        UNION ALL SELECT 'period_close', id, at FROM period_close
        UNION ALL SELECT 'period_reopen', close_id, at FROM period_reopen
    ) AS written ORDER BY at, source, key
"""


def _moment(table: str, column: str = "at") -> sa.CheckConstraint:
    return sa.CheckConstraint(
        _MOMENT.format(column=column), name=op.f(f"ck_{table}_{column}_form")
    ).ddl_if(dialect="sqlite")


def _to_account(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], ["account.id"], name=op.f(f"fk_{table}_{column}"))


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_" + "_".join(columns)))


def _who(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("at", Moment(), nullable=False),
        sa.Column("actor_id", Identifier, nullable=True, comment="null for the command line"),
        sa.Column("actor", sa.String(length=200), nullable=False, comment="name at the time"),
        _to_account(table, "actor_id"),
        _moment(table),
    ]


def _triage() -> None:
    name = "triage"
    op.create_table(
        name,
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("owner_id", Identifier, nullable=True, comment="null: nobody's"),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        sa.Column("version", sa.Integer(), nullable=False, comment="the number of its events"),
        _to_account(name, "owner_id"),
        _key(name, "entity", "record_id"),
    )
    op.create_index("ix_triage_owner_id", name, ["owner_id"])
    name = "triage_event"
    op.create_table(
        name,
        sa.Column("id", Identifier, nullable=False),
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        *_who(name),
        sa.Column("owner_id", Identifier, nullable=True, comment="from now on; null: nobody"),
        sa.Column("owner", sa.String(length=200), nullable=True, comment="name at the time"),
        sa.Column("note", sa.Text(), nullable=False, comment="from now on"),
        _to_account(name, "owner_id"),
        _key(name, "id"),
        _unique(name, "entity", "record_id", "version"),
    )
    op.create_index("ix_triage_event_at", name, ["at"])


def _hints() -> None:
    name = "team_hint"
    op.create_table(
        name,
        sa.Column("id", Identifier, nullable=False),
        sa.Column(
            "cause",
            sa.String(length=40),
            nullable=False,
            server_default="",
            comment="that it is for, or",
        ),
        sa.Column(
            "named",
            sa.String(length=200),
            nullable=False,
            server_default="",
            comment="what has that name",
        ),
        sa.Column("text", sa.Text(), nullable=False, comment="empty: it was taken away"),
        *_who(name),
        sa.CheckConstraint("(cause = '') <> (named = '')", name=op.f("ck_team_hint_one_subject")),
        _key(name, "id"),
    )
    op.create_index("ix_team_hint_cause_named", name, ["cause", "named"])


def _seals() -> None:
    name = "chronicle"
    op.create_table(
        name,
        sa.Column("id", Identifier, nullable=False),
        sa.Column(
            "source",
            sa.String(length=40),
            nullable=False,
            comment="a table whose rows have no number",
        ),
        sa.Column("key", sa.String(length=60), nullable=False, comment="the row's primary key"),
        _key(name, "id"),
        _unique(name, "source", "key"),
    )
    op.execute(_WRITTEN)
    name = "seal"
    op.create_table(
        name,
        sa.Column("number", Identifier, nullable=False, autoincrement=False, comment="1, 2, 3 …"),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("form", sa.SmallInteger(), nullable=False, comment="how rows were encoded"),
        sa.Column("source", sa.String(length=40), nullable=False, comment="the table of its rows"),
        sa.Column("last_id", sa.BigInteger(), nullable=False, comment="all up to here are sealed"),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column(
            "fingerprints",
            sa.Text(),
            nullable=False,
            comment="of each row, to name the one altered",
        ),
        sa.Column(
            "hash",
            sa.String(length=64),
            nullable=False,
            comment="of all above and the seal before",
        ),
        _moment(name),
        _key(name, "number"),
        _unique(name, "source", "last_id"),
    )


def _vacuumed_often() -> None:
    """Counts read an index alone only where PostgreSQL has seen that a page holds no old rows. It
    looks when a fifth of a table has changed: with a million records, not for weeks."""
    if op.get_bind().dialect.name == "postgresql":
        for table in ("invoice", "invoice_payment", "bill", "bill_payment"):
            op.execute(f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0.02)")


def upgrade() -> None:
    _triage()
    _hints()
    _seals()
    _vacuumed_often()
    install_triggers(op.get_bind())
