"""`python -m benchmarks.simulator`: how fast worlds are made up, in CPU time of one core.

Time of the process is counted, not of the clock on the wall: a world waits for nothing, so the
load of the machine does not matter. One round of each world comes after one of the other.

Report keys: machine, rounds, seed, aim_events_per_s, rows [{world, events, cpu_us_per_event,
cpu_us_span, events_per_s}]; medians over the rounds. The exit code is 1 where a world of simulated
people is slower than the aim.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from benchmarks.common import Series, interleaved, machine, run, show, write_report
from risk.domain.decoding import encode_event
from risk.domain.event import AnyEvent
from risk.simulator.handbook import HandbookWorld
from risk.simulator.traffic import Traffic
from risk.simulator.world import World

AIM_EVENTS_PER_S: Final = 20_000
START_MS: Final = 1_760_000_000_000
TRAFFIC_STEP_MS: Final = 100


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Each world is played so often.")] = 3,
    seed: Annotated[int, typer.Option(help="Of all worlds.")] = 1,
    report: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Make up worlds and count what an event costs."""
    asked_of = machine()
    worlds = _worlds(seed)
    costs_us = Series()
    events: dict[str, int] = {}
    for _, name in interleaved(tuple(worlds), rounds):
        began_s = time.process_time()
        events[name] = sum(1 for _ in worlds[name]())
        costs_us.add(name, (time.process_time() - began_s) / events[name] * 1e6)
    rows = [_row(name, events[name], costs_us) for name in worlds]
    write_report(
        report,
        {
            "machine": asked_of, "rounds": rounds, "seed": seed,
            "aim_events_per_s": AIM_EVENTS_PER_S, "rows": rows,
        },
    )  # fmt: skip
    show("worlds", tuple(rows[0]), [tuple(row.values()) for row in rows])
    if any(row["events_per_s"] < AIM_EVENTS_PER_S for row in rows):
        print(f"slower than {AIM_EVENTS_PER_S:,} events/s", file=sys.stderr)
        raise typer.Exit(1)


def _worlds(seed: int) -> dict[str, Callable[[], Iterable[AnyEvent]]]:
    """By name, each with everything that belongs to it: also people and shops are made anew."""
    return {
        "600 accounts, 60 days": lambda: World(seed, 600, START_MS).events(60),
        "5,000 accounts, 6 days": lambda: World(seed, 5_000, START_MS).events(6),
        "50,000 accounts, 1 day": lambda: World(seed, 50_000, START_MS).events(1),
        "the first, as JSON": lambda: (
            event
            for event in World(seed, 600, START_MS).events(60)
            if encode_event(event)
        ),
        "live traffic, 300/s": lambda: _traffic(seed, 300.0, 300),
        "handbook, 2,000 customers": lambda: HandbookWorld(seed, customers=2_000).events(),
    }  # fmt: skip


def _traffic(seed: int, rate_per_s: float, seconds: int) -> Iterable[AnyEvent]:
    traffic = Traffic(seed, rate_per_s, START_MS)
    for now_ms in range(START_MS, START_MS + 1000 * seconds, TRAFFIC_STEP_MS):
        yield from traffic.due(now_ms)


def _row(name: str, events: int, costs_us: Series) -> dict[str, Any]:
    median_us = costs_us.median(name) or 0.0
    return {
        "world": name,
        "events": events,
        "cpu_us_per_event": round(median_us, 2),
        "cpu_us_span": [round(cost_us, 2) for cost_us in costs_us.span(name) or ()],
        "events_per_s": round(1e6 / median_us),
    }


if __name__ == "__main__":
    run(main)
