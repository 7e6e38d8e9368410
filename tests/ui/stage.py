"""Records of the demo behind a server, brought into a known state as the TMS and its jobs would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from sqlalchemy import func, select, update

from synchist.accounts import Principal
from synchist.db.engine import reading, writing
from synchist.db.tables import operation, operation_item, sync_event
from synchist.db.types import utc_now
from synchist.entities import BY_KEY, Entity
from synchist.status_changes import Change, change_status
from synchist.statuses import SyncStatus
from tests.conftest import configured

MISSING = 'Invalid reference to QuickBooks Customer "Northgate Bakery" in the Invoice'
"""An error after which a retry can't write anything twice."""
UNSURE = "Read timed out while waiting for the accounting system"
"""An error that leaves open whether the record was written."""
PENDING, COMPLETE, FAILED = SyncStatus


@dataclass(frozen=True)
class Staged:
    """A record, with its number as it stands in the list."""

    entity: Entity
    id: int
    number: str


@dataclass(frozen=True)
class Stage:
    """The database at this address."""

    url: str

    def failed(
        self, entity: Entity, count: int = 1, error: str = MISSING, *, reference: str | None = None
    ) -> list[Staged]:
        """Records, Complete so far, that a job's attempt has left Failed. Without a reference, so
        that nothing but the error tells whether they may be in the books."""
        of = entity.table.c
        with configured(self.url), reading() as connection:
            rows = connection.execute(
                select(of.id, of.number)
                .where(of.sync_status == int(COMPLETE), of.last_operation_id.is_(None))
                .order_by(of.id.desc())
                .limit(count)
            ).all()
        found = [Staged(entity, *row) for row in rows]
        for one in found:
            self.attempt(one, FAILED, error, sync_reference=reference, synced_amount=None)
        return found

    def attempt(
        self, record: Staged, status: SyncStatus, error: str | None = None, **values: Any
    ) -> None:
        """A job's attempt, with what it left."""
        self.write(record, sync_status=int(status), sync_at=utc_now(), sync_error=error, **values)

    def write(self, record: Staged, **values: Any) -> None:
        """What a job or the TMS writes."""
        table = record.entity.table
        with configured(self.url), writing() as connection:
            connection.execute(update(table).where(table.c.id == record.id).values(values))

    def now(self, record: Staged) -> Any:
        """The record's row."""
        table = record.entity.table
        with configured(self.url), reading() as connection:
            return connection.execute(select(table).where(table.c.id == record.id)).one()

    def statuses(self, records: Sequence[Staged]) -> list[SyncStatus]:
        """The sync status of each."""
        return [SyncStatus(self.now(one).sync_status) for one in records]

    def change(self, records: Sequence[Staged], change: Change, who: str = "Olga Operator") -> str:
        """An operation of somebody at the command line; its id."""
        identity = str(uuid4())
        versions: dict[str, dict[int, int]] = {}
        for one in records:
            versions.setdefault(one.entity.key, {})[one.id] = self.now(one).version
        with configured(self.url):
            change_status(Principal.command_line(who), identity, versions, change)
        return identity

    # ------------------------------------------------------------ what was stored

    @property
    def operations(self) -> int:
        """How many operations there are."""
        with configured(self.url), reading() as connection:
            return connection.scalar(select(func.count()).select_from(operation)) or 0

    @property
    def latest(self) -> Any:
        """The newest operation's row."""
        with configured(self.url), reading() as connection:
            return connection.execute(select(operation).order_by(operation.c.at.desc())).first()

    def items(self, operation_id: str) -> dict[tuple[str, int], str]:
        """What an operation did with each record that it was asked for."""
        of = operation_item.c
        with configured(self.url), reading() as connection:
            rows = connection.execute(
                select(of.entity, of.record_id, of.outcome).where(of.operation_id == operation_id)
            )
            return {(key, record): outcome for key, record, outcome in rows}

    def linked(self, payment: Staged) -> list[Staged]:
        """The documents of a payment."""
        link = payment.entity.applications
        document = BY_KEY[link.other_key]
        with configured(self.url), reading() as connection:
            rows = connection.execute(
                select(document.table.c.id, document.table.c.number)
                .join(link.table, link.other == document.table.c.id)
                .where(link.own == payment.id)
                .order_by(document.table.c.number)
            )
            return [Staged(document, *row) for row in rows]

    def events(self, record: Staged) -> list[Any]:
        """The record's history, oldest first."""
        of = sync_event.c
        with configured(self.url), reading() as connection:
            return list(
                connection.execute(
                    select(sync_event)
                    .where(of.entity == record.entity.key, of.record_id == record.id)
                    .order_by(of.version)
                )
            )


def listing(records: Sequence[Staged], status: str = "Failed", **parameters: str) -> str:
    """The address of a list of these records and no others, in the order of their numbers."""
    slug = records[0].entity.slug
    values = {
        "status": status,
        "range": "All dates",
        "sort": "Number",
        "search": " ".join(one.number for one in records),
        **parameters,
    }
    return f"/{slug}?" + urlencode({f"{slug}_{name}": text for name, text in values.items()})


def page_of(record: Staged) -> str:
    """The address of a record's own page."""
    return f"/record?entity={record.entity.slug}&id={record.id}"
