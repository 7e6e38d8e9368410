"""What messages mean: every rule holds its example, every cause has words, no text breaks it."""

import json
import re
from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synchist.diagnosis import (
    SYSTEMS,
    Cause,
    Retry,
    Rule,
    _causes,
    _names,
    diagnose,
    explained,
    rules,
    title,
    version,
)
from synchist.diagnosis.reading import normalized, read
from synchist.entities import ENTITIES

ENTITY_KEYS = [entity.key for entity in ENTITIES]


def parts(rule: Rule) -> tuple[str, str, str | None, str]:
    """An example as it is diagnosed: message, system, code, entity."""
    labels, _, message = rule.example.partition(" | ")
    system, code, entity = labels.split()
    return message, system, None if code == "-" else code, entity


# ---------------------------------------------------------------- the catalogue


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.example[:60])
def test_every_rule_explains_its_own_example(rule: Rule) -> None:
    assert diagnose(*parts(rule)).rule is rule


def test_the_catalogue_stays_small() -> None:
    assert len(rules()) <= 150
    assert len({rule.example for rule in rules()}) == len(rules())


@pytest.mark.parametrize(("system", "cause"), list(product((*SYSTEMS, "other"), Cause)))
def test_every_cause_has_words_for_every_system(system: str, cause: Cause) -> None:
    for entity, named in product((*ENTITY_KEYS, "any"), ("", "Blue Mesa Foods")):
        found = explained(cause, named, system, entity)
        assert len(found.steps) >= 2
        for text in (found.explanation, *found.steps, title(cause, named, system)):
            assert not re.search(r"[\[\]{}]|\s\s|\s[.,:]", text), text
            assert text[0].isupper() or text[0] == "“"
        assert all(step.endswith(".") for step in (found.explanation, *found.steps))
        assert isinstance(found.retry, Retry)


def test_the_words_of_a_rule_are_words_as_messages_are_read() -> None:
    for rule in rules():
        for alternatives in rule.words:
            for phrases in alternatives:
                for phrase in phrases:
                    assert phrase == f" {normalized(phrase)}", phrase


def test_the_version_follows_the_text() -> None:
    assert re.fullmatch(r"[0-9a-f]{12}", version())


def test_every_cause_is_described_and_reached() -> None:
    assert set(_causes()) == set(Cause)
    assert {rule.cause for rule in rules()} == set(Cause)
    assert set(_names()) <= set(Cause)


# ---------------------------------------------------------------- what is said


@pytest.mark.parametrize(
    ("message", "system", "entity", "sentence"),
    [
        (
            'There is an invalid reference to QuickBooks Customer "Blue Mesa Foods".',
            "quickbooks_desktop",
            "invoice",
            "QuickBooks has no active customer “Blue Mesa Foods” for this invoice.",
        ),
        (
            "Vendor ‘Northgate Carriers’ specified is not valid.",
            "sage_intacct",
            "bill",
            "Sage Intacct has no active vendor “Northgate Carriers” for this bill.",
        ),
        (
            '{"Detail":"DocNumber=20918 is assigned to TxnType=Bill with TxnId=77"}',
            "quickbooks_online",
            "bill",
            "QuickBooks already uses this number or name: “20918”.",
        ),
        (
            "The vendor 'Dana's Diner' is invalid.",
            "sage_intacct",
            "bill",
            "Sage Intacct has no active vendor “Dana's Diner” for this bill.",
        ),
        (
            "Account 16300 is not valid",
            "sage_intacct",
            "bill",
            "The GL account “16300” of this bill is missing, inactive or of the wrong type in Sage"
            " Intacct.",
        ),
        (
            "Please enter value(s) for: Cost Category",
            "netsuite",
            "any",
            "NetSuite refuses the content of a field: “Cost Category”.",
        ),
        ("", "xero", "invoice", "The message does not tell why Xero refused this invoice."),
    ],
)
def test_the_explanation_names_what_the_message_names(
    message: str, system: str, entity: str, sentence: str
) -> None:
    assert diagnose(message, system, None, entity).explanation == sentence


def test_the_entity_decides_whose_name_an_element_is() -> None:
    message = "Invalid Reference Id : Names element id 318 not found"
    causes = {key: diagnose(message, "quickbooks_online", "2500", key).cause for key in ENTITY_KEYS}
    assert causes == {
        "invoice": Cause.CUSTOMER_MAPPING,
        "invoice_payment": Cause.CUSTOMER_MAPPING,
        "bill": Cause.VENDOR_MAPPING,
        "bill_payment": Cause.VENDOR_MAPPING,
    }


