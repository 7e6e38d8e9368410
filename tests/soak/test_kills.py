"""T5: twice at each step, and `make soak` more often."""

import re

import pytest

from synchist.db import engine as engine_module
from synchist.demo import make_demo
from synchist.roles import Role
from tests.conftest import SQLITE, Database, owned, sign_in
from tests.soak.kills import kill_at_each_step


def test_an_operation_that_is_killed_is_all_there_or_not_at_all(database: Database) -> None:
    with owned():
        make_demo(600, seed=1)
    kill_at_each_step(sign_in("ada", Role.ACCOUNTING_SYNC), 2)


@pytest.mark.parametrize("database", [SQLITE], indirect=True)
def test_what_a_killed_operation_has_left_in_the_file_is_rolled_back(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a rollback journal, as where the SQLite library has no log that is safe."""
    monkeypatch.setattr(engine_module, "SAFE_WAL", (99,))
    with owned():
        make_demo(600, seed=1)
    done = kill_at_each_step(sign_in("ada", Role.ACCOUNTING_SYNC), 1)
    assert re.search("[0-9]+ of them with half of it written to the file", done)
