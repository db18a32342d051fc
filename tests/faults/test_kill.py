"""Two workers and their Redis are killed while payments come: none is lost, none decided twice.

Checked from outside, with what anybody can read: the topics and the committed offsets.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient

from features.connection import Connection
from features.keys import Keys
from features.logs import unpack_log
from features.proof.certificate import ParityReport
from risk.domain.clock import SystemClock
from risk.domain.decoding import decode_event
from risk.domain.event import AnyEvent, is_scored
from risk.domain.kinds import event_key
from risk.local.kafka import KafkaServer
from risk.local.redis import RedisServer
from risk.settings import Settings
from risk.simulator.traffic import Traffic
from risk.tables.load import exchange_rates
from streams.admin import ensure_topics
from streams.app import WorkerConfig
from streams.dead_letters import decode_dead_letter
from streams.paced import PacedSender
from streams.parking_reader import read_parked
from streams.topics import Topics, redis_prefix
from tests.support.topic_reading import Decisions, Proof, TopicReading, end_offsets
from tests.support.worker_process import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.fault, pytest.mark.timeout(900)]

SEED = 20_260_722
PER_S = 300.0
DRAIN_S = 90.0
TOPICS = Topics("live")
EXITS_MAX = 5  # a worker that starts while Redis is away leaves; more is a loop
SIGNALS = (signal.SIGTERM, signal.SIGKILL)


class Fire(NamedTuple):
    """How long it lasts, and how much of its own file Redis loses when it is killed."""

    seconds: int
    forgets_bytes: int = 0


class Sample(NamedTuple):
    """What was committed, and where the decisions ended just after that."""

    committed: dict[int, int]
    ends: dict[int, int]


@dataclass
class Story:
    """What was sent, what was done to whom, and what was seen meanwhile."""

    sent: list[AnyEvent] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    left: Counter[int] = field(default_factory=Counter)
    published_under_fire: int = 0
    samples: list[Sample] = field(default_factory=list)

    def payments(self) -> set[str]:
        return {event.id for event in self.sent if is_scored(event)}


class Recorded:
    """Traffic that is written down as it is given out."""

    def __init__(self, traffic: Traffic, story: Story) -> None:
        self._traffic = traffic
        self._story = story

    def due(self, now_ms: int) -> list[AnyEvent]:
        events = self._traffic.due(now_ms)
        self._story.sent += events
        return events


class Field:
    """Kafka, Redis and two workers of the test's own."""

    def __init__(self, home: Path, kafka: KafkaServer, redis: RedisServer) -> None:
        self.kafka = kafka.url
        self.redis = redis
        self.group = WorkerConfig(kafka.url, TOPICS, "0", home).group_id
        self.workers = [WorkerProcess(home, slot, kafka.url, redis.url) for slot in "01"]

    async def until_ready(self, story: Story) -> None:
        await asyncio.gather(*(self._ready_again(worker, story) for worker in self.workers))

    async def harm(self, rng: random.Random, story: Story) -> None:
        """End a worker every few seconds, and start it again at once."""
        for turn in range(10_000):
            await asyncio.sleep(rng.uniform(1.0, 3.0))
            worker = rng.choice(self.workers)
            await self._ready_again(worker, story)
            number = SIGNALS[turn % 2]
            story.exits[await worker.end(number)] += 1
            story.kills[number.name] += 1
            worker.start()

    async def _ready_again(self, worker: WorkerProcess, story: Story) -> None:
        """Wait for a worker as its supervisor does: one that left by itself is started again."""
        while not await worker.until_ready():
            story.left[worker.ended or 0] += 1
            assert story.left.total() <= EXITS_MAX, worker.said()
            await asyncio.sleep(1)
            worker.start()

    async def restart_redis(self, after_s: float, story: Story, forgets_bytes: int) -> None:
        """Kill Redis; it may come back without the last bytes of its append-only file."""
        await asyncio.sleep(after_s)
        self.redis.kill()
        await asyncio.sleep(1)
        if forgets_bytes:
            (written,) = self.redis.data.rglob("*.incr.aof")
            os.truncate(written, max(0, written.stat().st_size - forgets_bytes))
        await asyncio.to_thread(self.redis.restart)
        story.kills["redis"] += 1

    async def sample(self, story: Story) -> None:
        """Look at the committed offsets again and again."""
        async with self._clients() as (admin, consumer):
            while True:
                story.samples.append(await self._sample(admin, consumer))
                await asyncio.sleep(0.3)

    async def last_sample(self) -> Sample:
        async with self._clients() as (admin, consumer):
            return await self._sample(admin, consumer)

    async def _sample(self, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer) -> Sample:
        offsets = await admin.list_consumer_group_offsets(self.group)
        committed = {
            place.partition: found.offset
            for place, found in offsets.items()
            if place.topic == TOPICS.events
        }
        return Sample(committed, await end_offsets(consumer, TOPICS.decisions, 8))

    @asynccontextmanager
    async def _clients(self) -> AsyncIterator[tuple[AIOKafkaAdminClient, AIOKafkaConsumer]]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        consumer = AIOKafkaConsumer(bootstrap_servers=self.kafka)
        async with AsyncExitStack() as stack:
            await admin.start()
            stack.push_async_callback(admin.close)
            await consumer.start()
            stack.push_async_callback(consumer.stop)
            yield admin, consumer


