"""What `weir alerts run` does."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from risk.domain.clock import Clock
    from risk.settings import Settings
    from streams.alert_follower import Parts
    from streams.alert_state import StateFile
    from streams.publish import KafkaPublisher

AWAY_S: Final = 1.0  # between two tries while Kafka is away
LAST_TURNS: Final = 100  # when it is stopped: until nothing is left, but not for ever


def _parts(
    settings: Settings, engine: Engine, publisher: KafkaPublisher, file: StateFile, clock: Clock
) -> Parts:
    """What a follower works with; it begins now."""
    from features.catalogue import CATALOGUE, FEATURE_NAMES, catalogue_digest
    from risk.alerts.seen import Features
    from risk.bootstrap import shipped_book
    from risk.rules.schema import Schema
    from risk.rules.words import reserved_names
    from risk.storage.lists import SqlLists
    from risk.versions.store import VersionStore
    from streams.alert_follower import Parts
    from streams.control import Control
    from streams.list_outlet import list_desk
    from streams.topics import Topics

    topics, world = Topics(settings.world), settings.world
    control = Control(settings.kafka, topics, VersionStore(settings.state / "versions"), publisher)
    lists, names = SqlLists(engine, world), reserved_names(Schema.of(CATALOGUE))
    return Parts(
        settings.kafka, topics, control, publisher, file,
        Features(FEATURE_NAMES, catalogue_digest()), shipped_book(), 0,
        list_desk(control, lists, names, clock.now_ms, world),
    )  # fmt: skip


async def publish(
    settings: Settings, file: StateFile, clock: Clock, port: int, back_ms: int
) -> None:
    """Publish alerts and keep holds until told to stop; a Kafka that stays away is waited for."""
    import importlib.metadata

    from risk.domain.errors import Unavailable
    from risk.lists.errors import BadList
    from risk.observability.metrics import Metrics
    from risk.storage.sql import open_store
    from streams.admin import ensure_topics
    from streams.alert_follower import AlertFollower
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
    engine = open_store(settings)
    parts = _parts(settings, engine, publisher, file, clock)
    follower = AlertFollower(replace(parts, back_ms=back_ms), clock, metrics)
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
                except (Unavailable, BadList) as error:
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
        engine.dispose()
