"""Loading records from a file, so that an analyst can try the product on a real export.

A file is read whole, every row is checked, and only then is anything written, in one transaction.
What sync columns a file brings along is written as an operation, like any change by a person.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException
from sqlalchemy import Connection, insert, select, update
from zipfile import BadZipFile

from synchist.accounts import Actor, Principal, acting, record_access
from synchist.currencies import to_minor
from synchist.db.prepare import is_demo
from synchist.db.tables import connection as connection_table
from synchist.db.tables import operation, operation_item, organization
from synchist.db.types import utc_now
from synchist.entities import Entity
from synchist.errors import SynchistError
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import ItemOutcome, SyncStatus

NATURAL_KEYS: Mapping[str, tuple[str, ...]] = {
    "invoice": ("billing_organization_id", "number"),
    "bill": ("party_id", "number"),
    "invoice_payment": ("party_id", "number", "accounting_date", "amount"),
    "bill_payment": ("party_id", "number", "accounting_date", "amount"),
}
"""What tells records apart where the file has no TMS id. Bill numbers repeat across vendors."""

REQUIRED = ("number", "party", "billing_organization", "currency", "amount")
SYNC_FIELDS = (
    "sync_status",
    "sync_at",
    "sync_reference",
    "synced_amount",
    "sync_error_code",
    "sync_error",
)
_DAYS = ("accounting_date", "due_date")
_MOMENTS = ("created_at", "sync_at")
_MONEY = ("amount", "synced_amount")
_TEXTS = {
    "tms_id": 64,
    "number": 60,
    "currency": 3,
    "tms_status": 40,
    "shipment_id": 60,
    "pro_number": 60,
    "method": 40,
    "check_number": 60,
    "memo": 2_000,
    "sync_reference": 100,
    "sync_error_code": 100,
    "sync_error": 1_000_000,
}


class UnreadableFile(SynchistError):
    """The file as a whole can't be loaded."""


class DemoNotLoadable(SynchistError):
    """Real records don't mix with made-up ones."""

    def __init__(self) -> None:
        super().__init__(
            "This database holds the demo. Load into another one: set SYNCHIST_DATABASE_URL."
        )


class _Refused(Exception):
    """Why a row is not loaded; caught here and listed."""


@dataclass(frozen=True)
class Refusal:
    """A row that is not loaded: its line in the file, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Report:
    """What a load did, or with `dry_run` would do."""

    created: int = 0
    updated: int = 0
    refused: tuple[Refusal, ...] = ()
    written: bool = False


@dataclass
class _Row:
    """A checked row: the values of the record's own columns, and of its sync columns."""

    line: int
    values: dict[str, Any]
    sync: dict[str, Any] = field(default_factory=dict)
    record_id: int | None = None


def fields(entity: Entity) -> list[str]:
    """The columns that a file for this entity may have, in the order of the template."""
    own = [name for name in _TEXTS if name in entity.table.c and name not in SYNC_FIELDS]
    own.remove("tms_id")
    return [
        "tms_id",
        "number",
        "party",
        "billing_organization",
        "connection",
        "currency",
        "amount",
        "tms_status",
        *(name for name in own if name not in ("number", "currency", "tms_status")),
        *(name for name in (*_DAYS, "created_at") if name in entity.table.c),
        *SYNC_FIELDS,
    ]


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
    given = list(_read(entity, path))
    with acting(principal, Role.ACCOUNTING_SYNC, f"load {entity.plural}") as (connection, actor):
        if is_demo(connection):
            raise DemoNotLoadable
        rows, refusals = _check(connection, entity, given, create_organizations)
        counts = Report(
            created=sum(row.record_id is None for row in rows),
            updated=sum(row.record_id is not None for row in rows),
            refused=tuple(refusals),
            written=not dry_run and (skip_refused or not refusals),
        )
        if not counts.written:
            connection.rollback()  # organizations that the check has added on the way
            return counts
        _write(connection, entity, rows, actor)
        record_access(connection, actor, "load", f"{path.name}: {len(rows):,} {entity.plural}")
    return counts


