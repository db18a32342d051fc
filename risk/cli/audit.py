"""`weir audit-feature` and `weir leaks`: what made a value; that nothing came from the future."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated

import typer

from risk.cli.proofs import Archive, ReportFile

if TYPE_CHECKING:
    from features.audit import AuditReport, Examined
    from features.leaks import LeaksReport
    from features.proof.in_tiles import Folded
    from risk.settings import Settings

_World = Annotated[str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")]
_From = Annotated[
    str | None, typer.Option("--from", help="RFC 3339, inclusive; decided_at. Default: all.")
]
_To = Annotated[str | None, typer.Option("--to", help="RFC 3339, exclusive. Default: all.")]
_SHOWN = 40


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("audit-feature")(audit_feature)
    app.command("leaks")(leaks)


def audit_feature(
    payment_id: Annotated[str, typer.Argument(show_default=False)],
    name: Annotated[str, typer.Argument(metavar="FEATURE", show_default=False)],
    tenant: Annotated[str, typer.Option(help="The payment's tenant.")] = "main",
    world: _World = None,
    archive: Archive = False,
    report: ReportFile = None,
) -> None:
    """Show the exact events that made a feature of a decided payment, and those left out and why.

    Report keys: payment_id, tenant, feature, sentence, steps, served, rebuilt, equal, inexact,
    decided_at, decision (topic, partition, offset), unprovable, gap, before_tail, tiles (what
    records before the tails add, by step), records (log, sequence, age_ms, counted_in, left_out,
    origin, says: event_id, event_key, kind, occurred_at, arrived_at, amount_minor, currency),
    folded (the same of the records that count through tiles, the newest 1,000), folded_count.
    Exit codes: 0 equal, 1 another value was served, 2 no such payment or feature, 4 the value
    cannot be made again.
    """
    import asyncio

    from risk.cli.proofs import UNPROVABLE, parts_of, settings_of, write_report

    settings = settings_of(world)
    with parts_of(settings, "audit-feature", archive=archive) as ready:
        found = asyncio.run(_examine(ready, (tenant, payment_id), name, archive=archive))
    write_report(report, found)
    typer.echo(
        f"{found.feature} of payment {found.payment_id}: served {found.served},"
        f" rebuilt {found.rebuilt}{' (inexact)' if found.inexact else ''}"
    )
    typer.echo(found.sentence)
    for one in found.records[-_SHOWN:]:
        typer.echo(f"  {_line(one)}")
    hidden = len(found.records) - _SHOWN
    if hidden > 0:
        typer.echo(f"  and {hidden} older places; --report FILE has all of them")
    for step, value in found.tiles.items():
        typer.echo(f"  before the tail, by tiles: {value} in {step}")
    for folded in found.folded[-_SHOWN:]:
        typer.echo(f"  ~ {_named(folded)}")
    if found.folded_count > _SHOWN:
        typer.echo(f"  of {found.folded_count} in tiles; --report FILE has more of them")
    if found.unprovable:
        typer.echo(f"unprovable: {found.unprovable}")
        raise typer.Exit(UNPROVABLE)
    if not found.equal:
        raise typer.Exit(1)


def leaks(
    begin: _From = None,
    end: _To = None,
    world: _World = None,
    archive: Archive = False,
    report: ReportFile = None,
) -> None:
    """Prove that no served vector used a record that arrived after its decision, or name it.

    Report keys: from, to, verdict (equal, different, unprovable, empty), checked, clean, leaking,
    unequal, unprovable (cause to count), first_leak (payment_id, decision, decided_at,
    published_at, record, arrived_at, says), first_unequal, first_unprovable, first_damaged,
    missing, ranges. Exit codes: 0 none, 1 a leak or a vector not made from what it saw, 2 bad
    input, 4 not everything could be proven (also where the range is empty).
    """
    import asyncio

    from risk.cli.proofs import leave, parts_of, range_ms, settings_of, write_report

    settings, (from_ms, to_ms) = settings_of(world), range_ms(begin, end)
    with parts_of(settings, "leaks", archive=archive) as ready:
        found = asyncio.run(_search(ready, from_ms, to_ms, archive=archive))
    write_report(report, found)
    typer.echo(
        f"{found.checked} vectors checked: {found.clean} clean, {found.leaking} leaking,"
        f" {found.unequal} unequal, unprovable {found.unprovable or 0}"
    )
    first = found.first_leak
    if first is not None:
        what = first.says.event_id if first.says else str(first.record)
        typer.echo(
            f"first leak: payment {first.payment_id}, out at {first.published_at}, used {what},"
            f" which arrived at {first.arrived_at}"
        )
    if found.first_unequal is not None:
        typer.echo(f"first vector not made from what it saw: payment {found.first_unequal}")
    for one in found.first_damaged[:5]:
        typer.echo(f"  damaged: {one.origin}: {one.reason}")
    leave(found.verdict)


async def _examine(
    settings: Settings, payment: tuple[str, str], name: str, *, archive: bool
) -> AuditReport:
    from features.audit import Audit, examine
    from risk.cli.proofs import history_of, rates_of

    tenant, payment_id = payment
    history = await history_of(settings, archive=archive)
    audit = Audit(history.extent, rates_of(settings), payment_id, name, tenant)
    return await examine(history, audit)


async def _search(settings: Settings, from_ms: int, to_ms: int, *, archive: bool) -> LeaksReport:
    from features.leaks import Leaks
    from risk.cli.proofs import history_of, rates_of, shown

    history = await history_of(settings, from_ms, to_ms, archive=archive)
    extent = history.extent
    search = Leaks(extent, rates_of(settings), from_ms, to_ms)
    with shown("searching", sum(span.end - span.first for span in extent.spans)) as advance:
        async with aclosing(history.chunks()) as chunks:
            async for chunk in chunks:
                search.take(chunk)
                advance(len(chunk))
    return await search.finish(history)


def _named(one: Folded) -> str:
    """A record in a tile as a line of text."""
    said, at = one.says, one.origin
    money = f" {said.amount_minor} {said.currency}" if said.amount_minor is not None else ""
    what = f"{said.kind} {said.event_id} at {said.occurred_at}{money}"
    return f"{one.log} {one.sequence} {what} ({at.topic}:{at.partition}@{at.offset}), in a tile"


def _line(one: Examined) -> str:
    """One place as a line of text."""
    head = f"{one.log} {one.sequence}"
    if one.says is None or one.origin is None:
        return f"{head}: {'; '.join(sorted(set(one.left_out.values())))}"
    said, at = one.says, one.origin
    money = f" {said.amount_minor} {said.currency}" if said.amount_minor is not None else ""
    what = f"{said.kind} {said.event_id} at {said.occurred_at}{money}"
    where = f"{at.topic}:{at.partition}@{at.offset}"
    why = "" if one.counted_in else ": " + "; ".join(sorted(set(one.left_out.values())))
    return f"{'+' if one.counted_in else '-'} {head} {what} ({where}){why}"
