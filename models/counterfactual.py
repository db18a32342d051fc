"""The smallest change of one or two inputs that would have given another outcome.

A tree ensemble is constant between the thresholds of its splits, and a rule that compares a
feature with a number is constant on either side of it. So one value inside each such stretch
stands for all of it: what is found is the smallest change there is, not a sample of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

VALUES_MAX: Final = 512  # of one feature; two features are tried in all their pairs
AT_ONCE: Final = 4_096

Outcomes = Callable[[NDArray[np.float64]], Sequence[str]]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One input and what it would have to be; None is missing."""

    feature: str
    value: float | None
    instead: float | None


class Counterfactual(msgspec.Struct, frozen=True, kw_only=True):
    """Changes that together turn ``outcome`` into ``instead``; the smallest there are.

    ``size`` is the sum over the inputs of the change relative to the value (to 1 where the
    value is smaller, or missing).
    """

    outcome: str
    instead: str
    changes: list[Change]
    size: float


def stretches(borders: Sequence[float], value: float, *, whole: bool) -> list[float]:
    """The value nearest to ``value`` in every stretch between ``borders``, ascending.

    Splits and comparisons put the border itself on either side, so it is a stretch of its
    own. ``whole``: only whole numbers from 0 on can be had.

    >>> stretches([2.0, 5.0], 7.0, whole=True)
    [1.0, 2.0, 4.0, 5.0]
    """
    points: set[float] = set()
    near = 0.0 if math.isnan(value) else value
    edges = [-math.inf, *sorted(set(borders)), math.inf]
    for low, high in pairwise(edges):
        if math.isfinite(low):
            points.add(low)
        inside = _inside(low, high, near, whole=whole)
        if inside is not None:
            points.add(inside)
    fit = [one for one in points if one != value and (not whole or (one >= 0 and one % 1 == 0))]
    return sorted(fit)


def _inside(low: float, high: float, near: float, *, whole: bool) -> float | None:
    """The point strictly between two borders that is nearest to ``near``."""
    if low < near < high:
        return near
    if near <= low:
        inside = math.floor(low) + 1.0 if whole else math.nextafter(low, math.inf)
    else:
        inside = math.ceil(high) - 1.0 if whole else math.nextafter(high, -math.inf)
    return inside if low < inside < high else None


def smallest(
    row: NDArray[np.float64],
    inputs: Sequence[tuple[str, int, Sequence[float]]],
    outcomes: Outcomes,
) -> Counterfactual | None:
    """The smallest change of one input of ``inputs``, else of two, that changes the outcome.

    ``row`` is the vector (F,); each input is a feature's name, its column and the values to
    try (``stretches``). ``outcomes`` judges a matrix (n, F). None where no change does it.
    """
    outcome = outcomes(row[None, :])[0]
    for count in (1, 2):
        found = [
            best
            for chosen in combinations(inputs, count)
            if (best := _best(row, chosen, outcomes, outcome)) is not None
        ]
        if found:
            return min(found, key=lambda one: (one.size, [each.feature for each in one.changes]))
    return None


def _best(
    row: NDArray[np.float64],
    chosen: Sequence[tuple[str, int, Sequence[float]]],
    outcomes: Outcomes,
    outcome: str,
) -> Counterfactual | None:
    tried = sorted(
        ((sum(_size(row[one[1]], value) for one, value in zip(chosen, values, strict=True)), values)
         for values in _grid([one[2][:VALUES_MAX] for one in chosen])),
        key=lambda pair: pair[0],
    )  # fmt: skip
    columns = [one[1] for one in chosen]
    for start in range(0, len(tried), AT_ONCE):
        part = tried[start : start + AT_ONCE]
        matrix = np.repeat(row[None, :], len(part), axis=0)
        matrix[:, columns] = [values for _, values in part]
        for (size, values), instead in zip(part, outcomes(matrix), strict=True):
            if instead != outcome:
                return Counterfactual(
                    outcome=outcome,
                    instead=instead,
                    changes=[
                        Change(feature=name, value=_plain(row[at]), instead=value)
                        for (name, at, _), value in zip(chosen, values, strict=True)
                    ],
                    size=size,
                )
    return None


def _grid(values: Sequence[Sequence[float]]) -> Iterator[tuple[float, ...]]:
    if not values:
        yield ()
        return
    for first in values[0]:
        for rest in _grid(values[1:]):
            yield (first, *rest)


def _size(value: float, instead: float) -> float:
    base = 0.0 if math.isnan(value) else float(value)
    return abs(instead - base) / max(abs(base), 1.0)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
