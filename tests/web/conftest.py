"""Browsers without a screen, in front of the real gate and the real routes.

Behind them, in place of Streamlit, stands an echo that tells what it was given.
"""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from synchist import accounts
from synchist.accounts import Principal
from synchist.db.engine import reading
from synchist.db.tables import access_event
from synchist.demo import make_demo
from synchist.roles import Role
from synchist.web.gate import Gate
from synchist.web.start import ROUTES
from tests.conftest import Database, owned

OPERATOR = Principal.command_line("operator")
PASSWORD = "correct horse battery"
ORIGIN = "https://sync.example.com"
AWAY, HERE = "192.0.2.7", "127.0.0.1"

Browse = Callable[..., TestClient]


async def _echo(request: Request) -> Response:
    return JSONResponse({"path": request.url.path, "headers": list(request.headers.items())})


async def _stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_json(list(socket.headers.items()))
    await socket.close()


async def _broken(_request: Request) -> Response:
    raise ZeroDivisionError("secret detail /srv/app.py")


@pytest.fixture
def app() -> Starlette:
    methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]
    behind = [
        WebSocketRoute("/{path:path}", _stream),
        Route("/broken", _broken),
        Route("/{path:path}", _echo, methods=methods),
    ]
    return Starlette(routes=[*ROUTES, *behind], middleware=[Middleware(Gate)])


@pytest.fixture
def people(database: Database) -> None:
    """Ana may see the history, Vic may see but not export it, Bob has no role."""
    _add(
        {
            "ana": (Role.ACCOUNTING_SYNC,),
            "vic": (Role.ACCOUNTING_SYNC, Role.HIDE_EXPORT),
            "bob": (),
        }
    )


@pytest.fixture
def overseers(people: None) -> None:
    """And Otto audits, Nora administers, Max does both."""
    _add(
        {
            "otto": (Role.AUDIT,),
            "nora": (Role.ADMINISTRATOR,),
            "max": (Role.AUDIT, Role.ADMINISTRATOR),
        }
    )


def _add(roles: dict[str, tuple[Role, ...]]) -> None:
    for login, held in roles.items():
        accounts.add_account(OPERATOR, login, f"{login.title()} Example", PASSWORD)
        for role in held:
            accounts.grant(OPERATOR, login, role)


@pytest.fixture
def demo(database: Database) -> None:
    with owned():
        make_demo(records=20)


@pytest.fixture
def browse(app: Starlette) -> Browse:
    """A browser: by default elsewhere, over TLS, on our own pages, signed in as nobody."""

    def browser(
        login: str | None = None,
        *,
        origin: str = ORIGIN,
        address: str = AWAY,
        headers: dict[str, str] | None = None,
    ) -> TestClient:
        client = TestClient(
            app,
            base_url=origin,
            headers={"origin": origin} if headers is None else headers,
            client=(address, 50_000),
            follow_redirects=False,
        )
        if login:
            answer = client.post(
                "/sign-in",
                data={"login": login, "password": PASSWORD},
                headers={"origin": origin},
            )
            assert answer.status_code == 303, answer.text
        return client

    return browser


@pytest.fixture
def events() -> Callable[[str], list[tuple[Any, ...]]]:
    """Actor and detail of what was recorded under a kind."""

    def found(kind: str) -> list[tuple[Any, ...]]:
        with reading() as connection:
            rows = connection.execute(
                select(access_event.c.actor, access_event.c.detail)
                .where(access_event.c.kind == kind)
                .order_by(access_event.c.id)
            )
            return [tuple(row) for row in rows]

    return found
