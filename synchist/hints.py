"""Hints of the team: what colleagues know about a cause or about a named thing, beside our words.

The table only grows. Of each subject the newest row counts; an empty text takes the hint away.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from synchist.accounts import NotAllowed, Principal, acting, record_access
from synchist.db.engine import one_at_a_time
from synchist.db.tables import team_hint
from synchist.db.types import utc_now
from synchist.diagnosis import Cause
from synchist.errors import SynchistError
from synchist.roles import Role

LONGEST = 500
LONGEST_NAME = 200


@dataclass(frozen=True)
class Subject:
    """What a hint is for: a cause, or whatever has a name, whichever the cause. Exactly one of
    the two is given. Names are compared without regard to case and to blanks."""

    cause: Cause | None = None
    named: str = ""

    @property
    def words(self) -> str:
        """Words for people: `the cause “Not permitted”`, `“Norte Produce”`."""
        return f"“{self.named}”" if self.cause is None else f"the cause “{self.cause.label}”"

    @property
    def key(self) -> tuple[str, str]:
        """The same for every spelling of a name."""
        return self.cause or "", " ".join(self.named.casefold().split())


@dataclass(frozen=True)
class Hint:
    """One version of a hint; without text it was taken away. `at` is in UTC, `number` counts the
    versions up to this one."""

    id: int
    subject: Subject
    text: str
    author: str
    at: datetime
    number: int


@dataclass(frozen=True)
class Standing:
    """The newest version of every hint, those that were taken away included."""

    newest: Mapping[tuple[str, str], Hint] = field(default_factory=dict)

    def of(self, subject: Subject) -> Hint | None:
        """The newest version of a subject's hint; None where nobody has ever written one."""
        return self.newest.get(subject.key)

    def told(self, cause: Cause, named: str) -> list[Hint]:
        """The hints to show for a problem: that of the name before that of the cause."""
        found = (self.of(subject) for subject in subjects(cause, named))
        return [hint for hint in found if hint and hint.text]


class InvalidHint(SynchistError):
    """A hint can't be written as it stands; the text says why."""


class HintChanged(SynchistError):
    """Somebody has written about the subject since the author looked at it."""

    def __init__(self, newest: Hint) -> None:
        did = f"written “{newest.text}”" if newest.text else "taken the hint away"
        super().__init__(
            f"Meanwhile {newest.author} has {did}. Your text was not saved, and still stands in the"
            " field: change it if need be, then save again."
        )
        self.newest = newest


def subjects(cause: Cause, named: str) -> list[Subject]:
    """What the hints for a problem can be for, in the order in which they are shown."""
    return [*([Subject(named=named)] if named.strip() else []), Subject(cause)]


# ---------------------------------------------------------------- reading


def load(connection: Connection) -> Standing:
    """Every hint that there is, in one query. There are few: people write each by hand."""
    of = team_hint.c
    each = (
        select(func.max(of.id).label("id"), func.count().label("versions"))
        .where(of.cause.in_(_CAUSES))
        .group_by(of.cause, of.named)
        .subquery()
    )
    found: dict[tuple[str, str], Hint] = {}
    rows = select(team_hint, each.c.versions).join(each, each.c.id == of.id).order_by(of.id)
    for row in connection.execute(rows):
        # Spellings of one name are rows apart: the newest of them counts.
        subject = _subject(row)
        before = found[subject.key].number if subject.key in found else 0
        found[subject.key] = _hint(row, subject, before + row.versions)
    return Standing(found)


def history(connection: Connection, subject: Subject) -> list[Hint]:
    """Every version of a subject's hint, the newest first."""
    of = team_hint.c
    cause = subject.cause or ""
    names = connection.scalars(select(of.named).where(of.cause == cause).distinct())
    spellings = [name for name in names if Subject(subject.cause, name).key == subject.key]
    rows = connection.execute(
        select(team_hint).where(of.cause == cause, of.named.in_(spellings)).order_by(of.id)
    )
    return [_hint(row, _subject(row), number) for number, row in enumerate(rows, 1)][::-1]


# A cause that another version has made known is no longer anything to show.
_CAUSES = ("", *Cause)


def _subject(row: Row[Any]) -> Subject:
    return Subject(Cause(row.cause) if row.cause else None, row.named)


def _hint(row: Row[Any], subject: Subject, number: int) -> Hint:
    return Hint(row.id, subject, row.text, row.actor, row.at, number)


# ---------------------------------------------------------------- writing


def write(principal: Principal, subject: Subject, words: str, seen: int) -> Hint | None:
    """Write the hint for a subject, or take it away by an empty text.

    `seen` is the id of the newest version that the author has seen, 0 for none. Returns the version
    that stands afterwards; what is there already is not written once more. Raises InvalidHint,
    HintChanged, NotSignedIn, NotAllowed, DatabaseUnavailable.
    """
    words = _cleaned(words)
    _check(subject)
    with acting(principal, Role.HINTS, "write a hint") as (connection, actor):
        # Whoever writes must be able to see what about: the role Hints alone shows nothing.
        if Role.ACCOUNTING_SYNC not in actor.roles:
            raise NotAllowed.lacking(Role.ACCOUNTING_SYNC)
        one_at_a_time(connection, team_hint)  # so that none misses another
        standing = load(connection).of(subject)
        if words == (standing.text if standing else ""):
            return standing
        if standing and standing.id != seen:
            raise HintChanged(standing)
        connection.execute(
            insert(team_hint).values(
                cause=subject.cause or "",
                named=subject.named,
                text=words,
                at=utc_now(),
                actor_id=actor.id,
                actor=actor.name,
            )
        )
        kind = "hint_written" if words else "hint_taken_away"
        record_access(connection, actor, kind, f"for {subject.words}")
        return load(connection).of(subject)


def _cleaned(given: str) -> str:
    """Lines of characters that can be seen, with one blank between words."""
    seen = (
        "".join(one for one in line if one.isprintable() or one.isspace())
        for line in given.splitlines()
    )
    lines = "\n".join(" ".join(line.split()) for line in seen)
    cleaned = re.sub(r"\n{3,}", "\n\n", lines).strip()
    if len(cleaned) > LONGEST:
        raise InvalidHint(
            f"The hint has {len(cleaned):,} characters. Shorten it to {LONGEST}, then save again."
        )
    return cleaned


def _check(subject: Subject) -> None:
    named = subject.named
    if (subject.cause is None) == (not named):
        raise InvalidHint("Choose what the hint is for: a cause or a name.")
    if not (named.isprintable() and named == named.strip() and len(named) <= LONGEST_NAME):
        raise InvalidHint("This name can't have a hint. Write one for the cause.")
