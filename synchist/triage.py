"""Who looks after a record, and a short note about it: the team's own, of no concern to a sync.

They stand in a table of their own with events of their own, so that neither a sync job nor an
operation on the sync status meets them, and the record's version stays as it is.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from synchist.accounts import Actor, Principal, acting, holders
from synchist.db.engine import among, dialect_insert
from synchist.db.tables import account, triage, triage_event
from synchist.db.types import utc_now
from synchist.entities import PEOPLE, Entity
from synchist.errors import SynchistError
from synchist.roles import Role
from synchist.settings import settings

LONGEST_NOTE = 200
MOST_SAID = 3
"""Conflicts that one sentence tells in full."""


class InvalidTriage(SynchistError):
    """Owner or note can't be what was asked for; the text says why."""


@dataclass(frozen=True)
class Edit:
    """What somebody wants to be said of a record from now on: its owner's login (None: nobody) and
    the note (None: as it is). `seen` is the version that was on the screen, 0 where nobody had said
    anything yet."""

    seen: int
    owner: str | None
    note: str | None = None


@dataclass(frozen=True)
class Told:
    """What the team says about a record: `version` counts how often it was changed; `owner` is a
    label, `login` that account's, both None where it is nobody's."""

    version: int = 0
    owner: str | None = None
    login: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Event:
    """One change of owner or note: when (UTC), by whom, and what is said since."""

    at: datetime
    who: str
    owner: str | None
    note: str


@dataclass(frozen=True)
class Conflict:
    """A record left alone, since it was changed after it was seen: what it is called, and that
    change."""

    record: str
    change: Event

    @property
    def sentence(self) -> str:
        """Who has changed it, to what."""
        owner = f"owner {self.change.owner}" if self.change.owner else "nobody’s"
        note = f", note “{self.change.note}”" if self.change.note else ""
        return f"{self.record} was changed meanwhile by {self.change.who}: {owner}{note}."


class ChangedMeanwhile(SynchistError):
    """Records were left alone, since others have changed their owner or note."""

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        sentences = [conflict.sentence for conflict in conflicts[:MOST_SAID]]
        if more := len(conflicts) - MOST_SAID:
            sentences += [f"So were {more:,} more."] if more > 0 else []
        super().__init__(" ".join([*sentences, "Change it again if that is not right."]))


@dataclass(frozen=True)
class Assigned:
    """What became of an edit: the version of each record that now is as asked for, and the records
    that were left alone."""

    versions: Mapping[int, int]
    conflicts: tuple[Conflict, ...]

    def check(self) -> None:
        """Raises ChangedMeanwhile where records were left alone."""
        if self.conflicts:
            raise ChangedMeanwhile(self.conflicts)


@dataclass(frozen=True)
class Person:
    """An account as a list of owners shows it; `may_own` says whether it can be chosen."""

    login: str
    label: str
    may_own: bool


# ---------------------------------------------------------------- reading


def people(connection: Connection) -> list[Person]:
    """Everybody who may own a record, or owns one still, by label."""
    may = holders(connection, Role.ACCOUNTING_SYNC)
    of = PEOPLE.c
    owns = select(triage.c.record_id).where(triage.c.owner_id == of.id).exists()
    rows = connection.execute(
        select(of.id, of.login, of.label).where(or_(of.id.in_(may), owns)).order_by(of.label)
    )
    return [Person(login, label, key in may) for key, login, label in rows]


def told(connection: Connection, entity: Entity, ids: Collection[int]) -> dict[int, Told]:
    """What is said about records; those that nobody has said anything about are left out."""
    of = triage.c
    rows = connection.execute(
        select(of.record_id, of.version, PEOPLE.c.label, PEOPLE.c.login, of.note)
        .outerjoin(PEOPLE, PEOPLE.c.id == of.owner_id)
        .where(of.entity == entity.key, of.record_id.in_(among(connection, list(ids))))
    )
    return {record: Told(*values) for record, *values in rows}


def events(connection: Connection, entity: Entity, record_id: int) -> list[Event]:
    """Every change of a record's owner and note, newest first."""
    of = triage_event.c
    rows = connection.execute(
        select(of.at, of.actor, of.owner, of.note)
        .where(of.entity == entity.key, of.record_id == record_id)
        .order_by(of.version.desc())
    )
    return [Event(*row) for row in rows]


# ---------------------------------------------------------------- the operation


def assign(principal: Principal, entity: Entity, edits: Mapping[int, Edit]) -> Assigned:
    """Set owner and note of records, by id, in one transaction.

    A record whose owner or note has changed since it was seen is a conflict and stays as it is, all
    others are done; what is as asked for already is not written. An owner who is kept may be
    anybody, a new one must be able to look at the record.

    Raises InvalidTriage, NotSignedIn, NotAllowed, DatabaseUnavailable; then nothing is changed.
    """
    if len(edits) > (most := settings().max_records_per_operation):
        raise InvalidTriage(f"Choose at most {most:,} records at a time; {len(edits):,} are.")
    for edit in edits.values():
        _check((edit.note or "").strip())
    with acting(principal, Role.ACCOUNTING_SYNC, f"own {entity.plural}") as (connection, actor):
        held = _locked(connection, entity, edits)
        due = {
            record: replace(held[record], login=edit.owner, note=_note(edit, held[record]))
            for record, edit in edits.items()
        }
        due = {record: said for record, said in due.items() if said != held[record]}
        seen = {record for record in due if edits[record].seen == held[record].version}
        owners = _owners(connection, {record: due[record] for record in seen}, held)
        done = _write(connection, entity, actor, {record: due[record] for record in seen}, owners)
        untouched = due.keys() - done
        return Assigned(
            {
                record: held[record].version + (record in done)
                for record in edits.keys() - untouched
            },
            _conflicts(connection, entity, untouched),
        )


