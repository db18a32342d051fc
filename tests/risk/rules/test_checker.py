"""Static types: every mistake is named with its place, what was expected, and the nearest word."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from features.catalogue import CATALOGUE
from risk.domain.errors import BadConfiguration
from risk.rules.checker import check
from risk.rules.parser import parse
from risk.rules.schema import Schema
from risk.rules.syntax import Type

SCHEMA = Schema.of(CATALOGUE, lists={"trusted_merchants": "merchant", "words": "text"})


def problems(text: str) -> list[str]:
    return [str(one) for one in check(text, parse(text), SCHEMA)]


# A rule, and below it how its one problem begins.
MISTAKES = """
card_paymnts_5m > 3
    column 1: unknown name card_paymnts_5m; did you mean card_payments_5m?
amuont > 3
    column 1: unknown name amuont; did you mean amount?
zzzzzz > 3
    column 1: unknown name zzzzzz
true
    column 1: unknown name true; did you mean True?
trusted_merchants == 3
    column 1: trusted_merchants is a list; expected ... in trusted_merchants
abs > 3
    column 1: abs is a function; expected a call, as abs(account_amount_zscore_30d) > 3
amount
    column 1: an integer stands alone; expected a condition, as amount > 0
amount > 1 and merchant
    column 16: text stands alone
not amount
    column 5: an integer stands alone
merchant > 3
    column 12: text compared with integer; expected text, as "3"
mcc == 5411
    column 8: text compared with integer; expected text, as "5411"
amount > merchant
    column 10: integer compared with text; expected a number
merchant == 1.5
    column 13: text compared with number; expected text
occurred_at > 3
    column 15: time compared with integer; expected a time
merchant < device
    column 1: text has no order, so no <; expected == or !=
account_new_device == 1
    column 1: a condition is compared; expected the condition alone
1 == (amount > 3)
    column 7: a condition is compared
merchant + 1 > 3
    column 1: text in arithmetic; expected a number
(amount > 1) * 2 > 3
    column 2: a condition in arithmetic; expected a number
-merchant > 3
    column 2: text in arithmetic
channel == "ecomm"
    column 12: channel is never 'ecomm'; expected app, atm, ecom,
"ecomm" != channel
    column 1: channel is never 'ecomm'
country in ("DE", "DX")
    column 19: country is never 'DX'; expected ISO 3166-1
merchant in trusted_merchant
    column 13: trusted_merchant is not a list; expected a list,
amount in trusted_merchants
    column 1: an integer before the name of a list; expected text
account_new_device in (1, 2)
    column 1: a condition before 'in'; expected a number or text
occurred_at in (1, 2)
    column 1: a time before 'in'
amount in (1, "a")
    column 15: integer compared with text; expected a number
nonsense in (1, 2)
    column 1: unknown name nonsense
amount(1) > 2
    column 1: amount is a value, not a function; expected amount
abss(amount) > 2
    column 1: unknown function abss; did you mean abs?
qqqq(amount) > 2
    column 1: unknown function qqqq
abs() > 2
    column 1: 0 arguments; expected abs(x)
abs(1, 2) > 2
    column 1: 2 arguments; expected abs(x)
round() > 2
    column 1: 0 arguments; expected round(x, [digits])
starts_with(mcc)
    column 1: 1 arguments; expected starts_with(x, prefix...)
abs(merchant) > 2
    column 5: argument x of abs is text; expected a number
abs(account_new_device) > 2
    column 5: argument x of abs is a condition; expected a number
abs(nonsense) > 2
    column 5: unknown name nonsense
lower(amount) == "a"
    column 7: argument x of lower is an integer; expected text
round(amount, amount) > 2
    column 15: argument digits of round is not written out; expected a literal
round(amount, 10) > 2
    column 15: round to 0 to 9 decimals
coalesce(amount, merchant) > 2
    column 1: coalesce of integer and text; expected arguments of one type
is_missing(amount > 1)
    column 12: argument x of is_missing is a condition
amount > money(500, "EURO")
    column 16: 'EURO' is no ISO 4217 code; write one as EUR
amount > money(-1, "EUR")
    column 16: an amount is not negative
in_cidr(ip, "10.0.0.1/8")
    column 13: '10.0.0.1/8' is no network; write 10.0.0.0/8
in_cidr(ip, "10.0.0.1")
    column 13: '10.0.0.1' is no network; write 10.0.0.1/32
in_cidr(ip, "ten")
    column 13: 'ten' is no network; write it as 10.0.0.0/8
starts_with(mcc, "")
    column 18: every text starts with the empty text; write a prefix
occurred_at > date("2026-02-30")
    column 20: '2026-02-30' is no date; write it as 2026-01-31
mcc in (5411, "1")
    column 9: text compared with integer; expected text, as "5411"
"""
_LINES = [line.strip() for line in MISTAKES.strip().splitlines()]


@pytest.mark.parametrize(("text", "line"), list(zip(_LINES[::2], _LINES[1::2], strict=True)))
def test_a_mistake_is_named_with_place_and_fix(text: str, line: str) -> None:
    found = problems(text)
    assert len(found) == 1, found
    assert found[0].startswith(f"line 1, {line}")


def test_every_mistake_is_reported_at_once() -> None:
    found = problems("amuont > 1 and\n merchant > 2 and\n  abss(1) > 2")
    assert [line.split(":")[0] for line in found] == [
        "line 1, column 1", "line 2, column 13", "line 3, column 3",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "account_new_device", "not account_new_device", "True", "score > 0.9",
        "amount + 1.5 > amount_minor * 2 % 7", "1 < amount <= 3", "amount in (1, 2.5)",
        "min(amount, 2) == coalesce(amount, 3)", "is_missing(account_new_device)",
        "merchant in trusted_merchants", "merchant not in trusted_merchants",
        "coalesce(merchant, device) == lower(ip)", 'type == "top_up"', "merchant == device",
        "occurred_at >= account_opened_at",
        "coalesce(account_opened_at, occurred_at) < occurred_at",
        "max(amount, 2.5) > 1", 'currency != "EUR"', "-amount < -3", '"a" == "a"',
    ],
)  # fmt: skip
def test_good_rules_have_no_problems(text: str) -> None:
    assert problems(text) == []


@dataclass(frozen=True)
class Declared:
    name: str
    dtype: str


def test_a_name_has_one_meaning() -> None:
    with pytest.raises(BadConfiguration, match="two meanings for the name amount"):
        Schema.of([Declared("amount", "integer")])
    with pytest.raises(BadConfiguration, match="two meanings for the name merchant"):
        Schema.of([], lists={"merchant": "text"})


def test_the_schema_takes_types_from_the_catalogue() -> None:
    declared = [("one", "flag"), ("two", "code"), ("three", "decimal"), ("four", "integer")]
    types = Schema.of([Declared(*one) for one in declared]).types()
    wanted = [Type.BOOLEAN, Type.INTEGER, Type.NUMBER, Type.INTEGER]
    assert [types[name] for name, _ in declared] == wanted