@pytest.fixture
def home(tmp_path: Path, jar_cache: Path) -> Path:
    """A new state folder that shares the compiled kernel, so that workers start at once."""
    folder = tmp_path / "home"
    folder.mkdir()
    compiled = Settings().state / "cache" / "numba"
    if compiled.exists():
        shutil.copytree(compiled, folder / "cache" / "numba")
    return folder


@pytest.mark.parametrize(
    "fire",
    [
        Fire(60),
        pytest.param(Fire(60, forgets_bytes=2_000_000), marks=pytest.mark.chaos),
        pytest.param(Fire(600), marks=pytest.mark.chaos),
    ],
    ids=str,
)
async def test_nothing_is_lost_and_nothing_is_decided_twice(
    home: Path,
    kafka_factory: Callable[[], KafkaServer],
    redis_factory: Callable[[], RedisServer],
    fire: Fire,
) -> None:
    kafka = kafka_factory()
    await ensure_topics(kafka.url, TOPICS)
    world = Field(home, kafka, redis_factory())
    story = Story()
    reading = TopicReading(
        kafka.url,
        [TOPICS.events, TOPICS.decisions, TOPICS.ledger, TOPICS.dead_letters, TOPICS.late],
    )
    following = asyncio.create_task(reading.follow())
    try:
        await world.until_ready(story)
        await _under_fire(world, story, fire)
        story.published_under_fire = sum(map(len, reading.of(TOPICS.decisions).values()))
        await world.until_ready(story)
        decisions = await _drained(story, reading)
        await _nothing_waits(kafka.url)
        last = await _committed_to_the_end(world, reading)
        codes = [await worker.end(signal.SIGTERM) for worker in world.workers]
        await reading.caught_up()
    finally:
        for worker in world.workers:
            worker.kill()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    proof = Proof(exchange_rates(None, "EUR"), TOPICS, reading)
    certificate = await proof.certificate()
    _report(story, decisions, certificate)
    _check_payments(story, decisions)
    _check_commits(reading, decisions, [*story.samples, last])
    _check_memory(story, reading, proof)
    assert await _held_otherwise(world.redis.url, proof) == []
    assert (certificate.unequal, certificate.damaged, certificate.missing) == (0, 0, [])
    # Redis forgets nothing that it has answered, so nothing that was seen is missing.
    assert fire.forgets_bytes or certificate.verdict == "equal", certificate.first_unprovable
    assert decisions.epochs >= {1, 2}, "Redis was killed, and nobody noticed"
    assert codes == [0, 0], [worker.said() for worker in world.workers]


async def _nothing_waits(kafka: str) -> None:
    """A label may have come before its payment was decided: then it was parked."""
    async with asyncio.timeout(120):
        while await read_parked(kafka, TOPICS):
            await asyncio.sleep(0.5)


async def _under_fire(world: Field, story: Story, fire: Fire) -> None:
    """Send for so long while workers and Redis are killed."""
    clock, rng = SystemClock(), random.Random(SEED)
    traffic = Recorded(Traffic(SEED, PER_S, clock.now_ms()), story)
    harm = asyncio.create_task(world.harm(rng, story))
    sampling = asyncio.create_task(world.sample(story))
    restart = asyncio.create_task(world.restart_redis(fire.seconds / 2, story, fire.forgets_bytes))
    async with PacedSender(world.kafka, TOPICS, clock) as sender:
        await sender.run(traffic, fire.seconds, lambda _: None)
    await restart
    for task in (harm, sampling):
        assert not task.done(), task
        task.cancel()
    await asyncio.gather(harm, sampling, return_exceptions=True)
    for worker in world.workers:
        if worker.ended is not None:
            worker.start()


