"""Which label stands: by rank, then by time, whatever the order in which they came."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.domain.kinds import FRAUD_LABELS
from risk.domain.truth import RANKS, verdicts

WORDS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(sorted(RANKS))), max_size=8)


@pytest.mark.parametrize(
    ("first", "then", "stands"),
    (
        ("chargeback", "fraud_report", True),
        ("chargeback", "dispute_won", True),
        ("fraud_report", "dispute_won", True),
        ("fraud_report", "analyst_legit", True),
        ("dispute_won", "analyst_fraud", False),
        ("dispute_won", "fraud_report", True),
        ("analyst_fraud", "dispute_won", False),
        ("analyst_fraud", "analyst_legit", False),
        ("analyst_legit", "analyst_fraud", True),
    ),
)
def test_rank_goes_before_time(first: str, then: str, stands: bool) -> None:
    assert verdicts([(1, first), (2, then)])[-1] == (2, stands)


@given(WORDS, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(words: list[tuple[int, str]], chance: object) -> None:
    mixed = list(words)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert verdicts(mixed) == verdicts(words)


@given(WORDS)
def test_what_stands_is_the_newest_of_the_highest_rank(words: list[tuple[int, str]]) -> None:
    found = verdicts(words)
    assert [at for at, _ in found] == sorted(at for at, _ in words)
    if words:
        best = min(RANKS[label] for _, label in words)
        newest = max((at, label in FRAUD_LABELS) for at, label in words if RANKS[label] == best)
        assert found[-1][1] == newest[1]
