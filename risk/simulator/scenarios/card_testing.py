"""Card testing: stolen card numbers are tried with small amounts, the live ones are emptied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.merchants import Merchant, minor_of
from risk.simulator.population import Account
from risk.simulator.scenarios.moves import Source, any_place, around, stranger, wait
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import HOUR_MS, Attempt, Script

CHEAP_EUR: Final = 20.0  # testers choose merchants whose usual price is below this
_LAW: Final = LabelLaw(
    (
        Way(reporter="cardholder", label="fraud_report", share=0.48, median_hours=30),
        Way(reporter="issuer", label="fraud_report", share=0.12, median_hours=60),
        Way(
            reporter="cardholder", label="chargeback", share=0.20, median_hours=18 * 24,
            earliest_hours=5 * 24, sigma=0.6,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CardTesting:
    """Somebody has bought a list of stolen card numbers and wants to know which ones still work.

    From one or two devices they try card after card with tiny amounts at a cheap online merchant,
    seconds apart. Most tries are declined. Some of the cards that work are used for one bigger
    purchase within the next hours. Each cardholder finds out alone.
    """

    name: ClassVar = "card_testing"
    title: ClassVar = "Card testing"
    subject: ClassVar = "merchant"
    features: ClassVar = (
        "device_cards_24h", "ip_cards_1h", "merchant_small_payments_1h", "ip_declines_1h",
        "merchant_cards_1h", "account_new_device", "payment_amount",
    )  # fmt: skip

    weight: float = parameter(0.075, "", "How often an episode is of this scenario.")
    cards_min: int = parameter(5, "cards", "Fewest cards that one tester tries.", 1)
    cards_max: int = parameter(16, "cards", "Most cards that one tester tries.", 1)
    devices_max: int = parameter(2, "devices", "Most devices of one tester.", 1)
    addresses_max: int = parameter(3, "IP addresses", "Most addresses of one tester.", 1)
    again_share: float = parameter(0.4, "share", "Cards that are tried a second time.")
    amount_eur: float = parameter(1.4, "EUR", "Median amount of a try.", 0.01)
    amount_sigma: float = parameter(0.6, "", "Spread of the logarithm of that amount.")
    gap_ms: int = parameter(25_000, "ms", "Mean time between two tries, beyond 3 s.", 1)
    declined_share: float = parameter(0.55, "share", "Tries that are declined.")
    cash_out_share: float = parameter(0.35, "share", "Live cards used for a bigger purchase.")
    cash_out_eur: float = parameter(140.0, "EUR", "Median amount of that purchase.", 1)
    cash_out_hours_max: float = parameter(3.0, "h", "Longest wait until that purchase.", 0.1)
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        cheap = [shop for shop in script.market.online if shop.trade.median_eur < CHEAP_EUR]
        merchant = cheap[int(len(cheap) * rng.random())]
        place = any_place(rng)
        devices = [stranger(script, place) for _ in range(rng.randint(1, self.devices_max))]
        ips = [stranger(script, place).ip for _ in range(rng.randint(1, self.addresses_max))]
        for turn in range(rng.randint(self.cards_min, self.cards_max)):
            account = script.population.anyone(rng)
            source = devices[turn % len(devices)]._replace(ip=ips[turn % len(ips)])
            at_ms = self._try_card(script, account, merchant, at_ms, source)

    def _try_card(
        self, script: Script, account: Account, merchant: Merchant, at_ms: int, source: Source
    ) -> int:
        """Plan the tries of one card and what it is then used for; when the next one is tried."""
        rng = script.rng
        more = {"card": account.cards[0], "channel": "ecom", **source._asdict()}
        attempts: list[Attempt] = []
        alive = False
        for _ in range(1 + int(rng.random() < self.again_share)):
            amount = minor_of(around(rng, self.amount_eur, self.amount_sigma), merchant.place)
            alive = rng.random() >= self.declined_share
            reason = None if alive else ("invalid_cvv", "expired_card")[int(2 * rng.random())]
            payment = script.card_payment(account, merchant, at_ms, amount, **more)
            attempts.append(Attempt(payment, reason))
            at_ms += 3_000 + int(rng.expovariate(1 / self.gap_ms))
        if alive and rng.random() < self.cash_out_share:
            later_ms = at_ms + wait(script, 0.1 * HOUR_MS, self.cash_out_hours_max * HOUR_MS)
            shop = script.market.resale_online[int(len(script.market.resale_online) * rng.random())]
            amount = minor_of(around(rng, self.cash_out_eur, 0.6), shop.place)
            payment = script.card_payment(account, shop, later_ms, amount, **more)
            attempts.append(Attempt(payment, "insufficient_funds" if rng.random() < 0.2 else None))
        script.fraud(self.name, self.labels, attempts)
        return at_ms
