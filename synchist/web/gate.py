"""The gate that every request and every websocket passes, before Streamlit sees anything of it.

What is not open is closed: a path needs a session with the role Accounting Sync unless it stands
here that it needs another one, or nothing. Pure ASGI, since Starlette's BaseHTTPMiddleware does not
see websockets.
"""

from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from synchist import accounts
from synchist.accounts import NotAllowed, NotSignedIn, Session
from synchist.db.engine import reading
from synchist.db.prepare import is_demo
from synchist.errors import SynchistError
from synchist.roles import FIRST_PAGES, Role
from synchist.web import replies
from synchist.web.request import (
    VISIT,
    Visit,
    address,
    is_loopback,
    is_same_origin,
    local_target,
    may_change,
    token,
)

STREAM = "/_stcore/stream"
TRUSTED_USER_HEADERS = {"X-Synchist-User": "login", "X-Synchist-Session": "session"}
"""The headers that the gate sets, and the keys of `st.user` that Streamlit reads them into."""

_OPEN = {"/readyz", "/_stcore/health", "/favicon.png", "/favicon.ico"}
_SIGN_IN = {"/sign-in", "/sign-out"}
# Of Streamlit's own paths the front end needs these; the rest (metrics, components, its agent and
# its own sign-in) is closed to everybody.
_NEEDED = {"/_stcore/health", "/_stcore/host-config"}
_UPLOADS = "/_stcore/upload_file/"
_CLOSED = ("/_stcore/", "/component/", "/auth/", "/oauth2callback")

# Every page has these, and the stream that all of them come through: a page's script asks for its
# own role.
_SHARED = ("/media/", "/_stcore/host-config", STREAM)
_AUDIT_EXPORT = "/export/audit.xlsx"
_WHAT = {
    Role.ACCOUNTING_SYNC: "the sync history",
    Role.AUDIT: "the audit log",
    Role.ADMINISTRATOR: "the accounts",
}

_SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
_NOT_PAGES = ("/_stcore/", "/media/")
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"same-origin",
    b"content-security-policy": b"frame-ancestors 'none'; object-src 'none'; base-uri 'self';"
    b" form-action 'self'",
}

_lookups = CapacityLimiter(10)  # no more than the database has connections for


class DemoIsLocal(NotAllowed):
    """The demo has accounts without passwords, so it is for this computer alone."""

    def __init__(self) -> None:
        super().__init__("The demo answers on the computer that it runs on, and nowhere else.")


class CameFromElsewhere(NotAllowed):
    """Another site's page tried to act in the name of whoever is signed in here."""

    def __init__(self) -> None:
        super().__init__("This request came from another site. Open the page here and try again.")


