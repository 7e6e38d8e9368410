"""What a list shows: parsed from an address, turned into SQL, an address and a sentence.

Page and export addresses are made and parsed here, so that they can't drift apart. Parameters
carry the entity's slug (`invoices_status`), since Streamlit shares them between pages.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    false,
    func,
    literal,
    literal_column,
    or_,
    select,
    union,
)

from synchist.db.tables import account, connection, organization, problem, triage
from synchist.db.types import folded, utc_now
from synchist.diagnosis import Cause
from synchist.entities import Entity, Sort, as_of
from synchist.settings import settings
from synchist.statuses import CloseReason, SyncStatus

EARLIEST = date(2000, 1, 1)
EARLIEST_PAST = date(2001, 1, 1)
"""The first day to look back to, so that the month before it is not too early itself."""
LONGEST_SEARCH = 40_000
MOST_TERMS = 2_000
LONGEST_PROBLEM = 700

AHEAD = timedelta(days=1)
"""How far the clock of a sync job may go wrong: a record changes at its status' time or later."""

LINK = connection.alias("problem_connection")
PROBLEMS = problem.outerjoin(LINK, problem.c.connection_id == LINK.c.id)
"""Problems with their connections."""
PROBLEM_NAME: ColumnElement[str] = problem.c.title + func.coalesce(" · " + LINK.c.name, "")
"""The full name of a problem, which tells it from all others: title and connection."""


class Window(StrEnum):
    """The presets of the date range."""

    PAST_MONTH = "Past month"
    THIS_MONTH = "This month"
    LAST_MONTH = "Last month"
    LAST_30_DAYS = "Last 30 days"
    ALL = "All dates"
    CUSTOM = "Custom"


NO_CONNECTION = "No connection"
"""The choice of a connection that means records which have none."""

NO_DATE = "No accounting date"
"""The choice of a month that means records which belong to none."""


NOBODY = "-"
"""The choice of an owner that means records which have none; no login is called so."""


class Attempted(StrEnum):
    """Whether a Pending record was ever tried."""

    NEVER = "Never"
    BEFORE = "Before"


class WillNotSync(StrEnum):
    """Complete records that a person has closed as “will not be synced”: alone, or left out."""

    ONLY = "Only these"
    WITHOUT = "Without these"


class Age(StrEnum):
    """For how many business days a record has been there."""

    TODAY = "Today"
    DAYS = "1 to 3 days"
    WEEK = "4 to 7 days"
    MONTH = "8 to 30 days"
    LONGER = "Over 30 days"

    @property
    def words(self) -> str:
        """When records of this age were created, as a sentence says it."""
        return "today" if self is Age.TODAY else f"{self.value.lower()} ago"

    def bounds(self, day: date) -> tuple[datetime | None, datetime | None]:
        """From when on, and before when, records of this age on that day were created, in UTC; None
        means no limit on that side."""
        newest, oldest = _AGES[self]
        start = None if oldest is None else start_of(day - timedelta(days=oldest))
        end = None if newest == 0 else start_of(day - timedelta(days=newest - 1))
        return start, end


_AGES: Mapping[Age, tuple[int, int | None]] = {
    Age.TODAY: (0, 0),
    Age.DAYS: (1, 3),
    Age.WEEK: (4, 7),
    Age.MONTH: (8, 30),
    Age.LONGER: (31, None),
}
"""Business days since the record was created, from and to."""


def today() -> date:
    """The present day in the business time zone."""
    return datetime.now(settings().zone).date()


def month_before(day: date) -> date:
    """The same day a month earlier, or the last day of that month: 31 March gives 28 February."""
    last_of_previous = day.replace(day=1) - timedelta(days=1)
    return last_of_previous.replace(day=min(day.day, last_of_previous.day))


def next_month(day: date) -> date:
    """The first day of the month after that of a day."""
    return (day.replace(day=1) + timedelta(days=31)).replace(day=1)


def readable(day: date) -> str:
    """A day as people read it: 22 Nov 2026."""
    return f"{day.day} {day:%b %Y}"


def month_of(day: date) -> str:
    """A day's month as addresses and choices have it: 2026-11."""
    return f"{day:%Y-%m}"


