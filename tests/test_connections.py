"""Whether a connection works: its authorization, its answers, its refusals, its silence."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from synchist import causes, connections, problems, queries
from synchist.accounts import Principal
from synchist.connections import Health
from synchist.db.engine import reading, writing
from synchist.db.types import moment_text
from synchist.diagnosis import Cause
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.filters import Filters, Window
from synchist.queries import Total
from synchist.settings import settings
from synchist.status_changes import Change, change_status
from synchist.statuses import CloseReason, ConnectionState, SyncStatus
from tests.conftest import Database, owned
from tests.world import EXPIRED

PENDING, COMPLETE, FAILED = SyncStatus
WEEK, DAY, HOUR = timedelta(weeks=1), timedelta(days=1), timedelta(hours=1)
JUST = timedelta(microseconds=1)
MISSING = 'Customer "Blue Mesa Foods" not found'
UNAVAILABLE = "503 Service Unavailable"
CHICAGO = ZoneInfo("America/Chicago")
NOW = datetime(2026, 9, 9, 15, 30, tzinfo=UTC)  # a Wednesday, 10:30 in Chicago
_numbers = count(1)


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, NOW)


def be(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let it be that moment."""
    monkeypatch.setattr(connections, "utc_now", lambda: moment.astimezone(UTC))


# ---------------------------------------------------------------- what the TMS and its jobs write


def insert(table: str, **values: object) -> int:
    places = ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) RETURNING id"
    with owned(), writing() as connection:
        return int(connection.execute(text(statement), values).scalar_one())


def link(name: str = "Ledger", state: str = "authorized", **moments: datetime | None) -> int:
    """A connection to an accounting system."""
    written = {key: at and moment_text(at) for key, at in moments.items()}
    return insert("connection", name=name, system="xero", company="Us", state=state, **written)


def record(entity: Entity, connection_id: int, currency: str = "USD", amount: int = 100) -> int:
    number = f"T-{next(_numbers)}"
    party = insert("organization", tms_id=number, name=number)
    return insert(
        entity.key,
        tms_id=number,
        number=number,
        party_id=party,
        billing_organization_id=party,
        connection_id=connection_id,
        currency=currency,
        amount=amount,
        tms_status="Approved",
        created_at=moment_text(NOW - 90 * DAY),
    )


def attempt(
    entity: Entity,
    key: int,
    at: datetime | Sequence[datetime],
    error: str | None = None,
    status: SyncStatus | None = None,
) -> None:
    """What a job found, once or more often: Failed with an error, else Complete, or `status`."""
    outcome = status or (FAILED if error else COMPLETE)
    with writing() as connection:
        for moment in [at] if isinstance(at, datetime) else at:
            connection.execute(
                text(
                    f"UPDATE {entity.key} SET sync_status = :status, sync_at = :at,"
                    " sync_error = :error WHERE id = :id"
                ),
                {"status": int(outcome), "at": moment_text(moment), "error": error, "id": key},
            )


def move(principal: Principal, to: SyncStatus, *keys: int) -> None:
    """A person's status change of bills."""
    with reading() as connection:
        seen = dict(connection.execute(text("SELECT id, version FROM bill")).all())
    change = Change(to, CloseReason.OTHER if to is COMPLETE else None)
    change_status(principal, str(uuid4()), {"bill": {key: seen[key] for key in keys}}, change)


def diagnose() -> None:
    while problems.catch_up():
        pass


def healths() -> list[Health]:
    """Every connection, in alphabetical order."""
    diagnose()
    with reading() as connection:
        return connections.load_connections(connection)


def health(name: str = "Ledger") -> Health:
    return next(one for one in healths() if one.name == name)


# ---------------------------------------------------------------- authorization


AUTHORIZATIONS = (
    # its state, when its token ends; whether it has expired, in how many full days it does
    ("authorized", None, False, None),
    ("authorized", 30 * DAY, False, 30),
    ("authorized", 3 * DAY + 5 * HOUR, False, 3),
    ("authorized", 23 * HOUR, False, 0),
    ("authorized", JUST, False, 0),
    ("authorized", 0 * DAY, True, 0),
    ("authorized", -HOUR, True, -1),
    ("expired", None, True, None),
    ("expired", 30 * DAY, True, 30),
    ("revoked", None, True, None),
    ("revoked", -3 * DAY, True, -3),
)


