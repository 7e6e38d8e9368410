"""A file is compared and kept; what it says can be accepted, confirmed, and looked at again."""

from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from synchist.accounts import NotAllowed, NotSignedIn, Principal
from synchist.db.engine import reading
from synchist.db.tables import access_event, reconciliation_line
from synchist.entities import BILLS, ENTITIES, INVOICES, Entity
from synchist.history import load_events
from synchist.reconciliation import decisions, saved
from synchist.reconciliation.decisions import NotAcceptable, NotConfirmable
from synchist.reconciliation.mappings import remember
from synchist.reconciliation.matching import Bucket, Scope
from synchist.reconciliation.report import Coverage, Reading
from synchist.reconciliation.saved import NoSuchReconciliation, NotComparable
from synchist.status_changes import undo
from synchist.statuses import CloseReason
from tests.changes import APPLIED, COMPLETE, CONFLICTED, FAILED, OPERATOR, attempt, row, run
from tests.conftest import Database
from tests.reconciliation.desk import (
    ALL,
    compare,
    day,
    document,
    ids,
    kept,
    like,
    lines,
    place,
    records,
    report,
)
from tests.world import STORIES, World

US = [name for name, story in STORIES.items() if story.currency == "USD"]
"""The stories whose records are of the connection QuickBooks US."""


def counted(identity: str) -> dict[Bucket, int]:
    """Rows by bucket, as the page counts them."""
    with reading() as connection:
        return {
            bucket: one.rows
            for bucket, one in saved.summary(connection, identity).items()
            if one.rows
        }


# ---------------------------------------------------------------- comparing


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)
def test_every_line_and_every_record_stands_once_with_both_its_sides(
    database: Database, world: World, analyst: Principal, entity: Entity
) -> None:
    key = entity.key
    documents = [
        like(world, "complete", key),
        like(world, "failed", key),
        like(world, "partial", key, amount=1_350_000 * 10),
        document("NEW-77", 990_000),
    ]
    identity = compare(analyst, world, documents, entity=key)
    frame = lines(identity)
    assert list(frame["sheet_row"].dropna()) == [5, 6, 7, 8]
    assert set(frame["record_id"].dropna()) == ids(world, US, key) - ids(world, ["closed"], key)
    of = {bucket: records(identity, bucket) - ids(world, ["closed"], key) for bucket in Bucket}
    assert of[Bucket.AGREES] == ids(world, ["complete"], key)
    assert of[Bucket.STATUS] == ids(world, ["failed"], key)
    assert of[Bucket.AMOUNT] == ids(world, ["partial"], key)
    others = set(US) - {"complete", "failed", "partial", "closed"}
    assert of[Bucket.NOT_IN_BOOKS] == ids(world, others, key)
    assert list(lines(identity, Bucket.ONLY_IN_BOOKS)["reference"]) == ["NEW-77"]

    pair = lines(identity, Bucket.AMOUNT).iloc[0]
    record = row(entity, world.records(key)["partial"])
    assert (pair["amount"], pair["difference"]) == (13_500_000, -1_500_000)
    assert (pair["record_amount"], pair["record_currency"]) == (150_000, "USD")
    assert (pair["number"], pair["version"]) == (record["number"], record["version"])
    assert (pair["booked_on"], pair["record_date"]) == (record["accounting_date"],) * 2
    assert pair["now_status"] == pair["sync_status"] == COMPLETE


def test_what_was_read_is_kept_and_the_upload_recorded(
    database: Database, world: World, analyst: Principal
) -> None:
    identity = compare(analyst, world, [like(world, "complete")])
    found = kept(identity)
    assert (found.actor, found.connection) == ("Ada", "QuickBooks US")
    assert (found.file_name, found.sha256) == ("transactions.csv", "ab" * 32)
    assert (found.coverage, found.starts_on, found.ends_on) == (Coverage.ALL, day(120), day(0))
    assert (found.rows_read, found.used, found.skipped) == (4, 1, {"headings": 2, "totals": 1})
    assert found.control_total == found.file_total == 21_000_000
    assert found.warnings == ["The file does not say its basis."]
    with reading() as connection:
        assert [one.id for one in saved.latest(connection)] == [identity]
        assert saved.count(connection) == 1
        assert saved.counts(connection, [identity])[identity] == counted(identity)
        said = connection.scalars(
            select(access_event.c.detail).where(access_event.c.kind == "upload")
        ).all()
    assert said == [f"transactions.csv, 1 lines, to reconcile invoices; sha256 {'ab' * 32}"]