def first_of_month(month: str) -> date:
    """Its first day. Raises ValueError where the text is no month."""
    if not re.fullmatch(r"\d{4}-\d{2}", month, re.ASCII):
        raise ValueError(month)
    return date.fromisoformat(f"{month}-01")


def readable_moment(moment: datetime) -> str:
    """A moment to the second, in business time: 22 Nov 2026 17:03:05."""
    local = moment.astimezone(settings().zone)
    return f"{readable(local.date())} {local:%H:%M:%S} ({settings().time_zone})"


def happened_since(entity: Entity, moment: datetime) -> ColumnElement[bool]:
    """Of an entity of the past: what every record fulfils whose status is what it is since then, or
    for less long. Events are found by it."""
    found: ColumnElement[bool] = entity.rows.c.at >= moment - AHEAD
    return found


def moment_words(moment: datetime) -> str:
    """A moment as people read it, in business time: 31 Jan 2026 at 17:00 (America/Chicago). At
    midnight a day has ended."""
    local = moment.astimezone(settings().zone)
    exact = f"{local:%H:%M:%S}" if local.second or local.microsecond else f"{local:%H:%M}"
    words = f"{readable(local.date())} at {exact}"
    if moment == start_of(local.date()):
        words = f"the end of {readable(local.date() - timedelta(days=1))}"
    return f"{words} ({settings().time_zone})"


def stood(moment: datetime) -> str:
    """When records stood as a list shows them: on 31 Jan 2026 at 17:00, at the end of 31 Jan."""
    words = moment_words(moment)
    return f"{'at' if words.startswith('the end') else 'on'} {words}"


def start_of(day: date) -> datetime:
    """The moment at which a business day begins, in UTC."""
    return datetime.combine(day, time(), settings().zone).astimezone(UTC)


def search_terms(text: str) -> list[str]:
    """What a search asks for: one text, or the entries of a list pasted from a spreadsheet.

    Lines, tabs and semicolons separate entries. A browser turns the line ends of a pasted column
    into blanks, so blanks and commas separate too where every piece holds a digit, as numbers do
    and names rarely all do.
    """
    pieces = [piece.strip() for piece in re.split(r"[\n\r\t;]+", text)]
    terms: list[str] = []
    for piece in pieces:
        parts = [part for part in re.split(r"[,\s]+", piece) if part]
        numbers = len(parts) > 1 and all(re.search(r"\d", part) for part in parts)
        terms.extend(parts if numbers else [piece])
    return list(dict.fromkeys(term for term in terms if term))


def _begins(column: ColumnElement[str], term: str) -> ColumnElement[bool]:
    # Folded by the database as well: SQLite leaves é as it is, Python would not.
    prefix = folded(literal(term))
    return and_(folded(column) >= prefix, folded(column) < folded(literal(term + "\U0010ffff")))