def test_authorization(database: Database) -> None:
    for number, (state, ends_in, _, _) in enumerate(AUTHORIZATIONS, 10):
        ends = None if ends_in is None else NOW + ends_in
        link(str(number), state, token_expires_at=ends)
    for one, (state, ends_in, expired, days) in zip(healths(), AUTHORIZATIONS, strict=True):
        assert one.state == ConnectionState(state)
        assert one.token_expires_at == (None if ends_in is None else NOW + ends_in)
        found = (one.expired, one.is_down, one.expires_in_days)
        assert found == (expired, expired, days), (state, ends_in)


def test_connections_stand_in_alphabetical_order(database: Database) -> None:
    for name in ("Xero", "Abacus", "Ledger"):
        link(name)
    assert [one.name for one in healths()] == ["Abacus", "Ledger", "Xero"]


# ---------------------------------------------------------------- last success, last attempt


def test_a_connection_that_was_never_used(database: Database) -> None:
    link()
    found = health()
    assert (found.last_success, found.last_attempt) == (None, None)
    assert (found.refusals, found.refused_since, found.refused, found.problem) == (0, None, {}, "")
    assert found.silent_hours == ()


@pytest.mark.parametrize(
    ("told", "success", "last"),
    [
        (None, 9, 5),
        (11, 9, 5),  # what the connection says, or what the attempts do: whichever is later
        (7, 7, 5),
        (3, 3, 3),
    ],
)
def test_the_last_success_and_the_last_attempt(
    database: Database, told: int | None, success: int, last: int
) -> None:
    mine = link(last_success_at=NOW - told * HOUR if told else None)
    bill = record(BILLS, mine)
    attempt(BILLS, bill, [NOW - 20 * HOUR, NOW - 9 * HOUR])
    attempt(INVOICES, record(INVOICES, mine), NOW - 5 * HOUR, MISSING)
    attempt(INVOICES, record(INVOICES, link("Another")), NOW - HOUR)
    found = health()
    assert found.last_success == NOW - success * HOUR
    assert found.last_attempt == NOW - last * HOUR


def test_a_connection_that_only_tells_of_a_success(database: Database) -> None:
    link(last_success_at=NOW - 3 * HOUR)
    found = health()
    assert found.last_success == found.last_attempt == NOW - 3 * HOUR


@pytest.mark.parametrize("status", SyncStatus, ids=lambda status: status.label)
def test_an_attempt_with_any_outcome_is_an_attempt(database: Database, status: SyncStatus) -> None:
    attempt(BILLS, record(BILLS, link()), NOW - HOUR, MISSING, status)
    found = health()
    assert found.last_attempt == NOW - HOUR
    assert found.last_success == (NOW - HOUR if status is COMPLETE else None)


def test_a_person_and_the_tms_make_no_attempts(database: Database, analyst: Principal) -> None:
    bill = record(BILLS, link())
    attempt(BILLS, bill, NOW - 2 * DAY, MISSING)
    move(analyst, COMPLETE, bill)
    with writing() as connection:
        connection.execute(text("UPDATE bill SET amount = 7"))
    found = health()
    assert (found.last_success, found.last_attempt) == (None, NOW - 2 * DAY)


# ---------------------------------------------------------------- refusals


def tell(connection_id: int, *answers: str | None) -> None:
    """Answers an hour apart, the last one an hour ago, each to a record of another entity."""
    for ago, answer, entity in zip(
        range(len(answers), 0, -1), answers, cycle(ENTITIES), strict=False
    ):
        attempt(entity, record(entity, connection_id), NOW - ago * HOUR, answer)


ANSWERS: tuple[tuple[list[str | None], int, int | None], ...] = (
    # what attempts were told, how many refusals that leaves, and how many hours ago they began
    ([EXPIRED] * 2, 2, 2),
    ([EXPIRED] * 3, 3, 3),
    ([EXPIRED] * 7, 7, 7),
    ([EXPIRED, EXPIRED, None, EXPIRED], 1, 1),
    ([EXPIRED, EXPIRED, MISSING, EXPIRED], 1, 1),
    ([*[EXPIRED] * 3, None], 0, None),
    ([*[EXPIRED] * 3, MISSING], 0, None),
    ([None, *[EXPIRED] * 3], 3, 3),
    ([MISSING, *[EXPIRED] * 3], 3, 3),
    ([EXPIRED, EXPIRED, UNAVAILABLE, EXPIRED], 3, 4),
    ([EXPIRED, EXPIRED, UNAVAILABLE], 2, 3),
    ([EXPIRED, EXPIRED, "Something odd happened", "Rate limit exceeded", EXPIRED], 3, 5),
    ([UNAVAILABLE] * 5, 0, None),
    ([MISSING] * 5, 0, None),
)


