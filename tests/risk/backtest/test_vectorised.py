"""The vectorised rules against the live compiled functions, on random rules and rows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from risk.backtest.columns import Held, Text
from risk.backtest.vectorised import VectorRule
from risk.domain.findings import ListSnapshot, Texts
from risk.lists.members import members_of
from risk.rules.checker import check
from risk.rules.compiler import Tables, compile_rule
from risk.rules.evaluator import RULE_FAILURES
from risk.rules.parser import parse
from risk.rules.syntax import Refused, Type
from tests.support.rule_oracle import (
    LISTS,
    RATES,
    SCHEMA,
    SLOTS,
    TYPES,
    Known,
    condition_texts,
    value_sets,
)

EXACT = Tables(RATES, ListSnapshot({name: Texts(values) for name, values in LISTS.items()}))
EXPIRING = Tables(
    RATES,
    ListSnapshot({name: members_of("text", sorted(values)) for name, values in LISTS.items()}),
)
Row = list[float | str | None]


def row(values: dict[str, Known]) -> Row:
    found: Row = []
    for name in SLOTS:
        value = values.get(name)
        if TYPES.get(name) is Type.TEXT:
            assert value is None or isinstance(value, str)
            found.append(value)
        else:
            found.append(math.nan if value is None else float(value))
    return found


def columns(rows: list[Row]) -> Held:
    numbers, texts = {}, {}
    for name, slot in SLOTS.items():
        values = [one[slot] for one in rows]
        if TYPES.get(name) is Type.TEXT:
            texts[name] = Text.of([None if value is None else str(value) for value in values])
        else:
            numbers[name] = np.array(values, np.float64)
    return Held(len(rows), numbers, texts)


def live(text: str, rows: list[Row], tables: Tables) -> list[bool | str | None]:
    predicate = compile_rule(parse(text), TYPES, SLOTS, tables)
    found: list[bool | str | None] = []
    for one in rows:
        try:
            found.append(predicate(one))
        except RULE_FAILURES:
            found.append("failed")
    return found


def vectorised(rule: VectorRule, held: Held) -> list[bool | str | None]:
    holds, fails, failed = rule.answers(held)
    assert not (holds & fails).any()
    return [
        "failed" if broken else True if yes else False if no else None
        for yes, no, broken in zip(holds.tolist(), fails.tolist(), failed.tolist(), strict=True)
    ]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(condition_texts(), st.lists(value_sets(), min_size=1, max_size=12), st.booleans())
@example("(local_hour(country) == 1)", [{"country": "DE", "occurred_at": 0.0}], True)
def test_the_answers_are_those_of_the_live_function(
    text: str, sets: list[dict[str, Known]], expiring: bool
) -> None:
    try:
        tree = parse(text)
    except Refused:
        return  # too deep or too long, which random texts may be
    if check(text, tree, SCHEMA):
        return
    tables = EXPIRING if expiring else EXACT
    rows = [row(values) for values in sets]
    rule = VectorRule(tree, TYPES, tables)
    expected = live(text, rows, tables)
    assert vectorised(rule, columns(rows)) == expected
    # What was remembered of the words of one stretch is not believed of another.
    assert vectorised(rule, columns(rows[::-1])) == expected[::-1]


@pytest.mark.parametrize("country", ["DE", "US", "JP", "NP", "ZZ", None])
def test_local_time_around_every_change_of_the_clocks(country: str | None) -> None:
    text = 'local_hour(country) * 10 + local_weekday(country) == 31 or local_hour("US") < 3'
    hours = [1_774_700_000_000.0 + place * 1_800_000 for place in range(20_000)]
    rows = [row({"country": country, "occurred_at": at}) for at in hours]
    rule = VectorRule(parse(text), TYPES, EXACT)
    assert vectorised(rule, columns(rows)) == live(text, rows, EXACT)


def test_a_row_that_a_function_cannot_answer_fails_alone() -> None:
    text = 'local_hour("DE") == 1 or n_one > 5'
    rows = [
        row({"occurred_at": 0.0, "n_one": 1.0}),
        row({"occurred_at": 1e300, "n_one": 9.0}),
        row({"occurred_at": 7_200_000.0, "n_one": 9.0}),
    ]
    expected = live(text, rows, EXACT)
    assert expected[1] == "failed"
    assert vectorised(VectorRule(parse(text), TYPES, EXACT), columns(rows)) == expected


def test_texts_that_are_made_anew_for_each_stretch() -> None:
    text = "coalesce(device, merchant) == coalesce(ip, merchant) and lower(device) != ip"
    rule = VectorRule(parse(text), TYPES, EXACT)
    for first, second in (("a", "b"), ("b", "a"), ("B", "b")):
        rows = [row({"device": first, "ip": second}), row({"device": first, "ip": first})]
        assert vectorised(rule, columns(rows)) == live(text, rows, EXACT)
