"""The job's contract is executable: the statements in `docs/jobs.md` are run as they stand."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text

from synchist.db.engine import reading, writing
from synchist.db.tables import invoice, sync_event
from synchist.db.types import moment_text
from synchist.statuses import EventKind, SyncStatus
from tests.conftest import JOBS, POSTGRESQL, Database, configured
from tests.world import World

CONTRACT = (Path(__file__).resolve().parent.parent / "docs" / "jobs.md").read_text("utf-8")
STATEMENTS = re.findall(r"```sql\n(.*?) *```", CONTRACT, re.DOTALL)


def run(database: Database, statement: str, **values: object) -> list[tuple[object, ...]]:
    """Run a statement of the contract as a job would, in a transaction of its own."""
    used = {name: value for name, value in values.items() if f":{name}" in statement}
    with configured(database.url_of(JOBS)), writing() as connection:
        done = connection.execute(text(statement), used)
        return [tuple(row) for row in done] if done.returns_rows else []


def test_the_contract_as_it_stands_works(database: Database, world: World) -> None:
    now = datetime.now(UTC)
    at = now if database.dialect == POSTGRESQL else moment_text(now)
    claim, failed, complete = STATEMENTS
    if database.dialect != POSTGRESQL:
        claim = claim.replace("FOR UPDATE SKIP LOCKED", "")
    claimed = run(database, claim)
    assert claimed
    record = claimed[0][0]

    run(database, failed, now=at, exact_text="Duplicate name", id=record)
    assert outcome(record) == (SyncStatus.FAILED, EventKind.ATTEMPT)
    run(database, complete, now=at, reference="7041", minor_units=12_345, id=record)
    assert outcome(record)[0] == SyncStatus.COMPLETE


def outcome(record: object) -> tuple[int, str]:
    """The record's status, and the kind of its newest event."""
    with reading() as connection:
        status = connection.scalar(select(invoice.c.sync_status).where(invoice.c.id == record))
        kind = connection.scalar(
            select(sync_event.c.kind)
            .where(sync_event.c.entity == "invoice", sync_event.c.record_id == record)
            .order_by(sync_event.c.version.desc())
            .limit(1)
        )
    return int(status or 0), str(kind)


@pytest.mark.parametrize("word", ["never deleted", "SKIP LOCKED", "minor units", "sync_event"])
def test_the_contract_says_what_matters(word: str) -> None:
    assert word in CONTRACT
