"""Figures with intervals: against the plain metrics, and against accounts repeated by hand."""

from __future__ import annotations

import numpy as np
import pytest

from models.calibrate import at_prevalence
from models.card_precision import card_precision
from models.evaluate import at_threshold, auc, average_precision, brier, ece
from models.measures import DAY_MS, NAMES, Graded, measured


def graded(seed: int, n: int = 3000, accounts: int = 200) -> Graded:
    rng = np.random.Generator(np.random.PCG64(seed))
    fraud = rng.random(n) < 0.03
    score = np.clip(np.round(rng.normal(0.1 + 0.3 * fraud, 0.1), 2), 0.001, 0.999)
    time_ms = np.sort(rng.integers(0, 5 * DAY_MS, n))
    return Graded(
        fraud, score, rng.integers(0, accounts, n), time_ms, rng.integers(1, 9999, n), 0.3
    )


def test_values_are_the_plain_metrics() -> None:
    one = graded(1)
    found = {name: figure.value for name, figure in measured([one], replicates=2).items()}
    assert tuple(found) == NAMES
    own = at_prevalence(one.score, float(one.fraud.mean()))
    at = at_threshold(one.fraud, one.score, 0.3)
    stopped = one.score >= 0.3
    assert found == pytest.approx(
        {
            "auc_roc": auc(one.fraud, one.score),
            "average_precision": average_precision(one.fraud, one.score),
            "card_precision_at_100": card_precision(
                one.time_ms // DAY_MS, one.account, one.fraud, one.score
            ),
            "brier": brier(one.fraud, own),
            "ece": ece(one.fraud, own),
            "precision_at_threshold": at["precision"],
            "recall_at_threshold": at["recall"],
            "fraud_money_caught": one.amount[stopped & one.fraud].sum()
            / one.amount[one.fraud].sum(),
            "good_stopped_per_fraud": (stopped & ~one.fraud).sum() / (stopped & one.fraud).sum(),
        },
        rel=0.02,
    )


def test_intervals_hold_the_value_and_shrink_with_more_accounts() -> None:
    few = measured([graded(2, 2000, 150)], replicates=60)
    many = measured([graded(2, 20000, 1500)], replicates=60)
    for name in ("auc_roc", "average_precision", "recall_at_threshold"):
        assert few[name].low < few[name].value < few[name].high
        wide, narrow = (one[name].high - one[name].low for one in (few, many))
        assert narrow < wide / 1.8


def test_intervals_are_as_wide_as_draws_of_the_law_differ() -> None:
    draws = [measured([graded(seed, 1500, 150)], seed, replicates=60) for seed in range(60)]
    for name in ("auc_roc", "recall_at_threshold"):
        spread = float(np.std([draw[name].value for draw in draws]))
        told = float(np.mean([draw[name].high - draw[name].low for draw in draws])) / 3.92
        assert told == pytest.approx(spread, rel=0.3)


def test_payments_of_an_account_are_drawn_together() -> None:
    one = graded(3, 1500, 1500)
    again = Graded(
        np.repeat(one.fraud, 4), np.repeat(one.score, 4), np.repeat(one.account, 4),
        np.repeat(one.time_ms, 4), np.repeat(one.amount, 4), one.threshold,
    )  # fmt: skip
    single, repeated = (
        measured([part], replicates=80)["recall_at_threshold"] for part in (one, again)
    )
    assert repeated.value == single.value
    assert (repeated.high - repeated.low) == pytest.approx(single.high - single.low, rel=0.25)


def test_folds_count_alike_and_the_seed_decides() -> None:
    first, second = graded(4), graded(5)
    both = measured([first, second], replicates=10)
    alone = [measured([part], replicates=1)["brier"].value for part in (first, second)]
    assert both["brier"].value == pytest.approx(np.mean(alone))
    assert measured([first, second], replicates=10) == both
    assert measured([first, second], 2, replicates=10) != both


def test_without_fraud_there_is_no_figure() -> None:
    one = graded(6)
    none = one._replace(fraud=np.zeros_like(one.fraud))
    found = measured([none], replicates=3)
    assert np.isnan(found["auc_roc"].value)
    assert np.isnan(found["good_stopped_per_fraud"].low)
