"""What must hold in every database at any time; checked after every test that wrote to one.

Plain SQL that both databases understand, so that nothing of the product's own code is trusted
here, except the list of the triggers that should stand.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from synchist.db.tables import ENTITY_TABLES, SYNC_COLUMNS, TRACKED
from synchist.db.triggers import broken_triggers

EVIDENCE = ("sync_reference", "synced_amount")
"""What a status change may set beside the status and the reason, where it closes a record."""

RESTORED = ("sync_status", *EVIDENCE, "sync_error", "closed_reason")
"""What a status change may set (an error only where there was none and the record is Failed now),
and what an undo sets back."""

_UNTOUCHED = [column for column in TRACKED if column not in RESTORED]

_OF_THE_TMS = [column for column in TRACKED if column not in SYNC_COLUMNS]
"""What a load's operation may not set: it tells of attempts made elsewhere."""


_TELLS_WHY = """e.kind <> 'tms' AND (e.sync_status = 2
    OR e.kind = 'attempt' AND e.sync_status = 0 AND coalesce(length(e.sync_error), 0) > 0)"""
"""Whether an event says why a push failed."""

_OF_THE_EVENT = "d.entity = e.entity AND d.record_id = e.record_id AND d.version = e.version"


def _differ(left: str, right: str, columns: Iterable[str]) -> str:
    return " OR ".join(f"{left}.{name} IS DISTINCT FROM {right}.{name}" for name in columns)


def _of_records(name: str) -> Iterator[tuple[str, str]]:
    """What would be wrong with a record of this entity, and a SELECT of the ids where it is."""
    yield (
        "its version is not the number of its events",
        f"""SELECT r.id FROM {name} r
            LEFT JOIN sync_event e ON e.entity = '{name}' AND e.record_id = r.id
            GROUP BY r.id, r.version
            HAVING r.version <> count(e.id) OR r.version <> coalesce(max(e.version), 0)""",
    )
    yield (
        "replaying its events does not give the row",
        f"""SELECT r.id FROM {name} r
            LEFT JOIN sync_event e
                ON e.entity = '{name}' AND e.record_id = r.id AND e.version = r.version
            WHERE e.id IS NULL OR {_differ("r", "e", [*TRACKED, "outcome_at"])}""",
    )
    yield (
        "it has events but is not there",
        f"""SELECT DISTINCT e.record_id FROM sync_event e WHERE e.entity = '{name}'
            AND NOT EXISTS (SELECT 1 FROM {name} r WHERE r.id = e.record_id)""",
    )
    yield (
        "it is failed and nobody will say why",
        f"SELECT r.id FROM {name} r WHERE r.sync_status = 2 AND r.problem_id IS NULL",
    )
    yield (
        "one of its failures is neither diagnosed nor marked",
        f"""SELECT r.id FROM {name} r
            JOIN sync_event e ON e.entity = '{name}' AND e.record_id = r.id
            LEFT JOIN diagnosis d ON {_OF_THE_EVENT}
            WHERE ({_TELLS_WHY}) AND d.version IS NULL AND r.problem_id IS DISTINCT FROM 0""",
    )
    yield (
        "its problem is not the one of its latest diagnosis",
        f"""SELECT r.id FROM {name} r WHERE r.problem_id <> 0
            AND r.problem_id IS DISTINCT FROM (SELECT d.problem_id FROM diagnosis d
                WHERE d.entity = '{name}' AND d.record_id = r.id
                ORDER BY d.version DESC LIMIT 1)""",
    )
    yield (
        "it shows no error and still has a problem",
        f"""SELECT r.id FROM {name} r WHERE r.problem_id <> 0
            AND (r.sync_status = 1 OR coalesce(r.sync_error, '') = '')""",
    )


