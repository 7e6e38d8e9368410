"""How syncing has gone: every measure by hand in a small world, and recounted over all events."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import groupby
from statistics import median
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import select

from synchist import trends
from synchist.db.engine import reading
from synchist.db.tables import connection as connection_table
from synchist.db.tables import organization, sync_event
from synchist.db.types import moment_text
from synchist.demo import make_demo
from synchist.entities import BILLS, BY_KEY, ENTITIES, INVOICES
from synchist.filters import start_of, today
from synchist.settings import settings
from synchist.status_changes import Change
from synchist.statuses import CloseReason, SyncStatus
from synchist.trends import COUNTS, Asked, By, Step, Trends
from tests.changes import OPERATOR, TO_PENDING, attempt, move, run, sets, ticked, versions
from tests.conftest import Database, owned
from tests.world import World, noon

PENDING, COMPLETE, FAILED = SyncStatus
JUST = timedelta(microseconds=1)


def ago(days: int) -> date:
    return today() - timedelta(days=days)


def load(first: int, last: int = 0, by: By = By.NOTHING, **narrowed: Any) -> Trends:
    """From so many days ago to so many days ago."""
    with reading() as connection:
        return trends.load(connection, Asked(ago(first), ago(last), **narrowed), by)


def counts(measures: pd.Series) -> dict[str, int]:
    """The numbers that are not zero."""
    return {name: int(measures[name]) for name in COUNTS if measures[name]}


def on(found: Trends, days: int, group: str | None = None) -> pd.Series:
    return found.by_period(group).loc[pd.Timestamp(ago(days))]


# ---------------------------------------------------------------- the world, by hand


def test_every_measure_of_the_world(database: Database, world: World) -> None:
    """Per entity: 14 attempts, of which 4 passed; 13 records were created."""
    found = load(80).whole()
    assert counts(found) == {
        "attempts": 4 * 13,
        "successes": 4 * 4,
        "failures": 4 * 9,
        "first_attempts": 4 * 11,
        "first_successes": 4 * 3,
        "completed": 4 * 4,
        "will_not_sync": 4,
    }
    assert found["success_rate"] == 4 / 13
    assert found["first_success_rate"] == 3 / 11
    # Created 90 days ago at noon; complete 8, 9, 7 and, at last, 2 days ago.
    assert found["median_hours"] == pytest.approx(24 * 82.5, abs=1.1)  # clocks may have changed


def test_a_day_of_the_world(database: Database, world: World) -> None:
    found = load(13)
    twice = on(found, 5)
    assert counts(twice) == {"attempts": 8, "failures": 8, "first_attempts": 4}
    assert twice["success_rate"] == 0
    at_last = on(found, 2)
    assert counts(at_last) == {"attempts": 4, "successes": 4, "completed": 4}
    assert pd.isna(at_last["first_success_rate"])
    nothing = on(found, 1)
    assert counts(nothing) == {}
    assert pd.isna(nothing["success_rate"])
    assert pd.isna(nothing["median_hours"])
    assert on(found, 7)["median_hours"] == pytest.approx(24 * 83, abs=1.1)


def test_groups_and_filters_of_the_world(database: Database, world: World) -> None:
    by_connection = load(80, by=By.CONNECTION)
    assert by_connection.groups == ["QuickBooks US", "Xero Canada"]
    assert by_connection.by_group()["attempts"].to_dict() == {
        "QuickBooks US": 4 * 11,
        "Xero Canada": 4 * 2,
    }
    by_connection = load(13, by=By.CONNECTION)
    assert counts(on(by_connection, 9, "Xero Canada"))["successes"] == 4
    assert counts(on(by_connection, 9, "QuickBooks US")) == {}
    assert load(80, by=By.ENTITY).by_group()["attempts"].to_dict() == {
        entity.title: 13 for entity in ENTITIES
    }
    canadian = load(80, by=By.BILLING, billing="Harbor Point Toronto", entity="bill")
    assert canadian.by_group()["attempts"].to_dict() == {"Harbor Point Toronto": 2}
    assert load(80, connection="Xero Canada").whole()["attempts"] == 8
    assert load(80, connection="Nobody's").whole()["attempts"] == 0


# ---------------------------------------------------------------- what counts


@pytest.mark.parametrize("zone", ["America/Chicago", "Asia/Kolkata"])
def test_a_day_begins_at_midnight_where_the_business_is(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("SYNCHIST_TIME_ZONE", zone)
    settings.cache_clear()
    record, midnight, next_one = world.invoice["pending"], start_of(ago(31)), start_of(ago(30))
    for at in (midnight - JUST, midnight, next_one - JUST, next_one):
        run(database, attempt(INVOICES, record, sync_at=moment_text(at)))
    found = load(33, 29).by_period()["attempts"].tolist()
    assert found == [0, 1, 2, 1, 0]
    assert load(31, 31).whole()["attempts"] == 2


def test_a_record_becomes_complete_once(database: Database, world: World) -> None:
    """Synced, sent back and synced again: two successes, one record."""
    record = world.bill["pending"]
    succeeds = {"sync_status": int(COMPLETE)}
    run(database, attempt(BILLS, record, None, minutes=1, **succeeds))
    move(OPERATOR, ticked(BILLS, record), TO_PENDING)
    run(database, attempt(BILLS, record, None, minutes=2, **succeeds))
    assert counts(load(0, billing="Harbor Point Chicago", entity="bill").whole()) == {
        "attempts": 2,
        "successes": 2,
        "first_attempts": 1,
        "first_successes": 1,
        "completed": 1,
        "will_not_sync": 1,  # the world's own
    }


def test_closings_count_apart_and_once(database: Database, world: World) -> None:
    def close(story: str, reason: CloseReason) -> None:
        record = ticked(INVOICES, world.invoice[story])
        move(OPERATOR, record, Change(COMPLETE, reason))

    close("failed", CloseReason.WILL_NOT_SYNC)
    close("failed_twice", CloseReason.RECONCILED)
    close("failed_old", CloseReason.OTHER)
    close("failed_old", CloseReason.WILL_NOT_SYNC)  # on second thoughts
    # What the TMS changes in a closed record does not close it again.
    run(database, sets(INVOICES, world.invoice["failed"], {"amount": 1}))
    found = load(0).whole()
    # Those that the world has closed are among them: it was written just now.
    assert counts(found) == {"will_not_sync": 2 + len(ENTITIES), "closed_otherwise": 2}
    assert pd.isna(found["success_rate"])


def test_closing_again_for_the_same_reason_closes_nothing(database: Database, world: World) -> None:
    again = Change(COMPLETE, CloseReason.WILL_NOT_SYNC, "as said before")
    assert move(OPERATOR, ticked(INVOICES, world.invoice["closed"]), again).applied == 1
    assert counts(load(0, entity="invoice").whole()) == {"will_not_sync": 1}


def test_what_an_attempt_completes_after_a_person_had_closed_it(
    database: Database, world: World
) -> None:
    """The books have it for the first time all the same."""
    record = world.invoice["closed"]
    run(database, attempt(INVOICES, record, None, sync_status=int(COMPLETE)))
    assert counts(load(0, entity="invoice").whole()) == {
        "attempts": 1,
        "successes": 1,
        "completed": 1,
        "will_not_sync": 1,
    }


def test_what_was_created_with_its_outcome_brings_no_attempt(
    database: Database, world: World
) -> None:
    """Nor is the next attempt its first one, or what it completes newly complete."""
    at = moment_text(noon(3))
    for number, (status, error) in enumerate(((2, "'No'"), (1, "NULL"))):
        run(
            database,
            "INSERT INTO invoice (tms_id, number, party_id, billing_organization_id, currency,"
            " amount, connection_id, tms_status, created_at, sync_status, sync_at, sync_error)"
            f" SELECT 'L{number}', 'L{number}', party_id, billing_organization_id, currency,"
            f" amount, NULL, tms_status, created_at, {status}, '{at}', {error}"
            f" FROM invoice WHERE id = {world.invoice['pending']}",
        )
    assert counts(load(3, 3, entity="invoice").whole()) == {
        "attempts": 1,
        "failures": 1,
        "first_attempts": 1,
    }  # the world's own
    with reading() as connection:
        of = INVOICES.table.c
        loaded = list(connection.scalars(select(of.id).where(of.tms_id.in_(["L0", "L1"]))))
    for record in loaded:
        run(database, attempt(INVOICES, record, None, sync_status=int(COMPLETE)))
    found = load(0, by=By.CONNECTION).by_group().loc[trends.NO_CONNECTION]
    assert counts(found) == {"attempts": 2, "successes": 2, "completed": 1}


def test_an_attempt_without_a_result_is_neither(database: Database, world: World) -> None:
    run(database, attempt(BILLS, world.bill["pending"], sync_status=int(PENDING)))
    found = load(0).whole()
    expected = {"attempts": 1, "without_result": 1, "first_attempts": 1}
    assert counts(found) == {**expected, "will_not_sync": len(ENTITIES)}
    assert found["success_rate"] == 0


# ---------------------------------------------------------------- periods


def test_ranges_are_divided_by_day_week_or_month() -> None:
    start = date(2026, 1, 30)  # a Friday
    assert Asked(start, date(2026, 2, 1)).periods == [start, date(2026, 1, 31), date(2026, 2, 1)]
    weekly = Asked(start, date(2026, 4, 5))
    assert (weekly.step, weekly.periods[:3]) == (
        Step.WEEK,
        [start, date(2026, 2, 2), date(2026, 2, 9)],
    )
    monthly = Asked(start, date(2027, 3, 1))
    assert (monthly.step, len(monthly.periods)) == (Step.MONTH, 15)
    assert monthly.periods[1] == date(2026, 2, 1)
    assert monthly.periods[-1] == date(2027, 3, 1)
    assert weekly.before == Asked(start - timedelta(days=66), start - timedelta(days=1))


# ---------------------------------------------------------------- recounted


@pytest.mark.parametrize("days", [20, 200, 500])
def test_a_recount_of_all_events_agrees(
    database: Database, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In plain Python, over every event of a demo; read in chunks as a large history is."""
    monkeypatch.setattr(trends, "CHUNK", 50)
    with owned():
        make_demo(500)
    some = [(key, record) for key, of in versions().items() for record in list(of)[:6]]
    for key, record in some:
        entity = BY_KEY[key]
        move(OPERATOR, ticked(entity, record), Change(COMPLETE, CloseReason.WILL_NOT_SYNC))
        run(database, attempt(entity, record, None, sync_status=int(COMPLETE)))
    for by in By:
        found = load(days, by=by)
        expected = _recounted(found.asked, by)
        for group in found.groups:
            frame = found.by_period(group)
            for number, (_, measures) in enumerate(frame.iterrows()):
                counted, hours = expected.pop((group, number), (Counter(), []))
                assert counts(measures) == dict(counted)
                if hours:
                    assert measures["median_hours"] == pytest.approx(median(hours))
        assert not expected


