"""Anchors: what the newest seal was, kept where the owner of the database can't change it."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from synchist.db.types import moment_text
from synchist.errors import SynchistError
from synchist.settings import settings

EVENT = "newest seal"
"""What the log calls it."""

_LOGGED = re.compile(rf"{EVENT}.*?\bhash=([0-9a-f]{{64}})\b.*?\bnumber=(\d+)")

log = structlog.get_logger()


class SealFileNotWritten(SynchistError):
    """The newest seal can't be kept outside the database."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            "The history is sealed, but the newest seal can't be appended to the file that"
            f" SYNCHIST_SEAL_FILE names: {error.strerror}. Make the file writable, then seal again."
        )


class AnchorsUnreadable(SynchistError):
    """A file of anchors can't be read, or there are none in it."""


@dataclass(frozen=True)
class Anchor:
    """A seal as it was when it was the newest, and the line of the file that says so."""

    number: int
    hash: str
    line: int


@dataclass(frozen=True)
class Anchors:
    """The anchors of a file, and the lines that should be some but can't be read."""

    file: str = ""
    known: list[Anchor] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)


def announce(number: int, hash_: str, source: str, last_id: int, at: datetime) -> None:
    """Tell the log the newest seal, and append it to the seal file if there is one.

    Raises SealFileNotWritten.
    """
    log.info(EVENT, number=number, hash=hash_, source=source, last_id=last_id)
    if not (name := settings().seal_file):
        return
    line = json.dumps({"number": number, "hash": hash_, "at": moment_text(at)})
    try:
        # Nothing is ever overwritten, also where the system would allow it.
        with Path(name).open("a", encoding="ascii") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise SealFileNotWritten(error) from error


def read(path: Path) -> Anchors:
    """The anchors of a seal file, or of a log in which seals were announced among other things.

    Raises AnchorsUnreadable.
    """
    anchors = Anchors(path.name)
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    _sort(anchors, number, line)
    except OSError as error:
        raise AnchorsUnreadable(f"{path} can't be read: {error.strerror}.") from error
    if not anchors.known:
        raise AnchorsUnreadable(
            f"There is no seal in {path}. Name the file that SYNCHIST_SEAL_FILE names, or a log of"
            " the server."
        )
    return anchors


def _sort(anchors: Anchors, number: int, line: str) -> None:
    found = next(_seals(line), None)
    if found is not None:
        anchors.known.append(Anchor(*found, number))
    elif not _of_a_log(line):
        anchors.broken.append(number)


def _seals(line: str) -> Iterator[tuple[int, str]]:
    said = _json(line)
    if said is None:
        yield from ((int(number), hash_) for hash_, number in _LOGGED.findall(line))
        return
    number, hash_ = said.get("number"), said.get("hash")
    if isinstance(number, int) and isinstance(hash_, str):
        yield number, hash_


def _of_a_log(line: str) -> bool:
    """Whether a line without a seal is another entry of a log: JSON with an event, or any text but
    that of a seal or of JSON that breaks off."""
    said = _json(line)
    if said is not None:
        return said.get("event", EVENT) != EVENT
    return EVENT not in line and not line.lstrip().startswith("{")


def _json(line: str) -> dict[str, object] | None:
    """What a line of JSON says; None where it is none."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
