"""What a list shows: the defaults, addresses there and back, and what the SQL finds."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select, text

from synchist.db.engine import reading, writing
from synchist.db.types import moment_text
from synchist.diagnosis import Cause
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.filters import (
    EARLIEST,
    EARLIEST_PAST,
    LONGEST_PROBLEM,
    LONGEST_SEARCH,
    MOST_TERMS,
    NO_DATE,
    NOBODY,
    Age,
    Attempted,
    Filters,
    WillNotSync,
    Window,
    month_before,
    month_of,
    parse,
    readable,
    search_terms,
    start_of,
    today,
)
from synchist.problems import catch_up
from synchist.settings import settings
from synchist.statuses import SyncStatus
from tests.conftest import Database, owned
from tests.world import EXPIRED, HOSTILE, World, noon

every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)

# ---------------------------------------------------------------- defaults


def test_failed_of_the_past_month_is_the_default() -> None:
    """B3, B4: from the same day last month through today, both included."""
    filters, corrections = parse(INVOICES, {})
    assert filters == Filters()
    assert corrections == []
    assert filters.status is SyncStatus.FAILED
    assert filters.days() == (month_before(today()), today())


@pytest.mark.parametrize(
    ("day", "before"),
    [
        (date(2026, 11, 22), date(2026, 10, 22)),
        (date(2026, 3, 31), date(2026, 2, 28)),
        (date(2028, 3, 30), date(2028, 2, 29)),
        (date(2026, 1, 15), date(2025, 12, 15)),
        (date(2026, 5, 31), date(2026, 4, 30)),
    ],
)
def test_the_same_day_last_month(day: date, before: date) -> None:
    assert month_before(day) == before


@given(st.dates(date(1, 2, 1), date(9999, 12, 31)))
def test_a_month_before_is_always_in_the_month_before(day: date) -> None:
    before = month_before(day)
    assert (day.year * 12 + day.month) - (before.year * 12 + before.month) == 1
    assert before.day == day.day or (before + timedelta(days=1)).day == 1
    assert before.day <= day.day


def test_today_is_the_business_day(monkeypatch: pytest.MonkeyPatch) -> None:
    days = []
    for zone in ("Pacific/Pago_Pago", "Pacific/Kiritimati"):  # 25 hours apart
        monkeypatch.setenv("SYNCHIST_TIME_ZONE", zone)
        settings.cache_clear()
        days.append(today())
    settings.cache_clear()
    assert days[0] < days[1]


def test_pending_ignores_the_window() -> None:
    """B5: pending records may never have been attempted."""
    for window in Window:
        filters = Filters(SyncStatus.PENDING, window, date(2020, 1, 1), date(2020, 1, 2))
        assert not filters.dated
        assert filters.days() == (None, None)
        assert filters.in_window(INVOICES) == []
        assert "all dates" in filters.sentence(INVOICES)


@pytest.mark.parametrize("status", [SyncStatus.FAILED, SyncStatus.COMPLETE])
def test_windows_end_today_or_before(status: SyncStatus) -> None:
    now = today()
    days = {
        window: Filters(status, window, date(2020, 1, 1), date(2020, 1, 2)).days()
        for window in Window
    }
    assert days == {
        Window.PAST_MONTH: (month_before(now), now),
        Window.THIS_MONTH: (now.replace(day=1), now),
        Window.LAST_MONTH: (
            month_before(now).replace(day=1),
            now.replace(day=1) - timedelta(days=1),
        ),
        Window.LAST_30_DAYS: (now - timedelta(days=29), now),
        Window.ALL: (None, None),
        Window.CUSTOM: (date(2020, 1, 1), date(2020, 1, 2)),
    }


# ---------------------------------------------------------------- addresses

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)


@st.composite
def chosen(draw: st.DrawFn) -> tuple[Entity, Filters]:
    """Any filters that a page can show."""
    entity = draw(st.sampled_from(ENTITIES))
    status = draw(st.sampled_from(SyncStatus))
    window = Window.PAST_MONTH
    days: list[date | None] = [None, None]
    if status is not SyncStatus.PENDING:
        window = draw(st.sampled_from(Window))
    if window is Window.CUSTOM:
        dates = st.dates(EARLIEST, today())
        days = sorted([draw(dates), draw(dates)])
    optional = st.none() | words
    as_of = draw(st.none() | st.datetimes(datetime(2001, 1, 2), datetime(2026, 1, 1)))
    as_of = as_of and as_of.replace(tzinfo=UTC)
    return entity, Filters(
        status=status,
        window=window,
        start=days[0],
        end=days[1],
        search=draw(st.just("") | words),
        party=draw(optional),
        billing=draw(optional),
        connection=draw(optional),
        currency=draw(optional),
        cause=draw(optional),
        problem=draw(st.just("") | words),
        # What a list does not show is left out of its address.
        waits=draw(optional) if status is SyncStatus.PENDING and not as_of else None,
        month=draw(st.none() | st.just(NO_DATE) | st.dates(EARLIEST).map(month_of)),
        attempted=draw(st.none() | st.sampled_from([one.value for one in Attempted]))
        if status is SyncStatus.PENDING
        else None,
        will_not_sync=draw(st.none() | st.sampled_from([one.value for one in WillNotSync]))
        if status is SyncStatus.COMPLETE
        else None,
        owner=draw(optional) if not as_of else None,
        age=draw(st.none() | st.sampled_from(Age)),
        since=draw(st.none() | st.datetimes(datetime(2000, 1, 2), timezones=st.just(UTC))),
        blocked=draw(st.booleans()) if entity.blocking and not as_of else False,
        closed=draw(st.booleans()) if not as_of else False,
        differs=draw(st.booleans()),
        sort=draw(st.sampled_from([sort.label for sort in entity.sorts])),
        as_of=as_of,
    )


@given(chosen())
def test_an_address_leads_back_to_its_filters(choice: tuple[Entity, Filters]) -> None:
    entity, filters = choice
    assert parse(entity, filters.parameters(entity)) == (filters, [])
    assert parse(entity, parse_qs(filters.address(entity))) == (filters, [])


@given(chosen())
def test_a_copied_link_shows_the_same_tomorrow(choice: tuple[Entity, Filters]) -> None:
    entity, filters = choice
    fixed = filters.fixed()
    assert fixed.window in (Window.CUSTOM, Window.ALL)
    assert fixed.days() == filters.days()
    if fixed.dated:
        assert parse(entity, fixed.parameters(entity)) == (fixed, [])


@given(chosen())
def test_filters_are_said_in_one_line(choice: tuple[Entity, Filters]) -> None:
    entity, filters = choice
    assert filters.sentence(entity).startswith(f"{filters.status.label} {entity.plural} · ")


NAMES = (
    *("status", "range", "dates", "search", "party", "billing", "connection", "currency"),
    *("cause", "problem", "waits", "age", "since", "blocked", "closed", "differs", "sort"),
    *("month", "attempted", "will_not_sync", "owner", "as_of", "nothing"),
)
KNOWN = {
    "party": ["Bluebird Foods"],
    "currency": ["USD"],
    "cause": [Cause.TAX.label],
    "waits": list(INVOICES.waiting),
    "month": ["2026-10", NO_DATE],
    "owner": ["ada", NOBODY],
}
values = st.lists(
    st.text()
    | st.sampled_from(["Failed", "Custom", "Past month", "true", "9999-12-31", "2026-11-22", "USD"])
    | st.sampled_from(["2026-10", "2026-13", "0000-01", NO_DATE, "Never", "Only these"])
    | st.sampled_from(["ada", NOBODY, "nobody"])
    | st.sampled_from(["Pending", Cause.TAX.label, *INVOICES.waiting, *Age])
    | st.sampled_from(["0001-01-01T00:00+14:00", "9999-12-31T23:59-12:00", "2026-11-22 17:03"])
    | st.dates().map(str)
    | st.datetimes(timezones=st.timezones() | st.none()).map(datetime.isoformat),
    max_size=3,
)
tampered = st.dictionaries(st.sampled_from(NAMES).map("invoices_{}".format), values)


@given(tampered, st.sampled_from([None, KNOWN]))
def test_parsing_never_raises_and_says_what_it_corrects(
    parameters: dict[str, list[str]], known: dict[str, list[str]] | None
) -> None:
    filters, corrections = parse(INVOICES, parameters, known)
    for sentence in corrections:
        assert sentence[0].isupper()
        assert sentence[-1] == "."
        assert len(sentence) < 150
    # What was corrected once is right now.
    assert parse(INVOICES, filters.parameters(INVOICES), known)[1] == []
    start, end = filters.days()
    assert start is None or end is None or EARLIEST <= start <= end <= today()


@pytest.mark.parametrize(
    ("parameters", "expected", "sentence"),
    [
        (
            {"status": ["Lost"]},
            Filters(),
            "There is no sync status “Lost”; showing Failed.",
        ),
        (
            {"status": ["2"]},
            Filters(),
            "There is no sync status “2”; showing Failed.",
        ),
        (
            {"dates": ["2026-03-09", "2026-03-01"]},
            Filters(window=Window.CUSTOM, start=date(2026, 3, 1), end=date(2026, 3, 9)),
            "The dates in the address were reversed; they are swapped.",
        ),
        (
            {"dates": ["2026-03-09"], "range": ["Custom"]},
            Filters(),
            "The dates in the address could not be read; showing the past month.",
        ),
        (
            {"dates": ["yesterday", "today"]},
            Filters(),
            "The dates in the address could not be read; showing the past month.",
        ),
        (
            {"range": ["Next month"]},
            Filters(),
            "There is no date range “Next month”; showing the past month.",
        ),
        (
            {"party": ["Nobody Inc."]},
            Filters(),
            "There is no payer “Nobody Inc.”; showing all.",
        ),
        (
            {"currency": ["' OR 1=1 --"]},
            Filters(),
            "There is no currency “' OR 1=1 --”; showing all.",
        ),
        (
            {"cause": ["Bad luck"]},
            Filters(),
            "There is no cause “Bad luck”; showing all.",
        ),
        (
            {"cause": [Cause.TAX.value]},
            Filters(),
            "There is no cause “tax”; showing all.",
        ),
        (
            {"cause": [Cause.CURRENCY.label]},  # of no failure that there is
            Filters(),
            "There is no cause “Currency”; showing all.",
        ),
        (
            {"status": ["Pending"], "waits": ["Boredom"]},
            Filters(SyncStatus.PENDING),
            "There is no reason to wait “Boredom”; showing all.",
        ),
        (
            {"month": ["2026-09"]},  # in which nothing is dated
            Filters(),
            "There is no accounting month “2026-09”; showing all.",
        ),
        (
            {"status": ["Pending"], "attempted": ["Often"]},
            Filters(SyncStatus.PENDING),
            "There is no choice of attempts “Often”; showing all.",
        ),
        (
            {"owner": ["ad'a"]},
            Filters(),
            "There is no owner “ad'a”; showing all.",
        ),
        (
            {"owner": ["ada"], "as_of": ["2026-01-31T23:00:00Z"]},
            Filters(as_of=datetime(2026, 1, 31, 23, tzinfo=UTC)),
            "Owners are not known of the past; showing all.",
        ),
        (
            {"age": ["Ancient"]},
            Filters(),
            "There is no age “Ancient”; showing all.",
        ),
        (
            {"since": ["yesterday"]},
            Filters(),
            "There is no moment “yesterday” since 1 Jan 2000; showing all.",
        ),
        (
            {"since": ["1999-12-31T23:59:59Z"]},
            Filters(),
            "There is no moment “1999-12-31T23:59:59Z” since 1 Jan 2000; showing all.",
        ),
        (
            {"sort": ["amount; DROP TABLE invoice"]},
            Filters(),
            "There is no sort order “amount; DROP TABLE invoice”; newest first.",
        ),
        (
            {"status": ["<script>alert(1)</script>" + "x" * 10_000]},
            Filters(),
            "There is no sync status “<script>alert(1)</script>xxxxxxxxxxxxxxx…”; showing Failed.",
        ),
        (
            {"as_of": ["last Friday"]},
            Filters(),
            "The moment in the address could not be read; showing now.",
        ),
        (
            {"as_of": ["0001-01-01T00:00:00+14:00"]},
            Filters(),
            "The moment in the address could not be read; showing now.",
        ),
        (
            {"as_of": ["2999-01-31T17:00"]},
            Filters(),
            "The moment in the address is still to come; showing now.",
        ),
        (
            {"as_of": ["1999-01-31"]},
            Filters(as_of=start_of(EARLIEST_PAST)),
            "No moment before 1 Jan 2001 can be looked back to.",
        ),
        (
            {
                "as_of": ["2026-01-31T23:00:00Z"],
                "status": ["Pending"],
                "waits": [KNOWN["waits"][0]],
            },
            Filters(SyncStatus.PENDING, as_of=datetime(2026, 1, 31, 23, tzinfo=UTC)),
            "What a record waited for is not known of the past; showing all.",
        ),
        (
            {"search": ["x" * 50_000]},
            Filters(search="x" * LONGEST_SEARCH),
            "The search was longer than 40,000 characters; the rest is left out.",
        ),
    ],
)
def test_a_tampered_address_is_corrected_and_said(
    parameters: dict[str, list[str]], expected: Filters, sentence: str
) -> None:
    address = {f"invoices_{name}": value for name, value in parameters.items()}
    assert parse(INVOICES, address, KNOWN) == (expected, [sentence])


@pytest.mark.parametrize("dates", [["2026-11-01", "9999-12-31"], ["0001-01-01", "9999-12-31"]])
def test_dates_beyond_reach_are_limited(dates: list[str]) -> None:
    filters, corrections = parse(INVOICES, {"invoices_dates": dates})
    assert filters.end == today()
    assert filters.start is not None
    assert filters.start >= EARLIEST
    assert corrections == [
        f"Dates are limited to {readable(EARLIEST)} through today; the range was adjusted."
    ]


@pytest.mark.parametrize(
    ("text", "moment", "day", "words"),
    [
        ("2026-01-31T17:00", datetime(2026, 1, 31, 23, tzinfo=UTC), 31, "on 31 Jan 2026 at 17:00"),
        ("2026-01-31T23:00:00Z", datetime(2026, 1, 31, 23, tzinfo=UTC), 31, "31 Jan 2026 at 17:00"),
        ("2026-01-31", datetime(2026, 2, 1, 6, tzinfo=UTC), 31, "at the end of 31 Jan 2026"),
        ("2026-02-01T00:00:01", datetime(2026, 2, 1, 6, 0, 1, tzinfo=UTC), 1, "at 00:00:01"),
    ],
)
def test_looking_back(text: str, moment: datetime, day: int, words: str) -> None:
    """Business time where no zone is given; a day alone is its end; dates count from that day."""
    filters, corrections = parse(INVOICES, {"invoices_as_of": [text]})
    assert (filters, corrections) == (Filters(as_of=moment), [])
    assert f"{words} (America/Chicago)" in filters.sentence(INVOICES)
    assert filters.days()[1] == filters.present_day
    assert filters.present_day.day == day
    this_month = replace(filters, window=Window.THIS_MONTH)
    assert this_month.days() == (filters.present_day.replace(day=1), filters.present_day)


def test_parameters_of_another_page_mean_nothing() -> None:
    assert parse(BILLS, {"invoices_status": ["Complete"], "status": ["Complete"]})[0] == Filters()


# ---------------------------------------------------------------- why: cause, problem, waits


def test_why_in_an_address() -> None:
    why = {"cause": Cause.TAX.label, "problem": "100% “wrong” · Ledger", "waits": BILLS.waiting[1]}
    address = {f"bills_{name}": [value] for name, value in why.items()}
    known = {"cause": [Cause.TAX.label], "waits": list(BILLS.waiting)}
    for status in SyncStatus:
        given = {**address, "bills_status": [status.label]}
        filters, corrections = parse(BILLS, given, known)
        assert (filters, corrections) == (Filters(status, **why), [])
        if status is not SyncStatus.PENDING:
            del given["bills_waits"]
            given["bills_range"] = ["Past month"]
        assert filters.parameters(BILLS) == given


def test_a_very_long_problem_is_cut() -> None:
    filters, _ = parse(BILLS, {"bills_problem": ["x" * 10_000]})
    assert filters.problem == "x" * LONGEST_PROBLEM


def test_how_old_and_since_when_in_words() -> None:
    since = datetime(2026, 11, 22, 17, 3, 5, tzinfo=UTC)
    filters = Filters(window=Window.ALL, age=Age.WEEK, since=since)
    assert filters.sentence(BILLS) == (
        "Failed bills · all dates · created 4 to 7 days ago"
        " · since 22 Nov 2026 11:03:05 (America/Chicago)"
    )
    assert filters.address(BILLS).endswith(
        "&bills_age=4+to+7+days&bills_since=2026-11-22T17%3A03%3A05Z"
    )
    assert parse(BILLS, {"bills_since": ["2026-11-22 11:03:05"]})[0].since == since
    whole_day = parse(BILLS, {"bills_since": ["2026-11-22"]})[0].since
    assert whole_day == datetime(2026, 11, 22, 6, tzinfo=UTC)
    assert parse(BILLS, {"bills_since": ["2026-11-22T11:03:05-06:00"]})[0].since == since


def test_why_in_words() -> None:
    filters = Filters(
        SyncStatus.PENDING, cause="Currency", problem="Blue Mesa", waits=INVOICES.waiting[1]
    )
    assert filters.sentence(INVOICES) == (
        "Pending invoices · all dates · cause Currency · problem Blue Mesa"
        " · waits because No connection to an accounting system"
    )
    failed = replace(filters, status=SyncStatus.FAILED, window=Window.ALL)
    assert failed.sentence(INVOICES) == (
        "Failed invoices · all dates · cause Currency · problem Blue Mesa"
    )


# ---------------------------------------------------------------- searches


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ("INV-1", ["INV-1"]),
        ("Bluebird Foods", ["Bluebird Foods"]),
        ("Acme, Inc.", ["Acme, Inc."]),
        ("INV-1\nINV-2\r\nINV-3", ["INV-1", "INV-2", "INV-3"]),
        ("INV-1\tINV-2; INV-3 ", ["INV-1", "INV-2", "INV-3"]),
        ("INV-1 INV-2 INV-1", ["INV-1", "INV-2"]),
        ("INV-1, INV-2", ["INV-1", "INV-2"]),
        ("Delta Vans\nINV-2", ["Delta Vans", "INV-2"]),
        (" \n ; ", []),
    ],
)
def test_what_a_search_asks_for(typed: str, terms: list[str]) -> None:
    assert search_terms(typed) == terms


@given(st.text())
def test_search_terms_are_few_distinct_and_never_blank(typed: str) -> None:
    terms = search_terms(typed)
    assert len(terms) == len(set(terms)) <= MOST_TERMS
    assert all(term and term == term.strip() for term in terms)


def test_a_very_long_list_is_cut_and_that_is_said() -> None:
    filters, corrections = parse(INVOICES, {"invoices_search": [" ".join(map(str, range(5_000)))]})
    assert corrections == [f"The search has 5,000 entries; the first {MOST_TERMS:,} are used."]
    assert len(search_terms(filters.search)) == 5_000


# ---------------------------------------------------------------- what the SQL finds


def found(world: World, entity: Entity, filters: Filters) -> set[str]:
    """The stories that a list would show."""
    names = {record: name for name, record in world.records(entity.key).items()}
    with reading() as connection:
        ids = connection.scalars(
            select(entity.table.c.id).select_from(entity.source).where(*filters.conditions(entity))
        ).all()
    assert len(ids) == len(set(ids))
    return {names[record] for record in ids}


def searched(world: World, entity: Entity, typed: str) -> set[str]:
    """What a search finds among the failed ones of all time."""
    return found(world, entity, Filters(window=Window.ALL, search=typed))


FAILED = {"failed", "failed_twice", "failed_expired", "failed_hostile"}


@every_entity
def test_lists_by_status_and_window(database: Database, world: World, entity: Entity) -> None:
    assert found(world, entity, Filters()) == FAILED
    assert found(world, entity, Filters(window=Window.ALL)) == FAILED | {"failed_old"}
    assert found(world, entity, Filters(SyncStatus.COMPLETE)) == {
        *("complete", "complete_cad", "partial", "recovered", "closed"),
    }
    assert found(world, entity, Filters(SyncStatus.PENDING)) == {
        *("pending", "pending_again", "pending_draft"),
    }


@every_entity
def test_filters_under_more(database: Database, world: World, entity: Entity) -> None:
    party = "Bluebird Foods" if "invoice" in entity.key else "Lone Pine Trucking"
    assert found(world, entity, Filters(currency="CAD")) == {"failed_expired"}
    assert found(world, entity, Filters(connection="Xero Canada")) == {"failed_expired"}
    assert found(world, entity, Filters(billing="Harbor Point Toronto")) == {"failed_expired"}
    assert found(world, entity, Filters(party=party)) == {"failed_twice"}
    assert found(world, entity, Filters(party=f"{party} ")) == set()
    assert found(world, entity, Filters(SyncStatus.COMPLETE, differs=True)) == {"partial"}


@pytest.mark.parametrize(
    ("typed", "stories"),
    [
        ("INV-2001", {"failed"}),
        ("inv-2001", {"failed"}),
        ("  INV-2001\t", {"failed"}),
        ("INV-200", {"failed", "failed_twice", "failed_expired", "failed_old"}),
        ("NV-2001", set()),  # starts with, not contains
        ("SHP-9002", {"failed_twice"}),
        ("pro77003", {"failed_expired"}),
        ("bluebird", {"failed_twice", "failed_old"}),  # names: contains
        ("BIRD FOO", {"failed_twice", "failed_old"}),
        ("toronto", {"failed_expired"}),
        ("INV-2001 INV-2002", {"failed", "failed_twice"}),
        ("INV-2001\ninv-2003", {"failed", "failed_expired"}),
        ("INV-2001, SHP-9002; PRO77003", {"failed", "failed_twice", "failed_expired"}),
        ("INV-200 INV-2001", {"failed"}),  # in a list entries are whole
        ("INV-2001\nBluebird Foods", {"failed", "failed_twice", "failed_old"}),
        ("100%_OFF", {"failed_hostile"}),
        ("100", {"failed", "failed_expired", "failed_hostile"}),
        ("100%", {"failed", "failed_expired", "failed_hostile"}),
        ("1%0", set()),  # no wildcard
        ("INV_2001", set()),
        ("%", {"failed", "failed_expired", "failed_hostile"}),
        ("_", {"failed", "failed_expired", "failed_hostile"}),
        ("INV-____", set()),
        ("' OR 1=1 --", set()),
        (HOSTILE, set()),
        ("\\", set()),
        (";", set()),  # a search without an entry finds nothing, and not everything
    ],
)
def test_what_a_search_finds(
    database: Database, world: World, typed: str, stories: set[str]
) -> None:
    assert searched(world, INVOICES, typed) == stories


@pytest.mark.parametrize("typed", ["Ünit-7", "ünit-7", "ünit"])
def test_letters_beyond_ascii_are_found(database: Database, world: World, typed: str) -> None:
    with writing() as connection:
        connection.execute(
            text("UPDATE invoice SET number = :number WHERE id = :id"),
            {"number": "ünit-7", "id": world.invoice["failed"]},
        )
    if database.dialect == "sqlite" and typed[0] == "Ü":
        # SQLite folds the letters A to Z only.
        assert searched(world, INVOICES, typed) == set()
    else:
        assert searched(world, INVOICES, typed) == {"failed"}


@given(parameters=tampered)
@example(parameters={f"invoices_{name}": ["\x00"] for name in NAMES})
def test_no_address_breaks_the_query(
    database: Database, world: World, parameters: dict[str, list[str]]
) -> None:
    found(world, INVOICES, parse(INVOICES, parameters)[0])


def test_since_is_when_the_status_was_given_last(database: Database, world: World) -> None:
    """Its own moment is in it; a repeated failure counts as a new one."""
    at = noon(3)
    stories = {"failed"}
    assert found(world, BILLS, Filters(since=at)) == stories
    assert found(world, BILLS, Filters(since=at + timedelta(microseconds=1))) == set()
    again = noon(5) + timedelta(hours=1)
    assert found(world, BILLS, Filters(since=again)) == {*stories, "failed_hostile", "failed_twice"}


# ---------------------------------------------------------------- what went wrong, and why it waits

WHY = {
    "failed": 'Customer "100%_Off" not found',
    "failed_twice": 'Customer "100x-Off" not found',
    "failed_hostile": 'Customer "Bobby\'); DROP TABLE diagnosis; --" not found',
    "failed_old": 'Customer "A\\B/C" not found',
    "failed_expired": EXPIRED,
}
CUSTOMERS = set(WHY) - {"failed_expired"}
OFF = "Customer “100%_Off” is missing or inactive · QuickBooks US"


def fail(world: World, entity: Entity, stories: Mapping[str, str]) -> None:
    """Sync jobs that leave these errors, and their diagnosis."""
    records = world.records(entity.key)
    with writing() as connection:
        for story, error in stories.items():
            connection.execute(
                text(
                    f"UPDATE {entity.key} SET sync_status = 2, sync_at = :at, sync_error = :error,"
                    " sync_error_code = NULL WHERE id = :id"
                ),
                {"at": moment_text(noon(0)), "error": error, "id": records[story]},
            )
    while catch_up():
        pass


@every_entity
def test_lists_by_cause(database: Database, world: World, entity: Entity) -> None:
    fail(world, entity, {**WHY, "failed_twice": "Xyzzy"})

    def caused(cause: str, status: SyncStatus = SyncStatus.FAILED) -> set[str]:
        return found(world, entity, Filters(status, cause=cause))

    assert caused(Cause.CUSTOMER_MAPPING.label) == CUSTOMERS - {"failed_twice"}
    assert caused(Cause.AUTHORIZATION.label) == {"failed_expired"}
    assert caused(Cause.UNKNOWN.label) == {"failed_twice"}
    assert caused(Cause.TAX.label) == caused("Bad luck") == caused("unknown") == set()
    # Sent back to Pending, a record keeps its last error.
    assert caused(Cause.AUTHORIZATION.label, SyncStatus.PENDING) == {"pending_again"}


def test_lists_by_problem(database: Database, world: World) -> None:
    """By its full name or a part of it, in any case; no sign is a wildcard."""
    fail(world, INVOICES, WHY)
    expected = {
        OFF: {"failed"},
        "100%_off": {"failed"},
        "100": {"failed", "failed_twice"},
        "100%": {"failed"},
        "%": {"failed"},
        "100_": set(),
        "_off": {"failed"},
        "_": {"failed"},
        "100%off": set(),
        "is MISSING or": CUSTOMERS,
        "customer missing": set(),
        "quickbooks us": CUSTOMERS,
        "· xero": {"failed_expired"},
        "not authorized": {"failed_expired"},
        "Bobby'); DROP TABLE diagnosis; --": {"failed_hostile"},
        "' OR 1=1 --": set(),
        "\\": {"failed_old"},
        "/": {"failed_old"},
        "a\\b/c": {"failed_old"},
        "x" * LONGEST_PROBLEM: set(),
    }
    assert {typed: found(world, INVOICES, Filters(problem=typed)) for typed in expected} == expected


def test_cause_and_problem_together(database: Database, world: World) -> None:
    fail(world, BILLS, WHY)
    mapping = Cause.CUSTOMER_MAPPING.label
    assert found(world, BILLS, Filters(cause=mapping, problem="off")) == {"failed", "failed_twice"}
    assert found(world, BILLS, Filters(cause=Cause.TAX.label, problem=OFF)) == set()
    assert found(world, BILLS, Filters(cause=mapping, problem=OFF, currency="CAD")) == set()


def test_a_full_name_means_no_problem_that_holds_it(database: Database, world: World) -> None:
    """Each connection has a problem of its own, and the name of one begins that of the other."""
    with owned(), writing() as connection:
        connection.execute(
            text(
                "INSERT INTO connection (name, system, company, state)"
                " VALUES ('QuickBooks US 2', 'QuickBooks Online', 'Two', 'authorized')"
            )
        )
        connection.execute(
            text(
                "UPDATE invoice SET connection_id ="
                " (SELECT id FROM connection WHERE name = 'QuickBooks US 2') WHERE id = :id"
            ),
            {"id": world.invoice["failed_twice"]},
        )
    fail(world, INVOICES, dict.fromkeys(("failed", "failed_twice"), WHY["failed"]))
    assert found(world, INVOICES, Filters(problem=OFF)) == {"failed"}
    assert found(world, INVOICES, Filters(problem=f"{OFF} 2")) == {"failed_twice"}
    assert found(world, INVOICES, Filters(problem=OFF[1:])) == {"failed", "failed_twice"}
    assert found(world, INVOICES, Filters(problem=OFF.upper())) == {"failed", "failed_twice"}


def test_records_that_nobody_has_diagnosed_have_no_problem(
    database: Database, world: World
) -> None:
    for filters in (Filters(problem="a"), Filters(cause=Cause.UNKNOWN.label)):
        assert found(world, INVOICES, filters) == set()


@every_entity
def test_lists_by_what_pending_records_wait_for(
    database: Database, world: World, entity: Entity
) -> None:
    with writing() as connection:
        connection.execute(
            text(f"UPDATE {entity.key} SET connection_id = NULL WHERE id = :id"),
            {"id": world.records(entity.key)["pending"]},
        )
    tms, none, down, *blocked, forgotten, following = entity.waiting
    listed = {
        reason: found(world, entity, Filters(SyncStatus.PENDING, waits=reason))
        for reason in (*entity.waiting, "Boredom", "%")
    }
    assert listed == {
        tms: {"pending_draft"},
        none: {"pending"},
        down: set(),
        **{reason: {"pending_again"} for reason in blocked},
        forgotten: set(),
        following: set() if blocked else {"pending_again"},
        "Boredom": set(),
        "%": set(),
    }
    # Only Pending records wait; elsewhere it is left alone.
    assert found(world, entity, Filters(waits=none)) == FAILED
    complete = Filters(SyncStatus.COMPLETE)
    assert found(world, entity, replace(complete, waits=none)) == found(world, entity, complete)


# ---------------------------------------------------------------- borders of days


@pytest.mark.parametrize(
    ("day", "hours"),
    [(date(2026, 3, 8), 23), (date(2026, 11, 1), 25), (date(2026, 7, 4), 24)],
)
def test_a_business_day_ends_where_the_next_begins(
    database: Database, world: World, day: date, hours: int
) -> None:
    """On the days when the clocks change as well."""
    first = start_of(day)
    assert first.tzinfo is UTC
    assert start_of(day + timedelta(days=1)) - first == timedelta(hours=hours)
    just = timedelta(microseconds=1)
    moments: dict[str, datetime] = {
        "failed": first - just,
        "failed_twice": first,
        "failed_expired": first + timedelta(hours=hours) - just,
        "failed_old": first + timedelta(hours=hours),
    }
    with writing() as connection:
        for name, at in moments.items():
            connection.execute(
                text("UPDATE bill SET sync_at = :at WHERE id = :id"),
                {"at": moment_text(at), "id": world.bill[name]},
            )

    def on(start: date, end: date) -> set[str]:
        return found(world, BILLS, Filters(window=Window.CUSTOM, start=start, end=end))

    one = timedelta(days=1)
    assert on(day, day) == {"failed_twice", "failed_expired"}
    assert on(day - one, day - one) == {"failed"}
    assert on(day + one, day + one) == {"failed_old"}
    assert on(day - one, day + one) == moments.keys()
