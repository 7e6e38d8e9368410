"""The first schema: entities, history, operations, accounts.

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa
from alembic import op

from synchist.db.triggers import install_triggers
from synchist.db.types import Identifier, Moment

revision = "0001"
down_revision = None

SEARCHED = {
    "invoice": ("number", "sync_reference", "shipment_id", "pro_number"),
    "invoice_payment": ("number", "sync_reference", "check_number"),
    "bill": ("number", "sync_reference", "shipment_id", "pro_number"),
    "bill_payment": ("number", "sync_reference", "check_number"),
}


def _is_moment(column: str) -> str:
    return (
        f"{column} GLOB '????-??-?? ??:??:??.[0-9][0-9][0-9][0-9][0-9][0-9]'"
        f" AND datetime(substr({column}, 1, 19)) IS substr({column}, 1, 19)"
    )


def _is_day(column: str) -> str:
    return f"date({column}) IS {column}"


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("login", sa.String(length=200), nullable=False, comment="lower case"),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "password_hash",
            sa.String(length=200),
            nullable=True,
            comment="argon2id; null: no password sign-in",
        ),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("disabled_at", Moment(), nullable=True),
        sa.CheckConstraint(
            _is_moment("created_at"), name=op.f("ck_account_created_at_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_moment("disabled_at"),
            name=op.f("ck_account_disabled_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint("login = lower(login)", name=op.f("ck_account_login")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("login", name=op.f("uq_account_login")),
    )
    op.create_table(
        "connection",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("system", sa.String(length=40), nullable=False),
        sa.Column("company", sa.String(length=200), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("token_expires_at", Moment(), nullable=True),
        sa.Column("last_success_at", Moment(), nullable=True),
        sa.Column(
            "lock_date",
            sa.Date(),
            nullable=True,
            comment="the books are closed up to and including this day",
        ),
        sa.CheckConstraint(
            _is_moment("last_success_at"),
            name=op.f("ck_connection_last_success_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_day("lock_date"),
            name=op.f("ck_connection_lock_date_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "state IN ('authorized', 'expired', 'revoked')", name=op.f("ck_connection_state")
        ),
        sa.CheckConstraint(
            _is_moment("token_expires_at"),
            name=op.f("ck_connection_token_expires_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_connection")),
        sa.UniqueConstraint("name", name=op.f("uq_connection_name")),
    )
    op.create_table(
        "database_fact",
        sa.Column("key", sa.String(length=40), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_database_fact")),
    )
    op.create_table(
        "organization",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("tms_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column(
            "scac",
            sa.String(length=4),
            nullable=True,
            comment="standard carrier alpha code, of carriers",
        ),
        sa.Column("is_payer", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_vendor", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_billing", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organization")),
        sa.UniqueConstraint("tms_id", name=op.f("uq_organization_tms_id")),
    )
    op.create_table(
        "sign_in_attempt",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("login", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=100), nullable=False),
        sa.Column("succeeded", sa.Boolean(), nullable=False),
        sa.CheckConstraint(_is_moment("at"), name=op.f("ck_sign_in_attempt_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_attempt")),
    )
    op.create_index(op.f("ix_sign_in_attempt_address_at"), "sign_in_attempt", ["address", "at"])
    op.create_index(op.f("ix_sign_in_attempt_login_at"), "sign_in_attempt", ["login", "at"])
    op.create_table(
        "access_event",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("actor_id", Identifier, nullable=True),
        sa.Column("actor", sa.String(length=200), nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(_is_moment("at"), name=op.f("ck_access_event_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.ForeignKeyConstraint(
            ["actor_id"], ["account.id"], name=op.f("fk_access_event_actor_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_event")),
    )
    op.create_index(op.f("ix_access_event_at"), "access_event", ["at"])
    op.create_table(
        "auth_session",
        sa.Column(
            "id",
            sa.String(length=36),
            nullable=False,
            comment="public: names the session, opens nothing",
        ),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("account_id", Identifier, nullable=False),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("seen_at", Moment(), nullable=False),
        sa.Column("ended_at", Moment(), nullable=True),
        sa.CheckConstraint(
            _is_moment("created_at"),
            name=op.f("ck_auth_session_created_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_moment("ended_at"), name=op.f("ck_auth_session_ended_at_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(_is_moment("seen_at"), name=op.f("ck_auth_session_seen_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_auth_session_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auth_session")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_auth_session_token_sha256")),
    )
    op.create_index(op.f("ix_auth_session_account_id"), "auth_session", ["account_id"])
    op.create_table(
        "operation",
        sa.Column(
            "id", sa.String(length=36), nullable=False, comment="UUID, also the idempotency key"
        ),
        sa.Column("at", Moment(), nullable=False),
        sa.Column("actor_id", Identifier, nullable=True, comment="null for the command line"),
        sa.Column("actor", sa.String(length=200), nullable=False, comment="name at the time"),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("to_status", sa.SmallInteger(), nullable=True),
        sa.Column("reason", sa.String(length=40), nullable=True),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "filters", sa.Text(), server_default="", nullable=False, comment="filters in words"
        ),
        sa.Column(
            "digest", sa.String(length=64), nullable=False, comment="sha256 of what was asked"
        ),
        sa.Column("requested", sa.Integer(), nullable=False),
        sa.CheckConstraint(_is_moment("at"), name=op.f("ck_operation_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.ForeignKeyConstraint(["actor_id"], ["account.id"], name=op.f("fk_operation_actor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operation")),
    )
    op.create_table(
        "role_grant",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("account_id", Identifier, nullable=False),
        sa.Column("role", sa.String(length=60), nullable=False),
        sa.Column("from_at", Moment(), nullable=False),
        sa.Column("until_at", Moment(), nullable=True, comment="null while it holds"),
        sa.Column("granted_by", sa.String(length=200), nullable=False),
        sa.CheckConstraint(_is_moment("from_at"), name=op.f("ck_role_grant_from_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(_is_moment("until_at"), name=op.f("ck_role_grant_until_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_role_grant_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_role_grant")),
    )
    op.create_index(op.f("ix_role_grant_account_id"), "role_grant", ["account_id"])
    op.create_table(
        "bill",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("tms_id", sa.String(length=64), nullable=False, comment="the load key"),
        sa.Column("number", sa.String(length=60), nullable=False),
        sa.Column("party_id", Identifier, nullable=False),
        sa.Column("billing_organization_id", Identifier, nullable=False),
        sa.Column("connection_id", Identifier, nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tms_status", sa.String(length=40), nullable=False),
        sa.Column("accounting_date", sa.Date(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("sync_status", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sync_at", Moment(), nullable=True, comment="when the last attempt was made"),
        sa.Column("sync_reference", sa.String(length=100), nullable=True),
        sa.Column("synced_amount", sa.BigInteger(), nullable=True),
        sa.Column("sync_error_code", sa.String(length=100), nullable=True),
        sa.Column("sync_error", sa.Text(), nullable=True),
        sa.Column(
            "outcome_at",
            Moment(),
            nullable=True,
            comment="since when the sync status is what it is",
        ),
        sa.Column("closed_reason", sa.String(length=40), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_operation_id", sa.String(length=36), nullable=True),
        sa.Column("shipment_id", sa.String(length=60), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column(
            "pro_number",
            sa.String(length=60),
            nullable=True,
            comment="the carrier's number of the shipment",
        ),
        sa.CheckConstraint(
            _is_day("accounting_date"),
            name=op.f("ck_bill_accounting_date_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "amount IS NULL OR typeof(amount) = 'integer'", name=op.f("ck_bill_amount_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(_is_moment("created_at"), name=op.f("ck_bill_created_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(_is_day("due_date"), name=op.f("ck_bill_due_date_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(_is_moment("outcome_at"), name=op.f("ck_bill_outcome_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(_is_moment("sync_at"), name=op.f("ck_bill_sync_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            "sync_status IS NULL OR typeof(sync_status) = 'integer'",
            name=op.f("ck_bill_sync_status_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "synced_amount IS NULL OR typeof(synced_amount) = 'integer'",
            name=op.f("ck_bill_synced_amount_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "length(currency) = 3 AND currency = upper(currency)", name=op.f("ck_bill_currency")
        ),
        sa.CheckConstraint(
            "sync_status <> 2 OR coalesce(length(sync_error), 0) > 0",
            name=op.f("ck_bill_failed_has_error"),
        ),
        sa.CheckConstraint("sync_status IN (0, 1, 2)", name=op.f("ck_bill_sync_status")),
        sa.ForeignKeyConstraint(
            ["billing_organization_id"],
            ["organization.id"],
            name=op.f("fk_bill_billing_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_bill_connection_id")
        ),
        sa.ForeignKeyConstraint(
            ["last_operation_id"], ["operation.id"], name=op.f("fk_bill_last_operation_id")
        ),
        sa.ForeignKeyConstraint(["party_id"], ["organization.id"], name=op.f("fk_bill_party_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill")),
        sa.UniqueConstraint("tms_id", name=op.f("uq_bill_tms_id")),
    )
    op.create_index(
        "ix_bill_outcome", "bill", ["sync_status", sa.literal_column("outcome_at DESC"), "id"]
    )
    op.create_index(op.f("ix_bill_party_id"), "bill", ["party_id"])
    op.create_table(
        "bill_payment",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("tms_id", sa.String(length=64), nullable=False, comment="the load key"),
        sa.Column("number", sa.String(length=60), nullable=False),
        sa.Column("party_id", Identifier, nullable=False),
        sa.Column("billing_organization_id", Identifier, nullable=False),
        sa.Column("connection_id", Identifier, nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tms_status", sa.String(length=40), nullable=False),
        sa.Column("accounting_date", sa.Date(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("sync_status", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sync_at", Moment(), nullable=True, comment="when the last attempt was made"),
        sa.Column("sync_reference", sa.String(length=100), nullable=True),
        sa.Column("synced_amount", sa.BigInteger(), nullable=True),
        sa.Column("sync_error_code", sa.String(length=100), nullable=True),
        sa.Column("sync_error", sa.Text(), nullable=True),
        sa.Column(
            "outcome_at",
            Moment(),
            nullable=True,
            comment="since when the sync status is what it is",
        ),
        sa.Column("closed_reason", sa.String(length=40), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_operation_id", sa.String(length=36), nullable=True),
        sa.Column("method", sa.String(length=40), nullable=True),
        sa.Column("check_number", sa.String(length=60), nullable=True),
        sa.Column("memo", sa.Text(), nullable=True),
        sa.CheckConstraint(
            _is_day("accounting_date"),
            name=op.f("ck_bill_payment_accounting_date_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "amount IS NULL OR typeof(amount) = 'integer'", name=op.f("ck_bill_payment_amount_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_moment("created_at"),
            name=op.f("ck_bill_payment_created_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_moment("outcome_at"),
            name=op.f("ck_bill_payment_outcome_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(_is_moment("sync_at"), name=op.f("ck_bill_payment_sync_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            "sync_status IS NULL OR typeof(sync_status) = 'integer'",
            name=op.f("ck_bill_payment_sync_status_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "synced_amount IS NULL OR typeof(synced_amount) = 'integer'",
            name=op.f("ck_bill_payment_synced_amount_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "length(currency) = 3 AND currency = upper(currency)",
            name=op.f("ck_bill_payment_currency"),
        ),
        sa.CheckConstraint(
            "sync_status <> 2 OR coalesce(length(sync_error), 0) > 0",
            name=op.f("ck_bill_payment_failed_has_error"),
        ),
        sa.CheckConstraint("sync_status IN (0, 1, 2)", name=op.f("ck_bill_payment_sync_status")),
        sa.ForeignKeyConstraint(
            ["billing_organization_id"],
            ["organization.id"],
            name=op.f("fk_bill_payment_billing_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_bill_payment_connection_id")
        ),
        sa.ForeignKeyConstraint(
            ["last_operation_id"], ["operation.id"], name=op.f("fk_bill_payment_last_operation_id")
        ),
        sa.ForeignKeyConstraint(
            ["party_id"], ["organization.id"], name=op.f("fk_bill_payment_party_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_payment")),
        sa.UniqueConstraint("tms_id", name=op.f("uq_bill_payment_tms_id")),
    )
    op.create_index(
        "ix_bill_payment_outcome",
        "bill_payment",
        ["sync_status", sa.literal_column("outcome_at DESC"), "id"],
    )
    op.create_index(op.f("ix_bill_payment_party_id"), "bill_payment", ["party_id"])
    op.create_table(
        "invoice",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("tms_id", sa.String(length=64), nullable=False, comment="the load key"),
        sa.Column("number", sa.String(length=60), nullable=False),
        sa.Column("party_id", Identifier, nullable=False),
        sa.Column("billing_organization_id", Identifier, nullable=False),
        sa.Column("connection_id", Identifier, nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tms_status", sa.String(length=40), nullable=False),
        sa.Column("accounting_date", sa.Date(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("sync_status", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sync_at", Moment(), nullable=True, comment="when the last attempt was made"),
        sa.Column("sync_reference", sa.String(length=100), nullable=True),
        sa.Column("synced_amount", sa.BigInteger(), nullable=True),
        sa.Column("sync_error_code", sa.String(length=100), nullable=True),
        sa.Column("sync_error", sa.Text(), nullable=True),
        sa.Column(
            "outcome_at",
            Moment(),
            nullable=True,
            comment="since when the sync status is what it is",
        ),
        sa.Column("closed_reason", sa.String(length=40), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_operation_id", sa.String(length=36), nullable=True),
        sa.Column("shipment_id", sa.String(length=60), nullable=True),
        sa.Column("due_date", sa.Date(), nullable=True),
        sa.Column(
            "pro_number",
            sa.String(length=60),
            nullable=True,
            comment="the carrier's number of the shipment",
        ),
        sa.CheckConstraint(
            _is_day("accounting_date"),
            name=op.f("ck_invoice_accounting_date_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "amount IS NULL OR typeof(amount) = 'integer'", name=op.f("ck_invoice_amount_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_moment("created_at"), name=op.f("ck_invoice_created_at_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(_is_day("due_date"), name=op.f("ck_invoice_due_date_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            _is_moment("outcome_at"), name=op.f("ck_invoice_outcome_at_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(_is_moment("sync_at"), name=op.f("ck_invoice_sync_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.CheckConstraint(
            "sync_status IS NULL OR typeof(sync_status) = 'integer'",
            name=op.f("ck_invoice_sync_status_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "synced_amount IS NULL OR typeof(synced_amount) = 'integer'",
            name=op.f("ck_invoice_synced_amount_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "length(currency) = 3 AND currency = upper(currency)", name=op.f("ck_invoice_currency")
        ),
        sa.CheckConstraint(
            "sync_status <> 2 OR coalesce(length(sync_error), 0) > 0",
            name=op.f("ck_invoice_failed_has_error"),
        ),
        sa.CheckConstraint("sync_status IN (0, 1, 2)", name=op.f("ck_invoice_sync_status")),
        sa.ForeignKeyConstraint(
            ["billing_organization_id"],
            ["organization.id"],
            name=op.f("fk_invoice_billing_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_invoice_connection_id")
        ),
        sa.ForeignKeyConstraint(
            ["last_operation_id"], ["operation.id"], name=op.f("fk_invoice_last_operation_id")
        ),
        sa.ForeignKeyConstraint(
            ["party_id"], ["organization.id"], name=op.f("fk_invoice_party_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice")),
        sa.UniqueConstraint("tms_id", name=op.f("uq_invoice_tms_id")),
    )
    op.create_index(
        "ix_invoice_outcome", "invoice", ["sync_status", sa.literal_column("outcome_at DESC"), "id"]
    )
    op.create_index(op.f("ix_invoice_party_id"), "invoice", ["party_id"])
    op.create_table(
        "invoice_payment",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("tms_id", sa.String(length=64), nullable=False, comment="the load key"),
        sa.Column("number", sa.String(length=60), nullable=False),
        sa.Column("party_id", Identifier, nullable=False),
        sa.Column("billing_organization_id", Identifier, nullable=False),
        sa.Column("connection_id", Identifier, nullable=True),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("tms_status", sa.String(length=40), nullable=False),
        sa.Column("accounting_date", sa.Date(), nullable=True),
        sa.Column("created_at", Moment(), nullable=False),
        sa.Column("sync_status", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("sync_at", Moment(), nullable=True, comment="when the last attempt was made"),
        sa.Column("sync_reference", sa.String(length=100), nullable=True),
        sa.Column("synced_amount", sa.BigInteger(), nullable=True),
        sa.Column("sync_error_code", sa.String(length=100), nullable=True),
        sa.Column("sync_error", sa.Text(), nullable=True),
        sa.Column(
            "outcome_at",
            Moment(),
            nullable=True,
            comment="since when the sync status is what it is",
        ),
        sa.Column("closed_reason", sa.String(length=40), nullable=True),
        sa.Column("version", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_operation_id", sa.String(length=36), nullable=True),
        sa.Column("method", sa.String(length=40), nullable=True),
        sa.Column("check_number", sa.String(length=60), nullable=True),
        sa.Column("memo", sa.Text(), nullable=True),
        sa.CheckConstraint(
            _is_day("accounting_date"),
            name=op.f("ck_invoice_payment_accounting_date_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "amount IS NULL OR typeof(amount) = 'integer'",
            name=op.f("ck_invoice_payment_amount_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_moment("created_at"),
            name=op.f("ck_invoice_payment_created_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_moment("outcome_at"),
            name=op.f("ck_invoice_payment_outcome_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            _is_moment("sync_at"),
            name=op.f("ck_invoice_payment_sync_at_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "sync_status IS NULL OR typeof(sync_status) = 'integer'",
            name=op.f("ck_invoice_payment_sync_status_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "synced_amount IS NULL OR typeof(synced_amount) = 'integer'",
            name=op.f("ck_invoice_payment_synced_amount_form"),
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "length(currency) = 3 AND currency = upper(currency)",
            name=op.f("ck_invoice_payment_currency"),
        ),
        sa.CheckConstraint(
            "sync_status <> 2 OR coalesce(length(sync_error), 0) > 0",
            name=op.f("ck_invoice_payment_failed_has_error"),
        ),
        sa.CheckConstraint("sync_status IN (0, 1, 2)", name=op.f("ck_invoice_payment_sync_status")),
        sa.ForeignKeyConstraint(
            ["billing_organization_id"],
            ["organization.id"],
            name=op.f("fk_invoice_payment_billing_organization_id"),
        ),
        sa.ForeignKeyConstraint(
            ["connection_id"], ["connection.id"], name=op.f("fk_invoice_payment_connection_id")
        ),
        sa.ForeignKeyConstraint(
            ["last_operation_id"],
            ["operation.id"],
            name=op.f("fk_invoice_payment_last_operation_id"),
        ),
        sa.ForeignKeyConstraint(
            ["party_id"], ["organization.id"], name=op.f("fk_invoice_payment_party_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_payment")),
        sa.UniqueConstraint("tms_id", name=op.f("uq_invoice_payment_tms_id")),
    )
    op.create_index(
        "ix_invoice_payment_outcome",
        "invoice_payment",
        ["sync_status", sa.literal_column("outcome_at DESC"), "id"],
    )
    op.create_index(op.f("ix_invoice_payment_party_id"), "invoice_payment", ["party_id"])
    op.create_table(
        "operation_item",
        sa.Column("operation_id", sa.String(length=36), nullable=False),
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("version_seen", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operation.id"], name=op.f("fk_operation_item_operation_id")
        ),
        sa.PrimaryKeyConstraint(
            "operation_id", "entity", "record_id", name=op.f("pk_operation_item")
        ),
    )
    op.create_index(
        op.f("ix_operation_item_entity_record_id"), "operation_item", ["entity", "record_id"]
    )
    op.create_table(
        "sync_event",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("entity", sa.String(length=20), nullable=False),
        sa.Column("record_id", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", Moment(), nullable=False, comment="when it happened, as the row says"),
        sa.Column(
            "recorded_at", Moment(), nullable=False, comment="when the database wrote it down"
        ),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("operation_id", sa.String(length=36), nullable=True),
        sa.Column("outcome_at", Moment(), nullable=False),
        sa.Column("sync_status", sa.SmallInteger(), nullable=False),
        sa.Column("sync_at", Moment(), nullable=True),
        sa.Column("sync_reference", sa.String(length=100), nullable=True),
        sa.Column("synced_amount", sa.BigInteger(), nullable=True),
        sa.Column("sync_error_code", sa.String(length=100), nullable=True),
        sa.Column("sync_error", sa.Text(), nullable=True),
        sa.Column("closed_reason", sa.String(length=40), nullable=True),
        sa.Column("tms_status", sa.String(length=40), nullable=False),
        sa.Column("number", sa.String(length=60), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("party_id", sa.BigInteger(), nullable=False),
        sa.Column("billing_organization_id", sa.BigInteger(), nullable=False),
        sa.Column("connection_id", sa.BigInteger(), nullable=True),
        sa.Column("accounting_date", sa.Date(), nullable=True),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operation.id"], name=op.f("fk_sync_event_operation_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sync_event")),
        sa.UniqueConstraint(
            "entity", "record_id", "version", name=op.f("uq_sync_event_entity_record_id_version")
        ),
    )
    op.create_index(
        op.f("ix_sync_event_entity_sync_status_at"), "sync_event", ["entity", "sync_status", "at"]
    )
    op.create_table(
        "bill_payment_application",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("bill_payment_id", Identifier, nullable=False),
        sa.Column("bill_id", Identifier, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "amount IS NULL OR typeof(amount) = 'integer'",
            name=op.f("ck_bill_payment_application_amount_form"),
        ).ddl_if(dialect="sqlite"),
        sa.ForeignKeyConstraint(
            ["bill_id"], ["bill.id"], name=op.f("fk_bill_payment_application_bill_id")
        ),
        sa.ForeignKeyConstraint(
            ["bill_payment_id"],
            ["bill_payment.id"],
            name=op.f("fk_bill_payment_application_bill_payment_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bill_payment_application")),
    )
    op.create_index(
        op.f("ix_bill_payment_application_bill_id"), "bill_payment_application", ["bill_id"]
    )
    op.create_index(
        op.f("ix_bill_payment_application_bill_payment_id"),
        "bill_payment_application",
        ["bill_payment_id"],
    )
    op.create_table(
        "charge_line",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("invoice_id", Identifier, nullable=True),
        sa.Column("bill_id", Identifier, nullable=True),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("description", sa.String(length=200), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="in the document's currency"),
        sa.CheckConstraint(
            "amount IS NULL OR typeof(amount) = 'integer'", name=op.f("ck_charge_line_amount_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(
            "(invoice_id IS NULL) <> (bill_id IS NULL)", name=op.f("ck_charge_line_one_document")
        ),
        sa.ForeignKeyConstraint(["bill_id"], ["bill.id"], name=op.f("fk_charge_line_bill_id")),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_charge_line_invoice_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_charge_line")),
    )
    op.create_index(op.f("ix_charge_line_bill_id"), "charge_line", ["bill_id"])
    op.create_index(op.f("ix_charge_line_invoice_id"), "charge_line", ["invoice_id"])
    op.create_table(
        "invoice_payment_application",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("invoice_payment_id", Identifier, nullable=False),
        sa.Column("invoice_id", Identifier, nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "amount IS NULL OR typeof(amount) = 'integer'",
            name=op.f("ck_invoice_payment_application_amount_form"),
        ).ddl_if(dialect="sqlite"),
        sa.ForeignKeyConstraint(
            ["invoice_id"], ["invoice.id"], name=op.f("fk_invoice_payment_application_invoice_id")
        ),
        sa.ForeignKeyConstraint(
            ["invoice_payment_id"],
            ["invoice_payment.id"],
            name=op.f("fk_invoice_payment_application_invoice_payment_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invoice_payment_application")),
    )
    op.create_index(
        op.f("ix_invoice_payment_application_invoice_id"),
        "invoice_payment_application",
        ["invoice_id"],
    )
    op.create_index(
        op.f("ix_invoice_payment_application_invoice_payment_id"),
        "invoice_payment_application",
        ["invoice_payment_id"],
    )
    op.create_table(
        "attempt_line",
        sa.Column("id", Identifier, nullable=False),
        sa.Column("charge_line_id", Identifier, nullable=False),
        sa.Column("sync_at", Moment(), nullable=False, comment="of the attempt that read it"),
        sa.Column("amount", sa.BigInteger(), nullable=False, comment="what the books hold"),
        sa.CheckConstraint(
            "amount IS NULL OR typeof(amount) = 'integer'", name=op.f("ck_attempt_line_amount_form")
        ).ddl_if(dialect="sqlite"),
        sa.CheckConstraint(_is_moment("sync_at"), name=op.f("ck_attempt_line_sync_at_form")).ddl_if(
            dialect="sqlite"
        ),
        sa.ForeignKeyConstraint(
            ["charge_line_id"], ["charge_line.id"], name=op.f("fk_attempt_line_charge_line_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempt_line")),
    )
    op.create_index(op.f("ix_attempt_line_charge_line_id"), "attempt_line", ["charge_line_id"])

    folded = "upper({})" if op.get_bind().dialect.name == "sqlite" else '(upper({}) COLLATE "C")'
    for table, columns in SEARCHED.items():
        for column in columns:
            expression = sa.text(folded.format(column))
            op.create_index(f"ix_{table}_{column}", table, [expression])
    install_triggers(op.get_bind())
