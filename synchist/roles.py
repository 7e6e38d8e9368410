"""What an account may be granted."""

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """A right, stored and shown under its own name."""

    ACCOUNTING_SYNC = "Accounting Sync"
    HIDE_EXPORT = "Hide Export To Excel"
    CLOSE = "Close"
    HINTS = "Hints"
    AUDIT = "Audit"
    ADMINISTRATOR = "Administrator"

    @property
    def meaning(self) -> str:
        """One sentence for the command line and the docs."""
        return {
            Role.ACCOUNTING_SYNC: "May see the sync history and change sync statuses.",
            Role.HIDE_EXPORT: "May not export to Excel.",
            Role.CLOSE: "May sign months off and reopen them.",
            Role.HINTS: "May write the team's own hints on what to do.",
            Role.AUDIT: "May read the audit log.",
            Role.ADMINISTRATOR: "May add accounts, and grant and revoke roles.",
        }[self]


FIRST_PAGES: Mapping[Role, str] = {
    Role.ACCOUNTING_SYNC: "/",
    Role.AUDIT: "/audit",
    Role.ADMINISTRATOR: "/accounts",
}
"""The roles that open pages, each with the address of its first one. None of them gives another:
who administers need not see the money, and who audits neither."""
