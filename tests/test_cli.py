"""The command line: what an administrator types, reads and can't get wrong."""

import getpass
import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import openpyxl
import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import func, make_url, select, text

from synchist import accounts, cli, export
from synchist.accounts import SignInFailed
from synchist.cli import main
from synchist.db.engine import reading, writing
from synchist.db.prepare import is_current, is_demo
from synchist.db.tables import ENTITY_TABLES, access_event, account, invoice, organization
from synchist.db.triggers import broken_triggers
from synchist.entities import BY_SLUG, ENTITIES, INVOICES, Entity
from synchist.filters import NOBODY, Filters, Window, today
from synchist.loading import records as loading
from synchist.roles import Role
from synchist.statuses import SyncStatus
from tests.conftest import ROOT, SQLITE, Database, configured, owned
from tests.world import World, build

HERE = "192.0.2.7"
SHOWN = re.compile(r"^Password, shown only now: (\S+)$", re.MULTILINE)


def run(*arguments: str, typed: str | None = None) -> Result:
    """A command in this process. Whatever it raises is the test's failure, except an exit."""
    result = CliRunner().invoke(main, arguments, input=typed)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def done(*arguments: str) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def refused(*arguments: str) -> str:
    """The one line that says why a command was not carried out."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    return result.stderr.strip()


def process(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own, as an administrator runs it."""
    return subprocess.run(
        [sys.executable, "-m", "synchist", *arguments],
        cwd=ROOT,
        env={**os.environ, "SYNCHIST_DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of a test log to; made with the first entry."""
    path = tmp_path_factory.mktemp("log") / "data" / "commands.log"
    monkeypatch.setattr(cli, "LOG", path)
    return path


@pytest.fixture
def ada(database: Database) -> str:
    """An account that was added at the command line; its password."""
    found = SHOWN.search(done("users", "add", "ada", "--name", "Ada Analyst"))
    assert found
    return found[1]


def typing(monkeypatch: pytest.MonkeyPatch, *entries: str) -> None:
    """What is typed, unseen, at the prompts for a password."""
    remaining = iter(entries)
    monkeypatch.setattr(getpass, "getpass", lambda _prompt: next(remaining))


# ---------------------------------------------------------------- help


def test_help_lists_the_commands() -> None:
    said = done("--help")
    for name in main.commands:
        assert re.search(rf"^  {name} +[A-Z]", said, re.MULTILINE), name
    assert set(main.commands) >= {"run", "demo", "db", "users", "load", "export"}


@pytest.mark.parametrize(
    ("group", "names"),
    [
        ("db", {"check", "upgrade"}),
        ("users", {"add", "disable", "enable", "grant", "list", "password", "revoke"}),
    ],
)
def test_help_of_a_group_lists_its_commands(group: str, names: set[str]) -> None:
    said = done(group, "--help")
    assert names <= set(re.findall(r"^  ([a-z]+) +[A-Z]", said, re.MULTILINE))


def test_an_unknown_command_is_one_sentence_and_the_usage() -> None:
    result = run("uesrs")
    assert result.exit_code == 2
    assert "No such command 'uesrs'" in result.stderr


# ---------------------------------------------------------------- people


def test_an_added_account_signs_in_with_the_password_shown(database: Database, ada: str) -> None:
    assert len(ada) >= 20
    session = accounts.session_of(accounts.sign_in("ada", ada, HERE))
    assert session is not None
    assert (session.name, session.roles) == ("Ada Analyst", frozenset())


def test_a_password_is_shown_once_and_kept_as_a_hash(database: Database, ada: str) -> None:
    assert ada not in done("users", "list")
    with reading() as connection:
        stored = connection.scalar(select(account.c.password_hash))
        details = connection.scalars(select(access_event.c.detail)).all()
    assert str(stored).startswith("$argon2id$")
    assert not any(ada in detail for detail in details)


@pytest.mark.parametrize("command", ["add", "password"])
def test_a_password_is_never_an_argument(command: str) -> None:
    """It would stand in the shell's history and in every list of processes."""
    named = ("--name", "Ada") if command == "add" else ()
    for option in ("--password", "--pass", "-p"):
        result = run("users", command, "ada", *named, option, "a long enough password")
        assert result.exit_code == 2
        assert "No such option" in result.stderr
    result = run("users", command, "ada", *named, "a long enough password")
    assert "unexpected extra argument" in result.stderr


def test_a_password_can_be_typed_unseen(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    typing(monkeypatch, "correct horse battery", "correct horse battery")
    assert done("users", "add", "ben", "--name", "Ben", "--prompt") == "Added ben.\n"
    assert accounts.sign_in("ben", "correct horse battery", HERE)


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        (("correct horse battery", "correct horse bakery"), "The two passwords differ."),
        (("short", "short"), "A password has at least 12 characters."),
    ],
)
def test_a_typed_password_that_is_rejected(
    database: Database, monkeypatch: pytest.MonkeyPatch, entries: tuple[str, str], why: str
) -> None:
    typing(monkeypatch, *entries)
    assert refused("users", "add", "ben", "--name", "Ben", "--prompt").startswith(why)
    with reading() as connection:
        assert accounts.list_accounts(connection) == []


def test_a_name_that_is_not_given_is_asked_for(database: Database) -> None:
    result = run("users", "add", "ben", typed="Ben Broker\n")
    assert result.exit_code == 0
    assert result.stdout.startswith("Name: ")
    assert "ben: Ben Broker; no role\n" in done("users", "list")


def test_roles_are_granted_and_revoked(database: Database, ada: str) -> None:
    token = accounts.sign_in("ada", ada, HERE)

    def roles() -> frozenset[Role]:
        session = accounts.session_of(token)
        assert session is not None
        return session.roles

    said = done("users", "grant", "ada", "Accounting Sync")
    assert said == "ada now holds Accounting Sync.\n"
    assert roles() == {Role.ACCOUNTING_SYNC}
    done("users", "grant", "ada", "hide export to excel")
    assert roles() == {Role.ACCOUNTING_SYNC, Role.HIDE_EXPORT}
    said = done("users", "revoke", "ada", "accounting sync")
    assert said == "ada no longer holds Accounting Sync.\n"
    assert roles() == {Role.HIDE_EXPORT}


def test_roles_can_be_granted_right_away(database: Database) -> None:
    done(
        *("users", "add", "ben", "--name", "Ben"),
        *("--role", "Accounting Sync", "--role", "Hide Export To Excel"),
    )
    said = done("users", "list")
    assert said == "ben: Ben; Accounting Sync, Hide Export To Excel\n"


def test_the_list_says_who_may_what(database: Database, ada: str) -> None:
    done("users", "add", "ben", "--name", "Ben", "--role", "Accounting Sync")
    done("users", "add", "cleo", "--name", "Cleo", "--role", "Hide Export To Excel")
    done("users", "disable", "cleo")
    assert done("users", "list").splitlines() == [
        "ada: Ada Analyst; no role",
        "ben: Ben; Accounting Sync",
        "cleo (disabled): Cleo; Hide Export To Excel",
    ]


def test_a_disabled_account_is_out_at_once(database: Database, ada: str) -> None:
    token = accounts.sign_in("ada", ada, HERE)
    assert done("users", "disable", "ada") == "Disabled ada.\n"
    assert accounts.session_of(token) is None
    with pytest.raises(SignInFailed):
        accounts.sign_in("ada", ada, HERE)
    assert done("users", "enable", "ada") == "Enabled ada.\n"
    assert accounts.sign_in("ada", ada, HERE)


def test_the_last_administrator_stays(database: Database, ada: str) -> None:
    done("users", "grant", "ada", "Administrator")
    for arguments in (("disable", "ada"), ("revoke", "ada", "Administrator")):
        assert refused("users", *arguments) == (
            "ada is the last account that can sign in and administer accounts. Grant the role"
            " Administrator to somebody else first."
        )


def test_a_new_password_ends_the_sessions_of_the_old_one(database: Database, ada: str) -> None:
    token = accounts.sign_in("ada", ada, HERE)
    found = SHOWN.search(done("users", "password", "ada"))
    assert found
    assert found[1] != ada
    assert accounts.session_of(token) is None
    with pytest.raises(SignInFailed):
        accounts.sign_in("ada", ada, HERE)
    assert accounts.sign_in("ada", found[1], HERE)


def test_what_is_done_at_the_command_line_is_recorded_as_such(database: Database, ada: str) -> None:
    done("users", "grant", "ada", "Accounting Sync")
    done("users", "disable", "ada")
    of = access_event.c
    with reading() as connection:
        recorded = connection.execute(select(of.kind, of.actor, of.detail).order_by(of.id)).all()
    who = f"cli:{getpass.getuser()}"
    assert recorded == [
        ("account_added", who, "ada"),
        ("role_granted", who, "Accounting Sync to ada"),
        ("account_disabled", who, "ada"),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("grant", "nobody", "Accounting Sync"),
        ("revoke", "nobody", "Accounting Sync"),
        ("disable", "nobody"),
        ("enable", "nobody"),
        ("password", "nobody"),
    ],
    ids=lambda arguments: arguments[0],
)
def test_an_unknown_login(database: Database, arguments: tuple[str, ...]) -> None:
    assert refused("users", *arguments) == (
        "There is no account 'nobody'. See them with: python -m synchist users list"
    )