def test_refusals_since_the_last_answer(database: Database) -> None:
    """Three in a row: it is down, although its state says authorized."""
    for number, (answers, _, _) in enumerate(ANSWERS, 10):
        tell(link(str(number)), *answers)
    for one, (answers, refusals, since) in zip(healths(), ANSWERS, strict=True):
        assert one.refusals == refusals, answers
        assert one.refused_since == (NOW - since * HOUR if since else None), answers
        assert (one.expired, one.is_down) == (False, refusals >= 3), answers


def test_one_record_refused_three_times(database: Database) -> None:
    attempt(BILLS, record(BILLS, link()), [NOW - ago * HOUR for ago in (3, 2, 1)], EXPIRED)
    found = health()
    assert (found.refusals, found.is_down) == (3, True)
    assert found.refused == {"bill": Total(1, {"USD": 100})}


def test_a_success_that_the_connection_tells_of_is_an_answer(database: Database) -> None:
    for told in (3.5, 2.5, 0.5):
        tell(link(f"{told} hours ago", last_success_at=NOW - told * HOUR), *[EXPIRED] * 3)
    assert [one.refusals for one in healths()] == [0, 2, 3]


def test_each_connection_counts_its_own_refusals(database: Database) -> None:
    """The name of the one is the beginning of the other's, and so are their problems'."""
    mine, other = link("Ledger"), link("Ledger 2")
    tell(mine, EXPIRED, EXPIRED)
    tell(other, None, EXPIRED, EXPIRED, EXPIRED)
    found, others = health("Ledger"), health("Ledger 2")
    assert (found.refusals, others.refusals) == (2, 3)
    assert (found.is_down, others.is_down) == (False, True)
    assert others.problem == f"{found.problem} 2"


def test_a_person_who_marks_records_failed_is_no_refusal(
    database: Database, analyst: Principal
) -> None:
    mine = link()
    bills = [record(BILLS, mine) for _ in range(3)]
    for bill in bills:
        attempt(BILLS, bill, NOW - 2 * DAY, EXPIRED)
    attempt(BILLS, record(BILLS, mine), NOW - DAY)
    assert health().refusals == 0
    move(analyst, PENDING, *bills)
    move(analyst, FAILED, *bills)
    assert (health().refusals, health().is_down) == (0, False)


def test_a_person_who_marks_a_record_failed_is_no_answer(
    database: Database, analyst: Principal
) -> None:
    mine = link()
    tell(mine, *[EXPIRED] * 3)
    move(analyst, FAILED, record(BILLS, mine))
    assert (health().refusals, health().is_down) == (3, True)


def test_the_refused_records_are_those_of_their_lists(
    database: Database, analyst: Principal
) -> None:
    mine, other = link(), link("Ledger 2")
    for number, entity in enumerate(ENTITIES):
        for currency in ("USD", "CAD", "USD")[number:]:
            key = record(entity, mine, currency, amount=1_000 + number)
            attempt(entity, key, NOW - 40 * DAY, EXPIRED)
        attempt(entity, record(entity, mine), NOW - DAY, MISSING)
        attempt(entity, record(entity, other), NOW - DAY, EXPIRED)
    gone = record(BILLS, mine)
    attempt(BILLS, gone, NOW - 40 * DAY, EXPIRED)
    move(analyst, PENDING, gone)
    found = health()
    assert found.refused == {
        "invoice": Total(3, {"USD": 2_000, "CAD": 1_000}),
        "invoice_payment": Total(2, {"USD": 1_001, "CAD": 1_001}),
        "bill": Total(1, {"USD": 1_002}),
    }
    listed = Filters(FAILED, Window.ALL, problem=found.problem)
    with reading() as connection:
        for entity in ENTITIES:
            expected = found.refused.get(entity.key, Total())
            assert queries.total(connection, entity, listed) == expected


