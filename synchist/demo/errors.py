"""What accounting systems answer when they refuse a record; the answers stand in `errors.toml`."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from string import Template

ENTITIES: Mapping[str, tuple[str, ...]] = {
    "invoice": ("invoice",),
    "invoice_payment": ("invoice_payment",),
    "bill": ("bill",),
    "bill_payment": ("bill_payment",),
    "customer": ("invoice", "invoice_payment"),
    "vendor": ("bill", "bill_payment"),
    "document": ("invoice", "bill"),
    "payment": ("invoice_payment", "bill_payment"),
    "any": ("invoice", "invoice_payment", "bill", "bill_payment"),
}


class Cause(StrEnum):
    """Why an attempt fails, as far as the demo needs to know to tell a believable story."""

    AUTHORIZATION = "authorization"  # the connection's token has expired
    PARTY = "party"  # the books do not know the customer or vendor
    LINK = "link"  # a document that the payment is for is not in the books
    CLOSED = "closed"  # the books are closed for the accounting date
    THROTTLED = "throttled"  # too many requests: the job leaves the record pending
    PASSING = "passing"  # the service is away; the next attempt mostly succeeds
    RECORD = "record"  # something about this very record


@dataclass(frozen=True)
class Shape:
    """One kind of answer: who gives it about which entities, why, and how often.

    `text` holds `$name` places: party, party_xml, company, kind, number, linked (number of the
    document that a payment is for), amount, less, currency, account, item, day, us_day, lock,
    moment, txn, hex, ref.
    """

    system: str
    entities: tuple[str, ...]
    cause: Cause
    code: str | None
    text: Template
    weight: int


def _fault(code: str, title: str, text: str) -> str:
    error = {"Message": title, "Detail": text, "code": code, "element": ""}
    body = {"Fault": {"Error": [error], "type": "ValidationFault"}, "time": "$moment"}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def _fault_xml(code: str, title: str, text: str) -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?><IntuitResponse time="$moment"'
        ' xmlns="http://schema.intuit.com/finance/v3"><Fault type="ValidationFault">'
        f'<Error code="{code}"><Message>{title}</Message><Detail>{text}</Detail></Error>'
        "</Fault></IntuitResponse>"
    )


def _validation(code: str, _title: str, text: str) -> str:
    """Xero's JSON: several errors in one answer, one for each line of the text."""
    errors = [{"Message": line} for line in text.splitlines()]
    body = {
        "ErrorNumber": int(code),
        "Type": "ValidationException",
        "Message": "A validation exception occurred",
        "Elements": [{"Reference": "$number", "ValidationErrors": errors}],
    }
    return json.dumps(body, ensure_ascii=False, indent=2)


def _rest(code: str, _title: str, text: str) -> str:
    details = [{"detail": text, "o:errorCode": code}]
    body = {"title": "Request refused", "status": 400, "o:errorDetails": details}
    return json.dumps(body, ensure_ascii=False)


def _soap(code: str, _title: str, text: str) -> str:
    return (
        '<platformCore:status isSuccess="false"><platformCore:statusDetail type="ERROR">'
        f"<platformCore:code>{code}</platformCore:code><platformCore:message>{text}"
        "</platformCore:message></platformCore:statusDetail></platformCore:status>"
    )


def _page(_code: str, _title: str, text: str) -> str:
    """What a proxy in front of a service answers."""
    return (
        f"<html>\r\n<head><title>{text}</title></head>\r\n<body>\r\n<center><h1>{text}</h1>"
        "</center>\r\n<hr><center>edge proxy</center>\r\n</body>\r\n</html>\r\n"
    )


def _trace(_code: str, _title: str, text: str) -> str:
    """An exception inside an exception, with every frame: some 6,000 characters."""
    frames = "".join(
        f"   at Bridge.Pipeline.Stage{number:02}.Run(Envelope envelope, Int32 depth),"
        f" correlation $hex-{number:02}\n"
        for number in range(1, 71)
    )
    return (
        f'Bridge.SyncJobException: could not write $kind "$number"\n{frames}'
        f" ---> Bridge.BooksRefusedException: {text}\n   --- End of inner exception stack trace ---"
    )


def _list(_code: str, _title: str, text: str) -> str:
    """Forty-five errors in one text: some 4,000 characters."""
    lines = "\n".join(f"  {number}. Line {number}: {text}" for number in range(1, 46))
    return f"The import of $kind $number was refused, 45 problems were found:\n{lines}"


_ENVELOPES: Mapping[str, Callable[[str, str, str], str]] = {
    "fault": _fault,
    "fault xml": _fault_xml,
    "validation": _validation,
    "rest": _rest,
    "soap": _soap,
    "page": _page,
    "trace": _trace,
    "list": _list,
}


def _load() -> list[Shape]:
    """Every shape of `errors.toml`, its text in its envelope."""
    catalogue = tomllib.loads((Path(__file__).parent / "errors.toml").read_text("utf-8"))
    shapes = []
    for system, by_entities in catalogue.items():
        for entities, by_cause in by_entities.items():
            for cause, answers in by_cause.items():
                for answer in answers:
                    code, text = answer.get("code"), answer["text"]
                    if "within" in answer:
                        envelope = _ENVELOPES[answer["within"]]
                        text = envelope(code or "", answer.get("title", ""), text)
                    weight = answer.get("weight", 8)
                    shapes.append(
                        Shape(
                            system, ENTITIES[entities], Cause(cause), code, Template(text), weight
                        )
                    )
    return shapes


SHAPES = _load()


def fitting(system: str, entity: str, *causes: Cause) -> list[Shape]:
    """The answers that a system may give about an entity for one of these causes."""
    return [
        shape
        for shape in SHAPES
        if shape.system == system and entity in shape.entities and shape.cause in causes
    ]
