"""Card testing: stolen card numbers are tried with small amounts, the live ones are emptied."""

from __future__ import annotations

import math
from dataclasses import dataclass

from risk.simulator.merchants import Merchant, minor_of
from risk.simulator.places import PLACES
from risk.simulator.population import Account, address
from risk.simulator.script import HOUR_MS, Script


@dataclass(frozen=True, slots=True)
class CardTesting:
    """One tester works through ``cards_*`` cards at one small merchant.

    Amounts are in euro, gaps in milliseconds; ``live`` cards are used for one bigger purchase.
    """

    name: str = "card_testing"
    weight: float = 0.12
    cards_min: int = 5
    cards_max: int = 16
    amount_eur: float = 1.4
    amount_sigma: float = 0.6
    gap_ms: int = 25_000
    declined: float = 0.55
    cash_out: float = 0.35
    cash_out_eur: float = 140.0
    reported: float = 0.8
    noticed_hours: float = 30.0

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode."""
        rng = script.rng
        cheap = [shop for shop in script.market.online if shop.trade.median_eur < 20]
        merchant = cheap[int(len(cheap) * rng.random())]
        place = PLACES[int(len(PLACES) * rng.random())]
        devices = [script.new_device() for _ in range(1 + int(2 * rng.random()))]
        ips = [address(place, rng) for _ in range(1 + int(3 * rng.random()))]
        for number in range(rng.randint(self.cards_min, self.cards_max)):
            account = script.population.anyone(rng)
            source = (devices[number % len(devices)], ips[number % len(ips)], place.country)
            at_ms = self._try_card(script, account, merchant, at_ms, source)

    def _try_card(
        self, script: Script, account: Account, merchant: Merchant, at_ms: int,
        source: tuple[str, str, str],
    ) -> int:  # fmt: skip
        rng = script.rng
        card = account.cards[0]
        report = script.report(at_ms, self.reported, self.noticed_hours)
        device, ip, ip_country = source
        more = {"card": card, "device": device, "ip": ip, "ip_country": ip_country}
        alive = False
        for _ in range(1 + int(rng.random() < 0.4)):
            euro = self.amount_eur * math.exp(rng.gauss(0, self.amount_sigma))
            amount = minor_of(euro, merchant.place)
            alive = rng.random() >= self.declined
            payment = script.card_payment(account, merchant, at_ms, amount, channel="ecom", **more)
            reason = None if alive else ("invalid_cvv", "expired_card")[int(2 * rng.random())]
            script.fraud(payment, at_ms, self.name, reason, report)
            at_ms += 3_000 + int(rng.expovariate(1 / self.gap_ms))
        if alive and rng.random() < self.cash_out:
            later_ms = at_ms + int(HOUR_MS * rng.uniform(0.1, 3) * max(script.delay_factor, 0.01))
            shops = script.market.resale_online
            shop = shops[int(len(shops) * rng.random())]
            euro = self.cash_out_eur * math.exp(rng.gauss(0, 0.6))
            payment = script.card_payment(
                account, shop, later_ms, minor_of(euro, shop.place), channel="ecom", **more
            )
            reason = "insufficient_funds" if rng.random() < 0.2 else None
            script.fraud(payment, later_ms, self.name, reason, report)
        return at_ms
