"""The overview and the close: daily numbers, visits, months signed off, learnt lock dates.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from synchist.db.triggers import install_triggers
from synchist.db.types import Identifier, Moment

revision = "0006"
down_revision = "0005"

_ENTITIES = ("invoice", "invoice_payment", "bill", "bill_payment")


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


def _to(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=op.f(f"fk_{table}_{column}"))


def _key(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def _who(table: str) -> list[sa.schema.SchemaItem]:
    return [
        sa.Column("at", Moment(), nullable=False),
        sa.Column("actor_id", Identifier, nullable=True, comment="null for the command line"),
        sa.Column("actor", sa.String(length=200), nullable=False, comment="name at the time"),
        _to(table, "actor_id", "account"),
        _moment(table, "at"),
    ]


def _daily() -> None:
    name = "daily_open"
    op.create_table(
        name,
        sa.Column("day", sa.Date(), nullable=False, comment="in business time"),
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column("sync_status", sa.SmallInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="sum of the TMS amounts"),
        _day(name, "day"),
        _whole(name, "amount"),
        _key(name, "day", "entity", "sync_status", "currency"),
    )
    name = "daily_open_day"
    op.create_table(
        name,
        sa.Column("day", sa.Date(), nullable=False, comment="in business time"),
        sa.Column(
            "time_zone", sa.String(length=60), nullable=False, comment="in which the day ended"
        ),
        sa.Column(
            "last_event_id", sa.BigInteger(), nullable=False, comment="the newest event looked at"
        ),
        _day(name, "day"),
        _key(name, "day"),
    )


def _visits() -> None:
    name = "visit"
    op.create_table(
        name,
        sa.Column("account_id", Identifier, nullable=False),
        sa.Column("seen_at", Moment(), nullable=False, comment="of the present visit, so far"),
        sa.Column(
            "before_at",
            Moment(),
            nullable=True,
            comment="when the visit before it ended; null: there was none",
        ),
        _moment(name, "seen_at"),
        _moment(name, "before_at"),
        _to(name, "account_id", "account"),
        _key(name, "account_id"),
    )


def _closes() -> None:
    name = "period_close"
    op.create_table(
        name,
        sa.Column(
            "id", sa.String(length=36), nullable=False, comment="UUID, also the idempotency key"
        ),
        sa.Column("month", sa.Date(), nullable=False, comment="its first day"),
        sa.Column("billing_organization_id", Identifier, nullable=False),
        sa.Column("connection_id", Identifier, nullable=True, comment="null: records without one"),
        sa.Column("note", sa.Text(), nullable=False, server_default=""),
        *_who(name),
        _day(name, "month"),
        _to(name, "billing_organization_id", "organization"),
        _to(name, "connection_id", "connection"),
        _key(name, "id"),
    )
    op.create_index(
        "ix_period_close_month_billing_organization_id_connection_id_at",
        name,
        ["month", "billing_organization_id", "connection_id", "at"],
    )
    _of_close(
        "period_close_sum",
        ["close_id", "entity", "kind", "currency"],
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column(
            "kind",
            sa.String(length=20),
            nullable=False,
            comment="what the records were counted as",
        ),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        _whole("period_close_sum", "amount"),
    )
    _of_close(
        "period_close_record",
        ["close_id", "entity", "record_id"],
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False, comment="as it was signed off"),
        sa.Column(
            "exception",
            sa.String(length=20),
            nullable=True,
            comment="why it was open all the same; null: it was not",
        ),
    )
    _of_close(
        "period_reopen",
        ["close_id"],
        sa.Column("reason", sa.Text(), nullable=False),
        *_who("period_reopen"),
    )


def _of_close(name: str, key: list[str], *columns: sa.schema.SchemaItem) -> None:
    op.create_table(
        name,
        sa.Column("close_id", sa.String(length=36), nullable=False),
        *columns,
        _to(name, "close_id", "period_close"),
        _key(name, *key),
    )


def _indexes() -> None:
    still_open = sa.text("sync_status != 1")
    for entity in _ENTITIES:
        op.create_index(
            f"ix_{entity}_open",
            entity,
            ["sync_status", "created_at", "currency", "amount"],
            sqlite_where=still_open,
            postgresql_where=still_open,
        )
        op.create_index(
            f"ix_{entity}_period",
            entity,
            ["accounting_date", "billing_organization_id", "connection_id"],
        )


def upgrade() -> None:
    op.add_column(
        "connection",
        sa.Column(
            "learnt_lock_date",
            sa.Date(),
            comment="the same, as the books' refusals have shown",
        ),
    )
    _daily()
    _visits()
    _closes()
    _indexes()
    install_triggers(op.get_bind())
