"""Account takeover: guessed or phished password, new device, new beneficiary, money gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.merchants import minor_of
from risk.simulator.population import Account
from risk.simulator.scenarios.moves import (
    Source,
    add_beneficiary,
    any_place,
    around,
    at_home,
    mule,
    reset_password,
    stranger,
    transfer,
)
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import Attempt, Script

_LAW: Final = LabelLaw(
    (
        Way(reporter="account holder", label="fraud_report", share=0.70, median_hours=14),
        Way(
            reporter="bank's analyst", label="analyst_fraud", share=0.18, median_hours=60,
            earliest_hours=4,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccountTakeover:
    """A thief guesses or has phished the password of an account.

    After some failed logins, sometimes a password reset, they log in from a device of their own,
    store a new beneficiary (a mule) and send money in quick succession. Quiet thieves steer the
    victim's own device from afar and send ordinary amounts: little of that can be seen.
    """

    name: ClassVar = "account_takeover"
    title: ClassVar = "Account takeover"
    subject: ClassVar = "account"
    features: ClassVar = (
        "account_new_device", "account_beneficiaries_added_24h", "account_failed_logins_1h",
        "account_device_changes_24h", "account_password_resets_24h", "account_transfers_24h",
        "account_amount_ratio_30d", "beneficiary_accounts_7d",
    )  # fmt: skip

    weight: float = parameter(0.25, "", "How often an episode is of this scenario.")
    guesses_max: int = parameter(7, "logins", "Most failed logins before the one that works.")
    abroad_share: float = parameter(0.5, "share", "Thieves who sit in any country at all.")
    quiet_share: float = parameter(0.15, "share", "Thieves who use the victim's own device.")
    reset_share: float = parameter(0.35, "share", "Loud thieves who reset the password.")
    transfers_max: int = parameter(4, "transfers", "Most transfers of one episode.", 1)
    gap_ms: int = parameter(150_000, "ms", "Mean time between two transfers, beyond 15 s.", 1)
    amount_eur: float = parameter(420.0, "EUR", "Median amount of a transfer.", 1)
    quiet_eur: float = parameter(120.0, "EUR", "Median amount that a quiet thief sends.", 1)
    amount_sigma: float = parameter(0.8, "", "Spread of the logarithm of the amounts.")
    declined_share: float = parameter(0.15, "share", "Transfers that fail for lack of funds.")
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        account = script.population.anyone(rng)
        quiet = rng.random() < self.quiet_share
        if quiet:
            source = at_home(account)
        else:
            abroad = rng.random() < self.abroad_share
            source = stranger(script, any_place(rng) if abroad else account.place)
        at_ms = self._break_in(script, account, at_ms, source, quiet)
        self._drain(script, account, at_ms, source, self.quiet_eur if quiet else self.amount_eur)

    def _break_in(
        self, script: Script, account: Account, at_ms: int, source: Source, quiet: bool
    ) -> int:
        rng = script.rng
        for _ in range(0 if quiet else int((self.guesses_max + 1) * rng.random())):
            script.login(account, at_ms, source.device, source.ip, ok=False)
            at_ms += 1_500 + int(rng.expovariate(1 / 12_000))
        if not quiet and rng.random() < self.reset_share:
            reset_password(script, account, at_ms, source)
            at_ms += 20_000 + int(60_000 * rng.random())
        script.login(account, at_ms, source.device, source.ip)
        if not quiet and rng.random() < 0.7:
            script.device_change(account, at_ms + 5_000, source.device, source.ip)
        return at_ms + 15_000 + int(rng.expovariate(1 / 90_000))

    def _drain(
        self, script: Script, account: Account, at_ms: int, source: Source, median_eur: float
    ) -> None:
        rng = script.rng
        collector = mule(script)
        add_beneficiary(script, account, at_ms, collector, source)
        attempts: list[Attempt] = []
        for _ in range(rng.randint(1, self.transfers_max)):
            at_ms += 15_000 + int(rng.expovariate(1 / self.gap_ms))
            euro = around(rng, median_eur, self.amount_sigma)
            amount = minor_of(euro, account.place, rng.random())
            payment = transfer(script, account, at_ms, amount, collector, source)
            failed = rng.random() < self.declined_share
            attempts.append(Attempt(payment, "insufficient_funds" if failed else None))
        script.fraud(self.name, self.labels, attempts)
