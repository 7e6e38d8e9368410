"""What an account may be granted."""

from enum import StrEnum


class Role(StrEnum):
    """A right, stored and shown under its own name."""

    ACCOUNTING_SYNC = "Accounting Sync"
    HIDE_EXPORT = "Hide Export To Excel"
    CLOSE = "Close"

    @property
    def meaning(self) -> str:
        """One sentence for the command line and the docs."""
        return {
            Role.ACCOUNTING_SYNC: "May see the sync history and change sync statuses.",
            Role.HIDE_EXPORT: "May not export to Excel.",
            Role.CLOSE: "May sign months off and reopen them.",
        }[self]
