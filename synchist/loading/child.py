"""Reading a file that somebody uploads, in a process of its own: whatever it does there, the server
lives on.

The process is a command of its own (`python -m synchist.loading.child`), not a fork: Streamlit
replaces the main module of the server by a page, which workers of multiprocessing would run again.
"""

import json
import os
import resource
import subprocess
import sys
from datetime import date
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from synchist.loading import files
from synchist.loading.cells import is_blank
from synchist.loading.files import Line, UnreadableFile
from synchist.settings import PROJECT

MOST_BYTES = 10 * 2**20
MEMORY_BYTES = 2**30
"""What reading may take on top of what the process holds when it begins."""

MOST_COLUMNS = 100
MOST_ANSWER = 20 * 2**20
"""How much the server takes back: a workbook can name one long text in millions of cells."""

CPU_SECONDS = 20
WALL_SECONDS = 30

# Each may take a gigabyte; who comes later waits for their turn.
_at_once = BoundedSemaphore(2)


def read_upload(name: str, content: bytes) -> list[Line]:
    """The lines of an uploaded csv or xlsx file. Days and moments are texts in ISO form.

    Raises UnreadableFile, also where the file takes too long or too much memory.
    """
    name = Path(name).name[:100] or "The file"
    if len(content) > MOST_BYTES:
        raise UnreadableFile(f"{name} is larger than {MOST_BYTES >> 20} MB. Split it.")
    try:
        with _at_once:
            done = subprocess.run(  # noqa: S603  (this very module, no shell)
                [sys.executable, "-m", "synchist.loading.child", name],
                input=content,
                capture_output=True,
                timeout=WALL_SECONDS,
                cwd=PROJECT,
                # It reads a file of somebody's, and need not know where the database is.
                env={key: value for key, value in os.environ.items() if "SYNCHIST" not in key},
                check=False,
            )
        answer: Any = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError):
        raise UnreadableFile(
            f"{name} takes too much time or memory to read. Save it again as csv, and try that."
        ) from None
    if isinstance(answer, str):
        raise UnreadableFile(answer)
    return [(line, cells) for line, cells in answer]


def _limit() -> None:
    """Take away what a hostile file would need to hurt the machine."""
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, most in (
        (resource.RLIMIT_AS, held + MEMORY_BYTES),
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _told(name: str, content: bytes) -> str:
    """The lines of a file as JSON. Raises UnreadableFile."""
    lines = []
    for line, cells in files.parse(name, content):
        # Excel keeps formatted cells without content, up to the last column.
        width = max(place for place, cell in enumerate(cells, start=1) if not is_blank(cell))
        if width > MOST_COLUMNS:
            raise UnreadableFile(f"{name} has more than {MOST_COLUMNS} columns.")
        lines.append((line, [_plain(cell) for cell in cells[:width]]))
    told = json.dumps(lines)
    if len(told) > MOST_ANSWER:
        raise UnreadableFile(f"{name} holds too much text. Split it.")
    return told


def _plain(cell: Any) -> Any:
    """A cell as JSON can hold it."""
    if isinstance(cell, date):
        return cell.isoformat()
    return cell if cell is None or isinstance(cell, str | int | float | bool) else str(cell)


def main() -> None:
    """Read a file from standard input and write its lines, or one sentence, as JSON."""
    content = sys.stdin.buffer.read()
    if sys.platform == "linux":
        _limit()
    try:
        answer = _told(sys.argv[1], content)
    except UnreadableFile as error:
        answer = json.dumps(str(error))
    except (MemoryError, RecursionError):
        answer = json.dumps(
            f"{sys.argv[1]} takes too much memory to read. Save it again as csv, and try that."
        )
    sys.stdout.write(answer)


if __name__ == "__main__":
    main()
