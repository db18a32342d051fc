"""Who may do what to the live book, and how changes are told."""

from __future__ import annotations

import msgspec
import pytest

from risk.books.difference import acting, differences
from risk.books.life import (
    Proposal,
    Subject,
    approved,
    check_order,
    check_publishable,
    check_successor,
    checked_name,
    with_paused,
    with_retired,
    with_shadow,
)
from risk.domain.errors import BadBook, BadConfiguration, BookRefused
from risk.rules.alerting import RateRule
from risk.rules.book import Book, Rule, State
from risk.rules.holding import Holding

SECRET = b"s" * 32
SUBJECT = Subject(book="a" * 64, evidence="b" * 64, from_ms=1, to_ms=2)
PROPOSAL = Proposal(subject=SUBJECT, author="Ana", proposed_at_ms=5, base="d" * 64)


def rule(rule_id: str, state: State = "live", when: str = "amount > 5") -> Rule:
    return Rule(
        id=rule_id, name="n", when=when, action="block", reason="R_CODE", sentence="It says why.",
        customer="c", owner="o", state=state,
    )  # fmt: skip


def book(*rules: Rule) -> Book:
    return Book(name="b", rules=rules)


def test_every_kind_of_change_is_told_in_words() -> None:
    held = rule("one_rule")
    changed = msgspec.structs.replace(
        held, state="shadow", action="review", when="amount > 6", rollout_percent=10.0,
        expires_at="2030-01-01T00:00:00Z", owner="new", hold=Holding(entity="card", lasts="2d"),
    )  # fmt: skip
    old = book(held, rule("gone_rule"), rule("two_rule"))
    new = Book(name="c", rules=(rule("two_rule"), changed, rule("new_rule", "shadow")))
    told = "\n".join(differences(old, new))
    for part in (
        "the book is called 'c'", "live becomes shadow; it acts no more",
        "it asks for review where it asked for block", "it hits when amount > 6; before when",
        "10 % of accounts, fewer than the 100 %", "it ends 2030-01-01T00:00:00Z, not never",
        "its owner is 'new'", "it suspends the card for 2d where it suspended nobody",
        "rule gone_rule is gone; it was live, block",
        "rule new_rule is new: shadow, block", "in another order",
    ):  # fmt: skip
        assert part in told
    assert differences(old, old) == []
    assert "it acts from now on" in "\n".join(differences(book(changed), book(held)))


def test_the_author_neither_approves_nor_publishes() -> None:
    with pytest.raises(BookRefused, match="four eyes"):
        approved(PROPOSAL, " ana ", 6, SECRET)
    signed = approved(PROPOSAL, "Ben", 6, SECRET)
    check_publishable(signed, SUBJECT, "Ben", SECRET)
    with pytest.raises(BookRefused, match="four eyes"):
        check_publishable(signed, SUBJECT, "ANA", SECRET)
    with pytest.raises(BookRefused, match="Ben has approved it already"):
        approved(signed, "Cem", 7, SECRET)


@pytest.mark.parametrize("field", ["book", "evidence", "from_ms", "to_ms"])
def test_nothing_but_what_was_signed_is_published(field: str) -> None:
    signed = approved(PROPOSAL, "Ben", 6, SECRET)
    value = 9 if field.endswith("_ms") else "c" * 64
    other = msgspec.structs.replace(SUBJECT, **{field: value})
    assert other.digest() != SUBJECT.digest()
    with pytest.raises(BookRefused, match="nobody proposed"):
        check_publishable(signed, other, "Ben", SECRET)
    # Neither a row changed by hand, nor another secret.
    forged = msgspec.structs.replace(signed, subject=other)
    with pytest.raises(BookRefused, match="signature"):
        check_publishable(forged, other, "Ben", SECRET)


def test_an_approval_that_is_missing_or_forged_publishes_nothing() -> None:
    signed = approved(PROPOSAL, "Ben", 6, SECRET)
    with pytest.raises(BookRefused, match="nobody proposed"):
        check_publishable(None, SUBJECT, "Ben", SECRET)
    with pytest.raises(BookRefused, match="not approved yet"):
        check_publishable(PROPOSAL, SUBJECT, "Ben", SECRET)
    for forged in ({"author": "Eve"}, {"approver": "Eve"}, {"signature": "0" * 64}):
        with pytest.raises(BookRefused, match="signature"):
            check_publishable(msgspec.structs.replace(signed, **forged), SUBJECT, "Z", SECRET)
    with pytest.raises(BookRefused, match="signature"):
        check_publishable(signed, SUBJECT, "Ben", b"t" * 32)


