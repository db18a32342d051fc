"""Books: YAML both ways, content addresses, checks, examples, and the starter book."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE
from risk.domain.errors import BadBook
from risk.rules.book import Book, Examples, Rule
from risk.rules.book_check import check_book, problems_of, windows_of_rule
from risk.rules.book_file import (
    BOOK_BYTES_MAX,
    STARTER_BOOK,
    dump_book,
    load_book,
    read_book,
)
from risk.rules.book_shape import book_of
from risk.rules.compiler import Tables
from risk.rules.holding import Holding
from risk.rules.schema import Schema
from risk.tables.load import exchange_rates

SCHEMA = Schema.of(CATALOGUE)
TABLES = Tables(exchange_rates(None, "EUR"))
NOW_MS = 1_790_000_000_000
HELD = Holding(entity="card", lasts="24h")


def rule(**changes: Any) -> Rule:
    base = Rule(
        id="big_amount",
        name="Big amount",
        when="amount > 100",
        action="review",
        reason="BIG_AMOUNT",
        sentence="The amount is big.",
        customer="We are checking this payment.",
        owner="risk",
        state="live",
        examples=Examples(hits=({"amount": 101},), misses=({"amount": 100}, {})),
    )
    return msgspec.structs.replace(base, **changes)


def book(*rules: Rule) -> Book:
    return Book(name="A book", rules=rules or (rule(),))


def problems(*rules: Rule) -> list[str]:
    return list(problems_of(book(*rules), SCHEMA, TABLES, NOW_MS))


def test_the_starter_book_is_live_and_without_problems() -> None:
    starter = read_book(STARTER_BOOK)
    check_book(starter, SCHEMA, TABLES, NOW_MS)
    states = Counter(one.state for one in starter.rules)
    assert states["live"] >= 30
    # Rules over windows ship as drafts: what a book costs each payment is its owner's choice.
    drafts = {one.id for one in starter.rules if windows_of_rule(one, SCHEMA)}
    assert drafts == {one.id for one in starter.rules if one.state == "draft"} != set()
    assert load_book(dump_book(starter)) == starter


@pytest.mark.parametrize("base", ["EUR", "USD"])
def test_the_starter_book_holds_in_other_base_currencies(base: str) -> None:
    shipped = exchange_rates(None, "EUR")
    rates = msgspec.structs.replace(shipped, base=base, rates_e9={"EUR": 1_000_000_000})
    found = list(problems_of(read_book(STARTER_BOOK), SCHEMA, Tables(rates), NOW_MS))
    assert found == []


def test_the_digest_is_of_the_content() -> None:
    # Pinned: decisions name books by this digest, so it may never change for old content.
    pinned = "3e90893d831efca2e5526aa2f5bdc78190195af23d4bc92ac0024d9277b25c7b"
    assert book().digest() == pinned
    assert book().digest() == load_book(dump_book(book())).digest()
    for change in ({"when": "amount > 101"}, {"owner": "x"}, {"rollout_percent": 5.0}):
        assert book(rule(**change)).digest() != book().digest()
    two = rule(), rule(id="another")
    assert book(*two).digest() != book(*reversed(two)).digest()


_WORDS = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "Z")), min_size=1, max_size=30
)
_VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    _WORDS,
    st.sampled_from(["NO", "yes", "null", "1", "1.5", "2026-01-31", "12:30", "~", "", "true"]),
)


@settings(deadline=None)
@given(
    _WORDS,
    st.one_of(_WORDS, st.just("amount > 1\nand amount < 5")),
    st.dictionaries(_WORDS, _VALUES, max_size=4),
)
def test_yaml_round_trip(name: str, when: str, example: dict[str, Any]) -> None:
    made = book(rule(name=name, when=when, examples=Examples(hits=(example,))))
    assert load_book(dump_book(made)) == made


def test_a_name_that_yaml_would_turn_into_something_else_stays_text() -> None:
    text = dump_book(book(rule(examples=Examples(hits=({"country": "NO"},)))))
    assert load_book(text.replace("'NO'", "NO")).rules[0].examples.hits[0]["country"] == "NO"


HEAD = "name: x\nrules:\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "the book is empty; it has a name and rules"),
        ("rules: [", "line 1, column 9: not a rule book"),
        ("format: 2\nname: x\nrules: []\n", "format 2 is newer than 1"),
        ("format: 0\nname: x\nrules: []\n", "line 1, column 9: format: 0 is none of 1"),
        ("name: x\nname: y\nrules: []\n", "line 2, column 1: not a rule book: the key name stands"),
        ("name: &a x\nrules: *a\n", "line 2, column 8: not a rule book: an alias"),
        ("? [a]\n: x\n", "line 1, column 3: not a rule book: a key is not plain text"),
        ("name: " + "[" * 50 + "]" * 50, "line 1, column 14: not a rule book: nested too deeply"),
        ("name: " + "[" * 5_000, "line 1, column 14: not a rule book: nested too deeply"),
        ("name: !!python/object/apply:os.system [true]\n", "line 1, column 7: not a rule book"),
        ("name: !!int abc\nrules: []\n", "not YAML"),
        ("name: x\x00\n", "not YAML"),
        ("name: x\nrules: []\nmore: 1\n", "line 1, column 1: there is no key more"),
        (HEAD + "- {id: Bad Id}\n", "line 3, column 8: rule Bad Id: id: Expected `str` matching"),
        (HEAD + "- 7\n", "line 3, column 3: rule 1: Expected `object`, got `int`"),
        (HEAD + "- {id: abc, colour: red}\n", "line 3, column 3: rule abc: there is no key colour"),
        ("- 1\n", "line 1, column 1: Expected `object`, got `array`"),
        ("rules: []\n", "line 1, column 1: the key name is missing"),
        ("name: x\nrules: 7\n", "line 2, column 8: rules: Expected `array`, got `int`"),
        ("x" * (BOOK_BYTES_MAX + 1), "the book is larger than"),
    ],
    ids=range(20),
)
def test_texts_that_are_no_book_are_refused(text: str, line: str) -> None:
    with pytest.raises(BadBook) as refused:
        load_book(text)
    assert refused.value.problems[0].startswith(line)


def test_the_first_rule_of_the_guide_is_one() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guide" / "rules.md").read_text()
    begin = guide.index("    - id: big_from_new_card")
    made = load_book(HEAD + textwrap.dedent(guide[begin : guide.index("\n\n", begin)]))
    assert [one.id for one in made.rules] == ["big_from_new_card"]
    assert problems(*made.rules) == []


WRONG = """name: x
rules:
- {id: one, nam: x}
- id: two
  action: blok
