"""A contestant's steady state: what it finishes a second, and what it uses meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from aiokafka import AIOKafkaConsumer, TopicPartition

from risk.domain.clock import Clock
from risk.domain.errors import Unavailable

LOOK_EVERY_S: Final = 0.02
WARM_UP_S: Final = 1.0
WARM_UP_SHARE: Final = 0.2  # whoever does this much in less time has warmed up
STARTS_WITHIN_S: Final = 90.0
# Partitions do not end together: the last tenth is finished by ever fewer of them.
UNTIL_SHARE: Final = 0.9
STALLED_S: Final = 30.0

# When (monotonic seconds) how many were done.
Look = Callable[[], Awaitable[tuple[float, int]]]
# Running totals in seconds, by name: CPU of processes, time in stages.
Probe = Callable[[], Awaitable[Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Steady:
    """What was seen between the end of the warm-up and the end of the window."""

    count: int
    seconds: float
    used_s: Mapping[str, float]

    @property
    def per_s(self) -> float:
        return self.count / self.seconds

    def us(self, name: str) -> float:
        """Microseconds of what the probe calls ``name``, for each finished event."""
        return round(self.used_s[name] * 1e6 / self.count, 1)


@dataclass(frozen=True, slots=True)
class Window:
    """When to stop looking: after ``seconds``, or when most of ``total`` is done."""

    seconds: float
    total: int


@dataclass(frozen=True, slots=True)
class Contestant:
    """How a contestant is watched. ``ended`` says why it has ended, None while it works."""

    look: Look
    probe: Probe
    ended: Callable[[], str | None]


async def measure(one: Contestant, window: Window, clock: Clock) -> Steady:
    """Wait for the first event, let a second pass, and look until the window ends.

    Raises Unavailable where it ends, stalls, or is done before the window begins.
    """
    await _first(one, clock)
    until = int(window.total * UNTIL_SHARE)
    await _warm_up(one, int(window.total * WARM_UP_SHARE), clock)
    before = await one.probe()
    began_s, begun = await one.look()
    at_s, done, moved_s = began_s, begun, clock.monotonic_s()
    while at_s - began_s < window.seconds and done < until:
        await asyncio.sleep(LOOK_EVERY_S)
        last = done
        at_s, done = await one.look()
        moved_s = clock.monotonic_s() if done > last else moved_s
        if reason := one.ended():
            raise Unavailable("contestant", reason)
        if clock.monotonic_s() - moved_s > STALLED_S:
            raise Unavailable("contestant", f"it stopped at {done} of {window.total} events")
    after = await one.probe()
    if done <= begun or at_s - began_s < LOOK_EVERY_S:
        raise Unavailable("benchmark", "done before it was measured: raise --payments")
    used = {name: total - before.get(name, 0.0) for name, total in after.items()}
    return Steady(done - begun, at_s - began_s, used)


async def _warm_up(one: Contestant, enough: int, clock: Clock) -> None:
    ends_s = clock.monotonic_s() + WARM_UP_S
    while clock.monotonic_s() < ends_s and (await one.look())[1] < enough:
        await asyncio.sleep(LOOK_EVERY_S)


async def _first(one: Contestant, clock: Clock) -> None:
    gives_up_s = clock.monotonic_s() + STARTS_WITHIN_S
    while (await one.look())[1] == 0:
        if reason := one.ended():
            raise Unavailable("contestant", reason)
        if clock.monotonic_s() > gives_up_s:
            raise Unavailable("contestant", f"no event in {STARTS_WITHIN_S:.0f} s")
        await asyncio.sleep(LOOK_EVERY_S)


def by_file(path: Path) -> Look:
    """Looks at the file that a contestant without output writes (``stream_agents.Counter``)."""

    async def look() -> tuple[float, int]:
        try:
            at_ns, _, count = path.read_text().partition(" ")
        except FileNotFoundError:
            return 0.0, 0
        return (int(at_ns) / 1e9, int(count)) if count else (0.0, 0)

    return look


class TopicEnd:
    """How many records a topic has taken since ``open``."""

    def __init__(self, kafka: str, topic: str, partitions: int, clock: Clock) -> None:
        self._places = [TopicPartition(topic, number) for number in range(partitions)]
        self._kafka = kafka
        self._clock = clock
        self._before = 0

    async def __aenter__(self) -> TopicEnd:
        self._consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka)
        await self._consumer.start()
        self._before = await self._ends()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def look(self) -> tuple[float, int]:
        """See ``Look``."""
        count = await self._ends() - self._before
        return self._clock.monotonic_s(), count

    async def _ends(self) -> int:
        return sum((await self._consumer.end_offsets(self._places)).values())


async def stage_seconds(metrics: str) -> dict[str, float]:
    """Seconds in each stage so far, from a worker's metrics page; empty where it has none."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            page = (await client.get(f"{metrics}/metrics", timeout=5.0)).text
        except httpx.HTTPError as problem:
            raise Unavailable("worker", f"its metrics: {problem}") from None
    found = re.findall(r'^weir_stage_seconds_total\{stage="(\w+)"\} (\S+)$', page, re.MULTILINE)
    return {stage: float(seconds) for stage, seconds in found}
