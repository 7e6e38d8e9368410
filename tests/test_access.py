"""T9. Who may do what, by every way there is: each row of `access.csv` is tried as it stands.

An answer is `allowed`, `not signed in`, `not allowed` or `led to their own page`; blank where there
is no such way. After a change of the table write the page anew:
`python -m tests.test_access > docs/access.md`.
"""

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, update
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import InvalidStatus

from synchist import accounts, audit, digest, export, hints, queries, receipts, triage
from synchist.accounts import NotAllowed, NotSignedIn, Principal, viewing
from synchist.closed_books import set_lock_date
from synchist.closing import signing
from synchist.closing.state import Close, Unit, first_of, load_closes
from synchist.closing.workbook import workbook as closed
from synchist.db.engine import reading, writing
from synchist.db.tables import access_event, auth_session, operation, team_hint, triage_event
from synchist.db.types import utc_now
from synchist.entities import BILLS, INVOICES
from synchist.filters import Filters, today
from synchist.history import load_record
from synchist.loading import records as loading
from synchist.reconciliation import decisions, saved, workbook
from synchist.reconciliation.mappings import remember
from synchist.reconciliation.matching import Bucket, Scope
from synchist.reconciliation.report import Coverage, Reading
from synchist.roles import Role
from synchist.status_changes import Change, change_status, undo
from synchist.statuses import SyncStatus
from tests.conftest import ROOT, Database, configured, sign_in
from tests.reconciliation.desk import compare as reconcile
from tests.reconciliation.desk import day, like, place, report
from tests.ui.protocol import Tab, edits
from tests.ui.stage import Stage
from tests.world import World, noon

ALLOWED, NOT_SIGNED_IN, NOT_ALLOWED = "allowed", "not signed in", "not allowed"
OWN_PAGE = "led to their own page"
OPERATOR = Principal.command_line("operator")

with Path(__file__).with_name("access.csv").open(newline="") as file:
    TABLE = list(csv.DictReader(file))
PRINCIPALS = [name for name in TABLE[0] if name not in ("operation", "way")]


def rows(way: str) -> Any:
    """The rows of a way as parameters: operation, and the answer for each principal."""
    return pytest.mark.parametrize(
        ("operation", "answers"),
        [
            pytest.param(
                row["operation"],
                {who: row[who] for who in PRINCIPALS if row[who]},
                id=row["operation"],
            )
            for row in TABLE
            if row["way"] == way
        ],
    )


# ---------------------------------------------------------------- people

ROLES = {
    "visitor": (),
    "analyst": (Role.ACCOUNTING_SYNC,),
    "controller": (Role.ACCOUNTING_SYNC, Role.CLOSE, Role.HINTS),
    "viewer": (Role.ACCOUNTING_SYNC, Role.HIDE_EXPORT),
    "auditor": (Role.AUDIT,),
    "administrator": (Role.ADMINISTRATOR,),
}
HOLDERS = {
    Role.ACCOUNTING_SYNC: ROLES["controller"],
    Role.AUDIT: ROLES["auditor"],
    Role.ADMINISTRATOR: ROLES["administrator"],
}
"""Who holds a role and will lose it."""
AUDITED = {"open Audit", "read the audit log", "export the audit log"}
ADMINISTERED = {
    "open Accounts",
    "add an account",
    "grant a role",
    "revoke a role",
    "disable an account",
    "enable an account",
    "set a password",
}
_numbers = count(1)


@dataclass(frozen=True)
class Person:
    """One of the table's principals. What takes a right away does so in `change`, so that it can
    happen while a tab is open."""

    kind: str
    principal: Principal
    change: Callable[[], object] = lambda: None

    @property
    def token(self) -> str:
        """What stands in the session cookie."""
        return self.principal.session_id or "no-such-token"

    @property
    def denials(self) -> int:
        """How often this person was refused, as recorded."""
        with reading() as connection:
            found = connection.scalar(
                select(func.count())
                .select_from(access_event)
                .where(
                    access_event.c.kind == "denied",
                    access_event.c.actor == self.principal.login.capitalize(),
                )
            )
        return found or 0


