"""Reconciliations that are kept: a file held against the records of a connection, line by line.

A line stands as both its sides stood when they were compared, and never changes. What people have
confirmed since stands beside it, and what a record is now is looked up at each reading.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID, uuid4

import pandas as pd
from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from synchist.accounts import Actor, Principal, acting, record_access, viewing
from synchist.currencies import to_decimal
from synchist.db.engine import among, append, dialect_insert
from synchist.db.tables import connection as connection_table
from synchist.db.tables import (
    reconciliation,
    reconciliation_confirmation,
    reconciliation_line,
)
from synchist.db.types import utc_now
from synchist.entities import BY_KEY, Entity
from synchist.errors import SynchistError
from synchist.filters import search_terms
from synchist.history import charges
from synchist.reconciliation.matching import Bucket, Scope, match
from synchist.reconciliation.records import candidates
from synchist.reconciliation.report import DECIMALS, Coverage, LeftOut, Report
from synchist.roles import Role
from synchist.statuses import SyncStatus

Progress = Callable[[float, str], object]
"""Told how far a comparison has come, from 0 to 1, and what it does now."""


class NoSuchReconciliation(SynchistError):
    """No reconciliation has this id."""

    def __init__(self) -> None:
        super().__init__("There is no such reconciliation. Open Reconcile to see them all.")


class NotComparable(SynchistError):
    """Something that only the user can say is missing."""


# ---------------------------------------------------------------- comparing


def compare(
    principal: Principal,
    report: Report,
    connection_id: int,
    scope: Scope,
    *,
    identity: str | None = None,
    progress: Progress = lambda _share, _doing: None,
) -> str:
    """Hold a report against the records of a connection, and keep the result; its id.

    What the report lacks is “not in the books” only in a period that it covers whole. `identity` is
    a UUID made before: a second call with it keeps nothing twice.

    Raises NotComparable, NotSignedIn, NotAllowed, DatabaseUnavailable.
    """
    entity = BY_KEY[report.entity]
    doing = f"reconcile {entity.plural}"
    _check(scope, report)
    # Nothing is written until all is matched, so that nobody's write waits for that.
    progress(0.1, f"Looking up {entity.plural}")
    with viewing(principal, Role.ACCOUNTING_SYNC, doing) as (connection, _):
        _check_connection(connection, connection_id)
        records = candidates(
            connection, entity, connection_id, report.documents, scope.start, scope.end
        )
    progress(0.3, f"Matching {len(report.documents):,} lines with {entity.count(len(records))}")
    matched = match(report.documents, records, scope)
    progress(0.6, f"Keeping {len(matched):,} lines")
    identity = str(UUID(identity)) if identity else str(uuid4())
    with acting(principal, Role.ACCOUNTING_SYNC, doing) as (connection, actor):
        if _begin(connection, identity, actor, report, connection_id, scope):
            _keep(connection, identity, report.documents, records, matched)
            words = f"{report.name}, {len(report.documents):,} lines, to {doing}"
            record_access(connection, actor, "upload", f"{words}; sha256 {report.sha256}")
    return identity


def _check(scope: Scope, report: Report) -> None:
    """What is not in a report is missing only where the report says that it holds everything."""
    if scope.start and scope.end and scope.start > scope.end:
        raise NotComparable("The period ends before it begins.")
    if scope.coverage is not Coverage.ALL:
        return
    if report.coverage is Coverage.OPEN:
        raise NotComparable(
            "This report holds open items only, so that it can't prove what is not"
            " in the books. Export a list instead."
        )
    if not (scope.start and scope.end):
        raise NotComparable("Say from which day to which the report holds everything.")
    before = report.start is not None and scope.start < report.start
    if before or (report.end is not None and scope.end > report.end):
        raise NotComparable(
            f"The report is of {report.period}: choose days within it, or export a longer one."
        )


def _check_connection(connection: Connection, connection_id: int) -> None:
    of = connection_table.c
    if connection.scalar(select(of.id).where(of.id == connection_id)) is None:
        raise NotComparable("Choose the connection whose books the report comes from.")


def _begin(
    connection: Connection,
    identity: str,
    actor: Actor,
    report: Report,
    connection_id: int,
    scope: Scope,
) -> bool:
    """Keep what is known of the file; False where this very comparison is kept already."""
    kept = connection.scalar(
        dialect_insert(connection, reconciliation)
        .values(
            id=identity,
            at=utc_now(),
            actor_id=actor.id,
            actor=actor.name,
            entity=report.entity,
            connection_id=connection_id,
            file_name=report.name[:200],
            sha256=report.sha256,
            system=report.system[:100],
            report=report.report[:200],
            period=report.period[:200],
            basis=report.basis[:100],
            coverage=scope.coverage.value,
            starts_on=scope.start,
            ends_on=scope.end,
            amount_is_open=scope.amount_is_open,
            rows_read=report.rows_read,
            used=report.used,
            skipped=json.dumps(dict(report.skipped)),
            left_out=json.dumps([[one.row, one.reason, one.text] for one in report.left_out]),
            warnings=json.dumps(list(report.warnings)),
            control_total=report.control_total,
            documents_total=report.documents_total,
            file_total=report.file_total,
        )
        .on_conflict_do_nothing()
        .returning(reconciliation.c.id)
    )
    return kept is not None


_OF_DOCUMENT = {
    "sheet_row": "row",
    "booked_on": "date",
    **{name: name for name in ("type", "reference", "party", "also")},
    **{name: name for name in ("amount", "open_balance", "currency")},
}
_OF_RECORD = {
    **{name: name for name in ("version", "number", "sync_status", "sync_reference")},
    **{name: name for name in ("closed_reason", "tms_status")},
    "record_party": "party",
    "record_date": "date",
    "record_amount": "amount",
    "record_currency": "currency",
}
"""Columns of a kept line, and where each comes from."""


def _keep(
    connection: Connection,
    identity: str,
    documents: pd.DataFrame,
    records: pd.DataFrame,
    matched: pd.DataFrame,
) -> None:
    """Keep both sides of every line."""
    places = matched["line"].astype("Int64")
    ids = matched["record"].astype("Int64")
    at = records.index.get_indexer(pd.Index(ids.fillna(-1).astype("int64")))
    columns: dict[str, list[Any]] = {
        "position": list(range(len(matched))),
        "bucket": [str(bucket) for bucket in matched["bucket"]],
        "case_number": matched["case"].tolist(),
        "how": [str(how)[:60] for how in matched["how"]],
        "reason": matched["reason"].tolist(),
        "difference": _optional(matched["difference"]),
        "record_id": _optional(ids),
    }
    for name, source in _OF_DOCUMENT.items():
        columns[name] = _taken(documents[source], places.fillna(-1).astype("int64"))
    for name, source in _OF_RECORD.items():
        columns[name] = _taken(records[source], at)
    append(connection, reconciliation_line, {"reconciliation_id": [identity] * len(at), **columns})


def _taken(values: "pd.Series[Any]", places: Iterable[int]) -> list[Any]:
    """The values at those places, None where there is no place."""
    listed = [*_optional(values), None]
    return [listed[place] for place in places]


def _optional(values: "pd.Series[Any]") -> list[Any]:
    """Values as a database takes them."""
    return [
        None if missing else one
        for one, missing in zip(values.tolist(), values.isna(), strict=True)
    ]


# ---------------------------------------------------------------- what is kept


@dataclass(frozen=True)
class Reconciliation:
    """A comparison that is kept, at a moment in UTC. Totals are in ten-thousandths.

    `skipped` counts the rows of the file that are no document by reason, `left_out` lists some.
    """

    id: str
    at: datetime
    actor: str
    entity: Entity
    connection_id: int
    connection: str
    file_name: str
    sha256: str
    system: str
    report: str
    period: str
    basis: str
    coverage: Coverage
    starts_on: date | None
    ends_on: date | None
    amount_is_open: bool
    rows_read: int
    used: int
    skipped: Mapping[str, int]
    left_out: Sequence[LeftOut]
    warnings: Sequence[str]
    control_total: int | None
    documents_total: int
    file_total: int | None


def opened(connection: Connection, identity: str) -> Reconciliation:
    """One of them. Raises NoSuchReconciliation."""
    row = connection.execute(_kept().where(reconciliation.c.id == identity)).first()
    if row is None:
        raise NoSuchReconciliation
    return _reconciliation(row)


def latest(connection: Connection, limit: int = 15, offset: int = 0) -> list[Reconciliation]:
    """The newest ones first."""
    of = reconciliation.c
    rows = connection.execute(_kept().order_by(of.at.desc(), of.id).limit(limit).offset(offset))
    return [_reconciliation(row) for row in rows]


def same_file(connection: Connection, entity: Entity, sha256: str) -> Reconciliation | None:
    """The last comparison of this very file with records of this kind, if there is one."""
    of = reconciliation.c
    same = _kept().where(of.sha256 == sha256, of.entity == entity.key)
    row = connection.execute(same.order_by(of.at.desc()).limit(1)).first()
    return _reconciliation(row) if row else None


def count(connection: Connection) -> int:
    """How many there are."""
    return connection.scalar(select(func.count()).select_from(reconciliation)) or 0


def _kept() -> Select[Any]:
    return select(reconciliation, connection_table.c.name.label("connection")).join(
        connection_table, connection_table.c.id == reconciliation.c.connection_id
    )


def _reconciliation(row: Any) -> Reconciliation:
    values = dict(row._mapping)
    del values["actor_id"]
    return Reconciliation(
        **values
        | {
            "entity": BY_KEY[row.entity],
            "coverage": Coverage(row.coverage),
            "skipped": json.loads(row.skipped),
            "left_out": [LeftOut(*one) for one in json.loads(row.left_out)],
            "warnings": json.loads(row.warnings),
        }
    )


# ---------------------------------------------------------------- its lines

_LINE = reconciliation_line.alias("line")
_RECORD = reconciliation_line.alias("record_line")
_CONFIRMED = reconciliation_confirmation.alias("confirmed")
_TAKEN = reconciliation_confirmation.alias("taken")

_bucket_now: ColumnElement[str] = func.coalesce(_CONFIRMED.c.bucket, _LINE.c.bucket)
"""Where a line belongs now."""

_difference_now: ColumnElement[int] = func.coalesce(_CONFIRMED.c.difference, _LINE.c.difference)

_FROM = (
    _LINE.outerjoin(
        _CONFIRMED,
        and_(
            _CONFIRMED.c.reconciliation_id == _LINE.c.reconciliation_id,
            _CONFIRMED.c.position == _LINE.c.position,
        ),
    )
    .outerjoin(
        _RECORD,
        and_(
            _RECORD.c.reconciliation_id == _CONFIRMED.c.reconciliation_id,
            _RECORD.c.position == _CONFIRMED.c.record_position,
        ),
    )
    .outerjoin(
        _TAKEN,
        and_(
            _TAKEN.c.reconciliation_id == _LINE.c.reconciliation_id,
            _TAKEN.c.record_position == _LINE.c.position,
            _TAKEN.c.position != _LINE.c.position,
        ),
    )
)
"""Lines, each with the record that somebody has confirmed to be its own. What stood in a line of
its own until then (`_TAKEN`) stands there no more."""

_STANDS = _TAKEN.c.position.is_(None)


def _side(name: str) -> ColumnElement[Any]:
    """A column of the TMS side."""
    return func.coalesce(_LINE.c[name], _RECORD.c[name])


_CURRENCY: ColumnElement[str] = func.coalesce(
    func.nullif(_LINE.c.currency, ""), _side("record_currency"), ""
)
"""Of the books' amount: where the file does not say, that of the record beside it."""