@dataclass(frozen=True)
class Filters:
    """One choice of what a list shows. `start` and `end` count for Window.CUSTOM only, `waits` and
    `attempted` for Pending only, `will_not_sync` for Complete only. `month` is that of the
    accounting date, as 2026-11, or NO_DATE. `cause` is a label of `Cause`, `problem` the full name
    of a problem (PROBLEM_NAME) or a part of it, `closed` what lies in closed books, `owner` the
    login of whoever looks after the records, or NOBODY. `age` is one of `Age`, counted from when
    the record was created; `since` leaves out what has its sync status from before that moment.
    `as_of` is the moment in UTC at which the records stood as the list shows them; None means now.
    It knows nothing of `waits`, `blocked`, `closed` and `owner`.
    """

    status: SyncStatus = SyncStatus.FAILED
    window: Window = Window.PAST_MONTH
    start: date | None = None
    end: date | None = None
    search: str = ""
    party: str | None = None
    billing: str | None = None
    connection: str | None = None
    currency: str | None = None
    cause: str | None = None
    problem: str = ""
    waits: str | None = None
    month: str | None = None
    attempted: str | None = None
    will_not_sync: str | None = None
    owner: str | None = None
    age: Age | None = None
    since: datetime | None = None
    blocked: bool = False
    closed: bool = False
    differs: bool = False
    sort: str = "Newest first"
    as_of: datetime | None = None

    # ------------------------------------------------------------ meaning

    def of(self, entity: Entity) -> Entity:
        """The entity whose records these filters are about: of now, or as they stood then."""
        return as_of(entity, self.as_of) if self.as_of else entity

    @property
    def present_day(self) -> date:
        """Today, or the day that these filters look back from. At midnight a day has ended."""
        if self.as_of is None:
            return today()
        return (self.as_of - timedelta(microseconds=1)).astimezone(settings().zone).date()

    @property
    def dated(self) -> bool:
        """Whether the date range applies: pending records may never have been attempted."""
        return self.status is not SyncStatus.PENDING

    def days(self) -> tuple[date | None, date | None]:
        """First and last day included, in business time; None means no limit on that side."""
        now = self.present_day
        if not self.dated or self.window is Window.ALL:
            return None, None
        if self.window is Window.CUSTOM:
            return self.start, self.end
        if self.window is Window.THIS_MONTH:
            return now.replace(day=1), now
        if self.window is Window.LAST_MONTH:
            last = now.replace(day=1) - timedelta(days=1)
            return last.replace(day=1), last
        if self.window is Window.LAST_30_DAYS:
            return now - timedelta(days=29), now
        return month_before(now), now

    @property
    def looks_at_names(self) -> bool:
        """Whether the SQL refers to names of organizations or connections."""
        return bool(self.party or self.billing or self.connection or self.waits)

    @property
    def stuck(self) -> str | None:
        """Why the records wait, where that is asked of Pending ones."""
        return self.waits if self.status is SyncStatus.PENDING and self.as_of is None else None

    @property
    def owned_by(self) -> str | None:
        """Who looks after the records, where that is asked of those of now."""
        return self.owner if self.as_of is None else None

    @property
    def unlinked(self) -> bool:
        """Whether it is about records without a connection."""
        return self.connection == NO_CONNECTION

    @property
    def tried(self) -> str | None:
        """Whether the records were tried, where that is asked of Pending ones."""
        return self.attempted if self.status is SyncStatus.PENDING else None

    @property
    def given_up(self) -> str | None:
        """Whether the records are closed for good, where that is asked of Complete ones."""
        return self.will_not_sync if self.status is SyncStatus.COMPLETE else None

    def in_window(
        self, entity: Entity, at: ColumnElement[datetime] | None = None
    ) -> list[ColumnElement[bool]]:
        """The date range as SQL; `at` stands for the column that it looks at."""
        at = entity.rows.c.outcome_at if at is None else at
        inside = [~side for side in self.outside_window(at) if side is not None]
        start, _ = self.days()
        if entity.as_of and start:
            inside.append(happened_since(entity, start_of(start)))
        return inside

    def outside_window(
        self, at: ColumnElement[datetime]
    ) -> tuple[ColumnElement[bool] | None, ColumnElement[bool] | None]:
        """What lies before and after the date range as SQL; None where it has no such end."""
        start, end = self.days()
        return (
            at < start_of(start) if start else None,
            at >= start_of(end + timedelta(days=1)) if end else None,
        )

    def beyond_status_and_window(
        self, entity: Entity, *, every_status: bool = False
    ) -> list[ColumnElement[bool]]:
        """Everything but status and dates as SQL: search and the filters under More. With
        `every_status` the records of each are narrowed as under their own status."""
        if every_status:
            others = (replace(self, status=one) for one in SyncStatus if one is not self.status)
            return [
                *self.beyond_status_and_window(entity),
                *(each for other in others for each in other._of_one_status(entity)),
            ]
        conditions: list[ColumnElement[bool]] = []
        for column, value in (
            (entity.party_name, self.party),
            (entity.billing_name, self.billing),
            (entity.connection_name, None if self.unlinked else self.connection),
            (entity.rows.c.currency, self.currency),
        ):
            if value is not None:
                conditions.append(column == value)
        conditions += self._of_the_close(entity)
        conditions += self._of_one_status(entity)
        if self.cause or self.problem:
            conditions.append(entity.rows.c.problem_id.in_(self._problems()))
        if self.age is not None:
            start, end = self.age.bounds(self.present_day)
            created = entity.rows.c.created_at
            conditions += [created >= start] if start else []
            conditions += [created < end] if end else []
        if self.since is not None:
            conditions.append(entity.rows.c.outcome_at >= self.since)
        if self.blocked and entity.blocking is not None:
            conditions.append(entity.blocking.is_blocked)
        if self.closed and self.as_of is None:
            conditions.append(entity.in_closed_period)
        if self.differs:
            conditions.append(entity.differs)
        if self.owned_by:
            conditions.append(self._owned(entity))
        if self.search:
            conditions.append(self._found(entity))
        return conditions

    def _of_the_close(self, entity: Entity) -> list[ColumnElement[bool]]:
        """What the close of a month tells apart."""
        of = entity.rows.c
        conditions: list[ColumnElement[bool]] = []
        if self.unlinked:
            conditions.append(of.connection_id.is_(None))
        if self.month == NO_DATE:
            conditions.append(of.accounting_date.is_(None))
        elif self.month:
            first = first_of_month(self.month)
            conditions += [of.accounting_date >= first, of.accounting_date < next_month(first)]
        return conditions

    def _of_one_status(self, entity: Entity) -> list[ColumnElement[bool]]:
        """What is asked of the records of one status alone: where others are counted too, all of
        them count."""
        of = entity.rows.c
        conditions: list[ColumnElement[bool]] = []
        if self.stuck and entity.waits is not None:
            is_pending = of.sync_status == int(SyncStatus.PENDING)
            conditions.append(or_(~is_pending, entity.waits == self.stuck))
        if self.tried:
            never = of.sync_at.is_(None)
            is_pending = of.sync_status == int(SyncStatus.PENDING)
            conditions.append(or_(~is_pending, never if self.tried == Attempted.NEVER else ~never))
        if self.given_up:
            # Null where nobody has closed the record: no comparison would find it.
            reason = func.coalesce(of.closed_reason, "")
            only = reason == CloseReason.WILL_NOT_SYNC.value
            is_complete = of.sync_status == int(SyncStatus.COMPLETE)
            wanted = only if self.given_up == WillNotSync.ONLY else ~only
            conditions.append(or_(~is_complete, wanted))
        return conditions

    def _problems(self) -> Select[int]:
        """The problems of the cause and name. A full name means no other that holds it."""
        ids = select(problem.c.id).select_from(PROBLEMS)
        if self.cause:
            cause = Cause.from_label(self.cause)
            ids = ids.where(problem.c.cause == (cause.value if cause else ""))
        if self.problem:
            whole = PROBLEM_NAME.in_([self.problem])
            named = select(problem.c.id).select_from(PROBLEMS).where(whole).exists()
            part = PROBLEM_NAME.icontains(self.problem, autoescape=True)
            ids = ids.where(or_(whole, and_(~named, part)))
        return ids

    def _owned(self, entity: Entity) -> ColumnElement[bool]:
        """Whether the chosen account looks after a record, or nobody does."""
        of, key = triage.c, entity.rows.c.id
        owned = select(of.record_id).where(of.entity == entity.key)
        if self.owner == NOBODY:
            return ~owned.where(of.record_id == key, of.owner_id.is_not(None)).exists()
        whose = select(account.c.id).where(account.c.login == self.owner).scalar_subquery()
        return key.in_(owned.where(of.owner_id == whose))

    def _found(self, entity: Entity) -> ColumnElement[bool]:
        """One index after the other, united: an OR over all of them could use none."""
        terms = search_terms(self.search)[:MOST_TERMS]
        if not terms:
            return false()
        of = entity.rows.c
        if len(terms) == 1:
            matching = [_begins(column, terms[0]) for column in entity.searched]
            named = organization.c.name.icontains(terms[0], autoescape=True)
        else:
            # A pasted list holds whole numbers; a few names in it are matched whole as well.
            upper = [folded(literal(term)) for term in terms]
            matching = [folded(column).in_(upper) for column in entity.searched]
            named = folded(organization.c.name).in_(upper)
        organizations = select(organization.c.id).where(named)
        if entity.as_of:  # events have no index for searches; each would look through all of them
            return or_(
                *matching,
                of.party_id.in_(organizations),
                of.billing_organization_id.in_(organizations),
            )
        matching += [of.party_id.in_(organizations), of.billing_organization_id.in_(organizations)]
        return of.id.in_(union(*(select(of.id).where(condition) for condition in matching)))

    def of_status(self, entity: Entity) -> ColumnElement[bool]:
        """The sync status as SQL."""
        status = int(self.status)
        of_status = entity.rows.c.sync_status
        # Written out where an index helps that holds failures alone, or what is open: SQLite does
        # not look into a parameter to see that it may use it, nor see that 2 is not 1.
        if self.age and self.status is not SyncStatus.COMPLETE:
            return and_(of_status == literal_column(str(status)), of_status != literal_column("1"))
        by_problem = self.cause or self.problem
        return of_status == (literal_column(str(status)) if by_problem else status)

    def conditions(
        self, entity: Entity, at: ColumnElement[datetime] | None = None
    ) -> list[ColumnElement[bool]]:
        """All of it as SQL, to be joined by AND."""
        return [
            self.of_status(entity),
            *self.in_window(entity, at),
            *self.beyond_status_and_window(entity),
        ]

    def order(self, entity: Entity) -> Sort:
        """The chosen sort order."""
        return next((sort for sort in entity.sorts if sort.label == self.sort), entity.sorts[0])

    def sentence(self, entity: Entity) -> str:
        """What the list shows, in words, for the About sheet and the operation."""
        start, end = self.days()
        parts = [f"{self.status.label} {entity.plural}"]
        if self.as_of:
            parts.append(f"as they stood {stood(self.as_of)}")
        if start and end:
            parts.append(f"{readable(start)} to {readable(end)} ({settings().time_zone})")
        elif start or end:
            parts.append(
                f"from {readable(start)}" if start else f"up to {readable(end or EARLIEST)}"
            )
        else:
            parts.append("all dates")
        if self.search:
            terms = search_terms(self.search)
            parts.append(
                f"search “{terms[0]}”" if len(terms) == 1 else f"search for {len(terms)} entries"
            )
        for label, value in (
            (entity.party_label.lower(), self.party),
            ("billing organization", self.billing),
            ("connection", self.connection),
            ("currency", self.currency),
            ("cause", self.cause),
            ("problem", self.problem or None),
            ("waits because", self.stuck),
            ("accounting month", None if self.month == NO_DATE else self.month),
            ("attempted:", self.tried and self.tried.lower()),
            ("will not be synced:", self.given_up and self.given_up.lower()),
            ("owner", None if self.owner == NOBODY else self.owned_by),
            ("created", self.age and self.age.words),
            ("since", self.since and readable_moment(self.since)),
        ):
            if value is not None:
                parts.append(f"{label} {value}")
        if self.month == NO_DATE:
            parts.append("no accounting date")
        if self.owned_by == NOBODY:
            parts.append("nobody’s")
        if self.blocked and entity.blocking is not None and self.as_of is None:
            parts.append(f"blocked, its {entity.blocking.document} is not Complete")
        if self.closed and self.as_of is None:
            parts.append("books closed at the accounting date")
        if self.differs:
            parts.append("amount differs")
        return " · ".join(parts)

    # ------------------------------------------------------------ address

    def fixed(self) -> "Filters":
        """The same list with its dates written out, so that it shows the same tomorrow."""
        start, end = self.days()
        if start is None and end is None:
            return replace(self, window=Window.ALL, start=None, end=None)
        return replace(
            self, window=Window.CUSTOM, start=start or EARLIEST, end=end or self.present_day
        )

    def parameters(self, entity: Entity) -> dict[str, list[str]]:
        """Every filter that says something, as address parameters of the entity's page."""
        values: dict[str, list[str]] = {"status": [self.status.label]}
        if self.dated:
            values["range"] = [self.window.value]
            if self.window is Window.CUSTOM and self.start and self.end:
                values["dates"] = [self.start.isoformat(), self.end.isoformat()]
        for name in (
            *("search", "party", "billing", "connection", "currency", "cause", "problem", "month"),
            *(("waits",) if self.stuck else ()),
            *(("attempted",) if self.tried else ()),
            *(("will_not_sync",) if self.given_up else ()),
            *(("owner",) if self.owned_by else ()),
        ):
            value = getattr(self, name)
            if value:
                values[name] = [value]
        if self.age:
            values["age"] = [self.age.value]
        if self.since:
            values["since"] = [moment_address(self.since)]
        for name in ("blocked", "closed", "differs"):
            if getattr(self, name):
                values[name] = ["true"]
        if self.sort != entity.sorts[0].label:
            values["sort"] = [self.sort]
        if self.as_of:
            values["as_of"] = [moment_address(self.as_of)]
        return {f"{entity.slug}_{name}": value for name, value in values.items()}

    def address(self, entity: Entity) -> str:
        """The parameters as a query string."""
        return urlencode(self.parameters(entity), doseq=True)


