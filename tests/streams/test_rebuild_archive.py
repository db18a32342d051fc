"""`weir rebuild` where Kafka's retention has passed: from the archive, or saying what is gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from features.connection import Connection
from features.keys import Keys
from features.local_truth import LocalTruth
from features.log_digest import redis_digest
from features.recovery import Recovery
from features.truth import Place, TruthRecord, TruthTopic
from risk.domain.clock import SystemClock
from risk.domain.errors import Unavailable
from streams.archive import Archiver
from streams.archive_store import archive_folder, open_archive
from streams.publish import KafkaPublisher
from streams.topics import Topics, redis_prefix
from streams.truth import KafkaTruth
from streams.truth_whole import WholeTruth
from tests.streams.test_history import weir
from tests.support.memory import CHUNK
from tests.support.proof_world import publish, story, to_base

TOPICS = ("decisions", "ledger")


@asynccontextmanager
async def _admin(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


async def _archive(kafka: str, topics: Topics, root: Path) -> None:
    root.mkdir(parents=True)
    with open_archive(root, TOPICS) as writer:
        archiver = Archiver(kafka, topics, writer, SystemClock(), TOPICS)
        await archiver.run(asyncio.Event(), once=True)


async def _cut(kafka: str, place: TopicPartition, before: int) -> None:
    async with _admin(kafka) as admin:
        await admin.delete_records({place: RecordsToDelete(before)})


class Breaking(WholeTruth):
    """Stops after so many records."""

    left = 650

    async def read(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        async with aclosing(super().read(topic, partition, from_offset, to_offset)) as records:
            async for record in records:
                if self.left == 0:
                    raise Unavailable("kafka", "it stopped")
                self.left -= 1
                yield record


async def _interrupted(kafka: str, redis_url: str, topics: Topics, root: Path) -> str:
    """Begin a rebuild from the archive for an empty world, and end on the way; the digest then."""
    connection, keys = Connection(redis_url), Keys(redis_prefix(topics.world))
    try:
        await connection.call("DEL", *await connection.call("KEYS", f"{keys.prefix}*"))
        async with KafkaPublisher(kafka, topics) as publisher:
            truth = Breaking(KafkaTruth(kafka, topics, publisher), root)
            with pytest.raises(Unavailable):
                await Recovery(connection, keys, truth, to_base, chunk=CHUNK).rebuild()
        return (await redis_digest(connection, keys)).hex
    finally:
        await connection.close()


@pytest.mark.services
@pytest.mark.timeout(180)
def test_the_archive_stands_in_for_retention(kafka: str, redis_url: str, tmp_path: Path) -> None:
    world = "rebuild-archive"
    topics = Topics(world)
    parts = (tmp_path, kafka, redis_url)
    asyncio.run(publish(kafka, topics, story(51, 800)))
    code, said, whole = weir(*parts, "rebuild", "--world", world)
    assert (code, whole["missing"], whole["damaged"]) == (0, [], []), said
    root = archive_folder(tmp_path, world)
    asyncio.run(_archive(kafka, topics, root))
    asyncio.run(_cut(kafka, TopicPartition(topics.decisions, 0), 40))

    code, said, again = weir(*parts, "rebuild", "--world", world)
    assert code == 4, said
    assert again["missing"] == [{"topic": "decisions", "partition": 0, "first": 0, "last": 39}]
    assert "decisions:0 offsets 0 to 39" in said
    assert "--archive" in said

    code, said, full = weir(*parts, "rebuild", "--world", world, "--archive")
    assert (code, full["missing"], full["damaged"]) == (0, [], []), said
    assert full["digest_after"] == whole["digest_after"]

    begun = asyncio.run(_interrupted(kafka, redis_url, topics, root))
    assert begun not in ("0" * 64, whole["digest_after"])
    code, said, resumed = weir(*parts, "rebuild", "--world", world, "--archive")
    assert (code, resumed["missing"], resumed["damaged"]) == (0, [], []), said
    assert resumed["resumed"] is True
    assert resumed["digest_after"] == whole["digest_after"]

    file = min(root.glob("decisions/day=*/part-00-*.parquet"), default=None) or min(
        path for path in root.glob("decisions/day=*/part-*.parquet")
    )
    body = bytearray(file.read_bytes())
    body[len(body) // 2] ^= 1
    file.write_bytes(bytes(body))
    code, said, hurt = weir(*parts, "rebuild", "--world", world, "--archive")
    assert len(hurt["damaged"]) == 1, said
    assert hurt["damaged"][0].startswith("decisions ")
    assert (code == 4) == bool(hurt["missing"])


async def test_what_kafka_alone_does_not_keep_is_named() -> None:
    truth = LocalTruth(1)
    await truth.write_markers(1)
    await truth.write_markers(2)
    await truth.write_markers(3)
    del truth.partitions[Place("ledger", 0)][0]
    whole = WholeTruth(truth, None)

    async def offsets(first: int, end: int) -> list[int]:
        return [one.offset async for one in whole.read("ledger", 0, first, end)]

    assert await whole.last_epoch() == 3
    assert await offsets(1, 3) == [1, 2]
    assert whole.missing == []
    assert await offsets(0, 3) == [1, 2]
    assert await offsets(0, 5) == [1, 2]
    assert [(gap.first, gap.last) for gap in whole.missing] == [(0, 0), (3, 4)]
