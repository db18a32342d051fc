"""Moves that scenarios share: where somebody sits, what is set up, how money leaves."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random
from typing import Final, NamedTuple

from risk.domain.event import BeneficiaryAdded, PasswordReset, TopUp, Transfer, Withdrawal
from risk.domain.times import from_ms
from risk.simulator.merchants import Merchant, minor_of
from risk.simulator.numbers import name
from risk.simulator.places import PLACES, Place
from risk.simulator.population import DAY_MS, Account, address
from risk.simulator.script import Script

MULES: Final = 40  # beneficiaries that collect; they are used again
MORNING_MS: Final = DAY_MS // 4  # in UTC; most places are an hour or two ahead
WATCHED_FACTOR: Final = 0.01  # traffic that is watched live never waits shorter than this part


class Source(NamedTuple):
    """Where somebody sits: device, IP address and the country of that address."""

    device: str
    ip: str
    ip_country: str


def at_home(account: Account) -> Source:
    """The account's own device and address."""
    return Source(account.device, account.ip, account.place.country)


def stranger(script: Script, place: Place) -> Source:
    """A device nobody has used, somewhere in the country of ``place``."""
    return Source(script.new_device(), address(place, script.rng), place.country)


def any_place(rng: Random) -> Place:
    """A place, each as likely as the other."""
    return PLACES[int(len(PLACES) * rng.random())]


def outsider(script: Script, at_ms: int, age_days: float, kyc_level: int) -> Account:
    """An account that does nothing else in this world, ``age_days`` old at ``at_ms``."""
    rng = script.rng
    number = script.number()
    account_id = name("acc", script.seed, number, 11)
    template = script.population.anyone(rng)
    return replace(
        template,
        id=account_id,
        cards=(name("card", script.seed, number, 11),),
        device=script.new_device(),
        ip=address(template.place, rng),
        email_hash=name("em", script.seed, number, 11),
        opened_at=from_ms(at_ms - round(age_days * DAY_MS)),
        kyc_level=kyc_level,
        beneficiaries=[],
        friends=[],
        payee=payee_of_outsider(account_id),
    )


def payee_of_outsider(account_id: str) -> str:
    """The name under which others pay an account that ``outsider`` made."""
    return f"ben_{account_id.removeprefix('acc_')}"


def mule(script: Script) -> str:
    """A beneficiary that collects for thieves."""
    return name("ben", script.seed, 7, int(MULES * script.rng.random()))


def wait(script: Script, least_ms: float, most_ms: float) -> int:
    """Milliseconds between two steps of a plan, shortened in traffic that is watched live."""
    factor = max(script.delay_factor, WATCHED_FACTOR)
    return 1000 + int(script.rng.uniform(least_ms, most_ms) * factor)


def by_day(script: Script, at_ms: int) -> int:
    """``at_ms``, or some hours later where that is at night and nobody watches."""
    night = at_ms % DAY_MS < MORNING_MS and script.delay_factor == 1.0
    return at_ms + MORNING_MS if night else at_ms


def around(rng: Random, euro: float, sigma: float) -> float:
    """An amount with the median ``euro`` whose logarithm spreads by ``sigma``."""
    return euro * math.exp(rng.gauss(0, sigma))


def reset_password(script: Script, account: Account, at_ms: int, source: Source) -> None:
    """The password is set anew from ``source``."""
    script.agenda.add(
        at_ms,
        PasswordReset(
            id=script.id("rst"), occurred_at=from_ms(at_ms), account=account.id,
            device=source.device, ip=source.ip,
        ),
    )  # fmt: skip


def add_beneficiary(
    script: Script, account: Account, at_ms: int, beneficiary: str, source: Source
) -> None:
    """A beneficiary is stored."""
    script.agenda.add(
        at_ms,
        BeneficiaryAdded(
            id=script.id("ben"), occurred_at=from_ms(at_ms), account=account.id,
            beneficiary=beneficiary, device=source.device, ip=source.ip,
        ),
    )  # fmt: skip


def transfer(
    script: Script, account: Account, at_ms: int, amount_minor: int, beneficiary: str,
    source: Source,
) -> Transfer:  # fmt: skip
    """Money to ``beneficiary``, in the currency of the account."""
    return Transfer(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        beneficiary=beneficiary, device=source.device, ip=source.ip,
        ip_country=source.ip_country, amount_minor=amount_minor,
        currency=account.place.currency, country=account.place.country, channel="app",
        account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip


def withdrawal(
    script: Script, account: Account, at_ms: int, amount_minor: int, machine: Merchant
) -> Withdrawal:
    """Cash at ``machine`` with the first card, in the currency of the machine."""
    return Withdrawal(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        card=account.cards[0], merchant=machine.id, mcc=machine.trade.mcc,
        terminal=machine.terminal, amount_minor=amount_minor, currency=machine.place.currency,
        country=machine.place.country, card_country=account.place.country, bin=account.bin,
        lat=machine.lat, lon=machine.lon, channel="atm",
        account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip


def top_up(
    script: Script, account: Account, at_ms: int, euro: float, card: str, source: Source
) -> TopUp:
    """Money into the account by ``card``."""
    return TopUp(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id, card=card,
        device=source.device, ip=source.ip, ip_country=source.ip_country,
        amount_minor=minor_of(euro, account.place, 0.0), currency=account.place.currency,
        country=account.place.country, card_country=account.place.country, bin=account.bin,
        channel="app", account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip
