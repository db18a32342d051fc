"""Reads the topic of what is parked: each partition whole, by the process that owns it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener

from risk.domain.errors import Unavailable
from streams.admin import check_topics
from streams.parking import ParkedEvent, decode_parked
from streams.parking_lot import ParkingLot
from streams.reader import REQUEST_TIMEOUT_MS, STALLED_S, new_consumer, unavailable_as_error
from streams.topics import LIVE_WORLD, Topics

POLL_MS: Final = 200
POLL_RECORDS: Final = 2_000
FETCH_BYTES: Final = 256 * 1024
SESSION_MS: Final = 6_000  # after a kill the others take over so soon
GROUP: Final = "weir-parked"


class _Owner(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Who gets a partition reads it from its begin, since nothing is ever committed."""

    def __init__(self, lot: ParkingLot) -> None:
        self._lot = lot

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._lot.forget([place.partition for place in revoked])

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._lot.forget([place.partition for place in assigned])


class ParkingAttendant:
    """One turn after another: read what is new, retry what is due. Made by ``attending``."""

    def __init__(self, consumer: AIOKafkaConsumer, lot: ParkingLot) -> None:
        self._consumer = consumer
        self._lot = lot

    async def turn(self) -> None:
        """Raises Unavailable and what ``ParkingLot.turn`` raises; the next turn goes on."""
        async with unavailable_as_error():
            while await self._read():
                pass
            whole = await self._whole()
        await self._lot.turn(whole)

    async def _read(self) -> int:
        found = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=POLL_RECORDS)
        for records in found.values():
            for record in records:
                self._lot.take(record)
        return sum(len(records) for records in found.values())

    async def _whole(self) -> list[int]:
        """The owned partitions that were read to where they end now."""
        places = list(self._consumer.assignment())
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(places)
        return [
            place.partition
            for place in places
            if place in self._consumer.assignment()
            and await self._consumer.position(place) >= ends[place]
        ]


@asynccontextmanager
async def attending(
    bootstrap: str, topics: Topics, lot: ParkingLot
) -> AsyncIterator[ParkingAttendant]:
    """Joins the processes that share the partitions of the topic. Raises Unavailable."""
    world = topics.world
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=GROUP if world == LIVE_WORLD else f"{GROUP}.{world}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=SESSION_MS // 3,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    consumer.subscribe([topics.parked], listener=_Owner(lot))
    try:
        async with unavailable_as_error():
            await consumer.start()
        yield ParkingAttendant(consumer, lot)
    finally:
        await consumer.stop()


async def read_parked(bootstrap: str, topics: Topics) -> list[ParkedEvent]:
    """What waits now, the oldest first. Raises Unavailable, or BadConfiguration where this
    world has no topics."""
    held: dict[bytes, ParkedEvent] = {}
    await check_topics(bootstrap, topics)
    count = next(topic.partitions for topic in topics.all() if topic.name == topics.parked)
    places = [TopicPartition(topics.parked, number) for number in range(count)]
    async with unavailable_as_error():
        consumer = new_consumer(bootstrap, fetch_bytes=FETCH_BYTES)
        try:
            await consumer.start()
            ends = await consumer.end_offsets(places)
            for place in places:
                for record in await _records(consumer, place, ends[place]):
                    held.pop(record.key, None)
                    if record.value is not None:
                        held[record.key] = decode_parked(record.value)
        finally:
            await consumer.stop()
    return sorted(held.values(), key=lambda one: (one.parked_at, one.key))


async def _records(consumer: AIOKafkaConsumer, place: TopicPartition, end: int) -> list[Any]:
    """What compaction has kept of a partition; its last offset may be gone."""
    consumer.assign([place])
    await consumer.seek_to_beginning(place)
    found: list[Any] = []
    while await consumer.position(place) < end:
        records = await consumer.getmany(place, timeout_ms=int(STALLED_S * 1000))
        if not records:
            raise Unavailable("kafka", f"nothing comes from {place}")
        found += records[place]
    return found
