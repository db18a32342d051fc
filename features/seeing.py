"""From the tails that a store returns to the vectors that the engine scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.tails import Tail
from risk.domain.decision import LogPosition
from risk.domain.observation import Arrival, Claimed, Lost, Mismatch, Observed, Receipt, Stored

Vectors = Callable[
    [Sequence[tuple[Arrival, tuple[Tail, ...]]]],
    tuple[NDArray[np.float64], list[tuple[str, ...]]],
]
"""``features.vectors.vectors``: a matrix (n, F), and the inexact features of each item."""


class Seen(NamedTuple):
    """A claim with what it may see; ``tails`` is None for remembered events."""

    positions: tuple[LogPosition, ...]
    tails: tuple[Tail, ...] | None


Answer = Seen | Stored | Receipt | Mismatch | Lost


def with_vectors(
    arrivals: Sequence[Arrival], seen: Sequence[Answer], vectors: Vectors
) -> list[Observed]:
    """Claims with their vectors, in one call for all that are scored; the rest unchanged."""
    items = [
        (arrival, one.tails)
        for arrival, one in zip(arrivals, seen, strict=True)
        if isinstance(one, Seen) and one.tails is not None
    ]
    matrix, inexact = vectors(items) if items else (np.empty((0, 0)), [])
    rows = iter(zip(matrix, inexact, strict=True))
    observed: list[Observed] = []
    for one in seen:
        if not isinstance(one, Seen):
            observed.append(one)
        elif one.tails is None:
            observed.append(Claimed(one.positions, None, ()))
        else:
            vector, names = next(rows)
            observed.append(Claimed(one.positions, vector, names))
    return observed
