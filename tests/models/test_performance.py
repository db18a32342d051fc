"""Performance before all labels have come: the correction is right where the naive is not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.performance import DAY_MS, Judged, performance, reported
from risk.domain.errors import BadConfiguration

DELAYS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=40)


def world(n: int = 40_000, days: float = 40.0, seed: int = 1) -> tuple[Judged, dict[str, float]]:
    """Payments of ``days`` days seen at their end, and the truth; half the labels take 10 days.

    In the newest half frauds are twice as many and found half as well, so what is mature misleads.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    age = rng.uniform(0, days * DAY_MS, n).astype(np.int64)
    young = age < days * DAY_MS / 2
    fraud = rng.uniform(size=n) < np.where(young, 0.08, 0.04)
    delay = np.where(fraud, rng.exponential(10 * DAY_MS / np.log(2), n), -1).astype(np.int64)
    stopped = rng.uniform(size=n) < np.where(fraud, np.where(young, 0.3, 0.6), 0.01)
    amount = rng.integers(100, 10_000, n)
    told = np.where(fraud & (delay <= age), delay, -1)
    score = np.clip(rng.normal(0.2 + 0.3 * stopped + 0.2 * fraud, 0.1), 0, 1)
    account = np.arange(n) // 4
    return Judged(score, stopped, amount, account, age, told), {
        "precision": float(fraud[stopped].mean()),
        "recall": float(stopped[fraud].mean()),
        "frauds": float(fraud.sum()),
    }


def test_the_correction_finds_the_truth_that_mature_labels_miss() -> None:
    of, _ = world()
    found = performance(of, round(20 * DAY_MS), replicates=60)
    told = of.age_ms >= np.quantile(of.age_ms, found.too_young_share)
    # The truth of those payments, by the same law with every label there.
    recall = 0.3 * 0.08 * (told & (of.age_ms < 20 * DAY_MS)).sum() + 0.6 * 0.04 * 20_000
    frauds = 0.08 * (told & (of.age_ms < 20 * DAY_MS)).sum() + 0.04 * 20_000
    # Delays over 40 days were never seen, so all ages lack the same share of frauds.
    seen = 1 - 0.5 ** (40 / 10)
    corrected, mature = found.corrected.figures, found.mature
    assert mature is not None
    assert corrected["recall"].low < recall / frauds < corrected["recall"].high
    assert corrected["frauds"].low < frauds * seen < corrected["frauds"].high
    assert mature.figures["recall"].low > recall / frauds, "mature labels know the old half only"
    assert found.immature_share == pytest.approx(0.5, abs=0.02)
    assert 0.0 < found.too_young_share < 0.1
    assert found.frauds_known == int((of.delay_ms >= 0).sum())


def test_the_curve_is_that_of_the_delays() -> None:
    of, _ = world()
    curve = dict(performance(of, round(20 * DAY_MS), replicates=1).curve)
    whole = 1 - 0.5 ** (40 / 10)
    for days in (2.0, 5.0, 10.0, 21.0):
        assert curve[days] == pytest.approx((1 - 0.5 ** (days / 10)) / whole, abs=0.05)
    assert list(curve.values()) == sorted(curve.values())


@given(DELAYS)
def test_the_share_grows_to_one(pairs: list[tuple[int, int]]) -> None:
    delay = np.array([min(pair) for pair in pairs])
    age = np.array([max(pair) for pair in pairs])
    ages = np.arange(-1, 60)
    share = reported(delay, age)(ages)
    assert np.all(np.diff(share) >= 0)
    assert np.all((share >= 0) & (share <= 1))
    assert share[-1] == 1.0
    assert share[0] == pytest.approx(0.0)


@given(DELAYS)
def test_where_all_are_old_the_share_is_what_came(pairs: list[tuple[int, int]]) -> None:
    delay = np.array([pair[0] for pair in pairs])
    share = reported(delay, np.full(len(delay), 50))(np.arange(51))
    came = [(delay <= age).mean() for age in range(51)]
    assert share.tolist() == pytest.approx(came)


def test_with_every_label_there_nothing_is_corrected() -> None:
    of, truth = world()
    old = of._replace(age_ms=of.age_ms + 400 * DAY_MS)
    found = performance(old, 0, replicates=10)
    assert found.mature is not None
    for name in ("precision", "recall", "average_precision", "fraud_minor"):
        assert found.corrected.figures[name].value == pytest.approx(
            found.mature.figures[name].value, rel=1e-9
        )
    assert truth["precision"] > 0.3


def test_without_frauds_nothing_can_be_said() -> None:
    of, _ = world(500)
    with pytest.raises(BadConfiguration, match="0 frauds are known"):
        performance(of._replace(delay_ms=np.full(500, -1)), 0)


def test_without_mature_frauds_only_the_correction_speaks() -> None:
    of, _ = world(4_000)
    found = performance(of, 100 * DAY_MS, replicates=5)
    assert found.mature is None
    assert found.immature_share == 1.0
