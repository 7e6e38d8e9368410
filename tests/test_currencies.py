"""Money is exact, in whole minor units, and never added across currencies."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synchist.currencies import EXPONENTS, exponent, money, sums, to_decimal, to_minor

currencies = st.sampled_from(["USD", "CAD", "MXN", "EUR", *EXPONENTS])
minors = st.integers(-(2**63), 2**63 - 1)


@given(minors, currencies)
def test_there_and_back_is_exact(minor: int, currency: str) -> None:
    assert to_minor(to_decimal(minor, currency), currency) == minor


@given(minors, currencies)
def test_shown_as_many_decimals_as_the_currency_has(minor: int, currency: str) -> None:
    shown, code = money(minor, currency).split(" ")
    assert code == currency
    assert len(shown.partition(".")[2]) == exponent(currency)
    assert to_minor(Decimal(shown.replace(",", "")), currency) == minor


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (123_450, "USD", "1,234.50 USD"),
        (5, "CAD", "0.05 CAD"),
        (-5, "CAD", "-0.05 CAD"),
        (0, "USD", "0.00 USD"),
        (1_234, "JPY", "1,234 JPY"),
        (1_234_567, "KWD", "1,234.567 KWD"),
        (9_007_199_254_740_993, "USD", "90,071,992,547,409.93 USD"),  # no float holds this
    ],
)
def test_money_in_words(minor: int, currency: str, shown: str) -> None:
    assert money(minor, currency) == shown


@pytest.mark.parametrize(
    ("amount", "currency"), [("0.001", "USD"), ("0.5", "JPY"), ("1.2345", "KWD")]
)
def test_more_decimals_than_the_currency_has_are_refused(amount: str, currency: str) -> None:
    with pytest.raises(ValueError, match=f"{amount} has more decimals than {currency} allows"):
        to_minor(Decimal(amount), currency)


def test_trailing_zeros_are_no_decimals() -> None:
    assert to_minor(Decimal("12.5000"), "USD") == 1_250
    assert to_minor(Decimal("3.00"), "JPY") == 3


def test_sums_stand_side_by_side_largest_first() -> None:
    assert sums({"CAD": 31_000, "USD": 120_000}) == "1,200.00 USD + 310.00 CAD"
    assert sums({"USD": 100, "CAD": -200, "EUR": 100}) == "-2.00 CAD + 1.00 EUR + 1.00 USD"
    assert sums({}) == ""
