"""The sign-in page, signing out, and where one lands afterwards."""

from collections.abc import Callable
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from httpx import Response
from sqlalchemy import update

from synchist import accounts
from synchist.accounts import DEMO_LOGINS
from synchist.db.engine import writing
from synchist.db.tables import sign_in_attempt
from synchist.db.types import utc_now
from synchist.settings import settings
from tests.conftest import Database
from tests.web.conftest import AWAY, HERE, OPERATOR, ORIGIN, PASSWORD, Browse

Events = Callable[[str], list[tuple[Any, ...]]]

# Here the database only answers `accounts`, whose own tests run on both.
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
HOME = "http://localhost:8501"
HOSTILE = "\"><script>alert('x')</script>"


def cookie(answer: Response) -> Any:
    """The one cookie that a reply sets."""
    jar = SimpleCookie(answer.headers["set-cookie"])
    assert len(jar) == 1
    return next(iter(jar.values()))


# ---------------------------------------------------------------- the form


def test_the_page_is_a_plain_form(people: None, browse: Browse) -> None:
    answer = browse().get("/sign-in")
    assert answer.status_code == 200
    for part in (
        "Synchist",
        "Accounting sync history",
        '<label for="login">',
        '<label for="password">',
        'autocomplete="username"',
        'autocomplete="current-password"',
    ):
        assert part in answer.text
    assert "<script" not in answer.text
    assert "Continue as" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


def test_the_way_there_and_back(people: None, browse: Browse) -> None:
    browser = browse()
    target = "/invoices?invoices_status=Failed&invoices_search=a%20b%26c"
    asked = browser.get(target)
    browser.get(asked.headers["location"])
    answer = browser.post("/sign-in", data={"login": "ana", "password": PASSWORD, "next": target})
    assert (answer.status_code, answer.headers["location"]) == (303, target)
    assert browser.get(target).status_code == 200


def test_who_is_signed_in_goes_straight_on(people: None, browse: Browse) -> None:
    ana = browse("ana")
    assert ana.get("/sign-in").headers["location"] == "/"
    assert ana.get("/sign-in?next=/bills").headers["location"] == "/bills"
    assert ana.get("/sign-in?next=https://evil.example/").headers["location"] == "/"


def test_a_wrong_password_is_said_and_the_way_kept(
    people: None, browse: Browse, events: Events
) -> None:
    data = {"login": "ana", "password": "a wrong password", "next": "/bills?x=1"}
    answer = browse().post("/sign-in", data=data)
    assert answer.status_code == 401
    assert 'role="alert">Login or password is not right.' in answer.text
    assert 'value="ana"' in answer.text
    assert 'value="/bills?x=1"' in answer.text
    assert "a wrong password" not in answer.text
    assert "set-cookie" not in answer.headers
    assert events("sign_in_failed") == [("ana", f"from {AWAY}")]


def test_the_page_does_not_tell_accounts_from_inventions(people: None, browse: Browse) -> None:
    accounts.disable(OPERATOR, "vic")
    said = {
        browse()
        .post("/sign-in", data={"login": login, "password": "a wrong password"})
        .text.replace(f'value="{login}"', "")
        for login in ("ana", "vic", "xyz")
    }
    assert len(said) == 1


def test_too_many_attempts_are_said(people: None, browse: Browse) -> None:
    browser = browse()
    wrong = {"login": "ana", "password": "a wrong password"}
    codes = [browser.post("/sign-in", data=wrong).status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]
    answer = browser.post("/sign-in", data={"login": "ana", "password": PASSWORD})
    assert "Too many attempts to sign in. Wait five minutes, then try again." in answer.text
    with writing() as connection:
        connection.execute(update(sign_in_attempt).values(at=utc_now() - timedelta(minutes=6)))
    answer = browser.post("/sign-in", data={"login": "ana", "password": PASSWORD})
    assert answer.status_code == 303


@pytest.mark.parametrize(
    "body", [b"login=%FF\xff", b"&".join(b"a=1" for _ in range(20)), b"login=" + b"x" * 70_000]
)
def test_a_form_that_is_none_is_refused(people: None, browse: Browse, body: bytes) -> None:
    answer = browse().post("/sign-in", content=body)
    assert answer.status_code == 400
    assert "The form could not be read." in answer.text


def test_an_empty_form_is_a_wrong_password(people: None, browse: Browse) -> None:
    assert browse().post("/sign-in", content=b"").status_code == 401


def test_what_is_echoed_is_text(people: None, browse: Browse) -> None:
    browser = browse()
    next_one = f"/x?y={HOSTILE.replace(' ', '')}"
    answers = [
        browser.get("/sign-in", params={"next": next_one}),
        browser.post("/sign-in", data={"login": HOSTILE, "password": HOSTILE, "next": next_one}),
        browser.get(f"/{HOSTILE}"),
    ]
    for answer in answers:
        assert "<script" not in answer.text
    assert "&lt;script&gt;" in answers[0].text
    assert answers[1].text.count("&lt;script&gt;") == 2


def test_a_name_is_text(people: None, browse: Browse) -> None:
    accounts.add_account(OPERATOR, "eve", HOSTILE, PASSWORD)
    eve = browse("eve")
    for page in ("/sign-in", "/sign-out"):
        answer = eve.get(page)
        assert "<script" not in answer.text
        assert "&lt;script&gt;" in answer.text


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_hostile_target_leads_to_the_first_page(
    people: None, browse: Browse, target: str
) -> None:
    data = {"login": "ana", "password": PASSWORD, "next": target}
    assert browse().post("/sign-in", data=data).headers["location"] == "/"


