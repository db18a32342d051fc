"""Calibration: monotone, the same bits one by one, right shares, prior shift."""

from __future__ import annotations

import math
from bisect import bisect_right

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from models.calibrate import (
    REFERENCE_PREVALENCE,
    Calibration,
    CalibrationTable,
    at_prevalence,
    fit,
)
from risk.domain.errors import BadModel
from risk.policy import Policy

FINITE = st.floats(-60.0, 60.0, allow_nan=False)


@st.composite
def tables(draw: st.DrawFn) -> CalibrationTable:
    """Any table that is allowed, with knots as close as floats get."""
    raw = sorted(draw(st.sets(FINITE, min_size=2, max_size=12)))
    shares = draw(
        st.lists(st.floats(1e-9, 1.0, exclude_max=True), min_size=len(raw), max_size=len(raw))
    )
    return CalibrationTable(
        reference_prevalence=0.01,
        fitted_prevalence=0.01,
        slope=1.0,
        intercept=0.0,
        raw=raw,
        probability=sorted(shares),
    )


def made_up(seed: int, slope: float, intercept: float, count: int = 60_000) -> CalibrationTable:
    rng = np.random.default_rng(seed)
    raw = rng.normal(-5.0, 2.0, count)
    return fit(raw, rng.random(count) < 1.0 / (1.0 + np.exp(-(slope * raw + intercept))))


@settings(max_examples=200, deadline=None)
@given(table=tables(), raws=st.lists(FINITE, min_size=1, max_size=30))
def test_any_table_is_monotone_and_has_the_same_bits_one_by_one(
    table: CalibrationTable, raws: list[float]
) -> None:
    calibration = Calibration(table)
    ordered = sorted([*raws, *table.raw])
    many = calibration.of(np.array(ordered))
    assert many.tolist() == [calibration.of_one(raw) for raw in ordered]
    assert (np.diff(many) >= 0).all()
    assert many.min() >= table.probability[0]
    assert many.max() <= table.probability[-1]


@given(table=tables(), raw=FINITE)
def test_a_score_lies_between_its_knots(table: CalibrationTable, raw: float) -> None:
    place = bisect_right(table.raw, raw)
    low = table.probability[max(place - 1, 0)]
    high = table.probability[min(place, len(table.raw) - 1)]
    assert low <= Calibration(table).of_one(raw) <= high


def test_the_fit_is_that_of_logistic_regression() -> None:
    rng = np.random.default_rng(5)
    raw = rng.normal(-4.0, 2.0, 40_000)
    fraud = rng.random(40_000) < 1.0 / (1.0 + np.exp(-(0.8 * raw + 0.5)))
    table = fit(raw, fraud)
    other = LogisticRegression(C=np.inf, tol=1e-9).fit(raw[:, None], fraud)
    assert table.slope == pytest.approx(float(other.coef_[0, 0]), rel=5e-3)
    assert table.intercept == pytest.approx(float(other.intercept_[0]), rel=3e-2)


def test_scores_are_probabilities_at_the_reference_prevalence() -> None:
    rng = np.random.default_rng(6)
    raw = rng.normal(-5.0, 2.0, 200_000)
    fraud = rng.random(raw.size) < 1.0 / (1.0 + np.exp(-(0.7 * raw + 0.4)))
    table = fit(raw[:100_000], fraud[:100_000])
    score = Calibration(table).of(raw[100_000:])
    later = fraud[100_000:]
    # At the later payments' own prevalence the mean probability is their share of fraud ...
    own = at_prevalence(score, float(later.mean()))
    assert own.mean() == pytest.approx(later.mean(), rel=0.05)
    # ... and weighting them to the reference prevalence makes the raw scores' mean that.
    weight = np.where(
        later, REFERENCE_PREVALENCE / later.mean(), (1 - REFERENCE_PREVALENCE) / (~later).mean()
    )
    assert np.average(score, weights=weight) == pytest.approx(REFERENCE_PREVALENCE, rel=0.05)


def test_the_table_follows_the_curve_it_was_made_from() -> None:
    table = made_up(7, 0.9, 0.3)
    shift = math.log(REFERENCE_PREVALENCE / (1 - REFERENCE_PREVALENCE)) - math.log(
        table.fitted_prevalence / (1 - table.fitted_prevalence)
    )
    raw = np.linspace(-12.0, 12.0, 4001)
    exact = 1.0 / (1.0 + np.exp(-(table.slope * raw + table.intercept + shift)))
    inside = (exact > 1e-5) & (exact < 1 - 1e-5)
    relative = np.abs(Calibration(table).of(raw) / exact - 1.0)
    assert relative[inside].max() < 6e-4


def test_the_table_survives_its_file_bit_for_bit() -> None:
    table = made_up(8, 1.1, 0.0)
    again = msgspec.json.decode(msgspec.json.encode(table), type=CalibrationTable)
    assert again == table


def test_the_policy_reads_scores_at_the_same_prevalence() -> None:
    assert Policy().reference_prevalence == REFERENCE_PREVALENCE


@given(
    share=st.floats(1e-6, 1 - 1e-6),
    one=st.floats(0.001, 0.5),
    other=st.floats(0.001, 0.5),
)
def test_a_prior_shift_can_be_taken_back(share: float, one: float, other: float) -> None:
    there = at_prevalence(np.array([share]), other, one)
    assert at_prevalence(there, one, other)[0] == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_one_class_alone_cannot_be_calibrated(share: float) -> None:
    with pytest.raises(BadModel, match="frauds and good payments"):
        fit(np.arange(10.0), np.full(10, share == 1.0))


def test_a_model_that_ranks_backwards_is_refused() -> None:
    raw = np.linspace(-3.0, 3.0, 1_000)
    with pytest.raises(BadModel, match="not riskier"):
        fit(raw, raw < -2.0)


def test_a_perfect_ranking_still_gives_finite_numbers() -> None:
    raw = np.linspace(-3.0, 3.0, 1_000)
    table = fit(raw, raw > 2.0)
    assert np.isfinite([*table.raw, table.slope, table.intercept]).all()
    Calibration(table)


@pytest.mark.parametrize(
    "raw, probability, problem",
    [
        ([0.0], [0.5], "knots are needed"),
        ([0.0, 1.0], [0.1, 0.2, 0.3], "knots are needed"),
        ([0.0, 0.0], [0.1, 0.2], "must rise"),
        ([0.0, math.inf], [0.1, 0.2], "must rise"),
        ([0.0, math.nan], [0.1, 0.2], "must rise"),
        ([0.0, 1.0], [0.2, 0.1], "between 0 and 1"),
        ([0.0, 1.0], [0.0, 0.1], "between 0 and 1"),
        ([0.0, 1.0], [0.1, 1.0], "between 0 and 1"),
        ([0.0, 1.0], [0.1, math.nan], "between 0 and 1"),
    ],
)
def test_bad_tables_are_refused(raw: list[float], probability: list[float], problem: str) -> None:
    table = msgspec.structs.replace(made_up(1, 1.0, 0.0, 2_000), raw=raw, probability=probability)
    with pytest.raises(BadModel, match=problem):
        Calibration(table)
