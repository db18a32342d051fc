"""Money: exponents, frozen code tables, one rounding rule."""

from __future__ import annotations

from fractions import Fraction

import iso4217
import pycountry
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.codes import COUNTRIES, CURRENCIES, CURRENCY_EXPONENT
from risk.domain.errors import BadConfiguration
from risk.domain.limits import AMOUNT_MINOR_MAX, AMOUNT_SQUARED_CLAMP, TAIL_CAP
from risk.domain.money import ExchangeRates, divide_half_even


def test_exponents_agree_with_an_independent_library() -> None:
    theirs = {one.code: one.exponent for one in iso4217.Currency}
    assert {code: theirs[code] for code in CURRENCIES} == CURRENCY_EXPONENT
    assert set(CURRENCY_EXPONENT.values()) == {0, 2, 3}


def test_countries_agree_with_an_independent_library() -> None:
    assert set(COUNTRIES) == {one.alpha_2 for one in pycountry.countries}


def test_tables_fit_the_byte_that_a_record_gives_them() -> None:
    assert len(CURRENCIES) < 256
    assert len(COUNTRIES) < 256
    assert (CURRENCIES.index("EUR"), COUNTRIES.index("DE")) == (44, 56), "codes never move"


@given(st.integers(0, AMOUNT_MINOR_MAX), st.integers(1, 10**12))
def test_rounding_is_half_to_even(numerator: int, denominator: int) -> None:
    assert divide_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


def test_sums_of_squares_cannot_overflow() -> None:
    assert TAIL_CAP * AMOUNT_SQUARED_CLAMP**2 < 2**63


def test_no_rate_is_none_and_zero_decimals_are_known() -> None:
    rates = ExchangeRates(
        base="EUR", as_of="2026-01-01", source="test", rates_e9={"JPY": 6_100_000}
    )
    assert rates.to_base(1000, "JPY") == 610
    assert rates.to_base(1000, "USD") is None
    assert len(rates.digest()) == 64


@pytest.mark.parametrize("table", [{"JPY": 0}, {"XXXX": 1}])
def test_bad_tables_are_refused(table: dict[str, int]) -> None:
    with pytest.raises(BadConfiguration):
        ExchangeRates(base="EUR", as_of="", source="", rates_e9=table)
