"""The features that a scenario names do see it: alone they rank its payments better than chance."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from features.catalogue import FEATURE_NAMES
from models.dataset import observe
from risk.domain.event import Payment
from risk.simulator.scenarios import SCENARIOS, Scenario
from risk.tables.load import exchange_rates
from tests.support.episodes import eventful_world


@cache
def observed() -> tuple[NDArray[np.float64], NDArray[np.str_]]:
    """Vectors (n, F) with -1 for missing, and the scenario of each payment ("" where honest)."""
    events, truth = eventful_world(2, 200, 24)
    matrix = observe(events, exchange_rates(None, "EUR")).matrix
    names = [truth.scenario(event.id) or "" for event in events if isinstance(event, Payment)]
    return np.where(np.isnan(matrix), -1.0, matrix), np.array(names)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_each_named_feature_tells_the_frauds_from_honest_payments(scenario: Scenario) -> None:
    matrix, names = observed()
    rows = (names == "") | (names == scenario.name)
    fraud = names[rows] == scenario.name
    assert fraud.sum() >= 10
    for feature in scenario.features:
        values = matrix[rows, FEATURE_NAMES.index(feature)]
        assert abs(roc_auc_score(fraud, values) - 0.5) > 0.05, feature
