"""What comes by itself: salaries, allowances, rents, subscriptions, and new accounts."""

from __future__ import annotations

from typing import Final

from risk.domain.event import TopUp
from risk.domain.times import from_ms
from risk.simulator.habits import open_account, transfer
from risk.simulator.households import employer_of, parent_of
from risk.simulator.merchants import Merchant, minor_of
from risk.simulator.numbers import mix, name
from risk.simulator.population import Account
from risk.simulator.roster import RENT, SALARY
from risk.simulator.script import Script
from risk.simulator.seasons import HOUR_MS, day_of, hour_of

OVERTIME: Final = 0.3  # of people: pay differs from month to month
_RENT_EUR: Final = (380, 1_100)
_PAYROLL_STEP_MS: Final = 7_000


def play_hour(script: Script, hour_ms: int, from_ms: int) -> None:
    """Plan what comes by itself from ``from_ms`` to the end of the hour that begins at
    ``hour_ms``. Amounts and moments within the hour depend on the account alone."""
    roster = script.population.roster
    end_ms = hour_ms + HOUR_MS
    for number, joined_ms in roster.joining(from_ms, end_ms):
        open_account(script, script.population.account(number), joined_ms)
    for number, slot in roster.due(hour_ms, day_of(hour_ms), hour_of(hour_ms)):
        at_ms = hour_ms + mix(number, slot, 31) % HOUR_MS
        if slot == SALARY and (employer := employer_of(number, script.population.count)):
            at_ms = hour_ms + mix(employer, 31) % (HOUR_MS // 2)
            at_ms += number % 100 * _PAYROLL_STEP_MS
        if at_ms >= from_ms:
            _play(script, number, slot, at_ms)


def _play(script: Script, number: int, slot: int, at_ms: int) -> None:
    account = script.population.account(number)
    if slot == SALARY:
        _pay_salary(script, account, at_ms)
    elif slot == RENT:
        draw = mix(number, 32)
        least, most = _RENT_EUR
        euro = (least + draw % (most - least)) * max(0.6, min(2.0, account.purse))
        landlord = name("ben", script.seed, account.home, draw % 400, 98)
        _standing_order(script, account, at_ms, euro, landlord)
    else:
        _charge(script, account, slot, at_ms)


def _pay_salary(script: Script, account: Account, at_ms: int) -> None:
    """Pay of an employer of this world, the allowance of a parent, or money from elsewhere."""
    draw = mix(account.number, 33)
    euro = account.persona.income_eur * account.purse / account.persona.purse
    if draw % 100 < 100 * OVERTIME:
        euro *= 1 + (mix(draw, at_ms // HOUR_MS) % 200) / 1000
    euro = round(euro) + draw % 100 / 100
    population = script.population
    count = population.count
    payer = employer_of(account.number, count) or parent_of(account.number, count)
    if payer is not None and population.roster.is_present(payer, at_ms):
        _standing_order(script, population.account(payer), at_ms, euro, account.payee)
        return
    payment = TopUp(
        id=script.id("pay"), occurred_at=from_ms(at_ms), account=account.id,
        amount_minor=minor_of(euro, account.place), currency=account.place.currency,
        country=account.place.country, account_opened_at=account.opened_at,
        kyc_level=account.kyc_level,
    )  # fmt: skip
    script.honest(payment, at_ms)


def _standing_order(
    script: Script, account: Account, at_ms: int, euro: float, beneficiary: str
) -> None:
    amount = minor_of(euro, account.place)
    payment = transfer(script, account, at_ms, amount, beneficiary, None, None)
    script.honest(payment, at_ms)


def _charge(script: Script, account: Account, slot: int, at_ms: int) -> None:
    """A subscription: the same amount of the same card each month, started by the merchant."""
    merchant, amount = subscription(script, account, slot)
    payment = script.card_payment(
        account, merchant, at_ms, amount, card=account.cards[0],
        email_hash=account.email_hash, channel="ecom",
    )  # fmt: skip
    script.honest(payment, at_ms)


def subscription(script: Script, account: Account, slot: int) -> tuple[Merchant, int]:
    """The merchant of the slot and the price there, in minor units of its currency."""
    draw = mix(account.number, slot, 34)
    monthly = script.market.monthly
    merchant = monthly[draw % len(monthly)]
    return merchant, merchant.prices[(draw >> 32) % len(merchant.prices)]
