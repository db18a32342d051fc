"""Rules as texts for people: the canonical form, sentences, traces, the page, editor data."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings

from features.catalogue import CATALOGUE
from risk.rules.book_file import STARTER_BOOK, canonical_text, comments_of, load_book, read_book
from risk.rules.compiler import Tables, names_of
from risk.rules.formatter import formatted, written
from risk.rules.functions import FUNCTIONS
from risk.rules.holding import Holding
from risk.rules.local_time import local_ms
from risk.rules.parser import parse
from risk.rules.reference import editor_data, markdown
from risk.rules.schema import Schema
from risk.rules.sentences import rule_sentence, sentence, span_words
from risk.rules.syntax import Refused
from risk.rules.trace import lines, trace
from risk.rules.windows import WINDOW_FUNCTIONS
from risk.tables.load import exchange_rates
from tests.support.rule_oracle import condition_texts

SCHEMA = Schema.of(CATALOGUE)
TABLES = Tables(exchange_rates(None, "EUR"))
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "rules.md"


def placeless(node: Any) -> Any:
    """A tree whose offsets are all 0."""
    if isinstance(node, tuple):
        return tuple(map(placeless, node))
    if not is_dataclass(node) or isinstance(node, type):
        return node
    changed = {one.name: placeless(getattr(node, one.name)) for one in fields(node)}
    return replace(node, **{**changed, "at": 0})


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("amount>10  and(mcc in ('5411','5812'))", 'amount > 10 and mcc in ("5411", "5812")'),
        ("1<amount<=3", "1 < amount <= 3"),
        ("1<amount and amount<=3", "1 < amount and amount <= 3"),
        ("(1<amount<3) or not (True and False)", "1 < amount < 3 or not (True and False)"),
        ("-(amount+1)*2.50-(3-1)%-4 > 0", "-(amount + 1) * 2.5 - (3 - 1) % -4 > 0"),
        ("merchant=='say \"hi\"'", "merchant == 'say \"hi\"'"),
        ("merchant not in trusted", "merchant not in trusted"),
        ("mcc in ('1',)", 'mcc in ("1",)'),
        ("count(card,'1h',kind='declined')>1", 'count(card, "1h", kind="declined") > 1'),
        ("sum(card,'1h',amount,kind=['a','b'])>1",
         'sum(card, "1h", amount, kind=("a", "b")) > 1'),
        ("any_of(amount>1,round(score,2)==0.5)", "any_of(amount > 1, round(score, 2) == 0.5)"),
        ("account_new_device and amount >= 5000000 and (account_amount_ratio_30d > 3 or score>0.9)",
         "account_new_device\nand amount >= 5000000\n"
         "and (account_amount_ratio_30d > 3 or score > 0.9)"),
    ],
)  # fmt: skip
def test_the_canonical_form(text: str, canonical: str) -> None:
    assert formatted(text) == canonical
    assert formatted(canonical) == canonical


def test_a_rule_whose_canonical_form_is_too_long_stays() -> None:
    text = "account_amount_ratio_30d>1" + " or account_amount_ratio_30d>1" * 130
    assert formatted(text) == text


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(condition_texts())
def test_parser_and_formatter_are_inverse(text: str) -> None:
    try:
        tree = parse(text)
    except Refused:
        assume(False)
    made = written(tree)
    assert placeless(parse(made)) == placeless(tree)
    assert written(parse(made)) == made
    assert sentence(tree)


def test_books_have_a_canonical_form_with_the_same_content() -> None:
    text = STARTER_BOOK.read_text()
    assert canonical_text(read_book(STARTER_BOOK)) == text
    assert comments_of(text) == []
    assert comments_of(text.replace("format: 1", "format: 1 # new\n# two")) == [1, 2]
    bad = load_book(text.replace("card_declines_1h >= 4 and", "card_declines_1h >= 4 and and"))
    assert "card_declines_1h >= 4 and and" in canonical_text(bad)
    empty = load_book("format: 1\nname: Empty\nrules: []\n")
    assert load_book(canonical_text(empty)) == empty


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-amount < 5 and mcc not in ('1', '2')",
         'minus amount is less than 5 and mcc is none of "1", "2"'),
        ("merchant in trusted", "merchant is on the list trusted"),
        ("merchant not in trusted", "merchant is not on the list trusted"),
        ("not (a or b)", "it is not so that (a or b)"),
        ("(a + 1) / 2 >= 3", "(a plus 1) divided by 2 is at least 3"),
        ('starts_with(mcc, "59", "79")', 'mcc begins with "59" or "79"'),
        ('in_cidr(ip, "10.0.0.0/8")', 'ip lies in "10.0.0.0/8"'),
        ("coalesce(a, 0) == 1", "the first known of a; 0 is 1"),
        ('x < date("2026-01-31")', "x is less than 2026-01-31"),
        ('count(card, "90m") > 1', "the number of payment records of this card in the last"
         " 90 minutes is more than 1"),
        ('distinct(card, "1d", devices, kind="payment") > 1',
         "the number of different devices of payment of this card in the last 1 day is more"
         " than 1"),
        ('max(card, "1d", amount, kind="declined") > 1',
         "the largest declined amount of this card in the last 1 day is more than 1"),
    ],
)  # fmt: skip
def test_sentences(text: str, words: str) -> None:
    assert sentence(parse(text)) == words


def test_a_hold_says_whom_and_how_long() -> None:
    told = rule_sentence("hold", parse("amount > 5"), Holding(entity="card", lasts="2d"))
    assert told == (
        "Block the payment when amount is more than 5. Its card is suspended for 2 days."
    )


def test_every_function_and_rule_has_a_sentence() -> None:
    for one in FUNCTIONS.values():
        assert sentence(parse(one.example))
    for window in WINDOW_FUNCTIONS.values():
        assert sentence(parse(window.example))
    for rule in read_book(STARTER_BOOK).rules:
        assert rule_sentence(rule.action, parse(rule.when)).endswith(".")
    assert span_words("ip") == ""


def test_a_trace_says_which_condition_held_with_its_values() -> None:
    tree = parse('any_of(amount > 5, not card_new_device) and (mcc == "1" or score > 0.5)')
    slots = {name: slot for slot, name in enumerate(sorted(names_of(tree)))}
    values = {"amount": 9.0, "card_new_device": math.nan, "mcc": None, "score": 0.1}
    found = trace(tree, SCHEMA, TABLES, slots, [values[name] for name in slots])
    assert lines(found) == [
        '? any_of(amount > 5, not card_new_device) and (mcc == "1" or score > 0.5): unknown',
        "  + any_of(amount > 5, not card_new_device): held",
        "    + amount > 5: held (amount = 9.0)",
        "    ? not card_new_device: unknown",
        "      ? card_new_device: unknown (card_new_device = missing)",
        '  ? mcc == "1" or score > 0.5: unknown',
        '    ? mcc == "1": unknown (mcc = missing)',
        "    - score > 0.5: failed (score = 0.1)",
    ]


def test_the_reference_page_is_made_from_the_code() -> None:
    assert PAGE.read_text() == markdown(CATALOGUE), "run `weir rules reference --out FILE`"


def test_editor_data_names_everything() -> None:
    data = msgspec.json.decode(msgspec.json.encode(editor_data(CATALOGUE, ["trusted"])))
    assert {one["name"] for one in data["names"]} == set(SCHEMA.types())
    assert {one["name"]: one["type"] for one in data["names"]} == dict(SCHEMA.types())
    assert [one["name"] for one in data["functions"]] == list(FUNCTIONS)
    assert [one["name"] for one in data["windows"]] == list(WINDOW_FUNCTIONS)
    assert data["lists"] == ["trusted"]
    assert all(one["sentence"] for one in (*data["names"], *data["functions"]))


DAY = 86_400_000.0
HOUR = 3_600_000.0


@pytest.mark.parametrize(
    ("at_ms", "country", "hours"),
    [
        (20_500 * DAY, "DE", 1.0),  # 2026-02-16
        (20_650 * DAY, "DE", 2.0),  # 2026-07-16
        (20_541 * DAY + HOUR - 1, "DE", 1.0),  # 2026-03-29, the last moment of winter
        (20_541 * DAY + HOUR, "DE", 2.0),
        (20_751 * DAY + HOUR, "DE", 1.0),  # 2026-10-25
        (20_500 * DAY, "US", -5.0),
        (20_520 * DAY + 7 * HOUR - 1, "US", -5.0),  # 2026-03-08
        (20_520 * DAY + 7 * HOUR, "US", -4.0),
        (20_758 * DAY + 6 * HOUR, "US", -5.0),  # 2026-11-01
        (20_650 * DAY, "IN", 5.5),
    ],
)
def test_local_time(at_ms: float, country: str, hours: float) -> None:
    assert (local_ms(at_ms, country) - at_ms) / HOUR == hours


def test_local_time_is_unknown_without_time_or_country() -> None:
    assert math.isnan(local_ms(math.nan, "DE"))
    assert math.isnan(local_ms(0.0, None))
    assert math.isnan(local_ms(0.0, "XX"))
