"""A record with a long history, the look for duplicates before a change, and receipts."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Connection, Executable, event, select, update

from benchmarks import servers
from benchmarks.databases import Database, configured, copied
from benchmarks.measure import Figure, alone, interleaved, limit, timed
from synchist import problems, receipts, risks
from synchist.accounts import Principal
from synchist.db.engine import reading, writing
from synchist.db.types import utc_now
from synchist.entities import INVOICES
from synchist.history import load_record
from synchist.status_changes import Change, change_status
from synchist.statuses import SyncStatus
from tests.ui.protocol import Tab

EVENTS = 200
SELECTED = 10_000


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    with copied(large, "bench_work") as work, configured(work):
        record = _long_history()
        what = f"record with {EVENTS} events"
        with reading() as connection:
            statements = _statements(connection, record)
            pair = interleaved(
                timed(lambda: load_record(connection, INVOICES, record)),
                timed(lambda: [connection.execute(one).all() for one in statements]),
            )
            baseline = "its SELECTs by SQLAlchemy, rows fetched"
            yield pair.at_most(2, what, large.where, baseline)
            failed = _failed(connection)
            value, rounds = alone(timed(lambda: risks.of_retry(connection, {"invoice": failed})))
            what_gate = f"look for duplicates among {len(failed):,} failed"
            yield limit(what_gate, large.where, value * 1000, 1000, "ms", rounds)
        with servers.product(work) as address:
            query = f"entity=invoices&id={record}"
            with Tab(address, "record", "analyst", query=query) as tab:
                value, rounds = alone(timed(tab.run))
            yield limit(f"page: {what}", large.where, value * 1000, 300, "ms", rounds)
        operation = _retried(failed)
        with reading() as connection:
            value, rounds = alone(timed(lambda: receipts.receipt(connection, operation)))
            what_receipt = f"receipt of {len(failed):,} records"
            yield limit(what_receipt, large.where, value * 1000, 1000, "ms", rounds)
            value, rounds = alone(timed(lambda: receipts.what_worked(connection)))
            what_worked = f"what worked, over {len(failed):,} retries"
            yield limit(what_worked, large.where, value * 1000, 1000, "ms", rounds)


def _long_history() -> int:
    """An invoice that jobs have failed to write again and again."""
    of = INVOICES.table.c
    with reading() as connection:
        record = connection.scalar(
            select(of.id).where(of.sync_status == 2, of.version < 5).order_by(of.id.desc()).limit(1)
        )
        version = connection.scalar(select(of.version).where(of.id == record)) or 0
    since = utc_now() - timedelta(minutes=EVENTS)
    for number in range(version, EVENTS):
        with writing() as connection:
            connection.execute(
                update(INVOICES.table)
                .where(of.id == record)
                .values(
                    sync_status=2,
                    sync_at=since + timedelta(minutes=number),
                    sync_error=f"Business Validation Error: attempt {number} was refused. " * 4,
                )
            )
    while problems.catch_up():
        pass
    return int(record or 0)


def _statements(connection: Connection, record: int) -> list[Executable]:
    """What loading the record asks of the database."""
    statements: list[Executable] = []

    def note(_connection: object, statement: Executable, *_rest: object) -> None:
        statements.append(statement)

    event.listen(connection.engine, "before_execute", note)
    load_record(connection, INVOICES, record)
    event.remove(connection.engine, "before_execute", note)
    return statements


def _failed(connection: Connection) -> list[int]:
    of = INVOICES.table.c
    latest = select(of.id).where(of.sync_status == 2).order_by(of.id.desc()).limit(SELECTED)
    return list(connection.scalars(latest))


def _retried(ids: list[int]) -> str:
    """An operation that has sent the records back, half of which jobs have taken since."""
    of, identity = INVOICES.table.c, str(uuid4())
    with reading() as connection:
        seen = dict(connection.execute(select(of.id, of.version).where(of.id.in_(ids))).all())
    change = Change(SyncStatus.PENDING, fixed=True, accepted={"invoice": ids})
    change_status(Principal.command_line("benchmarks"), identity, {"invoice": seen}, change)
    with writing() as connection:
        connection.execute(
            update(INVOICES.table)
            .where(of.id.in_(ids), of.id % 2 == 0)
            .values(
                sync_status=1,
                sync_at=utc_now(),
                sync_reference="B",
                synced_amount=of.amount,
                sync_error=None,
                sync_error_code=None,
            )
        )
    return identity
