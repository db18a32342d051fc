"""The hash set of the kernel finds its values where several want one place."""

from __future__ import annotations

from inspect import unwrap

import numpy as np
import pytest

from features.reductions import _place_of

GENERATION = 3


def wanted(value: int, places: int) -> int:
    """The place of a value in an empty set."""
    return int(unwrap(_place_of)(np.zeros(places, np.int64), GENERATION << 32 | value))


@pytest.mark.parametrize("place_of", [_place_of, unwrap(_place_of)], ids=["compiled", "python"])
def test_values_that_want_one_place_stand_side_by_side(place_of: object) -> None:
    assert callable(place_of)
    places = 16
    rivals = [one for one in range(1, 2_000) if wanted(one, places) == places - 1][:3]
    marks = np.zeros(places, np.int64)
    marks[0] = (GENERATION - 1) << 32 | 5  # left by an earlier set: as good as empty
    stood = []
    for value in rivals:
        mark = GENERATION << 32 | value
        at = int(place_of(marks, mark))
        marks[at] = mark
        stood.append(at)
    assert stood == [places - 1, 0, 1]
    for value, at in zip(rivals, stood, strict=True):
        assert place_of(marks, GENERATION << 32 | value) == at
