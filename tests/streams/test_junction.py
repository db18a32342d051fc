"""Calls that wait together are answered together, each with its own answers or its own error."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from risk.domain.clock import Deadline, SystemClock
from risk.domain.errors import Unavailable
from risk.domain.limits import WALK_PAYMENTS_MAX
from risk.domain.observation import Arrival
from risk.domain.outcome import Outcome
from risk.engine import Verdict
from streams.junction import Junction
from tests.support.memory import payment


@dataclass
class Recording:
    """An engine that answers with the event's id; ``poison`` fails a batch, ``down`` all."""

    poison: frozenset[str] = frozenset()
    down: bool = False
    batches: list[list[str]] = field(default_factory=list)
    running: int = 0
    most: int = 0

    async def handle(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[Verdict]:
        names = [arrival.event.id for arrival in arrivals]
        self.batches.append(names)
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(0.002)
        self.running -= 1
        if self.down:
            raise Unavailable("redis", "away")
        if self.poison & set(names):
            raise ZeroDivisionError
        return [Verdict(name.encode(), Outcome.ALLOW) for name in names]

    async def fall_back(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        return [Verdict(b"fallback", Outcome.REVIEW) for _ in arrivals]


def deadline() -> Deadline:
    return Deadline(SystemClock(), 5_000)


async def ask(junction: Junction, *numbers: int) -> list[bytes]:
    answers = await junction.handle([payment(number) for number in numbers], deadline())
    return [answer.body for answer in answers]  # type: ignore[attr-defined]


async def test_calls_that_wait_together_make_one_batch() -> None:
    engine, sizes = Recording(), list[int]()
    junction = Junction(engine, sizes.append)
    found = await asyncio.gather(ask(junction, 1, 2), ask(junction, 3), ask(junction, 4, 5))
    assert list(found) == [[b"p1", b"p2"], [b"p3"], [b"p4", b"p5"]]
    assert engine.batches == [["p1", "p2", "p3", "p4", "p5"]]
    assert sizes == [5]


async def test_an_event_is_never_twice_in_a_batch() -> None:
    engine = Recording()
    junction = Junction(engine)
    found = await asyncio.gather(ask(junction, 1), ask(junction, 1))
    assert list(found) == [[b"p1"], [b"p1"]]
    assert engine.batches == [["p1"], ["p1"]]


async def test_batches_stay_within_the_limit_and_so_do_walks() -> None:
    engine = Recording()
    junction = Junction(engine, in_flight_max=2)
    calls = [ask(junction, *range(at * 60, at * 60 + 60)) for at in range(20)]
    await asyncio.gather(*calls)
    assert max(map(len, engine.batches)) <= WALK_PAYMENTS_MAX
    assert engine.most <= 2


async def test_few_that_wait_share_the_next_walk() -> None:
    engine = Recording()
    junction = Junction(engine)
    first = asyncio.create_task(ask(junction, 1))
    while not engine.running:
        await asyncio.sleep(0)
    await asyncio.gather(first, *(ask(junction, number) for number in range(2, 6)))
    assert engine.batches == [["p1"], ["p2", "p3", "p4", "p5"]]
    assert engine.most == 1


async def test_nobody_is_forgotten_who_comes_at_the_end_of_a_walk() -> None:
    junction = Junction(Recording())
    async with asyncio.timeout(10):
        for _ in range(20):
            first = asyncio.create_task(ask(junction, 1))
            while not first.done() or not all(walk.done() for walk in junction._walks):
                await asyncio.sleep(0)
            # The walk has ended, and its callback has perhaps not been called yet.
            assert await ask(junction, 2) == [b"p2"]


async def test_poison_hurts_only_the_call_it_came_with() -> None:
    engine = Recording(poison=frozenset({"p2"}))
    junction = Junction(engine)
    good, bad, other = await asyncio.gather(
        ask(junction, 1), ask(junction, 2), ask(junction, 3), return_exceptions=True
    )
    assert (good, other) == ([b"p1"], [b"p3"])
    assert isinstance(bad, ZeroDivisionError)


async def test_a_part_that_is_away_is_told_to_all_without_asking_again() -> None:
    engine = Recording(down=True)
    junction = Junction(engine)
    found = await asyncio.gather(ask(junction, 1), ask(junction, 2), return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable, Unavailable]
    assert len(engine.batches) == 1


async def test_a_caller_that_left_is_no_trouble() -> None:
    engine = Recording()
    junction = Junction(engine)
    leaving = asyncio.create_task(ask(junction, 1))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await ask(junction, 2) == [b"p2"]
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_the_fallback_is_the_engines() -> None:
    (answer,) = await Junction(Recording()).fall_back([payment(1)])
    assert answer.published


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 30), max_size=20, unique=True), max_size=12), st.integers(1, 3)
)
def test_everybody_gets_what_is_theirs(calls: list[list[int]], in_flight_max: int) -> None:
    async def play() -> list[list[bytes]]:
        junction = Junction(Recording(), in_flight_max=in_flight_max)
        return await asyncio.gather(*(ask(junction, *numbers) for numbers in calls))

    assert asyncio.run(play()) == [[f"p{number}".encode() for number in one] for one in calls]
