"""What a failed sync means: cause, explanation, steps, and what a retry does.

Three files hold the knowledge, and nothing of it stands in code: `rules.toml` says which words and
codes mean which cause, `causes.toml` what each cause means to an accountant, `names.toml` where
messages name the thing that is wrong.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from synchist.diagnosis.reading import Message, normalized, read

HOME = Path(__file__).parent
ANY = "any"
SECTIONS = ("exact", "family", "code", "rest")
"""Of rules that apply, one of an earlier section wins."""

SYSTEMS: Mapping[str, str] = {
    "quickbooks_online": "QuickBooks",
    "quickbooks_desktop": "QuickBooks",
    "xero": "Xero",
    "netsuite": "NetSuite",
    "sage_intacct": "Sage Intacct",
    "business_central": "Business Central",
}
"""Names of accounting systems; any other is spoken of as "the accounting system"."""


class Cause(StrEnum):
    """Why a push fails."""

    AUTHORIZATION = "authorization"
    PERMISSION = "permission"
    CUSTOMER_MAPPING = "customer_mapping"
    VENDOR_MAPPING = "vendor_mapping"
    ACCOUNT_MAPPING = "account_mapping"
    ITEM_MAPPING = "item_mapping"
    TAX = "tax"
    CURRENCY = "currency"
    DUPLICATE = "duplicate"
    CLOSED_PERIOD = "closed_period"
    AMOUNT = "amount"
    LINKED_TRANSACTION = "linked_transaction"
    STALE_OBJECT = "stale_object"
    VALIDATION = "validation"
    RATE_LIMIT = "rate_limit"
    SERVICE_UNAVAILABLE = "service_unavailable"
    SUBSCRIPTION = "subscription"
    NOT_FOUND_OTHER = "not_found_other"
    UNKNOWN = "unknown"

    @property
    def label(self) -> str:
        """Words for people."""
        return str(_causes()[self]["label"])

    @classmethod
    def from_stored(cls, value: str) -> "Cause":
        """A stored cause; one that this version does not know counts as unknown."""
        return next((cause for cause in cls if cause == value), cls.UNKNOWN)

    @classmethod
    def from_label(cls, label: str) -> "Cause | None":
        """The cause of those words, or None."""
        return next((cause for cause in cls if cause.label == label), None)


class Retry(StrEnum):
    """What sending a record back to Pending does."""

    SAFE = "safe"
    AFTER_THE_FIX = "after the fix"
    CHECK_FIRST = "check first"  # it may have been written
    POINTLESS = "pointless"

    @property
    def sentence(self) -> str:
        """Words for people."""
        return {
            Retry.SAFE: "Sending it back to Pending is safe.",
            Retry.AFTER_THE_FIX: "Sending it back to Pending helps only after the fix.",
            Retry.CHECK_FIRST: "Check the books first: it may have been written, and sending it"
            " back to Pending could write it a second time.",
            Retry.POINTLESS: "Sending it back to Pending leads to the same answer.",
        }[self]


@dataclass(frozen=True)
class Rule:
    """One line of knowledge. Whatever it leaves empty may be anything."""

    cause: Cause
    systems: frozenset[str]
    codes: frozenset[str]
    entities: frozenset[str]
    words: tuple[tuple[tuple[str, ...], ...], ...]
    says: str | None
    retry: Retry | None
    example: str


@dataclass(frozen=True)
class Diagnosis:
    """What a message means. `named` is the thing that it names, or an empty text."""

    cause: Cause
    named: str
    explanation: str
    steps: tuple[str, ...]
    retry: Retry
    rule: Rule | None


def diagnose(
    message: str | None,
    system: str = ANY,
    code: str | None = None,
    entity: str = ANY,
    party: str = "",
) -> Diagnosis:
    """Explain what an accounting system answered.

    `system` and `entity` are the keys of SYSTEMS and `synchist.entities`, or `any`; `code` is what
    the job stored beside the message; `party` is the record's own, for messages that speak of the
    customer or vendor and do not name it. Takes any text, of any length, and never raises.
    """
    found = read(message or "", code or "")
    systems = frozenset({system}) if system in SYSTEMS else found.systems | {system}
    rule = _rule(found, systems, entity)
    cause = rule.cause if rule else Cause.UNKNOWN
    told = system if system in SYSTEMS else min(found.systems, default=system)
    named = _name(cause, found)
    if not named and cause in (Cause.CUSTOMER_MAPPING, Cause.VENDOR_MAPPING):
        named = party
    return explained(cause, named, told, entity, rule)


def explained(
    cause: Cause, named: str, system: str, entity: str, rule: Rule | None = None
) -> Diagnosis:
    """The words for a cause and the thing it is about."""
    of = _causes()[cause]
    words = {
        **_words(named, system),
        "party": "vendor" if entity.startswith("bill") else "customer",
        "document": "record" if entity == ANY else entity.replace("_", " "),
    }
    places = of.get("place", {})
    words["place"] = _filled(places.get(system, places.get(ANY, "")), words)
    return Diagnosis(
        cause=cause,
        named=named,
        explanation=_sentence((rule and rule.says) or of["says"], words),
        steps=tuple(_sentence(step, words) for step in of["steps"]),
        retry=(rule and rule.retry) or Retry(of["retry"]),
        rule=rule,
    )


def shared(cause: Cause, named: str) -> str:
    """The part of the name by which failures belong together; empty where each has its own."""
    return named if "{name}" in _causes()[cause]["problem"] else ""


def title(cause: Cause, named: str, system: str) -> str:
    """What a group of failures is called: `Customer “Blue Mesa Foods” is missing or inactive`."""
    return _sentence(_causes()[cause]["problem"], _words(named, system))


def _words(named: str, system: str) -> dict[str, str]:
    """What every template may say."""
    return {
        "system": SYSTEMS.get(system, "the accounting system"),
        "name": f"“{named}”" if named else "",
    }


@cache
def version() -> str:
    """Identifies the state of the catalogue: another text gives another version."""
    content = b"".join((HOME / name).read_bytes() for name in sorted(_FILES))
    return hashlib.sha256(content).hexdigest()[:12]


# ---------------------------------------------------------------- which rule


def _rule(message: Message, systems: frozenset[str], entity: str) -> Rule | None:
    """The most specific rule that applies, by the order that `rules.toml` states."""
    for rule in rules():
        if (
            (not rule.systems or rule.systems & systems)
            and (not rule.entities or entity in rule.entities)
            and (not rule.codes or rule.codes & message.codes)
            and (not rule.words or any(_together(parts, message) for parts in rule.words))
        ):
            return rule
    return None


NEAR = 90
"""Characters within which the parts of a rule's words must stand."""

