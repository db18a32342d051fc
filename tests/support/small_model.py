"""A small trained model over the real catalogue, from rows made up in a moment."""

from __future__ import annotations

from functools import cache

import numpy as np

from features.catalogue import FEATURE_NAMES
from models.bundle import Bundle
from models.dataset import DAY_MS, Samples, split_by_time
from models.train import Trained, train

START_MS = 1_760_000_000_000
DAYS = 20
ROUNDS = 25


def small_samples(seed: int, rows: int = 3_000) -> Samples:
    """Rows over ``DAYS`` days whose fraud follows three features; labels a day late."""
    rng = np.random.default_rng(seed)
    matrix = np.round(rng.gamma(1.5, 4.0, size=(rows, len(FEATURE_NAMES))))
    risk = 0.25 * matrix[:, 0] + 0.3 * matrix[:, 5] - 0.2 * matrix[:, 9] - 6.0
    fraud = rng.random(rows) < 1.0 / (1.0 + np.exp(-risk))
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    time_ms = START_MS + np.sort(rng.integers(0, DAYS * DAY_MS, rows))
    return Samples(
        matrix=matrix,
        time_ms=time_ms.astype(np.int64),
        amount_base=rng.integers(100, 90_000, rows).astype(np.int64),
        labels={int(row): ((int(time_ms[row]) + DAY_MS, True),) for row in np.flatnonzero(fraud)},
    )


def small_training(seed: int) -> Trained:
    """Trained anew at each call."""
    samples = small_samples(seed)
    split = split_by_time(samples, START_MS + DAYS * DAY_MS, 2 * DAY_MS)
    return train(samples, split, seed, "made-up rows", ROUNDS)


@cache
def small_bundle(seed: int = 1) -> Bundle:
    """The bundle of ``small_training``, made once."""
    return small_training(seed).bundle
