"""The worlds of the stream benchmark: topics full of payments, logs full of their past."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from aiokafka.partitioner import murmur2

from benchmarks.common_parts import Parts
from benchmarks.common_payments import Draw, Population
from benchmarks.common_tails import fill, logs, open_world
from models.bundle import Bundle
from risk.domain.clock import SystemClock
from risk.domain.decoding import encode_event
from risk.settings import Settings
from risk.tables.load import exchange_rates
from streams.publish import KafkaPublisher, Outgoing
from streams.topics import Topics

CHUNK: Final = 4_000
SPACING_MS: Final = 0.25  # between two payments, by their own clocks


@dataclass(frozen=True, slots=True)
class Size:
    """How large a world is. ``per_account`` payments of the past give 72 records a tail."""

    payments: int
    accounts: int = 20_000
    per_account: float = 26.5
    longest: int | None = None  # records that a log holds at most when measuring begins
    entities: int = 5  # 2: account and merchant only
    rules: int = 10
    partitions: int = 8


@dataclass(frozen=True, slots=True)
class Scene:
    """A world that is ready: an open epoch, warm logs, payments in the topic or to be sent."""

    settings: Settings
    topics: Topics
    size: Size
    bodies: list[tuple[bytes, bytes]]  # (key, event), in order

    @property
    def ids(self) -> list[str]:
        """The payments' ids, in order."""
        return [payment_id(self.topics.world, place) for place in range(self.total)]

    @property
    def total(self) -> int:
        return len(self.bodies)


class Scenes:
    """Makes worlds on given parts. Redis is emptied before each, so none pays for another."""

    def __init__(self, parts: Parts, bundle: Bundle, size: Size, seed: int = 1) -> None:
        self._parts = parts
        self._bundle = bundle
        self._size = size
        self._seed = seed
        outer = parts.settings
        self._rates = exchange_rates(outer.rates, outer.base_currency)
        self._population = Population(seed, size.accounts)

    def make(self, name: str, number: int) -> Scene:
        """The world ``name``: open, remembered, and with payments of their own ``number``."""
        size = self._size
        settings = self._parts.in_world(name)
        flush(settings.redis)
        self._parts.serve(self._bundle, name)
        epoch = asyncio.run(open_world(settings))
        now_ms = SystemClock().now_ms()
        past = self._population.past(self._seed, size.per_account, now_ms)
        held = logs(self._population, past, self._seed, self._rates, size.longest)
        fill(settings.redis, name, epoch, held)
        bodies = list(self._payments(name, number, now_ms))
        return Scene(settings, Topics(name), size, bodies)

    def _payments(self, world: str, number: int, now_ms: int) -> Iterator[tuple[bytes, bytes]]:
        rng = np.random.default_rng((self._seed, 5, number))
        count = self._size.payments
        times = now_ms + (np.arange(count) * SPACING_MS).astype(np.int64)
        drawn: Draw = self._population.draw(rng, times)
        for place in range(count):
            event = self._population.payment(drawn, place, payment_id(world, place))
            if self._size.entities == 2:
                event = msgspec.structs.replace(event, card=None, device=None, ip=None)
            yield f"main:{event.account}".encode(), encode_event(event)


def payment_id(world: str, place: int) -> str:
    """The id of the payment at ``place``."""
    return f"pay_{world}_{place:08d}"


async def send_all(scene: Scene) -> None:
    """Put every payment into the events topic."""
    settings, topics = scene.settings, scene.topics
    async with KafkaPublisher(settings.kafka, topics) as publisher:
        partitions = publisher.partitions(topics.events)
        for start in range(0, scene.total, CHUNK):
            await publisher.deliver(
                [
                    Outgoing(topics.events, int(murmur2(key) & 0x7FFFFFFF) % partitions, key, body)
                    for key, body in scene.bodies[start : start + CHUNK]
                ]
            )


def flush(redis_url: str) -> None:
    """Empty Redis."""
    client = _client(redis_url)
    try:
        client.flushall()
    finally:
        client.close()


def set_fsync(redis_url: str, policy: str) -> None:
    """How Redis keeps what it wrote: ``always`` as Weir sets it, ``everysec`` as Redis does."""
    client = _client(redis_url)
    try:
        client.config_set("appendfsync", policy)
    finally:
        client.close()


def _client(redis_url: str) -> Any:
    from redis import Redis

    return Redis.from_url(redis_url)