_WAS_COMPLETE: ColumnElement[int] = case(
    (_side("sync_status") == int(SyncStatus.COMPLETE), 1), else_=0
)


@dataclass(frozen=True)
class Counted:
    """What is in a bucket: how many rows, how many documents of the file and records among them,
    how many of these were Complete, and the sums by currency: `books` and `difference` (books minus
    TMS) in ten-thousandths, `tms` in minor units. Where nobody says which currency it is, that is
    an empty text."""

    rows: int = 0
    documents: int = 0
    records: int = 0
    complete: int = 0
    books: Mapping[str, int] = field(default_factory=dict)
    tms: Mapping[str, int] = field(default_factory=dict)
    difference: Mapping[str, int] = field(default_factory=dict)


def summary(connection: Connection, identity: str) -> dict[Bucket, Counted]:
    """Every bucket, also those with nothing in it."""
    tms_currency = _side("record_currency")
    found = {bucket: Counted() for bucket in Bucket}
    for row in connection.execute(
        select(
            _bucket_now.label("bucket"),
            _CURRENCY.label("books_currency"),
            tms_currency.label("tms_currency"),
            func.count().label("rows"),
            func.count(_LINE.c.sheet_row).label("documents"),
            func.count(_side("record_id")).label("records"),
            func.sum(_WAS_COMPLETE).label("complete"),
            func.sum(_LINE.c.amount).label("books"),
            func.sum(_side("record_amount")).label("tms"),
            func.sum(_difference_now).label("difference"),
        )
        .select_from(_FROM)
        .where(_LINE.c.reconciliation_id == identity, _STANDS)
        .group_by(_bucket_now, _CURRENCY, tms_currency)
    ):
        before = found[Bucket(row.bucket)]
        found[Bucket(row.bucket)] = Counted(
            before.rows + row.rows,
            before.documents + row.documents,
            before.records + row.records,
            before.complete + int(row.complete),
            _added(before.books, row.books_currency, row.books),
            _added(before.tms, row.tms_currency, row.tms),
            _added(before.difference, row.tms_currency, row.difference),
        )
    return _of_one_currency(found)


