"""The gate of what goes live: the features that it needs cover the decisions it is judged by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from risk.settings import Settings

BACKTEST_DAYS = 30
_DAY_MS = 24 * 60 * 60 * 1000


def require_covered(settings: Settings, names: Sequence[str], days: int) -> str | None:
    """Raise BadConfiguration unless every feature covers the decisions of the last ``days``.

    In a replayed world the wall clock says nothing, so all of it counts. Reads the topics where
    Kafka is known or runs, else the archive; None where there is neither, so nothing was decided
    that could be looked at. Returns what was read. Blocking.
    """
    import asyncio

    from features.backfill import Wanted
    from features.coverage import require_complete
    from risk.cli.backfill import coverage_of, stores_of
    from risk.domain.clock import SystemClock
    from risk.domain.limits import TIME_MS_MAX, TIME_MS_MIN
    from risk.local import parts
    from streams.archive_store import archive_folder
    from streams.topics import LIVE_WORLD

    live = parts.running(settings.state)
    kafka = settings.kafka or (live.kafka if live is not None else "")
    archive = not kafka
    if archive and not archive_folder(settings.state, settings.world).is_dir():
        return None
    if kafka and not asyncio.run(has_topics(kafka, settings.world)):
        return None
    today_ms = SystemClock().now_ms() // _DAY_MS * _DAY_MS
    wanted = Wanted(TIME_MS_MIN, TIME_MS_MAX - 1)
    if settings.world == LIVE_WORLD:
        wanted = Wanted(today_ms - days * _DAY_MS, today_ms + _DAY_MS)
    ready = settings.model_copy(update={"kafka": kafka})
    stores = stores_of(settings, names)
    require_complete(asyncio.run(coverage_of(ready, stores, wanted, archive=archive)))
    return "archive" if archive else "topics"


async def has_topics(kafka: str, world: str) -> bool:
    """Whether any worker has ever made the topics of this world."""
    from risk.domain.errors import BadConfiguration
    from streams.admin import check_topics
    from streams.topics import Topics

    try:
        await check_topics(kafka, Topics(world))
    except BadConfiguration:
        return False
    return True
