"""The same history gives the same vectors, bit for bit: a vector is a function of its places.

Two processes claim events at the same time, through both doors, in batches of any size. What
the logs then hold is put together from the recorded places alone, and every vector is made
again: alone, in one batch with all others, and by the twin that is fed in the logs' order.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from numpy.typing import NDArray

from features.connection import Connection
from features.keys import Keys
from features.local_memory import LocalMemory
from features.local_truth import LocalTruth
from features.records import facts, records
from features.recovery import Recovery
from features.redis_memory import RedisMemory
from features.tails import Tail
from features.vectors import vectors
from risk.domain.clock import ManualClock
from risk.domain.event import is_scored
from risk.domain.kinds import record_kind
from risk.domain.observation import Arrival, Claimed
from tests.support.memory import START_MS, arrival, new_prefix, to_base

pytestmark = pytest.mark.services

Log = tuple[str, str]
Served = list[tuple[Arrival, Claimed]]
PAST_THE_CAPS = 2_400  # each account's log is trimmed, and retries ask the trimmed log
KINDS = ("payment", "payment", "payment", "transfer", "withdrawal", "login", "refund")


@dataclass(frozen=True)
class History:
    """Events in the order of their times, cut into batches for two processes."""

    arrivals: tuple[Arrival, ...]
    queues: tuple[tuple[tuple[Arrival, ...], ...], tuple[tuple[Arrival, ...], ...]]


def history(seed: int, events: int, largest: int) -> History:
    """Few entities, so that everything meets everything; some events come late."""
    rng = random.Random(seed)
    arrivals = tuple(_event(number, rng) for number in range(events))
    left: tuple[list[Arrival], list[Arrival]] = ([], [])
    for one in arrivals:
        left[rng.random() < 0.5].append(one)
    return History(arrivals, (_cut(left[0], largest, rng), _cut(left[1], largest, rng)))


def _event(number: int, rng: random.Random) -> Arrival:
    kind = rng.choice(KINDS)
    at_ms = START_MS + number * 40_000 - rng.choice((0, 0, 0, 3_000, 90_000))
    fields: dict[str, Any] = {
        "id": f"e{number}",
        "account": f"a{rng.randrange(3)}",
        "device": rng.choice((None, "d1", "d2")),
        "ip": rng.choice((None, "10.0.0.1", "10.0.0.2")),
    }
    if kind != "login":
        fields |= {
            "card": rng.choice((None, "c1", "c2", "c3")),
            "merchant": rng.choice((None, "m1", "m2")),
            "amount_minor": rng.randrange(1, 500_000),
            "currency": rng.choice(("EUR", "EUR", "USD")),
        }
    if kind in ("payment", "transfer", "withdrawal"):
        fields |= {"country": rng.choice((None, "DE", "FR")), "lat": 52.5, "lon": rng.uniform(0, 9)}
    of = arrival(kind, at_ms, **fields)
    return replace(of, door=rng.choice(("stream", "http")))


def _cut(
    of: Sequence[Arrival], largest: int, rng: random.Random
) -> tuple[tuple[Arrival, ...], ...]:
    batches, at = [], 0
    while at < len(of):
        size = rng.randint(1, largest)
        batches.append(tuple(of[at : at + size]))
        at += size
    return tuple(batches)


class Process:
    """A memory with the real vectors; two of them share a world."""

    def __init__(self, url: str, prefix: str, truth: LocalTruth) -> None:
        connection, keys = Connection(url), Keys(prefix)
        recovery = Recovery(connection, keys, truth, to_base)
        self.memory = RedisMemory(connection, keys, vectors, recovery, ManualClock(START_MS))

    async def serve(self, batches: Sequence[Sequence[Arrival]]) -> Served:
        """Observe batch by batch, and now and then a batch once more, as a retry does."""
        served: Served = []
        for number, batch in enumerate(batches):
            for _ in range(2 if number % 3 == 0 else 1):
                for of, seen in zip(batch, await self.memory.observe(batch), strict=True):
                    assert isinstance(seen, Claimed)
                    served.append((of, seen))
        return served


async def serve(url: str, of: History) -> Served:
    """Both processes at the same time, on a new world."""
    prefix, truth = new_prefix(), LocalTruth()
    processes = [Process(url, prefix, truth) for _ in of.queues]
    for one in processes:
        await one.memory.open()
    both = await asyncio.gather(
        *(one.serve(queue) for one, queue in zip(processes, of.queues, strict=True))
    )
    for one in processes:
        await one.memory.close()
    return [*both[0], *both[1]]


class Rebuilt:
    """The logs as the recorded places say; nothing else of the memory is asked."""

    def __init__(self, served: Served) -> None:
        self.logs: dict[Log, dict[int, bytes]] = defaultdict(dict)
        for of, seen in served:
            event = of.event
            left = records(event, facts(event, record_kind(event), of.amount_base))
            for (kind, name, record), place in zip(left, seen.positions, strict=True):
                assert (kind, name) == (place.kind, place.identifier)
                assert self.logs[kind, name].setdefault(place.sequence, record) == record
        for log in self.logs.values():
            assert sorted(log) == list(range(len(log)))

    def tails(self, seen: Claimed) -> tuple[Tail, ...]:
        """What the event with these places may see."""
        return tuple(
            Tail(
                one.kind,
                b"".join(
                    self.logs[one.kind, one.identifier][place]
                    for place in range(one.tail_from, one.sequence)
                ),
                one.tail_from > 0,
                b"".join(
                    self.logs[one.kind, one.identifier][place] for place in range(one.tail_from)
                ),
                b"",
            )
            for one in seen.positions
        )


def in_log_order(served: Served) -> list[tuple[Arrival, Claimed]]:
    """Every event once, so that each log is met in its own order."""
    events = {of.event.id: (of, seen) for of, seen in served}
    at = {
        (one.kind, one.identifier, one.sequence): name
        for name, (_, seen) in events.items()
        for one in seen.positions
    }
    before = {
        name: [
            at[one.kind, one.identifier, one.sequence - 1] for one in seen.positions if one.sequence
        ]
        for name, (_, seen) in events.items()
    }
    return [events[name] for name in TopologicalSorter(before).static_order()]


def bits(of: NDArray[np.float64] | None) -> bytes:
    return b"" if of is None else of.tobytes()


async def check(served: Served) -> int:
    """Each vector is that of its places; how many there were."""
    rebuilt = Rebuilt(served)
    scored = [(of, seen) for of, seen in served if is_scored(of.event)]
    items = [(of, rebuilt.tails(seen)) for of, seen in scored]
    together, inexact = vectors(items)
    for (_, seen), item, row, names in zip(scored, items, together, inexact, strict=True):
        alone, alone_names = vectors([item])
        assert bits(seen.vector) == bits(row) == bits(alone[0])
        assert seen.inexact == names == alone_names[0]
        other_door = replace(item[0], door="http" if item[0].door == "stream" else "stream")
        assert bits(vectors([(other_door, item[1][::-1])])[0][0]) == bits(row)
    twin = LocalMemory(vectors)
    for of, seen in in_log_order(served):
        (mirrored,) = await twin.observe([of])
        assert isinstance(mirrored, Claimed)
        assert mirrored.positions == seen.positions
        assert bits(mirrored.vector) == bits(seen.vector)
    return len(scored)


@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), events=st.integers(1, 60), largest=st.integers(1, 70))
def test_vectors_are_a_function_of_places(
    redis_url: str, seed: int, events: int, largest: int
) -> None:
    asyncio.run(_compare(redis_url, history(seed, events, largest)))


@pytest.mark.parametrize("largest", [1, 7, 64, 200])
def test_vectors_are_a_function_of_places_past_the_caps(redis_url: str, largest: int) -> None:
    asyncio.run(_compare(redis_url, history(largest, PAST_THE_CAPS, largest)))


async def _compare(url: str, of: History) -> None:
    served = await serve(url, of)
    assert {one.event.id for one, _ in served} == {one.event.id for one in of.arrivals}
    wanted = {one.event.id for one in of.arrivals if is_scored(one.event)}
    assert await check(served) >= len(wanted)
