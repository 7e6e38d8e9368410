"""T12: whatever somebody alters in sealed history, it shows, and where."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from sqlalchemy import (
    Column,
    Connection,
    Date,
    String,
    Table,
    and_,
    delete,
    insert,
    select,
    text,
    update,
)
from structlog.testing import capture_logs

from synchist import problems, sealing
from synchist.db import tables
from synchist.db.engine import DatabaseUnavailable, engine, reading, writing
from synchist.db.engine import database as current
from synchist.db.tables import APPEND_ONLY, metadata
from synchist.db.triggers import install_triggers
from synchist.db.types import Moment
from synchist.sealing import Anchors, HeldUp, HistoryAltered, NothingSealed, Sealer, chain
from synchist.sealing.anchors import Anchor
from synchist.sealing.forms import CHRONICLE, FORM_1, FORMS, NEWEST, rows
from synchist.settings import settings
from synchist.web import companion
from tests.conftest import POSTGRESQL, SQLITE, Database, owned
from tests.faults.conftest import recovers
from tests.test_cli import done, run

only_postgresql = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
AT = datetime(2026, 11, 12, 20, 3, 4, 120, UTC)
OPERATION, ANOTHER, MATCHED, CLOSED = (f"{letter * 8}-0000-4000-8000-{0:012}" for letter in "abcd")
WHO = {"at": AT, "actor": "Ada Analyst"}


def add(connection: Connection, table: str, **values: object) -> None:
    connection.execute(insert(metadata.tables[table]).values(values))


@pytest.fixture
def history(database: Database) -> None:
    """A little of everything that is sealed."""
    with owned(), writing() as connection:
        _tell(connection)


def _tell(connection: Connection) -> None:
    add(connection, "organization", tms_id="A", name="Bluebird Foods", is_payer=True)
    link = {"name": "US", "system": "QuickBooks Online", "company": "US", "state": "authorized"}
    add(connection, "connection", **link)
    for number in (1, 2, 3):
        add(
            connection,
            "invoice",
            **{"tms_id": f"T{number}", "number": f"INV-{number}", "party_id": 1},
            **{"billing_organization_id": 1, "connection_id": 1, "currency": "USD"},
            **{"amount": 100 * number, "tms_status": "Approved", "created_at": AT},
            accounting_date=date(2026, 11, 3),
        )
        charge = {"position": 1, "description": "Freight", "amount": 1}
        add(connection, "charge_line", invoice_id=number, **charge)
        of = tables.invoice
        failed = {"sync_status": 2, "sync_at": AT, "sync_error": f'Fuße №{number} "\x85\U0001f69a'}
        connection.execute(update(of).where(of.c.id == number).values(failed))
        add(connection, "attempt_line", charge_line_id=number, sync_at=AT, amount=-number)
        add(connection, "access_event", id=10 * number, kind="export", detail=f"{number}", **WHO)
        add(connection, "team_hint", cause="", named="Norte", text=f"Ask Dana {number}", **WHO)
        told = {"entity": "bill", "record_id": number, "version": 1, "note": "Called"}
        add(connection, "triage", **told)
        add(connection, "triage_event", **told, **WHO)
        add(
            connection,
            "export_reading",
            **{"entity": "bill", "headings": f"{number:064}", "reading": "{}", **WHO},
        )
    _operations(connection)
    _reconciled(connection)
    _closed(connection)


def _operations(connection: Connection) -> None:
    for identity, entities in ((OPERATION, ("invoice", "invoice_payment", "bill")), (ANOTHER, ())):
        add(
            connection,
            "operation",
            **{"id": identity, "action": "change_status", "to_status": 0, "note": "again", **WHO},
            **{"digest": "0" * 64, "requested": 2 * len(entities)},
        )
        for entity in entities:
            for record in (2, 10):
                item = {"entity": entity, "record_id": record, "outcome": "missing"}
                add(connection, "operation_item", operation_id=identity, version_seen=1, **item)


def _reconciled(connection: Connection) -> None:
    named = ("file_name", "sha256", "system", "report", "period", "basis", "coverage")
    add(
        connection,
        "reconciliation",
        **{"id": MATCHED, "entity": "invoice", "connection_id": 1, "amount_is_open": False, **WHO},
        **{"rows_read": 3, "used": 3, "documents_total": 3, "starts_on": date(2026, 11, 1)},
        **dict.fromkeys(named, "n"),
        **dict.fromkeys(("skipped", "left_out", "warnings"), "[]"),
    )
    for position in (1, 2, 12):
        line = {"bucket": "matched", "case_number": 1, "how": "number", "reason": ""}
        add(connection, "reconciliation_line", reconciliation_id=MATCHED, position=position, **line)
    for position in (1, 2):
        where = {"reconciliation_id": MATCHED, "position": position, "bucket": "matched"}
        where["record_position"] = 9 + position
        add(connection, "reconciliation_confirmation", **where, **WHO)


def _closed(connection: Connection) -> None:
    of = {"month": date(2026, 11, 1), "billing_organization_id": 1, "connection_id": 1}
    add(connection, "period_close", id=CLOSED, **of, **WHO)
    for record in (1, 2, 3):
        frozen = {"entity": "invoice", "record_id": record, "version": 2, "exception": "failed"}
        add(connection, "period_close_record", close_id=CLOSED, **frozen)
    kind = {"entity": "invoice", "kind": "failed", "currency": "USD"}
    add(connection, "period_close_sum", close_id=CLOSED, **kind, count=3, amount=600)
    add(connection, "period_reopen", close_id=CLOSED, reason="A bill was missing", **WHO)


@pytest.fixture
def small_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "ROWS", 4)
    monkeypatch.setattr(chain, "ENTRIES", 2)


def seals() -> list[sealing.Seal]:
    with reading() as connection:
        return list(chain._stored(connection, "ORDER BY number"))


def known() -> Anchors:
    """The newest seal, kept elsewhere."""
    newest = seals()[-1]
    return Anchors("seals.jsonl", [Anchor(newest.number, newest.hash, 1)])


@contextmanager
def intruder() -> Iterator[Connection]:
    """The database's owner, to whom no trigger and no rule applies; what is not committed goes."""
    with owned(), current().connect() as connection:
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.driver_connection
            for rule in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
                driver.execute(f"PRAGMA {rule}")
        transaction = connection.begin()
        if connection.dialect.name == "sqlite":
            named = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
            for trigger in connection.scalars(text(named)).all():
                connection.execute(text(f"DROP TRIGGER {trigger}"))
        else:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        yield connection
        if transaction.is_active:
            transaction.rollback()
        connection.detach()


