"""What no page of ours sends: one plain sentence each, nothing lost and nothing given away.

Beside it: `tests/ui/test_lists.py` (more tampered addresses, hostile error texts in a browser),
`tests/ui/test_forged.py` (ticks of records that are not there, a stale page), `test_sqlite.py`
(a locked or missing database) and `tests/test_export.py` (formulas).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import openpyxl
import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState

from synchist.db.engine import reading
from synchist.entities import ENTITIES, Entity
from synchist.filters import LONGEST_SEARCH
from synchist.overview import ByStatus, load_open
from tests.conftest import configured
from tests.faults.conftest import Product

SQL = "x' OR 1=1; DROP TABLE invoice; --"
HTML = "<script>alert(1)</script><img src=x onerror=alert(2)>"
ODD = "\x00\ud7ff\u202e%s%n{0}${{x}}\\..//'\";`|"


@pytest.fixture(scope="module")
def product(
    server: str, served: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    """The server of the suite; nothing that is sent to it here changes a record."""
    before = overview(served)
    yield Product(server, served, tmp_path_factory.mktemp("unused") / "output.txt")
    assert overview(served) == before


def overview(url: str) -> dict[str, ByStatus]:
    with configured(url), reading() as connection:
        return load_open(connection)


# ---------------------------------------------------------------- addresses

ADDRESSES = [
    {"status": "bogus"},
    {"status": "2"},
    {"status": ["Failed", "Complete"]},
    {"range": "Custom", "dates": ["2026-03-01", "2026-02-01"]},
    {"range": "Custom", "dates": ["9999-01-01", "9999-12-31"]},
    {"range": "Custom", "dates": ["0001-01-01", "0001-01-02"]},
    {"range": "Custom", "dates": ["2026-02-30", "x"]},
    {"range": "Custom", "dates": ["2026-02-01"] * 50},
    {"range": "Yesterday"},
    {"search": "A" * 10_000},
    {"search": "A" * (LONGEST_SEARCH + 2_000)},
    {"search": "\n".join(f"N{number}" for number in range(1_000))[:LONGEST_SEARCH]},
    *({name: SQL} for name in ("status", "search", "party", "sort")),
    *({name: HTML} for name in ("range", "search", "billing", "rows")),
    *({name: ODD} for name in ("search", "currency", "connection", "dates")),
    {"page": "-1"},
    {"page": "99999999999999999999"},
    {"rows": "10000000"},
    {"differs": "maybe"},
]


def _parameters(address: dict[str, str | list[str]], slug: str) -> dict[str, str | list[str]]:
    return {f"{slug}_{name}": value for name, value in address.items()}


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.slug)
def test_a_tampered_address_of_an_export(product: Product, entity: Entity, tmp_path: Path) -> None:
    """It is a file of what the page shows, or one sentence."""
    slug = entity.slug
    with product.browser() as browser:
        for address in ADDRESSES:
            reply = browser.get(f"/export/{slug}.xlsx", params=_parameters(address, slug))
            assert reply.status_code == 200, address
            file = tmp_path / "export.xlsx"
            file.write_bytes(reply.content)
            assert openpyxl.load_workbook(file).sheetnames[-1] == "About"


def test_a_tampered_address_of_a_page(product: Product) -> None:
    """By the protocol, for what a browser would spell otherwise."""
    for address in ADDRESSES:
        query = urlencode(_parameters(address, "invoices"), doseq=True)
        with product.tab(query=query) as tab:
            tab.run()
            assert re.search(r"\d (failed|complete|pending) invoice", tab.said), address
            assert HTML not in tab.texts()


@pytest.mark.parametrize(
    "number", ["-1", "0", "999999999", "1e9", "9" * 40, SQL, HTML, "١", "1\x00", ""]
)
@pytest.mark.parametrize("entity", ["invoices", "invoice", SQL, ""])
def test_a_tampered_address_of_a_record(product: Product, entity: str, number: str) -> None:
    query = urlencode({"entity": entity, "id": number})
    with product.tab("record", query) as tab:
        tab.run()
        said = " ".join(e.alert.body for e in tab.elements if e.WhichOneof("type") == "alert")
        assert "Open one from" in said


def test_addresses_that_lead_nowhere(product: Product) -> None:
    with product.browser() as browser:
        for path in ("/export/..%2f..%2fetc%2fpasswd.xlsx", "/export/x.xlsx", "/export/", "/%00"):
            reply = browser.get(path)
            assert reply.status_code in (200, 301, 400, 404)
            assert reply.headers.get("location", "/").startswith("/")
            assert "root:" not in reply.text


# ---------------------------------------------------------------- forged widgets


def _forged() -> dict[str, WidgetState]:
    """A value of every kind that the protocol has, as no widget of ours sends it."""
    states = {
        "text": WidgetState(string_value=SQL),
        "markup": WidgetState(string_value=HTML),
        "odd": WidgetState(string_value=ODD),
        "long": WidgetState(string_value="A" * 100_000),
        "number": WidgetState(int_value=2**60),
        "negative": WidgetState(int_value=-(2**60)),
        "fraction": WidgetState(double_value=float("nan")),
        "yes": WidgetState(bool_value=True),
        "broken": WidgetState(json_value="{"),
        "nested": WidgetState(json_value="[" * 500 + "]" * 500),
        "click": WidgetState(trigger_value=True),
        "bytes": WidgetState(bytes_value=b"\xff\x00"),
    }
    for name, texts in (("texts", [SQL, HTML]), ("days", ["9999-12-31", "0001-01-01"])):
        states[name] = WidgetState()
        states[name].string_array_value.data.extend(texts)
    states["numbers"] = WidgetState()
    states["numbers"].int_array_value.data.extend([-1, 2**40])
    for name, click in (("row", '{"row": 999999, "label": "x"}'), ("no row", "{")):
        states[name] = WidgetState()
        states[name].string_trigger_value.data = click
    return states


@pytest.mark.parametrize("kind", _forged())
def test_a_forged_state_of_every_widget(product: Product, kind: str) -> None:
    """The list still shows, or one sentence says that it can't; the next run shows it again."""
    with product.tab() as tab:
        tab.run()
        widgets = {
            identity
            for element in tab.elements
            for identity in re.findall(r'id: "(\$\$ID-[^"]+)"', str(element))
        } | set(tab.grid().button_click_widgets.values())
        assert len(widgets) > 10
        for identity in sorted(widgets):
            state = WidgetState()
            state.CopyFrom(_forged()[kind])
            state.id = identity
            tab.run(state)
            listed = re.search(r"\d (failed|complete|pending) invoice", tab.said)
            assert listed or "Something went wrong" in tab.said, (identity, tab.said)
        with product.tab() as another:
            another.run()
            assert re.search(r"\d failed invoice", another.said)
