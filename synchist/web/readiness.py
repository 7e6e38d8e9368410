"""Whether the product can work: what a load balancer asks. It learns nothing else."""

from anyio import CapacityLimiter, to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from synchist.db.engine import reading
from synchist.db.prepare import is_current
from synchist.db.triggers import broken_triggers
from synchist.errors import SynchistError

# Anybody may ask, so asking often must not take the database's connections.
_at_once = CapacityLimiter(1)


async def readyz(_request: Request) -> Response:
    """GET /readyz: 200 if the database answers, is current and keeps the history, else 503."""
    if await to_thread.run_sync(_is_ready, limiter=_at_once):
        return PlainTextResponse("ready")
    return PlainTextResponse("not ready", 503)


ROUTES = [Route("/readyz", readyz, methods=["GET"])]


def _is_ready() -> bool:
    try:
        with reading() as connection:
            return is_current(connection) and not broken_triggers(connection)
    except (SynchistError, SQLAlchemyError):
        return False
