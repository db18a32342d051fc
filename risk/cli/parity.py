"""`weir parity`: every vector, score and judgement of a range made again from the topics."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import Archive

if TYPE_CHECKING:
    from features.proof.certificate import JudgementReport, ParityReport
    from risk.domain.clock import Clock
    from risk.settings import Settings

_Report = Annotated[Path | None, typer.Option("--report", help="Write the certificate as JSON.")]
_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_From = Annotated[
    str | None, typer.Option("--from", help="RFC 3339, inclusive; decided_at. Default: all.")
]
_To = Annotated[str | None, typer.Option("--to", help="RFC 3339, exclusive. Default: all.")]

_JudgeEvery = Annotated[
    int,
    typer.Option(
        "--judge-every", min=0, help="Judge one decision in so many again; 1: all, 0: none."
    ),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("parity")(parity)


def parity(
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    archive: Archive = False,
    judge_every: _JudgeEvery = 1,
    report: _Report = None,
) -> None:
    """Rebuild every vector and score of a range, bit for bit, from topics or archive alone.

    Every decision is judged again as well, by the versions that it names: outcome, reasons and
    each byte must come out as they were published.

    Exit codes: 0 all equal, 1 something differs or a record is damaged, 2 bad input, 4 nothing
    differs but not everything could be proven (also where the range is empty).

    Report keys: from, to, verdict (equal, different, unprovable, empty), checked, equal, unequal,
    unprovable (cause to count), first_difference (payment_id, tenant, feature, served, rebuilt,
    decision, records), first_unprovable (by cause: payment_id, decision, place, means), damaged,
    first_damaged, missing (topic, partition, first, last), records, void, fallbacks, repeated,
    ranges (topic, partition, first, end, epoch), history_from, digests (catalogue, models),
    judgements (checked, equal, unequal, unprovable by cause, every, missing; null with
    --judge-every 0), archive_damages (what of the archive cannot be read), seconds, per_s.
    """
    import asyncio

    from risk.cli.proofs import leave, parts_of, range_ms, settings_of, write_report
    from risk.domain.clock import SystemClock

    settings, (from_ms, to_ms) = settings_of(world), range_ms(begin, end)
    clock = SystemClock()
    with parts_of(settings, "parity", archive=archive) as ready:
        found, damages, seconds = asyncio.run(
            _prove(ready, (from_ms, to_ms), judge_every, clock, archive=archive)
        )
    write_report(report, {**_timed(found, seconds), "archive_damages": damages})
    for line in told(found):
        typer.echo(line)
    for damage in damages:
        typer.echo(f"  damaged in the archive: {damage}")
    typer.echo(f"{found.checked} payments in {seconds:.1f} s")
    leave(found.verdict)


async def _prove(
    settings: Settings,
    range_ms: tuple[int, int],
    judge_every: int,
    clock: Clock,
    *,
    archive: bool,
) -> tuple[ParityReport, list[str], float]:
    """The certificate, what of the archive is damaged, and the seconds that it took."""
    from features.judging import Judging
    from features.parity import Parity
    from features.proof.rebuilder import warm
    from risk.cli.proofs import damages_of, history_of, models_of, rates_of, shown
    from risk.cli.versions_at_hand import VersionsAtHand

    history = await history_of(settings, *range_ms, archive=archive)
    extent = history.extent
    warm()  # only now: who names a Kafka that is not there is told so at once
    began_s = clock.monotonic_s()
    check = Parity(extent, rates_of(settings), models_of(settings), *range_ms)
    versions = VersionsAtHand(settings, kafka=not archive)
    judging = Judging(versions, *range_ms, judge_every) if judge_every else None
    try:
        with shown("proving", sum(span.end - span.first for span in extent.spans)) as advance:
            async with aclosing(history.chunks()) as chunks:
                async for chunk in chunks:
                    check.take(chunk)
                    if judging is not None:
                        await judging.take(chunk)
                    advance(len(chunk))
    finally:
        await versions.close()
    report = await check.finish(history)
    if judging is not None:
        report = judging.added_to(report)
    return report, damages_of(history), clock.monotonic_s() - began_s


def told(found: ParityReport) -> list[str]:
    """The certificate in a few lines, the first difference by its name."""
    lines = [
        f"{found.verdict}: {found.checked} checked, {found.equal} equal bit for bit,"
        f" {found.unequal} unequal, {sum(found.unprovable.values())} unprovable"
    ]
    first = found.first_difference
    if first is not None:
        lines.append(
            f"first difference: payment {first.payment_id}, {first.feature or 'its bytes'}:"
            f" served {first.served}, rebuilt {first.rebuilt}; it saw {len(first.records)} records"
        )
    if found.judgements is not None:
        lines += _judged(found.judgements)
    for cause, count in found.unprovable.items():
        one = found.first_unprovable[cause]
        where = ""
        if one.place is not None:
            where = f" ({one.place.kind} {one.place.identifier} at {one.place.sequence})"
        lines.append(f"  {cause} {count}: {one.means} First: {one.payment_id}{where}")
    lines += [
        f"  damaged: {one.origin.topic}:{one.origin.partition}@{one.origin.offset}: {one.reason}"
        for one in found.first_damaged[:5]
    ]
    lines += [
        f"  missing: {one.topic}:{one.partition} offsets {one.first} to {one.last}"
        for one in found.missing[:5]
    ]
    if found.verdict == "empty":
        lines.append("  nothing was decided in this range, so nothing is proven")
    return lines


def _judged(found: JudgementReport) -> list[str]:
    of = "" if found.every == 1 else f" (one decision in {found.every})"
    lines = [
        f"judged again{of}: {found.checked} checked, {found.equal} equal byte for byte,"
        f" {found.unequal} unequal, {sum(found.unprovable.values())} unprovable"
    ]
    lines += [f"  {cause} {count}" for cause, count in found.unprovable.items()]
    return lines + [f"  missing: {one}" for one in found.missing]


def _timed(found: ParityReport, seconds: float) -> dict[str, object]:
    import msgspec

    whole: dict[str, object] = msgspec.to_builtins(found)
    return {**whole, "seconds": seconds, "per_s": found.checked / seconds if seconds else 0.0}
