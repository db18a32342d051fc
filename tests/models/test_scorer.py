"""The served model: the library's own scores, bit for bit, alone and in batches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES
from models.calibrate import Calibration
from models.explain import LeafTable
from models.native import NativeModel
from models.scorer import Scorer
from risk.domain.errors import BadModel
from tests.support.small_model import small_bundle

WIDTH = len(FEATURE_NAMES)


def rows(seed: int, count: int) -> NDArray[np.float64]:
    """Varied rows: typical, huge, missing, infinite."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(count, WIDTH)) * 10.0 ** rng.integers(-2, 8, size=(count, 1))
    matrix[rng.random(matrix.shape) < 0.2] = np.nan
    matrix[rng.random(matrix.shape) < 0.01] = np.inf
    return matrix


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return small_bundle().scorer("7")


@pytest.fixture(scope="module")
def native() -> NativeModel:
    return NativeModel(small_bundle().files["model.txt"].decode())


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return lightgbm.Booster(model_str=small_bundle().files["model.txt"].decode())


def test_raw_scores_and_leaves_are_those_of_the_python_package(
    native: NativeModel, booster: lightgbm.Booster
) -> None:
    matrix = rows(1, 500)
    expected = np.asarray(booster.predict(matrix, raw_score=True, num_threads=1))
    assert np.array_equal(native.raw(matrix), expected)
    assert [native.raw_row(row) for row in matrix] == expected.tolist()
    assert np.array_equal(native.leaves(matrix), booster.predict(matrix, pred_leaf=True))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 40), max_size=6))
def test_a_row_has_the_same_bits_alone_and_in_any_batch(seed: int, cuts: list[int]) -> None:
    scorer = small_bundle().scorer()
    matrix = rows(seed, 40)
    whole = scorer.score(matrix)
    edges = [0, *sorted(cuts), 40]
    pieces = [scorer.score(matrix[a:b]) for a, b in pairwise(edges)]
    alone = [scorer.score(row[None, :]) for row in matrix]
    assert np.array_equal(whole, np.concatenate(pieces))
    assert np.array_equal(whole, np.concatenate(alone))
    assert ((whole > 0.0) & (whole < 1.0)).all()


def test_other_layouts_of_the_same_numbers_score_the_same(scorer: Scorer) -> None:
    matrix = np.random.default_rng(3).integers(0, 50, size=(20, WIDTH))
    expected = scorer.score(matrix.astype(np.float64))
    assert np.array_equal(scorer.score(np.asfortranarray(matrix, dtype=np.float64)), expected)
    wide = np.repeat(matrix.astype(np.float64), 2, axis=0)[::2]
    assert np.array_equal(scorer.score(wide), expected)


def test_threads_share_one_model(scorer: Scorer) -> None:
    matrix = rows(4, 400)
    expected = scorer.score(matrix).tolist()
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda row: float(scorer.score(row[None, :])[0]), matrix))
    assert got == expected


def test_no_rows_give_no_scores(scorer: Scorer) -> None:
    assert scorer.score(np.empty((0, WIDTH))).shape == (0,)
    assert scorer.reasons(np.empty((0, WIDTH))) == []


@pytest.mark.parametrize("shape", [(WIDTH,), (1, WIDTH - 1), (2, WIDTH + 1)])
def test_vectors_of_another_catalogue_are_refused(scorer: Scorer, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"shape \\(n, {WIDTH}\\)"):
        scorer.score(np.zeros(shape))


def test_names_must_fit_the_model(native: NativeModel) -> None:
    calibration = Calibration(small_bundle().calibration)
    with pytest.raises(BadModel, match="2 are named"):
        Scorer(native, calibration, ("one", "two"), ("", ""))


def test_digests_and_version_are_told(scorer: Scorer) -> None:
    bundle = small_bundle()
    assert (scorer.model_digest, scorer.calibration_digest, scorer.version) == (
        bundle.model_digest,
        bundle.calibration_digest,
        "7",
    )


def test_contributions_explain_the_whole_difference_between_rows(
    native: NativeModel, booster: lightgbm.Booster
) -> None:
    matrix = rows(5, 200)
    moved = LeafTable(native).contributions(native.leaves(matrix))
    rest = booster.predict(matrix, raw_score=True) - moved.sum(axis=1)
    # What no feature explains is the same for every row: the roots of the trees.
    assert np.ptp(rest) < 1e-3
    unused = booster.feature_importance() == 0
    assert unused.any()
    assert (moved[:, unused] == 0).all()


def test_reasons_are_the_strongest_first_and_only_what_raised_the_score(scorer: Scorer) -> None:
    matrix = np.ones((2, WIDTH))
    matrix[1, [0, 5]] = 40.0
    quiet, loud = scorer.reasons(matrix, count=4)
    assert {loud[0].feature, loud[1].feature} == {FEATURE_NAMES[0], FEATURE_NAMES[5]}
    assert loud[0].value == 40.0
    moves = [one.log_odds for one in loud]
    assert moves == sorted(moves, reverse=True)
    assert all(one.log_odds > 0 for one in quiet + loud)
    assert scorer.reasons(matrix, count=4) == [quiet, loud]
    assert [scorer.reasons(row[None, :], count=4)[0] for row in matrix] == [quiet, loud]


def test_a_missing_value_may_be_a_reason(scorer: Scorer) -> None:
    found = scorer.reasons(np.full((1, WIDTH), np.nan), count=WIDTH)[0]
    assert all(np.isnan(one.value) for one in found)


def test_text_that_is_no_model_is_refused() -> None:
    with pytest.raises(BadModel, match="LightGBM"):
        NativeModel("tree\nnothing of the kind\n")


def test_a_model_of_several_classes_is_refused() -> None:
    rng = np.random.default_rng(1)
    data = lightgbm.Dataset(rng.normal(size=(300, 3)), rng.integers(0, 3, 300))
    parameters = {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}
    text = lightgbm.train(parameters, data, 2).model_to_string()
    with pytest.raises(BadModel, match="more than one output"):
        NativeModel(text)
