"""Made-up data to try the product with: a freight broker, fourteen months, three connections.

`broker.py` tells the story, `jobs.py` what became of each record, `errors.toml` what the
accounting systems answered, `names.py` who takes part.

The first transaction marks the database as a demo (`prepare.DEMO`), the last one as a whole one
(`WHOLE`): a database with the first fact and without the second holds a demo that was interrupted.
"""

from collections.abc import Callable

from sqlalchemy import Connection, bindparam, func, insert, select, text, update

from synchist.db import tables
from synchist.db.engine import writing
from synchist.db.prepare import DEMO
from synchist.db.tables import account, connection, database_fact, organization, role_grant
from synchist.db.types import utc_now
from synchist.demo.broker import Batch, Broker
from synchist.errors import SynchistError
from synchist.filters import today
from synchist.roles import Role

WHOLE = "demo_records"
"""Key of the fact that a demo was written to its end; its value is the number of records."""

ACCOUNTS: dict[str, tuple[str, tuple[Role, ...]]] = {
    "analyst": ("Ana Lytle (demo analyst)", (Role.ACCOUNTING_SYNC,)),
    "viewer": ("Victor Pell (demo viewer)", (Role.ACCOUNTING_SYNC, Role.HIDE_EXPORT)),
    "visitor": ("Vera Sandow (demo visitor)", ()),
}
"""The demo accounts by login: name and roles. They have no password."""

_IN_ORDER = (
    tables.invoice,
    tables.bill,
    tables.charge_line,
    tables.invoice_payment,
    tables.bill_payment,
    tables.invoice_payment_application,
    tables.bill_payment_application,
)
_NUMBERED = (organization, connection, *_IN_ORDER)


class NotEmpty(SynchistError):
    """The database is in use, so that made-up records would mix with what is there."""


def make_demo(
    records: int = 20_000,
    seed: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Fill an empty, migrated database with made-up data.

    `records` counts the four entities together, exactly. The same day, number and seed give the
    same content. `progress` is told after each batch how many records of how many are written.

    Raises NotEmpty where the database already holds anything, DatabaseUnavailable.
    """
    broker = Broker(records, seed, today())
    with writing() as db:
        _refuse_what_is_not_empty(db)
        db.execute(insert(database_fact).values(key=DEMO, value=str(seed)))
        db.execute(insert(organization), broker.organizations())
        db.execute(insert(connection), broker.connections())
        _add_accounts(db)
    written = 0
    for batch in broker.batches():
        with writing() as db:
            _write(db, batch)
        written += batch.records
        if progress:
            progress(written, records)
    with writing() as db:
        for identity, at in broker.last_successes().items():
            db.execute(
                update(connection).where(connection.c.id == identity).values(last_success_at=at)
            )
        _continue_numbers(db)
        db.execute(insert(database_fact).values(key=WHOLE, value=str(written)))


def _refuse_what_is_not_empty(db: Connection) -> None:
    facts = db.execute(select(database_fact.c.key)).scalars().all()
    if DEMO in facts:
        raise NotEmpty(
            "This database already holds the demo; to make it anew, start with an empty database."
            if WHOLE in facts
            else "This database holds a demo that was interrupted; start with an empty database."
        )
    for table in (*tables.ENTITY_TABLES, organization, connection, account):
        if db.scalar(select(table.c.id).limit(1)) is not None:
            raise NotEmpty(
                "This database is already in use, and made-up records would mix with yours;"
                " make the demo in an empty database."
            )


def _add_accounts(db: Connection) -> None:
    now = utc_now()
    for login, (name, roles) in ACCOUNTS.items():
        made = insert(account).values(login=login, name=name, created_at=now)
        identity = db.execute(made.returning(account.c.id)).scalar_one()
        for role in roles:
            db.execute(
                insert(role_grant).values(
                    account_id=identity, role=role, from_at=now, granted_by="demo"
                )
            )


def _write(db: Connection, batch: Batch) -> None:
    """Write records as pending, then each round of attempts as jobs write them: plain UPDATEs."""
    for table in _IN_ORDER:
        if rows := batch.rows[table.name]:
            db.execute(insert(table), rows)
    for table in tables.ENTITY_TABLES:
        for attempts in batch.attempts[table.name]:
            db.execute(update(table).where(table.c.id == bindparam("record_id")), attempts)
    if lines := batch.rows[tables.attempt_line.name]:
        db.execute(insert(tables.attempt_line), lines)


def _continue_numbers(db: Connection) -> None:
    """Let PostgreSQL number later rows after the ids given here, as SQLite does by itself."""
    if db.dialect.name != "postgresql":
        return
    for table in _NUMBERED:
        db.execute(
            select(
                func.setval(
                    func.pg_get_serial_sequence(table.name, "id"),
                    select(func.coalesce(func.max(table.c.id), 0) + 1).scalar_subquery(),
                    text("false"),
                )
            )
        )


__all__ = ["ACCOUNTS", "WHOLE", "NotEmpty", "make_demo"]