# ---------------------------------------------------------------- reading


def _read(entity: Entity, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and cells by field of every row that is not blank."""
    sheet = _sheet(path)
    try:
        _, header = next(sheet)
    except StopIteration:
        raise UnreadableFile(f"{path.name} is empty. See an example with --template.") from None
    names = _header(entity, header, path)
    for line, cells in sheet:
        row = {
            name: cell
            for name, cell in zip(names, cells, strict=False)
            if name and cell is not None and str(cell).strip()
        }
        if row:
            yield line, row


def _sheet(path: Path) -> Iterator[tuple[int, Sequence[Any]]]:
    """Line number and cells of every line."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{path} can't be read: {error.strerror}.") from None
    if content[:4] == b"PK\x03\x04":
        yield from enumerate(_workbook(path, content), 1)
        return
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for cells in reader:
        yield reader.line_num, cells


def _workbook(path: Path, content: bytes) -> Iterable[Sequence[Any]]:
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except (BadZipFile, InvalidFileException, KeyError, ValueError):
        raise UnreadableFile(
            f"{path.name} is not an Excel workbook (xlsx) or a csv file."
        ) from None
    return book.worksheets[0].iter_rows(values_only=True)


def _header(entity: Entity, cells: Sequence[Any], path: Path) -> list[str]:
    """The field of each column; the labels of the pages are understood too."""
    known = {name: name for name in fields(entity)}
    known |= {_name(column.label): column.key for column in entity.columns if column.key in known}
    known[_name(entity.party_label)] = "party"
    names = [known.get(_name(str(cell or "")), "") for cell in cells]
    missing = [name for name in REQUIRED if name not in names]
    twice = {name for name in names if name and names.count(name) > 1}
    if missing or twice:
        wrong = f"lacks the column {missing[0]}" if missing else f"has {min(twice)} twice"
        raise UnreadableFile(f"{path.name} {wrong}. See an example with --template.")
    return names


def _name(text: str) -> str:
    return text.strip().lower().replace(" ", "_")


# ---------------------------------------------------------------- checking


def _check(
    connection: Connection,
    entity: Entity,
    given: list[tuple[int, dict[str, Any]]],
    create_organizations: bool,
) -> tuple[list[_Row], list[Refusal]]:
    names = _Names(connection, create_organizations)
    rows, refusals = [], []
    for line, cells in given:
        try:
            rows.append(_row(entity, names, line, cells))
        except _Refused as refused:
            refusals.append(Refusal(line, str(refused)))
    found = _find(connection, entity, rows)
    taken: dict[Any, int] = {}
    kept = []
    for row in rows:
        matches = found(row)
        own = matches[0] if matches else row.values.get("tms_id") or _key(entity, row.values)
        if len(matches) > 1:
            refusals.append(Refusal(row.line, f"{len(matches)} records match; add their tms_id"))
        elif own in taken:
            refusals.append(Refusal(row.line, f"the same record as in line {taken[own]}"))
        else:
            taken[own] = row.line
            row.record_id = matches[0] if matches else None
            kept.append(row)
    return kept, sorted(refusals, key=lambda refusal: refusal.line)


