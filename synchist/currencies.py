"""Exact money: whole minor units in the database, Decimal in Python.

Exponents: ISO 4217, the currencies a North American or European freight company meets. A currency
that is not listed has two decimals, as most do.
"""

from collections.abc import Mapping
from decimal import Decimal

EXPONENTS: Mapping[str, int] = {"CLP": 0, "ISK": 0, "JPY": 0, "KRW": 0, "BHD": 3, "KWD": 3}
"""Currencies whose number of decimals is not two."""


def exponent(currency: str) -> int:
    """Number of decimals of a currency (ISO 4217 code)."""
    return EXPONENTS.get(currency, 2)


def to_decimal(minor: int, currency: str) -> Decimal:
    """Whole minor units (cents) as an exact amount: 123450, "USD" is Decimal("1234.50")."""
    return Decimal(minor).scaleb(-exponent(currency))


def to_minor(amount: Decimal, currency: str) -> int:
    """An exact amount as whole minor units.

    Raises ValueError if the amount has more decimals than its currency.
    """
    minor = amount.scaleb(exponent(currency))
    if minor != minor.to_integral_value():
        raise ValueError(f"{amount} has more decimals than {currency} allows")
    return int(minor)


def money(minor: int, currency: str) -> str:
    """An amount as people read it: `1,234.50 USD`."""
    return f"{to_decimal(minor, currency):,} {currency}"


def sums(by_currency: Mapping[str, int]) -> str:
    """Sums per currency, largest first, never added across: `1,200.00 USD + 310.00 CAD`."""
    ordered = sorted(by_currency.items(), key=lambda pair: (-abs(pair[1]), pair[0]))
    return " + ".join(money(minor, currency) for currency, minor in ordered)
