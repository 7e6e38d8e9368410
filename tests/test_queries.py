"""What the lists show: numbers that agree with each other, an order that pages can trust."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random
from typing import Any

import pandas as pd
import pytest
from sqlalchemy import insert, select

from synchist import queries
from synchist.accounts import Principal
from synchist.currencies import to_decimal
from synchist.db.engine import reading, writing
from synchist.db.types import moment_text
from synchist.diagnosis import Cause, diagnose, title
from synchist.entities import BILL_PAYMENTS, BILLS, ENTITIES, INVOICES, Entity, Kind
from synchist.filters import (
    NO_CONNECTION,
    NO_DATE,
    NOBODY,
    Age,
    Attempted,
    Filters,
    WillNotSync,
    Window,
    month_before,
    month_of,
    start_of,
    today,
)
from synchist.problems import catch_up
from synchist.queries import Total
from synchist.roles import Role
from synchist.settings import settings
from synchist.statuses import SyncStatus
from synchist.triage import Edit, assign
from tests.conftest import Database, sign_in
from tests.world import EXPIRED, HOSTILE, NOT_MAPPED, STORIES, World, noon

PENDING, COMPLETE, FAILED = SyncStatus
every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)
EVERYTHING = [Filters(status=status, window=Window.ALL) for status in SyncStatus]


def load(entity: Entity, filters: Filters, *page: int) -> pd.DataFrame:
    with reading() as connection:
        return queries.load(connection, entity, filters, *page)


def total(entity: Entity, filters: Filters) -> Total:
    with reading() as connection:
        return queries.total(connection, entity, filters)


def sums(frame: pd.DataFrame) -> dict[str, int]:
    return {
        str(key): int(amount) for key, amount in frame.groupby("currency")["amount"].sum().items()
    }


def diagnosed() -> None:
    """Every failure diagnosed, as the server does in the background."""
    while catch_up():
        pass


def owned(world: World, entity: Entity) -> None:
    """Half of the records are Olga's; some of the others were once."""
    sign_in("olga", Role.ACCOUNTING_SYNC)
    hers, were = (list(world.records(entity.key).values())[first::4] for first in (0, 2))
    edits = {record: Edit(0, "olga", "Asked the bank") for record in (*hers, *were)}
    assign(Principal.command_line("operator"), entity, edits)
    again = {record: Edit(1, None) for record in were}
    assign(Principal.command_line("operator"), entity, again)


def job(database: Database, *statements: str) -> None:
    """What sync jobs and the TMS write, over a connection of their own."""
    for statement in statements:
        with database.elsewhere(statement) as connection:
            connection.execute(statement)
            connection.commit()


def add(entity: Entity, like: int, **values: Any) -> int:
    """One more record in the TMS, like another one but for these values."""
    table = entity.table
    kept = ("party_id", "billing_organization_id", "amount", "currency", "tms_status", "created_at")
    with writing() as connection:
        other = connection.execute(select(table).where(table.c.id == like)).mappings().one()
        made = {name: other[name] for name in kept} | values
        made.setdefault("number", made["tms_id"])
        return int(connection.execute(insert(table).values(made)).inserted_primary_key[0])


# ---------------------------------------------------------------- numbers

# Counted by hand from tests/world.py.
FAILED_SUMS = {"USD": 123_450 + 80_000 + 66_600, "CAD": 45_075}
COMPLETE_SUMS = {"USD": 210_000 + 150_000 + 50_000 + 31_000, "CAD": 99_999}
PENDING_SUMS = {"USD": 42_000 + 57_500, "CAD": 22_000}


def test_totals_and_sums_per_currency(database: Database, world: World) -> None:
    for entity in ENTITIES:
        assert total(entity, Filters()) == Total(4, FAILED_SUMS)
        assert total(entity, Filters(status=COMPLETE)) == Total(5, COMPLETE_SUMS)
        assert total(entity, Filters(status=PENDING)) == Total(3, PENDING_SUMS)
        assert total(entity, Filters(currency="EUR")) == Total(0, {})
        assert total(entity, Filters()).money == "2,700.50 USD + 450.75 CAD"


def test_the_lists_of_everything_hold_each_record_once(database: Database, world: World) -> None:
    for entity in ENTITIES:
        listed = [key for filters in EVERYTHING for key in load(entity, filters).index]
        assert sorted(listed) == sorted(world.records(entity.key).values())


