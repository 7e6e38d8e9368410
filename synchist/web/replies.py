"""Our own HTML pages, and the one place in which the routes turn errors into replies."""

import base64
import re
from hashlib import sha256
from html import escape
from pathlib import Path
from secrets import token_hex
from string import Template

import structlog
from starlette.responses import HTMLResponse

from synchist.accounts import NotAllowed, NotSignedIn, SignInFailed, TooManyAttempts
from synchist.db.engine import DatabaseUnavailable
from synchist.errors import SynchistError
from synchist.reconciliation.saved import NoSuchReconciliation

log = structlog.get_logger()

_PAGE = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))


def _style_hash() -> str:
    style = re.search(r"<style>(.*)</style>", _PAGE.template, re.DOTALL)
    if style is None:
        raise ValueError("page.html has no style")
    return base64.b64encode(sha256(style[1].encode()).digest()).decode()


# No script at all, and no style but the page's own.
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_style_hash()}'; img-src data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'"
)

_STATUS: dict[type[SynchistError], int] = {
    NotSignedIn: 401,
    SignInFailed: 401,
    NotAllowed: 403,
    NoSuchReconciliation: 404,
    TooManyAttempts: 429,
    DatabaseUnavailable: 503,
}


def page(title: str, body: str, status: int = 200) -> HTMLResponse:
    """A page of ours. `body` is HTML in which everything that came from outside is escaped."""
    return HTMLResponse(
        _PAGE.substitute(title=escape(title), body=body),
        status_code=status,
        headers={"Content-Security-Policy": _POLICY},
    )


def sentence(text: str, status: int) -> HTMLResponse:
    """A page that says one thing, and leads back."""
    return page(
        "Not done",
        f'<p class="error" role="alert">{escape(text)}</p>\n'
        '<p class="quiet"><a href="/">Back to Synchist</a></p>',
        status,
    )


def nothing_here() -> HTMLResponse:
    """The reply for an address that leads nowhere, or to something closed to everybody."""
    return sentence("There is nothing at this address.", 404)


def status_of(error: SynchistError) -> int:
    """The HTTP status of an error: 400 unless it says something more precise."""
    return next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)


def reply(error: Exception, path: str) -> HTMLResponse:
    """An expected error as its own sentence, any other as an id that leads to the log."""
    if isinstance(error, SynchistError):
        return sentence(str(error), status_of(error))
    identity = token_hex(4)
    log.error("unexpected error in a route", error_id=identity, path=path, exc_info=error)
    return sentence(
        "Something went wrong, and it is not your doing. Try again; if it happens again, tell"
        f" support this id: {identity}.",
        500,
    )
