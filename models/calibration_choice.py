"""Which curve leads from raw scores to probabilities: Platt, beta or isotonic.

Each is fitted on held-out payments and judged by the log loss on blocks of time that it was not
fitted on. Platt's two numbers stay unless another is better by more than noise, since few frauds
do not carry more. All end as the same table at the reference prevalence (``models.calibrate``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.calibrate import (
    REFERENCE_PREVALENCE,
    Calibration,
    CalibrationTable,
    at_prevalence,
    fit,
)
from risk.domain.errors import BadModel

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Fit = Callable[[Floats, Flags], CalibrationTable]

BLOCKS: Final = 4
BETTER: Final = 0.01  # part of the log loss that another curve must save
_REACH: Final = 14.0
_STEP: Final = 0.0625
_KNOTS: Final = 400
_EDGE: Final = 1e-7


def choose(raw: Floats, fraud: Flags) -> tuple[CalibrationTable, dict[str, float]]:
    """The best table for rows in order of time, and the log loss of each method.

    Raises BadModel where one class is absent or the model ranks backwards.
    """
    losses = {name: _across(method, raw, fraud) for name, method in METHODS.items()}
    best = min(losses, key=lambda name: losses[name])
    if not losses[best] < losses["platt"] * (1.0 - BETTER):
        best = "platt"
    return METHODS[best](raw, fraud), losses


def beta(raw: Floats, fraud: Flags) -> CalibrationTable:
    """Beta calibration (Kull, Silva Filho, Flach 2017) on the sigmoid s of the raw score:
    log-odds = a ln s - b ln(1 - s) + c with a, b >= 0. Raises BadModel as ``fit`` does.
    """
    base = fit(raw, fraud)
    low, high = -np.logaddexp(0.0, -raw), np.logaddexp(0.0, raw)  # ln s, -ln(1 - s)
    weights = _logistic(np.column_stack([low, high, np.ones_like(raw)]), fraud)
    if weights[0] < 0.0 or weights[1] < 0.0:
        return base
    grid = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    odds = weights[0] * -np.logaddexp(0.0, -grid) + weights[1] * np.logaddexp(0.0, grid)
    return _table(base, grid, _sigmoid(odds + weights[2]), "beta")


def isotonic(raw: Floats, fraud: Flags) -> CalibrationTable:
    """Isotonic regression (pool adjacent violators), straight lines between the blocks' middles.

    Each block gets half a fraud and half a good payment more, so that no probability is 0 or 1.
    """
    from sklearn.isotonic import IsotonicRegression

    base = fit(raw, fraud)
    order = np.argsort(raw, kind="stable")
    ranked, truth = raw[order], fraud[order].astype(np.float64)
    level = IsotonicRegression().fit_transform(ranked, truth)
    starts = np.flatnonzero(np.append(True, level[1:] != level[:-1]))
    if len(starts) > _KNOTS:
        starts = starts[np.unique(np.linspace(0, len(starts) - 1, _KNOTS).astype(np.int64))]
    size = np.diff(np.append(starts, len(ranked))).astype(np.float64)
    middle = np.add.reduceat(ranked, starts) / size
    share = (np.add.reduceat(truth, starts) + 0.5) / (size + 1.0)
    share = IsotonicRegression().fit_transform(middle, share)
    rising = np.append(True, np.diff(middle) > 0)
    if int(rising.sum()) < 2:
        return base
    return _table(base, middle[rising], share[rising], "isotonic")


METHODS: Final[dict[str, Fit]] = {"platt": fit, "beta": beta, "isotonic": isotonic}


def _across(method: Fit, raw: Floats, fraud: Flags) -> float:
    """Mean log loss over blocks of time, each judged by a fit on the others."""
    losses, rows = 0.0, 0
    for held in np.array_split(np.arange(len(raw)), BLOCKS):
        rest = np.ones(len(raw), np.bool_)
        rest[held] = False
        if not fraud[rest].any() or fraud[rest].all() or len(held) == 0:
            continue
        try:
            table = method(raw[rest], fraud[rest])
        except BadModel:
            return float("inf")
        score = Calibration(table).of(raw[held])
        share = at_prevalence(score, table.fitted_prevalence)
        told = np.clip(np.where(fraud[held], share, 1.0 - share), _EDGE, 1.0)
        losses -= float(np.log(told).sum())
        rows += len(held)
    return losses / rows if rows else float("inf")


def _table(base: CalibrationTable, raw: Floats, share: Floats, method: str) -> CalibrationTable:
    """``share`` at the fitted prevalence as a table at the reference prevalence."""
    prevalence = base.fitted_prevalence
    # The formula of models.calibrate, from the fitted prevalence to the reference.
    moved = at_prevalence(share, REFERENCE_PREVALENCE, prevalence)
    bounded = np.maximum.accumulate(np.clip(moved, _EDGE, 1.0 - _EDGE))
    return CalibrationTable(
        method=method,
        reference_prevalence=REFERENCE_PREVALENCE,
        fitted_prevalence=prevalence,
        slope=base.slope,
        intercept=base.intercept,
        raw=raw.tolist(),
        probability=bounded.tolist(),
    )


def _logistic(design: Floats, fraud: Flags) -> Floats:
    """Maximum likelihood by Newton's method, with a whiff of ridge."""
    weights = np.zeros(design.shape[1])
    ridge = 1e-6 * np.eye(design.shape[1])
    for _ in range(100):
        share = _sigmoid(design @ weights)
        step = np.linalg.solve(
            (design * (share * (1.0 - share))[:, None]).T @ design + ridge,
            design.T @ (share - fraud) + 1e-6 * weights,
        )
        largest = float(np.abs(step).max())
        weights = weights - step * min(1.0, 5.0 / max(largest, 1e-12))
        if largest < 1e-8:
            break
    return weights


def _sigmoid(log_odds: Floats) -> Floats:
    return np.asarray(np.exp(-np.logaddexp(0.0, -log_odds)), dtype=np.float64)
