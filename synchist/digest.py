"""What happened since a moment, as a mail says it: what failed, what is stuck, what came back.

- **Failed**: records that are Failed now and have become so, or have failed again, since then.
- **Stuck**: Pending records with a reason to wait (each one of the lists but that they wait for the
  next job), and records that are Failed for more than some days without having been tried since.
- **Came back**: records that were Failed or Pending at that moment, and have become Complete since:
  by an attempt; apart from these, closed by a person; and apart again, closed as “Will not be
  synced”.
"""

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from html import escape
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, literal, select

from synchist.accounts import NotAllowed, Principal, acting, record_access, viewing
from synchist.currencies import money as in_words
from synchist.db.tables import sync_event
from synchist.db.types import utc_now
from synchist.entities import ENTITIES, Entity
from synchist.errors import SynchistError
from synchist.filters import (
    EARLIEST,
    NO_CONNECTION,
    PROBLEM_NAME,
    PROBLEMS,
    Filters,
    Window,
    readable,
    start_of,
    today,
)
from synchist.queries import Total, added
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import CloseReason, SyncStatus

DOING = "make a digest"
TOP_CAUSES, OLDEST = 5, 3
COLUMNS = 78
"""The longest line of a text."""

MOST = ", the most frequent"
NOT_DIAGNOSED = "Not diagnosed yet"


class By(StrEnum):
    """What a digest is told apart by."""

    ENTITY = "entity"
    CONNECTION = "connection"
    BILLING = "billing"


class WrongMoment(SynchistError):
    """A moment that a digest can't begin at."""


@dataclass(frozen=True)
class Row:
    """The records of one entity in one group. `address` leads to exactly these, where a list can
    show them and the installation has an address; else it is empty."""

    group: str
    entity: Entity
    total: Total
    address: str = ""


@dataclass(frozen=True)
class Part:
    """Records in words, and the rows that add up to them. A detail tells the part before it apart
    in another way."""

    words: str
    rows: tuple[Row, ...]
    is_detail: bool = False

    @property
    def total(self) -> Total:
        """The sum of the rows."""
        return added(row.total for row in self.rows)

    @property
    def groups(self) -> Mapping[str, Sequence[Row]]:
        """The rows by group."""
        found: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            found[row.group].append(row)
        return found


@dataclass(frozen=True)
class Old:
    """A record that has been Failed for long."""

    words: str
    address: str


@dataclass(frozen=True)
class Section:
    """Parts under one heading; `nothing` is said where all of them are empty."""

    heading: str
    nothing: str
    parts: tuple[Part, ...]
    oldest: tuple[Old, ...] = ()

    @property
    def told(self) -> list[Part]:
        """The parts that hold something."""
        return [part for part in self.parts if part.rows]


@dataclass(frozen=True)
class Digest:
    """What happened since a moment."""

    since: datetime
    written: datetime
    sections: tuple[Section, ...]


# ---------------------------------------------------------------- since when


def moment_of(text: str) -> datetime:
    """The moment that `yesterday`, `today`, `week`, a day or a day with a time stands for: business
    days begin at midnight in the business time zone, and a time is meant in it.

    Raises WrongMoment.
    """
    named = {"today": 0, "yesterday": 1, "week": 7}
    if text in named:
        return start_of(today() - timedelta(days=named[text]))
    try:
        given = datetime.strptime(text, "%Y-%m-%d" if len(text) == 10 else "%Y-%m-%dT%H:%M")
    except ValueError:
        raise WrongMoment(
            f"“{text}” is no moment. Write yesterday, today, week, a day as 2026-11-22, or a day"
            " with its time as 2026-11-22T17:00."
        ) from None
    since = given.replace(tzinfo=settings().zone).astimezone(UTC)
    if given.date() < EARLIEST or since > utc_now():
        raise WrongMoment(
            f"“{text}” lies in the future."
            if given.date() >= EARLIEST
            else f"Begin on {readable(EARLIEST)} or later."
        )
    return since


