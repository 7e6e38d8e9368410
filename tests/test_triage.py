"""Who looks after a record and a note about it: what may be said, by whom, and nothing else."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from random import Random
from threading import Barrier

import pytest
from openpyxl import load_workbook
from sqlalchemy import select, update

from synchist import accounts, queries
from synchist.accounts import Principal
from synchist.db.engine import reading, writing
from synchist.db.tables import access_event, account, auth_session, triage, triage_event
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.export import workbook
from synchist.filters import NOBODY, Filters, Window
from synchist.history import load_record
from synchist.roles import Role
from synchist.triage import LONGEST_NOTE, Assigned, Edit, InvalidTriage, Told, assign, events
from synchist.triage import people as everybody
from synchist.triage import told as what_is_told
from tests.changes import everything
from tests.conftest import Database, owned, sign_in
from tests.world import World

OPERATOR = Principal.command_line("operator")
every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)
SAID = (triage, triage_event)


@pytest.fixture
def dana(database: Database) -> Principal:
    return sign_in("dana", Role.ACCOUNTING_SYNC)


def told(entity: Entity, record: int) -> Told:
    with reading() as connection:
        return what_is_told(connection, entity, [record]).get(record, Told())


def said(entity: Entity, record: int) -> list[tuple[str, str | None, str]]:
    """Who has said what, newest first."""
    with reading() as connection:
        return [(one.who, one.owner, one.note) for one in events(connection, entity, record)]


def labels() -> dict[str, bool]:
    """Those who are offered as owners, and whether they may still be chosen."""
    with reading() as connection:
        return {person.label: person.may_own for person in everybody(connection)}


# ---------------------------------------------------------------- the operation


@every_entity
def test_owner_and_note_have_a_history_and_touch_nothing_else(
    world: World, analyst: Principal, dana: Principal, entity: Entity
) -> None:
    record = world.records(entity.key)["failed"]
    before = everything(*SAID)
    assert assign(analyst, entity, {record: Edit(0, "dana", " Ask the bank ")}) == Assigned(
        {record: 1}, ()
    )
    assert told(entity, record) == Told(1, "Dana", "dana", "Ask the bank")
    assert assign(dana, entity, {record: Edit(1, None)}).versions == {record: 2}
    assert told(entity, record) == Told(2, None, None, "Ask the bank")
    assert assign(dana, entity, {record: Edit(2, "ada", "")}).versions == {record: 3}
    assert said(entity, record) == [
        ("Dana", "Ada", ""),
        ("Dana", None, "Ask the bank"),
        ("Ada", "Dana", "Ask the bank"),
    ]
    assert everything(*SAID) == before  # sync columns and the record's version among it


def test_many_at_once(world: World, analyst: Principal) -> None:
    records = list(world.invoice.values())
    assign(analyst, INVOICES, {records[0]: Edit(0, None, "A note that stays")})
    edits = {record: Edit(int(record == records[0]), "ada") for record in records}
    done = assign(analyst, INVOICES, edits)
    assert done == Assigned({record: 2 if record == records[0] else 1 for record in records}, ())
    assert {told(INVOICES, record).login for record in records} == {"ada"}
    assert told(INVOICES, records[0]).note == "A note that stays"


def test_what_is_so_already_is_not_written(
    world: World, analyst: Principal, dana: Principal
) -> None:
    record, other = world.bill["failed"], world.bill["pending"]
    assign(analyst, BILLS, {record: Edit(0, "ada", "Once")})
    before = everything()
    # Also where somebody else has just said the same.
    edits = {record: Edit(0, "ada", "Once"), other: Edit(0, None, " ")}
    assert assign(dana, BILLS, edits) == Assigned({record: 1, other: 0}, ())
    assert everything() == before


def test_what_was_changed_meanwhile_is_left_alone_and_said(
    world: World, analyst: Principal, dana: Principal
) -> None:
    stale, fresh = world.invoice["failed"], world.invoice["pending"]
    assign(analyst, INVOICES, {stale: Edit(0, "ada", "Mine, 1*")})
    done = assign(dana, INVOICES, {stale: Edit(0, "dana", "Hers"), fresh: Edit(0, "dana")})
    assert done.versions == {fresh: 1}
    (conflict,) = done.conflicts
    assert (
        conflict.sentence
        == "Invoice INV-2001 was changed meanwhile by Ada: owner Ada, note “Mine, 1*”."
    )
    assert told(INVOICES, stale) == Told(1, "Ada", "ada", "Mine, 1*")
    assert told(INVOICES, fresh).login == "dana"

    assign(analyst, INVOICES, {stale: Edit(1, None, "")})
    (conflict,) = assign(dana, INVOICES, {stale: Edit(1, "dana")}).conflicts
    assert conflict.sentence == "Invoice INV-2001 was changed meanwhile by Ada: nobody’s."


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (Edit(0, "ada", "x" * (LONGEST_NOTE + 1)), "one line of at most 200"),
        (Edit(0, "ada", "two\nlines"), "one line of at most 200"),
        (Edit(0, "ada", "a\x1b[31mred"), "one line of at most 200"),
        (Edit(0, "ada", "a\u202eb"), "one line of at most 200"),  # turns the reading direction
        (Edit(0, "vera"), "Vera can’t look at the records"),
        (Edit(0, "nobody at all"), "nobody at all can’t look"),
        (Edit(0, "gone"), "Gone can’t look"),
    ],
)
def test_what_can_not_be_said(
    world: World, analyst: Principal, visitor: Principal, edit: Edit, sentence: str
) -> None:
    sign_in("gone", Role.ACCOUNTING_SYNC)
    accounts.disable(OPERATOR, "gone")
    right, wrong = world.bill["failed"], world.bill["pending"]
    before = everything(auth_session)
    with pytest.raises(InvalidTriage, match=sentence):
        assign(analyst, BILLS, {right: Edit(0, "ada", "Fine"), wrong: edit})
    assert everything(auth_session) == before


def test_a_record_that_is_not_there_and_too_many(
    world: World, analyst: Principal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidTriage, match="not there"):
        assign(analyst, BILLS, {999_999: Edit(0, "ada")})
    assert assign(analyst, BILLS, {}) == Assigned({}, ())
    with pytest.raises(InvalidTriage, match="at most 10,000 records at a time; 10,001 are"):
        assign(analyst, BILLS, dict.fromkeys(range(10_001), Edit(0, "ada")))
    with reading() as connection:
        assert connection.execute(select(triage)).all() == []


def test_whoever_has_left_keeps_what_is_theirs_and_gets_no_more(
    world: World, analyst: Principal, dana: Principal
) -> None:
    hers, other = world.bill["failed"], world.bill["pending"]
    assign(analyst, BILLS, {hers: Edit(0, "dana")})
    accounts.disable(OPERATOR, "dana")
    assert labels() == {"Ada": True, "Dana": False}
    assign(analyst, BILLS, {hers: Edit(1, "dana", "Ask her successor")})
    assert told(BILLS, hers) == Told(2, "Dana", "dana", "Ask her successor")
    with pytest.raises(InvalidTriage, match="Dana can’t look"):
        assign(analyst, BILLS, {other: Edit(0, "dana")})
    assign(analyst, BILLS, {hers: Edit(2, None)})
    assert labels() == {"Ada": True}


def test_nobody_is_taken_for_another(database: Database) -> None:
    names = {"a1": "Ann Lee", "a2": "Ann Lee", "b": "Bo", "x": "Ann Lee · a1", "c": "ann lee"}
    for login in names:
        sign_in(login, Role.ACCOUNTING_SYNC)
    with owned(), writing() as connection:
        for login, name in names.items():
            connection.execute(update(account).where(account.c.login == login).values(name=name))
    assert labels().keys() == {
        *("Ann Lee · a1", "Ann Lee · a2", "Ann Lee · a1 · x", "Bo", "ann lee"),
    }


def test_whoever_may_not_look_may_not_say_anything(
    world: World, analyst: Principal, visitor: Principal
) -> None:
    """The role is asked for again at each call, and the refusal is recorded."""
    edit = {world.bill["failed"]: Edit(0, "ada")}
    accounts.revoke(OPERATOR, "ada", Role.ACCOUNTING_SYNC)
    for who in (analyst, visitor):
        with pytest.raises(accounts.NotAllowed):
            assign(who, BILLS, edit)
    with pytest.raises(accounts.NotSignedIn):
        assign(Principal(None, "ada"), BILLS, edit)
    with reading() as connection:
        assert connection.execute(select(triage_event)).all() == []
        denied = select(access_event.c.actor, access_event.c.detail)
        refused = connection.execute(denied.where(access_event.c.kind == "denied")).all()
    assert [tuple(row) for row in refused] == [(who, "own bills") for who in ("Ada", "Vera", "ada")]


# ---------------------------------------------------------------- at the same time


def test_no_edit_is_lost_in_a_race(world: World, analyst: Principal) -> None:
    """Each adds one to the number in the note of what it has seen: no number comes twice."""
    records = list(world.invoice.values())[:5]
    people = [sign_in(f"racer{number}", Role.ACCOUNTING_SYNC) for number in range(4)]
    together = Barrier(len(people))

    def race(who: Principal) -> int:
        chance, added = Random(who.login), 0
        together.wait(30)
        for _ in range(25):
            some = chance.sample(records, 3)
            with reading() as connection:
                held = what_is_told(connection, INVOICES, some)
            seen = {record: held.get(record, Told()) for record in some}
            done = assign(
                who,
                INVOICES,
                {
                    record: Edit(one.version, who.login, str(int(one.note or 0) + 1))
                    for record, one in seen.items()
                },
            )
            assert len(done.versions) + len(done.conflicts) == 3
            added += len(done.versions)
        return added

    with ThreadPoolExecutor(len(people)) as pool:
        added = sum(pool.map(race, people))
    with reading() as connection:
        counted = connection.execute(select(triage.c.note, triage.c.version)).all()
        numbered = connection.execute(select(triage_event.c.note, triage_event.c.version)).all()
    assert all(int(note) == version for note, version in [*counted, *numbered])
    assert sum(version for _, version in counted) == len(numbered) == added >= 25


# ---------------------------------------------------------------- the lists


def test_mine_and_nobodys(world: World, analyst: Principal, dana: Principal) -> None:
    ids = world.invoice
    assign(analyst, INVOICES, {ids["failed"]: Edit(0, "ada"), ids["failed_old"]: Edit(0, "dana")})
    assign(analyst, INVOICES, {ids["failed_twice"]: Edit(0, "dana", "x")})
    assign(analyst, INVOICES, {ids["failed_twice"]: Edit(1, None)})  # once Dana's, now nobody's
    # The same ids of another kind are no invoices.
    assign(analyst, BILLS, {record: Edit(0, "ada") for record in world.bill.values()})

    def found(owner: str | None) -> set[str]:
        filters = Filters(window=Window.ALL, owner=owner)
        names = {record: name for name, record in ids.items()}
        with reading() as connection:
            frame = queries.load(connection, INVOICES, filters)
            page = queries.load(connection, INVOICES, filters, 100)
            count = queries.total(connection, INVOICES, filters).count
        assert count == len(frame)
        assert page.equals(frame)
        return {names[record] for record in frame.index}

    everything = found(None)
    assert found("ada") == {"failed"}
    assert found("dana") == {"failed_old"}
    assert found(NOBODY) == everything - {"failed", "failed_old"}
    assert found("somebody else") == set()
    assert Filters(owner="ada").sentence(INVOICES).endswith(" · owner ada")
    assert Filters(owner=NOBODY).sentence(INVOICES).endswith(" · nobody’s")


def test_owner_and_note_stand_in_lists_records_and_excel(world: World, analyst: Principal) -> None:
    record, formula = world.invoice["failed"], '=HYPERLINK("x")'
    assign(analyst, INVOICES, {record: Edit(0, "ada", formula)})
    with reading() as connection:
        frame = queries.load(connection, INVOICES, Filters(), 100)
        found = load_record(connection, INVOICES, record)
        assert queries.choices(connection, INVOICES)["owner"] == ["ada", NOBODY]
    assert found is not None
    assert (found.fields["owner"], found.fields["note"]) == ("Ada", formula)
    assert frame["told"].to_dict() == {key: int(key == record) for key in frame.index}
    assert frame.loc[record, ["owner", "note"]].tolist() == ["Ada", formula]
    assert frame.drop(index=record)["owner"].isna().all()

    _, book = workbook(analyst, INVOICES, Filters(owner="ada"))
    header, row = load_workbook(BytesIO(book)).worksheets[0].iter_rows()
    cells = {label.value: cell for label, cell in zip(header, row, strict=True)}
    assert cells["Owner"].value == "Ada"
    assert (cells["Note"].value, cells["Note"].data_type) == (formula, "s")
