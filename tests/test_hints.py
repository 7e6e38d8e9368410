"""Hints of the team: written, changed, taken away; nothing of it is ever lost."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import event, func, select

from synchist import causes, hints, problems
from synchist.accounts import NotAllowed, Principal
from synchist.db.engine import reading
from synchist.db.tables import access_event, team_hint
from synchist.demo import make_demo
from synchist.diagnosis import Cause
from synchist.hints import Hint, HintChanged, InvalidHint, Standing, Subject
from synchist.roles import Role
from tests.conftest import Database, sign_in

CAUSE, NAME = Subject(Cause.CUSTOMER_MAPPING), Subject(named="Norte Produce")


@pytest.fixture
def dana(database: Database) -> Principal:
    """Writes hints."""
    return sign_in("dana", Role.ACCOUNTING_SYNC, Role.HINTS)


def load() -> Standing:
    with reading() as connection:
        return hints.load(connection)


def history(subject: Subject) -> list[Hint]:
    with reading() as connection:
        return hints.history(connection, subject)


def write(who: Principal, subject: Subject, text: str) -> int:
    """As somebody does who has seen the newest version; the id of what stands then."""
    newest = load().of(subject)
    written = hints.write(who, subject, text, newest.id if newest else 0)
    return written.id if written else 0


def recorded(kind: str) -> list[tuple[str, str]]:
    of = access_event.c
    with reading() as connection:
        rows = connection.execute(
            select(of.actor, of.detail).where(of.kind == kind).order_by(of.id)
        )
        return [(row.actor, row.detail) for row in rows]


# ---------------------------------------------------------------- what is told


def test_the_hint_of_a_name_is_told_before_that_of_the_cause(dana: Principal) -> None:
    write(dana, CAUSE, "Look among the inactive ones")
    write(dana, NAME, "Ask Dana;\nin QuickBooks it ends in LLC")
    told = load().told(Cause.CUSTOMER_MAPPING, "Norte Produce")
    assert [(one.subject, one.text, one.author) for one in told] == [
        (NAME, "Ask Dana;\nin QuickBooks it ends in LLC", "Dana"),
        (CAUSE, "Look among the inactive ones", "Dana"),
    ]
    # A name counts whichever the cause, a cause whatever the name.
    assert [one.subject for one in load().told(Cause.TAX, "Norte Produce")] == [NAME]
    assert [one.subject for one in load().told(Cause.CUSTOMER_MAPPING, "")] == [CAUSE]
    assert load().told(Cause.TAX, "Another") == []


@pytest.mark.parametrize("spelling", ["NORTE PRODUCE", "Norte  produce"])
def test_case_and_blanks_make_no_other_name(dana: Principal, spelling: str) -> None:
    write(dana, NAME, "Ask Dana")
    assert [one.text for one in load().told(Cause.TAX, spelling)] == ["Ask Dana"]
    write(dana, Subject(named=spelling), "Ask Eve")
    assert [one.text for one in load().told(Cause.TAX, "Norte Produce")] == ["Ask Eve"]
    assert [one.text for one in history(NAME)] == ["Ask Eve", "Ask Dana"]
    assert len(load().newest) == 1


def test_letters_beyond_ascii_fold_alike_on_both_databases(dana: Principal) -> None:
    write(dana, Subject(named="Côte-Lavallière ltée"), "Ask Luc")
    assert [one.text for one in load().told(Cause.TAX, "CÔTE-LAVALLIÈRE LTÉE")] == ["Ask Luc"]


def test_every_version_is_kept_with_author_and_moment(database: Database, dana: Principal) -> None:
    eve = sign_in("eve", Role.ACCOUNTING_SYNC, Role.HINTS)
    write(dana, NAME, "Ask Dana")
    write(eve, NAME, "Ask Eve")
    write(dana, NAME, "")
    assert load().told(Cause.TAX, "Norte Produce") == []
    standing = load().of(NAME)
    assert standing is not None
    assert (standing.number, standing.text, standing.author) == (3, "", "Dana")
    write(eve, NAME, "Ask Eve after all")
    kept = history(NAME)
    assert [(one.author, one.text, one.number) for one in kept] == [
        ("Eve", "Ask Eve after all", 4),
        ("Dana", "", 3),
        ("Eve", "Ask Eve", 2),
        ("Dana", "Ask Dana", 1),
    ]
    assert sorted((one.at for one in kept), reverse=True) == [one.at for one in kept]
    assert history(CAUSE) == []
    assert recorded("hint_written") == [
        (who, "for “Norte Produce”") for who in ("Dana", "Eve", "Eve")
    ]
    assert recorded("hint_taken_away") == [("Dana", "for “Norte Produce”")]


def test_what_is_there_already_is_not_written_once_more(dana: Principal) -> None:
    written = write(dana, NAME, "Ask Dana")
    assert hints.write(dana, NAME, "  Ask  Dana \n", 0) == load().of(NAME)
    assert hints.write(dana, CAUSE, " ", 0) is None
    assert [one.id for one in history(NAME)] == [written]
    assert len(recorded("hint_written")) == 1
    write(dana, NAME, "")
    write(dana, NAME, "")
    assert len(history(NAME)) == 2


# ---------------------------------------------------------------- several authors


def test_nobody_writes_over_what_they_have_not_seen(database: Database, dana: Principal) -> None:
    eve = sign_in("eve", Role.ACCOUNTING_SYNC, Role.HINTS)
    seen = write(dana, NAME, "Ask Dana")
    write(eve, NAME, "Ask Eve")
    with pytest.raises(HintChanged, match="Eve has written “Ask Eve”") as error:
        hints.write(dana, NAME, "Ask Dana, not Finn", seen)
    assert load().told(Cause.TAX, "Norte Produce")[0].text == "Ask Eve"
    with pytest.raises(HintChanged):
        hints.write(dana, NAME, "", seen)
    write(eve, NAME, "")
    with pytest.raises(HintChanged, match="Eve has taken the hint away"):
        hints.write(dana, NAME, "Ask Dana, not Finn", error.value.newest.id)
    with pytest.raises(HintChanged):
        hints.write(dana, NAME, "Ask Dana, not Finn", 0)
    write(dana, NAME, "Ask Dana, not Finn")
    assert len(history(NAME)) == 4


def test_of_authors_at_once_all_but_one_are_told_of_the_other(dana: Principal) -> None:
    start = Barrier(4)

    def attempt(subject: Subject, text: str) -> str:
        start.wait()
        try:
            hints.write(dana, subject, text, 0)
        except HintChanged:
            return "told"
        return "written"

    with ThreadPoolExecutor(4) as pool:
        for turn in range(8):
            subject = Subject(named=f"Norte Produce {turn}")
            texts = ["One", "Two", "Three", "Four"]
            done = sorted(pool.map(partial(attempt, subject), texts))
            assert done == ["told", "told", "told", "written"]
            assert len(history(subject)) == 1


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("roles", [[Role.ACCOUNTING_SYNC], [Role.HINTS], []])
def test_writing_takes_the_role_and_a_sight_of_what_it_is_about(
    database: Database, roles: list[Role]
) -> None:
    eve = sign_in("eve", *roles)
    missing = Role.HINTS if Role.HINTS not in roles else Role.ACCOUNTING_SYNC
    with pytest.raises(NotAllowed, match=f"lacks the role {missing}"):
        hints.write(eve, NAME, "Ask Eve", 0)
    assert load().newest == {}
    assert recorded("denied") == [("Eve", "write a hint")]


@pytest.mark.parametrize(
    "subject",
    [
        Subject(),
        Subject(Cause.TAX, "Norte Produce"),
        Subject(named=" "),
        Subject(named="x" * 201),
        Subject(named="Norte\x00Produce"),
        Subject(named="Norte\nProduce"),
        Subject(named="\ud800"),
    ],
)
def test_what_can_have_no_hint_is_refused(dana: Principal, subject: Subject) -> None:
    with pytest.raises(InvalidHint):
        hints.write(dana, subject, "Ask Dana", 0)
    assert load().newest == {}


def test_a_long_text_is_refused_and_not_cut_off(dana: Principal) -> None:
    with pytest.raises(InvalidHint, match="501 characters"):
        hints.write(dana, NAME, "ä" * 501, 0)
    write(dana, NAME, "ä" * 500)
    assert history(NAME)[0].text == "ä" * 500


def test_what_nobody_can_see_is_left_out(dana: Principal) -> None:
    write(dana, NAME, "\x00Ask\u200b Dana\u202e\t\u00a0now\r\n\n\n\n\n ’tis\ud800 ok\x1b[0m\n")
    assert history(NAME)[0].text == "Ask Dana now\n\n’tis ok[0m"


def test_the_database_lets_nobody_rewrite_a_hint(database: Database, dana: Principal) -> None:
    write(dana, NAME, "Ask Dana")
    for statement in (
        "UPDATE team_hint SET text = 'Ask Mallory'",
        "DELETE FROM team_hint",
        "INSERT INTO team_hint (cause, named, text, at, actor)"
        " VALUES ('tax', 'Norte', 'x', '2026-11-22 12:00:00.000000', 'Mallory')",
    ):
        with database.bare() as other, pytest.raises(database.refusals):
            other.execute(statement)
    assert [(one.text, one.author) for one in history(NAME)] == [("Ask Dana", "Dana")]


# ---------------------------------------------------------------- how much it takes


def test_all_hints_are_read_by_one_statement(dana: Principal) -> None:
    for subject in (CAUSE, NAME, Subject(Cause.TAX)):
        write(dana, subject, "Ask Dana")
    statements: list[str] = []
    with reading() as connection:
        event.listen(connection, "before_cursor_execute", lambda *told: statements.append(told[2]))
        assert len(hints.load(connection).newest) == 3
    assert len(statements) == 1


def test_a_cause_that_this_version_does_not_know_is_left_out(
    database: Database, dana: Principal
) -> None:
    with database.owner() as other:
        other.execute(
            "INSERT INTO team_hint (cause, text, at, actor)"
            " VALUES ('of_tomorrow', 'x', '2026-11-22 12:00:00.000000', 'Tess')"
        )
        other.commit()
    assert load().newest == {}


@pytest.mark.owner
def test_the_demo_has_hints_for_what_has_failed_in_it(database: Database) -> None:
    make_demo(2_000)
    while problems.catch_up():
        pass
    with reading() as connection:
        standing = hints.load(connection)
        told = {
            hint.subject
            for group in causes.load_open(connection).groups
            for hint in standing.told(group.cause, group.named)
        }
        assert connection.scalar(select(func.count()).select_from(team_hint)) > len(told)
    assert told == {hint.subject for hint in standing.newest.values()}
    assert {hint.author for hint in standing.newest.values()} == {"Cora Bell (demo controller)"}