def found(connection: Connection, anchors: Anchors | None = None) -> HistoryAltered:
    """What verifying says, in the intruder's own transaction."""
    with pytest.raises(HistoryAltered) as raised:
        sealing.verify(anchors, transactions=lambda: nullcontext(connection))
    return raised.value


# ---------------------------------------------------------------- whole


def test_history_is_sealed_and_whole(database: Database, history: None, small_seals: None) -> None:
    with pytest.raises(NothingSealed):
        sealing.verify()
    count, newest = sealing.seal_all()
    assert count == newest.number == len(seals())
    whole = sealing.verify(known())
    assert (whole.newest, whole.unsealed) == (newest, 0)
    with reading() as connection:
        counted = [
            connection.scalar(text(f"SELECT count(*) FROM {source}")) for source in FORM_1.sources
        ]
    assert whole.rows == sum(counted) == sealing.covered()
    assert all(counted)
    assert sealing.seal_all() == (0, newest)
    with writing() as connection:
        add(connection, "team_hint", cause="", named="Norte", text="Ask Lee", **WHO)
    assert (sealing.verify().unsealed, sealing.backlog()) == (1, 1)
    assert sealing.seal_all()[0] == 1
    assert sealing.verify().rows == whole.rows + 1


def test_a_seal_can_be_checked_by_hand(sqlite_database: Database) -> None:
    """As docs/assurance.md describes it, with nothing of the product."""
    with writing() as connection:
        add(connection, "access_event", kind="export", detail="é", **WHO)
    sealing.seal_all()
    (seal,) = seals()
    row = '["access_event",1,"2026-11-12 20:03:04.000120","export",null,"Ada Analyst","\\u00e9"]'
    digest = sha256(row.encode()).hexdigest()
    assert seal.fingerprints == f"1:{digest[:8]}"
    line = f'["",1,"{seal.at}",1,"access_event",1,1,"{seal.fingerprints}","{digest}"]'
    assert seal.hash == sha256(line.encode()).hexdigest()


