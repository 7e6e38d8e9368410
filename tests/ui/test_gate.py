"""Before anything is pushed again: what may already be in the books needs a tick of its own."""

import pytest
from playwright.sync_api import Locator, expect
from streamlit.proto.WidgetStates_pb2 import WidgetState

from synchist import risks
from synchist.db.engine import reading
from synchist.entities import BILL_PAYMENTS, BILLS, INVOICE_PAYMENTS, INVOICES, Entity
from synchist.ui.risk_grid import TICK
from tests.conftest import configured
from tests.ui.desk import Desk
from tests.ui.protocol import Tab, edits
from tests.ui.stage import COMPLETE, FAILED, PENDING, UNSURE, Stage, Staged, listing


@pytest.fixture
def stage(served: str) -> Stage:
    return Stage(served)


def risky(desk: Desk, rows: int) -> list[str]:
    """What stands in each row of the records at risk: number and why."""
    cells = desk.dialog().get_by_test_id
    return [
        " · ".join(cells(f"glide-cell-{column}-{row}").text_content() or "" for column in (1, 2))
        for row in range(rows)
    ]


def apply_button(desk: Desk) -> Locator:
    return desk.dialog().get_by_role("button", name="Apply to")


def ask(desk: Desk, records: list[Staged]) -> None:
    """Tick the records in their list and open the dialog."""
    desk.open(listing(records))
    desk.click("Select all")
    assert desk.selected == len(records)
    desk.click("Send back to Pending")


def test_records_at_risk_stand_apart_and_each_needs_its_own_tick(
    analyst_desk: Desk, stage: Stage
) -> None:
    desk = analyst_desk
    safe = stage.failed(INVOICES, 2)
    (held,) = stage.failed(INVOICES, reference="QB-777")
    (unsure,) = stage.failed(INVOICES, error=UNSURE)
    ask(desk, [*safe, held, unsure])
    expect(desk.dialog()).to_contain_text("4 invoices")
    expect(desk.dialog()).to_contain_text("2 may already be in the books.")
    rows = risky(desk, 2)
    assert sorted(rows) == sorted(
        [
            f"{held.number} · The books gave it the reference QB-777",
            f"{unsure.number} · Its last error leaves open whether it was written: check the books",
        ]
    )
    expect(apply_button(desk)).to_have_text("Apply to 2 invoices")
    desk.tick_risk(1)
    expect(apply_button(desk)).to_have_text("Apply to 3 invoices")
    desk.tick_risk(1)
    expect(apply_button(desk)).to_have_text("Apply to 2 invoices")
    desk.tick_risk(0)
    expect(apply_button(desk)).to_have_text("Apply to 3 invoices")
    ticked, left = (held, unsure) if held.number in rows[0] else (unsure, held)
    desk.apply(despite_risks=False)

    assert stage.statuses([*safe, ticked, left]) == [PENDING, PENDING, PENDING, FAILED]
    assert stage.items(stage.latest.id) == {
        ("invoice", one.id): "applied" for one in (*safe, ticked)
    }
    # What was left out is still there, and still ticked.
    assert desk.selected == desk.matching == 1
    assert desk.numbers(1) == [left.number]