class _Names:
    """Ids of organizations and connections by name or TMS id."""

    def __init__(self, connection: Connection, create: bool) -> None:
        self.connection = connection
        self.create = create
        self.organizations: dict[str, list[int]] = {}
        of = organization.c
        for key, tms_id, name in connection.execute(select(of.id, of.tms_id, of.name)):
            for known in {tms_id, name}:
                self.organizations.setdefault(known, []).append(key)
        link = connection_table.c
        self.connections = {
            name: key for key, name in connection.execute(select(link.id, link.name))
        }

    def organization(self, name: str, role: str) -> int:
        """The id of the one organization of this name, made where that is wanted."""
        found = self.organizations.get(name, [])
        if len(found) > 1:
            raise _Refused(f"{len(found)} organizations are called {name!r}; use the tms_id")
        if not found and not self.create:
            raise _Refused(f"there is no organization {name!r}; add it or --create-organizations")
        if not found:
            if len(name) > 64:
                raise _Refused(f"the organization's name is longer than 64 characters: {name!r}")
            made = self.connection.execute(
                insert(organization).values(tms_id=name, name=name, **{role: True})
            )
            found = self.organizations[name] = [made.inserted_primary_key[0]]
        return found[0]

    def connected(self, name: str) -> int:
        """The id of a connection."""
        if name not in self.connections:
            raise _Refused(f"there is no connection {name!r}")
        return self.connections[name]


def _row(entity: Entity, names: _Names, line: int, cells: Mapping[str, Any]) -> _Row:
    """A row's values as the database stores them. Raises _Refused."""
    for name in REQUIRED:
        if name not in cells:
            raise _Refused(f"{name} is missing")
    currency = _text("currency", cells["currency"]).upper()
    if len(currency) != 3 or not currency.isalpha():
        raise _Refused(f"{currency!r} is no currency; use its three letters, like USD")
    values: dict[str, Any] = {}
    for name, cell in cells.items():
        if name == "party":
            role = entity.party_role.name
            values["party_id"] = names.organization(str(cell).strip(), role)
        elif name == "billing_organization":
            key = names.organization(str(cell).strip(), "is_billing")
            values["billing_organization_id"] = key
        elif name == "connection":
            values["connection_id"] = names.connected(str(cell).strip())
        elif name == "sync_status":
            values[name] = _status(cell)
        else:
            values[name] = _value(name, cell, currency)
    values["currency"] = currency
    sync = {name: values.pop(name) for name in SYNC_FIELDS if name in values}
    if sync.get("sync_status") == SyncStatus.FAILED and not sync.get("sync_error"):
        raise _Refused("a Failed record needs its sync_error")
    if sync and "sync_status" not in sync:
        raise _Refused("sync columns need the sync_status")
    return _Row(line, values, sync)


def _value(name: str, cell: Any, currency: str) -> Any:
    converters: dict[str, Callable[[], Any]] = {
        **dict.fromkeys(_MONEY, lambda: _money(name, cell, currency)),
        **dict.fromkeys(_DAYS, lambda: _day(name, cell)),
        **dict.fromkeys(_MOMENTS, lambda: _moment(name, cell)),
    }
    return converters.get(name, lambda: _text(name, cell))()


def _text(name: str, cell: Any) -> str:
    # A spreadsheet turns a number like 1042 into 1042.0.
    whole = isinstance(cell, float) and cell.is_integer()
    text = (str(int(cell)) if whole else str(cell)).strip().replace("\x00", "")
    if len(text) > _TEXTS[name]:
        raise _Refused(f"{name} is longer than {_TEXTS[name]:,} characters")
    return text


def _status(cell: Any) -> int:
    found = SyncStatus.from_label(str(cell))
    if found is None:
        raise _Refused(f"{str(cell)[:40]!r} is no sync status: Pending, Complete or Failed")
    return int(found)


def _money(name: str, cell: Any, currency: str) -> int:
    text = repr(cell) if isinstance(cell, float) else str(cell).strip()
    try:
        return to_minor(Decimal(text.replace(",", "")), currency)
    except (InvalidOperation, ValueError, OverflowError):
        raise _Refused(f"{name} {text[:40]!r} is no amount in {currency}, like 1234.50") from None


def _day(name: str, cell: Any) -> date:
    if isinstance(cell, datetime):
        return cell.date()
    if isinstance(cell, date):
        return cell
    try:
        return date.fromisoformat(str(cell).strip())
    except ValueError:
        raise _Refused(f"{name} {str(cell)[:40]!r} is no day like 2026-11-30") from None


