"""Reconciliation: files held against the records, line by line, and the date of what was found.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

from synchist.db.triggers import install_triggers
from synchist.db.types import Identifier, Moment

revision = "0005"
down_revision = "0004"


def _check(table: str, column: str, form: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(
        form.format(column=column), name=op.f(f"ck_{table}_{column}_form")
    ).ddl_if(dialect="sqlite")


def _moment(table: str, column: str) -> sa.CheckConstraint:
    form = (
        "{column} GLOB '????-??-?? ??:??:??.[0-9][0-9][0-9][0-9][0-9][0-9]'"
        " AND datetime(substr({column}, 1, 19)) IS substr({column}, 1, 19)"
    )
    return _check(table, column, form)


def _day(table: str, column: str) -> sa.CheckConstraint:
    return _check(table, column, "date({column}) IS {column}")


def _whole(table: str, column: str) -> sa.CheckConstraint:
    return _check(table, column, "{column} IS NULL OR typeof({column}) = 'integer'")


def _who(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("at", Moment(), nullable=False),
        sa.Column("actor_id", Identifier, nullable=True, comment="null for the command line"),
        sa.Column("actor", sa.String(length=200), nullable=False, comment="name at the time"),
        sa.ForeignKeyConstraint(["actor_id"], ["account.id"], name=op.f(f"fk_{table}_actor_id")),
        _moment(table, "at"),
    ]


def _of_reconciliation(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("reconciliation_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(
            ["reconciliation_id"],
            ["reconciliation.id"],
            name=op.f(f"fk_{table}_reconciliation_id"),
        ),
        sa.PrimaryKeyConstraint("reconciliation_id", "position", name=op.f(f"pk_{table}")),
    ]


def _reconciliations() -> None:
    name = "reconciliation"
    op.create_table(
        name,
        sa.Column("id", sa.String(length=36), nullable=False, comment="UUID"),
        *_who(name),
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column("connection_id", Identifier, nullable=False),
        sa.Column("file_name", sa.String(length=200), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False, comment="of the file"),
        sa.Column(
            "system",
            sa.String(length=100),
            nullable=False,
            comment="that the file comes from, as read",
        ),
        sa.Column(
            "report", sa.String(length=200), nullable=False, comment="what the file is, as read"
        ),
        sa.Column("period", sa.String(length=200), nullable=False, comment="as the file says it"),
        sa.Column("basis", sa.String(length=100), nullable=False),
        sa.Column(
            "coverage", sa.String(length=20), nullable=False, comment="as the user has confirmed it"
        ),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("amount_is_open", sa.Boolean(), nullable=False),
        sa.Column("rows_read", sa.Integer(), nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Text(), nullable=False, comment="JSON: rows by reason"),
        sa.Column(
            "left_out", sa.Text(), nullable=False, comment="JSON: row, reason and text of some"
        ),
        sa.Column("warnings", sa.Text(), nullable=False, comment="JSON"),
        sa.Column(
            "control_total",
            sa.BigInteger(),
            nullable=True,
            comment="of what was read, in ten-thousandths",
        ),
        sa.Column(
            "documents_total", sa.BigInteger(), nullable=False, comment="the same of the documents"
        ),
        sa.Column("file_total", sa.BigInteger(), nullable=True, comment="the file's own"),
        _day(name, "starts_on"),
        _day(name, "ends_on"),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_reconciliation_connection_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation")),
    )
    op.create_index("ix_reconciliation_at", name, ["at"])
    op.create_index("ix_reconciliation_sha256_entity", name, ["sha256", "entity"])


def _lines() -> None:
    name = "reconciliation_line"
    op.create_table(
        name,
        *_of_reconciliation(name),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("bucket", sa.String(length=20), nullable=False),
        sa.Column(
            "case_number",
            sa.Integer(),
            nullable=False,
            comment="rows that belong together share it",
        ),
        sa.Column(
            "how",
            sa.String(length=60),
            nullable=False,
            comment="by what the two sides belong together",
        ),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "difference",
            sa.BigInteger(),
            nullable=True,
            comment="books minus TMS, in ten-thousandths",
        ),
        sa.Column("sheet_row", sa.Integer(), nullable=True, comment="null: nothing of the file"),
        sa.Column("type", sa.String(length=20), nullable=True),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("party", sa.Text(), nullable=True),
        sa.Column("also", sa.Text(), nullable=True),
        sa.Column("booked_on", sa.Date(), nullable=True),
        sa.Column("amount", sa.BigInteger(), nullable=True),
        sa.Column("open_balance", sa.BigInteger(), nullable=True),
        sa.Column("currency", sa.String(length=10), nullable=True),
        sa.Column("record_id", sa.BigInteger(), nullable=True, comment="null: no record"),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("number", sa.String(length=60), nullable=True),
        sa.Column("record_party", sa.String(length=200), nullable=True),
        sa.Column("record_date", sa.Date(), nullable=True),
        sa.Column("record_amount", sa.BigInteger(), nullable=True),
        sa.Column("record_currency", sa.String(length=3), nullable=True),
        sa.Column("sync_status", sa.SmallInteger(), nullable=True),
        sa.Column("sync_reference", sa.String(length=100), nullable=True),
        sa.Column("closed_reason", sa.String(length=40), nullable=True),
        sa.Column("tms_status", sa.String(length=40), nullable=True),
        _day(name, "booked_on"),
        _day(name, "record_date"),
        _whole(name, "difference"),
        _whole(name, "amount"),
        _whole(name, "open_balance"),
        _whole(name, "record_amount"),
    )
    op.create_index(
        "ix_reconciliation_line_reconciliation_id_bucket_position",
        name,
        ["reconciliation_id", "bucket", "position"],
    )


def _confirmations() -> None:
    name = "reconciliation_confirmation"
    op.create_table(
        name,
        *_of_reconciliation(name),
        sa.Column("position", sa.Integer(), nullable=False, comment="where the document stands"),
        sa.Column(
            "record_position", sa.Integer(), nullable=False, comment="where its record stands"
        ),
        sa.Column(
            "bucket", sa.String(length=20), nullable=False, comment="where the pair belongs now"
        ),
        sa.Column(
            "difference",
            sa.BigInteger(),
            nullable=True,
            comment="books minus TMS, in ten-thousandths",
        ),
        *_who(name),
        _whole(name, "difference"),
        sa.UniqueConstraint(
            "reconciliation_id",
            "record_position",
            name=op.f("uq_reconciliation_confirmation_reconciliation_id_record_position"),
        ),
    )


def _readings() -> None:
    name = "export_reading"
    op.create_table(
        name,
        sa.Column("id", Identifier, nullable=False),
        *_who(name),
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column(
            "headings", sa.String(length=64), nullable=False, comment="sha256 of the headings"
        ),
        sa.Column("reading", sa.Text(), nullable=False, comment="JSON: how such a file is read"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_reading")),
    )
    op.create_index("ix_export_reading_entity_headings", name, ["entity", "headings"])


def upgrade() -> None:
    op.add_column(
        "operation_item",
        sa.Column(
            "booked_on",
            sa.Date(),
            comment="the date in the books, where a person found it there",
        ),
    )
    _reconciliations()
    _lines()
    _confirmations()
    _readings()
    install_triggers(op.get_bind())
