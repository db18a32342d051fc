"""From raw scores to probabilities at one fixed prevalence, by a table that replays exactly.

Fit (Platt 1999, with his smoothed targets): log-odds of fraud = slope * raw + intercept, on
payments that the model was not trained on. Prior shift (Saerens 2002): at another prevalence
q instead of p the log-odds move by logit(q) - logit(p), and a probability s becomes

    s' = s * q/p / (s * q/p + (1 - s) * (1 - q)/(1 - p))

The curve is stored as a table and read by linear interpolation: only + - * / in serving,
because exp differs in its last bit between machines.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from numpy.typing import NDArray

from risk.domain.errors import BadModel

# Scores are probabilities as if this share of payments were fraud, whatever it is today, so
# that thresholds mean the same after every training.
REFERENCE_PREVALENCE: Final = 0.01
_REACH: Final = 14.0  # log-odds at both ends of the table: 8e-7 and 1 - 8e-7
_STEP: Final = 0.0625  # relative error of the interpolation is below step^2 / 8 = 0.0005
_KNOTS_MAX: Final = 10_000
_FITS_MAX: Final = 100


class CalibrationTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``calibration.json``: knots (raw score, probability), and how they were made.

    ``slope`` and ``intercept`` are Platt's, whatever ``method`` made the knots. ``usual`` is the
    SHA-256 of the bundle's wording; tables from before it have none, and keep their bytes.
    """

    version: Literal[1] = 1
    method: str = "platt"
    reference_prevalence: float
    fitted_prevalence: float
    slope: float
    intercept: float
    raw: list[float]
    probability: list[float]
    usual: str | UnsetType = UNSET


class Calibration:
    """A table that was checked: strictly rising raw scores, rising probabilities in (0, 1).

    Raises BadModel on any other table. Raw scores beyond the ends get the end's probability.
    """

    def __init__(self, table: CalibrationTable) -> None:
        raw = np.asarray(table.raw, dtype=np.float64)
        probability = np.asarray(table.probability, dtype=np.float64)
        if not (2 <= len(raw) == len(probability) <= _KNOTS_MAX):
            raise BadModel(f"calibration: 2 to {_KNOTS_MAX} knots are needed, one value each")
        if not (np.isfinite(raw).all() and (np.diff(raw) > 0).all()):
            raise BadModel("calibration: raw scores of the knots must rise")
        inside = (probability > 0.0).all() and (probability < 1.0).all()
        if not (inside and (np.diff(probability) >= 0).all()):
            raise BadModel("calibration: probabilities of the knots must rise between 0 and 1")
        self.table = table
        self._raw = raw
        self._probability = probability
        self._raw_list = table.raw
        self._probability_list = table.probability
        self._last = len(raw) - 2

    def of(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities of finite raw scores, shape (n,) both."""
        place = np.clip(np.searchsorted(self._raw, raw, side="right") - 1, 0, self._last)
        low, high = self._probability[place], self._probability[place + 1]
        start, end = self._raw[place], self._raw[place + 1]
        part = (np.clip(raw, start, end) - start) / (end - start)
        # Rounding may lift the last step above its knot, or miss the end's own; the curve must
        # neither fall there nor stay below.
        return np.where(part == 1.0, high, np.minimum(low + part * (high - low), high))

    def of_one(self, raw: float) -> float:
        """The same bits as ``of``, for one finite raw score."""
        place = min(max(bisect_right(self._raw_list, raw) - 1, 0), self._last)
        low, high = self._probability_list[place], self._probability_list[place + 1]
        start, end = self._raw_list[place], self._raw_list[place + 1]
        part = (min(max(raw, start), end) - start) / (end - start)
        return high if part == 1.0 else min(low + part * (high - low), high)


def fit(raw: NDArray[np.float64], fraud: NDArray[np.bool_]) -> CalibrationTable:
    """The table for a model whose raw scores on held-out payments are ``raw``, shape (n,).

    Raises BadModel where one class is absent or the model ranks backwards.
    """
    positives = int(fraud.sum())
    if positives == 0 or positives == len(fraud):
        raise BadModel("calibration needs frauds and good payments; take a longer history")
    slope, intercept = _platt(raw, fraud, positives)
    if not (np.isfinite(slope) and slope > 0):
        raise BadModel("calibration: higher raw scores are not riskier on held-out payments")
    prevalence = positives / len(fraud)
    shift = _logit(REFERENCE_PREVALENCE) - _logit(prevalence)
    log_odds = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    return CalibrationTable(
        reference_prevalence=REFERENCE_PREVALENCE,
        fitted_prevalence=prevalence,
        slope=slope,
        intercept=intercept,
        raw=((log_odds - shift - intercept) / slope).tolist(),
        probability=(1.0 / (1.0 + np.exp(-log_odds))).tolist(),
    )


def at_prevalence(
    score: NDArray[np.float64], prevalence: float, reference: float = REFERENCE_PREVALENCE
) -> NDArray[np.float64]:
    """Scores at ``reference`` as probabilities at ``prevalence`` (formula at the top).

    >>> at_prevalence(np.array([0.01, 0.5]), 0.005).round(4).tolist()
    [0.005, 0.3322]
    """
    up = score * (prevalence / reference)
    down = (1.0 - score) * ((1.0 - prevalence) / (1.0 - reference))
    return up / (up + down)


def _platt(
    raw: NDArray[np.float64], fraud: NDArray[np.bool_], positives: int
) -> tuple[float, float]:
    """Slope and intercept that maximise the likelihood of Platt's smoothed targets."""
    negatives = len(fraud) - positives
    target = np.where(fraud, (positives + 1.0) / (positives + 2.0), 1.0 / (negatives + 2.0))
    design = np.column_stack([raw, np.ones_like(raw)])
    weights = np.array([0.0, _logit(positives / len(fraud))])
    loss = _loss(design @ weights, target)
    for _ in range(_FITS_MAX):
        probability = 1.0 / (1.0 + np.exp(-(design @ weights)))
        gradient = design.T @ (probability - target)
        curvature = (design * (probability * (1.0 - probability))[:, None]).T @ design
        step = np.linalg.solve(curvature + 1e-9 * np.eye(2), gradient)
        scale = 1.0
        while scale > 1e-10 and _loss(design @ (weights - scale * step), target) > loss:
            scale /= 2.0
        weights = weights - scale * step
        improved = loss - _loss(design @ weights, target)
        loss -= improved
        if improved < 1e-9:
            break
    return float(weights[0]), float(weights[1])


def _loss(log_odds: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float((np.logaddexp(0.0, log_odds) - target * log_odds).sum())


def _logit(share: float) -> float:
    return float(np.log(share / (1.0 - share)))
