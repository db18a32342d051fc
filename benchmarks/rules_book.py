"""Thirty realistic rules, varied payments, and the same rules in the languages of the rivals."""

from __future__ import annotations

import random
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.catalogue import CATALOGUE
from risk.domain.event import Payment
from risk.domain.observation import Arrival
from risk.domain.times import from_ms
from risk.rules.book import Book, Rule
from risk.rules.parser import parse
from risk.rules.schema import Schema
from risk.rules.syntax import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Every,
    Items,
    Membership,
    Name,
    Negation,
    Node,
    Not,
    Some,
    Type,
)

RULES: Final = (
    "card_payments_1h >= 6 and amount < 1000",
    "card_declines_1h >= 3 and amount >= 5000",
    "account_new_device and amount >= 50000 and account_amount_ratio_30d > 3",
    "account_failed_logins_1h >= 3 and (account_new_device or account_device_changes_24h >= 1)",
    'card_speed > 900 and card_distance > 500 and channel in ("pos_chip", "atm")',
    "device_accounts_24h >= 4 or device_cards_24h >= 5",
    "ip_cards_1h >= 5 and ip_declines_1h >= 2",
    "country != card_country and account_new_country and amount >= 20000",
    "merchant_fraud_30d >= 3 and merchant_fraud_share_30d > 0.1",
    "account_amount_zscore_30d > 6 and account_payments_30d >= 10",
    'mcc in ("7995", "6051", "4829", "6211") and amount >= 30000',
    'country in ("IR", "KP", "MM", "AF", "YE", "SY")',
    'starts_with(mcc, "59", "79") and card_new_device and amount > 40000',
    "card_small_payments_1h >= 3 and card_merchants_1h >= 2 and amount <= 1000",
    "account_transfers_24h >= 3 and account_beneficiaries_added_24h >= 1",
    "account_payments_5m >= 5",
    "card_amount_sum_24h + amount > 300000 and card_payments_24h >= 5",
    "account_amount_sum_24h > 0.8 * account_amount_sum_30d and amount > 100000",
    "ip_country != country and account_new_ip and not account_new_device",
    "device_fraud_30d >= 1 or card_fraud_30d >= 1 or account_fraud_30d >= 2",
    "account_password_resets_24h >= 1 and account_devices_24h >= 2 and amount >= 10000",
    "card_countries_24h >= 3 and card_country_changed",
    "merchant_cards_1h >= 30 and merchant_decline_share_24h > 0.5",
    "amount >= 950000 and amount < 1000000",
    "account_top_up_sum_24h > 20000 and amount > 0.9 * account_top_up_sum_24h",
    "card_since_last < 30 and card_new_merchant and amount > 15000",
    'channel == "ecom" and payment_hour in (1, 2, 3, 4) and account_hour_share_30d < 0.02',
    "ip_failed_logins_1h >= 10",
    "account_age_days < 3 and amount >= 30000 and kyc_level <= 1",
    "score > 0.9 or score > 0.6 and account_new_device and not account_new_country",
)
COUNTRIES: Final = ("DE", "FR", "US", "GB", "IR", "MM", "PL", "NL")
CHANNELS: Final = ("ecom", "pos_chip", "pos_contactless", "atm")
CODES: Final = ("5411", "5912", "7995", "6051", "5732", "7922", "5999")
_START_MS: Final = 1_790_000_000_000
SCHEMA: Final = Schema.of(CATALOGUE)


