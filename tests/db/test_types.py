"""Time, money and text mean the same on both databases."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, Text, insert, literal, select
from sqlalchemy.exc import StatementError

from synchist.db.engine import reading, writing
from synchist.db.tables import connection as link
from synchist.db.tables import sign_in_attempt
from synchist.db.types import folded, moment_text, utc_now
from tests.conftest import Database, owned

CHICAGO = ZoneInfo("America/Chicago")

moments = st.datetimes(
    datetime(1900, 1, 1),
    datetime(2200, 1, 1),
    timezones=st.sampled_from(
        [UTC, CHICAGO, ZoneInfo("Asia/Kolkata"), timezone(-timedelta(hours=9.5))]
    ),
)


def stored(at: datetime) -> datetime:
    """The moment as it comes back from the database."""
    with writing() as connection:
        number = connection.execute(
            insert(sign_in_attempt).values(at=at, login="ada", address="::1", succeeded=True)
        ).inserted_primary_key[0]
    with reading() as connection:
        found = connection.scalar(
            select(sign_in_attempt.c.at).where(sign_in_attempt.c.id == number)
        )
    assert found is not None
    return found


# One database for all examples: they only add rows.
@given(at=moments)
def test_a_moment_comes_back_to_the_microsecond_in_utc(database: Database, at: datetime) -> None:
    found = stored(at)
    assert found == at.astimezone(UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize("fold", [0, 1])
def test_the_hour_that_comes_twice_is_told_apart(database: Database, fold: int) -> None:
    at = datetime(2026, 11, 1, 1, 30, tzinfo=CHICAGO, fold=fold)
    assert stored(at) == datetime(2026, 11, 1, 6 + fold, 30, tzinfo=UTC)


def test_the_hour_that_never_comes_is_the_one_after(database: Database) -> None:
    at = datetime(2026, 3, 8, 2, 30, tzinfo=CHICAGO)
    assert stored(at) == datetime(2026, 3, 8, 8, 30, tzinfo=UTC)


def test_a_moment_without_zone_is_refused(database: Database) -> None:
    with pytest.raises(StatementError, match="a moment needs a time zone"):
        stored(datetime(2026, 11, 22, 12))
    with pytest.raises(StatementError, match="a moment needs a time zone"), reading() as connection:
        connection.execute(select(link.c.id).where(link.c.last_success_at < datetime(2026, 1, 1)))


def test_no_moment_stays_none(database: Database) -> None:
    with reading() as connection:
        assert connection.scalar(select(literal(None, link.c.last_success_at.type))) is None


def test_moments_sort_by_time_on_both(database: Database) -> None:
    # On SQLite moments are text: this holds for one fixed form only.
    start = datetime(2026, 11, 1, 5, tzinfo=UTC)  # an hour before the clocks go back
    times = [start + timedelta(microseconds=7**step) for step in range(14)]
    for at in reversed(times):
        stored(at)
    with reading() as connection:
        found = connection.scalars(select(sign_in_attempt.c.at).order_by(sign_in_attempt.c.at))
        assert list(found) == times


def test_the_clock_is_in_utc() -> None:
    assert utc_now().tzinfo is UTC
    assert len(moment_text(utc_now())) == len("2026-11-22 12:00:00.000000")


def test_text_is_folded_and_ordered_by_bytes_on_both(database: Database) -> None:
    words = Table("words", MetaData(), Column("word", Text))
    given_words = [
        "b-1",
        "B 1",
        "a_1",
        "A-1",
        "a1",
        "Z9",
        "z10",
        "_x",
        "#7",
        "100%",
        "10",
        "é",
        "ab",
    ]
    with owned(), writing() as connection:
        words.create(connection)
        connection.execute(insert(words), [{"word": word} for word in given_words])
        ordered = connection.scalars(select(folded(words.c.word)).order_by(folded(words.c.word)))
        found = [word.upper() for word in ordered]
        words.drop(connection)
    assert found == sorted(word.upper() for word in given_words)
