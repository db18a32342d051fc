"""The topics of a world as anybody reads them from outside, and what they prove."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from features.logs import Log as HeldLog
from features.records import HOLE_RECORD, RECORD_BYTES, facts, records
from features.tails import Tail
from features.truth import Standing
from features.vectors import vectors
from risk.domain.decision import Evidence, LogPosition, decode_decision, decode_ledger
from risk.domain.decoding import decode_stored
from risk.domain.event import AnyEvent, Payment, Refund
from risk.domain.kinds import event_key, record_kind
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival
from risk.domain.times import parse_rfc3339
from streams.batch import Record
from streams.topics import Topics
from streams.truth import truth_record

Log = tuple[str, str, str]  # tenant, kind, identifier
BATCH = 500
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
    """Rebuilds every log from decisions and ledger alone, and every vector from the logs."""

    def __init__(self, rates: ExchangeRates) -> None:
        self._rates = rates
        self._at: dict[Log, dict[int, bytes]] = defaultdict(dict)
        self._evidence: list[Evidence] = []
        self.remembered: set[str] = set()
        self.conflicts: list[str] = []

    def read(self, topics: Topics, reading: TopicReading) -> None:
        """Take every record of both topics that stands."""
        for topic in (topics.decisions, topics.ledger):
            for found in reading.of(topic).values():
                standing = Standing(None)
                for record in found:
                    seen = truth_record(record)
                    if standing.admits(seen):
                        self._take(seen.value, ledger=topic == topics.ledger)

    def _take(self, value: bytes, *, ledger: bool) -> None:
        if ledger:
            entry = decode_ledger(value)
            event = self._place(bytes(entry.event), entry.positions)
            if not entry.pending:
                self.remembered.add(event_key(event))
            return
        decision = decode_decision(value)
        assert decision.evidence is not None
        self._place(bytes(decision.evidence.event), decision.evidence.positions)
        self._evidence.append(decision.evidence)

    def _place(self, body: bytes, positions: Sequence[LogPosition]) -> AnyEvent:
        event = decode_stored(body).event
        of = facts(event, record_kind(event), self._to_base(event))
        left = {(kind, name): record for kind, name, record in records(event, of)}
        for one in positions:
            log = self._at[event.tenant, one.kind, one.identifier]
            record = left[one.kind, one.identifier]
            if log.setdefault(one.sequence, record) != record:
                self.conflicts.append(f"{event.id} at {one}")
        return event

    def logs(self) -> list[Log]:
        """Every log that has a record."""
        return list(self._at)

    def agrees(self, name: Log, held: HeldLog) -> bool:
        """Whether ``held`` is the end of the log, record by record."""
        log = self._at[name]
        whole = bytes(held.records)
        return held.following == max(log) + 1 and all(
            whole[at : at + RECORD_BYTES] == log.get(held.first + at // RECORD_BYTES, HOLE_RECORD)
            for at in range(0, len(whole), RECORD_BYTES)
        )

    def check(self) -> Counter[str]:
        """How many vectors are ``equal`` bit for bit, ``different``, ``unprovable``, ``lost``."""
        tally: Counter[str] = Counter()
        provable: list[tuple[Arrival, tuple[Tail, ...]]] = []
        expected: list[bytes] = []
        for one in self._evidence:
            if one.vector is None:
                tally["lost"] += 1
                continue
            tails = self._tails(one)
            if tails is None:
                tally["unprovable"] += 1
                continue
            provable.append((self._arrival(one), tails))
            row = [np.nan if value is None else value for value in one.vector]
            expected.append(np.array(row).tobytes())
        for start in range(0, len(provable), BATCH):
            matrix, _ = vectors(provable[start : start + BATCH])
            for row, recorded in zip(matrix, expected[start : start + BATCH], strict=True):
                tally["equal" if row.tobytes() == recorded else "different"] += 1
        return tally

    def _tails(self, evidence: Evidence) -> tuple[Tail, ...] | None:
        tenant = decode_stored(bytes(evidence.event)).event.tenant
        tails = []
        for one in evidence.positions:
            log = self._at[tenant, one.kind, one.identifier]
            seen = [
                log.get(place, HOLE_RECORD if place < one.base else b"")
                for place in range(one.tail_from, one.sequence)
            ]
            if not all(seen):
                return None
            tails.append(Tail(one.kind, b"".join(seen), one.tail_from > 0))
        return tuple(tails)

    def _arrival(self, evidence: Evidence) -> Arrival:
        event, body, fingerprint = decode_stored(bytes(evidence.event))
        at_ms = parse_rfc3339(evidence.arrived_at)
        return Arrival(event, body, fingerprint, evidence.door, at_ms, self._to_base(event))

    def _to_base(self, event: AnyEvent) -> int | None:
        if isinstance(event, Payment | Refund):
            return self._rates.to_base(event.amount_minor, event.currency)
        return None


async def end_offsets(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> dict[int, int]:
    """Where each partition of a topic ends now."""
    places = [TopicPartition(topic, number) for number in range(partitions)]
    return {place.partition: end for place, end in (await consumer.end_offsets(places)).items()}
