"""How time and money are stored, decided once for both databases."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Dialect, Integer, String
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

SQLITE_MOMENT = (
    "{column} GLOB '????-??-?? ??:??:??.[0-9][0-9][0-9][0-9][0-9][0-9]'"
    " AND datetime(substr({column}, 1, 19)) IS substr({column}, 1, 19)"
)
"""A CHECK: the one form of a moment on SQLite, and one that exists; mixed forms sort wrongly."""

SQLITE_DAY = "date({column}) IS {column}"
"""A CHECK: a day that exists, as `2026-11-22`. With IS, since a CHECK lets NULL pass."""


def moment_text(moment: datetime) -> str:
    """An aware datetime in the one form that SQLite stores (UTC, microseconds)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


class Moment(TypeDecorator[datetime]):
    """A moment in UTC: `timestamptz` on PostgreSQL, text of one fixed form on SQLite.

    Values are aware datetimes; a naive one raises ValueError, since nobody knows its zone.
    """

    impl = String(26)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The native type of each database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(26))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """From Python to the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs a time zone")
        return value if dialect.name == "postgresql" else moment_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database to Python, always in UTC."""
        if value is None:
            return None
        if isinstance(value, datetime):
            return value.astimezone(UTC)
        return datetime.fromisoformat(value).replace(tzinfo=UTC)


# SQLite numbers rows itself only for a column declared INTEGER.
Identifier = BigInteger().with_variant(Integer(), "sqlite")
"""A primary key."""

Minor = BigInteger
"""Money in whole minor units of the row's currency."""


def utc_now() -> datetime:
    """The present moment, aware, in UTC."""
    return datetime.now(UTC)


class folded(FunctionElement[str]):  # noqa: N801  (reads like a SQL function)
    """A text column in upper case and in plain byte order, for searches by the first letters.

    Byte order is SQLite's own; PostgreSQL needs to be told, since a language's order can't use an
    index for prefixes. Both indexes and searches are built from this one expression.
    """

    inherit_cache = True
    type = String()


@compiles(folded)
def _folded(element: Any, compiler: Any, **options: Any) -> str:
    return f"upper({compiler.process(element.clauses, **options)})"


@compiles(folded, "postgresql")
def _folded_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    return f'(upper({compiler.process(element.clauses, **options)}) COLLATE "C")'