def test_both_databases_give_the_same_encoding(
    database: Database, history: None, sqlite_template: Path, tmp_path: Path
) -> None:
    """What is there, copied to SQLite value by value, has the very same hashes."""
    sealed = [one for one in APPEND_ONLY if one.name != "seal"]
    with reading() as connection:
        content = {one: connection.execute(select(one)).mappings().all() for one in sealed}
        hashes = _hashes(connection)
    copy = tmp_path / "copy.db"
    copy.write_bytes(sqlite_template.read_bytes())
    there = engine(f"sqlite:///{copy}")
    with there.connect() as connection, connection.begin():
        connection.connection.driver_connection.execute("PRAGMA defer_foreign_keys = ON")  # type: ignore[union-attr]
        for trigger in connection.scalars(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        ).all():
            connection.execute(text(f"DROP TRIGGER {trigger}"))
        for one, those in content.items():
            connection.execute(insert(one), [dict(row) for row in those])
        assert _hashes(connection) == hashes
        connection.rollback()
    there.dispose()


def _hashes(connection: Connection) -> dict[str, list[str]]:
    return {
        source: [row.digest.hex() for row in rows(connection, FORM_1, source, None, 10**6, 10**6)]
        for source in FORM_1.sources
    }


def test_the_newest_form_names_every_column() -> None:
    """A new column of a sealed table needs a new form; the forms before stay as they are."""
    form = FORMS[NEWEST]
    named = {source: set(columns) for source, columns in form.sources.items()}
    for parts in form.belonging.values():
        named |= {part.table: set(part.columns) for part in parts}
    there = {table.name: {column.name for column in table.c} for table in APPEND_ONLY}
    assert named == {name: columns for name, columns in there.items() if name != "seal"}
    assert list(form.belonging) == [table.name for table in tables.CHRONICLED]


def test_the_first_form_never_changes() -> None:
    """Seals of years ago are verified with it."""
    listed = repr((FORM_1.sources, FORM_1.belonging))
    assert sha256(listed.encode()).hexdigest()[:16] == "7fe656509329df71"


# ---------------------------------------------------------------- altered

SEALED = [*FORM_1.sources, *(p.table for parts in FORM_1.belonging.values() for p in parts), "seal"]
ALTERATIONS = {SQLITE: 700, POSTGRESQL: 300}
"""A thousand in all."""


@dataclass
class Alteration:
    """What was done, and where verifying may say that it was."""

    said: str
    source: str
    places: set[object]