def book(count: int) -> Book:
    """``count`` rules: the thirty, then the same with other numbers."""
    rules = tuple(
        Rule(
            id=f"rule_{number:04d}",
            name="A rule",
            when=_varied(RULES[number % len(RULES)], number // len(RULES)),
            action="tag",
            reason="MEASURED",
            sentence="A rule that is measured.",
            customer="-",
            owner="bench",
            state="live",
        )
        for number in range(count)
    )
    return Book(name="Measured", rules=rules)


def _varied(text: str, turn: int) -> str:
    """The rule with its largest number moved a little, so that no two rules are the same."""
    return text if turn == 0 else f"{text} and amount != {turn}"


def payments(count: int, seed: int) -> tuple[list[Arrival], NDArray[np.float64], list[float]]:
    """Varied payments without missing values: arrivals, their vectors, their scores.

    Most rules miss most payments, as in life: values are small far more often than large.
    """
    rng = random.Random(seed)
    arrivals = [_arrival(number, rng) for number in range(count)]
    drawn = np.random.default_rng(seed)
    matrix = np.floor(drawn.exponential(1.2, (count, len(CATALOGUE))))
    for place, spec in enumerate(CATALOGUE):
        if spec.dtype == "flag":
            matrix[:, place] = drawn.random(count) < 0.1
        elif spec.dtype == "decimal":
            matrix[:, place] = drawn.exponential(1.0, count)
        elif spec.unit.startswith("minor"):
            matrix[:, place] = np.floor(drawn.lognormal(8, 2, count))
    return arrivals, matrix, drawn.beta(1, 30, count).tolist()


def _arrival(number: int, rng: random.Random) -> Arrival:
    at_ms = _START_MS + number * 1000
    event = Payment(
        id=f"p-{number}",
        occurred_at=from_ms(at_ms),
        account=f"acc-{rng.randrange(10**6)}",
        card=f"card-{rng.randrange(10**6)}",
        device=f"dev-{rng.randrange(10**6)}",
        ip=f"10.0.{rng.randrange(256)}.{rng.randrange(256)}",
        merchant=f"shop-{rng.randrange(10**4)}",
        amount_minor=int(rng.lognormvariate(8.5, 1.6)) + 1,
        currency="EUR",
        mcc=rng.choice(CODES),
        channel=rng.choice(CHANNELS),
        country=rng.choice(COUNTRIES),
        card_country=rng.choice(COUNTRIES),
        ip_country=rng.choice(COUNTRIES),
        kyc_level=rng.randrange(4),
        account_opened_at=from_ms(at_ms - rng.randrange(1, 2000) * 86_400_000),
    )
    return Arrival(event, b"", b"", "stream", at_ms, event.amount_minor)


def plain(slots: dict[str, int], row: list[Any]) -> dict[str, Any]:
    """A row as the rivals take it: flags as booleans, numbers as floats."""
    types = SCHEMA.types()
    return {
        name: bool(row[slot]) if types[name] is Type.BOOLEAN else row[slot]
        for name, slot in slots.items()
    }


def as_cel(text: str) -> str:
    """A rule of this file in CEL."""
    return _Writer("&&", "||", "!({})", "{0}.startsWith({1})").write(parse(text))


def as_rule_engine(text: str) -> str:
    """A rule of this file in the language of ``rule-engine``."""
    return _Writer("and", "or", "not ({})", "{0}.starts_with({1})").write(parse(text))


class _Writer:
    """Writes a tree with other words."""

    def __init__(self, conjunction: str, disjunction: str, negation: str, prefix: str) -> None:
        self._words = {Every: f" {conjunction} ", Some: f" {disjunction} "}
        self._or = f" {disjunction} "
        self._negation = negation
        self._prefix = prefix

    def write(self, node: Node) -> str:
        match node:
            case Constant():
                return f'"{node.value}"' if isinstance(node.value, str) else repr(node.value)
            case Name():
                return node.name
            case Negation():
                return f"-({self.write(node.operand)})"
            case Arithmetic() | Comparison():
                return f"({self.write(node.left)} {node.operator} {self.write(node.right)})"
            case Membership(among=Items() as among):
                items = ", ".join(map(self.write, among.items))
                return f"({self.write(node.item)} in [{items}])"
            case Not():
                return self._negation.format(self.write(node.operand))
            case Every() | Some():
                word = self._words[type(node)]
                return f"({word.join(map(self.write, node.parts))})"
            case Call(function="starts_with"):
                text, *prefixes = map(self.write, node.arguments)
                return f"({self._or.join(self._prefix.format(text, one) for one in prefixes)})"
        raise ValueError(f"no rival is asked for {type(node).__name__}")
