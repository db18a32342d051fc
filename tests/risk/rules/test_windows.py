"""Windows that rules write out: read, refused with the place, judged, and never half."""

from __future__ import annotations

import numpy as np
import pytest

from features.catalogue import CATALOGUE
from features.windows import program_with, windows_program
from risk.domain.observation import Windowed
from risk.rules.book import Book, Examples, Rule
from risk.rules.book_check import problems_of, windows_of_rule
from risk.rules.checker import check
from risk.rules.compiler import Tables, window_name, windows_of
from risk.rules.evaluator import CompiledBook
from risk.rules.parser import parse
from risk.rules.schema import Schema
from risk.rules.syntax import Refused, Window
from risk.rules.window_reader import read_window
from risk.rules.windows import WINDOW_FUNCTIONS, WINDOWS_MAX
from risk.tables.load import exchange_rates
from tests.risk.rules.test_evaluator import arrival

SCHEMA = Schema.of(CATALOGUE)
TABLES = Tables(exchange_rates(None, "EUR"))
DECLINED = 'count(card, "1h", kind="declined")'
SPENT = 'sum(account, "3h", amount)'


def problems(text: str) -> str:
    try:
        return "\n".join(map(str, check(text, parse(text), SCHEMA)))
    except Refused as refused:
        return str(refused)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("count(card,'60m')", 'count(card, "1h")'),
        ('count(card, "24h", kind="attempt")', 'count(card, "1d")'),
        ('count(card, "1h", kind=("declined", "authorised"))',
         'count(card, "1h", kind=("authorised", "declined"))'),
        ('max(account, "90s", amount)', 'max(account, "90s", amount)'),
        ('distinct(device, "2d", accounts)', 'distinct(device, "2d", accounts)'),
        ('distinct(card, "2d", merchants, kind="payment")',
         'distinct(card, "2d", merchants, kind="payment")'),
    ],
)  # fmt: skip
def test_a_window_has_one_text(text: str, canonical: str) -> None:
    assert read_window(text).text() == canonical
    assert read_window(canonical) == read_window(text)


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ('count(shop, "1h") > 1', "line 1, column 7: shop has no log; expected one of account"),
        ('count(cards, "1h") > 1', "did you mean card?"),
        ('count(card, "1x") > 1', "column 13: '1x' is no span; expected a number of s, m, h or d"),
        ("count(card, 60) > 1", "column 13: 60.0 is no span"),
        ('count(card, "31d") > 1', 'a span of 31d; expected at most "30d"'),
        ('count(card, "1h", amount) > 1', "count takes no amount"),
        ('sum(card, "1h") > 1', "sum of nothing; expected one of amount"),
        ('sum(card, "1h", score) > 1', "sum of score; expected one of amount"),
        ('distinct(card, "1h", cards) > 1', "distinct of cards; expected one of accounts, dev"),
        ('distinct(merchant, "1h", merchants) > 1', "distinct of merchants"),
        ('distinct(card, "1h", mercants) > 1', "did you mean merchants?"),
        ('count(card, "1h", kind="declinedd") > 1', "did you mean declined?"),
        ('count(card, "1h", kind=card) > 1', "not a literal; expected a kind of record"),
        ('count(card, "1h", what="declined") > 1', "an argument with a name; expected kind="),
        ('count(card, "1h", kind="a", kind="b") > 1', "at most once"),
        ("count(card) > 1", "count over a window; expected count(entity"),
        ('count("card", "1h") > 1', "count over a window"),
        ('count(card, "1h", 5) > 1', "count over a window"),
        ("count(card, merchant) > 1", "a span that is computed; expected the span written out"),
        ("count > 1", "count is a function; expected a call, as count(card"),
        ('cont(card, "1h") > 1', "unknown function cont; did you mean count?"),
        ('count(card, "1h")', "an integer stands alone"),
        ('max(account, "1h") > 1', "max of nothing"),
        ('merchant == count(card, "1h")', "text compared with integer"),
    ],
)
def test_a_wrong_window_is_refused_with_its_place(rule: str, line: str) -> None:
    assert line in problems(rule)


@pytest.mark.parametrize("name", list(WINDOW_FUNCTIONS))
def test_the_example_of_every_window_is_a_rule(name: str) -> None:
    text = WINDOW_FUNCTIONS[name].example
    assert problems(text) == ""
    (window,) = windows_of(parse(text))
    assert len(windows_program((window,)).outputs) == 1
    assert len(program_with((window,)).outputs) == len(CATALOGUE) + 1


