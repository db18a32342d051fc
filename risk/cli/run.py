"""`weir run`: start everything on this machine, send payments, show decisions, stop in order."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_Seconds = Annotated[
    float | None, typer.Option(min=1, help="End after so many seconds of payments.")
]
_Rate = Annotated[float, typer.Option(min=1, max=20_000, help="Payments a second.")]
_Seed = Annotated[int, typer.Option(help="Seed of the simulated traffic.")]
_Dataset = Annotated[str | None, typer.Option(help="Play an imported data set instead.")]
_Speed = Annotated[str, typer.Option(help="With --dataset: 1x, 60x or max.")]
_Workers = Annotated[int, typer.Option(min=1, max=8, help="Worker processes.")]
_Report = Annotated[Path | None, typer.Option(help="Write the result as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the command ``run``."""
    app.command("run")(run)


def run(
    seconds: _Seconds = None,
    rate: _Rate = 100.0,
    seed: _Seed = 1,
    dataset: _Dataset = None,
    speed: _Speed = "max",
    workers: _Workers = 1,
    report: _Report = None,
) -> None:
    """Run the whole of Weir on this machine until Ctrl-C (or for --seconds).

    Report keys: payments, decisions, outcomes {allow, review, block}, per_s, latency_ms {p50,
    p99, p999}, dead_letters, seconds_to_ready, redis_bytes_per_payment,
    evidence_bytes_per_decision (on the broker's disk; null where the broker is not ours), parity
    {checked, equal, unequal, damaged, unprovable {cause: n}}, archive {rows, lag, holes, damaged,
    missing}, problems, seed, world.

    It archives and proves each decision while it runs, at low priority. Exit codes: 0 ok, 1 a
    part failed, a payment got no decision, or the proof found a difference, 2 bad input, 3
    already running.
    """
    from rich.console import Console

    from risk.cli.run_job import Job, Order
    from risk.settings import Settings

    order = Order(seconds, rate, seed, dataset, speed, workers)
    answered = Job(Settings(), order, Console()).run(report)
    if not answered:
        raise typer.Exit(1)
