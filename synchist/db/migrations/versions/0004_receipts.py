"""Receipts: operations that take others back, quick to list, and what a retry of a failure does.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from synchist.db.triggers import install_triggers

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column(
        "operation",
        sa.Column("undoes", sa.String(length=36), comment="the operation that this one takes back"),
    )
    op.create_index("ix_operation_at", "operation", ["at"])
    op.create_index("ix_operation_actor_id_at", "operation", ["actor_id", "at"])
    op.add_column(
        "diagnosis",
        sa.Column(
            "retry", sa.String(length=20), comment="what another attempt does; null: not looked at"
        ),
    )
    install_triggers(op.get_bind())
