"""Twins of the engine, of Kafka and of the memory, as the stream door sees them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from risk.domain.clock import Deadline
from risk.domain.errors import BadConfiguration, Unavailable
from risk.domain.observation import Arrival, Receipt, Stored
from streams.publish import Outgoing


@dataclass(frozen=True)
class Answer:
    mismatch: bool
    published: bool = True


class EngineTwin:
    """Writes down what it is given; fails where it is told to."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.down = 0
        self.poison: set[str] = set()
        self.mismatched: set[str] = set()
        self.misconfigured = False
        self.unpublished = 0
        self.arrivals: dict[str, Arrival] = {}

    async def handle(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[Answer]:
        return [Answer(bad) for bad in self._take("handle", arrivals)]

    async def fall_back(self, arrivals: Sequence[Arrival]) -> list[Answer]:
        self.calls.append(("fall_back", [one.event.id for one in arrivals]))
        self.unpublished -= 1
        return [Answer(False, published=self.unpublished < 0) for _ in arrivals]

    def _take(self, how: str, arrivals: Sequence[Arrival]) -> list[bool]:
        if self.down:
            self.down -= 1
            raise Unavailable("redis", "it is down")
        if self.misconfigured:
            raise BadConfiguration("a table is missing")
        ids = [one.event.id for one in arrivals]
        if self.poison & set(ids):
            raise ZeroDivisionError("a bug")
        self.calls.append((how, ids))
        self.arrivals.update({one.event.id: one for one in arrivals})
        return [one in self.mismatched for one in ids]


class KafkaTwin:
    """Keeps what is delivered, and serves decisions by offset."""

    def __init__(self) -> None:
        self.sent: list[Outgoing] = []
        self.down = 0
        self.decisions: list[bytes] = []

    async def deliver(self, outgoing: Sequence[Outgoing]) -> list[int]:
        if self.down:
            self.down -= 1
            raise Unavailable("kafka", "it is down")
        self.sent += outgoing
        return list(range(len(outgoing)))

    def partitions(self, topic: str) -> int:
        return 2

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        return self.decisions[offset]


class MemoryTwin:
    """Knows decided payments."""

    def __init__(self) -> None:
        self.known: dict[str, Stored | Receipt] = {}
        self.asked = 0
        self.after = 0

    async def look_up(self, tenant: str, event_key: str) -> Stored | Receipt | None:
        self.asked += 1
        return self.known.get(event_key) if self.asked > self.after else None
