"""A small world that tests know by heart: thirteen stories, told once for each entity.

Written with plain SQL, as the TMS and its sync jobs would. Days count back from today, since the
lists look at the past month; the same day always gives the same world.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from uuid import NAMESPACE_OID, uuid5

from sqlalchemy import Connection, text

from synchist.db.types import moment_text
from synchist.entities import ENTITIES, Entity
from synchist.filters import today
from synchist.settings import settings

NOT_MAPPED = "Business Validation Error: the customer or vendor is not mapped to this company"
EXPIRED = "401 Unauthorized: the connection to the accounting system has expired"
HOSTILE = '=HYPERLINK("x")<script>alert(1)</script> \'; DROP TABLE invoice; --'


@dataclass(frozen=True)
class Attempt:
    """What a sync job found, so many days ago."""

    days: int
    status: int
    error: str | None = None
    code: str | None = None
    synced: int | None = None
    reference: str | None = None


@dataclass(frozen=True)
class Story:
    """The life of one record. `moved` is a status change after the attempts: to, and why."""

    amount: int
    attempts: tuple[Attempt, ...] = ()
    moved: tuple[int, str | None] | None = None
    currency: str = "USD"
    tms_status: str = "Approved"
    number: str | None = None
    created: int = 90


STORIES = {
    "failed": Story(123_450, (Attempt(3, 2, NOT_MAPPED, "6000"),)),
    "failed_twice": Story(80_000, (Attempt(5, 2, NOT_MAPPED, "6000"),) * 2),
    "failed_expired": Story(45_075, (Attempt(6, 2, EXPIRED, "401"),), currency="CAD"),
    "failed_old": Story(70_000, (Attempt(70, 2, NOT_MAPPED, "6000"),)),
    "failed_hostile": Story(66_600, (Attempt(4, 2, HOSTILE, None),), number="100%_OFF"),
    "complete": Story(210_000, (Attempt(8, 1, synced=210_000, reference="QB-5001"),)),
    "complete_cad": Story(
        99_999, (Attempt(9, 1, synced=99_999, reference="XR-7001"),), currency="CAD"
    ),
    "partial": Story(150_000, (Attempt(7, 1, synced=135_000, reference="QB-5002"),)),
    "recovered": Story(
        50_000,
        (Attempt(12, 2, NOT_MAPPED, "6000"), Attempt(2, 1, synced=50_000, reference="QB-5003")),
    ),
    "closed": Story(31_000, (Attempt(10, 2, NOT_MAPPED, "6000"),), moved=(1, "will_not_sync")),
    "pending": Story(42_000, created=1),
    "pending_again": Story(57_500, (Attempt(11, 2, EXPIRED, "401"),), moved=(0, None)),
    "pending_draft": Story(22_000, currency="CAD", tms_status="Draft", created=1),
}

_PREFIX = {"invoice": "INV", "invoice_payment": "RCP", "bill": "BIL", "bill_payment": "PAY"}

ORGANIZATIONS = {
    # name: its role
    "Bluebird Foods": "is_payer",
    "100% Fresh_Produce": "is_payer",
    "Lone Pine Trucking": "is_vendor",
    "Delta Vans": "is_vendor",
    "Harbor Point Chicago": "is_billing",
    "Harbor Point Toronto": "is_billing",
}


@dataclass(frozen=True)
class World:
    """Ids by meaningful names: `world.invoice["failed"]`, `world.connection["QuickBooks US"]`."""

    organization: dict[str, int]
    connection: dict[str, int]
    invoice: dict[str, int]
    invoice_payment: dict[str, int]
    bill: dict[str, int]
    bill_payment: dict[str, int]

    def records(self, entity: str) -> dict[str, int]:
        """The ids of one entity's records by the name of their story."""
        found: dict[str, int] = getattr(self, entity)
        return found


def noon(days: int) -> datetime:
    """Noon of the business day so many days ago, in UTC."""
    day = today() - timedelta(days=days)
    return datetime.combine(day, time(12), settings().zone).astimezone(UTC)


def _insert(connection: Connection, table: str, **values: object) -> int:
    places = ", ".join(f":{name}" for name in values)
    statement = text(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places}) RETURNING id")
    return int(connection.execute(statement, values).scalar_one())