def _of_one_currency(found: dict[Bucket, Counted]) -> dict[Bucket, Counted]:
    """Where the file does not say its currency, and there is but one that it could be, its sums go
    without, as in the file: those beside records would stand apart from the others otherwise."""
    said = {currency for one in found.values() for currency in one.books}
    if "" not in said or len(said) > 2:
        return found
    return {
        bucket: replace(one, books={"": sum(one.books.values())} if one.books else {})
        for bucket, one in found.items()
    }


def _added(sums: Mapping[str, int], currency: str | None, amount: Any) -> Mapping[str, int]:
    if amount is None:
        return sums
    code = currency or ""
    return {**sums, code: sums.get(code, 0) + int(amount)}


def counts(connection: Connection, ids: Collection[str]) -> dict[str, dict[Bucket, int]]:
    """How many rows are in which bucket of each of them; those with none are left out."""
    found: dict[str, dict[Bucket, int]] = {identity: {} for identity in ids}
    of = _LINE.c
    for identity, bucket, number in connection.execute(
        select(of.reconciliation_id, _bucket_now, func.count())
        .select_from(_FROM)
        .where(of.reconciliation_id.in_(list(ids)), _STANDS)
        .group_by(of.reconciliation_id, _bucket_now)
    ):
        found[identity][Bucket(bucket)] = number
    return found


