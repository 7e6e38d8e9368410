"""Who may do what: accounts, roles, sessions, and the two doors every read and write goes through.

`acting` and `viewing` re-read session and roles from the database inside their transaction, so a
role that is revoked counts at the next call, whatever a page that is still open says. What is
refused is recorded, in a transaction of its own, and returns nothing.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from hashlib import sha256
from threading import BoundedSemaphore
from uuid import uuid4

import structlog
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from synchist.db.engine import DatabaseUnavailable, one_at_a_time, reading, writing
from synchist.db.prepare import is_demo
from synchist.db.tables import access_event, account, auth_session, role_grant, sign_in_attempt
from synchist.db.types import utc_now
from synchist.errors import SynchistError
from synchist.roles import Role
from synchist.settings import settings

DEMO_LOGINS = ("analyst", "controller", "viewer", "auditor", "administrator", "visitor")
"""The accounts of the demo database, which have no password."""

SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 1_000

# A login travels in a header, so it is plain ASCII; without a colon nobody can be `cli:…`.
_LOGIN = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,199}")

log = structlog.get_logger()


# ---------------------------------------------------------------- who


@dataclass(frozen=True)
class Principal:
    """Who asks, as far as the caller knows: it claims nothing, the database decides.

    `session_id` names a session (it opens nothing by itself). Without one, and unless made by
    `command_line`, the principal is nobody.
    """

    session_id: str | None
    login: str
    is_command_line: bool = field(default=False, kw_only=True)

    @classmethod
    def command_line(cls, login: str) -> "Principal":
        """The operating system's user at the command line, who has all rights."""
        return cls(session_id=None, login=login, is_command_line=True)


@dataclass(frozen=True)
class Actor:
    """Who acts, as the database says at this moment. `id` is None for the command line."""

    id: int | None
    login: str
    name: str
    roles: frozenset[Role]


@dataclass(frozen=True)
class Session:
    """A live session and the account behind it."""

    id: str
    account_id: int
    login: str
    name: str
    roles: frozenset[Role]
    seen_at: datetime

    @property
    def principal(self) -> Principal:
        """Who asks, for the operations."""
        return Principal(self.id, self.login)

    @property
    def actor(self) -> Actor:
        """Who acts, for the record."""
        return Actor(self.account_id, self.login, self.name, self.roles)


class NotSignedIn(SynchistError):
    """There is no session, or it has ended."""

    def __init__(self) -> None:
        super().__init__("Your session has ended. Sign in again.")


class NotAllowed(SynchistError):
    """The account lacks a right, or holds a role that takes one away."""

    def __init__(
        self, sentence: str = "Your account may not do this. Ask an administrator for the role."
    ) -> None:
        super().__init__(sentence)

    @classmethod
    def lacking(cls, role: Role) -> "NotAllowed":
        """A role is missing."""
        return cls(f"Your account lacks the role {role}. Ask an administrator for it.")


# ---------------------------------------------------------------- the two doors


@contextmanager
def acting(principal: Principal, role: Role, doing: str) -> Iterator[tuple[Connection, Actor]]:
    """A transaction that writes, for a principal who holds the role.

    `doing` says in a few words what is asked; it is recorded if it is refused, also where the
    caller itself raises NotAllowed inside. Raises NotSignedIn, NotAllowed, DatabaseUnavailable.
    """
    with _recording_denials(principal, doing), writing() as connection:
        actor, _ = _admit(connection, principal, role)
        _keep_alive(connection, principal)
        yield connection, actor


@contextmanager
def viewing(
    principal: Principal, role: Role | None, doing: str
) -> Iterator[tuple[Connection, Actor]]:
    """The same for reading, in one state of the database throughout. Keeps the session alive.

    Without a role it admits everybody who is signed in.
    """
    with _recording_denials(principal, doing), reading() as connection:
        actor, seen_at = _admit(connection, principal, role)
        yield connection, actor
    # Only now: a write beside one's own open read would wait for it where SQLite has no WAL.
    # Reading goes on even if another write holds the lock; the next call tries again.
    if seen_at is not None and seen_at < _a_minute_ago():
        with suppress(DatabaseUnavailable), writing() as connection:
            _keep_alive(connection, principal)


