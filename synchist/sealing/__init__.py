"""Tamper evidence: everything that is only ever appended is linked into a chain of seals.

`forms.py` says what is sealed and how it is encoded, `chain.py` seals and verifies, `anchors.py`
keeps the newest seals outside the database. Only the database is needed. Tests:
`tests/test_sealing.py`; what it proves and what not: `docs/assurance.md`.
"""

from synchist.sealing.anchors import Anchors, AnchorsUnreadable, SealFileNotWritten
from synchist.sealing.anchors import read as read_anchors
from synchist.sealing.chain import (
    HeldUp,
    HistoryAltered,
    NothingSealed,
    Seal,
    Sealer,
    Whole,
    backlog,
    covered,
    seal_all,
    verify,
)

__all__ = [
    "Anchors",
    "AnchorsUnreadable",
    "HeldUp",
    "HistoryAltered",
    "NothingSealed",
    "Seal",
    "SealFileNotWritten",
    "Sealer",
    "Whole",
    "backlog",
    "covered",
    "read_anchors",
    "seal_all",
    "verify",
]
