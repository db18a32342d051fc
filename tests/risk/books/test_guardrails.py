"""Guardrails: no false alarm on few decisions, no silence on many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.books.guardrails import Counts, Limits, breach, lower_bound

LIMITS = Limits()
USUAL = Counts(payments=10_000, blocks=100, reviews=300, good_stopped=20.0, slow=10)


@st.composite
def counts(draw: st.DrawFn) -> Counts:
    payments = draw(st.integers(0, 5_000))
    blocks = draw(st.integers(0, payments))
    return Counts(
        payments=payments,
        blocks=blocks,
        reviews=draw(st.integers(0, payments - blocks)),
        good_stopped=draw(st.floats(0, blocks)),
        slow=draw(st.integers(0, payments)),
    )


@pytest.mark.parametrize(
    ("fresh", "word"),
    [
        (Counts(payments=1_000, blocks=200), "blocked"),
        (Counts(payments=1_000, reviews=300), "sent to review"),
        (Counts(payments=1_000, blocks=50, good_stopped=48.0), "good and blocked"),
        (Counts(payments=1_000, slow=90), "answered late"),
    ],
)
def test_each_guardrail_names_what_went_wrong(fresh: Counts, word: str) -> None:
    assert word in breach(USUAL, fresh, LIMITS)
    assert breach(Counts(), fresh, LIMITS)  # also where nothing is known of before


def test_the_usual_may_stay() -> None:
    fresh = Counts(payments=1_000, blocks=12, reviews=40, good_stopped=3.0, slow=2)
    assert breach(USUAL, fresh, LIMITS) == ""


@given(counts(), counts())
def test_few_decisions_prove_nothing_and_more_of_the_same_proves_no_less(
    before: Counts, fresh: Counts
) -> None:
    said = breach(before, fresh, LIMITS)
    assert said == breach(before, fresh, LIMITS)
    if fresh.payments < LIMITS.payments_min:
        assert said == ""
    if said:
        assert breach(before, fresh + fresh, LIMITS)


@given(st.integers(1, 5_000), st.data())
def test_the_bound_is_below_the_share_and_grows_with_it(total: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, total))
    assert 0.0 <= lower_bound(hits, total) <= hits / total
    if hits < total:
        assert lower_bound(hits, total) < lower_bound(hits + 1, total)


@given(counts())
def test_a_book_like_the_one_before_stays(before: Counts) -> None:
    assert breach(before, before, LIMITS) == ""
