"""The close of a month as an Excel file: what blocks it, how it stands, what moved afterwards."""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, false, select

from synchist.accounts import Actor, Principal
from synchist.closing.changes import After, changed_after
from synchist.closing.signing import frozen_sums
from synchist.closing.state import (
    BLOCKING,
    Kind,
    Month,
    Standing,
    State,
    Unit,
    blocks,
    in_month,
    kind_of,
    load_month,
    named,
    standing,
)
from synchist.currencies import to_decimal
from synchist.db.tables import connection as connection_table
from synchist.db.tables import (
    organization,
    period_close,
    period_close_record,
    period_reopen,
    problem,
)
from synchist.entities import ENTITIES, Entity
from synchist.entities import Kind as Form
from synchist.export import (
    EXCEL_ROWS,
    FORMATS,
    Sheet,
    TooManyRows,
    about,
    dated,
    exporting,
    recorded,
    text_of,
    written,
)
from synchist.filters import NO_CONNECTION, readable_moment
from synchist.queries import added
from synchist.settings import settings
from synchist.statuses import SyncStatus

Row = dict[str, object]

_WIDTHS: Mapping[str, float] = {
    "Billing organization": 26,
    "Connection": 30,
    "What blocks": 24,
    "Kind": 24,
    "Last error": 60,
    "Cause": 36,
    "What changed": 60,
    "Note": 40,
    "By": 28,
}
_FORMATS: Mapping[str, str] = {
    **dict.fromkeys(
        ("Amount", "Synced amount", "Difference", "Amount when signed off"), FORMATS[Form.MONEY]
    ),
    **dict.fromkeys(
        ("Created", "Last attempt", "Oldest", "Signed off at", "When"), FORMATS[Form.MOMENT]
    ),
    "Accounting date": FORMATS[Form.DAY],
}


def workbook(
    principal: Principal,
    month: date,
    unit: Unit | None = None,
    as_of: datetime | None = None,
) -> tuple[str, bytes]:
    """A month, or one unit of it, as an Excel file; with `as_of` as it stood at that moment.

    Returns the file's name and content. Raises NotSignedIn, NotAllowed (also for holders of Hide
    Export To Excel), TooManyRows, DatabaseUnavailable.
    """
    doing = "export a month's close"
    with exporting(principal, doing) as (connection, actor):
        found = load_month(connection, month, unit, as_of)
        blocking = sum(one.blocking.total.count for one in found.units)
        if blocking >= EXCEL_ROWS:
            raise TooManyRows(blocking)
        lines = _blocking(connection, month, unit, as_of)
        moved = {
            one.unit: changed_after(connection, one.close)
            for one in found.units
            if one.close and not as_of  # of the past nobody asks what came after it
        }
        rows = _summary(connection, found)
    later = _later(found, moved)
    if len(later) >= EXCEL_ROWS:
        raise TooManyRows(len(later))
    now = datetime.now(settings().zone)
    content = written(
        [
            _sheet("Blocking", lines, _BLOCKING),
            _sheet("Summary", rows, _SUMMARY),
            _sheet("Changed after close", later, _LATER),
            about(_about(found, unit, moved, actor, now, as_of)),
        ]
    )
    then = f", as it stood {readable_moment(as_of)}" if as_of else ""
    words = f"close of {named(month)}{_of(found, unit)}{then}"
    recorded(principal, doing, f"{len(lines):,} rows: {words}")
    past = f" as of {as_of.astimezone(settings().zone):%Y-%m-%d %H%M}" if as_of else ""
    return f"Close {month:%Y-%m}{past} {now:%Y-%m-%d %H%M}.xlsx", content


def _sheet(title: str, rows: list[Row], labels: tuple[str, ...]) -> Sheet:
    """A sheet with its headings also where it has no rows."""
    widths = {label: _WIDTHS.get(label, 16) for label in labels}
    formats = {label: form for label, form in _FORMATS.items() if label in labels}
    return Sheet(title, rows or [dict.fromkeys(labels)], widths, formats)


