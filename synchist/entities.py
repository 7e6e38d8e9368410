"""The four kinds of records that sync, declared once.

Grid columns, Excel formats, search, links and tests derive from these declarations. To add a
column, add a line; a declaration that can't work fails at import.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import Column as TableColumn
from sqlalchemy import (
    ColumnElement,
    FromClause,
    String,
    Table,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    null,
    or_,
    select,
)
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from synchist.db import tables
from synchist.db.tables import account, connection, diagnosis, organization, problem, sync_event
from synchist.db.types import Moment, utc_now
from synchist.settings import settings
from synchist.statuses import ConnectionState, SyncStatus


class Kind(StrEnum):
    """What a column holds, and so how it is shown, aligned and written to Excel."""

    TEXT = "text"
    LONG_TEXT = "long text"
    MONEY = "money"  # whole minor units in a DataFrame, an amount on screen and in Excel
    MOMENT = "moment"  # UTC in a DataFrame, business time on screen and in Excel
    DAY = "day"
    STATUS = "status"  # a stored SyncStatus, shown by its label


@dataclass(frozen=True)
class Column:
    """One column of an entity's list: where it comes from and how it looks.

    `width` is in pixels on screen; Excel's widths derive from it. `only` names the sync statuses
    under which the column is shown (all of them where empty).
    """

    key: str
    label: str
    kind: Kind
    source: ColumnElement[object]
    width: int = 110
    help: str = ""
    only: tuple[SyncStatus, ...] = ()

    def shown_under(self, status: SyncStatus) -> bool:
        """Whether a list of records of that status shows this column."""
        return not self.only or status in self.only


@dataclass(frozen=True)
class Sort:
    """One order of a list, in SQL over all pages; `id` follows, so that pages never overlap."""

    label: str
    by: ColumnElement[object]
    descending: bool = False


@dataclass(frozen=True)
class Applications:
    """How payments and documents are linked, seen from one side."""

    table: Table
    own: TableColumn[int]
    other: TableColumn[int]
    other_key: str


@dataclass(frozen=True)
class Blocking:
    """What holds up a payment: the documents that it pays and that are not Complete.

    `document` is the key of their entity, which is also the word for one: invoice or bill. `by`
    gives their numbers in words (none: null), `is_blocked` whether there is one.
    """

    document: str
    by: ColumnElement[Any]
    is_blocked: ColumnElement[bool]


@dataclass(frozen=True)
class Entity:
    """One kind of record.

    `key` stands in events and operations, `slug` in addresses and widget keys. `table` is what
    operations write to, `rows` what lists read: the same table, or the records as they stood at the
    moment `as_of`. `waits` gives, of a Pending record, one of the texts of `waiting`: why it does
    not move. `blocking` is what may hold up a payment. `in_closed_period` says of an open record
    whether its connection's books are closed at its accounting date, `closed_through` up to which
    day they are. Nobody knows any of these of the past.

    `source` joins the names to the records, `listed` also what the team says about each: owner and
    note, of which `told` is the version (0: nobody has said anything).
    """

    key: str
    slug: str
    title: str
    singular: str
    plural: str
    table: Table
    rows: FromClause
    party_label: str
    party_role: TableColumn[bool]
    syncable: tuple[str, ...]
    columns: tuple[Column, ...]
    source: FromClause
    listed: FromClause
    told: ColumnElement[int]
    searched: tuple[ColumnElement[str], ...]
    sorts: tuple[Sort, ...]
    party_name: ColumnElement[str]
    billing_name: ColumnElement[str]
    connection_name: ColumnElement[str]
    connection_system: ColumnElement[str]
    closed_through: ColumnElement[date | None]
    in_closed_period: ColumnElement[bool]
    waits: ColumnElement[str] | None
    waiting: tuple[str, ...]
    applications: Applications
    charge_lines: TableColumn[int] | None = None
    blocking: Blocking | None = None
    as_of: datetime | None = None

    def __post_init__(self) -> None:
        keys = [column.key for column in self.columns]
        if len(keys) != len(set(keys)):
            raise ValueError(f"{self.title}: a column key stands twice")

    def count(self, number: int) -> str:
        """`1 invoice`, `1,204 invoices`."""
        return f"{number:,} {self.singular if number == 1 else self.plural}"

    def shown(self, status: SyncStatus) -> list[Column]:
        """The columns of a list of records of that status."""
        return [column for column in self.columns if column.shown_under(status)]

    @property
    def differs(self) -> ColumnElement[bool]:
        """Whether the books hold another amount than the TMS. Unknown is no difference."""
        differ: ColumnElement[bool] = self.rows.c.synced_amount != self.rows.c.amount
        return differ


OPEN = (SyncStatus.PENDING, SyncStatus.FAILED)

Fields: TypeAlias = ReadOnlyColumnCollection[str, Any]

_SHARED = or_(func.count().over(partition_by=account.c.name) > 1, account.c.name.contains(" · "))
PEOPLE = select(
    account.c.id,
    account.c.login,
    case((_SHARED, account.c.name + " · " + account.c.login), else_=account.c.name).label("label"),
).subquery("people")
"""Accounts, each with a label that no other has: the name, and the login where two share it. A name
that looks like such a label gets it as well."""


def _blocking(table: Table, link: Applications) -> Blocking:
    """What holds up a payment. A document that waits for its first attempt holds it up as well."""
    document = tables.metadata.tables[link.other_key].alias(f"{table.name}_blocked_by")
    open_ones = (
        select(link.own)
        .join_from(link.table, document, link.other == document.c.id)
        .where(link.own == table.c.id, document.c.sync_status != int(SyncStatus.COMPLETE))
    )
    number = func.min(document.c.number)
    documents = func.count(document.c.id.distinct())  # one may be paid in several portions
    others = cast(documents - 1, String)
    words = case(
        (documents == 0, null()),
        (documents == 1, number),
        else_=number + " and " + others + " more",
    )
    return Blocking(
        document=link.other_key,
        by=open_ones.with_only_columns(words, maintain_column_froms=True).scalar_subquery(),
        is_blocked=open_ones.exists(),
    )


def _is_closed(of: Fields, link: FromClause) -> ColumnElement[bool]:
    """Whether an open record's accounting date lies in closed books. Unknown is not closed."""
    return and_(
        of.sync_status.in_([int(status) for status in OPEN]),
        or_(
            of.accounting_date <= link.c.lock_date,
            of.accounting_date <= link.c.learnt_lock_date,
        ),
    )