def test_400_refusals_are_one_problem_and_one_connection_that_is_down(database: Database) -> None:
    mine = link()
    link("Ledger 2")
    party = insert("organization", tms_id="P", name="P")
    with writing() as connection:
        for entity in ENTITIES:
            connection.execute(
                text(
                    f"INSERT INTO {entity.key} (tms_id, number, party_id, billing_organization_id,"
                    " connection_id, currency, amount, tms_status, created_at) VALUES"
                    f" (:id, :id, {party}, {party}, {mine}, 'USD', 100, 'Approved', :created)"
                ),
                [{"id": f"T-{n}", "created": moment_text(NOW - 90 * DAY)} for n in range(100)],
            )
            connection.execute(
                text(f"UPDATE {entity.key} SET sync_status = 2, sync_at = :at, sync_error = :why"),
                {"at": moment_text(NOW - HOUR), "why": EXPIRED},
            )
    diagnose()
    with reading() as connection:
        still_open = causes.load_open(connection)
        found = connections.load_connections(connection)
    (group,) = still_open.groups
    assert (group.cause, group.connection) == (Cause.AUTHORIZATION, "Ledger")
    assert group.total == Total(400, {"USD": 40_000})
    assert still_open.undiagnosed == Total()
    assert [one.is_down for one in found] == [True, False]
    assert (found[0].refusals, found[0].problem) == (400, group.name)
    assert found[0].refused == group.totals


# ---------------------------------------------------------------- silence


def chicago(month: int, day: int, hour: int, minute: int = 0, fold: int = 0) -> datetime:
    """A moment of 2026 on the clocks of the default business time zone."""
    return datetime(2026, month, day, hour, minute, tzinfo=CHICAGO, fold=fold)


EIGHT = chicago(9, 9, 8)
SEVEN_TWENTY = chicago(9, 9, 7, 20)
SILENT = (datetime(2026, 9, 9, 8),)
EVERY_HOUR = [chicago(9, 9, hour, 5) - back * WEEK for back in (1, 2, 3, 4) for hour in range(24)]


def silence(
    *attempts: datetime, last: datetime = SEVEN_TWENTY, error: str | None = None
) -> tuple[datetime, ...]:
    """The silent hours of a connection with these attempts and a last one."""
    attempt(BILLS, record(BILLS, link()), [*attempts, last], error)
    found = health()
    assert found.last_attempt == last
    return found.silent_hours


@pytest.mark.parametrize("weeks", [(1, 2, 3, 4), (1, 2, 3), (1, 3, 4), (2, 3, 4)])
def test_an_hour_that_usually_has_attempts(database: Database, weeks: tuple[int, ...]) -> None:
    """In three of the past four weeks."""
    assert silence(*(EIGHT + HOUR / 3 - back * WEEK for back in weeks)) == SILENT


@pytest.mark.parametrize("weeks", [(1, 2), (1, 4), (1, 2, 5), (3, 4, 5, 6), ()])
def test_an_hour_that_rarely_has_attempts(database: Database, weeks: tuple[int, ...]) -> None:
    """Also where the history holds no more than the past two weeks."""
    assert silence(*(EIGHT + HOUR / 3 - back * WEEK for back in weeks)) == ()


def test_many_attempts_of_one_week_are_no_habit(database: Database) -> None:
    assert (
        silence(*(EIGHT - back * WEEK + n * HOUR / 60 for back in (1, 2) for n in range(9))) == ()
    )


def test_attempts_of_any_outcome_count(database: Database) -> None:
    assert silence(*(EIGHT - back * WEEK for back in (1, 2, 3)), error=MISSING) == SILENT


@pytest.mark.parametrize(
    ("after", "silent"), [(-JUST, False), (0 * HOUR, True), (HOUR - JUST, True), (HOUR, False)]
)
def test_an_hour_has_sharp_ends(database: Database, after: timedelta, silent: bool) -> None:
    """08:00:00 belongs to it, 09:00:00 does not."""
    found = silence(*(EIGHT + after - back * WEEK for back in (1, 2, 3)))
    assert (SILENT[0] in found) is silent


def test_only_the_same_day_of_the_week_counts(database: Database) -> None:
    assert silence(*(EIGHT - DAY - back * WEEK for back in (1, 2, 3, 4))) == ()


def test_the_hour_of_the_last_attempt_and_the_present_one_never_count(database: Database) -> None:
    assert silence(*EVERY_HOUR) == tuple(datetime(2026, 9, 9, hour) for hour in (8, 9))