_OF_EVENTS = (
    (
        "an event other than the first is called created, or the first is not",
        "SELECT e.entity, e.record_id FROM sync_event e WHERE (e.version = 1)"
        " <> (e.kind = 'created')",
    ),
    (
        "it was closed for a reason without being Complete",
        "SELECT e.entity, e.record_id FROM sync_event e"
        " WHERE e.closed_reason IS NOT NULL AND e.sync_status <> 1",
    ),
    (
        "an attempt does not carry its own time",
        "SELECT e.entity, e.record_id FROM sync_event e WHERE e.kind = 'attempt'"
        " AND (e.at IS DISTINCT FROM e.sync_at OR e.outcome_at IS DISTINCT FROM e.sync_at)",
    ),
    (
        "a status change touched more than it may",
        f"""SELECT e.entity, e.record_id FROM sync_event e JOIN sync_event b
            ON b.entity = e.entity AND b.record_id = e.record_id AND b.version = e.version - 1
            LEFT JOIN operation o ON o.id = e.operation_id
            WHERE e.kind = 'operation' AND coalesce(o.action, '') NOT IN ('load', 'undo')
                AND ({_differ("e", "b", _UNTOUCHED)}
                OR (e.sync_status <> 1 AND ({_differ("e", "b", EVIDENCE)}))
                OR (e.sync_error IS DISTINCT FROM b.sync_error
                    AND (coalesce(length(b.sync_error), 0) > 0 OR e.sync_status <> 2)))""",
    ),
    (
        "an undo took back something else than its operation's change",
        """SELECT e.entity, e.record_id FROM sync_event e
            JOIN operation o ON o.id = e.operation_id
            LEFT JOIN sync_event b ON b.entity = e.entity AND b.record_id = e.record_id
                AND b.version = e.version - 1
            LEFT JOIN operation_item i ON i.operation_id = o.undoes AND i.entity = e.entity
                AND i.record_id = e.record_id AND i.outcome = 'applied'
                AND i.version_seen = e.version - 2
            WHERE e.kind = 'operation' AND o.action = 'undo'
                AND (i.record_id IS NULL OR b.kind IS DISTINCT FROM 'operation'
                OR b.operation_id IS DISTINCT FROM o.undoes)""",
    ),
    (
        "an undo did not restore what was before",
        f"""SELECT e.entity, e.record_id FROM sync_event e
            JOIN operation o ON o.id = e.operation_id
            LEFT JOIN sync_event p ON p.entity = e.entity AND p.record_id = e.record_id
                AND p.version = e.version - 2
            WHERE e.kind = 'operation' AND o.action = 'undo'
                AND (p.id IS NULL OR {_differ("e", "p", RESTORED)})""",
    ),
    (
        "an undo touched more than it may",
        f"""SELECT e.entity, e.record_id FROM sync_event e
            JOIN operation o ON o.id = e.operation_id
            JOIN sync_event b ON b.entity = e.entity AND b.record_id = e.record_id
                AND b.version = e.version - 1
            WHERE e.kind = 'operation' AND o.action = 'undo'
                AND ({_differ("e", "b", _UNTOUCHED)})""",
    ),
    (
        "an operation changed it, though it says that it left it alone",
        """SELECT i.entity, i.record_id FROM operation_item i
            JOIN sync_event e ON e.operation_id = i.operation_id AND e.entity = i.entity
                AND e.record_id = i.record_id AND e.kind = 'operation'
            WHERE i.outcome <> 'applied'""",
    ),
    (
        "a load touched more than the sync columns",
        f"""SELECT e.entity, e.record_id FROM sync_event e JOIN sync_event b
            ON b.entity = e.entity AND b.record_id = e.record_id AND b.version = e.version - 1
            JOIN operation o ON o.id = e.operation_id
            WHERE e.kind = 'operation' AND o.action = 'load' AND (e.closed_reason IS NOT NULL
                OR {_differ("e", "b", _OF_THE_TMS)})""",
    ),
    (
        "an operation was applied to it more than once",
        """SELECT e.entity, e.record_id FROM sync_event e WHERE e.kind = 'operation'
            GROUP BY e.operation_id, e.entity, e.record_id HAVING count(*) > 1""",
    ),
    (
        "an operation changed it without saying so",
        """SELECT e.entity, e.record_id FROM sync_event e WHERE e.kind = 'operation'
            AND NOT EXISTS (SELECT 1 FROM operation_item i WHERE i.operation_id = e.operation_id
                AND i.entity = e.entity AND i.record_id = e.record_id AND i.outcome = 'applied')""",
    ),
    (
        "an operation says that it changed it, but did not",
        """SELECT i.entity, i.record_id FROM operation_item i WHERE i.outcome = 'applied'
            AND NOT EXISTS (SELECT 1 FROM sync_event e WHERE e.operation_id = i.operation_id
                AND e.entity = i.entity AND e.record_id = i.record_id AND e.kind = 'operation')""",
    ),
    (
        "an operation changed another version of it than was seen",
        """SELECT e.entity, e.record_id FROM sync_event e
            JOIN operation_item i ON i.operation_id = e.operation_id AND i.entity = e.entity
                AND i.record_id = e.record_id AND i.outcome = 'applied'
            WHERE e.kind = 'operation' AND e.version <> i.version_seen + 1""",
    ),
    (
        "a diagnosis is of no event that tells why, or not of its time",
        f"""SELECT d.entity, d.record_id FROM diagnosis d LEFT JOIN sync_event e ON {_OF_THE_EVENT}
            WHERE e.id IS NULL OR NOT ({_TELLS_WHY}) OR d.at IS DISTINCT FROM e.at""",
    ),
    (
        "a diagnosis blames another connection",
        f"""SELECT d.entity, d.record_id FROM diagnosis d JOIN sync_event e ON {_OF_THE_EVENT}
            LEFT JOIN problem p ON p.id = d.problem_id
            WHERE p.id IS NULL OR p.connection_id IS DISTINCT FROM e.connection_id""",
    ),
)

