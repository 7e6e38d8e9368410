"""The audit log: who did what, and when, in one list. Reads only.

What people do is stored where it belongs: operations, accesses, notes, hints, decisions on reports.
What happened to records is millions of events, so that these are read only where asked for. Each
source is asked for its own newest rows, by its own index; then they are put together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pandas as pd
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    Text,
    and_,
    cast,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    union_all,
)
from sqlalchemy.types import TypeEngine

from synchist import queries
from synchist.db.engine import among
from synchist.db.tables import (
    access_event,
    account,
    export_reading,
    operation,
    operation_item,
    reconciliation,
    reconciliation_confirmation,
    reconciliation_line,
    sync_event,
    team_hint,
    triage_event,
)
from synchist.diagnosis import Cause
from synchist.entities import BY_KEY, ENTITIES
from synchist.filters import Filters, Window, parse_range, readable, start_of
from synchist.history import Event, as_event, told
from synchist.settings import settings
from synchist.statuses import Action, EventKind, SyncStatus, reason_label

PREFIX = "audit_"
"""How the page's address parameters begin."""

COMMAND_LINE = "Command line"
NOBODY = "Nobody signed in"

LONGEST_TEXT = 200
_AT_ONCE = 5_000
"""So many events are looked up together."""


class Kind(StrEnum):
    """What the log can be narrowed to."""

    CHANGES = "Status changes"
    NOTES = "Owners and notes"
    HINTS = "Hints of the team"
    SIGN_INS = "Sign-ins"
    DENIALS = "Denials"
    EXPORTS = "Exports"
    UPLOADS = "Uploads"
    DECISIONS = "Decisions on reports"
    MONTHS = "Months signed off"
    BOOKS = "Closed books"
    ACCOUNTS = "Accounts and roles"
    OTHER = "Other"
    ATTEMPTS = "Records: attempts"
    TMS = "Records: TMS"
    UNEXPLAINED = "Records: unexplained"


RECORDS: Mapping[Kind, tuple[EventKind, ...]] = {
    Kind.ATTEMPTS: (EventKind.ATTEMPT,),
    Kind.TMS: (EventKind.CREATED, EventKind.TMS),
    Kind.UNEXPLAINED: (EventKind.DIRECT,),
}
"""What jobs, the TMS and others did to records; what people did to them are operations."""

PEOPLE = frozenset(Kind) - RECORDS.keys()

_ACCESS: Mapping[str, tuple[Kind, str]] = {
    "signed_in": (Kind.SIGN_INS, "Signed in"),
    "signed_out": (Kind.SIGN_INS, "Signed out"),
    "sign_in_failed": (Kind.SIGN_INS, "Sign-in failed"),
    "denied": (Kind.DENIALS, "Denied"),
    "export": (Kind.EXPORTS, "Export"),
    "digest": (Kind.EXPORTS, "Digest"),
    "upload": (Kind.UPLOADS, "File compared"),
    "load": (Kind.UPLOADS, "File loaded"),
    "month_signed_off": (Kind.MONTHS, "Month signed off"),
    "month_reopened": (Kind.MONTHS, "Month reopened"),
    "lock_date": (Kind.BOOKS, "Books closed through"),
    "account_added": (Kind.ACCOUNTS, "Account added"),
    "account_disabled": (Kind.ACCOUNTS, "Account disabled"),
    "account_enabled": (Kind.ACCOUNTS, "Account enabled"),
    "password_set": (Kind.ACCOUNTS, "Password set"),
    "role_granted": (Kind.ACCOUNTS, "Role granted"),
    "role_revoked": (Kind.ACCOUNTS, "Role revoked"),
}
"""Accesses by their stored kind. One that is not here is shown all the same, under Other."""

_TOLD_ELSEWHERE = ("hint_written", "hint_taken_away")
"""Accesses that stand in the log already, from where they say more."""