def _in_closed_period(table: Table) -> ColumnElement[bool]:
    """The same for a record by itself: counts need no names of parties and connections."""
    books = connection.alias(f"{table.name}_books")
    return (
        select(literal(1))
        .select_from(books)
        .where(books.c.id == table.c.connection_id, _is_closed(table.c, books))
        .correlate(table)
        .exists()
    )


def closed_through(link: FromClause) -> ColumnElement[date | None]:
    """The later of a connection's two days: told by a person or a job, and learnt."""
    told, learnt = link.c.lock_date, link.c.learnt_lock_date
    # No function of both databases takes the greater of two where one of them may be null.
    is_told = or_(learnt.is_(None), told >= learnt)
    return case((is_told, told), else_=learnt)


def _waits(
    table: Table, link: FromClause, syncable: tuple[str, ...], blocking: Blocking | None
) -> tuple[ColumnElement[Any], tuple[str, ...]]:
    """Why a Pending record does not move, as SQL, and every text that this can give."""
    of = table.c
    needed = ", ".join(syncable[:-1]) + " or " * (len(syncable) > 1) + syncable[-1]
    # Not since when it is Pending: a change in the TMS may have let it go only now.
    last = (
        select(sync_event.c.at)
        .where(
            sync_event.c.entity == table.name,
            sync_event.c.record_id == table.c.id,
            sync_event.c.version == table.c.version,
        )
        .scalar_subquery()
    )
    now = bindparam("now", callable_=utc_now, type_=Moment, unique=True)
    too_long = bindparam("too_long", callable_=_too_long_ago, type_=Moment, unique=True)
    reasons: tuple[tuple[str, ColumnElement[bool]], ...] = (
        (f"TMS status must be {needed}", of.tms_status.not_in(syncable)),
        ("No connection to an accounting system", of.connection_id.is_(None)),
        (
            "The connection is down",
            or_(
                link.c.state != ConnectionState.AUTHORIZED.value,
                link.c.token_expires_at <= now,
            ),
        ),
        *([(f"Its {blocking.document} is not Complete", blocking.is_blocked)] if blocking else []),
        ("No sync job has picked it up", last < too_long),
    )
    texts = (*(reason for reason, _ in reasons), "Waits for the next sync job")
    whens = [(when, literal(reason)) for reason, when in reasons]
    return case(*whens, else_=literal(texts[-1])), texts


def _too_long_ago() -> datetime:
    return utc_now() - timedelta(hours=settings().pending_hours)


