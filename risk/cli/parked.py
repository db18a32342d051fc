"""`weir parked list`: labels and outcomes that wait for their payment to be known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streams.parking import ParkedEvent

_SHOWN = 20
_DAY_MS = 24 * 60 * 60 * 1000


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="Labels and outcomes whose payment is not known yet.", no_args_is_help=True
    )
    group.command("list")(list_parked)
    app.add_typer(group, name="parked")


def list_parked(
    world: Annotated[str | None, typer.Option(help="Another world than WEIR_WORLD.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the result as JSON.")] = None,
) -> None:
    """Show what waits, the oldest first; a running worker retries it.

    Each becomes a dead letter UNRESOLVED_PAYMENT after WEIR_PARKED_DAYS (7).

    Report keys: parked (how many), oldest (parked_at, or null), events (tenant, event_key,
    payment_id, door, arrived_at, parked_at, gives_up_at, source). Exit codes: 0 ok, 1 Kafka does
    not answer, 2 bad input.
    """
    import asyncio

    from risk.cli.proofs import parts_of, settings_of, write_report
    from streams.parking_reader import read_parked
    from streams.topics import Topics

    settings = settings_of(world)
    with parts_of(settings, "parked list") as ready:
        found = asyncio.run(read_parked(ready.kafka, Topics(ready.world)))
    window_ms = round(settings.parked_days * _DAY_MS)
    events = [_told(one, window_ms) for one in found]
    oldest = found[0].parked_at if found else None
    write_report(report, {"parked": len(found), "oldest": oldest, "events": events})
    typer.echo(f"{len(found)} wait for their payment")
    for one in events[:_SHOWN]:
        typer.echo(
            f"  {one['event_key']} of payment {one['payment_id']}: since {one['parked_at']},"
            f" gives up at {one['gives_up_at']}"
        )
    if len(events) > _SHOWN:
        typer.echo(f"  and {len(events) - _SHOWN} newer ones; --report FILE has all of them")


def _told(one: ParkedEvent, window_ms: int) -> dict[str, Any]:
    from risk.domain.times import rfc3339

    names = ("tenant", "event_key", "payment_id", "door", "arrived_at", "parked_at", "source")
    return {name: getattr(one, name) for name in names} | {
        "gives_up_at": rfc3339(one.parked_ms + window_ms)
    }
