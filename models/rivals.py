"""Models that a user would pick instead, with the settings of the published tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

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
    """100 iterations, rate 0.1, depth 3: the pair to beat on the Handbook world."""
    model = HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.1, max_depth=3, early_stopping=False, random_state=0
    )
    return _risk(model.fit(train, fraud).predict_proba(test))


RIVALS: Final[Mapping[str, Rival]] = {
    "logistic_regression": logistic_regression,
    "random_forest": random_forest,
    "histogram_boosting": histogram_boosting,
}


def _risk(probability: Floats) -> Floats:
    return np.ascontiguousarray(probability[:, 1])
