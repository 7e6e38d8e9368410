"""What others made: the locks, what is known against them (`make audit`), and the licences.

`make audit` runs in an environment of its own, see `requirements-audit.txt`.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
RUN, DEV, AUDIT = (ROOT / f"requirements{of}.lock" for of in ("", "-dev", "-audit"))
SBOM = ROOT / "docs" / "sbom.json"
LICENCES = ROOT / "docs" / "licences.md"

SERVICES = {"pypi": "PyPI", "osv": "OSV"}
NOTHING_KNOWN, VULNERABLE, NOT_ANSWERED = 0, 1, 2

# Read in the files of packages whose metadata name no licence, or only a family of them.
READ = {
    "altair": "BSD-3-Clause",
    "itsdangerous": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "protobuf": "BSD-3-Clause",
    "pydeck": "Apache-2.0",
    "pysqlite3": "Zlib",
}
# What may be part of the product wherever it is used. MPL-2.0 asks for the source of changed files,
# and nothing is changed.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "MIT", "MIT-0", "MIT-CMU"),
    *("MPL-2.0", "PSF-2.0", "Zlib"),
}
# What may be part of it for a reason, which stands in docs/licences.md.
ALLOWED_FOR = {
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
}

PIN = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+?))?"
    r"(?P<hashes>(?: \\\n +--hash=sha256:[0-9a-f]{64})+)\n(?P<via>(?: +#.*\n)*)"
)


@dataclass(frozen=True)
class Pin:
    """A locked package: what pip may install, and on whose behalf."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]
    via: tuple[str, ...]

    @property
    def direct(self) -> bool:
        """Whether a list of requirements names it."""
        return any(user.startswith("-r ") for user in self.via)


def pins(lock: str) -> list[Pin]:
    """What a lock holds. Raises ValueError for a line without an exact version or a hash."""
    _, *blocks = re.split(r"^(?=[^#\s])", "\n" + lock, flags=re.MULTILINE)
    found = []
    for block in blocks:
        if (line := PIN.fullmatch(block)) is None:
            raise ValueError(f"not locked: {block.splitlines()[0]}")
        found.append(
            Pin(
                line["name"],
                line["version"],
                line["marker"] or "",
                tuple(re.findall(r"sha256:(\w+)", line["hashes"])),
                tuple(re.findall(r"^ +#(?: via)? +((?!via).+)$", line["via"], re.MULTILINE)),
            )
        )
    return found


# --- Known vulnerabilities

Locked = tuple[str, str]  # name and version