def some_filters(entity: Entity, chance: Random) -> Filters:
    """Any combination of status, dates, search and the filters under More."""
    parties = {"Payer": "Bluebird Foods", "Vendor": "Delta Vans"}
    window = chance.choice([*Window])
    ago = sorted(chance.sample(range(80), 2))
    days = [today() - timedelta(days=number) for number in reversed(ago)]
    why: list[dict[str, Any]] = [
        {"cause": chance.choice([Cause.UNKNOWN.label, Cause.TAX.label])},
        {"problem": chance.choice(["connection is down", "quickbooks"])},
        {"status": PENDING, "waits": chance.choice(entity.waiting)},
        {"attempted": chance.choice([*Attempted]).value},
        {"will_not_sync": chance.choice([*WillNotSync]).value},
        {"month": chance.choice([month_of(days[0]), NO_DATE])},
        {"age": chance.choice([*Age])},
        chance.choice([{"since": start_of(days[0])}, {"owner": "olga"}, {"owner": NOBODY}]),
    ]
    filters = Filters(
        status=chance.choice([*SyncStatus]),
        window=window,
        start=days[0] if window is Window.CUSTOM else None,
        end=days[1] if window is Window.CUSTOM else None,
        search=chance.choice(["", "", "", "qb-50", "harbor", "100%", "no such thing"]),
        party=chance.choice([None, None, parties[entity.party_label]]),
        billing=chance.choice([None, None, "Harbor Point Toronto"]),
        connection=chance.choice([None, None, "Xero Canada"]),
        currency=chance.choice([None, None, "USD"]),
        closed=chance.random() < 0.2,
        differs=chance.random() < 0.2,
        sort=chance.choice(entity.sorts).label,
    )
    return replace(filters, **chance.choice([{}, {}, {}, *why]))


@every_entity
def test_all_numbers_of_a_page_agree_with_its_rows(
    database: Database, world: World, entity: Entity
) -> None:
    """Total, selectable, the other statuses and what is older: one meaning of the filters."""
    diagnosed()
    owned(world, entity)
    job(database, f"UPDATE connection SET lock_date = '{today()}' WHERE name = 'QuickBooks US'")
    chance = Random(entity.key)
    found = 0
    with reading() as connection:
        for number in range(50):
            filters = some_filters(entity, chance)
            frame = queries.load(connection, entity, filters)
            found += len(frame) > 0
            if frame.empty and number % 3:
                continue  # most find nothing; of these, a third will do
            assert set(frame["sync_status"]) <= {filters.status}
            expected = Total(len(frame), sums(frame))
            assert queries.total(connection, entity, filters) == expected, filters

            ticked = queries.selectable(connection, entity, filters)
            assert {
                key: (one.version, one.currency, one.amount) for key, one in ticked.items()
            } == {row.Index: (row.version, row.currency, row.amount) for row in frame.itertuples()}

            numbers = queries.counts(connection, entity, filters)
            assert numbers.total == expected
            others = numbers.others
            assert set(others) == set(SyncStatus) - {filters.status}
            for status, other in others.items():
                shown = queries.load(connection, entity, replace(filters, status=status))
                assert other == Total(len(shown), sums(shown)), filters

            start, end = filters.days()
            day = timedelta(days=1)
            older = replace(filters, window=Window.CUSTOM, start=None, end=start and start - day)
            newer = replace(filters, window=Window.CUSTOM, start=end and end + day, end=None)
            outside = []
            for beyond, limit in ((older, start), (newer, end)):
                shown = queries.load(connection, entity, beyond) if limit else frame.iloc[:0]
                outside.append(Total(len(shown), sums(shown)))
            assert numbers.outside == tuple(outside), filters

            anywhere = queries.everywhere(connection, entity, filters)
            for status in SyncStatus:
                all_dates = replace(filters, status=status, window=Window.ALL)
                shown = queries.load(connection, entity, all_dates)
                assert anywhere.get(status, Total()) == Total(len(shown), sums(shown)), filters
    assert found > 5


def test_everywhere_is_what_its_links_show(database: Database, world: World) -> None:
    """Nothing waits for that; a link to Failed shows what is failed, whatever Pending ones do."""
    down = Filters(status=PENDING, window=Window.ALL, waits=INVOICES.waiting[2])
    assert load(INVOICES, down).empty
    with reading() as connection:
        anywhere = queries.everywhere(connection, INVOICES, down)
    for status in SyncStatus:
        shown = load(INVOICES, replace(down, status=status))
        assert anywhere.get(status, Total()) == Total(len(shown), sums(shown))


