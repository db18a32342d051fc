"""The stream door: the raw records of one partition, in order, to the engine and back.

Independent of Faust: ``handle`` returns when every record of the batch is decided,
remembered, or set aside in a topic where it can be found, each confirmed by Kafka. What
cannot be used is set aside while the rest goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from risk.domain.clock import Clock
from risk.domain.errors import InvalidEvent
from risk.domain.ids import digest
from risk.domain.kinds import event_key
from risk.domain.limits import BATCH_PAYMENTS_MAX
from risk.domain.observation import Arrival
from risk.domain.resolving import payment_wanted
from risk.observability.metrics import Metrics
from streams.batch import Batch, Record
from streams.dead_letters import (
    PAYLOAD_MISMATCH,
    DeadLetter,
    dead_letter,
    named,
    outgoing_letter,
    refused,
)
from streams.intake import Intake, Late
from streams.parking import outgoing_parked, parked
from streams.partitioner import partition_of
from streams.publish import Outgoing
from streams.resolve import Resolver
from streams.topics import Topics
from streams.worker import Walker

# A label may overtake its payment by a moment: other topic, other partition.
RESOLVE_PAUSES_S: Final = (0.1, 0.3, 0.6)
YOUNG_MS: Final = 10_000
SOURCE_HEADER: Final = "source"


class Delivering(Protocol):
    """The publisher as the door sees it."""

    async def deliver(self, outgoing: Sequence[Outgoing]) -> list[int]: ...

    def partitions(self, topic: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Item:
    """A record that became an arrival."""

    record: Record
    arrival: Arrival


class StreamDoor:
    """A handler for the events and labels topics."""

    def __init__(
        self,
        intake: Intake,
        resolver: Resolver,
        walker: Walker,
        aside: Aside,
        clock: Clock,
        progress: Callable[[str, int], None] = lambda topic, partition: None,
    ) -> None:
        self._intake = intake
        self._resolver = resolver
        self._walker = walker
        self._aside = aside
        self._clock = clock
        self._progress = progress

    async def handle(self, batch: Batch) -> None:
        """Finish every record. Raises what ``Walker`` raises: then nothing may be committed."""
        items, letters, late = self._take(batch.records)
        async with asyncio.TaskGroup() as group:
            # Beside the engine: what is set aside neither waits for good events nor delays them.
            group.create_task(self._set_aside(letters, late))
            group.create_task(self._walk(batch, items))

    def _take(self, records: Sequence[Record]) -> tuple[list[Item], list[DeadLetter], list[Record]]:
        items: list[Item] = []
        letters: list[DeadLetter] = []
        late: list[Record] = []
        for record in records:
            try:
                taken = self._intake.take(record)
            except InvalidEvent as error:
                letters.append(refused(record, error, self._clock.now_ms()))
                continue
            if isinstance(taken, Late):
                late.append(record)
            else:
                items.append(Item(record, taken))
        return items, letters, late

    async def _walk(self, batch: Batch, items: Sequence[Item]) -> None:
        found, unresolved = await self._resolved(batch, items)
        await self._walk_runs(batch, found)
        # Once more in any case: the payment may have stood before it in this very batch.
        for pause_s in (0.0, *RESOLVE_PAUSES_S):
            now_ms = self._clock.now_ms()
            if not unresolved or (pause_s and not any(_young(item, now_ms) for item in unresolved)):
                break
            await asyncio.sleep(pause_s)
            found, unresolved = await self._resolved(batch, unresolved)
            await self._walk_runs(batch, found)
        if unresolved:
            await self._walker.patiently(
                lambda _deadline: self._aside.park(unresolved, self._clock.now_ms())
            )

    async def _resolved(self, batch: Batch, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """Those that have their entities, in order, and those whose payment is not known."""
        found: list[Item] = []
        unresolved: list[Item] = []
        for item in items:
            wanted = payment_wanted(item.arrival.event)
            if wanted is None:
                found.append(item)
                continue
            arrival = await self._resolve(item.arrival, wanted)
            self._progress(batch.topic, batch.partition)
            if arrival is None:
                unresolved.append(item)
            else:
                found.append(Item(item.record, arrival))
        return found, unresolved

    async def _resolve(self, arrival: Arrival, payment_id: str) -> Arrival | None:
        return await self._walker.patiently(
            lambda _deadline: self._resolver.resolve(arrival, payment_id)
        )

    async def _walk_runs(self, batch: Batch, items: Sequence[Item]) -> None:
        letters: list[DeadLetter] = []
        for run in runs(items):
            codes = await self._walker.walk([item.arrival for item in run])
            letters += [
                named(self._letter(item, code), item.arrival.event.id)
                for item, code in zip(run, codes, strict=True)
                if code is not None
            ]
            self._progress(batch.topic, batch.partition)
        await self._set_aside(letters)

    def _letter(self, item: Item, code: str) -> DeadLetter:
        field = "/id" if code == PAYLOAD_MISMATCH else ""
        return dead_letter(item.record, code, self._clock.now_ms(), field=field)

    async def _set_aside(self, letters: Sequence[DeadLetter], late: Sequence[Record] = ()) -> None:
        if letters or late:
            await self._walker.patiently(lambda _deadline: self._aside.put(letters, late))


class Aside:
    """Publishes dead letters and late events, confirmed by Kafka before it returns."""

    def __init__(self, publisher: Delivering, topics: Topics, metrics: Metrics) -> None:
        self._publisher = publisher
        self._topics = topics
        self._metrics = metrics

    async def put(self, letters: Sequence[DeadLetter], late: Sequence[Record] = ()) -> None:
        """Deliver all of them. Raises Unavailable; a retry may repeat some."""
        partitions = self._publisher.partitions(self._topics.dead_letters)
        outgoing = [outgoing_letter(letter, self._topics, partitions) for letter in letters]
        outgoing += [self._late(record) for record in late]
        await self._publisher.deliver(outgoing)
        for letter in letters:
            self._metrics.count("weir_dead_letters_total", error=letter.code)
        if late:
            self._metrics.count("weir_late_total", len(late))

    async def park(self, items: Sequence[Item], now_ms: int) -> None:
        """Keep events whose payment is not known (``streams.parking_lot`` retries them).

        Raises Unavailable; a retry parks them once more, under the same keys.
        """
        partitions = self._publisher.partitions(self._topics.parked)
        outgoing = []
        for item in items:
            record, wanted = item.record, payment_wanted(item.arrival.event)
            source = f"{record.topic}:{record.partition}:{record.offset}"
            of = digest(record.value or b"")
            one = parked(item.arrival, wanted or "", now_ms, source, of)
            outgoing.append(outgoing_parked(one, self._topics, partitions))
        await self._publisher.deliver(outgoing)
        self._metrics.count("weir_parked_events_total", len(items), door="stream")

    def _late(self, record: Record) -> Outgoing:
        """The record as it came: it can be played into a world of its own."""
        source = f"{record.topic}:{record.partition}:{record.offset}".encode()
        key = record.key or source
        return Outgoing(
            topic=self._topics.late,
            partition=partition_of(key, self._publisher.partitions(self._topics.late)),
            key=key,
            value=record.value,
            headers=((SOURCE_HEADER, source),),
        )


def runs(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Consecutive items for one call of the engine: different events, at most a batch."""
    run: list[Item] = []
    seen: set[tuple[str, str]] = set()
    for item in items:
        event = item.arrival.event
        key = (event.tenant, event_key(event))
        if key in seen or len(run) == BATCH_PAYMENTS_MAX:
            yield run
            run, seen = [], set()
        run.append(item)
        seen.add(key)
    if run:
        yield run


def _young(item: Item, now_ms: int) -> bool:
    return now_ms - item.record.timestamp < YOUNG_MS
