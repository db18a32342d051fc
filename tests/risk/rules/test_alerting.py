"""Alerts in books: what a rule raises, the text of rate rules, and old books that stay the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.books.difference import differences
from risk.bootstrap import shipped_book
from risk.domain.errors import BadBook
from risk.rules.alerting import Alerting, RateTest, Usual, read_rate, within_ms
from risk.rules.book import Book
from risk.rules.book_check import problems_of
from risk.rules.book_file import canonical_text, dump_book, load_book
from risk.rules.compiler import Tables
from risk.rules.schema import Schema
from risk.rules.syntax import Refused
from risk.tables.load import exchange_rates

RULE = """
- id: big_one
  name: Large
  when: amount > 100
  action: block
  reason: BIG_ONE
  sentence: It is large.
  customer: We look at it.
  owner: risk
"""
RATE = """
rate_rules:
- id: big_spike
  name: Many large ones
  when: rate(rule, "10m") > 5 * usual
  sentence: The rule hits more than usual.
  owner: risk
"""
# As the code of before there were alerts in books gave it.
DIGEST_OF_BEFORE = "afb265db93286ab972e7d71b6314913c97df9d28364e914e748ac89840a9090a"


def book(rule: str = "", rate: str | None = None) -> Book:
    """A book of one rule, with lines added to it, and a rate rule where it is wanted."""
    text = f"format: 1\nname: A book\nrules:{RULE}{rule}"
    return load_book(text if rate is None else text + RATE + rate)


def problems(of: Book) -> list[str]:
    tables = Tables(exchange_rates(None, "EUR"))
    return list(problems_of(of, Schema(), tables, now_ms=0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('rate(rule, "10m") > 5 * usual', RateTest("rule", 600_000, ">", 5.0, True)),
        ("rate(merchant,'1h')<0.1*usual", RateTest("merchant", 3_600_000, "<", 0.1, True)),
        ('rate(all, "24h") <= usual', RateTest("all", 86_400_000, "<=", 1.0, True)),
        ('rate(reason, "5m") >= usual * 2', RateTest("reason", 300_000, ">=", 2.0, True)),
        ('rate(outcome,\n "15m") > 100', RateTest("outcome", 900_000, ">", 100.0, False)),
    ],
)
def test_what_a_rate_rule_says(text: str, expected: RateTest) -> None:
    assert read_rate(text) == expected
    assert expected.slot_ms * 4 == expected.span_ms


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1: the rule ends here; expected rate"),
        ('rat(rule, "10m") > 5', "column 1: unknown name rat; expected rate; did you mean rate?"),
        ('rate(rle, "10m") > 5', "column 6: unknown name rle; expected a subject: rule, reason,"),
        ("rate(rule, 10) > 5", 'column 12: 10 does not fit here; expected a span in quotes, as "'),
        ('rate(rule, "10x") > 5', "column 12: '10x' is no span; write minutes or hours"),
        ('rate(rule, "7m") > 5', "column 12: a span of 7m; expected 5 minutes to 24 hours"),
        ('rate(rule, "1m") > 5', "column 12: a span of 1m; expected 5 minutes"),
        ('rate(rule, "48h") > 5', "column 12: a span of 48h"),
        ('rate(rule, "10m") == 5', "column 19: '==' does not fit here; expected one of < <= > >="),
        ('rate(rule, "10m") > 5 * usul', "column 25: unknown name usul; expected usual; did you"),
        ('rate(rule, "10m") > usul', "column 21: unknown name usul; expected usual; did you mean"),
        ('rate(rule, "10m")\n > *', "line 2, column 4: * does not fit here; expected a number or"),
        ('rate(rule, "10m") > 5 * usual or 1', "column 31: text after the condition; expected"),
        ('rate(rule, "10m") > 0 * usual', "column 1: 0 * usual is always 0; expected another"),
        ('rate(rule, "10m") > 99999999999', "column 21: the number is too large"),
        ('rate(rule; "10m") > 5', "column 10: ; does not fit here; expected ,"),
        ("x" * 5_000, "column 1: the rule is too long; expected at most 4096 bytes"),
    ],
)
def test_a_wrong_rate_rule_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(Refused) as refused:
        read_rate(text)
    (found,) = refused.value.problems
    assert place in str(found)


@given(st.text(max_size=60) | st.text(alphabet='rate(ulm,"105)<>=* usa', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        test = read_rate(text)
    except Refused:
        return
    assert test.span_ms * (86_400_000 // test.span_ms) == 86_400_000


@pytest.mark.parametrize(
    ("sign", "factor", "usual", "count", "of", "holds"),
    [
        (">", 5, True, 51, 10, True), (">", 5, True, 50, 10, False),
        (">=", 5, True, 50, 10, True), ("<", 0.5, True, 4, 10, True),
        ("<=", 0.5, True, 5, 10, True), ("<", 3, False, 2, 1000, True),
        (">", 3, False, 4, 1000, True), (">", 3, False, 3, 0, False),
    ],
)  # fmt: skip
def test_what_holds(
    sign: Any, factor: float, usual: bool, count: int, of: float, holds: bool
) -> None:
    test = RateTest("rule", 600_000, sign, factor, usual)
    assert test.holds(count, of) is holds
    assert test.silence is sign.startswith("<")


def test_a_book_of_before_keeps_its_digest() -> None:
    assert book().digest() == DIGEST_OF_BEFORE
    assert book(rate="").digest() != DIGEST_OF_BEFORE
    assert book("  alert: true\n").digest() != DIGEST_OF_BEFORE
    assert "rate_rules" not in dump_book(book())
    assert book().rates == ()


def test_what_raises_alerts() -> None:
    assert book().rules[0].alerting is None
    assert book("  alert: true\n").rules[0].alerting == Alerting()
    by_card = book("  alert: {severity: critical, group_by: card, within: 30m}\n").rules[0]
    assert by_card.alerting == Alerting(severity="critical", group_by="card", within="30m")
    alerts = [rule for rule in shipped_book().rules if rule.action == "alert"]
    assert alerts
    assert all(rule.alerting == Alerting() for rule in alerts)


def test_a_book_with_rate_rules_is_written_and_read_again() -> None:
    made = book(rate="  only: [big_one]\n  outcome: block\n  usual: {over: days, last: 7}\n")
    assert made.rates[0].usual == Usual(over="days", last=7)
    assert load_book(dump_book(made)) == made
    assert load_book(canonical_text(made)) == made
    assert problems(made) == []


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("  only: [bigone]\n", "rate rule big_spike: only: no rule is called bigone; did you mean"),
        ("  within: 200h\n", "rate rule big_spike: within 200h is longer than 7 days"),
        ("  usual: {last: 3, known: 4}\n", "usual.known 4 is more than usual.last 3"),
        ("- id: big_one\n  name: n\n  when: 'rate(all, \"1h\") < 5'\n  sentence: s\n  owner: o\n",
         "rule big_one: 2 rules have this id"),
        ("- id: none_there\n  name: n\n  when: 'rate(merchant, \"1h\") < 5'\n  sentence: s\n"
         "  owner: o\n", "needs the names that are to be heard of"),
        ("- id: a_reason\n  name: n\n  when: 'rate(reason, \"1h\") > 5'\n  sentence: s\n"
         "  owner: o\n  only: [BIG_ON]\n", "is called BIG_ON; did you mean BIG_ONE?"),
        ("- id: an_outcome\n  name: n\n  when: 'rate(outcome, \"1h\") > 5'\n  sentence: s\n"
         "  owner: o\n  only: [zzz]\n", "only: no outcome is called zzz"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_rate_rule_is_said(lines: str, problem: str) -> None:
    found = problems(book(rate=lines))
    assert any(problem in line for line in found), found


def test_reasons_of_the_policy_and_merchants_may_be_named() -> None:
    fine = (
        "- id: a_reason\n  name: n\n  when: 'rate(reason, \"1h\") > 5'\n  sentence: s\n"
        "  owner: o\n  only: [NO_RATE]\n"
        "- id: a_shop\n  name: n\n  when: 'rate(merchant, \"1h\") < 5'\n  sentence: s\n"
        "  owner: o\n  only: [m_1]\n"
        "- id: old_one\n  name: n\n  when: 'nonsense'\n  sentence: s\n  owner: o\n"
        "  state: retired\n"
    )
    assert problems(book(rate=fine)) == []


def test_the_text_of_a_rate_rule_is_named_with_line_and_column() -> None:
    (found,) = problems(
        book(rate="- {id: bad_one, name: n, sentence: s, owner: o, when: 'rate('}\n")
    )
    assert found.startswith("rate rule bad_one: line 1, column 6: the rule ends here")
    (found,) = problems(book("  alert: {within: 999h}\n"))
    assert found == "rule big_one: alert.within 999h is longer than 7 days"
    with pytest.raises(BadBook, match=r"rate rule big_spike: .*at_least"):
        book(rate="  at_least: 0\n")
    with pytest.raises(ValueError, match="is no span"):
        within_ms("10")


def test_a_change_of_alerts_is_said_in_plain_words() -> None:
    old, new = book(rate=""), book("  alert: {severity: high}\n", rate="  at_least: 50\n")
    assert differences(old, new) == [
        "rule big_one: it raises high alerts by account within 1h where it raised no alerts",
        "rate rule big_spike: its at_least changed",
    ]
    other = load_book(dump_book(new).replace("> 5 * usual", "> 6 * usual"))
    assert differences(new, other) == [
        'rate rule big_spike: it tells when rate(rule, "10m") > 6 * usual;'
        ' before when rate(rule, "10m") > 5 * usual'
    ]
    assert differences(book(), book(rate="")) == [
        'rate rule big_spike is new: draft, rate(rule, "10m") > 5 * usual; The rule hits more'
        " than usual."
    ]
    assert differences(book(rate=""), book()) == ["rate rule big_spike is gone; it was draft"]
    assert differences(old, old) == []