# ---------------------------------------------------------------- the cookie


def signed_in(browse: Browse, origin: str) -> Response:
    return browse(origin=origin).post("/sign-in", data={"login": "ana", "password": PASSWORD})


def test_the_cookie_over_tls(people: None, browse: Browse) -> None:
    morsel = cookie(signed_in(browse, ORIGIN))
    assert morsel.key == "__Host-synchist_session"
    assert morsel["secure"]
    assert morsel["httponly"]
    assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("lax", "/", "")
    assert (morsel["max-age"], morsel["expires"]) == ("", "")  # gone with the browser


def test_the_cookie_without_tls(people: None, browse: Browse) -> None:
    morsel = cookie(signed_in(browse, "http://sync.example.com"))
    assert morsel.key == "synchist_session"
    assert not morsel["secure"]
    assert morsel["httponly"]
    assert morsel["samesite"] == "lax"


def test_the_cookie_behind_a_proxy_that_speaks_tls(
    people: None, browse: Browse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCHIST_SERVED_OVER_TLS", "true")
    settings.cache_clear()
    morsel = cookie(signed_in(browse, "http://sync.example.com"))
    assert morsel.key == "__Host-synchist_session"
    assert morsel["secure"]


def test_signing_in_again_ends_the_session_before(people: None, browse: Browse) -> None:
    browser = browse("ana")
    first = browser.cookies["__Host-synchist_session"]
    browser.post("/sign-in", data={"login": "vic", "password": PASSWORD})
    assert browser.cookies["__Host-synchist_session"] != first
    assert accounts.session_of(first) is None


# ---------------------------------------------------------------- signing out


def test_signing_out_ends_the_session_for_good(
    people: None, browse: Browse, events: Events
) -> None:
    ana = browse("ana")
    token = ana.cookies["__Host-synchist_session"]
    answer = ana.post("/sign-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
    morsel = cookie(answer)
    assert (morsel.value, morsel["max-age"], morsel["path"]) == ("", "0", "/")
    assert morsel["secure"]
    assert events("signed_out") == [("Ana Example", "")]
    kept = browse(headers={"cookie": f"__Host-synchist_session={token}"})
    assert kept.get("/invoices").status_code == 303


def test_following_a_link_does_not_sign_out(people: None, browse: Browse) -> None:
    ana = browse("ana")
    answer = ana.get("/sign-out")
    assert "You are signed in as Ana Example." in answer.text
    assert ana.get("/invoices").status_code == 200
    assert browse().get("/sign-out").headers["location"] == "/sign-in"


# ---------------------------------------------------------------- no account, and the demo


def test_an_empty_database_says_how_to_go_on(database: Database, browse: Browse) -> None:
    text = browse().get("/sign-in").text
    assert "There is no account yet" in text
    assert "python -m synchist users add" in text
    assert "python -m synchist demo" in text
    assert 'name="password"' not in text


@pytest.mark.parametrize("login", DEMO_LOGINS)
def test_the_demo_is_one_click_away(demo: None, browse: Browse, events: Events, login: str) -> None:
    browser = browse(origin=HOME, address=HERE)
    assert f"Continue as {login.title()}" in browser.get("/sign-in?next=/bills").text
    answer = browser.post("/sign-in", data={"demo": login, "next": "/bills"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/bills")
    assert len(events("signed_in")) == 1
    sees = login in ("analyst", "controller", "viewer")
    assert browser.get("/bills").status_code == (200 if sees else 303)
    if not sees:
        assert "has no access to the sync history" in browser.get("/sign-in?next=/bills").text


PROXIES = [
    {"forwarded": "for=192.0.2.9"},
    {"x-forwarded-for": "127.0.0.1"},
    {"x-forwarded-proto": "https"},
    {"X-Forwarded-Host": "sync.example.com"},
    {"x-real-ip": "127.0.0.1"},
    {"via": "1.1 proxy"},
    {"host": "sync.example.com", "origin": "http://sync.example.com"},
    {"host": "[", "origin": "http://["},
]


@pytest.mark.parametrize("proxy", PROXIES)
def test_behind_a_proxy_there_are_no_demo_buttons(
    demo: None, browse: Browse, proxy: dict[str, str]
) -> None:
    browser = browse(origin=HOME, address=HERE, headers={"origin": HOME} | proxy)
    assert "Continue as" not in browser.get("/sign-in").text
    answer = browser.post("/sign-in", data={"demo": "analyst"})
    assert answer.status_code == 403
    assert "This is not the demo." in answer.text
    assert "set-cookie" not in answer.headers


def test_elsewhere_there_are_no_demo_buttons(demo: None, browse: Browse) -> None:
    assert browse(address=AWAY).post("/sign-in", data={"demo": "analyst"}).status_code == 403


def test_another_database_has_no_demo_buttons(people: None, browse: Browse) -> None:
    accounts.add_account(OPERATOR, "analyst", "A Real Analyst", PASSWORD)
    browser = browse(origin=HOME, address=HERE)
    assert "Continue as" not in browser.get("/sign-in").text
    assert browser.post("/sign-in", data={"demo": "analyst"}).status_code == 403


def test_the_demo_opens_no_other_account(demo: None, browse: Browse) -> None:
    accounts.add_account(OPERATOR, "ana", "Ana Example", PASSWORD)
    browser = browse(origin=HOME, address=HERE)
    assert browser.post("/sign-in", data={"demo": "ana"}).status_code == 403
    data = {"login": "ana", "password": PASSWORD}
    assert browser.post("/sign-in", data=data).status_code == 303