def test_selectable_up_to_a_limit(database: Database, world: World) -> None:
    everything = Filters(window=Window.ALL)
    with reading() as connection:
        whole = queries.selectable(connection, INVOICES, everything)
        some = queries.selectable(connection, INVOICES, everything, limit=2)
        more = queries.selectable(connection, INVOICES, everything, limit=99)
    assert (len(whole), len(some)) == (5, 2)
    assert some.items() <= whole.items()
    assert more == whole


def test_what_lies_outside_the_date_range(database: Database, world: World) -> None:
    """Failed: one 70 days ago, the others 6, 5, 4 and 3 days ago."""
    ago = {number: today() - timedelta(days=number) for number in (60, 6, 5, 4)}
    dated = Filters(window=Window.CUSTOM, start=ago[60], end=ago[60])
    some = replace(dated, start=ago[5], end=ago[4])
    old, nothing = Total(1, {"USD": 70_000}), Total()
    expected = {
        Filters(): (old, nothing),
        dated: (old, Total(4, FAILED_SUMS)),
        some: (Total(2, {"USD": 70_000, "CAD": 45_075}), Total(1, {"USD": 123_450})),
        Filters(window=Window.ALL): (nothing, nothing),
        Filters(status=PENDING): (nothing, nothing),
    }
    with reading() as connection:
        for entity, (filters, outside) in product(ENTITIES, expected.items()):
            assert queries.counts(connection, entity, filters).outside == outside


def test_pending_ignores_the_dates(database: Database, world: World) -> None:
    """B5. Pending records may never have been attempted."""
    long_ago = Filters(
        status=PENDING, window=Window.CUSTOM, start=date(2001, 1, 1), end=date(2001, 1, 2)
    )
    stories = ("pending", "pending_again", "pending_draft")
    assert set(load(INVOICES, long_ago).index) == {world.invoice[story] for story in stories}
    assert total(INVOICES, long_ago) == total(INVOICES, Filters(status=PENDING))
    assert load(INVOICES, replace(long_ago, status=FAILED)).empty


def test_a_database_without_records(database: Database) -> None:
    with reading() as connection:
        assert queries.is_empty(connection)
        assert queries.total(connection, BILLS, Filters()) == Total()
        assert queries.selectable(connection, BILLS, Filters()) == {}
        assert queries.load(connection, BILLS, Filters()).empty


def test_one_record_of_any_kind_is_not_empty(database: Database, world: World) -> None:
    with reading() as connection:
        assert not queries.is_empty(connection)


def test_the_choices_under_more(database: Database, world: World) -> None:
    job(
        database,
        "INSERT INTO organization (tms_id, name, is_payer) VALUES ('O-8', 'alder Mills', true)",
        "INSERT INTO organization (tms_id, name) VALUES ('O-9', 'Neither Payer nor Vendor')",
    )
    with reading() as connection:
        receivable = queries.choices(connection, INVOICES)
        payable = queries.choices(connection, BILL_PAYMENTS)
    assert receivable == {
        "party": ["100% Fresh_Produce", "alder Mills", "Bluebird Foods"],
        "billing": ["Harbor Point Chicago", "Harbor Point Toronto"],
        "connection": ["QuickBooks US", "Xero Canada", NO_CONNECTION],
        "currency": ["CAD", "USD"],
        "cause": [],
        "waits": list(INVOICES.waiting),
        "month": [*map(month_of, _months(noon(90).date(), noon(1).date())), NO_DATE],
        "owner": [NOBODY],
    }
    payable_alone = {
        "party": ["Delta Vans", "Lone Pine Trucking"],
        "waits": list(BILL_PAYMENTS.waiting),
    }
    assert payable == {**receivable, **payable_alone}


def _months(first: date, last: date) -> list[date]:
    """The first days of the months of two days and of all between them, newest first."""
    days = (last - timedelta(days=back) for back in range((last - first).days + 1))
    return list(dict.fromkeys(day.replace(day=1) for day in days))


def test_causes_that_can_be_chosen_are_those_that_there_are(
    database: Database, world: World
) -> None:
    """Of all entities: what one list does not hold, the next one may."""
    job(
        database,
        "UPDATE bill SET sync_error = 'Customer \"A\" not found', sync_status = 2,"
        f" sync_at = '{moment_text(noon(0))}' WHERE id = {world.bill['failed']}",
    )
    diagnosed()
    errors = ('Customer "A" not found', NOT_MAPPED, EXPIRED, HOSTILE)
    labels = sorted(
        {diagnose(error, entity=entity.key).cause.label for error in errors for entity in ENTITIES}
    )
    assert len(labels) >= 3
    with reading() as connection:
        for entity in ENTITIES:
            assert queries.choices(connection, entity)["cause"] == labels


