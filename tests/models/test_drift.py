"""The definitions of drift, as properties; and the reference that travels with a model."""

from __future__ import annotations

from math import isinf, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.drift import compared, js, noise, psi
from models.drift_reference import Bins, calibration_drift, drift, reference_of

COUNTS = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=2, max_size=14
)
COLUMN = st.lists(
    st.one_of(st.floats(-1e9, 1e9), st.just(float("nan")), st.integers(0, 3).map(float)),
    min_size=1, max_size=80,
)  # fmt: skip


def sides(pairs: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


@given(COUNTS)
def test_psi_is_its_formula_and_symmetric(pairs: list[tuple[int, int]]) -> None:
    reference, today = sides(pairs)
    added = [[count + 0.5 for count in side] for side in (reference, today)]
    shares = [[count / sum(side) for count in side] for side in added]
    expected = sum((a - e) * log(a / e) for e, a in zip(*shares, strict=True))
    assert psi(reference, today) == pytest.approx(expected, abs=1e-12)
    assert psi(reference, today) == pytest.approx(psi(today, reference), abs=1e-12)
    assert psi(reference, today) >= -1e-12
    assert psi(reference, reference) == 0.0


@given(COUNTS, st.randoms(use_true_random=False))
def test_the_order_of_bins_does_not_matter(pairs: list[tuple[int, int]], chance: object) -> None:
    mixed = list(pairs)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert psi(*sides(mixed)) == pytest.approx(psi(*sides(pairs)), abs=1e-9)
    assert js(*sides(mixed)) == pytest.approx(js(*sides(pairs)), abs=1e-9)


@given(COUNTS)
def test_js_lies_between_equal_and_nothing_shared(pairs: list[tuple[int, int]]) -> None:
    reference, today = sides(pairs)
    assert 0.0 <= js(reference, today) <= 1.0
    assert js(reference, today) == pytest.approx(js(today, reference), abs=1e-12)
    assert js(reference, [3 * count for count in reference]) == pytest.approx(0.0, abs=1e-9)
    if sum(reference) and sum(today):
        apart = [*reference, *[0] * len(today)], [*[0] * len(reference), *today]
        assert js(*apart) == pytest.approx(1.0)


@given(COLUMN, COLUMN)
def test_every_value_has_one_bin_and_the_missing_their_own(
    reference: list[float], today: list[float]
) -> None:
    bins = Bins.of(np.array(reference))
    counts = bins.count(np.array(today))
    assert counts.sum() == len(today)
    assert counts[-1] == np.isnan(today).sum()
    assert bins.edges == sorted(set(bins.edges))
    assert sum(bins.counts) == len(reference)
    assert len(counts) == len(bins.counts) == len(bins.edges) + 2
    for value in today:
        place = int(np.flatnonzero(bins.count(np.array([value])))[0])
        if place < len(bins.edges):
            assert value <= bins.edges[place]
        if 0 < place <= len(bins.edges):
            assert value > bins.edges[place - 1]


def test_what_training_never_saw_has_bins_of_its_own() -> None:
    bins = Bins.of(np.full(500, 7.0))
    assert bins.count(np.array([6.0, 7.0, 8.0, np.inf, np.nan])).tolist() == [1, 1, 2, 1]
    moved = compared("x", bins.counts, bins.count(np.full(500, 6.0)))
    assert moved.drifted
    assert moved.js == pytest.approx(1.0)


def test_a_column_that_was_always_missing_has_two_bins() -> None:
    bins = Bins.of(np.full(9, np.nan))
    assert (bins.edges, bins.counts) == ([], [0, 9])
    assert compared("x", bins.counts, bins.count(np.zeros(400))).missing == 0.0


def test_chance_alone_seldom_passes_the_noise() -> None:
    rng = np.random.Generator(np.random.PCG64(1))
    bins = Bins.of(rng.normal(size=4000))
    found = [
        psi(bins.counts, counts) > noise(bins.counts, counts)
        for counts in (bins.count(rng.normal(size=600)) for _ in range(400))
    ]
    assert sum(found) <= 4


def test_few_values_drift_nowhere() -> None:
    assert isinf(noise([1, 2], [0, 0]))
    assert not compared("x", [100, 100, 0], [3, 0, 0]).drifted


def world(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return rng.normal(size=(n, 2)), rng.uniform(0.001, 0.4, size=n)


def test_the_feature_that_moved_comes_first() -> None:
    rng = np.random.Generator(np.random.PCG64(2))
    reference = reference_of(("still", "moved"), *world(rng, 3000))
    matrix, scores = world(rng, 2000)
    matrix[:, 1] += 1.0
    features, score = drift(reference, ("still", "moved"), matrix, scores)
    assert [(one.name, one.drifted) for one in features] == [("moved", True), ("still", False)]
    assert not score.drifted
    matrix[:, 0] = np.nan
    assert drift(reference, ("still", "moved"), matrix, scores)[0][0].missing == 1.0


def test_calibration_drifts_where_frauds_lie_elsewhere() -> None:
    rng = np.random.Generator(np.random.PCG64(3))
    scores = rng.beta(0.6, 12.0, size=20_000)
    reference = reference_of(("x",), scores[:, None], scores)
    honest = rng.uniform(size=len(scores)) < scores
    found = calibration_drift(reference, scores, honest)
    assert found is not None
    upside_down = rng.uniform(size=len(scores)) < 0.05 * (scores < 0.02)
    wrong = calibration_drift(reference, scores, upside_down)
    assert wrong is not None
    assert wrong.drifted
    assert wrong.psi > 10 * found.psi
    assert calibration_drift(reference, scores, np.zeros(len(scores), np.bool_)) is None
