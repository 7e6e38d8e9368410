"""Status changes of many records at a time, as pages make them, and what is stored of each."""

import multiprocessing
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import ModuleType
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Connection, func, select, true

from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.db.tables import operation, operation_item, sync_event
from synchist.entities import ENTITIES
from synchist.settings import settings
from synchist.status_changes import Change, Receipt, change_status
from synchist.statuses import CloseReason, ItemOutcome, SyncStatus

Versions = dict[str, dict[int, int]]
"""Entity key → record id → version, as a page has read them."""


def configure(url: str) -> None:
    """Make a database the configured one of a process that has just begun."""
    os.environ["SYNCHIST_DATABASE_URL"] = url
    settings.cache_clear()


@contextmanager
def processes(preloaded: str) -> Iterator[Any]:
    """How to start processes that hold a module already. They do not run the main module again,
    since tests of pages leave one of Streamlit's scripts in its place."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preloaded])
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield context
    finally:
        sys.modules["__main__"] = main


def move(principal: Principal, identity: str, selection: Versions, to: SyncStatus) -> Receipt:
    """Change a status as the page does, with every risk ticked: the one place here that builds a
    Change."""
    reason = CloseReason.ALREADY_IN_BOOKS if to is SyncStatus.COMPLETE else None
    return change_status(principal, identity, selection, Change(to, reason, accepted=selection))


def versions() -> Versions:
    """Every record at its version of now."""
    with reading() as connection:
        return {
            entity.key: dict(
                connection.execute(select(entity.table.c.id, entity.table.c.version)).all()
            )
            for entity in ENTITIES
        }


def some(seen: Versions, chance: Random, entities: int, share: float) -> Versions:
    """A share of the records of some entities, in any order."""
    return {
        key: {
            record: seen[key][record]
            for record in chance.sample(sorted(seen[key]), max(1, int(len(seen[key]) * share)))
        }
        for key in chance.sample(sorted(seen), entities)
    }


def new_identity(chance: Random) -> str:
    """The id of an operation; by chance, and so the same again for the same seed."""
    return str(UUID(int=chance.getrandbits(128)))


# ---------------------------------------------------------------- what is there


@dataclass
class Stored:
    """What the database holds of an operation: as asked for, as its items say, as events tell."""

    requested: int = 0
    outcomes: dict[ItemOutcome, int] = field(default_factory=dict)
    events: int = 0

    def is_all_of(self, receipt: Receipt) -> bool:
        """Whether the operation is there, whole and once, and as its receipt says."""
        return self == Stored(receipt.requested, dict(receipt.outcomes), receipt.applied) and (
            sum(self.outcomes.values()) == self.requested
        )


NOTHING = Stored()


def stored(connection: Connection, identity: str | None = None) -> Mapping[str, Stored]:
    """What is there of one operation or of all, by the id."""

    def named(column: Column[str]) -> object:
        return true() if identity is None else column == identity

    found: dict[str, Stored] = {}
    of, item, event = operation.c, operation_item.c, sync_event.c
    for key, requested in connection.execute(select(of.id, of.requested).where(named(of.id))):
        found.setdefault(key, Stored()).requested = requested
    for key, outcome, count in connection.execute(
        select(item.operation_id, item.outcome, func.count())
        .where(named(item.operation_id))
        .group_by(item.operation_id, item.outcome)
    ):
        found.setdefault(key, Stored()).outcomes[ItemOutcome(outcome)] = count
    for key, count in connection.execute(
        select(event.operation_id, func.count())
        .where(event.kind == "operation", named(event.operation_id))
        .group_by(event.operation_id)
    ):
        found.setdefault(key, Stored()).events = count
    return found


def carried_out_once(
    principal: Principal, identity: str, selection: Versions, to: SyncStatus, before: Versions
) -> None:
    """Ask for an operation that was interrupted, and assert that now it is done, whole and once.

    `before` is every record at its version of before the operation was asked for at first.
    """
    receipt = move(principal, identity, selection, to)
    with reading() as connection:
        found = stored(connection, identity)[identity]
    assert found.is_all_of(receipt), f"{receipt} was told, and {found} is stored."
    rises = Counter(
        now - before[key][record]
        for key, records in versions().items()
        for record, now in records.items()
    )
    assert +rises == +Counter({0: rises[0], 1: receipt.applied}), (
        f"{receipt.applied} records were changed, by the receipt; versions have risen by {rises}."
    )
