"""Publisher, reader, truth and admin on a real broker."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.partitioner import DefaultPartitioner

from features.truth import Place, TruthRecord
from risk.domain.errors import BadConfiguration, Unavailable
from risk.domain.observation import Publication
from risk.local.kafka import KafkaServer
from streams.admin import check_topics, ensure_topics
from streams.partitioner import partition_of
from streams.publish import BATCH_BYTES_MAX, KafkaPublisher, Outgoing
from streams.topics import Topics
from streams.truth import KafkaTruth

pytestmark = pytest.mark.services
TOPICS = Topics("kafka-ends")


@pytest.fixture(scope="module")
def topics(kafka: str) -> Topics:
    asyncio.run(ensure_topics(kafka, TOPICS))
    return TOPICS


@pytest.fixture
async def publisher(kafka: str, topics: Topics) -> AsyncIterator[KafkaPublisher]:
    async with KafkaPublisher(kafka, topics) as made:
        yield made


def decided(number: int, size: int = 200, topic: str = "decisions") -> Publication:
    return Publication(
        tenant="main",
        event_key=f"p:p-{number}",
        topic="ledger" if topic == "ledger" else "decisions",
        key=f"main:p-{number}".encode(),
        body=f"{number:08d}".encode() * (size // 8),
        outcome="allow",
        score=None,
    )


async def test_deliveries_name_the_place_of_each_record(publisher: KafkaPublisher) -> None:
    publications = [
        decided(number, topic=("decisions", "ledger")[number % 2]) for number in range(200)
    ]
    deliveries = await publisher.publish(publications, epoch=7)
    assert [one.publication for one in deliveries] == publications
    places = {(one.publication.topic, one.partition, one.offset) for one in deliveries}
    assert len(places) == 200
    for one in deliveries[::17]:
        body = await publisher.read(one.publication.topic, one.partition, one.offset)
        assert body == one.publication.body


async def test_batches_that_do_not_fit_are_split(publisher: KafkaPublisher) -> None:
    publications = [decided(1, size=BATCH_BYTES_MAX // 3) for _ in range(8)]
    deliveries = await publisher.publish(publications, epoch=1)
    offsets = [one.offset for one in deliveries]
    assert offsets == list(range(offsets[0], offsets[0] + 8))


async def test_both_doors_and_kafkas_own_clients_choose_the_same_partition(
    kafka: str, publisher: KafkaPublisher
) -> None:
    default = DefaultPartitioner()
    for number in range(100):
        key = f"main:p-{number}".encode()
        assert partition_of(key, 8) == default(key, list(range(8)), [])
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        sent = await producer.send_and_wait(TOPICS.decisions, b"x", key=b"main:p-5")
    (ours,) = await publisher.publish([decided(5)], epoch=1)
    assert (sent.partition, sent.offset + 1) == (ours.partition, ours.offset)


async def test_an_offset_that_is_not_there_reads_as_none(publisher: KafkaPublisher) -> None:
    assert await publisher.read("decisions", 0, 10_000_000) is None


async def test_publishing_from_many_tasks_at_once(publisher: KafkaPublisher) -> None:
    rounds = await asyncio.gather(
        *(publisher.publish([decided(task * 100 + n) for n in range(64)], 1) for task in range(20))
    )
    places = {(one.partition, one.offset) for deliveries in rounds for one in deliveries}
    assert len(places) == 20 * 64


async def read_all(truth: KafkaTruth, place: Place, first: int, end: int) -> list[TruthRecord]:
    return [one async for one in truth.read(place.topic, place.partition, first, end)]


async def test_markers_stand_in_every_partition_and_ranges_are_read(kafka: str) -> None:
    topics = Topics("kafka-truth")
    await ensure_topics(kafka, topics)
    async with KafkaPublisher(kafka, topics) as publisher:
        truth = KafkaTruth(kafka, topics, publisher)
        assert await truth.last_epoch() == 0
        first = await truth.write_markers(3)
        assert len(first) == 16
        assert set(first.values()) == {0}
        await publisher.publish([decided(number) for number in range(100)], epoch=3)
        await truth.publish_ledger([decided(1, topic="ledger")], epoch=3)
        second = await truth.write_markers(9)
        assert await truth.last_epoch() == 9
        # A zombie that still publishes under the old epoch does not hide the new one.
        await publisher.publish([decided(number) for number in range(100)], epoch=3)
        assert await truth.last_epoch() == 9
        seen = 0
        for place, end in second.items():
            records = await read_all(truth, place, 0, end)
            assert [one.offset for one in records] == list(range(end))
            assert records[0].marker
            assert all(one.epoch == 3 and not one.marker and one.value for one in records[1:])
            seen += len(records) - 1
            assert await read_all(truth, place, end, end) == []
            (marker,) = await read_all(truth, place, end, end + 1)
            assert (marker.marker, marker.epoch, marker.value) == (True, 9, b"")
        assert seen == 101


async def test_topics_are_made_once_and_checked(kafka: str) -> None:
    topics = Topics("kafka-admin")
    with pytest.raises(BadConfiguration, match="are missing"):
        await check_topics(kafka, topics)
    assert len(await ensure_topics(kafka, topics)) == len(topics.all())
    assert await ensure_topics(kafka, topics) == []
    await check_topics(kafka, topics)


async def test_a_topic_with_other_partitions_is_refused(kafka: str) -> None:
    topics = Topics("kafka-partitions")
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topics.events, 3, 1)])
    await admin.close()
    with pytest.raises(BadConfiguration, match="has 3 partitions, not 8"):
        await ensure_topics(kafka, topics)


async def test_the_brokers_time_stands_on_events(kafka: str, topics: Topics) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        sent = await producer.send_and_wait(topics.events, b"{}", partition=0, timestamp_ms=1)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    place = TopicPartition(topics.events, 0)
    consumer.assign([place])
    consumer.seek(place, sent.offset)
    record = await consumer.getone()
    await consumer.stop()
    assert record.timestamp > 1_600_000_000_000


async def test_no_kafka_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="kafka"):
        await ensure_topics("127.0.0.1:1", TOPICS)
    with pytest.raises(Unavailable, match="kafka"):
        await KafkaPublisher("127.0.0.1:1", TOPICS).publish([decided(1)], 1)


@pytest.mark.fault
@pytest.mark.timeout(120)
async def test_a_broker_that_goes_and_comes_back(
    kafka_factory: Callable[[], KafkaServer],
) -> None:
    server = await asyncio.to_thread(kafka_factory)
    await ensure_topics(server.url, TOPICS)
    async with KafkaPublisher(server.url, TOPICS) as publisher:
        await publisher.publish([decided(1)], epoch=1)
        await asyncio.to_thread(server.kill)
        with pytest.raises(Unavailable):
            await publisher.publish([decided(2)], epoch=1)
        await asyncio.to_thread(server.restart)
        for attempt in range(20):
            try:
                (delivery,) = await publisher.publish([decided(2)], epoch=1)
                break
            except Unavailable:
                await asyncio.sleep(0.5 * (attempt < 19))
        assert await publisher.read("decisions", delivery.partition, delivery.offset) == (
            decided(2).body
        )


async def test_a_record_that_kafka_refuses_is_an_error(publisher: KafkaPublisher) -> None:
    noise = random.Random(1).randbytes(6_000_000)  # what can be compressed would fit
    huge = Outgoing(TOPICS.late, 0, b"k", noise)
    with pytest.raises(Unavailable):
        await publisher.deliver([huge])
    assert await publisher.deliver([Outgoing(TOPICS.late, 0, b"k", b"x")]) is not None
