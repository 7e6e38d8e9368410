"""The demo: a believable broker, the same on one day, whole or recognisably not."""

import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text

from synchist import accounts
from synchist.db.engine import reading
from synchist.db.prepare import is_demo
from synchist.db.tables import (
    account,
    attempt_line,
    bill,
    charge_line,
    connection,
    database_fact,
    invoice,
    invoice_payment,
    metadata,
    organization,
    role_grant,
    sync_event,
)
from synchist.demo import ACCOUNTS, WHOLE, NotEmpty, make_demo
from synchist.demo.broker import Broker
from synchist.entities import BILL_PAYMENTS, BILLS, ENTITIES, INVOICE_PAYMENTS, INVOICES, Entity
from synchist.filters import Filters, start_of, today
from synchist.roles import Role
from synchist.statuses import SyncStatus
from tests.conftest import Database, checked, configured
from tests.world import World

pytestmark = pytest.mark.owner
A_DAY = date(2026, 11, 22)
DOCUMENTS, PAYMENTS = (INVOICES, BILLS), (INVOICE_PAYMENTS, BILL_PAYMENTS)


def counts(db: Connection) -> dict[str, int]:
    return {
        entity.key: db.scalar(select(func.count()).select_from(entity.table)) or 0
        for entity in ENTITIES
    }


# ---------------------------------------------------------------- on both databases


def test_the_number_of_records_is_exact_and_progress_is_told(database: Database) -> None:
    told: list[tuple[int, int]] = []
    make_demo(1_003, progress=lambda done, of: told.append((done, of)))
    with reading() as db:
        made = counts(db)
        fact = db.scalar(select(database_fact.c.value).where(database_fact.c.key == WHOLE))
    assert sum(made.values()) == 1_003
    assert min(made.values()) > 100
    assert told[-1] == (1_003, 1_003)
    assert fact == "1003"


def test_charges_add_up_to_their_document_and_applications_to_their_payment(
    database: Database,
) -> None:
    make_demo(1_000)
    with reading() as db:
        for document in DOCUMENTS:
            lines = (
                select(func.sum(charge_line.c.amount))
                .where(document.charge_lines == document.table.c.id)
                .scalar_subquery()
            )
            assert _number_where(db, document, lines.is_distinct_from(document.table.c.amount)) == 0
        for payment in PAYMENTS:
            link, table = payment.applications, payment.table
            applied = (
                select(func.sum(link.table.c.amount))
                .where(link.own == table.c.id)
                .scalar_subquery()
            )
            assert _number_where(db, payment, applied.is_distinct_from(table.c.amount)) == 0
            document_table = metadata.tables[link.other_key]
            strange = db.scalar(
                select(func.count())
                .select_from(link.table)
                .join(table, link.own == table.c.id)
                .join(document_table, link.other == document_table.c.id)
                .where(
                    (document_table.c.party_id != table.c.party_id)
                    | (document_table.c.currency != table.c.currency)
                    | (document_table.c.created_at > table.c.created_at)
                    | (document_table.c.amount < link.table.c.amount)
                    | (link.table.c.amount <= 0)
                )
            )
            assert strange == 0, f"{payment.title} pay what is not theirs"


def _number_where(db: Connection, entity: Entity, condition: object) -> int:
    return db.scalar(select(func.count()).select_from(entity.table).where(condition)) or 0


def test_records_begin_pending_and_their_attempts_follow_in_time(database: Database) -> None:
    make_demo(1_000)
    with reading() as db:
        events = db.execute(
            select(sync_event).order_by(
                sync_event.c.entity, sync_event.c.record_id, sync_event.c.version
            )
        ).all()
    before = None
    for event in events:
        if event.version == 1:
            assert (event.kind, event.sync_status, event.sync_at) == ("created", 0, None)
        else:
            assert event.kind == "attempt"
            assert event.sync_at > before.at
            assert event.sync_at < start_of(today())
            assert before.sync_status != SyncStatus.COMPLETE, "a synced record is left alone"
        before = event
    assert max(event.version for event in events) > 3


def test_partial_syncs_say_what_the_books_hold_per_line(database: Database) -> None:
    make_demo(1_000)
    with reading() as db:
        for document in DOCUMENTS:
            table = document.table
            partial = db.scalars(select(table.c.id).where(document.differs)).all()
            held = db.execute(
                select(document.charge_lines, func.sum(attempt_line.c.amount))
                .join(charge_line)
                .where(document.charge_lines.is_not(None))
                .group_by(document.charge_lines)
            ).all()
            synced = dict(db.execute(select(table.c.id, table.c.synced_amount)).all())
            assert sorted(identity for identity, _ in held) == sorted(partial)
            assert partial
            assert all(amount == synced[identity] for identity, amount in held)


