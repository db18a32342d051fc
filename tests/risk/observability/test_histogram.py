"""Percentiles of the histogram against a sorted list."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.observability.histogram import Histogram

SHARES = (0.0, 0.5, 0.9, 0.99, 0.999, 1.0)


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(st.floats(0.02, 1_000_000), min_size=1, max_size=300))
def test_percentiles_are_right_to_one_per_cent(values: list[float]) -> None:
    histogram = filled(values)
    ordered = sorted(values)
    assert histogram.count == len(values)
    for share in SHARES:
        true = ordered[max(1, math.ceil(share * len(values))) - 1]
        told = histogram.percentile(share)
        assert told == pytest.approx(true, rel=0.0101, abs=0.001)
    assert list(histogram.summary().values()) == [
        histogram.percentile(s) for s in SHARES[1:5:2]
    ] + [histogram.percentile(0.999)]


def test_nothing_counted_has_no_percentiles() -> None:
    assert Histogram().summary() == {"p50": None, "p99": None, "p999": None}


def test_what_is_outside_the_range_counts_at_its_edge() -> None:
    low, high = filled([0.0, -1.0]).percentile(1.0), filled([1e12]).percentile(0.5)
    assert low is not None
    assert low <= 0.011
    assert high is not None
    assert high > 7_000_000
