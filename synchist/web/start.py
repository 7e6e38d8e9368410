"""What `app.py` is made of, and what has to be right before the first request is answered."""

import gc
from secrets import token_hex

import structlog
from anyio import to_thread
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit import config
from structlog.dev import ConsoleRenderer, plain_traceback

from synchist.db.engine import reading
from synchist.db.prepare import is_demo, prepare, unguarded
from synchist.errors import SynchistError
from synchist.web import companion, downloads, readiness, sign_in
from synchist.web.gate import TRUSTED_USER_HEADERS, Gate
from synchist.web.request import is_loopback

log = structlog.get_logger()

HARDENING: dict[str, object] = {
    "client.disableDataExport": True,
    "client.showErrorDetails": "none",
    "global.developmentMode": False,
    "server.baseUrlPath": "",
    "server.enableAgentApi": False,
    "server.enableCORS": True,
    "server.enableStaticServing": False,
    "server.enableXsrfProtection": True,
    "server.scriptHealthCheckEnabled": False,
    "server.trustedUserHeaders": TRUSTED_USER_HEADERS,
}
"""Streamlit options that the gate relies on. A variable or a flag could have undone one of them."""


class NotHardened(SynchistError):
    """A Streamlit option is not what the gate relies on."""

    def __init__(self, option: str) -> None:
        super().__init__(
            f"Streamlit's option {option} must be {HARDENING[option]!r}. Start the server in the"
            " project's folder, and set it neither by a flag nor by a variable."
        )


class DemoExposed(SynchistError):
    """The demo would be served to other computers."""

    def __init__(self) -> None:
        super().__init__(
            "The demo has accounts without passwords and is served on this computer only. Set"
            " Streamlit's option server.address to localhost, or use another database."
        )


def check_hardening() -> None:
    """Raise NotHardened for the first option in force that is not as it must be."""
    for option, needed in HARDENING.items():
        if config.get_option(option) != needed:
            raise NotHardened(option)


def check_exposure() -> None:
    """Raise DemoExposed if the demo would be served beyond this computer."""
    with reading() as connection:
        demo = is_demo(connection)
    if demo and not is_loopback(config.get_option("server.address") or ""):
        raise DemoExposed


def warn_of_an_owner() -> None:
    """Log one sentence if the product signs in with more rights than it needs."""
    if warning := unguarded():
        log.warning(warning)


class StartUp:
    """ASGI middleware that prepares the database before the server starts, or refuses to start.

    In the protocol's own words, so that the server logs one sentence and exits; an error raised in
    a lifespan would be logged with its traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check when the server starts; let everything else pass."""
        if scope["type"] == "lifespan":
            try:
                await to_thread.run_sync(_check)
            except Exception as error:
                # Whatever it is: an exception here would make the server skip the checks and
                # serve all the same.
                await receive()
                await send({"type": "lifespan.startup.failed", "message": _reason(error)})
                return
            with companion.at_work():
                await self.app(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _reason(error: Exception) -> str:
    """One sentence on what keeps the server from starting."""
    if isinstance(error, SynchistError):
        return str(error)
    identity = token_hex(4)
    log.error("the server could not start", error_id=identity, exc_info=error)
    return f"The server could not start. The log says why, under this error id: {identity}."


def _check() -> None:
    # A traceback in the log says where, and not what every variable held: passwords pass by there.
    ConsoleRenderer.get_active().exception_formatter = plain_traceback
    _collect_garbage_less_often()
    check_hardening()
    prepare()
    warn_of_an_owner()
    check_exposure()


def _collect_garbage_less_often() -> None:
    """A page of rows is a hundred thousand short-lived objects. Every few hundred of them Python
    would look through them all and through every module, for cycles that are not there: a third of
    the time that such a page takes."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


ROUTES: list[BaseRoute] = [*sign_in.ROUTES, *downloads.ROUTES, *readiness.ROUTES]
MIDDLEWARE = [Middleware(StartUp), Middleware(Gate)]
