"""The digest: counts by hand in a small world and recounted over a demo, as text and as mail."""

import re
import unicodedata
from collections import Counter
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from synchist import digest, problems, queries
from synchist.accounts import NotAllowed
from synchist.db.engine import reading
from synchist.db.tables import access_event, sync_event
from synchist.db.types import utc_now
from synchist.demo import make_demo
from synchist.digest import COLUMNS, By, Digest, Part, WrongMoment, moment_of
from synchist.entities import BILLS, BY_SLUG, ENTITIES, INVOICES
from synchist.filters import parse, readable, start_of, today
from synchist.queries import Total, added
from synchist.roles import Role
from synchist.settings import settings
from synchist.status_changes import Change
from synchist.statuses import CloseReason, SyncStatus
from tests.changes import OPERATOR, TO_PENDING, attempt, move, run, sets, ticked
from tests.conftest import Database, owned, sign_in
from tests.test_cli import done, refused
from tests.world import HOSTILE, World, noon

PENDING, COMPLETE, FAILED = SyncStatus


def catch_up() -> None:
    while problems.catch_up():
        pass


def load(since: datetime, by: By = By.ENTITY, stuck_days: int = 7) -> Digest:
    return digest.load(OPERATOR, since, by, stuck_days)


def part(found: Digest, heading: str, number: int) -> Part:
    return next(one for one in found.sections if one.heading == heading).parts[number]


def ago(days: int) -> datetime:
    return start_of(today() - timedelta(days=days))


def of_each(story_sums: dict[str, int], count: int) -> Total:
    """What is the same for each of the four entities."""
    return added([Total(count, story_sums)] * len(ENTITIES))


# ---------------------------------------------------------------- by hand


def test_what_failed_since(database: Database, world: World) -> None:
    """Of each entity 3 and 4 days ago; what failed 5 days ago is older."""
    catch_up()
    found = load(ago(4))
    assert part(found, "Failed", 0).total == of_each({"USD": 123_450 + 66_600}, 2)
    assert [row.entity for row in part(found, "Failed", 0).rows] == list(ENTITIES)
    why = part(found, "Failed", 1)
    assert why.total == part(found, "Failed", 0).total
    # A payer's and a vendor's mapping, and what is not recognized.
    assert len(why.groups) == 3
    assert part(load(ago(3)), "Failed", 0).total == of_each({"USD": 123_450}, 1)
    assert part(load(noon(3) + timedelta(minutes=1)), "Failed", 0).total == Total()


def test_what_is_stuck(database: Database, world: World) -> None:
    found = load(ago(1), By.CONNECTION)
    waiting, why, failed = (part(found, "Stuck", number) for number in range(3))
    assert waiting.total == why.total
    assert set(waiting.groups) <= {"QuickBooks US", "Xero Canada"}
    assert "The connection is down" not in why.groups  # the only one there is a draft
    drafts = [group for group in why.groups if group.startswith("TMS status must be")]
    assert added(row.total for group in drafts for row in why.groups[group]) == of_each(
        {"CAD": 22_000}, 1
    )
    # Failed 70 days ago; those of 3 to 6 days ago are not stuck yet.
    assert failed.total == of_each({"USD": 70_000}, 1)
    assert list(failed.groups) == ["QuickBooks US"]
    oldest = found.sections[1].oldest
    assert len(oldest) == 3
    assert oldest[0].words.startswith("invoice INV-2004 of ")
    assert oldest[0].words.endswith(f"700.00 USD, since {readable(today() - timedelta(days=70))}")
    shorter = part(load(ago(1), stuck_days=5), "Stuck", 2)
    assert shorter.total == of_each({"USD": 70_000, "CAD": 45_075}, 2)


