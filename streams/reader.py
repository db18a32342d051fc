"""Reads records at given places, outside any consumer group."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from risk.domain.errors import Unavailable
from streams.batch import Record

REQUEST_TIMEOUT_MS: Final = 10_000
STALLED_S: Final = 15.0  # no record for this long although the end is not reached


@asynccontextmanager
async def unavailable_as_error() -> AsyncIterator[None]:
    """Raise what Kafka's client raises as Unavailable("kafka", ...)."""
    try:
        yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable("kafka", f"{type(error).__name__}: {error}") from error


def new_consumer(bootstrap: str, *, fetch_bytes: int) -> AIOKafkaConsumer:
    """A consumer without a group; an offset that is gone is an error, never a jump."""
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        request_timeout_ms=REQUEST_TIMEOUT_MS,
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_wait_ms=50,
    )


class Reader:
    """Reads single records by offset. Started at the first read, closed by ``close``."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    async def read(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record at ``offset``, None where there is none (any more)."""
        place = TopicPartition(topic, partition)
        async with self._turn, unavailable_as_error():
            consumer = await self._started()
            consumer.assign([place])
            consumer.seek(place, offset)
            try:
                found = await consumer.getmany(place, timeout_ms=REQUEST_TIMEOUT_MS, max_records=1)
            except OffsetOutOfRangeError:
                return None
        records: Sequence[Any] = found.get(place, ())
        if not records:
            raise Unavailable("kafka", f"no answer for {topic}[{partition}] at {offset}")
        record: Record = records[0]
        return record if record.offset == offset else None

    async def close(self) -> None:
        """Close the connection; another read would open it again."""
        async with self._turn:
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                await consumer.stop()

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = new_consumer(self._bootstrap, fetch_bytes=64 * 1024)
            try:
                await consumer.start()
            except KafkaError:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer


async def read_range(
    consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int
) -> AsyncIterator[Record]:
    """Records from ``start`` up to but without ``end``, in order.

    ``start`` may lie before the first record kept. Raises KafkaError, or Unavailable where
    nothing comes although ``end`` is not reached.
    """
    consumer.assign([place])
    kept = (await consumer.beginning_offsets([place]))[place]
    position = max(start, kept)
    consumer.seek(place, position)
    while position < end:
        found = await consumer.getmany(place, timeout_ms=int(STALLED_S * 1000))
        records: Sequence[Any] = found.get(place, ())
        if not records:
            raise Unavailable("kafka", f"nothing comes from {place} at {position}, end {end}")
        for record in records:
            if record.offset >= end:
                return
            yield record
        position = records[-1].offset + 1