class Gate:
    """ASGI middleware: who is it, may they, and if so under which name."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = [
            pair for pair in scope["headers"] if not pair[0].lower().startswith(b"x-synchist-")
        ]
        scope = {**scope, "headers": headers}
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        answered = False

        async def hardened(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                message = {**message, "headers": _harden(list(message["headers"]), scope["path"])}
            await send(message)

        try:
            answer = await self._answer(scope)
            await answer(scope, receive, hardened)
        except Exception as error:
            if answered:
                raise
            await replies.reply(error, scope["path"])(scope, receive, hardened)

    async def _answer(self, scope: Scope) -> ASGIApp:
        """Who answers a request: the product, which then knows the visitor, or a refusal."""
        path = scope["path"]
        if path in _OPEN or path.startswith("/static/"):
            return self.app
        needed = path in _NEEDED or path.startswith(_UPLOADS)
        if path.startswith(_CLOSED) and not needed:
            return replies.nothing_here()
        if scope["method"] not in _SAFE_METHODS and not may_change(scope):
            raise CameFromElsewhere
        visit = await _visit(scope)
        scope[VISIT] = visit
        if path in _SIGN_IN:
            return self.app
        if visit.session is None:
            return _sign_in_first(scope)
        return await self._answer_to(visit.session, scope)

    async def _answer_to(self, session: Session, scope: Scope) -> ASGIApp:
        """The product for those who hold a role for the path, and a way on for all others."""
        path = scope["path"]
        if not needed_for(path).isdisjoint(session.roles):
            _identify(scope, session)
            return self.app
        if opens(session, path):  # the root, whose page is another's
            return RedirectResponse(_first_page(session), 303)
        await _record_denial(session, scope)
        return _sign_in_first(scope, session)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            session = await _who_may_stream(scope)
        except SynchistError as refusal:
            await receive()  # the request to connect, which is answered by closing
            await send({"type": "websocket.close", "code": _close_code(refusal)})
            return
        _identify(scope, session)
        await self.app(scope, receive, send)


def needed_for(path: str) -> frozenset[Role]:
    """The roles of which any one opens a path."""
    if path.startswith(_SHARED):
        return frozenset(FIRST_PAGES)
    if path == _AUDIT_EXPORT:
        return frozenset({Role.AUDIT})
    for role in (Role.AUDIT, Role.ADMINISTRATOR):
        page = FIRST_PAGES[role]
        if path == page or path.startswith(f"{page}/"):
            return frozenset({role})
    return frozenset({Role.ACCOUNTING_SYNC})


def opens(session: Session, path: str) -> bool:
    """Whether a path leads to a page for somebody: the root does for everybody who has one."""
    needed = frozenset(FIRST_PAGES) if path == "/" else needed_for(path)
    return not needed.isdisjoint(session.roles)


def _first_page(session: Session) -> str:
    return next(page for role, page in FIRST_PAGES.items() if role in session.roles)


async def _who_may_stream(scope: Scope) -> Session:
    # Streamlit accepts a websocket without Origin, and cookies travel with one from any site.
    if scope["path"] != STREAM or not is_same_origin(scope):
        raise CameFromElsewhere
    session = (await _visit(scope)).session
    if session is None:
        raise NotSignedIn
    if not opens(session, STREAM):
        await _record_denial(session, scope)
        raise no_access(session, "/")
    return session


def _close_code(refusal: SynchistError) -> int:
    if isinstance(refusal, NotSignedIn):
        return 4401
    return 4403 if isinstance(refusal, NotAllowed) else 1013  # 1013: try again later


async def _visit(scope: Scope) -> Visit:
    visit = await to_thread.run_sync(_look_up, token(scope), limiter=_lookups)
    if visit.is_demo and not is_loopback(address(scope)):
        raise DemoIsLocal
    return visit


def _look_up(presented: str | None) -> Visit:
    with reading() as connection:
        demo = is_demo(connection)
    return Visit(accounts.session_of(presented) if presented else None, demo)


async def _record_denial(session: Session, scope: Scope) -> None:
    doing = f"open {scope['path'][:200]}"
    await to_thread.run_sync(accounts.record_denial, session.principal, doing, limiter=_lookups)


def _sign_in_first(scope: Scope, session: Session | None = None) -> Response:
    """A page leads to the sign-in page, which says why; for anything else one sentence will do."""
    path = scope["path"]
    if scope["method"] in ("GET", "HEAD") and not path.startswith(_NOT_PAGES):
        query = scope["query_string"].decode("latin-1")
        target = quote(path) + (f"?{query}" if query else "")
        return RedirectResponse(f"/sign-in?next={quote(local_target(target))}", 303)
    refusal = NotSignedIn() if session is None else no_access(session, path)
    return replies.reply(refusal, path)


def no_access(session: Session, path: str) -> NotAllowed:
    """What somebody reads who is signed in and lacks the role for a path."""
    needed = needed_for(path)
    role = Role.ACCOUNTING_SYNC if Role.ACCOUNTING_SYNC in needed else min(needed)
    return NotAllowed(
        f"{session.name} is signed in but has no access to {_WHAT[role]}. Ask an administrator"
        f" for the role {role}."
    )


def _identify(scope: Scope, session: Session) -> None:
    """Tell Streamlit who it is. A login is ASCII; quoted, whatever it is travels in a header."""
    user, identity = (name.lower().encode() for name in TRUSTED_USER_HEADERS)
    scope["headers"] += [
        (user, quote(session.login, safe="@+").encode()),
        (identity, session.id.encode()),
    ]


def _harden(headers: list[tuple[bytes, bytes]], path: str) -> list[tuple[bytes, bytes]]:
    """A reply's headers with ours. A page of our own brings its own, stricter policy."""
    replied = {name.lower() for name, _ in headers}
    added = {name: value for name, value in _HEADERS.items() if name not in replied}
    if path.startswith("/static/"):  # Streamlit's public bundle
        return [*headers, *added.items()]
    # Nothing else may stay behind in a browser or a proxy.
    kept = [pair for pair in headers if pair[0].lower() != b"cache-control"]
    return [*kept, *added.items(), (b"cache-control", b"no-store")]
