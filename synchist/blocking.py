"""Payments that wait for their documents: which documents, and what each of them holds up."""

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, select

from synchist.db.engine import among
from synchist.entities import BY_KEY, Entity
from synchist.queries import Ticked, Total, added
from synchist.statuses import SyncStatus


def failed_parents(
    connection: Connection, selection: Mapping[str, Iterable[int]]
) -> dict[str, dict[int, Ticked]]:
    """The Failed documents that hold up the selected payments, as a selection of their own.

    Documents that are selected themselves are left out. What is Pending waits already.
    """
    found: dict[str, dict[int, Ticked]] = {}
    for key, ids in selection.items():
        link = BY_KEY[key].applications
        if BY_KEY[key].blocking is None:
            continue
        of = BY_KEY[link.other_key].table.c
        rows = connection.execute(
            select(of.id, of.version, of.currency, of.amount)
            .distinct()
            .join_from(link.table, BY_KEY[link.other_key].table, link.other == of.id)
            .where(
                link.own.in_(among(connection, list(ids))),
                of.sync_status == int(SyncStatus.FAILED),
            )
        )
        chosen = set(selection.get(link.other_key, ()))
        parents = {row.id: Ticked(*row[1:]) for row in rows if row.id not in chosen}
        if parents:
            found[link.other_key] = parents
    return found


def held_up(connection: Connection, document: Entity, ids: Iterable[int]) -> dict[int, Total]:
    """How many payments that are not Complete each document holds up, and their amounts.

    Documents that are Complete hold nothing up, and are left out.
    """
    link = document.applications
    payment, of = BY_KEY[link.other_key].table.c, document.table.c
    # Distinct, since a payment may go to one document in several portions.
    waiting = (
        select(of.id, payment.id.label("payment_id"), payment.currency, payment.amount)
        .distinct()
        .select_from(link.table)
        .join(document.table, link.own == of.id)
        .join(BY_KEY[link.other_key].table, link.other == payment.id)
        .where(
            link.own.in_(among(connection, list(ids))),
            of.sync_status != int(SyncStatus.COMPLETE),
            payment.sync_status != int(SyncStatus.COMPLETE),
        )
        .subquery()
    ).c
    rows = connection.execute(
        select(waiting.id, waiting.currency, func.count(), func.sum(waiting.amount)).group_by(
            waiting.id, waiting.currency
        )
    )
    found: dict[int, Total] = {}
    for record_id, currency, number, amount in rows:
        one = Total(number, {currency: int(amount)})
        found[record_id] = added((found.get(record_id, Total()), one))
    return found
