"""Publishes with every record confirmed: acks=all, idempotent, one produce batch a partition.

``create_batch``/``send_batch`` cost a fifth of ``send`` for each record (measured). The
partition is the key's murmur2 hash, as Kafka's own clients choose it, at both doors.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from risk.domain.errors import Unavailable
from risk.domain.observation import Delivery, Publication
from streams.partitioner import partition_of
from streams.reader import Reader, unavailable_as_error
from streams.topics import Topic, Topics

EPOCH_HEADER: Final = "epoch"
REQUEST_TIMEOUT_MS: Final = 12_000
# An idempotent producer of aiokafka never gives up on a batch by itself (measured: over
# 100 s with the broker down), so the wait for a delivery is bounded here.
DELIVERY_S: Final = 12.0
BATCH_BYTES_MAX: Final = 512 * 1024
REQUEST_BYTES_MAX: Final = 1024 * 1024


class Outgoing(NamedTuple):
    """A record on its way out. ``topic`` is the full name."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class KafkaPublisher:
    """The one way out to Kafka of a process; an async context manager.

    A producer whose delivery failed is replaced: its sequence numbers may have a gap that
    the broker would refuse for ever. The caller sees Unavailable and publishes again.
    """

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._partitions = {topic.name: topic.partitions for topic in topics.all()}
        self._reader = Reader(bootstrap)
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._disposals: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> KafkaPublisher:
        await self._started()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. What was awaited is delivered, so nothing is flushed."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _abandon(producer)
        await asyncio.gather(*self._disposals)
        await self._reader.close()

    async def publish(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
        """Deliver each to its topic, confirmed by Kafka; in their order.

        Raises Unavailable: then some may have been delivered, and a retry repeats them.
        """
        headers = ((EPOCH_HEADER, str(epoch).encode()),)
        outgoing = []
        for one in publications:
            topic = self._full_name(one.topic)
            partition = partition_of(one.key, self._partitions[topic])
            outgoing.append(Outgoing(topic, partition, one.key, one.body, headers))
        offsets = await self.deliver(outgoing)
        return [
            Delivery(publication, sent.partition, offset)
            for publication, sent, offset in zip(publications, outgoing, offsets, strict=True)
        ]

    async def deliver(self, outgoing: Sequence[Outgoing]) -> list[int]:
        """Deliver records of any topic of this world; the offset of each, in their order."""
        places: dict[tuple[str, int], list[int]] = defaultdict(list)
        for index, record in enumerate(outgoing):
            places[record.topic, record.partition].append(index)
        producer = await self._started()
        try:
            async with asyncio.timeout(DELIVERY_S):
                confirmed = await asyncio.gather(
                    *(
                        _send(producer, topic, partition, [outgoing[index] for index in indices])
                        for (topic, partition), indices in places.items()
                    )
                )
        except (KafkaError, OSError, TimeoutError) as error:
            self._replace(producer)
            raise Unavailable("kafka", f"{type(error).__name__}: {error}") from error
        offsets = [0] * len(outgoing)
        for indices, found in zip(places.values(), confirmed, strict=True):
            for index, offset in zip(indices, found, strict=True):
                offsets[index] = offset
        return offsets

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        """The bytes at an offset of ``decisions`` or ``ledger``, None where they are gone."""
        record = await self._reader.read(self._full_name(topic), partition, offset)
        return None if record is None else record.value

    async def answers(self, within_s: float) -> bool:
        """Whether a broker answers a question within ``within_s`` seconds."""
        try:
            async with asyncio.timeout(within_s):
                producer = await self._started()
                await producer.client.fetch_all_metadata()
        except (KafkaError, OSError, TimeoutError, Unavailable):
            return False
        return True

    def partitions(self, topic: Topic | str) -> int:
        """How many partitions a topic of this world has."""
        return self._partitions[topic if isinstance(topic, str) else topic.name]

    def _full_name(self, topic: str) -> str:
        return self._topics.decisions if topic == "decisions" else self._topics.ledger

    async def _started(self) -> AIOKafkaProducer:
        async with self._starting:
            if self._producer is None:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=0,
                    # A batch of decisions shrinks to a fifth: names, digests, zeros (measured).
                    compression_type="zstd",
                    request_timeout_ms=REQUEST_TIMEOUT_MS,
                    max_batch_size=BATCH_BYTES_MAX,
                    max_request_size=REQUEST_BYTES_MAX,
                )
                async with unavailable_as_error():
                    try:
                        await producer.start()
                    except BaseException:
                        await producer.stop()
                        raise
                self._producer = producer
            return self._producer

    def _replace(self, producer: AIOKafkaProducer) -> None:
        if self._producer is producer:
            self._producer = None
            task = asyncio.create_task(_abandon(producer))
            self._disposals.add(task)
            task.add_done_callback(self._disposals.discard)


async def _send(
    producer: AIOKafkaProducer, topic: str, partition: int, records: Sequence[Outgoing]
) -> list[int]:
    """Send to one partition, in order; the offsets."""
    counts: list[int] = []
    pending: list[Any] = []
    left = iter(records)
    record = next(left, None)
    while record is not None:
        batch = producer.create_batch()
        while record is not None and _append(batch, record):
            record = next(left, None)
        batch.close()
        counts.append(batch.record_count())
        pending.append(await producer.send_batch(batch, topic, partition=partition))
    placed = await asyncio.gather(*pending)
    return [
        one.offset + step
        for one, count in zip(placed, counts, strict=True)
        for step in range(count)
    ]


def _append(batch: Any, record: Outgoing) -> bool:
    """False where the batch is full; an empty batch takes a record of any size."""
    added = batch.append(
        key=record.key, value=record.value, timestamp=None, headers=list(record.headers)
    )
    return added is not None


async def _abandon(producer: AIOKafkaProducer) -> None:
    """Close ``producer`` without flushing: what it still holds was not reported as delivered.

    Its ``stop`` would wait for a broker that may be gone.
    """
    producer._closed = True
    await producer._sender.close()
    await producer.client.close()