def build(connection: Connection) -> World:
    """Write the world into an empty database."""
    organizations = {
        name: _insert(connection, "organization", tms_id=f"ORG-{number}", name=name, **{role: True})
        for number, (name, role) in enumerate(ORGANIZATIONS.items(), start=1)
    }
    connections = {
        "QuickBooks US": _insert(
            connection,
            "connection",
            name="QuickBooks US",
            system="QuickBooks Online",
            company="Harbor Point US",
            state="authorized",
            token_expires_at=moment_text(noon(-60)),
            last_success_at=moment_text(noon(2)),
        ),
        "Xero Canada": _insert(
            connection,
            "connection",
            name="Xero Canada",
            system="Xero",
            company="Harbor Point Canada",
            state="expired",
            token_expires_at=moment_text(noon(7)),
            last_success_at=moment_text(noon(9)),
        ),
    }
    records: dict[str, dict[str, int]] = {}
    for entity in ENTITIES:
        parties = [
            organizations[name]
            for name, role in ORGANIZATIONS.items()
            if role == entity.party_role.name
        ]
        records[entity.key] = {}
        for position, (name, story) in enumerate(STORIES.items(), start=1):
            canadian = story.currency == "CAD"
            record = _insert(
                connection,
                entity.key,
                tms_id=f"{_PREFIX[entity.key]}-T{position}",
                number=story.number or f"{_PREFIX[entity.key]}-{2000 + position}",
                party_id=parties[position % 2],
                billing_organization_id=organizations[
                    "Harbor Point Toronto" if canadian else "Harbor Point Chicago"
                ],
                connection_id=connections["Xero Canada" if canadian else "QuickBooks US"],
                currency=story.currency,
                amount=story.amount,
                tms_status=story.tms_status,
                accounting_date=(today() - timedelta(days=story.created)).isoformat(),
                created_at=moment_text(noon(story.created)),
                **_own_columns(entity, position),
            )
            records[entity.key][name] = record
            _attempt(connection, entity, record, story)
            _move(connection, entity, record, story)
            if entity.charge_lines is not None:
                _charge(connection, entity, record, story)
    for payment, document in (("invoice_payment", "invoice"), ("bill_payment", "bill")):
        for name, story in STORIES.items():
            _insert(
                connection,
                f"{payment}_application",
                **{
                    f"{payment}_id": records[payment][name],
                    f"{document}_id": records[document][name],
                },
                amount=story.amount,
            )
    return World(organizations, connections, **records)


def _own_columns(entity: Entity, position: int) -> dict[str, object]:
    if entity.charge_lines is None:
        return {"method": "Check", "check_number": f"CHK-{500 + position}"}
    return {"shipment_id": f"SHP-{9000 + position}", "pro_number": f"PRO{77000 + position}"}


def _attempt(connection: Connection, entity: Entity, record: int, story: Story) -> None:
    """The attempts of a story, an hour apart where they share a day."""
    for hours, attempt in enumerate(story.attempts):
        connection.execute(
            text(
                f"UPDATE {entity.key} SET sync_status = :status, sync_at = :at,"
                " sync_error = :error, sync_error_code = :code, synced_amount = :synced,"
                " sync_reference = :reference WHERE id = :id"
            ),
            {
                "id": record,
                "status": attempt.status,
                "at": moment_text(noon(attempt.days) + timedelta(hours=hours)),
                "error": attempt.error,
                "code": attempt.code,
                "synced": attempt.synced,
                "reference": attempt.reference,
            },
        )


def _move(connection: Connection, entity: Entity, record: int, story: Story) -> None:
    """The status change of a person, as the product writes it."""
    if story.moved is None:
        return
    status, reason = story.moved
    values = {
        "id": str(uuid5(NAMESPACE_OID, f"{entity.key} {record}")),
        "at": moment_text(noon(1)),
        "status": status,
        "reason": reason,
        "entity": entity.key,
        "record": record,
        "seen": 1 + len(story.attempts),
    }
    for statement in (
        "INSERT INTO operation (id, at, actor, action, to_status, reason, digest, requested)"
        " VALUES (:id, :at, 'Ada Analyst', 'change_status', :status, :reason, '', 1)",
        f"UPDATE {entity.key} SET sync_status = :status, closed_reason = :reason,"
        " last_operation_id = :id WHERE id = :record",
        "INSERT INTO operation_item (operation_id, entity, record_id, version_seen, outcome)"
        " VALUES (:id, :entity, :record, :seen, 'applied')",
    ):
        connection.execute(text(statement), values)


def _charge(connection: Connection, entity: Entity, record: int, story: Story) -> None:
    """Two charge lines, and what the books hold of them: in `partial` the fuel is missing."""
    synced = story.attempts[-1].synced if story.attempts else None
    amounts = {"Linehaul": story.amount - 15_000, "Fuel surcharge": 15_000}
    for position, (description, amount) in enumerate(amounts.items(), start=1):
        line = _insert(
            connection,
            "charge_line",
            **{f"{entity.key}_id": record},
            position=position,
            description=description,
            amount=amount,
        )
        if synced is not None:
            missing = synced != story.amount and description == "Fuel surcharge"
            _insert(
                connection,
                "attempt_line",
                charge_line_id=line,
                sync_at=moment_text(noon(story.attempts[-1].days)),
                amount=0 if missing else amount,
            )