def test_a_day_a_number_and_a_seed_give_one_content(
    database: Database, sqlite_template: Path, tmp_path: Path
) -> None:
    make_demo(1_000, seed=7)
    first = _content()
    shutil.copy(sqlite_template, tmp_path / "second.db")
    with configured(f"sqlite:///{tmp_path / 'second.db'}"):
        make_demo(1_000, seed=7)
        second = _content()
    assert first.keys() == second.keys()
    for name, rows in first.items():
        assert rows == second[name], name
    assert first["sync_event"]


def _content() -> dict[str, list[tuple[object, ...]]]:
    """Every table without what tells when this very demo was written."""
    content = {}
    with reading() as db:
        for table in metadata.sorted_tables:
            if table in (account, role_grant):
                continue
            columns = [one for one in table.c if one.name != "recorded_at"]
            if table is sync_event:
                columns.remove(sync_event.c.id)
            rows = [tuple(row) for row in db.execute(select(*columns))]
            content[table.name] = sorted(rows, key=repr)
    return content


def test_jobs_can_insert_after_it(database: Database) -> None:
    make_demo(200)
    with reading() as db:
        newest = db.scalar(select(func.max(invoice.c.id)))
    with database.tms() as job:
        job.execute(
            "INSERT INTO invoice (tms_id, number, party_id, billing_organization_id, currency,"
            " amount, tms_status, created_at) VALUES ('own-1', 'OWN-1', 101, 1, 'USD', 1,"
            " 'Created', '2026-11-22 12:00:00.000000')"
        )
        job.execute("INSERT INTO organization (tms_id, name) VALUES ('own-2', 'Own Freight')")
        job.execute(
            "INSERT INTO charge_line (invoice_id, position, description, amount)"
            " VALUES (1, 9, 'Tarp', 1)"
        )
        job.commit()
    with reading() as db:
        assert db.scalar(select(invoice.c.id).where(invoice.c.tms_id == "own-1")) == newest + 1


def test_its_accounts_sign_in_without_a_password_and_hold_their_roles(database: Database) -> None:
    make_demo(100)
    assert set(ACCOUNTS) == set(accounts.DEMO_LOGINS)
    with reading() as db:
        granted = {
            (login, role)
            for login, role in db.execute(
                select(account.c.login, role_grant.c.role).join_from(account, role_grant)
            )
        }
        passwords = db.scalars(select(account.c.password_hash)).all()
    assert granted == {
        ("analyst", Role.ACCOUNTING_SYNC),
        ("controller", Role.ACCOUNTING_SYNC),
        ("controller", Role.CLOSE),
        ("controller", Role.HINTS),
        ("viewer", Role.ACCOUNTING_SYNC),
        ("viewer", Role.HIDE_EXPORT),
        ("auditor", Role.AUDIT),
        ("administrator", Role.ADMINISTRATOR),
    }
    assert passwords == [None] * len(ACCOUNTS)
    for login in ACCOUNTS:
        assert accounts.sign_in_demo(login, "127.0.0.1")


# ---------------------------------------------------------------- refusals


def test_a_second_demo_is_refused(database: Database) -> None:
    make_demo(100)
    with pytest.raises(NotEmpty, match="already holds the demo"):
        make_demo(100)
    with reading() as db:
        assert sum(counts(db).values()) == 100


def test_a_database_with_records_is_refused(database: Database, world: World) -> None:
    with reading() as db:
        before = counts(db)
    with pytest.raises(NotEmpty, match="in use"):
        make_demo(100)
    with reading() as db:
        assert counts(db) == before
        assert not is_demo(db)


def test_a_database_with_accounts_is_refused(database: Database) -> None:
    with database.owner() as other:
        other.execute(
            "INSERT INTO account (login, name, created_at)"
            " VALUES ('ana', 'Ana Real', '2026-11-22 12:00:00.000000')"
        )
        other.commit()
    with pytest.raises(NotEmpty, match="in use"):
        make_demo(100)
    with reading() as db:
        assert not is_demo(db)
        assert db.scalars(select(account.c.login)).all() == ["ana"]


