"""The topics of a world as anybody reads them from outside, and what they prove."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from features.log_digest import LogName, content
from features.logs import Log as HeldLog
from features.parity import Parity, prove
from features.proof.certificate import ParityReport
from features.proof.held import HeldLogs
from features.proof.history import HistoryRecord
from features.proof.told import ToBase, read_told
from features.truth import Standing, TruthTopic
from risk.domain.decision import decode_decision
from risk.domain.event import AnyEvent, Payment, Refund
from risk.domain.kinds import event_key
from risk.domain.limits import TIME_MS_MAX
from risk.domain.money import ExchangeRates
from streams.batch import Record
from streams.history import history_record
from streams.topics import Topics
from streams.truth import truth_record
from tests.support.proof_world import ListHistory

CATCH_UP_S = 30.0


class TopicReading:
    """Follows topics from their first record on; ``records`` by (topic, partition)."""

    def __init__(self, bootstrap: str, topics: Sequence[str]) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._consumer: AIOKafkaConsumer | None = None
        self.records: dict[tuple[str, int], list[Record]] = defaultdict(list)

    async def follow(self) -> None:
        """Read until cancelled."""
        consumer = AIOKafkaConsumer(
            *self._topics, bootstrap_servers=self._bootstrap, auto_offset_reset="earliest"
        )
        await consumer.start()
        self._consumer = consumer
        try:
            while True:
                for place, found in (await consumer.getmany(timeout_ms=200)).items():
                    self.records[place.topic, place.partition] += found
        finally:
            await consumer.stop()

    async def caught_up(self) -> None:
        """Wait until ``follow`` has read all that the topics hold now."""
        assert self._consumer is not None
        ends = await self._consumer.end_offsets(self._consumer.assignment())
        for _ in range(int(CATCH_UP_S / 0.1)):
            behind = {place: end for place, end in ends.items() if end > self._next(*place)}
            if not behind:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never read up to {behind}")

    def _next(self, topic: str, partition: int) -> int:
        found = self.records[topic, partition]
        return found[-1].offset + 1 if found else 0

    def of(self, topic: str) -> dict[int, list[Record]]:
        """The records of one topic by partition."""
        return {place[1]: found for place, found in self.records.items() if place[0] == topic}


@dataclass(frozen=True, slots=True)
class Stand:
    """A decision that stands: authoritative, and not void."""

    partition: int
    offset: int
    body: bytes


class Decisions:
    """What the decisions topic says so far; ``update`` takes what has come since."""

    def __init__(self) -> None:
        self.standing: dict[str, list[Stand]] = defaultdict(list)
        self.epochs: set[int] = set()
        self.void = 0
        self._judges: dict[int, Standing] = defaultdict(lambda: Standing(None))
        self._read: Counter[int] = Counter()

    def update(self, partitions: Mapping[int, Sequence[Record]]) -> None:
        """Partitions in offset order from their first record on."""
        for partition, found in partitions.items():
            for record in found[self._read[partition] :]:
                self._take(partition, record)
            self._read[partition] = len(found)

    def _take(self, partition: int, record: Record) -> None:
        seen = truth_record(record)
        stands = self._judges[partition].admits(seen)
        if seen.marker:
            self.epochs.add(seen.epoch)
            return
        decision = decode_decision(seen.value)
        if not (stands and decision.authoritative):
            self.void += 1
            return
        self.standing[decision.payment_id].append(Stand(partition, record.offset, seen.value))


class Proof:
    """What decisions and ledger prove, by the product's own means."""

    def __init__(self, rates: ExchangeRates, topics: Topics, reading: TopicReading) -> None:
        self._to_base = _by(rates)
        names: dict[TruthTopic, str] = {"decisions": topics.decisions, "ledger": topics.ledger}
        partitions = [
            [history_record(one, short) for one in found]
            for short, topic in names.items()
            for found in reading.of(topic).values()
        ]
        merged = heapq.merge(*partitions, key=lambda one: one.timestamp_ms)
        self.history = ListHistory(list(merged))
        self.held = HeldLogs(self.history.extent, self._to_base)
        self.held.take(self.history.records)
        self.remembered = {
            event_key(event)
            for record in self.history.records
            if record.topic == "ledger" and (event := _remembered(record, self._to_base))
        }

    def agrees(self, name: LogName, held: HeldLog) -> bool:
        """Whether ``held`` is the end of the log, record by record."""
        return content(held) == content(self.held.logs[name])

    async def certificate(self) -> ParityReport:
        """Every vector made again, bit for bit."""
        check = Parity(self.history.extent, self._to_base, NoModels(), 0, TIME_MS_MAX - 1)
        return await prove(self.history, check)


class NoModels:
    """Implements ``features.parity.Models`` where none was registered."""

    def of(self, model_digest: str, calibration_digest: str) -> None:
        return None


def _remembered(record: HistoryRecord, to_base: ToBase) -> AnyEvent | None:
    if record.marker:
        return None
    told = read_told(record, to_base)
    return None if told is None or told.pending else told.event


def _by(rates: ExchangeRates) -> ToBase:
    def to_base(event: AnyEvent, digest: str) -> int | None:
        assert digest == rates.digest()
        if isinstance(event, Payment | Refund):
            return rates.to_base(event.amount_minor, event.currency)
        return None

    return to_base


async def end_offsets(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> dict[int, int]:
    """Where each partition of a topic ends now."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}
