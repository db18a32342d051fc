"""What a user would pick instead, trained and measured on the same split."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest

from models.evaluate import auc, average_precision
from models.rivals import RIVALS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Clock = Callable[[], float]
# The forests would take hours on millions of rows; they get the newest ones.
ROWS_MAX: Final = 150_000
COMPARED: Final = (
    "logistic_regression", "random_forest", "histogram_boosting", "isolation_forest",
)  # fmt: skip


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the comparison, on the test part; ``seconds`` of training and scoring."""

    model: str
    auc_roc: float
    average_precision: float
    seconds: float
    rows: int


def compared(name: str, fraud: Flags, score: Floats, seconds: float, rows: int) -> Compared:
    """``score`` of the test part as a row of the table."""
    return Compared(
        model=name,
        auc_roc=auc(fraud, score),
        average_precision=average_precision(fraud, score),
        seconds=round(seconds, 3),
        rows=rows,
    )


def compare(
    train: Floats,
    train_fraud: Flags,
    test: Floats,
    test_fraud: Flags,
    monotonic_s: Clock,
    names: Sequence[str] = COMPARED,
) -> list[Compared]:
    """Each of ``names``, on the newest ``ROWS_MAX`` rows of ``train``.

    Missing values become the median of training, with a column that says so left out: that is
    what these models need. Columns that do not differ are left out.
    """
    train, train_fraud = train[-ROWS_MAX:], train_fraud[-ROWS_MAX:]
    if not train_fraud.any() or train_fraud.all():
        return []
    filled, filled_test = filled_in(train, test)
    found = []
    for name in names:
        began_s = monotonic_s()
        score = SCORERS[name](filled, train_fraud, filled_test)
        found.append(compared(name, test_fraud, score, monotonic_s() - began_s, len(train)))
    return found


def filled_in(train: Floats, test: Floats) -> tuple[Floats, Floats]:
    """Both without missing values and without columns that do not differ in ``train``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns that are missing throughout
        middle = np.nanmedian(train, axis=0)
        kept = np.nanmax(train, axis=0) > np.nanmin(train, axis=0)
    kept &= np.isfinite(middle)
    both = []
    for matrix in (train, test):
        columns = matrix[:, kept]
        both.append(np.where(np.isnan(columns), middle[kept], columns))
    return both[0], both[1]


def isolation_forest(train: Floats, fraud: Flags, test: Floats) -> Floats:
    """Unsupervised: 100 trees, seed 0; higher is more unlike the rest."""
    model = IsolationForest(n_estimators=100, random_state=0, n_jobs=1).fit(train)
    return -np.asarray(model.score_samples(test), dtype=np.float64)


SCORERS: Final[Mapping[str, Callable[[Floats, Flags, Floats], Floats]]] = {
    **RIVALS,
    "isolation_forest": isolation_forest,
}
