"""Short ways to write down a report, and to say what was read from it."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import openpyxl

from synchist.reconciliation.parse import parse
from synchist.reconciliation.report import Reading


def parsed(report: str | bytes, kind: str = "invoice", reading: Reading | None = None) -> Any:
    """What a report is read as, without the process that a server reads it in."""
    content = report.encode() if isinstance(report, str) else report
    return parse("report", content, [kind, *([json.dumps(asdict(reading))] if reading else [])])


def listed(*rows: str, headings: str = "Date,Transaction type,Num,Name,Amount") -> str:
    """A list with headings."""
    return "\n".join([headings, *rows])


def documents(answer: Any, *fields: str) -> list[Any]:
    """Some fields of the documents read; amounts as a person writes them."""
    columns = [list(map(_plain, answer["documents"][field])) for field in fields]
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


def _plain(value: Any) -> Any:
    return f"{Decimal(value) / 10_000:.2f}" if isinstance(value, int) and value > 999 else value


def workbook(**sheets: Iterable[Sequence[Any]]) -> bytes:
    """A workbook with these sheets."""
    book, file = openpyxl.Workbook(), io.BytesIO()
    book.remove(book.worksheets[0])
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(file)
    return file.getvalue()