# ---------------------------------------------------------------- out of the database


def load(principal: Principal, since: datetime, by: By = By.ENTITY, stuck_days: int = 7) -> Digest:
    """What happened since a moment, up to now.

    It leaves the product, so holders of Hide Export To Excel get none, and it is recorded. Raises
    NotSignedIn, NotAllowed and DatabaseUnavailable.
    """
    with viewing(principal, Role.ACCOUNTING_SYNC, DOING) as (connection, actor):
        if Role.HIDE_EXPORT in actor.roles:
            raise NotAllowed("Your account may not export. Ask an administrator if you need it.")
        sections = (
            _failed(connection, since, by),
            _stuck(connection, by, stuck_days),
            _came_back(connection, since, by),
        )
    found = Digest(since, utc_now(), sections)
    with acting(principal, Role.ACCOUNTING_SYNC, DOING) as (connection, actor):
        record_access(connection, actor, "digest", f"{_intro(found)} By {by}.")
    return found


def _group(entity: Entity, by: By) -> ColumnElement[Any]:
    if by is By.CONNECTION:
        name: ColumnElement[Any] = func.coalesce(entity.connection_name, NO_CONNECTION)
    else:
        name = entity.billing_name if by is By.BILLING else literal("")
    return name.label("group_name")


def _summed(connection: Connection, records: Select[Any]) -> Iterable[Any]:
    """Records counted, and their `amount` summed, by all their other columns."""
    found = records.subquery().c
    by = [column for column in found if column.key != "amount"]
    return connection.execute(select(*by, func.count(), func.sum(found.amount)).group_by(*by)).all()


def _until() -> datetime:
    """The end of today: what a job has dated further ahead shows in no list either."""
    return start_of(today() + timedelta(days=1))


def _address(entity: Entity, filters: Filters | None) -> str:
    """Where a list shows what the filters say."""
    base = settings().address.rstrip("/")
    return f"{base}/{entity.slug}?{filters.address(entity)}" if base and filters else ""


def _of_group(filters: Filters | None, by: By, group: str) -> Filters | None:
    """The filters narrowed to a group; None where no list can be narrowed so."""
    if filters is None or (by is By.CONNECTION and group == NO_CONNECTION):
        return None
    if by is By.CONNECTION:
        return replace(filters, connection=group)
    return replace(filters, billing=group) if by is By.BILLING else filters


def _rows(found: Iterable[tuple[str, Entity, str, int, int]]) -> list[Row]:
    """Rows out of (group, entity, currency, count, sum), in this order of groups and entities."""
    totals: dict[tuple[str, str], Total] = defaultdict(Total)
    entities = {}
    for group, entity, currency, count, amount in found:
        entities[entity.key] = entity
        totals[group, entity.key] = added(
            [totals[group, entity.key], Total(count, {currency: int(amount)})]
        )
    return [Row(group, entities[key], total) for (group, key), total in totals.items()]


def _sorted(rows: Iterable[Row]) -> list[Row]:
    """By the name of the group, then as the entities stand."""
    order = {entity.key: number for number, entity in enumerate(ENTITIES)}
    return sorted(rows, key=lambda row: (row.group.casefold(), row.group, order[row.entity.key]))


def _most(rows: Sequence[Row], number: int | None = None) -> tuple[Row, ...]:
    """The rows of the groups with most records, the largest group first."""
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row.group] += row.total.count
    first = sorted(counts, key=lambda group: (-counts[group], group))[:number]
    return tuple(row for group in first for row in _sorted(rows) if row.group == group)


def _linked(rows: Iterable[Row], filters: Filters | None, by: By) -> tuple[Row, ...]:
    return tuple(
        replace(row, address=_address(row.entity, _of_group(filters, by, row.group)))
        for row in _sorted(rows)
    )


