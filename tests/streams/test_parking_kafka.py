"""Parking on a real broker: what waits survives processes, and is remembered once."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from risk.domain.decision import decode_ledger
from risk.domain.observation import Stored
from risk.domain.times import rfc3339
from streams.admin import ensure_topics
from streams.parking import ParkedEvent, outgoing_parked
from streams.parking_lot import ParkingLot
from streams.parking_reader import attending, read_parked
from streams.publish import KafkaPublisher
from streams.topics import Topics
from tests.support.parking import Stand, label, waiting
from tests.support.stream_records import decision as decision_bytes
from tests.support.worker_process import WorkerProcess

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]


async def park(publisher: KafkaPublisher, topics: Topics, *events: ParkedEvent) -> None:
    count = publisher.partitions(topics.parked)
    await publisher.deliver([outgoing_parked(one, topics, count) for one in events])


async def settled(kafka: str, topics: Topics, lot: ParkingLot, holds: int) -> None:
    async with attending(kafka, topics, lot) as attendant, asyncio.timeout(30):
        while len(lot) != holds:
            await attendant.turn()
        await attendant.turn()


async def test_the_topic_is_the_memory_of_those_who_come_and_go(kafka: str) -> None:
    topics = Topics("parked-a")
    await ensure_topics(kafka, topics)
    async with KafkaPublisher(kafka, topics) as publisher:
        first, second = Stand(), Stand()
        for stand in (first, second):
            stand.connect(publisher, topics)
        assert await read_parked(kafka, topics) == []
        events = [waiting(label(f"b-{number}", f"p-{number}")) for number in range(5)]
        await park(publisher, topics, *events, events[0])
        await settled(kafka, topics, first.lot, 5)
        for stand in (first, second):
            stand.memory.known["p:p-3"] = Stored(decision_bytes("p-3"))
        await settled(kafka, topics, second.lot, 4)
        assert first.engine.calls == []
        assert second.engine.calls == [("handle", ["b-3"])]
        left = [one.payment_id for one in await read_parked(kafka, topics)]
        assert sorted(left) == ["p-0", "p-1", "p-2", "p-4"]


async def test_two_processes_share_what_waits(kafka: str) -> None:
    topics = Topics("parked-b")
    await ensure_topics(kafka, topics)
    async with KafkaPublisher(kafka, topics) as publisher:
        one, other = Stand(), Stand()
        for stand in (one, other):
            stand.connect(publisher, topics)
        events = [waiting(label(f"b-{number}", f"p-{number}")) for number in range(12)]
        await park(publisher, topics, *events)
        async with (
            attending(kafka, topics, one.lot) as mine,
            attending(kafka, topics, other.lot) as theirs,
            asyncio.timeout(60),
        ):
            while len(one.lot) + len(other.lot) != 12 or not (one.lot and other.lot):
                await asyncio.gather(mine.turn(), theirs.turn())


async def test_a_label_before_its_payment_survives_the_kill_of_the_worker(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    topics = Topics("live")
    await ensure_topics(kafka, topics)
    name = f"parked-{time.time_ns()}"
    worker = WorkerProcess(tmp_path, "parked", kafka, redis_url)
    try:
        assert await worker.until_ready(), worker.said()
        now = rfc3339(time.time_ns() // 1_000_000)
        early = {"type": "label", "id": f"lab-{name}", "payment_id": name, "label": "chargeback"}
        early |= {"occurred_at": now, "known_at": now}
        await _send(kafka, topics.labels, early)
        async with asyncio.timeout(30):
            while name not in [one.payment_id for one in await read_parked(kafka, topics)]:
                await asyncio.sleep(0.2)
        await worker.end(signal.SIGKILL)
        payment = {"type": "payment", "id": name, "account": f"acc-{name}", "amount_minor": 100}
        await _send(kafka, topics.events, payment | {"occurred_at": now, "currency": "EUR"})
        worker.start()
        async with asyncio.timeout(60):
            while name in [one.payment_id for one in await read_parked(kafka, topics)]:
                await asyncio.sleep(0.3)
    finally:
        worker.kill()
    told = [one for one in await _ledger(kafka, topics) if one.event_id == f"lab-{name}"]
    assert len({bytes(one.event) for one in told}) == 1
    assert json.loads(bytes(told[0].event))["account"] == f"acc-{name}"
    assert told[0].positions[0].sequence > 0  # after its payment


async def _send(kafka: str, topic: str, event: dict[str, Any]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        await producer.send_and_wait(topic, json.dumps(event).encode(), key=b"main:acc")


async def _ledger(kafka: str, topics: Topics) -> list[Any]:
    async with AIOKafkaConsumer(
        topics.ledger, bootstrap_servers=kafka, auto_offset_reset="earliest"
    ) as consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        found: list[Any] = []
        for place, end in ends.items():
            while await consumer.position(place) < end:
                for record in (await consumer.getmany(place, timeout_ms=1_000)).get(place, ()):
                    found += [decode_ledger(record.value)] if record.value else []
        return found