TRIES = 4
"""How many places of the first part are looked at."""


def _together(parts: tuple[tuple[str, ...], ...], message: Message) -> bool:
    """Whether one phrase of each part stands in the text, near one of the first part."""
    first, *others = parts
    text = message.text
    for phrase in first:
        if (head := _head(phrase)) and head not in message.words:
            continue  # spares looking through the text for most of the phrases
        start = text.find(phrase)
        for _ in range(TRIES):
            if start < 0:
                break
            near = text[max(0, start - NEAR) : start + len(phrase) + NEAR]
            if all(any(one in near for one in other) for other in others):
                return True
            start = text.find(phrase, start + 1)
    return False


@cache
def _head(phrase: str) -> str:
    """The first word of a phrase, where another one follows, so that it must stand there whole."""
    head, another, _ = phrase[1:].partition(" ")
    return head if another else ""


# ---------------------------------------------------------------- words


LONGEST_NAME = 100


def _name(cause: Cause, message: Message) -> str:
    for pattern in _names().get(cause, ()):
        if found := pattern.search(message.raw):
            name = next(filter(None, found.groups()), "")
            return " ".join(name.split()).strip(" .,:;'\"")[:LONGEST_NAME]
    return ""


_OPTIONAL = re.compile(r"\[([^\]]*)\]")


def _filled(template: str, words: Mapping[str, str]) -> str:
    """A template with its places filled; what is in brackets goes where nothing is named."""
    text = _OPTIONAL.sub(r"\1" if words["name"] else "", template)
    for key, value in words.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _sentence(template: str, words: Mapping[str, str]) -> str:
    text = _filled(template, words)
    return text[:1].upper() + text[1:]


# ---------------------------------------------------------------- the files

_FILES = ("causes.toml", "names.toml", "rules.toml")


def _file(name: str) -> dict[str, Any]:
    return tomllib.loads((HOME / name).read_text(encoding="utf-8"))


@cache
def _causes() -> Mapping[str, dict[str, Any]]:
    return _file("causes.toml")


_QUOTED = re.compile(r'"\(\[\^"\\n\]\{1,(\d+)\}\)"')


@cache
def _names() -> Mapping[str, tuple[re.Pattern[str], ...]]:
    """The patterns by cause. What they write between double quotes may stand between single ones,
    which an apostrophe within a name does not end."""
    either = r"""(?:"([^"\\n]{1,\1})"|'([^\\n]{1,\1}?)'(?!\\w))"""
    return {
        cause: tuple(re.compile(_QUOTED.sub(either, pattern)) for pattern in patterns)
        for cause, patterns in _file("names.toml").items()
    }


@cache
def rules() -> tuple[Rule, ...]:
    """Every rule, the one that wins before those that it wins over."""
    content = _file("rules.toml")
    phrases = {name: tuple(map(_phrase, some)) for name, some in content["phrases"].items()}
    return tuple(_read_rule(entry, phrases) for section in SECTIONS for entry in content[section])


def _read_rule(entry: dict[str, Any], phrases: Mapping[str, tuple[str, ...]]) -> Rule:
    def alternatives(part: str) -> tuple[str, ...]:
        return phrases[part[1:-1]] if part.startswith("{") else (_phrase(part),)

    return Rule(
        cause=Cause(entry["cause"]),
        systems=frozenset(entry.get("systems", ())),
        codes=frozenset(code.upper() for code in entry.get("codes", ())),
        entities=frozenset(entry.get("entities", ())),
        words=tuple(
            tuple(alternatives(part.strip()) for part in line.split("+"))
            for line in entry.get("words", ())
        ),
        says=entry.get("says"),
        retry=Retry(entry["retry"]) if "retry" in entry else None,
        example=entry["example"],
    )


def _phrase(text: str) -> str:
    """A phrase as it is looked for: at the beginning of a word."""
    return " " + normalized(text)