def role_for(operation: str) -> Role:
    """What those hold who lose their session, account or role."""
    if operation in AUDITED:
        return Role.AUDIT
    return Role.ADMINISTRATOR if operation in ADMINISTERED else Role.ACCOUNTING_SYNC


def person(kind: str, role: Role = Role.ACCOUNTING_SYNC) -> Person:
    """A new account of its own for each row, so that no row disturbs another."""
    if kind == "nobody":
        return Person(kind, Principal(None, "nobody"))
    if kind == "command line":
        return Person(kind, OPERATOR)
    login = f"person{next(_numbers)}"
    who = sign_in(login, *ROLES.get(kind, HOLDERS[role]))

    def end_session() -> None:
        with writing() as connection:
            connection.execute(
                update(auth_session)
                .where(auth_session.c.id == who.session_id)
                .values(ended_at=utc_now())
            )

    changes: dict[str, Callable[[], object]] = {
        "session ended": end_session,
        "account disabled": lambda: accounts.disable(OPERATOR, login),
        "role revoked": lambda: accounts.revoke(OPERATOR, login, role),
    }
    return Person(kind, who, changes.get(kind, lambda: None))


def check(who: Person, answer: str, got: str, data: bool) -> None:
    """What is refused returns no data, and whoever is signed in is recorded."""
    assert got == answer, f"{who.kind}: {got}, should be {answer}"
    assert data == (answer == ALLOWED), f"{who.kind}: data {'came' if data else 'did not come'}"
    if answer == NOT_ALLOWED:
        assert who.denials >= 1, f"{who.kind}: not recorded"


# ---------------------------------------------------------------- the functions

Operation = Callable[[Principal, World, Path], object]


def _list(who: Principal, world: World, folder: Path) -> object:
    with viewing(who, Role.ACCOUNTING_SYNC, "list invoices") as (connection, _):
        return len(queries.load(connection, INVOICES, Filters()))


def _read(who: Principal, world: World, folder: Path) -> object:
    with viewing(who, Role.ACCOUNTING_SYNC, "open invoice") as (connection, _):
        return load_record(connection, INVOICES, world.invoice["failed"])


def _select_all(who: Principal, world: World, folder: Path) -> object:
    with viewing(who, Role.ACCOUNTING_SYNC, "select invoices") as (connection, _):
        return queries.selectable(connection, INVOICES, Filters())


def _change(who: Principal, world: World, folder: Path) -> object:
    record = world.invoice["failed"]
    with reading() as connection:
        of = INVOICES.table.c
        version = connection.scalar(select(of.version).where(of.id == record)) or 0
    selection = {"invoice": {record: version}}
    return change_status(who, str(uuid4()), selection, Change(SyncStatus.PENDING)).applied


def _own(who: Principal, world: World, folder: Path) -> object:
    record = world.invoice["failed"]
    with reading() as connection:
        now = triage.told(connection, INVOICES, [record]).get(record, triage.Told())
    edit = triage.Edit(now.version, None, f"Note {next(_numbers)}")
    return triage.assign(who, INVOICES, {record: edit}).versions


def _receipts(who: Principal, world: World, folder: Path) -> object:
    with viewing(who, Role.ACCOUNTING_SYNC, "read receipts") as (connection, _):
        return receipts.latest(connection)


def _undo(who: Principal, world: World, folder: Path) -> object:
    """One of the operations that the world begins with, each once."""
    of, later = operation.c, operation.alias().c
    with reading() as connection:
        newest = connection.scalars(
            select(of.id).where(
                of.undoes.is_(None), ~select(later.id).where(later.undoes == of.id).exists()
            )
        ).first()
    return undo(who, str(uuid4()), newest or "", {}).applied


def _export(who: Principal, world: World, folder: Path) -> object:
    return export.workbook(who, INVOICES, Filters())[1]


def _load(who: Principal, world: World, folder: Path) -> object:
    file = folder / "invoices.csv"
    file.write_text(
        "number,party,billing_organization,currency,amount\n"
        f"L-{next(_numbers)},Bluebird Foods,Harbor Point Chicago,USD,10.00\n"
    )
    return loading.load(who, INVOICES, file).written