def test_full_hours_do_not_depend_on_minutes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 7:50 to 10:10 lie two full hours, though less than three have passed."""
    be(monkeypatch, chicago(9, 9, 10, 10))
    found = silence(*EVERY_HOUR, last=chicago(9, 9, 7, 50))
    assert found == tuple(datetime(2026, 9, 9, hour) for hour in (8, 9))


def test_between_two_hours_that_follow_each_other_is_no_silence(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    be(monkeypatch, chicago(9, 9, 8, 59))
    assert silence(*EVERY_HOUR) == ()


def test_attempts_of_another_connection_do_not_break_the_silence(database: Database) -> None:
    other = link("Another")
    attempt(INVOICES, record(INVOICES, other), EIGHT + HOUR / 2)
    assert silence(*(EIGHT - back * WEEK for back in (1, 2, 3))) == SILENT


def test_nor_do_they_make_a_habit(database: Database) -> None:
    other = link("Another")
    attempt(INVOICES, record(INVOICES, other), [EIGHT - back * WEEK for back in (1, 2, 3, 4)])
    assert silence() == ()


def test_without_any_attempt_there_is_no_silence(database: Database) -> None:
    link(last_success_at=NOW - 3 * DAY)
    other = link("Another")
    attempt(INVOICES, record(INVOICES, other), [EIGHT - back * WEEK for back in (1, 2, 3, 4)])
    assert health().silent_hours == ()


def test_silence_is_counted_over_seven_days(database: Database) -> None:
    """The last attempt was nine days ago; hours at eight on each day since."""
    days = [EIGHT - back * DAY for back in range(10, 42)]
    found = silence(*days, last=EIGHT - 9 * DAY)
    assert found == tuple(SILENT[0] - back * DAY for back in reversed(range(7)))


def test_a_silence_of_months_is_still_one(database: Database) -> None:
    """What is usual is what was before it began."""
    days = [EIGHT - back * DAY for back in range(61, 95)]
    found = silence(*days, last=EIGHT - 60 * DAY)
    assert found == tuple(SILENT[0] - back * DAY for back in reversed(range(7)))


# ---------------------------------------------------------------- the clocks


def test_after_the_clocks_went_back_the_same_hour_of_the_clock_counts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chicago, 1 November 2026: eight o'clock is 13:00 UTC in October and 14:00 in November."""
    be(monkeypatch, chicago(11, 4, 10, 30))
    october = [chicago(10, day, 8, 15) for day in (28, 21, 14, 7)]
    assert {moment.astimezone(UTC).hour for moment in october} == {13}
    last = chicago(11, 4, 7, 20)
    assert last.astimezone(UTC).hour == 13
    assert silence(*october, last=last) == (datetime(2026, 11, 4, 8),)


@pytest.mark.parametrize(
    ("now", "hours"),
    [
        (chicago(11, 1, 3, 10), [1, 2]),  # the clocks show one o'clock twice: one hour of the week
        (chicago(11, 1, 1, 40, fold=1), []),  # the present hour, for the second time
        (chicago(3, 8, 5, 10), [1, 3, 4]),  # there was no two o'clock
    ],
)
def test_in_the_night_when_the_clocks_change(
    database: Database, monkeypatch: pytest.MonkeyPatch, now: datetime, hours: list[int]
) -> None:
    be(monkeypatch, now)
    midnight = datetime.combine(now, datetime.min.time(), now.tzinfo)
    weeks = [midnight - back * WEEK for back in range(1, 5)]
    found = silence(
        *(week.replace(hour=hour, minute=30) for week in weeks for hour in range(6)),
        last=midnight.replace(minute=5),
    )
    assert [(hour.date(), hour.hour) for hour in found] == [(now.date(), hour) for hour in hours]


@pytest.mark.parametrize(
    "zone",
    [
        "America/Chicago",
        "Asia/Kolkata",  # half an hour beside the full hours of UTC
        "Asia/Kathmandu",  # three quarters
    ],
)
def test_hours_of_any_business_time_zone(
    database: Database, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("SYNCHIST_TIME_ZONE", zone)
    settings.cache_clear()
    there = {"tzinfo": ZoneInfo(zone)}
    be(monkeypatch, NOW.replace(hour=10, minute=30, **there))
    weeks = [EIGHT.replace(minute=1, **there) - back * WEEK for back in (1, 2, 3)]
    assert silence(*weeks, last=EIGHT.replace(hour=6, minute=20, **there)) == SILENT
