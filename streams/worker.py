"""The worker's loop around the engine: patient with parts that fail, firm with poison.

A part that does not answer (Kafka, Redis) is waited for inside the event deadline; then the
process leaves and Kafka delivers again. An event on which the engine itself fails is found
by handing over its neighbours one by one, tried three times, and given up: a payment gets
the configured fallback, never silence.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol, TypeVar

from risk.domain.clock import Clock, Deadline
from risk.domain.errors import DeadlineExceeded, InvalidEvent, StaleEpoch, Unavailable, WeirError
from risk.domain.event import is_scored
from risk.domain.observation import Arrival
from streams.dead_letters import ENGINE_ERROR, PAYLOAD_MISMATCH

T = TypeVar("T")
POISON_TRIES: Final = 3
PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 2.0
_PASSING: Final = (Unavailable, DeadlineExceeded, StaleEpoch)
_LOG = logging.getLogger("weir.streams")


class Answer(Protocol):
    """What the door needs of the engine's verdict."""

    @property
    def mismatch(self) -> bool: ...
    @property
    def published(self) -> bool: ...


class Engine(Protocol):
    """``risk.engine.Engine`` as the stream door sees it."""

    async def handle(self, arrivals: Sequence[Arrival], deadline: Deadline) -> Sequence[Answer]: ...

    async def fall_back(self, arrivals: Sequence[Arrival]) -> Sequence[Answer]: ...


class Walker:
    """Hands arrivals to the engine until each is decided, remembered, or given up."""

    def __init__(
        self, engine: Engine, clock: Clock, deadline_ms: int, jitter: random.Random
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._deadline_ms = deadline_ms
        self._jitter = jitter

    async def walk(
        self, arrivals: Sequence[Arrival], *, fall_back: bool = True
    ) -> list[str | None]:
        """At most one engine batch, in the partition's order.

        A payment on which the engine itself fails gets the fallback, where that is wanted.

        For each the code of a dead letter: PAYLOAD_MISMATCH, ENGINE_ERROR, or None where
        all is well. Raises Unavailable, DeadlineExceeded or StaleEpoch after the deadline.
        """
        try:
            return await self._handle(arrivals)
        except Exception as error:  # the worker door
            if not is_poison(error):
                raise
            _LOG.error("the engine failed on %d events", len(arrivals), exc_info=error)
        return [await self._alone(arrival, fall_back) for arrival in arrivals]

    async def patiently(self, step: Callable[[Deadline], Awaitable[T]]) -> T:
        """``step``, repeated with growing jittered pauses while a part does not answer."""
        deadline = Deadline(self._clock, self._deadline_ms)
        pause_s = PAUSE_S
        while True:
            try:
                return await step(deadline)
            except _PASSING as error:
                wait_s = pause_s * (0.5 + self._jitter.random())
                if deadline.remaining_s() <= wait_s:
                    raise
                _LOG.warning("trying again in %.2f s: %s", wait_s, error)
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)

    async def _alone(self, arrival: Arrival, fall_back: bool) -> str | None:
        for attempt in range(POISON_TRIES):
            try:
                return (await self._handle([arrival]))[0]
            except Exception as error:  # the worker door
                if not is_poison(error):
                    raise
                _LOG.error("attempt %d on one event failed", attempt + 1, exc_info=error)
        if fall_back and is_scored(arrival.event):
            await self.patiently(lambda _deadline: self._fall_back(arrival))
        return ENGINE_ERROR

    async def _fall_back(self, arrival: Arrival) -> None:
        """Raises Unavailable where Kafka has not confirmed it: that would be silence."""
        (answer,) = await self._engine.fall_back([arrival])
        if not answer.published:
            raise Unavailable("kafka", "the fallback is not published")

    async def _handle(self, arrivals: Sequence[Arrival]) -> list[str | None]:
        verdicts = await self.patiently(lambda deadline: self._engine.handle(arrivals, deadline))
        return [PAYLOAD_MISMATCH if one.mismatch else None for one in verdicts]


def is_poison(error: Exception) -> bool:
    """Whether the event is at fault, and not a part or a setting: those fail every event."""
    return isinstance(error, InvalidEvent) or not isinstance(error, WeirError)
