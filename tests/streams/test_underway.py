"""Small batches make their partition wait, large ones let one more come, nothing waits for ever."""

from __future__ import annotations

import pytest

from streams.underway import BATCHES_MAX, ENOUGH_RECORDS, PATIENCE_S, Underway

NOW_S = 100.0


@pytest.fixture
def underway() -> Underway[str]:
    return Underway()


def test_a_small_batch_makes_its_partition_wait(underway: Underway[str]) -> None:
    underway.begin("a", 1, NOW_S)
    assert underway.waiting(1, NOW_S) == set()  # the state is new: what came before is void
    underway.begin("a", 1, NOW_S)
    assert underway.waiting(1, NOW_S) == {"a"}
    underway.end("a")
    assert underway.waiting(1, NOW_S) == set()


def test_a_large_batch_lets_more_come_behind_it(underway: Underway[str]) -> None:
    underway.waiting(1, NOW_S)
    underway.begin("a", ENOUGH_RECORDS, NOW_S)
    assert underway.waiting(1, NOW_S) == set()
    for _ in range(BATCHES_MAX - 1):
        underway.begin("a", ENOUGH_RECORDS, NOW_S)
    assert underway.waiting(1, NOW_S) == {"a"}
    underway.end("a")
    assert underway.waiting(1, NOW_S) == set()


def test_a_small_batch_behind_a_large_one_is_waited_for(underway: Underway[str]) -> None:
    underway.waiting(1, NOW_S)
    underway.begin("a", ENOUGH_RECORDS, NOW_S)
    underway.begin("a", 1, NOW_S)
    underway.end("a")
    assert underway.waiting(1, NOW_S) == {"a"}


def test_partitions_do_not_wait_for_each_other(underway: Underway[str]) -> None:
    underway.waiting(1, NOW_S)
    underway.begin("a", 1, NOW_S)
    underway.begin("b", ENOUGH_RECORDS, NOW_S)
    assert underway.waiting(1, NOW_S) == {"a"}


@pytest.mark.parametrize("state", [2, (1, 1)])
def test_a_new_generation_or_position_voids_what_was_under_way(
    underway: Underway[str], state: object
) -> None:
    underway.waiting(1, NOW_S)
    underway.begin("a", 1, NOW_S)
    assert underway.waiting(state, NOW_S) == set()
    underway.end("a")  # of the old state; it must not count against a new batch
    underway.begin("a", 1, NOW_S)
    assert underway.waiting(state, NOW_S) == {"a"}


def test_a_batch_that_vanished_is_not_waited_for_long(underway: Underway[str]) -> None:
    underway.waiting(1, NOW_S)
    underway.begin("a", 1, NOW_S)
    assert underway.waiting(1, NOW_S + PATIENCE_S) == {"a"}
    assert underway.waiting(1, NOW_S + PATIENCE_S + 0.1) == set()