def test_what_came_back(database: Database, world: World) -> None:
    """One by an attempt, two by persons, one given up; what was Complete or not there is none."""
    since = moment_of("today")
    succeeds = {"sync_status": int(COMPLETE)}
    run(database, attempt(BILLS, world.bill["failed"], None, **succeeds))
    for story, reason in (
        ("failed_twice", CloseReason.RECONCILED),
        ("failed_old", CloseReason.OTHER),
        ("failed_expired", CloseReason.WILL_NOT_SYNC),
    ):
        move(OPERATOR, ticked(BILLS, world.bill[story]), Change(COMPLETE, reason))
    # Complete then, sent back and synced again: it was not open at that moment.
    move(OPERATOR, ticked(BILLS, world.bill["complete"]), TO_PENDING)
    run(database, attempt(BILLS, world.bill["complete"], None, minutes=1, **succeeds))
    run(database, sets(BILLS, world.bill["pending"], {"sync_status": 1}))
    found = load(since, By.BILLING)
    attempted, closed, given_up, otherwise = (
        [(row.group, row.total) for row in part(found, "Came back", n).rows if row.entity is BILLS]
        for n in range(4)
    )
    chicago, toronto = "Harbor Point Chicago", "Harbor Point Toronto"
    assert attempted == [(chicago, Total(1, {"USD": 123_450}))]
    assert closed == [(chicago, Total(2, {"USD": 150_000}))]
    # The world has closed one of its own just now, which had been Failed for ten days.
    assert given_up == [
        (chicago, Total(1, {"USD": 31_000})),
        (toronto, Total(1, {"CAD": 45_075})),
    ]
    assert otherwise == [(chicago, Total(1, {"USD": 42_000}))]


def test_nothing_is_said_plainly(database: Database) -> None:
    found = load(moment_of("yesterday"))
    for told in (digest.as_text(found), digest.as_html(found)):
        for sentence in ("Nothing failed.", "Nothing is stuck.", "Nothing came back"):
            assert sentence in told


# ---------------------------------------------------------------- recounted


@pytest.mark.parametrize("by", By)
def test_a_recount_of_a_demo_agrees(database: Database, by: By) -> None:
    """In plain Python, over every record and event."""
    with owned():
        make_demo(600)
    catch_up()
    since = moment_of("week")
    found = load(since, by)
    with reading() as connection:
        happened = list(connection.execute(select(sync_event).order_by(sync_event.c.version)))
        rows = [
            (entity, row)
            for entity in ENTITIES
            for row in connection.execute(
                select(
                    entity.table,
                    entity.connection_name.label("connection"),
                    entity.billing_name.label("billing"),
                    entity.waits.label("reason"),
                ).select_from(entity.source)
            )
        ]
    then = {(e.entity, e.record_id): e.sync_status for e in happened if e.at < since}
    expected: dict[tuple[str, int], Counter[Any]] = {}

    def add(heading: str, number: int, entity: Any, row: Any) -> None:
        group = {By.ENTITY: "", By.CONNECTION: row.connection or digest.NO_CONNECTION}
        counted = expected.setdefault((heading, number), Counter())
        key = group.get(by, row.billing), entity.key
        counted[key] += 1
        counted[(*key, row.currency)] += row.amount

    for entity, row in rows:
        if row.sync_status == FAILED:
            if row.outcome_at >= since:
                add("Failed", 0, entity, row)
            if row.outcome_at < ago(7):
                add("Stuck", 2, entity, row)
        elif row.sync_status == PENDING:
            if row.reason != entity.waiting[-1]:
                add("Stuck", 0, entity, row)
        elif row.outcome_at >= since and then.get((entity.key, row.id)) in (PENDING, FAILED):
            add("Came back", 0, entity, row)
    assert expected[("Failed", 0)]
    for section in found.sections:
        for number, one in enumerate(section.parts):
            if one.is_detail:
                assert one.total.count <= section.parts[number - 1].total.count
                continue
            told: Counter[Any] = Counter()
            for row in one.rows:
                told[row.group, row.entity.key] += row.total.count
                for currency, amount in row.total.by_currency.items():
                    told[row.group, row.entity.key, currency] += amount
            assert told == expected.get((section.heading, number), Counter())


# ---------------------------------------------------------------- as people read it


