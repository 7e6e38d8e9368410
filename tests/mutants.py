"""Tries the tests themselves: `make mutants` breaks one control at a time, in a copy of the tree.

The breaks are data, `mutants.toml`. One that turns no test red, or that no longer applies, ends
the run with exit code 1.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IGNORED = shutil.ignore_patterns(
    *(".git", ".venv", "data", "__pycache__", "*_cache", ".hypothesis", "screenshots")
)
GREEN, RED = 0, 1


@dataclass(frozen=True)
class Mutant:
    """One control, how it is broken, and the tests that should notice."""

    name: str
    file: str
    before: str
    after: str
    tests: list[str]

    def broken(self, source: str) -> str:
        """The source with this control broken. Raises ValueError where that is not possible."""
        found = source.count(self.before)
        if found != 1:
            raise ValueError(f"“{self.before}” stands {found} times in {self.file}")
        return source.replace(self.before, self.after)


def mutants() -> list[Mutant]:
    """All of them, as declared."""
    declared = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [Mutant(**values) for values in declared["mutant"]]


def run(tree: Path, tests: Iterable[str]) -> tuple[int, str]:
    """Run tests of a tree until the first one fails; pytest's exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tree,
        # Compiled files are told apart by their second: too coarse for what happens here.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def verdict(tree: Path, mutant: Mutant) -> tuple[bool, str]:
    """Whether the break was noticed, and by which test, or what went wrong."""
    path = tree / mutant.file
    source = path.read_text(encoding="utf-8")
    try:
        path.write_text(mutant.broken(source), encoding="utf-8")
        code, said = run(tree, mutant.tests)
    except ValueError as error:
        return False, f"does not apply any more: {error}"
    finally:
        path.write_text(source, encoding="utf-8")
    if code == GREEN:
        return False, "NOT NOTICED"
    noticed = re.search(r"^(?:FAILED|ERROR) \S*?::(.+?)(?: - .*)?$", said, re.MULTILINE)
    if code != RED or noticed is None:
        return False, f"the tests did not run:\n{said[-1_500:]}"
    return True, noticed[1]


def main() -> int:
    """Break them all in turn and print what noticed each."""
    words = sys.argv[1:] or [""]
    chosen = [mutant for mutant in mutants() if any(word in mutant.name for word in words)]
    if not chosen:
        print("No control has one of these words in its name.")
        return 1
    with tempfile.TemporaryDirectory(prefix="synchist-mutants-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=IGNORED)
        code, said = run(tree, sorted({test for mutant in chosen for test in mutant.tests}))
        if code != GREEN:
            print(f"The tests are red before anything is broken:\n{said[-3_000:]}")
            return 1
        survived = 0
        for mutant in chosen:
            began = time.monotonic()
            noticed, by = verdict(tree, mutant)
            survived += not noticed
            mark = "ok " if noticed else "!! "
            print(f"{mark}{mutant.name:46}{time.monotonic() - began:5.0f} s  {by}", flush=True)
    print(f"{len(chosen)} controls broken, {len(chosen) - survived} breaks noticed.")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
