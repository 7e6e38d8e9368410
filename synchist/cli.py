"""The command line: `python -m synchist --help`."""

import getpass
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import wraps
from pathlib import Path
from secrets import token_hex
from threading import Event
from time import monotonic
from typing import Any

import click
import structlog

from synchist import (
    accounts,
    demo,
    diagnosis,
    digest,
    export,
    problems,
    queries,
    sealing,
)
from synchist.accounts import Principal
from synchist.child import UnreadableFile
from synchist.db.engine import DatabaseUnavailable, reading
from synchist.db.grants import grants_script
from synchist.db.prepare import check, prepare, upgrade
from synchist.demo import live
from synchist.diagnosis import ANY, SYSTEMS, Diagnosis, diagnose
from synchist.entities import BY_KEY, ENTITIES, Entity
from synchist.errors import SynchistError
from synchist.filters import EARLIEST, Filters, Window, today
from synchist.loading import records as loading
from synchist.reconciliation.reading import read as read_report
from synchist.reconciliation.report import Unmapped, exact
from synchist.roles import Role
from synchist.settings import PROJECT, settings
from synchist.statuses import SyncStatus

LOG = PROJECT / "data" / "commands.log"
"""Where commands log what went wrong; the terminal gets one sentence."""

log = structlog.get_logger()

KINDS = {entity.slug.replace("_", "-"): entity for entity in ENTITIES}
"""What records are called on the command line: `invoice-payments`."""

DIAGNOSED_FOR_A_DIGEST = 10_000
"""So many new failures of each kind are diagnosed before a digest is written."""

KIND = click.Choice(list(KINDS))
STATUSES = click.Choice([status.label for status in SyncStatus], case_sensitive=False)
DAY = click.DateTime(["%Y-%m-%d"])
FILE = click.Path(path_type=Path)

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


class FileInTheWay(SynchistError):
    """There is a file of that name already."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already. Choose another name, or replace it: --force")


class FileNotWritten(SynchistError):
    """A file can't be written."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} can't be written: {error.strerror}.")


class UnknownName(SynchistError):
    """A filter names what is not there; an empty file would look like an answer."""

    def __init__(self, label: str, value: str) -> None:
        super().__init__(f"There is no {label} “{value}”. Write it exactly as the pages show it.")


class RowsRefused(SynchistError):
    """A load that writes nothing, since some rows can't be loaded."""

    def __init__(self, refused: int, rows: int) -> None:
        super().__init__(
            f"Nothing is loaded: {refused:,} of {rows:,} rows are refused. Correct them, or load"
            " the others with --skip-refused."
        )


class FileNotRead(SynchistError):
    """A file can't be read."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(f"{path} can't be read: {error.strerror}.")


class NotJsonLines(SynchistError):
    """A file of messages can't be read."""

    def __init__(self, path: Path, line: int) -> None:
        super().__init__(
            f"Line {line} of {path.name} is not a JSON object. Each line needs one, with a message."
        )


def _one_line(function: Callable[..., None]) -> Callable[..., None]:
    """An error is one line: an expected one its sentence, with exit code 2; any other an id that
    finds its traceback in the log, with exit code 1."""

    @wraps(function)
    def guarded(*args: Any, **options: Any) -> None:
        try:
            function(*args, **options)
        except SynchistError as error:
            click.echo(str(error), err=True)
            sys.exit(2)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            identity = token_hex(4)
            log.error("unexpected error of a command", error_id=identity, exc_info=error)
            click.echo(
                f"Something went wrong that was not foreseen. Tell support this error id:"
                f" {identity}. The log is in {LOG}.",
                err=True,
            )
            sys.exit(1)

    return guarded


@contextmanager
def _logging() -> Iterator[None]:
    """Log into a file while a command runs: what it says on the terminal is for people."""
    before = structlog.get_config()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=_log_file,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _log_file(*_names: Any) -> Any:
    """Opened with the first entry only; where there may be no file, the terminal has to do."""
    try:
        LOG.parent.mkdir(exist_ok=True)
        return structlog.PrintLogger(LOG.open("a", encoding="utf-8"))
    except OSError:
        return structlog.PrintLogger(sys.stderr)


