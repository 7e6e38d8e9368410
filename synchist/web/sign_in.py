"""The sign-in page and signing out: plain HTML forms that work without JavaScript."""

from html import escape
from urllib.parse import parse_qsl, unquote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from synchist import accounts
from synchist.accounts import NotTheDemo, SignInFailed, TooManyAttempts
from synchist.db.engine import reading
from synchist.errors import SynchistError
from synchist.web import replies
from synchist.web.gate import no_access, opens
from synchist.web.request import (
    VISIT,
    Visit,
    address,
    cookie_name,
    is_from_this_computer,
    is_tls,
    local_target,
    token,
)

_LONGEST_FORM = 60_000

# As many as verify a password at once; who comes later waits here and keeps no thread busy.
_sign_ins = CapacityLimiter(4)

_DEMO_BUTTONS = {
    "analyst": ("Continue as Analyst", "Changes statuses, exports to Excel"),
    "controller": ("Continue as Controller", "The same, signs months off, writes hints"),
    "viewer": ("Continue as Viewer", "Changes statuses, without Export to Excel"),
    "auditor": ("Continue as Auditor", "Reads the audit log, and nothing else"),
    "administrator": ("Continue as Administrator", "Adds accounts, grants and revokes roles"),
    "visitor": ("Continue as Visitor", "Signed in, without access to anything"),
}


class UnreadableForm(SynchistError):
    """What was sent is not what the sign-in page sends."""

    def __init__(self) -> None:
        super().__init__("The form could not be read. Open the sign-in page and try again.")


async def show(request: Request) -> Response:
    """GET /sign-in: the form, or on to the page where there is nothing to sign in for."""
    visit: Visit = request.scope[VISIT]
    target = local_target(request.query_params.get("next", "/"))
    if visit.session is None:
        ended = "Your session has ended. Sign in again." if token(request.scope) else ""
        return await _sign_in_page(request, target, notice=ended)
    path = unquote(target.partition("?")[0])
    if opens(visit.session, path):
        return RedirectResponse(target, 303)
    back = f"<hr>{_BACK}" if opens(visit.session, "/") else ""
    return replies.page("No access", _alert(str(no_access(visit.session, path))) + _SIGN_OUT + back)


async def sign_in(request: Request) -> Response:
    """POST /sign-in: open a session, or say in one sentence why not."""
    form = await _form(request)
    target = local_target(form.get("next", "/"))
    try:
        opened = await to_thread.run_sync(_open, request, form, limiter=_sign_ins)
    except (SignInFailed, TooManyAttempts, NotTheDemo) as error:
        login = form.get("login", "")
        status = replies.status_of(error)
        return await _sign_in_page(request, target, str(error), login, status=status)
    response = RedirectResponse(target, 303)
    response.set_cookie(
        cookie_name(request.scope),
        opened,
        secure=is_tls(request.scope),
        httponly=True,
        samesite="lax",
        path="/",
    )
    return response


async def ask_sign_out(request: Request) -> Response:
    """GET /sign-out: a button, since following a link must not change anything."""
    visit: Visit = request.scope[VISIT]
    if visit.session is None:
        return RedirectResponse("/sign-in", 303)
    name = escape(visit.session.name)
    return replies.page("Sign out", f"<p>You are signed in as {name}.</p>{_SIGN_OUT}<hr>{_BACK}")


async def sign_out(request: Request) -> Response:
    """POST /sign-out: end the session in the database and drop the cookie."""
    presented = token(request.scope)
    if presented:
        await to_thread.run_sync(accounts.sign_out, presented)
    response = RedirectResponse("/sign-in", 303)
    response.delete_cookie(
        cookie_name(request.scope), secure=is_tls(request.scope), httponly=True, samesite="lax"
    )
    return response


ROUTES = [
    Route("/sign-in", show, methods=["GET"]),
    Route("/sign-in", sign_in, methods=["POST"]),
    Route("/sign-out", ask_sign_out, methods=["GET"]),
    Route("/sign-out", sign_out, methods=["POST"]),
]


def _open(request: Request, form: dict[str, str]) -> str:
    """The token of a new session; the one that the browser had until now ends."""
    if "demo" in form:
        if not is_from_this_computer(request.scope):
            raise NotTheDemo
        opened = accounts.sign_in_demo(form["demo"], address(request.scope))
    else:
        opened = accounts.sign_in(
            form.get("login", ""), form.get("password", ""), address(request.scope)
        )
    previous = token(request.scope)
    if previous:
        accounts.sign_out(previous)
    return opened


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_FORM:
            raise UnreadableForm
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10))
    except ValueError:  # not UTF-8, or too many fields
        raise UnreadableForm from None


# ---------------------------------------------------------------- the page

_BACK = '<p class="quiet"><a href="/">Back to Synchist</a></p>'
_SIGN_OUT = '<form method="post" action="/sign-out"><button>Sign out</button></form>'

_NO_ACCOUNT = """
<h1>There is no account yet</h1>
<p>Add one with:
<code>python -m synchist users add ana --name "Ana Lytle" --role "Accounting Sync"</code>
or make the demo with:
<code>python -m synchist demo</code>
and reload this page.</p>
"""


def _alert(text: str) -> str:
    return f'<p class="error" role="alert">{escape(text)}</p>\n'


async def _sign_in_page(
    request: Request,
    target: str,
    error: str = "",
    login: str = "",
    *,
    notice: str = "",
    status: int = 200,
) -> Response:
    parts = [_alert(error) if error else "", f"<p>{escape(notice)}</p>" if notice else ""]
    if not await to_thread.run_sync(_has_accounts):
        return replies.page("Sign in", _NO_ACCOUNT)
    visit: Visit = request.scope[VISIT]
    offers_demo = visit.is_demo and is_from_this_computer(request.scope)
    if offers_demo:
        parts.append(_demo_buttons(target))
    parts.append(_password_form(target, login, focus="" if offers_demo else " autofocus"))
    return replies.page("Sign in", "\n".join(parts), status)


def _has_accounts() -> bool:
    with reading() as connection:
        return accounts.has_accounts(connection)


def _next(target: str) -> str:
    return f'<input type="hidden" name="next" value="{escape(target)}">'


def _demo_buttons(target: str) -> str:
    buttons = "\n".join(
        f'<button class="other" name="demo" value="{login}">{label}<span>{meaning}</span></button>'
        for login, (label, meaning) in _DEMO_BUTTONS.items()
    )
    return f"""<form method="post" action="/sign-in">
<h1>Try the demo</h1>
{_next(target)}
{buttons}
</form>
<hr>"""


def _password_form(target: str, login: str, focus: str) -> str:
    return f"""<form method="post" action="/sign-in">
<h1>Sign in</h1>
{_next(target)}
<label for="login">Login</label>
<input id="login" name="login" value="{escape(login[:200])}" autocomplete="username"
 autocapitalize="none" spellcheck="false" maxlength="200" required{focus}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password"
 maxlength="1000" required>
<button>Sign in</button>
</form>"""