def _moment(name: str, cell: Any) -> datetime:
    """A moment in UTC; one without a zone is business time."""
    try:
        moment = cell if isinstance(cell, datetime) else datetime.fromisoformat(str(cell).strip())
    except ValueError:
        raise _Refused(f"{name} {str(cell)[:40]!r} is no time like 2026-11-30 17:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=settings().zone)).astimezone(UTC)


# ---------------------------------------------------------------- finding


def _key(entity: Entity, values: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(values.get(name) for name in NATURAL_KEYS[entity.key])


def _find(
    connection: Connection, entity: Entity, rows: Iterable[_Row]
) -> Callable[[_Row], list[int]]:
    """A look-up of the records that a row may mean."""
    of = entity.table.c
    numbers = sorted({row.values["number"] for row in rows})
    tms_ids = sorted({row.values["tms_id"] for row in rows if "tms_id" in row.values})
    by_tms_id: dict[str, list[int]] = {}
    by_key: dict[tuple[Any, ...], list[int]] = {}
    for some in _chunks(tms_ids):
        for key, tms_id in connection.execute(select(of.id, of.tms_id).where(of.tms_id.in_(some))):
            by_tms_id.setdefault(tms_id, []).append(key)
    natural = [of[name] for name in NATURAL_KEYS[entity.key]]
    for some in _chunks(numbers):
        for key, *values in connection.execute(select(of.id, *natural).where(of.number.in_(some))):
            by_key.setdefault(tuple(values), []).append(key)

    def found(row: _Row) -> list[int]:
        if "tms_id" in row.values:
            return by_tms_id.get(row.values["tms_id"], [])
        return by_key.get(_key(entity, row.values), [])

    return found


def _chunks(values: Sequence[Any], size: int = 5_000) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


# ---------------------------------------------------------------- writing


def _write(connection: Connection, entity: Entity, rows: list[_Row], actor: Actor) -> None:
    table = entity.table
    now = utc_now()
    for row in rows:
        if row.record_id is None:
            values = {"tms_status": "Created", "created_at": now, **row.values}
            values.setdefault("tms_id", _made_id(entity, row.values))
            row.record_id = connection.execute(insert(table).values(values)).inserted_primary_key[0]
        else:
            kept = {name: value for name, value in row.values.items() if name != "created_at"}
            connection.execute(update(table).where(table.c.id == row.record_id).values(kept))
    synced = [row for row in rows if row.sync]
    if synced:
        _write_sync(connection, entity, synced, actor)


def _made_id(entity: Entity, values: Mapping[str, Any]) -> str:
    """A TMS id for a record that came without: the same for the same natural key."""
    key = "|".join(str(part) for part in _key(entity, values))
    return f"loaded-{sha256(key.encode()).hexdigest()[:40]}"


def _write_sync(connection: Connection, entity: Entity, rows: Sequence[_Row], actor: Actor) -> None:
    """The sync columns, as one operation with its items."""
    table, identity = entity.table, str(uuid4())
    seen = {}
    for some in _chunks([row.record_id for row in rows]):
        found = connection.execute(select(table.c.id, table.c.version).where(table.c.id.in_(some)))
        seen |= {key: version for key, version in found}  # noqa: C416
    connection.execute(
        insert(operation).values(
            id=identity,
            at=utc_now(),
            actor_id=actor.id,
            actor=actor.name,
            action="load",
            digest=sha256(identity.encode()).hexdigest(),
            requested=len(rows),
        )
    )
    for row in rows:
        connection.execute(
            update(table)
            .where(table.c.id == row.record_id)
            .values(**row.sync, last_operation_id=identity)
        )
    connection.execute(
        insert(operation_item),
        [
            {
                "operation_id": identity,
                "entity": entity.key,
                "record_id": row.record_id,
                "version_seen": seen[row.record_id],
                "outcome": ItemOutcome.APPLIED.value,
            }
            for row in rows
        ],
    )
