"""Account takeover: guessed or phished password, new device, new beneficiary, money gone."""

from __future__ import annotations

import math
from dataclasses import dataclass

from risk.domain.event import BeneficiaryAdded, PasswordReset, Transfer
from risk.domain.times import from_ms
from risk.simulator.merchants import minor_of
from risk.simulator.numbers import name
from risk.simulator.places import PLACES
from risk.simulator.population import Account, address
from risk.simulator.script import Script

MULES = 40  # beneficiaries that collect; they are used again


@dataclass(frozen=True, slots=True)
class AccountTakeover:
    """``guesses_max`` failed logins, then up to ``transfers_max`` transfers in quick succession.

    ``abroad`` of the intruders sit in another country; ``quiet`` ones keep the victim's device
    (remote control of it) and send ordinary amounts.
    """

    name: str = "account_takeover"
    weight: float = 0.42
    guesses_max: int = 7
    abroad: float = 0.5
    quiet: float = 0.15
    resets: float = 0.35
    transfers_max: int = 4
    amount_eur: float = 420.0
    amount_sigma: float = 0.8
    declined: float = 0.15
    reported: float = 0.88
    noticed_hours: float = 14.0

    def play(self, script: Script, at_ms: int) -> None:
        """Plan one episode."""
        rng = script.rng
        account = script.population.anyone(rng)
        quiet = rng.random() < self.quiet
        place = account.place
        if rng.random() < self.abroad and not quiet:
            place = PLACES[int(len(PLACES) * rng.random())]
        device = account.device if quiet else script.new_device()
        ip = account.ip if quiet else address(place, rng)
        at_ms = self._break_in(script, account, at_ms, device, ip, quiet)
        self._drain(script, account, at_ms, (device, ip, place.country), quiet)

    def _break_in(
        self, script: Script, account: Account, at_ms: int, device: str, ip: str, quiet: bool
    ) -> int:
        rng = script.rng
        for _ in range(0 if quiet else int((self.guesses_max + 1) * rng.random())):
            script.login(account, at_ms, device, ip, ok=False)
            at_ms += 1_500 + int(rng.expovariate(1 / 12_000))
        if not quiet and rng.random() < self.resets:
            script.agenda.add(
                at_ms,
                PasswordReset(
                    id=script.id("rst"), occurred_at=from_ms(at_ms), account=account.id,
                    device=device, ip=ip,
                ),
            )  # fmt: skip
            at_ms += 20_000 + int(60_000 * rng.random())
        script.login(account, at_ms, device, ip)
        if not quiet and rng.random() < 0.7:
            script.device_change(account, at_ms + 5_000, device, ip)
        return at_ms + 15_000 + int(rng.expovariate(1 / 90_000))

    def _drain(
        self, script: Script, account: Account, at_ms: int, source: tuple[str, str, str],
        quiet: bool,
    ) -> None:  # fmt: skip
        rng = script.rng
        device, ip, ip_country = source
        mule = name("ben", script.seed, 7, int(MULES * rng.random()))
        script.agenda.add(
            at_ms,
            BeneficiaryAdded(
                id=script.id("ben"), occurred_at=from_ms(at_ms), account=account.id,
                beneficiary=mule, device=device, ip=ip,
            ),
        )  # fmt: skip
        report = script.report(at_ms, self.reported, self.noticed_hours)
        for _ in range(1 + int(self.transfers_max * rng.random())):
            at_ms += 15_000 + int(rng.expovariate(1 / 150_000))
            euro = (120.0 if quiet else self.amount_eur) * math.exp(rng.gauss(0, self.amount_sigma))
            payment = Transfer(
                id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
                beneficiary=mule, device=device, ip=ip,
                amount_minor=minor_of(euro, account.place, rng.random()),
                currency=account.place.currency, country=account.place.country,
                ip_country=ip_country, channel="app", account_opened_at=account.opened_at,
                kyc_level=account.kyc_level,
            )  # fmt: skip
            reason = "insufficient_funds" if rng.random() < self.declined else None
            script.fraud(payment, at_ms, self.name, reason, report)