PASSWORD = "a long enough password"


def _add_account(who: Principal, world: World, folder: Path) -> object:
    login = f"added{next(_numbers)}"
    accounts.add_account(who, login, "Somebody", PASSWORD)
    return login


def _administer(change: Callable[[Principal, str], None], *roles: Role) -> Operation:
    """A change of an account that holds these roles."""

    def administer(who: Principal, world: World, folder: Path) -> object:
        login = f"changed{next(_numbers)}"
        sign_in(login, *roles)
        change(who, login)
        return True

    return administer


def _read_log(who: Principal, world: World, folder: Path) -> object:
    with viewing(who, Role.AUDIT, "read the audit log") as (connection, _):
        return len(audit.load(connection, audit.Asked(), 10))


def _export_log(who: Principal, world: World, folder: Path) -> object:
    return export.audit_log(who, audit.Asked())[1]


def _compare(who: Principal, world: World, folder: Path) -> object:
    return reconcile(who, world, [like(world, "failed")])


def _reconciled(world: World) -> tuple[str, int]:
    """A reconciliation of somebody else's, and where a failed invoice stands in it."""
    identity = reconcile(OPERATOR, world, [like(world, "failed", reference="")])
    return identity, place(identity, world.invoice["failed"])


def _open_reconciliation(who: Principal, world: World, folder: Path) -> object:
    identity, _ = _reconciled(world)
    with viewing(who, Role.ACCOUNTING_SYNC, "open a reconciliation") as (connection, _):
        return len(saved.lines(connection, saved.opened(connection, identity)))


def _confirm(who: Principal, world: World, folder: Path) -> object:
    identity, at = _reconciled(world)
    return decisions.confirm(who, identity, {at: at})


def _accept(who: Principal, world: World, folder: Path) -> object:
    """One of the records that nobody has accepted yet."""
    still_open = ("failed", "failed_twice", "failed_old", "pending_again")
    identity = reconcile(OPERATOR, world, [like(world, story) for story in still_open])
    with reading() as connection:
        still = saved.lines(connection, saved.opened(connection, identity), Bucket.STATUS)
    return decisions.accept(who, str(uuid4()), identity, [int(still.index[0])]).applied


def _teach(who: Principal, world: World, folder: Path) -> object:
    remember(who, "invoice", ["Wann"], Reading())
    return True


def _close_books(who: Principal, world: World, folder: Path) -> object:
    set_lock_date(who, world.connection["QuickBooks US"], today())
    return True


def _export_reconciliation(who: Principal, world: World, folder: Path) -> object:
    return workbook.workbook(who, _reconciled(world)[0])[1]


def _signed_off(who: Principal, world: World) -> Close:
    """A month of somebody's, signed off."""
    month = first_of(noon(90).date())
    unit = Unit(
        month, world.organization["Harbor Point Chicago"], world.connection["QuickBooks US"]
    )
    with reading() as connection:
        standing = [one for one in load_closes(connection, month) if one.stands]
        seen = signing.exceptions(connection, unit)
    if standing:
        return standing[0]
    return signing.sign_off(who, str(uuid4()), unit, "", seen)


def _sign_off(who: Principal, world: World, folder: Path) -> object:
    close = _signed_off(who, world)
    return signing.reopen(OPERATOR, close.id, "For the next one")


def _reopen(who: Principal, world: World, folder: Path) -> object:
    return signing.reopen(who, _signed_off(OPERATOR, world).id, "To look again")


def _export_close(who: Principal, world: World, folder: Path) -> object:
    return closed(who, first_of(noon(90).date()))[1]


def _hint(who: Principal, world: World, folder: Path) -> object:
    return hints.write(who, hints.Subject(named=f"Customer {next(_numbers)}"), "Ask Dana", 0)


