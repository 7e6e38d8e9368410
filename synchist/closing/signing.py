"""Signing a month off and reopening it: each one operation in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    case,
    func,
    insert,
    literal,
    literal_column,
    null,
    select,
)

from synchist.accounts import Actor, NotAllowed, Principal, acting, record_access
from synchist.closing.state import (
    BLOCKING,
    Close,
    Kind,
    Unit,
    blocks,
    first_of,
    kind_of,
    load_close,
    load_closes,
    named,
)
from synchist.db.engine import one_at_a_time
from synchist.db.tables import connection as connection_table
from synchist.db.tables import (
    organization,
    period_close,
    period_close_record,
    period_close_sum,
    period_reopen,
    sync_event,
)
from synchist.db.types import utc_now
from synchist.entities import ENTITIES
from synchist.errors import SynchistError
from synchist.filters import today
from synchist.queries import Total, added
from synchist.roles import Role

LONGEST_NOTE = 2_000


class InvalidClose(SynchistError):
    """A sign-off or a reopening can't be carried out as asked."""


class AlreadySignedOff(SynchistError):
    """Somebody has signed the month off."""

    def __init__(self, close: Close) -> None:
        super().__init__(
            f"{close.actor} has signed this month off already. Reopen it first, if it has to be"
            " signed off again."
        )


class BlockingChanged(SynchistError):
    """What blocks the close is no longer what the person has seen."""

    def __init__(self) -> None:
        super().__init__(
            "What blocks this month has changed since you looked at it. Nothing was signed off:"
            " look at it again, then sign off."
        )


class NotSignedOff(SynchistError):
    """There is no sign-off to reopen."""

    def __init__(self, sentence: str = "This month is not signed off.") -> None:
        super().__init__(sentence)


@dataclass(frozen=True)
class Exceptions:
    """What blocks a unit, as a person sees it before the sign-off: how many records, and a digest
    of them with their amounts."""

    count: int
    digest: str


def exceptions(connection: Connection, unit: Unit) -> Exceptions:
    """What would be accepted by signing the unit off now."""
    found: list[Any] = []
    for entity in ENTITIES:
        of = entity.table.c
        found += connection.execute(
            _seen(entity.key, of.id, of, entity.table)
            .where(*unit.within(of), blocks(of))
            .order_by(of.id)
        ).all()
    return _digest(found)


def sign_off(principal: Principal, close_id: str, unit: Unit, note: str, seen: Exceptions) -> Close:
    """Sign a unit off and freeze what it holds: sums, every record with its version, and the
    exceptions that are accepted.

    `close_id` is a UUID made before: a second call with it does nothing more. `seen` is what the
    person saw blocking. Raises InvalidClose, AlreadySignedOff, BlockingChanged, NotSignedIn,
    NotAllowed, DatabaseUnavailable.
    """
    identity, note = _identity(close_id), _text(note)
    with acting(principal, Role.CLOSE, "sign a month off") as (connection, actor):
        _sees(actor)
        one_at_a_time(connection, period_close)  # so that no unit is signed off twice
        if (known := load_close(connection, identity)) is not None:
            if (known.unit, known.note, known.actor) != (unit, note, actor.name):
                raise InvalidClose("Close the dialog and open it again.")
            return known
        _check(connection, unit)
        connection.execute(
            insert(period_close).values(
                id=identity,
                month=unit.month,
                billing_organization_id=unit.billing_organization_id,
                connection_id=unit.connection_id,
                note=note,
                at=utc_now(),
                actor_id=actor.id,
                actor=actor.name,
            )
        )
        _freeze(connection, identity, unit)
        # Of what was frozen, and not looked up beside it: a job may have written in between.
        kept = _frozen_exceptions(connection, identity)
        if kept != seen:
            raise BlockingChanged
        words = f"{named(unit.month)}, {_name(connection, unit)}"
        words += f"; {kept.count:,} exceptions" + (f": {note}" if note else "")
        record_access(connection, actor, "month_signed_off", words)
        return _made(connection, identity)


def reopen(principal: Principal, close_id: str, reason: str) -> Close:
    """Reopen a unit that is signed off, for a reason. It can be signed off again.

    Raises InvalidClose, NotSignedOff, NotSignedIn, NotAllowed, DatabaseUnavailable.
    """
    identity, reason = _identity(close_id), _text(reason)
    if not reason:
        raise InvalidClose("Say why the month is reopened.")
    with acting(principal, Role.CLOSE, "reopen a month") as (connection, actor):
        _sees(actor)
        one_at_a_time(connection, period_close)
        close = load_close(connection, identity)
        if close is None:
            raise NotSignedOff
        if not close.stands:
            if (close.reopened_by, close.reason) != (actor.name, reason):
                raise NotSignedOff(f"{close.reopened_by} has reopened this month already.")
            return close
        connection.execute(
            insert(period_reopen).values(
                close_id=identity,
                reason=reason,
                at=utc_now(),
                actor_id=actor.id,
                actor=actor.name,
            )
        )
        words = f"{named(close.unit.month)}, {_name(connection, close.unit)}"
        record_access(connection, actor, "month_reopened", f"{words}: {reason}")
        return _made(connection, identity)


# ---------------------------------------------------------------- whether it may be


def _sees(actor: Actor) -> None:
    """Whoever signs off must be able to see what: the role Close alone shows nothing."""
    if Role.ACCOUNTING_SYNC not in actor.roles:
        raise NotAllowed.lacking(Role.ACCOUNTING_SYNC)