def test_sums_are_exact_and_by_currency(
    database: Database, world: World, analyst: Principal
) -> None:
    documents = [
        like(world, "complete", amount=21_000_001),
        like(world, "recovered"),
        document("A-1", 10_000, currency=""),
        document("A-2", 20_000, currency="CAD"),
    ]
    identity = compare(analyst, world, documents)
    with reading() as connection:
        found = saved.summary(connection, identity)
    differs, only = found[Bucket.AMOUNT], found[Bucket.ONLY_IN_BOOKS]
    assert (differs.books, differs.tms) == ({"USD": 21_000_001}, {"USD": 210_000})
    assert differs.difference == {"USD": 1}
    assert (only.documents, only.records) == (2, 0)
    assert only.books == {"": 10_000, "CAD": 20_000}
    assert sum(one.documents for one in found.values()) == 4


@pytest.mark.parametrize("coverage", [Coverage.OPEN, Coverage.UNKNOWN])
def test_only_a_report_of_everything_can_say_that_something_is_missing(
    database: Database, world: World, analyst: Principal, coverage: Coverage
) -> None:
    identity = compare(analyst, world, [like(world, "complete")], replace(ALL, coverage=coverage))
    assert Bucket.NOT_IN_BOOKS not in counted(identity)
    assert records(identity, Bucket.NOT_IN_REPORT) == ids(world, set(US) - {"complete", "closed"})


def test_nobody_makes_a_report_prove_more_than_it_does(
    database: Database, world: World, analyst: Principal
) -> None:
    link = world.connection["QuickBooks US"]
    month = {"start": day(60), "end": day(31), "period": "September 2026"}
    for of, scope, said in (
        (report([], coverage=Coverage.OPEN), ALL, "open items only"),
        (report([], **month), Scope(Coverage.ALL, day(61), day(31)), "of September 2026: choose"),
        (report([], **month), Scope(Coverage.ALL, day(60), day(30)), "of September 2026: choose"),
    ):
        with pytest.raises(NotComparable, match=said):
            saved.compare(analyst, of, link, scope)
    within = Scope(Coverage.ALL, day(50), day(40))
    empty = saved.compare(analyst, report([], **month), link, within)
    assert kept(empty).coverage is Coverage.ALL
    assert lines(empty).empty


def test_what_is_missing_is_of_the_connection_and_the_period_and_was_to_be_synced(
    database: Database, world: World, analyst: Principal
) -> None:
    past = Scope(Coverage.ALL, day(95), day(80))
    identity = compare(analyst, world, [like(world, "complete")], past)
    # Made yesterday: outside the period. Closed for good, or of another connection: never.
    recent = {name for name in US if STORIES[name].created < 80}
    missing = set(US) - {"complete", "closed"} - recent
    assert recent
    assert records(identity, Bucket.NOT_IN_BOOKS) == ids(world, missing)
    assert len(lines(identity)) == 1 + len(missing)


def test_a_record_of_another_time_is_found_by_its_number(
    database: Database, world: World, analyst: Principal
) -> None:
    run(
        database,
        f"UPDATE invoice SET accounting_date = '2019-03-01' WHERE id = {world.invoice['complete']}",
    )
    old = like(world, "complete")
    identity = compare(analyst, world, [old], Scope(Coverage.UNKNOWN, day(95), day(80)))
    assert records(identity, Bucket.AGREES) == ids(world, ["complete"])


def test_a_record_without_an_accounting_date_is_of_the_day_of_its_creation(
    database: Database, world: World, analyst: Principal
) -> None:
    of = world.invoice["complete"]
    run(database, f"UPDATE invoice SET accounting_date = NULL WHERE id = {of}")
    identity = compare(analyst, world, [], Scope(Coverage.ALL, day(90), day(90)))
    frame = lines(identity)
    assert of in set(frame["record_id"])
    assert set(frame["record_date"]) == {day(90)}


def test_the_same_comparison_is_kept_once(
    database: Database, world: World, analyst: Principal
) -> None:
    link, identity = world.connection["QuickBooks US"], str(uuid4())
    for _ in range(2):
        made = saved.compare(
            analyst, report([like(world, "complete")]), link, ALL, identity=identity
        )
        assert made == identity
    with reading() as connection:
        assert saved.count(connection) == 1
        assert connection.scalar(select(func.count()).select_from(access_event)) == 1


