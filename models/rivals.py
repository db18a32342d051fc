"""Models that a user would pick instead, with the settings of the published tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import lightgbm
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rival = Callable[[Floats, Flags, Floats], Floats]


def logistic_regression(train: Floats, fraud: Flags, test: Floats) -> Floats:
    """Scores of ``test`` (n, F) by scaled logistic regression fitted to ``train`` (m, F).

    Like every rival it needs both classes in ``fraud`` and no missing values.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return _risk(model.fit(train, fraud).predict_proba(test))


def random_forest(train: Floats, fraud: Flags, test: Floats) -> Floats:
    """100 trees of depth 20."""
    model = RandomForestClassifier(n_estimators=100, max_depth=20, random_state=0, n_jobs=1)
    return _risk(model.fit(train, fraud).predict_proba(test))


def histogram_boosting(train: Floats, fraud: Flags, test: Floats) -> Floats:
    """100 iterations, rate 0.1, depth 3; at most 255 bins a feature."""
    model = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.1, max_depth=3, early_stopping=False, random_state=0
    )
    return _risk(model.fit(train, fraud).predict_proba(test))


def fine_boosting(train: Floats, fraud: Flags, test: Floats) -> Floats:
    """LightGBM as the published XGBoost row: 100 trees, rate 0.1, depth 3, fine bins.

    The bins, and leaves that one row may fill, are what XGBoost has from the start; they keep the
    tail of the amounts apart.
    """
    binning = {"max_bin": 4095, "min_data_in_bin": 1, "verbosity": -1}
    data = lightgbm.Dataset(train, fraud.astype(np.float64), params=binning)
    parameters = binning | {
        "objective": "binary",
        "learning_rate": 0.1,
        "max_depth": 3,
        "num_leaves": 8,
        "min_data_in_leaf": 1,
        "min_sum_hessian_in_leaf": 1.0,
        "lambda_l2": 1.0,
        "num_threads": 1,
        "deterministic": True,
    }
    booster = lightgbm.train(parameters, data, num_boost_round=100)
    return np.asarray(booster.predict(test), dtype=np.float64)


RIVALS: Final[Mapping[str, Rival]] = {
    "logistic_regression": logistic_regression,
    "random_forest": random_forest,
    "histogram_boosting": histogram_boosting,
    "fine_boosting": fine_boosting,
}


def _risk(probability: Floats) -> Floats:
    return np.ascontiguousarray(probability[:, 1])
