"""Who the made-up broker deals with: its companies and branches, customers and carriers.

Every name is invented. Some hold an apostrophe, an ampersand, an accent or a plus sign: names do.
"""

from dataclasses import dataclass
from datetime import datetime
from random import Random
from string import ascii_uppercase


@dataclass(frozen=True)
class Company:
    """One company in one accounting system: a connection, and the branches that bill through it.

    `branches` maps their codes to their names.
    """

    id: int
    name: str
    system: str
    connection: str
    currency: str
    branches: dict[str, str]


COMPANIES = (
    Company(
        1,
        "Corvane Freight LLC",
        "quickbooks_online",
        "Corvane Freight · QuickBooks Online",
        "USD",
        {"CHI": "Corvane Freight Chicago", "MEM": "Corvane Freight Memphis"},
    ),
    Company(
        2,
        "Corvane Freight Canada Ltd.",
        "xero",
        "Corvane Canada · Xero",
        "CAD",
        {"TOR": "Corvane Canada Toronto", "WPG": "Corvane Canada Winnipeg"},
    ),
    Company(
        3,
        "Tallmere Logistics Inc.",
        "netsuite",
        "Tallmere Logistics · NetSuite",
        "USD",
        {"OMA": "Tallmere Omaha", "DEN": "Tallmere Denver", "LRD": "Tallmere Laredo"},
    ),
)

_TURNS = tuple(COMPANIES[index] for index in (0, 2, 1, 0, 2, 0, 1, 2, 0))
"""Whose the next customer or carrier is, so that each company has large and small ones."""

EXPIRED = COMPANIES[0]
"""The company whose connection nobody renewed in time."""


@dataclass(frozen=True)
class Branch:
    """A billing organization."""

    id: int
    code: str
    name: str
    company: Company


@dataclass
class Party:
    """A customer or a carrier; each deals with one company.

    Between `missing_from` and `missing_until` the books do not know it.
    """

    id: int
    name: str
    company: Company
    currency: str
    scac: str | None = None
    missing_from: datetime | None = None
    missing_until: datetime | None = None

    def is_missing(self, at: datetime) -> bool:
        """Whether the accounting system refuses the name at that moment."""
        if self.missing_from is None or self.missing_until is None:
            return False
        return self.missing_from <= at < self.missing_until


_CUSTOMERS = (
    "Alderbrook Bexmoor Cindervale Dunholt Eastermere Fallowcreek Granthorpe Hollisworth Ironbeck"
    " Juniperfield Kestrelgate Larkmoor Marrowglen Norbeck Oakfen Pellworth Quarrington Redhaven"
    " Stonewick Thornleigh Umberly Vantwell Westerlea Yarrowby"
)
_GOODS = (
    "Foods, Paper, Steel Supply, Beverage, Plastics, Lumber, Produce, Home Goods, Packaging,"
    " Ag Supply, Furniture, Dairy, Tile & Stone, Seed, Castings"
)
_CARRIERS = (
    "Amberline Blackfen Copperhill Driftway Elkhollow Flintridge Greyheron Highcairn Ivorymoor"
    " Jackpine Knollside Longtail Mossback Nightjar Orchardgate Pinebarrow Quillstone Rustbelt"
    " Saltgrass Tamarackroad Underhill Violetdale Windrow Yarnfield Zephyrgate"
)
_TRADES = (
    "Trucking, Transport, Express, Carriers, Freight Lines, Hauling, Motor Freight, Logistics,"
    " Cartage"
)
_UNUSUAL_CUSTOMERS = (
    "O'Dunmore & Daughters Dairy",
    "Fromagerie Côte-Lavallière ltée",
    "A+ Pallet Recyclers, LLC",
    "Lyle, Bexmoor & Partners",
)
_UNUSUAL_CARRIERS = (
    "D. Okonkwell Trucking",
    "T & T Nightjar Haulage",
    "Transport Belle-Fougère inc.",
)


def _names(rng: Random, count: int, first: str, second: str, unusual: tuple[str, ...]) -> list[str]:
    """So many different names, the unusual ones among the first half."""
    pairs = [f"{one} {two}" for one in first.split() for two in second.split(", ")]
    plain = rng.sample(pairs, count - len(unusual))
    names = [f"{name}{rng.choice((' Inc.', ' LLC', ' Co.', ''))}" for name in plain]
    for name in unusual:
        names.insert(rng.randrange(len(names) // 2), name)
    return names


def _scac(name: str, taken: set[str]) -> str:
    """Four letters out of a carrier's name that no other one has."""
    letters = [letter for letter in name.upper() if letter in ascii_uppercase]
    for last in "".join(letters[3:]) + ascii_uppercase:
        code = "".join(letters[:3]) + last
        if code not in taken:
            taken.add(code)
            return code
    raise ValueError(f"no code is left for {name}")


def branches(first_id: int) -> list[Branch]:
    """Every branch, numbered from `first_id`."""
    pairs = [(company, *branch) for company in COMPANIES for branch in company.branches.items()]
    return [
        Branch(first_id + index, code, name, company)
        for index, (company, code, name) in enumerate(pairs)
    ]


def _parties(rng: Random, names: list[str], first_id: int) -> list[Party]:
    """A party for each name; some of a Canadian company deal in USD."""
    parties = []
    for index, name in enumerate(names):
        company = _TURNS[index % len(_TURNS)]
        currency = "USD" if rng.random() < 0.2 else company.currency
        parties.append(Party(first_id + index, name, company, currency))
    return parties


def customers(rng: Random, first_id: int) -> list[Party]:
    """The shippers that pay invoices, the largest first."""
    return _parties(rng, _names(rng, 90, _CUSTOMERS, _GOODS, _UNUSUAL_CUSTOMERS), first_id)


def carriers(rng: Random, first_id: int) -> list[Party]:
    """The carriers that send bills, the busiest first, each with its SCAC."""
    parties = _parties(rng, _names(rng, 130, _CARRIERS, _TRADES, _UNUSUAL_CARRIERS), first_id)
    taken: set[str] = set()
    for party in parties:
        party.scac = _scac(party.name, taken)
    return parties
