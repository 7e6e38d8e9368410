"""What happens to the database before the product uses it: create, migrate, check."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, OperationalError

from synchist.db.engine import (
    DatabaseUnavailable,
    NotGranted,
    database,
    engine,
    is_refusal,
    reading,
)
from synchist.db.grants import VERSION, GrantsMissing, lacking_rights, owner_in_use
from synchist.db.tables import database_fact
from synchist.db.triggers import broken_triggers, install_triggers
from synchist.errors import SynchistError
from synchist.settings import settings

DEMO = "demo"
"""Key of the fact that marks a database as the demo; its value is the seed."""


class DatabaseBehind(SynchistError):
    """A PostgreSQL database has not been migrated to what this version needs."""

    def __init__(self) -> None:
        super().__init__(
            "The database is not up to date with this version. Back it up, then run:"
            " python -m synchist db upgrade"
        )


class DatabaseUnknown(SynchistError):
    """The database is of a newer version, or no database of this product at all."""

    def __init__(self) -> None:
        super().__init__(
            "The database was made by a newer version, or is damaged. Use the version that made it,"
            " or restore a backup; nothing was changed."
        )


class TriggersBroken(SynchistError):
    """History would not be kept: triggers are missing, disabled or altered."""

    def __init__(self, names: set[str]) -> None:
        listed = ", ".join(sorted(names)[:5])
        super().__init__(
            f"The database would not keep the history: {len(names)} triggers are missing or"
            f" altered ({listed}). Put them back with: python -m synchist db upgrade"
        )


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def upgrade() -> None:
    """Bring the configured database to the newest schema and put its triggers in place.

    Creates an embedded SQLite file that is not there yet. Raises DatabaseUnknown, NotGranted,
    DatabaseUnavailable.
    """
    url = settings().url
    address = make_url(url)
    if address.get_backend_name() == "sqlite" and address.database:
        Path(address.database).parent.mkdir(parents=True, exist_ok=True)
    config = _config()
    with (
        _translated(),
        engine(url, create=True).connect() as connection,
        connection.execution_options(synchist_write=True).begin(),
    ):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        install_triggers(connection)


@contextmanager
def _translated() -> Iterator[None]:
    """What a library says of a database that can't be used, as a sentence of ours."""
    try:
        yield
    except OperationalError as error:
        raise DatabaseUnavailable from error
    except (CommandError, DatabaseError) as error:
        raise (NotGranted if is_refusal(error) else DatabaseUnknown) from error


def is_current(connection: Connection) -> bool:
    """Whether the schema is the one that this version needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return MigrationContext.configure(connection).get_current_revision() == head


def _stands(path: Path) -> bool:
    """Whether the embedded database is there and current; then its triggers are only checked, so
    that somebody who has taken one away is noticed and not covered up."""
    if not path.exists():
        return False
    with reading() as connection:
        return is_current(connection)


def prepare() -> None:
    """Make the database ready, or say in one sentence what is in the way.

    An embedded SQLite database is created and migrated; a PostgreSQL database that is behind is
    refused, since a migration there is the administrator's decision. Raises DatabaseBehind,
    GrantsMissing, TriggersBroken, DatabaseUnavailable.
    """
    address = make_url(settings().url)
    with _translated():
        if address.get_backend_name() == "sqlite" and not _stands(Path(address.database or "")):
            upgrade()
        check()


def check() -> None:
    """Raise DatabaseBehind, GrantsMissing or TriggersBroken where the database is not what this
    version needs; changes nothing."""
    with reading() as connection:
        lacking = lacking_rights(connection)
        if f"select {VERSION}" not in lacking and not is_current(connection):
            raise DatabaseBehind
        if lacking:
            raise GrantsMissing(lacking)
        broken = broken_triggers(connection)
    if broken:
        raise TriggersBroken(broken)


def unguarded() -> str:
    """A sentence if the configured role could take the triggers away, else nothing."""
    with reading() as connection:
        owner = owner_in_use(connection)
    if owner is None:
        return ""
    return (
        f"The product signs in as {owner}, which owns the tables and can alter the history. Let it"
        " use a role that can't; this makes one: python -m synchist db grants | psql"
    )


def is_demo(connection: Connection) -> bool:
    """Whether this database holds made-up data, and thus has accounts without passwords."""
    key = database_fact.c.key
    return connection.scalar(select(key).where(key == DEMO)) is not None


__all__ = ["DEMO", "check", "database", "is_current", "is_demo", "prepare", "unguarded", "upgrade"]
