"""Compiled rules: Kleene tables, every function, and the oracle on random typed rules."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE
from risk.domain.findings import ListSnapshot
from risk.lists.members import members_of
from risk.rules.checker import check
from risk.rules.compiler import Predicate, Tables, compile_rule, names_of
from risk.rules.functions import FUNCTIONS
from risk.rules.parser import parse
from risk.rules.schema import Schema
from risk.rules.syntax import Refused, Type
from tests.support.rule_oracle import (
    LISTS,
    RATES,
    SCHEMA,
    SLOTS,
    TYPES,
    Known,
    Oracle,
    condition_texts,
    value_sets,
)

MEMBERS = {name: members_of("text", sorted(values)) for name, values in LISTS.items()}
TABLES = Tables(RATES, ListSnapshot(MEMBERS))
UNKNOWN: dict[str, Known] = dict.fromkeys(SLOTS)


def compiled(text: str) -> Predicate:
    tree = parse(text)
    assert check(text, tree, SCHEMA) == []
    return compile_rule(tree, TYPES, SLOTS, TABLES)


def row(values: dict[str, Known]) -> list[float | str | None]:
    found: list[float | str | None] = []
    for name in SLOTS:
        value, kind = values.get(name), TYPES.get(name)
        if isinstance(value, str) or (value is None and kind is Type.TEXT):
            found.append(value)
        else:
            found.append(math.nan if value is None else float(value))
    return found


def answer(text: str, **values: Known) -> bool | None:
    return compiled(text)(row(values))


TRUTHS = (True, False, None)


@pytest.mark.parametrize(("a", "b"), [*itertools.product(TRUTHS, TRUTHS)])
def test_kleene_tables(a: bool | None, b: bool | None) -> None:
    both = {"flag_one": a, "flag_two": b}
    conjunction = False if False in (a, b) else None if None in (a, b) else True
    disjunction = True if True in (a, b) else None if None in (a, b) else False
    assert answer("flag_one and flag_two", **both) is conjunction
    assert answer("flag_one or flag_two", **both) is disjunction
    assert answer("not (flag_one and flag_two)", **both) is (
        None if conjunction is None else not conjunction
    )
    assert answer("not flag_one", **both) is (None if a is None else not a)


@pytest.mark.parametrize("sign", ["<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize("text", ["n_one {} 1", "1 {} n_one", "n_one {} n_two", "n_one + 1 {} 2"])
def test_a_comparison_with_a_missing_number_is_unknown(sign: str, text: str) -> None:
    rule = text.format(sign)
    assert answer(rule) is None
    assert answer(f"not ({rule})") is None


@pytest.mark.parametrize(
    "rule",
    [
        'merchant == "a"', 'merchant != "a"', "merchant == device", 'merchant in ("a", "b")',
        'merchant not in ("a", "b")', "merchant in trusted", "merchant not in trusted",
        "n_one in (1, 2)", "n_one not in (1, 2)", 'starts_with(merchant, "a")',
        'in_cidr(ip, "10.0.0.0/8")', "between(n_one, 1, 2)", 'lower(merchant) == "a"',
        "country == card_country", "days_since(account_opened_at) < 1", "flag_one",
        'amount > money(1, "JPY")',
    ],
)  # fmt: skip
def test_missing_values_leave_every_condition_unknown(rule: str) -> None:
    assert answer(rule) is None
    assert answer(f"not ({rule})") is None


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(condition_texts(), st.lists(value_sets(), min_size=1, max_size=4))
def test_compiled_rules_answer_as_the_oracle_does(
    text: str, payments: list[dict[str, Known]]
) -> None:
    try:
        tree = parse(text)
    except Refused:  # too deep or too long
        assume(False)
    assert check(text, tree, SCHEMA) == []
    predicate = compile_rule(tree, TYPES, SLOTS, TABLES)
    for values in payments:
        expected = Oracle({**UNKNOWN, **values}, LISTS).answer(text)
        assert predicate(row(values)) is expected, values


@pytest.mark.parametrize(
    ("rule", "values", "expected"),
    [
        ("n_one / n_two > 0", {"n_one": 1.0, "n_two": 0.0}, None),
        ("n_one % n_two > 0", {"n_one": 1.0, "n_two": 0.0}, None),
        ("n_one / 0 > 0", {"n_one": 1.0}, None),
        ("ratio(n_one, n_two, 7) == 7", {"n_one": 1.0, "n_two": 0.0}, True),
        ("ratio(n_one, n_two, 7) == 7", {"n_two": 0.0}, None),
        ("min(n_one, n_two) == 1", {"n_one": 1.0}, None),
        ("max(n_one, 3, n_two) == 3", {"n_one": 1.0, "n_two": 2.0}, True),
        ("round(n_one) == 2", {"n_one": 2.5}, True),
        ('amount > money(500, "EUR")', {"amount": 50_001.0}, True),
        ('amount > money(500, "USD")', {"amount": 45_000.0}, False),
        ('amount > money(0.125, "EUR")', {"amount": 13.0}, True),
        ('in_cidr(ip, "10.0.0.0/8")', {"ip": "::ffff:10.9.9.9"}, True),
        ('in_cidr(ip, "10.0.0.0/8")', {"ip": "10.9.9"}, None),
        ('in_cidr(ip, "2001:db8::/32")', {"ip": "2001:db8::9"}, True),
        ('in_cidr(ip, "2001:db8::/32")', {"ip": "10.1.1.1"}, False),
        ('in_cidr(ip, "10.0.0.0/8")', {"ip": "10.0.0.1\x00"}, None),
        ("n_one < n_two < 5", {"n_one": 1.0, "n_two": 5.0}, False),
        ("-n_one < -1", {"n_one": 2.0}, True),
        ("n_one in (-1, 2)", {"n_one": -1.0}, True),
        ("is_missing(n_one) and not is_missing(3)", {}, True),
        ('is_missing("a")', {}, False),
        ("is_missing(flag_one)", {"flag_one": False}, False),
        ("coalesce(n_one, n_two, 4) == 4", {}, True),
        ('coalesce(merchant, device) == "d"', {"device": "d"}, True),
        ("weekday_of(occurred_at) == 3", {"occurred_at": 0.0}, True),
        ("hour_of(occurred_at) == 23", {"occurred_at": -1.0}, True),
        ('occurred_at >= date("1970-01-02")', {"occurred_at": 86_400_000.0}, True),
        ("distance_km(0, 0, 0, n_one) > 111", {"n_one": 1.0}, True),
        ("distance_km(0, 0, 0, n_one) > 111", {"n_one": 181.0}, None),
        ("distance_km(0, 0, 0, n_one) > 111", {}, None),
        ("not any_of(flag_one, n_one > 1)", {"flag_one": False, "n_one": 1.0}, True),
        ("all_of(flag_one, n_one > 1)", {"n_one": 1.0}, False),
        ("not all_of(flag_one, n_one > 1)", {"n_one": 1.0}, True),
        ('count(card, "60m") > 1', {'count(card, "1h")': 2.0}, True),
        ('count(card, "60m") > 1', {}, None),
        ('local_hour("DE") == 1', {"occurred_at": 0.0}, True),
        ("local_weekday(merchant) == 3", {"occurred_at": 0.0, "merchant": "DE"}, True),
        ("n_one * n_one > n_one", {"n_one": 1e308}, True),
        ("n_one * 10 - n_one * 10 == 0", {"n_one": 1e308}, None),
    ],
)
def test_single_answers(rule: str, values: dict[str, Known], expected: bool | None) -> None:
    assert answer(rule, **values) is expected


@pytest.mark.parametrize("name", list(FUNCTIONS))
def test_the_example_of_every_function_is_a_rule(name: str) -> None:
    text = FUNCTIONS[name].example
    assert check(text, parse(text), Schema.of(CATALOGUE)) == []


def test_compiled_code_names_only_the_row_and_the_functions() -> None:
    predicate = compiled('flag_one and in_cidr(ip, "10.0.0.0/8") and n_one / n_two > 1')
    code = predicate.__code__
    assert set(code.co_names) == {"in_cidr", "divide", "constant_0"}
    assert code.co_varnames == ("row",)
    assert predicate.__globals__["__builtins__"] == {}


def test_names_of_a_rule_include_hidden_ones() -> None:
    tree = parse("days_since(account_opened_at) < 1 or not (-n_one in (1, 2)) and True")
    assert names_of(tree) == {"account_opened_at", "occurred_at", "n_one"}


def test_a_tree_that_was_not_checked_is_not_compiled() -> None:
    with pytest.raises(TypeError, match="Every has no value"):
        compile_rule(parse("(True and True) + 1 > 0"), TYPES, SLOTS, TABLES)
