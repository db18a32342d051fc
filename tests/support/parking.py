"""A parking lot between twins, and parked events."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence

from risk.domain.clock import ManualClock, SystemClock
from risk.domain.ids import digest
from risk.domain.observation import Arrival
from risk.domain.times import rfc3339
from risk.observability.metrics import Metrics
from streams.dead_letters import DeadLetter, decode_dead_letter
from streams.door import Aside, Delivering
from streams.intake import Intake
from streams.parking import ParkedEvent, outgoing_parked, parked
from streams.parking_lot import Doors, ParkingLot
from streams.publish import Outgoing
from streams.resolve import Resolver
from streams.topics import Topics
from streams.worker import Walker
from tests.support.stream_records import NOW_MS, Raw, event
from tests.support.stream_twins import EngineTwin, KafkaTwin, MemoryTwin

TOPICS = Topics("live")
WINDOW_MS = 7 * 24 * 60 * 60 * 1000


class ArchiveTwin:
    """Has some decisions; counts how often it was asked."""

    def __init__(self) -> None:
        self.held: dict[tuple[str, str], bytes] = {}
        self.asked: list[list[tuple[str, str]]] = []

    def find(self, wanted: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], bytes]:
        self.asked.append(list(wanted))
        return {name: self.held[name] for name in wanted if name in self.held}


class Stand:
    """A lot between twins; ``feed`` plays the topic."""

    def __init__(self, parked_max: int = 100) -> None:
        self.parked_max = parked_max
        self.engine, self.kafka, self.memory = EngineTwin(), KafkaTwin(), MemoryTwin()
        self.archive = ArchiveTwin()
        self.clock = ManualClock(NOW_MS + 1_000)
        self.metrics = Metrics()
        self.offset = 0
        self.aside = Aside(self.kafka, TOPICS, self.metrics)
        self.lot = self.new_lot(self.kafka, TOPICS)

    def connect(self, publisher: Delivering, topics: Topics) -> None:
        """A new lot that says to a real Kafka what has gone."""
        self.lot = self.new_lot(publisher, topics)

    def new_lot(self, publisher: Delivering, topics: Topics) -> ParkingLot:
        doors = Doors(
            Resolver(self.memory, self.kafka),
            Walker(self.engine, SystemClock(), 200, random.Random(1)),
            self.aside,
            publisher,
            topics,
        )
        bounds = (WINDOW_MS, self.parked_max)
        return ParkingLot(doors, self.archive, self.clock, self.metrics, *bounds)

    def feed(self, lot: ParkingLot, *sent: Outgoing) -> None:
        for one in sent:
            lot.take(Raw(self.offset, one.value, TOPICS.parked, one.partition, NOW_MS, one.key))
            self.offset += 1

    async def turn(self, after_ms: int = 0) -> None:
        self.clock.advance(after_ms)
        await self.lot.turn([0, 1])

    def letters(self) -> list[DeadLetter]:
        return [
            decode_dead_letter(one.value)
            for one in self.kafka.sent
            if one.topic == TOPICS.dead_letters and one.value is not None
        ]

    def gone(self) -> list[bytes]:
        return [
            one.key or b""
            for one in self.kafka.sent
            if one.topic == TOPICS.parked and not one.value
        ]


def label(identifier: str, payment_id: str, word: str = "chargeback") -> bytes:
    known = rfc3339(NOW_MS)
    return event("label", identifier, payment_id=payment_id, label=word, known_at=known)


def waiting(raw: bytes, at_ms: int = NOW_MS, source: str = "weir.labels:3:7") -> ParkedEvent:
    arrival = Intake(lambda _: None, live=True).take(Raw(7, raw, "weir.labels"))
    assert isinstance(arrival, Arrival)
    wanted = json.loads(raw)["payment_id"]
    return parked(arrival, wanted, at_ms, source, digest(raw) if source else "")


def sent(one: ParkedEvent) -> Outgoing:
    return outgoing_parked(one, TOPICS, 2)
