"""What has to be fixed, in a real browser: groups of failures, and the lists that they lead to."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import quote_plus, urlsplit

from playwright.sync_api import Locator, expect
from sqlalchemy import select, update

from synchist import hints
from synchist.accounts import Principal
from synchist.causes import State
from synchist.db.engine import reading, writing
from synchist.db.types import utc_now
from synchist.entities import INVOICE_PAYMENTS, INVOICES
from synchist.hints import Subject
from synchist.ui.causes_page import PAGE
from synchist.ui.wording import moment
from tests.conftest import configured
from tests.ui.desk import Desk
from tests.ui.stage import COMPLETE, FAILED, PENDING, Stage, Staged, listing

ENTITIES = r"invoice|invoice payment|bill|bill payment"
MONEY = r"-?[\d,.]+ [A-Z]{3}"
AGES = {"day": 86_400, "hour": 3_600, "minute": 60}


def number(text: str) -> int:
    return int(text.replace(",", ""))


@dataclass(frozen=True)
class Card:
    """A group, as its text says it."""

    title: str
    state: str
    connection: str
    text: str

    @classmethod
    def read(cls, text: str) -> "Card":
        head, connection, *_ = filter(None, text.splitlines())
        found = re.fullmatch(f"(.+) ({'|'.join(State)})", head)
        assert found
        return cls(found[1], found[2], connection, text)

    @property
    def name(self) -> str:
        return f"{self.title} · {self.connection}"

    @property
    def counts(self) -> dict[str, int]:
        """Number of records by the entity's noun."""
        found = re.findall(rf"^([\d,]+) ({ENTITIES})s?$", self.text, re.M)
        return {noun: number(count) for count, noun in found}

    @property
    def records(self) -> int:
        return sum(self.counts.values())

    @property
    def money(self) -> float:
        """The sum, currencies as they stand."""
        line = re.search(rf"^{MONEY}(?: \+ {MONEY})*$", self.text, re.M)
        assert line
        return sum(float(part.split()[0].replace(",", "")) for part in line[0].split(" + "))

    def age(self, what: str) -> int:
        """Seconds after “first seen” or “oldest record”."""
        found = re.search(rf"{what} (?:(\d+) (day|hour|minute)|a moment)", self.text)
        assert found
        return int(found[1]) * AGES[found[2]] if found[1] else 0


def groups(desk: Desk) -> Locator:
    block = desk.page.get_by_test_id("stVerticalBlock")
    return block.filter(has_text="What to do").filter(has_not=block)


def cards(desk: Desk) -> list[Card]:
    """The groups on this page."""
    return [Card.read(text) for text in groups(desk).all_inner_texts()]


def all_cards(desk: Desk) -> list[Card]:
    """The groups on this page and on those that follow."""
    found = cards(desk)
    following = desk.page.get_by_role("button", name="Next page")
    while following.count() and following.is_enabled():
        desk.click("Next page")
        found += cards(desk)
    return found


def shown(desk: Desk) -> tuple[int, int]:
    """How many problems and records the line above the groups says."""
    found = re.search(r"^([\d,]+) problems? · ([\d,]+) records?\b", desk.said, re.M)
    assert found
    return number(found[1]), number(found[2])


def explained(desk: Desk) -> tuple[int, int]:
    """How many problems and records the headline says."""
    found = re.search(r"([\d,]+) problems explain ([\d,]+) failed records", desk.said)
    assert found
    return number(found[1]), number(found[2])


def card_with(desk: Desk, fits: Callable[[Card], bool]) -> tuple[Locator, Card]:
    """The first group that fits."""
    position, card = next((at, card) for at, card in enumerate(cards(desk)) if fits(card))
    return groups(desk).nth(position), card


def leads(group: Locator, noun: str) -> Locator:
    """The link of a group to one entity's list."""
    return group.get_by_role("link", name=re.compile(rf"^[\d,]+ {noun}s?$"))


def reload(desk: Desk) -> None:
    desk.page.reload()
    desk.settle()


