"""Bounds: a rate for each key, batches for the engine, and time for a body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import coalescer as module
from api.arrivals import arrival_of
from api.coalescer import Coalescer
from api.limits import KEYS_MAX, RateLimit
from api.problems import Problem
from risk.domain.clock import Deadline, ManualClock, SystemClock
from risk.domain.errors import DeadlineExceeded, Unavailable
from risk.domain.observation import Arrival
from tests.support.engine_twin import TwinRuntime
from tests.support.http import open_site


def an_arrival(name: str) -> Arrival:
    raw = json.dumps(
        {"type": "payment", "id": name, "occurred_at": "2026-01-31T12:00:00Z", "account": "a",
         "amount_minor": 1, "currency": "EUR"}
    ).encode()  # fmt: skip
    return arrival_of(raw, "main", "history", TwinRuntime(ManualClock(0)))


def a_deadline(budget_ms: int = 5_000) -> Deadline:
    return Deadline(SystemClock(), budget_ms)


@given(
    rate=st.integers(1, 1_000),
    steps_ms=st.lists(st.integers(0, 3_000), min_size=1, max_size=200),
)
def test_a_key_never_exceeds_its_rate_and_burst(rate: int, steps_ms: list[int]) -> None:
    clock = ManualClock(0)
    limit = RateLimit(clock)
    passed = 0
    for step_ms in steps_ms:
        clock.advance(step_ms)
        passed += limit.wait_s("k", rate) == 0.0
    assert passed <= rate + rate * sum(steps_ms) / 1000 + 1e-6


def test_whoever_waits_as_told_may_pass() -> None:
    clock = ManualClock(0)
    limit = RateLimit(clock)
    assert [limit.wait_s("k", 2) for _ in range(3)] == [0.0, 0.0, 0.5]
    clock.advance(500)
    assert limit.wait_s("k", 2) == 0.0


def test_quiet_keys_are_forgotten() -> None:
    clock = ManualClock(0)
    limit = RateLimit(clock)
    for place in range(KEYS_MAX):
        limit.wait_s(f"k{place}", 1)
    clock.advance(10_000)
    limit.wait_s("another", 1)
    assert len(limit._buckets) == 1


async def until(sizes: list[int], count: int) -> None:
    """Wait until so many batches have begun."""
    async with asyncio.timeout(5):
        while len(sizes) < count:
            await asyncio.sleep(0.001)


async def test_two_batches_at_once_and_more_only_for_those_who_wait() -> None:
    gate = asyncio.Event()
    sizes: list[int] = []

    async def run(arrivals: Sequence[Arrival], _deadline: Deadline) -> list[str]:
        sizes.append(len(arrivals))
        await gate.wait()
        return [arrival.event.id for arrival in arrivals]

    queue: Coalescer[str] = Coalescer(run, 64)
    waiting = []
    for place in range(module.IN_FLIGHT_MAX):
        waiting.append(asyncio.create_task(queue.submit(an_arrival(f"f{place}"), a_deadline())))
        if place == module.OVERLAP:
            for _ in range(10):
                await asyncio.sleep(0)
            assert len(sizes) == module.OVERLAP
        await until(sizes, place + 1)
    for place in range(100):
        waiting.append(asyncio.create_task(queue.submit(an_arrival(f"w{place}"), a_deadline())))
    await asyncio.sleep(module.PATIENCE_S * 2)
    assert sizes == [1] * module.IN_FLIGHT_MAX
    gate.set()
    names = await asyncio.gather(*waiting)
    assert names == [f"f{n}" for n in range(module.IN_FLIGHT_MAX)] + [f"w{n}" for n in range(100)]
    assert sizes[module.IN_FLIGHT_MAX :] == [64, 36]
    await queue.drain()


async def test_more_who_wait_than_one_batch_takes_get_more_places() -> None:
    gate = asyncio.Event()
    sizes: list[int] = []

    async def run(arrivals: Sequence[Arrival], _deadline: Deadline) -> list[bool]:
        sizes.append(len(arrivals))
        await gate.wait()
        return [True] * len(arrivals)

    queue: Coalescer[bool] = Coalescer(run, 2)
    arrival = an_arrival("p")
    tasks = [asyncio.create_task(queue.submit(arrival, a_deadline())) for _ in range(20)]
    # Nobody comes any more: those who wait get their places all the same.
    await until(sizes, module.IN_FLIGHT_MAX)
    assert sizes == [2] * module.IN_FLIGHT_MAX
    gate.set()
    assert all(await asyncio.gather(*tasks))
    assert sum(sizes) == 20
    await queue.drain()


async def test_a_caller_who_left_does_not_cost_a_place() -> None:
    seen: list[str] = []

    async def run(arrivals: Sequence[Arrival], _deadline: Deadline) -> list[bool]:
        seen.extend(arrival.event.id for arrival in arrivals)
        return [True] * len(arrivals)

    queue: Coalescer[bool] = Coalescer(run, 64)
    leaving = asyncio.create_task(queue.submit(an_arrival("gone"), a_deadline()))
    staying = asyncio.create_task(queue.submit(an_arrival("here"), a_deadline()))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying
    assert seen == ["here"]


async def test_a_part_that_is_down_is_asked_once_for_all() -> None:
    calls = 0

    async def run(_arrivals: Sequence[Arrival], _deadline: Deadline) -> list[bool]:
        nonlocal calls
        calls += 1
        raise Unavailable("redis", "down")

    queue: Coalescer[bool] = Coalescer(run, 64)
    results = await asyncio.gather(
        *(queue.submit(an_arrival(f"p{n}"), a_deadline()) for n in range(10)),
        return_exceptions=True,
    )
    assert all(isinstance(result, Unavailable) for result in results)
    assert calls == 1


async def test_the_queue_has_an_end() -> None:
    gate = asyncio.Event()

    async def run(arrivals: Sequence[Arrival], _deadline: Deadline) -> list[bool]:
        await gate.wait()
        return [True] * len(arrivals)

    queue: Coalescer[bool] = Coalescer(run, 1)
    arrival = an_arrival("p")
    tasks = [
        asyncio.create_task(queue.submit(arrival, a_deadline())) for _ in range(module.WAITING_MAX)
    ]
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="full"):
        await queue.submit(arrival, a_deadline())
    gate.set()
    assert all(await asyncio.gather(*tasks))


async def test_wrong_answers_are_a_defect_not_a_hang() -> None:
    async def run(_arrivals: Sequence[Arrival], _deadline: Deadline) -> list[bool]:
        return []

    queue: Coalescer[bool] = Coalescer(run, 64)
    with pytest.raises(RuntimeError, match="0 answers to 1"):
        await queue.submit(an_arrival("p"), a_deadline())


async def test_a_spent_deadline_is_told_at_once() -> None:
    async def run(_arrivals: Sequence[Arrival], _deadline: Deadline) -> list[bool]:
        await asyncio.sleep(10)
        return [True]

    queue: Coalescer[bool] = Coalescer(run, 64)
    with pytest.raises(DeadlineExceeded):
        await queue.submit(an_arrival("p"), a_deadline(20))


async def test_a_slow_body_is_cut_off(tmp_path: Path) -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    async with open_site(tmp_path) as site:
        answer = await site.client.post(
            "/v1/decisions",
            content=slow(),
            headers={**site.key(), "Content-Type": "application/json"},
        )
    assert (answer.status_code, answer.json()["code"]) == (408, "BODY_TIMEOUT")
    assert answer.headers["connection"] == "close"
