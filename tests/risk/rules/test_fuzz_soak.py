"""Five minutes of hostile and well-formed rules: no hang, no crash, no escape."""

from __future__ import annotations

import random
import time

import pytest

from features.catalogue import CATALOGUE
from risk.domain.findings import ListSnapshot
from risk.domain.money import ExchangeRates
from risk.rules.checker import check
from risk.rules.compiler import Tables, compile_rule, names_of
from risk.rules.formatter import written
from risk.rules.parser import parse
from risk.rules.schema import Schema
from risk.rules.syntax import Refused, Type
from risk.rules.windows import WINDOW_FUNCTIONS
from tests.risk.rules.test_parser import ATTACKS

SCHEMA = Schema.of(CATALOGUE)
TABLES = Tables(ExchangeRates(base="EUR", as_of="", source="", rates_e9={}), ListSnapshot({}))
WORDS = (
    *("amount", "merchant", "score", "account_new_device", "occurred_at", "__class__", "é", "\x00"),
    *("(", ")", "(", ")", "[", "]", ",", ",", ".", ":=", "=", "==", "!=", "<", ">=", "{", "}"),
    *("and", "or", "not", "in", "is", "if", "else", "for", "lambda", "kind=", "*", "**", "-", "%"),
    *("1", "0.5", "1e15", "1e400", '"1h"', '"declined"', '"a"', "'b'", "f'{x}'", "None", "True"),
    *("max(", "any_of(", "round(", "coalesce(", "money(", "distance_km(", "\n", "#", ";", "\\"),
    *WINDOW_FUNCTIONS,
    *ATTACKS.values(),
    *(one.example for one in WINDOW_FUNCTIONS.values()),
)
ROWS = (float("nan"), 0.0, -1.0, 1e308, float("inf"), 1.5)


def one_round(rng: random.Random) -> bool:
    """One text through everything; whether it was a rule."""
    text = " ".join(rng.choices(WORDS, k=rng.randint(1, 30)))
    if rng.random() < 0.3:
        at = rng.randrange(len(text) + 1)
        text = text[:at] + chr(rng.randrange(0x250)) + text[at + rng.randrange(4) :]
    try:
        tree = parse(text)
    except Refused:
        return False
    if check(text, tree, SCHEMA):
        return False
    types = SCHEMA.types()
    slots = {name: slot for slot, name in enumerate(names_of(tree))}
    predicate = compile_rule(tree, types, slots, TABLES)
    for _ in range(5):
        row = [
            rng.choice((None, "", "a", "10.0.0.1"))
            if types.get(name) is Type.TEXT
            else rng.choice(ROWS)
            for name in slots
        ]
        assert predicate(row) in (True, False, None)
    assert parse(written(tree))
    return True


def fuzz(seconds: float, seed: int) -> tuple[int, int]:
    """(texts, rules among them); no text may take half a second."""
    rng = random.Random(seed)
    ends_s = time.monotonic() + seconds
    texts = rules = 0
    while time.monotonic() < ends_s:
        began_s = time.thread_time()
        rules += one_round(rng)
        texts += 1
        assert time.thread_time() - began_s < 0.5
    return texts, rules


def test_some_of_the_fuzz_are_rules() -> None:
    rng = random.Random(1)
    assert 2 <= sum(one_round(rng) for _ in range(3_000)) < 3_000


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_five_minutes_of_fuzz() -> None:
    texts, rules = fuzz(300, 2)
    assert texts > 10_000
    assert rules > 10
