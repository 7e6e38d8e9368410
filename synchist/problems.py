"""Why records failed, stored: each failure's diagnosis, and the problem that it belongs to.

A problem is what has to be fixed once: a cause, on one connection, about one named thing. Triggers
mark a failed record as undiagnosed; batches of these functions diagnose it afterwards, outside of
the job's write. All of it derives from the history and from the catalogue of `diagnosis`, so it may
be computed anew: `python -m synchist rediagnose`.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)

from synchist.closed_books import Refusal, learn
from synchist.db.engine import dialect_insert, reading, writing
from synchist.db.tables import TELLS_WHY, UNDIAGNOSED, organization, problem, sync_event
from synchist.db.tables import connection as connection_table
from synchist.db.tables import diagnosis as diagnosis_table
from synchist.diagnosis import ANY, Cause, diagnose, shared, title, version
from synchist.entities import ENTITIES, Entity
from synchist.statuses import EventKind

BATCH = 200
"""Records a transaction: a fraction of a second, so that no job and no person waits for it."""

PASSES = 3
"""How often a new catalogue goes through what an earlier one has diagnosed."""

Key = tuple[int | None, str, str]
"""Connection, cause, and the name that its failures share."""


@dataclass(frozen=True)
class _Found:
    """What one event of a failure means."""

    record_id: int
    version: int
    at: datetime
    key: Key
    title: str
    retry: str
    refusal: Refusal | None


# ---------------------------------------------------------------- when


def catch_up(entities: Iterable[Entity] = ENTITIES) -> int:
    """Diagnose one batch of new failures of each entity, the newest first; how many records.

    Raises DatabaseUnavailable.
    """
    return sum(_diagnose(entity, _undiagnosed(entity)) for entity in entities)


def rediagnose(progress: Callable[[int], None] = lambda done: None) -> int:
    """Diagnose what is new and what an earlier catalogue has diagnosed; how many records.

    `progress` is told after each batch how many records are done. Raises DatabaseUnavailable.
    """
    done = 0
    for settled in _batches():
        done += settled
        progress(done)
    _retitle()
    return done


def _batches() -> Iterator[int]:
    """Work off what is outdated, then what is new; how many records each batch has settled."""
    for _ in range(PASSES):  # again for what somebody changed meanwhile
        for entity in ENTITIES:
            for ids in _outdated(entity):
                yield _diagnose(entity, ids)
    while settled := catch_up():
        yield settled


def _undiagnosed(entity: Entity) -> list[int]:
    of = entity.table.c
    newest = (
        select(of.id)
        .where(of.problem_id == literal_column(str(UNDIAGNOSED)))
        .order_by(of.id.desc())
    )
    with reading() as connection:
        return list(connection.scalars(newest.limit(BATCH)))


def _outdated(entity: Entity) -> Iterator[list[int]]:
    """Records with a diagnosis of another catalogue, batch by batch."""
    of, last = diagnosis_table.c, 0
    while True:
        following = (
            select(of.record_id)
            .distinct()
            .where(
                of.entity == entity.key,
                of.record_id > last,
                or_(of.catalogue != version(), of.retry.is_(None)),
            )
            .order_by(of.record_id)
            .limit(BATCH)
        )
        with reading() as connection:
            ids = list(connection.scalars(following))
        if not ids:
            return
        yield ids
        last = ids[-1]


# ---------------------------------------------------------------- what


def _diagnose(entity: Entity, ids: Sequence[int]) -> int:
    """Diagnose what happened to these records. Returns of how many that settles the problem: one
    that somebody changes at this moment is left for the next batch."""
    if not ids:
        return 0
    with reading() as connection:
        seen = _versions(connection, entity, ids)
        told = connection.execute(_telling(entity, ids)).all()
    found = [_explained(entity, row) for row in told]
    with writing() as connection:
        problems = _problems(connection, {one.key: one.title for one in found})
        # Locked last, for a moment: a record that is held here is busy for jobs and people.
        held = _versions(connection, entity, ids, lock=True)
        unchanged = {key for key in ids if key in held and held[key] == seen.get(key)}
        _store(connection, entity, [one for one in found if one.record_id in unchanged], problems)
        _settle(connection, entity, unchanged)
        # Last: what is learnt of a connection shows on every page.
        learn(connection, [one.refusal for one in found if one.refusal])
    return len(unchanged)


def _versions(
    connection: Connection, entity: Entity, ids: Sequence[int], lock: bool = False
) -> dict[int, int]:
    of = entity.table.c
    rows = select(of.id, of.version).where(of.id.in_(ids)).order_by(of.id)
    if lock:
        rows = rows.with_for_update(skip_locked=True)
    found: dict[int, int] = dict(connection.execute(rows).all())
    return found


def _telling(entity: Entity, ids: Sequence[int]) -> Select[Any]:
    """The events of these records that say why, as far as this catalogue has not read them yet."""
    event, known = sync_event.c, diagnosis_table.c
    return (
        select(
            event.record_id,
            event.version,
            event.at,
            event.kind,
            event.accounting_date,
            event.connection_id,
            event.sync_error,
            event.sync_error_code,
            connection_table.c.system,
            organization.c.name,
        )
        .outerjoin(connection_table, connection_table.c.id == event.connection_id)
        .outerjoin(organization, organization.c.id == event.party_id)
        .outerjoin(
            diagnosis_table,
            (known.entity == event.entity)
            & (known.record_id == event.record_id)
            & (known.version == event.version)
            & (known.catalogue == version())
            & known.retry.is_not(None),
        )
        .where(
            event.entity == entity.key,
            event.record_id.in_(ids),
            text(TELLS_WHY),
            known.version.is_(None),
        )
        .order_by(event.record_id, event.version)
    )


def _explained(entity: Entity, row: Row[Any]) -> _Found:
    system = row.system or ANY
    error, code = as_text(row.sync_error), as_text(row.sync_error_code)
    read = diagnose(error, system, code, entity.key, row.name or "")
    name = shared(read.cause, read.named)
    key = (row.connection_id, read.cause, name)
    words = title(read.cause, name, system)
    refusal = _refusal(row) if read.cause is Cause.CLOSED_PERIOD else None
    return _Found(row.record_id, row.version, row.at, key, words, read.retry.value, refusal)


def _refusal(row: Row[Any]) -> Refusal | None:
    """What the event tells of the books: only an attempt is an answer of theirs."""
    is_answer = row.kind == EventKind.ATTEMPT.value and row.connection_id is not None
    if not is_answer or row.accounting_date is None:
        return None
    return Refusal(row.connection_id, row.accounting_date, row.at)


def as_text(stored: object) -> str:
    """SQLite stores any type in any column: a job may have left bytes."""
    return stored.decode(errors="replace") if isinstance(stored, bytes) else str(stored or "")


def _store(
    connection: Connection, entity: Entity, found: Sequence[_Found], problems: Mapping[Key, int]
) -> None:
    if not found:
        return
    put = dialect_insert(connection, diagnosis_table)
    connection.execute(
        put.on_conflict_do_update(
            index_elements=["entity", "record_id", "version"],
            set_={name: put.excluded[name] for name in ("problem_id", "catalogue", "retry")},
        ),
        [
            {
                "entity": entity.key,
                "record_id": one.record_id,
                "version": one.version,
                "problem_id": problems[one.key],
                "at": one.at,
                "catalogue": version(),
                "retry": one.retry,
            }
            for one in found
        ],
    )


def _settle(connection: Connection, entity: Entity, ids: Collection[int]) -> None:
    """Give records the problem of their last failure, or none where no error is left."""
    of, known = entity.table.c, diagnosis_table.c
    latest = (
        select(known.problem_id)
        .where(known.entity == entity.key, known.record_id == of.id)
        .order_by(known.version.desc())
        .limit(1)
        .scalar_subquery()
    )
    still = (of.sync_status != 1) & (func.coalesce(of.sync_error, "") != "")
    connection.execute(
        update(entity.table)
        .where(of.id.in_(ids))
        .values(problem_id=case((still, latest), else_=None))
    )


def _problems(connection: Connection, titles: dict[Key, str]) -> dict[Key, int]:
    """The ids of problems, made where they are not there yet."""
    if not titles:
        return {}
    # In one order, so that two servers never wait for each other in a circle.
    keys = sorted(titles, key=lambda key: (key[0] or 0, *key[1:]))
    connection.execute(
        dialect_insert(connection, problem).on_conflict_do_nothing(),
        [
            {
                "connection_id": link,
                "cause": cause,
                "named": named,
                "title": titles[link, cause, named],
            }
            for link, cause, named in keys
        ],
    )
    of = problem.c
    rows = connection.execute(
        select(of.connection_id, of.cause, of.named, of.id).where(
            of.named.in_({named for _, _, named in keys})
        )
    )
    return {(link, cause, named): identity for link, cause, named, identity in rows}


def _retitle() -> None:
    """Bring the words of every problem to those of this catalogue."""
    of = problem.c
    with writing() as connection:
        rows = connection.execute(
            select(of.id, of.cause, of.named, of.title, connection_table.c.system)
            .outerjoin(connection_table, connection_table.c.id == of.connection_id)
            .order_by(of.id)  # in one order, as everywhere
        ).all()
        changed = [
            {"identity": row.id, "words": words}
            for row in rows
            if row.cause in set(Cause)
            and (words := title(Cause(row.cause), row.named, row.system or ANY)) != row.title
        ]
        if changed:
            connection.execute(
                update(problem)
                .where(of.id == bindparam("identity"))
                .values(title=bindparam("words")),
                changed,
            )
