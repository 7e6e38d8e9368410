"""The closed vocabularies of the field: what a status, a reason or an outcome can be."""

from enum import IntEnum, StrEnum


class SyncStatus(IntEnum):
    """Outcome of the last attempt to write a record to the accounting system, as stored."""

    PENDING = 0
    COMPLETE = 1
    FAILED = 2

    def __bool__(self) -> bool:
        """Pending is stored as 0, yet is a status like the others: no `or` may skip it."""
        return True

    @property
    def label(self) -> str:
        """The word that users read: Pending, Complete or Failed."""
        return self.name.capitalize()

    @classmethod
    def from_label(cls, label: str) -> "SyncStatus | None":
        """The status of that name, in any case, or None."""
        return cls.__members__.get(label.strip().upper())


class CloseReason(StrEnum):
    """Why a person closed a record as Complete without a successful attempt."""

    RECONCILED = "reconciled"
    ALREADY_IN_BOOKS = "already_in_books"
    WILL_NOT_SYNC = "will_not_sync"
    OTHER = "other"

    @property
    def label(self) -> str:
        """The words that users choose and read."""
        return {
            CloseReason.RECONCILED: "Reconciled manually",
            CloseReason.ALREADY_IN_BOOKS: "Already in the accounting system",
            CloseReason.WILL_NOT_SYNC: "Will not be synced",
            CloseReason.OTHER: "Other",
        }[self]


FIXED = "fixed"
"""The reason of a retry after somebody has fixed what the error was about; a plain one has none."""


def reason_label(stored: str | None) -> str:
    """The words for a stored reason of an operation, of closing or of a retry; empty for none."""
    if stored == FIXED:
        return "after a fix"
    return CloseReason(stored).label if stored else ""


class Action(StrEnum):
    """What an operation does."""

    CHANGE_STATUS = "change_status"
    UNDO = "undo"
    LOAD = "load"


class EventKind(StrEnum):
    """What made the database append an event to a record's history."""

    CREATED = "created"
    ATTEMPT = "attempt"
    OPERATION = "operation"
    TMS = "tms"
    DIRECT = "direct"


class ItemOutcome(StrEnum):
    """What an operation did with one of the records that it was asked to change."""

    APPLIED = "applied"
    CONFLICTED = "conflicted"
    BUSY = "busy"
    MISSING = "missing"
    RISKY = "risky"
    NOT_ALLOWED = "not_allowed"

    @property
    def sentence(self) -> str:
        """What the receipt says about records with this outcome."""
        return {
            ItemOutcome.APPLIED: "changed",
            ItemOutcome.CONFLICTED: "changed by someone else meanwhile, left untouched",
            ItemOutcome.BUSY: "being synced right now, left untouched",
            ItemOutcome.MISSING: "no longer there",
            ItemOutcome.RISKY: "at risk of a duplicate and not ticked, left untouched",
            ItemOutcome.NOT_ALLOWED: "not allowed, left untouched",
        }[self]


class ConnectionState(StrEnum):
    """Whether the link to an accounting system is still authorized."""

    AUTHORIZED = "authorized"
    EXPIRED = "expired"
    REVOKED = "revoked"


TMS_STATUSES = ("Draft", "Created", "Ready", "Approved", "On hold", "Voided")
"""The accounting statuses inside the TMS, in the order of a record's life."""