def _failed(connection: Connection, since: datetime, by: By) -> Section:
    day = since.astimezone(settings().zone).date()
    # Lists know days: what began in the middle of one is not what any of them shows.
    filters = Filters(SyncStatus.FAILED, Window.CUSTOM, day, today())
    exact = filters if start_of(day) == since else None
    found, causes = [], []
    for entity in ENTITIES:
        of = entity.table.c
        failed = (
            select(_group(entity, by), of.problem_id, of.currency, of.amount)
            .select_from(entity.source)
            .where(
                of.sync_status == int(SyncStatus.FAILED),
                of.outcome_at >= since,
                of.outcome_at < _until(),
            )
        )
        for group, problem, *sums in _summed(connection, failed):
            found.append((group, entity, *sums))
            causes.append((problem, entity, *sums))
    names = _problems(connection, {problem for problem, *_ in causes if problem})
    why = _rows((names.get(problem, NOT_DIAGNOSED), *rest) for problem, *rest in causes)
    top = [
        replace(row, address=_address(row.entity, _of_problem(exact, row.group)))
        for row in _most(why, TOP_CAUSES)
    ]
    more = len({row.group for row in why}) > TOP_CAUSES
    return Section(
        "Failed",
        "Nothing failed.",
        (
            Part("failed since then, and still Failed", _linked(_rows(found), exact, by)),
            Part(f"By what has to be fixed{MOST if more else ''}", tuple(top), is_detail=True),
        ),
    )


def _of_problem(filters: Filters | None, name: str) -> Filters | None:
    if filters is None or name == NOT_DIAGNOSED:
        return None
    return replace(filters, problem=name)


def _problems(connection: Connection, ids: set[int]) -> Mapping[int, str]:
    """The names of problems by id."""
    of = PROBLEMS.left.c
    rows = connection.execute(
        select(of.id, PROBLEM_NAME).select_from(PROBLEMS).where(of.id.in_(ids))
    )
    return dict(rows.all())


def _stuck(connection: Connection, by: By, days: int) -> Section:
    waiting, reasons, failed = [], [], []
    last = today() - timedelta(days=days + 1)
    old = Filters(SyncStatus.FAILED, Window.CUSTOM, EARLIEST, last)
    for entity in ENTITIES:
        of, group = entity.table.c, _group(entity, by)
        waits = entity.waits if entity.waits is not None else literal("")
        pending = (
            select(group, waits.label("reason"), of.currency, of.amount)
            .select_from(entity.source)
            .where(of.sync_status == int(SyncStatus.PENDING))
        )
        for name, reason, *sums in _summed(connection, pending):
            if reason != entity.waiting[-1]:
                waiting.append((name, entity, *sums))
                reasons.append((reason, entity, *sums))
        left = select(group, of.currency, of.amount).select_from(entity.source)
        for name, *sums in _summed(connection, left.where(*old.conditions(entity))):
            failed.append((name, entity, *sums))
    why = [
        replace(row, address=_address(row.entity, Filters(SyncStatus.PENDING, waits=row.group)))
        for row in _most(_rows(reasons))
    ]
    return Section(
        "Stuck",
        "Nothing is stuck.",
        (
            Part("Pending, with a reason to wait", tuple(_sorted(_rows(waiting)))),
            Part("By why they wait", tuple(why), is_detail=True),
            Part(
                f"Failed for more than {days} {'day' if days == 1 else 'days'}, not tried since",
                _linked(_rows(failed), old, by),
            ),
        ),
        _oldest(connection, old),
    )