FUNCTIONS: dict[str, Operation] = {
    "list records": _list,
    "read a record": _read,
    "select all that match": _select_all,
    "change sync status": _change,
    "own a record": _own,
    "read receipts": _receipts,
    "undo an operation": _undo,
    "make a digest": lambda who, world, file: digest.as_text(
        digest.load(who, digest.moment_of("week"))
    ),
    "export to Excel": _export,
    "compare a file": _compare,
    "open a reconciliation": _open_reconciliation,
    "confirm what belongs together": _confirm,
    "accept what the books hold": _accept,
    "say how a file is read": _teach,
    "export a reconciliation": _export_reconciliation,
    "sign a month off": _sign_off,
    "reopen a month": _reopen,
    "export a month's close": _export_close,
    "say when the books are closed": _close_books,
    "write a hint": _hint,
    "load records": _load,
    "add an account": _add_account,
    "grant a role": _administer(lambda who, login: accounts.grant(who, login, Role.CLOSE)),
    "revoke a role": _administer(
        lambda who, login: accounts.revoke(who, login, Role.CLOSE), Role.CLOSE
    ),
    "disable an account": _administer(accounts.disable),
    "enable an account": _administer(accounts.enable),
    "set a password": _administer(lambda who, login: accounts.set_password(who, login, PASSWORD)),
    "read the audit log": _read_log,
    "export the audit log": _export_log,
}


@rows("function")
def test_functions(
    database: Database, world: World, tmp_path: Path, operation: str, answers: dict[str, str]
) -> None:
    # Who is refused comes first: some of what may be done can be done a few times only.
    for kind, answer in sorted(answers.items(), key=lambda one: one[1] == ALLOWED):
        who = person(kind, role_for(operation))
        who.change()
        before = _written()
        try:
            data = bool(FUNCTIONS[operation](who.principal, world, tmp_path))
            got = ALLOWED
        except NotSignedIn:
            got, data = NOT_SIGNED_IN, False
        except NotAllowed:
            got, data = NOT_ALLOWED, False
        check(who, answer, got, data)
        if answer != ALLOWED:
            assert _written() == before


def _written() -> list[int | None]:
    """How many operations, edits and hints there are: what is refused leaves none."""
    with reading() as connection:
        return [
            connection.scalar(select(func.count()).select_from(table))
            for table in (operation, triage_event, team_hint)
        ]


# ---------------------------------------------------------------- the pages' addresses

RECONCILED = "5b0c7a52-6f0e-4a4e-9a55-000000000005"
"""The reconciliation in the database behind the server."""

PATHS = {
    "open Overview": "/",
    "open Invoices": "/invoices",
    "open Invoice Payments": "/invoice_payments?invoice_payments_status=Pending",
    "open Bills": "/bills",
    "open Bill Payments": "/bill_payments",
    "open Causes": "/causes",
    "open Trends": "/trends",
    "open Reconcile": "/reconcile",
    "open Close": "/close",
    "open Connections": "/connections",
    "open Operations": "/operations",
    "open Record": "/record?entity=invoices&id=1",
    "open Audit": "/audit",
    "open Accounts": "/accounts",
    "export the audit log": "/export/audit.xlsx",
    "export to Excel": "/export/invoices.xlsx",
    "export a reconciliation": f"/export/reconciliation/{RECONCILED}.xlsx",
    "export a month's close": "/export/close.xlsx?month=2026-10",
}


@pytest.fixture(scope="module")
def reconciled(served: str) -> None:
    """A reconciliation of all invoices of a connection with a report that has none of them."""
    with configured(served):
        saved.compare(
            OPERATOR, report([]), 1, Scope(Coverage.UNKNOWN, day(400), day(0)), identity=RECONCILED
        )


@rows("page")
def test_pages(
    server: str, served: str, reconciled: None, operation: str, answers: dict[str, str]
) -> None:
    with configured(served):
        for kind, answer in answers.items():
            who = person(kind, role_for(operation))
            who.change()
            with httpx.Client(base_url=server) as browser:
                browser.cookies.set("synchist_session", who.token)
                reply = browser.get(PATHS[operation])
                check(who, answer, *_answered(browser, reply))


