"""T3, short: `make soak` goes on until a million rows are changed."""

import pytest

from synchist.demo import make_demo
from synchist.roles import Role
from synchist.statuses import ItemOutcome
from tests.conftest import POSTGRESQL, SQLITE, Database, sign_in
from tests.soak.race import race

HOW_MANY = {SQLITE: (8, 20_000), POSTGRESQL: (16, 10_000)}
"""Writers, and the rows that they change together."""


@pytest.mark.owner  # simulated jobs take part
@pytest.mark.parametrize("database", HOW_MANY, indirect=True)
def test_nothing_is_lost_and_nobody_waits_for_a_push(database: Database) -> None:
    make_demo(2_000, seed=1)
    writers, changes = HOW_MANY[database.dialect]
    people = [sign_in(f"writer{number}", Role.ACCOUNTING_SYNC) for number in range(writers)]
    result = race(database.url, people, changes)
    assert result.wrong == []
    # It was a race: writers got in each other's way, and in the way of jobs.
    outcomes, met = result.tally.outcomes, result.tally.met
    assert outcomes[ItemOutcome.APPLIED] >= changes
    assert outcomes[ItemOutcome.CONFLICTED] > 0
    assert result.tally.attempts
    if database.dialect == POSTGRESQL:
        assert outcomes[ItemOutcome.BUSY] > met["held in a push"] > 0
