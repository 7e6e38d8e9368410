"""Every table, as SQLAlchemy Core. What writes history stands in `triggers.py`.

The four entity tables share their columns, so that triggers, queries and operations are written
once. Money is whole minor units, moments are UTC (see `types.py`).
"""

from collections.abc import Iterable

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.schema import SchemaItem

from synchist.db.types import SQLITE_DAY, SQLITE_MOMENT, Identifier, Minor, Moment, folded

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _key() -> Column[int]:
    return Column("id", Identifier, primary_key=True)


def _typed(columns: Iterable[str], check: str) -> list[CheckConstraint]:
    """Checks that only SQLite needs, since it stores any type in any column."""
    return [
        CheckConstraint(check.format(column=column), name=f"{column}_form").ddl_if(dialect="sqlite")
        for column in columns
    ]


def _moments(*columns: str) -> list[CheckConstraint]:
    return _typed(columns, SQLITE_MOMENT)


def _whole(*columns: str) -> list[CheckConstraint]:
    return _typed(columns, "{column} IS NULL OR typeof({column}) = 'integer'")


def _days(*columns: str) -> list[CheckConstraint]:
    return _typed(columns, SQLITE_DAY)


organization = Table(
    "organization",
    metadata,
    _key(),
    Column("tms_id", String(64), nullable=False, unique=True),
    Column("name", String(200), nullable=False),
    Column("scac", String(4), comment="standard carrier alpha code, of carriers"),
    Column("is_payer", Boolean, nullable=False, server_default=text("false")),
    Column("is_vendor", Boolean, nullable=False, server_default=text("false")),
    Column("is_billing", Boolean, nullable=False, server_default=text("false")),
)

connection = Table(
    "connection",
    metadata,
    _key(),
    Column("name", String(200), nullable=False, unique=True),
    Column("system", String(40), nullable=False),
    Column("company", String(200), nullable=False),
    Column("state", String(20), nullable=False),
    Column("token_expires_at", Moment),
    Column("last_success_at", Moment),
    Column("lock_date", Date, comment="the books are closed up to and including this day"),
    Column("learnt_lock_date", Date, comment="the same, as the books' refusals have shown"),
    CheckConstraint("state IN ('authorized', 'expired', 'revoked')", name="state"),
    *_moments("token_expires_at", "last_success_at"),
    *_days("lock_date"),
)

operation = Table(
    "operation",
    metadata,
    Column("id", String(36), primary_key=True, comment="UUID, also the idempotency key"),
    Column("at", Moment, nullable=False),
    Column("actor_id", ForeignKey("account.id"), comment="null for the command line"),
    Column("actor", String(200), nullable=False, comment="name at the time"),
    Column("action", String(40), nullable=False),
    Column("to_status", SmallInteger),
    Column("reason", String(40)),
    Column("note", Text, nullable=False, server_default=""),
    Column("filters", Text, nullable=False, server_default="", comment="filters in words"),
    Column("digest", String(64), nullable=False, comment="sha256 of what was asked"),
    Column("requested", Integer, nullable=False),
    # No foreign key: SQLite can add none to a table that is there.
    Column("undoes", String(36), comment="the operation that this one takes back"),
    *_moments("at"),
    Index(None, "at"),
    Index(None, "actor_id", "at"),
)

