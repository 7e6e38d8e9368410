"""The documentation names what is there: each setting, each dependency, each target."""

import re
import tomllib
from pathlib import Path

import pytest

from synchist.settings import Settings
from tests.conftest import ROOT

DOCS = ROOT / "docs"


def rows(page: Path) -> set[str]:
    """The lines of the tables on a page."""
    return {line for line in page.read_text().splitlines() if line.startswith("| ")}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_stands_in_the_table_as_it_is(name: str) -> None:
    field = Settings.model_fields[name]
    default = str(field.default) or "(empty)"
    if isinstance(field.default, bool):
        default = default.lower()
    line = f"| `SYNCHIST_{name.upper()}` | {default} | {field.description} |"
    assert line in rows(DOCS / "settings.md")


def test_no_setting_is_documented_that_is_gone() -> None:
    documented = re.findall(r"^\| `SYNCHIST_(\w+)`", (DOCS / "settings.md").read_text(), re.M)
    assert [name.lower() for name in documented] == list(Settings.model_fields)


def test_the_default_date_range_is_explained() -> None:
    """B4."""
    page = " ".join((DOCS / "settings.md").read_text().split())
    assert (
        "from the same day last month through today, both included, in the business time zone"
        in page
    )


def test_every_dependency_has_licence_and_reason() -> None:
    required = []
    for file in ("requirements.txt", "requirements-dev.txt", "requirements-audit.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if name := re.match(r"[A-Za-z][\w-]*", line):
                assert "==" in line, f"{line} is not pinned"
                required.append(name[0])
    table = [row.strip("| ").split(" | ") for row in rows(DOCS / "dependencies.md")]
    documented = {cells[0]: cells[1:] for cells in table if cells[0] != "package"}
    assert documented.keys() == set(required)
    assert all(len(cells) == 2 and all(cells) for cells in documented.values())


def test_contributing_stays_short() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 30


def test_every_target_is_listed_by_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony is not None
    assert phony[1].split() == re.findall(r"^([a-z]+):.*## ", makefile, re.M)


def test_every_report_is_on_the_page_of_exports() -> None:
    page = (DOCS / "exports.md").read_text().lower()
    words = tomllib.loads((ROOT / "synchist/reconciliation/vocabulary.toml").read_text())
    for report in words["reports"]:
        assert any(f"| {title} |" in page for title in report["titles"]), report["titles"][0]