@dataclass(frozen=True)
class Asked:
    """What of the log is asked for. Days are business days, both included; None means no limit.
    `who` is one of `people`; empty texts and kinds mean no limit, but for records."""

    start: date | None = None
    end: date | None = None
    kinds: frozenset[Kind] = frozenset()
    who: str = ""
    text: str = ""

    @property
    def of(self) -> frozenset[Kind]:
        """The kinds that are looked up."""
        return self.kinds or PEOPLE

    @property
    def records(self) -> bool:
        """Whether events of records are among them."""
        return not self.of.isdisjoint(RECORDS)

    def address(self) -> str:
        """The parameters of the page, and of its export, that ask for just this."""
        days = self.start and self.end and [self.start.isoformat(), self.end.isoformat()]
        values = {
            "range": [Window.CUSTOM.value if days else Window.ALL.value],
            "dates": days or [],
            "kinds": [one.value for one in Kind if one in self.kinds],
            "who": [self.who] if self.who else [],
            "text": [self.text] if self.text else [],
        }
        return urlencode({f"{PREFIX}{name}": value for name, value in values.items()}, doseq=True)

    def sentence(self) -> str:
        """The same in words, for the About sheet and the record of an export."""
        days = (
            f"{readable(self.start)} to {readable(self.end)} ({settings().time_zone})"
            if self.start and self.end
            else "all dates"
        )
        kinds = ", ".join(one.value for one in Kind if one in self.kinds)
        parts = [
            "Audit log",
            days,
            kinds or "everything that people did",
            f"by {self.who}" if self.who else "",
            f"text “{self.text}”" if self.text else "",
        ]
        return "; ".join(part for part in parts if part)


def parse(
    parameters: Mapping[str, Sequence[str]], known: Sequence[str] | None = None
) -> tuple[Asked, list[str]]:
    """What address parameters ask for, and a sentence for each thing that had to be corrected.

    `known` lists the people; somebody who is not among them is left out and said. Never raises.
    """
    corrections: list[str] = []

    def given(name: str) -> list[str]:
        # No text in the database holds a NUL, and PostgreSQL refuses to be asked for one.
        values = (value.replace("\x00", "") for value in parameters.get(f"{PREFIX}{name}", ()))
        return [value for value in values if value]

    window, start, end = parse_range(given("range"), given("dates"), corrections)
    start, end = Filters(window=window, start=start, end=end).days()
    kinds = set()
    for value in given("kinds"):
        if value in set(Kind):
            kinds.add(Kind(value))
        else:
            corrections.append(f"There is no kind of entry “{value[:40]}”; it is left out.")
    who = "".join(given("who")[:1])
    if who and known is not None and who not in known:
        corrections.append(f"There is nobody “{who[:40]}”; showing everybody.")
        who = ""
    text = "".join(given("text")[:1]).strip()
    if len(text) > LONGEST_TEXT:
        corrections.append(f"The text is cut after {LONGEST_TEXT} characters.")
    return Asked(start, end, frozenset(kinds), who, text[:LONGEST_TEXT]), corrections


def people(connection: Connection) -> list[str]:
    """Whom the log can be narrowed to: every account, the command line and nobody."""
    of = account.c
    rows = connection.execute(select(of.name, of.login).order_by(func.lower(of.name), of.login))
    return [*(f"{name} ({login})" for name, login in rows), COMMAND_LINE, NOBODY]


# ---------------------------------------------------------------- reading


def load(connection: Connection, asked: Asked, limit: int) -> pd.DataFrame:
    """The newest entries, at most `limit` of them.

    Columns: `at` (UTC), and as text `kind`, `who`, `what`, `record` (kind and number; empty where
    it is about none), `link` (local address of what it is about, or empty) and `address` (of the
    client, where it is known).
    """
    found = pd.DataFrame(_entries(connection, asked, limit), columns=list(Entry._fields))
    return found.assign(at=pd.to_datetime(found["at"], utc=True))


def count(connection: Connection, asked: Asked, limit: int | None = None) -> int:
    """How many entries there are; with a limit, no more than that many are looked for."""
    sources = _sources(asked)
    if not sources:
        return 0
    found = union_all(*(one.order_by(None) for one in sources)).subquery()
    rows = select(found.c.source).limit(limit).subquery()
    return connection.scalar(select(func.count()).select_from(rows)) or 0


class Entry(NamedTuple):
    """One line of the log."""

    at: datetime
    kind: str
    who: str
    what: str
    record: str = ""
    link: str = ""
    address: str = ""


