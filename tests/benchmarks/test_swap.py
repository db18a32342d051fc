"""What the swap benchmark makes of latencies and decisions."""

from __future__ import annotations

import pytest

from benchmarks.stream_latency import Latencies
from benchmarks.swap import SWAP_S, _noticed, _passed
from risk.domain.errors import Unavailable


def measured(during_ms: float) -> Latencies:
    """A payment each tenth of a second from 0 to 20, the swap at 10."""
    due = [number / 10 for number in range(200)]
    values = [during_ms if 10.0 <= at < 10.0 + SWAP_S else 10.0 for at in due]
    return Latencies(sent=200, unanswered=0, values_ms=values, due_s=due)


def test_the_three_parts_are_told_apart() -> None:
    told = _noticed(measured(15.0), 10.0)
    assert [told[name]["payments"] for name in ("before", "during", "after")] == [100, 60, 40]
    assert (told["before"]["p99"], told["during"]["p99"], told["p99_ratio"]) == (10.0, 15.0, 1.5)
    with pytest.raises(Unavailable, match="take more time"):
        _noticed(measured(15.0), 100.0)


@pytest.mark.parametrize(
    "wrong",
    [{"lost": 1}, {"unanswered": 1}, {"followed_s": None}, {"followed_s": 5.1}, {"p99_ratio": 2.1}],
    ids=str,
)
def test_one_thing_that_fails_is_enough(wrong: dict[str, object]) -> None:
    good = {"lost": 0, "unanswered": 0, "followed_s": 1.2, "p99_ratio": 1.1}
    assert _passed(good)
    assert not _passed(good | wrong)
