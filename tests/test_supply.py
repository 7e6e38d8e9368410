"""T13. What others made is locked, known by name and licence, and asked about before a release."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import synchist
from tests import supply
from tests.conftest import ROOT

PLATFORMS = [
    {"sys_platform": "linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_machine": "arm64"},
    {"sys_platform": "darwin", "platform_machine": "x86_64"},
    {"sys_platform": "win32", "platform_machine": "AMD64"},
]
STARLETTE, CLICK = ("starlette", "0.27.0"), ("click", "8.5.1")
# As pip-audit 2.10.1 prints it.
REPORT = """
{"dependencies": [
  {"name": "starlette", "version": "0.27.0", "vulns": [{"id": "CVE-2024-47874",
    "fix_versions": ["0.40.0"], "aliases": ["GHSA-f96h-pmfr-66vw"], "description": "…"}]},
  {"name": "click", "version": "8.5.1", "vulns": []},
  {"name": "pandas", "skip_reason": "Dependency not found on PyPI: pandas (3.1.1)"}
], "fixes": []}
"""


def wanted(marker: str | None) -> list[bool]:
    """On which platforms something is installed."""
    return [marker is None or Marker(marker).evaluate(each) for each in PLATFORMS]


def required(file: str) -> dict[str, Requirement]:
    """What a list of requirements asks for, with the lists it takes in."""
    found = {}
    for line in (ROOT / file).read_text().splitlines():
        if line.startswith("-r "):
            found |= required(line.removeprefix("-r "))
        elif line and not line.startswith("#"):
            requirement = Requirement(line)
            found[canonicalize_name(requirement.name)] = requirement
    return found


@pytest.fixture(scope="module")
def bill() -> dict:
    """The bill of materials that a release carries."""
    return json.loads(supply.SBOM.read_text())


@pytest.mark.parametrize("lock", [supply.RUN, supply.DEV, supply.AUDIT], ids=lambda it: it.name)
def test_a_lock_is_that_of_its_requirements(lock: Path) -> None:
    """A red one asks for `make lock`."""
    asked = required(f"{lock.stem}.txt")
    direct = {pin.name: pin for pin in supply.pins(lock.read_text()) if pin.direct}
    assert direct.keys() == asked.keys()
    for name, requirement in asked.items():
        assert str(requirement.specifier) == f"=={direct[name].version}"
        marker = str(requirement.marker) if requirement.marker else None
        assert wanted(direct[name].marker or None) == wanted(marker), name


@pytest.mark.parametrize("lock", [supply.RUN, supply.DEV, supply.AUDIT], ids=lambda it: it.name)
def test_every_locked_package_is_needed_by_another(lock: Path) -> None:
    locked = supply.pins(lock.read_text())
    names = {pin.name for pin in locked}
    assert len(names) == len(locked)
    assert all(pin.direct or names.intersection(pin.via) for pin in locked)


def test_what_is_tested_is_what_runs() -> None:
    def shape(pin: supply.Pin) -> tuple:
        return pin.name, pin.version, pin.marker, pin.hashes

    run, dev = (
        {shape(pin) for pin in supply.pins(of.read_text())} for of in (supply.RUN, supply.DEV)
    )
    assert run <= dev


@pytest.mark.parametrize(
    "line", ["click==8.5.1", "click>=8 \\\n    --hash=sha256:" + "0" * 64, "click @ file:click.whl"]
)
def test_a_lock_has_exact_versions_and_hashes(line: str) -> None:
    with pytest.raises(ValueError, match="not locked: click"):
        supply.pins(f"# made by make lock\n{line}\n    # via -r requirements.txt\n")


def test_no_lock_names_a_place_to_fetch_from() -> None:
    for lock in (supply.RUN, supply.DEV, supply.AUDIT):
        assert not re.search(
            r"://|index-url|find-links|^-|/(?:tmp|home|root)/", lock.read_text(), re.M
        )


@pytest.mark.parametrize("hashed", [True, False])
def test_nothing_is_installed_without_a_hash(tmp_path: Path, hashed: bool) -> None:
    """`make run` takes what has its hash in the lock, and refuses what has none."""
    wheel = tmp_path / "other-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        described = "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"
        file.writestr("other-1.0.dist-info/METADATA", described)
        file.writestr("other-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("other-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"other==1.0 --hash=sha256:{digest}\n" if hashed else "other==1.0\n"
    (tmp_path / "requirements.lock").write_text(lock)
    shutil.copy(ROOT / "Makefile", tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    installed = tmp_path / "installed"
    places = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_TARGET": str(installed)}
    done = subprocess.run(
        ["make", ".venv/run.stamp"],
        cwd=tmp_path,
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == hashed, done.stderr
    assert installed.exists() == hashed
    assert ("Hashes are required" in done.stderr) != hashed


def test_the_bill_of_materials_is_that_of_the_lock(bill: dict) -> None:
    """A red one asks for `make sbom`."""
    billed = {
        (part["name"], part["version"], frozenset(each["content"] for each in part["hashes"]))
        for part in bill["components"]
    }
    locked = supply.pins(supply.RUN.read_text())
    assert billed == {(pin.name, pin.version, frozenset(pin.hashes)) for pin in locked}
    product = bill["metadata"]["component"]
    assert (product["name"], product["version"]) == ("synchist", synchist.__version__)
    needs = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    assert needs["synchist"] == [f"{pin.name}=={pin.version}" for pin in locked if pin.direct]
    assert "timestamp" not in bill["metadata"]


def test_every_licence_is_the_one_its_package_states(bill: dict) -> None:
    installed = {canonicalize_name(one.name): one.metadata for one in distributions()}
    compared = [part for part in bill["components"] if part["name"] in installed]
    assert compared
    for part in compared:
        stated = supply.licence(part["name"], installed[part["name"]])
        assert supply.declared(part) == stated, part["name"]


def test_every_licence_may_be_used(bill: dict) -> None:
    refused = [
        f"{part['name']}: {supply.declared(part)}"
        for part in bill["components"]
        if not supply.may_be_used(part["name"], supply.declared(part))
    ]
    assert refused == []


@pytest.mark.parametrize(
    ("name", "expression", "allowed"),
    [
        ("one", "MIT", True),
        ("one", "MIT OR GPL-3.0-only", True),
        ("one", "BSD-3-Clause AND MIT", True),
        ("one", "MIT AND GPL-2.0-only", False),
        ("one", "AGPL-3.0-or-later", False),
        ("one", "LicenseRef-Proprietary", False),
        ("one", "LGPL-3.0-only", False),
        ("psycopg", "LGPL-3.0-only", True),
        ("psycopg", "GPL-3.0-only", False),
    ],
)
def test_licences_that_ask_for_more_than_we_can_give_are_refused(
    name: str, expression: str, allowed: bool
) -> None:
    assert supply.may_be_used(name, expression) is allowed


def test_a_licence_that_nobody_has_read_stops_the_list() -> None:
    nothing = {"License-Expression": None, "License": "see file"}
    with pytest.raises(ValueError, match="read it"):
        supply.licence("unheard-of", nothing)
    assert supply.licence("jinja2", nothing) == "BSD-3-Clause"


def test_the_page_of_licences_is_that_of_the_bill(bill: dict) -> None:
    """A red one asks for `make sbom`."""
    assert supply.LICENCES.read_text() == supply.page(bill)


def test_both_pages_name_the_same_licences(bill: dict) -> None:
    page = (ROOT / "docs" / "dependencies.md").read_text()
    documented = {
        canonicalize_name(name): licence
        for name, licence in re.findall(r"^\| (\S+) \| (.+?) \|", page, re.M)
    }
    for part in bill["components"]:
        if part["name"] in documented:
            assert supply.declared(part) == documented[part["name"]]


def test_a_known_vulnerability_is_named_with_its_fix() -> None:
    code, said = supply.verdict([CLICK, STARLETTE], supply.answers(REPORT))
    assert code == supply.VULNERABLE
    assert said[1] == "  starlette 0.27.0: CVE-2024-47874, GHSA-f96h-pmfr-66vw; fixed in 0.40.0"


def test_all_clear_is_said_when_every_package_was_answered() -> None:
    code, said = supply.verdict([CLICK], supply.answers(REPORT))
    assert (code, said) == (0, ["No known vulnerability in 1 locked packages."])


def test_a_package_that_was_skipped_is_no_all_clear() -> None:
    code, said = supply.verdict([CLICK, ("pandas", "3.1.1")], supply.answers(REPORT))
    assert code == supply.NOT_ANSWERED
    assert said == ["Nothing is known about 1 of 2 locked packages, which is no all-clear: pandas."]


@pytest.mark.parametrize(
    "report", ["", "Traceback (most recent call last):", '{"dependencies": []}']
)
def test_a_service_out_of_reach_is_no_all_clear(report: str) -> None:
    code, said = supply.verdict([CLICK, STARLETTE], supply.answers(report))
    assert code == supply.NOT_ANSWERED
    assert "This is no all-clear" in said[-1]