def _outcome(
    of: Fields,
    waits: ColumnElement[Any] | None,
    is_closed: ColumnElement[bool] | None,
    blocking: Blocking | None,
    said: list[Column],
) -> list[Column]:
    """What the last attempt left, and what the team has `said`, shared by all entities."""
    return [
        Column(
            "tms_status",
            "TMS status",
            Kind.TEXT,
            of.tms_status,
            75,
            help="The accounting status inside the TMS; not the outcome of a sync",
        ),
        Column(
            "sync_at",
            "Sync date",
            Kind.MOMENT,
            of.sync_at,
            115,
            help="When a sync job last tried to write this record to the accounting system",
        ),
        *([] if waits is None else [_why(waits)]),
        *said,
        *([_blocked_by(blocking)] if blocking else []),
        *([] if is_closed is None else [_period(is_closed)]),
        Column(
            "cause",
            "Cause",
            Kind.TEXT,
            problem.c.title,
            175,
            help="What the last error means; a click on the number says what to do",
            only=OPEN,
        ),
        Column(
            "sync_error",
            "Last error",
            Kind.LONG_TEXT,
            of.sync_error,
            400,
            help="The exact text that the accounting system returned; double-click to read it all",
            only=OPEN,
        ),
        Column(
            "sync_reference",
            "Reference",
            Kind.TEXT,
            of.sync_reference,
            120,
            help="The number that the accounting system gave to this record",
        ),
        Column(
            "closed_reason",
            "Closed because",
            Kind.TEXT,
            of.closed_reason,
            190,
            help="Why a person closed the record without a successful sync",
            only=(SyncStatus.COMPLETE,),
        ),
        Column("sync_status", "Sync status", Kind.STATUS, of.sync_status, 95),
    ]


def _why(waits: ColumnElement[Any]) -> Column:
    return Column(
        "waits",
        "Why it waits",
        Kind.TEXT,
        waits,
        258,
        help="Why the next sync job will or will not try this record",
        only=(SyncStatus.PENDING,),
    )


def _period(is_closed: ColumnElement[bool]) -> Column:
    return Column(
        "period",
        "Period",
        Kind.TEXT,
        case((is_closed, literal("Closed")), else_=literal("")),
        54,
        help="Closed: the books are closed at this accounting date, and would refuse the record."
        " Ask to reopen the period, or change the date in the TMS, before you send it back",
        only=OPEN,
    )


def _blocked_by(blocking: Blocking) -> Column:
    return Column(
        "blocked_by",
        "Blocked by",
        Kind.TEXT,
        blocking.by,
        115,
        help=f"The {blocking.document} that it pays and that is not Complete: fix this one first",
        only=OPEN,
    )


def _said(told: FromClause, owner: FromClause) -> list[Column]:
    """What the team says about a record, shared by all entities; edited in the list itself."""
    return [
        Column(
            "owner",
            "Owner",
            Kind.TEXT,
            owner.c.label,
            90,
            help="Who looks after the record; double-click to choose",
        ),
        Column(
            "note",
            "Note",
            Kind.TEXT,
            func.coalesce(told.c.note, ""),
            120,
            help="A line for the team, of no concern to a sync; double-click to write",
        ),
    ]


def _tail(of: Fields, billing: FromClause, link: FromClause) -> list[Column]:
    """Where a record belongs, shared by all entities."""
    return [
        Column("accounting_date", "Accounting date", Kind.DAY, of.accounting_date, 120),
        Column("billing", "Billing organization", Kind.TEXT, billing.c.name, 170),
        Column("connection", "Connection", Kind.TEXT, link.c.name, 190),
        Column("sync_error_code", "Error code", Kind.TEXT, of.sync_error_code, 90, only=OPEN),
        Column(
            "outcome_at",
            "Status since",
            Kind.MOMENT,
            of.outcome_at,
            140,
            help="Since when the sync status is what it is; the date range looks at this",
        ),
    ]


def _amounts(of: Fields, total: str) -> list[Column]:
    """The TMS amount beside the amount in the books."""
    return [
        Column("amount", total, Kind.MONEY, of.amount, 85),
        Column(
            "synced_amount",
            "Synced",
            Kind.MONEY,
            of.synced_amount,
            80,
            help="The amount that the accounting system holds; blank where it is not known",
        ),
    ]


def _difference(of: Fields) -> list[Column]:
    """Total against synced, so that a partial sync shows."""
    return [
        Column(
            "differs",
            "≠",
            Kind.TEXT,
            case((of.synced_amount != of.amount, literal("≠")), else_=literal("")),
            32,
            help="Marked where the synced amount differs from the total",
        ),
        Column(
            "difference",
            "Difference",
            Kind.MONEY,
            of.amount - of.synced_amount,
            76,
            help="Total minus synced; blank where the synced amount is not known",
        ),
    ]