class Forger:
    """Alters one thing at random in an intruder's transaction."""

    def __init__(self, connection: Connection, chance: random.Random) -> None:
        self.connection, self.chance = connection, chance
        self.entries = {
            (row.source, row.key): row.id for row in connection.execute(select(tables.chronicle))
        }
        self.content = {
            name: list(map(dict, connection.execute(select(metadata.tables[name])).mappings()))
            for name in SEALED
        }

    def alter(self) -> Alteration:
        table = metadata.tables[self.chance.choice(SEALED)]
        row = self.chance.choice(self.content[table.name])
        way = self.chance.choice((self._edit, self._edit, self._delete, self._insert))
        return way(table, row)

    def _edit(self, table: Table, row: dict[str, Any]) -> Alteration:
        column = self.chance.choice(list(table.c))
        value = self._other(column, row[column.name])
        self.connection.execute(update(table).where(_is(table, row)).values({column.name: value}))
        return self._of(f"edited {column.name} to {value!r}", table, row, {column.name: value})

    def _delete(self, table: Table, row: dict[str, Any]) -> Alteration:
        self.connection.execute(delete(table).where(_is(table, row)))
        return self._of("deleted", table, row)

    def _insert(self, table: Table, row: dict[str, Any]) -> Alteration:
        """A copy of a row under a key that is free, among what is sealed."""
        new = dict(row)
        if table.name == "seal":
            new |= {"number": -row["number"], "last_id": row["last_id"] + 1_000}
        elif table.name in FORM_1.sources:
            ids = {one["id"] for one in self.content[table.name]}
            new["id"] = self.chance.choice(sorted({*range(-3, max(ids))} - ids))
            for column in ("version", "key"):
                if column in new:
                    new[column] = self._other(table.c[column], row[column])
        else:
            last = list(table.primary_key.columns)[-1]
            new[last.name] = self._other(last, row[last.name])
            if "record_position" in new:
                new["record_position"] += 1_000
        self.connection.execute(insert(table).values(new))
        return self._of("inserted", table, row, new)

    def _other(self, column: Column[Any], value: Any) -> Any:
        """Another value that the database takes in this column."""
        if value is not None and column.nullable and self.chance.random() < 0.2:
            return None
        if isinstance(column.type, Moment):
            step = timedelta(microseconds=self.chance.choice((1, 1_000, 86_400_000_000)))
            return (value or AT) + step * self.chance.choice((1, -1))
        if isinstance(column.type, Date):
            return (value or AT.date()) + timedelta(days=self.chance.choice((1, -1, 7)))
        if isinstance(value, bool):
            return not value
        if isinstance(column.type, String):
            return self._misspelt(value or "", column.type.length)
        return (value or 0) + self.chance.choice((-1_000, 1_000, 1_500))

    def _misspelt(self, value: str, length: int | None) -> str:
        place = self.chance.randrange(len(value) + 1)
        letter = self.chance.choice([one for one in "x É\n" if value[place : place + 1] != one])
        if length is None or len(value) < length:
            return value[:place] + letter + value[place:]
        return value[: place - 1] + letter + value[place:] if place else letter + value[1:]

    def _of(
        self, said: str, table: Table, row: dict[str, Any], new: dict[str, Any] | None = None
    ) -> Alteration:
        name, after = table.name, row | (new or {})
        said = f"{said}: {name} {row}"
        if name == "seal":  # it, or the next one, which does not follow it any more
            number = row["number"]
            return Alteration(said, "", {number, number + 1, after["number"]})
        if name in FORM_1.sources:
            return Alteration(said, name, {row["id"], after["id"]})
        kind, part = next(
            (kind, part)
            for kind, parts in FORM_1.belonging.items()
            for part in parts
            if part.table == name
        )
        key = "/".join(str(row[column]) for column in part.key)
        places: set[object] = {self.entries[kind, key]}
        if new is not None and any(row[column] != after[column] for column in part.key):
            places.add(None)  # no entry names it
        return Alteration(said, CHRONICLE, places)


def _is(table: Table, row: dict[str, Any]) -> Any:
    return and_(*(column == row[column.name] for column in table.primary_key.columns))


def test_every_alteration_is_found(database: Database, history: None, small_seals: None) -> None:
    sealing.seal_all()
    anchors = known()
    chance = random.Random(database.dialect)
    with intruder() as connection:
        forger = Forger(connection, chance)
        for _ in range(ALTERATIONS[database.dialect]):
            with connection.begin_nested() as savepoint:
                altered = forger.alter()
                said = found(connection, anchors)
                place = said.row if altered.source else said.seal
                assert place in altered.places, f"{altered}\n{said}"
                savepoint.rollback()
        assert sealing.verify(anchors, transactions=lambda: nullcontext(connection)).rows


