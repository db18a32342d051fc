"""Where the walks of different partitions meet: those that wait together go as one batch.

A walk costs about a millisecond however few payments it has (three Redis trips, one produce
request), and a worker reads many partitions, so each alone would pay it many times over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from risk.domain.clock import Deadline
from risk.domain.kinds import event_key
from risk.domain.limits import WALK_PAYMENTS_MAX
from risk.domain.observation import Arrival
from streams.worker import Answer, Engine, is_poison

# One walk computes while another waits for Redis or Kafka.
IN_FLIGHT_MAX: Final = 3
# With fewer events waiting, a second walk would cost the parts more than the wait it saves.
ENOUGH_EVENTS: Final = 32
# The fetches of one poll come to their partitions within this time.
LINGER_S: Final = 0.0005


@dataclass(frozen=True, slots=True)
class _Waiting:
    arrivals: Sequence[Arrival]
    deadline: Deadline
    answer: asyncio.Future[Sequence[Answer]]


class Junction:
    """An engine in front of the engine. Each caller's order is kept: it has one call at a time."""

    def __init__(
        self,
        engine: Engine,
        on_batch: Callable[[int], None] = lambda _size: None,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self._engine = engine
        self._on_batch = on_batch
        self._in_flight_max = in_flight_max
        self._waiting: deque[_Waiting] = deque()
        self._walks: set[asyncio.Task[None]] = set()
        self._running = 0
        self._lingering = False

    async def handle(self, arrivals: Sequence[Arrival], deadline: Deadline) -> Sequence[Answer]:
        """What the engine answers to ``arrivals``, or what it raises for them."""
        answer: asyncio.Future[Sequence[Answer]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(arrivals, deadline, answer))
        if not self._lingering and self._room():
            self._lingering = True
            self._running += 1
            walk = asyncio.create_task(self._walk())
            self._walks.add(walk)
            walk.add_done_callback(self._walks.discard)
        return await answer

    async def fall_back(self, arrivals: Sequence[Arrival]) -> Sequence[Answer]:
        """The engine's own."""
        return await self._engine.fall_back(arrivals)

    def _room(self) -> bool:
        """Whether one more walk may begin: the first, or another for many that wait."""
        if not self._running:
            return True
        waiting = sum(len(one.arrivals) for one in self._waiting)
        return waiting >= ENOUGH_EVENTS and self._running < self._in_flight_max

    async def _walk(self) -> None:
        await asyncio.sleep(LINGER_S)
        self._lingering = False
        while group := self._take():
            await self._together(group)
            # Whoever waited behind these calls comes now, and need not miss the next walk.
            await asyncio.sleep(LINGER_S)
        # Here, where nobody waits, and not when the task is done, which is a moment later:
        # who came in between would find it running, and wait for ever.
        self._running -= 1

    def _take(self) -> list[_Waiting]:
        """The longest-waiting calls whose events are different and fit into one walk."""
        group: list[_Waiting] = []
        known: set[tuple[str, str]] = set()
        size = 0
        while self._waiting:
            one = self._waiting[0]
            keys = {(arrival.event.tenant, event_key(arrival.event)) for arrival in one.arrivals}
            size += len(one.arrivals)
            if group and (size > WALK_PAYMENTS_MAX or known & keys):
                break
            group.append(self._waiting.popleft())
            known |= keys
        return group

    async def _together(self, group: Sequence[_Waiting]) -> None:
        arrivals = [arrival for one in group for arrival in one.arrivals]
        self._on_batch(len(arrivals))
        latest = max((one.deadline for one in group), key=Deadline.remaining_s)
        (found,) = await asyncio.gather(
            self._engine.handle(arrivals, latest), return_exceptions=True
        )
        if not isinstance(found, BaseException):
            answers = iter(found)
            for one in group:
                _tell(one, [next(answers) for _ in one.arrivals])
        elif len(group) == 1 or not isinstance(found, Exception) or not is_poison(found):
            for one in group:
                _tell(one, found)
        else:
            # Somebody's event is poison: the others must not suffer for it.
            for one in group:
                await self._together([one])


def _tell(one: _Waiting, found: Sequence[Answer] | BaseException) -> None:
    if one.answer.done():  # its caller was cancelled
        return
    if isinstance(found, BaseException):
        one.answer.set_exception(found)
    else:
        one.answer.set_result(found)