def _document(of: Fields) -> list[Column]:
    """What only invoices and bills have."""
    return [
        Column("shipment_id", "Shipment", Kind.TEXT, of.shipment_id, 110),
        Column("pro_number", "PRO number", Kind.TEXT, of.pro_number, 110),
        Column("due_date", "Due date", Kind.DAY, of.due_date, 100),
    ]


def _payment(of: Fields) -> list[Column]:
    """What only payments have."""
    return [
        Column("method", "Method", Kind.TEXT, of.method, 90),
        Column("check_number", "Check number", Kind.TEXT, of.check_number, 110),
        Column("memo", "Memo", Kind.TEXT, of.memo, 180),
    ]


def _untold(columns: list[Column]) -> list[Column]:
    """The same of the past, where no event holds them."""
    return [
        replace(
            column,
            label=f"{column.label} (now)",
            width=column.width + 40,
            help="As the record says now: the history does not hold it",
        )
        for column in columns
    ]


def _entity(
    key: str,
    title: str,
    *,
    party_label: str,
    party_role: TableColumn[bool],
    syncable: tuple[str, ...],
    applications: Applications,
    as_of: datetime | None = None,
) -> Entity:
    """Put one entity together; documents (invoices, bills) and payments differ in their columns."""
    table = tables.metadata.tables[key]
    rows = table if as_of is None else _past(table, as_of)
    of = rows.c
    party = organization.alias(f"{key}_party")
    billing = organization.alias(f"{key}_billing")
    link = connection.alias(f"{key}_connection")
    is_document = "shipment_id" in of
    own = _document(of) if is_document else _payment(of)
    blocking = None if is_document or as_of else _blocking(table, applications)
    waits, waiting = (None, ()) if as_of else _waits(table, link, syncable, blocking)
    told, owner = tables.triage.alias(f"{key}_told"), PEOPLE.alias(f"{key}_owner")
    of_record = and_(told.c.entity == key, told.c.record_id == of.id)
    source = (
        rows.join(party, of.party_id == party.c.id)
        .join(billing, of.billing_organization_id == billing.c.id)
        .outerjoin(link, of.connection_id == link.c.id)
        .outerjoin(problem, of.problem_id == problem.c.id)
    )
    by_team = source.outerjoin(told, of_record).outerjoin(owner, told.c.owner_id == owner.c.id)
    return Entity(
        key=key,
        slug=f"{key}s",
        title=title,
        singular=key.replace("_", " "),
        plural=f"{key.replace('_', ' ')}s",
        table=table,
        rows=rows,
        party_label=party_label,
        party_role=party_role,
        syncable=syncable,
        columns=(
            Column("number", "Number", Kind.TEXT, of.number, 100),
            Column("party", party_label, Kind.TEXT, party.c.name, 140),
            *_amounts(of, "Total" if is_document else "Amount"),
            *(_difference(of) if is_document else ()),
            Column("currency", "Currency", Kind.TEXT, of.currency, 65),
            *_outcome(
                of,
                waits,
                None if as_of else _is_closed(of, link),
                blocking,
                [] if as_of else _said(told, owner),
            ),
            *(_untold(own) if as_of else own),
            *_tail(of, billing, link),
        ),
        source=source,
        listed=source if as_of else by_team,
        told=literal(0) if as_of else func.coalesce(told.c.version, 0),
        searched=tuple(
            of[name]
            for name in ("number", "shipment_id", "sync_reference", "pro_number", "check_number")
            if name in of
        ),
        sorts=(
            Sort("Newest first", of.outcome_at, descending=True),
            Sort("Oldest first", of.outcome_at),
            Sort("Amount, highest first", of.amount, descending=True),
            Sort("Amount, lowest first", of.amount),
            Sort("Number", of.number),
            Sort(party_label, party.c.name),
        ),
        party_name=party.c.name,
        billing_name=billing.c.name,
        connection_name=link.c.name,
        connection_system=link.c.system,
        closed_through=closed_through(link),
        in_closed_period=_in_closed_period(table),
        waits=waits,
        waiting=waiting,
        charge_lines=tables.charge_line.c.get(f"{key}_id"),
        applications=applications,
        blocking=blocking,
        as_of=as_of,
    )


def as_of(entity: Entity, moment: datetime) -> Entity:
    """The same kind of records as they stood at a moment, for lists; `moment` is aware."""
    return _as_of(entity.key, moment)


