"""What the gate lets through, to whom, and under which name."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from starlette.websockets import WebSocketDisconnect

from synchist import accounts
from synchist.db.engine import engine, writing
from synchist.db.tables import account, auth_session
from synchist.db.types import utc_now
from synchist.roles import Role
from synchist.settings import settings
from synchist.web.gate import STREAM
from tests.conftest import Database
from tests.web.conftest import AWAY, HERE, OPERATOR, ORIGIN, Browse

Events = Callable[[str], list[tuple[Any, ...]]]

# Here the database only answers `accounts`, whose own tests run on both.
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

SOCKET = ORIGIN.replace("https", "wss") + STREAM
PAGES = ["/", "/invoices", "/record?entity=invoices&id=7", "/no/such/page", "/app/static/x"]
CLOSED = [
    "/_stcore/metrics",
    "/_stcore/stream",
    "/_stcore/bidi-components/a",
    "/_stcore/script-health-check",
    "/_stcore/agent/interact",
    "/_stcore/agent/mcp",
    "/_stcore/agent/openapi.json",
    "/_stcore/",
    "/component/a/b.js",
    "/auth/login",
    "/oauth2callback",
]


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_page_leads_to_the_sign_in_page_and_back(
    people: None, browse: Browse, page: str, method: str
) -> None:
    browser = browse()
    answer = browser.request(method, page)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=/")
    form = browser.get(answer.headers["location"])
    assert f'name="next" value="{page.replace("&", "&amp;")}"' in form.text


def test_an_export_leads_back_to_its_page(people: None, browse: Browse) -> None:
    answer = browse().get("/export/bill_payments.xlsx?bill_payments_status=Pending&x=%26")
    expected = "/sign-in?next=/bill_payments%3Fbill_payments_status%3DPending%26x%3D%2526"
    assert answer.headers["location"] == expected


def test_only_who_may_see_the_pages_may_upload(people: None, browse: Browse) -> None:
    path = "/_stcore/upload_file/no-such-session/1"
    assert browse().put(path).status_code == 401
    assert browse("bob").put(path).status_code == 403
    elsewhere = {"origin": "https://elsewhere.example"}
    assert browse("ana").put(path, headers=elsewhere).status_code == 403
    assert browse("ana").put(path).status_code == 200  # the product behind the gate


@pytest.mark.parametrize("page", ["/media/abc.png", "/_stcore/host-config"])
def test_what_is_no_page_gets_one_sentence(people: None, browse: Browse, page: str) -> None:
    answer = browse().get(page)
    assert answer.status_code == 401
    assert "Your session has ended. Sign in again." in answer.text
    assert browse("ana").get(page).status_code == 200
    assert browse("bob").get(page).status_code == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_other_methods_get_one_sentence(people: None, browse: Browse, method: str) -> None:
    assert browse().request(method, "/invoices").status_code == 401
    assert browse("ana").request(method, "/invoices").status_code == 200


@pytest.mark.parametrize("page", PAGES)
def test_a_signed_in_user_without_the_role_is_sent_away_and_recorded(
    people: None, browse: Browse, events: Events, page: str
) -> None:
    bob = browse("bob")
    answer = bob.get(page)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in?next=/")
    assert answer.content == b""
    said = bob.get(answer.headers["location"])
    assert "Bob Example is signed in but has no access to the sync history." in said.text
    assert "Ask an administrator for the role Accounting Sync." in said.text
    assert 'action="/sign-out"' in said.text
    assert 'name="password"' not in said.text
    assert events("denied") == [("Bob Example", f"open {page.partition('?')[0]}")]


OWN_PAGES = {
    "/audit": {"otto", "max"},
    "/audit/": {"otto", "max"},
    "/audit/_stcore/host-config": {"otto", "max"},
    "/accounts": {"nora", "max"},
    "/audits": {"ana"},
    "/invoices": {"ana"},
    "/export/invoices.xlsx/audit.xlsx": {"ana"},
    "/_stcore/upload_file/no-such-session/1": {"ana"},
    "/media/abc.png": {"ana", "otto", "nora", "max"},
    "/_stcore/host-config": {"ana", "otto", "nora", "max"},
}


def test_each_role_opens_its_own_pages(overseers: None, browse: Browse) -> None:
    everybody = {who: browse(who) for who in ("ana", "otto", "nora", "max", "bob")}
    for path, who in OWN_PAGES.items():
        let_in = {one for one, it in everybody.items() if it.get(path).status_code == 200}
        assert let_in == who, path


def test_the_root_leads_to_the_page_that_somebody_has(
    overseers: None, browse: Browse, events: Events
) -> None:
    for who, page in {"otto": "/audit", "nora": "/accounts", "max": "/audit"}.items():
        browser = browse(who)
        for start in ("/", "/?x=1", "/sign-in", "/sign-in?next=/"):
            answer = browser.get(start, follow_redirects=True)
            assert answer.json()["path"] == page
    assert events("denied") == []


@pytest.mark.parametrize(
    ("who", "page", "words"),
    [
        (
            "ana",
            "/audit?audit_range=All",
            "the audit log. Ask an administrator for the role Audit.",
        ),
        ("ana", "/accounts", "the accounts. Ask an administrator for the role Administrator."),
        ("otto", "/bills", "the sync history. Ask an administrator for the role Accounting Sync."),
        ("otto", "/%61ccounts", "the accounts. Ask an administrator for the role Administrator."),
        ("nora", "/export/audit.xlsx", "the audit log. Ask an administrator for the role Audit."),
    ],
)
def test_what_is_missing_is_named_and_recorded(
    overseers: None, browse: Browse, events: Events, who: str, page: str, words: str
) -> None:
    browser = browse(who)
    answer = browser.get(page)
    assert (answer.status_code, answer.content) == (303, b"")
    said = browser.get(answer.headers["location"])
    assert said.status_code == 200
    assert f"{who.title()} Example is signed in but has no access to {words}" in said.text
    assert 'href="/"' in said.text  # to what they do have
    path = page.partition("?")[0].replace("%61", "a")
    assert events("denied") == [(f"{who.title()} Example", f"open {path}")]


def test_a_revoked_role_counts_at_the_next_request(people: None, browse: Browse) -> None:
    ana = browse("ana")
    assert ana.get("/invoices").status_code == 200
    accounts.revoke(OPERATOR, "ana", Role.ACCOUNTING_SYNC)
    assert ana.get("/invoices").status_code == 303
    accounts.grant(OPERATOR, "ana", Role.ACCOUNTING_SYNC)
    assert ana.get("/invoices").status_code == 200


ENDINGS: dict[str, dict[str, Any]] = {
    "idle": {"seen_at": timedelta(minutes=61)},
    "absolute": {"created_at": timedelta(hours=13)},
    "ended": {"ended_at": timedelta()},
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_session_that_has_ended_leads_to_the_sign_in_page(
    people: None, browse: Browse, ending: str
) -> None:
    ana = browse("ana")
    with writing() as connection:
        values = {column: utc_now() - age for column, age in ENDINGS[ending].items()}
        connection.execute(update(auth_session).values(values))
    answer = ana.get("/invoices")
    assert answer.status_code == 303
    form = ana.get(answer.headers["location"])
    assert "Your session has ended. Sign in again." in form.text


@pytest.mark.parametrize("path", CLOSED)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_what_the_product_does_not_need_is_closed_to_everybody(
    people: None, browse: Browse, path: str, method: str
) -> None:
    assert browse("ana").request(method, path).status_code == 404
    assert browse().request(method, path).status_code == 404


@pytest.mark.parametrize("path", ["/_stcore/health", "/static/js/index.js", "/favicon.png"])
def test_streamlits_public_bundle_needs_no_session(people: None, browse: Browse, path: str) -> None:
    assert browse().get(path).json()["path"] == path


@pytest.mark.parametrize("path", ["//_stcore/metrics", "/x/_stcore/metrics", "/_STCORE/metrics"])
def test_no_spelling_gets_around_the_session(people: None, browse: Browse, path: str) -> None:
    answer = browse().request("GET", f"{ORIGIN}{path}")
    assert answer.status_code == 303


# ---------------------------------------------------------------- identity


def headers_of(pairs: list[list[str]], prefix: str = "x-synchist") -> list[tuple[str, str]]:
    return sorted((name, value) for name, value in pairs if name.startswith(prefix))


FORGED = {
    "X-Synchist-User": "vic",
    "x-synchist-session": "00000000-0000-4000-8000-000000000000",
    "X-SYNCHIST-Role": "Accounting Sync",
}


def test_streamlit_is_told_who_it_is_by_the_gate_alone(people: None, browse: Browse) -> None:
    ana = browse("ana")
    session = accounts.session_of(ana.cookies["__Host-synchist_session"])
    assert session is not None
    identity = [("x-synchist-session", session.id), ("x-synchist-user", "ana")]
    told = ana.get("/invoices", headers=FORGED).json()["headers"]
    assert headers_of(told) == identity
    with ana.websocket_connect(SOCKET, headers=FORGED) as socket:
        assert headers_of(socket.receive_json()) == identity


@pytest.mark.parametrize("path", ["/static/x", "/_stcore/health"])
def test_forged_identity_is_stripped_from_open_paths_too(
    people: None, browse: Browse, path: str
) -> None:
    assert headers_of(browse().get(path, headers=FORGED).json()["headers"]) == []


def test_forged_identity_opens_nothing(people: None, browse: Browse) -> None:
    assert browse().get("/invoices", headers=FORGED).status_code == 303


def test_a_login_travels_in_a_header_whatever_it_is(people: None, browse: Browse) -> None:
    ana = browse("ana")
    with writing() as connection:
        strange = "zoë\r\nx-role: all"
        connection.execute(update(account).where(account.c.id == 1).values(login=strange))
    told = ana.get("/invoices").json()["headers"]
    assert ("x-synchist-user", "zo%C3%AB%0D%0Ax-role%3A%20all") in headers_of(told)
    assert headers_of(told, "x-role") == []


# ---------------------------------------------------------------- websockets


def close_code(browse: Browse, path: str = STREAM, login: str | None = "ana", **how: Any) -> int:
    browser = browse(login, **how)
    address = SOCKET.replace(STREAM, path)
    with pytest.raises(WebSocketDisconnect) as closed, browser.websocket_connect(address):
        pytest.fail("the websocket was accepted")
    return closed.value.code


def test_a_websocket_needs_a_session_and_the_role(
    overseers: None, browse: Browse, events: Events
) -> None:
    assert close_code(browse, login=None) == 4401
    assert close_code(browse, login="bob") == 4403
    assert events("denied") == [("Bob Example", f"open {STREAM}")]
    for who in ("ana", "otto", "nora"):  # each page asks for its own role
        with browse(who).websocket_connect(SOCKET) as socket:
            assert socket.receive_json()


@pytest.mark.parametrize(
    "origin",
    [
        "",
        "null",
        "https://evil.example",
        "https://sync.example.com.evil.example",
        "https://evil.example/sync.example.com",
        "https://sync.example.com:8443",
        "https://user@sync.example.com",
        "file://sync.example.com",
        "sync.example.com",
        "http://[",
    ],
)
def test_a_websocket_from_another_page_is_refused(
    people: None, browse: Browse, origin: str
) -> None:
    assert close_code(browse, headers={"origin": origin}) == 4403


def test_a_websocket_without_origin_is_refused(people: None, browse: Browse) -> None:
    assert close_code(browse, headers={}) == 4403


def test_the_scheme_of_the_origin_does_not_matter(people: None, browse: Browse) -> None:
    # A proxy that speaks TLS hands the request on without; the page's origin stays https.
    ana = browse("ana", headers={"origin": "http://Sync.Example.com"})
    with ana.websocket_connect(SOCKET) as socket:
        assert socket.receive_json()


@pytest.mark.parametrize("path", ["/", "/_stcore/metrics", "/_stcore/stream/", "/invoices"])
def test_there_is_one_websocket(people: None, browse: Browse, path: str) -> None:
    assert close_code(browse, path) == 4403


# ---------------------------------------------------------------- other sites


@pytest.mark.parametrize(
    ("headers", "accepted"),
    [
        ({"origin": ORIGIN}, True),
        ({"origin": ORIGIN, "sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin"}, True),
        ({}, False),
        ({"origin": "null"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": ORIGIN, "sec-fetch-site": "same-site"}, False),
    ],
)
def test_only_our_own_pages_may_post(
    people: None, browse: Browse, headers: dict[str, str], accepted: bool
) -> None:
    ana = browse("ana", headers={})
    assert ana.post("/invoices", headers=headers).status_code == (200 if accepted else 403)
    assert ana.post("/sign-out", headers=headers).status_code == (303 if accepted else 403)
    assert ana.get("/invoices").status_code == (303 if accepted else 200)


# ---------------------------------------------------------------- the demo stays at home


@pytest.mark.parametrize("page", ["/", "/sign-in", "/media/x"])
def test_the_demo_answers_this_computer_alone(demo: None, browse: Browse, page: str) -> None:
    answer = browse(address=AWAY).get(page)
    assert answer.status_code == 403
    assert "The demo answers on the computer that it runs on" in answer.text
    assert close_code(browse, login=None, address=AWAY) == 4403
    for home in (HERE, "::1", "::ffff:127.0.0.1"):
        assert browse(address=home).get(page).status_code in (200, 303, 401)


# ---------------------------------------------------------------- headers of replies


@pytest.mark.parametrize("page", ["/", "/sign-in", "/readyz", "/static/x.js", "/_stcore/metrics"])
def test_every_reply_is_hardened(people: None, browse: Browse, page: str) -> None:
    for browser in (browse(), browse("ana")):
        headers = browser.get(page).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers.get("cache-control") == "no-store") is (page != "/static/x.js")


# ---------------------------------------------------------------- errors


def test_an_unexpected_error_is_an_id_and_no_detail(
    people: None, browse: Browse, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = browse("ana").get("/broken")
    assert answer.status_code == 500
    _, _, rest = answer.text.partition("tell support this id: ")
    identity = rest[:8]
    assert int(identity, 16) >= 0
    for leak in ("secret detail", "ZeroDivisionError", "Traceback", ".py"):
        assert leak not in answer.text
    logged = capsys.readouterr().out
    assert identity in logged
    assert "secret detail" in logged


def test_a_missing_database_is_one_sentence(
    people: None, browse: Browse, database: Database
) -> None:
    ana = browse("ana")
    engine(settings().url).dispose()
    path = Path(database.url.removeprefix("sqlite:///"))
    moved = path.rename(path.with_suffix(".moved"))
    answer = ana.get("/invoices")
    assert answer.status_code == 503
    assert "The database can&#x27;t be reached right now." in answer.text
    with pytest.raises(WebSocketDisconnect) as closed, ana.websocket_connect(SOCKET):
        pytest.fail("the websocket was accepted")
    assert closed.value.code == 1013
    moved.rename(path)
    assert ana.get("/invoices").status_code == 200
