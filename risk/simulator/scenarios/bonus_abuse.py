"""Bonus abuse: many new accounts of few people top up, take the bonus and send it all away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from risk.simulator.label_laws import LabelLaw, Way
from risk.simulator.merchants import minor_of
from risk.simulator.places import Place
from risk.simulator.scenarios.moves import (
    Source,
    add_beneficiary,
    any_place,
    mule,
    outsider,
    stranger,
    top_up,
    transfer,
    wait,
)
from risk.simulator.scenarios.parameters import check, parameter
from risk.simulator.script import Attempt, Script

MINUTE_MS: Final = 60_000
_LAW: Final = LabelLaw(
    (
        Way(
            reporter="bank's analyst", label="analyst_fraud", share=0.65, median_hours=3 * 24,
            earliest_hours=12,
        ),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BonusAbuse:
    """A welcome bonus is promised to who opens an account and tops it up.

    A few people open many accounts from the same devices and addresses, top each up with the
    least that counts, and within the hour send the money and the bonus to one collector. The
    accounts are hours old and barely identified. Where a ring is found, all of it is.
    """

    name: ClassVar = "bonus_abuse"
    title: ClassVar = "Bonus and top-up abuse"
    subject: ClassVar = "device"
    features: ClassVar = (
        "device_accounts_24h", "ip_accounts_1h", "payment_account_age_days", "payment_kyc_level",
        "account_top_ups_24h", "beneficiary_accounts_7d", "device_payments_24h",
    )  # fmt: skip

    weight: float = parameter(0.015, "", "How often an episode is of this scenario.")
    accounts_min: int = parameter(5, "accounts", "Fewest accounts of one ring.", 1)
    accounts_max: int = parameter(12, "accounts", "Most accounts of one ring.", 1)
    devices_max: int = parameter(3, "devices", "Most devices of one ring.", 1)
    addresses_max: int = parameter(2, "IP addresses", "Most addresses of one ring.", 1)
    age_hours_max: float = parameter(48.0, "h", "Oldest account when it tops up.", 0.1)
    top_up_eur: float = parameter(10.0, "EUR", "Least top-up that earns the bonus.", 1)
    bonus_eur: float = parameter(15.0, "EUR", "The bonus.", 1)
    gap_minutes_max: float = parameter(20.0, "min", "Longest wait from account to account.", 0.1)
    gone_minutes_max: float = parameter(50.0, "min", "Longest stay of the money.", 6)
    kept_share: float = parameter(0.1, "share", "Accounts left alone after the top-up.")
    labels: LabelLaw = _LAW

    def __post_init__(self) -> None:
        check(self)

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode that starts at ``at_ms``."""
        rng = script.rng
        place = any_place(rng)
        devices = [stranger(script, place) for _ in range(rng.randint(1, self.devices_max))]
        ips = [stranger(script, place).ip for _ in range(rng.randint(1, self.addresses_max))]
        collector = mule(script)
        attempts: list[Attempt] = []
        for turn in range(rng.randint(self.accounts_min, self.accounts_max)):
            source = devices[turn % len(devices)]._replace(ip=ips[turn % len(ips)])
            attempts += self._use(script, place, at_ms, source, collector)
            at_ms += wait(script, MINUTE_MS, self.gap_minutes_max * MINUTE_MS)
        script.fraud(self.name, self.labels, attempts)

    def _use(
        self, script: Script, place: Place, at_ms: int, source: Source, collector: str
    ) -> list[Attempt]:
        """Top up one account and empty it."""
        rng = script.rng
        age_days = rng.uniform(0.01, 1.0) * self.age_hours_max / 24
        account = outsider(script, at_ms, age_days, kyc_level=1)
        script.login(account, at_ms, source.device, source.ip)
        at_ms += 20_000 + int(60_000 * rng.random())
        euro = self.top_up_eur * (1, 1, 1, 2)[int(4 * rng.random())]
        attempts = [Attempt(top_up(script, account, at_ms, euro, account.cards[0], source))]
        if rng.random() < self.kept_share:
            return attempts
        at_ms += wait(script, 5 * MINUTE_MS, (self.gone_minutes_max - 1) * MINUTE_MS)
        add_beneficiary(script, account, at_ms - 20_000, collector, source)
        amount = minor_of(euro + self.bonus_eur, account.place, 0.0)
        attempts.append(Attempt(transfer(script, account, at_ms, amount, collector, source)))
        return attempts