- id: six
  action: block
  alert: {severity: hih}
- id: ten
  examples:
    hits: [{amount: [1]}]
rate_rules:
- {id: far, state: dead}
"""


def test_each_rule_with_another_shape_is_named_by_its_place() -> None:
    with pytest.raises(BadBook) as refused:
        load_book(WRONG)
    assert refused.value.problems == [
        "line 3, column 3: rule one: there is no key nam; did you mean name?",
        "line 5, column 11: rule two: action: 'blok' is none of alert, allow, block, hold, limit,"
        " review, tag; did you mean block?",
        "line 8, column 21: rule six: alert.severity: 'hih' is none of critical, high, low,"
        " medium; did you mean high?",
        "line 11, column 12: rule ten: examples.hits, number 1: Expected `bool | int |"
        " float | str`, got `array`",
        "line 13, column 20: rate rule far: state: 'dead' is none of draft, live, retired",
    ]


def test_a_book_without_text_has_no_lines() -> None:
    with pytest.raises(BadBook, match=r"^rule one: action: 'blok' is none of .*mean block\?$"):
        book_of({"name": "x", "rules": [{"id": "one", "action": "blok"}]})


def test_files_that_are_no_book_are_refused(tmp_path: Path) -> None:
    large, broken = tmp_path / "large.yaml", tmp_path / "broken.yaml"
    large.write_bytes(b"x" * (BOOK_BYTES_MAX + 1))
    broken.write_bytes(b"name: \xff")
    wanted = {large: "larger than", broken: "byte 6 is not UTF-8", tmp_path: "cannot be read"}
    for path, message in wanted.items():
        with pytest.raises(BadBook, match=message):
            read_book(path)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"when": "amuont > 100"}, "line 1, column 1: unknown name amuont; did you mean amount?"),
        ({"when": "amount > "}, "line 1, column"),
        ({"expires_at": "tomorrow"}, "expires_at 'tomorrow' is no time; write 2026-01-31T"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at 2020-01-01T00:00:00Z is in the past"),
        ({"action": "hold"}, "hold: say whom and for how long, as {entity: card, lasts: 24h}"),
        ({"hold": HELD}, "hold: the action is review; only a rule of the action hold suspends"),
        (
            {"action": "hold", "hold": Holding(entity="card", lasts="91d")},
            "hold.lasts 91d is longer than 90 days",
        ),
        ({"examples": Examples()}, "a live rule needs an example that hits and one that misses"),
        ({"when": "amount > 101"}, "examples.hits, number 1: the rule misses"),
        ({"when": "amount > 99"}, "examples.misses, number 1: the rule hits"),
        ({"when": "amount > 100 and score > 0"}, "examples.hits, number 1: the rule is unknown"),
    ],
)  # fmt: skip
def test_each_problem_of_a_rule_is_named(changes: dict[str, Any], line: str) -> None:
    found = problems(rule(**changes))
    assert len(found) == 1, found
    assert found[0].startswith(f"rule big_amount: {line}")


@pytest.mark.parametrize(
    ("example", "line"),
    [
        ({"amuont": 1}, "unknown name amuont; did you mean amount?"),
        ({"zzzzzz": 1}, "unknown name zzzzzz"),
        ({"amount": "1"}, "amount is an integer, not '1'"),
        ({"country": False}, "country is text, not False"),
        ({"account_new_device": 1}, "account_new_device is a condition, not 1"),
    ],
)
def test_examples_have_names_and_types(example: dict[str, Any], line: str) -> None:
    found = problems(rule(examples=Examples(hits=(example,), misses=({},))))
    assert found == [f"rule big_amount: examples.hits, number 1: {line}"]


def test_drafts_need_no_examples_and_retired_rules_are_left_alone() -> None:
    assert problems(rule(state="draft", examples=Examples(), action="hold")) == []
    assert problems(rule(action="hold", hold=HELD)) == []
    assert problems(rule(state="shadow", expires_at="2020-01-01T00:00:00Z")) == []
    assert problems(rule(state="retired", when="gone_feature > 1")) == []


def test_an_id_stands_for_one_rule_and_all_problems_are_raised_at_once() -> None:
    with pytest.raises(BadBook) as refused:
        check_book(book(rule(), rule(when="x > 1")), SCHEMA, TABLES, NOW_MS)
    assert refused.value.problems == [
        "rule big_amount: 2 rules have this id; an id stands for one rule",
        "rule big_amount: line 1, column 1: unknown name x",
    ]


def test_a_rule_is_found_by_its_id() -> None:
    assert book().rule("big_amount").reason == "BIG_AMOUNT"
    with pytest.raises(KeyError):
        book().rule("small_amount")


@settings(deadline=None)
@given(st.floats(0, 100), st.floats(0, 100), st.text(max_size=20))
def test_a_wider_rollout_keeps_who_was_in(a: float, b: float, account: str) -> None:
    narrow, wide = (rule(rollout_percent=share) for share in sorted((a, b)))
    assert wide.rolled_out_to("main", account) or not narrow.rolled_out_to("main", account)


def test_a_rollout_takes_about_its_share_and_differs_by_rule() -> None:
    accounts = [f"acc_{number}" for number in range(5_000)]
    half = rule(rollout_percent=50.0)
    inside = {name for name in accounts if half.rolled_out_to("main", name)}
    assert 2_300 < len(inside) < 2_700
    other = rule(id="another", rollout_percent=50.0)
    assert inside != {name for name in accounts if other.rolled_out_to("main", name)}
    assert all(rule(rollout_percent=100.0).rolled_out_to("main", name) for name in accounts[:9])
