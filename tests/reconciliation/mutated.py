"""Reports that somebody's disk, mail or editor has spoilt: good ones with a few changes."""

import random
import re
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO

from synchist import child
from synchist.child import UnreadableFile
from synchist.reconciliation.parse import parse
from synchist.reconciliation.vocabulary import KINDS
from tests.reconciliation.hostile import data, spreadsheet
from tests.uploads import SHEET, with_parts, workbook

REPORT = [
    ["Cedar Freight Brokers", "", "", "", "", ""],
    ["Transaction List by Customer", "", "", "", "", ""],
    ["January 1-31, 2026", "", "", "", "", ""],
    ["Date", "Transaction Type", "Num", "Customer", "Amount", "Open Balance"],
    ["Ashgrove Foods", "", "", "", "", ""],
    ["01/05/2026", "Invoice", "1041", "Ashgrove Foods", "1,234.50", "234.50"],
    ["01/13/2026", "Invoice", "00071234", "Ashgrove Foods", "(80.00)", "0.00"],
    ["01/14/2026", "Payment", "", "Ashgrove Foods", "-1,000.00", ""],
    ["Total for Ashgrove Foods", "", "", "", "$154.50", "$234.50"],
    ["Böhm & Söhne, “Nord”", "", "", "", "", ""],
    ["1/31/26", "Bill Payment (Check)", "41", "Böhm & Söhne", "2.5", ""],
    ["TOTAL", "", "", "", "157.00", ""],
    ["Accrual basis Monday, February 02, 2026 10:15 AM GMT-06:00", "", "", "", "", ""],
]
STRANGE = (
    *("", " ", "=1/0", "=E6", "TOTAL", "Total for", "Date", "NaN", "1e400", "-", "()", "٣", "\t"),
    *("9" * 400, "99999999999999", "13/13/2026", "00/00/0000", "1/1/9999", "x" * 5_000, "\ufeff"),
    *('"', "a\nb", "<b>", "&amp;", "$", "CR", "1.2.3,4", "31.12.2026", "Bill", "Invoice", "\u202e"),
)

Cells = list[list[str]]


def _csv(rows: Cells) -> bytes:
    quoted = (['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows)
    return "\r\n".join(",".join(row) for row in quoted).encode()


def _utf16(rows: Cells) -> bytes:
    return "\n".join("\t".join(row) for row in rows).encode("utf-16")


def _marked(cell: str) -> bytes:
    return cell.replace("&", "&amp;").replace("<", "&lt;").encode()


def _html(rows: Cells) -> bytes:
    lines = (b"".join(b"<td>%b</td>" % _marked(cell) for cell in row) for row in rows)
    return b"<html><table><tr>" + b"</tr>\n<tr>".join(lines) + b"</tr></table></html>"


def _xml(rows: Cells) -> bytes:
    lines = (b"".join(data(_marked(cell)) for cell in row) for row in rows)
    return spreadsheet(b"<Row>" + b"</Row>\n<Row>".join(lines) + b"</Row>")


def _xlsx(rows: Cells) -> bytes:
    return workbook(*rows)


WRITTEN: dict[str, Callable[[Cells], bytes]] = {
    "csv": _csv,
    "utf-16": _utf16,
    "html": _html,
    "xml": _xml,
    "xlsx": _xlsx,
}


def mutated(seed: int) -> tuple[str, bytes]:
    """A spoilt report: how it is stored, and its content. The same seed gives the same one."""
    chance = random.Random(seed)
    rows = [list(row) for row in REPORT]
    for _ in range(chance.choice((0, 1, 3, 10))):
        _spoil_cells(chance, rows)
    container = chance.choice(list(WRITTEN))
    try:
        content = WRITTEN[container](rows)
    except ValueError:  # openpyxl writes no control signs
        content = _csv(rows)
    if container == "xlsx" and chance.random() < 0.7:
        return container, _spoilt_within(chance, content)
    for _ in range(chance.choice((0, 1, 1, 4, 40))):
        content = _spoilt(chance, content)
    return container, content


def _spoil_cells(chance: random.Random, rows: Cells) -> None:
    row, other = chance.choice(rows), chance.randrange(len(rows))
    match chance.randrange(6):
        case 0:
            row[chance.randrange(len(row))] = chance.choice(STRANGE)
        case 1:
            row.insert(chance.randrange(len(row)), chance.choice(STRANGE))
        case 2 if len(row) > 1:
            row.pop(chance.randrange(len(row)))
        case 3:
            rows.insert(other, list(row))
        case 4 if len(rows) > 2:
            rows.pop(other)
        case _:
            rows.extend(list(row) for _ in range(chance.choice((1, 100))))


def _spoilt(chance: random.Random, content: bytes) -> bytes:
    start = chance.randrange(len(content) + 1)
    end = min(start + chance.choice((1, 1, 2, 20, 400)), len(content))
    return chance.choice(
        (
            lambda: content[:start] + chance.randbytes(end - start) + content[end:],
            lambda: content[:start] + content[end:],
            lambda: content[:end] + content[start:],
            lambda: content[:start] + chance.randbytes(4) + content[start:],
            lambda: content[:start] + chance.choice(STRANGE).encode() + content[start:],
            lambda: content[:start],
            lambda: re.sub(rb"\d", lambda _: b"%d" % chance.randrange(10), content, count=40),
        )
    )()


def _spoilt_within(chance: random.Random, content: bytes) -> bytes:
    """A workbook with a part that is spoilt before it is packed."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.endswith((".xml", ".rels"))]
        name = chance.choice((SHEET, chance.choice(names)))
        part = archive.read(name)
        for _ in range(chance.choice((1, 2, 5))):
            part = _spoilt(chance, part)
        parts = {one: archive.read(one) for one in archive.namelist()}
    return with_parts({**parts, name: part})


def wrong(answer: dict[str, object]) -> str:
    """What is wrong with an answer for a report; empty: nothing."""
    if answer.keys() & {"wrong", "unmapped"}:
        return ""
    skipped = answer["skipped"]
    assert isinstance(skipped, dict)
    if answer["rows_read"] != answer["used"] + sum(skipped.values()):  # type: ignore[operator]
        return f"{answer['rows_read']} rows, {answer['used']} used, {skipped} skipped"
    return ""


def main(first: int, last: int) -> None:
    """Read the reports of these seeds in this process, within limits, and say what went wrong."""
    reports = [(seed, *mutated(seed)) for seed in range(first, last)]
    child.CPU_SECONDS = 500
    child._limit()
    for seed, container, content in reports:
        try:
            said = wrong(parse("spoilt", content, [KINDS[seed % 4]]))
        except UnreadableFile as error:
            said = "" if str(error).endswith(".") else str(error)
        except BaseException as error:  # it is what is looked for
            said = f"{type(error).__name__}: {error}"
        if said:
            print(f"{seed}, {container}: {said}", flush=True)
    print("done", last - first)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
