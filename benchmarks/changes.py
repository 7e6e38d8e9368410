"""A change of many records with its history, against the bare statements that it consists of."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle
from uuid import uuid4

from sqlalchemy import Engine, TextClause, insert, literal, select, text, update

from benchmarks.databases import POSTGRESQL, Database, configured, copied
from benchmarks.measure import Figure, Timing, interleaved, timed
from synchist.accounts import Principal
from synchist.db.engine import database, reading
from synchist.db.tables import ENTITY_TABLES, TRACKED, operation, sync_event
from synchist.db.types import Moment, utc_now
from synchist.entities import ENTITIES
from synchist.status_changes import Change, Selection, change_status
from synchist.statuses import CloseReason, SyncStatus

RECORDS = 10_000
CHANGES = (
    Change(SyncStatus.PENDING),
    Change(SyncStatus.COMPLETE, CloseReason.RECONCILED),
)
"""There and back, so that every round changes what the one before it has left. The way to Pending
includes the look for duplicates, all of which are accepted."""


def measure(small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    for original in (small, large):
        with ExitStack() as stack:
            bare = stack.enter_context(copied(original, "bench_bare"))
            stack.enter_context(configured(bare))
            engine = database()
            take_triggers_away(bare, engine)
            stack.enter_context(configured(stack.enter_context(copied(original, "bench_work"))))
            chosen = _chosen()
            pair = interleaved(_product(chosen), _bare(engine, chosen))
        count = sum(len(ids) for ids in chosen.values())
        yield pair.at_most(
            1.6,
            f"update of {count:,} selected, with history",
            original.where,
            "bare UPDATE plus INSERT … SELECT, no triggers",
        )


def take_triggers_away(bare: Database, engine: Engine) -> None:
    """Leave a copy bare: nothing keeps its history any more."""
    with engine.begin() as connection:
        if bare.kind == POSTGRESQL:
            for table in (*ENTITY_TABLES, sync_event):
                connection.execute(text(f"ALTER TABLE {table.name} DISABLE TRIGGER USER"))
            return
        named = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        for name in connection.scalars(text(named)).all():
            connection.execute(text(f"DROP TRIGGER {name}"))


def _chosen() -> dict[str, list[int]]:
    """As many ids as an operation may touch: the latest invoices, then bills and so on."""
    chosen: dict[str, list[int]] = {}
    with reading() as connection:
        for entity in ENTITIES:
            missing = RECORDS - sum(len(ids) for ids in chosen.values())
            latest = select(entity.table.c.id).order_by(entity.table.c.id.desc()).limit(missing)
            if ids := connection.scalars(latest).all():
                chosen[entity.key] = sorted(ids)
    return chosen


def _product(chosen: dict[str, list[int]]) -> Timing:
    changes = cycle(CHANGES)
    who = Principal.command_line("benchmarks")

    def change() -> float:
        seen, to = _as_seen(chosen), replace(next(changes), accepted=chosen)
        return timed(lambda: change_status(who, str(uuid4()), seen, to))()

    return change


def _as_seen(chosen: dict[str, list[int]]) -> Selection:
    """The selection as a page would have ticked it just now."""
    seen: dict[str, dict[int, int]] = {}
    with reading() as connection:
        for table in ENTITY_TABLES:
            if table.name in chosen:
                of = table.c
                ids = chosen[table.name]
                versions = select(of.id, of.version).where(of.id.between(ids[0], ids[-1]))
                seen[table.name] = dict(connection.execute(versions).all())
    return seen


def _bare(engine: Engine, chosen: dict[str, list[int]]) -> Timing:
    changes = cycle(CHANGES)

    def change() -> float:
        change, identity = next(changes), _operation(engine)
        return timed(lambda: _statements(engine, chosen, change, identity))()

    return change


def _operation(engine: Engine) -> str:
    """An operation for the records to point to, not part of what is measured."""
    identity = str(uuid4())
    with engine.begin() as connection:
        connection.execute(
            insert(operation).values(
                id=identity, at=utc_now(), actor="bare", action="bare", digest="", requested=0
            )
        )
    return identity


def _statements(
    engine: Engine, chosen: dict[str, list[int]], change: Change, identity: str
) -> None:
    """What the history costs at the least: one UPDATE and one INSERT … SELECT per entity."""
    now = literal(utc_now(), Moment())
    with engine.connect().execution_options(synchist_write=True) as connection, connection.begin():
        for table in ENTITY_TABLES:
            if table.name not in chosen:
                continue
            of, among = table.c, _among(engine, chosen[table.name])
            connection.execute(
                update(table)
                .where(among)
                .values(
                    sync_status=int(change.to),
                    closed_reason=change.closed_reason,
                    last_operation_id=identity,
                    version=of.version + 1,
                    outcome_at=now,
                )
            )
            event = {
                "entity": literal(table.name),
                "record_id": of.id,
                "version": of.version,
                "at": now,
                "recorded_at": now,
                "kind": literal("operation"),
                "operation_id": of.last_operation_id,
                "outcome_at": of.outcome_at,
                **{name: of[name] for name in TRACKED},
            }
            states = select(*event.values()).where(among)
            connection.execute(insert(sync_event).from_select(list(event), states))


def _among(engine: Engine, ids: list[int]) -> TextClause:
    if engine.dialect.name == "postgresql":
        return text("id = ANY(:ids)").bindparams(ids=ids)
    return text("id IN (SELECT value FROM json_each(:ids))").bindparams(ids=json.dumps(ids))
