"""Dormant account woken: after years of silence somebody else comes and takes what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.domain.times import to_ms
from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.merchants import minor_of
from risk.simulator.population import DAY_MS, Account
from risk.simulator.scenarios.moves import (
    add_beneficiary,
    any_place,
    around,
    mule,
    outsider,
    reset_password,
    stranger,
    transfer,
    wait,
)
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import HOUR_MS, Attempt, Script

_LAW: Final = LabelLaw(
    (
        Way(
            reporter="account holder", label="fraud_report", share=0.40, median_hours=10 * 24,
            earliest_hours=24,
        ),
        Way(
            reporter="bank's analyst", label="analyst_fraud", share=0.30, median_hours=4 * 24,
            earliest_hours=12,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DormantAccount:
    """An account that nobody has touched for months is opened by somebody who is not its owner.

    The owner has forgotten it, moved or died; the password was in an old leak or is reset. From a
    new device a beneficiary is stored, and in a few large transfers the money goes. Nobody looks
    at such an account, so it comes out late or never.
    """

    name: ClassVar = "dormant_account"
    title: ClassVar = "Dormant account woken"
    subject: ClassVar = "account"
    features: ClassVar = (
        "account_since_last", "account_payments_30d", "payment_account_age_days",
        "account_password_resets_24h", "account_device_changes_24h",
        "account_beneficiaries_added_24h", "payment_amount", "beneficiary_accounts_7d",
    )  # fmt: skip

    weight: float = parameter(0.015, "", "How often an episode is of this scenario.")
    silent_days_min: float = parameter(200.0, "days", "Least age of the account.", 60)
    silent_days_max: float = parameter(
        2_500.0, "days", "Greatest age, if from before the world.", 60
    )
    abroad_share: float = parameter(0.4, "share", "Thieves who sit in any country at all.")
    guesses_max: int = parameter(3, "logins", "Most failed logins before the one that works.")
    reset_share: float = parameter(0.7, "share", "Thieves who reset the password.")
    transfers_min: int = parameter(2, "transfers", "Fewest transfers.", 1)
    transfers_max: int = parameter(5, "transfers", "Most transfers.", 1)
    gap_hours_max: float = parameter(3.0, "h", "Longest wait from transfer to transfer.", 0.1)
    amount_eur: float = parameter(900.0, "EUR", "Median amount of the first transfer.", 1)
    amount_sigma: float = parameter(0.6, "", "Spread of the logarithm of that amount.")
    growth: float = parameter(1.3, "factor", "By which the next amount is larger.", 0.1)
    declined_share: float = parameter(0.5, "share", "Last transfers that find nothing left.")
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        account = self._account(script, at_ms)
        abroad = rng.random() < self.abroad_share
        source = stranger(script, any_place(rng) if abroad else account.place)
        for _ in range(rng.randint(0, self.guesses_max)):
            script.login(account, at_ms, source.device, source.ip, ok=False)
            at_ms += 2_000 + int(rng.expovariate(1 / 20_000))
        if rng.random() < self.reset_share:
            reset_password(script, account, at_ms, source)
            at_ms += 30_000 + int(90_000 * rng.random())
        script.login(account, at_ms, source.device, source.ip)
        script.device_change(account, at_ms + 5_000, source.device, source.ip)
        at_ms += 30_000 + int(rng.expovariate(1 / 120_000))
        collector = mule(script)
        add_beneficiary(script, account, at_ms, collector, source)
        at_ms += 20_000
        euro = around(rng, self.amount_eur, self.amount_sigma)
        attempts: list[Attempt] = []
        count = rng.randint(self.transfers_min, self.transfers_max)
        for turn in range(count):
            amount = minor_of(euro, account.place, rng.random())
            payment = transfer(script, account, at_ms, amount, collector, source)
            failed = turn == count - 1 and rng.random() < self.declined_share
            attempts.append(Attempt(payment, "insufficient_funds" if failed else None))
            euro *= self.growth
            at_ms += wait(script, 0.05 * HOUR_MS, self.gap_hours_max * HOUR_MS)
        script.fraud(self.name, self.labels, attempts)

    def _account(self, script: Script, at_ms: int) -> Account:
        """One that fell silent in this world; where none is found, one from before it."""
        rng, population = script.rng, script.population
        oldest_ms = at_ms - self.silent_days_min * DAY_MS
        account = population.dormant(rng)
        if account is not None and to_ms(account.opened_at) < oldest_ms:
            # Its owner stays away, and no other thief comes for the next months.
            population.roster.silence(account.number, at_ms)
            return account
        silent_days = rng.uniform(self.silent_days_min, self.silent_days_max)
        return outsider(script, at_ms, silent_days, kyc_level=1 + int(2 * rng.random()))