def _oldest(connection: Connection, old: Filters) -> tuple[Old, ...]:
    """The records that have been Failed longest, of all entities."""
    found = []
    for entity in ENTITIES:
        of = entity.table.c
        rows = connection.execute(
            select(of.id, of.number, entity.party_name, of.amount, of.currency, of.outcome_at)
            .select_from(entity.source)
            .where(*old.conditions(entity))
            .order_by(of.outcome_at, of.id)
            .limit(OLDEST)
        )
        found += [(row.outcome_at, entity, row) for row in rows]
    base = settings().address.rstrip("/")
    return tuple(
        Old(
            f"{entity.singular} {row.number} of {row[2]}, {in_words(row.amount, row.currency)},"
            f" since {readable(_local(since).date())}",
            f"{base}/record?entity={entity.slug}&id={row.id}" if base else "",
        )
        for since, entity, row in sorted(found, key=lambda one: one[0])[:OLDEST]
    )


ATTEMPT, PERSON, GIVEN_UP, OTHERWISE = "attempt", "person", "given up", "otherwise"


def _came_back(connection: Connection, since: datetime, by: By) -> Section:
    found: dict[str, list[tuple[str, Entity, str, int, int]]] = defaultdict(list)
    for entity in ENTITIES:
        of = entity.table.c
        reason = of.closed_reason
        how = case(
            (reason == CloseReason.WILL_NOT_SYNC.value, GIVEN_UP),
            (reason.is_not(None), PERSON),
            (of.outcome_at == of.sync_at, ATTEMPT),
            else_=OTHERWISE,
        ).label("how")
        complete = (
            select(
                _group(entity, by),
                how,
                _status_at(entity, since).label("status"),
                of.currency,
                of.amount,
            )
            .select_from(entity.source)
            .where(
                of.sync_status == int(SyncStatus.COMPLETE),
                of.outcome_at >= since,
                of.outcome_at < _until(),
            )
        )
        for name, way, status, *sums in _summed(connection, complete):
            if status in (SyncStatus.PENDING.value, SyncStatus.FAILED.value):
                found[way].append((name, entity, *sums))
    words = {
        ATTEMPT: "Failed or Pending then, written to the books by an attempt",
        PERSON: "Failed or Pending then, closed by a person",
        GIVEN_UP: "Failed or Pending then, closed as “Will not be synced”",
        OTHERWISE: "Failed or Pending then, made Complete by a load, an undo or a change in the"
        " database",
    }
    return Section(
        "Came back",
        "Nothing came back: no record that was Failed or Pending then is Complete now.",
        tuple(Part(words[way], tuple(_sorted(_rows(found[way])))) for way in words),
    )


def _status_at(entity: Entity, moment: datetime) -> ColumnElement[Any]:
    """The sync status that a record had at a moment; null where it did not exist yet."""
    event = sync_event.alias().c
    return (
        select(event.sync_status)
        .where(
            and_(
                event.entity == entity.key,
                event.record_id == entity.table.c.id,
                event.at < moment,
            )
        )
        .order_by(event.version.desc())
        .limit(1)
        .scalar_subquery()
    )


# ---------------------------------------------------------------- as people read it


def _local(moment: datetime) -> datetime:
    return moment.astimezone(settings().zone)


def _when(moment: datetime) -> str:
    local = _local(moment)
    return f"{local:%A}, {readable(date(local.year, local.month, local.day))}, {local:%H:%M}"


def _intro(digest: Digest) -> str:
    return f"Since {_when(digest.since)}, up to {_when(digest.written)} ({settings().time_zone})."


def _counted(total: Total) -> str:
    return f"{total.count:,} {'record' if total.count == 1 else 'records'}, {total.money}"