operation_item = Table(
    "operation_item",
    metadata,
    Column("operation_id", ForeignKey("operation.id"), primary_key=True),
    Column("entity", String(20), primary_key=True),
    Column("record_id", BigInteger, primary_key=True),
    Column("version_seen", Integer, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("booked_on", Date, comment="the date in the books, where a person found it there"),
    Index(None, "entity", "record_id"),
)

TRACKED = (
    "sync_status",
    "sync_at",
    "sync_reference",
    "synced_amount",
    "sync_error_code",
    "sync_error",
    "closed_reason",
    "tms_status",
    "number",
    "amount",
    "currency",
    "party_id",
    "billing_organization_id",
    "connection_id",
    "accounting_date",
)
"""The state that every event carries, and whose change makes one."""

SYNC_COLUMNS = TRACKED[:7]
"""The part of it that sync jobs and status changes write; the rest belongs to the TMS."""


TELLS_WHY = """(kind <> 'tms' AND sync_status = 2
    OR kind = 'attempt' AND sync_status = 0 AND sync_error > '')"""
"""SQL for whether an event says why a push failed: the record fails, or an attempt left it Pending
with an error. Such an event is diagnosed; a change in the TMS is no answer of the books."""

UNDIAGNOSED = 0
"""The problem of a record that is not diagnosed yet: triggers set it, `problems.py` clears it."""


def _tracked_columns() -> list[Column[object]]:
    """The tracked columns as an event holds them, without the entity tables' constraints."""
    return [
        Column("sync_status", SmallInteger, nullable=False),
        Column("sync_at", Moment),
        Column("sync_reference", String(100)),
        Column("synced_amount", Minor),
        Column("sync_error_code", String(100)),
        Column("sync_error", Text),
        Column("closed_reason", String(40)),
        Column("tms_status", String(40), nullable=False),
        Column("number", String(60), nullable=False),
        Column("amount", Minor, nullable=False),
        Column("currency", String(3), nullable=False),
        Column("party_id", BigInteger, nullable=False),
        Column("billing_organization_id", BigInteger, nullable=False),
        Column("connection_id", BigInteger),
        Column("accounting_date", Date),
    ]


def _entity_table(name: str, *own: SchemaItem) -> Table:
    """One of the four record tables: the shared columns, then its own."""
    table = Table(
        name,
        metadata,
        _key(),
        Column("tms_id", String(64), nullable=False, unique=True, comment="the load key"),
        Column("number", String(60), nullable=False),
        Column("party_id", ForeignKey("organization.id"), nullable=False, index=True),
        Column(
            "billing_organization_id", ForeignKey("organization.id"), nullable=False, index=True
        ),
        Column("connection_id", ForeignKey("connection.id")),
        Column("currency", String(3), nullable=False, index=True),
        Column("amount", Minor, nullable=False),
        Column("tms_status", String(40), nullable=False),
        Column("accounting_date", Date),
        Column("created_at", Moment, nullable=False),
        Column("sync_status", SmallInteger, nullable=False, server_default=text("0")),
        Column("sync_at", Moment, comment="when the last attempt was made"),
        Column("sync_reference", String(100)),
        Column("synced_amount", Minor),
        Column("sync_error_code", String(100)),
        Column("sync_error", Text),
        Column("outcome_at", Moment, comment="since when the sync status is what it is"),
        Column("closed_reason", String(40)),
        Column("version", Integer, nullable=False, server_default=text("0")),
        Column("last_operation_id", ForeignKey("operation.id")),
        # No foreign key: 0 is no row. Null where no error shows.
        Column("problem_id", BigInteger, comment="why the last attempt failed; 0: not looked at"),
        *own,
        CheckConstraint("sync_status IN (0, 1, 2)", name="sync_status"),
        # length(NULL) is NULL, and a CHECK lets NULL pass: coalesce is what refuses it.
        CheckConstraint(
            "sync_status <> 2 OR coalesce(length(sync_error), 0) > 0", name="failed_has_error"
        ),
        CheckConstraint("length(currency) = 3 AND currency = upper(currency)", name="currency"),
        *_moments("created_at", "sync_at", "outcome_at"),
        *_whole("amount", "synced_amount", "sync_status"),
        *_days("accounting_date"),
    )
    columns = table.c
    # The lists: newest first within a status. Currency and amount ride along, so that counts and
    # sums of many records are read from the index alone.
    Index(
        f"ix_{name}_outcome",
        columns.sync_status,
        columns.outcome_at.desc(),
        columns.id,
        columns.currency,
        columns.amount,
    )
    Index(f"ix_{name}_amount", columns.sync_status, columns.amount, columns.id, columns.outcome_at)
    # The causes: failures counted and summed by problem, from the index alone.
    failed = columns.sync_status == 2
    Index(
        f"ix_{name}_problem",
        columns.problem_id,
        columns.currency,
        columns.amount,
        columns.created_at,
        sqlite_where=failed,
        postgresql_where=failed,
    )
    # The overview and the age of what is open, from the index alone.
    still_open = columns.sync_status != 1
    Index(
        f"ix_{name}_open",
        columns.sync_status,
        columns.created_at,
        columns.currency,
        columns.amount,
        sqlite_where=still_open,
        postgresql_where=still_open,
    )
    # A month's close: its records by whose books they belong to.
    Index(
        f"ix_{name}_period",
        columns.accounting_date,
        columns.billing_organization_id,
        columns.connection_id,
    )
    undiagnosed = columns.problem_id == UNDIAGNOSED
    Index(
        f"ix_{name}_undiagnosed",
        columns.id,
        sqlite_where=undiagnosed,
        postgresql_where=undiagnosed,
    )
    # Upper case, so that a search by the first letters can use the index in any case.
    for key in ("number", "sync_reference", "shipment_id", "pro_number", "check_number"):
        if key in columns:
            Index(f"ix_{name}_{key}", folded(columns[key]))
    return table


def _shipping() -> list[SchemaItem]:
    return [
        Column("shipment_id", String(60)),
        Column("due_date", Date),
        Column("pro_number", String(60), comment="the carrier's number of the shipment"),
        *_days("due_date"),
    ]


def _paying() -> list[SchemaItem]:
    return [
        Column("method", String(40)),
        Column("check_number", String(60)),
        Column("memo", Text),
    ]


invoice = _entity_table("invoice", *_shipping())
invoice_payment = _entity_table("invoice_payment", *_paying())
bill = _entity_table("bill", *_shipping())
bill_payment = _entity_table("bill_payment", *_paying())

ENTITY_TABLES = (invoice, invoice_payment, bill, bill_payment)

charge_line = Table(
    "charge_line",
    metadata,
    _key(),
    Column("invoice_id", ForeignKey("invoice.id"), index=True),
    Column("bill_id", ForeignKey("bill.id"), index=True),
    Column("position", SmallInteger, nullable=False),
    Column("description", String(200), nullable=False),
    Column("amount", Minor, nullable=False, comment="in the document's currency"),
    CheckConstraint("(invoice_id IS NULL) <> (bill_id IS NULL)", name="one_document"),
    *_whole("amount"),
)

attempt_line = Table(
    "attempt_line",
    metadata,
    _key(),
    Column("charge_line_id", ForeignKey("charge_line.id"), nullable=False, index=True),
    Column("sync_at", Moment, nullable=False, comment="of the attempt that read it"),
    Column("amount", Minor, nullable=False, comment="what the books hold"),
    *_moments("sync_at"),
    *_whole("amount"),
)


def _application(payment: str, document: str) -> Table:
    """How much of a payment goes to which document, in the payment's currency."""
    return Table(
        f"{payment}_application",
        metadata,
        _key(),
        Column(f"{payment}_id", ForeignKey(f"{payment}.id"), nullable=False, index=True),
        Column(f"{document}_id", ForeignKey(f"{document}.id"), nullable=False, index=True),
        Column("amount", Minor, nullable=False),
        *_whole("amount"),
    )


invoice_payment_application = _application("invoice_payment", "invoice")
bill_payment_application = _application("bill_payment", "bill")

sync_event = Table(
    "sync_event",
    metadata,
    _key(),
    Column("entity", String(20), nullable=False),
    Column("record_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Moment, nullable=False, comment="when it happened, as the row says"),
    Column("recorded_at", Moment, nullable=False, comment="when the database wrote it down"),
    Column("kind", String(20), nullable=False),
    Column("operation_id", ForeignKey("operation.id")),
    Column("outcome_at", Moment, nullable=False),
    *_tracked_columns(),
    UniqueConstraint("entity", "record_id", "version"),
    Index(None, "entity", "sync_status", "at"),
)
# Of each connection the attempts alone: when it answered last, and in which hours it usually does.
Index(
    "ix_sync_event_attempts",
    sync_event.c.connection_id,
    sync_event.c.sync_status,
    sync_event.c.at,
    sqlite_where=sync_event.c.kind == "attempt",
    postgresql_where=sync_event.c.kind == "attempt",
)

problem = Table(
    "problem",
    metadata,
    _key(),
    Column("connection_id", ForeignKey("connection.id")),
    Column("cause", String(40), nullable=False),
    Column("named", String(200), nullable=False, comment="what has to be fixed; empty: no name"),
    Column("title", String(400), nullable=False),
)
Index(
    "uq_problem",
    func.coalesce(problem.c.connection_id, 0),
    problem.c.cause,
    problem.c.named,
    unique=True,
)

diagnosis = Table(
    "diagnosis",
    metadata,
    Column("entity", String(20), primary_key=True),
    Column("record_id", BigInteger, primary_key=True),
    Column("version", Integer, primary_key=True, comment="of the event that tells why"),
    Column("problem_id", ForeignKey("problem.id"), nullable=False),
    Column("at", Moment, nullable=False, comment="the event's"),
    Column("catalogue", String(12), nullable=False, comment="version of the rules"),
    Column("retry", String(20), comment="what another attempt does; null: not looked at"),
    Index(None, "problem_id", "at"),
    Index(None, "at", "problem_id"),
    *_moments("at"),
)
"""Derived from events and the catalogue, so that it may be computed anew."""

account = Table(
    "account",
    metadata,
    _key(),
    Column("login", String(200), nullable=False, unique=True, comment="lower case"),
    Column("name", String(200), nullable=False),
    Column("password_hash", String(200), comment="argon2id; null: no password sign-in"),
    Column("created_at", Moment, nullable=False),
    Column("disabled_at", Moment),
    CheckConstraint("login = lower(login)", name="login"),
    *_moments("created_at", "disabled_at"),
)

role_grant = Table(
    "role_grant",
    metadata,
    _key(),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("role", String(60), nullable=False),
    Column("from_at", Moment, nullable=False),
    Column("until_at", Moment, comment="null while it holds"),
    Column("granted_by", String(200), nullable=False),
    *_moments("from_at", "until_at"),
)

auth_session = Table(
    "auth_session",
    metadata,
    Column("id", String(36), primary_key=True, comment="public: names the session, opens nothing"),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("account_id", ForeignKey("account.id"), nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
    Column("ended_at", Moment),
    *_moments("created_at", "seen_at", "ended_at"),
)

sign_in_attempt = Table(
    "sign_in_attempt",
    metadata,
    _key(),
    Column("at", Moment, nullable=False),
    Column("login", String(200), nullable=False),
    Column("address", String(100), nullable=False),
    Column("succeeded", Boolean, nullable=False),
    Index(None, "login", "at"),
    Index(None, "address", "at"),
    *_moments("at"),
)

access_event = Table(
    "access_event",
    metadata,
    _key(),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("actor_id", ForeignKey("account.id")),
    Column("actor", String(200), nullable=False),
    Column("detail", Text, nullable=False, server_default=""),
    Index(None, "at"),
    *_moments("at"),
)

reconciliation = Table(
    "reconciliation",
    metadata,
    Column("id", String(36), primary_key=True, comment="UUID"),
    Column("at", Moment, nullable=False),
    Column("actor_id", ForeignKey("account.id"), comment="null for the command line"),
    Column("actor", String(200), nullable=False, comment="name at the time"),
    Column("entity", String(20), nullable=False),
    Column("connection_id", ForeignKey("connection.id"), nullable=False),
    Column("file_name", String(200), nullable=False),
    Column("sha256", String(64), nullable=False, comment="of the file"),
    Column("system", String(100), nullable=False, comment="that the file comes from, as read"),
    Column("report", String(200), nullable=False, comment="what the file is, as read"),
    Column("period", String(200), nullable=False, comment="as the file says it"),
    Column("basis", String(100), nullable=False),
    Column("coverage", String(20), nullable=False, comment="as the user has confirmed it"),
    Column("starts_on", Date),
    Column("ends_on", Date),
    Column("amount_is_open", Boolean, nullable=False),
    Column("rows_read", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("skipped", Text, nullable=False, comment="JSON: rows by reason"),
    Column("left_out", Text, nullable=False, comment="JSON: row, reason and text of some"),
    Column("warnings", Text, nullable=False, comment="JSON"),
    Column("control_total", BigInteger, comment="of what was read, in ten-thousandths"),
    Column("documents_total", BigInteger, nullable=False, comment="the same of the documents"),
    Column("file_total", BigInteger, comment="the file's own"),
    Index(None, "at"),
    Index(None, "sha256", "entity"),
    *_moments("at"),
    *_days("starts_on", "ends_on"),
)

reconciliation_line = Table(
    "reconciliation_line",
    metadata,
    Column("reconciliation_id", ForeignKey("reconciliation.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("bucket", String(20), nullable=False),
    Column("case_number", Integer, nullable=False, comment="rows that belong together share it"),
    Column("how", String(60), nullable=False, comment="by what the two sides belong together"),
    Column("reason", Text, nullable=False),
    Column("difference", BigInteger, comment="books minus TMS, in ten-thousandths"),
    # The books: a document of the file; amounts in ten-thousandths.
    Column("sheet_row", Integer, comment="null: nothing of the file"),
    Column("type", String(20)),
    Column("reference", Text),
    Column("party", Text),
    Column("also", Text),
    Column("booked_on", Date),
    Column("amount", BigInteger),
    Column("open_balance", BigInteger),
    Column("currency", String(10)),
    # The TMS: a record as it stood; its amount in minor units.
    Column("record_id", BigInteger, comment="null: no record"),
    Column("version", Integer),
    Column("number", String(60)),
    Column("record_party", String(200)),
    Column("record_date", Date),
    Column("record_amount", Minor),
    Column("record_currency", String(3)),
    Column("sync_status", SmallInteger),
    Column("sync_reference", String(100)),
    Column("closed_reason", String(40)),
    Column("tms_status", String(40)),
    Index(None, "reconciliation_id", "bucket", "position"),
    *_days("booked_on", "record_date"),
    *_whole("difference", "amount", "open_balance", "record_amount"),
)

reconciliation_confirmation = Table(
    "reconciliation_confirmation",
    metadata,
    Column("reconciliation_id", ForeignKey("reconciliation.id"), primary_key=True),
    Column("position", Integer, primary_key=True, comment="where the document stands"),
    Column("record_position", Integer, nullable=False, comment="where its record stands"),
    Column("bucket", String(20), nullable=False, comment="where the pair belongs now"),
    Column("difference", BigInteger, comment="books minus TMS, in ten-thousandths"),
    Column("at", Moment, nullable=False),
    Column("actor_id", ForeignKey("account.id"), comment="null for the command line"),
    Column("actor", String(200), nullable=False, comment="name at the time"),
    UniqueConstraint("reconciliation_id", "record_position"),
    *_moments("at"),
    *_whole("difference"),
)

export_reading = Table(
    "export_reading",
    metadata,
    _key(),
    Column("at", Moment, nullable=False),
    Column("actor_id", ForeignKey("account.id"), comment="null for the command line"),
    Column("actor", String(200), nullable=False, comment="name at the time"),
    Column("entity", String(20), nullable=False),
    Column("headings", String(64), nullable=False, comment="sha256 of the headings"),
    Column("reading", Text, nullable=False, comment="JSON: how such a file is read"),
    Index(None, "entity", "headings"),
    *_moments("at"),
)

daily_open = Table(
    "daily_open",
    metadata,
    Column("day", Date, primary_key=True, comment="in business time"),
    Column("entity", String(20), primary_key=True),
    Column("sync_status", SmallInteger, primary_key=True),
    Column("currency", String(3), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("amount", Minor, nullable=False, comment="sum of the TMS amounts"),
    *_days("day"),
    *_whole("amount"),
)
"""What was Failed or Pending at the end of a finished day. Derived from events, so that it may be
computed anew."""

daily_open_day = Table(
    "daily_open_day",
    metadata,
    Column("day", Date, primary_key=True, comment="in business time"),
    Column("time_zone", String(60), nullable=False, comment="in which the day ended"),
    Column("last_event_id", BigInteger, nullable=False, comment="the newest event looked at"),
    *_days("day"),
)
"""The days that `daily_open` holds."""

visit = Table(
    "visit",
    metadata,
    Column("account_id", ForeignKey("account.id"), primary_key=True),
    Column("seen_at", Moment, nullable=False, comment="of the present visit, so far"),
    Column("before_at", Moment, comment="when the visit before it ended; null: there was none"),
    *_moments("seen_at", "before_at"),
)


def _who() -> list[SchemaItem]:
    return [
        Column("at", Moment, nullable=False),
        Column("actor_id", ForeignKey("account.id"), comment="null for the command line"),
        Column("actor", String(200), nullable=False, comment="name at the time"),
        *_moments("at"),
    ]


def _of_close() -> Column[str]:
    return Column("close_id", ForeignKey("period_close.id"), primary_key=True)


period_close = Table(
    "period_close",
    metadata,
    Column("id", String(36), primary_key=True, comment="UUID, also the idempotency key"),
    Column("month", Date, nullable=False, comment="its first day"),
    Column("billing_organization_id", ForeignKey("organization.id"), nullable=False),
    Column("connection_id", ForeignKey("connection.id"), comment="null: records without one"),
    Column("note", Text, nullable=False, server_default=""),
    *_who(),
    *_days("month"),
    Index(None, "month", "billing_organization_id", "connection_id", "at"),
)
"""A month signed off for one billing organization and connection."""

period_close_sum = Table(
    "period_close_sum",
    metadata,
    _of_close(),
    Column("entity", String(20), primary_key=True),
    Column("kind", String(20), primary_key=True, comment="what the records were counted as"),
    Column("currency", String(3), primary_key=True),
    Column("count", Integer, nullable=False),
    Column("amount", Minor, nullable=False),
    *_whole("amount"),
)
"""What the month held when it was signed off."""

period_close_record = Table(
    "period_close_record",
    metadata,
    _of_close(),
    Column("entity", String(20), primary_key=True),
    Column("record_id", BigInteger, primary_key=True),
    Column("version", Integer, nullable=False, comment="as it was signed off"),
    Column("exception", String(20), comment="why it was open all the same; null: it was not"),
)
"""Every record of the month as it was signed off."""

period_reopen = Table(
    "period_reopen",
    metadata,
    _of_close(),
    Column("reason", Text, nullable=False),
    *_who(),
)

triage = Table(
    "triage",
    metadata,
    Column("entity", String(20), primary_key=True),
    Column("record_id", BigInteger, primary_key=True),
    Column("owner_id", ForeignKey("account.id"), index=True, comment="null: nobody's"),
    Column("note", Text, nullable=False, server_default=""),
    Column("version", Integer, nullable=False, comment="the number of its events"),
)
"""Who looks after a record, and a short note about it: the team's own, of no concern to a sync."""

triage_event = Table(
    "triage_event",
    metadata,
    _key(),
    Column("entity", String(20), nullable=False),
    Column("record_id", BigInteger, nullable=False),
    Column("version", Integer, nullable=False),
    *_who(),
    Column("owner_id", ForeignKey("account.id"), comment="from now on; null: nobody"),
    Column("owner", String(200), comment="name at the time"),
    Column("note", Text, nullable=False, comment="from now on"),
    UniqueConstraint("entity", "record_id", "version"),
    Index(None, "at"),
)

team_hint = Table(
    "team_hint",
    metadata,
    _key(),
    Column("cause", String(40), nullable=False, server_default="", comment="that it is for, or"),
    Column("named", String(200), nullable=False, server_default="", comment="what has that name"),
    Column("text", Text, nullable=False, comment="empty: it was taken away"),
    *_who(),
    CheckConstraint("(cause = '') <> (named = '')", name="one_subject"),
    Index(None, "cause", "named"),
)
"""What the team knows about a cause or a named thing: the newest row of each counts."""

chronicle = Table(
    "chronicle",
    metadata,
    _key(),
    Column("source", String(40), nullable=False, comment="a table whose rows have no number"),
    Column("key", String(60), nullable=False, comment="the row's primary key"),
    UniqueConstraint("source", "key"),
)
"""The order in which operations, reconciliations and sign-offs were written; kept by triggers."""

seal = Table(
    "seal",
    metadata,
    Column("number", Identifier, primary_key=True, autoincrement=False, comment="1, 2, 3 …"),
    Column("at", Moment, nullable=False),
    Column("form", SmallInteger, nullable=False, comment="how rows were encoded"),
    Column("source", String(40), nullable=False, comment="the table of its rows"),
    Column("last_id", BigInteger, nullable=False, comment="all up to here are sealed"),
    Column("count", Integer, nullable=False),
    Column("fingerprints", Text, nullable=False, comment="of each row, to name the one altered"),
    Column("hash", String(64), nullable=False, comment="of all above and the seal before"),
    UniqueConstraint("source", "last_id"),
    *_moments("at"),
)
"""A chain over everything that is only ever appended: what is sealed can't change unnoticed."""

database_fact = Table(
    "database_fact",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)

APPEND_ONLY = (
    *(sync_event, operation, operation_item, access_event, attempt_line),
    *(reconciliation, reconciliation_line, reconciliation_confirmation, export_reading),
    *(period_close, period_close_sum, period_close_record, period_reopen),
    *(triage_event, team_hint, chronicle, seal),
)
"""Tables that nobody may change or delete from."""

CHRONICLED = (
    *(operation, reconciliation, reconciliation_confirmation, period_close, period_reopen),
)
"""Those of them whose rows have no number of their own, with what belongs to each row."""
