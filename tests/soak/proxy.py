"""A wire to PostgreSQL that can be cut around a COMMIT: before the server has seen it, or after it
was carried out and before its reply arrives."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from threading import Thread
from typing import BinaryIO

import psycopg
from sqlalchemy import make_url

COMMIT = (b"Q", b"COMMIT\0")
"""The driver sends it as a simple query."""

READY = b"Z"
"""What ends the server's reply, once the COMMIT is carried out."""


class Cut(StrEnum):
    """When the wire is cut."""

    BEFORE = "before"
    AFTER = "after"


class Proxy:
    """Passes messages on between clients and the server, until a cut that it is armed for."""

    def __init__(self, server: str) -> None:
        with psycopg.connect(server) as connection:
            self._server = (connection.info.host, connection.info.port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        # In plain text, or there would be nothing to read.
        plain = {"sslmode": "disable", "gssencmode": "disable"}
        host, port = self._listening.getsockname()
        through = make_url(server).set(host=host, port=port, query=plain)
        self.url = through.render_as_string(hide_password=False)
        self.armed: Cut | None = None
        self.cuts: Counter[Cut] = Counter()

    def accept(self) -> None:
        """Pass on whatever comes, until nothing is listened to any more."""
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                # Many small messages: each would wait for the one before to be acknowledged.
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire = _Wire(self, client, self._connected())
                for direction in (wire.forth, wire.back):
                    Thread(target=direction, daemon=True).start()

    def _connected(self) -> socket.socket:
        host, port = self._server
        if not host.startswith("/"):
            return socket.create_connection((host, port))
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{host}/.s.PGSQL.{port}")
        return server

    def fire(self) -> Cut | None:
        """What to do at this COMMIT: a cut is for one only."""
        cut, self.armed = self.armed, None
        self.cuts.update([cut] if cut else [])
        return cut

    def close(self) -> None:
        """Listen no more; what is connected stays so."""
        self._listening.shutdown(socket.SHUT_RDWR)  # close() alone would not end accept()
        self._listening.close()


class _Wire:
    """One client's connection."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._cutting = False

    def forth(self) -> None:
        """Pass on what the client says."""
        with self._to_its_end(), self._client.makefile("rb") as source:
            self._server.sendall(_first(source))
            while True:
                kind, content, raw = _next(source)
                cut = self._proxy.fire() if (kind, content) == COMMIT else None
                if cut is Cut.BEFORE:
                    return
                self._cutting = cut is Cut.AFTER
                self._server.sendall(raw)

    def back(self) -> None:
        """Pass on what the server says."""
        with self._to_its_end(), self._server.makefile("rb") as source:
            while True:
                kind, _, raw = _next(source)
                if not self._cutting:
                    self._client.sendall(raw)
                elif kind == READY:
                    return

    @contextmanager
    def _to_its_end(self) -> Iterator[None]:
        """Whichever end closes first takes the other with it."""
        with suppress(OSError, EOFError):
            yield
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _first(source: BinaryIO) -> bytes:
    """The message that begins a connection: it has no type."""
    length = _exactly(source, 4)
    return length + _exactly(source, int.from_bytes(length) - 4)


def _next(source: BinaryIO) -> tuple[bytes, bytes, bytes]:
    """A message: its type, its content, and the whole as it came."""
    kind, length = _exactly(source, 1), _exactly(source, 4)
    content = _exactly(source, int.from_bytes(length) - 4)
    return kind, content, kind + length + content


def _exactly(source: BinaryIO, size: int) -> bytes:
    found = source.read(size)
    if len(found) < size:
        raise EOFError
    return found


@contextmanager
def between(server: str) -> Iterator[Proxy]:
    """A proxy in front of a database."""
    proxy = Proxy(server)
    Thread(target=proxy.accept, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()
