"""The one door for files."""

from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import unquote

import openpyxl
import pytest

from synchist import accounts
from synchist.entities import BY_SLUG
from synchist.roles import Role
from tests.reconciliation.desk import compare, like
from tests.web.conftest import OPERATOR, Browse
from tests.world import World

Events = Callable[[str], list[tuple[Any, ...]]]


@pytest.mark.parametrize("slug", BY_SLUG)
def test_a_workbook_is_an_attachment(
    people: None, world: World, browse: Browse, events: Events, slug: str
) -> None:
    answer = browse("ana").get(f"/export/{slug}.xlsx?{slug}_status=Complete")
    assert answer.status_code == 200
    headers = answer.headers
    assert headers["content-type"].startswith("application/vnd.openxmlformats")
    assert headers["content-disposition"].startswith('attachment; filename="')
    assert "filename*=UTF-8''" in headers["content-disposition"]
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    book = openpyxl.load_workbook(BytesIO(answer.content))
    assert book.sheetnames[0] == BY_SLUG[slug].title
    assert book.worksheets[0].max_row > 1
    assert [actor for actor, _ in events("export")] == ["Ana Example"]


def test_who_may_not_export_reads_one_sentence(
    people: None, world: World, browse: Browse, events: Events
) -> None:
    answer = browse("vic").get("/export/invoices.xlsx")
    assert answer.status_code == 403
    assert answer.headers["content-type"].startswith("text/html")
    assert "content-disposition" not in answer.headers
    assert "Your account may not export." in answer.text
    assert events("denied") == [("Vic Example", "export invoices")]
    assert events("export") == []


def test_hide_export_counts_at_the_next_download(
    people: None, world: World, browse: Browse
) -> None:
    ana = browse("ana")
    assert ana.get("/export/invoices.xlsx").status_code == 200
    accounts.grant(OPERATOR, "ana", Role.HIDE_EXPORT)
    assert ana.get("/export/invoices.xlsx").status_code == 403


@pytest.mark.parametrize("login", [None, "bob"])
def test_without_the_role_there_is_no_download(
    people: None, world: World, browse: Browse, events: Events, login: str | None
) -> None:
    answer = browse(login).get("/export/invoices.xlsx")
    assert answer.status_code == 303
    assert answer.content == b""
    assert events("export") == []


@pytest.mark.parametrize("path", ["nothing.xlsx", "invoice.xlsx", "Invoices.xlsx"])
def test_an_unknown_list_is_not_found(people: None, browse: Browse, path: str) -> None:
    assert browse("ana").get(f"/export/{path}").status_code == 404


def test_asking_for_the_headers_alone_exports_nothing(
    people: None, world: World, browse: Browse, events: Events
) -> None:
    assert browse("ana").head("/export/invoices.xlsx").status_code == 404
    assert events("export") == []


def test_a_months_close_is_an_attachment_too(people: None, browse: Browse) -> None:
    reply = browse("ana").get("/export/close.xlsx?month=2026-10&billing=5&as_of=2026-10-31T17:00")
    assert "Close 2026-10 as of 2026-10-31 1700" in unquote(reply.headers["content-disposition"])
    assert reply.content.startswith(b"PK")
    for wrong in (
        "",
        "month=2026-13",
        "month=2026-10&billing=x",
        "month=2026-10&as_of=then",
        "month=2026-10&as_of=2999-01-01",
    ):
        assert browse("ana").get(f"/export/close.xlsx?{wrong}").status_code == 404


def test_a_reconciliation_is_an_attachment_too(
    people: None, world: World, browse: Browse, events: Events
) -> None:
    identity = compare(OPERATOR, world, [like(world, "complete")])
    path = f"/export/reconciliation/{identity}.xlsx"
    answer = browse("ana").get(path)
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].startswith('attachment; filename="Reconciliation')
    book = openpyxl.load_workbook(BytesIO(answer.content))
    assert book.sheetnames[0] == "Agrees"
    assert [actor for actor, _ in events("export")] == ["Ana Example"]

    assert browse("vic").get(path).status_code == 403
    assert browse("bob").get(path).status_code == 303
    unknown = browse("ana").get("/export/reconciliation/other.xlsx")
    assert unknown.status_code == 404
    assert "There is no such reconciliation" in unknown.text
    assert browse("ana").head(path).status_code == 404
    assert len(events("export")) == 1