class Reader(HTMLParser):
    """What a mail program sees."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.links: dict[str, str] = {}
        self.text = ""
        self._open = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        self._open = dict(attrs).get("href") or ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._open:
            self.links[self._open] = data

    def handle_endtag(self, tag: str) -> None:
        self._open = ""


def read(found: Digest) -> Reader:
    reader = Reader()
    reader.feed(digest.as_html(found))
    return reader


HOSTILE_NAME = f'{HOSTILE} <img src=x onerror=alert(1)> & "co" ' + "long" * 30 + "\x1b[31m\n\u202e"


def test_data_can_do_nothing_in_a_mail_or_on_a_terminal(database: Database, world: World) -> None:
    spoken = HOSTILE_NAME[:190].replace("'", "''")
    run(
        database,
        f"UPDATE connection SET name = '{spoken}' WHERE name = 'QuickBooks US'",
        f"UPDATE organization SET name = '{spoken}'",
    )
    catch_up()
    for by in By:
        found = load(ago(20), by)
        reader = read(found)
        assert set(reader.tags) <= {
            *("html", "head", "meta", "title", "body", "h1", "h2", "p", "strong"),
            *("table", "tr", "td", "ul", "li"),
        }
        assert set(reader.attributes) <= {"lang", "style", "charset", "name", "content", "rowspan"}
        assert "<img src=x" in reader.text
        lines = digest.as_text(found).split("\n")
        assert max(map(len, lines)) <= COLUMNS
        assert not any(unicodedata.category(one)[0] == "C" for line in lines for one in line)


def test_links_lead_to_exactly_what_they_count(
    database: Database, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(database, attempt(INVOICES, world.invoice["pending"], connection_id=None))
    catch_up()
    assert not read(load(ago(20))).links
    monkeypatch.setenv("SYNCHIST_ADDRESS", "https://sync.example.com/")
    settings.cache_clear()
    followed = 0
    for by in By:
        for address, words in read(load(ago(5), by)).links.items():
            split = urlsplit(address)
            assert (split.scheme, split.netloc) == ("https", "sync.example.com")
            slug = split.path.strip("/")
            if slug == "record":
                continue
            filters, corrections = parse(BY_SLUG[slug], parse_qs(split.query))
            assert corrections == []
            with reading() as connection:
                shown = queries.total(connection, BY_SLUG[slug], filters)
            assert words == BY_SLUG[slug].count(shown.count)
            followed += 1
    assert followed > 30
    # A list knows days: of half a day it would show more.
    half = read(load(noon(5), By.ENTITY)).links
    assert not any("status=Failed" in one and str(today()) in one for one in half)


# ---------------------------------------------------------------- since when, and who may


def test_moments_are_meant_in_the_business_time_zone(sqlite_database: Database) -> None:
    assert moment_of("today") == start_of(today())
    assert moment_of("yesterday") == start_of(today() - timedelta(days=1))
    assert moment_of("week") == start_of(today() - timedelta(days=7))
    assert moment_of("2026-01-31") == datetime(2026, 1, 31, 6, tzinfo=UTC)
    assert moment_of("2026-01-31T17:30") == datetime(2026, 1, 31, 23, 30, tzinfo=UTC)
    tomorrow = (today() + timedelta(days=1)).isoformat()
    for wrong in ("", "monday", "2026-02-30", "2026-01-31 17:30", "1999-01-01", tomorrow):
        with pytest.raises(WrongMoment):
            moment_of(wrong)


def test_a_digest_is_recorded_and_kept_from_whom_exports_are_hidden(database: Database) -> None:
    before = utc_now()
    load(moment_of("today"))
    with reading() as connection:
        event = connection.execute(
            select(access_event).where(access_event.c.kind == "digest")
        ).one()
    assert event.at >= before
    assert event.detail.startswith("Since ")
    for who in (sign_in("vera"), sign_in("hal", Role.ACCOUNTING_SYNC, Role.HIDE_EXPORT)):
        with pytest.raises(NotAllowed):
            digest.load(who, moment_of("today"))


def test_the_command(sqlite_database: Database) -> None:
    assert "Nothing failed." in done("digest")
    told = done("digest", "--since", "week", "--by", "billing", "--format", "html")
    assert re.match(r"<!DOCTYPE html>\n", told)
    assert "no moment" in refused("digest", "--since", "monday")
