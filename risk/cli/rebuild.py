"""`weir rebuild`: an empty or half-empty Redis filled again from the topics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import ReportFile

if TYPE_CHECKING:
    from risk.settings import Settings

_Archive = Annotated[
    bool, typer.Option("--archive", help="Read the archive too, where retention has passed.")
]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rebuild")(rebuild)


def rebuild(world: _World = None, archive: _Archive = False, report: ReportFile = None) -> None:
    """Put back into Redis all that the topics tell: logs, receipts, unfinished claims.

    Running doors wait until it is done, and join the epoch that it opens; nothing is decided
    meanwhile. Run it again after an interruption, it goes on. Records go to their recorded
    sequences, and what stands is not replaced. With --archive the offsets that Kafka does not
    keep any more are read from the archive; repeat the flag after an interruption.

    Report keys: world, archive, records, restored, void, resumed, epoch, seconds, per_s, logs,
    digest_before, digest_after (of all logs), unreadable (records that Weir did not write),
    missing (topic, partition, first, last: offsets that are nowhere), damaged (what of the
    archive cannot be read).
    Exit codes: 0 done, 1 a part does not answer or a record cannot be read, 2 bad input (the
    exchange rates of a record are not in the state folder), 4 done, but records are missing.
    """
    import asyncio

    from risk.cli.proofs import settings_of, write_report
    from risk.local import parts

    settings = settings_of(world)
    with parts.resolve(settings, ("kafka", "redis"), command="rebuild") as ready:
        found = asyncio.run(_rebuild(ready, archive=archive))
    write_report(report, found)
    typer.echo(
        f"{found['restored']} of {found['records']} records put back in {found['seconds']:.1f} s"
        f" ({found['per_s']:.0f}/s); {found['logs']} logs, epoch {found['epoch']}"
    )
    same = found["digest_before"] == found["digest_after"]
    typer.echo(f"digest {found['digest_after']}{' as before' if same else ''}")
    for name in ("unreadable", "damaged", "missing"):
        lines = found[name]
        assert isinstance(lines, list)
        for line in lines[:5]:
            typer.echo(f"  {name}: {_text(line)}", err=True)
    if found["unreadable"]:
        raise typer.Exit(1)
    if found["missing"]:
        typer.echo(_PARTLY, err=True)
        raise typer.Exit(4)


_PARTLY = (
    "What stood at these offsets is not in Redis: payments that see there are decided on a"
    " shorter past, and say so. Where an archive has them, run `weir rebuild --archive`."
)


def _text(line: object) -> str:
    """One line of the report for people."""
    if isinstance(line, dict):
        return f"{line['topic']}:{line['partition']} offsets {line['first']} to {line['last']}"
    return str(line)


async def _rebuild(settings: Settings, *, archive: bool) -> dict[str, object]:
    from features.connection import Connection
    from features.keys import Keys
    from features.log_digest import redis_digest
    from features.recovery import Recovery
    from risk.cli.proofs import history_of, rates_of, shown
    from risk.domain.clock import SystemClock
    from streams.archive_store import archive_folder
    from streams.publish import KafkaPublisher
    from streams.topics import Topics, redis_prefix
    from streams.truth import KafkaTruth
    from streams.truth_whole import WholeTruth

    topics, keys, clock = Topics(settings.world), Keys(redis_prefix(settings.world)), SystemClock()
    spans = (await history_of(settings)).extent.spans
    connection = Connection(settings.redis)
    read = 0
    try:
        await connection.refuse_cluster()
        async with KafkaPublisher(settings.kafka, topics) as publisher:
            folder = archive_folder(settings.state, settings.world) if archive else None
            truth = WholeTruth(KafkaTruth(settings.kafka, topics, publisher), folder)
            recovery = Recovery(connection, keys, truth, rates_of(settings))
            before = await redis_digest(connection, keys)
            began_s = clock.monotonic_s()
            with shown(
                "rebuilding", sum(span.end - (0 if archive else span.first) for span in spans)
            ) as advance:

                def told(count: int) -> None:
                    nonlocal read
                    read += count
                    advance(count)

                done = await recovery.rebuild(told)
            seconds = clock.monotonic_s() - began_s
            await recovery.close()
        after = await redis_digest(connection, keys)
    finally:
        await connection.close()
    return {
        "world": settings.world,
        "archive": archive,
        "records": read,
        "restored": done.restored,
        "void": done.void,
        "resumed": done.resumed,
        "epoch": done.epoch,
        "seconds": seconds,
        "per_s": read / seconds if seconds else 0.0,
        "logs": after.logs,
        "digest_before": before.hex,
        "digest_after": after.hex,
        "unreadable": done.unreadable,
        "missing": [gap._asdict() for gap in truth.missing],
        "damaged": list(truth.damages),
    }
