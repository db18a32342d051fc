"""Thresholds from money against a plain search, and within the reviewers' capacity."""

from __future__ import annotations

import numpy as np
import pytest

from models.thresholds import ALL, DAY_MS, GRID, Capacity, Plan, Point, Seen, plan
from risk.domain.errors import BadConfiguration
from risk.policy import Policy

POLICY = Policy()
PLENTY = Capacity(reviewers=1e6)


def seen(n: int = 6_000, seed: int = 1) -> Seen:
    rng = np.random.Generator(np.random.PCG64(seed))
    score = np.clip(rng.beta(0.3, 6.0, n), 1e-6, 1 - 1e-6)
    fraud = rng.random(n) < score
    segment = np.where(rng.random(n) < 0.7, "ecom", "pos_chip").astype(object)
    segment[:20] = "moto"
    fraud[:20] = False
    return Seen(
        fraud, score, rng.integers(100, 60_000, n), np.sort(rng.integers(0, 10 * DAY_MS, n)),
        rng.integers(0, 500, n), segment,
    )  # fmt: skip


def plain_cost(of: Seen, review_at: float, block_at: float) -> float:
    """One payment at a time."""
    total = 0.0
    for fraud, score, amount in zip(of.fraud, of.score, of.amount, strict=True):
        allow = fraud * (POLICY.loss_share * amount + POLICY.fee_minor)
        block = (not fraud) * (POLICY.stopped_customer_minor + POLICY.margin_share * amount)
        review = POLICY.review_minor + 0.10 * allow + 0.05 * block
        total += block if score >= block_at else review if score >= review_at else allow
    return float(total)


def point(of: Plan, segment: str = ALL) -> Point:
    return next(one.point for one in of.chosen if one.segment == segment)


def test_the_chosen_thresholds_cost_least() -> None:
    of = seen(400)
    best = point(plan(of, POLICY, PLENTY))
    assert best.cost_minor == pytest.approx(plain_cost(of, best.review_at, best.block_at))
    assert best.cost_allowing_all_minor == pytest.approx(plain_cost(of, 2.0, 2.0))
    others = [
        plain_cost(of, float(GRID[low]), float(GRID[high]))
        for low in range(0, len(GRID), 9)
        for high in range(low + 1, len(GRID), 9)
    ]
    assert best.cost_minor <= min(others)


def test_capacity_holds_and_has_a_price() -> None:
    of = seen()
    free = plan(of, POLICY, PLENTY)
    scarce = plan(of, POLICY, Capacity(reviewers=0.05, minutes_a_day=400, minutes_a_review=4))
    assert free.price_minor == 0.0
    assert scarce.price_minor > 0.0
    assert point(free).reviews_a_day > 5.0
    assert point(scarce).reviews_a_day <= 5.0
    assert point(scarce).cost_minor > point(free).cost_minor
    by_segment = [one for one in scarce.chosen if one.segment != ALL]
    assert sum(one.point.reviews_a_day for one in by_segment) <= 5.0 * 1.05
    nobody = plan(of, POLICY, Capacity(reviewers=0))
    assert point(nobody).reviewed == 0


def test_segments_have_their_own_thresholds_where_they_have_frauds() -> None:
    found = {one.segment: one for one in plan(seen(), POLICY, PLENTY).chosen}
    assert found["ecom"].own
    assert found["pos_chip"].own
    assert not found["moto"].own
    assert found["moto"].point.review_at == found[ALL].point.review_at
    assert sum(one.payments for one in found.values()) == 2 * 6_000


def test_intervals_hold_the_choice() -> None:
    for one in plan(seen(), POLICY, PLENTY).chosen:
        assert one.cost_interval_minor[0] <= one.point.cost_minor <= one.cost_interval_minor[1]
        assert one.review_at_interval[0] <= one.point.review_at <= one.review_at_interval[1]


def test_the_curve_falls_and_rises() -> None:
    costs = [one.cost_minor for one in plan(seen(), POLICY, PLENTY).curve]
    best = int(np.argmin(costs))
    assert 0 < best < len(costs) - 1


def test_bad_input_is_named() -> None:
    of = seen(100)
    with pytest.raises(BadConfiguration, match="0 frauds among 100"):
        plan(of._replace(fraud=np.zeros(100, np.bool_)), POLICY, PLENTY)
    with pytest.raises(BadConfiguration, match="minutes a review"):
        Capacity(minutes_a_review=0)
