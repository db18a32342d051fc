"""The choice of a calibration curve: each recovers the law that it can express."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibrate import REFERENCE_PREVALENCE, Calibration, at_prevalence
from models.calibration_choice import METHODS, beta, choose, isotonic
from risk.domain.errors import BadModel

SCORES = np.random.Generator(np.random.PCG64(5)).normal(-3.0, 1.5, 60_000)


def drawn(log_odds: np.ndarray) -> np.ndarray:
    share = 1.0 / (1.0 + np.exp(-log_odds))
    drawn_shares = np.random.Generator(np.random.PCG64(6)).random(len(share))
    return np.asarray(drawn_shares < share)


@pytest.mark.parametrize("name", METHODS)
def test_each_method_finds_probabilities_again(name: str) -> None:
    fraud = drawn(0.8 * SCORES - 0.5)
    table = METHODS[name](SCORES, fraud)
    assert table.method == name
    assert table.reference_prevalence == REFERENCE_PREVALENCE
    at = np.array([-4.0, -3.0, -2.0, -1.0])
    told = at_prevalence(Calibration(table).of(at), table.fitted_prevalence)
    truth = 1.0 / (1.0 + np.exp(-(0.8 * at - 0.5)))
    assert told == pytest.approx(truth, rel=0.25)


def test_platt_stays_where_it_is_enough() -> None:
    table, losses = choose(SCORES, drawn(0.8 * SCORES - 0.5))
    assert table.method == "platt"
    assert set(losses) == set(METHODS)


def test_isotonic_is_chosen_for_a_step() -> None:
    fraud = drawn(np.where(SCORES > -2.0, 1.5, -5.0))
    assert choose(SCORES, fraud)[0].method == "isotonic"


def test_beta_bends_where_the_ends_differ() -> None:
    fraud = drawn(np.where(SCORES < -3.0, 0.2, 2.0) * (SCORES + 3.0) - 2.0)
    table = beta(SCORES, fraud)
    low, middle, high = (Calibration(table).of_one(at) for at in (-5.0, -3.0, -1.0))
    assert np.log(high / middle) > 1.5 * np.log(middle / low)


@pytest.mark.parametrize("method", [beta, isotonic])
def test_one_class_and_a_backward_model_are_refused(method: object) -> None:
    assert callable(method)
    with pytest.raises(BadModel, match="frauds and good"):
        method(SCORES, np.zeros(len(SCORES), np.bool_))
    with pytest.raises(BadModel, match="not riskier"):
        method(SCORES, drawn(-0.8 * SCORES - 5.0))
    with pytest.raises(BadModel):
        choose(SCORES, drawn(-0.8 * SCORES - 5.0))