def asked(service: str, locked: Iterable[Locked], arguments: Sequence[str]) -> dict[Locked, list]:
    """What a service knows of packages; one that it gave no answer about is missing."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.writelines(f"{name}=={version}\n" for name, version in locked)
        listed.flush()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip_audit", "--vulnerability-service", service),
                *("--requirement", listed.name, "--no-deps", "--disable-pip"),
                *("--format", "json", "--progress-spinner", "off", *arguments),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    if not done.stdout:
        print(f"{SERVICES[service]}:", *done.stderr.splitlines()[-1:], file=sys.stderr)
    return answers(done.stdout)


def answers(report: str) -> dict[Locked, list]:
    """The answers in what pip-audit has printed, which may be nothing at all."""
    try:
        dependencies = json.loads(report)["dependencies"]
    except ValueError:
        return {}
    return {
        (canonicalize_name(one["name"]), one["version"]): one["vulns"]
        for one in dependencies
        if "vulns" in one  # else it was skipped: PyPI has no page for it, says pip-audit
    }


def verdict(
    locked: Iterable[Locked], known: Mapping[Locked, Sequence[Mapping]]
) -> tuple[int, list[str]]:
    """The exit code and what to say. Silence about a package is no all-clear."""
    everything = sorted(locked)
    silent = [name for name, version in everything if (name, version) not in known]
    found = [
        f"  {name} {version}: {', '.join([one['id'], *one['aliases']])}; "
        f"fixed in {', '.join(one['fix_versions']) or 'no version so far'}"
        for name, version in everything
        for one in known.get((name, version), ())
    ]
    said = []
    if found:
        said += ["Known vulnerabilities:", *found]
        said.append(
            "Raise what stands in a requirements*.txt there and run make lock; the rest with "
            'make lock ARGS="--upgrade-package NAME".'
        )
    if len(silent) == len(everything):
        said.append(
            f"{' and '.join(SERVICES.values())} could not be asked, so nothing is known about the "
            f"{len(everything)} locked packages. This is no all-clear: run make audit where one of "
            "them can be reached."
        )
    elif silent:
        said.append(
            f"Nothing is known about {len(silent)} of {len(everything)} locked packages, which is "
            f"no all-clear: {', '.join(silent)}."
        )
    if not said:
        said.append(f"No known vulnerability in {len(everything)} locked packages.")
    return VULNERABLE if found else NOT_ANSWERED if silent else NOTHING_KNOWN, said


def audit(arguments: Sequence[str]) -> int:
    """Ask for what is known about everything that is locked; the next service fills the gaps."""
    locked = {
        (pin.name, pin.version) for lock in (RUN, DEV, AUDIT) for pin in pins(lock.read_text())
    }
    known: dict[Locked, list] = {}
    for service in SERVICES:
        if missing := sorted(locked - known.keys()):
            known |= asked(service, missing, arguments)
    code, said = verdict(locked, known)
    print(*said, sep="\n")
    return code


# --- Licences


def licence(name: str, metadata: Mapping[str, str]) -> str:
    """The licence of a package as an SPDX expression.

    Raises ValueError where the metadata leave it open and nobody has read it.
    """
    for stated in (metadata["License-Expression"], metadata["License"], READ.get(name)):
        try:
            return canonicalize_license_expression(stated or "")
        except InvalidLicenseExpression:
            continue
    raise ValueError(f"{name} does not say its licence: read it, and add it to READ")


def may_be_used(name: str, expression: str) -> bool:
    """Whether a package under this licence may be part of the product."""
    return ALLOWED_FOR.get(name) == expression or all(
        any(one in ALLOWED for one in alternatives.split(" OR "))
        for alternatives in expression.split(" AND ")
    )


HEAD = """\
# Licences

Everything the product runs on, down to what its dependencies need in turn. `make sbom` writes this
page and [sbom.json](sbom.json) from `requirements.lock` and the metadata of what is installed;
a licence that is not on the list in `tests/supply.py` turns a test red.

- No licence here asks that the product itself be published. No GPL, no AGPL.
- psycopg and psycopg-binary, the driver of PostgreSQL, are under the LGPL: used unchanged, as
  libraries that anyone may replace by another version.
- MPL-2.0 asks for the source of changed files; nothing is changed.
- Compiled wheels carry further libraries, such as SQLite, libpq, OpenSSL, OpenBLAS and Arrow: their
  terms stand in the licence files inside the wheels.

"""


def page(sbom: Mapping) -> str:
    """The page of licences: what stands in the bill of materials, for people."""
    of = {part["bom-ref"]: part for part in sbom["components"]}
    users: dict[str, list[str]] = {ref: [] for ref in of}
    for each in sbom["dependencies"]:
        for used in each.get("dependsOn", ()):
            users[used].append(of[each["ref"]]["name"] if each["ref"] in of else "Synchist")
    kinds = Counter(declared(part) for part in of.values())
    summary = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common())
    rows = (
        f"| {part['name']} | {part['version']} | {declared(part)} "
        f"| {', '.join(sorted(users[ref], key=str.lower))} |"
        for ref, part in of.items()
    )
    table = "\n".join(["| package | version | licence | needed by |", "|---|---|---|---|", *rows])
    return f"{HEAD}{len(of)} packages: {summary}.\n\n{table}\n"


def declared(part: Mapping) -> str:
    """The licence of a component of the bill."""
    (one,) = part["licenses"]
    return one.get("expression") or one["license"]["id"]


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1:]))
