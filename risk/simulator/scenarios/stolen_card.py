"""Stolen card: goods that sell again, in shops or online, until the card is blocked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from risk.simulator.merchants import Merchant, minor_of
from risk.simulator.places import PLACES
from risk.simulator.population import address
from risk.simulator.script import Script


@dataclass(frozen=True, slots=True)
class StolenCard:
    """Up to ``payments_max`` purchases, minutes to an hour apart, each likelier to be declined.

    ``online`` is the share of thieves who only have the number; ``modest`` ones buy what everybody
    buys, for ordinary amounts, and are hard to find.
    """

    name: str = "stolen_card"
    weight: float = 0.46
    payments_min: int = 2
    payments_max: int = 7
    online: float = 0.5
    modest: float = 0.2
    near_home: float = 0.55
    amount_eur: float = 110.0
    growth: float = 1.25
    gap_ms: int = 1_100_000
    reported: float = 0.85
    noticed_hours: float = 20.0

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode."""
        rng = script.rng
        account = script.population.anyone(rng)
        where = account.home
        if rng.random() >= self.near_home:
            where = int(len(PLACES) * rng.random())
        online, modest = rng.random() < self.online, rng.random() < self.modest
        source = self._source(script, where) if online else {}
        card = account.cards[-1]
        report = script.report(at_ms, self.reported, self.noticed_hours)
        euro = self.amount_eur * math.exp(rng.gauss(0, 0.5))
        declined = 0.06
        for _ in range(rng.randint(self.payments_min, self.payments_max)):
            merchant = self._merchant(script, where, online, modest)
            amount = (
                merchant.price_minor(rng, account.purse)
                if modest
                else minor_of(euro * math.exp(rng.gauss(0, 0.3)), merchant.place, rng.random())
            )
            payment = script.card_payment(
                account, merchant, at_ms, amount, card=card,
                channel="ecom" if online else _till(rng.random()), **source,
            )  # fmt: skip
            reason = "limit_exceeded" if rng.random() < declined else None
            script.fraud(payment, at_ms, self.name, reason, report)
            declined += 0.08
            euro *= self.growth
            at_ms += 40_000 + int(rng.expovariate(1 / self.gap_ms))

    def _merchant(self, script: Script, where: int, online: bool, modest: bool) -> Merchant:
        rng, market = script.rng, script.market
        if online:
            if modest or rng.random() < 0.3:
                return market.online_shop(rng)
            return market.resale_online[int(len(market.resale_online) * rng.random())]
        local = market.shops[where]
        choice = [shop for shop in local if shop.trade.resale] if not modest else local
        return choice[int(len(choice) * rng.random())]

    def _source(self, script: Script, where: int) -> dict[str, str]:
        place = PLACES[where]
        return {
            "device": script.new_device(),
            "ip": address(place, script.rng),
            "ip_country": place.country,
        }


def _till(draw: float) -> str:
    """Without the PIN a thief taps or swipes."""
    return "pos_contactless" if draw < 0.7 else "pos_swipe"