def _entries(connection: Connection, asked: Asked, limit: int) -> list[Entry]:
    sources = _sources(asked)
    if not sources:
        return []
    rows = connection.execute(_newest(sources, limit)).all()
    return [
        entry
        for first in range(0, len(rows), _AT_ONCE)
        for entry in _told(connection, rows[first : first + _AT_ONCE])
    ]


def _newest(sources: Sequence[Select[Any]], limit: int) -> Select[Any]:
    """The newest rows of all sources; each brings no more than its own newest."""
    newest = [select(one.limit(limit).subquery()) for one in sources]
    found = union_all(*newest).subquery().c
    return (
        select(*found)
        .order_by(found.at.desc(), found.source, func.length(found.key).desc(), found.key.desc())
        .limit(limit)
    )


# ---------------------------------------------------------------- where entries are stored


class Source(StrEnum):
    """A table, or several that belong together."""

    ACCESS = "access"
    OPERATION = "operation"
    NOTE = "note"
    HINT = "hint"
    DECISION = "decision"
    READING = "reading"
    EVENT = "event"


_SAID: Mapping[str, TypeEngine[Any]] = {
    "kind": Text(),
    "actor": Text(),
    "what": Text(),
    "note": Text(),
    "about": Text(),
    "status": Integer(),
    "number": Integer(),
    "entity": Text(),
    "record_id": BigInteger(),
}
"""What a source may say of a row, beside its key and its moment."""


def _sources(asked: Asked) -> list[Select[Any]]:
    """Newest first, each with the same columns. Without any, nothing can match."""
    of, sources = asked.of, []
    if kinds := _access_kinds(of):
        sources.append(_accesses(asked, kinds))
    if Kind.CHANGES in of:
        sources.append(_operations(asked))
    if Kind.NOTES in of:
        sources.append(_notes(asked))
    if Kind.HINTS in of:
        sources.append(_hints(asked))
    if Kind.DECISIONS in of:
        sources += [_decisions(asked), _readings(asked)]
    if asked.records and not asked.who:  # nobody's doing
        sources += _events(asked)
    return sources


def _source(
    source: Source,
    table: Table,
    keys: Sequence[ColumnElement[Any]],
    asked: Asked,
    searched: Sequence[ColumnElement[str]] = (),
    **said: Any,
) -> Select[Any]:
    """The rows of a table of the days, the person and the text that are asked for."""
    at = table.c.at
    first, *others = (cast(key, Text) for key in keys)
    key: ColumnElement[str] = sum((literal("/") + one for one in others), start=first)
    conditions = [*_by(table, asked)] if "actor" in table.c else []
    if asked.start and asked.end:
        conditions += [at >= start_of(asked.start), at < start_of(asked.end + timedelta(days=1))]
    if asked.text:
        conditions.append(or_(*(one.icontains(asked.text, autoescape=True) for one in searched)))
    return (
        select(
            literal(source.value).label("source"),
            key.label("key"),
            at.label("at"),
            *(cast(said.get(name, null()), type_).label(name) for name, type_ in _SAID.items()),
        )
        .where(*conditions)
        .order_by(at.desc(), *(key.desc() for key in keys))
    )


def _by(table: Table, asked: Asked) -> list[ColumnElement[bool]]:
    """That somebody did it. A failed sign-in knows only the login that was tried."""
    of = table.c
    if not asked.who:
        return []
    at_the_terminal = of.actor.startswith("cli:")  # which no login can begin with
    if asked.who == COMMAND_LINE:
        return [of.actor_id.is_(None), at_the_terminal]
    if asked.who == NOBODY:
        return [of.actor_id.is_(None), not_(at_the_terminal)]
    login = asked.who.rpartition("(")[2].removesuffix(")")
    whose = select(account.c.id).where(account.c.login == login).scalar_subquery()
    return [or_(of.actor_id == whose, and_(of.actor_id.is_(None), of.actor == login))]


def _access_kinds(of: frozenset[Kind]) -> list[Kind]:
    every = {kind for kind, _ in _ACCESS.values()} | {Kind.OTHER}
    return [kind for kind in Kind if kind in of & every]


