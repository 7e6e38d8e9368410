"""Problems: why records failed, beside them and in tables of their own.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

from synchist.db.triggers import install_triggers
from synchist.db.types import Identifier, Moment

revision = "0003"
down_revision = "0002"

ENTITIES = ("invoice", "invoice_payment", "bill", "bill_payment")


def _problems() -> None:
    op.create_table(
        "problem",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("connection_id", Identifier, nullable=True),
        sa.Column("cause", sa.String(length=40), nullable=False),
        sa.Column(
            "named",
            sa.String(length=200),
            nullable=False,
            comment="what has to be fixed; empty: no name",
        ),
        sa.Column("title", sa.String(length=400), nullable=False),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_problem_connection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_problem")),
    )
    connection_or_none: sa.ColumnElement[object] = sa.literal_column("coalesce(connection_id, 0)")
    op.create_index("uq_problem", "problem", [connection_or_none, "cause", "named"], unique=True)


def _diagnoses() -> None:
    op.create_table(
        "diagnosis",
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="of the event that tells why"),
        sa.Column("problem_id", Identifier, nullable=False),
        sa.Column("at", Moment(), nullable=False, comment="the event's"),
        sa.Column(
            "catalogue", sa.String(length=12), nullable=False, comment="version of the rules"
        ),
        sa.CheckConstraint(
            "at GLOB '????-??-?? ??:??:??.[0-9][0-9][0-9][0-9][0-9][0-9]'"
            " AND datetime(substr(at, 1, 19)) IS substr(at, 1, 19)",
            name=op.f("ck_diagnosis_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.ForeignKeyConstraint(
            ["problem_id"], ["problem.id"], name=op.f("fk_diagnosis_problem_id")
        ),
        sa.PrimaryKeyConstraint("entity", "record_id", "version", name=op.f("pk_diagnosis")),
    )
    op.create_index(op.f("ix_diagnosis_problem_id_at"), "diagnosis", ["problem_id", "at"])
    op.create_index(op.f("ix_diagnosis_at_problem_id"), "diagnosis", ["at", "problem_id"])


def _on_records(name: str) -> None:
    op.add_column(
        name,
        sa.Column(
            "problem_id", sa.BigInteger(), comment="why the last attempt failed; 0: not looked at"
        ),
    )
    op.execute(
        f"""UPDATE {name} SET problem_id = 0 WHERE id IN (
            SELECT record_id FROM sync_event WHERE entity = '{name}'
            AND (kind <> 'tms' AND sync_status = 2
                OR kind = 'attempt' AND sync_status = 0 AND sync_error > ''))"""
    )
    _partial(
        f"ix_{name}_problem",
        name,
        ["problem_id", "currency", "amount", "created_at"],
        "sync_status = 2",
    )
    _partial(f"ix_{name}_undiagnosed", name, ["id"], "problem_id = 0")


def _partial(index: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(index, table, columns, sqlite_where=condition, postgresql_where=condition)


def upgrade() -> None:
    _problems()
    _diagnoses()
    for name in ENTITIES:
        _on_records(name)
    _partial(
        "ix_sync_event_attempts",
        "sync_event",
        ["connection_id", "sync_status", "at"],
        "kind = 'attempt'",
    )
    install_triggers(op.get_bind())
