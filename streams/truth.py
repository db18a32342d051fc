"""The decisions and ledger topics as recovery reads and marks them (features.truth.Truth)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from features.truth import TRUTH_TOPICS, Place, TruthRecord, TruthTopic
from risk.domain.observation import Publication
from streams.batch import Record, header
from streams.publish import EPOCH_HEADER, KafkaPublisher, Outgoing
from streams.reader import new_consumer, read_range, unavailable_as_error
from streams.topics import Topics

MARKER_HEADER: Final = "marker"
MARKER_KEY: Final = b"marker"
# A zombie's void records may stand behind a marker, but never this many in every partition.
TAIL_RECORDS: Final = 500
FETCH_BYTES: Final = 1024 * 1024


class KafkaTruth:
    """Implements ``features.truth.Truth`` on the topics of one world."""

    def __init__(self, bootstrap: str, topics: Topics, publisher: KafkaPublisher) -> None:
        self._bootstrap = bootstrap
        self._names = {"decisions": topics.decisions, "ledger": topics.ledger}
        self._publisher = publisher

    async def last_epoch(self) -> int:
        """The highest epoch near the end of any partition of both topics; 0 for none."""
        highest = 0
        async with self._consumer() as consumer:
            places = [self._kafka_place(place) for place in self._places()]
            ends = await consumer.end_offsets(places)
            for place in places:
                end = ends[place]
                async for record in read_range(consumer, place, max(0, end - TAIL_RECORDS), end):
                    highest = max(highest, epoch_of(record))
        return highest

    async def write_markers(self, epoch: int) -> dict[Place, int]:
        """A marker of ``epoch`` in every partition of both topics, confirmed; their offsets."""
        places = self._places()
        headers = ((EPOCH_HEADER, str(epoch).encode()), (MARKER_HEADER, b"1"))
        offsets = await self._publisher.deliver(
            [
                Outgoing(self._names[place.topic], place.partition, MARKER_KEY, None, headers)
                for place in places
            ]
        )
        return dict(zip(places, offsets, strict=True))

    async def read(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        """Records from ``from_offset`` (or the first one kept) up to but without ``to_offset``."""
        place = self._kafka_place(Place(topic, partition))
        async with self._consumer() as consumer:
            async for record in read_range(consumer, place, from_offset, to_offset):
                yield truth_record(record)

    async def publish_ledger(self, publications: Sequence[Publication], epoch: int) -> None:
        """Deliver ledger publications, confirmed, with ``epoch`` in the header."""
        await self._publisher.publish(publications, epoch)

    def _places(self) -> list[Place]:
        return [
            Place(topic, partition)
            for topic in TRUTH_TOPICS
            for partition in range(self._publisher.partitions(self._names[topic]))
        ]

    def _kafka_place(self, place: Place) -> TopicPartition:
        return TopicPartition(self._names[place.topic], place.partition)

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = new_consumer(self._bootstrap, fetch_bytes=FETCH_BYTES)
        async with unavailable_as_error():
            try:
                await consumer.start()
                yield consumer
            finally:
                await consumer.stop()


def epoch_of(record: Record) -> int:
    """The epoch in the header of ``record``; 0 where it has none, which is never current."""
    value = header(record, EPOCH_HEADER)
    return int(value) if value is not None and value.isdigit() else 0


def truth_record(record: Record) -> TruthRecord:
    """``record`` as recovery sees it."""
    return TruthRecord(
        offset=record.offset,
        epoch=epoch_of(record),
        marker=header(record, MARKER_HEADER) is not None,
        key=record.key or b"",
        value=record.value or b"",
    )
