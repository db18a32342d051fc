"""Merchant collusion: a crooked merchant charges complicit cards, and is gone when it comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.domain.event import ScoredEvent
from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.merchants import Merchant, minor_of
from risk.simulator.numbers import mix
from risk.simulator.population import DAY_MS, Account
from risk.simulator.scenarios.moves import at_home, by_day, wait
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import Attempt, Script

CROOKED: Final = 8  # merchants of a world who do this, and do it again
_LAW: Final = LabelLaw(
    (
        Way(
            reporter="cardholder", label="chargeback", share=0.65, median_hours=28 * 24,
            earliest_hours=15 * 24, sigma=0.5, won_share=0.05, won_median_hours=15 * 24,
        ),
        Way(
            reporter="issuer", label="fraud_report", share=0.10, median_hours=21 * 24,
            earliest_hours=14 * 24, sigma=0.6,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MerchantCollusion:
    """A merchant and a handful of cardholders invent sales.

    Over some days each complicit card pays a few times, always one of two or three round amounts.
    The merchant is paid out by its bank and closes; weeks later the cardholders dispute the
    payments, and the bank has the loss. Every card disputes for itself, some never do. Each
    payment looks ordinary; what stands out is the merchant: the same amounts, again and again.
    """

    name: ClassVar = "merchant_collusion"
    title: ClassVar = "Merchant collusion"
    subject: ClassVar = "merchant"
    features: ClassVar = (
        "merchant_amount_ratio_7d", "merchant_amount_spread_7d", "payment_amount",
        "merchant_fraud_30d", "merchant_fraud_share_30d", "card_amount_ratio_30d",
    )  # fmt: skip

    weight: float = parameter(0.01, "", "How often an episode is of this scenario.")
    cards_min: int = parameter(4, "cards", "Fewest complicit cards.", 1)
    cards_max: int = parameter(9, "cards", "Most complicit cards.", 1)
    payments_min: int = parameter(2, "payments", "Fewest payments of one card.", 1)
    payments_max: int = parameter(4, "payments", "Most payments of one card.", 1)
    days_max: float = parameter(12.0, "days", "From the first to the last possible payment.", 0.1)
    amount_eur_min: int = parameter(100, "EUR", "Smallest amount, rounded to fifty.", 50)
    amount_eur_max: int = parameter(600, "EUR", "Largest amount, rounded to fifty.", 50)
    amounts_max: int = parameter(3, "amounts", "Most different amounts of one episode.", 1)
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        merchant = _crooked(script)
        least, most = self.amount_eur_min // 50, self.amount_eur_max // 50
        amounts = [50.0 * rng.randint(least, most) for _ in range(rng.randint(1, self.amounts_max))]
        times = [at_ms]
        for _ in range(rng.randint(self.cards_min, self.cards_max)):
            account = script.population.anyone(rng)
            count = rng.randint(self.payments_min, self.payments_max)
            while len(times) < count:
                times.append(by_day(script, at_ms + wait(script, 0, self.days_max * DAY_MS)))
            attempts = [
                Attempt(_sale(script, account, merchant, moment, rng.choice(amounts)))
                for moment in sorted(times)
            ]
            script.fraud(self.name, self.labels, attempts)
            times = []


def _crooked(script: Script) -> Merchant:
    """One of the few merchants of this world who take part in such things."""
    market = script.market
    which = int(CROOKED * script.rng.random())
    shops = market.resale_online if which % 2 else market.resale_shops
    return shops[mix(script.seed, which, 17) % len(shops)]


def _sale(
    script: Script, account: Account, merchant: Merchant, at_ms: int, euro: float
) -> ScoredEvent:
    """A sale that looks like any other, with the card at hand or from home."""
    more = at_home(account)._asdict() if merchant.trade.online else {}
    channel = "ecom" if merchant.trade.online else "pos_chip"
    amount = minor_of(euro, merchant.place, 0.0)
    card = account.cards[0]
    return script.card_payment(account, merchant, at_ms, amount, card=card, channel=channel, **more)
