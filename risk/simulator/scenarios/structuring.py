"""Structuring: large sums in parts, each just below the amount that has to be reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.domain.codes import CURRENCY_EXPONENT
from risk.domain.event import ScoredEvent
from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.numbers import name
from risk.simulator.places import Place
from risk.simulator.population import DAY_MS, Account
from risk.simulator.scenarios.moves import (
    add_beneficiary,
    at_home,
    by_day,
    transfer,
    wait,
    withdrawal,
)
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import Attempt, Script

_LAW: Final = LabelLaw(
    (
        Way(
            reporter="bank's analyst", label="analyst_fraud", share=0.45, median_hours=40 * 24,
            earliest_hours=28 * 24, sigma=0.5,
        ),
    )
)  # fmt: skip
ROUND_TO: Final = 50.0  # people who stay below a limit choose amounts such as 9,800 or 9,950


@dataclass(frozen=True, slots=True)
class Structuring:
    """Somebody moves a large sum without ever reaching the amount that banks must report.

    Several times a week, for some weeks, they send to their own accounts elsewhere or take out at
    the counter a little less than the threshold. Device and address are their own. Each movement
    is lawful alone; the row of them is not. Only the bank looks for it, weeks later, and does not
    always find it.
    """

    name: ClassVar = "structuring"
    title: ClassVar = "Structuring under a threshold"
    subject: ClassVar = "account"
    features: ClassVar = (
        "payment_amount", "account_amount_sum_7d", "account_amount_max_30d",
        "account_amount_spread_30d", "account_amount_ratio_30d",
        "beneficiary_amount_sum_24h",
    )  # fmt: skip

    weight: float = parameter(0.01, "", "How often an episode is of this scenario.")
    threshold_eur: float = parameter(10_000.0, "EUR", "The amount that must be reported.", 100)
    below_share_max: float = parameter(0.1, "share", "How far below it an amount lies at most.")
    per_week_min: int = parameter(2, "movements", "Fewest movements of a week.", 1)
    per_week_max: int = parameter(4, "movements", "Most movements of a week.", 1)
    weeks_min: int = parameter(2, "weeks", "Shortest episode.", 1)
    weeks_max: int = parameter(4, "weeks", "Longest episode.", 1)
    cash_share: float = parameter(0.3, "share", "Movements taken out in cash.")
    beneficiaries_max: int = parameter(2, "beneficiaries", "Most accounts elsewhere.", 1)
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        account = script.population.anyone(rng)
        source = at_home(account)
        own = [
            name("ben", script.seed, script.number(), 19)
            for _ in range(rng.randint(1, self.beneficiaries_max))
        ]
        for turn, beneficiary in enumerate(own):
            add_beneficiary(script, account, at_ms + 20_000 * turn, beneficiary, source)
        attempts: list[Attempt] = []
        for week in range(rng.randint(self.weeks_min, self.weeks_max)):
            per_week = rng.randint(self.per_week_min, self.per_week_max)
            for turn in range(per_week):
                begin_days = 7 * (week + turn / per_week)
                moment = at_ms + 120_000 + wait(
                    script, begin_days * DAY_MS, (begin_days + 7 / per_week - 0.3) * DAY_MS
                )  # fmt: skip
                payment = self._move(script, account, by_day(script, moment), own)
                attempts.append(Attempt(payment))
        script.fraud(self.name, self.labels, attempts)

    def _move(
        self, script: Script, account: Account, at_ms: int, beneficiaries: list[str]
    ) -> ScoredEvent:
        rng = script.rng
        amount = self._amount_minor(account.place, rng.random())
        if rng.random() < self.cash_share:
            return withdrawal(script, account, at_ms, amount, script.market.cash[account.home])
        source = at_home(account)
        script.login(account, at_ms - 45_000, source.device, source.ip)
        beneficiary = beneficiaries[int(len(beneficiaries) * rng.random())]
        return transfer(script, account, at_ms, amount, beneficiary, source)

    def _amount_minor(self, place: Place, draw: float) -> int:
        """A rounded amount in minor units, always below the threshold."""
        euro = self.threshold_eur * (1 - self.below_share_max * draw)
        steps = min(euro // ROUND_TO, (self.threshold_eur - 1) // ROUND_TO)
        return int(steps * ROUND_TO * place.per_euro * 10 ** CURRENCY_EXPONENT[place.currency])