# ---------------------------------------------------------------- order and pages

_KEYS = {
    "Newest first": ("outcome_at", True),
    "Oldest first": ("outcome_at", False),
    "Amount, highest first": ("amount", True),
    "Amount, lowest first": ("amount", False),
    "Number": ("number", False),
    "Payer": ("party", False),
    "Vendor": ("party", False),
}


@every_entity
def test_every_order_is_stable_over_pages(database: Database, world: World, entity: Entity) -> None:
    """Pages never overlap and leave nothing out, also where many rows compare equal."""
    twelve = {key: story for key, story in world.records(entity.key).items() if key != "failed"}
    job(
        database,
        *(
            f"UPDATE {entity.key} SET sync_status = 2, sync_error = 'Same',"
            f" sync_at = '{moment_text(noon(key % 3))}', amount = {key % 3 * 100} WHERE id = {key}"
            for key in twelve.values()
        ),
    )
    for sort in entity.sorts:
        column, descending = _KEYS[sort.label]
        whole = load(entity, Filters(window=Window.ALL, sort=sort.label))
        assert len(whole) == len(STORIES)
        values = whole[column].to_dict()
        # Equal ones stay in the order of their ids, also where Python sorts in reverse.
        expected = sorted(sorted(values), key=values.__getitem__, reverse=descending)
        assert list(whole.index) == expected, sort.label
        pages = [
            load(entity, Filters(window=Window.ALL, sort=sort.label), 4, start)
            for start in range(0, len(STORIES), 4)
        ]
        assert [len(page) for page in pages] == [4, 4, 4, 1]
        pd.testing.assert_frame_equal(pd.concat(pages), whole)


def test_a_page_behind_the_last_one_is_empty(database: Database, world: World) -> None:
    page = load(BILLS, Filters(), 4, 100)
    assert page.empty
    assert list(page.columns) == list(load(BILLS, Filters()).columns)


# ---------------------------------------------------------------- frames


def test_the_types_of_a_frame_do_not_depend_on_its_rows(database: Database, world: World) -> None:
    for entity, filters in product(ENTITIES, [*EVERYTHING, Filters(search="no such thing")]):
        frame = load(entity, filters)
        assert frame.index.name == "id"
        columns = entity.shown(filters.status)
        assert list(frame.columns) == ["version", "told", *(column.key for column in columns)]
        for column in columns:
            kind = str(frame[column.key].dtype)
            if column.kind is Kind.MONEY:
                assert kind == "Int64"
            elif column.kind is Kind.MOMENT:
                assert re.fullmatch(r"datetime64\[\w+, UTC\]", kind)
            else:
                assert kind == "object"


def test_amounts_are_exact_in_every_currency() -> None:
    """A float holds 15 digits: to the cent, yen or fils up to trillions."""
    chance = Random(8)
    for currency in ("USD", "CAD", "JPY", "KWD"):
        minor = [chance.randrange(-(10**15), 10**15) for _ in range(5_000)]
        minor += [0, 1, -1, 5, 10, 99, 101, 123_450, 10**15 - 1, 1 - 10**15]
        shown = queries.amounts(
            pd.Series(minor, dtype="Int64"), pd.Series([currency] * len(minor), dtype=object)
        )
        assert str(shown.dtype) == "float64"
        assert [Decimal(repr(value)) for value in shown] == [
            to_decimal(value, currency) for value in minor
        ]


def test_currencies_with_other_decimals_beside_each_other(database: Database, world: World) -> None:
    """From the database to what people see: 0, 2 and 3 decimals in one list."""
    like = world.bill["failed"]
    failed = {"sync_status": 2, "sync_error": "Refused", "sync_at": noon(0)}
    made = {
        add(BILLS, like, tms_id=f"M-{currency}", currency=currency, amount=1_234_567, **rest): value
        for currency, rest, value in (
            ("USD", failed | {"synced_amount": 1_234_566}, (12345.67, 12345.66, 0.01)),
            ("JPY", failed | {"synced_amount": 0}, (1234567.0, 0.0, 1234567.0)),
            ("KWD", failed | {"synced_amount": 1_234_560}, (1234.567, 1234.56, 0.007)),
        )
    }
    frame = load(BILLS, Filters())
    shown = queries.readable(frame, BILLS.shown(FAILED))
    for key, amounts in made.items():
        assert tuple(shown.loc[key, ["amount", "synced_amount", "difference"]]) == amounts
    assert shown.at[like, "amount"] == 1234.5
    assert pd.isna(shown.at[like, "synced_amount"])
    assert pd.isna(shown.at[like, "difference"])


