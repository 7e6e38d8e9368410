"""The overview: every number equals the list that it leads to, today and at the ends of days."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, text, update

from synchist import connections, overview, problems, queries
from synchist.accounts import NotAllowed, Principal, viewing
from synchist.connections import BURST, SOON_DAYS
from synchist.db.engine import reading, writing
from synchist.db.tables import connection as connection_table
from synchist.db.tables import daily_open_day, visit
from synchist.db.types import moment_text
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.filters import Age, Filters, Window, start_of, today
from synchist.overview import Overview
from synchist.queries import Total, added
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import SyncStatus
from tests.changes import OPERATOR, attempt, move, run, sets, ticked, to
from tests.conftest import POSTGRESQL, Database, owned
from tests.world import EXPIRED, World, noon

PENDING, COMPLETE, FAILED = SyncStatus
NOW = datetime(2026, 11, 20, 15, 0, 0, tzinfo=UTC)


def load(principal: Principal = OPERATOR) -> Overview:
    with viewing(principal, Role.ACCOUNTING_SYNC, "look") as (connection, actor):
        return overview.load(connection, actor)


def listed(entity: Entity, filters: Filters) -> Total:
    """What the list of these filters counts, and holds."""
    with reading() as connection:
        total = queries.total(connection, entity, filters)
        rows = queries.load(connection, entity, filters)
    assert len(rows) == total.count
    return total


# ---------------------------------------------------------------- numbers and their lists


def test_what_is_open_is_a_recount(database: Database, world: World) -> None:
    """B15. Failed and Pending over all dates, recounted in Python."""
    found = load().open
    assert list(found) == [entity.key for entity in ENTITIES]
    for entity in ENTITIES:
        counts: Counter[SyncStatus] = Counter()
        amounts: dict[SyncStatus, Counter[str]] = {PENDING: Counter(), FAILED: Counter()}
        with reading() as connection:
            rows = connection.execute(
                text(f"SELECT sync_status, currency, amount FROM {entity.key}")
            ).all()
        for status, currency, amount in rows:
            if status in amounts:
                counts[SyncStatus(status)] += 1
                amounts[SyncStatus(status)][currency] += amount
        assert found[entity.key].now == {
            status: Total(counts[status], amounts[status]) for status in (PENDING, FAILED)
        }
    assert found["bill"].now[FAILED].count == 5


def test_every_number_is_that_of_its_list(
    database: Database, world: World, analyst: Principal
) -> None:
    while problems.catch_up():
        pass
    since = noon(4)
    overview.visited(analyst)
    seen(analyst, since)
    found = load(analyst)
    assert found.since == since
    for entity in ENTITIES:
        of = found.open[entity.key]
        for status in (FAILED, PENDING):
            assert of.now[status] == listed(entity, Filters(status, Window.ALL))
            for age in Age:
                total = of.by_age.get((status, age), Total())
                assert total == listed(entity, Filters(status, Window.ALL, age=age))
        assert found.new[entity.key] == listed(entity, overview.newly_failed(since))
        assert found.new[entity.key].count == 2  # three and four days ago
        by_cause = {cause: totals.get(entity.key) for cause, totals in found.by_cause.items()}
        for cause, total in by_cause.items():
            filters = Filters(FAILED, Window.ALL, cause=cause.label)
            assert (total or Total()) == listed(entity, filters)
        assert added(total for total in by_cause.values() if total) == of.now[FAILED]
    assert found.undiagnosed == Total()


def test_failures_that_nobody_has_diagnosed_are_counted_apart(
    database: Database, world: World
) -> None:
    found = load()
    assert found.by_cause == {}
    assert found.undiagnosed == added(found.open[entity.key].now[FAILED] for entity in ENTITIES)


AGES = {0: Age.TODAY, 1: Age.DAYS, 3: Age.DAYS, 4: Age.WEEK, 7: Age.WEEK} | {
    8: Age.MONTH,
    30: Age.MONTH,
    31: Age.LONGER,
    400: Age.LONGER,
}


def test_ages_count_business_days(database: Database, world: World) -> None:
    """Both ends of a day belong to it: its first moment, and the last one before the next."""
    before = load().open["invoice"].by_age
    for days in AGES:
        day = today() - timedelta(days=days)
        last = start_of(day + timedelta(days=1)) - timedelta(microseconds=1)
        for number, created in enumerate((start_of(day), last)):
            for status in (FAILED, PENDING):
                run(database, _copied(world, status, f"{status}-{days}-{number}", created))
    found = load().open["invoice"].by_age
    many = Counter(AGES.values())
    for status in (FAILED, PENDING):
        for age in Age:
            more = found[status, age].count - before.get((status, age), Total()).count
            assert more == 2 * many[age]
            assert found[status, age] == listed(INVOICES, Filters(status, Window.ALL, age=age))


def _copied(world: World, status: SyncStatus, key: str, created: datetime) -> str:
    """The first invoice once more, created at another time."""
    same = "number, party_id, billing_organization_id, currency, amount, tms_status"
    return (
        f"INSERT INTO invoice (tms_id, created_at, sync_status, sync_error, {same})"
        f" SELECT '{key}', '{moment_text(created)}+00', {int(status)}, 'Broken', {same}"
        f" FROM invoice WHERE id = {world.invoice['failed']}"
    ).replace("+00'" if settings().url.startswith("sqlite") else "\0", "'")


def test_nothing_is_nothing(database: Database) -> None:
    found = load()
    assert all(of.now == {FAILED: Total(), PENDING: Total()} for of in found.open.values())
    assert (found.since, found.new, found.by_cause, found.attention) == (None, {}, {}, [])


# ---------------------------------------------------------------- the ends of days


def ends(entity: Entity, status: SyncStatus) -> list[Total | None]:
    return list(load().open[entity.key].ends[status])


def recounted(entity: Entity, status: SyncStatus, day: date) -> Total:
    """From all events, one after the other: what was open at the end of a day."""
    end = start_of(day + timedelta(days=1))
    with reading() as connection:
        rows = connection.execute(
            text(
                "SELECT record_id, sync_status, currency, amount FROM sync_event"
                " WHERE entity = :entity AND at <= :end ORDER BY version"
            ),
            {
                "entity": entity.key,
                "end": end if connection.dialect.name == POSTGRESQL else moment_text(end),
            },
        ).all()
    last = {record: (found, currency, amount) for record, found, currency, amount in rows}
    return added(
        Total(1, {currency: amount}) for found, currency, amount in last.values() if found == status
    )


def test_ends_of_days_are_not_guessed(database: Database, world: World) -> None:
    assert set(ends(BILLS, FAILED)) == {None}
    assert overview.catch_up() == overview.KEPT_DAYS
    assert None not in ends(BILLS, FAILED)
    assert ends(BILLS, FAILED)[-1] == recounted(BILLS, FAILED, today() - timedelta(days=1))
    counts = [end.count for end in ends(BILLS, FAILED) if end is not None]
    assert counts == [1, 1, 2, 3, 4, 4, 4, 4, 5, 6, 7, 8, 7, 7]  # as the stories tell it


def test_ends_of_days_are_a_recount_whatever_happens(database: Database, world: World) -> None:
    """Jobs, people and the TMS write at random, also about days that are long counted."""
    chance = Random(7)
    for _ in range(8):
        for _ in range(6):
            entity = chance.choice(ENTITIES)
            record = chance.choice(list(world.records(entity.key).values()))
            at = moment_text(noon(chance.randrange(40)) + timedelta(minutes=chance.randrange(600)))
            chance.choice(_WRITES)(database, entity, record, at)
        overview.catch_up()
        days = load().days
        for entity in ENTITIES:
            for status in (FAILED, PENDING):
                assert ends(entity, status) == [recounted(entity, status, day) for day in days]


_WRITES: list[Callable[[Database, Entity, int, str], Any]] = [
    lambda database, entity, record, at: run(database, attempt(entity, record, sync_at=at)),
    lambda database, entity, record, at: run(
        database, attempt(entity, record, None, sync_at=at, sync_status=1, synced_amount=5)
    ),
    lambda database, entity, record, at: run(
        database, attempt(entity, record, "Later", sync_at=at, sync_status=0)
    ),
    lambda database, entity, record, at: run(
        database, sets(entity, record, {"amount": int(at[-4:]) + 17, "currency": "CAD"})
    ),
    lambda database, entity, record, at: move(OPERATOR, ticked(entity, record), to(PENDING)),
    lambda database, entity, record, at: move(OPERATOR, ticked(entity, record), to(COMPLETE)),
]


def test_a_late_attempt_makes_its_days_stale(database: Database, world: World) -> None:
    overview.catch_up()
    before = ends(INVOICES, FAILED)
    run(
        database,
        attempt(INVOICES, world.invoice["pending_draft"], sync_at=moment_text(noon(3))),
    )
    known = [end is not None for end in ends(INVOICES, FAILED)]
    assert known == [True] * 11 + [False] * 3  # not counted yet rather than wrong
    assert set(overview.outdated()) >= {today() - timedelta(days=back) for back in (1, 2, 3)}
    overview.catch_up()
    after = ends(INVOICES, FAILED)
    assert after[:11] == before[:11]
    assert [end and end.count for end in after] == [
        end.count + (number >= 11) for number, end in enumerate(before) if end
    ]


def test_what_happens_today_leaves_finished_days_alone(database: Database, world: World) -> None:
    overview.catch_up()
    run(database, attempt(INVOICES, world.invoice["pending"]))
    assert None not in ends(INVOICES, FAILED)
    counted = overview.catch_up()  # PostgreSQL looks again at events of the past minutes
    assert database.dialect == POSTGRESQL or counted == 0
    newest = max(seen_events())
    assert set(last_events()) == {newest}


def seen_events() -> list[int]:
    with reading() as connection:
        return list(connection.scalars(text("SELECT id FROM sync_event")))


def last_events() -> list[int]:
    with reading() as connection:
        return list(connection.scalars(select(daily_open_day.c.last_event_id)))


def test_an_event_that_is_committed_late_is_counted(database: Database, world: World) -> None:
    """PostgreSQL gives an id before the transaction ends; on SQLite there is one writer."""
    overview.catch_up()
    late = attempt(INVOICES, world.invoice["pending_draft"], sync_at=moment_text(noon(3)))
    soon = attempt(INVOICES, world.invoice["pending"], sync_at=moment_text(noon(2)))
    if database.dialect == POSTGRESQL:
        with database.bare() as other:
            other.execute(late)
            run(database, soon)
            overview.catch_up()
            other.commit()
    else:
        run(database, soon, late)
    overview.catch_up()
    days = load().days
    assert ends(INVOICES, FAILED) == [recounted(INVOICES, FAILED, day) for day in days]


def test_days_end_elsewhere_in_another_time_zone(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    overview.catch_up()
    monkeypatch.setenv("SYNCHIST_TIME_ZONE", "Pacific/Kiritimati")
    settings.cache_clear()
    assert set(ends(INVOICES, FAILED)) == {None}
    overview.catch_up()
    days = load().days
    assert ends(INVOICES, FAILED) == [recounted(INVOICES, FAILED, day) for day in days]
    monkeypatch.delenv("SYNCHIST_TIME_ZONE")
    settings.cache_clear()


def test_an_older_count_replaces_no_newer_one(database: Database, world: World) -> None:
    """Two servers count the same day; the slower one has begun earlier."""
    overview.catch_up()
    yesterday = today() - timedelta(days=1)
    before = ends(INVOICES, FAILED)
    with writing() as connection:
        overview._keep(connection, yesterday, 1, {("invoice", 2, "USD"): (99, 99)})
    assert ends(INVOICES, FAILED) == before


def test_far_behind_nothing_is_said(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    overview.catch_up()
    run(database, attempt(INVOICES, world.invoice["pending"]))
    monkeypatch.setattr(overview, "TOO_FAR_BEHIND", 0)
    assert set(ends(INVOICES, FAILED)) == {None}


# ---------------------------------------------------------------- visits


def seen(principal: Principal, before: datetime) -> None:
    """Let the account's last visit have ended then."""
    with writing() as connection:
        connection.execute(update(visit).values(before_at=before))


