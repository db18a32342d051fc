"""The only place that reads a clock. Everything else takes time as an argument."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Milliseconds since 1970 in UTC, and a monotonic counter for durations."""

    def now_ms(self) -> int: ...

    def monotonic_s(self) -> float: ...


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves when it is told to, for tests and replays."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._now_ms / 1000

    def advance(self, by_ms: int) -> None:
        self._now_ms += by_ms


class Deadline:
    """One budget of time handed through every bounded step."""

    def __init__(self, clock: Clock, budget_ms: int) -> None:
        self._clock = clock
        self._ends_s = clock.monotonic_s() + budget_ms / 1000

    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._ends_s - self._clock.monotonic_s())

    def spent(self) -> bool:
        return self.remaining_s() <= 0.0