_OF_TRIAGE = (
    (
        "its owner and note are not what their last event says",
        """SELECT t.entity, t.record_id FROM triage t LEFT JOIN triage_event e
            ON e.entity = t.entity AND e.record_id = t.record_id AND e.version = t.version
            WHERE e.id IS NULL OR e.owner_id IS DISTINCT FROM t.owner_id OR e.note <> t.note""",
    ),
    (
        "the events of its owner and note are not numbered up to its version",
        """SELECT e.entity, e.record_id FROM triage_event e LEFT JOIN triage t
            ON t.entity = e.entity AND t.record_id = e.record_id
            GROUP BY e.entity, e.record_id, t.version
            HAVING min(e.version) <> 1 OR max(e.version) <> count(*)
                OR t.version IS DISTINCT FROM count(*)""",
    ),
    (
        "an event of its owner and note says what was so already",
        """SELECT e.entity, e.record_id FROM triage_event e LEFT JOIN triage_event b
            ON b.entity = e.entity AND b.record_id = e.record_id AND b.version = e.version - 1
            WHERE e.owner_id IS NOT DISTINCT FROM b.owner_id AND e.note = coalesce(b.note, '')""",
    ),
    (
        "it has an owner without a name, or a name without an owner",
        """SELECT e.entity, e.record_id FROM triage_event e
            WHERE (e.owner_id IS NULL) <> (e.owner IS NULL)""",
    ),
)

_REQUESTED = """SELECT o.id FROM operation o
    LEFT JOIN operation_item i ON i.operation_id = o.id
    GROUP BY o.id, o.requested HAVING o.requested <> count(i.record_id)"""

_UNDOES = """SELECT o.id FROM operation o WHERE (o.action = 'undo') <> (o.undoes IS NOT NULL)
    OR (o.undoes IS NOT NULL AND NOT EXISTS (SELECT 1 FROM operation u WHERE u.id = o.undoes))"""


_KIND = """CASE WHEN e.sync_status = 2 THEN 'failed'
    WHEN e.sync_status = 0 AND e.sync_at IS NULL THEN 'never_attempted'
    WHEN e.sync_status = 0 THEN 'pending'
    WHEN e.closed_reason = 'will_not_sync' THEN 'will_not_sync'
    WHEN e.synced_amount <> e.amount THEN 'amount_differs' ELSE 'complete' END"""
"""What a record of a month counts as, by the event that told its state then."""

_FROZEN = """period_close_record r LEFT JOIN sync_event e ON e.entity = r.entity
    AND e.record_id = r.record_id AND e.version = r.version"""

_SUMS = "SELECT close_id, entity, kind, currency, count, amount FROM period_close_sum"
_RECOUNTED = f"""SELECT r.close_id, r.entity, {_KIND}, e.currency, count(*), sum(e.amount)
    FROM {_FROZEN} GROUP BY 1, 2, 3, 4"""

_OF_CLOSES = (
    (
        "a record that it froze was not of its month, or is called another kind than it was",
        f"""SELECT DISTINCT c.id FROM {_FROZEN} JOIN period_close c ON c.id = r.close_id
            WHERE e.id IS NULL OR e.billing_organization_id <> c.billing_organization_id
                OR e.connection_id IS DISTINCT FROM c.connection_id
                OR substr(CAST(e.accounting_date AS VARCHAR(10)), 1, 7)
                    IS DISTINCT FROM substr(CAST(c.month AS VARCHAR(10)), 1, 7)
                OR r.exception IS DISTINCT FROM
                    CASE WHEN {_KIND} NOT IN ('complete', 'will_not_sync') THEN {_KIND} END""",
    ),
    (
        "its sums are not those of the events that it froze",
        f"""SELECT a.close_id FROM ({_SUMS} EXCEPT {_RECOUNTED}) a
            UNION SELECT b.close_id FROM ({_RECOUNTED} EXCEPT {_SUMS}) b""",
    ),
    (
        "its month was signed off already, and not reopened in between",
        """SELECT c.id FROM period_close c JOIN period_close b ON b.month = c.month
            AND b.billing_organization_id = c.billing_organization_id
            AND b.connection_id IS NOT DISTINCT FROM c.connection_id
            AND b.id <> c.id AND b.at <= c.at
            LEFT JOIN period_reopen o ON o.close_id = b.id
            WHERE o.close_id IS NULL OR o.at > c.at""",
    ),
)


