"""An uploaded report, read in a process of its own."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import pandas as pd

from synchist.child import ask
from synchist.reconciliation.report import (
    FIELDS,
    Coverage,
    LeftOut,
    Reading,
    Report,
    Unmapped,
    WrongReport,
)


def read(name: str, content: bytes, entity: str, reading: Reading | None = None) -> Report:
    """The report in a file, as far as it is about an entity (by its key). `reading` says how to
    read it where somebody has said so.

    Raises UnreadableFile, WrongReport where it is something else than the page is about, and
    Unmapped where only a person can say what its columns hold.
    """
    asked = [json.dumps(asdict(reading))] if reading else []
    told = ask("synchist.reconciliation.parse", name, content, entity, *asked)
    if "wrong" in told:
        raise WrongReport(told["wrong"])
    guess = reading or Reading(told["sheet"], told["header"], _fields(told))
    if "unmapped" in told:
        raise Unmapped(told["unmapped"], told["preview"], guess)
    documents = _documents(told["documents"])
    return Report(
        name=name,
        sha256=hashlib.sha256(content).hexdigest(),
        entity=entity,
        coverage=Coverage(told["coverage"]),
        start=_day(told["start"]),
        end=_day(told["end"]),
        left_out=tuple(LeftOut(*row) for row in told["left_out"]),
        documents=documents,
        documents_total=int(documents["amount"].sum()),
        reading=guess,
        **{
            key: told[key]
            for key in (
                *("system", "report", "period", "basis", "rows_read", "used", "skipped"),
                *("control_total", "file_total", "amount_is_open", "warnings", "unsure"),
                *("headings", "preview"),
            )
        },
    )


def _fields(told: Mapping[str, Any]) -> dict[str, int]:
    return {field: place for field, place in told["fields"].items() if field in FIELDS}


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _documents(told: Mapping[str, list[Any]]) -> pd.DataFrame:
    """The documents as `Report` promises them."""
    days = {text: _day(text) for text in set(told["date"])}
    return pd.DataFrame(
        {
            "row": pd.Series(told["row"], dtype="int64"),
            **{name: pd.Series(told[name], dtype=object) for name in ("type", "reference")},
            **{name: pd.Series(told[name], dtype=object) for name in ("party", "also")},
            "date": pd.Series([days[text] for text in told["date"]], dtype=object),
            **{
                name: pd.Series(pd.array(told[name], dtype="Int64"))
                for name in ("amount", "open_balance")
            },
            "currency": pd.Series(told["currency"], dtype=object),
        }
    )
