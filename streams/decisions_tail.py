"""Follows the decisions of a world from some place on, outside any consumer group."""

from __future__ import annotations

from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.reader import new_consumer, unavailable_as_error
from streams.topics import Topics

_FETCH_BYTES: Final = 4 * 1024 * 1024


class DecisionsTail:
    """Gives each record once, from ``back`` records before the end of each partition on."""

    def __init__(self, bootstrap: str, topics: Topics, back: int) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._back = back
        self._consumer: AIOKafkaConsumer | None = None

    async def poll(self, timeout_ms: int) -> list[tuple[bytes, int]]:
        """(body, time of the record in ms) since the last call. Raises Unavailable."""
        async with unavailable_as_error():
            consumer = self._consumer or await self._start()
            found = await consumer.getmany(timeout_ms=timeout_ms, max_records=5_000)
        return [
            (record.value, record.timestamp)
            for records in found.values()
            for record in records
            if record.value
        ]

    async def close(self) -> None:
        """Close the connection."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _start(self) -> AIOKafkaConsumer:
        consumer = new_consumer(self._bootstrap, fetch_bytes=_FETCH_BYTES)
        self._consumer = consumer
        await consumer.start()
        name = self._topics.decisions
        count = next(one.partitions for one in self._topics.all() if one.name == name)
        places = [TopicPartition(name, number) for number in range(count)]
        consumer.assign(places)
        begin = await consumer.beginning_offsets(places)
        for place, end in (await consumer.end_offsets(places)).items():
            consumer.seek(place, max(begin[place], end - self._back))
        return consumer
