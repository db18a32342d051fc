"""The truth for a rebuild: the archive where Kafka's retention has passed, and what neither has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Final

from features.proof.rebuilder import Missing
from features.truth import Place, Truth, TruthRecord, TruthTopic
from risk.domain.observation import Publication
from streams.archive_history import Damage, read_partition
from streams.truth import truth_record

_ALL_DAYS: Final = ("", "~")


class WholeTruth:
    """Implements ``features.truth.Truth`` on ``kafka``, with the archive below ``root`` in front.

    Offsets that the archive has are read there, the others from Kafka. ``missing`` names those
    that neither has, ``damages`` what of the archive could not be read. Without a ``root`` it
    is Kafka alone.
    """

    def __init__(self, kafka: Truth, root: Path | None) -> None:
        self._kafka = kafka
        self._root = root
        self.missing: list[Missing] = []
        self.damages: dict[str, Damage] = {}

    async def last_epoch(self) -> int:
        """See ``Truth``."""
        return await self._kafka.last_epoch()

    async def write_markers(self, epoch: int) -> dict[Place, int]:
        """See ``Truth``."""
        return await self._kafka.write_markers(epoch)

    async def publish_ledger(self, publications: Sequence[Publication], epoch: int) -> None:
        """See ``Truth``."""
        await self._kafka.publish_ledger(publications, epoch)

    async def read(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        """See ``Truth``; notes the offsets that are nowhere."""
        following = from_offset
        async with aclosing(self._joined(topic, partition, from_offset, to_offset)) as records:
            async for record in records:
                self._note(Missing(topic, partition, following, record.offset - 1))
                following = record.offset + 1
                yield record
        self._note(Missing(topic, partition, following, to_offset - 1))

    async def _joined(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        following = from_offset
        if self._root is not None:
            folder = self._root / topic
            for one in read_partition(folder, partition, _ALL_DAYS, self._damaged):
                if not following <= one.offset < to_offset:
                    continue
                if following < one.offset:
                    older = self._kafka.read(topic, partition, following, one.offset)
                    async with aclosing(older) as records:
                        async for record in records:
                            yield record
                yield truth_record(one)
                following = one.offset + 1
        if following < to_offset:
            async with aclosing(
                self._kafka.read(topic, partition, following, to_offset)
            ) as records:
                async for record in records:
                    yield record

    def _note(self, gap: Missing) -> None:
        if gap.first <= gap.last and gap not in self.missing:
            self.missing.append(gap)

    def _damaged(self, damage: Damage) -> None:
        self.damages[str(damage)] = damage