def _check(note: str) -> None:
    if len(note) > LONGEST_NOTE or not note.isprintable():
        raise InvalidTriage(
            f"A note is one line of at most {LONGEST_NOTE} characters. Shorten it; what is longer"
            " belongs to the note of a change of status."
        )


def _note(edit: Edit, held: Told) -> str:
    return held.note if edit.note is None else edit.note.strip()


def _locked(connection: Connection, entity: Entity, ids: Collection[int]) -> dict[int, Told]:
    """What is said about each record, held until the transaction ends. SQLite ignores FOR UPDATE:
    there the transaction holds the only write lock. In the order of ids, so that two operations
    never wait for each other in a circle."""
    of = triage.c
    there = connection.scalars(
        select(of.record_id)
        .where(of.entity == entity.key, of.record_id.in_(among(connection, list(ids))))
        .order_by(of.record_id)
        .with_for_update()
    ).all()
    held = told(connection, entity, there)
    return {record: held.get(record, Told()) for record in ids}


def _owners(
    connection: Connection, due: Mapping[int, Told], held: Mapping[int, Told]
) -> dict[str | None, tuple[int, str] | tuple[None, None]]:
    """Id and name of each owner by login. Raises InvalidTriage where a new one may not own."""
    logins = {said.login for said in due.values() if said.login}
    of, may = account.c, holders(connection, Role.ACCOUNTING_SYNC)
    rows = connection.execute(select(of.login, of.id, of.name).where(of.login.in_(logins)))
    found = {login: (key, name) for login, key, name in rows}
    for login in {said.login for record, said in due.items() if said.login != held[record].login}:
        if login and (login not in found or found[login][0] not in may):
            name = found[login][1] if login in found else login[:40]
            raise InvalidTriage(
                f"{name} can’t look at the records: choose somebody with the role"
                f" {Role.ACCOUNTING_SYNC}."
            )
    return {None: (None, None), **found}


def _write(
    connection: Connection,
    entity: Entity,
    actor: Actor,
    due: Mapping[int, Told],
    owners: Mapping[str | None, tuple[int, str] | tuple[None, None]],
) -> set[int]:
    """Write what is due, with an event each; the records for which nobody else was first."""
    rows = {
        record: {
            "entity": entity.key,
            "record_id": record,
            "owner_id": owners[said.login][0],
            "note": said.note,
            "version": said.version + 1,
        }
        for record, said in sorted(due.items())
    }
    new = [record for record in rows if due[record].version == 0]
    done = rows.keys() - new
    if new:
        _must_exist(connection, entity, new)
        first = dialect_insert(connection, triage).on_conflict_do_nothing()
        of = triage.c
        done |= set(
            connection.scalars(first.returning(of.record_id), [rows[record] for record in new])
        )
    if changed := [rows[record] for record in rows.keys() - new]:
        connection.execute(_UPDATE, [{f"new_{name}": row[name] for name in row} for row in changed])
    if done:
        who = {"at": utc_now(), "actor_id": actor.id, "actor": actor.name}
        said = [{**rows[key], "owner": owners[due[key].login][1], **who} for key in sorted(done)]
        connection.execute(insert(triage_event), said)
    return done


_UPDATE = (
    update(triage)
    .where(
        triage.c.entity == bindparam("new_entity"), triage.c.record_id == bindparam("new_record_id")
    )
    .values({name: bindparam(f"new_{name}") for name in ("owner_id", "note", "version")})
)


def _must_exist(connection: Connection, entity: Entity, ids: Collection[int]) -> None:
    of = entity.table.c
    there = select(func.count()).where(of.id.in_(among(connection, list(ids))))
    if connection.scalar(there) != len(ids):
        raise InvalidTriage(f"Some of these {entity.plural} are not there. Reload the page.")


def _conflicts(
    connection: Connection, entity: Entity, ids: Collection[int]
) -> tuple[Conflict, ...]:
    """The last change of each, in the order of their ids."""
    if not ids:
        return ()
    of, last, record = triage_event.c, triage.c, entity.table.c
    rows = connection.execute(
        select(record.number, of.at, of.actor, of.owner, of.note)
        .join(triage, and_(last.entity == entity.key, last.record_id == record.id))
        .join(
            triage_event,
            and_(
                of.entity == last.entity,
                of.record_id == last.record_id,
                of.version == last.version,
            ),
        )
        .where(record.id.in_(among(connection, list(ids))))
        .order_by(record.id)
    )
    called = entity.singular.capitalize()
    return tuple(Conflict(f"{called} {number}", Event(*change)) for number, *change in rows)