def _identity(close_id: str) -> str:
    try:
        return str(UUID(close_id))
    except ValueError:
        raise InvalidClose("Close the dialog and open it again.") from None


def _text(given: str) -> str:
    # No text in PostgreSQL holds a NUL.
    cleaned = given.replace("\x00", "").strip()
    if len(cleaned) > LONGEST_NOTE:
        raise InvalidClose(f"Shorten the text to {LONGEST_NOTE:,} characters.")
    return cleaned


def _check(connection: Connection, unit: Unit) -> None:
    if unit.month != first_of(unit.month) or unit.month > today():
        raise InvalidClose("Choose a month that has begun.")
    of, link = organization.c, connection_table.c
    billing = select(of.id).where(of.id == unit.billing_organization_id)
    books = select(link.id).where(link.id == unit.connection_id)
    if connection.scalar(billing) is None or (
        unit.connection_id is not None and connection.scalar(books) is None
    ):
        raise InvalidClose("Choose a billing organization and a connection that there are.")
    for close in load_closes(connection, unit.month):
        if close.unit == unit and close.stands:
            raise AlreadySignedOff(close)


def _name(connection: Connection, unit: Unit) -> str:
    of, link = organization.c, connection_table.c
    billing = connection.scalar(select(of.name).where(of.id == unit.billing_organization_id))
    books = connection.scalar(select(link.name).where(link.id == unit.connection_id))
    return f"{billing}, {books or 'no connection'}"


def _made(connection: Connection, identity: str) -> Close:
    close = load_close(connection, identity)
    if close is None:
        raise NotSignedOff
    return close


# ---------------------------------------------------------------- what is frozen


def _freeze(connection: Connection, identity: str, unit: Unit) -> None:
    """Every record with its version in one statement each, then sums of the events of these
    versions: whatever a job writes meanwhile, the two agree."""
    record = period_close_record.c
    for entity in ENTITIES:
        of = entity.table.c
        blocking = case((blocks(of), kind_of(of)), else_=null())
        connection.execute(
            insert(period_close_record).from_select(
                [
                    record.close_id,
                    record.entity,
                    record.record_id,
                    record.version,
                    record.exception,
                ],
                select(literal(identity), literal(entity.key), of.id, of.version, blocking).where(
                    *unit.within(of)
                ),
            )
        )
    of = sync_event.c
    kind = func.coalesce(record.exception, kind_of(of))
    kinds = (
        select(record.entity, kind.label("kind"), of.currency, of.amount)
        .select_from(frozen())
        .where(record.close_id == identity)
        .subquery()
    )
    sums = period_close_sum.c
    connection.execute(
        insert(period_close_sum).from_select(
            [sums.close_id, sums.entity, sums.kind, sums.currency, sums.count, sums.amount],
            select(
                literal(identity),
                kinds.c.entity,
                kinds.c.kind,
                kinds.c.currency,
                func.count(),
                func.sum(kinds.c.amount),
            ).group_by(kinds.c.entity, kinds.c.kind, kinds.c.currency),
        )
    )


def frozen() -> FromClause:
    """The frozen records, each with the event that told its state then."""
    record, of = period_close_record.c, sync_event.c
    return period_close_record.join(
        sync_event,
        and_(
            of.entity == record.entity,
            of.record_id == record.record_id,
            of.version == record.version,
        ),
    )


def _frozen_exceptions(connection: Connection, identity: str) -> Exceptions:
    """The exceptions of a sign-off, as `exceptions` gives them."""
    found: list[Any] = []
    record, of = period_close_record.c, sync_event.c
    for entity in ENTITIES:
        found += connection.execute(
            _seen(entity.key, record.record_id, of, frozen())
            .where(
                record.close_id == identity,
                record.entity == entity.key,
                record.exception.is_not(None),
            )
            .order_by(record.record_id)
        ).all()
    return _digest(found)


def _seen(key: str, record: ColumnElement[int], of: Any, source: FromClause) -> Select[Any]:
    """What a person accepts of a record. Not its version: the same failure once more is no news."""
    return select(
        literal_column(f"'{key}'"),
        record,
        kind_of(of).label("kind"),
        of.currency,
        of.amount,
        of.synced_amount,
    ).select_from(source)


def _digest(found: Sequence[Any]) -> Exceptions:
    lines = "\n".join(repr(tuple(row)) for row in found)
    return Exceptions(len(found), sha256(lines.encode()).hexdigest())


@dataclass(frozen=True)
class Frozen:
    """One sum of a sign-off: so many records of a kind, and their amount in minor units."""

    entity: str
    kind: Kind
    currency: str
    count: int
    amount: int


def frozen_sums(connection: Connection, close_id: str) -> list[Frozen]:
    """What a unit held when it was signed off."""
    of = period_close_sum.c
    rows = connection.execute(
        select(of.entity, of.kind, of.currency, of.count, of.amount)
        .where(of.close_id == close_id)
        .order_by(of.entity, of.kind, of.currency)
    )
    return [Frozen(row.entity, Kind(row.kind), *row[2:]) for row in rows]


def accepted(connection: Connection, close_id: str) -> Total:
    """The exceptions that a sign-off has accepted."""
    return added(
        Total(one.count, {one.currency: one.amount})
        for one in frozen_sums(connection, close_id)
        if one.kind in BLOCKING
    )
