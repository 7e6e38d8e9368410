"""The checker itself: each thing that must hold is noticed when it does not."""

import pytest

from synchist.db.engine import reading
from synchist.db.tables import TRACKED
from tests.conftest import SQLITE, Database
from tests.invariants import violations
from tests.world import World

# The checks are the same SQL on both databases, and SQLite lets events be forged.
pytestmark = pytest.mark.parametrize("database", [SQLITE], indirect=True)

OPERATION = (
    "INSERT INTO operation (id, at, actor, action, digest, requested)"
    " SELECT '{}', at, actor, action, digest, {} FROM operation LIMIT 1"
)
PUSHED = [
    OPERATION.format("x", 1),
    "UPDATE invoice SET sync_status = 0, last_operation_id = 'x' WHERE id = 1",
    "INSERT INTO operation_item VALUES ('x', 'invoice', 1, 2, 'applied', NULL)",
]
"""Invoice 1, Failed at version 2, is Pending at version 3."""

UNDONE = "INSERT INTO operation_item VALUES ('y', 'invoice', {}, 3, 'applied', NULL)"
LOAD = OPERATION.replace("actor, action, digest, {}", "actor, 'load', digest, {}")
UNDO = (
    "INSERT INTO operation (id, at, actor, action, undoes, digest, requested)"
    " SELECT '{}', at, actor, 'undo', '{}', digest, {} FROM operation LIMIT 1"
)
ITEM = "INSERT INTO operation_item VALUES ('{}', 'invoice', {}, 2, 'applied', NULL)"


def forged(record: int, **changes: str) -> str:
    """A next event as the record's latest, but for the changes."""
    columns = ["at", "recorded_at", "kind", "operation_id", "outcome_at", *TRACKED]
    names = ", ".join(columns)
    values = ", ".join(changes.get(column, column) for column in columns)
    return (
        f"INSERT INTO sync_event (entity, record_id, version, {names})"
        f" SELECT entity, record_id, version + 1, {values} FROM sync_event"
        f" WHERE entity = 'invoice' AND record_id = {record} ORDER BY version DESC LIMIT 1"
    )


SAID = (
    "INSERT INTO triage_event VALUES"
    " (NULL, 'invoice', 1, {}, '2026-11-01 00:00:00.000000', NULL, 'x', {})"
)
OWNED = "INSERT INTO triage VALUES ('invoice', 1, NULL, '{}', {})"