def _when_ready(function: Callable[..., None]) -> Callable[..., None]:
    """The same for a command on a database that is ready, or says how to make it so."""

    @wraps(function)
    def prepared(*args: Any, **options: Any) -> None:
        prepare()
        function(*args, **options)

    return _one_line(prepared)


def _principal() -> Principal:
    return Principal.command_line(getpass.getuser())


@click.group(epilog="Exit codes: 0 done, 1 an error that was not foreseen, 2 refused.")
@click.pass_context
def main(context: click.Context) -> None:
    """Accounting sync history: what failed, why, and what to do."""
    context.with_resource(_logging())


@main.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=8501,
    show_default=True,
    help="Where to listen.",
)
@click.option("--jobs", is_flag=True, help="Let simulated sync jobs work beside it, on a demo.")
@_one_line
def run(port: int, jobs: bool) -> None:
    """Prepare the database, make the demo if nothing is configured yet, and serve the pages."""
    _free(port)
    prepare()
    if not settings().database_url and _untouched():
        click.echo("No database is configured: making a demo with made-up data.")
        _make_demo(20_000, 1)
    if jobs:
        live.refuse_what_is_no_demo()
        _start_jobs()
    click.echo(f"Synchist serves on http://localhost:{port}  (stop it with Ctrl+C)")
    sys.stdout.flush()
    os.chdir(PROJECT)
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port)]
    os.execv(sys.executable, command)  # noqa: S606  (no shell, fixed program)


