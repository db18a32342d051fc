"""The benchmark of rules: the same rules in every language, varied rows, few hits."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.rules_book import RULES, SCHEMA, as_cel, as_rule_engine, book, payments, plain
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.tables.load import exchange_rates


def test_rules_are_written_in_the_languages_of_the_rivals() -> None:
    text = 'starts_with(mcc, "59", "79") and not account_new_device and amount > -2'
    assert as_cel(text) == (
        '((mcc.startsWith("59") || mcc.startsWith("79")) && !(account_new_device)'
        " && (amount > -2.0))"
    )
    assert as_rule_engine("hour in (1, 2) or score > 0.5") == (
        "((hour in [1.0, 2.0]) or (score > 0.5))"
    )
    with pytest.raises(ValueError, match="no rival is asked for Call"):
        as_cel("is_missing(device)")


def test_the_rows_are_whole_and_rules_hit_some_of_them() -> None:
    compiled = CompiledBook(book(60), SCHEMA, Tables(exchange_rates(None, "EUR")))
    arrivals, matrix, scores = payments(400, 3)
    found = compiled.evaluate(arrivals, matrix, scores)
    hits = {hit.rule.rule for one in found for hit in one.hits}
    assert 20 <= len(hits) < 60
    assert not any(one.unknown or one.failures for one in found)
    assert not np.isnan(matrix).any()
    rows = compiled.layout.rows(arrivals[:1], matrix[:1], scores[:1])
    named = plain(dict(compiled.layout.slots), list(rows[0]))
    assert named["channel"] == arrivals[0].event.channel  # type: ignore[union-attr]
    assert isinstance(named["account_new_device"], bool)
    assert len(RULES) == 30
