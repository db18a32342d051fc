"""Fraud scenarios, one file each; a scenario is parameters and one way to play them."""

from __future__ import annotations

from typing import Final, Protocol

from risk.simulator.scenarios.account_takeover import AccountTakeover
from risk.simulator.scenarios.card_testing import CardTesting
from risk.simulator.scenarios.stolen_card import StolenCard
from risk.simulator.script import Script


class Scenario(Protocol):
    """A way to defraud; ``weight`` says how often it is chosen."""

    @property
    def name(self) -> str: ...

    @property
    def weight(self) -> float: ...

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        ...


SCENARIOS: Final[tuple[Scenario, ...]] = (CardTesting(), AccountTakeover(), StolenCard())
