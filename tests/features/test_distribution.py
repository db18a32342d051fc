"""Shares and quantiles of the features, against a small matrix made by hand; the page in step."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from features.catalogue import FEATURE_NAMES, catalogue_digest
from features.distribution import Spread, distributions, markdown

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "features-distribution.md"


def test_shares_and_quantiles_are_those_of_the_known_values() -> None:
    matrix = np.full((10, len(FEATURE_NAMES)), math.nan)
    matrix[:5, 0] = [4.0, 0.0, 1.0, 3.0, 2.0]
    fraud = np.zeros(10, np.bool_)
    fraud[[0, 9]] = True
    found = distributions(matrix, fraud)
    assert [one.name for one in found] == list(FEATURE_NAMES)
    assert found[0].whole == Spread(0.5, 0.1, 1.0, 2.0, 3.0, 3.0)
    assert found[0].fraud == Spread(0.5, 0.0, 4.0, 4.0, 4.0, 4.0)
    assert found[1].whole.missing == 1.0
    assert math.isnan(found[1].whole.q50)
    page = markdown(found, "a history", 10, 2)
    assert "Over a history: 10 payments,\n2 of them" in page
    assert f"| `{FEATURE_NAMES[0]}` | 50.0 | 10.0 | 1 | 2 | 3 | 3 | 50.0 | 4 | 4 |" in page
    assert f"| `{FEATURE_NAMES[1]}` | 100.0 | 0.0 |  |  |  |  | 100.0 |  |  |" in page


def test_no_frauds_and_no_payments_have_no_values() -> None:
    empty = distributions(np.empty((0, len(FEATURE_NAMES))), np.empty(0, np.bool_))
    assert empty[0].whole.missing == 0.0
    assert math.isnan(empty[0].fraud.q99)


def test_the_page_is_of_this_catalogue() -> None:
    page = PAGE.read_text()
    remedy = "run: weir features distribution --markdown"
    assert catalogue_digest() in page, remedy
    assert all(f"| `{name}` |" in page for name in FEATURE_NAMES), remedy
