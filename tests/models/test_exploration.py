"""What chance let through tells of what is stopped, without bias, and only when it may."""

from __future__ import annotations

import numpy as np
import pytest

from models.exploration import Explored, unbiased, wilson
from risk.domain.errors import BadConfiguration

DAY_MS = 24 * 60 * 60 * 1000
RISKY, FRAUD_SHARE = 200_000, 0.3


def world(seed: int, share: float, later: float) -> tuple[Explored, float]:
    """Payments that only the model would stop; the policy's share changes half-way, and so does
    what fraud looks like. Beside the columns: the true share of fraud."""
    rng = np.random.default_rng(seed)
    second = np.arange(RISKY) >= RISKY // 2
    fraud = rng.random(RISKY) < np.where(second, FRAUD_SHARE * 2, FRAUD_SHARE)
    propensity = np.where(second, later, share)
    seen = rng.random(RISKY) < propensity
    amount = rng.integers(100, 5_000, RISKY)
    age = np.full(RISKY, 20 * DAY_MS)
    # The label of what was stopped never comes.
    return (
        Explored(np.where(seen, propensity, np.nan), amount, age, fraud & seen),
        float(fraud.mean()),
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_estimate_is_that_of_all_which_qualified(seed: int) -> None:
    of, truth = world(seed, 0.01, 0.05)
    found = unbiased(of, 10 * DAY_MS)
    assert found.precision.low < truth < found.precision.high
    assert found.precision.value == pytest.approx(truth, abs=0.05)
    assert found.stand_for == pytest.approx(RISKY, rel=0.05)
    assert found.frauds == pytest.approx(truth * RISKY, rel=0.1)
    # Without weights the later policy would count five times too much.
    plain = found.frauds_found / found.explored
    assert abs(plain - truth) > abs(found.precision.value - truth)
    assert found.good_share.value == pytest.approx(1.0 - found.precision.value)
    assert found.propensity_least == 0.01
    assert found.amount_most_minor < 5_000


def test_immature_payments_wait() -> None:
    of, _ = world(1, 0.01, 0.05)
    age = of.age_ms.copy()
    age[: RISKY // 2] = DAY_MS
    found = unbiased(of._replace(age_ms=age), 10 * DAY_MS)
    assert found.immature == int((~np.isnan(of.propensity[: RISKY // 2])).sum())
    assert found.propensity_least == 0.05
    with pytest.raises(BadConfiguration, match="younger than the label delay"):
        unbiased(of._replace(age_ms=np.zeros(RISKY, np.int64)), 1)


def test_an_arm_that_was_off_is_refused() -> None:
    of, _ = world(1, 0.0, 0.0)
    with pytest.raises(BadConfiguration, match="exploration arm was off: set explore_share"):
        unbiased(of, 0)


def test_no_fraud_found_is_not_no_fraud() -> None:
    of, _ = world(1, 0.001, 0.001)
    found = unbiased(of._replace(fraud=np.zeros(RISKY, np.bool_)), 0)
    assert found.precision.value == found.precision.low == 0.0
    assert 0.0 < found.precision.high < 0.05
    assert wilson(1.0, 10.0)[1] == pytest.approx(1.0)
