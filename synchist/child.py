"""Work on a file that somebody uploads, in a process of its own: whatever it does there, the server
lives on.

The process is a command of its own (`python -m …`), not a fork: Streamlit replaces the main module
of the server by a page, which workers of multiprocessing would run again. What it imports is paid
for at each upload, so this module, and what it is used for, keep to what they need.
"""

import gc
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

from synchist.errors import SynchistError

MOST_BYTES = 10 * 2**20
MEMORY_BYTES = 2**30
"""What reading may take on top of what the process holds when it begins."""

MOST_ANSWER = 40 * 2**20
"""How much the server takes back: a workbook can name one long text in millions of cells."""

CPU_SECONDS = 20
WALL_SECONDS = 30

TOO_MUCH = "{} takes too much time or memory to read. Save it again as csv, and try that."

# Each may take a gigabyte; who comes later waits for their turn.
_at_once = BoundedSemaphore(2)


class UnreadableFile(SynchistError):
    """The file as a whole can't be read."""


def ask(module: str, name: str, content: bytes, *asked: str) -> Any:
    """What a command (`module`) makes of an uploaded file, as JSON can hold it.

    Raises UnreadableFile, also where the file takes too long or too much memory.
    """
    name = Path(name).name[:100] or "The file"
    if len(content) > MOST_BYTES:
        raise UnreadableFile(f"{name} is larger than {MOST_BYTES >> 20} MB. Split it.")
    try:
        with _at_once:
            done = subprocess.run(  # noqa: S603  (a module of ours, no shell)
                [sys.executable, "-m", module, name, *asked],
                input=content,
                capture_output=True,
                timeout=WALL_SECONDS,
                cwd=Path(__file__).resolve().parents[1],
                # It reads a file of somebody's, and need not know where the database is.
                env={key: value for key, value in os.environ.items() if "SYNCHIST" not in key},
                check=False,
            )
        answer: Any = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, OSError, ValueError):
        raise UnreadableFile(TOO_MUCH.format(name)) from None
    if isinstance(answer, str):
        raise UnreadableFile(answer)
    return answer


def serve(work: Callable[[str, bytes, Sequence[str]], Any]) -> None:
    """The other side: take a file from standard input, work on it within limits, and write what
    came of it, or one sentence, as JSON. `work` gets the name, the content and what else was asked.
    """
    gc.disable()  # it ends soon, and until then looking for garbage takes a third of the time
    content = sys.stdin.buffer.read()
    name, *asked = sys.argv[1:]
    if sys.platform == "linux":
        _limit()
    try:
        answer = json.dumps(work(name, content, asked))
        if len(answer) > MOST_ANSWER:
            raise UnreadableFile(f"{name} holds too much text. Split it.")
    except UnreadableFile as error:
        answer = json.dumps(str(error))
    except (MemoryError, RecursionError):
        answer = json.dumps(TOO_MUCH.format(name))
    sys.stdout.write(answer)


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
