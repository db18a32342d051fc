"""`weir rules guard`: rolls a fresh book back by itself when a guardrail is broken."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

if TYPE_CHECKING:
    from risk.books.desk import BookDesk
    from risk.books.guardrails import Limits
    from risk.settings import Settings
    from risk.versions.version import Live

GUARD = "weir rules guard"
_BACK_RECORDS = 2_000
_POLL_MS = 1_000


class Broken(NamedTuple):
    """A guardrail is broken: the digest of the live book, and how."""

    book: str
    reason: str


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
    from risk.cli.proofs import parts_of, settings_of
    from risk.cli.rules_desk import with_desk
    from risk.domain.clock import SystemClock

    end_ms = SystemClock().now_ms() + round(seconds * 1000) if seconds else None
    limits = Limits(payments_min=payments_min)
    with parts_of(settings_of(world), GUARD.removeprefix("weir ")) as settings:
        while why := asyncio.run(_watched(settings, limits, end_ms)):
            typer.echo(with_desk(world, partial(_rolled_back, why)))


async def _rolled_back(why: Broken, desk: BookDesk) -> str:
    """Take back the book that broke a guardrail, unless somebody was faster."""
    pointer = await desk.library.pointer()
    if pointer is None or pointer.digest != why.book:
        return f"book {why.book[:12]} is not live any more"
    live: Live = await desk.roll_back("", GUARD, why.reason, "guardrail")
    return f"book {live.previous[:12]} is rolled back to {live.digest[:12]}: {why.reason}"


async def _watched(settings: Settings, limits: Limits, end_ms: int | None) -> Broken | None:
    """Which book must go, and why, as soon as it must; None at ``end_ms``."""
    from risk.books.watch import Watch
    from risk.bootstrap import shipped_book
    from risk.domain.clock import SystemClock
    from risk.versions.store import VersionStore
    from streams.admin import ensure_topics
    from streams.control import Control
    from streams.decisions_tail import DecisionsTail
    from streams.topics import Topics

    topics, clock, watch = Topics(settings.world), SystemClock(), Watch(limits)
    shipped = shipped_book().digest()
    await ensure_topics(settings.kafka, topics)
    tail = DecisionsTail(settings.kafka, topics, _BACK_RECORDS)
    control = Control(settings.kafka, topics, VersionStore(settings.state / "versions"))
    try:
        while end_ms is None or clock.now_ms() < end_ms:
            for body, at_ms in await tail.poll(_POLL_MS):
                watch.saw(body, at_ms)
            await control.look()
            live = control.live.get("book")
            why = watch.verdict(live, shipped, clock.now_ms())
            if live is not None and why:
                return Broken(live.digest, why)
    finally:
        await tail.close()
        await control.close()
    return None