TAMPERED = {
    "invoice 1: its owner and note are not what their last event says.": [
        OWNED.format("another", 1),
        SAID.format(1, "NULL, NULL, 'a note'"),
    ],
    "invoice 1: the events of its owner and note are not numbered up to its version.": [
        OWNED.format("a note", 2),
        SAID.format(2, "NULL, NULL, 'a note'"),
    ],
    "invoice 1: an event of its owner and note says what was so already.": [
        OWNED.format("a note", 2),
        *(SAID.format(version, "NULL, NULL, 'a note'") for version in (1, 2)),
    ],
    "invoice 1: it has an owner without a name, or a name without an owner.": [
        OWNED.format("a note", 1),
        SAID.format(1, "NULL, 'Ada', 'a note'"),
    ],
    "operation x: its outcomes do not add up to what was requested.": [
        OPERATION.format("x", 3),
    ],
    "invoice 1: an operation changed it without saying so.": [
        OPERATION.format("x", 0),
        "UPDATE invoice SET sync_status = 0, last_operation_id = 'x' WHERE id = 1",
    ],
    "invoice 1: an operation says that it changed it, but did not.": [
        OPERATION.format("x", 1),
        ITEM.format("x", 1),
    ],
    "invoice 1: an operation was applied to it more than once.": [
        OPERATION.format("x", 1),
        OPERATION.format("y", 1),
        *(
            f"UPDATE invoice SET sync_status = 0, last_operation_id = '{operation}' WHERE id = 1"
            for operation in "xyx"
        ),
        ITEM.format("x", 1),
        ITEM.format("y", 1),
    ],
    "invoice 1: an operation changed another version of it than was seen.": [
        OPERATION.format("x", 1),
        "UPDATE invoice SET tms_status = 'Approved' WHERE id = 1",
        "UPDATE invoice SET sync_status = 0, last_operation_id = 'x' WHERE id = 1",
        ITEM.format("x", 1),
    ],
    "invoice 1: a status change touched more than it may.": [
        OPERATION.format("x", 1),
        "UPDATE invoice SET sync_status = 0, amount = 1, last_operation_id = 'x' WHERE id = 1",
        ITEM.format("x", 1),
    ],
    "invoice 2: a status change touched more than it may.": [
        OPERATION.format("x", 1),
        "UPDATE invoice SET sync_error = 'Other', last_operation_id = 'x' WHERE id = 2",
        ITEM.format("x", 2),
    ],
    "invoice 3: a status change touched more than it may.": [
        OPERATION.format("x", 1),
        "UPDATE invoice SET sync_at = NULL, last_operation_id = 'x' WHERE id = 3",
        ITEM.format("x", 3),
    ],
    "invoice 4: a status change touched more than it may.": [
        OPERATION.format("x", 1),
        "UPDATE invoice SET sync_status = 0, sync_reference = 'QB-1', last_operation_id = 'x'"
        " WHERE id = 4",
        ITEM.format("x", 4),
    ],
    "invoice 1: an operation changed it, though it says that it left it alone.": [
        OPERATION.format("x", 1),
        "UPDATE invoice SET sync_status = 0, last_operation_id = 'x' WHERE id = 1",
        ITEM.format("x", 1).replace("applied", "risky"),
    ],
    **{
        f"invoice 1: an undo did not restore what was before. ({name})": [
            *PUSHED,
            UNDO.format("y", "x", 1),
            f"UPDATE invoice SET sync_status = 2, {name} = {value}, last_operation_id = 'y'"
            " WHERE id = 1",
            UNDONE.format(1),
        ]
        for name, value in {
            "sync_status": "1",
            "sync_reference": "'QB-1'",
            "synced_amount": "1",
            "sync_error": "'Another'",
        }.items()
    },
    "invoice 1: an undo did not restore what was before. (closed_reason)": [
        *(statement.replace("status = 0", "status = 1") for statement in PUSHED),
        UNDO.format("y", "x", 1),
        "UPDATE invoice SET sync_status = 1, closed_reason = 'other', last_operation_id = 'y'"
        " WHERE id = 1",
        UNDONE.format(1),
    ],
    "invoice 1: an undo touched more than it may.": [
        *PUSHED,
        UNDO.format("y", "x", 1),
        "UPDATE invoice SET sync_status = 2, sync_error_code = 'other', last_operation_id = 'y'"
        " WHERE id = 1",
        UNDONE.format(1),
    ],
    "invoice 1: an undo took back something else than its operation's change. (touched since)": [
        *PUSHED,
        "UPDATE invoice SET number = 'Other' WHERE id = 1",
        UNDO.format("y", "x", 1),
        "UPDATE invoice SET sync_status = 2, last_operation_id = 'y' WHERE id = 1",
        UNDONE.format(1).replace("3", "4"),
    ],
    "invoice 2: an undo took back something else than its operation's change. (not its record)": [
        *PUSHED,
        UNDO.format("y", "x", 1),
        "UPDATE invoice SET sync_status = 2, last_operation_id = 'y' WHERE id = 2",
        UNDONE.format(2),
    ],
    "invoice 1: an undo took back something else than its operation's change. (left alone)": [
        *(statement.replace("applied", "risky") for statement in PUSHED),
        UNDO.format("y", "x", 1),
        "UPDATE invoice SET sync_status = 2, last_operation_id = 'y' WHERE id = 1",
        UNDONE.format(1),
    ],
    "operation x: it takes another one back without being an undo, or is one of none. (no undo)": [
        UNDO.format("x", "y", 0).replace("'undo'", "'change_status'"),
        OPERATION.format("y", 0),
    ],
    "operation x: it takes another one back without being an undo, or is one of none. (of none)": [
        LOAD.format("x", 0).replace("'load'", "'undo'"),
    ],
    "operation x: it takes another one back without being an undo, or is one of none. (unknown)": [
        UNDO.format("x", "nowhere", 0),
    ],
    "invoice 1: a load touched more than the sync columns.": [
        LOAD.format("x", 1),
        "UPDATE invoice SET sync_status = 0, amount = 1, last_operation_id = 'x' WHERE id = 1",
        ITEM.format("x", 1),
    ],
    "invoice 2: a load touched more than the sync columns.": [
        LOAD.format("x", 1),
        "UPDATE invoice SET sync_status = 1, closed_reason = 'other', last_operation_id = 'x'"
        " WHERE id = 2",
        ITEM.format("x", 2),
    ],
    "invoice 1: it was closed for a reason without being Complete.": [
        forged(1, closed_reason="'other'"),
    ],
    "invoice 1: an event other than the first is called created, or the first is not.": [
        forged(1, kind="'created'"),
    ],
    "invoice 1: an attempt does not carry its own time.": [
        forged(1, kind="'attempt'", at="recorded_at"),
    ],
    "invoice 1: its version is not the number of its events.": [
        forged(1, kind="'direct'"),
    ],
    "operation x: the chronicle does not name it.": [
        "DROP TRIGGER operation_written",
        OPERATION.format("x", 0),
    ],
    "period_reopen x: the chronicle names it and it is not there.": [
        "INSERT INTO chronicle (source, key) VALUES ('period_reopen', 'x')",
    ],
    "The trigger bill_guard_delete is missing, disabled or altered.": [
        "DROP TRIGGER bill_guard_delete",
    ],
    "bill 1: replaying its events does not give the row.": [
        "DROP TRIGGER bill_updated",
        "UPDATE bill SET amount = 1 WHERE id = 1",
    ],
    "bill 1: it has events but is not there.": [
        "DROP TRIGGER bill_guard_delete",
        "DELETE FROM bill WHERE id = 1",
    ],
}


@pytest.mark.tampered
@pytest.mark.parametrize(("sentence", "statements"), TAMPERED.items(), ids=TAMPERED.keys())
def test_what_does_not_hold_is_noticed(
    database: Database, world: World, sentence: str, statements: list[str]
) -> None:
    """In brackets stands which way of several it is done."""
    with database.owner() as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    with reading() as connection:
        assert sentence.partition(" (")[0] in violations(connection)


def test_an_undo_that_restores_all_is_fine(database: Database, world: World) -> None:
    """The history that the undos above spoil."""
    statements = [
        *PUSHED,
        UNDO.format("y", "x", 1),
        "UPDATE invoice SET sync_status = 2, last_operation_id = 'y' WHERE id = 1",
        UNDONE.format(1),
    ]
    with database.owner() as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def test_a_failure_made_by_hand_may_bring_its_error(database: Database, world: World) -> None:
    """Failed needs an error; where none was, the operation says who moved it."""
    with database.owner() as connection:
        for statement in (
            OPERATION.format("x", 1),
            "UPDATE invoice SET sync_status = 2, sync_error = 'Marked as failed by Ada: recalled',"
            f" last_operation_id = 'x' WHERE id = {world.invoice['complete']}",
            ITEM.format("x", world.invoice["complete"]),
        ):
            connection.execute(statement)
        connection.commit()
