"""T4: 200 of 200."""

import pytest

from synchist.demo import make_demo
from synchist.roles import Role
from tests.conftest import POSTGRESQL, Database, sign_in
from tests.soak.commits import cut_commits


@pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)
def test_an_operation_whose_commit_was_cut_is_done_once(database: Database) -> None:
    make_demo(600, seed=1)
    cut_commits(database.url, sign_in("ada", Role.ACCOUNTING_SYNC), 200)
