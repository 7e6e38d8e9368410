"""Indexes for a million records: counts and sums, orders by amount, searches by branch.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

from synchist.db.triggers import install_triggers

revision = "0002"
down_revision = "0001"

ENTITIES = ("invoice", "invoice_payment", "bill", "bill_payment")


def upgrade() -> None:
    newest_first: sa.ColumnElement[object] = sa.literal_column("outcome_at DESC")
    for name in ENTITIES:
        op.drop_index(f"ix_{name}_outcome", name)
        op.create_index(
            f"ix_{name}_outcome", name, ["sync_status", newest_first, "id", "currency", "amount"]
        )
        op.create_index(f"ix_{name}_amount", name, ["sync_status", "amount", "id", "outcome_at"])
        op.create_index(f"ix_{name}_billing_organization_id", name, ["billing_organization_id"])
        op.create_index(f"ix_{name}_currency", name, ["currency"])
    install_triggers(op.get_bind())
