"""Reads the tables that ship with Weir, or the operator's own."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import msgspec

from risk.domain.errors import BadConfiguration
from risk.domain.money import ExchangeRates


def exchange_rates(path: Path | None, base: str) -> ExchangeRates:
    """The table at ``path`` (the shipped one where None); raises BadConfiguration."""
    body = (path or files("risk.tables") / "rates.json").read_bytes()
    try:
        rates = msgspec.json.decode(body, type=ExchangeRates)
    except msgspec.DecodeError as error:
        raise BadConfiguration(f"exchange rates {path or 'as shipped'}: {error}") from None
    if rates.base != base:
        raise BadConfiguration(
            f"exchange rates are for base {rates.base}, WEIR_BASE_CURRENCY is {base}"
        )
    return rates
