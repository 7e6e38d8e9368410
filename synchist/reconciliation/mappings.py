"""How files with certain headings are read: asked once, remembered for the next file like it."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from hashlib import sha256

from sqlalchemy import Connection, insert, select

from synchist.accounts import Principal, acting
from synchist.db.tables import export_reading
from synchist.db.types import utc_now
from synchist.reconciliation.report import Coverage, Reading
from synchist.roles import Role

LONGEST_HEADING = 80
"""So much of each heading counts; previews hold no more."""


@dataclass(frozen=True)
class Remembered:
    """How somebody has said that files with such headings are read, its `header` where those stand
    in the present file."""

    reading: Reading
    actor: str
    at: datetime


def remember(
    principal: Principal, entity_key: str, headings: Sequence[str], reading: Reading
) -> None:
    """Keep how files with these headings are read; the last answer counts.

    Raises NotSignedIn, NotAllowed, DatabaseUnavailable.
    """
    doing = "say how a file is read"
    with acting(principal, Role.ACCOUNTING_SYNC, doing) as (connection, actor):
        connection.execute(
            insert(export_reading).values(
                at=utc_now(),
                actor_id=actor.id,
                actor=actor.name,
                entity=entity_key,
                headings=_digest(headings),
                reading=json.dumps(asdict(reading)),
            )
        )


def remembered(
    connection: Connection, entity_key: str, rows: Sequence[Sequence[str]], first: int = 1
) -> Remembered | None:
    """What was said last of files in which one of these rows has the headings, if anything was.
    `first` is the number of the first row in the sheet."""
    digests = {_digest(row): number for number, row in enumerate(rows, start=first) if any(row)}
    of = export_reading.c
    row = connection.execute(
        select(export_reading)
        .where(of.entity == entity_key, of.headings.in_(list(digests)))
        .order_by(of.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    told = json.loads(row.reading)
    coverage = Coverage(told["coverage"]) if told["coverage"] else None
    reading = Reading(**{**told, "coverage": coverage, "header": digests[row.headings]})
    return Remembered(reading, row.actor, row.at)


def _digest(headings: Sequence[str]) -> str:
    """The same for headings that differ in case, blanks and empty columns at the end alone."""
    plain = [" ".join(one[:LONGEST_HEADING].split()).casefold() for one in headings]
    return sha256("\x1f".join(plain).rstrip("\x1f").encode()).hexdigest()