def _accesses(asked: Asked, kinds: Sequence[Kind]) -> Select[Any]:
    of = access_event.c
    found = _source(
        Source.ACCESS,
        access_event,
        [of.id],
        asked,
        [of.detail],
        kind=of.kind,
        actor=of.actor,
        what=of.detail,
    ).where(of.kind.not_in(_TOLD_ELSEWHERE))
    stored = [name for name, (kind, _) in _ACCESS.items() if kind in kinds]
    if Kind.OTHER not in kinds:
        return found.where(of.kind.in_(stored))
    left_out = _ACCESS.keys() - set(stored)
    return found.where(of.kind.not_in(left_out)) if left_out else found


def _operations(asked: Asked) -> Select[Any]:
    """All but loads, which are accesses. Where it was about one record, which."""
    of, item = operation.c, operation_item.c
    only = item.operation_id == of.id, of.requested == 1
    return _source(
        Source.OPERATION,
        operation,
        [of.id],
        asked,
        [of.note, of.filters],
        kind=of.action,
        actor=of.actor,
        what=of.filters,
        note=of.note,
        about=of.reason,
        status=of.to_status,
        number=of.requested,
        entity=select(func.max(item.entity)).where(*only).scalar_subquery(),
        record_id=select(func.max(item.record_id)).where(*only).scalar_subquery(),
    ).where(of.action != Action.LOAD.value)


def _notes(asked: Asked) -> Select[Any]:
    of = triage_event.c
    return _source(
        Source.NOTE,
        triage_event,
        [of.id],
        asked,
        [of.note, of.owner],
        actor=of.actor,
        note=of.note,
        about=of.owner,
        entity=of.entity,
        record_id=of.record_id,
    )


def _hints(asked: Asked) -> Select[Any]:
    of = team_hint.c
    return _source(
        Source.HINT,
        team_hint,
        [of.id],
        asked,
        [of.text, of.named],
        actor=of.actor,
        note=of.text,
        what=of.cause,
        about=of.named,
    )


def _decisions(asked: Asked) -> Select[Any]:
    """That a line of a file and a record are the same."""
    of, file, line = reconciliation_confirmation.c, reconciliation.c, reconciliation_line.c
    return (
        _source(
            Source.DECISION,
            reconciliation_confirmation,
            [of.reconciliation_id, of.position],
            asked,
            [file.file_name],
            actor=of.actor,
            about=file.file_name,
            entity=file.entity,
            record_id=line.record_id,
        )
        .select_from(reconciliation_confirmation)
        .join(reconciliation, file.id == of.reconciliation_id)
        .join(
            reconciliation_line,
            and_(line.reconciliation_id == file.id, line.position == of.record_position),
        )
    )


def _readings(asked: Asked) -> Select[Any]:
    """How files with certain headings are to be read."""
    of = export_reading.c
    return _source(
        Source.READING, export_reading, [of.id], asked, [of.reading], actor=of.actor, what=of.entity
    )


def _events(asked: Asked) -> list[Select[Any]]:
    """What happened to records, apart by the columns that come before the moment in its index."""
    of = sync_event.c
    kinds = [event.value for kind in RECORDS if kind in asked.of for event in RECORDS[kind]]
    return [
        _source(
            Source.EVENT,
            sync_event,
            [of.id],
            asked,
            [of.number, of.sync_error, of.sync_reference],
            kind=of.kind,
            entity=of.entity,
            record_id=of.record_id,
        ).where(of.entity == entity.key, of.sync_status == int(status), of.kind.in_(kinds))
        for entity in ENTITIES
        for status in SyncStatus
    ]


# ---------------------------------------------------------------- in words


def _told(connection: Connection, rows: Sequence[Any]) -> list[Entry]:
    """Rows as people read them."""
    numbers, events = _numbers(connection, rows), _happened(connection, rows)
    return [_entry(row, numbers, events) for row in rows]


def _numbers(connection: Connection, rows: Sequence[Any]) -> dict[tuple[str, int], str]:
    """The numbers of the records that entries are about."""
    found = {}
    for entity in ENTITIES:
        ids = [row.record_id for row in rows if row.entity == entity.key]
        for record, number in queries.numbers(connection, entity, ids).items():
            found[entity.key, record] = number
    return found


def _happened(connection: Connection, rows: Sequence[Any]) -> dict[str, Event]:
    """What events tell, by their key: as in the history of a record, each beside the one before."""
    ids = [int(row.key) for row in rows if row.source == Source.EVENT]
    before = _before(connection, ids)
    of = sync_event.c.id
    looked_up = among(connection, list({*ids, *before.values()}))
    found = {
        row.id: row for row in connection.execute(told().add_columns(of).where(of.in_(looked_up)))
    }
    return {str(one): as_event(found[one], found.get(before.get(one))) for one in ids}