def test_all_of_them_by_one_tick(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    records = stage.failed(BILLS, 3, error=UNSURE)
    ask(desk, records)
    expect(apply_button(desk)).to_have_text("Apply to 0 bills")
    expect(apply_button(desk)).to_be_disabled()
    desk.dialog().get_by_text("Change all 3 anyway").click()
    desk.settle()
    expect(apply_button(desk)).to_have_text("Apply to 3 bills")
    desk.apply(despite_risks=False)
    assert stage.statuses(records) == [PENDING] * 3


def test_nothing_at_risk_asks_for_nothing(analyst_desk: Desk, stage: Stage) -> None:
    desk = analyst_desk
    ask(desk, stage.failed(BILLS, 2))
    expect(apply_button(desk)).to_have_text("Apply to 2 bills")
    assert "may already be" not in desk.dialog().inner_text()
    assert desk.dialog().get_by_test_id("stDataFrame").count() == 0


def test_what_happens_while_the_dialog_is_open_counts(analyst_desk: Desk, stage: Stage) -> None:
    """A job attempts one record; the like of another one gets into the books."""
    desk = analyst_desk
    plain, attempted, doubled, twin = stage.failed(INVOICES, 4)
    ask(desk, [plain, attempted, doubled])
    expect(apply_button(desk)).to_have_text("Apply to 3 invoices")
    stage.attempt(attempted, FAILED, "refused meanwhile")
    its = stage.now(doubled)
    stage.write(
        twin, number=its.number, party_id=its.party_id, amount=its.amount, currency=its.currency
    )
    stage.attempt(twin, COMPLETE, sync_reference="QB-1", synced_amount=its.amount)
    desk.apply(despite_risks=False)
    assert stage.statuses([plain, attempted, doubled]) == [PENDING, FAILED, FAILED]
    assert stage.items(stage.latest.id) == {
        ("invoice", plain.id): "applied",
        ("invoice", attempted.id): "conflicted",
        ("invoice", doubled.id): "risky",
    }
    said = desk.said
    assert "1 invoice moved to" in said
    assert "tried by a sync job meanwhile, left untouched" in said
    assert "at risk of a duplicate and not ticked, left untouched" in said


FORGED = [
    {"1": {TICK: True}, "999999": {TICK: True}, "-1": {TICK: True}},
    {"0": {TICK: "true"}},
    {"0": {TICK: 1}},
    {"0": {"Number": "X", "Select": True}},
    {"00": {TICK: True}, "1": {TICK: True}},
]


def test_forged_ticks_let_nothing_through(server: str, stage: Stage) -> None:
    for forged in FORGED:
        (safe,) = stage.failed(BILLS)
        (at_risk,) = stage.failed(BILLS, error=UNSURE)
        query = listing([safe, at_risk]).partition("?")[2]
        with Tab(server, "bills", "analyst", query=query) as tab:
            tab.run()
            both = edits(tab.grid(), {"0": {"Select": True}, "1": {"Select": True}})
            tab.run(both)
            tab.run(both, WidgetState(id=tab.button("Send back to Pending").id, trigger_value=True))
            grid = tab.all("dataframe")[1]
            apply = WidgetState(id=tab.button("Apply to 1 bill").id, trigger_value=True)
            tab.run(both, edits(grid, forged), apply)
            assert "1 bill moved to" in tab.texts(), forged
        assert stage.statuses([safe, at_risk]) == [PENDING, FAILED], forged
        # It was not even asked for.
        assert stage.items(stage.latest.id) == {("bill", safe.id): "applied"}


def test_a_click_on_apply_that_is_not_offered_changes_nothing(server: str, stage: Stage) -> None:
    (at_risk,) = stage.failed(BILLS, error=UNSURE)
    before = stage.operations
    query = listing([at_risk]).partition("?")[2]
    with Tab(server, "bills", "analyst", query=query) as tab:
        tab.run()
        ticked = edits(tab.grid(), {"0": {"Select": True}})
        tab.run(ticked)
        for opens in ("Send back to Pending", "Update Sync Status"):
            tab.run(ticked, WidgetState(id=tab.button(opens).id, trigger_value=True))
            apply = tab.button("Apply to …")
            assert apply.disabled
            tab.run(ticked, WidgetState(id=apply.id, trigger_value=True))
            tab.run(ticked)
    assert stage.statuses([at_risk]) == [FAILED]
    assert stage.operations == before


def test_a_tick_that_is_none_is_one_sentence(server: str, stage: Stage) -> None:
    (at_risk,) = stage.failed(BILLS, error=UNSURE)
    query = listing([at_risk]).partition("?")[2]
    with Tab(server, "bills", "analyst", query=query) as tab:
        tab.run()
        ticked = edits(tab.grid(), {"0": {"Select": True}})
        tab.run(ticked)
        tab.run(ticked, WidgetState(id=tab.button("Send back to Pending").id, trigger_value=True))
        grid = tab.all("dataframe")[1]
        apply = WidgetState(id=tab.button("Apply to …").id, trigger_value=True)
        tab.run(ticked, edits(grid, {"x": {TICK: True}, "0": None}), apply)
        assert "Something went wrong, and it is not your doing." in tab.texts()
    assert stage.statuses([at_risk]) == [FAILED]


@pytest.mark.parametrize("payments", [INVOICE_PAYMENTS, BILL_PAYMENTS], ids=lambda one: one.slug)
def test_a_payment_takes_along_what_holds_it_up(
    analyst_desk: Desk, stage: Stage, payments: Entity
) -> None:
    desk = analyst_desk
    (payment,) = stage.failed(payments)
    parents = stage.linked(payment)
    for one in parents:
        stage.attempt(one, FAILED, UNSURE, sync_reference=None)
    document = parents[0].entity
    ask(desk, [payment])
    expect(apply_button(desk)).to_have_text(f"Apply to 1 {payments.singular}")
    desk.dialog().get_by_text(f"Also send back {document.count(len(parents))}").click()
    desk.settle()
    # They go through the same gate.
    expect(desk.dialog()).to_contain_text(f"{len(parents)} may already be in the books.")
    desk.apply()
    latest = stage.latest
    assert latest.requested == 1 + len(parents)
    assert stage.items(latest.id) == {
        (one.entity.key, one.id): "applied" for one in (payment, *parents)
    }
    assert set(stage.statuses([payment, *parents])) == {PENDING}
    kinds = f"{document.count(len(parents))} and 1 {payments.singular} moved to"
    assert kinds in desk.said
    desk.open(f"/{document.slug}")  # the receipt is about this kind as well
    assert kinds in desk.said


def test_a_payment_goes_alone_where_nobody_takes_its_document_along(
    analyst_desk: Desk, stage: Stage
) -> None:
    desk = analyst_desk
    (payment,) = stage.failed(INVOICE_PAYMENTS)
    parents = stage.linked(payment)
    for one in parents:
        stage.attempt(one, FAILED, "refused", sync_reference=None)
    ask(desk, [payment])
    desk.apply()
    assert stage.items(stage.latest.id) == {("invoice_payment", payment.id): "applied"}
    assert set(stage.statuses(parents)) == {FAILED}


def test_the_stage_is_what_the_gate_reads(stage: Stage) -> None:
    """The errors above are read as the tests take them."""
    (safe,), (unsure,) = stage.failed(BILLS), stage.failed(BILLS, error=UNSURE)
    with configured(stage.url), reading() as connection:
        found = risks.of_retry(connection, {"bill": [safe.id, unsure.id]})
    assert list(found) == [("bill", unsure.id)]
