"""What will happen, in event-time order, and the truth about it."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

from risk.domain.event import AnyEvent

TRUTH_MAX: Final = (
    200_000  # frauds remembered; the oldest are forgotten, so live traffic may run on
)


class Truth:
    """Which payments are fraud, and by which scenario. Never part of an event."""

    def __init__(self) -> None:
        self._scenarios: dict[str, str] = {}

    def mark(self, payment_id: str, scenario: str) -> None:
        """Say that ``payment_id`` is fraud."""
        if len(self._scenarios) >= TRUTH_MAX:
            del self._scenarios[next(iter(self._scenarios))]
        self._scenarios[payment_id] = scenario

    def scenario(self, payment_id: str) -> str | None:
        """The scenario that made the payment; None where it is honest."""
        return self._scenarios.get(payment_id)

    def is_fraud(self, payment_id: str) -> bool:
        return payment_id in self._scenarios

    def __len__(self) -> int:
        return len(self._scenarios)


class Agenda:
    """Events to come, given out by time; equal times in the order in which they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, AnyEvent]] = []
        self._order = 0

    def add(self, at_ms: int, event: AnyEvent) -> None:
        """Plan ``event``, whose ``occurred_at`` is ``at_ms``."""
        self._order += 1
        heappush(self._heap, (at_ms, self._order, event))

    def due(self, until_ms: int) -> AnyEvent | None:
        """The next event before ``until_ms``, taken off; None where there is none."""
        if self._heap and self._heap[0][0] < until_ms:
            return heappop(self._heap)[2]
        return None