def visits() -> list[Any]:
    with reading() as connection:
        return [
            tuple(row) for row in connection.execute(select(visit.c.seen_at, visit.c.before_at))
        ]


def test_a_visit_ends_after_an_hour(
    database: Database, world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(minutes: float) -> tuple[datetime, datetime | None]:
        monkeypatch.setattr(overview, "utc_now", lambda: NOW + timedelta(minutes=minutes))
        overview.visited(analyst)
        (found,) = visits()
        return found

    def at(minutes: float) -> datetime:
        return NOW + timedelta(minutes=minutes)

    assert load(analyst).since is None
    assert look(0) == (at(0), None)
    assert look(0.5) == (at(0), None)  # once a minute
    assert look(50) == (at(50), None)
    assert look(111) == (at(111), at(50))  # a new one
    assert load(analyst).since == at(50)
    assert look(112) == (at(112), at(50))
    # The first look of the next visit shows what is new since this one, before it is noted.
    monkeypatch.setattr(overview, "utc_now", lambda: at(300))
    assert load(analyst).since == at(112)
    assert look(300) == (at(300), at(112))


def test_nothing_is_kept_of_the_command_line_and_of_who_may_not_look(
    database: Database, world: World, visitor: Principal
) -> None:
    overview.visited(OPERATOR)
    with pytest.raises(NotAllowed):
        overview.visited(visitor)
    assert visits() == []


def test_a_visit_is_one_persons_own(
    database: Database, world: World, analyst: Principal, viewer: Principal
) -> None:
    overview.visited(analyst)
    seen(analyst, noon(2))
    overview.visited(viewer)
    assert load(viewer).since is None
    assert load(analyst).since == noon(2)


# ---------------------------------------------------------------- connections


def test_connections_that_need_attention(database: Database, world: World) -> None:
    """As the page of connections sees them, but for silence."""
    states: list[dict[str, object]] = [
        {"state": "authorized", "token_expires_at": noon(0) + timedelta(days=SOON_DAYS + 3)},
        {"token_expires_at": noon(0) + timedelta(days=SOON_DAYS - 1)},
        {"state": "revoked"},
    ]
    expected: list[list[tuple[bool, bool]]] = [[], [(False, False)], [(True, False)]]
    for values, found in zip(states, expected, strict=True):
        with owned(), writing() as connection:
            connection.execute(
                update(connection_table)
                .where(connection_table.c.name == "QuickBooks US")
                .values(**values)
            )
        assert_as_the_page_of_connections()
        assert [(one.expired, one.refused) for one in load().attention] == [*found, (True, False)]
    with owned(), writing() as connection:
        connection.execute(
            update(connection_table).values(state="authorized", token_expires_at=None)
        )
    for number in range(BURST):
        assert_as_the_page_of_connections()
        stories = list(world.invoice.values())
        run(database, attempt(INVOICES, stories[number], EXPIRED, minutes=number))
        while problems.catch_up():
            pass
    assert_as_the_page_of_connections()


def assert_as_the_page_of_connections() -> None:
    with reading() as connection:
        whole = connections.load_connections(connection)
        found = {one.name: one for one in connections.load_attention(connection)}
    for health in whole:
        one = found.get(health.name)
        assert health.is_down == (one is not None and (one.expired or one.refused))
        soon = health.expires_in_days is not None and health.expires_in_days <= SOON_DAYS
        assert (health.is_down or soon) == (one is not None)