async def _drained(story: Story, reading: TopicReading) -> Decisions:
    """Wait until every payment has a decision that stands; what is missing fails the test."""
    decisions, wanted = Decisions(), story.payments()
    for _ in range(int(DRAIN_S / 0.5)):
        decisions.update(reading.of(TOPICS.decisions))
        if wanted <= decisions.standing.keys():
            break
        await asyncio.sleep(0.5)
    return decisions


async def _committed_to_the_end(world: Field, reading: TopicReading) -> Sample:
    """Wait until the events are committed to their end."""
    ends = {
        partition: found[-1].offset + 1 for partition, found in reading.of(TOPICS.events).items()
    }
    sample = await world.last_sample()
    for _ in range(60):
        if sample.committed == ends:
            break
        await asyncio.sleep(0.5)
        sample = await world.last_sample()
    assert sample.committed == ends
    return sample


def _report(story: Story, decisions: Decisions, certificate: ParityReport) -> None:
    payments = len(story.payments())
    stood = sum(map(len, decisions.standing.values()))
    again = stood - len(decisions.standing)
    print(
        f"\nseed {SEED}: {payments} payments of {len(story.sent)} events; killed"
        f" {dict(story.kills)}, exits {dict(story.exits)},"
        f" by themselves {dict(story.left)}; {story.published_under_fire} published"
        f" under fire; published again {again}"
        f" ({again / payments:.2%}), void {decisions.void}; {certificate.checked} vectors,"
        f" {certificate.equal} equal, unprovable {certificate.unprovable}"
    )


def _check_payments(story: Story, decisions: Decisions) -> None:
    lost = story.payments() - decisions.standing.keys()
    assert not lost, f"{len(lost)} payments were lost, such as {sorted(lost)[:5]}"
    twice = [one for one, stood in decisions.standing.items() if len({s.body for s in stood}) > 1]
    assert not twice, f"{len(twice)} payments have two decisions, such as {sorted(twice)[:5]}"
    # Otherwise nobody was under fire.
    assert story.published_under_fire > len(story.payments()) / 5
    assert min(story.kills["SIGTERM"], story.kills["SIGKILL"], story.kills["redis"]) >= 1


def _check_commits(reading: TopicReading, decisions: Decisions, samples: list[Sample]) -> None:
    """Whatever lay before a committed offset was decided and published at that time."""
    assert len(samples) > 20
    decided = {payment: stood[0] for payment, stood in decisions.standing.items()}
    for partition, found in reading.of(TOPICS.events).items():
        events = [(record.offset, decode_event(record.value or b"").event) for record in found]
        for sample in samples:
            committed = sample.committed.get(partition, 0)
            for offset, event in events:
                if offset < committed and is_scored(event):
                    at = decided[event.id]
                    assert at.offset < sample.ends[at.partition], (
                        f"{event.id} was committed before it was published"
                    )


async def _held_otherwise(url: str, proof: Proof) -> list[bytes]:
    """Keys under which Redis holds anything else than the topics say, or has unfinished work."""
    connection, keys = Connection(url), Keys(redis_prefix(TOPICS.world))
    try:
        wrong = list(await connection.call("ZRANGE", keys.pending, 0, -1))
        logs = {keys.log(*name): name for name in proof.held.logs}
        held = [one for one in await connection.call("KEYS", "*") if one in logs]
        for start in range(0, len(held), 1000):
            names = held[start : start + 1000]
            values = await connection.call("MGET", *names)
            wrong += [
                key
                for key, value in zip(names, values, strict=True)
                if not proof.agrees(logs[key], unpack_log(value))
            ]
        assert len(held) == len(logs)
        return wrong
    finally:
        await connection.close()


def _check_memory(story: Story, reading: TopicReading, proof: Proof) -> None:
    """Every other event is remembered, also a label that came before its payment."""
    assert proof.held.conflicts == proof.held.damaged == []
    assert not any(reading.of(TOPICS.late).values())
    letters = [
        decode_dead_letter(record.value or b"")
        for found in reading.of(TOPICS.dead_letters).values()
        for record in found
    ]
    assert not letters
    wanted = {event_key(event): event for event in story.sent if not is_scored(event)}
    lost = [key for key, event in wanted.items() if key not in proof.remembered]
    assert not lost, f"{len(lost)} events were forgotten, such as {lost[:5]}"
