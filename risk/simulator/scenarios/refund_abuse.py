"""Refund abuse: goods are bought, reported as never arrived, refunded, and kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.merchants import minor_of
from risk.simulator.population import DAY_MS
from risk.simulator.scenarios.moves import around, at_home, by_day, wait
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import Attempt, Script

_LAW: Final = LabelLaw(
    (
        Way(
            reporter="merchant", label="fraud_report", share=0.35, median_hours=45 * 24,
            earliest_hours=28 * 24, sigma=0.6,
        ),
        Way(
            reporter="bank's analyst", label="analyst_fraud", share=0.05, median_hours=50 * 24,
            earliest_hours=30 * 24, sigma=0.6,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RefundAbuse:
    """A customer orders goods that sell again and gets the money back, again and again.

    Each time they say that the parcel was empty or never came; some days later the merchant gives
    the whole amount back. They change the merchant so that nobody sees the row of refunds. Card,
    device and address are their own, so nothing else is out of the ordinary. Merchants compare
    notes late, and often nobody does.
    """

    name: ClassVar = "refund_abuse"
    title: ClassVar = "Refund abuse"
    subject: ClassVar = "account"
    features: ClassVar = ("payment_mcc", "account_amount_ratio_30d", "payment_card_absent")

    weight: float = parameter(0.035, "", "How often an episode is of this scenario.")
    purchases_min: int = parameter(3, "payments", "Fewest purchases of one episode.", 1)
    purchases_max: int = parameter(6, "payments", "Most purchases of one episode.", 1)
    gap_days_max: float = parameter(5.0, "days", "Longest wait from purchase to purchase.", 0.1)
    amount_eur: float = parameter(95.0, "EUR", "Median amount of a purchase.", 1)
    amount_sigma: float = parameter(0.45, "", "Spread of the logarithm of that amount.")
    refund_days_min: float = parameter(2.0, "days", "Shortest wait until the refund.", 0.1)
    refund_days_max: float = parameter(9.0, "days", "Longest wait until the refund.", 0.1)
    refused_share: float = parameter(0.1, "share", "Refunds that the merchant refuses.")
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        account = script.population.anyone(rng)
        shops = script.market.resale_online
        attempts: list[Attempt] = []
        for _ in range(rng.randint(self.purchases_min, self.purchases_max)):
            merchant = shops[int(len(shops) * rng.random())]
            amount = minor_of(around(rng, self.amount_eur, self.amount_sigma), merchant.place)
            payment = script.card_payment(
                account, merchant, at_ms, amount, card=account.cards[0], channel="ecom",
                email_hash=account.email_hash, **at_home(account)._asdict(),
            )  # fmt: skip
            attempts.append(Attempt(payment))
            if rng.random() >= self.refused_share:
                back_ms = wait(script, self.refund_days_min * DAY_MS, self.refund_days_max * DAY_MS)
                script.refund(payment, at_ms + 1000 + back_ms)
            next_ms = at_ms + wait(script, 0.2 * DAY_MS, self.gap_days_max * DAY_MS)
            at_ms = by_day(script, next_ms)
        script.fraud(self.name, self.labels, attempts)