def _shorten(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"


def moment_address(moment: datetime) -> str:
    """A moment as an address carries it, exactly: 2026-01-31T23:00:00Z."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_moment(text: str) -> datetime | None:
    """A moment in UTC out of a text: with its zone, in business time, or a day, which means its
    end. None where it is none."""
    try:
        if len(text) == len("2026-01-31"):
            return start_of(date.fromisoformat(text) + timedelta(days=1))
        moment = datetime.fromisoformat(text)
        zone = moment.tzinfo or settings().zone
        return moment.replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def past_moment(text: str, corrections: list[str]) -> datetime | None:
    """The moment to look back to, in UTC, or None for now; what is wrong with it is corrected and
    said."""
    moment = parse_moment(text)
    if moment is None:
        corrections.append("The moment in the address could not be read; showing now.")
        return None
    if moment > utc_now():
        corrections.append("The moment in the address is still to come; showing now.")
        return None
    if moment < start_of(EARLIEST_PAST):
        corrections.append(f"No moment before {readable(EARLIEST_PAST)} can be looked back to.")
        return start_of(EARLIEST_PAST)
    return moment


def _parse_as_of(filters: Filters, text: str, corrections: list[str]) -> Filters:
    moment = past_moment(text, corrections)
    if moment is None:
        return filters
    if filters.stuck or filters.blocked:
        corrections.append("What a record waited for is not known of the past; showing all.")
    if filters.owner:
        corrections.append("Owners are not known of the past; showing all.")
    return replace(filters, as_of=moment, waits=None, blocked=False, owner=None)


def parse_range(
    named: Sequence[str], dates: Sequence[str], corrections: list[str]
) -> tuple[Window, date | None, date | None]:
    """A date range, with its first and last day if it is a custom one; what is wrong with it is
    corrected and said."""
    custom = _parse_days(dates, corrections)
    window = Window.CUSTOM if custom else Window.PAST_MONTH
    if named:
        try:
            window = Window(named[0])
        except ValueError:
            window = Window.PAST_MONTH
            corrections.append(
                f"There is no date range “{_shorten(named[0])}”; showing the past month."
            )
    if window is not Window.CUSTOM:
        return window, None, None
    return (window, *custom) if custom else (Window.PAST_MONTH, None, None)


def _parse_days(values: Sequence[str], corrections: list[str]) -> tuple[date, date] | None:
    """First and last day of a custom range; what is wrong with them is corrected and said."""
    try:
        days = [date.fromisoformat(value) for value in values]
    except ValueError:
        days = []
    if len(days) != 2:
        if values:
            corrections.append(
                "The dates in the address could not be read; showing the past month."
            )
        return None
    start, end = days
    if start > end:
        start, end = end, start
        corrections.append("The dates in the address were reversed; they are swapped.")
    inside = [min(max(day, EARLIEST), today()) for day in (start, end)]
    if inside != [start, end]:
        corrections.append(
            f"Dates are limited to {readable(EARLIEST)} through today; the range was adjusted."
        )
    return inside[0], inside[1]


_CLOSED_CHOICES: Mapping[str, Sequence[str]] = {
    "attempted": list(Attempted),
    "will_not_sync": list(WillNotSync),
}


def _possible(name: str, value: str, known: Mapping[str, Sequence[str]] | None) -> bool:
    """Whether a value is one of those that there are; where nobody lists them, whether it can be
    understood."""
    if name in _CLOSED_CHOICES:
        return value in _CLOSED_CHOICES[name]
    if known is not None:
        return value in known.get(name, ())
    if name == "month" and value != NO_DATE:
        try:
            return EARLIEST <= first_of_month(value) < date(9999, 12, 1)
        except ValueError:
            return False
    return True


def _parse_age(values: Sequence[str], corrections: list[str]) -> Age | None:
    for value in values[:1]:
        if value in set(Age):
            return Age(value)
        corrections.append(f"There is no age “{_shorten(value)}”; showing all.")
    return None


def _parse_since(values: Sequence[str], corrections: list[str]) -> datetime | None:
    """A moment; a day means its beginning."""
    if not values:
        return None
    is_day = len(values[0]) == len("2026-01-31")
    moment = parse_moment(f"{values[0]}T00:00" if is_day else values[0])
    if moment is None or moment.date() < EARLIEST:
        corrections.append(
            f"There is no moment “{_shorten(values[0])}” since {readable(EARLIEST)}; showing all."
        )
        return None
    return moment


def parse(
    entity: Entity,
    parameters: Mapping[str, Sequence[str]],
    known: Mapping[str, Sequence[str]] | None = None,
) -> tuple[Filters, list[str]]:
    """Filters out of address parameters, and a sentence for each thing that had to be corrected.

    `known` lists the values that exist for party, billing, connection, currency, cause, waits,
    month and owner; a value that is not among them is dropped and said. Never raises.
    """
    corrections: list[str] = []

    def given(name: str) -> list[str]:
        # No text in the database holds a NUL, and PostgreSQL refuses to be asked for one.
        values = (
            value.replace("\x00", "") for value in parameters.get(f"{entity.slug}_{name}", ())
        )
        return [value for value in values if value]

    filters = Filters()
    if status := given("status"):
        found = SyncStatus.from_label(status[0])
        if found is None:
            corrections.append(f"There is no sync status “{_shorten(status[0])}”; showing Failed.")
        else:
            filters = replace(filters, status=found)
    window, start, end = parse_range(given("range"), given("dates"), corrections)
    filters = replace(filters, window=window, start=start, end=end)
    if search := given("search"):
        if len(search[0]) > LONGEST_SEARCH:
            corrections.append(
                f"The search was longer than {LONGEST_SEARCH:,} characters; the rest is left out."
            )
        filters = replace(filters, search=search[0][:LONGEST_SEARCH])
        if (entries := len(search_terms(filters.search))) > MOST_TERMS:
            corrections.append(
                f"The search has {entries:,} entries; the first {MOST_TERMS:,} are used."
            )
    for name, label in (
        ("party", entity.party_label.lower()),
        ("billing", "billing organization"),
        ("connection", "connection"),
        ("currency", "currency"),
        ("cause", "cause"),
        ("waits", "reason to wait"),
        ("month", "accounting month"),
        ("attempted", "choice of attempts"),
        ("will_not_sync", "choice of closed records"),
        ("owner", "owner"),
    ):
        if value := given(name):
            if not _possible(name, value[0], known):
                corrections.append(f"There is no {label} “{_shorten(value[0])}”; showing all.")
            else:
                filters = replace(filters, **{name: value[0]})  # type: ignore[arg-type]
    if name_of := given("problem"):
        if len(name_of[0]) > LONGEST_PROBLEM:
            corrections.append(
                f"The problem was longer than {LONGEST_PROBLEM:,} characters; the rest is left out."
            )
        filters = replace(filters, problem=name_of[0][:LONGEST_PROBLEM])
    filters = replace(
        filters,
        age=_parse_age(given("age"), corrections),
        since=_parse_since(given("since"), corrections),
    )
    for name in ("differs", "closed", *(["blocked"] if entity.blocking else [])):
        if chosen := given(name):
            filters = replace(filters, **{name: chosen[0] == "true"})  # type: ignore[arg-type]
    if sort := given("sort"):
        if sort[0] in {order.label for order in entity.sorts}:
            filters = replace(filters, sort=sort[0])
        else:
            corrections.append(f"There is no sort order “{_shorten(sort[0])}”; newest first.")
    if moment := given("as_of"):
        filters = _parse_as_of(filters, moment[0], corrections)
    return filters, corrections
