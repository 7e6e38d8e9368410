"""A raw message of any shape as plain words and codes.

Faults come as text, JSON, XML, HTML, nested exceptions of other languages, cut off anywhere. None
of it is parsed: what is left when all marks are taken away are the same words in the same order.
"""

import html
import re
import unicodedata
from dataclasses import dataclass

HEAD, TAIL = 9_000, 3_000
"""Of a longer message its beginning and its end are read."""


@dataclass(frozen=True)
class Message:
    """`raw` without escapes, `text` as plain words between blanks, the `words` of it, `codes` in
    upper case, and the accounting systems that it speaks of."""

    raw: str
    text: str
    words: frozenset[str]
    codes: frozenset[str]
    systems: frozenset[str]


_ESCAPES = re.compile(r"\\+(?:[nrt](?![a-z])|u[0-9a-fA-F]{4}|[\"'/\\<>])|\bu(?=['\"])")
_QUOTES = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "«": '"', "»": '"', "\x00": " "})
_HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_MARKS = re.compile(r"[^a-z0-9]+")
_APOSTROPHES = re.compile(r"(?<=[a-z])'(?=(?:t|s|re|ve|d|ll|m)\b)", re.IGNORECASE)

_CODES = re.compile(
    r"""
    \bcode["'\s:=>\#]{0,8}(?:0{0,3})(-?\w{2,40})   # code=6000, "code": "6210", errorCode=003200
    | \berror\ (\d{2,5})\b                         # Error 3140:
    | ^\s*(\d{2,5})\s?[:\-]                        # 620: TxnID …
    | \b([A-Z]{2,3}\d{3,8}|GW-\d{4})\b             # BL01001973, NS0055, GW-0011
    | \b(0x8004[0-9A-Fa-f]{4})\b                   # results of QuickBooks Desktop
    | \b([A-Z]{3,}(?:_[A-Z0-9]+){1,12})\b          # INVALID_KEY_OR_REF
    | \b((?:Internal|Application|BadRequest|Authentication|Authorization|Request)_\w{3,40})\b
    | \b(E[A-Z]{5,12})\b                           # ECONNREFUSED
    """,
    re.VERBOSE | re.MULTILINE,
)
_STATUS = re.compile(
    r"(?i)\b(?:status(?:[ _]?code)?|api[ _]error|response[ _]code"
    r"|http(?:[ _/]?\d\.\d)?(?:[ _]status)?(?:[ _]error)?(?:[ _]code)?)"
    r"[\"'\s:=>\[(]{0,6}(?:is)?\s?([45]\d\d)\b"
)
_ALIAS = {
    " quick books": " quickbooks",
    " net suite": " netsuite",
    " your qbo account": " your company",
    " your quickbooks account": " your company",
    " your quickbooks online account": " your company",
    " your xero account": " your company",
    " your netsuite account": " your company",
    " vendor invoice no": " external document no",
    " app accounting": " app",
    " suite talk": " suitetalk",
    " o auth": " oauth",
    " vendor bill": " bill",
    " vendor payment": " bill payment",
    " vendor credit": " credit memo",
    " customer payment": " invoice payment",
    " customer invoice": " invoice",
    " contact support": " ask support",
    " contact customer": " ask",
    " contact your": " ask your",
    " contact us": " ask us",
    " contact the": " ask the",
    " customer support": " support",
    " customer service": " support",
    " customer care": " support",
}
"""Names whose capitals are no humps, and words that name a document or a help desk and no party."""

_ALIASES = re.compile("|".join(_ALIAS))
_SYSTEMS = {
    "quickbooks_desktop": (
        " qbxml",
        " quickbooks desktop",
        " web connector",
        " quickbooks error message",
    ),
    "quickbooks_online": (" intuit", " qbo", " quickbooks"),
    "xero": (" xero",),
    "netsuite": (" netsuite", " suite script", " suitetalk", " suiteql"),
    "sage_intacct": (" intacct",),
    "business_central": (" business central", " dynamics", " sales header", " purchase header"),
}


def read(message: str, code: str = "") -> Message:
    """Words and codes of a message and of the code stored beside it."""
    if len(message) > HEAD + TAIL:
        message = f"{message[:HEAD]} {message[-TAIL:]}"
    raw = html.unescape(_ESCAPES.sub(_unescaped, message)).translate(_QUOTES)
    text = _ALIASES.sub(lambda found: _ALIAS[found[0]], f" {normalized(raw)} ")
    codes = {found.upper() for groups in _CODES.findall(raw) for found in groups if found}
    codes |= set(_STATUS.findall(raw))
    if code.strip():
        codes = {code.strip().upper()} | {one for one in codes if not one.isdecimal()}
    systems = {system for system, words in _SYSTEMS.items() if any(word in text for word in words)}
    if "quickbooks_desktop" in systems:
        systems.discard("quickbooks_online")
    return Message(raw, text, frozenset(text.split()), frozenset(codes), frozenset(systems))


def normalized(text: str) -> str:
    """Plain lower-case words: marks become blanks, `VendorRef` two words, `can't` one."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text.translate(_QUOTES))
        text = "".join(mark for mark in text if not unicodedata.combining(mark))
    text = _APOSTROPHES.sub("", text)
    return _MARKS.sub(" ", _HUMPS.sub(" ", text).lower()).strip()


def _unescaped(escape: re.Match[str]) -> str:
    mark = escape[0].lstrip("\\")
    if mark[:1] == "u" and len(mark) == 5:
        return chr(int(mark[1:], 16))
    return mark if mark in ("'", '"') else " "