def _amount(minor: int | None, currency: str) -> float | None:
    """The edge, where money becomes a float."""
    return None if minor is None else float(to_decimal(minor, currency))


def _moment(at: datetime | None) -> datetime | date | str | None:
    if at is None:
        return None
    local = at.astimezone(settings().zone).replace(tzinfo=None)
    return dated(local)


# ---------------------------------------------------------------- what blocks

_BLOCKING = (
    *("What blocks", "Record", "Number", "Payer or vendor", "Billing organization", "Connection"),
    *("Amount", "Synced amount", "Difference", "Currency", "TMS status", "Sync status"),
    *("Accounting date", "Created", "Last attempt", "Reference", "Cause", "Last error"),
    "Accepted at sign-off",
)


def _blocking(
    connection: Connection, month: date, unit: Unit | None, as_of: datetime | None
) -> list[Row]:
    """Line by line, as they stand, or stood then."""
    accepted = set() if as_of else _accepted(connection, month)
    return [
        _line(entity, row, (entity.key, row.id) in accepted)
        for entity in ENTITIES
        for row in connection.execute(_lines(entity, month, unit, as_of))
    ]


def _lines(entity: Entity, month: date, unit: Unit | None, as_of: datetime | None) -> Any:
    source = standing(entity, as_of)
    of = source.c
    party, billing = organization.alias("party"), organization.alias("billing")
    books, its_own = connection_table.alias("books"), entity.table.alias("now")
    # Events carry no problem: of the past the exact error has to say it.
    why = problem.c.id == its_own.c.problem_id if as_of is None else false()
    return (
        select(
            *(of.id, of.number, of.amount, of.synced_amount, of.currency, of.tms_status),
            *(of.sync_status, of.accounting_date, of.created_at, of.sync_at, of.sync_reference),
            of.sync_error,
            problem.c.title.label("cause"),
            kind_of(of).label("kind"),
            party.c.name.label("party"),
            billing.c.name.label("billing"),
            books.c.name.label("connection"),
        )
        .select_from(source)
        .join(party, party.c.id == of.party_id)
        .join(billing, billing.c.id == of.billing_organization_id)
        .outerjoin(books, books.c.id == of.connection_id)
        .join(its_own, its_own.c.id == of.id)
        .outerjoin(problem, why)
        .where(*(unit.within(of) if unit else in_month(of, month)), blocks(of))
        .order_by(billing.c.name, of.sync_status.desc(), of.created_at, of.id)
    )


def _line(entity: Entity, row: Any, accepted: bool) -> Row:
    missing = None if row.synced_amount is None else row.amount - row.synced_amount
    still_open = row.sync_status != SyncStatus.COMPLETE
    values = (
        *(Kind(row.kind).label, entity.singular, row.number, row.party, row.billing),
        row.connection,
        _amount(row.amount, row.currency),
        _amount(row.synced_amount, row.currency),
        _amount(missing, row.currency),
        *(row.currency, row.tms_status, SyncStatus(row.sync_status).label),
        dated(row.accounting_date),
        *(_moment(row.created_at), _moment(row.sync_at), row.sync_reference),
        row.cause if still_open else None,
        text_of(row.sync_error) if row.sync_error and still_open else None,
        "yes" if accepted else None,
    )
    return dict(zip(_BLOCKING, values, strict=True))


def _accepted(connection: Connection, month: date) -> set[tuple[str, int]]:
    """The exceptions of the month's sign-offs that stand."""
    record = period_close_record.c
    rows = connection.execute(
        select(record.entity, record.record_id)
        .join_from(period_close, period_close_record, record.close_id == period_close.c.id)
        .outerjoin(period_reopen, period_reopen.c.close_id == period_close.c.id)
        .where(
            period_close.c.month == month,
            period_reopen.c.close_id.is_(None),
            record.exception.is_not(None),
        )
    )
    return {(key, record_id) for key, record_id in rows}


