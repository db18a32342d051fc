"""The decisions and ledger topics in memory: the twin of Kafka for tests and simulations."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from features.truth import TRUTH_TOPICS, Place, TruthRecord, TruthTopic
from risk.domain.observation import Delivery, Publication


class LocalTruth:
    """Implements ``features.truth.Truth``.

    Records are placed by the sum of their key's bytes, one list for each partition.
    """

    def __init__(self, partitions: int = 2) -> None:
        self.partitions: dict[Place, list[TruthRecord]] = {
            Place(topic, number): [] for topic in TRUTH_TOPICS for number in range(partitions)
        }
        self._count = partitions

    async def last_epoch(self) -> int:
        """See ``Truth``."""
        held = (record.epoch for records in self.partitions.values() for record in records)
        return max(held, default=0)

    async def write_markers(self, epoch: int) -> dict[Place, int]:
        """See ``Truth``."""
        return {
            place: self._append(place, epoch, b"", b"", marker=True) for place in self.partitions
        }

    async def read(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        """See ``Truth``."""
        for record in list(self.partitions[Place(topic, partition)]):
            if from_offset <= record.offset < to_offset:
                yield record

    async def publish_ledger(self, publications: Sequence[Publication], epoch: int) -> None:
        """See ``Truth``."""
        self.deliver(publications, epoch)

    def deliver(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
        """Append publications to their partitions."""
        deliveries = []
        for one in publications:
            place = Place(one.topic, sum(one.key) % self._count)
            offset = self._append(place, epoch, one.key, one.body, marker=False)
            deliveries.append(Delivery(one, place.partition, offset))
        return deliveries

    def _append(self, place: Place, epoch: int, key: bytes, value: bytes, *, marker: bool) -> int:
        records = self.partitions[place]
        records.append(TruthRecord(len(records), epoch, marker, key, value))
        return len(records) - 1


class LocalPublisher:
    """Implements ``risk.domain.observation.Publisher`` on a LocalTruth."""

    def __init__(self, truth: LocalTruth) -> None:
        self._truth = truth

    async def publish(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
        """See ``Publisher``."""
        return self._truth.deliver(publications, epoch)

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        """See ``Publisher``."""
        for place, records in self._truth.partitions.items():
            if place == (topic, partition) and offset < len(records):
                return records[offset].value
        return None
