"""When two vectors are the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def same_bits(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Equal bit for bit; one missing value is as good as another."""
    same: NDArray[np.bool_] = np.equal(one.view(np.int64), other.view(np.int64))
    missing: NDArray[np.bool_] = np.isnan(one) & np.isnan(other)
    return same | missing
