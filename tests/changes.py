"""What tests of operations share: records ticked, changes asked for, and what is written then."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from sqlalchemy import Row, Table, func, select

from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.db.tables import metadata, operation, operation_item, sync_event
from synchist.db.types import moment_text
from synchist.entities import ENTITIES, Entity
from synchist.receipts import Receipt
from synchist.status_changes import Change, Selection, change_status
from synchist.statuses import CloseReason, ItemOutcome, SyncStatus
from tests.conftest import Database
from tests.world import noon

PENDING, COMPLETE, FAILED = SyncStatus
APPLIED, CONFLICTED = ItemOutcome.APPLIED, ItemOutcome.CONFLICTED
BUSY, MISSING, RISKY = ItemOutcome.BUSY, ItemOutcome.MISSING, ItemOutcome.RISKY
OPERATOR = Principal.command_line("operator")
TO_PENDING = Change(PENDING)
NOT_THERE = 999_999


def to(status: SyncStatus, note: str = "", **more: Any) -> Change:
    reason = CloseReason.ALREADY_IN_BOOKS if status is COMPLETE else None
    return Change(status, reason, note, **more)


def row(entity: Entity, record: int) -> dict[str, Any]:
    with reading() as connection:
        found = connection.execute(select(entity.table).where(entity.table.c.id == record))
        return dict(found.mappings().one())


def versions() -> dict[str, dict[int, int]]:
    """Every record as a selection of all would remember it."""
    with reading() as connection:
        return {
            entity.key: dict(
                connection.execute(select(entity.table.c.id, entity.table.c.version)).all()
            )
            for entity in ENTITIES
        }


def ticked(entity: Entity, *records: int) -> dict[str, dict[int, int]]:
    """Records ticked in a list that is up to date."""
    current = versions()[entity.key]
    return {entity.key: {record: current[record] for record in records}}


def warily(principal: Principal, selection: Selection, change: Change) -> Receipt:
    """A change by somebody who accepts no risk but those that the change names."""
    return change_status(principal, str(uuid4()), selection, change)


def move(principal: Principal, selection: Selection, change: Change) -> Receipt:
    """A change by somebody who accepts every risk."""
    return warily(principal, selection, replace(change, accepted=selection))


def events(entity: Entity, record: int) -> list[Row[Any]]:
    with reading() as connection:
        return list(
            connection.execute(
                select(sync_event)
                .where(sync_event.c.entity == entity.key, sync_event.c.record_id == record)
                .order_by(sync_event.c.version)
            )
        )


def written() -> dict[str, int]:
    """How much history there is; the same before and after where nothing was done."""
    with reading() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in (sync_event, operation, operation_item)
        }


def everything(*without: Table) -> dict[str, list[Any]]:
    """Every row of every table but these."""
    with reading() as connection:
        return {
            table.name: sorted(connection.execute(select(table)).all(), key=repr)
            for table in metadata.sorted_tables
            if table not in without
        }


# ---------------------------------------------------------------- what jobs and the TMS write


def quoted(value: object) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return "NULL" if value is None else str(value)


def sets(entity: Entity, record: int, values: Mapping[str, object]) -> str:
    """A plain UPDATE, as anybody's who writes to the database directly."""
    pairs = ", ".join(f"{name} = {quoted(value)}" for name, value in values.items())
    return f"UPDATE {entity.key} SET {pairs} WHERE id = {record}"


def attempt(
    entity: Entity, record: int, error: str | None = "Timeout", minutes: int = 0, **more: object
) -> str:
    """What a sync job writes after it tried; Failed where nothing else is said."""
    values = {
        "sync_status": int(FAILED),
        "sync_at": moment_text(noon(0).replace(minute=minutes)),
        "sync_error": error,
        **more,
    }
    return sets(entity, record, values)


def run(database: Database, *statements: str) -> None:
    """Plain statements of a job or the TMS, each in a transaction of its own."""
    for statement in statements:
        with database.elsewhere(statement) as connection:
            connection.execute(statement)
            connection.commit()
