"""Metrics against scikit-learn, and against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from models.calibrate import REFERENCE_PREVALENCE
from models.evaluate import (
    at_threshold,
    auc,
    average_precision,
    brier,
    ece,
    evaluate,
    precision_recall,
)

PAIRS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60).filter(
    lambda pairs: len({fraud for fraud, _ in pairs}) == 2
)


@given(PAIRS)
def test_ranking_metrics_are_scikit_learns_also_with_ties(pairs: list[tuple[bool, int]]) -> None:
    fraud = np.array([one for one, _ in pairs])
    score = np.array([two / 7.0 for _, two in pairs])
    assert auc(fraud, score) == pytest.approx(roc_auc_score(fraud, score))
    assert average_precision(fraud, score) == pytest.approx(average_precision_score(fraud, score))
    assert brier(fraud, score) == pytest.approx(brier_score_loss(fraud, score))


def test_metrics_of_one_class_are_not_numbers() -> None:
    good = np.zeros(3, dtype=np.bool_)
    assert math.isnan(auc(good, np.arange(3.0)))
    assert math.isnan(average_precision(good, np.arange(3.0)))
    assert len(precision_recall(good, np.arange(3.0))[0]) == 0


def test_ece_by_hand() -> None:
    fraud = np.array([False, False, True, True])
    # Two bins: predicted 0.2 against 0 observed, predicted 0.6 against 1 observed.
    assert ece(fraud, np.array([0.1, 0.3, 0.5, 0.7]), bins=2) == pytest.approx(0.3)
    assert ece(fraud, np.array([0.0, 0.0, 1.0, 1.0]), bins=2) == 0.0


def test_threshold_counts_payments_at_the_threshold() -> None:
    fraud = np.array([False, True, True, False])
    score = np.array([0.1, 0.5, 0.4, 0.9])
    assert at_threshold(fraud, score, 0.5) == {"precision": 0.5, "recall": 0.5, "share": 0.5}
    assert at_threshold(fraud, score, 0.95) == {"precision": 0.0, "recall": 0.0, "share": 0.0}


def test_probabilities_are_compared_at_the_payments_own_prevalence() -> None:
    rng = np.random.default_rng(2)
    fraud = rng.random(50_000) < 0.04
    found = evaluate(fraud, np.full(50_000, REFERENCE_PREVALENCE))
    assert found["mean_probability"] == pytest.approx(found["prevalence"])
    assert found["payments"] == 50_000
    assert {"precision_at_05", "recall_at_60", "share_at_90"} < set(found)
