"""A thread that ends the process when a batch hangs, or nothing moves although data waits.

It is a thread because a coroutine cannot see that its own event loop is blocked, and
because Faust's heartbeats go on from another thread, so Kafka would never notice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from risk.domain.clock import Clock
from streams.leave import EXIT_STUCK, leave

TICK_S: Final = 0.25
STALLED_S: Final = 90.0  # broker outages of 75 s mend by themselves (measured)


class Watchdog:
    """Watches batches in flight, progress while there is lag, and the time stopping takes.

    ``begin``, ``touch`` and ``end`` are called by the event loop, ``check`` by the thread.
    """

    def __init__(
        self,
        clock: Clock,
        in_flight_s: float,
        *,
        lag: Callable[[], int] = lambda: 0,
        on_stuck: Callable[[int, str], None] = leave,
    ) -> None:
        self._clock = clock
        self._in_flight_s = in_flight_s
        self._lag = lag
        self._on_stuck = on_stuck
        self._since_s: dict[tuple[str, int], float] = {}
        self._progress_s = clock.monotonic_s()
        self._stop_by_s: float | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def begin(self, topic: str, partition: int) -> None:
        """A batch of this partition is in flight, or moved on."""
        self._since_s[topic, partition] = self._progress_s = self._clock.monotonic_s()

    touch = begin

    def end(self, topic: str, partition: int) -> None:
        """The batch is done."""
        self._since_s.pop((topic, partition), None)
        self._progress_s = self._clock.monotonic_s()

    def stopping(self, within_s: float) -> None:
        """The process was asked to stop: it is gone after ``within_s`` in any case."""
        self._stop_by_s = self._clock.monotonic_s() + within_s

    def problem(self) -> str | None:
        """What is stuck now, None where all moves."""
        now_s = self._clock.monotonic_s()
        for (topic, partition), since_s in list(self._since_s.items()):
            if now_s - since_s > self._in_flight_s:
                return f"a batch of {topic}[{partition}] is in flight for {now_s - since_s:.1f} s"
        if self._stop_by_s is not None and now_s > self._stop_by_s:
            return "stopping took too long"
        if now_s - self._progress_s > STALLED_S:
            if (lag := self._lag()) > 0:
                return f"no progress for {STALLED_S:.0f} s while {lag} records wait"
            self._progress_s = now_s
        return None

    def check(self) -> None:
        """One look; ends the process where something is stuck."""
        problem = self.problem()
        if problem is not None:
            self._on_stuck(EXIT_STUCK, problem)

    def _watch(self) -> None:
        while not self._ended.wait(TICK_S):
            self.check()