_CHRONICLED = {
    "operation": "r.id",
    "reconciliation": "r.id",
    "reconciliation_confirmation": "r.reconciliation_id || '/' || r.position",
    "period_close": "r.id",
    "period_reopen": "r.close_id",
}
"""Tables whose rows have no number, and the key by which the chronicle numbers them."""

_UNNAMED = """SELECT {key} FROM {table} r WHERE NOT EXISTS (SELECT 1 FROM chronicle c
    WHERE c.source = '{table}' AND c.key = {key})"""
_NAMES_NOTHING = """SELECT key FROM chronicle WHERE source = '{table}'
    AND key NOT IN (SELECT {key} FROM {table} r)"""


_OPEN_THEN = """SELECT e.entity, e.sync_status, e.currency, count(*), sum(e.amount)
    FROM sync_event e WHERE e.at <= {end} AND e.sync_status <> 1
        AND NOT EXISTS (SELECT 1 FROM sync_event l WHERE l.entity = e.entity
            AND l.record_id = e.record_id AND l.version > e.version AND l.at <= {end})
    GROUP BY e.entity, e.sync_status, e.currency"""

_GROWN = "SELECT 1 FROM sync_event e WHERE e.id > {last} AND e.at <= {end} LIMIT 1"


def _end(connection: Connection, day: date, zone: str) -> str:
    """The end of a business day as SQL."""
    end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
    offset = "+00" if connection.dialect.name == "postgresql" else ""
    return f"'{end:%Y-%m-%d %H:%M:%S.%f}{offset}'"


def _miscounted(connection: Connection) -> Iterator[str]:
    """The days whose totals are not those of the history that they were counted with."""

    def rows(statement: str) -> set[tuple[object, ...]]:
        return {tuple(row) for row in connection.exec_driver_sql(statement)}

    for given, zone, last in rows("SELECT day, time_zone, last_event_id FROM daily_open_day"):
        day = date.fromisoformat(str(given))
        end = _end(connection, day, str(zone))
        stored = rows(
            "SELECT entity, sync_status, currency, count, amount FROM daily_open"
            f" WHERE day = '{day}' AND count <> 0"
        )
        if not rows(_GROWN.format(last=last, end=end)) and stored != rows(
            _OPEN_THEN.format(end=end)
        ):
            yield f"{day}: what was open at its end is miscounted."


def violations(connection: Connection) -> list[str]:
    """One sentence for each thing that does not hold; empty where all is well."""

    def rows(statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in connection.exec_driver_sql(statement)]

    found = [
        f"The trigger {name} is missing, disabled or altered."
        for name in sorted(broken_triggers(connection))
    ]
    for table in ENTITY_TABLES:
        for says, statement in _of_records(table.name):
            found += [f"{table.name} {record}: {says}." for (record,) in rows(statement)]
    for says, statement in (*_OF_EVENTS, *_OF_TRIAGE):
        found += [f"{entity} {record}: {says}." for entity, record in rows(statement)]
    for says, statement in _OF_CLOSES:
        found += [f"sign-off {identity}: {says}." for (identity,) in rows(statement)]
    found += [
        f"operation {identity}: its outcomes do not add up to what was requested."
        for (identity,) in rows(_REQUESTED)
    ]
    found += [
        f"operation {identity}: it takes another one back without being an undo, or is one of none."
        for (identity,) in rows(_UNDOES)
    ]
    for name, key in _CHRONICLED.items():
        for says, statement in (
            ("the chronicle does not name it", _UNNAMED),
            ("the chronicle names it and it is not there", _NAMES_NOTHING),
        ):
            found += [
                f"{name} {identity}: {says}."
                for (identity,) in rows(statement.format(table=name, key=key))
            ]
    return [*found, *_miscounted(connection)]
