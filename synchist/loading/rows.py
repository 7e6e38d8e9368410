"""Lines of a file as rows: checked on their own, before they meet the records."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Date, select

from synchist.child import UnreadableFile
from synchist.db.tables import SYNC_COLUMNS, organization
from synchist.db.tables import connection as connection_table
from synchist.db.types import Moment
from synchist.entities import Entity
from synchist.loading.cells import (
    EXCEL_ERRORS,
    Refused,
    as_currency,
    as_day,
    as_moment,
    as_money,
    as_status,
    as_text,
    quoted,
)
from synchist.loading.files import is_blank
from synchist.statuses import SyncStatus

_OTHERS = ("id", "outcome_at", "closed_reason", "version", "last_operation_id", "problem_id")
"""Columns that no file sets: they belong to the database, or to people."""

_NAMES = {"billing_organization_id": "billing_organization", "connection_id": "connection"}

_UNTRIED = {name: SyncStatus.PENDING if name == "sync_status" else None for name in SYNC_COLUMNS}
"""The sync columns of a record that has just been created."""

Record = Mapping[str, Any]
"""What the database holds of a record, and the `action` of its last operation."""


def fields(entity: Entity) -> dict[str, Column[Any]]:
    """The columns that a file may have, and where their values go. The party is called payer or
    vendor, as on the pages."""
    names = _NAMES | {"party_id": entity.party_label.lower()}
    return {
        names.get(column.name, column.name): column
        for column in entity.table.c
        if column.name not in _OTHERS
    }


def required(entity: Entity) -> tuple[str, ...]:
    """The columns that no row may leave blank."""
    return ("number", entity.party_label.lower(), "billing_organization", "currency", "amount")


def header(entity: Entity, cells: Sequence[Any], file: str) -> list[str]:
    """The name of each column, as `fields` has it where it is one of them.

    Raises UnreadableFile where a required one is missing, or one stands twice.
    """
    names = ["" if is_blank(cell) else str(cell).strip().lower() for cell in cells]
    names = [name.replace(" ", "_") for name in names]
    names = [entity.party_label.lower() if name == "party" else name for name in names]
    missing = [name for name in required(entity) if name not in names]
    if missing:
        raise UnreadableFile(
            f"{file} lacks the column {' and '.join(missing)}. See an example with --template."
        )
    twice = [name for name in fields(entity) if names.count(name) > 1]
    if twice:
        raise UnreadableFile(f"{file} has the column {twice[0]} twice. Remove one of them.")
    return names


@dataclass
class Row:
    """A checked row, by column of the table.

    `values` are those that are not blank; an organization that is still to be made stands there by
    its name. `outcome` holds the sync columns, blanks as None, or nothing where the row has no
    sync status. `record` is what the database holds; None means that the row creates it.
    """

    line: int
    values: dict[str, Any]
    outcome: dict[str, Any]
    record: Record | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """What a record gets of the TMS's own columns; `created_at` never changes."""
        before: Record = self.record or {}
        return {
            name: value
            for name, value in self.values.items()
            if name != "created_at" and before.get(name) != value
        }

    @property
    def differs(self) -> bool:
        """Whether the sync columns say anything else than the record."""
        before: Record = self.record or _UNTRIED
        return any(before[name] != value for name, value in self.outcome.items())

    @property
    def is_news(self) -> bool:
        """Whether they are taken over: an old file shall not undo what jobs and people did since.

        A newer attempt is. A row without a time is where there was no attempt so far, and no
        person has changed the status.
        """
        if not self.differs or self.record is None:
            return self.differs
        at, known = self.outcome.get("sync_at"), self.record["sync_at"]
        if at is None:
            return known is None and self.record["action"] in (None, "load")
        return known is None or at > known


class Reader:
    """Turns lines into rows; knows the organizations and connections that there are."""

    def __init__(
        self, connection: Connection, entity: Entity, names: Sequence[str], create: bool
    ) -> None:
        self._names = names
        self._columns = fields(entity)
        self._required = required(entity)
        self._create = create
        self._organizations: dict[str, set[int]] = defaultdict(set)
        of = organization.c
        for key, tms_id, name in connection.execute(select(of.id, of.tms_id, of.name)):
            self._organizations[tms_id].add(key)
            self._organizations[name].add(key)
        link = connection_table.c
        self._connections: dict[str, int] = {
            name: key for key, name in connection.execute(select(link.id, link.name))
        }

    def row(self, line: int, cells: Sequence[Any]) -> Row:
        """A line's values as the database stores them. Raises Refused."""
        if not all(map(is_blank, cells[len(self._names) :])):
            raise Refused("it has more cells than the header")
        given = {
            name: cell
            for name, cell in zip(self._names, cells, strict=False)
            if name in self._columns and not is_blank(cell)
        }
        for name in self._required:
            if name not in given:
                raise Refused(f"{name} is missing")
        currency = as_currency("currency", given["currency"])
        values = {
            self._columns[name].name: self._value(name, cell, currency)
            for name, cell in given.items()
        }
        outcome = {name: values.pop(name, None) for name in self._names if name in SYNC_COLUMNS}
        return Row(line, values, _fitting(outcome))

    def _value(self, name: str, cell: Any, currency: str) -> Any:
        if cell in EXCEL_ERRORS:
            raise Refused(f"{name} holds Excel's error {cell}")
        value: Any
        match self._columns[name].name, self._columns[name].type:
            case (("party_id" | "billing_organization_id"), _):
                value = self._organization(as_text(name, cell, 200))
            case "connection_id", _:
                value = self._connection(as_text(name, cell))
            case "currency", _:
                value = currency
            case "sync_status", _:
                value = as_status(name, cell)
            case "sync_error", _:
                value = str(cell)  # the exact text that the accounting system returned
            case _, Moment():
                value = as_moment(name, cell)
            case _, Date():
                value = as_day(name, cell)
            case _, BigInteger():
                value = as_money(name, cell, currency)
            case _, kind:
                value = as_text(name, cell, getattr(kind, "length", None))
        return value

    def _organization(self, name: str) -> int | str:
        """The id of the one that is meant, or its name where it shall be made."""
        found = self._organizations.get(name, set())
        if len(found) > 1:
            raise Refused(f"{len(found)} organizations are called {quoted(name)}; use the tms_id")
        if not found and not self._create:
            raise Refused(
                f"there is no organization {quoted(name)}; make it with --create-organizations"
            )
        return next(iter(found), name)

    def _connection(self, name: str) -> int:
        if name not in self._connections:
            raise Refused(f"there is no connection {quoted(name)}")
        return self._connections[name]


def _fitting(outcome: dict[str, Any]) -> dict[str, Any]:
    """The sync columns if they fit each other; without a status they must say nothing."""
    if outcome.get("sync_status") is None:
        if any(value is not None for value in outcome.values()):
            raise Refused("sync_status is missing: Pending, Complete or Failed")
        return {}
    if outcome["sync_status"] is SyncStatus.FAILED and not outcome.get("sync_error"):
        raise Refused("sync_error is missing: Failed needs one")
    return outcome
