"""Stopwatch and table: each figure beside its baseline, taken in turns in the same run."""

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

SHORT = 1.0
"""Seconds up to which a pair of measurements is short, and repeated ROUNDS times."""

ROUNDS = 31
LONG_ROUNDS = 5

Timing = Callable[[], float]
"""Does something once and says how many seconds it took."""


@dataclass(frozen=True)
class Figure:
    """One row of the table. Times are medians in milliseconds, memory is in MiB."""

    what: str
    where: str
    value: float
    unit: str
    baseline: str
    against: float | None
    ratio: float | None
    target: str
    reached: bool
    rounds: int


@dataclass(frozen=True)
class Pair:
    """Medians of two things done in turns, in seconds."""

    measured: float
    baseline: float
    rounds: int

    def at_most(self, times: float, what: str, where: str, baseline: str) -> Figure:
        """A figure that may be so many times its baseline."""
        ratio = self.measured / self.baseline
        return self._figure(what, where, baseline, ratio, f"≤ {times:g} ×", ratio <= times)

    def faster(self, times: float, what: str, where: str, baseline: str) -> Figure:
        """A figure that shall be so many times faster than its baseline."""
        ratio = self.baseline / self.measured
        return self._figure(what, where, baseline, ratio, f"≥ {times:g} × faster", ratio >= times)

    def _figure(
        self, what: str, where: str, baseline: str, ratio: float, target: str, reached: bool
    ) -> Figure:
        return Figure(
            what=what,
            where=where,
            value=self.measured * 1000,
            unit="ms",
            baseline=baseline,
            against=self.baseline * 1000,
            ratio=ratio,
            target=target,
            reached=reached,
            rounds=self.rounds,
        )


def limit(what: str, where: str, value: float, most: float, unit: str, rounds: int) -> Figure:
    """A figure without a baseline, that may be so much."""
    reached = value <= most
    return Figure(what, where, value, unit, "–", None, None, f"≤ {most:g} {unit}", reached, rounds)


def timed(task: Callable[[], object]) -> Timing:
    """A task under the stopwatch."""

    def timing() -> float:
        gc.collect()  # the rubbish of the one before is not this one's
        start = time.perf_counter()
        task()
        return time.perf_counter() - start

    return timing


def interleaved(measured: Timing, baseline: Timing, rounds: int | None = None) -> Pair:
    """Do both in turns, after one round that does not count, and take the medians."""
    warm_up = measured() + baseline()
    rounds = rounds or (ROUNDS if warm_up <= SHORT else LONG_ROUNDS)
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        # Whoever comes second may find a warmer cache: each comes first every other time.
        for which in (0, 1) if turn % 2 else (1, 0):
            times[which].append((measured, baseline)[which]())
    return Pair(statistics.median(times[0]), statistics.median(times[1]), rounds)


def alone(timing: Timing) -> tuple[float, int]:
    """The median in seconds of something without a baseline, and of how many rounds."""
    rounds = ROUNDS if timing() <= SHORT else LONG_ROUNDS
    return statistics.median(timing() for _ in range(rounds)), rounds


# ---------------------------------------------------------------- table and file


def _number(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:,.{1 if value < 100 else 0}f} {unit}"


def table(figures: Sequence[Figure]) -> str:
    """The figures as a Markdown table."""
    lines = [
        "| what | where | figure | baseline | its figure | ratio | reach | reached | rounds |",
        "|---|---|---:|---|---:|---:|---|---|---:|",
    ]
    for figure in figures:
        ratio = "–" if figure.ratio is None else f"{figure.ratio:.2f} ×"
        cells = (
            figure.what,
            figure.where,
            _number(figure.value, figure.unit),
            figure.baseline,
            _number(figure.against, figure.unit),
            ratio,
            figure.target,
            "yes" if figure.reached else "**no**",
            str(figure.rounds),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def save(figures: Sequence[Figure], path: Path) -> None:
    """The figures as JSON, with what they were taken on."""
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "figures": [asdict(figure) for figure in figures],
    }
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
