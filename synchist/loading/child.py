"""The lines of an uploaded list of references and amounts, read in a process of its own."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from synchist.child import UnreadableFile, ask, serve
from synchist.loading import files
from synchist.loading.files import Line, is_blank

MOST_COLUMNS = 100


def read_upload(name: str, content: bytes) -> list[Line]:
    """The lines of an uploaded csv or xlsx file. Days and moments are texts in ISO form.

    Raises UnreadableFile, also where the file takes too long or too much memory.
    """
    return [(line, cells) for line, cells in ask("synchist.loading.child", name, content)]


def _lines(name: str, content: bytes, _: Sequence[str]) -> list[tuple[int, list[Any]]]:
    lines = []
    for line, cells in files.parse(name, content):
        # Excel keeps formatted cells without content, up to the last column.
        width = max(place for place, cell in enumerate(cells, start=1) if not is_blank(cell))
        if width > MOST_COLUMNS:
            raise UnreadableFile(f"{name} has more than {MOST_COLUMNS} columns.")
        lines.append((line, [_plain(cell) for cell in cells[:width]]))
    return lines


def _plain(cell: Any) -> Any:
    """A cell as JSON can hold it."""
    if isinstance(cell, date):
        return cell.isoformat()
    return cell if cell is None or isinstance(cell, str | int | float | bool) else str(cell)


if __name__ == "__main__":
    serve(_lines)
