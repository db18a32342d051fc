"""Stolen card: goods that sell again, in shops or online, until the card is blocked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.merchants import Merchant, minor_of
from risk.simulator.places import PLACES
from risk.simulator.scenarios.moves import around, stranger
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import Attempt, Script

_LAW: Final = LabelLaw(
    (
        Way(reporter="cardholder", label="fraud_report", share=0.55, median_hours=20),
        Way(
            reporter="cardholder", label="chargeback", share=0.30, median_hours=18 * 24,
            earliest_hours=5 * 24, sigma=0.6,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StolenCard:
    """A thief has a card, or only its number, and buys goods that sell again.

    Minutes to an hour lie between the purchases, the amounts grow, and each purchase is likelier
    to be declined than the one before. Modest thieves buy what everybody buys, for ordinary
    amounts, and are hard to find.
    """

    name: ClassVar = "stolen_card"
    title: ClassVar = "Stolen card"
    subject: ClassVar = "card"
    features: ClassVar = (
        "card_payments_1h", "card_amount_sum_1h", "card_amount_ratio_30d", "card_new_merchant",
        "card_declines_1h", "card_new_device", "payment_mcc",
    )  # fmt: skip

    weight: float = parameter(0.33, "", "How often an episode is of this scenario.")
    payments_min: int = parameter(2, "payments", "Fewest purchases of one thief.", 1)
    payments_max: int = parameter(7, "payments", "Most purchases of one thief.", 1)
    online_share: float = parameter(0.5, "share", "Thieves who only have the number.")
    modest_share: float = parameter(0.2, "share", "Thieves who buy what everybody buys.")
    near_home_share: float = parameter(0.55, "share", "Cards used in the city of their owner.")
    amount_eur: float = parameter(110.0, "EUR", "Median amount of the first purchase.", 1)
    growth: float = parameter(1.25, "factor", "By which the next amount is larger.", 1)
    gap_ms: int = parameter(1_100_000, "ms", "Mean time between two purchases, beyond 40 s.", 1)
    declined_share: float = parameter(0.06, "share", "Chance that the first one is declined.")
    declined_growth: float = parameter(0.08, "share", "What each further one adds to that.")
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        account = script.population.anyone(rng)
        where = account.home
        if rng.random() >= self.near_home_share:
            where = int(len(PLACES) * rng.random())
        online, modest = rng.random() < self.online_share, rng.random() < self.modest_share
        more = stranger(script, PLACES[where])._asdict() if online else {}
        euro = around(rng, self.amount_eur, 0.5)
        attempts: list[Attempt] = []
        for turn in range(rng.randint(self.payments_min, self.payments_max)):
            merchant = self._merchant(script, where, online, modest)
            amount = (
                merchant.price_minor(rng, account.purse)
                if modest
                else minor_of(around(rng, euro, 0.3), merchant.place, rng.random())
            )
            payment = script.card_payment(
                account, merchant, at_ms, amount, card=account.cards[-1],
                channel="ecom" if online else _till(rng.random()), **more,
            )  # fmt: skip
            failed = rng.random() < self.declined_share + turn * self.declined_growth
            attempts.append(Attempt(payment, "limit_exceeded" if failed else None))
            euro *= self.growth
            at_ms += 40_000 + int(rng.expovariate(1 / self.gap_ms))
        script.fraud(self.name, self.labels, attempts)

    def _merchant(self, script: Script, where: int, online: bool, modest: bool) -> Merchant:
        rng, market = script.rng, script.market
        if online:
            if modest or rng.random() < 0.3:
                return market.online_shop(rng)
            return market.resale_online[int(len(market.resale_online) * rng.random())]
        local = market.shops[where]
        choice = [shop for shop in local if shop.trade.resale] if not modest else local
        return choice[int(len(choice) * rng.random())]


def _till(draw: float) -> str:
    """Without the PIN a thief taps or swipes."""
    return "pos_contactless" if draw < 0.7 else "pos_swipe"