# ---------------------------------------------------------------- how it stands

_SUMMARY = (
    *("Billing organization", "Connection", "State", "Signed off by", "Signed off at", "Note"),
    *("Records", "Kind", "Blocks", "Currency", "Count", "Amount", "Oldest"),
    *("Count when signed off", "Amount when signed off"),
)


def _summary(connection: Connection, month: Month) -> list[Row]:
    return [row for one in month.units for row in _of_unit(connection, one)]


def _of_unit(connection: Connection, one: Standing) -> list[Row]:
    """A row for each entity, kind and currency, now or when it was signed off."""
    close = one.close if one.state is State.SIGNED_OFF else None
    then = {
        (sum_.entity, sum_.kind, sum_.currency): sum_
        for sum_ in (frozen_sums(connection, close.id) if close else ())
    }
    now = {
        (key, kind, currency): (held, amount)
        for (key, kind), held in one.holding.items()
        for currency, amount in held.total.by_currency.items()
    }
    rows: list[Row] = []
    for entity, kind in ((entity, kind) for entity in ENTITIES for kind in Kind):
        for key in sorted({key for key in (*then, *now) if key[:2] == (entity.key, kind)}):
            held, amount = now.get(key, (None, 0))
            before = then.get(key)
            values = (
                *(one.billing, one.connection or NO_CONNECTION, one.state.value),
                *(close and close.actor, close and _moment(close.at), close and close.note),
                *(entity.plural, kind.label, "yes" if kind in BLOCKING else None, key[2]),
                held.counts[key[2]] if held else 0,
                _amount(amount, key[2]),
                _moment(held.created[key[2]]) if held else None,
                (before.count if before else 0) if close else None,
                _amount(before.amount if before else 0, key[2]) if close else None,
            )
            rows.append(dict(zip(_SUMMARY, values, strict=True)))
    return rows


# ---------------------------------------------------------------- what moved afterwards

_LATER = (
    *("Billing organization", "Connection", "Signed off by", "Signed off at"),
    *("Record", "Number", "How", "When", "By", "What changed", "History says", "Note"),
)


def _later(month: Month, moved: Mapping[Unit, After]) -> list[Row]:
    return [
        dict(
            zip(
                _LATER,
                (
                    *(one.billing, one.connection or NO_CONNECTION),
                    *(one.close.actor, _moment(one.close.at)),
                    *(move.entity.singular, move.number, move.how.value, _moment(move.at)),
                    *(move.who, text_of("; ".join(move.changes)), move.what, move.note),
                ),
                strict=True,
            )
        )
        for one in month.units
        if one.close and one.unit in moved
        for move in moved[one.unit].moves
    ]


# ---------------------------------------------------------------- about


def _of(month: Month, unit: Unit | None) -> str:
    one = month.of(unit)
    return f", {one.billing}, {one.connection or 'no connection'}" if one else ""


def _about(
    month: Month,
    unit: Unit | None,
    moved: Mapping[Unit, After],
    actor: Actor,
    now: datetime,
    as_of: datetime | None,
) -> list[tuple[str, object]]:
    facts: list[tuple[str, object]] = [
        ("What", f"Close of {named(month.month)}{_of(month, unit)}, by accounting date"),
        ("As it stood", readable_moment(as_of) if as_of else "when it was exported"),
        ("Exported by", actor.name),
        ("Exported at", f"{now:%Y-%m-%d %H:%M} ({settings().time_zone})"),
        ("Dates and times in", settings().time_zone),
        ("Signed off", f"{month.signed_off:,} of {len(month.units):,}"),
    ]
    for kind in Kind:
        total = added(one.held([kind]).total for one in month.units)
        facts.append((kind.label, total.count))
        facts += [
            (f"{kind.label}, {currency}", _amount(amount, currency))
            for currency, amount in total.by_currency.items()
        ]
    facts.append(("Records that moved after close", sum(one.count for one in moved.values())))
    return facts
