"""What is sealed, and the one encoding of it, the same on both databases and for ever.

A form is never changed: its seals could not be verified any more. Where a sealed table gets a
column, a new form beside the old ones names it. Each row is one or more lines; a line is a JSON
array (no spaces, ASCII) of the table's name and the values in the form's order: whole numbers as
numbers, moments as UTC text with microseconds, days as `2026-11-12`, yes and no as true and false,
what is missing as null. A row's hash is the SHA-256 of its lines with a line feed between two.

Sources are tables whose rows are numbered. Operations, reconciliations and sign-offs are not: the
chronicle numbers them, and its row is followed by the lines of the row that it names and of all
that belongs to it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Date, text

from synchist.db.tables import metadata
from synchist.db.types import Moment

CHRONICLE = "chronicle"

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Part:
    """A table, some rows of which belong to a row of the chronicle."""

    table: str
    key: tuple[str, ...]
    """Joined by slashes, these columns are the key that the chronicle knows."""
    columns: tuple[str, ...]
    order: tuple[str, ...] = ()
    """In which its rows follow each other, where they are several."""


@dataclass(frozen=True)
class Form:
    """What is sealed: the columns of each source, and what belongs to the chronicle's rows."""

    sources: Mapping[str, tuple[str, ...]]
    belonging: Mapping[str, tuple[Part, ...]]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a source: its number, the hash of its lines, and its own values."""

    id: int
    digest: bytes
    values: Values
    whole: bool = True
    """False where the chronicle names a row that is not there."""

    @property
    def fingerprint(self) -> str:
        """The beginning of its hash."""
        return self.digest.hex()[:8]


FORM_1 = Form(
    sources={
        "sync_event": (
            *("id", "entity", "record_id", "version", "at", "recorded_at", "kind"),
            *("operation_id", "outcome_at", "sync_status", "sync_at", "sync_reference"),
            *("synced_amount", "sync_error_code", "sync_error", "closed_reason", "tms_status"),
            *("number", "amount", "currency", "party_id", "billing_organization_id"),
            *("connection_id", "accounting_date"),
        ),
        "access_event": ("id", "at", "kind", "actor_id", "actor", "detail"),
        "attempt_line": ("id", "charge_line_id", "sync_at", "amount"),
        "export_reading": ("id", "at", "actor_id", "actor", "entity", "headings", "reading"),
        "triage_event": (
            *("id", "entity", "record_id", "version", "at", "actor_id", "actor"),
            *("owner_id", "owner", "note"),
        ),
        "team_hint": ("id", "cause", "named", "text", "at", "actor_id", "actor"),
        CHRONICLE: ("id", "source", "key"),
    },
    belonging={
        "operation": (
            Part(
                "operation",
                ("id",),
                (
                    *("id", "at", "actor_id", "actor", "action", "to_status", "reason", "note"),
                    *("filters", "digest", "requested", "undoes"),
                ),
            ),
            Part(
                "operation_item",
                ("operation_id",),
                (
                    *("operation_id", "entity", "record_id", "version_seen", "outcome"),
                    "booked_on",
                ),
                order=("entity", "record_id"),
            ),
        ),
        "reconciliation": (
            Part(
                "reconciliation",
                ("id",),
                (
                    *("id", "at", "actor_id", "actor", "entity", "connection_id", "file_name"),
                    *("sha256", "system", "report", "period", "basis", "coverage", "starts_on"),
                    *("ends_on", "amount_is_open", "rows_read", "used", "skipped", "left_out"),
                    *("warnings", "control_total", "documents_total", "file_total"),
                ),
            ),
            Part(
                "reconciliation_line",
                ("reconciliation_id",),
                (
                    *("reconciliation_id", "position", "bucket", "case_number", "how", "reason"),
                    *("difference", "sheet_row", "type", "reference", "party", "also"),
                    *("booked_on", "amount", "open_balance", "currency", "record_id", "version"),
                    *("number", "record_party", "record_date", "record_amount"),
                    *("record_currency", "sync_status", "sync_reference", "closed_reason"),
                    "tms_status",
                ),
                order=("position",),
            ),
        ),
        "reconciliation_confirmation": (
            Part(
                "reconciliation_confirmation",
                ("reconciliation_id", "position"),
                (
                    *("reconciliation_id", "position", "record_position", "bucket"),
                    *("difference", "at", "actor_id", "actor"),
                ),
            ),
        ),
        "period_close": (
            Part(
                "period_close",
                ("id",),
                (
                    *("id", "month", "billing_organization_id", "connection_id", "note", "at"),
                    *("actor_id", "actor"),
                ),
            ),
            Part(
                "period_close_sum",
                ("close_id",),
                ("close_id", "entity", "kind", "currency", "count", "amount"),
                order=("entity", "kind", "currency"),
            ),
            Part(
                "period_close_record",
                ("close_id",),
                ("close_id", "entity", "record_id", "version", "exception"),
                order=("entity", "record_id"),
            ),
        ),
        "period_reopen": (
            Part(
                "period_reopen",
                ("close_id",),
                ("close_id", "reason", "at", "actor_id", "actor"),
            ),
        ),
    },
)

FORMS = {1: FORM_1}
NEWEST = max(FORMS)


def encoded(values: Sequence[Any]) -> str:
    """A line: one JSON array, without spaces and in ASCII."""
    return _encoder.encode(values)


# SQLite takes any bytes in any column; they are told apart from every text.
_encoder = json.JSONEncoder(
    separators=(",", ":"), default=lambda stored: {"bytes": bytes(stored).hex()}
)


def rows(
    connection: Connection, form: Form, source: str, after: int | None, upto: int, limit: int
) -> list[Row]:
    """The rows of a source with numbers above `after` (None: all) up to `upto`, in their order, at
    most so many."""
    above = "" if after is None else " AND id > :after"
    statement = text(
        f"SELECT {_listed(connection, source, form.sources[source])} FROM {source}"
        f" WHERE id <= :upto{above} ORDER BY id LIMIT :limit"
    )
    given = {"upto": upto, "limit": limit} | ({} if after is None else {"after": after})
    found = [tuple(row) for row in connection.execute(statement, given)]
    if source == CHRONICLE:
        return list(_with_belonging(connection, form, found))
    return [
        Row(values[0], sha256(encoded([source, *values]).encode()).digest(), values)
        for values in found
    ]


def unnamed(connection: Connection, form: Form) -> Iterator[tuple[str, str]]:
    """Table and key of rows that no row of the chronicle names, though triggers write one."""
    for source, parts in form.belonging.items():
        for part in parts:
            key = _key(part)
            missing = text(
                f"SELECT {key} FROM {part.table} WHERE NOT EXISTS (SELECT 1 FROM {CHRONICLE} c"
                f" WHERE c.source = :source AND c.key = {key}) LIMIT 1"
            )
            if (found := connection.scalar(missing, {"source": source})) is not None:
                yield part.table, found


def stored(connection: Connection, table: str, columns: Sequence[str]) -> str:
    """The columns for a SELECT of values that are the same on both databases."""
    return _listed(connection, table, columns)


def _with_belonging(connection: Connection, form: Form, found: list[Values]) -> Iterator[Row]:
    """Rows of the chronicle, hashed together with what belongs to them."""
    hashes = [sha256(encoded([CHRONICLE, *values]).encode()) for values in found]
    there: set[tuple[str, str]] = set()
    for source, parts in form.belonging.items():
        of = {
            values[2]: hashed
            for values, hashed in zip(found, hashes, strict=True)
            if values[1] == source and isinstance(values[2], str)
        }
        for part in parts if of else ():
            for key, values in _belonging(connection, part, list(of)):
                of[key].update(f"\n{encoded([part.table, *values])}".encode())
                if part is parts[0]:
                    there.add((source, key))
    for values, hashed in zip(found, hashes, strict=True):
        yield Row(values[0], hashed.digest(), values, (values[1], values[2]) in there)


def _belonging(
    connection: Connection, part: Part, keys: list[str]
) -> Iterator[tuple[str, Sequence[Any]]]:
    """The rows of a part that belong to these keys, each with its key."""
    key, order = _key(part), [*part.key, *part.order]
    in_plain_order = ", ".join(_in_plain_order(connection, part.table, name) for name in order)
    # The key's first column finds them by the primary key.
    statement = text(
        f"SELECT {key}, {_listed(connection, part.table, part.columns)} FROM {part.table}"
        f" WHERE {part.key[0]} {_one_of(connection, 'heads')} AND {key}"
        f" {_one_of(connection, 'keys')} ORDER BY {in_plain_order}"
    )
    heads = sorted({one.rpartition("/")[0] if len(part.key) > 1 else one for one in keys})
    given = {"heads": heads, "keys": keys}
    if connection.dialect.name == "sqlite":
        given = {name: json.dumps(listed) for name, listed in given.items()}  # type: ignore[misc]
    flags = _flags(connection, part)
    # A sign-off may have a hundred thousand records: they pass by, and are never held together.
    for row in connection.execute(statement, given, execution_options={"yield_per": 1_000}):
        values = list(row[1:])
        for place in flags:
            values[place] = {0: False, 1: True}.get(values[place], values[place])
        yield row[0], values


def _key(part: Part) -> str:
    return " || '/' || ".join(f"{part.table}.{name}" for name in part.key)


def _one_of(connection: Connection, name: str) -> str:
    if connection.dialect.name == "postgresql":
        return f"= ANY(CAST(:{name} AS text[]))"
    return f"IN (SELECT value FROM json_each(:{name}))"


def _in_plain_order(connection: Connection, table: str, name: str) -> str:
    """A column to sort by: texts by their bytes, as SQLite does, and not as a language has it."""
    of = metadata.tables[table].c[name]
    text_of_postgresql = connection.dialect.name == "postgresql" and of.type.python_type is str
    return f'{name} COLLATE "C"' if text_of_postgresql else name


def _listed(connection: Connection, table: str, columns: Sequence[str]) -> str:
    of = metadata.tables[table].c
    return ", ".join(_canonical(connection, of[name]) for name in columns)


def _canonical(connection: Connection, of: Column[Any]) -> str:
    """A column as SQL whose value is the same on both databases: SQLite stores moments and days in
    their form. What has none, before Christ or at no time, is still told apart."""
    name = connection.dialect.identifier_preparer.quote(of.name)
    if connection.dialect.name == "sqlite" or not isinstance(of.type, (Moment, Date)):
        return name
    form, at = "YYYY-MM-DD", f"CAST({name} AS timestamp)"
    if isinstance(of.type, Moment):
        form, at = "YYYY-MM-DD HH24:MI:SS.US", f"{name} AT TIME ZONE 'UTC'"
    written = f"replace(to_char({at}, '{form}AD'), 'AD', '')"
    return f"coalesce({written}, CAST({name} AS text))"


def _flags(connection: Connection, part: Part) -> list[int]:
    """Where yes and no stand, which SQLite stores as 1 and 0."""
    if connection.dialect.name == "postgresql":
        return []
    of = metadata.tables[part.table].c
    return [place for place, name in enumerate(part.columns) if isinstance(of[name].type, Boolean)]


@contextmanager
def any_text(connection: Connection) -> Iterator[None]:
    """Read text as it is stored: SQLite also takes what is no UTF-8, and would fail to give it."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    before, driver.text_factory = driver.text_factory, _decoded
    try:
        yield
    finally:
        driver.text_factory = before


def _decoded(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")
