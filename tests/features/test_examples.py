"""The example of every feature runs and gives the value that it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from features.catalogue import CATALOGUE, FEATURE_NAMES, feature
from features.examples import parse, shown
from features.vectors import vectors


def test_every_feature_has_the_value_of_its_example() -> None:
    examples = [parse(spec) for spec in CATALOGUE]
    matrix, inexact = vectors([(one.arrival, one.tails) for one in examples])
    wrong = {
        spec.name: (spec.example, shown(matrix[place, place]))
        for place, (spec, example) in enumerate(zip(CATALOGUE, examples, strict=True))
        if shown(matrix[place, place]) != example.value
    }
    assert wrong == {}
    assert not any(inexact)


def test_no_example_is_of_a_missing_value() -> None:
    assert {spec.name for spec in CATALOGUE if spec.example.endswith("missing")} == set()
    assert {spec.name for spec in CATALOGUE} == set(FEATURE_NAMES)


@pytest.mark.parametrize(
    "example, reason",
    [
        ("2h ago payment -> 1", "does not end in 'now"),
        ("now colour red -> 1", "knows no colour"),
        ("2h ago colour; now -> 1", "'2h ago colour' is not 'AGE ago KIND"),
        ("yesterday payment; now -> 1", "'yesterday payment' is not 'AGE ago KIND"),
    ],
)
def test_an_example_that_nobody_can_read_is_named(example: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"card_payments_1h: .*{reason}"):
        parse(replace(feature("card_payments_1h"), example=example))


def test_a_missing_value_is_shown_as_such() -> None:
    assert shown(float("nan")) == "missing"
    assert shown(504.50849) == "504.508"