def test_what_only_the_user_can_say_must_be_said(
    database: Database, world: World, analyst: Principal
) -> None:
    link, empty = world.connection["QuickBooks US"], report([])
    for scope in (
        Scope(Coverage.ALL, day(30), None),
        Scope(Coverage.ALL, None, day(30)),
        Scope(Coverage.OPEN, day(1), day(2)),
    ):
        with pytest.raises(NotComparable):
            saved.compare(analyst, empty, link, scope)
    with pytest.raises(NotComparable, match="Choose the connection"):
        saved.compare(analyst, empty, 999, ALL)
    with pytest.raises(NoSuchReconciliation):
        kept(str(uuid4()))


def test_progress_is_told(database: Database, world: World, analyst: Principal) -> None:
    told: list[tuple[float, str]] = []
    saved.compare(
        analyst,
        report([like(world, "complete")]),
        world.connection["QuickBooks US"],
        ALL,
        progress=lambda share, doing: told.append((share, doing)),
    )
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert any("Matching 1 lines" in doing for _, doing in told)


def test_lines_are_found_by_number_name_reason_and_amount(
    database: Database, world: World, analyst: Principal
) -> None:
    documents = [document("A-100%", 12_345_000, party="Öl & Söhne"), document("B-2", 770_000)]
    identity = compare(analyst, world, documents)
    for search, found in {
        "a-100%": ["A-100%"],
        "söhne": ["A-100%"],
        "1,234.50": ["A-100%"],
        "77": ["B-2"],
        "%": ["A-100%"],
        "nothing": [],
        "A-1 B-2": ["A-100%", "B-2"],
    }.items():
        frame = lines(identity, Bucket.ONLY_IN_BOOKS, search=search)
        assert list(frame["reference"]) == found, search
        with reading() as connection:
            of = saved.opened(connection, identity)
            assert saved.how_many(connection, of, Bucket.ONLY_IN_BOOKS, search) == len(found)
    assert list(lines(identity, Bucket.ONLY_IN_BOOKS, limit=1, offset=1)["reference"]) == ["B-2"]


# ---------------------------------------------------------------- accept


def accept(principal: Principal, identity: str, *positions: int, **more: object) -> object:
    return decisions.accept(principal, str(uuid4()), identity, positions, **more)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.key)
def test_accepting_closes_with_number_amount_and_date_of_the_file(
    database: Database, world: World, analyst: Principal, entity: Entity
) -> None:
    key = entity.key
    record = world.records(key)["failed"]
    booked = like(world, "failed", key, date=day(88))
    identity = compare(analyst, world, [booked], entity=key)
    receipt = decisions.accept(analyst, str(uuid4()), identity, [place(identity, record)], "Seen")
    assert receipt.outcomes == {APPLIED: 1}
    assert receipt.reason is CloseReason.ALREADY_IN_BOOKS
    assert receipt.filters.startswith("Reconciled with transactions.csv (QuickBooks US, ")
    now = row(entity, record)
    assert (now["sync_status"], now["sync_reference"]) == (COMPLETE, booked["reference"])
    assert now["synced_amount"] == now["amount"]
    with reading() as connection:
        last = load_events(connection, entity, record)[0]
    assert (last.booked_on, last.reference, last.note) == (day(88), booked["reference"], "Seen")
    # The line stays as it was, beside what the record is now.
    line = lines(identity, Bucket.STATUS).iloc[0]
    assert (line["sync_status"], line["now_status"]) == (FAILED, COMPLETE)
    assert line["now_version"] == line["version"] + 1

    taken_back = undo(analyst, str(uuid4()), receipt.operation_id, {})
    assert taken_back.outcomes == {APPLIED: 1}
    again = row(entity, record)
    assert (again["sync_status"], again["sync_reference"]) == (FAILED, None)
    with reading() as connection:
        assert load_events(connection, entity, record)[0].booked_on is None


