"""From the tails that a store returns to the vectors that the engine scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from features.records import Facts
from features.tails import Tail
from risk.domain.decision import LogPosition
from risk.domain.observation import (
    Arrival,
    Claimed,
    Lost,
    Mismatch,
    Observed,
    Receipt,
    Stored,
    Windowed,
)


class Vectors(Protocol):
    """``features.vectors.vectors``: a matrix (n, F + windows), and the inexact of each item."""

    def __call__(
        self,
        items: Sequence[tuple[Arrival, tuple[Tail, ...]]],
        known: Sequence[Facts] | None = None,
        windows: tuple[str, ...] = (),
    ) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]: ...


class Seen(NamedTuple):
    """A claim with what it may see; ``tails`` is None for remembered events."""

    positions: tuple[LogPosition, ...]
    tails: tuple[Tail, ...] | None
    facts: Facts


Answer = Seen | Stored | Receipt | Mismatch | Lost


def with_vectors(
    arrivals: Sequence[Arrival],
    seen: Sequence[Answer],
    vectors: Vectors,
    windows: tuple[str, ...] = (),
) -> list[Observed]:
    """Claims with their vectors, in one call for all that are scored; the rest unchanged."""
    items: list[tuple[Arrival, tuple[Tail, ...]]] = []
    known: list[Facts] = []
    for arrival, one in zip(arrivals, seen, strict=True):
        if isinstance(one, Seen) and one.tails is not None:
            items.append((arrival, one.tails))
            known.append(one.facts)
    matrix, inexact = _made(vectors, items, known, windows) if items else (np.empty((0, 0)), [])
    features = matrix.shape[1] - len(windows)
    rows = iter(zip(matrix, inexact, strict=True))
    observed: list[Observed] = []
    for one in seen:
        if not isinstance(one, Seen):
            observed.append(one)
        elif one.tails is None:
            observed.append(Claimed(one.positions, None, ()))
        else:
            vector, names = next(rows)
            own = Windowed(windows, vector[features:]) if windows else None
            observed.append(Claimed(one.positions, vector[:features], names, own))
    return observed


def _made(
    vectors: Vectors,
    items: Sequence[tuple[Arrival, tuple[Tail, ...]]],
    known: Sequence[Facts],
    windows: tuple[str, ...],
) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
    return vectors(items, known, windows) if windows else vectors(items, known)
