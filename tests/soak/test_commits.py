"""T4: 200 of 200."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from synchist.accounts import Principal
from synchist.db.engine import DatabaseUnavailable, reading
from synchist.db.tables import invoice, operation, sync_event
from synchist.demo import make_demo
from synchist.entities import INVOICES
from synchist.loading.records import load, template
from synchist.roles import Role
from tests.conftest import POSTGRESQL, Database, configured, owned, sign_in
from tests.soak.commits import cut_commits
from tests.soak.proxy import Cut, between

pytestmark = pytest.mark.parametrize("database", [POSTGRESQL], indirect=True)


def test_an_operation_whose_commit_was_cut_is_done_once(database: Database) -> None:
    with owned():
        make_demo(600, seed=1)
    cut_commits(database.url, sign_in("ada", Role.ACCOUNTING_SYNC), 200)


@pytest.mark.parametrize("cut", Cut)
def test_a_file_whose_commit_was_cut_is_loaded_once(
    database: Database, analyst: Principal, tmp_path: Path, cut: Cut
) -> None:
    """No id tells a load that it was there before: what the file says does."""
    path = tmp_path / "invoices.csv"
    path.write_bytes(template(INVOICES, path))
    with between(database.url) as proxy, configured(proxy.url):
        proxy.armed = cut
        with pytest.raises(DatabaseUnavailable):
            load(analyst, INVOICES, path, create_organizations=True)
        report = load(analyst, INVOICES, path, create_organizations=True)
    assert (report.created, report.unchanged) == ((3, 0) if cut is Cut.BEFORE else (0, 3))
    with reading() as connection:
        counts = [
            connection.scalar(select(func.count()).select_from(table))
            for table in (invoice, operation, sync_event)
        ]
    assert counts == [3, 1, 5]
