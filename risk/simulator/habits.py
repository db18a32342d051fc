"""What honest people do: one errand at a time."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from typing import Final

from risk.domain.event import BeneficiaryAdded, PasswordReset, TopUp, Transfer, Withdrawal
from risk.domain.times import from_ms
from risk.simulator.merchants import minor_of
from risk.simulator.numbers import name
from risk.simulator.personas import PERSONAS
from risk.simulator.places import PLACES
from risk.simulator.population import Account, address
from risk.simulator.script import HOUR_MS, Script

FAILED_LOGINS: Final = 0.06
DEVICE_CHANGES: Final = 0.004  # of logins
MOBILE_NETWORK: Final = 0.25  # sessions from another address than the one at home
_MIXES = [list(accumulate(persona.errands)) for persona in PERSONAS]
_MIX_OF = {persona.title: mix for persona, mix in zip(PERSONAS, _MIXES, strict=True)}


def run_errand(script: Script, account: Account, at_ms: int) -> None:
    """One errand of ``account`` that starts at ``at_ms``."""
    mix = _MIX_OF[account.persona.title]
    errand = bisect_right(mix, script.rng.random() * mix[-1])
    _ERRANDS[errand](script, account, at_ms)


def _shop(script: Script, account: Account, at_ms: int) -> None:
    """One to three purchases on one walk, a few minutes from each other."""
    rng = script.rng
    where = account.whereabouts(at_ms)
    for _ in range(1 + int(rng.random() < 0.15) + int(rng.random() < 0.04)):
        away = where != account.home
        if away or rng.random() < account.persona.novelty:
            local = script.market.shops[where]
            merchant = local[int(len(local) * rng.random())]
        else:
            merchant = account.shops[int(8 * rng.random() ** 1.5)]
        amount = merchant.price_minor(rng, account.purse)
        draw = rng.random()
        contactless = 0.85 if amount < 5000 else 0.25
        channel = "pos_contactless" if draw < contactless else "pos_chip"
        payment = script.card_payment(
            account, merchant, at_ms, amount, card=_card(script, account),
            channel="pos_swipe" if draw > 0.985 else channel,
        )  # fmt: skip
        if not script.honest(payment, at_ms):
            return
        at_ms += 60_000 + int(rng.expovariate(1 / 400_000))


def _online(script: Script, account: Account, at_ms: int) -> None:
    """A purchase on the internet, repeated when it was declined."""
    rng = script.rng
    familiar = rng.random() >= account.persona.novelty
    merchant = (
        account.online[int(5 * rng.random() ** 1.5)] if familiar else script.market.online_shop(rng)
    )
    device, ip = _session(script, account, at_ms)
    amount = merchant.price_minor(rng, account.purse)
    card = _card(script, account)
    for _ in range(2):
        payment = script.card_payment(
            account, merchant, at_ms, amount, card=card, device=device, ip=ip,
            ip_country=_country(ip, account, at_ms), email_hash=account.email_hash,
            channel="app" if rng.random() < 0.3 else "ecom",
        )  # fmt: skip
        if script.honest(payment, at_ms) or rng.random() < 0.4:
            return
        at_ms += 20_000 + int(90_000 * rng.random())


def _transfer(script: Script, account: Account, at_ms: int) -> None:
    """Log in, sometimes store a new beneficiary, send money."""
    rng = script.rng
    device, ip = _session(script, account, at_ms)
    at_ms = _log_in(script, account, at_ms, device, ip)
    device = account.device if rng.random() < 0.95 else device
    if rng.random() < 0.3 * account.persona.novelty:
        number = len(account.beneficiaries)
        account.beneficiaries.append(name("ben", script.seed, account.number, number + 100))
        del account.beneficiaries[:-12]
        at_ms += 8_000 + int(40_000 * rng.random())
        script.agenda.add(
            at_ms,
            BeneficiaryAdded(
                id=script.id("ben"), occurred_at=from_ms(at_ms), account=account.id,
                beneficiary=account.beneficiaries[-1], device=device, ip=ip,
            ),
        )  # fmt: skip
        beneficiary = account.beneficiaries[-1]
    else:
        beneficiary = account.beneficiaries[int(len(account.beneficiaries) * rng.random())]
    at_ms += 10_000 + int(50_000 * rng.random())
    euro = 70 * account.purse * math.exp(rng.gauss(0, 1.0))
    payment = Transfer(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        beneficiary=beneficiary, device=device, ip=ip,
        amount_minor=minor_of(euro, account.place, rng.random() / 2),
        currency=account.place.currency, country=account.place.country,
        ip_country=_country(ip, account, at_ms), channel="p2p" if euro < 60 else "app",
        account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip
    script.honest(payment, at_ms)


def _withdraw(script: Script, account: Account, at_ms: int) -> None:
    """Cash from a machine: whole notes."""
    rng = script.rng
    machine = script.market.cash[account.whereabouts(at_ms)]
    notes = 1 + int(rng.expovariate(1 / (3 * account.purse)))
    payment = Withdrawal(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        card=_card(script, account), merchant=machine.id, mcc=machine.trade.mcc,
        terminal=machine.terminal, amount_minor=minor_of(min(notes, 50) * 20, machine.place, 0.0),
        currency=machine.place.currency, country=machine.place.country,
        card_country=account.place.country, bin=account.bin, lat=machine.lat, lon=machine.lon,
        channel="atm", account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip
    script.honest(payment, at_ms)


def _top_up(script: Script, account: Account, at_ms: int) -> None:
    """Log in and put money into the account."""
    rng = script.rng
    device, ip = _session(script, account, at_ms)
    at_ms = _log_in(script, account, at_ms, device, ip) + 5_000 + int(30_000 * rng.random())
    euro = (20, 50, 50, 100, 200, 500)[int(6 * rng.random())] * max(0.5, round(account.purse))
    payment = TopUp(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        card=_card(script, account), device=account.device, ip=ip,
        amount_minor=minor_of(euro, account.place, 0.0), currency=account.place.currency,
        country=account.place.country, card_country=account.place.country, bin=account.bin,
        ip_country=_country(ip, account, at_ms), channel="app",
        account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip
    script.honest(payment, at_ms)


def _browse(script: Script, account: Account, at_ms: int) -> None:
    """Look at the account."""
    device, ip = _session(script, account, at_ms)
    _log_in(script, account, at_ms, device, ip)


_ERRANDS = (_shop, _online, _transfer, _withdraw, _top_up, _browse)


def _log_in(script: Script, account: Account, at_ms: int, device: str, ip: str) -> int:
    """A login with its failed tries, rarely from a new phone; returns when it was done."""
    rng = script.rng
    tries = 0
    while rng.random() < FAILED_LOGINS * (1 + 3 * tries) and tries < 5:
        script.login(account, at_ms, device, ip, ok=False)
        at_ms += 4_000 + int(15_000 * rng.random())
        tries += 1
    if tries > 2:
        script.agenda.add(
            at_ms,
            PasswordReset(
                id=script.id("rst"), occurred_at=from_ms(at_ms), account=account.id,
                device=device, ip=ip,
            ),
        )  # fmt: skip
        at_ms += 60_000 + int(HOUR_MS / 20 * rng.random())
    if rng.random() < DEVICE_CHANGES:
        account.devices_seen += 1
        device = account.device = name("dev", script.seed, account.number, account.devices_seen)
        script.login(account, at_ms, device, ip)
        script.device_change(account, at_ms + 2_000, device, ip)
        return at_ms + 3_000
    script.login(account, at_ms, device, ip)
    return at_ms + 1_000


def _session(script: Script, account: Account, at_ms: int) -> tuple[str, str]:
    """Device and address of an errand on the internet: mostly the usual ones."""
    rng = script.rng
    where = account.whereabouts(at_ms)
    if where != account.home or rng.random() < MOBILE_NETWORK:
        return account.device, address(PLACES[where], rng)
    return account.device, account.ip


def _card(script: Script, account: Account) -> str:
    cards = account.cards
    return cards[int(len(cards) * script.rng.random() ** 2)]


def _country(ip: str, account: Account, at_ms: int) -> str:
    home = ip == account.ip
    return account.place.country if home else PLACES[account.whereabouts(at_ms)].country