def _answered(browser: httpx.Client, reply: httpx.Response) -> tuple[str, bool]:
    """The answer of a route, and whether it came with a page or a file."""
    if reply.status_code == httpx.codes.SEE_OTHER:
        assert reply.content == b""
        if reply.headers["location"] in ("/audit", "/accounts"):
            return OWN_PAGE, False
        assert reply.headers["location"].startswith("/sign-in?next=/")
        said = browser.get(reply.headers["location"]).text
        return (
            NOT_ALLOWED if "is signed in but has no access to" in said else NOT_SIGNED_IN
        ), False
    if reply.status_code == httpx.codes.FORBIDDEN:
        assert "may not export" in reply.text
        return NOT_ALLOWED, reply.content.startswith(b"PK")
    assert reply.status_code == httpx.codes.OK
    return ALLOWED, len(reply.content) > 500


# ---------------------------------------------------------------- the protocol

Steps = Iterator[None]
"""What a tab does. It pauses before the step that counts: then rights are taken away."""


def _open(tab: Tab) -> Steps:
    yield
    tab.run()


def _again(tab: Tab) -> Steps:
    tab.run()
    yield
    tab.run()


def _click_number(tab: Tab) -> Steps:
    tab.run()
    click = WidgetState(id=tab.grid().button_click_widgets["number"])
    click.string_trigger_value.data = '{"row": 0, "label": "?"}'
    yield
    tab.run(click)


def _select_matching(tab: Tab) -> Steps:
    tab.run()
    tab.run(_click(tab, "Select all"))
    every = _click(tab, next(label for label in _labels(tab) if "that match" in label))
    yield
    tab.run(every)


def _apply(tab: Tab) -> Steps:
    tab.run()
    ticked = edits(tab.grid(), {"0": {"Select": True}})
    tab.run(ticked)
    tab.run(ticked, _click(tab, "Send back to Pending"))
    apply = tab.applying()
    yield
    tab.run(ticked, *apply)


def _note(tab: Tab) -> Steps:
    tab.run()
    noted = edits(tab.grid(), {"0": {"note": f"Note {next(_numbers)}"}})
    yield
    tab.run(noted)


def _note_record(tab: Tab) -> Steps:
    tab.run()
    (note,) = (field for field in tab.all("text_input") if field.label == "Note")
    typed = WidgetState(id=note.id, string_value=f"Note {next(_numbers)}")
    save = _click(tab, "Save")
    yield
    tab.run(typed, save)


def _change_record(tab: Tab) -> Steps:
    tab.run()
    tab.run(_click(tab, "Send back to Pending"))
    apply = tab.applying()
    yield
    tab.run(*apply)


def _act_on_cause(tab: Tab) -> Steps:
    tab.run()
    tab.run(_click(tab, "Fixed it: …"))
    apply = tab.applying()
    yield
    tab.run(*apply)


def _write_hint(tab: Tab) -> Steps:
    tab.run()
    tab.run(_click(tab, "Write a hint for …"))
    field = WidgetState(id=tab.all("text_area")[0].id, string_value="Ask Dana first")
    save = _click(tab, "Save hint")
    yield
    tab.run(field, save)


def _take_back(tab: Tab) -> Steps:
    tab.run()
    tab.run(_click(tab, "Undo"))
    apply = _click(tab, "Take back …")
    yield
    tab.run(apply)


def _labels(tab: Tab) -> list[str]:
    return [e.button.label for e in tab.elements if e.WhichOneof("type") == "button"]


def _click(tab: Tab, label: str) -> WidgetState:
    return WidgetState(id=tab.button(label).id, trigger_value=True)


def _press(label: str, otherwise: str) -> Callable[[Tab], Steps]:
    """Click a button of the page, or the one that stands there once it was clicked."""

    def press(tab: Tab) -> Steps:
        tab.run()
        click = _click(tab, label if label in _labels(tab) else otherwise)
        yield
        tab.run(click)

    return press


def _set_password(tab: Tab) -> Steps:
    tab.run()
    tab.run(_click(tab, "Set password"))
    _page, dialog = (one for one in tab.all("button") if one.label == "Set password")
    apply = WidgetState(id=dialog.id, trigger_value=True)
    generate = WidgetState(id=tab.all("checkbox")[-1].id, bool_value=True)
    yield
    tab.run(generate, apply)


