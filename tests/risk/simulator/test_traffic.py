"""Live traffic: the rate asked for, on the clock, repeatable however often it is asked."""

from __future__ import annotations

from collections import Counter

import pytest

from risk.domain.decoding import canonical
from risk.domain.event import AnyEvent, Label, Payment
from risk.simulator.traffic import Traffic

START_MS = 1_780_000_000_000


def run(seconds: int, rate: float, step_ms: int = 100, seed: int = 1) -> list[AnyEvent]:
    traffic = Traffic(seed, rate, START_MS, accounts=3_000)
    events: list[AnyEvent] = []
    for now_ms in range(START_MS, START_MS + seconds * 1000 + 1, step_ms):
        events.extend(traffic.due(now_ms))
    return events


def test_payments_per_second_are_the_rate_from_the_first_second_on() -> None:
    events = run(60, 100)
    per_10s = Counter(
        (event.occurred_at_ms - START_MS) // 10_000
        for event in events
        if isinstance(event, Payment)
    )
    assert set(per_10s) == set(range(6))
    assert all(850 < count < 1150 for count in per_10s.values())


def test_how_often_it_is_asked_changes_nothing() -> None:
    often, rarely = run(20, 50, step_ms=7), run(20, 50, step_ms=4_000)
    end_ms = min(often[-1].occurred_at_ms, rarely[-1].occurred_at_ms)
    bodies = [
        [canonical(event).body for event in events if event.occurred_at_ms <= end_ms]
        for events in (often, rarely)
    ]
    assert bodies[0] == bodies[1]


def test_events_are_in_order_valid_and_never_from_the_future() -> None:
    traffic = Traffic(2, 80, START_MS, accounts=500)
    last_ms = START_MS
    for now_ms in range(START_MS, START_MS + 30_000, 250):
        for event in traffic.due(now_ms):
            assert last_ms <= event.occurred_at_ms < now_ms
            last_ms = event.occurred_at_ms
            canonical(event)


def test_labels_arrive_while_somebody_watches() -> None:
    labels = [event for event in run(240, 60) if isinstance(event, Label)]
    assert labels


def test_after_a_pause_only_the_last_seconds_are_made_up_for() -> None:
    traffic = Traffic(1, 100, START_MS, accounts=500)
    traffic.due(START_MS + 1_000)
    late = traffic.due(START_MS + 3_600_000)
    assert sum(isinstance(event, Payment) for event in late) < 2_000


def test_a_clock_that_goes_back_gives_nothing() -> None:
    traffic = Traffic(1, 100, START_MS, accounts=500)
    assert traffic.due(START_MS + 1_000)
    assert traffic.due(START_MS + 500) == []


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        Traffic(1, 0, START_MS)