def _admit(
    connection: Connection, principal: Principal, role: Role | None
) -> tuple[Actor, datetime | None]:
    """The actor behind a principal, and when the session was last noted as in use."""
    if principal.is_command_line:
        name = f"cli:{principal.login}"
        return Actor(None, name, name, frozenset({Role.ACCOUNTING_SYNC, Role.CLOSE})), None
    session = _live_session(connection, auth_session.c.id == principal.session_id)
    if session is None:
        raise NotSignedIn
    if role is not None and role not in session.roles:
        raise NotAllowed.lacking(role)
    return session.actor, session.seen_at


@contextmanager
def _recording_denials(principal: Principal, doing: str) -> Iterator[None]:
    try:
        yield
    except (NotSignedIn, NotAllowed):
        record_denial(principal, doing)
        raise


def record_denial(principal: Principal, doing: str) -> None:
    """Record that a principal was refused, in a transaction of its own."""
    with writing() as connection:
        known = connection.execute(
            select(account.c.id, account.c.name)
            .join(auth_session, auth_session.c.account_id == account.c.id)
            .where(auth_session.c.id == principal.session_id)
        ).one_or_none()
        _record(
            connection,
            "denied",
            known.id if known else None,
            known.name if known else principal.login or "nobody",
            doing,
        )


def record_access(connection: Connection, actor: Actor, kind: str, detail: str) -> None:
    """Record a download, an upload and the like, in the transaction that does it."""
    _record(connection, kind, actor.id, actor.name, detail)


def _record(
    connection: Connection, kind: str, actor_id: int | None, actor: str, detail: str
) -> None:
    connection.execute(
        insert(access_event).values(
            at=utc_now(), kind=kind, actor_id=actor_id, actor=actor[:200], detail=detail
        )
    )


# ---------------------------------------------------------------- sessions


def session_of(token: str) -> Session | None:
    """The live session that a token opens, or None. Raises DatabaseUnavailable."""
    with reading() as connection:
        return _live_session(connection, auth_session.c.token_sha256 == _digest(token))


def sign_out(token: str) -> None:
    """End the session that a token opens, if it is a live one."""
    with writing() as connection:
        session = _live_session(connection, auth_session.c.token_sha256 == _digest(token))
        if session is not None:
            _end_sessions(connection, auth_session.c.id == session.id)
            record_access(connection, session.actor, "signed_out", "")