def _start_jobs() -> None:
    """Simulated jobs in a process of their own, which ends with this one: what this one becomes
    keeps its id. What they do shows on the pages, so the server's output is left to the server."""
    subprocess.Popen(  # noqa: S603  (no shell, fixed program)
        [sys.executable, "-m", "synchist", "simulate-jobs", "--parent", str(os.getpid())],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


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


@main.command(name="simulate-jobs")
@click.option("--seconds", type=click.FloatRange(min=0), help="End after so many; else by Ctrl+C.")
@click.option("--seed", type=int, help="The same seed draws the same chances.")
@click.option(
    "--pause",
    type=click.FloatRange(min=0),
    default=live.USUAL.pause_seconds,
    show_default=True,
    help="Seconds between two rounds.",
)
@click.option("--parent", type=int, hidden=True, help="End with the process of this id.")
@_when_ready
def simulate_jobs(
    seconds: float | None, seed: int | None, pause: float, parent: int | None
) -> None:
    """Let made-up sync jobs go on working on a demo, as docs/jobs.md has it."""
    stop, pace = Event(), live.Pace(pause_seconds=pause)
    end = None if seconds is None else monotonic() + seconds
    with _asked_to_end() as asked, ThreadPoolExecutor(1) as pool:
        working = pool.submit(live.simulate, stop, pace, seed, _tell_round)
        while not wait([working], timeout=0.2).done:
            orphaned = parent is not None and os.getppid() != parent
            if asked() or orphaned or (end is not None and monotonic() >= end):
                stop.set()
    click.echo(f"In all {working.result()}")


@contextmanager
def _asked_to_end() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl+C or SIGTERM has come; neither breaks off what is in hand."""
    asked: list[int] = []

    def note(number: int, _frame: object) -> None:
        asked.append(number)  # and no more: a handler may come while a lock is held

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell_round(report: live.Report) -> None:
    if report.attempted:
        click.echo(f"{datetime.now(settings().zone):%H:%M:%S} {report}")


@main.group()
def db() -> None:
    """Look after the database."""


@db.command(name="upgrade")
@_one_line
def db_upgrade() -> None:
    """Bring the database to what this version needs, and put its triggers in place."""
    upgrade()
    click.echo("The database is up to date.")


@db.command(name="check")
@_one_line
def db_check() -> None:
    """Say whether the database is current and keeps the history; changes nothing."""
    check()
    click.echo("The database is up to date and keeps the history.")


@db.command(name="grants")
@click.option("--application", default="synchist", show_default=True, help="The product's role.")
@click.option("--jobs", default="synchist_jobs", show_default=True, help="The sync jobs' role.")
@click.option("--tms", default="synchist_tms", show_default=True, help="The TMS's role.")
@_one_line
def db_grants(application: str, jobs: str, tms: str) -> None:
    """Print SQL that makes the roles of a PostgreSQL database; give it to psql as the owner."""
    click.echo(grants_script(application, jobs, tms), nl=False)


@main.group()
def audit() -> None:
    """Make it show if somebody alters the history."""


@audit.command(name="seal")
@_when_ready
def audit_seal() -> None:
    """Seal what has been written since the last seal; the server does so every minute."""
    with click.progressbar(length=sealing.backlog(), label="Sealing") as bar:
        count, newest = sealing.seal_all(bar.update)
    if not newest.number:
        click.echo("There is no history yet, so there is nothing to seal.")
        return
    click.echo(f"{count:,} seals set. The newest is seal {newest.number:,}: {newest.hash}")


@audit.command(name="verify")
@click.option(
    "--since-anchor",
    "anchors",
    type=FILE,
    help="The seal file or a log of the server: the chain must hold all its seals.",
)
@_when_ready
def audit_verify(anchors: Path | None) -> None:
    """Say whether the history is what was sealed, or name the first place where it is not."""
    known = sealing.read_anchors(anchors) if anchors else None
    with click.progressbar(length=sealing.covered(), label="Verifying") as bar:
        whole = sealing.verify(known, bar.update)
    click.echo(
        f"The history is whole: {whole.rows:,} rows under {whole.newest.number:,} seals, the last"
        f" one {whole.newest.told}. Not sealed yet: {whole.unsealed:,}."
    )
    if known is None:
        click.echo(
            "Whoever owns the database could have made the whole chain anew. Compare it with what"
            " is kept elsewhere: --since-anchor FILE (docs/assurance.md)."
        )
        return
    click.echo(f"All {len(known.known):,} seals in {known.file} are in the chain.")
    for line in known.broken:
        click.echo(f"Line {line:,} of {known.file} can't be read as a seal.")


@main.command()
@click.argument("kind", type=KIND)
@click.argument("file", type=FILE, required=False)
@click.option("--template", type=FILE, help="Write an example that loads: .csv or .xlsx.")
@click.option("--dry-run", is_flag=True, help="Say what would be loaded, and write nothing.")
@click.option("--skip-refused", is_flag=True, help="Load the other rows where some are refused.")
@click.option(
    "--create-organizations", is_flag=True, help="Make the organizations that are not there yet."
)
@click.option("--force", is_flag=True, help="Replace an example that is there already.")
@_one_line
def load(kind: str, file: Path | None, template: Path | None, force: bool, **options: bool) -> None:
    """Create or update records from a csv or xlsx file.

    A record is found by its tms_id, else by what tells it apart: docs/loading.md. Where any row is
    refused, nothing is loaded.
    """
    entity = KINDS[kind]
    if (file is None) == (template is None):
        raise click.UsageError("Name one file: the one to load, or a --template to write.")
    if template is not None:
        _write(template, loading.template(entity, template), force)
        click.echo(f"Wrote {template}.")
    elif file is not None:
        prepare()
        report = loading.load(_principal(), entity, file, **options)
        for refusal in report.refused:
            click.echo(f"line {refusal.line}: {refusal.reason}", err=True)
        if report.refused and not options["skip_refused"]:
            raise RowsRefused(len(report.refused), report.rows)
        _tell(entity, report)


def _tell(entity: Entity, report: loading.Report) -> None:
    if report.ignored:
        click.echo(f"Columns that are not loaded: {', '.join(report.ignored)}.")
    if report.outdated:
        click.echo(
            f"Sync columns left out for {entity.count(report.outdated)}: the outcome known is later"
            " than the one in the file."
        )
    click.echo(
        f"{'Loaded' if report.written else 'Nothing is written. This would load'}"
        f" {entity.count(report.rows - len(report.refused))}: {report.created:,} created,"
        f" {report.updated:,} updated, {report.unchanged:,} unchanged."
        + (f" Refused rows: {len(report.refused):,}." if report.refused else "")
    )


@main.command(name="export")
@click.argument("kind", type=KIND)
@click.option("--out", type=FILE, required=True, help="The Excel file to write.")
@click.option("--status", type=STATUSES, default="Failed", show_default=True, help="Sync status.")
@click.option(
    "--from",
    "start",
    type=DAY,
    metavar="YYYY-MM-DD",
    help="First day; without any days, the past month.",
)
@click.option("--to", "end", type=DAY, metavar="YYYY-MM-DD", help="Last day, included.")
@click.option("--search", default="", help="As on the page: numbers or names.")
@click.option("--party", help="Payer or vendor, by name.")
@click.option("--currency", help="Three letters.")
@click.option("--owner", help="The login of whoever looks after them; - means nobody.")
@click.option("--differs", is_flag=True, help="Only where the synced amount differs.")
@click.option("--force", is_flag=True, help="Replace a file that is there already.")
@_when_ready
def export_command(
    kind: str, out: Path, force: bool, status: str, start: datetime, end: datetime, **other: Any
) -> None:
    """Write what a list shows to an Excel file."""
    entity = KINDS[kind]
    of = SyncStatus[status.upper()]
    filters = Filters(of, **_window(of, start, end), **other)
    _free_name(out, force)
    _known(entity, filters)
    _, content = export.workbook(_principal(), entity, filters)
    _write(out, content, force)
    click.echo(f"Wrote {out}: {filters.sentence(entity)}.")


def _window(status: SyncStatus, start: datetime | None, end: datetime | None) -> dict[str, Any]:
    """The days as filters have them; an open end reaches as far as there can be records."""
    if start is None and end is None:
        return {}
    if status is SyncStatus.PENDING:
        raise click.UsageError("Pending records have no date range: leave --from and --to out.")
    first = start.date() if start else EARLIEST
    last = end.date() if end else today()
    if first > last:
        raise click.UsageError(f"--from {first} lies after --to {last}.")
    return {"window": Window.CUSTOM, "start": first, "end": last}


def _known(entity: Entity, filters: Filters) -> None:
    with reading() as connection:
        known = queries.choices(connection, entity)
    labels = {"party": entity.party_label.lower(), "currency": "currency", "owner": "owner"}
    for name, label in labels.items():
        value = getattr(filters, name)
        if value is not None and value not in known[name]:
            raise UnknownName(label, value)


def _free_name(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise FileInTheWay(path)


def _write(path: Path, content: bytes, force: bool) -> None:
    """A new file; nothing that is there is replaced, unless forced."""
    try:
        with path.open("wb" if force else "xb") as file:
            file.write(content)
    except FileExistsError:
        raise FileInTheWay(path) from None
    except OSError as error:
        raise FileNotWritten(path, error) from None


@main.command(name="digest")
@click.option(
    "--since",
    default="yesterday",
    show_default=True,
    metavar="MOMENT",
    help="yesterday, today, week, YYYY-MM-DD or YYYY-MM-DDTHH:MM, in the business time zone.",
)
@click.option(
    "--by",
    type=click.Choice([by.value for by in digest.By]),
    default=digest.By.ENTITY.value,
    show_default=True,
    help="What the numbers are told apart by.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "html"]),
    default="text",
    show_default=True,
    help="A plain text, or one document for a mail.",
)
@click.option(
    "--stuck-days",
    type=click.IntRange(1, 3650),
    default=7,
    show_default=True,
    help="Failed for more than so many days counts as stuck.",
)
@_when_ready
def digest_command(since: str, by: str, form: str, stuck_days: int) -> None:
    """Say what failed, what is stuck and what came back since a moment; for cron and mail."""
    moment = digest.moment_of(since)
    with suppress(DatabaseUnavailable):  # what is not diagnosed yet is said to be so
        for _ in range(DIAGNOSED_FOR_A_DIGEST // problems.BATCH):
            if not problems.catch_up():
                break
    found = digest.load(_principal(), moment, digest.By(by), stuck_days)
    told = digest.as_html(found) if form == "html" else digest.as_text(found)
    click.echo(told, nl=False)


@main.command(name="rediagnose")
@_when_ready
def rediagnose_command() -> None:
    """Diagnose again what an earlier catalogue of rules has diagnosed, and whatever is new.

    Needed after an upgrade that changes the rules. Works in small batches beside jobs and people.
    """
    done = problems.rediagnose(_count)
    noun = "record" if done == 1 else "records"
    click.echo(f"Diagnosed {done:,} {noun} with the catalogue {diagnosis.version()}.")


def _count(done: int) -> None:
    """How far it is, where somebody watches."""
    if sys.stderr.isatty():
        click.echo(f"\r{done:,} records", nl=False, err=True)


@main.command(name="diagnose")
@click.argument("message", required=False)
@click.option(
    "--system",
    type=click.Choice([*SYSTEMS, "network", "other", ANY]),
    default=ANY,
    help="The accounting system that answered.",
)
@click.option("--code", default=ANY, help="The code stored beside the message.")
@click.option("--entity", type=click.Choice([*BY_KEY, ANY]), default=ANY)
@click.option(
    "--jsonl", "file", type=FILE, help="Explain a file of JSON objects, one a line, as JSON."
)
@_one_line
def diagnose_command(
    message: str | None, system: str, code: str, entity: str, file: Path | None
) -> None:
    """Explain a MESSAGE of an accounting system, and say what to do. Needs no database.

    Objects of --jsonl hold id, message, system, code and entity; all but message may be missing.
    """
    if (message is None) is (file is None):
        raise click.UsageError("Give either a message or --jsonl with a file.")
    if file is not None:
        _explain_file(file)
        return
    found = diagnose(message, system, None if code == ANY else code, entity)
    click.echo(f"{found.cause.label} ({found.cause})")
    click.echo(found.explanation)
    for number, step in enumerate(found.steps, 1):
        click.echo(f"  {number}. {step}")
    click.echo(f"Retry: {found.retry}. {found.retry.sentence}")


@main.command(name="read-export")
@click.argument("file", type=FILE)
@click.option("--entity", "kind", type=KIND, required=True, help="What to look for in it.")
@click.option("--json", "as_json", is_flag=True, help="Everything, with the documents, as JSON.")
@_one_line
def read_export(file: Path, kind: str, as_json: bool) -> None:
    """Read a report exported from the accounting system, as the page Reconcile does."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UnreadableFile(f"{file} can't be read: {error.strerror}.") from None
    try:
        report = read_report(file.name, content, KINDS[kind].key)
    except Unmapped as error:
        raise UnreadableFile(f"{error} Say which on the page Reconcile.") from None
    if as_json:
        click.echo(json.dumps(report.told(), ensure_ascii=False, indent=1))
        return
    of = " of ".join(filter(None, (report.report or "An unnamed report", report.system)))
    click.echo(f"{of}: {report.coverage.value}{f', {report.period}' if report.period else ''}")
    click.echo(
        f"{report.rows_read:,} rows read, {report.used:,} used for"
        f" {KINDS[kind].count(len(report.documents))}, {exact(report.documents_total)} in all"
    )
    for reason, number in report.skipped.items():
        click.echo(f"{number:>9,}  {reason}")
    for warning in report.warnings:
        click.echo(warning)


def _explain_file(path: Path) -> None:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise FileNotRead(path, error) from error
    except UnicodeDecodeError as error:
        raise NotJsonLines(path, error.object.count(b"\n", 0, error.start) + 1) from error
    for number, line in enumerate(lines, 1):
        if line.strip():
            click.echo(json.dumps(_explained(path, number, line)))


def _explained(path: Path, number: int, line: str) -> dict[str, object]:
    """A line's answer. What is missing, empty or of another type counts as unknown."""
    try:
        asked = json.loads(line)
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise NotJsonLines(path, number)

    def told(name: str) -> str:
        value = asked.get(name)
        return "" if value is None or value == ANY else str(value)

    found: Diagnosis = diagnose(
        told("message"), told("system") or ANY, told("code"), told("entity") or ANY
    )
    return {
        "id": asked.get("id"),
        "cause": found.cause,
        "explanation": found.explanation,
        "steps": found.steps,
        "retry": found.retry,
    }


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


@users.command()
@click.argument("login")
@_when_ready
def enable(login: str) -> None:
    """Let a disabled account sign in again, with its roles."""
    accounts.enable(_principal(), login)
    click.echo(f"Enabled {login}.")


@users.command(name="list")
@_when_ready
def list_users() -> None:
    """List the accounts and their roles."""
    with reading() as connection:
        for account in accounts.list_accounts(connection):
            roles = ", ".join(sorted(account.roles)) or "no role"
            state = " (disabled)" if account.disabled_at else ""
            click.echo(f"{account.login}{state}: {account.name}; {roles}")
