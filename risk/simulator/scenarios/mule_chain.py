"""Mule chain: victims' money passes through several accounts within hours, then leaves as cash."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final, NamedTuple

from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.merchants import minor_of
from risk.simulator.numbers import name
from risk.simulator.population import Account
from risk.simulator.scenarios.moves import (
    Source,
    add_beneficiary,
    any_place,
    around,
    at_home,
    outsider,
    stranger,
    transfer,
    wait,
    withdrawal,
)
from risk.simulator.scenarios.parameters import PAYMENTS, check, parameter
from risk.simulator.script import Attempt, Script

EXITS: Final = 15  # accounts abroad and at exchanges, where the trace ends; used again
MINUTE_MS: Final = 60_000
NOTE_EUR: Final = 20.0
_VICTIMS_LAW: Final = LabelLaw(
    (
        Way(reporter="account holder", label="fraud_report", share=0.75, median_hours=30),
        Way(
            reporter="bank's analyst", label="analyst_fraud", share=0.05, median_hours=4 * 24,
            earliest_hours=8,
        ),
    )
)  # fmt: skip
_MULES_LAW: Final = LabelLaw(
    (
        Way(
            reporter="bank's analyst", label="analyst_fraud", share=0.55, median_hours=5 * 24,
            earliest_hours=12,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MuleChain:
    """Victims pay a mule, mules pay each other, and the last ones take the money out.

    Some victims are tricked into sending the money themselves, from their own device; others lost
    their password and the herder sends it. The first mule passes the money on to others within
    the hour, each keeps a commission, and the last ones withdraw cash and send the rest to an
    account abroad. Mules are ordinary customers; some lend the herder their login, and then one
    device works for several accounts. Victims notice soon, the bank follows the trace more slowly.
    """

    name: ClassVar = "mule_chain"
    title: ClassVar = "Mule chain"
    subject: ClassVar = "account"
    features: ClassVar = (
        "beneficiary_accounts_7d", "beneficiary_amount_sum_24h", "payment_amount",
        "account_beneficiaries_added_24h", "account_amount_ratio_30d", "device_accounts_24h",
        "account_new_merchant",
    )  # fmt: skip

    weight: float = parameter(0.03, "", "How often an episode is of this scenario.")
    victims_max: int = parameter(3, "accounts", "Most victims of one chain.", 1)
    tricked_share: float = parameter(0.6, "share", "Victims who send the money themselves.")
    amount_eur: float = parameter(1_400.0, "EUR", "Median amount that a victim loses.", 50)
    amount_sigma: float = parameter(0.6, "", "Spread of the logarithm of that amount.")
    layers_max: int = parameter(2, "layers", "Most layers of mules behind the first one.", 1)
    fan_out_max: int = parameter(2, "accounts", "Most mules that one mule pays.", 1)
    recruited_share: float = parameter(0.7, "share", "Mules who are customers; the rest are new.")
    herded_share: float = parameter(0.5, "share", "Chains run from one device of the herder.")
    commission_max: float = parameter(0.1, "share", "Most that a mule keeps of the money.")
    gap_minutes_max: float = parameter(60.0, "min", "Longest rest of the money in one account.", 1)
    cash_eur_max: float = parameter(500.0, "EUR", "Most that one withdrawal takes.", 20)
    cash_max: int = parameter(4, "withdrawals", "Most withdrawals of one mule.", 1)
    labels: LabelLaw = field(default=_VICTIMS_LAW, metadata={PAYMENTS: "Payments of victims"})
    labels_mules: LabelLaw = field(default=_MULES_LAW, metadata={PAYMENTS: "Payments of mules"})

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        herder = stranger(script, any_place(rng))
        herded = rng.random() < self.herded_share
        victims = [script.population.anyone(rng) for _ in range(rng.randint(1, self.victims_max))]
        crew = _Crew(script, victims, herder if herded else None)
        first, euro = crew.recruit(self.recruited_share, at_ms), 0.0
        for victim in victims:
            at_ms += wait(script, MINUTE_MS, self.gap_minutes_max * MINUTE_MS / 2)
            lost = around(rng, self.amount_eur, self.amount_sigma)
            euro += lost
            source = at_home(victim) if rng.random() < self.tricked_share else herder
            script.fraud(
                self.name, self.labels, [_send(script, victim, at_ms, lost, first, source)]
            )
        holdings = [_Holding(first, euro, at_ms)]
        moved: list[Attempt] = []
        for _ in range(rng.randint(1, self.layers_max)):
            holdings = [
                after
                for holding in holdings
                for after in self._pass_on(script, crew, holding, moved)
            ]
        for holding in holdings:
            self._cash_out(script, crew, holding, moved)
        script.fraud(self.name, self.labels_mules, moved)

    def _pass_on(
        self, script: Script, crew: _Crew, holding: _Holding, moved: list[Attempt]
    ) -> list[_Holding]:
        """Split the money of one mule among others; what they then hold."""
        rng = script.rng
        holdings = []
        at_ms = holding.at_ms + self._rest(script)
        count = rng.randint(1, self.fan_out_max)
        for _ in range(count):
            receiver = crew.recruit(self.recruited_share, at_ms)
            euro = holding.euro / count * (1 - self.commission_max * rng.random())
            source = crew.source(holding.account)
            moved.append(_send(script, holding.account, at_ms, euro, receiver, source))
            holdings.append(_Holding(receiver, euro, at_ms))
            at_ms += wait(script, MINUTE_MS, 4 * MINUTE_MS)
        return holdings

    def _cash_out(
        self, script: Script, crew: _Crew, holding: _Holding, moved: list[Attempt]
    ) -> None:
        """Withdraw what the machines give, send the rest to where the trace ends."""
        rng = script.rng
        account, left_eur, at_ms = holding
        left_eur *= 1 - self.commission_max * rng.random()
        at_ms += self._rest(script)
        machine = script.market.cash[account.home]
        for _ in range(rng.randint(1, self.cash_max)):
            euro = min(self.cash_eur_max * rng.uniform(0.4, 1.0), left_eur) // 20 * 20
            if euro < NOTE_EUR:
                break
            amount = minor_of(euro, machine.place, 0.0)
            moved.append(Attempt(withdrawal(script, account, at_ms, amount, machine)))
            left_eur -= euro
            at_ms += wait(script, MINUTE_MS, 6 * MINUTE_MS)
        if left_eur >= NOTE_EUR:
            exit_ = name("ben", script.seed, 13, int(EXITS * rng.random()))
            moved.append(_send(script, account, at_ms, left_eur, exit_, crew.source(account)))

    def _rest(self, script: Script) -> int:
        """How long money rests in an account, in milliseconds."""
        return wait(script, 5 * MINUTE_MS, self.gap_minutes_max * MINUTE_MS)


class _Holding(NamedTuple):
    """Money in the account of a mule since ``at_ms``."""

    account: Account
    euro: float
    at_ms: int


class _Crew:
    """The mules of one chain; each has one part in it, and no victim is one."""

    def __init__(self, script: Script, victims: list[Account], herder: Source | None) -> None:
        self._script = script
        self._herder = herder
        self._taken = {victim.id for victim in victims}

    def recruit(self, recruited_share: float, at_ms: int) -> Account:
        """An ordinary customer who lends the account, or one opened for the purpose."""
        rng = self._script.rng
        account = self._script.population.anyone(rng)
        if rng.random() >= recruited_share or account.id in self._taken:
            account = outsider(self._script, at_ms, rng.uniform(3, 40), kyc_level=1)
        self._taken.add(account.id)
        return account

    def source(self, account: Account) -> Source:
        """Where the account is steered from."""
        return self._herder or at_home(account)


def _send(
    script: Script, account: Account, at_ms: int, euro: float, to: Account | str, source: Source
) -> Attempt:
    """Log in, store the beneficiary, and a minute later send the money."""
    beneficiary = to if isinstance(to, str) else to.payee
    script.login(account, at_ms - 60_000, source.device, source.ip)
    add_beneficiary(script, account, at_ms - 30_000, beneficiary, source)
    amount = minor_of(euro, account.place, script.rng.random())
    return Attempt(transfer(script, account, at_ms, amount, beneficiary, source))
