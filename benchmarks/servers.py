"""Servers to measure: the product's, and one for the bare page that it is compared with."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.databases import HOME, VARIABLE, Database

ROOT = Path(__file__).resolve().parent.parent
BARE_PAGE = Path(__file__).with_name("bare_page.py")

FRAMES = HOME / "frames.pickle"
"""What the bare page shows, left there by the measuring process: a dict of frames."""

STATUSES = ("Complete", "Failed")
TICKED = "ticked"
"""Its keys: the frames to change between, and the one to tick in."""


class NotServed(Exception):
    """A server did not begin to answer."""


@contextmanager
def product(database: Database) -> Iterator[str]:
    """The address of the real product on a database."""
    with _streamlit("app.py", "/readyz", {VARIABLE: database.url}) as address:
        yield address


@contextmanager
def bare_page() -> Iterator[str]:
    """The address of the bare page, on the same Streamlit with the same options."""
    with _streamlit(str(BARE_PAGE), "/_stcore/health", {}) as address:
        yield address


@contextmanager
def _streamlit(script: str, health: str, variables: dict[str, str]) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = HOME / f"server-{port}.log"
    command = [sys.executable, "-m", "streamlit", "run", script, "--server.port", str(port)]
    with output.open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://localhost:{port}"
        _wait(address + health, process, output)
        yield address
    finally:
        process.terminate()
        process.wait(30)
    output.unlink()


def _wait(url: str, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, timeout=5).status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise NotServed(output.read_text()[-2000:])
