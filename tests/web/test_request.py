"""What a request says, and how little of it is believed."""

import pytest
from starlette.types import Scope

from synchist.web.request import is_from_this_computer, is_loopback, local_target


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/", "/"),
        ("/invoices", "/invoices"),
        ("/invoices?invoices_status=Failed", "/invoices?invoices_status=Failed"),
        ("/record?url=https://example.com//x", "/record?url=https://example.com//x"),
        ("/export/invoices.xlsx?invoices_status=Failed", "/invoices?invoices_status=Failed"),
        ("/export/bill_payments.xlsx", "/bill_payments"),
        ("/export/reconciliation/0a-1b.xlsx", "/reconcile?id=0a-1b"),
        ("", "/"),
        ("invoices", "/"),
        ("https://evil.example", "/"),
        ("//evil.example", "/"),
        ("///evil.example", "/"),
        ("/\\evil.example", "/"),
        ("\\\\evil.example", "/"),
        ("/x\\y", "/"),
        ("/x//evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("/x\r\nset-cookie: a=b", "/"),
        ("/x\x00", "/"),
        (" /x", "/"),
        ("javascript:alert(1)", "/"),
        ("/sign-in", "/"),
        ("/sign-in?next=/sign-in", "/"),
        ("/sign-in/", "/"),
        ("/sign-out", "/"),
        ("/" + "x" * 20_000, "/"),
    ],
)
def test_only_pages_of_this_site_are_targets(target: str, leads_to: str) -> None:
    assert local_target(target) == leads_to


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1"])
def test_addresses_of_this_computer(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "unknown", "0.0.0.0", "::", "192.0.2.1", "localhost.evil.example", "127.0.0.1x"]
)
def test_addresses_of_others(host: str) -> None:
    assert not is_loopback(host)


def asked(address: str, **headers: str) -> Scope:
    pairs = {"host": "localhost:8501"} | {name.replace("_", "-"): v for name, v in headers.items()}
    encoded = [(name.encode(), value.encode()) for name, value in pairs.items()]
    return {"type": "http", "client": (address, 50_000), "headers": encoded}


def test_a_browser_on_this_computer() -> None:
    assert is_from_this_computer(asked("127.0.0.1"))
    assert is_from_this_computer(asked("::1", host="[::1]:8501"))
    assert is_from_this_computer(asked("127.0.0.1", host="LOCALHOST"))


@pytest.mark.parametrize(
    "scope",
    [
        asked("192.0.2.7"),
        asked("127.0.0.1", via="1.1 proxy"),
        asked("127.0.0.1", x_forwarded_prefix="/sync"),
        asked("127.0.0.1", host="sync.example.com"),
        asked("127.0.0.1", host="localhost.evil.example"),
        asked("127.0.0.1", host=""),
        {"type": "http", "client": None, "headers": [(b"host", b"localhost")]},
    ],
)
def test_a_browser_elsewhere_or_behind_a_proxy(scope: Scope) -> None:
    assert not is_from_this_computer(scope)
