"""Why a Pending record does not move: each reason in turn, and which of several is told."""

from collections.abc import Mapping
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from synchist import queries
from synchist.accounts import Principal
from synchist.db.engine import reading, writing
from synchist.db.types import moment_text, utc_now
from synchist.entities import BILL_PAYMENTS, BY_KEY, ENTITIES, INVOICE_PAYMENTS, Entity
from synchist.filters import Filters
from synchist.settings import settings
from synchist.status_changes import Change, change_status
from synchist.statuses import TMS_STATUSES, SyncStatus
from tests.conftest import Database, owned

PENDING = SyncStatus.PENDING
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
every_entity = pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)
every_payment = pytest.mark.parametrize(
    "entity", [INVOICE_PAYMENTS, BILL_PAYMENTS], ids=lambda entity: entity.key
)

NO_CONNECTION = "No connection to an accounting system"
DOWN = "The connection is down"
DOCUMENTS = {"invoice_payment": "invoice", "bill_payment": "bill"}
FORGOTTEN = "No sync job has picked it up"
NEXT = "Waits for the next sync job"
SYNCABLE = {
    "invoice": "Created, Ready or Approved",
    "invoice_payment": "Created, Ready or Approved",
    "bill": "Approved",
    "bill_payment": "Approved",
}

CONNECTIONS: Mapping[str | None, tuple[str, timedelta | None]] = {
    # its state, and when its token ends
    "works": ("authorized", DAY),
    "end unknown": ("authorized", None),
    "expired": ("expired", DAY),
    "revoked": ("revoked", None),
    "token ended": ("authorized", -MINUTE),
}


def tms(entity: Entity) -> str:
    return f"TMS status must be {SYNCABLE[entity.key]}"


def blocked(entity: Entity) -> str:
    return f"Its {DOCUMENTS[entity.key]} is not Complete"


def insert(table: str, **values: object) -> int:
    places = ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) RETURNING id"
    with owned(), writing() as connection:
        return int(connection.execute(text(statement), values).scalar_one())


@pytest.fixture
def ids(database: Database) -> dict[str | None, int | None]:
    """Ids of the connections by name; None for no connection."""
    found: dict[str | None, int | None] = {None: None}
    for name, (state, ends) in CONNECTIONS.items():
        found[name] = insert(
            "connection",
            name=name,
            system="xero",
            company="Us",
            state=state,
            token_expires_at=None if ends is None else moment_text(utc_now() + ends),
        )
    insert("organization", tms_id="P", name="P")
    return found


def add(
    entity: Entity,
    number: str,
    connection_id: int | None,
    tms_status: str = "Approved",
    age: timedelta = HOUR,
) -> int:
    """A record that the TMS hands over, created so long ago; no job has tried it."""
    return insert(
        entity.key,
        tms_id=number,
        number=number,
        party_id=1,
        billing_organization_id=1,
        connection_id=connection_id,
        currency="USD",
        amount=100,
        tms_status=tms_status,
        created_at=moment_text(utc_now() - age),
    )


def waits(entity: Entity) -> dict[str, str]:
    """What the list of Pending records says, by number."""
    with reading() as connection:
        frame = queries.load(connection, entity, Filters(PENDING))
    return dict(zip(frame["number"], frame["waits"], strict=True))


@every_entity
def test_every_reason_can_be_chosen(entity: Entity) -> None:
    waits_for = (blocked(entity),) if entity.key in DOCUMENTS else ()
    assert entity.waiting == (tms(entity), NO_CONNECTION, DOWN, *waits_for, FORGOTTEN, NEXT)


@every_entity
def test_the_tms_status(ids: dict[str | None, int | None], entity: Entity) -> None:
    for status in (*TMS_STATUSES, "Unheard of", "approved"):
        add(entity, status, ids["works"], status)
    ready = SYNCABLE[entity.key].replace(" or ", ", ").split(", ")
    assert waits(entity) == {
        status: NEXT if status in ready else tms(entity)
        for status in (*TMS_STATUSES, "Unheard of", "approved")
    }


@every_entity
def test_the_connection(ids: dict[str | None, int | None], entity: Entity) -> None:
    for name, identity in ids.items():
        add(entity, name or "none", identity)
    assert waits(entity) == {
        "none": NO_CONNECTION,
        "works": NEXT,
        "end unknown": NEXT,
        "expired": DOWN,
        "revoked": DOWN,
        "token ended": DOWN,
    }


@every_entity
def test_the_age(
    ids: dict[str | None, int | None], monkeypatch: pytest.MonkeyPatch, entity: Entity
) -> None:
    """By default a day; the setting counts from the next look on."""
    for hours in (2, 24, 48):
        add(entity, f"within {hours}", ids["works"], age=hours * HOUR - MINUTE)
        add(entity, f"beyond {hours}", ids["works"], age=hours * HOUR + MINUTE)

    def forgotten() -> set[str]:
        found = waits(entity)
        assert set(found.values()) <= {NEXT, FORGOTTEN}
        return {number for number, reason in found.items() if reason == FORGOTTEN}

    assert forgotten() == {"beyond 24", "within 48", "beyond 48"}
    monkeypatch.setenv("SYNCHIST_PENDING_HOURS", "2")
    settings.cache_clear()
    assert forgotten() == {"beyond 2", "within 24", "beyond 24", "within 48", "beyond 48"}
    monkeypatch.setenv("SYNCHIST_PENDING_HOURS", "48")
    settings.cache_clear()
    assert forgotten() == {"beyond 48"}