SENTENCES = {
    "sync event 2 (invoice 1, version 2) is not what was sealed on {at} (seal {seal}).": (
        "UPDATE sync_event SET sync_reference = 'QB-1' WHERE id = 2"
    ),
    "sync event 2 is missing; it was sealed on {at} (seal {seal}).": (
        "DELETE FROM sync_event WHERE id = 2"
    ),
    "access event 15 was put in later among what was sealed on {at} (seal {seal}).": (
        "INSERT INTO access_event (id, at, kind, actor)"
        " SELECT 15, at, kind, actor FROM access_event WHERE id = 10"
    ),
    f"operation {OPERATION} (entry 1 of the chronicle) is not what was sealed on {{at}}": (
        "UPDATE operation_item SET outcome = 'applied' WHERE entity = 'bill' AND record_id = 2"
    ),
    f"sign-off {CLOSED} (entry 6 of the chronicle) is missing; it was sealed on {{at}}": (
        "DELETE FROM period_close_record; DELETE FROM period_close"
    ),
    "entry 7 of the chronicle (an operation, a reconciliation or a sign-off) is missing": (
        "DELETE FROM chronicle WHERE id = 7"
    ),
    "operation ghost was written past the database's own triggers.": (
        "INSERT INTO operation (id, at, actor, action, digest, requested)"
        " SELECT 'ghost', at, actor, action, digest, requested FROM operation LIMIT 1"
    ),
    "an item of operation ghost was written past the database's own triggers.": (
        "INSERT INTO operation_item (operation_id, entity, record_id, version_seen, outcome)"
        " VALUES ('ghost', 'bill', 1, 1, 'applied')"
    ),
    "seal 2 is missing.": "DELETE FROM seal WHERE number = 2",
    "seal 3 was altered, or does not follow seal 2.": (
        "UPDATE seal SET at = (SELECT at FROM access_event LIMIT 1) WHERE number = 3"
    ),
    "seal 0 was altered, or is not the first one.": "UPDATE seal SET number = 0 WHERE number = 1",
    "the chain ends at seal {last_but_one}, but seals.jsonl knows seal {last} (line 1).": (
        "DELETE FROM seal WHERE number = {last}"
    ),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_says_what_was_altered(database: Database, history: None, sentence: str) -> None:
    _, newest = sealing.seal_all()
    statements = SENTENCES[sentence].format(last=newest.number)
    anchors = known()
    with intruder() as connection:
        for statement in statements.split(";"):
            connection.execute(text(statement))
        said = found(connection, anchors)
    sealed = next((one for one in seals() if one.number == said.seal), newest)
    local = sealed.moment.astimezone(settings().zone)
    expected = sentence.format(
        at=f"{local.day} {local:%b %Y, %H:%M}",
        seal=sealed.number,
        last=newest.number,
        last_but_one=newest.number - 1,
    )
    assert str(said).startswith(f"The history was altered: {expected}"), said
    assert str(said).endswith("docs/assurance.md says what to do.")


def test_a_seal_made_anew_does_not_fit_the_next_one(
    database: Database, history: None, small_seals: None
) -> None:
    """Whoever alters a row and sets its seal right has to set all later ones right, too."""
    sealing.seal_all()
    before, seal, after = seals()[:3]
    assert (seal.source, seal.count) == ("sync_event", 2)
    with intruder() as connection:
        connection.execute(text("UPDATE sync_event SET amount = 1 WHERE id = 5"))
        there = rows(connection, FORM_1, seal.source, before.last_id, seal.last_id, 10)
        forged = replace(
            seal, fingerprints=" ".join(f"{row.id}:{row.fingerprint}" for row in there)
        )
        values = {"fingerprints": forged.fingerprints}
        values["hash"] = chain._linked(before.hash, forged, there)
        of = tables.seal
        connection.execute(update(of).where(of.c.number == seal.number).values(values))
        said = found(connection)
    assert said.seal == after.number
    assert f"seal {after.number} was altered, or does not follow seal {seal.number}" in str(said)


STRANGE = {
    SQLITE: {
        "access_event": ("detail = CAST(x'ff' AS TEXT)", "detail = x'6f6b'", "actor_id = 1.5"),
        "seal": ("fingerprints = x'00'", "at = 7", "form = 'x'", "count = 1.5", "source = x'ff'"),
        "chronicle": ("key = x'61'", "source = 'account'"),
    },
    POSTGRESQL: {
        "access_event": ("at = '2026-11-12 20:03:04.00012+00 BC'", "at = 'infinity'"),
        "sync_event": ("sync_at = 'infinity'", "accounting_date = '-infinity'"),
        "seal": ("at = 'infinity'", "at = '2026-01-01 BC'", "form = -1", "count = -1"),
        "chronicle": ("key = ''", "source = 'account'"),
    },
}


def test_whatever_is_put_there_is_told_apart(database: Database, history: None) -> None:
    """Also what the product could never read."""
    sealing.seal_all()
    for table, changes in STRANGE[database.dialect].items():
        key = "number" if table == "seal" else "id"
        first = f"{key} = (SELECT min({key}) FROM {table})"
        for change in changes:
            with intruder() as connection:
                connection.execute(text(f"UPDATE {table} SET {change} WHERE {first}"))
                found(connection)


def test_history_that_is_no_text_is_sealed(sqlite_database: Database) -> None:
    """SQLite takes any bytes; nobody keeps the rest from being sealed with them."""
    with sqlite_database.bare() as connection:
        connection.execute(
            "INSERT INTO access_event (at, kind, actor, detail)"
            " VALUES ('2026-11-12 20:03:04.000120', 'x', 'x', CAST(x'ff' AS TEXT))"
        )
        connection.commit()
    sealing.seal_all()
    assert sealing.verify().rows == 1


# ---------------------------------------------------------------- committed for certain


def waits_at_most(seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    short = settings().model_copy(update={"lock_wait_seconds": seconds})
    monkeypatch.setattr(chain, "settings", lambda: short)


@only_postgresql
@pytest.mark.parametrize("commits", [True, False], ids=["commits", "rolls back"])
def test_nothing_is_sealed_over_a_transaction_in_flight(
    database: Database, history: None, commits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has taken an id before others, and commits after them."""
    sealing.seal_all()
    hint = "INSERT INTO team_hint (named, text, at, actor) VALUES ('Norte', '{}', now(), 'Ada')"
    sealer = Sealer()
    with closing(psycopg.connect(database.url)) as slow:
        slow.execute(hint.format("early"))
        with closing(psycopg.connect(database.url)) as quick:
            quick.execute(hint.format("late"))
            quick.execute(
                "INSERT INTO access_event (id, at, kind, actor) VALUES (40, now(), 'x', 'Ada')"
            )
            quick.commit()
        sealer.look()
        assert [one.source for one in sealer.seals()] == ["access_event"]
        assert sealer.unfinished
        waits_at_most(0, monkeypatch)
        with pytest.raises(HeldUp, match=r"^A transaction of \w+ \(process \d+, begun on .+\) has"):
            sealing.seal_all()
        assert sealing.verify().unsealed == 1
        if commits:
            slow.commit()
        else:
            slow.rollback()
    assert [(one.source, one.count) for one in sealer.seals()] == [("team_hint", 1 + commits)]
    assert not sealer.unfinished
    assert sealing.verify().unsealed == 0


@only_postgresql
def test_a_transaction_that_began_later_holds_nothing_up(database: Database, history: None) -> None:
    """Nor does one that writes elsewhere, or in another database of the server."""
    sealer = Sealer()
    with database.tms() as elsewhere, database.bare() as later:
        elsewhere.execute("UPDATE organization SET name = 'Other'")
        sealer.look()
        later.execute("UPDATE invoice SET sync_error = 'x' WHERE id = 1")
        assert {one.source for one in sealer.seals()} == set(FORM_1.sources)
        assert not sealer.unfinished


# ---------------------------------------------------------------- one holder at a time


def test_who_comes_second_leaves_it_to_the_first(database: Database, history: None) -> None:
    first, second = (chain._next_batch("access_event", 100) for _ in range(2))
    assert first is not None and second is not None  # noqa: PT018
    assert [chain._set(first), chain._set(second)] == [True, False]
    assert seals() == [first]


def test_many_seal_at_once_and_there_is_one_chain(
    database: Database, history: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "ROWS", 1)
    monkeypatch.setattr(chain, "ENTRIES", 1)
    with ThreadPoolExecutor(4) as pool:
        counts = [done[0] for done in pool.map(lambda _: sealing.seal_all(), range(4))]
    whole = sealing.verify()
    assert (sum(counts), whole.unsealed) == (whole.newest.number, 0)


# ---------------------------------------------------------------- kept elsewhere


@pytest.fixture
def seal_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "seals.jsonl"
    keeping = settings().model_copy(update={"seal_file": str(path)})
    monkeypatch.setattr("synchist.sealing.anchors.settings", lambda: keeping)
    return path


def test_a_chain_made_anew_shows_against_what_was_kept(
    database: Database, history: None, seal_file: Path
) -> None:
    """Without the file it does not: whoever owns the database can do this."""
    done("audit", "seal")
    with intruder() as connection:
        connection.execute(text("UPDATE access_event SET actor = 'Nobody' WHERE id = 20"))
        connection.execute(text("DELETE FROM seal"))
        connection.commit()
        if database.dialect == SQLITE:
            install_triggers(connection)
            connection.commit()
    sealing.seal_all()
    assert "The history is whole" in done("audit", "verify")
    result = run("audit", "verify", "--since-anchor", str(seal_file))
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "is not the one that seals.jsonl knows (line 1), so the chain up to" in result.stderr


def test_the_newest_seal_goes_to_the_log_and_the_file(
    sqlite_database: Database, seal_file: Path
) -> None:
    """Once for all that was sealed in one go; the file grows and nothing in it is overwritten."""
    kept = "kept from before\n"
    seal_file.write_text(kept)
    for number in (1, 2):
        with writing() as connection:
            add(connection, "access_event", kind="export", **WHO)
        with capture_logs() as logs:
            sealing.seal_all()
        newest = seals()[-1]
        assert newest.number == number
        (said,) = logs
        assert (said["event"], said["number"], said["hash"]) == ("newest seal", number, newest.hash)
        assert (said["source"], said["last_id"]) == ("access_event", number)
    lines = seal_file.read_text().removeprefix(kept).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"number": one.number, "hash": one.hash, "at": one.at} for one in seals()
    ]


def test_a_file_that_can_not_be_written_is_said(
    sqlite_database: Database, history_of_one: None, seal_file: Path
) -> None:
    seal_file.mkdir()
    result = run("audit", "seal")
    assert result.exit_code == 2
    assert "SYNCHIST_SEAL_FILE names: Is a directory. Make the file writable" in result.stderr
    assert sealing.verify().newest.number == 1


@pytest.fixture
def history_of_one(sqlite_database: Database) -> None:
    with writing() as connection:
        add(connection, "access_event", kind="export", **WHO)


def test_logs_and_broken_lines(
    sqlite_database: Database, history_of_one: None, tmp_path: Path
) -> None:
    """A log of either form is as good as the file; what else is in it does not matter."""
    sealing.seal_all()
    (seal,) = seals()
    file = tmp_path / "server.log"
    good = (
        json.dumps({"number": 1, "hash": seal.hash, "at": seal.at}),
        json.dumps({"event": "newest seal", "number": 1, "hash": seal.hash, "level": "info"}),
        f"2026-11-12 20:03 [info     ] newest seal   hash={seal.hash} last_id=1 number=1 source=x",
    )
    others = ('{"event": "something else"}', "Synchist serves on http://localhost", "")
    broken = ('{"number": 2, "ha', '{"number": "x", "hash": 1}', "newest seal  hash=12")
    file.write_text("\n".join((*good, *others, *broken)))
    said = done("audit", "verify", "--since-anchor", str(file))
    assert "All 3 seals in server.log are in the chain." in said
    assert said.count("can't be read as a seal") == 3
    for line in (7, 8, 9):
        assert f"Line {line} of server.log can't be read as a seal." in said
    for line in good:
        file.write_text(line.replace(seal.hash, "0" * 64))
        assert run("audit", "verify", "--since-anchor", str(file)).exit_code == 2
    file.write_text("\n".join(others))
    assert "There is no seal in" in run("audit", "verify", "--since-anchor", str(file)).stderr
    file.unlink()
    assert "No such file" in run("audit", "verify", "--since-anchor", str(file)).stderr


def test_commands_say_how_it_stands(sqlite_database: Database) -> None:
    assert "there is nothing to seal" in done("audit", "seal")
    result = run("audit", "verify")
    assert (result.exit_code, result.stderr.strip()) == (2, str(NothingSealed()))
    with writing() as connection:
        add(connection, "access_event", kind="export", **WHO)
    assert "1 seals set. The newest is seal 1: " in done("audit", "seal")
    said = done("audit", "verify")
    assert "The history is whole: 1 rows under 1 seals, the last one sealed on " in said
    assert "Whoever owns the database could have made the whole chain anew." in said


# ---------------------------------------------------------------- while the server runs


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(companion, "PAUSE_SECONDS", 0.01)


def test_the_server_seals_by_itself(
    database: Database,
    history: None,
    in_a_hurry: None,
    seal_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(companion, "SEAL_SECONDS", 0.01)
    with companion.at_work():
        recovers(lambda: seals() and not sealing.backlog())
        with writing() as connection:
            add(connection, "team_hint", cause="", named="Norte", text="Ask Lee", **WHO)
        recovers(lambda: not sealing.backlog())
    kept = [json.loads(line)["number"] for line in seal_file.read_text().splitlines()]
    assert kept[-1] == sealing.verify(known()).newest.number
    assert kept == sorted(set(kept))


def test_a_backlog_is_sealed_a_little_at_a_time(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that pages are answered meanwhile."""
    monkeypatch.setattr(chain, "ROWS", 1)
    monkeypatch.setattr(companion, "SEALING_SECONDS", 0)
    with writing() as connection:
        for _ in range(2):
            add(connection, "access_event", kind="export", **WHO)
    sealer, goes_on = Sealer(), Event()
    assert companion._seal(sealer, goes_on)
    assert len(seals()) == 1
    companion._seal(sealer, goes_on)
    assert sealing.backlog() == 0
    assert not companion._seal(sealer, goes_on)


@pytest.mark.parametrize("error", [ZeroDivisionError, DatabaseUnavailable])
def test_the_server_outlives_a_failure(
    sqlite_database: Database,
    in_a_hurry: None,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    tried, asked = Event(), []

    def fails(_sealer: Sealer) -> None:
        tried.set()
        raise error

    monkeypatch.setattr(Sealer, "look", fails)
    monkeypatch.setattr(problems, "catch_up", lambda: asked.append(tried.is_set()))
    with capture_logs() as logs, companion.at_work():
        recovers(lambda: any(asked))
    assert [one["event"] for one in logs] == ["sealing failed"] * (error is ZeroDivisionError)