def lines(
    connection: Connection,
    of: Reconciliation,
    bucket: Bucket | None = None,
    *,
    search: str = "",
    positions: Sequence[int] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> pd.DataFrame:
    """The lines of a bucket (or of all) that match a search, in the order of the file; where the
    amounts differ the largest difference first, of what is not in the books what is Complete here.

    Returns a DataFrame indexed by `position`. Of the books: `sheet_row`, `type`, `reference`,
    `party`, `also`, `booked_on`, `amount`, `open_balance` (ten-thousandths) and `currency`. Of the
    TMS when it was compared: `record_id`, `version`, `number`, `record_party`, `record_date`,
    `record_amount` (minor units), `record_currency`, `sync_status`, `sync_reference`,
    `closed_reason` and `tms_status`; and its `now_status`, `now_version` and `now_reason` at
    present. Also `bucket`, `case`, `how`, `reason`, `difference` (ten-thousandths, books minus
    TMS), `confirmed_by` and `confirmed_at`. Numbers and money are Int64, missing ones NA; days are
    dates or None.
    """
    statement = _lines(of).where(*_asked(of, bucket, search))
    statement = statement.order_by(*_FIRST.get(bucket, ()), _LINE.c.position)
    if positions is not None:
        statement = statement.where(_LINE.c.position.in_(among(connection, positions)))
    rows = connection.execute(statement.limit(limit).offset(offset or None)).all()
    names = [column.key for column in statement.selected_columns]
    values = zip(*rows, strict=True) if rows else [()] * len(names)
    frame = pd.DataFrame(
        {
            name: pd.Series(one, dtype="Int64" if name in _NUMBERS else object)
            for name, one in zip(names, values, strict=True)
        }
    )
    frame["position"] = frame["position"].astype("int64")
    return frame.set_index("position")


_NUMBERS = (
    *("position", "case", "sheet_row", "record_id", "version", "sync_status"),
    *("now_status", "now_version", "amount", "open_balance", "difference", "record_amount"),
)
_DOCUMENT = ("sheet_row", "type", "reference", "party", "also", "booked_on", "open_balance")


_FIRST: Mapping[Bucket | None, tuple[ColumnElement[Any], ...]] = {
    Bucket.AMOUNT: (func.abs(func.coalesce(_difference_now, 0)).desc(),),
    Bucket.NOT_IN_BOOKS: (_WAS_COMPLETE.desc(),),
}


def how_many(connection: Connection, of: Reconciliation, bucket: Bucket, search: str) -> int:
    """How many lines of a bucket match a search."""
    matching = select(func.count()).select_from(_FROM).where(*_asked(of, bucket, search))
    return connection.scalar(matching) or 0


def changed(connection: Connection, of: Reconciliation, bucket: Bucket) -> int:
    """Of how many lines of a bucket the record has changed since."""
    record = of.entity.table.c
    since = (
        select(func.count())
        .select_from(_FROM.join(of.entity.table, record.id == _side("record_id")))
        .where(*_asked(of, bucket, ""), record.version != _side("version"))
    )
    return connection.scalar(since) or 0


def on_charges(connection: Connection, of: Reconciliation, frame: pd.DataFrame) -> dict[int, str]:
    """On which charges the books hold another amount, by record id, as far as a job has told:
    `Fuel surcharge -150.00`."""
    currencies = dict(zip(frame["record_id"], frame["record_currency"], strict=True))
    ids = [int(one) for one in frame["record_id"].dropna()]
    return {
        record: ", ".join(
            f"{one.description} {to_decimal(-one.difference, currencies[record]):,}"
            for one in found
            if one.difference
        )
        for record, found in charges(connection, of.entity, ids).items()
    }


def _lines(of: Reconciliation) -> Select[Any]:
    record = of.entity.table.c
    return select(
        _LINE.c.position,
        _bucket_now.label("bucket"),
        _LINE.c.case_number.label("case"),
        _LINE.c.how,
        _LINE.c.reason,
        _difference_now.label("difference"),
        *(_LINE.c[name] for name in _DOCUMENT),
        _LINE.c.amount,
        _CURRENCY.label("currency"),
        _side("record_id").label("record_id"),
        *(_side(name).label(name) for name in _OF_RECORD),
        record.sync_status.label("now_status"),
        record.version.label("now_version"),
        record.closed_reason.label("now_reason"),
        _CONFIRMED.c.actor.label("confirmed_by"),
        _CONFIRMED.c.at.label("confirmed_at"),
    ).select_from(_FROM.outerjoin(of.entity.table, record.id == _side("record_id")))


def _asked(of: Reconciliation, bucket: Bucket | None, search: str) -> list[ColumnElement[bool]]:
    conditions = [_LINE.c.reconciliation_id == of.id, _STANDS]
    if bucket is not None:
        conditions.append(_bucket_now == bucket.value)
    if terms := search_terms(search):
        conditions.append(or_(*(_mentions(term) for term in terms[:100])))
    return conditions


def _mentions(term: str) -> ColumnElement[bool]:
    """Whether a line has a text in a number, a name, its memo or its reason, or that amount."""
    texts: list[ColumnElement[Any]] = [
        _LINE.c[name] for name in ("reference", "party", "also", "reason", "how")
    ]
    texts += [_side(name) for name in ("number", "record_party", "sync_reference")]
    found = [text.icontains(term, autoescape=True) for text in texts]
    try:
        amount = Decimal(term.replace(",", "")).scaleb(DECIMALS)
    except InvalidOperation:
        return or_(*found)
    if amount.is_finite() and amount == amount.to_integral_value() and abs(amount) < 2**62:
        found += [_LINE.c.amount == int(amount), func.abs(_difference_now) == abs(int(amount))]
    return or_(*found)
