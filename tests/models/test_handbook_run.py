"""The Handbook protocol through the real path, in a world of few customers."""

from __future__ import annotations

import numpy as np
import pytest

from models.dataset import observe
from models.handbook import STARTS_MS, folds
from models.handbook_run import (
    Observed,
    bundle_of,
    compare_folds,
    figures,
    observe_world,
    train_protocol,
)
from models.inspection import inspect
from models.measures import NAMES
from risk.policy import Policy
from risk.simulator.handbook import HandbookWorld
from risk.simulator.handbook_law import DAY_MS
from risk.tables.load import exchange_rates

RATES = exchange_rates(None, "EUR")


@pytest.fixture(scope="module")
def world() -> HandbookWorld:
    return HandbookWorld(5, customers=120)


@pytest.fixture(scope="module")
def seen(world: HandbookWorld) -> Observed:
    return observe_world(world, "one", RATES)


def test_leaving_out_old_events_changes_no_vector(world: HandbookWorld, seen: Observed) -> None:
    end_ms = STARTS_MS["one"][0] + 2 * DAY_MS
    whole = observe((one for one in world.events() if one.occurred_at_ms < end_ms), RATES)
    rows = np.arange(seen.first, len(whole))
    assert len(rows) > 100
    assert np.array_equal(whole.matrix[rows], seen.rows(rows), equal_nan=True)


def test_labels_reach_the_features_seven_days_late(seen: Observed) -> None:
    """No vector of a payment sees a fraud that happened in the 7 days before it."""
    from features.catalogue import FEATURE_NAMES

    table = seen.table
    column = FEATURE_NAMES.index("account_fraud_30d")
    numbers = folds(table, "one")[0].train
    found = seen.rows(numbers)[:, column]
    for number, told in zip(numbers.tolist(), found.tolist(), strict=True):
        at_ms = table.time_ms[number]
        age_ms = at_ms - table.time_ms
        known = (age_ms >= 7 * DAY_MS) & (age_ms < 37 * DAY_MS)
        mine = (table.customer == table.customer[number]) & table.fraud & known
        assert told == int(mine.sum())


def test_a_protocol_is_trained_measured_and_compared(seen: Observed) -> None:
    models = train_protocol(seen, "one", 1)
    assert len(models) == 1
    found, bundle, told = bundle_of(seen, models, "one", 1, Policy())
    assert tuple(found) == NAMES
    assert found["auc_roc"].value > 0.55
    assert found == figures(seen, models, Policy().review_at)
    inspect(bundle)
    assert "Handbook" in told["source"]
    ticks = iter(range(100))
    rows = compare_folds(seen, models, lambda: float(next(ticks)), with_rivals=True)
    assert [row["model"] for row in rows][:2] == ["weir", "logistic_regression"]
    assert rows[0]["auc_roc"] == pytest.approx(found["auc_roc"].value)
    assert len(compare_folds(seen, models, lambda: 0.0, with_rivals=False)) == 1
