"""Text from the database inside Streamlit's Markdown, and moments as people read them."""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from synchist.db.types import utc_now
from synchist.reconciliation.report import DECIMALS
from synchist.settings import settings
from synchist.statuses import SyncStatus

STATUS_COLORS = {
    SyncStatus.FAILED: "red",
    SyncStatus.PENDING: "orange",
    SyncStatus.COMPLETE: "green",
}
STATUS_ICONS = {
    SyncStatus.FAILED: ":material/error:",
    SyncStatus.PENDING: ":material/schedule:",
    SyncStatus.COMPLETE: ":material/check_circle:",
}

LEVELS = "▁▂▃▄▅▆▇█"
"""Small bars, the lowest first."""


def plain(text: object) -> str:
    """A text that Markdown shows as it is: no formatting, links, images, maths or directives."""
    escaped = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", "" if text is None else str(text))
    return " ".join(escaped.split())


def moment(value: datetime | None) -> str:
    """A moment in business time: 22 Nov 2026, 14:03."""
    if value is None:
        return ""
    local = value.astimezone(settings().zone)
    return f"{local.day} {local:%b %Y, %H:%M}"


def counted(count: int, noun: str) -> str:
    """`1 day`, `1,204 days`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def age(since: datetime) -> str:
    """How long something has lasted, in its largest unit: 3 days, 1 hour, 20 minutes."""
    seconds = (utc_now() - since).total_seconds()
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if count := int(seconds // length):
            return counted(count, unit)
    return "a moment"


def numbered(steps: Iterable[str]) -> str:
    """Steps as a Markdown list."""
    return "\n".join(f"{number}. {plain(step)}" for number, step in enumerate(steps, 1))


def badge(status: SyncStatus) -> str:
    """A status as a coloured Markdown badge."""
    return f":{STATUS_COLORS[status]}-badge[{status.label}]"


def figure(amount: int | None) -> str:
    """An amount of a file, in ten-thousandths, as people read it: 1,234.50."""
    if amount is None:
        return ""
    exactly = Decimal(amount).scaleb(-DECIMALS)
    return f"{exactly:,.2f}" if exactly == round(exactly, 2) else f"{exactly:,f}".rstrip("0")
