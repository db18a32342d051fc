"""`weir archive`: history as Parquet by day, what it holds, and what of it can be proven."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from risk.domain.clock import Clock
    from risk.settings import Settings
    from streams.archive import Archiver, ArchiveReport
    from streams.archive_history import Examined

_World = Annotated[str | None, typer.Option("--world", help="The world whose topics they are.")]
_AWAY_S = 2.0
_NICE = 10  # decisions come before their archive
_EVENTS = "events"
STATUS_EVERY_S = 2.0
VERSIONS_EVERY_S = 30.0


def register(app: typer.Typer) -> None:
    """Add the command group ``archive``."""
    group = typer.Typer(help="History as Parquet files by day.", no_args_is_help=True)
    group.command("run")(run)
    group.command("status")(status)
    group.command("verify")(verify)
    group.command("prune")(prune)
    group.command("sql")(sql)
    app.add_typer(group, name="archive")


def run(
    once: Annotated[
        bool, typer.Option("--once", help="Up to where the topics end now, then stop.")
    ] = False,
    world: _World = None,
    every: Annotated[
        float, typer.Option("--every", min=0.0, help="Seconds a record may wait for its file.")
    ] = 30.0,
    events: Annotated[
        bool, typer.Option("--events", help="The events topic as well as the other three.")
    ] = False,
    refill: Annotated[
        bool, typer.Option("--refill", help="With --once: archive again what is missing.")
    ] = False,
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", help="On loopback; 0 is a free port.")
    ] = 0,
    report: ReportFile = None,
) -> None:
    """Archive decisions, ledger and labels until SIGTERM or Ctrl-C. May be killed at any time.

    The versions on the control topic are kept in versions/ of the state folder. Without --once
    at low priority; metrics weir_archive_* at /metrics, and /healthz answers 503
    while archived rows cannot be proven. So does the part "archive" of the API's /readyz on the
    same machine say it, from archive/WORLD.json in the state folder.

    Report keys: world, rows (by topic), files, bytes, from, to, absent, merged, holes (topic,
    partition, first, last, cause, noticed_at), damaged, missing (by topic), seconds, per_s.
    Exit codes: 0 done, 1 a part failed, or archived rows are damaged or missing, 2 not the
    topics that were archived, 3 another one archives this world.
    """
    import os

    from risk.domain.clock import SystemClock
    from risk.domain.errors import BadConfiguration
    from risk.local.parts import resolve
    from risk.observability.logging import configure_logging
    from streams.archive import ARCHIVED, Archiver
    from streams.archive_store import archive_folder, open_archive
    from streams.topics import Topics

    if refill and not once:
        raise BadConfiguration("--refill: give --once as well")
    chosen = _settings(world)
    clock = SystemClock()
    configure_logging(clock, "archive")
    if not once:
        os.nice(_NICE)
    names = [*ARCHIVED, _EVENTS] if events else ARCHIVED
    with (
        resolve(chosen, ("kafka",), command="archive", say=_say) as settings,
        open_archive(archive_folder(settings.state, settings.world), names) as writer,
    ):
        archiver = Archiver(
            settings.kafka, Topics(settings.world), writer, clock, names, every, _say
        )
        if once:
            found = asyncio.run(_once(archiver, settings, refill=refill))
        else:
            found = asyncio.run(_follow(archiver, settings, clock, metrics_port))
    _write(report, found)
    typer.echo(
        f"{found.world}: {sum(found.rows.values())} rows in {found.files} files, {found.bytes} "
        f"bytes, in {found.seconds:.1f} s; {len(found.holes)} holes known"
    )
    gone = [f"{name}: {span}" for name, spans in found.missing.items() for span in spans]
    for line in [*found.damaged, *(f"{one} were archived and are gone" for one in gone)]:
        _say(f"NOT PROVEN {line}")
    if found.damaged or gone:
        raise typer.Exit(1)


def status(world: _World = None, report: ReportFile = None) -> None:
    """Say what is archived; nothing is proven. Report keys as of verify."""
    _examine(world, report, prove=False)


def verify(world: _World = None, report: ReportFile = None) -> None:
    """Prove every archived row, or name those that cannot be proven (exit code 1).

    Report keys: world, topics (rows, files, bytes, absent, from, to, following, pruned), damaged
    and missing (topic, partition, first, last, why, file), overlaps, strays, unfinished, holes.
    """
    _examine(world, report, prove=True)


def prune(
    older_than_days: Annotated[
        int, typer.Option("--older-than-days", min=1, help="Days (UTC) that ended before that.")
    ],
    world: _World = None,
    report: ReportFile = None,
) -> None:
    """Remove the oldest days of the archive, each byte of them proven first. Ends at what is not.

    Certificates in parity/ stay. What is gone is recorded, so that a later proof says RETENTION
    and not that something is missing. Not while an archiver runs.

    Report keys: world, before (day), pruned (topic, partition, first, last, rows, files, bytes,
    since, until, pruned_at), kept (why a partition was not pruned further). Exit codes: 0 done, 1
    something was kept because it cannot be proven, 3 an archiver runs.
    """
    from risk.domain.clock import SystemClock
    from streams.archive_prune import prune as remove
    from streams.archive_store import archive_folder, open_archive, topics_in

    chosen = _settings(world)
    root = archive_folder(chosen.state, chosen.world)
    topics = topics_in(root)
    if not topics:
        typer.echo(f"{chosen.world}: nothing is archived")
        return
    with open_archive(root, topics) as writer:
        found = remove(writer, chosen.world, topics, older_than_days, SystemClock().now_ms())
    _write(report, found)
    for one in found.pruned:
        typer.echo(f"{one.topic} {one.span}: {one.rows} rows to {one.until} removed")
    for line in found.kept:
        _say(f"KEPT {line}")
    typer.echo(f"{sum(one.rows for one in found.pruned)} rows older than {found.before} removed")
    if found.kept:
        raise typer.Exit(1)


def sql(world: _World = None) -> None:
    """Print the DuckDB views of the archive: decisions, decided, ledger, labels, events."""
    from streams.archive_store import archive_folder
    from streams.archive_views import history_sql

    chosen = _settings(world)
    typer.echo(history_sql(archive_folder(chosen.state, chosen.world)), nl=False)


async def _follow(archiver: Archiver, settings: Settings, clock: Clock, port: int) -> ArchiveReport:
    """Archive until told to stop, and say meanwhile how far it is."""
    from risk.cli.archive_status import ArchiveStatus
    from risk.scheduler import Scheduler
    from streams.metrics import metrics_port

    status = ArchiveStatus(archiver, settings, clock)
    async with (
        metrics_port(status.metrics, port, lambda: status.problem) as address,
        Scheduler() as work,
    ):
        _say(f"archiving world {settings.world}; {address}/metrics")
        work.every(STATUS_EVERY_S, "status", status.tell)
        work.every(VERSIONS_EVERY_S, "versions", lambda: _keep_versions(settings))
        found = await _work(archiver, once=False, refill=False)
    status.ended(found)
    return found


async def _once(archiver: Archiver, settings: Settings, *, refill: bool) -> ArchiveReport:
    found = await _work(archiver, once=True, refill=refill)
    await _keep_versions(settings)
    return found


async def _keep_versions(settings: Settings) -> None:
    """Keep what the control topic holds: a decision is made again with the versions it names."""
    from risk.versions.store import VersionStore
    from streams.control import Control
    from streams.topics import Topics

    control = Control(
        settings.kafka, Topics(settings.world), VersionStore(settings.state / "versions")
    )
    try:
        await control.load()
    finally:
        await control.close()


async def _work(archiver: Archiver, *, once: bool, refill: bool) -> ArchiveReport:
    """Archive until told to stop; a Kafka that stays away is waited for, except with ``once``."""
    import contextlib
    import signal

    from risk.domain.errors import Unavailable

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    while True:
        try:
            return await archiver.run(stop, once=once, refill=refill)
        except Unavailable as error:
            if once or stop.is_set():
                raise
            _say(f"{error}; trying again")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _AWAY_S)


def _examine(world: str | None, report: Path | None, *, prove: bool) -> None:
    from streams.archive_history import examine
    from streams.archive_store import archive_folder

    chosen = _settings(world)
    found = examine(archive_folder(chosen.state, chosen.world), prove=prove)
    _write(report, found)
    _tell(found)
    if not found.sound:
        raise typer.Exit(1)


def _tell(found: Examined) -> None:
    if not found.topics:
        typer.echo(f"{found.world}: nothing is archived; `weir archive run` does it")
    for topic, one in found.topics.items():
        typer.echo(
            f"{topic}: {one.rows} rows in {one.files} files, {one.bytes} bytes, "
            f"{one.since or '-'} to {one.until or '-'}"
        )
    for hole in found.holes:
        typer.echo(
            f"HOLE {hole.topic}: {hole.span} were never archived ({hole.cause}, {hole.noticed_at})"
        )
    for damage in (*found.damaged, *found.missing):
        typer.echo(f"NOT PROVEN {damage}")
    for overlap in found.overlaps:
        typer.echo(f"OVERLAP {overlap}")
    for stray in found.strays:
        typer.echo(f"not ours, not read: {stray}")


def _settings(world: str | None) -> Settings:
    from risk.settings import Settings

    given: dict[str, Any] = {} if world is None else {"world": world}
    return Settings(**given)


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _write(report: Path | None, found: Any) -> None:
    if report is None:
        return
    import msgspec

    report.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