def test_what_can_not_be_done_is_one_line(database: Database, ada: str) -> None:
    done("users", "grant", "ada", "Accounting Sync")
    assert "holds the role Accounting Sync already" in refused(
        "users", "grant", "ada", "Accounting Sync"
    )
    assert "does not hold the role" in refused("users", "revoke", "ada", "Hide Export To Excel")
    assert "exists already" in refused("users", "add", "ADA", "--name", "Another Ada")
    assert "A login has up to 200 letters" in refused("users", "add", "a:b", "--name", "Colon")
    assert done("users", "list") == "ada: Ada Analyst; Accounting Sync\n"


def test_an_unknown_role_is_refused_with_the_ones_there_are(database: Database, ada: str) -> None:
    for arguments in (
        ("grant", "ada", "Emperor"),
        ("revoke", "ada", "Emperor"),
        ("add", "ben", "--name", "Ben", "--role", "Emperor"),
    ):
        result = run("users", *arguments)
        assert result.exit_code == 2
        for role in Role:
            assert f"'{role.value.lower()}'" in result.stderr.lower()
    assert done("users", "list") == "ada: Ada Analyst; no role\n"


# ---------------------------------------------------------------- the database


@pytest.mark.owner
def test_the_demo_fills_an_empty_database(database: Database) -> None:
    done("demo", "--records", "80", "--seed", "3")
    with reading() as connection:
        records = [
            connection.scalar(select(func.count()).select_from(table)) for table in ENTITY_TABLES
        ]
        assert is_demo(connection)
    assert sum(filter(None, records)) == 80