def test_missing_stays_missing(database: Database, world: World) -> None:
    """A synced amount that is not known is blank, and never the whole total."""
    for entity in ENTITIES:
        frame = load(entity, Filters(status=PENDING))
        shown = queries.readable(frame, entity.shown(PENDING))
        never = shown.loc[world.records(entity.key)["pending"]]
        for key in ("synced_amount", "sync_at", "sync_error", "sync_reference", "sync_error_code"):
            assert pd.isna(never[key]), key
        if entity.charge_lines is not None:
            assert (pd.isna(never["difference"]), never["differs"]) == (True, "")


def test_words_instead_of_codes(database: Database, world: World) -> None:
    for entity in ENTITIES:
        for filters in EVERYTHING:
            shown = queries.readable(load(entity, filters), entity.shown(filters.status))
            assert set(shown["sync_status"]) == {filters.status.label}
        closed = world.records(entity.key)["closed"]
        shown = queries.readable(load(entity, Filters(status=COMPLETE)), entity.shown(COMPLETE))
        assert shown.at[closed, "closed_reason"] == "Will not be synced"
        assert shown["closed_reason"].notna().sum() == 1


def test_a_partial_sync_shows(database: Database, world: World) -> None:
    """B8."""
    for entity in ENTITIES:
        frame = load(entity, Filters(status=COMPLETE, differs=True))
        shown = queries.readable(frame, entity.shown(COMPLETE))
        assert list(shown.index) == [world.records(entity.key)["partial"]]
        assert shown.iloc[0][["amount", "synced_amount"]].tolist() == [1500.0, 1350.0]
        if entity.charge_lines is not None:
            assert shown.iloc[0][["differs", "difference"]].tolist() == ["≠", 150.0]


@every_entity
def test_why_stands_where_it_matters(database: Database, world: World, entity: Entity) -> None:
    """The cause of what failed or is to be tried again; why Pending records wait."""
    assert set(load(entity, Filters())["cause"]) == {None}
    diagnosed()
    frames = {filters.status: load(entity, filters) for filters in EVERYTHING}
    words = {"cause", "waits", "blocked_by", "period"}
    why = {status: set(frame) & words for status, frame in frames.items()}
    blocked = {"blocked_by"} if entity.blocking else set()
    assert why == {
        PENDING: {"cause", "waits", "period"} | blocked,
        FAILED: {"cause", "period"} | blocked,
        COMPLETE: set(),
    }

    ids = world.records(entity.key)
    down = "The connection is down: the accounting system is not authorized"
    failed, pending = frames[FAILED], frames[PENDING]
    assert failed.at[ids["failed_expired"], "cause"] == down
    missing = failed.loc[ids["failed"]]
    cause = diagnose(NOT_MAPPED, entity=entity.key).cause
    assert missing["cause"] == title(cause, missing["party"], "")
    assert pending.at[ids["pending_again"], "cause"] == down
    assert pending.at[ids["pending"], "cause"] is None
    blocks = f"Its {entity.blocking.document} is not Complete" if entity.blocking else None
    assert pending.at[ids["pending_again"], "waits"] == (blocks or "Waits for the next sync job")
    assert pending.at[ids["pending_draft"], "waits"] == entity.waiting[0]
    for status, frame in frames.items():
        shown = queries.readable(frame, entity.shown(status))
        for column in why[status]:
            assert shown[column].tolist() == frame[column].tolist()


