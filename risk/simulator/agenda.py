"""What will happen, in event-time order, and the truth about it."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from risk.domain.event import AnyEvent

TRUTH_MAX: Final = 200_000  # frauds remembered, so that live traffic may run on
_LOOKED_AT: Final = 100


class Truth:
    """Which payments are fraud, and by which scenario. Never part of an event.

    Of more than ``TRUTH_MAX`` frauds the oldest are forgotten, those to come never.
    """

    def __init__(self) -> None:
        self._marked: dict[str, tuple[str, int, int]] = {}
        self._episode = 0
        self._now_ms = 0

    def begin_episode(self, now_ms: int) -> None:
        """What is marked from now on belongs together, until the next episode begins."""
        self._episode += 1
        self._now_ms = now_ms

    def mark(self, payment_id: str, scenario: str, at_ms: int = 0) -> None:
        """Say that ``payment_id``, which happens at ``at_ms``, is fraud."""
        if len(self._marked) >= TRUTH_MAX:
            self._forget()
        self._marked[payment_id] = (scenario, self._episode, at_ms)

    def _forget(self) -> None:
        for payment_id in list(islice(self._marked, _LOOKED_AT)):
            marked = self._marked.pop(payment_id)
            if marked[2] <= self._now_ms:
                return
            self._marked[payment_id] = marked  # still to come: as if it were new

    def scenario(self, payment_id: str) -> str | None:
        """The scenario that made the payment; None where it is honest."""
        marked = self._marked.get(payment_id)
        return None if marked is None else marked[0]

    def episode(self, payment_id: str) -> int | None:
        """The number of the episode that the payment is part of; None where it is honest."""
        marked = self._marked.get(payment_id)
        return None if marked is None else marked[1]

    def is_fraud(self, payment_id: str) -> bool:
        return payment_id in self._marked

    def __len__(self) -> int:
        return len(self._marked)


class Agenda:
    """Events to come, given out by time; equal times in the order in which they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, AnyEvent]] = []
        self._order = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at_ms: int, event: AnyEvent) -> None:
        """Plan ``event``, whose ``occurred_at`` is ``at_ms``."""
        self._order += 1
        heappush(self._heap, (at_ms, self._order, event))

    def due(self, until_ms: int) -> AnyEvent | None:
        """The next event before ``until_ms``, taken off; None where there is none."""
        if self._heap and self._heap[0][0] < until_ms:
            return heappop(self._heap)[2]
        return None

    def before(self, until_ms: int) -> Iterator[AnyEvent]:
        """All events before ``until_ms``, taken off one by one."""
        heap = self._heap
        while heap and heap[0][0] < until_ms:
            yield heappop(heap)[2]
