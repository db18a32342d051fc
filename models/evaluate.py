"""What a model did on payments later than its training: ranking, calibration, thresholds.

Formulas: AUC is the share of (fraud, good) pairs ranked rightly, ties half. Average precision
is the sum over thresholds of precision times gain in recall. Brier is the mean squared error
of probabilities. ECE is the mean distance of predicted and observed shares over bins of equal
size, weighted by size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.calibrate import at_prevalence

THRESHOLDS: Final = (0.05, 0.10, 0.30, 0.60, 0.90)
ECE_BINS: Final = 20

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def auc(fraud: Flags, score: Floats) -> float:
    """Area under the ROC curve; NaN where one class is absent.

    >>> auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.9]))
    0.75
    """
    positives = int(fraud.sum())
    negatives = len(fraud) - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    mean_rank = last - (counts - 1) / 2.0
    ranks = float(mean_rank[place][fraud].sum())
    return (ranks - positives * (positives + 1) / 2.0) / (positives * negatives)


def average_precision(fraud: Flags, score: Floats) -> float:
    """Average precision; NaN where there is no fraud.

    >>> average_precision(np.array([False, True, True]), np.array([0.5, 0.1, 0.9])).__round__(4)
    0.8333
    """
    precision, recall, _ = precision_recall(fraud, score)
    if len(recall) == 0:
        return float("nan")
    return float((np.diff(recall, prepend=0.0) * precision).sum())


def precision_recall(fraud: Flags, score: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and threshold for every distinct score, highest first.

    Empty where there is no fraud.
    """
    positives = int(fraud.sum())
    if positives == 0:
        empty = np.empty(0)
        return empty, empty, empty
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    caught = np.cumsum(fraud[order])[ends]
    return caught / (ends + 1.0), caught / float(positives), ranked[ends]


def brier(fraud: Flags, probability: Floats) -> float:
    """Mean squared error of probabilities."""
    return float(np.mean((probability - fraud) ** 2))


def reliability(
    fraud: Flags, probability: Floats, bins: int = ECE_BINS
) -> list[tuple[float, float, int]]:
    """(mean predicted, observed share, size) of bins of equal size, lowest first."""
    order = np.argsort(probability, kind="stable")
    return [
        (float(probability[rows].mean()), float(fraud[rows].mean()), len(rows))
        for rows in np.array_split(order, bins)
        if len(rows)
    ]


def ece(fraud: Flags, probability: Floats, bins: int = ECE_BINS) -> float:
    """Expected calibration error over bins of equal size."""
    found = reliability(fraud, probability, bins)
    total = sum(size for _, _, size in found)
    return sum(abs(mean - share) * size for mean, share, size in found) / total


def at_threshold(fraud: Flags, score: Floats, threshold: float) -> dict[str, float]:
    """Precision, recall and share of payments at or above ``threshold``."""
    stopped = score >= threshold
    count, caught = int(stopped.sum()), int((stopped & fraud).sum())
    return {
        "precision": caught / count if count else 0.0,
        "recall": caught / int(fraud.sum()) if fraud.any() else 0.0,
        "share": count / len(fraud),
    }


def evaluate(
    fraud: Flags, score: Floats, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, float]:
    """The numbers of the metrics file. ``score`` is calibrated at the reference prevalence.

    Brier and ECE compare with what happened, so they are taken at the part's own prevalence.
    """
    prevalence = float(fraud.mean())
    probability = at_prevalence(score, prevalence)
    found = {
        "payments": float(len(fraud)),
        "frauds": float(fraud.sum()),
        "prevalence": prevalence,
        "auc": auc(fraud, score),
        "average_precision": average_precision(fraud, score),
        "brier": brier(fraud, probability),
        "ece": ece(fraud, probability),
        "mean_probability": float(probability.mean()),
    }
    for threshold in thresholds:
        for name, value in at_threshold(fraud, score, threshold).items():
            found[f"{name}_at_{round(threshold * 100):02d}"] = value
    return found