@lru_cache(maxsize=64)
def _as_of(key: str, moment: datetime) -> Entity:
    entity = BY_KEY[key]
    return _entity(
        entity.key,
        entity.title,
        party_label=entity.party_label,
        party_role=entity.party_role,
        syncable=entity.syncable,
        applications=entity.applications,
        as_of=moment,
    )


def _past(table: Table, moment: datetime) -> FromClause:
    """The table as it stood: of each record the state after the highest version that had happened
    by then. What events do not hold is as it is now; a record that came later is not there. `at` is
    when that version happened."""
    then, later = sync_event.alias("then"), sync_event.alias("later")
    by_then = bindparam("as_of", moment, type_=Moment)
    superseded = (
        select(literal(1))
        .where(
            later.c.entity == table.name,
            later.c.record_id == then.c.record_id,
            later.c.version > then.c.version,
            later.c.at <= by_then,
        )
        .exists()
    )
    state = {name: then.c[name] for name in ("version", "outcome_at", *tables.TRACKED)}
    return (
        select(
            then.c.record_id.label("id"),
            then.c.at,
            _past_problem(then),
            *(state[name] if name in state else _now(table, name, then) for name in _kept(table)),
        )
        .where(then.c.entity == table.name, then.c.at <= by_then, ~superseded)
        .subquery(f"{table.name}_as_of")
    )


def _now(table: Table, name: str, then: FromClause) -> ColumnElement[Any]:
    """What the record holds in a column of which events know nothing; no join, since SQLite would
    look up each record also where nobody asks for the column."""
    return select(table.c[name]).where(table.c.id == then.c.record_id).scalar_subquery().label(name)


def _kept(table: Table) -> list[str]:
    """The columns of a table that its past has in the same way."""
    apart = ("id", "last_operation_id", "problem_id")
    return [column.name for column in table.c if column.name not in apart]


def _past_problem(then: FromClause) -> ColumnElement[Any]:
    """Why the last attempt had failed, as it is understood now; null where no error showed."""
    known = diagnosis.c
    last = (
        select(known.problem_id)
        .where(
            known.entity == then.c.entity,
            known.record_id == then.c.record_id,
            known.version <= then.c.version,
        )
        .order_by(known.version.desc())
        .limit(1)
        .scalar_subquery()
    )
    showed = (then.c.sync_status != int(SyncStatus.COMPLETE)) & (
        func.coalesce(then.c.sync_error, "") != ""
    )
    return case((showed, last)).label("problem_id")


def _applied(table: Table, own: str, other: str) -> Applications:
    return Applications(table, table.c[f"{own}_id"], table.c[f"{other}_id"], other)


INVOICES = _entity(
    "invoice",
    "Invoices",
    party_label="Payer",
    party_role=organization.c.is_payer,
    syncable=("Created", "Ready", "Approved"),
    applications=_applied(tables.invoice_payment_application, "invoice", "invoice_payment"),
)
INVOICE_PAYMENTS = _entity(
    "invoice_payment",
    "Invoice Payments",
    party_label="Payer",
    party_role=organization.c.is_payer,
    syncable=("Created", "Ready", "Approved"),
    applications=_applied(tables.invoice_payment_application, "invoice_payment", "invoice"),
)
BILLS = _entity(
    "bill",
    "Bills",
    party_label="Vendor",
    party_role=organization.c.is_vendor,
    syncable=("Approved",),
    applications=_applied(tables.bill_payment_application, "bill", "bill_payment"),
)
BILL_PAYMENTS = _entity(
    "bill_payment",
    "Bill Payments",
    party_label="Vendor",
    party_role=organization.c.is_vendor,
    syncable=("Approved",),
    applications=_applied(tables.bill_payment_application, "bill_payment", "bill"),
)

ENTITIES: tuple[Entity, ...] = (INVOICES, INVOICE_PAYMENTS, BILLS, BILL_PAYMENTS)
BY_KEY: Mapping[str, Entity] = {entity.key: entity for entity in ENTITIES}
BY_SLUG: Mapping[str, Entity] = {entity.slug: entity for entity in ENTITIES}

__all__ = [
    "BILLS",
    "BILL_PAYMENTS",
    "BY_KEY",
    "BY_SLUG",
    "ENTITIES",
    "INVOICES",
    "INVOICE_PAYMENTS",
    "PEOPLE",
    "Applications",
    "Blocking",
    "Column",
    "Entity",
    "Kind",
    "Sort",
    "as_of",
    "closed_through",
]