COMPLETE = "invoices_status=Complete&invoices_range=All+dates&invoices_rows=100+rows+a+page"
PENDING_ALL = "invoice_payments_status=Complete&invoice_payments_range=All+dates"


def _of(login: str) -> str:
    """The address of an account on its page."""
    return urlencode({"accounts_account": f"{login.capitalize()} ({login})"})


def _without(words: str) -> str:
    """That an account is shown, of which these words are not said."""
    return rf"(?s)\A(?!.*{words}).*Added \d"


TABS: dict[str, tuple[str, str, Callable[[Tab], Steps], str]] = {
    # operation: page, query, what is done, a pattern that stands on the page if it was done
    "open Overview": ("", "", _open, r"Overview"),
    "open Invoices": ("invoices", "", _open, r"\d failed invoices"),
    "open Invoice Payments": ("invoice_payments", PENDING_ALL, _open, r"\d complete invoice pay"),
    "open Bills": ("bills", "", _open, r"\d failed bill"),
    "open Bill Payments": ("bill_payments", "", _open, r"\d failed bill pay"),
    "open Causes": ("causes", "", _open, r"problems explain \d"),
    "open Trends": ("trends", "", _open, r"Success rate"),
    "open Reconcile": ("reconcile", "", _open, r"What the books really hold"),
    "open a reconciliation": ("reconcile", f"id={RECONCILED}", _open, r"transactions\.csv"),
    "open Close": ("close", "", _open, r"\d records? blocks? the close"),
    "open Connections": ("connections", "", _open, r"The connection is down"),
    "open Operations": ("operations", "", _open, r"1 bill moved to"),
    "open Record": ("record", "entity=invoices&id=1", _open, r"Sync status"),
    "list records": ("invoices", "", _again, r"\d failed invoices"),
    "read a record": ("invoices", "", _click_number, r"Sync status"),
    "select all that match": ("invoices", COMPLETE, _select_matching, r"\d\d\d selected"),
    "change sync status": ("invoices", "", _apply, r"1 invoice moved to"),
    "own a record": ("bills", "", _note, r"\d failed bills"),
    "own from a record": ("record", "entity=invoices&id=1", _note_record, r"· note “Note \d+”"),
    "change from a record": ("record", "entity=invoices&id=1", _change_record, r"invoice moved to"),
    "act on a cause": ("causes", "", _act_on_cause, r"moved to"),
    "undo an operation": ("operations", "", _take_back, r"taken back"),
    "open Audit": ("audit", "", _open, r"Who did what"),
    "open Accounts": ("accounts", "", _open, r"Who may sign in"),
    "grant a role": (
        "accounts",
        _of("granted"),
        _press("Grant Close", "Revoke Close"),
        r"Since .*, by Person\d",
    ),
    "revoke a role": (
        "accounts",
        _of("revoked"),
        _press("Revoke Close", "Grant Close"),
        _without("Since "),
    ),
    "disable an account": (
        "accounts",
        _of("disabled"),
        _press("Disable", "Enable"),
        r"badge\[Disabled\]",
    ),
    "enable an account": (
        "accounts",
        _of("enabled"),
        _press("Enable", "Disable"),
        _without(r"Disabled\]"),
    ),
    "set a password": ("accounts", _of("keyless"), _set_password, _without("no password")),
    "write a hint": ("causes", "", _write_hint, r"Ask Dana first"),
}
_DATA = re.compile(r"\d (failed|complete|pending)|\d\.\d\d (USD|CAD)|selected|moved to|taken back")


@pytest.fixture(scope="module")
def changed(served: str) -> None:
    """A change for each principal who takes one back."""
    stage = Stage(served)
    for record in stage.failed(BILLS, len(PRINCIPALS)):
        stage.change([record], Change(SyncStatus.PENDING))


@pytest.fixture(scope="module")
def targets(served: str) -> None:
    """Accounts to change."""
    with configured(served):
        for login in ("granted", "revoked", "disabled", "enabled", "keyless"):
            sign_in(login, *((Role.CLOSE,) if login == "revoked" else ()))
        accounts.disable(OPERATOR, "enabled")


