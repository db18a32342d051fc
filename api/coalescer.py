"""Requests that arrive together go to the engine as one batch."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from api.problems import RETRY_S, Problem
from risk.domain.clock import Deadline
from risk.domain.errors import DeadlineExceeded, Unavailable
from risk.domain.observation import Arrival

T = TypeVar("T")

# Two batches keep the processor busy while the parts work; more would only be smaller ones, and
# what a batch costs by itself is as much as ten payments.
OVERLAP: Final = 2
# But one slow batch must not stop the door: who has waited for this long gets another place.
IN_FLIGHT_MAX: Final = 4
PATIENCE_S: Final = 0.02
LINGER_S: Final = 0.001
WAITING_MAX: Final = 2_048


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    arrival: Arrival
    deadline: Deadline
    answer: asyncio.Future[T]


class Coalescer(Generic[T]):
    """Gathers arrivals for about a millisecond, or while all places in flight are taken.

    An arrival that finds nothing in flight lingers only until what else has come is read.

    ``run`` gets at most ``batch_max`` arrivals and answers in their order.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Arrival], Deadline], Awaitable[Sequence[T]]],
        batch_max: int,
        on_batch: Callable[[int], None] = lambda _size: None,
    ) -> None:
        self._run = run
        self._batch_max = batch_max
        self._on_batch = on_batch
        self._waiting: deque[_Waiting[T]] = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._lingering = False
        self._relief: asyncio.TimerHandle | None = None

    async def submit(self, arrival: Arrival, deadline: Deadline) -> T:
        """The answer to ``arrival``, or what ``run`` raised for it.

        Raises DeadlineExceeded when the time is spent; the batch goes on without the caller.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise Problem("OVERLOADED", "the queue is full", headers={"Retry-After": str(RETRY_S)})
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._waiting.append(_Waiting(arrival, deadline, answer))
        self._find_place()
        # Half the price of asyncio.timeout, and there is one for every request.
        expiry = loop.call_later(deadline.remaining_s(), _expire, answer)
        try:
            return await answer
        finally:
            expiry.cancel()

    async def drain(self) -> None:
        """Wait until every batch has been answered."""
        while self._workers:
            await asyncio.wait(self._workers)

    def _find_place(self) -> None:
        """See to it that those who wait get a batch: at once, or after a while."""
        if self._lingering:
            return
        if len(self._workers) < OVERLAP:
            self._start(LINGER_S if self._workers else 0.0)
        elif self._relief is None:
            self._relief = asyncio.get_running_loop().call_later(PATIENCE_S, self._relieve)

    def _start(self, linger_s: float) -> None:
        self._lingering = True
        worker = asyncio.create_task(self._work(linger_s))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    def _relieve(self) -> None:
        """Another place for those who have waited while all places were taken."""
        self._relief = None
        if not self._waiting or len(self._workers) >= IN_FLIGHT_MAX:
            return
        if not self._lingering:
            self._start(0.0)
        # There may be more of them than one batch takes.
        self._relief = asyncio.get_running_loop().call_later(PATIENCE_S, self._relieve)

    async def _work(self, linger_s: float) -> None:
        await asyncio.sleep(linger_s)
        self._lingering = False
        while batch := self._take():
            self._on_batch(len(batch))
            if self._waiting:
                self._find_place()
            await self._answer(batch)
        # Not only when the task is done, which is later: who comes in between would wait.
        current = asyncio.current_task()
        if current is not None:
            self._workers.discard(current)

    def _take(self) -> list[_Waiting[T]]:
        """The next arrivals whose callers still wait."""
        batch: list[_Waiting[T]] = []
        while self._waiting and len(batch) < self._batch_max:
            one = self._waiting.popleft()
            if not one.answer.done():
                batch.append(one)
        return batch

    async def _answer(self, batch: list[_Waiting[T]]) -> None:
        # The newest caller's deadline: one that is nearly spent must not cut the others short.
        outcome = await _outcome(
            self._run([one.arrival for one in batch], batch[-1].deadline), len(batch)
        )
        if isinstance(outcome, Unavailable | DeadlineExceeded) or len(batch) == 1:
            outcomes: Sequence[T | BaseException] = (
                [outcome] * len(batch) if isinstance(outcome, BaseException) else outcome
            )
        elif isinstance(outcome, BaseException):
            # One arrival failed the batch: alone, each gets its own answer or error.
            for one in batch:
                await self._answer([one])
            return
        else:
            outcomes = outcome
        for one, result in zip(batch, outcomes, strict=True):
            if one.answer.done():
                continue
            if isinstance(result, BaseException):
                one.answer.set_exception(result)
            else:
                one.answer.set_result(result)


def _expire(answer: asyncio.Future[T]) -> None:
    if not answer.done():
        answer.set_exception(DeadlineExceeded("the time allowed for this request is spent"))


async def _outcome(running: Awaitable[Sequence[T]], expected: int) -> Sequence[T] | BaseException:
    """What ``running`` returns, or the exception it ends with."""
    (outcome,) = await asyncio.gather(running, return_exceptions=True)
    if not isinstance(outcome, BaseException) and len(outcome) != expected:
        return RuntimeError(f"{len(outcome)} answers to {expected} arrivals")
    return outcome
