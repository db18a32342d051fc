"""Puts raw records of any shape into the topics of a world, and reads all of a topic back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.topics import Topics
from tests.support.stream_records import NOW_MS

Raw = tuple[int, int, int, int, bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]


class Sent(NamedTuple):
    """A record to be produced. ``topic`` is the short name."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    at_ms: int = NOW_MS


async def send(kafka: str, topics: Topics, records: Sequence[Sent]) -> None:
    """Produce ``records``, in order within a partition, confirmed."""
    await led(kafka, {TopicPartition(getattr(topics, one.topic), one.partition) for one in records})
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        waiting = [
            await producer.send(
                getattr(topics, one.topic), one.value, one.key, one.partition, one.at_ms,
                list(one.headers),
            )
            for one in records
        ]  # fmt: skip
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


async def led(kafka: str, places: set[TopicPartition]) -> None:
    """Wait until the broker leads partitions that were only just made."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        await consumer.end_offsets(list(places))
    finally:
        await consumer.stop()


async def everything(kafka: str, topic: str, partitions: int = 8) -> list[Raw]:
    """All that a topic holds: partition, offset, timestamp and its type, key, value, headers."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        ends = await consumer.end_offsets(places)
        consumer.assign(places)
        await consumer.seek_to_beginning()
        found: list[Raw] = []
        async with asyncio.timeout(60):
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    found += [
                        (
                            one.partition, one.offset, one.timestamp, one.timestamp_type, one.key,
                            one.value, tuple(one.headers),
                        )
                        for one in records
                    ]  # fmt: skip
        return sorted(found, key=lambda one: one[:2])
    finally:
        await consumer.stop()
