"""The watchdog: what it calls stuck, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys

from risk.domain.clock import ManualClock
from streams.leave import EXIT_STUCK
from streams.watchdog import STALLED_S, Watchdog


def watched(lag: int = 0) -> tuple[Watchdog, ManualClock, list[tuple[int, str]]]:
    clock = ManualClock(1_000_000)
    said: list[tuple[int, str]] = []
    dog = Watchdog(
        clock, 40.0, lag=lambda: lag, on_stuck=lambda code, why: said.append((code, why))
    )
    return dog, clock, said


def test_a_batch_that_hangs_ends_the_process() -> None:
    dog, clock, said = watched()
    dog.begin("events", 3)
    clock.advance(39_000)
    dog.check()
    assert said == []
    clock.advance(2_000)
    dog.check()
    assert said[0][0] == EXIT_STUCK
    assert "events[3] is in flight for 41.0 s" in said[0][1]


def test_a_batch_that_moves_on_or_ends_is_left_alone() -> None:
    dog, clock, said = watched()
    dog.begin("events", 3)
    clock.advance(39_000)
    dog.touch("events", 3)
    clock.advance(39_000)
    dog.end("events", 3)
    clock.advance(39_000)
    dog.check()
    assert said == []


def test_no_progress_matters_only_with_lag() -> None:
    for lag, stuck in ((0, False), (5, True)):
        dog, clock, said = watched(lag)
        clock.advance(int(STALLED_S * 1000) + 1)
        dog.check()
        assert bool(said) is stuck


def test_stopping_has_an_end() -> None:
    dog, clock, said = watched()
    dog.stopping(9.0)
    clock.advance(9_001)
    dog.check()
    assert said == [(EXIT_STUCK, "stopping took too long")]


def test_it_ends_a_process_whose_event_loop_is_blocked() -> None:
    script = (
        "import time\n"
        "from risk.domain.clock import SystemClock\n"
        "from streams.watchdog import Watchdog\n"
        "dog = Watchdog(SystemClock(), 0.3)\n"
        "dog.start()\n"
        "dog.begin('events', 1)\n"
        "time.sleep(20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=15, check=False
    )
    assert done.returncode == EXIT_STUCK
    assert "in flight" in done.stderr
