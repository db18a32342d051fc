"""Reads the tables that ship with Weir, or the operator's own."""

from __future__ import annotations

import os
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import msgspec

from risk.domain.errors import BadConfiguration
from risk.domain.money import ExchangeRates


def exchange_rates(path: Path | None, base: str) -> ExchangeRates:
    """The table at ``path`` (the shipped one where None); raises BadConfiguration."""
    rates = _read(path or files("risk.tables") / "rates.json", str(path or "as shipped"))
    if rates.base != base:
        raise BadConfiguration(
            f"exchange rates are for base {rates.base}, WEIR_BASE_CURRENCY is {base}"
        )
    return rates


class RateTables:
    """Every table of exchange rates that this state folder has used, by digest.

    Records name the table their amounts were converted with; recovery needs that table again.
    """

    def __init__(self, state: Path, current: ExchangeRates) -> None:
        self._folder = state / "tables" / "rates"
        self._held = {current.digest(): current}
        self._keep(current)

    def of(self, digest: str) -> ExchangeRates:
        """The table of ``digest``; raises BadConfiguration where it is not to be had."""
        held = self._held.get(digest)
        if held is None:
            path = self._folder / f"{digest}.json"
            if not path.exists():
                raise BadConfiguration(
                    f"exchange rates {digest} are not in {self._folder}; copy the table there"
                )
            held = _read(path, str(path))
            if held.digest() != digest:
                raise BadConfiguration(f"exchange rates {path} were changed; copy the table there")
            self._held[digest] = held
        return held

    def _keep(self, table: ExchangeRates) -> None:
        path = self._folder / f"{table.digest()}.json"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(f".{os.getpid()}")
            fresh.write_bytes(msgspec.json.encode(table))
            fresh.replace(path)


def _read(path: Path | Traversable, name: str) -> ExchangeRates:
    try:
        return msgspec.json.decode(path.read_bytes(), type=ExchangeRates)
    except (msgspec.DecodeError, OSError) as error:
        raise BadConfiguration(f"exchange rates {name}: {error}") from None
