"""`weir rules guard`: rolls a fresh book back by itself when a guardrail is broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from risk.books.guardrails import Limits
    from risk.cli.rules_desk import Desk
    from risk.settings import Settings
    from risk.versions.version import Live

GUARD = "weir rules guard"
_BACK_RECORDS = 2_000
_POLL_MS = 1_000


def guard(
    seconds: Annotated[float, typer.Option(min=0, help="End after so long; 0: never.")] = 0,
    payments_min: Annotated[
        int, typer.Option(min=1, help="Decisions of the fresh book before anything is said.")
    ] = 200,
    world: Annotated[
        str | None, typer.Option("--world", help="Another world than WEIR_WORLD.")
    ] = None,
) -> None:
    """Watch block rate, review load, good payments stopped and latency of a fresh book.

    One service a world. Exit codes: 0 ended, 1 Kafka or SQL does not answer.
    """
    import asyncio

    from risk.books.guardrails import Limits
    from risk.cli.rules_desk import desk_of
    from risk.domain.clock import SystemClock

    end_ms = SystemClock().now_ms() + round(seconds * 1000) if seconds else None
    while True:
        with desk_of(world) as desk:
            limits = Limits(payments_min=payments_min)
            why = asyncio.run(_watched(desk.settings, limits, end_ms))
            if not why:
                return
            _roll_back(desk, why)


def _roll_back(desk: Desk, why: str) -> None:
    from risk.bootstrap import shipped_book

    pointer = desk.live()
    if pointer is None:
        return
    book = desk.known_book(pointer.previous or shipped_book().digest())
    live: Live = desk.make_live(book, GUARD, "guardrail", why)
    typer.echo(f"book {live.previous[:12]} is rolled back to {live.digest[:12]}: {why}")


async def _watched(settings: Settings, limits: Limits, end_ms: int | None) -> str:
    """Why the live book must go, as soon as it must; "" at ``end_ms``."""
    from risk.books.watch import Watch
    from risk.bootstrap import shipped_book
    from risk.domain.clock import SystemClock
    from risk.versions.store import VersionStore
    from streams.control import Control
    from streams.decisions_tail import DecisionsTail
    from streams.topics import Topics

    topics, clock, watch = Topics(settings.world), SystemClock(), Watch(limits)
    shipped = shipped_book().digest()
    tail = DecisionsTail(settings.kafka, topics, _BACK_RECORDS)
    control = Control(settings.kafka, topics, VersionStore(settings.state / "versions"))
    try:
        while end_ms is None or clock.now_ms() < end_ms:
            for body, at_ms in await tail.poll(_POLL_MS):
                watch.saw(body, at_ms)
            await control.look()
            why = watch.verdict(control.live.get("book"), shipped, clock.now_ms())
            if why:
                return why
    finally:
        await tail.close()
        await control.close()
    return ""