def test_the_same_code_means_what_its_system_means() -> None:
    assert diagnose("refused", "quickbooks_desktop", "500").cause is Cause.NOT_FOUND_OTHER
    assert diagnose("refused", "quickbooks_online", "500").cause is Cause.VALIDATION
    assert diagnose("refused", "xero", "500").cause is Cause.SERVICE_UNAVAILABLE


def test_a_catch_all_code_is_not_believed() -> None:
    for code in ("6000", "10", "3170", "3180", "3210"):
        assert diagnose("It did not work.", "any", code).cause is Cause.UNKNOWN


@pytest.mark.parametrize(
    "message",
    [
        "",
        None,
        "ok",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
        "{}",
        "<html></html>",
        "Traceback (most recent call last):",
        "我们无法处理",
        "\x00\x01\x02",
    ],
)
def test_what_tells_nothing_is_unknown(message: str | None) -> None:
    assert diagnose(message).cause is Cause.UNKNOWN


# ---------------------------------------------------------------- every shape

PLAIN = "The account period has closed and the account books cannot be updated"
SHAPES = [
    PLAIN,
    json.dumps({"Fault": {"Error": [{"Message": "x", "Detail": PLAIN, "code": "6210"}]}}),
    json.dumps(json.dumps({"error": {"message": PLAIN}})),
    f'<Fault><Error code="6210"><Message>Refused</Message><Detail>{PLAIN}</Detail></Error></Fault>',
    f"{{u'Fault': {{u'Error': [{{u'Detail': u'{PLAIN}'}}]}}}}",
    f'QboApi::BadRequest: [{{:fault_type=>"ValidationFault", :error_detail=>"{PLAIN}"}}]',
    f"java.lang.RuntimeException: a.SyncException: {PLAIN}\n\tat a.Job.run(Job.java:41)",
    f"System.AggregateException: An error occurred. ({PLAIN}) ---> Ids.IdsException",
    f"<html><body><h1>Error</h1><p>{PLAIN}</p></body></html>",
    PLAIN.upper(),
    PLAIN.replace(" ", "\n"),
    PLAIN.replace(" ", "&nbsp;"),
    f"{PLAIN[:33]}",
    f"{'lorem ipsum ' * 400}{PLAIN}{' dolor sit' * 400}",
    "1) The request was refused. 2) " + PLAIN,
]


@pytest.mark.parametrize("message", SHAPES, ids=range(len(SHAPES)))
def test_the_shape_of_a_message_does_not_matter(message: str) -> None:
    assert diagnose(message).cause is Cause.CLOSED_PERIOD


texts = st.text(max_size=3_000) | st.sampled_from(SHAPES) | st.binary(max_size=500).map(repr)


@given(texts, st.sampled_from([*SYSTEMS, "any", "other", ""]), texts | st.none(), texts)
@settings(max_examples=400, deadline=None)
def test_no_text_raises(message: str, system: str, code: str | None, entity: str) -> None:
    found = diagnose(message, system, code, entity)
    assert found.explanation
    assert len(found.named) <= 120


def test_mutated_messages_never_raise() -> None:
    """10,000 messages cut, doubled, shuffled and spoiled."""
    chance = Random(3)
    source = [*SHAPES, *(parts(rule)[0] for rule in rules())]
    for _ in range(10_000):
        text = chance.choice(source)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(text) + 1)
            text = chance.choice(
                [
                    text[:at],
                    text[at:] + text[:at],
                    text[:at]
                    + chance.choice(["\\", '"', "<", "\x00", "\ud800", "é", "{", "\n"])
                    + text[at:],
                    text + chance.choice(source),
                    text.swapcase(),
                ]
            )
        diagnose(text, chance.choice([*SYSTEMS, "any"]), chance.choice([None, "6000", "x" * 90]))


@pytest.mark.parametrize(
    "junk",
    [
        "a" * 100_000,
        '"' * 100_000,
        "\\" * 100_000,
        "customer " * 12_000,
        "<" * 100_000,
        " " * 100_000,
        "invoice 1" * 11_000,
        "code code code=" * 7_000,
        "&#x41;" * 17_000,
        "A_" * 50_000,
    ],
    ids=range(10),
)
def test_a_message_of_100_kb_is_read_in_part(junk: str) -> None:
    assert len(read(junk).text) < 40_000
    diagnose(junk)


def test_the_end_of_a_long_message_is_read() -> None:
    assert diagnose("stack frame\n" * 9_000 + PLAIN).cause is Cause.CLOSED_PERIOD