def test_an_interrupted_demo_is_known_as_one(database: Database) -> None:
    def interrupt(done: int, _of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo(300, progress=interrupt)
    with reading() as db:
        assert is_demo(db)
        assert sum(counts(db).values()) > 0
        assert WHOLE not in db.scalars(select(database_fact.c.key)).all()
    with pytest.raises(NotEmpty, match="interrupted"):
        make_demo(300)


# ---------------------------------------------------------------- any number, any seed


@pytest.mark.parametrize("records", [0, 1, 2, 7, 8, 10, 33, 100, 999])
def test_small_demos_hold_the_exact_number_too(records: int) -> None:
    made = [batch.records for batch in Broker(records, 3, A_DAY).batches()]
    assert sum(made) == records


def test_invoices_make_up_the_number_where_nothing_can_be_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("synchist.demo.broker.BLOCKED", 1.0)
    batches = list(Broker(100, 3, A_DAY).batches())
    assert sum(batch.records for batch in batches) == 100
    assert not any(batch.rows[payment.key] for batch in batches for payment in PAYMENTS)


@pytest.mark.parametrize(("records", "seed"), [(12, 7), (33, 19), (64, 21), (150, 19)])
def test_no_payment_comes_before_its_invoice(records: int, seed: int) -> None:
    """In these demos the last payments are for invoices of the very last day."""
    (batch,) = Broker(records, seed, A_DAY).batches()
    billed = {row["id"]: row["created_at"] for row in batch.rows["invoice"]}
    paid = {row["id"]: row["created_at"] for row in batch.rows["invoice_payment"]}
    for link in batch.rows["invoice_payment_application"]:
        assert paid[link["invoice_payment_id"]] > billed[link["invoice_id"]]


def test_another_seed_or_day_gives_another_story() -> None:
    def numbers(seed: int, day: date) -> list[object]:
        return [
            (row["party_id"], row["amount"], row["created_at"])
            for batch in Broker(50, seed, day).batches()
            for row in batch.rows[INVOICES.key]
        ]

    assert numbers(1, A_DAY) == numbers(1, A_DAY)
    assert numbers(1, A_DAY) != numbers(2, A_DAY)
    assert numbers(1, A_DAY) != numbers(1, date(2026, 11, 23))


def test_it_is_made_in_bounded_batches() -> None:
    made = [batch.records for batch in Broker(30_000, 1, A_DAY).batches()]
    assert len(made) > 5
    assert max(made) <= 5_100


# ---------------------------------------------------------------- the default size


@pytest.fixture(scope="module")
def twenty_thousand(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("whole") / "demo.db"
    shutil.copy(sqlite_template, path)
    url = f"sqlite:///{path}"
    with checked(url):
        make_demo()
    return url


@pytest.fixture
def db(twenty_thousand: str) -> Iterator[Connection]:
    with configured(twenty_thousand), reading() as opened:
        yield opened


def test_the_default_view_shows_some_hundred_failures_and_more_before(db: Connection) -> None:
    failed = invoice.c.sync_status == int(SyncStatus.FAILED)
    shown = _number_where(db, INVOICES, Filters().in_window(INVOICES)[0] & failed)
    listed = db.scalar(
        select(func.count()).select_from(INVOICES.source).where(*Filters().conditions(INVOICES))
    )
    assert shown == listed
    assert 200 <= shown <= 400
    assert _number_where(db, INVOICES, failed) - shown > 40


def test_most_records_are_complete(db: Connection) -> None:
    assert sum(counts(db).values()) == 20_000
    for entity in ENTITIES:
        status = entity.table.c.sync_status
        total = _number_where(db, entity, text("1 = 1"))
        assert _number_where(db, entity, status == int(SyncStatus.COMPLETE)) > 0.8 * total
        assert _number_where(db, entity, status == int(SyncStatus.FAILED)) > 100
        assert _number_where(db, entity, status == int(SyncStatus.PENDING)) > 25


def test_pending_records_never_tried_are_blocked_or_new(db: Connection) -> None:
    for entity in ENTITIES:
        of = entity.table.c
        untried = (of.sync_status == int(SyncStatus.PENDING)) & of.sync_at.is_(None)
        assert _number_where(db, entity, untried & of.tms_status.not_in(entity.syncable)) > 10
        tried = of.sync_at.is_not(None)
        assert _number_where(db, entity, tried & of.tms_status.not_in(entity.syncable)) == 0
    syncable = invoice.c.tms_status.in_(INVOICES.syncable)
    waiting = (invoice.c.sync_status == int(SyncStatus.PENDING)) & invoice.c.sync_at.is_(None)
    assert _number_where(db, INVOICES, waiting & syncable) > 3


def test_error_texts_have_many_shapes(db: Connection) -> None:
    texts = db.scalars(select(sync_event.c.sync_error).distinct()).all()
    names = db.scalars(select(organization.c.name)).all()
    any_name = re.compile("|".join(re.escape(name) for name in names))
    shapes = {
        re.sub(r"[0-9a-f]*\d[0-9a-f.,:-]*", "#", any_name.sub("NAME", found))
        for found in texts
        if found
    }
    assert len(shapes) >= 60
    found = "\n".join(one for one in texts if one)
    for piece in (
        '{"Fault":',
        "<?xml ",
        "<platformCore:",
        "<html>",
        "45. Line 45",
        '"ValidationErrors": [',
        "\n=HYPERLINK(",
        "**URGENT** <script>",
        "[pay here](http://",
        "\n@billing ",
        "\n-30017",
    ):
        assert piece in found, piece
    assert max(len(one) for one in texts if one) > 4_000


def test_errors_that_name_a_party_name_the_record_s_own(db: Connection) -> None:
    """Also where the text escapes it: names hold apostrophes, ampersands and accents."""
    names = dict(db.execute(select(organization.c.id, organization.c.name)).all())
    texts = db.execute(
        select(sync_event.c.party_id, sync_event.c.sync_error).where(
            sync_event.c.sync_error.contains("Customer '")
            | sync_event.c.sync_error.contains("vendor reference key")
        )
    ).all()
    assert len(texts) > 10
    for party, found in texts:
        assert names[party] in found or names[party].replace("&", "&amp;") in found


def test_the_expired_connection_has_a_burst_of_its_own(db: Connection) -> None:
    states = db.execute(select(connection)).all()
    assert {one.system for one in states} == {"quickbooks_online", "xero", "netsuite"}
    (expired,) = [one for one in states if one.state == "expired"]
    assert expired.token_expires_at < start_of(today())
    assert expired.last_success_at < expired.token_expires_at
    assert all(one.last_success_at for one in states)
    since = (invoice.c.connection_id == expired.id) & (
        invoice.c.sync_at >= expired.token_expires_at
    )
    codes = db.scalars(select(invoice.c.sync_error_code).where(since)).all()
    assert len(codes) > 50
    assert set(codes) == {"3200", "401"}


def test_some_parties_fail_again_and_again(db: Connection) -> None:
    since = Filters().in_window(INVOICES)
    per_party = db.scalars(
        select(func.count())
        .where(
            invoice.c.sync_status == int(SyncStatus.FAILED),
            invoice.c.sync_error.contains("contact")
            | invoice.c.sync_error.contains("Customer record"),
            *since,
        )
        .group_by(invoice.c.party_id)
    ).all()
    assert max(per_party) >= 5


def test_payments_fail_while_their_invoice_is_not_synced(db: Connection) -> None:
    link = INVOICE_PAYMENTS.applications
    waiting = db.execute(
        select(invoice_payment.c.sync_error, invoice.c.number)
        .join_from(link.table, invoice_payment, link.own == invoice_payment.c.id)
        .join(invoice, link.other == invoice.c.id)
        .where(
            invoice.c.sync_status == int(SyncStatus.FAILED),
            invoice_payment.c.sync_at.is_not(None),
        )
    ).all()
    assert len(waiting) > 20
    assert all(error is not None for error, _ in waiting)
    assert sum(number in error for error, number in waiting) > 10


def test_money_is_in_two_currencies_mostly_in_dollars(db: Connection) -> None:
    for document in (invoice, bill):
        sums = dict(
            db.execute(
                select(document.c.currency, func.count()).group_by(document.c.currency)
            ).all()
        )
        assert set(sums) == {"USD", "CAD"}
        assert sums["USD"] > 2 * sums["CAD"] > 0


def test_closed_books_hold_the_accounting_date(db: Connection) -> None:
    refused = db.execute(
        select(invoice.c.accounting_date, connection.c.lock_date)
        .join_from(invoice, connection)
        .where(invoice.c.sync_error_code.in_(("6210", "TRAN_PERIOD_CLOSED")))
    ).all()
    assert refused
    assert all(day <= locked for day, locked in refused)