@pytest.mark.owner
def test_the_demo_is_never_made_among_other_data(database: Database, world: World) -> None:
    result = run("demo", "--records", "80")
    assert result.exit_code == 2
    assert re.fullmatch(r"This database is .*in use.*empty database\.\n", result.stderr)
    with reading() as connection:
        assert not is_demo(connection)
        assert accounts.list_accounts(connection) == []


@pytest.mark.parametrize("records", ["0", "-5", "many"])
def test_a_demo_of_nothing(database: Database, records: str) -> None:
    result = run("demo", "--records", records)
    assert result.exit_code == 2
    assert "--records" in result.stderr
    with reading() as connection:
        assert not is_demo(connection)


def test_upgrade_puts_the_triggers_back(database: Database) -> None:
    with owned():
        assert done("db", "upgrade") == "The database is up to date.\n"
    of = "" if database.dialect == SQLITE else " ON invoice"
    name = "invoice_guard_delete" if database.dialect == SQLITE else "a_guard_delete"
    with owned(), writing() as connection:
        connection.execute(text(f"DROP TRIGGER {name}{of}"))
        assert broken_triggers(connection)
    with owned():
        done("db", "upgrade")
    with reading() as connection:
        assert broken_triggers(connection) == set()


@pytest.fixture(params=["sqlite", "postgresql"])
def nothing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database that nobody has made ready."""
    if request.param == SQLITE:
        yield f"sqlite:///{tmp_path / 'new' / 'folder' / 'synchist.db'}"
        return
    server = request.getfixturevalue("postgresql_server")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE nothing")
        yield make_url(server).set(database="nothing").render_as_string(hide_password=False)
        connection.execute("DROP DATABASE nothing WITH (FORCE)")


def test_upgrade_makes_a_database_ready(nothing: str) -> None:
    with configured(nothing):
        assert done("db", "upgrade") == "The database is up to date.\n"
        with reading() as connection:
            assert is_current(connection)
            assert broken_triggers(connection) == set()


def test_people_are_added_to_a_database_that_is_ready(nothing: str) -> None:
    """An embedded one is made on the way; elsewhere it says which command comes first."""
    with configured(nothing):
        if nothing.startswith("sqlite"):
            assert done("users", "list") == ""
            done("users", "add", "ada", "--name", "Ada")
            assert done("users", "list") == "ada: Ada; no role\n"
        else:
            for arguments in (("list",), ("add", "ada", "--name", "Ada"), ("disable", "ada")):
                assert refused("users", *arguments).endswith("python -m synchist db upgrade")


@pytest.mark.tampered
def test_check_says_what_is_wrong_and_repairs_nothing(database: Database) -> None:
    assert done("db", "check") == "The database is up to date and keeps the history.\n"
    of = "" if database.dialect == SQLITE else " ON invoice"
    name = "invoice_guard_delete" if database.dialect == SQLITE else "a_guard_delete"
    with owned(), writing() as connection:
        connection.execute(text(f"DROP TRIGGER {name}{of}"))
    for _ in range(2):
        said = refused("db", "check")
        assert re.fullmatch(
            rf".*1 triggers are missing.*{name}.*python -m synchist db upgrade", said
        )


def test_check_finds_a_database_that_is_behind(database: Database) -> None:
    with owned(), writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert refused("db", "check").endswith("python -m synchist db upgrade")


def test_check_makes_no_database(nothing: str, tmp_path: Path) -> None:
    with configured(nothing):
        assert refused("db", "check")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- load

CSV = """number,payer,billing_organization,currency,amount,manager
1042,Bluebird Foods,Harbor Point Chicago,USD,1234.50,Ada
1043,Nobody,Harbor Point Chicago,USD,1234.50,Ben
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """Two invoices, one of them of an unknown payer."""
    path = tmp_path / "invoices.csv"
    path.write_text(CSV)
    return str(path)