def _printable(text: str) -> str:
    """One line without anything that a terminal would take for a command."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def as_text(digest: Digest) -> str:
    """The digest as plain text, in lines of at most 78 characters."""
    lines = ["Synchist: accounting sync", *_wrapped(_intro(digest)), ""]
    for section in digest.sections:
        lines += [section.heading.upper()]
        if not section.told:
            lines += _wrapped(section.nothing, "  ")
        for part in section.told:
            lines += _part_lines(part)
        if section.oldest:
            lines += ["  The oldest of these:"]
            lines += [line for old in section.oldest for line in _wrapped(old.words, "  - ")]
        lines += [""]
    return "\n".join(lines)


def _part_lines(part: Part) -> list[str]:
    lines = _wrapped(_head(part), "  ")
    for group, rows in part.groups.items():
        counts = [f"{row.entity.count(row.total.count)}, {row.total.money}" for row in rows]
        told = [f"{group}: {'; '.join(counts)}"] if group else counts
        lines += [line for one in told for line in _wrapped(one, "  - ")]
    return lines


def _head(part: Part) -> str:
    """The first line of a part; one that only tells another one apart has no sum of its own."""
    if part.is_detail:
        return f"{part.words}:"
    return f"{_counted(part.total)}: {part.words}."


def _wrapped(text: str, first: str = "") -> list[str]:
    return textwrap.wrap(
        _printable(text),
        COLUMNS,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_on_hyphens=False,
    )


_RULE = "border-bottom: 1px solid rgba(128, 128, 128, 0.35);"
_CELL = f'style="padding: 4px 12px 4px 0; vertical-align: top; {_RULE}"'
_MONEY = f'style="padding: 4px 0; text-align: right; vertical-align: top; {_RULE}"'


def as_html(digest: Digest) -> str:
    """The digest as one document for a mail: inline styles, no images, no scripts. Without colours
    of its own it is readable in light and dark."""
    sections = "".join(_section_html(section) for section in digest.sections)
    return (
        '<!DOCTYPE html>\n<html lang="en" style="color-scheme: light dark;">\n<head>\n'
        '<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        "<title>Synchist: accounting sync</title>\n</head>\n"
        '<body style="font-family: Arial, Helvetica, sans-serif; font-size: 15px;'
        ' line-height: 1.45; max-width: 720px; margin: 0 auto; padding: 16px;">\n'
        '<h1 style="font-size: 20px; margin: 0 0 4px;">Accounting sync</h1>\n'
        f'<p style="margin: 0 0 16px;">{_escaped(_intro(digest))}</p>\n'
        f"{sections}</body>\n</html>\n"
    )


def _escaped(text: str) -> str:
    return escape(_printable(text), quote=True)


def _section_html(section: Section) -> str:
    parts = [f'<h2 style="font-size: 17px; margin: 20px 0 4px;">{_escaped(section.heading)}</h2>\n']
    if not section.told:
        parts.append(f"<p>{_escaped(section.nothing)}</p>\n")
    parts += [_part_html(part) for part in section.told]
    if section.oldest:
        listed = "".join(f"<li>{_link(old.words, old.address)}</li>" for old in section.oldest)
        parts.append(f"<p>The oldest of these:</p>\n<ul>{listed}</ul>\n")
    return "".join(parts)


def _part_html(part: Part) -> str:
    head = _escaped(_head(part))
    if not part.is_detail:
        head = f"<strong>{head}</strong>"
    rows = "".join(
        "<tr>"
        + (_group_cell(group, len(of)) if group and number == 0 else "")
        + f"<td {_CELL}>{_link(row.entity.count(row.total.count), row.address)}</td>"
        + f"<td {_MONEY}>{_unbroken(row.total.money)}</td></tr>"
        for group, of in part.groups.items()
        for number, row in enumerate(of)
    )
    return (
        f'<p style="margin: 8px 0 4px;">{head}</p>\n'
        f'<table style="border-collapse: collapse; width: 100%;">{rows}</table>\n'
    )


def _group_cell(group: str, rows: int) -> str:
    return f'<td rowspan="{rows}" {_CELL}>{_escaped(group)}</td>'


def _unbroken(money: str) -> str:
    """Sums that break between currencies alone."""
    return " + ".join(_escaped(one).replace(" ", "&nbsp;") for one in money.split(" + "))


def _link(words: str, address: str) -> str:
    if not address:
        return _escaped(words)
    return f'<a href="{escape(address, quote=True)}">{_escaped(words)}</a>'
