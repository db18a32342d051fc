"""The tiles of the real Redis: two writers past the caps see what the twin and the oracle see."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from features.local_memory import LocalMemory
from features.local_truth import LocalTruth
from features.redis_memory import RedisMemory
from features.vectors import vectors
from risk.domain.clock import ManualClock
from risk.domain.event import is_scored
from risk.domain.observation import Claimed, Lost
from tests.properties.test_memory_histories import alike
from tests.properties.test_tiled_histories import HOUR_MS, Oracle, compare, interleaved, stream
from tests.support.memory import START_MS, Node, new_prefix, opened

pytestmark = pytest.mark.services


def with_features(node: Node) -> RedisMemory:
    """The node's memory with the real vectors in place of the witness."""
    clock = ManualClock(START_MS)
    return RedisMemory(node.connection, node.keys, vectors, node.recovery, clock)


async def run(
    url: str, seed: int, count: int, step_ms: int, late_ms: int, largest: int
) -> tuple[Counter[str], int]:
    """Compare a history; values that tiles made, by feature, and events whose log was trimmed."""
    rng, prefix, truth = random.Random(seed), new_prefix(), LocalTruth()
    nodes = [await opened(url, prefix, truth) for _ in range(2)]
    memories = [with_features(node) for node in nodes]
    for memory in memories:
        await memory.open()
    twin, oracle = LocalMemory(vectors, memories[0].epoch), Oracle()
    by_tiles, lost = Counter[str](), 0
    for batch in interleaved(rng, stream(rng, count, step_ms, late_ms), largest):
        seen = await rng.choice(memories).observe(batch)
        mirrored = await twin.observe(batch)
        places = [oracle.claim(one) for one in batch]
        for of, one, other, where in zip(batch, seen, mirrored, places, strict=True):
            if isinstance(one, Lost):
                # Redis reads when the whole batch is appended, the twin after each event: what
                # a repeated event saw may have been folded in between.
                assert oracle.lost(where)
                lost += 1
                continue
            assert alike(one, other), (of, one, other)
            if isinstance(one, Claimed) and is_scored(of.event) and rng.random() < 0.01:
                compare(one, oracle.answers(of, where), by_tiles)
    for node in nodes:
        await node.close()
    return by_tiles, lost


@settings(
    max_examples=5,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # shrinking these would take minutes
    suppress_health_check=list(HealthCheck),
)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(560, 1000),
    step_ms=st.sampled_from([0, 2_000, 200_000, 2_400_000]),
    late_ms=st.sampled_from([1_000, HOUR_MS, 40 * 24 * HOUR_MS]),
    largest=st.sampled_from([1, 7, 64, 500]),
)
def test_redis_the_twin_and_the_oracle_agree_past_the_caps(
    redis_url: str, seed: int, count: int, step_ms: int, late_ms: int, largest: int
) -> None:
    asyncio.run(run(redis_url, seed, count, step_ms, late_ms, largest))


def test_redis_makes_values_from_tiles(redis_url: str) -> None:
    by_tiles, _ = asyncio.run(run(redis_url, 1, 1_200, 2_400_000, HOUR_MS, 64))
    assert {"account_payments_30d", "account_amount_sum_30d"} <= set(by_tiles)
