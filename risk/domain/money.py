"""Integer minor units, and immutable tables of exchange rates.

A rate says how many base major units one major unit of a currency is worth, times 10^9.
One rounding rule: half to even, on the last division only.
"""

from __future__ import annotations

import hashlib

import msgspec

from risk.domain.codes import CURRENCY_EXPONENT
from risk.domain.errors import BadConfiguration

RATE_SCALE = 10**9


def divide_half_even(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` rounded half to even; both not negative.

    >>> [divide_half_even(n, 2) for n in (1, 3, 5)]
    [0, 2, 2]
    """
    quotient, rest = divmod(numerator, denominator)
    if rest * 2 > denominator or (rest * 2 == denominator and quotient % 2 == 1):
        return quotient + 1
    return quotient


class ExchangeRates(msgspec.Struct, frozen=True, kw_only=True):
    """An immutable table: base currency, date, and rates scaled by 10^9."""

    base: str
    as_of: str
    source: str
    rates_e9: dict[str, int]

    def __post_init__(self) -> None:
        for code, rate in {**self.rates_e9, self.base: RATE_SCALE}.items():
            if code not in CURRENCY_EXPONENT:
                raise BadConfiguration(f"exchange rates: {code!r} is not an ISO 4217 code")
            if rate <= 0:
                raise BadConfiguration(f"exchange rates: the rate of {code} must be above 0")

    def digest(self) -> str:
        """SHA-256 of the table, in hex."""
        return hashlib.sha256(msgspec.json.encode(self, order="sorted")).hexdigest()

    def to_base(self, amount_minor: int, currency: str) -> int | None:
        """``amount_minor`` of ``currency`` in minor units of the base; None without a rate.

        >>> rates = ExchangeRates(base="EUR", as_of="2026-01-01", source="example",
        ...                       rates_e9={"JPY": 6_000_000})
        >>> rates.to_base(1000, "JPY"), rates.to_base(1000, "EUR"), rates.to_base(1, "USD")
        (600, 1000, None)
        """
        if currency == self.base:
            return amount_minor
        rate = self.rates_e9.get(currency)
        if rate is None:
            return None
        up = 10 ** CURRENCY_EXPONENT[self.base]
        down = RATE_SCALE * 10 ** CURRENCY_EXPONENT[currency]
        return divide_half_even(amount_minor * rate * up, down)