@rows("protocol")
def test_protocol(
    server: str,
    served: str,
    changed: None,
    reconciled: None,
    targets: None,
    operation: str,
    answers: dict[str, str],
) -> None:
    page, query, steps, done = TABS[operation]
    sent: list[tuple[WidgetState, ...]] = []
    with configured(served):
        for kind, answer in sorted(answers.items(), key=lambda one: one[1] != ALLOWED):
            who = person(kind, role_for(operation))
            before = _written()
            try:
                tab = Tab(server, page, token=who.token, query=query)
            except InvalidStatus:
                # Both refusals close alike; only that of somebody who is signed in is recorded.
                check(who, answer, NOT_ALLOWED if who.denials else NOT_SIGNED_IN, data=False)
                continue
            with tab:
                if answer == NOT_ALLOWED and kind != "role revoked":
                    # Who never had the page has nothing to click, and sends what another has sent.
                    for states in sent:
                        tab.run(*states)
                else:
                    doing = steps(tab)
                    next(doing)
                    who.change()
                    next(doing, None)
                check(who, answer, *_shown(tab, done))
                sent = tab.sent if answer == ALLOWED else sent
            if answer != ALLOWED:
                assert _written() == before


def _shown(tab: Tab, done: str) -> tuple[str, bool]:
    """What the page has answered, and whether it shows any data."""
    said = tab.said()
    kinds = {element.WhichOneof("type") for element in tab.elements}
    data = bool(_DATA.search(said)) or bool(kinds & {"dataframe", "table", "arrow_table"})
    if "Your session has ended" in said:
        return NOT_SIGNED_IN, data
    if "lacks the role" in said:
        return NOT_ALLOWED, data
    assert re.search(done, said), said
    return ALLOWED, True


# ---------------------------------------------------------------- the documentation

INTRODUCTION = """# Who may do what

Generated from `tests/access.csv`, each row of which is tried by the tests:
`python -m tests.test_access > docs/access.md`.

A **visitor** is signed in without any role; an **analyst** holds Accounting Sync; a **controller**
holds Accounting Sync, Close and Hints; a **viewer** holds Accounting Sync and Hide Export To Excel;
an **auditor** holds Audit and an **administrator** Administrator, and nothing else. **Session
ended**, **account disabled** and **role revoked** happened a moment before, with the page already
open in a tab, to a controller, or to an auditor or administrator where those are asked for.

By **function** is a call of the product's own operation, by **page** an address in the browser, by
**protocol** a click in a tab, or anything that a client can make look like one. – means that there
is no such way: nobody loads records from a page, and whoever may not write hints has no field to
write them in.

- Not signed in: a page leads to the sign-in page, a tab says that the session has ended.
- Not allowed: one sentence says which role is missing. Nothing is returned, nothing is changed, and
  the refusal is recorded with the person's name.
- Led to their own page: the root is the overview; who may see another page alone comes to that.
"""


def documentation() -> str:
    """The page on access, as it must stand in the docs."""
    lines = [
        f"| operation | way | {' | '.join(PRINCIPALS)} |",
        f"|{'---|' * (len(PRINCIPALS) + 2)}",
    ]
    for row in TABLE:
        answers = " | ".join(_worded(row[who]) for who in PRINCIPALS)
        lines.append(f"| {row['operation']} | {row['way']} | {answers} |")
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n"


def _worded(answer: str) -> str:
    return f"**{ALLOWED}**" if answer == ALLOWED else answer or "–"


def test_the_page_on_access_is_the_table() -> None:
    assert (ROOT / "docs" / "access.md").read_text() == documentation()


def test_every_way_to_try_something_is_in_the_table() -> None:
    tried = {"function": FUNCTIONS, "page": PATHS, "protocol": TABS}
    assert {(row["operation"], row["way"]) for row in TABLE} == {
        (operation, way) for way, operations in tried.items() for operation in operations
    }


if __name__ == "__main__":
    print(documentation(), end="")
