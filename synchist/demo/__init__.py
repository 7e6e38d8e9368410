"""Made-up data to try the product with: a freight broker, fourteen months, three connections.

`broker.py` tells the story, `jobs.py` what became of each record, `books.py` and `errors.toml` what
the accounting systems answered, `names.py` who takes part. `live.py` goes on from there.

The first transaction marks the database as a demo (`prepare.DEMO`), the last one as a whole one
(`WHOLE`): a database with the first fact and without the second holds a demo that was interrupted.
"""

import json
from collections.abc import Callable

from sqlalchemy import (
    JSON,
    Connection,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    cast,
    column,
    false,
    func,
    insert,
    literal,
    select,
    update,
)

from synchist.db import tables
from synchist.db.engine import writing
from synchist.db.prepare import DEMO
from synchist.db.tables import account, connection, database_fact, organization, role_grant
from synchist.db.types import utc_now
from synchist.demo.books import Row
from synchist.demo.broker import Batch, Broker
from synchist.errors import SynchistError
from synchist.filters import today
from synchist.roles import Role

WHOLE = "demo_records"
"""Key of the fact that a demo was written to its end; its value is the number of records."""

ACCOUNTS: dict[str, tuple[str, tuple[Role, ...]]] = {
    "analyst": ("Ana Lytle (demo analyst)", (Role.ACCOUNTING_SYNC,)),
    "controller": (
        "Cora Bell (demo controller)",
        (Role.ACCOUNTING_SYNC, Role.CLOSE, Role.HINTS),
    ),
    "viewer": ("Victor Pell (demo viewer)", (Role.ACCOUNTING_SYNC, Role.HIDE_EXPORT)),
    "auditor": ("Ada Quill (demo auditor)", (Role.AUDIT,)),
    "administrator": ("Nils Ferro (demo administrator)", (Role.ADMINISTRATOR,)),
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
        _add_hints(db, broker.hints())
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
    # Accounts count as well: in a demo some accounts sign in without a password.
    for table in (*tables.ENTITY_TABLES, organization, connection, account):
        if db.scalar(select(table.c.id).limit(1)) is not None:
            raise NotEmpty(
                "This database is in use, and made-up records would mix with what is there;"
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


def _add_hints(db: Connection, rows: list[Row]) -> None:
    author = db.execute(select(account).where(account.c.login == "controller")).one()
    who = {"actor_id": author.id, "actor": author.name}
    db.execute(insert(tables.team_hint), [row | who for row in rows])


def _write(db: Connection, batch: Batch) -> None:
    """Write records as pending, then each round of attempts as jobs write them: plain UPDATEs."""
    for table in _IN_ORDER:
        _insert(db, table, batch.rows[table.name])
    for table in tables.ENTITY_TABLES:
        for attempts in batch.attempts[table.name]:
            _update(db, table, attempts)
    _insert(db, tables.attempt_line, batch.rows[tables.attempt_line.name])


def _insert(db: Connection, table: Table, rows: list[Row]) -> None:
    if not rows:
        return
    if db.dialect.name == "postgresql":
        given = _recordset(table, rows)
        db.execute(insert(table).from_select(list(rows[0]), select(*given.c)))
    else:
        db.execute(insert(table), rows)


def _update(db: Connection, table: Table, rows: list[Row]) -> None:
    """Set the columns of each row by its id."""
    names = [name for name in rows[0] if name != "id"]
    if db.dialect.name == "postgresql":
        given = _recordset(table, rows)
        values = {name: given.c[name] for name in names}
        db.execute(update(table).where(table.c.id == given.c.id).values(values))
    else:
        changed = update(table).where(table.c.id == bindparam("record_id"))
        # An "id" among the values would be set as well, which a job never does.
        db.execute(
            changed,
            [{"record_id": row["id"]} | {name: row[name] for name in names} for row in rows],
        )


def _recordset(table: Table, rows: list[Row]) -> TableValuedAlias:
    """Rows as a table inside one statement; row by row, PostgreSQL takes three times as long."""
    sent = json.dumps(rows, default=lambda moment: moment.isoformat())
    columns = [table.c[name] for name in rows[0]]
    return (
        func.json_to_recordset(cast(literal(sent, Text()), JSON()))
        .table_valued(*(column(one.name, one.type) for one in columns))
        .render_derived(with_types=True)
    )


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
                    false(),
                )
            )
        )


__all__ = ["ACCOUNTS", "WHOLE", "NotEmpty", "make_demo"]
