"""Friendly fraud: an honest purchase that its own buyer disputes weeks later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.scenarios.moves import at_home
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import Attempt, Script

_LAW: Final = LabelLaw(
    (
        Way(
            reporter="cardholder", label="chargeback", share=1.0, median_hours=22 * 24,
            earliest_hours=8 * 24, sigma=0.5, won_share=0.4, won_median_hours=12 * 24,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FriendlyFraud:
    """A customer buys something online, as always, and weeks later disputes the payment.

    They say that they never made it, or that nothing arrived. Device, address, card and merchant
    are the usual ones; only the amount is somewhat above the ordinary. The merchant contests the
    dispute and wins some of them back. While the payment happens there is next to nothing to see:
    it is in the world to show what a model cannot know.
    """

    name: ClassVar = "friendly_fraud"
    title: ClassVar = "Friendly fraud"
    subject: ClassVar = "account"
    features: ClassVar = ("payment_card_absent",)

    weight: float = parameter(0.23, "", "How often an episode is of this scenario.")
    familiar_share: float = parameter(0.6, "share", "Purchases at a merchant known to the buyer.")
    dearness: float = parameter(1.5, "factor", "By which the price is above the usual one.", 0.1)
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        account = script.population.anyone(rng)
        familiar = rng.random() < self.familiar_share
        merchant = (
            account.online[int(len(account.online) * rng.random())]
            if familiar
            else script.market.online_shop(rng)
        )
        amount = merchant.price_minor(rng, account.purse * self.dearness)
        payment = script.card_payment(
            account, merchant, at_ms, amount, card=account.cards[0],
            email_hash=account.email_hash, channel="app" if rng.random() < 0.3 else "ecom",
            **at_home(account)._asdict(),
        )  # fmt: skip
        script.fraud(self.name, self.labels, [Attempt(payment)])