def test_a_record_that_changed_since_is_a_conflict(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.invoice["failed"]
    identity = compare(analyst, world, [like(world, "failed"), like(world, "failed_twice")])
    run(database, attempt(INVOICES, record, "Timeout"))
    both = [place(identity, record), place(identity, world.invoice["failed_twice"])]
    receipt = decisions.accept(analyst, str(uuid4()), identity, both)
    assert receipt.outcomes == {APPLIED: 1, CONFLICTED: 1}
    assert row(INVOICES, record)["sync_status"] == FAILED


def test_only_the_same_amount_can_be_accepted(
    database: Database, world: World, analyst: Principal
) -> None:
    documents = [
        like(world, "failed", amount=1),
        like(world, "complete"),
        document("NEW-1", 5),
        like(world, "failed_twice"),
    ]
    identity = compare(analyst, world, documents)
    good = place(identity, world.invoice["failed_twice"])
    before = row(INVOICES, world.invoice["failed_twice"])
    for bad in set(lines(identity).index) - {good} | {999}:
        with pytest.raises(NotAcceptable):
            accept(analyst, identity, good, bad)
    assert row(INVOICES, world.invoice["failed_twice"]) == before
    with reading() as connection:
        assert decisions.acceptable(saved.lines(connection, kept(identity))).sum() == 1


def test_only_the_same_amount_is_accepted_however_it_was_found(
    database: Database, world: World, analyst: Principal
) -> None:
    """Of a report of open items a part of the amount is enough for a match, and not for this."""
    part = like(world, "failed", amount=5_000_000)
    scope = Scope(Coverage.OPEN, day(120), day(0), amount_is_open=True)
    identity = compare(analyst, world, [part], scope)
    record = world.invoice["failed"]
    assert records(identity, Bucket.STATUS) == {record}
    with pytest.raises(NotAcceptable):
        accept(analyst, identity, place(identity, record))


def test_what_is_voided_here_should_not_be_there_and_is_not_accepted(
    database: Database, world: World, analyst: Principal
) -> None:
    record = world.invoice["failed"]
    run(database, f"UPDATE invoice SET tms_status = 'Voided' WHERE id = {record}")
    identity = compare(analyst, world, [like(world, "failed")])
    assert records(identity, Bucket.STATUS) == {record}
    with pytest.raises(NotAcceptable, match="not voided"):
        accept(analyst, identity, place(identity, record))


def test_the_same_file_and_what_has_changed_since_are_known(
    database: Database, world: World, analyst: Principal
) -> None:
    first = compare(analyst, world, [like(world, "failed"), like(world, "failed_twice")])
    accept(analyst, first, place(first, world.invoice["failed"]))
    with reading() as connection:
        assert saved.changed(connection, kept(first), Bucket.STATUS) == 1
        assert saved.changed(connection, kept(first), Bucket.AGREES) == 0
    second = compare(analyst, world, [like(world, "failed")])
    with reading() as connection:
        found = saved.same_file(connection, INVOICES, "ab" * 32)
        assert found is not None
        assert found.id == second
        assert saved.same_file(connection, BILLS, "ab" * 32) is None
        assert saved.same_file(connection, INVOICES, "cd" * 32) is None


def test_accepting_twice_changes_nothing_twice(
    database: Database, world: World, analyst: Principal
) -> None:
    identity = compare(analyst, world, [like(world, "failed")])
    operation, at = str(uuid4()), [place(identity, world.invoice["failed"])]
    first = decisions.accept(analyst, operation, identity, at)
    assert decisions.accept(analyst, operation, identity, at).outcomes == first.outcomes
    assert row(INVOICES, world.invoice["failed"])["version"] == 3


def test_who_may_not_changes_and_sees_nothing(
    database: Database, world: World, analyst: Principal, visitor: Principal
) -> None:
    identity = compare(analyst, world, [like(world, "failed")])
    at = place(identity, world.invoice["failed"])
    for who, refusal in ((visitor, NotAllowed), (Principal(None, "nobody"), NotSignedIn)):
        with pytest.raises(refusal):
            compare(who, world, [])
        with pytest.raises(refusal):
            accept(who, identity, at)
        with pytest.raises(refusal):
            decisions.confirm(who, identity, {at: at})
    assert row(INVOICES, world.invoice["failed"])["sync_status"] == FAILED
    with reading() as connection:
        assert saved.count(connection) == 1


def test_the_command_line_may_as_well(database: Database, world: World) -> None:
    identity = compare(OPERATOR, world, [like(world, "failed")])
    assert kept(identity).actor == "cli:operator"
    accept(OPERATOR, identity, place(identity, world.invoice["failed"]))
    assert row(INVOICES, world.invoice["failed"])["sync_status"] == COMPLETE


# ---------------------------------------------------------------- confirm


def suggestion(world: World, story: str, **more: object) -> dict[str, object]:
    """A document without a number, that party, amount and date speak for."""
    return like(world, story, reference="", **more)


def test_a_confirmed_suggestion_goes_where_it_belongs_and_can_be_accepted(
    database: Database, world: World, analyst: Principal
) -> None:
    documents = [suggestion(world, "failed"), suggestion(world, "complete")]
    identity = compare(analyst, world, documents)
    failed, complete = (world.invoice[story] for story in ("failed", "complete"))
    assert records(identity, Bucket.UNCERTAIN) == {failed, complete}
    pairs = {place(identity, record): place(identity, record) for record in (failed, complete)}
    with pytest.raises(NotAcceptable):
        accept(analyst, identity, *pairs)
    before = counted(identity)
    assert decisions.confirm(analyst, identity, pairs) == 2
    assert (records(identity, Bucket.STATUS), records(identity, Bucket.AGREES)) == (
        {failed},
        {complete},
    )
    assert sum(counted(identity).values()) == sum(before.values())
    line = lines(identity, Bucket.STATUS).iloc[0]
    assert (line["confirmed_by"], line["difference"]) == ("Ada", 0)
    accept(analyst, identity, place(identity, failed))
    now = row(INVOICES, failed)
    # There is no number to take over.
    assert (now["sync_status"], now["sync_reference"]) == (COMPLETE, None)
    assert now["synced_amount"] == now["amount"]
    with pytest.raises(NotConfirmable):
        decisions.confirm(analyst, identity, pairs)


def test_one_of_several_candidates_is_chosen(
    database: Database, world: World, analyst: Principal
) -> None:
    """One line, and two records that it may be: the other one is left over."""
    base = row(INVOICES, world.invoice["failed"])
    run(
        database,
        "INSERT INTO invoice (tms_id, number, party_id, billing_organization_id, connection_id,"
        " currency, amount, tms_status, accounting_date, created_at, sync_status)"
        f" SELECT 'twin', 'TWIN-1', party_id, billing_organization_id, connection_id, currency,"
        f" amount, tms_status, accounting_date, created_at, 0 FROM invoice WHERE id = {base['id']}",
    )
    identity = compare(analyst, world, [suggestion(world, "failed")])
    frame = lines(identity, Bucket.UNCERTAIN)
    assert len(frame) == 3
    assert frame["case"].nunique() == 1
    (document_at,) = frame.index[frame["sheet_row"].notna()]
    twin_at, record_at = (
        int(frame.index[frame["number"] == number][0]) for number in ("TWIN-1", base["number"])
    )
    for wrong in ({record_at: twin_at}, {record_at: document_at}, {document_at: 999}):
        with pytest.raises(NotConfirmable):
            decisions.confirm(analyst, identity, wrong)
    assert decisions.confirm(analyst, identity, {int(document_at): twin_at}) == 1
    assert list(lines(identity, Bucket.STATUS)["number"]) == ["TWIN-1"]
    assert list(lines(identity, Bucket.UNCERTAIN)["number"]) == [base["number"]]
    receipt = decisions.accept(analyst, str(uuid4()), identity, [int(document_at)])
    assert receipt.applied == 1
    with pytest.raises(NotConfirmable):
        decisions.confirm(analyst, identity, {int(document_at): record_at})


# ---------------------------------------------------------------- kept for good


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE reconciliation SET file_name = 'other'",
        "DELETE FROM reconciliation_line",
        "UPDATE reconciliation_line SET bucket = 'agrees'",
        "DELETE FROM reconciliation_confirmation",
        "UPDATE export_reading SET reading = '{}'",
    ],
)
def test_what_is_kept_is_never_changed(
    database: Database, world: World, analyst: Principal, statement: str
) -> None:
    identity = compare(analyst, world, [suggestion(world, "failed")])
    at = place(identity, world.invoice["failed"])
    decisions.confirm(analyst, identity, {at: at})
    remember(analyst, "invoice", ["Num"], Reading())
    with pytest.raises(database.refusals, match="append-only"):
        run(database, statement)


def test_a_hundred_thousand_lines_fit(database: Database, world: World, analyst: Principal) -> None:
    """More lines than are written at a time, none lost."""
    documents = [document(f"N-{number}", number * 10_000) for number in range(1, 12_001)]
    identity = compare(analyst, world, documents, Scope(Coverage.UNKNOWN, None, None))
    with reading() as connection:
        stored = connection.scalar(select(func.count()).select_from(reconciliation_line))
        found = saved.summary(connection, identity)[Bucket.ONLY_IN_BOOKS]
    assert stored >= 12_000
    assert found.books == {"USD": 10_000 * 12_000 * 12_001 // 2}