@every_entity
def test_a_list_by_problem_holds_the_records_that_have_it(
    database: Database, world: World, entity: Entity
) -> None:
    """Every open record diagnosed once more, in Python."""
    errors = {
        "failed": 'Customer "Alder Mills" not found',
        "failed_twice": 'Customer "Alder Mills" not found',
        "failed_old": 'Customer "Alder Mills 2" not found',
    }
    job(
        database,
        *(
            f"UPDATE {entity.key} SET sync_status = 2, sync_at = '{moment_text(noon(0))}',"
            f" sync_error = '{error}' WHERE id = {world.records(entity.key)[story]}"
            for story, error in errors.items()
        ),
    )
    diagnosed()
    for status in (FAILED, PENDING):
        expected: dict[str, set[int]] = {}
        everything = Filters(status=status, window=Window.ALL)
        for row in load(entity, everything).itertuples():
            if row.sync_error:
                read = diagnose(row.sync_error, code=row.sync_error_code, entity=entity.key)
                words = title(read.cause, read.named, "")
                expected.setdefault(f"{words} · {row.connection}", set()).add(row.Index)
        assert len(expected) == (4 if status is FAILED else 1)
        for name, keys in expected.items():
            filters = replace(everything, problem=name)
            assert set(load(entity, filters).index) == keys
            with reading() as connection:
                assert set(queries.selectable(connection, entity, filters)) == keys


@every_entity
def test_complete_shows_no_error_and_the_others_do(entity: Entity) -> None:
    shown = {
        status: {column.key for column in entity.columns if column.shown_under(status)}
        for status in SyncStatus
    }
    errors = {"sync_error", "sync_error_code"}
    assert not shown[COMPLETE] & errors
    assert shown[FAILED] >= errors
    assert shown[PENDING] >= errors
    assert "closed_reason" in shown[COMPLETE] - shown[FAILED] - shown[PENDING]


# ---------------------------------------------------------------- business time


def test_moments_in_business_time_across_the_clock_change(database: Database, world: World) -> None:
    """Chicago, 2026: the clock goes forward on 8 March and back on 1 November, at two."""
    assert settings().time_zone == "America/Chicago"
    moments = {
        datetime(2026, 3, 8, 7, 59, tzinfo=UTC): datetime(2026, 3, 8, 1, 59),
        datetime(2026, 3, 8, 8, 0, tzinfo=UTC): datetime(2026, 3, 8, 3, 0),
        datetime(2026, 11, 1, 6, 30, tzinfo=UTC): datetime(2026, 11, 1, 1, 30),
        datetime(2026, 11, 1, 7, 30, tzinfo=UTC): datetime(2026, 11, 1, 1, 30),
        datetime(2026, 11, 1, 8, 0, tzinfo=UTC): datetime(2026, 11, 1, 2, 0),
    }
    like = world.bill["failed"]
    failed = {"sync_status": 2, "sync_error": "Refused"}
    made = {
        add(BILLS, like, tms_id=f"T-{number}", sync_at=moment, **failed): shown
        for number, (moment, shown) in enumerate(moments.items())
    }
    shown = queries.readable(load(BILLS, Filters(window=Window.ALL)), BILLS.shown(FAILED))
    for column in ("sync_at", "outcome_at"):
        assert shown.loc[list(made), column].dt.to_pydatetime().tolist() == list(made.values())


def test_a_day_of_the_range_is_a_business_day(database: Database, world: World) -> None:
    """1 November 2026 has 25 hours in Chicago; its first and last moment belong to it."""
    moments = {
        "before": datetime(2026, 11, 1, 4, 59, 59, 999_999, tzinfo=UTC),
        "first": datetime(2026, 11, 1, 5, tzinfo=UTC),
        "last": datetime(2026, 11, 2, 5, 59, 59, 999_999, tzinfo=UTC),
        "after": datetime(2026, 11, 2, 6, tzinfo=UTC),
    }
    failed = {"sync_status": 2, "sync_error": "Refused"}
    for name, moment in moments.items():
        add(BILLS, world.bill["failed"], tms_id=f"D-{name}", sync_at=moment, **failed)
    day = date(2026, 11, 1)
    frame = load(BILLS, Filters(window=Window.CUSTOM, start=day, end=day, sort="Oldest first"))
    assert [number for number in frame["number"] if number.startswith("D-")] == [
        "D-first",
        "D-last",
    ]


def test_the_past_month_begins_on_the_same_day_last_month(database: Database, world: World) -> None:
    """B4, both ends included."""
    first = month_before(today())
    failed = {"sync_status": 2, "sync_error": "Refused"}
    days = {"first": first, "before": first - timedelta(days=1), "today": today()}
    for name, day in days.items():
        at = noon((today() - day).days)
        add(BILLS, world.bill["failed"], tms_id=f"D-{name}", sync_at=at, **failed)
    numbers = load(BILLS, Filters())["number"]
    assert {number for number in numbers if number.startswith("D-")} == {"D-first", "D-today"}
