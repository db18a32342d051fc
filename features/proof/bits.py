"""Served vectors, and when two of them are the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from features.proof.rebuilder import Item


def served_vectors(items: Sequence[Item]) -> NDArray[np.float64]:
    """The vectors in the evidence of ``items`` (n, F), NaN where missing."""
    return np.array([item.evidence.vector or () for item in items], np.float64)


def same_bits(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Equal bit for bit; one missing value is as good as another."""
    same: NDArray[np.bool_] = np.equal(one.view(np.int64), other.view(np.int64))
    missing: NDArray[np.bool_] = np.isnan(one) & np.isnan(other)
    return same | missing
