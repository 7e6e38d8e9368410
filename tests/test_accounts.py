"""Who may do what: passwords, sessions, roles, and the record of what was refused."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from typing import Any

import argon2
import pytest
from sqlalchemy import func, insert, select, text, update

from synchist import accounts
from synchist.accounts import (
    AccountExists,
    InvalidAccount,
    LastAdministrator,
    NotAllowed,
    NotSignedIn,
    NotTheDemo,
    Principal,
    RoleUnchanged,
    Session,
    SignInFailed,
    UnknownAccount,
    acting,
    viewing,
)
from synchist.db.engine import engine, reading, writing
from synchist.db.tables import access_event, account, auth_session, role_grant, sign_in_attempt
from synchist.db.types import utc_now
from synchist.demo import make_demo
from synchist.errors import SynchistError
from synchist.roles import Role
from synchist.settings import settings
from tests.conftest import Database, owned, sign_in

OPERATOR = Principal.command_line("operator")
PASSWORD = "correct horse battery"
HERE = "192.0.2.7"
SYNC = Role.ACCOUNTING_SYNC

Gate = Callable[[Principal, Role, str], Any]


@pytest.fixture
def people(database: Database) -> None:
    """Ana may see the history, Vic may see but not export it, Bob has no role."""
    roles: dict[str, tuple[Role, ...]] = {
        "ana": (SYNC,),
        "vic": (SYNC, Role.HIDE_EXPORT),
        "bob": (),
    }
    for login, held in roles.items():
        accounts.add_account(OPERATOR, login, f"{login.title()} Example", PASSWORD)
        for role in held:
            accounts.grant(OPERATOR, login, role)


@pytest.fixture
def ana(people: None) -> Session:
    return session(accounts.sign_in("ana", PASSWORD, HERE))


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Every hash that a password was verified against; the verification itself is the real one."""
    seen: list[str] = []
    verify = argon2.PasswordHasher.verify

    def watched(hasher: argon2.PasswordHasher, stored: str, password: str) -> bool:
        seen.append(stored)
        return verify(hasher, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", watched)
    return seen


def session(token: str) -> Session:
    found = accounts.session_of(token)
    assert found is not None
    return found


def change(statement: Any) -> None:
    with owned(), writing() as connection:
        connection.execute(statement)


def events(kind: str) -> list[Any]:
    with reading() as connection:
        return list(
            connection.execute(
                select(access_event.c.actor_id, access_event.c.actor, access_event.c.detail)
                .where(access_event.c.kind == kind)
                .order_by(access_event.c.id)
            )
        )


def attempt(login: str, password: str = "a wrong password", address: str = HERE) -> str:
    """The name of what came of it."""
    try:
        accounts.sign_in(login, password, address)
    except SynchistError as error:
        return type(error).__name__
    return "signed in"


# ---------------------------------------------------------------- signing in


def test_signing_in_opens_a_session(people: None) -> None:
    found = session(accounts.sign_in(" Vic ", PASSWORD, HERE))
    assert (found.login, found.name) == ("vic", "Vic Example")
    assert found.roles == {SYNC, Role.HIDE_EXPORT}
    assert [(event.actor, event.detail) for event in events("signed_in")] == [
        ("Vic Example", f"from {HERE}")
    ]


def test_a_token_is_new_each_time_and_is_not_stored(people: None) -> None:
    tokens = {accounts.sign_in("ana", PASSWORD, HERE) for _ in range(3)}
    assert len(tokens) == 3
    assert all(len(token) >= 43 for token in tokens)  # 256 bits in base64
    with reading() as connection:
        stored = str(connection.execute(select(auth_session)).all())
    assert not any(token in stored for token in tokens)


def test_what_names_a_session_does_not_open_it(ana: Session) -> None:
    with reading() as connection:
        digest = connection.scalar(select(auth_session.c.token_sha256))
    assert accounts.session_of(ana.id) is None
    assert accounts.session_of(str(digest)) is None


def test_passwords_are_stored_as_argon2id(people: None) -> None:
    with reading() as connection:
        hashes = set(connection.scalars(select(account.c.password_hash)))
    assert len(hashes) == 3  # the same password, another salt each
    assert all(stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$") for stored in hashes)


def test_a_refusal_does_not_say_whether_the_account_exists(people: None) -> None:
    accounts.disable(OPERATOR, "vic")
    change(insert(account).values(login="demo", name="No Password", created_at=utc_now()))
    said = set()
    for login in ("ana", "nobody", "vic", "demo", "", "\x00", "ana'--", "ÄÖ", "x" * 5000):
        with pytest.raises(SignInFailed) as refusal:
            accounts.sign_in(login, "a wrong password", f"from {login[:3]!a}")
        said.add(str(refusal.value))
    assert said == {"Login or password is not right. Check both and try again."}


@pytest.mark.parametrize("login", ["ana", "nobody", "vic", "\x00"])
def test_every_login_costs_one_verification(people: None, verified: list[str], login: str) -> None:
    accounts.disable(OPERATOR, "vic")
    assert attempt(login) == "SignInFailed"
    assert len(verified) == 1
    assert verified[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_what_is_typed_as_an_unknown_login_is_not_kept(people: None) -> None:
    assert attempt("hunter2-my-password") == "SignInFailed"
    with reading() as connection:
        kept = f"{connection.execute(select(sign_in_attempt)).all()} {events('sign_in_failed')}"
    assert HERE in kept
    assert "hunter2" not in kept


def test_a_password_changed_during_its_verification_opens_nothing(
    people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = argon2.PasswordHasher.verify

    def overtaken(hasher: argon2.PasswordHasher, stored: str, password: str) -> bool:
        accounts.set_password(OPERATOR, "ana", "another long password")
        return verify(hasher, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", overtaken)
    assert attempt("ana", PASSWORD) == "SignInFailed"


# ---------------------------------------------------------------- throttle


@pytest.mark.parametrize("login", ["ana", "nobody"])
def test_five_failures_stop_an_account_before_any_hashing(
    people: None, verified: list[str], login: str
) -> None:
    outcomes = [attempt(login, address=f"192.0.2.{n}") for n in range(6)]
    assert outcomes == ["SignInFailed"] * 5 + ["TooManyAttempts"]
    verified.clear()
    assert attempt(login, PASSWORD, "198.51.100.1") == "TooManyAttempts"
    assert verified == []


def test_an_account_opens_again_after_five_minutes(people: None) -> None:
    for n in range(5):
        attempt("ana", address=f"192.0.2.{n}")
    change(update(sign_in_attempt).values(at=utc_now() - timedelta(minutes=4, seconds=50)))
    assert attempt("ana", PASSWORD) == "TooManyAttempts"
    change(update(sign_in_attempt).values(at=utc_now() - timedelta(minutes=5, seconds=1)))
    assert attempt("ana", PASSWORD) == "signed in"


def test_ten_attempts_a_minute_stop_an_address(people: None) -> None:
    outcomes = [attempt(f"guess{n}") for n in range(11)]
    assert outcomes == ["SignInFailed"] * 10 + ["TooManyAttempts"]
    assert attempt("ana", PASSWORD) == "TooManyAttempts"
    assert attempt("ana", PASSWORD, "198.51.100.1") == "signed in"
    change(update(sign_in_attempt).values(at=utc_now() - timedelta(seconds=61)))
    assert attempt("ana", PASSWORD) == "signed in"


def test_successes_count_for_the_address_but_not_against_the_account(people: None) -> None:
    outcomes = [attempt("ana", PASSWORD) for _ in range(11)]
    assert outcomes == ["signed in"] * 10 + ["TooManyAttempts"]
    assert attempt("ana", PASSWORD, "198.51.100.1") == "signed in"


def test_parallel_guesses_are_throttled_like_those_in_turn(people: None) -> None:
    start = threading.Barrier(12)

    def guess(n: int) -> str:
        start.wait()
        return attempt("ana", address=f"192.0.2.{n}")

    with ThreadPoolExecutor(12) as pool:
        outcomes = sorted(pool.map(guess, range(12)))
    assert outcomes == ["SignInFailed"] * 5 + ["TooManyAttempts"] * 7


def test_four_passwords_are_verified_at_once_and_no_more(
    people: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = argon2.PasswordHasher.verify
    counting, now, most = threading.Lock(), 0, 0
    four = threading.Barrier(4)  # passes if four get in together; a fifth would be counted

    def watched(hasher: argon2.PasswordHasher, stored: str, password: str) -> bool:
        nonlocal now, most
        with counting:
            now += 1
            most = max(most, now)
        four.wait(timeout=20)
        try:
            return verify(hasher, stored, password)
        finally:
            with counting:
                now -= 1

    monkeypatch.setattr(argon2.PasswordHasher, "verify", watched)
    with ThreadPoolExecutor(12) as pool:
        outcomes = set(pool.map(lambda n: attempt(f"u{n}", address=f"192.0.2.{n}"), range(12)))
    assert outcomes == {"SignInFailed"}
    assert most == 4


# ---------------------------------------------------------------- sessions end

ENDINGS: dict[str, Callable[[], object]] = {
    "idle": lambda: change(
        update(auth_session).values(
            seen_at=utc_now() - timedelta(minutes=settings().session_idle_minutes, seconds=1)
        )
    ),
    "absolute": lambda: change(
        update(auth_session).values(
            created_at=utc_now() - timedelta(hours=settings().session_hours, seconds=1)
        )
    ),
    "disabled": lambda: accounts.disable(OPERATOR, "ana"),
    "disabled elsewhere": lambda: change(update(account).values(disabled_at=utc_now())),
    "password changed": lambda: accounts.set_password(OPERATOR, "ana", "another long password"),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_session_ends(people: None, ending: str) -> None:
    token = accounts.sign_in("ana", PASSWORD, HERE)
    principal = session(token).principal
    ENDINGS[ending]()
    assert accounts.session_of(token) is None
    for door in (acting, viewing):
        with pytest.raises(NotSignedIn), door(principal, SYNC, "look"):
            pytest.fail("the door was open")
    assert [tuple(event) for event in events("denied")] == [(1, "Ana Example", "look")] * 2
    assert accounts.session_of(token) is None  # being refused did not revive it


def test_signing_out_ends_one_session(people: None) -> None:
    tokens = [accounts.sign_in("ana", PASSWORD, HERE) for _ in range(2)]
    accounts.sign_out(tokens[0])
    accounts.sign_out(tokens[0])
    accounts.sign_out("no token at all")
    assert accounts.session_of(tokens[0]) is None
    assert accounts.session_of(tokens[1]) is not None
    assert [event.actor for event in events("signed_out")] == ["Ana Example"]


@pytest.mark.parametrize("door", [acting, viewing])
def test_use_keeps_a_session_alive_and_is_noted_once_a_minute(ana: Session, door: Gate) -> None:
    def noted_after(age: timedelta) -> bool:
        before = utc_now() - age
        change(update(auth_session).values(seen_at=before))
        with door(ana.principal, SYNC, "look"):
            pass
        with reading() as connection:
            return connection.scalar(select(auth_session.c.seen_at)) != before

    assert noted_after(timedelta(minutes=59))
    assert not noted_after(timedelta(seconds=50))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_reading_goes_on_while_another_write_holds_the_lock(
    ana: Session, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(update(auth_session).values(seen_at=utc_now() - timedelta(minutes=2)))
    monkeypatch.setenv("SYNCHIST_LOCK_WAIT_SECONDS", "1")
    settings.cache_clear()
    engine(settings().url).dispose()
    engine.cache_clear()
    with database.bare() as job:
        job.isolation_level = None
        job.execute("BEGIN IMMEDIATE")
        with viewing(ana.principal, SYNC, "look") as (connection, actor):
            assert connection.scalar(text("SELECT 1")) == 1
        job.execute("ROLLBACK")
    assert actor.name == "Ana Example"


# ---------------------------------------------------------------- roles


@pytest.mark.parametrize("door", [acting, viewing])
def test_the_actor_is_who_the_database_says(ana: Session, door: Gate) -> None:
    boaster = Principal(ana.id, "somebody-else")
    with door(boaster, SYNC, "look") as (_, actor):
        assert (actor.id, actor.login, actor.name) == (1, "ana", "Ana Example")
        assert actor.roles == {SYNC}


@pytest.mark.parametrize("door", [acting, viewing])
def test_a_revoked_role_counts_at_the_next_call(people: None, door: Gate) -> None:
    token = accounts.sign_in("ana", PASSWORD, HERE)
    principal = session(token).principal
    with door(principal, SYNC, "look"):
        pass
    accounts.revoke(OPERATOR, "ana", SYNC)
    refused = pytest.raises(NotAllowed, match="lacks the role Accounting Sync")
    with refused, door(principal, SYNC, "look again"):
        pytest.fail("the door was open")
    assert session(token).roles == frozenset()  # the session goes on, without the role
    assert [tuple(event) for event in events("denied")] == [(1, "Ana Example", "look again")]


@pytest.mark.parametrize(
    ("from_minutes", "until_minutes", "held"),
    [(-5, None, True), (-5, 5, True), (5, None, False), (-5, -1, False)],
)
def test_a_grant_counts_from_its_start_to_its_end(
    people: None, from_minutes: int, until_minutes: int | None, held: bool
) -> None:
    now = utc_now()
    until = None if until_minutes is None else now + timedelta(minutes=until_minutes)
    change(
        insert(role_grant).values(
            account_id=3,
            role=SYNC,
            from_at=now + timedelta(minutes=from_minutes),
            until_at=until,
            granted_by="test",
        )
    )
    bob = session(accounts.sign_in("bob", PASSWORD, HERE))
    assert (SYNC in bob.roles) is held


@pytest.mark.parametrize("door", [acting, viewing])
@pytest.mark.parametrize(
    "nobody",
    [
        Principal(None, ""),
        Principal(None, "cli:operator"),
        Principal("", "ana"),
        Principal("00000000-0000-4000-8000-000000000000", "ana"),
    ],
)
def test_nobody_is_refused(people: None, door: Gate, nobody: Principal) -> None:
    with pytest.raises(NotSignedIn), door(nobody, SYNC, "look"):
        pytest.fail("the door was open")
    assert [tuple(event) for event in events("denied")] == [
        (None, nobody.login or "nobody", "look")
    ]


def test_a_denial_outlives_what_was_rolled_back(ana: Session) -> None:
    def disable_all() -> None:
        with acting(ana.principal, SYNC, "disable") as (connection, actor):
            connection.execute(update(account).values(disabled_at=utc_now()))
            accounts.record_access(connection, actor, "disabled", "")
            raise NotAllowed("Not even you.")

    with pytest.raises(NotAllowed, match="Not even you"):
        disable_all()
    with reading() as connection:
        assert set(connection.scalars(select(account.c.disabled_at))) == {None}
    assert events("disabled") == []
    assert [tuple(event) for event in events("denied")] == [(1, "Ana Example", "disable")]


@pytest.mark.parametrize("door", [acting, viewing])
def test_the_command_line_has_all_rights_and_no_restriction(people: None, door: Gate) -> None:
    with door(OPERATOR, SYNC, "look") as (_, actor):
        assert (actor.id, actor.name) == (None, "cli:operator")
        assert actor.roles == {SYNC, Role.CLOSE}


# ---------------------------------------------------------------- the demo


def test_the_demo_needs_no_password(database: Database) -> None:
    with owned():
        make_demo(records=20)
    roles = {
        login: session(accounts.sign_in_demo(login, "127.0.0.1")).roles
        for login in accounts.DEMO_LOGINS
    }
    assert roles == {
        "analyst": {SYNC},
        "controller": {SYNC, Role.CLOSE, Role.HINTS},
        "viewer": {SYNC, Role.HIDE_EXPORT},
        "auditor": {Role.AUDIT},
        "administrator": {Role.ADMINISTRATOR},
        "visitor": frozenset(),
    }
    assert attempt("analyst", "") == "SignInFailed"


def test_only_the_demo_accounts_need_no_password(database: Database) -> None:
    with owned():
        make_demo(records=20)
    accounts.add_account(OPERATOR, "ana", "Ana Example", PASSWORD)
    for login in ("ana", "nobody", ""):
        with pytest.raises(NotTheDemo):
            accounts.sign_in_demo(login, "127.0.0.1")


def test_no_other_database_lets_anybody_in_without_a_password(people: None) -> None:
    accounts.add_account(OPERATOR, "analyst", "A Real Analyst", PASSWORD)
    with pytest.raises(NotTheDemo):
        accounts.sign_in_demo("analyst", "127.0.0.1")


def test_a_new_database_has_no_account(database: Database) -> None:
    with reading() as connection:
        assert not accounts.has_accounts(connection)
        assert accounts.list_accounts(connection) == []


# ---------------------------------------------------------------- administration

ADMINISTRATION: dict[str, Callable[[Principal], None]] = {
    "add": lambda who: accounts.add_account(who, "eve", "Eve Example", PASSWORD),
    "grant": lambda who: accounts.grant(who, "bob", SYNC),
    "revoke": lambda who: accounts.revoke(who, "vic", Role.HIDE_EXPORT),
    "disable": lambda who: accounts.disable(who, "bob"),
    "enable": lambda who: accounts.enable(who, "zoe"),
    "password": lambda who: accounts.set_password(who, "bob", "another long password"),
}


@pytest.mark.parametrize("who", ["an administrator", "the command line"])
@pytest.mark.parametrize("operation", ADMINISTRATION)
def test_administrators_and_the_command_line_administer_and_nobody_else(
    ana: Session, operation: str, who: str
) -> None:
    def state() -> str:
        with reading() as connection:
            return str([connection.execute(select(table)).all() for table in (account, role_grant)])

    nora = sign_in("nora", Role.ADMINISTRATOR)
    accounts.add_account(OPERATOR, "zoe", "Zoe Example", PASSWORD)
    accounts.disable(OPERATOR, "zoe")
    before = state()
    with pytest.raises(NotAllowed, match="lacks the role Administrator"):
        ADMINISTRATION[operation](ana.principal)
    with pytest.raises(NotSignedIn):
        ADMINISTRATION[operation](Principal(None, "operator"))
    assert state() == before
    assert [event.actor for event in events("denied")] == ["Ana Example", "operator"]
    ADMINISTRATION[operation](nora if who == "an administrator" else OPERATOR)
    assert state() != before


def administrator(login: str) -> Principal:
    """One who signs in with a password."""
    accounts.add_account(OPERATOR, login, f"{login.title()} Example", PASSWORD)
    accounts.grant(OPERATOR, login, Role.ADMINISTRATOR)
    return session(accounts.sign_in(login, PASSWORD, HERE)).principal


LOCKING_OUT: dict[str, Callable[[Principal, str], None]] = {
    "revoking": lambda who, login: accounts.revoke(who, login, Role.ADMINISTRATOR),
    "disabling": accounts.disable,
}


@pytest.mark.parametrize("way", LOCKING_OUT)
def test_nobody_locks_the_last_administrator_out(people: None, way: str) -> None:
    nora = administrator("nora")
    # None of these could take over: one has no password, one is disabled, one has lost the role.
    sign_in("no_password", Role.ADMINISTRATOR)
    for login in ("disabled", "revoked"):
        administrator(login)
    accounts.disable(nora, "disabled")
    accounts.revoke(nora, "revoked", Role.ADMINISTRATOR)
    for who in (nora, OPERATOR):
        with pytest.raises(LastAdministrator, match=r"nora is the last account .* somebody else"):
            LOCKING_OUT[way](who, "nora")
    accounts.disable(nora, "no_password")
    accounts.grant(nora, "bob", Role.ADMINISTRATOR)
    LOCKING_OUT[way](nora, "nora")
    with pytest.raises(LastAdministrator):
        LOCKING_OUT[way](OPERATOR, "bob")
    with pytest.raises((NotAllowed, NotSignedIn)):
        accounts.grant(nora, "nora", SYNC)


def test_the_demo_keeps_an_administrator_too(database: Database) -> None:
    with owned():
        make_demo(records=20)
    with pytest.raises(LastAdministrator):
        accounts.disable(OPERATOR, "administrator")


@pytest.mark.parametrize("way", LOCKING_OUT)
def test_two_administrators_at_once_do_not_lock_each_other_out(people: None, way: str) -> None:
    pair = {login: administrator(login) for login in ("nora", "nils")}
    for _ in range(5):
        start = threading.Barrier(2)

        def strike(who: str, whom: str, start: threading.Barrier = start) -> str:
            start.wait()
            try:
                LOCKING_OUT[way](pair[who], whom)
            except SynchistError as error:
                return type(error).__name__
            return "done"

        with ThreadPoolExecutor(2) as pool:
            outcomes = sorted(pool.map(strike, ("nora", "nils"), ("nils", "nora")))
        assert outcomes in (["NotAllowed", "done"], ["NotSignedIn", "done"])
        with reading() as connection:
            left = [
                row.login
                for row in accounts.list_accounts(connection)
                if Role.ADMINISTRATOR in row.roles and row.disabled_at is None
            ]
        assert len(left) == 1
        for login in {"nora", "nils"} - set(left):
            accounts.enable(OPERATOR, login)
            with suppress(RoleUnchanged):
                accounts.grant(OPERATOR, login, Role.ADMINISTRATOR)
            pair[login] = session(accounts.sign_in(login, PASSWORD, "192.0.2.8")).principal


def test_what_somebody_grants_to_themselves_is_marked(people: None) -> None:
    nora = administrator("nora")
    accounts.grant(nora, "nora", Role.AUDIT)
    accounts.grant(nora, "bob", Role.AUDIT)
    accounts.grant(nora, "nora", SYNC)
    accounts.revoke(nora, "nora", SYNC)
    with reading() as connection:
        rows = {row.login: row for row in accounts.list_accounts(connection)}
        own = accounts.own_grants(connection)
    marks = {grant.role: (grant.by, grant.own) for grant in rows["nora"].grants}
    assert marks == {
        Role.ADMINISTRATOR: ("cli:operator", False),
        Role.AUDIT: ("Nora Example", True),
    }
    assert [(one.by, one.own) for one in rows["bob"].grants] == [("Nora Example", False)]
    # Also what was given back meanwhile.
    assert [(one.login, one.role, one.until is None) for one in own] == [
        ("nora", SYNC, False),
        ("nora", Role.AUDIT, True),
    ]
    assert [event.detail for event in events("role_granted")][-3:] == [
        "Audit to nora, to oneself",
        "Audit to bob",
        "Accounting Sync to nora, to oneself",
    ]


def test_a_disabled_account_can_be_enabled_again(people: None) -> None:
    token = accounts.sign_in("ana", PASSWORD, HERE)
    accounts.disable(OPERATOR, "ana")
    assert attempt("ana", PASSWORD) == "SignInFailed"
    accounts.enable(OPERATOR, "ana")
    assert accounts.session_of(token) is None  # what was ended stays so
    found = session(accounts.sign_in("ana", PASSWORD, HERE))
    assert found.roles == {SYNC}
    assert [event.detail for event in events("account_enabled")] == ["ana"]


def test_the_list_says_who_was_here(people: None) -> None:
    before = utc_now()
    accounts.sign_in("ana", PASSWORD, HERE)
    accounts.sign_in("ana", PASSWORD, HERE)
    with reading() as connection:
        seen = {row.login: row.last_sign_in for row in accounts.list_accounts(connection)}
        latest = connection.scalar(select(func.max(auth_session.c.created_at)))
    assert seen["ana"] == latest
    assert seen["ana"] >= before
    assert (seen["bob"], seen["vic"]) == (None, None)


def test_administration_is_recorded(people: None) -> None:
    accounts.revoke(OPERATOR, "vic", Role.HIDE_EXPORT)
    accounts.set_password(OPERATOR, "Bob", "another long password")
    accounts.disable(OPERATOR, "bob")
    recorded = {
        kind: [tuple(event) for event in events(kind)][-1]
        for kind in (
            "account_added",
            "role_granted",
            "role_revoked",
            "password_set",
            "account_disabled",
        )
    }
    assert recorded == {
        "account_added": (None, "cli:operator", "bob"),
        "role_granted": (None, "cli:operator", "Hide Export To Excel to vic"),
        "role_revoked": (None, "cli:operator", "Hide Export To Excel from vic"),
        "password_set": (None, "cli:operator", "bob"),
        "account_disabled": (None, "cli:operator", "bob"),
    }


def test_revoking_keeps_the_grant_as_history(people: None) -> None:
    accounts.revoke(OPERATOR, "ana", SYNC)
    accounts.grant(OPERATOR, "ana", SYNC)
    with reading() as connection:
        grants = connection.execute(
            select(role_grant.c.until_at, role_grant.c.granted_by)
            .where(role_grant.c.account_id == 1)
            .order_by(role_grant.c.id)
        ).all()
    assert [(row.until_at is None, row.granted_by) for row in grants] == [
        (False, "cli:operator"),
        (True, "cli:operator"),
    ]


@pytest.mark.parametrize(
    ("login", "name", "password", "error"),
    [
        ("ana", "Ana Example", PASSWORD, AccountExists),
        (" ANA ", "Ana Example", PASSWORD, AccountExists),
        ("", "Ana Example", PASSWORD, InvalidAccount),
        ("cli:root", "Ana Example", PASSWORD, InvalidAccount),
        ("two words", "Ana Example", PASSWORD, InvalidAccount),
        ("line\nbreak", "Ana Example", PASSWORD, InvalidAccount),
        ("müller", "Ana Example", PASSWORD, InvalidAccount),
        ("x" * 201, "Ana Example", PASSWORD, InvalidAccount),
        ("eve", "  ", PASSWORD, InvalidAccount),
        ("eve", "Two\nlines", PASSWORD, InvalidAccount),
        ("eve", "x" * 201, PASSWORD, InvalidAccount),
        ("eve", "Eve Example", "eleven char", InvalidAccount),
        ("eve", "Eve Example", "x" * 1_001, InvalidAccount),
    ],
)
def test_an_account_that_can_not_be_is_refused(
    people: None, login: str, name: str, password: str, error: type[SynchistError]
) -> None:
    with pytest.raises(error) as refusal:
        accounts.add_account(OPERATOR, login, name, password)
    assert password not in str(refusal.value)
    with reading() as connection:
        assert len(accounts.list_accounts(connection)) == 3


def test_unknown_accounts_and_roles_that_do_not_change_are_said(people: None) -> None:
    with pytest.raises(UnknownAccount, match="nobody"):
        accounts.grant(OPERATOR, "nobody", SYNC)
    with pytest.raises(RoleUnchanged, match="holds the role Accounting Sync already"):
        accounts.grant(OPERATOR, "ana", SYNC)
    with pytest.raises(RoleUnchanged, match="does not hold the role Accounting Sync"):
        accounts.revoke(OPERATOR, "bob", SYNC)


def test_the_list_shows_who_holds_what(people: None) -> None:
    accounts.revoke(OPERATOR, "ana", SYNC)
    accounts.disable(OPERATOR, "bob")
    with reading() as connection:
        rows = accounts.list_accounts(connection)
    assert [(row.login, row.roles, row.disabled_at is not None) for row in rows] == [
        ("ana", (), False),
        ("bob", (), True),
        ("vic", (SYNC, Role.HIDE_EXPORT), False),
    ]


def test_generated_passwords_are_long_enough_and_differ(people: None) -> None:
    passwords = {accounts.generated_password() for _ in range(20)}
    assert len(passwords) == 20
    accounts.set_password(OPERATOR, "bob", passwords.pop())