def test_somebody_is_named() -> None:
    for nobody in ("", "  ", "a\nb", "x" * 129):
        with pytest.raises(BadConfiguration, match="--as"):
            checked_name(nobody)
    assert checked_name(" Ana ") == "Ana"


def test_what_acts_was_in_the_shadow_before() -> None:
    live = book(rule("one_rule"), rule("two_rule", "shadow", "amount > 6"), rule("d_rule", "draft"))
    draft = rule("new_rule", "live", "amount > 7")
    for bad in (draft, rule("one_rule", "live", "amount > 7"), rule("d_rule", when="mcc == '1'")):
        with pytest.raises(BadBook, match=f"{bad.id} would act on a condition"):
            check_order(live, book(bad))
    # Spaces do not count, and a condition keeps its time in the shadow under another id.
    check_order(
        live, book(rule("one_rule", when="amount  >  6"), rule("two_rule", when="amount>6"))
    )
    check_order(live, book(rule("one_rule"), rule("new_rule", "shadow", "amount > 9")))
    with pytest.raises(BadBook, match="not in the shadow"):
        check_order(live, book(rule("one_rule", when="amount >")))


def test_a_shadow_changes_nothing_that_acts() -> None:
    live = book(rule("one_rule"), rule("two_rule", "shadow"))
    draft = book(rule("one_rule"), rule("two_rule", "live", "amount > 7"), rule("new_rule"))
    made = with_shadow(live, draft)
    assert acting(made) == acting(live)
    assert [(one.id, one.state) for one in made.rules] == [
        ("one_rule", "live"), ("two_rule", "shadow"), ("new_rule", "shadow"),
    ]  # fmt: skip
    assert made.rule("two_rule").when == "amount > 7"
    drafts = book(rule("one_rule"), rule("two_rule", "draft"), rule("far_rule", "draft"))
    wanted = book(rule("two_rule", "draft"), rule("far_rule", "shadow"))
    assert [one.state for one in with_shadow(drafts, wanted).rules] == ["live", "draft", "shadow"]
    with pytest.raises(BadBook, match="one_rule is live and changed"):
        with_shadow(live, book(rule("one_rule", "shadow", "amount > 8")))
    with pytest.raises(BadBook, match="nothing would come"):
        with_shadow(live, book(rule("one_rule")))


def test_pause_then_retire_and_never_back() -> None:
    live = book(rule("one_rule"), rule("two_rule"))
    with pytest.raises(BadBook, match="pause a live rule first"):
        with_retired(live, "one_rule")
    paused = with_paused(live, "one_rule")
    with pytest.raises(BadBook, match="only a live rule"):
        with_paused(paused, "one_rule")
    retired = with_retired(paused, "one_rule")
    assert [one.state for one in retired.rules] == ["retired", "live"]
    check_successor(retired, retired)
    with pytest.raises(BadBook, match="one_rule was retired"):
        check_successor(retired, live)
    with pytest.raises(BadBook, match="was retired"):
        with_shadow(retired, live)
    with pytest.raises(BadBook, match="no rule absent in the live book; see `weir rules list`"):
        with_paused(live, "absent")


def test_rate_rules_pause_and_retire_too() -> None:
    rate = RateRule(id="a_spike", name="n", when='rate(rule, "10m") > 5 * usual', sentence="s",
                    owner="o", state="live")  # fmt: skip
    live = Book(name="b", rules=(rule("one_rule"),), rate_rules=(rate,))
    with pytest.raises(BadBook, match="rate rule a_spike is live: pause"):
        with_retired(live, "a_spike")
    paused = with_paused(live, "a_spike")
    assert [one.state for one in paused.rates] == ["draft"]
    with pytest.raises(BadBook, match="only a live rule"):
        with_paused(paused, "a_spike")
    retired = with_retired(paused, "a_spike")
    with pytest.raises(BadBook, match="a_spike was retired"):
        check_successor(retired, live)
    with pytest.raises(BadBook, match="did you mean a_spike"):
        with_paused(live, "the_spike")
