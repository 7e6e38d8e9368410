"""What a request says about who sent it, and from where. None of it is believed further than here.

All functions take an ASGI scope, since the gate sees websockets as well as pages.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from synchist.accounts import Session
from synchist.settings import settings

VISIT = "synchist.visit"
"""Where the gate leaves its Visit for the routes behind it."""

_LOCAL_HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?", re.IGNORECASE)
_LONGEST_TARGET = 16_000


@dataclass(frozen=True)
class Visit:
    """What the gate found out about a request."""

    session: Session | None
    is_demo: bool


def cookie_name(scope: Scope) -> str:
    """The session cookie's name. `__Host-` binds it to this very host, which needs TLS."""
    return "__Host-synchist_session" if is_tls(scope) else "synchist_session"


def is_tls(scope: Scope) -> bool:
    """Whether the browser speaks TLS, to this server or to a proxy in front of it."""
    return settings().served_over_tls or scope["scheme"] in ("https", "wss")


def token(scope: Scope) -> str | None:
    """The session token that the browser sent, if any."""
    return HTTPConnection(scope).cookies.get(cookie_name(scope))


def address(scope: Scope) -> str:
    """The client's address, as far as the server knows it."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def is_loopback(host: str) -> bool:
    """Whether an address or name means this computer."""
    try:
        found = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return (mapped or found).is_loopback


def is_from_this_computer(scope: Scope) -> bool:
    """Whether the browser runs on this computer with no proxy in between.

    The name that it asked for has to be local too: a proxy may keep its own name, and a page from
    elsewhere may have its name resolved to this computer.
    """
    headers = Headers(scope=scope)
    forwarded = any(
        name in ("forwarded", "via", "x-real-ip") or name.startswith("x-forwarded-")
        for name in headers
    )
    asked_for = _LOCAL_HOST.fullmatch(headers.get("host", ""))
    return is_loopback(address(scope)) and not forwarded and asked_for is not None


def is_same_origin(scope: Scope) -> bool:
    """Whether the page that sent the request is one of ours: Origin is there and names our host."""
    headers = Headers(scope=scope)
    scheme, _, origin = headers.get("origin", "").partition("://")
    host = headers.get("host", "")
    return scheme in ("http", "https") and host != "" and origin.lower() == host.lower()


def may_change(scope: Scope) -> bool:
    """Whether a request that changes something was sent by a page of ours."""
    headers = Headers(scope=scope)
    site = headers.get("sec-fetch-site")
    if site not in (None, "same-origin", "none"):
        return False
    return is_same_origin(scope) if "origin" in headers else site is not None


def local_target(target: str) -> str:
    """Where to go after signing in: the target if it is a page of this site, else the first page.

    An export's address becomes that of its page, since a download answers with no page to look at.
    """
    path, question, query = target.partition("?")
    if (
        not path.startswith("/")
        or "//" in path
        or len(target) > _LONGEST_TARGET
        or re.search(r"[\\#\x00-\x20\x7f]", target)
        or path.rstrip("/") in ("/sign-in", "/sign-out")
    ):
        return "/"
    if export := re.fullmatch(r"/export/([a-z_]+)\.xlsx", path):
        path = f"/{export[1]}"
    if export := re.fullmatch(r"/export/reconciliation/([0-9a-f-]+)\.xlsx", path):
        return f"/reconcile?id={export[1]}"
    return path + question + query