def _recounted(asked: Asked, by: By) -> dict[tuple[str, int], tuple[Counter[str], list[float]]]:
    """Counts and hours to Complete by group and number of the period."""
    with reading() as connection:
        events = connection.execute(
            select(sync_event).order_by(
                sync_event.c.entity, sync_event.c.record_id, sync_event.c.version
            )
        ).all()
        links = dict(
            connection.execute(select(connection_table.c.id, connection_table.c.name)).all()
        )
        branches = dict(connection.execute(select(organization.c.id, organization.c.name)).all())
    names = {
        By.NOTHING: lambda event: trends.ALL,
        By.ENTITY: lambda event: BY_KEY[event.entity].title,
        By.CONNECTION: lambda event: links.get(event.connection_id, trends.NO_CONNECTION),
        By.BILLING: lambda event: branches[event.billing_organization_id],
    }
    edges = [*asked.periods, asked.end + timedelta(days=1)]
    found: dict[tuple[str, int], tuple[Counter[str], list[float]]] = defaultdict(
        lambda: (Counter(), [])
    )
    for _, story in groupby(events, lambda event: (event.entity, event.record_id)):
        for event, marks, hours in _marked(list(story)):
            day = event.at.astimezone(settings().zone).date()
            period = sum(day >= edge for edge in edges) - 1
            if 0 <= period < len(edges) - 1:
                counted, durations = found[names[by](event), period]
                counted.update(marks)
                durations.extend(hours)
    return found


def _marked(story: list[Any]) -> Iterable[tuple[Any, list[str], list[float]]]:
    """Each event of a record that counts as something."""
    created: datetime = story[0].at
    for number, event in enumerate(story):
        earlier = story[:number]
        if event.kind == "attempt":
            outcome = {0: "without_result", 1: "successes", 2: "failures"}[event.sync_status]
            marks, hours = ["attempts", outcome], []
            if not any(one.sync_at for one in earlier):
                marks += ["first_attempts"] + ["first_successes"] * (event.sync_status == 1)
            synced = any(one.sync_status == 1 and not one.closed_reason for one in earlier)
            if event.sync_status == 1 and not synced:
                marks.append("completed")
                hours.append((event.at - created).total_seconds() / 3600)
            yield event, marks, hours
        elif event.kind == "operation" and event.closed_reason:
            given_up = event.closed_reason == "will_not_sync"
            yield event, ["will_not_sync" if given_up else "closed_otherwise"], []
