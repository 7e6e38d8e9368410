"""Loading records from a file, so that an analyst can try the product on a real export.

A file is read whole, every row is checked against the database, and only then is anything written:
in one transaction, and only what differs, so that loading a file twice does nothing the second
time. What sync columns a file brings along is written as an operation, like a change by a person.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Connection,
    Table,
    bindparam,
    insert,
    literal,
    select,
    update,
)

from synchist.accounts import Actor, Principal, acting, record_access
from synchist.child import UnreadableFile
from synchist.db.prepare import is_demo
from synchist.db.tables import SYNC_COLUMNS, operation, operation_item, organization
from synchist.db.types import folded, utc_now
from synchist.entities import Entity
from synchist.errors import SynchistError
from synchist.filters import today
from synchist.loading import files
from synchist.loading.cells import Refused
from synchist.loading.rows import Reader, Record, Row, fields, header
from synchist.roles import Role
from synchist.statuses import ItemOutcome

NATURAL_KEYS: Mapping[str, tuple[str, ...]] = {
    "invoice": ("billing_organization_id", "number"),
    "invoice_payment": ("party_id", "number", "accounting_date", "amount"),
    "bill": ("party_id", "number"),
    "bill_payment": ("party_id", "number", "accounting_date", "amount"),
}
"""What tells records apart where the file has no TMS id. Bill numbers repeat across vendors."""

__all__ = ["DemoNotLoadable", "Refusal", "Report", "UnreadableFile", "fields", "load", "template"]

MADE_ID = "loaded-"
"""How the TMS id begins of what was loaded without one."""


class DemoNotLoadable(SynchistError):
    """Real records don't mix with made-up ones."""

    def __init__(self) -> None:
        super().__init__(
            "This database holds the demo. Load into another one: set SYNCHIST_DATABASE_URL."
        )


@dataclass(frozen=True)
class Refusal:
    """A row that is not loaded: its line in the file, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Report:
    """What a load did, or would have done where nothing was `written`.

    `outdated` rows tell of no newer attempt than the record knows: of these only the sync columns
    were left out. `ignored` are the columns of the file that say nothing to the product.
    """

    created: int
    updated: int
    unchanged: int
    outdated: int
    refused: tuple[Refusal, ...]
    ignored: tuple[str, ...]
    written: bool

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return self.created + self.updated + self.unchanged + len(self.refused)


def load(
    principal: Principal,
    entity: Entity,
    path: Path,
    *,
    skip_refused: bool = False,
    dry_run: bool = False,
    create_organizations: bool = False,
) -> Report:
    """Create or update records from a csv or xlsx file.

    A record is found by `tms_id`, else by its natural key. Where any row is refused nothing is
    written, unless `skip_refused`; `dry_run` checks the same and writes nothing. Raises
    UnreadableFile, DemoNotLoadable, NotSignedIn, NotAllowed, DatabaseUnavailable.
    """
    (_, titles), *lines = files.read(path)
    names = header(entity, titles, path.name)
    with acting(principal, Role.ACCOUNTING_SYNC, f"load {entity.plural}") as (connection, actor):
        if is_demo(connection):
            raise DemoNotLoadable
        reader = Reader(connection, entity, names, create_organizations)
        rows, refused = _check(connection, entity, reader, lines)
        updating = [row for row in rows if row.record is not None]
        updated = sum(bool(row.changes) or row.is_news for row in updating)
        report = Report(
            created=len(rows) - len(updating),
            updated=updated,
            unchanged=len(updating) - updated,
            outdated=sum(row.differs and not row.is_news for row in rows),
            refused=tuple(refused),
            ignored=tuple(name for name in names if name and name not in fields(entity)),
            written=not dry_run and (skip_refused or not refused),
        )
        if report.written:
            _write(connection, entity, rows, actor, path.name)
    return report


# ---------------------------------------------------------------- checking


def _check(
    connection: Connection, entity: Entity, reader: Reader, lines: Iterable[files.Line]
) -> tuple[list[Row], list[Refusal]]:
    """The rows that can be loaded, with the records that they mean, and those that can't."""
    rows: list[Row] = []
    refused: dict[int, str] = {}
    for line, cells in lines:
        try:
            rows.append(reader.row(line, cells))
        except Refused as reason:
            refused[line] = str(reason)
    refused |= _match(connection, entity, rows)
    refused |= _doubled(entity, [row for row in rows if row.line not in refused])
    return (
        [row for row in rows if row.line not in refused],
        [Refusal(line, reason) for line, reason in sorted(refused.items())],
    )


