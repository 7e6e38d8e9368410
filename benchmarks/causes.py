"""The causes of as many failures as there are records, and how long a message takes."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, text

from benchmarks import servers
from benchmarks.changes import take_triggers_away
from benchmarks.databases import POSTGRESQL, Database, configured, copied
from benchmarks.measure import Figure, alone, interleaved, limit, timed
from synchist import causes, connections
from synchist.db.engine import database, reading
from synchist.db.prepare import upgrade
from synchist.db.tables import ENTITY_TABLES
from synchist.diagnosis import diagnose, rules
from tests.ui.protocol import Tab

PROBLEMS = 2_000
"""Problems that the failures are spread over."""

BARE = """SELECT problem_id, count(*), sum(amount) FROM {table} {hint}
    WHERE sync_status = 2 GROUP BY problem_id"""
HINT = "INDEXED BY ix_{table}_problem"
"""Without statistics SQLite would take another index."""


def measure(_small: Database, large: Database) -> Iterator[Figure]:
    """Every figure of this group, on one kind of database."""
    yield _messages(large)
    with copied(large, "bench_work") as failed, configured(failed):
        _fail_everything(failed, database())
        what = f"causes of {large.records:,} failures"
        with reading() as connection:
            pair = interleaved(
                timed(lambda: causes.load_open(connection)), timed(lambda: _bare(connection))
            )
            yield pair.at_most(
                2, f"groups: {what}", large.name, "bare GROUP BY problem_id, raw driver"
            )
            value, rounds = alone(timed(lambda: causes.load_trend(connection)))
            yield limit(f"trend: {what}", large.name, value * 1000, 1000, "ms", rounds)
            value, rounds = alone(timed(lambda: connections.load_connections(connection)))
            yield limit("connections", large.where, value * 1000, 1000, "ms", rounds)
        with servers.product(failed) as address, Tab(address, "causes", "analyst") as tab:
            value, rounds = alone(timed(tab.run))
            yield limit(f"page: {what}", large.name, value * 1000, 1000, "ms", rounds)


def _bare(connection: Connection) -> None:
    driver: Any = connection.connection.driver_connection
    hint = HINT if connection.dialect.name == "sqlite" else ""
    for table in ENTITY_TABLES:
        cursor = driver.cursor()
        cursor.execute(BARE.format(table=table.name, hint=hint.format(table=table.name)))
        cursor.fetchall()
        cursor.close()


def _messages(large: Database) -> Figure:
    """The mean over the rules' own examples."""
    messages = [rule.example.partition(" | ")[2] for rule in rules()]
    value, rounds = alone(timed(lambda: [diagnose(message) for message in messages]))
    each = value * 1000 / len(messages)
    return limit("diagnosis of a message", large.name, each, 1, "ms", rounds)


def _fail_everything(failed: Database, engine: Engine) -> None:
    """Every record failed for one of many problems, as if it had been diagnosed."""
    take_triggers_away(failed, engine)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM diagnosis"))
        connection.execute(
            text(
                "INSERT INTO problem (connection_id, cause, named, title)"
                " VALUES (:link, 'customer_mapping', :name, :title)"
            ),
            [
                {"link": number % 3 + 1, "name": f"Payer {number}", "title": f"Customer “{number}”"}
                for number in range(PROBLEMS)
            ],
        )
        last = connection.scalar(text("SELECT max(id) FROM problem"))
        for table in ENTITY_TABLES:
            connection.execute(
                text(
                    f"UPDATE {table.name} SET sync_status = 2, closed_reason = NULL,"
                    " sync_error = 'Failed for the benchmark',"
                    " problem_id = :last - (id * 7919) % :problems"
                ),
                {"last": last, "problems": PROBLEMS},
            )
            connection.execute(
                text(
                    "INSERT INTO diagnosis (entity, record_id, version, problem_id, at, catalogue)"
                    f" SELECT '{table.name}', id, version, problem_id, outcome_at, 'bench'"
                    f" FROM {table.name}"
                )
            )
    if failed.kind == POSTGRESQL:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
    upgrade()  # puts the triggers back
