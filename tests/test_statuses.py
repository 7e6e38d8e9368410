"""The closed vocabularies: what is stored, what is read, and that nothing lacks its words."""

import pytest

from synchist.roles import Role
from synchist.statuses import CloseReason, ItemOutcome, SyncStatus


def test_stored_values_are_the_ones_that_jobs_write() -> None:
    assert {status.label: int(status) for status in SyncStatus} == {
        "Pending": 0,
        "Complete": 1,
        "Failed": 2,
    }


@pytest.mark.parametrize("status", SyncStatus)
def test_a_label_leads_back_to_its_status(status: SyncStatus) -> None:
    for text in (status.label, status.label.upper(), f" {status.label.lower()} "):
        assert SyncStatus.from_label(text) is status


@pytest.mark.parametrize("text", ["", "2", "Done", "Failed!", "__class__", "label"])
def test_an_unknown_label_is_none(text: str) -> None:
    assert SyncStatus.from_label(text) is None


def test_every_word_has_its_own_wording() -> None:
    for words in (
        [reason.label for reason in CloseReason],
        [outcome.sentence for outcome in ItemOutcome],
        [role.meaning for role in Role],
    ):
        assert all(words)
        assert len(words) == len(set(words))