def _key(entity: Entity, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(values.get(name) for name in NATURAL_KEYS[entity.key])


def _match(connection: Connection, entity: Entity, rows: Sequence[Row]) -> dict[int, str]:
    """Find the record that each row means; answers with the lines where that is not clear."""
    by_tms_id: dict[str, Record] = {}
    by_key: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in _records(connection, entity, rows):
        if record["tms_id"] not in by_tms_id:
            by_tms_id[record["tms_id"]] = record
            by_key[_key(entity, record)].append(record)
    unclear: dict[int, str] = {}
    for row in rows:
        alike = by_key.get(_key(entity, row.values), [])
        if "tms_id" in row.values:
            row.record = by_tms_id.get(row.values["tms_id"])
            if row.record is None and any(one["tms_id"].startswith(MADE_ID) for one in alike):
                unclear[row.line] = (
                    f"the {entity.singular} was loaded without a tms_id before; leave it out here"
                )
        elif len(alike) > 1:
            unclear[row.line] = f"{len(alike)} {entity.plural} match; add the tms_id"
        else:
            row.record = alike[0] if alike else None
    return unclear


def _records(connection: Connection, entity: Entity, rows: Sequence[Row]) -> Iterator[Record]:
    """Every record that a row may mean, locked until the transaction ends; some come twice."""
    of = entity.table.c
    tms_ids = sorted({row.values["tms_id"] for row in rows if "tms_id" in row.values})
    numbers = sorted({row.values["number"] for row in rows})
    conditions = [
        *(of.tms_id.in_(some) for some in _chunks(tms_ids, 5_000)),
        # Folded as the index is, or every record would be looked at.
        *(
            folded(of.number).in_([folded(literal(number)) for number in some])
            for some in _chunks(numbers, 500)
        ),
    ]
    for condition in conditions:
        found = connection.execute(
            select(entity.table, operation.c.action)
            .outerjoin(operation, of.last_operation_id == operation.c.id)
            .where(condition)
            .order_by(of.id)
            .with_for_update(of=entity.table)
        )
        yield from (record._asdict() for record in found)


def _doubled(entity: Entity, rows: Sequence[Row]) -> dict[int, str]:
    """Lines that mean the same record as another one: which of them is right is not ours to say."""
    same: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        same["key", _key(entity, row.values)].append(row)
        if "tms_id" in row.values:
            same["tms_id", row.values["tms_id"]].append(row)
        if row.record is not None:
            same["id", row.record["id"]].append(row)
    doubled: dict[int, str] = {}
    for (kind, _), some in same.items():
        told_apart = kind == "key" and all("tms_id" in row.values for row in some)
        if len(some) > 1 and not told_apart:
            first, second = some[0].line, some[1].line
            for row in some:
                other = second if row.line == first else first
                doubled[row.line] = f"the same {entity.singular} as in line {other}"
    return doubled


def _chunks(values: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


# ---------------------------------------------------------------- writing


def _write(
    connection: Connection, entity: Entity, rows: list[Row], actor: Actor, name: str
) -> None:
    _make_organizations(connection, entity, rows)
    created = [row for row in rows if row.record is None]
    _insert(connection, entity, created)
    changed = [(row.record["id"], row.changes) for row in rows if row.record and row.changes]
    _update(connection, entity.table, changed)
    news = [row for row in rows if row.is_news]
    if news:
        _tell(connection, entity, news, actor, name)
    words = f"{name}: {len(created):,} created of {entity.count(len(rows))}"
    record_access(connection, actor, "load", words)


def _make_organizations(connection: Connection, entity: Entity, rows: Sequence[Row]) -> None:
    """Put ids where names of new organizations stand, and give each the role that it has here."""
    made: dict[str, int] = {}
    roles = {"party_id": entity.party_role, "billing_organization_id": organization.c.is_billing}
    for column, role in roles.items():
        used = {row.values[column] for row in rows}
        for name in sorted(one for one in used if isinstance(one, str) and one not in made):
            new = insert(organization).values(tms_id=_made_id(), name=name)
            made[name] = connection.execute(new.returning(organization.c.id)).scalar_one()
        for row in rows:
            row.values[column] = made.get(row.values[column], row.values[column])
        for some in _chunks(sorted({row.values[column] for row in rows}), 5_000):
            connection.execute(
                update(organization)
                .where(organization.c.id.in_(some), role.is_(False))
                .values({role: True})
            )


def _made_id() -> str:
    return f"{MADE_ID}{uuid4()}"


def _insert(connection: Connection, entity: Entity, rows: Sequence[Row]) -> None:
    """Create the records. Every row names all columns, so that it is one statement."""
    blank = {c.name: None for c in fields(entity).values() if c.name not in SYNC_COLUMNS}
    for row in rows:
        defaults = {"tms_id": _made_id(), "tms_status": "Created", "created_at": utc_now()}
        row.values = {**blank, **defaults, **row.values}
    if rows:
        connection.execute(insert(entity.table), [row.values for row in rows])


def _update(
    connection: Connection, table: Table, changes: Iterable[tuple[int, Mapping[str, Any]]]
) -> None:
    """Only what differs is named, since naming makes an event: one statement a set of columns."""
    alike: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for record_id, values in changes:
        alike[tuple(sorted(values))].append({"record_id": record_id, **values})
    statement = update(table).where(table.c.id == bindparam("record_id"))
    for parameters in alike.values():
        connection.execute(statement, parameters)


def _tell(
    connection: Connection,
    entity: Entity,
    rows: Sequence[Row],
    actor: Actor,
    name: str,
) -> None:
    """Write the sync columns, as one operation with its items."""
    outcomes = {(row.record or row.values)["tms_id"]: row.outcome for row in rows}
    identity = str(uuid4())
    connection.execute(
        insert(operation).values(
            id=identity,
            at=utc_now(),
            actor_id=actor.id,
            actor=actor.name,
            action="load",
            note=f"Loaded from {name}",
            digest=sha256(repr(sorted(outcomes.items())).encode()).hexdigest(),
            requested=len(rows),
        )
    )
    of = entity.table.c
    seen: list[tuple[int, int, dict[str, Any]]] = []
    for some in _chunks(sorted(outcomes), 5_000):
        found = connection.execute(select(of.id, of.version, of.tms_id).where(of.tms_id.in_(some)))
        seen += [(key, version, outcomes[tms_id]) for key, version, tms_id in found]
    as_read = {"last_operation_id": identity, "closed_reason": None}
    _update(connection, entity.table, [(key, {**new, **as_read}) for key, _, new in seen])
    connection.execute(
        insert(operation_item),
        [
            {
                "operation_id": identity,
                "entity": entity.key,
                "record_id": key,
                "version_seen": version,
                "outcome": ItemOutcome.APPLIED.value,
            }
            for key, version, _ in seen
        ],
    )


# ---------------------------------------------------------------- an example


def template(entity: Entity, path: Path) -> bytes:
    """The content of an example that loads: csv or xlsx, as the path ends.

    Raises UnreadableFile for any other ending.
    """
    names = list(fields(entity))
    examples = [[row.get(name) for name in names] for row in _examples(entity)]
    return files.written(path, [names, *examples])


def _examples(entity: Entity) -> list[dict[str, Any]]:
    """A record of each sync status; the dates are recent, so that the lists show them at once."""

    def days_ago(days: int) -> datetime:
        return datetime.combine(today() - timedelta(days=days), time(9))

    common = {
        entity.party_label.lower(): f"Example {entity.party_label} Ltd",
        "billing_organization": "Example Freight Chicago",
        "currency": "USD",
        "tms_status": "Approved",
        "accounting_date": days_ago(9).date(),
        "created_at": days_ago(9),
        "due_date": days_ago(-21).date(),
        "method": "Check",
        "memo": "An example",
    }
    own: list[dict[str, Any]] = [
        {"amount": Decimal("1234.50"), "sync_status": "Pending"},
        {
            "amount": Decimal("980.00"),
            "sync_status": "Failed",
            "sync_at": days_ago(2),
            "sync_error_code": "6000",
            "sync_error": "The customer or vendor is not mapped to this company",
        },
        {
            "amount": Decimal("410.25"),
            "sync_status": "Complete",
            "sync_at": days_ago(1),
            "sync_reference": "QB-5001",
            "synced_amount": Decimal("410.25"),
        },
    ]
    return [
        {
            "tms_id": f"{entity.slug}-example-{position}",
            "number": f"EX-{1000 + position}",
            "shipment_id": f"SHP-{9000 + position}",
            "pro_number": f"PRO-{7000 + position}",
            "check_number": f"CHK-{500 + position}",
            **common,
            **values,
        }
        for position, values in enumerate(own, start=1)
    ]
