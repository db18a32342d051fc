"""The parser: hostile texts are refused, any text ends in a tree or a refusal, places are right."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE
from risk.rules.checker import check
from risk.rules.parser import parse
from risk.rules.schema import Schema
from risk.rules.syntax import Problem, Refused
from tests.support.rule_oracle import condition_texts

SCHEMA = Schema.of(CATALOGUE)

ATTACKS = {
    "nested loop": "[1 for a in range(10**9) for b in range(10**9)]",
    "generator": "any(x for x in (1, 2))",
    "loop over a set": "{x for x in (1,)}",
    "loop over a dictionary": "{x: 1 for x in (1,)}",
    "memory by power": "10 ** 10 ** 10 > 1",
    "memory by shift": "1 << 10000000000 > 1",
    "memory by text": '"a" * 1000000000 == merchant',
    "memory by list": "[0] * 1000000000 == 1",
    "huge digits": "1" * 4000 + " > amount",
    "infinity": "1e999 > amount",
    "attribute escape": "().__class__.__bases__[0].__subclasses__() == 1",
    "attribute of a name": "account.__class__ == 1",
    "index": "account[0] == 'a'",
    "slice": "account[0:1] == 'a'",
    "import": "__import__('os').system('true') == 0",
    "eval": "eval('1') == 1",
    "builtins": "__builtins__ == 1",
    "lambda": "(lambda: 1)() == 1",
    "call on a value": "abs(1)(2) == 1",
    "call with names": "round(amount, digits=2) == 1",
    "call with a star": "max(*(1, 2)) == 1",
    "assignment": "(a := 1) == 1",
    "f-string": "f'{account.__class__}' == merchant",
    "format": "'{0.__class__}'.format(account) == merchant",
    "percent format": "'%1000000000d' % 1 == merchant",
    "conditional": "amount > 1 if True else False",
    "await": "await amount",
    "yield": "(yield amount)",
    "regular expression": "match('(a+)+$', merchant)",
    "parentheses": "(" * 2_000 + "1" + ")" * 2_000 + " > 0",
    "20,000 parentheses": "(" * 20_000,
    "many not": "not " * 900 + "True",
    "many minus": "-" * 4_000 + "1 > 0",
    "wide": "amount in (" + "1," * 501 + ")",
    "deep": "(" * 21 + "True" + " or True)" * 21,
    "bytes": "b'a' == merchant",
    "imaginary": "1j == amount",
    "ellipsis": "... == amount",
    "none": "account == None",
    "identity": "account is account",
    "null byte": "amount > 1\x00",
    "bell": "amount > 1\x07",
    "surrogate": "merchant == '\ud800'",
    "escape": "merchant == '\\x41'",
    "raw text": "merchant == r'a'",
    "texts side by side": "merchant in ('a' 'b', 'c')",
    "triple quotes": "merchant == '''a'''",
    "hexadecimal": "amount > 0x10",
    "look-alike letters": "\uff41mount > 1",
    "other letters": "\u0430mount > 1",
    "comment": "amount > 1 # or True",
    "two lines": "amount > 1\nimport os",
    "statement": "import os",
    "assignment statement": "amount = 1",
    "two statements": "amount > 1; amount > 2",
    "number and word": "amount > 1or True",
    "empty": "",
    "spaces": " \n\t ",
    "matrix product": "amount @ amount > 1",
    "bits": "amount & 1 == 1",
    "plus": "+amount > 1",
    "invert": "~amount > 1",
    "list alone": "(1, 2) == (1, 2)",
    "in a text": "'a' in merchant_name.lower()",
    "in one literal": "merchant in ('a')",
    "in an empty list": "merchant in ()",
    "in a computed list": "merchant in (device, ip)",
    "in twice": "'a' in merchant in ('a',)",
    "set": "merchant in {'a'}",
    "dictionary": "merchant in {'a': 1}",
    "minus text in a list": "merchant in (-'a', 'b')",
    "too long": "amount > 1 or " * 400 + "True",
}


def verdict(text: str) -> list[Problem]:
    """What is wrong with ``text``. Anything but a tree or a refusal fails the test."""
    try:
        return check(text, parse(text), SCHEMA)
    except Refused as refused:
        return refused.problems


@pytest.mark.parametrize("name", list(ATTACKS))
def test_every_attack_is_refused_at_once(name: str) -> None:
    text = ATTACKS[name]
    start = time.process_time()
    problems = verdict(text)
    assert problems
    assert all(one.line >= 1 and one.column >= 1 and one.message for one in problems)
    assert time.process_time() - start < 0.5


def only_line(text: str) -> str:
    with pytest.raises(Refused) as refused:
        parse(text)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("amount >", "line 1, column 9: not an expression: invalid syntax; expected a condition"),
        ("amount ** 2 > 1", "line 1, column 11: the operator Pow"),
        ("True and\n  amount is None", "line 2, column 3: 'is' does not fit here"),
        ("  amount.x > 1", "line 1, column 3: a dot after a value"),
        ("merchant == 'a\u00e9' and amount.x", "line 1, column 22: a dot after a value"),
        ("merchant in ('a')", "line 1, column 14: this is no list"),
        ("amount > 1 # note", "line 1, column 12: text after the condition"),
        ("x" * 4_097, "line 1, column 1: the rule has 4097 bytes; expected at most 4096"),
    ],
)
def test_a_refusal_names_the_place(text: str, line: str) -> None:
    assert only_line(text).startswith(line)


def test_line_breaks_and_indentation_are_free() -> None:
    assert parse("  amount > 1\r\n\tand amount < 2\n ") == parse("  amount > 1\r\n\tand amount < 2")
    assert parse("(True)") == parse("(True )")


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=200))
def test_any_text_ends_in_a_tree_or_a_refusal(text: str) -> None:
    assert isinstance(verdict(text), list)


_PIECES = st.sampled_from(
    [
        *("amount", "merchant", "score", "account_new_device", "abs", "money", "__class__"),
        *("(", ")", "[", "]", "{", "}", ",", ".", ":", ":=", "=", "==", "!=", "<", ">="),
        *("and", "or", "not", "in", "is", "if", "else", "for", "lambda", "await", "yield"),
        *("+", "-", "*", "/", "//", "%", "**", "@", "&", "<<", "~", "*", "1", "0.5", "1e400"),
        *('"a"', "'b'", "f'{x}'", "b'x'", "None", "True", "...", "#", ";", "\n", "\\", "\x00"),
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(_PIECES, max_size=40).map(" ".join))
def test_any_row_of_words_ends_in_a_tree_or_a_refusal(text: str) -> None:
    assert isinstance(verdict(text), list)


@settings(max_examples=200, deadline=None)
@given(condition_texts(), st.data())
def test_damaged_rules_end_in_a_tree_or_a_refusal(text: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(text)))
    damaged = text[:at] + data.draw(_PIECES) + text[at + data.draw(st.integers(0, 3)) :]
    assert isinstance(verdict(damaged), list)