def refuse(served: str, error: str) -> str:
    """Let a job's attempt at an invoice that was complete fail; the invoice's number."""
    of = INVOICES.table.c
    complete = select(of.number).where(of.sync_status == 1).order_by(of.id.desc()).limit(1)
    with configured(served), writing() as connection:
        invoice: str = connection.scalars(complete).one()
        connection.execute(
            update(INVOICES.table)
            .where(of.number == invoice)
            .values(sync_status=2, sync_at=utc_now(), sync_error=error)
        )
    return invoice


# ---------------------------------------------------------------- groups


def test_the_groups_are_all_that_the_overview_calls_failed(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    problems, records = explained(desk)
    assert shown(desk) == (problems, records)
    found = all_cards(desk)
    assert len(found) == problems
    assert sum(card.records for card in found) == records
    assert len({card.name for card in found}) == problems
    desk.open("/")
    failed = desk.page.get_by_role("link", name=re.compile("failed")).all_inner_texts()
    assert records == sum(number(re.findall(r"[\d,]+", one)[0]) for one in failed) > 0


def test_groups_stand_on_pages(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    problems, _ = shown(desk)
    first = cards(desk)
    assert len(first) == PAGE
    desk.click("Next page")
    second = cards(desk)
    assert len(second) == min(PAGE, problems - PAGE)
    assert not {card.name for card in first} & {card.name for card in second}
    assert "causes_page=2" in desk.page.url
    reload(desk)
    assert cards(desk) == second
    desk.choose("Sort by", "Most records first")  # another order begins at its first page
    assert len(cards(desk)) == PAGE
    assert "causes_page" not in desk.page.url


def test_groups_stand_in_the_chosen_order(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    orders: dict[str, Callable[[Card], float]] = {
        "Money, highest first": lambda card: -card.money,
        "Most records first": lambda card: -card.records,
        "Oldest record first": lambda card: -card.age("oldest record"),
        "Newest problem first": lambda card: card.age("first seen"),
    }
    for order, rank in orders.items():
        if order != "Money, highest first":  # the order without a choice
            desk.choose("Sort by", order)
            assert f"causes_sort={quote_plus(order)}" in desk.page.url
        found = cards(desk)
        assert all(rank(before) <= rank(after) for before, after in pairwise(found))
        assert rank(found[0]) < rank(found[-1])
    reload(desk)
    assert cards(desk) == found


def test_a_search_finds_names_and_causes(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    everything = shown(desk)
    name = next(card.title.split("“")[1].split("”")[0] for card in cards(desk) if "“" in card.title)
    desk.search(name.upper())
    assert 0 < shown(desk)[0] < everything[0]
    assert all(name in card.title for card in cards(desk))
    desk.search("connection not authorized")  # the cause; no group is called so
    found = cards(desk)
    assert found
    assert all("The connection is down" in card.title for card in found)
    assert "causes_search=connection+not+authorized" in desk.page.url
    reload(desk)
    assert cards(desk) == found
    assert shown(desk) == (len(found), sum(card.records for card in found))
    desk.search("")
    assert shown(desk) == everything


def test_each_development_shows_its_own_groups(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    refuse(served, 'Invalid reference to QuickBooks Customer "Northgate Bakery" in the Invoice')
    desk.open_causes()
    problems = explained(desk)[0]
    counted = 0
    for state in reversed(State):
        desk.status(state)
        assert {card.state for card in all_cards(desk)} <= {state}
        counted += shown(desk)[0]
    assert counted == problems
    found = cards(desk)  # of the last one: New
    assert "Customer “Northgate Bakery” is missing or inactive" in {card.title for card in found}
    assert "causes_state=New" in desk.page.url
    reload(desk)
    assert cards(desk) == found


def test_each_connection_shows_its_own_groups(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    problems = shown(desk)[0]
    counted = 0
    for connection in sorted({card.connection for card in cards(desk)}):
        desk.choose("Connection", connection)
        found = cards(desk)
        assert {card.connection for card in found} == {connection}
        counted += shown(desk)[0]
    assert counted == problems
    assert "causes_connection=" in desk.page.url
    reload(desk)
    assert cards(desk) == found


def test_what_to_do_is_numbered_and_says_what_a_retry_does(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    desk.search("QuickBooks is not authorized")
    group, _ = card_with(desk, lambda card: "QuickBooks" in card.connection)
    group.get_by_role("button", name="What to do").click()
    said = desk.page.get_by_test_id("stPopoverBody")
    expect(said).to_contain_text("QuickBooks no longer accepts the connection")
    expect(said.locator("ol > li")).to_have_count(2)
    expect(said.locator("ol > li").first).to_contain_text("sign in to QuickBooks")
    expect(said).to_contain_text("Sending it back to Pending helps only after the fix.")


# ---------------------------------------------------------------- from a group to its records


def test_a_group_leads_to_exactly_its_invoices_all_selected(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open("/invoices?invoices_range=All+dates")
    failed = desk.matching
    desk.open_causes()
    group, card = card_with(desk, lambda card: card.counts.get("invoice", 0) > 1)
    count = card.counts["invoice"]
    desk.follow(leads(group, "invoice"), "failed invoices")
    assert desk.matching == desk.selected == count < failed
    assert desk.page.get_by_label("Date Range", exact=True).input_value() == "All dates"
    assert f"Only {card.name}\n" in desk.said
    cause = desk.column("Cause")
    assert {desk.cell(cause, row) for row in range(min(count, 8))} == {card.title}

    reload(desk)
    assert (desk.matching, desk.selected) == (count, 0)
    assert f"Only {card.name}\n" in desk.said

    every = desk.page.get_by_role("link", name="Show every cause")
    every.click()
    expect(every).to_have_count(0)
    desk.settle()
    assert desk.matching == failed
    assert "Only " not in desk.said


def test_a_group_of_several_entities_leads_to_each_list(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    _, card = card_with(desk, lambda card: len(card.counts) > 2)
    for noun, count in card.counts.items():
        group, _ = card_with(desk, lambda other: other.name == card.name)
        desk.follow(leads(group, noun), f"failed {noun}")
        assert desk.matching == desk.selected == count
        assert f"Only {card.name}\n" in desk.said
        desk.follow(desk.page.get_by_role("link", name="Causes"), "Causes")


def test_a_group_that_is_sent_back_to_pending_is_no_longer_counted(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    problems, records = explained(desk)
    group, card = card_with(desk, lambda card: len(card.counts) == 1)
    ((noun, count),) = card.counts.items()
    desk.follow(leads(group, noun), f"failed {noun}")
    desk.click("Send back to Pending")
    desk.apply()
    desk.follow(desk.page.get_by_role("link", name="Causes"), "Causes")
    assert explained(desk) == (problems - 1, records - count)
    assert card.name not in {other.name for other in all_cards(desk)}


def test_a_name_from_an_error_is_shown_as_text(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    name = "**B** <img src=x onerror=alert(1)> ![i](http://x.example/i) :red[x] $x$ `c`"
    title = f"Customer “{name}” is missing or inactive"
    invoice = refuse(served, f'Invalid reference to QuickBooks Customer "{name}" in the Invoice')
    asked: list[str | None] = []
    desk.page.on("request", lambda request: asked.append(urlsplit(request.url).hostname))
    desk.page.on("dialog", lambda _: (_ for _ in ()).throw(AssertionError("a script ran")))

    desk.open_causes()
    desk.search(":red[x]")
    (card,) = cards(desk)
    assert card.title == title
    groups(desk).get_by_role("button", name="What to do").click()
    expect(desk.page.get_by_test_id("stPopoverBody")).to_contain_text(f"customer “{name}” for")
    desk.page.keyboard.press("Escape")

    desk.follow(leads(groups(desk), "invoice"), "1 failed invoice")
    assert f"Only {card.name}\n" in desk.said
    assert desk.cell(desk.column("Cause"), 0) == title
    assert desk.numbers(1) == [invoice]
    assert desk.page.locator("img[src=x], img[src*='x.example'], .katex").count() == 0
    assert "localhost" in asked
    assert "x.example" not in asked


# ---------------------------------------------------------------- causes on the lists


def test_a_failed_list_says_the_cause_of_each_record_and_filters_by_it(analyst_desk: Desk) -> None:
    desk = analyst_desk
    desk.open_causes()
    desk.search("Connection not authorized")
    refused = sum(card.counts.get("invoice", 0) for card in cards(desk))
    desk.open("/invoices?invoices_range=All+dates")
    failed = desk.matching
    cause = desk.column("Cause")
    assert all(re.search("[a-z] ", desk.cell(cause, row)) for row in range(8))  # words
    desk.click("More")
    desk.choose("Cause", "Connection not authorized")
    assert desk.matching == refused
    assert 0 < refused < failed
    assert all("is not authorized" in desk.cell(cause, row) for row in range(min(refused, 8)))
    assert desk.page.get_by_role("button", name="More (1)").count() == 1
    assert "invoices_cause=Connection+not+authorized" in desk.page.url
    reload(desk)
    assert desk.matching == refused


def test_a_pending_record_says_why_it_waits(analyst_desk: Desk, served: str) -> None:
    desk = analyst_desk
    of = INVOICES.table.c
    with configured(served):
        with writing() as connection:
            record = connection.scalar(select(of.id).where(of.sync_status == 0).limit(1))
            connection.execute(
                update(INVOICES.table).where(of.id == record).values(tms_status="Voided")
            )
        with reading() as connection:
            since = connection.scalars(select(of.outcome_at).where(of.id == record)).one()
    reason = "TMS status must be Created, Ready or Approved"
    desk.open("/invoices?invoices_status=Pending")
    pending = desk.matching
    waits = desk.column("Why it waits")
    assert len({desk.cell(waits, row) for row in range(min(pending, 8))} - {"", reason}) > 0
    desk.click("More")
    desk.choose("Why it waits", reason)
    assert 0 < desk.matching < pending
    assert {desk.cell(waits, row) for row in range(min(desk.matching, 8))} == {reason}
    desk.status("Failed")  # where nothing waits, the filter neither narrows nor is offered
    assert "reason to wait" not in desk.said
    desk.open(f"/record?entity=invoices&id={record}")
    assert f"{reason}. Pending since {moment(since)}." in desk.said


# ---------------------------------------------------------------- acting on a cause

NAMED = 'Invalid reference to QuickBooks Customer "Sundial Orchards" in the Invoice'


def one_problem(stage: Stage) -> tuple[list[Staged], list[Staged]]:
    """Two invoices and a payment that failed for one cause, and an invoice that failed for it too
    and may be in the books."""
    safe = [*stage.failed(INVOICES, 2, NAMED), *stage.failed(INVOICE_PAYMENTS, 1, NAMED)]
    held = stage.failed(INVOICES, 1, NAMED, reference="QB-HELD")
    its = stage.now(safe[0])
    for one in (*safe, *held):
        stage.write(one, connection_id=its.connection_id)
        stage.attempt(one, FAILED, NAMED)
    return safe, held


def test_a_cause_that_is_fixed_is_sent_back_as_a_whole(analyst_desk: Desk, served: str) -> None:
    desk, stage = analyst_desk, Stage(served)
    safe, (held,) = one_problem(stage)
    desk.open_causes()
    desk.search("Sundial Orchards")
    desk.click("Fixed it: send all 4 back")
    dialog = desk.dialog()
    expect(dialog).to_contain_text("3 invoices and 1 invoice payment")
    expect(dialog).to_contain_text("1 may already be in the books.")
    expect(dialog.get_by_role("checkbox", name="I have fixed")).to_be_checked()
    expect(dialog.get_by_role("button", name="Apply to")).to_have_text("Apply to 3 records")
    desk.apply(despite_risks=False)
    latest = stage.latest
    assert (latest.reason, latest.to_status, latest.requested) == ("fixed", int(PENDING), 3)
    assert latest.filters.startswith("Causes · Customer “Sundial Orchards” is missing or inactive")
    assert stage.items(latest.id) == {(one.entity.key, one.id): "applied" for one in safe}
    assert stage.statuses([*safe, held]) == [PENDING] * 3 + [FAILED]
    said = re.sub(r"\s+", " ", desk.said)
    assert "2 invoices and 1 invoice payment moved to Pending after a fix" in said
    (card,) = cards(desk)  # what was left out
    assert card.counts == {"invoice": 1}

    # Jobs try them: two pass, one fails again. That is what a fix is worth from now on.
    for one in safe[1:]:
        stage.attempt(one, COMPLETE, sync_reference="QB-1")
    stage.attempt(safe[0], FAILED, NAMED)
    desk.open_causes()
    desk.search("Sundial Orchards")
    groups(desk).get_by_role("button", name="What to do").click()
    expect(desk.page.get_by_test_id("stPopoverBody")).to_contain_text(
        "What worked lately: after a fix 67 % of 3 records passed"
    )


def test_a_cause_of_one_record_is_sent_back_without_a_fix(analyst_desk: Desk, served: str) -> None:
    desk, stage = analyst_desk, Stage(served)
    error = 'Invalid reference to QuickBooks Customer "Lone Larch" in the Invoice'
    (record,) = stage.failed(INVOICES, 1, error)
    desk.open_causes()
    desk.search("Lone Larch")
    desk.click("Fixed it: send it back")
    desk.dialog().get_by_text("I have fixed what caused the errors").click()
    desk.settle()
    desk.apply()
    assert stage.latest.reason is None
    assert stage.statuses([record]) == [PENDING]


# ---------------------------------------------------------------- hints of the team

HINT = "Ask **Dana** <img src=x onerror=alert(1)> :red[x] $x$\nThey are Fernhill Baking LLC"


def test_a_hint_is_written_on_causes_and_changed_in_a_record(desk: Desk, served: str) -> None:
    error = 'Invalid reference to QuickBooks Customer "Fernhill Bakery" in the Invoice'
    (record,) = Stage(served).failed(INVOICES, 1, error)
    name = Subject(named="Fernhill Bakery")
    desk.sign_in("Controller")
    desk.settle()
    desk.open_causes()
    desk.search("Fernhill Bakery")
    groups(desk).get_by_role("button", name="What to do").click()
    said = desk.page.get_by_test_id("stPopoverBody")
    desk.click("Write a hint for “Fernhill Bakery”")
    said.get_by_label("Hint for “Fernhill Bakery”").fill(HINT)
    desk.click("Save hint")
    expect(said).to_contain_text("Hint of your team for “Fernhill Bakery” · Cora Bell")
    expect(said.get_by_text(HINT, exact=True)).to_be_visible()
    desk.page.keyboard.press("Escape")
    desk.search("fernhill baking")  # stands in the hint alone
    (card,) = cards(desk)
    assert "Fernhill Bakery" in card.title
    assert "Hint of your team" in card.text

    desk.open(listing([record]))
    drawer = desk.open_record(0)
    expect(drawer.get_by_text(HINT, exact=True)).to_be_visible()
    assert desk.page.locator("img[src=x], .katex").count() == 0
    drawer.get_by_role("button", name="Change").click()
    desk.settle()
    field = drawer.get_by_label("Hint for “Fernhill Bakery”")
    expect(field).to_have_value(HINT)
    with configured(served):
        with reading() as connection:
            (first,) = hints.history(connection, name)
        hints.write(Principal.command_line("Olga"), name, "Ask Olga", first.id)
    field.fill("Ask Dana or Olga")
    desk.click("Save hint")
    expect(drawer).to_contain_text("Meanwhile cli:Olga has written “Ask Olga”.")
    expect(field).to_have_value("Ask Dana or Olga")
    desk.click("Save hint")
    expect(drawer).to_contain_text("Cora Bell")
    expect(field).to_have_count(0)
    drawer.get_by_text("Earlier").click()
    expect(drawer.get_by_text("Ask Olga", exact=True)).to_be_visible()
    with configured(served), reading() as connection:
        texts = [one.text for one in hints.history(connection, name)]
    assert texts == ["Ask Dana or Olga", "Ask Olga", HINT]
