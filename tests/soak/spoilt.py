"""Spoilt reports, thousands of them, each read in a process of its own as on the page."""

import time
from collections import Counter
from collections.abc import Callable

from synchist.child import TOO_MUCH, WALL_SECONDS
from tests.reconciliation.hostile import answer
from tests.reconciliation.mutated import mutated


def read_spoilt(goal: int, progress: Callable[[object], None]) -> str:
    """Read so many; each gives a report or a sentence, and none meets a limit."""
    became, slowest = Counter[str](), 0.0
    for seed in range(goal):
        container, content = mutated(seed)
        began = time.monotonic()
        said = answer(content)
        slowest = max(slowest, time.monotonic() - began)
        assert said != TOO_MUCH.format("report.xlsx"), f"{seed}, {container}"
        became["a sentence" if isinstance(said, str) else "a report"] += 1
        progress(seed)
    assert slowest <= WALL_SECONDS
    told = ", ".join(f"{count:,} gave {what}" for what, count in became.items())
    return f"{told}; the slowest took {slowest:.1f} s"