def _live_session(connection: Connection, condition: ColumnElement[bool]) -> Session | None:
    now = utc_now()
    row = connection.execute(
        select(
            auth_session.c.id,
            auth_session.c.account_id,
            account.c.login,
            account.c.name,
            auth_session.c.seen_at,
        )
        .join(account, account.c.id == auth_session.c.account_id)
        .where(
            condition,
            auth_session.c.ended_at.is_(None),
            auth_session.c.seen_at > now - timedelta(minutes=settings().session_idle_minutes),
            auth_session.c.created_at > now - timedelta(hours=settings().session_hours),
            account.c.disabled_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return None
    roles = _roles(connection, row.account_id)
    return Session(row.id, row.account_id, row.login, row.name, roles, row.seen_at)


def _holds(now: datetime) -> ColumnElement[bool]:
    return and_(
        role_grant.c.from_at <= now,
        or_(role_grant.c.until_at.is_(None), role_grant.c.until_at > now),
        role_grant.c.role.in_([str(role) for role in Role]),
    )


def _roles(connection: Connection, account_id: int) -> frozenset[Role]:
    held = select(role_grant.c.role).where(role_grant.c.account_id == account_id, _holds(utc_now()))
    return frozenset(Role(role) for role in connection.scalars(held))


def _a_minute_ago() -> datetime:
    return utc_now() - timedelta(minutes=1)


def _keep_alive(connection: Connection, principal: Principal) -> None:
    connection.execute(
        update(auth_session)
        .where(auth_session.c.id == principal.session_id, auth_session.c.seen_at < _a_minute_ago())
        .values(seen_at=utc_now())
    )


def _end_sessions(connection: Connection, condition: ColumnElement[bool]) -> None:
    connection.execute(
        update(auth_session)
        .where(condition, auth_session.c.ended_at.is_(None))
        .values(ended_at=utc_now())
    )


def _digest(secret: str) -> str:
    return sha256(secret.encode(errors="replace")).hexdigest()


# ---------------------------------------------------------------- sign-in

FAILURES_PER_ACCOUNT = (5, timedelta(minutes=5))
ATTEMPTS_PER_ADDRESS = (10, timedelta(minutes=1))

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
# A verification takes 19 MiB and a core: a rush of sign-ins waits instead of taking the machine.
_verifications = BoundedSemaphore(4)


class SignInFailed(SynchistError):
    """Login or password are wrong; which of them is not said."""

    def __init__(self) -> None:
        super().__init__("Login or password is not right. Check both and try again.")


class TooManyAttempts(SynchistError):
    """The account or the address has tried too often."""

    def __init__(self) -> None:
        super().__init__("Too many attempts to sign in. Wait five minutes, then try again.")


class NotTheDemo(NotAllowed):
    """Signing in without a password is for the made-up accounts of the demo database."""

    def __init__(self) -> None:
        super().__init__("This is not the demo. Sign in with your login and password.")


def sign_in(login: str, password: str, address: str) -> str:
    """Open a session for an account with a password and return its token.

    Whether an account exists shows neither in the sentence nor in the time taken. Raises
    SignInFailed, TooManyAttempts, DatabaseUnavailable.
    """
    login = login.strip().lower()
    unknown = _unknown_hash()
    with writing() as connection:
        one_at_a_time(connection, sign_in_attempt)  # so that parallel ones are counted
        stored = _password_hash(connection, login)
        # What was typed for a login may be a password: only the names of accounts are kept.
        name = login if stored else f"unknown {_digest(login)[:16]}"
        attempt = _note_attempt(connection, name, address[:100])

    with _verifications:
        matches = _verify(stored or unknown, password)

    with writing() as connection:
        # Disabled, or given another password, while this one was verified: then it is wrong.
        if stored and matches and stored == _password_hash(connection, login):
            connection.execute(
                update(sign_in_attempt)
                .where(sign_in_attempt.c.id == attempt)
                .values(succeeded=True)
            )
            return _open_session(connection, login, address)
        _record(connection, "sign_in_failed", None, name, f"from {address}")
    raise SignInFailed


def sign_in_demo(login: str, address: str) -> str:
    """Open a session for one of the accounts of the demo and return its token.

    Raises NotTheDemo in any other database and for any other account.
    """
    with writing() as connection:
        if login not in DEMO_LOGINS or not is_demo(connection):
            raise NotTheDemo
        if not connection.scalar(select(_account_exists(login, account.c.disabled_at.is_(None)))):
            raise NotTheDemo
        return _open_session(connection, login, address)


def _password_hash(connection: Connection, login: str) -> str | None:
    if not _LOGIN.fullmatch(login):
        return None
    return connection.scalar(
        select(account.c.password_hash).where(
            account.c.login == login, account.c.disabled_at.is_(None)
        )
    )


def _note_attempt(connection: Connection, login: str, address: str) -> int:
    """Count an attempt as failed until it has succeeded, so that parallel ones count as well."""
    now = utc_now()
    of = sign_in_attempt.c
    failures, failing = FAILURES_PER_ACCOUNT
    attempts, trying = ATTEMPTS_PER_ADDRESS
    count = select(func.count()).select_from(sign_in_attempt)
    failed = count.where(of.login == login, of.at > now - failing, of.succeeded.is_(False))
    tried = count.where(of.address == address, of.at > now - trying)
    if (connection.scalar(failed) or 0) >= failures or (connection.scalar(tried) or 0) >= attempts:
        log.warning("sign-in throttled", address=address)
        raise TooManyAttempts
    attempt: int = connection.execute(
        insert(sign_in_attempt)
        .values(at=now, login=login, address=address, succeeded=False)
        .returning(of.id)
    ).scalar_one()
    return attempt


@cache
def _unknown_hash() -> str:
    """What an unknown login is verified against, so that it takes as long as a known one."""
    return _hasher.hash(secrets.token_urlsafe(32))


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


def _open_session(connection: Connection, login: str, address: str) -> str:
    row = connection.execute(
        select(account.c.id, account.c.name).where(account.c.login == login)
    ).one()
    token = secrets.token_urlsafe(32)
    now = utc_now()
    connection.execute(
        insert(auth_session).values(
            id=str(uuid4()),
            token_sha256=_digest(token),
            account_id=row.id,
            created_at=now,
            seen_at=now,
        )
    )
    _record(connection, "signed_in", row.id, row.name, f"from {address}")
    return token


# ---------------------------------------------------------------- administration


class InvalidAccount(SynchistError):
    """A login, a name or a password that can't be used; the text says why."""


class UnknownAccount(SynchistError):
    """No account has this login."""

    def __init__(self, login: str) -> None:
        super().__init__(
            f"There is no account {login!r}. See them with: python -m synchist users list"
        )


class AccountExists(SynchistError):
    """The login is taken, also if by a disabled account: accounts are never deleted."""

    def __init__(self, login: str) -> None:
        super().__init__(f"The account {login!r} exists already. Choose another login.")


class RoleUnchanged(SynchistError):
    """A role is granted that is held, or revoked that is not."""


class LastAdministrator(SynchistError):
    """Nobody who can sign in could administer accounts any more."""

    def __init__(self, login: str) -> None:
        super().__init__(
            f"{login} is the last account that can sign in and administer accounts. Grant the role"
            f" {Role.ADMINISTRATOR} to somebody else first."
        )


@dataclass(frozen=True)
class Grant:
    """A role that an account holds or has held, from one moment in UTC to another (None: it holds
    it still), and who gave it: a name. `own` where that was the holder."""

    login: str
    name: str
    role: Role
    since: datetime
    until: datetime | None
    by: str
    own: bool


@dataclass(frozen=True)
class AccountRow:
    """One line of the list of accounts. `disabled_at` is None while the account may sign in;
    `last_sign_in` is None before the first."""

    login: str
    name: str
    grants: tuple[Grant, ...]
    has_password: bool
    created_at: datetime
    disabled_at: datetime | None
    last_sign_in: datetime | None

    @property
    def roles(self) -> tuple[Role, ...]:
        """What it holds now, in alphabetical order."""
        return tuple(sorted({grant.role for grant in self.grants}))


def add_account(principal: Principal, login: str, name: str, password: str) -> None:
    """Add an account, which has no role yet.

    Raises InvalidAccount, AccountExists, NotAllowed.
    """
    login, name = login.strip().lower(), name.strip()
    if not _LOGIN.fullmatch(login):
        raise InvalidAccount(
            "A login has up to 200 letters a to z, digits and . _ @ + - and starts with a letter"
            " or a digit. Choose another one."
        )
    if not name or len(name) > 200 or not name.isprintable():
        raise InvalidAccount("A name has 1 to 200 characters on one line. Give the person's name.")
    password_hash = _hashed(password)
    with _administering(principal, f"add the account {login}") as (connection, actor):
        if connection.scalar(select(_account_exists(login))):
            raise AccountExists(login)
        connection.execute(
            insert(account).values(
                login=login, name=name, password_hash=password_hash, created_at=utc_now()
            )
        )
        record_access(connection, actor, "account_added", login)


def grant(principal: Principal, login: str, role: Role) -> None:
    """Give a role to an account, from now on. Giving one to oneself is recorded as such.

    Raises UnknownAccount, RoleUnchanged, NotAllowed.
    """
    with _administering(principal, f"grant {role} to {login}") as (connection, actor):
        row = _account(connection, login)
        if role in _roles(connection, row.id):
            raise RoleUnchanged(f"{row.login} holds the role {role} already.")
        connection.execute(
            insert(role_grant).values(
                account_id=row.id, role=str(role), from_at=utc_now(), granted_by=actor.login
            )
        )
        oneself = ", to oneself" if actor.id == row.id else ""
        record_access(connection, actor, "role_granted", f"{role} to {row.login}{oneself}")


def revoke(principal: Principal, login: str, role: Role) -> None:
    """Take a role from an account. Its sessions go on; the next call of each sees it.

    Raises UnknownAccount, RoleUnchanged, LastAdministrator, NotAllowed.
    """
    with _administering(principal, f"revoke {role} from {login}") as (connection, actor):
        row = _account(connection, login)
        if role is Role.ADMINISTRATOR:
            _leave_an_administrator(connection, row)
        now = utc_now()
        ended = connection.execute(
            update(role_grant)
            .where(role_grant.c.account_id == row.id, role_grant.c.role == str(role), _holds(now))
            .values(until_at=now)
        )
        if not ended.rowcount:
            raise RoleUnchanged(f"{row.login} does not hold the role {role}.")
        record_access(connection, actor, "role_revoked", f"{role} from {row.login}")


def disable(principal: Principal, login: str) -> None:
    """Disable an account and end its sessions. What it did stays, and so do its roles.

    Raises UnknownAccount, LastAdministrator, NotAllowed.
    """
    with _administering(principal, f"disable {login}") as (connection, actor):
        row = _account(connection, login)
        _leave_an_administrator(connection, row)
        connection.execute(
            update(account)
            .where(account.c.id == row.id, account.c.disabled_at.is_(None))
            .values(disabled_at=utc_now())
        )
        _end_sessions(connection, auth_session.c.account_id == row.id)
        record_access(connection, actor, "account_disabled", row.login)


def enable(principal: Principal, login: str) -> None:
    """Let a disabled account sign in again, with the password and the roles that it had.

    Raises UnknownAccount, NotAllowed.
    """
    with _administering(principal, f"enable {login}") as (connection, actor):
        row = _account(connection, login)
        connection.execute(update(account).where(account.c.id == row.id).values(disabled_at=None))
        record_access(connection, actor, "account_enabled", row.login)


def set_password(principal: Principal, login: str, password: str) -> None:
    """Give an account another password and end its sessions.

    Raises InvalidAccount, UnknownAccount, NotAllowed.
    """
    password_hash = _hashed(password)
    with _administering(principal, f"set the password of {login}") as (connection, actor):
        row = _account(connection, login)
        connection.execute(
            update(account).where(account.c.id == row.id).values(password_hash=password_hash)
        )
        _end_sessions(connection, auth_session.c.account_id == row.id)
        record_access(connection, actor, "password_set", row.login)


def list_accounts(connection: Connection) -> list[AccountRow]:
    """Every account by login, with the roles that it holds now in alphabetical order."""
    held: dict[str, list[Grant]] = {}
    for one in _grants(connection, _holds(utc_now())):
        held.setdefault(one.login, []).append(one)
    of = account.c
    signed_in = (
        select(func.max(auth_session.c.created_at))
        .where(auth_session.c.account_id == of.id)
        .scalar_subquery()
    )
    return [
        AccountRow(
            row.login,
            row.name,
            tuple(sorted(held.get(row.login, ()), key=lambda one: one.role)),
            row.password_hash is not None,
            row.created_at,
            row.disabled_at,
            row.last_sign_in,
        )
        for row in connection.execute(
            select(account, signed_in.label("last_sign_in")).order_by(of.login)
        )
    ]


def own_grants(connection: Connection) -> list[Grant]:
    """The roles that somebody has ever given to themselves, newest first."""
    return _grants(connection, role_grant.c.granted_by == account.c.login)


def _grants(connection: Connection, condition: ColumnElement[bool]) -> list[Grant]:
    """Newest first. Who granted stands there by login, which nobody else ever has; the command
    line and the demo as they call themselves."""
    of, giver = role_grant.c, account.alias("giver")
    rows = connection.execute(
        select(role_grant, account.c.login, account.c.name, giver.c.name.label("giver"))
        .join(account, account.c.id == of.account_id)
        .outerjoin(giver, giver.c.login == of.granted_by)
        .where(condition, of.role.in_([str(role) for role in Role]))
        .order_by(of.from_at.desc(), of.id.desc())
    )
    return [
        Grant(
            row.login,
            row.name,
            Role(row.role),
            row.from_at,
            row.until_at,
            row.giver or row.granted_by,
            own=row.granted_by == row.login,
        )
        for row in rows
    ]


def holders(connection: Connection, role: Role) -> frozenset[int]:
    """The ids of the accounts that hold a role now and are not disabled."""
    of = role_grant.c
    held = select(of.account_id).where(of.role == str(role), _holds(utc_now()))
    enabled = select(account.c.id).where(account.c.id.in_(held), account.c.disabled_at.is_(None))
    return frozenset(connection.scalars(enabled))


def has_accounts(connection: Connection) -> bool:
    """Whether anybody could sign in at all."""
    return bool(connection.scalar(select(exists(select(account.c.id)))))


def generated_password() -> str:
    """A password of 24 characters to hand over and have changed."""
    return secrets.token_urlsafe(18)


@contextmanager
def _administering(principal: Principal, doing: str) -> Iterator[tuple[Connection, Actor]]:
    """A transaction for administration, one after the other: of two administrators who take the
    role from each other at the same moment the second finds that it is gone."""
    with _recording_denials(principal, doing), writing() as connection:
        one_at_a_time(connection, role_grant)
        actor, _ = _admit(connection, principal, Role.ADMINISTRATOR)
        _keep_alive(connection, principal)
        yield connection, actor


def _leave_an_administrator(connection: Connection, but: Row[int, str]) -> None:
    """Refuse to go on if this account is the only one that can sign in and administer."""
    can_sign_in: ColumnElement[bool] = account.c.password_hash.is_not(None)
    if is_demo(connection):
        can_sign_in = or_(can_sign_in, account.c.login.in_(DEMO_LOGINS))
    held = holders(connection, Role.ADMINISTRATOR)
    administrators = connection.scalars(
        select(account.c.id).where(account.c.id.in_(held), can_sign_in)
    )
    if set(administrators) == {but.id}:
        raise LastAdministrator(but.login)


def _account(connection: Connection, login: str) -> Row[int, str]:
    row = connection.execute(
        select(account.c.id, account.c.login).where(account.c.login == login.strip().lower())
    ).one_or_none()
    if row is None:
        raise UnknownAccount(login)
    return row


def _account_exists(login: str, *conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(account.c.id).where(account.c.login == login, *conditions))


def _hashed(password: str) -> str:
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidAccount(
            f"A password has at least {SHORTEST_PASSWORD} characters. Choose a longer one."
            if len(password) < SHORTEST_PASSWORD
            else f"A password has at most {LONGEST_PASSWORD:,} characters. Choose a shorter one."
        )
    return _hasher.hash(password)
