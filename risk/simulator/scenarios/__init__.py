"""Fraud scenarios, one file each; a scenario is parameters and one way to play them."""

from __future__ import annotations

from typing import Final, Protocol

from risk.simulator.label_laws import LabelLaw
from risk.simulator.scenarios.account_takeover import AccountTakeover
from risk.simulator.scenarios.bonus_abuse import BonusAbuse
from risk.simulator.scenarios.card_testing import CardTesting
from risk.simulator.scenarios.dormant_account import DormantAccount
from risk.simulator.scenarios.friendly_fraud import FriendlyFraud
from risk.simulator.scenarios.merchant_collusion import MerchantCollusion
from risk.simulator.scenarios.mule_chain import MuleChain
from risk.simulator.scenarios.refund_abuse import RefundAbuse
from risk.simulator.scenarios.stolen_card import StolenCard
from risk.simulator.scenarios.structuring import Structuring
from risk.simulator.script import Script


class Scenario(Protocol):
    """A way to defraud: a frozen dataclass whose fields say how it goes.

    ``weight`` says how often it is chosen, among the episodes of all scenarios; ``subject`` is
    the kind of entity whose history shows it best; ``features`` are the ones that can see it.
    """

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def subject(self) -> str: ...

    @property
    def features(self) -> tuple[str, ...]: ...

    @property
    def weight(self) -> float: ...

    @property
    def labels(self) -> LabelLaw: ...

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        ...


SCENARIOS: Final[tuple[Scenario, ...]] = (
    CardTesting(),
    AccountTakeover(),
    StolenCard(),
    MuleChain(),
    MerchantCollusion(),
    FriendlyFraud(),
    RefundAbuse(),
    Structuring(),
    BonusAbuse(),
    DormantAccount(),
)
