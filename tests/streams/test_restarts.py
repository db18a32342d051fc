"""Workers that are killed and stopped while they read: nothing is lost, on a real broker."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.admin import ensure_topics
from streams.app import STOP_WITHIN_S, WorkerConfig
from streams.topics import Topics

pytestmark = [pytest.mark.services, pytest.mark.fault]

EVENTS = 5_000
PARTITIONS = range(8)
ROOT = Path(__file__).parents[2]


class Worker:
    """One recording worker process, started again under the same slot."""

    def __init__(self, bootstrap: str, world: str, slot: str, folder: Path) -> None:
        self._command = [
            sys.executable, "-m", "tests.support.recording_worker",
            bootstrap, world, slot, str(folder), "0.008",
        ]  # fmt: skip
        self._errors = folder / f"{slot}.err"
        self.start()

    def start(self) -> None:
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(self._command, cwd=ROOT, stderr=errors)

    async def end(self, number: signal.Signals) -> tuple[int, float]:
        """Exit code, and the seconds it took."""
        started_s = time.perf_counter()
        self.process.send_signal(number)
        code = await asyncio.to_thread(self.process.wait, 20)
        return code, time.perf_counter() - started_s

    def errors(self) -> str:
        return self._errors.read_text()


def finished(folder: Path) -> dict[int, Counter[int]]:
    """How often each offset of each partition was finished."""
    found: dict[int, Counter[int]] = {partition: Counter() for partition in PARTITIONS}
    for log in folder.glob("*.log"):
        for line in log.read_text().splitlines():
            partition, first, last = map(int, line.split())
            found[partition].update(range(first, last + 1))
    return found


async def produce(bootstrap: str, topic: str, per_s: float) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=5) as producer:
        sent = []
        for number in range(EVENTS):
            value = b"\xff{" if number % 7 == 0 else b"{}"  # malformed ones among them
            partition = number % len(PARTITIONS)
            sent.append(await producer.send(topic, value, partition=partition))
            if number % 50 == 0:
                await asyncio.sleep(50 / per_s)
        await asyncio.gather(*sent)


async def committed(consumer: AIOKafkaConsumer, topic: str) -> dict[int, int]:
    places = [TopicPartition(topic, partition) for partition in PARTITIONS]
    return {place.partition: await consumer.committed(place) or 0 for place in places}


async def check_commits(consumer: AIOKafkaConsumer, topic: str, folder: Path) -> int:
    """No committed offset is past a record that nobody finished; how many are committed."""
    offsets = await committed(consumer, topic)
    done = finished(folder)
    for partition, offset in offsets.items():
        lost = [one for one in range(offset) if not done[partition][one]]
        assert not lost, f"partition {partition}: {lost[:5]} committed, not finished"
    return sum(offsets.values())


@pytest.mark.timeout(150)
async def test_every_record_is_finished_whatever_happens_to_the_workers(
    kafka: str, tmp_path: Path
) -> None:
    topics = Topics("restarts")
    await ensure_topics(kafka, topics)
    group = WorkerConfig(kafka, topics, "0", tmp_path).group_id
    workers = [Worker(kafka, topics.world, slot, tmp_path) for slot in ("0", "1")]
    reader = AIOKafkaConsumer(bootstrap_servers=kafka, group_id=group, enable_auto_commit=False)
    await reader.start()
    try:
        sending = asyncio.create_task(produce(kafka, topics.events, per_s=400.0))
        draw = random.Random(11)
        turns = itertools.cycle([signal.SIGKILL, signal.SIGTERM, signal.SIGKILL])
        ends_s = time.perf_counter() + 90
        for number in turns:
            await asyncio.sleep(1.5 + draw.random() * 2)
            count = await check_commits(reader, topics.events, tmp_path)
            if sending.done() and count == EVENTS:
                break
            assert time.perf_counter() < ends_s, f"{count} of {EVENTS} after 90 s"
            worker = draw.choice(workers)
            assert worker.process.poll() is None, worker.errors()
            if sending.done():
                continue  # peace at the end, so that it comes to one
            code, took_s = await worker.end(number)
            if number is signal.SIGTERM:
                assert code == 0, worker.errors()
                assert took_s < STOP_WITHIN_S + 1
            await check_commits(reader, topics.events, tmp_path)
            worker.start()
        await sending
        done = finished(tmp_path)
        for partition in PARTITIONS:
            assert set(done[partition]) == set(range(EVENTS // len(PARTITIONS)))
        repeated = sum(done[partition].total() for partition in PARTITIONS) - EVENTS
        print(f"{repeated} of {EVENTS} records were finished again")
        for worker in workers:
            code, _ = await worker.end(signal.SIGTERM)
            assert code == 0, worker.errors()
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.wait()
        await reader.stop()
