"""What could write a document into the books twice, or hide that: looked at before a change.

A record that goes back to Pending is pushed again, and one that may already be in the books would
stand there twice. A record that is closed with a reference which another one holds is probably
closed by mistake. Either needs a tick of its own.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, String, and_, cast, func, select

from synchist.db.engine import among, paired
from synchist.db.tables import UNDIAGNOSED, diagnosis, organization
from synchist.db.tables import connection as connection_table
from synchist.db.types import folded
from synchist.diagnosis import ANY, Retry, diagnose
from synchist.entities import BY_KEY, Entity
from synchist.problems import as_text
from synchist.statuses import CloseReason, SyncStatus


@dataclass(frozen=True)
class Risk:
    """A record that needs a tick of its own, and why. `amount` is in minor units of `currency`."""

    entity: str
    record_id: int
    number: str
    party: str
    amount: int
    currency: str
    why: tuple[str, ...]


# ---------------------------------------------------------------- back to Pending


def of_retry(
    connection: Connection, selection: Mapping[str, Iterable[int]], *, undoing: bool = False
) -> dict[tuple[str, int], Risk]:
    """The selected records that may already be in the books, by entity key and id.

    A record is at risk where it holds a reference, where a person has closed it as being in the
    books (an undo takes just that back), where another one of the same party, number and amount is
    Complete, or where its last error says to check the books first.
    """
    found: dict[tuple[str, int], Risk] = {}
    for key in sorted(selection):
        for risk in _of_retry(connection, BY_KEY[key], list(selection[key]), undoing):
            found[key, risk.record_id] = risk
    return found


def _of_retry(
    connection: Connection, entity: Entity, ids: Sequence[int], undoing: bool
) -> Iterable[Risk]:
    why: dict[int, list[str]] = defaultdict(list)
    for record_id, reference in _references(connection, entity, ids):
        why[record_id].append(f"The books gave it the reference {reference}")
    for record_id, reason in () if undoing else _closed(connection, entity, ids):
        why[record_id].append(f"It was closed as “{CloseReason(reason).label}”")
    for record_id, number, link in _twins(connection, entity, ids):
        where = f" on {link}" if link else ""
        why[record_id].append(
            f"Another {entity.singular} {number} of this {entity.party_label.lower()} and amount is"
            f" Complete{where}"
        )
    for record_id in _unsure(connection, entity, ids):
        why[record_id].append("Its last error leaves open whether it was written: check the books")
    return _described(connection, entity, why)


def _references(connection: Connection, entity: Entity, ids: Sequence[int]) -> Sequence[Any]:
    of = entity.table.c
    return connection.execute(
        select(of.id, of.sync_reference).where(
            of.id.in_(among(connection, ids)), of.sync_reference != ""
        )
    ).all()


def _closed(connection: Connection, entity: Entity, ids: Sequence[int]) -> Sequence[Any]:
    """Records of which a person has said that they are in the books."""
    of = entity.table.c
    in_the_books = (CloseReason.RECONCILED.value, CloseReason.ALREADY_IN_BOOKS.value)
    return connection.execute(
        select(of.id, of.closed_reason).where(
            of.id.in_(among(connection, ids)), of.closed_reason.in_(in_the_books)
        )
    ).all()


def _twins(connection: Connection, entity: Entity, ids: Sequence[int]) -> Sequence[Any]:
    """Records whose like is in the books. What will not be synced is Complete, and not there."""
    of, twin = entity.table.c, entity.table.alias("twin")
    first = (
        select(func.min(twin.c.id))
        .where(
            folded(twin.c.number) == folded(of.number),
            twin.c.party_id == of.party_id,
            twin.c.amount == of.amount,
            twin.c.currency == of.currency,
            twin.c.id != of.id,
            twin.c.sync_status == int(SyncStatus.COMPLETE),
            func.coalesce(twin.c.closed_reason, "") != CloseReason.WILL_NOT_SYNC.value,
        )
        .scalar_subquery()
    )
    pairs = (
        select(of.id, first.label("twin_id")).where(of.id.in_(among(connection, ids))).subquery()
    )
    return connection.execute(
        select(pairs.c.id, twin.c.number, connection_table.c.name)
        .join_from(pairs, twin, twin.c.id == pairs.c.twin_id)
        .outerjoin(connection_table, connection_table.c.id == twin.c.connection_id)
    ).all()


def _unsure(connection: Connection, entity: Entity, ids: Sequence[int]) -> list[int]:
    """Records whose last error says to check first; what nobody has diagnosed yet is read here."""
    of, known = entity.table.c, diagnosis.alias()
    latest = (
        select(known.c.retry)
        .where(known.c.entity == entity.key, known.c.record_id == of.id)
        .order_by(known.c.version.desc())
        .limit(1)
        .scalar_subquery()
    )
    rows = connection.execute(
        select(of.id, of.problem_id, latest.label("retry")).where(
            # Not whether it has a problem: one that somebody closed shows none, and is as unsure.
            of.id.in_(among(connection, ids)),
            of.sync_error != "",
        )
    ).all()
    unread = [row.id for row in rows if row.problem_id == UNDIAGNOSED or row.retry is None]
    unsure = [
        row.id
        for row in rows
        if row.problem_id != UNDIAGNOSED and row.retry == Retry.CHECK_FIRST.value
    ]
    return unsure + _read(connection, entity, unread)


def _read(connection: Connection, entity: Entity, ids: Sequence[int]) -> list[int]:
    """Those of the records whose error, read now, says to check first."""
    if not ids:
        return []
    of = entity.table.c
    rows = connection.execute(
        select(
            of.id, of.sync_error, of.sync_error_code, connection_table.c.system, organization.c.name
        )
        .select_from(entity.table)
        .outerjoin(connection_table, connection_table.c.id == of.connection_id)
        .join(organization, organization.c.id == of.party_id)
        .where(of.id.in_(among(connection, ids)))
    )
    found = (
        (
            row.id,
            diagnose(
                as_text(row.sync_error),
                row.system or ANY,
                as_text(row.sync_error_code),
                entity.key,
                row.name,
            ),
        )
        for row in rows
    )
    return [record_id for record_id, one in found if one.retry is Retry.CHECK_FIRST]


# ---------------------------------------------------------------- closing with a reference


def of_references(
    connection: Connection, references: Mapping[str, Mapping[int, str]]
) -> dict[tuple[str, int], Risk]:
    """The records (by entity key and id) that would take a reference which another one of the same
    connection, entity and party holds already, or is given as well."""
    found: dict[tuple[str, int], Risk] = {}
    for key in sorted(references):
        for risk in _of_references(connection, BY_KEY[key], references[key]):
            found[key, risk.record_id] = risk
    return found


def _of_references(
    connection: Connection, entity: Entity, references: Mapping[int, str]
) -> Iterable[Risk]:
    given = {record_id: text for record_id, text in references.items() if text}
    if not given:
        return []
    of, other = entity.table.c, entity.table.alias("other")
    pair = paired(connection, given)
    rows = connection.execute(
        select(of.id, of.party_id, of.connection_id, func.min(other.c.number).label("taken_by"))
        .select_from(pair)
        .join(entity.table, of.id == cast(pair.c.key, BigInteger))
        .outerjoin(
            other,
            and_(
                folded(other.c.sync_reference) == folded(cast(pair.c.value, String)),
                other.c.party_id == of.party_id,
                other.c.connection_id.is_not_distinct_from(of.connection_id),
                other.c.id != of.id,
            ),
        )
        .group_by(of.id, of.party_id, of.connection_id)
    ).all()

    def holder(row: Any) -> tuple[Any, ...]:
        return row.party_id, row.connection_id, given[row.id].upper()

    holders = Counter(holder(row) for row in rows)
    why = {}
    for row in rows:
        if row.taken_by is not None:
            why[row.id] = [f"{entity.singular.capitalize()} {row.taken_by} holds {given[row.id]}"]
        elif holders[holder(row)] > 1:
            why[row.id] = [f"{given[row.id]} is given to {holders[holder(row)]} records here"]
    return _described(connection, entity, why)


def _described(
    connection: Connection, entity: Entity, why: Mapping[int, Sequence[str]]
) -> Iterable[Risk]:
    of = entity.table.c
    rows = connection.execute(
        select(of.id, of.number, organization.c.name, of.amount, of.currency)
        .join_from(entity.table, organization, organization.c.id == of.party_id)
        .where(of.id.in_(among(connection, list(why))))
        .order_by(of.id)
    )
    return [Risk(entity.key, *row, tuple(why[row.id])) for row in rows]
