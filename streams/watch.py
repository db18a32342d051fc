"""Watches the decisions of a world: counts, latencies, and the last stopped payments."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from dataclasses import dataclass, field

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from risk.domain.clock import Clock
from risk.domain.outcome import Outcome
from risk.observability.histogram import Histogram
from streams.topics import Topics

STOPPED_SHOWN = 8


class _Reason(msgspec.Struct):
    code: str
    sentence: str


class _Answer(msgspec.Struct):
    """The part of a decision that people look at."""

    payment_id: str
    outcome: Outcome
    score: float | None
    reasons: list[_Reason]


@dataclass(slots=True)
class Stopped:
    """A payment that was not allowed, for display."""

    payment_id: str
    outcome: Outcome
    score: float | None
    reasons: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What was seen so far. Only payments named by ``sent`` are counted, each once."""

    sent: int = 0
    decisions: int = 0
    repeats: int = 0
    dead_letters: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)
    stopped: deque[Stopped] = field(default_factory=lambda: deque(maxlen=STOPPED_SHOWN))


class Watcher:
    """Follows the decisions and dead-letters topics from their present ends."""

    def __init__(self, bootstrap: str, topics: Topics, clock: Clock) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._clock = clock
        self._waiting: dict[str, float] = {}
        self._decoder = msgspec.json.Decoder(_Answer)
        self.tally = Tally()

    async def __aenter__(self) -> Watcher:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            fetch_max_wait_ms=20,
        )
        await self._consumer.start()
        names = [one for one in self._topics.all() if one.name in self._followed()]
        places = [
            TopicPartition(one.name, place) for one in names for place in range(one.partitions)
        ]
        self._consumer.assign(places)
        await self._consumer.seek_to_end(*places)
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()

    def sent(self, payment_id: str) -> None:
        """Say that ``payment_id`` is on its way now."""
        self.tally.sent += 1
        self._waiting[payment_id] = self._clock.monotonic_s()

    @property
    def undecided(self) -> int:
        """Payments sent and not yet answered."""
        return len(self._waiting)

    async def drain(self, seconds: float) -> bool:
        """Wait until every payment is answered, at most ``seconds``; True where all are."""
        ends = self._clock.monotonic_s() + seconds
        while self._waiting and self._clock.monotonic_s() < ends:
            self._task.done() and self._task.result()
            await asyncio.sleep(0.05)
        return not self._waiting

    def _followed(self) -> tuple[str, str]:
        return (self._topics.decisions, self._topics.dead_letters)

    async def _follow(self) -> None:
        while True:
            fetched = await self._consumer.getmany(timeout_ms=200)
            now_s = self._clock.monotonic_s()
            for place, records in fetched.items():
                if place.topic == self._topics.dead_letters:
                    self.tally.dead_letters += len(records)
                    continue
                for record in records:
                    if record.value:
                        self._count(record.value, now_s)

    def _count(self, body: bytes, now_s: float) -> None:
        answer = self._decoder.decode(body)
        sent_s = self._waiting.pop(answer.payment_id, None)
        if sent_s is None:
            self.tally.repeats += 1
            return
        self.tally.decisions += 1
        self.tally.outcomes[answer.outcome] += 1
        self.tally.latency.add((now_s - sent_s) * 1000)
        if answer.outcome is not Outcome.ALLOW:
            reasons = tuple(reason.sentence for reason in answer.reasons)
            self.tally.stopped.append(
                Stopped(answer.payment_id, answer.outcome, answer.score, reasons)
            )