def _before(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """The event before each, where it is not the first. One by one, else SQLite looks at all."""
    of, earlier = sync_event.c, sync_event.alias("earlier").c
    one_before = select(earlier.id).where(
        earlier.entity == of.entity,
        earlier.record_id == of.record_id,
        earlier.version == of.version - 1,
    )
    rows = connection.execute(
        select(of.id, one_before.scalar_subquery()).where(of.id.in_(among(connection, ids)))
    )
    return {one: before for one, before in rows if before is not None}


def _entry(row: Any, numbers: Mapping[Any, str], events: Mapping[str, Event]) -> Entry:
    """A row of any source. What it is about is a record, where the source names one."""
    if row.source == Source.EVENT:
        event = events[row.key]
        entry = Entry(row.at, _EVENTS[row.kind], event.who, _came(event))
    else:
        kind, what = _WORDS[row.source](row)
        entry = Entry(row.at, kind, row.actor, what)
    if row.source == Source.ACCESS and not entry.what:
        entry = entry._replace(address=row.what.removeprefix("from "))
    if row.record_id is not None:
        entity, number = BY_KEY[row.entity], numbers.get((row.entity, row.record_id), "")
        entry = entry._replace(
            record=f"{entity.singular.capitalize()} {number}",
            link=f"/record?entity={entity.slug}&id={row.record_id}",
        )
    if page := _PAGES.get(row.source):
        entry = entry._replace(link=f"/{page}?id={row.key.partition('/')[0]}")
    return entry


_PAGES = {Source.OPERATION: "operations", Source.DECISION: "reconcile"}
"""The pages that show more of an entry than its record does."""

_EVENTS = {
    EventKind.ATTEMPT: "Attempt",
    EventKind.CREATED: "TMS",
    EventKind.TMS: "TMS",
    EventKind.DIRECT: "Unexplained",
}


def _accessed(row: Any) -> tuple[str, str]:
    other = (Kind.OTHER, row.kind.replace("_", " ").capitalize())
    kind, words = _ACCESS.get(row.kind, other)
    return words, "" if kind is Kind.SIGN_INS else row.what


def _changed(row: Any) -> tuple[str, str]:
    """What was asked for, for how many records, and why."""
    number = f"{row.number:,} {'record' if row.number == 1 else 'records'}"
    to = "" if row.status is None else f" to {SyncStatus(row.status).label}"
    reason = f" ({reason_label(row.about)})" if row.about else ""
    parts = [number + to + reason, f"“{row.note}”" if row.note else "", row.what]
    kind = "Change taken back" if row.kind == Action.UNDO else "Status change"
    return kind, " · ".join(part for part in parts if part)


def _noted(row: Any) -> tuple[str, str]:
    whose = f"Owner {row.about}" if row.about else "Nobody's"
    return "Owner and note", whose + (f", note “{row.note}”" if row.note else ", no note")


def _hinted(row: Any) -> tuple[str, str]:
    subject = f"the cause “{Cause.from_stored(row.what).label}”" if row.what else f"“{row.about}”"
    return "Hint", f"For {subject}: {row.note}" if row.note else f"Taken away for {subject}"


def _decided(row: Any) -> tuple[str, str]:
    return "Decision on a report", f"A line of {row.about} is this record"


def _read_as(row: Any) -> tuple[str, str]:
    of = BY_KEY[row.what].plural
    return "Decision on a report", f"How files of {of} with the same headings are read"


_WORDS: Mapping[str, Callable[[Any], tuple[str, str]]] = {
    Source.ACCESS: _accessed,
    Source.OPERATION: _changed,
    Source.NOTE: _noted,
    Source.HINT: _hinted,
    Source.DECISION: _decided,
    Source.READING: _read_as,
}
"""Kind and words of what people do."""


def _came(event: Event) -> str:
    """What happened, with the error that it brought or the reference that the books gave."""
    if event.error:
        return f"{event.what}: {event.error}"
    if event.reference and event.status is SyncStatus.COMPLETE:
        return f"{event.what}, reference {event.reference}"
    return event.what
