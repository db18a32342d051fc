"""``weir worker``: the stream door of one process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import random

    from risk.bootstrap import Runtime
    from risk.settings import Settings
    from streams.parking_lot import ParkingLot

RETRY_EVERY_S = 1.0
SLOT = r"^[a-z0-9-]{1,32}$"
# Besides the event's own deadline: the last pause and the way back.
IN_FLIGHT_SLACK_S = 10.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="worker")(worker)


def worker(
    slot: Annotated[
        str | None, typer.Option(help="Static membership: unique among the running workers.")
    ] = None,
    world: Annotated[str | None, typer.Option(help="The world to work in.")] = None,
) -> None:
    """Decide the payments of the events topic until SIGTERM or Ctrl-C.

    Exit codes: 0 stopped, 1 a part failed, 70 a batch could not be finished, 71 no progress.
    After 70 and 71 start it again: nothing is lost, Kafka delivers again.
    """
    import uvloop

    from risk.domain.clock import SystemClock
    from risk.local.parts import resolve
    from risk.observability.logging import configure_logging
    from risk.settings import Settings

    given: dict[str, Any] = {"worker_slot": slot, "world": world}
    chosen = Settings(**{name: value for name, value in given.items() if value is not None})
    _check(chosen)
    configure_logging(SystemClock(), "worker")
    with (
        resolve(chosen, command="worker", say=_say) as settings,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        finished = runner.run(_serve(settings))
    if not finished:
        raise typer.Exit(1)


def _check(settings: Settings) -> None:
    """Refuse to start on another Faust than the one that was examined."""
    import re

    from risk.domain.errors import BadConfiguration
    from streams import private_names

    if not re.fullmatch(SLOT, settings.worker_slot):
        raise BadConfiguration(f"worker slot {settings.worker_slot!r}: use a-z, 0-9 and -")
    problems = private_names.missing()
    if problems:
        raise BadConfiguration("; ".join(problems) + "; install requirements.lock")


async def _serve(settings: Settings) -> bool:
    """Work until SIGTERM or Ctrl-C; False where a part failed."""
    import signal

    stop, started = asyncio.Event(), asyncio.Event()
    work = asyncio.create_task(_work(settings, stop, started))

    def asked() -> None:
        stop.set()
        if not started.is_set():
            # Nothing is in flight yet, and starting may wait for long (for a recovery).
            work.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked)
    try:
        return await work
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return True


async def _work(settings: Settings, stop: asyncio.Event, started: asyncio.Event) -> bool:
    import random

    from risk import collector
    from risk.bootstrap import build_runtime
    from risk.scheduler import Scheduler
    from streams.app import WorkerConfig, build_app, lag, quiet_faust, run_app
    from streams.handlers import build_handlers
    from streams.metrics import metrics_port
    from streams.parking_reader import attending
    from streams.watchdog import Watchdog

    quiet_faust()
    ready = settings.state / "ready" / f"worker-{settings.worker_slot}"
    ready.unlink(missing_ok=True)
    async with build_runtime(settings, "worker") as runtime:
        collector.settle()
        config = WorkerConfig(settings.kafka, runtime.topics, settings.worker_slot, settings.state)
        in_flight_s = settings.event_deadline_ms / 1000 + IN_FLIGHT_SLACK_S
        watchdog = Watchdog(runtime.clock, in_flight_s, lag=lambda: lag(app))
        # Only spreads retries in time, so any seed will do; slots must differ.
        jitter = random.Random(settings.worker_slot)  # noqa: S311
        handlers = build_handlers(runtime, watchdog, settings.event_deadline_ms, jitter)
        app = build_app(config, handlers, watchdog)
        lot = _parking(runtime, settings, jitter)

        def on_ready(partitions: int) -> None:
            ready.parent.mkdir(parents=True, exist_ok=True)
            ready.write_text(f"{partitions}\n")

        async with (
            metrics_port(runtime.metrics, settings.metrics_port, watchdog.problem) as address,
            attending(settings.kafka, runtime.topics, lot) as attendant,
            Scheduler() as scheduler,
        ):
            scheduler.every(RETRY_EVERY_S, "retry what is parked", attendant.turn)
            _say(f"worker {settings.worker_slot} reads {runtime.topics.events}; {address}/metrics")
            started.set()
            try:
                return await run_app(app, watchdog, stop, on_ready)
            finally:
                ready.unlink(missing_ok=True)


def _parking(runtime: Runtime, settings: Settings, jitter: random.Random) -> ParkingLot:
    """What retries labels and outcomes whose payment was not known when they came."""
    from streams.archive_find import REACH_MS, ArchivedDecisions
    from streams.archive_store import archive_folder
    from streams.handlers import LotSettings, build_parking

    root = archive_folder(settings.state, settings.world)
    # In a replayed world the archive is as old as its events.
    archived = ArchivedDecisions(root, runtime.clock, REACH_MS if runtime.live else None)
    window_ms = round(settings.parked_days * 24 * 60 * 60 * 1000)
    return build_parking(
        runtime, archived, LotSettings(settings.event_deadline_ms, window_ms, jitter)
    )


def _say(line: str) -> None:
    typer.echo(line, err=True)