@every_entity
def test_of_several_reasons_the_first_is_told(
    ids: dict[str | None, int | None], entity: Entity
) -> None:
    """What the TMS says before the connection, and that before the age."""
    month = 30 * DAY
    for name, identity in ids.items():
        add(entity, f"Draft, {name}", identity, "Draft", age=month)
        add(entity, f"Approved, {name}", identity, age=month)
    assert waits(entity) == {
        **{f"Draft, {name}": tms(entity) for name in ids},
        "Approved, None": NO_CONNECTION,
        "Approved, works": FORGOTTEN,
        "Approved, end unknown": FORGOTTEN,
        "Approved, expired": DOWN,
        "Approved, revoked": DOWN,
        "Approved, token ended": DOWN,
    }


def paid(payment: Entity, record: int, number: str, age: timedelta = HOUR) -> int:
    """A document that a payment pays."""
    document = DOCUMENTS[payment.key]
    key = add(BY_KEY[document], number, None, age=age)
    insert(
        f"{payment.key}_application",
        **{f"{payment.key}_id": record, f"{document}_id": key},
        amount=100,
    )
    return key


@every_payment
def test_a_payment_waits_for_its_document(
    ids: dict[str | None, int | None], entity: Entity
) -> None:
    """Told after what is wrong with the payment itself, and before that it was forgotten."""
    document = DOCUMENTS[entity.key]
    free = paid(entity, add(entity, "free", ids["works"]), "D-1")
    partly = add(entity, "partly", ids["works"], age=30 * DAY)
    done = paid(entity, partly, "D-2")
    paid(entity, partly, "D-3")
    paid(entity, add(entity, "down", ids["revoked"]), "D-4")
    paid(entity, add(entity, "draft", ids["works"], "Draft"), "D-5")
    add(entity, "pays nothing", ids["works"])
    with writing() as connection:
        for key in (free, done):
            connection.execute(text(f"UPDATE {document} SET sync_status = 1 WHERE id = {key}"))
    assert waits(entity) == {
        "free": NEXT,
        "partly": blocked(entity),
        "down": DOWN,
        "draft": tms(entity),
        "pays nothing": NEXT,
    }
    with writing() as connection:
        connection.execute(text(f"UPDATE {document} SET sync_status = 1"))
    assert waits(entity)["partly"] == FORGOTTEN


@every_entity
def test_an_attempt_a_moment_ago(ids: dict[str | None, int | None], entity: Entity) -> None:
    """A job that left it Pending has picked it up."""
    add(entity, "tried", ids["works"], age=30 * DAY)
    assert waits(entity) == {"tried": FORGOTTEN}
    with writing() as connection:
        connection.execute(
            text(f"UPDATE {entity.key} SET sync_at = :now, sync_error = 'Busy, come back later'"),
            {"now": moment_text(utc_now())},
        )
    assert waits(entity) == {"tried": NEXT}


@every_entity
def test_a_record_that_the_tms_has_just_let_go(
    ids: dict[str | None, int | None], entity: Entity
) -> None:
    """Nobody could have picked up a draft, however old it is."""
    add(entity, "draft", ids["works"], "Draft", age=30 * DAY)
    with writing() as connection:
        connection.execute(text(f"UPDATE {entity.key} SET tms_status = 'Approved'"))
    assert waits(entity) == {"draft": NEXT}


@every_entity
def test_a_record_pushed_back_waits_for_the_next_job(
    ids: dict[str | None, int | None], analyst: Principal, entity: Entity
) -> None:
    """However old it is: since a moment ago it is Pending."""
    key = add(entity, "pushed back", ids["works"], age=30 * DAY)
    with writing() as connection:
        connection.execute(
            text(f"UPDATE {entity.key} SET sync_status = 2, sync_at = :at, sync_error = 'No'"),
            {"at": moment_text(utc_now() - 20 * DAY)},
        )
    assert waits(entity) == {}
    selection = {entity.key: {key: 2}}
    change_status(analyst, str(uuid4()), selection, Change(PENDING, accepted=selection))
    assert waits(entity) == {"pushed back": NEXT}


def test_an_authorization_is_told_as_it_is_now(ids: dict[str | None, int | None]) -> None:
    """Signed in again, the records of the connection move on."""
    entity = ENTITIES[0]
    add(entity, "one", ids["token ended"])
    assert waits(entity) == {"one": DOWN}
    with owned(), writing() as connection:
        connection.execute(
            text("UPDATE connection SET token_expires_at = :at"),
            {"at": moment_text(utc_now() + DAY)},
        )
    assert waits(entity) == {"one": NEXT}