@pytest.mark.parametrize("text", ["amount", "count(", 'count(shop, "1h")'])
def test_another_text_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match="is no window"):
        read_window(text)


def test_an_unchecked_window_is_not_compiled() -> None:
    node = parse('count(shop, "1h")')
    assert isinstance(node, Window)
    with pytest.raises(ValueError, match="not of the language"):
        window_name(node)


def a_rule(name: str, when: str, **more: object) -> Rule:
    return Rule(
        id=name, name="n", when=when, action="review", reason="WINDOW", sentence="s",
        customer="c", owner="o", state="live", **more,  # type: ignore[arg-type]
    )  # fmt: skip


def compiled() -> CompiledBook:
    rules = (
        a_rule("declined", f"{DECLINED} >= 2"),
        a_rule("spent", f"not ({SPENT} <= 100)"),
        a_rule("always", "True"),
    )
    return CompiledBook(Book(name="b", rules=rules), SCHEMA, TABLES)


def found(*windows: Windowed | None) -> list[tuple[list[str], list[str | None], list[str]]]:
    matrix = np.full((len(windows), len(CATALOGUE)), np.nan)
    got = compiled().evaluate([arrival()] * len(windows), matrix, [None] * len(windows), windows)
    return [
        (
            [hit.rule.rule for hit in one.hits],
            [failure.error for failure in one.failures],
            list(one.unknown),
        )
        for one in got
    ]


def test_rules_read_the_windows_of_their_payment() -> None:
    assert compiled().windows == (DECLINED, SPENT)
    own = Windowed((DECLINED, SPENT), np.array([2.0, 101.0]))
    missing = Windowed((DECLINED, SPENT), np.array([np.nan, 100.0]))
    more = Windowed((SPENT, "other", DECLINED), np.array([101.0, 0.0, 1.0]))
    assert found(own, missing, more) == [
        (["declined", "spent", "always"], [], []),
        (["always"], [], ["declined"]),
        (["spent", "always"], [], []),
    ]


def test_a_window_that_was_not_made_fails_its_rule_and_no_other() -> None:
    half = Windowed((SPENT,), np.array([101.0]))
    assert found(half, None) == [
        (["spent", "always"], ["WindowNotMade"], []),
        (["always"], ["WindowNotMade", "WindowNotMade"], []),
    ]
    matrix = np.full((1, len(CATALOGUE)), np.nan)
    (one,) = compiled().evaluate([arrival()], matrix, [None])
    assert len(one.failures) == 2


def test_examples_name_windows_in_any_of_their_texts() -> None:
    good = Examples(
        hits=({"count(card,'60m',kind='declined')": 3},),
        misses=({DECLINED: 1},),
    )
    book = Book(name="b", rules=(a_rule("declined", f"{DECLINED} >= 2", examples=good),))
    assert list(problems_of(book, SCHEMA, TABLES, 0)) == []
    bad = Examples(hits=({DECLINED: "x", "count(": 1},), misses=({DECLINED: 5},))
    book = Book(name="b", rules=(a_rule("declined", f"{DECLINED} >= 2", examples=bad),))
    lines = "\n".join(problems_of(book, SCHEMA, TABLES, 0))
    assert f"{DECLINED} is an integer, not 'x'" in lines
    assert "unknown name count(" in lines
    assert "number 1: the rule hits" in lines


def test_a_book_reads_so_many_windows_and_no_more() -> None:
    many = " or ".join(f'count(card, "{n}m") > 1' for n in range(1, WINDOWS_MAX + 2))
    rules = tuple(
        a_rule(f"rule_{n}", part).__class__(
            id=f"rule_{n}", name="n", when=part, action="tag", reason="WINDOW", sentence="s",
            customer="c", owner="o",
        )
        for n, part in enumerate(many.split(" or "))
    )  # fmt: skip
    (line,) = problems_of(Book(name="b", rules=rules), SCHEMA, TABLES, 0)
    assert line == f"{WINDOWS_MAX + 1} different windows; a book may read {WINDOWS_MAX}"
    assert windows_of_rule(a_rule("bad", "amount >"), SCHEMA) == set()
    assert windows_of_rule(a_rule("bad", "nothing > 1"), SCHEMA) == set()
