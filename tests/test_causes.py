"""What has to be fixed: every failure in one group, and a group's link finds what it counts."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from synchist import causes, problems, queries
from synchist.causes import TREND_DAYS, Group, Open, State, Trend
from synchist.db.engine import reading
from synchist.demo import make_demo
from synchist.diagnosis import Cause
from synchist.entities import BILL_PAYMENTS, BILLS, ENTITIES, INVOICE_PAYMENTS, INVOICES
from synchist.filters import Filters, Window, start_of, today
from synchist.queries import Total, added
from synchist.settings import settings
from synchist.statuses import SyncStatus
from tests.conftest import Database, owned
from tests.test_problems import attempt, catch_up, job, problem_id
from tests.world import STORIES, World, noon

PENDING, COMPLETE, FAILED = SyncStatus
NO_ACCOUNT = 'Account "40100" does not exist'
TITLE = "GL account “40100” is wrong or missing"
US, CANADA = f"{TITLE} · QuickBooks US", f"{TITLE} · Xero Canada"
JUST = timedelta(microseconds=1)


def load_open() -> Open:
    """What the page shows, of which every number must be that of the list behind its link."""
    with reading() as connection:
        found = causes.load_open(connection)
        for group in found.groups:
            for entity in ENTITIES:
                filters = Filters(FAILED, Window.ALL, problem=group.name)
                assert queries.total(connection, entity, filters) == group.totals.get(
                    entity.key, Total()
                ), f"{group.name}, {entity.plural}"
        failed = added(
            queries.total(connection, entity, Filters(FAILED, Window.ALL)) for entity in ENTITIES
        )
    assert added([*(group.total for group in found.groups), found.undiagnosed]) == failed
    return found


def groups() -> dict[str, Group]:
    """The groups by their names, each of which is one of its own."""
    found = load_open().groups
    assert len({group.name for group in found}) == len(found)
    return {group.name: group for group in found}


def load_trend() -> Trend:
    with reading() as connection:
        return causes.load_trend(connection)


# ---------------------------------------------------------------- what is failed


def test_failures_are_counted_and_summed_over_all_entities(
    database: Database, world: World
) -> None:
    for entity in ENTITIES:
        for story in ("failed", "failed_twice", "failed_expired"):
            attempt(database, entity, world.records(entity.key)[story], NO_ACCOUNT)
    in_canadian = "UPDATE bill SET currency = 'CAD' WHERE id = ?"
    job(database, in_canadian, world.bill["failed"])
    catch_up()
    found = groups()
    both, bills = Total(2, {"USD": 203_450}), Total(2, {"CAD": 123_450, "USD": 80_000})
    assert found[US].totals == {
        entity.key: bills if entity is BILLS else both for entity in ENTITIES
    }
    assert found[US].total == Total(8, {"USD": 3 * 203_450 + 80_000, "CAD": 123_450})
    assert found[CANADA].totals == {entity.key: Total(1, {"CAD": 45_075}) for entity in ENTITIES}
    assert (found[US].cause, found[US].named) == (Cause.ACCOUNT_MAPPING, "40100")
    assert (found[US].connection, found[US].system) == ("QuickBooks US", "QuickBooks Online")


def test_a_group_counts_only_entities_and_records_that_are_failed_now(
    database: Database, world: World
) -> None:
    for story in ("failed", "failed_twice", "pending"):
        attempt(database, INVOICES, world.invoice[story], NO_ACCOUNT)
    attempt(database, INVOICES, world.invoice["pending_again"], NO_ACCOUNT, status=PENDING)
    catch_up()
    attempt(database, INVOICES, world.invoice["failed"], None, status=COMPLETE)
    assert groups()[US].totals == {"invoice": Total(2, {"USD": 80_000 + 42_000})}
    for story in ("failed_twice", "pending"):
        attempt(database, INVOICES, world.invoice[story], None, status=COMPLETE)
    assert US not in groups()


def test_every_group_of_a_demo_is_the_list_behind_its_link(database: Database) -> None:
    with owned():
        make_demo(600)
    assert load_open().groups == ()
    catch_up()
    found = load_open()
    assert len(found.groups) > 10
    assert found.undiagnosed == Total()


def test_what_the_tms_moves_to_another_connection_stays_in_its_group(
    database: Database, world: World
) -> None:
    for entity in (INVOICES, BILLS):
        attempt(database, entity, world.records(entity.key)["failed"], NO_ACCOUNT)
    catch_up()
    before = groups()[US]
    moved = f"UPDATE bill SET connection_id = {world.connection['Xero Canada']} WHERE id = ?"
    job(database, moved, world.bill["failed"])
    assert groups()[US] == before
    attempt(database, BILLS, world.bill["failed"], NO_ACCOUNT)
    catch_up()
    assert groups()[US].totals.keys() == {"invoice"}
    assert groups()[CANADA].totals.keys() == {"bill"}


def test_names_that_hold_another_whole_name_are_told_apart(
    database: Database, world: World
) -> None:
    """One without a connection, one on a connection, one on a connection of a longer name."""
    records = {TITLE: "failed_old", US: "failed", f"{US} 2": "failed_twice"}
    other = "SELECT 'QuickBooks US 2', system, company, state FROM connection WHERE id = ?"
    job(
        database,
        f"INSERT INTO connection (name, system, company, state) {other}",
        world.connection["QuickBooks US"],
    )
    for connection, story in (
        ("NULL", records[TITLE]),
        ("(SELECT id FROM connection WHERE name = 'QuickBooks US 2')", "failed_twice"),
    ):
        job(
            database,
            f"UPDATE invoice SET connection_id = {connection} WHERE id = ?",
            world.invoice[story],
        )
    for story in records.values():
        attempt(database, INVOICES, world.invoice[story], NO_ACCOUNT)
    catch_up()
    found = groups()
    assert {name: found[name].totals["invoice"].by_currency for name in records} == {
        name: {"USD": STORIES[story].amount} for name, story in records.items()
    }
    assert (found[TITLE].connection, found[TITLE].system) == ("", "any")
    with reading() as connection:
        part = Filters(FAILED, Window.ALL, problem="gl account “40100”")
        assert queries.total(connection, INVOICES, part).count == 3


def test_what_nobody_has_diagnosed_is_counted_apart(database: Database, world: World) -> None:
    entity_total = Total(5, {"USD": 123_450 + 80_000 + 70_000 + 66_600, "CAD": 45_075})
    found = load_open()
    assert found.groups == ()
    assert found.undiagnosed == added([entity_total] * 4)
    problems.catch_up([INVOICES, BILLS])
    found = load_open()
    assert found.undiagnosed == added([entity_total] * 2)
    assert added(group.total for group in found.groups) == added([entity_total] * 2)
    assert not {"invoice_payment", "bill_payment"} & {
        key for group in found.groups for key in group.totals
    }


# ---------------------------------------------------------------- since when


def test_first_and_last_failure_and_the_oldest_open_record(
    database: Database, world: World
) -> None:
    """Failures count although their record was synced; the age is that of open records alone."""
    job(
        database,
        "INSERT INTO invoice (tms_id, number, party_id, billing_organization_id, currency, amount,"
        " connection_id, tms_status, created_at) SELECT 'OLD', 'OLD', party_id,"
        " billing_organization_id, currency, amount, connection_id, tms_status,"
        " '2020-02-02 12:00:00.000000' FROM invoice WHERE id = ?",
        world.invoice["pending"],
    )
    with reading() as connection:
        old = connection.scalar(text("SELECT id FROM invoice WHERE tms_id = 'OLD'"))
    attempt(database, INVOICES, old, NO_ACCOUNT, at=noon(40))
    attempt(database, INVOICES, old, None, at=noon(39), status=COMPLETE)
    attempt(database, BILLS, world.bill["pending"], NO_ACCOUNT, at=noon(20))
    for story in ("failed", "pending"):
        attempt(database, BILL_PAYMENTS, world.bill_payment[story], NO_ACCOUNT, at=noon(1))
    attempt(database, BILLS, world.bill["pending"], NO_ACCOUNT, at=noon(2))
    catch_up()
    found = groups()[US]
    assert (found.first, found.last) == (noon(40), noon(1))
    assert found.oldest == noon(STORIES["failed"].created)
    assert found.totals.keys() == {"bill", "bill_payment"}


@pytest.mark.parametrize(
    ("days", "state"),
    [
        ((1,), State.NEW),
        ((2, 1), State.NEW),
        ((5,), State.ONGOING),
        ((5, 1), State.ONGOING),
        ((20, 10, 4, 1), State.ONGOING),
        ((8,), State.QUIET),
        ((40, 30, 8), State.QUIET),
        ((10, 2), State.BACK),
        ((20, 12, 4, 1), State.BACK),
    ],
)
def test_how_a_problem_has_developed(
    database: Database, world: World, days: tuple[int, ...], state: State
) -> None:
    """Failures so many days ago, of records of all four entities in turn."""
    for number, back in enumerate(days):
        entity = ENTITIES[number % 4]
        attempt(database, entity, world.records(entity.key)["pending"], NO_ACCOUNT, at=noon(back))
    catch_up()
    assert groups()[US].state is state


# ---------------------------------------------------------------- day by day


@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Kolkata"])
def test_a_day_begins_at_midnight_where_the_business_is(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("SYNCHIST_TIME_ZONE", zone)
    settings.cache_clear()
    day = today() - timedelta(days=3)
    for entity, at in (
        (INVOICES, start_of(day) - JUST),
        (BILLS, start_of(day)),
        (INVOICE_PAYMENTS, start_of(day + timedelta(days=1)) - JUST),
        (BILL_PAYMENTS, start_of(day + timedelta(days=1))),
    ):
        attempt(database, entity, world.records(entity.key)["pending"], NO_ACCOUNT, at=at)
    catch_up()
    trend = load_trend()
    found = trend.by_problem[problem_id(INVOICES, world.invoice["pending"])]
    by_day = {str(one): number for one, number in zip(trend.days, found, strict=True) if number}
    assert by_day == {
        str(day + timedelta(days=number)): failures
        for number, failures in ((-1, 1), (0, 2), (1, 1))
    }
    assert trend.by_cause[Cause.ACCOUNT_MAPPING] == found


def test_the_days_are_the_past_two_weeks_up_to_today(database: Database, world: World) -> None:
    first = today() - timedelta(days=TREND_DAYS - 1)
    for entity, at in (
        (INVOICES, start_of(first) - JUST),
        (BILLS, start_of(first)),
        (BILL_PAYMENTS, start_of(today())),
    ):
        attempt(database, entity, world.records(entity.key)["pending"], NO_ACCOUNT, at=at)
    catch_up()
    trend = load_trend()
    assert trend.days == tuple(first + timedelta(days=number) for number in range(TREND_DAYS))
    found = trend.by_problem[problem_id(BILLS, world.bill["pending"])]
    assert found == [1, *[0] * (TREND_DAYS - 2), 1]


def test_failures_count_by_day_and_cause_whatever_became_of_their_records(
    database: Database, world: World
) -> None:
    for story in ("failed", "failed_expired"):
        record = world.invoice[story]
        attempt(database, INVOICES, record, NO_ACCOUNT, at=noon(2))
        attempt(database, INVOICES, record, NO_ACCOUNT, at=noon(2) + JUST)
        attempt(database, INVOICES, record, None, at=noon(1), status=COMPLETE)
    other_account = NO_ACCOUNT.replace("40100", "40200")
    attempt(database, INVOICES, world.invoice["pending"], other_account, at=noon(2))
    catch_up()
    trend = load_trend()
    assert trend.by_cause[Cause.ACCOUNT_MAPPING] == [*[0] * (TREND_DAYS - 3), 5, 0, 0]
    of_problems = sorted(numbers[-3] for numbers in trend.by_problem.values() if numbers[-3])
    assert of_problems == [1, 2, 2]
    for cause, numbers in trend.by_cause.items():
        with reading() as connection:
            ids = connection.scalars(
                text("SELECT id FROM problem WHERE cause = :cause"), {"cause": cause}
            ).all()
        parts = [trend.by_problem[one] for one in ids if one in trend.by_problem]
        assert numbers == [sum(day) for day in zip(*parts, strict=True)]
