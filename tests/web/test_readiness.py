"""What a load balancer is told."""

import pytest
from sqlalchemy import text

from synchist.db.engine import writing
from tests.conftest import Database, owned
from tests.web.conftest import Browse


def test_a_prepared_database_is_ready(database: Database, browse: Browse) -> None:
    answer = browse().get("/readyz")
    assert (answer.status_code, answer.text) == (200, "ready")


@pytest.mark.tampered
def test_a_database_that_would_not_keep_the_history_is_not(
    database: Database, browse: Browse
) -> None:
    with owned(), writing() as connection:
        if database.dialect == "postgresql":
            connection.execute(text("ALTER TABLE invoice DISABLE TRIGGER c_append_changed"))
        else:
            connection.execute(text("DROP TRIGGER invoice_updated"))
    answer = browse().get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready")


def test_a_database_that_is_behind_is_not(database: Database, browse: Browse) -> None:
    with owned(), writing() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    answer = browse().get("/readyz")
    assert (answer.status_code, answer.text) == (503, "not ready")


def test_an_unknown_revision_is_not(database: Database, browse: Browse) -> None:
    with owned(), writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'newer'"))
    assert browse().get("/readyz").status_code == 503
