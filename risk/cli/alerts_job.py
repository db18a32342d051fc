"""What `weir alerts run` does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from risk.domain.clock import Clock
    from risk.settings import Settings
    from streams.alert_state import StateFile

AWAY_S: Final = 1.0  # between two tries while Kafka is away
LAST_TURNS: Final = 100  # when it is stopped: until nothing is left, but not for ever


async def publish(
    settings: Settings, file: StateFile, clock: Clock, port: int, back_ms: int
) -> None:
    """Publish alerts until told to stop; a Kafka that stays away is waited for."""
    import importlib.metadata

    from features.catalogue import FEATURE_NAMES, catalogue_digest
    from risk.alerts.seen import Features
    from risk.bootstrap import shipped_book
    from risk.domain.errors import Unavailable
    from risk.observability.metrics import Metrics
    from risk.versions.store import VersionStore
    from streams.admin import ensure_topics
    from streams.alert_follower import AlertFollower, Parts
    from streams.control import Control
    from streams.metrics import metrics_port
    from streams.publish import KafkaPublisher
    from streams.topics import Topics

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    topics, metrics = Topics(settings.world), Metrics()
    metrics.set("weir_build_info", 1, version=importlib.metadata.version("weir"), process="alerts")
    await ensure_topics(settings.kafka, topics)
    publisher = KafkaPublisher(settings.kafka, topics)
    control = Control(settings.kafka, topics, VersionStore(settings.state / "versions"))
    parts = Parts(
        settings.kafka, topics, control, publisher, file,
        Features(FEATURE_NAMES, catalogue_digest()), shipped_book(), back_ms,
    )  # fmt: skip
    follower = AlertFollower(parts, clock, metrics)
    problem = ""
    try:
        async with metrics_port(metrics, port, lambda: problem or None) as address:
            typer.echo(f"alerts of world {settings.world}; {address}/metrics", err=True)
            left = LAST_TURNS
            while left:
                last = stop.is_set()
                try:
                    seen = await follower.turn()
                    problem = ""
                except Unavailable as error:
                    problem = str(error)
                    typer.echo(f"{error}; trying again", err=True)
                    if last:
                        return
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(stop.wait(), AWAY_S)
                    continue
                if last:
                    left = left - 1 if seen else 0
        follower.save()
    finally:
        await follower.close()
        await publisher.close()