def invoices() -> int:
    with reading() as connection:
        return connection.scalar(select(func.count()).select_from(invoice)) or 0


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.slug)
@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_an_example_is_written_and_loads(
    sqlite_database: Database, tmp_path: Path, entity: Entity, suffix: str
) -> None:
    kind, path = entity.slug.replace("_", "-"), str(tmp_path / f"example.{suffix}")
    assert done("load", kind, "--template", path) == f"Wrote {path}.\n"
    assert "is there already" in refused("load", kind, "--template", path)
    assert done("load", kind, "--template", path, "--force") == f"Wrote {path}.\n"
    assert done("load", kind, path, "--create-organizations") == (
        f"Loaded 3 {entity.plural}: 3 created, 0 updated, 0 unchanged.\n"
    )


def test_an_example_needs_no_database(tmp_path: Path) -> None:
    """And makes none."""
    path = tmp_path / "example.csv"
    ended = process(
        *("load", "bills", "--template", str(path)), url=f"sqlite:///{tmp_path / 'synchist.db'}"
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == [path]


def test_refused_rows_are_listed_and_nothing_is_loaded(
    database: Database, world: World, file: str
) -> None:
    before = invoices()
    for options in ((), ("--dry-run",)):
        result = run("load", "invoices", file, *options)
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.splitlines() == [
            "line 3: there is no organization “Nobody”; make it with --create-organizations",
            "Nothing is loaded: 1 of 2 rows are refused. Correct them, or load the others with"
            " --skip-refused.",
        ]
    assert invoices() == before


def test_the_others_are_loaded_where_that_is_wanted(
    database: Database, world: World, file: str
) -> None:
    before = invoices()
    result = run("load", "invoices", file, "--skip-refused")
    assert (result.exit_code, result.stderr.count("\n")) == (0, 1)
    assert result.stderr.startswith("line 3: ")
    assert result.stdout.splitlines() == [
        "Columns that are not loaded: manager.",
        "Loaded 1 invoice: 1 created, 0 updated, 0 unchanged. Refused rows: 1.",
    ]
    assert invoices() == before + 1


def test_a_dry_run_of_a_load_writes_nothing(database: Database, world: World, file: str) -> None:
    before = invoices()
    said = done("load", "invoices", file, "--create-organizations", "--dry-run")
    assert said.splitlines()[-1] == (
        "Nothing is written. This would load 2 invoices: 2 created, 0 updated, 0 unchanged."
    )
    with reading() as connection:
        names = connection.scalars(select(organization.c.name)).all()
    assert invoices() == before
    assert "Nobody" not in names


def test_an_older_outcome_is_said(database: Database, world: World, tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    head, row, _ = CSV.splitlines()
    path.write_text(f"{head},tms_id,sync_status\n{row},INV-T6,Pending\n")
    said = done("load", "invoices", str(path))
    assert "Sync columns left out for 1 invoice: the outcome known is later" in said


def test_what_can_not_be_loaded_at_all_is_one_line(sqlite_database: Database, file: str) -> None:
    assert "lacks the column vendor" in refused("load", "bills", file)
    assert "No such file" in refused("load", "bills", f"{file}.gone")
    result = run("load", "bills")
    assert result.exit_code == 2
    assert "Name one file" in result.stderr
    result = run("load", "receipts", file)
    assert result.exit_code == 2
    assert "invoice-payments" in result.stderr


@pytest.mark.owner
def test_the_demo_is_not_loaded_into(database: Database, file: str) -> None:
    done("demo", "--records", "40")
    before = invoices()
    assert refused("load", "invoices", file).startswith("This database holds the demo.")
    assert invoices() == before


# ---------------------------------------------------------------- export


def cells(content: bytes) -> list[tuple[object, ...]]:
    sheet = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
    return list(sheet.iter_rows(values_only=True))


@pytest.mark.parametrize(
    ("options", "filters"),
    [
        ("", Filters()),
        ("--status complete --differs", Filters(SyncStatus.COMPLETE, differs=True)),
        ("--status pending", Filters(SyncStatus.PENDING)),
        ("--search INV-2001 --currency USD", Filters(search="INV-2001", currency="USD")),
        ("--party 100%_Fresh", Filters(party="100% Fresh_Produce")),
        ("--owner -", Filters(owner=NOBODY)),
        (
            "--from 2000-01-01 --to 2100-01-01",
            Filters(window=Window.CUSTOM, start=date(2000, 1, 1), end=date(2100, 1, 1)),
        ),
        ("--from 2000-01-01", Filters(window=Window.ALL)),
        (
            "--to 2020-12-31",
            Filters(window=Window.CUSTOM, start=date(2000, 1, 1), end=date(2020, 12, 31)),
        ),
    ],
)
def test_an_export_is_what_the_list_shows(
    sqlite_database: Database, tmp_path: Path, options: str, filters: Filters
) -> None:
    with writing() as connection:
        build(connection)
    arguments = ["100% Fresh_Produce" if word == "100%_Fresh" else word for word in options.split()]
    out = tmp_path / "out.xlsx"
    said = done("export", "invoices", *arguments, "--out", str(out))
    assert said.startswith(f"Wrote {out}: {filters.status.label} invoices · ")
    _, content = export.workbook(accounts.Principal.command_line("tests"), INVOICES, filters)
    assert cells(out.read_bytes()) == cells(content)


@pytest.mark.parametrize("slug", BY_SLUG)
def test_every_kind_is_exported(
    database: Database, world: World, tmp_path: Path, slug: str
) -> None:
    out = tmp_path / "out.xlsx"
    done("export", slug.replace("_", "-"), "--out", str(out))
    numbers = {row[0] for row in cells(out.read_bytes())}
    assert {"Number", "100%_OFF"} < numbers
    with reading() as connection:
        kinds = connection.execute(select(access_event.c.kind, access_event.c.actor)).all()
    assert [tuple(row) for row in kinds] == [("export", f"cli:{getpass.getuser()}")]


def test_an_export_replaces_nothing_unless_forced(
    sqlite_database: Database, tmp_path: Path
) -> None:
    out = tmp_path / "out.xlsx"
    out.write_text("precious")
    assert refused("export", "bills", "--out", str(out)) == (
        f"{out} is there already. Choose another name, or replace it: --force"
    )
    assert out.read_text() == "precious"
    done("export", "bills", "--out", str(out), "--force")
    assert cells(out.read_bytes())
    gone = tmp_path / "none" / "out.xlsx"
    assert refused("export", "bills", "--out", str(gone)) == (
        f"{gone} can't be written: No such file or directory."
    )


def test_an_export_of_what_is_not_there_is_refused(
    sqlite_database: Database, tmp_path: Path
) -> None:
    """An empty file would look like an answer."""
    out = str(tmp_path / "out.xlsx")
    assert "no vendor “Nobody”" in refused("export", "bills", "--out", out, "--party", "Nobody")
    assert "no currency “usd”" in refused("export", "bills", "--out", out, "--currency", "usd")
    assert "no owner “nobody”" in refused("export", "bills", "--out", out, "--owner", "nobody")
    for options, why in (
        (("--status", "pending", "--from", "2026-01-01"), "no date range"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), "lies after"),
        (("--from", str(today()), "--to", "01.02.2026"), "--to"),
        (("--status", "broken"), "--status"),
    ):
        result = run("export", "bills", "--out", out, *options)
        assert result.exit_code == 2
        assert why in result.stderr
    assert not Path(out).exists()


# ---------------------------------------------------------------- errors


def test_an_error_that_was_not_foreseen_is_one_line_with_an_id(
    sqlite_database: Database, file: str, monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(loading, "load", fail)
    result = run("load", "invoices", file)
    assert (result.exit_code, result.stdout) == (1, "")
    said = re.fullmatch(r"Something went wrong.* error id: ([0-9a-f]{8})\. .*\n", result.stderr)
    assert said
    assert "secret" not in result.stderr
    (entry,) = map(json.loads, log.read_text().splitlines())
    assert entry["error_id"] == said[1]
    assert "ZeroDivisionError: secret detail" in entry["exception"]


def test_where_no_log_can_be_written_the_terminal_has_it(
    sqlite_database: Database, file: str, monkeypatch: pytest.MonkeyPatch, log: Path
) -> None:
    log.parent.write_text("a file where the folder should be")
    monkeypatch.setattr(loading, "load", lambda *_arguments, **_options: 1 / 0)
    result = run("load", "invoices", file)
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.stderr.splitlines()[0]


# ---------------------------------------------------------------- serving


def test_a_port_in_use_is_said_before_anything_is_done(tmp_path: Path) -> None:
    """In a process of its own, since `run` would become the server."""
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = process("run", "--port", str(port), url=f"sqlite:///{tmp_path / 'synchist.db'}")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"Port {port} is in use by another program. Stop it, or take another port:"
        f" make run PORT={port + 1}\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("port", ["0", "-1", "65536", "http"])
def test_a_port_that_is_none(port: str, tmp_path: Path) -> None:
    ended = process("run", "--port", port, url=f"sqlite:///{tmp_path / 'synchist.db'}")
    assert ended.returncode == 2
    assert "Invalid value for '--port'" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_can_not_be_reached_is_one_sentence(log: Path) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: every connection is refused
        port = nobody.getsockname()[1]
        with configured(f"postgresql://nobody@127.0.0.1:{port}/none"):
            said = refused("users", "list")
    assert said.startswith("The database can't be reached right now.")
    (entry,) = map(json.loads, log.read_text().splitlines())
    assert (entry["level"], entry["event"]) == ("warning", "database unavailable")
