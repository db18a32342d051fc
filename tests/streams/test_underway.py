"""Small batches make their partition wait, large ones let one more come, nothing waits for ever."""

from __future__ import annotations

import pytest

from streams.underway import BATCHES_MAX, ENOUGH_RECORDS, PATIENCE_S, Underway

NOW_S = 100.0


@pytest.fixture
def underway() -> Underway[str]:
    """In state 1, with nothing under way."""
    fresh = Underway[str]()
    fresh.waiting(1, NOW_S)
    return fresh


def begin(underway: Underway[str], place: str, batches: int) -> None:
    for _ in range(batches):
        underway.begin(place, ENOUGH_RECORDS, NOW_S)


def test_behind_a_small_batch_nothing_is_fetched(underway: Underway[str]) -> None:
    underway.begin("a", ENOUGH_RECORDS - 1, NOW_S)
    assert underway.waiting(1, NOW_S) == {"a"}
    underway.end("a")
    assert underway.waiting(1, NOW_S) == set()


def test_one_batch_may_wait_behind_a_large_one(underway: Underway[str]) -> None:
    begin(underway, "a", BATCHES_MAX - 1)
    assert underway.waiting(1, NOW_S) == set()
    begin(underway, "a", 1)
    assert underway.waiting(1, NOW_S) == {"a"}
    underway.end("a")
    assert underway.waiting(1, NOW_S) == set()


def test_partitions_do_not_wait_for_each_other(underway: Underway[str]) -> None:
    begin(underway, "a", BATCHES_MAX)
    begin(underway, "b", 1)
    assert underway.waiting(1, NOW_S) == {"a"}


@pytest.mark.parametrize("state", [2, (1, 1)])
def test_a_new_generation_or_position_voids_what_was_under_way(
    underway: Underway[str], state: object
) -> None:
    begin(underway, "a", BATCHES_MAX)
    assert underway.waiting(state, NOW_S) == set()
    underway.end("a")  # of the old state; it must not count against a new batch
    begin(underway, "a", BATCHES_MAX)
    assert underway.waiting(state, NOW_S) == {"a"}


def test_a_batch_that_vanished_is_not_waited_for_long(underway: Underway[str]) -> None:
    begin(underway, "a", BATCHES_MAX)
    assert underway.waiting(1, NOW_S + PATIENCE_S) == {"a"}
    assert underway.waiting(1, NOW_S + PATIENCE_S + 0.1) == set()
