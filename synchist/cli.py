"""The command line: `python -m synchist --help`."""

import getpass
import os
import socket
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from synchist import accounts, demo, queries
from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.db.prepare import prepare, upgrade
from synchist.errors import SynchistError
from synchist.roles import Role
from synchist.settings import PROJECT, settings

ROLES = click.Choice([role.value for role in Role], case_sensitive=False)


class PortBusy(SynchistError):
    """Another program listens where the product should."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} is in use by another program. Stop it, or take another port:"
            f" make run PORT={port + 1}"
        )


class PasswordRejected(SynchistError):
    """The two entries of a password differ."""


def _one_line(function: Callable[..., None]) -> Callable[..., None]:
    """An expected error is one sentence and exit code 2, without a traceback."""

    @wraps(function)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except SynchistError as error:
            click.echo(str(error), err=True)
            sys.exit(2)

    return guarded


def _when_ready(function: Callable[..., None]) -> Callable[..., None]:
    """The same for a command on a database that is ready, or says how to make it so."""

    @wraps(function)
    def prepared(*args: Any, **options: Any) -> None:
        prepare()
        function(*args, **options)

    return _one_line(prepared)


def _principal() -> Principal:
    return Principal.command_line(getpass.getuser())


@click.group()
def main() -> None:
    """Accounting sync history: what failed, why, and what to do."""


@main.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8501,
    show_default=True,
    help="Where to listen.",
)
@_one_line
def run(port: int) -> None:
    """Prepare the database, make the demo if nothing is configured yet, and serve the pages."""
    _free(port)
    prepare()
    if not settings().database_url and _untouched():
        click.echo("No database is configured: making a demo with made-up data.")
        _make_demo(20_000, 1)
    click.echo(f"Synchist serves on http://localhost:{port}  (stop it with Ctrl+C)")
    sys.stdout.flush()
    os.chdir(PROJECT)
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    os.execv(sys.executable, command)  # noqa: S606  (no shell, fixed program)


def _free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise PortBusy(port) from None


def _untouched() -> bool:
    """Whether nobody has begun to use the database: then it may become the demo."""
    with reading() as connection:
        return queries.is_empty(connection) and not accounts.has_accounts(connection)


@main.command(name="demo")
@click.option(
    "--records",
    type=click.IntRange(1),
    default=20_000,
    show_default=True,
    help="How many records.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same data.")
@_one_line
def make_demo(records: int, seed: int) -> None:
    """Fill an empty database with made-up data of a freight broker."""
    upgrade()
    _make_demo(records, seed)


def _make_demo(records: int, seed: int) -> None:
    with click.progressbar(length=records, label="Making the demo") as bar:
        demo.make_demo(records, seed, progress=lambda done, _all: bar.update(done - bar.pos))


@main.group()
def db() -> None:
    """Look after the database."""


@db.command(name="upgrade")
@_one_line
def db_upgrade() -> None:
    """Bring the database to what this version needs, and put its triggers in place."""
    upgrade()
    click.echo("The database is up to date.")


@main.group()
def users() -> None:
    """Add people and say what they may do."""


@users.command()
@click.argument("login")
@click.option("--name", prompt=True, help="The person's name, as the history will show it.")
@click.option("--prompt", "ask", is_flag=True, help="Type a password instead of generating one.")
@click.option("--role", "roles", type=ROLES, multiple=True, help="Grant a role right away.")
@_when_ready
def add(login: str, name: str, ask: bool, roles: tuple[str, ...]) -> None:
    """Add an account. Its password is generated and shown once, or prompted for."""
    password = _prompted() if ask else accounts.generated_password()
    accounts.add_account(_principal(), login, name, password)
    for role in roles:
        accounts.grant(_principal(), login, Role(role))
    click.echo(f"Added {login}.")
    if not ask:
        click.echo(f"Password, shown only now: {password}")


def _prompted() -> str:
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Again: "):
        raise PasswordRejected("The two passwords differ. Run the command again.")
    return password


@users.command()
@click.argument("login")
@click.option("--prompt", "ask", is_flag=True, help="Type a password instead of generating one.")
@_when_ready
def password(login: str, ask: bool) -> None:
    """Give an account a new password; its sessions end."""
    new = _prompted() if ask else accounts.generated_password()
    accounts.set_password(_principal(), login, new)
    click.echo(f"Changed the password of {login}.")
    if not ask:
        click.echo(f"Password, shown only now: {new}")


@users.command()
@click.argument("login")
@click.argument("role", type=ROLES)
@_when_ready
def grant(login: str, role: str) -> None:
    """Grant a role."""
    accounts.grant(_principal(), login, Role(role))
    click.echo(f"{login} now holds {role}.")


@users.command()
@click.argument("login")
@click.argument("role", type=ROLES)
@_when_ready
def revoke(login: str, role: str) -> None:
    """Take a role away; it counts from the next click on."""
    accounts.revoke(_principal(), login, Role(role))
    click.echo(f"{login} no longer holds {role}.")


@users.command()
@click.argument("login")
@_when_ready
def disable(login: str) -> None:
    """Disable an account and end its sessions."""
    accounts.disable(_principal(), login)
    click.echo(f"Disabled {login}.")


@users.command(name="list")
@_when_ready
def list_users() -> None:
    """List the accounts and their roles."""
    with reading() as connection:
        for account in accounts.list_accounts(connection):
            roles = ", ".join(sorted(account.roles)) or "no role"
            state = " (disabled)" if account.disabled_at else ""
            click.echo(f"{account.login}{state}: {account.name}; {roles}")
