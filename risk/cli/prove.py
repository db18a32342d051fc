"""`weir prove`: each decision proven soon after it was published, until it is stopped."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from risk.domain.clock import Clock
    from risk.observability.metrics import Metrics
    from risk.settings import Settings

_From = Annotated[
    str | None, typer.Option("--from", help="RFC 3339; decided_at. Instead of --hours.")
]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_JudgeEvery = Annotated[
    int,
    typer.Option(
        "--judge-every", min=0, help="Judge one decision in so many again; 1: all, 0: none."
    ),
]
EVERY_S: Final = 60.0
NICE: Final = 10  # decisions come before their proof


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("prove")(prove)


def prove(
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between turns.")] = (
        EVERY_S
    ),
    hours: Annotated[
        float, typer.Option("--hours", min=0.0, help="How far back the first turn checks.")
    ] = 1.0,
    begin: _From = None,
    judge_every: _JudgeEvery = 1,
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", help="On loopback; 0 is a free port.")
    ] = 0,
    world: _World = None,
) -> None:
    """Prove every decision as it is published, and say loudly where that fails; until SIGTERM.

    Vectors and scores are made again, and each decision is judged again by the versions that it
    names. A process of its own, one for each world. Metrics weir_parity_* at /metrics; /healthz
    answers 503 once a decision differs from history; so does an error in the log, and the part
    "parity" of the API's /readyz on the same machine. The last certificate is parity/WORLD.json
    in the state folder; the one of each whole day (UTC) is kept as parity/WORLD/YYYY-MM-DD.json.
    When it is stopped it takes one more turn first. Exit codes: 0 stopped, 1 a difference was
    found, 2 bad input.
    """
    import os

    from risk.cli.proofs import parts_of, range_ms, settings_of
    from risk.domain.clock import SystemClock
    from risk.domain.limits import TIME_MS_MIN
    from risk.observability.logging import configure_logging

    settings = settings_of(world)
    clock = SystemClock()
    configure_logging(clock, "prove")
    os.nice(NICE)
    from_ms = max(TIME_MS_MIN, clock.now_ms() - int(hours * 3_600_000))
    if begin is not None:
        from_ms, _ = range_ms(begin, None)
    with parts_of(settings, "prove") as ready:
        problem = asyncio.run(_serve(ready, clock, metrics_port, every, (from_ms, judge_every)))
    if problem:
        typer.echo(problem, err=True)
        raise typer.Exit(1)


async def _serve(
    settings: Settings, clock: Clock, port: int, every_s: float, what: tuple[int, int]
) -> str | None:
    """Take turns until told to stop; why the proof does not stand, None while it does.

    ``what`` is since when (ms), and how many decisions one that is judged again stands for.
    """
    import signal

    from risk.bootstrap import proof_note
    from risk.cli.proofs import models_of, rates_of
    from risk.cli.versions_at_hand import VersionsAtHand
    from risk.domain.errors import WeirError
    from risk.observability.metrics import Metrics
    from risk.scheduler import Scheduler
    from streams.metrics import metrics_port
    from streams.prover import Means, Prover
    from streams.topics import Topics

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = Metrics()
    _say_build(metrics)
    topics = Topics(settings.world)
    from_ms, judge_every = what
    versions = VersionsAtHand(settings, kafka=True)
    means = Means(rates_of(settings), models_of(settings), versions, judge_every)
    prover = Prover(settings.kafka, topics, means, clock, metrics, from_ms)
    note, ready = proof_note(settings), settings.state / "ready" / f"prove-{settings.world}"
    ready.parent.mkdir(parents=True, exist_ok=True)
    ready.unlink(missing_ok=True)

    async def turn() -> None:
        await prover.turn()
        await prover.note(note)
        ready.touch()
        await prover.note_day(note.with_suffix(""))

    async with metrics_port(metrics, port, lambda: prover.problem) as address, Scheduler() as work:
        typer.echo(f"proving {topics.decisions} every {every_s:g} s; {address}/metrics", err=True)
        work.every(every_s, "prove", turn)
        await stop.wait()
    try:
        await prover.turn()  # what came since the last one
        await prover.note(note)
    except WeirError as error:
        typer.echo(f"the last turn failed: {error}", err=True)
    await versions.close()
    ready.unlink(missing_ok=True)
    return prover.problem


def _say_build(metrics: Metrics) -> None:
    import importlib.metadata

    version = importlib.metadata.version("weir")
    metrics.set("weir_build_info", 1, version=version, process="prove")
