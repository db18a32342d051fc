"""What honest people do: one errand at a time."""

from __future__ import annotations

import math
from bisect import bisect_right
from itertools import accumulate
from operator import mul
from typing import Final

from risk.domain.event import BeneficiaryAdded, TopUp, Transfer, Withdrawal
from risk.domain.times import from_ms
from risk.simulator.merchants import minor_of
from risk.simulator.numbers import name
from risk.simulator.personas import PERSONAS
from risk.simulator.population import Account
from risk.simulator.script import Script
from risk.simulator.seasons import day_of, days_since
from risk.simulator.sessions import Session, card_of, change_device, log_in, session

NEW_PAYEES: Final = 0.3  # of transfers, times the novelty of the persona
PAYEES_MAX: Final = 12  # the oldest is forgotten
STORED_AHEAD: Final = 0.6  # of new payees: stored now, paid on a later day
NEW_PHONE_AFTER_SILENCE: Final = 0.4
FLUSH_DAYS: Final = 5  # after the pay day, in which people spend more
FLUSH: Final = 1.2
# By kind of day (seasons.Day.kind): shop, online, transfer, withdrawal, top up, browse.
_BY_DAY: Final = (
    (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    (1.25, 1.0, 0.8, 1.2, 1.0, 0.9),
    (0.45, 1.4, 0.7, 0.6, 1.0, 1.0),
    (1.1, 1.35, 1.0, 1.1, 1.0, 1.0),
    (1.45, 1.3, 0.8, 1.3, 1.0, 0.9),
    (0.6, 1.7, 0.7, 0.7, 1.0, 1.0),
)
_MIXES: Final = {
    persona.title: [
        list(accumulate(map(mul, persona.errands, day))) for day in _BY_DAY
    ]
    for persona in PERSONAS
}  # fmt: skip


def run_errand(script: Script, account: Account, at_ms: int) -> None:
    """One errand of ``account`` that starts at ``at_ms``."""
    if account.kyc_level == 0 and at_ms >= account.checked_ms:
        account.kyc_level = account.checked_level
    choices = _MIXES[account.persona.title][day_of(at_ms).kind]
    _ERRANDS[bisect_right(choices, script.rng.random() * choices[-1])](script, account, at_ms)


def return_after_silence(script: Script, account: Account, at_ms: int) -> None:
    """The first errand of somebody who was away for months: log in, often from a new phone."""
    where = session(script, account, at_ms)
    if script.rng.random() < NEW_PHONE_AFTER_SILENCE:
        change_device(script, account, at_ms, where)
        at_ms += 5_000
    run_errand(script, account, at_ms + 30_000)


def open_account(script: Script, account: Account, at_ms: int) -> None:
    """The first minutes of a new account: log in, money in; the check of identity comes later."""
    where = session(script, account, at_ms)
    script.login(account, at_ms, where.device, where.ip)
    script.device_change(account, at_ms + 1_500, where.device, where.ip)
    at_ms += 60_000 + int(600_000 * script.rng.random())
    euro = (10, 20, 50, 100, 200)[int(5 * script.rng.random())]
    _pay_in(script, account, at_ms, float(euro), where)


def _shop(script: Script, account: Account, at_ms: int) -> None:
    """One to three purchases on one walk, a few minutes from each other."""
    if account.is_on_the_way(at_ms):
        _online(script, account, at_ms)
        return
    rng = script.rng
    day = day_of(at_ms)
    purse = account.purse * day.gifts * _flush(account, day.day)
    where = account.whereabouts(at_ms)
    for _ in range(1 + int(rng.random() < 0.15) + int(rng.random() < 0.04)):
        if where != account.home or rng.random() < account.persona.novelty:
            local = script.market.shops[where]
            merchant = local[int(len(local) * rng.random())]
        else:
            merchant = account.shops[int(8 * rng.random() ** 1.5)]
        amount = merchant.price_minor(rng, purse)
        draw = rng.random()
        contactless = 0.85 if amount < 5000 else 0.25
        channel = "pos_contactless" if draw < contactless else "pos_chip"
        payment = script.card_payment(
            account, merchant, at_ms, amount, card=card_of(script, account),
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
    device, ip, ip_country = session(script, account, at_ms)
    day = day_of(at_ms)
    amount = merchant.price_minor(rng, account.purse * day.gifts * _flush(account, day.day))
    card = card_of(script, account)
    for _ in range(2):
        payment = script.card_payment(
            account, merchant, at_ms, amount, card=card, device=device, ip=ip,
            ip_country=ip_country, email_hash=account.email_hash,
            channel="app" if rng.random() < 0.3 else "ecom",
        )  # fmt: skip
        if script.honest(payment, at_ms) or rng.random() < 0.4:
            return
        at_ms += 20_000 + int(90_000 * rng.random())


def _transfer(script: Script, account: Account, at_ms: int) -> None:
    """Log in, send money to a friend or a stored payee, sometimes store a new one."""
    rng = script.rng
    at_ms, where = log_in(script, account, at_ms, session(script, account, at_ms))
    draw = rng.random()
    if draw < NEW_PAYEES * account.persona.novelty:
        at_ms += 8_000 + int(40_000 * rng.random())
        beneficiary = _store_payee(script, account, at_ms, where)
        if rng.random() < STORED_AHEAD:
            return
        person = False
    else:
        # Who was stored last has not been paid often yet, and is likely to be next.
        person = bool(account.friends) and rng.random() < 0.45
        payees = account.friends if person or not account.beneficiaries else account.beneficiaries
        beneficiary = payees[int(len(payees) * rng.random() ** (1.3 if person else 0.6))]
    at_ms += 10_000 + int(50_000 * rng.random())
    if person:
        euro = 18 * account.purse * math.exp(rng.gauss(0, 0.9))
    else:
        euro = 80 * account.purse * math.exp(rng.gauss(0, 1.0))
    script.honest(
        transfer(
            script, account, at_ms, minor_of(euro, account.place, rng.random() / 2), beneficiary,
            where, "p2p" if person and euro < 60 else "app",
        ),
        at_ms,
    )  # fmt: skip


def transfer(
    script: Script, account: Account, at_ms: int, amount_minor: int, beneficiary: str,
    where: Session | None, channel: str | None,
) -> Transfer:  # fmt: skip
    """Money to ``beneficiary`` in the currency of the account; ``where`` none: by itself."""
    return Transfer(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        beneficiary=beneficiary, device=where.device if where else None,
        ip=where.ip if where else None, ip_country=where.country if where else None,
        amount_minor=amount_minor, currency=account.place.currency,
        country=account.place.country, channel=channel,  # type: ignore[arg-type]
        account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip


def _store_payee(script: Script, account: Account, at_ms: int, where: Session) -> str:
    number = script.number()
    beneficiary = name("ben", script.seed, account.number, number, 3)
    account.beneficiaries.append(beneficiary)
    del account.beneficiaries[:-PAYEES_MAX]
    script.agenda.add(
        at_ms,
        BeneficiaryAdded(
            id=script.id("ben"), occurred_at=from_ms(at_ms), account=account.id,
            beneficiary=beneficiary, device=where.device, ip=where.ip,
        ),
    )  # fmt: skip
    return beneficiary


def _withdraw(script: Script, account: Account, at_ms: int) -> None:
    """Cash from a machine: whole notes."""
    if account.is_on_the_way(at_ms):
        _browse(script, account, at_ms)
        return
    rng = script.rng
    machine = script.market.cash[account.whereabouts(at_ms)]
    notes = 1 + int(rng.expovariate(1 / (3 * account.purse)))
    if notes > 5:
        notes = 5 * round(notes / 5)  # the machine offers 100, 200, 300
    payment = Withdrawal(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        card=card_of(script, account), merchant=machine.id, mcc=machine.trade.mcc,
        terminal=machine.terminal, amount_minor=minor_of(min(notes, 50) * 20, machine.place, 0.0),
        currency=machine.place.currency, country=machine.place.country,
        card_country=account.place.country, bin=account.bin, lat=machine.lat, lon=machine.lon,
        channel="atm", account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip
    script.honest(payment, at_ms)


def _top_up(script: Script, account: Account, at_ms: int) -> None:
    """Log in and put money into the account by card."""
    rng = script.rng
    at_ms, where = log_in(script, account, at_ms, session(script, account, at_ms))
    at_ms += 5_000 + int(30_000 * rng.random())
    euro = (20, 50, 50, 100, 200, 500)[int(6 * rng.random())] * max(0.5, round(account.purse))
    _pay_in(script, account, at_ms, euro, where)


def _pay_in(script: Script, account: Account, at_ms: int, euro: float, where: Session) -> None:
    payment = TopUp(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        card=card_of(script, account), device=where.device, ip=where.ip,
        amount_minor=minor_of(euro, account.place, 0.0), currency=account.place.currency,
        country=account.place.country, card_country=account.place.country, bin=account.bin,
        ip_country=where.country, channel="app",
        account_opened_at=account.opened_at, kyc_level=account.kyc_level,
    )  # fmt: skip
    script.honest(payment, at_ms)


def _browse(script: Script, account: Account, at_ms: int) -> None:
    """Look at the account."""
    log_in(script, account, at_ms, session(script, account, at_ms))


def _flush(account: Account, day: int) -> float:
    """People spend more in the days after their pay day, and less before the next."""
    if account.payday == 0:
        return 1.0
    since = days_since(day, account.payday)
    return FLUSH if since < FLUSH_DAYS else 0.93 if since > 22 else 1.0


_ERRANDS = (_shop, _online, _transfer, _withdraw, _top_up, _browse)
