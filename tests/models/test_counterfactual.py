"""Counterfactuals: the smallest change, against trying everything on a small model."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.counterfactual import smallest, stretches
from tests.support.small_model import small_bundle


def by_sum(matrix: NDArray[np.float64]) -> list[str]:
    """Blocks from a sum of steps on."""
    scores = (matrix[:, 0] > 3).astype(int) + (matrix[:, 1] >= 5).astype(int)
    return ["block" if score == 2 else "review" if score else "allow" for score in scores]


def test_one_input_is_enough_where_it_is() -> None:
    row = np.array([4.0, 9.0])
    found = smallest(row, inputs_of(row), by_sum)
    assert found is not None
    assert (found.outcome, found.instead) == ("block", "review")
    assert [(one.feature, one.value, one.instead) for one in found.changes] == [("a", 4.0, 3.0)]
    assert found.size == 0.25


def inputs_of(row: NDArray[np.float64]) -> list[tuple[str, int, list[float]]]:
    return [
        ("a", 0, stretches([3.0], row[0], whole=True)),
        ("b", 1, stretches([5.0], row[1], whole=True)),
    ]


def test_two_inputs_where_one_is_not() -> None:
    def both(matrix: NDArray[np.float64]) -> list[str]:
        return ["allow" if a <= 3 and b < 5 else "block" for a, b in matrix]

    row = np.array([4.0, 9.0])
    found = smallest(row, inputs_of(row), both)
    assert found is not None
    assert [one.instead for one in found.changes] == [3.0, 4.0]


def test_nothing_is_found_where_nothing_helps() -> None:
    assert smallest(np.array([4.0, 9.0]), inputs_of(np.array([4.0, 9.0])), _same) is None


def _same(matrix: NDArray[np.float64]) -> list[str]:
    return ["block"] * len(matrix)


@pytest.mark.parametrize(
    ("borders", "value", "whole", "points"),
    [
        ([], 3.0, True, []),
        ([2.0, 5.0], 7.0, True, [1.0, 2.0, 4.0, 5.0]),
        ([2.5], 7.0, True, [2.0]),
        ([2.0], math.nan, True, [0.0, 2.0, 3.0]),
        ([0.5], 0.5, False, [math.nextafter(0.5, -1), math.nextafter(0.5, 1)]),
        ([0.5], 0.9, False, [math.nextafter(0.5, -1), 0.5]),
        ([2.0, 3.0], 9.0, True, [1.0, 2.0, 3.0]),
    ],
)
def test_a_point_in_every_stretch(
    borders: list[float], value: float, whole: bool, points: list[float]
) -> None:
    assert stretches(borders, value, whole=whole) == points


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000))
def test_no_smaller_change_exists_for_a_real_model(seed: int) -> None:
    scorer = small_bundle().scorer()
    rng = np.random.default_rng(seed)
    row = np.round(rng.lognormal(1.0, 1.5, len(scorer.names)))
    used = [name for name in scorer.names if scorer.thresholds(name)][:3]
    limit = float(np.median(scorer.score(np.round(rng.lognormal(1.0, 1.5, (64, row.size))))))

    def outcomes(matrix: NDArray[np.float64]) -> list[str]:
        return ["block" if score >= limit else "allow" for score in scorer.score(matrix)]

    inputs = [
        (name, scorer.names.index(name), stretches(scorer.thresholds(name), row[at], whole=True))
        for name in used
        for at in [scorer.names.index(name)]
    ]
    found = smallest(row, inputs, outcomes)
    before = outcomes(row[None, :])[0]
    # Every whole number within reach, one input at a time.
    sizes = []
    for (_, at, _), value in itertools.product(inputs, np.arange(0.0, 300.0)):
        other = row.copy()
        other[at] = value
        if value != row[at] and outcomes(other[None, :])[0] != before:
            sizes.append(abs(value - row[at]) / max(abs(row[at]), 1.0))
    if sizes:
        assert found is not None
        assert len(found.changes) == 1
        assert found.size == pytest.approx(min(sizes))


def test_shap_adds_up_to_the_raw_score() -> None:
    scorer = small_bundle().scorer()
    rows = np.round(np.random.default_rng(1).lognormal(1.0, 1.5, (20, len(scorer.names))), 2)
    assert scorer.shap(rows).shape == (20, len(scorer.names) + 1)
    assert np.allclose(scorer.shap(rows).sum(axis=1), scorer.raw(rows), atol=1e-9)
