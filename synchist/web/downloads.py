"""The one door for files: whatever leaves the product as a file leaves through `_download`."""

from collections.abc import Callable
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from synchist import audit, export
from synchist.accounts import NotSignedIn, Principal
from synchist.closing.state import Unit
from synchist.closing.workbook import workbook as closed
from synchist.entities import BY_SLUG
from synchist.filters import first_of_month, parse, past_moment
from synchist.reconciliation.workbook import workbook as reconciled
from synchist.web import replies
from synchist.web.request import VISIT, Visit

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# A workbook of many rows takes a core and some hundred MB; who comes later waits for their turn.
_at_once = CapacityLimiter(2)


async def workbook(request: Request) -> Response:
    """GET /export/{slug}.xlsx?…: what the page of the same address shows, as a workbook."""
    entity = BY_SLUG.get(request.path_params["slug"])
    if entity is None or request.method == "HEAD":
        return replies.nothing_here()
    query = request.query_params
    filters, _ = parse(entity, {name: query.getlist(name) for name in query})
    return await _download(request, lambda who: export.workbook(who, entity, filters), XLSX)


async def reconciliation(request: Request) -> Response:
    """GET /export/reconciliation/{id}.xlsx: every line of a reconciliation, as a workbook."""
    if request.method == "HEAD":
        return replies.nothing_here()
    identity = request.path_params["id"]
    return await _download(request, lambda who: reconciled(who, identity), XLSX)


async def close(request: Request) -> Response:
    """GET /export/close.xlsx?month=2026-10&billing=3&connection=2: the close of a month; with a
    billing organization, that of its part in a connection (or without one) alone; with as_of as it
    stood then."""
    if request.method == "HEAD":
        return replies.nothing_here()
    query = request.query_params
    try:
        month = first_of_month(query.get("month", ""))
        books = int(query["connection"]) if query.get("connection") else None
        unit = Unit(month, int(query["billing"]), books) if query.get("billing") else None
    except ValueError:
        return replies.nothing_here()
    asked = query.get("as_of")
    as_of = past_moment(asked, []) if asked else None
    if asked and as_of is None:
        return replies.nothing_here()
    return await _download(request, lambda who: closed(who, month, unit, as_of), XLSX)


async def audit_log(request: Request) -> Response:
    """GET /export/audit.xlsx?…: what the audit log of the same address shows, as a workbook."""
    if request.method == "HEAD":
        return replies.nothing_here()
    query = request.query_params
    asked, _ = audit.parse({name: query.getlist(name) for name in query})
    return await _download(request, lambda who: export.audit_log(who, asked), XLSX)


ROUTES = [
    Route("/export/audit.xlsx", audit_log, methods=["GET"]),
    Route("/export/close.xlsx", close, methods=["GET"]),
    Route("/export/reconciliation/{id}.xlsx", reconciliation, methods=["GET"]),
    Route("/export/{slug}.xlsx", workbook, methods=["GET"]),
]


async def _download(
    request: Request, make: Callable[[Principal], tuple[str, bytes]], media_type: str
) -> Response:
    """A file as an attachment. `make` authorizes, records and returns name and content."""
    visit: Visit = request.scope[VISIT]
    if visit.session is None:
        raise NotSignedIn
    name, content = await to_thread.run_sync(make, visit.session.principal, limiter=_at_once)
    plain = name.encode("ascii", "replace").decode().replace('"', "_").replace("\\", "_")
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    return Response(content, media_type=media_type, headers={"Content-Disposition": disposition})
