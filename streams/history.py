"""Decisions and ledger of a world as a proof reads them: every partition, merged by time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from features.proof.history import Extent, HistoryRecord, Span
from features.truth import TRUTH_TOPICS, TruthTopic
from risk.domain.errors import Unavailable
from risk.domain.limits import (
    FUTURE_MS_MAX,
    HORIZON_MS,
    LATENESS_MS_MAX,
    TIME_MS_MAX,
)
from streams.admin import check_topics
from streams.batch import Record
from streams.reader import STALLED_S, new_consumer, read_range, unavailable_as_error
from streams.topics import LIVE_WORLD, Topics
from streams.truth import TAIL_RECORDS, epoch_of, truth_record

CHUNK: Final = 2048
FETCH_BYTES: Final = 1024 * 1024
BUFFERED_MAX: Final = 8192  # records of one partition that wait for the others
# How long after the last decision of a range the records that it saw may be published.
AFTER_MS: Final = 2 * 60 * 60 * 1000
CLOCKS_MS: Final = 10 * 60 * 1000  # publishers' clocks differ by less
# A payment of the range happened at most LATENESS_MS_MAX before it arrived, and sees records
# that happened at most HORIZON_MS before that, and the rest of the tile in which that lies.
DAY_MS: Final = 24 * 60 * 60 * 1000  # the widest tile
BEFORE_MS: Final = HORIZON_MS + DAY_MS + LATENESS_MS_MAX + FUTURE_MS_MAX + CLOCKS_MS


def history_record(record: Record, topic: TruthTopic) -> HistoryRecord:
    """``record`` as a proof reads it, whether Kafka or the archive held it."""
    seen = truth_record(record)
    return HistoryRecord(
        topic, record.partition, seen.offset, record.timestamp, seen.epoch, seen.marker, seen.value
    )


class KafkaHistory:
    """Implements ``features.proof.history.History`` on the topics of one world.

    Made by ``open_history``. Raises Unavailable("kafka", ...) where Kafka does not answer.
    """

    def __init__(self, bootstrap: str, topics: Topics, extent: Extent) -> None:
        self.bootstrap = bootstrap
        self.topics = topics
        self.names = _names(topics)
        self._extent = extent

    @property
    def extent(self) -> Extent:
        """How far it goes."""
        return self._extent

    async def chunks(self) -> AsyncGenerator[Sequence[HistoryRecord], None]:
        """See ``History``."""
        spans = {
            TopicPartition(self.names[span.topic], span.partition): span
            for span in self._extent.spans
            if span.first < span.end
        }
        if not spans:
            return
        async with consuming(self.bootstrap) as consumer:
            merge = _Merge(spans)
            consumer.assign(list(spans))
            for place, span in spans.items():
                consumer.seek(place, span.first)
            while True:
                wanted, full = merge.wants()
                if not wanted:
                    break
                consumer.resume(*wanted)
                consumer.pause(*full)
                found = await consumer.getmany(timeout_ms=int(STALLED_S * 1000))
                if not found:
                    raise Unavailable("kafka", f"nothing comes from {wanted[0]}")
                for place, records in found.items():
                    merge.add(place, records)
                for chunk in _cut(merge.mature()):
                    yield chunk
            for chunk in _cut(merge.mature()):
                yield chunk


class _Merge:
    """Buffers of all partitions; gives out what no other partition can come before."""

    def __init__(self, spans: dict[TopicPartition, Span]) -> None:
        self._spans = spans
        self._held: dict[TopicPartition, deque[HistoryRecord]] = {place: deque() for place in spans}
        self._next = {place: span.first for place, span in spans.items()}

    def wants(self) -> tuple[list[TopicPartition], list[TopicPartition]]:
        """Partitions to read on, and those to leave alone until then."""
        wanted = [place for place in self._spans if not self._done(place)]
        if any(not self._held[place] for place in wanted):
            # The merge stands still for these, so the others need not read ahead much.
            few = [place for place in wanted if len(self._held[place]) < BUFFERED_MAX]
        else:
            few = wanted
        return few, [place for place in self._spans if place not in few]

    def add(self, place: TopicPartition, records: Sequence[Any]) -> None:
        """Consecutive records of one partition."""
        span = self._spans[place]
        self._held[place].extend(
            history_record(record, span.topic) for record in records if record.offset < span.end
        )
        self._next[place] = records[-1].offset + 1

    def mature(self) -> list[HistoryRecord]:
        """Everything before the earliest end of any unfinished partition's buffer, in order."""
        heap: list[tuple[int, int, TopicPartition]] = []
        for number, (place, held) in enumerate(self._held.items()):
            if held:
                heapq.heappush(heap, (held[0].timestamp_ms, number, place))
            elif not self._done(place):
                return []
        given: list[HistoryRecord] = []
        while heap:
            at_ms, number, place = heapq.heappop(heap)
            held = self._held[place]
            given.append(held.popleft())
            if held:
                # Within a partition the offset decides, whatever a publisher's clock said.
                heapq.heappush(heap, (max(at_ms, held[0].timestamp_ms), number, place))
            elif not self._done(place):
                break
        return given

    def _done(self, place: TopicPartition) -> bool:
        return self._next[place] >= self._spans[place].end


def _cut(records: Sequence[HistoryRecord]) -> Iterable[Sequence[HistoryRecord]]:
    for start in range(0, len(records), CHUNK):
        yield records[start : start + CHUNK]


async def open_history(
    bootstrap: str, topics: Topics, from_ms: int | None = None, to_ms: int | None = None
) -> KafkaHistory:
    """The history that decisions with ``from_ms <= decided_at < to_ms`` need, as Kafka has it now.

    In the live world that is a little more than the longest window before the range; in other
    worlds, whose arrivals are not by the wall clock, and without a range, it is everything.
    Raises BadConfiguration where the world has no topics, Unavailable where Kafka is away.
    """
    await check_topics(bootstrap, topics)
    clocked = topics.world == LIVE_WORLD
    ranged = clocked and from_ms is not None
    begin_ms = from_ms - BEFORE_MS if ranged and from_ms is not None else None
    end_ms = to_ms + AFTER_MS if ranged and to_ms is not None else None
    names = _names(topics)
    async with consuming(bootstrap) as consumer:
        ends: list[_End] = []
        for topic in TRUTH_TOPICS:
            for place in _partitions(topics, names[topic]):
                ends.append(await _ends(consumer, topic, place, begin_ms, end_ms))
    cuts = [one.cut_ms for one in ends if one.cut_ms is not None]
    extent = Extent(tuple(one.span for one in ends), max(cuts, default=None), clocked)
    return KafkaHistory(bootstrap, topics, extent)


class _End(NamedTuple):
    span: Span
    cut_ms: int | None


async def _ends(
    consumer: AIOKafkaConsumer,
    topic: TruthTopic,
    place: TopicPartition,
    begin_ms: int | None,
    end_ms: int | None,
) -> _End:
    """What to read of one partition, and since when it is whole."""
    kept = (await consumer.beginning_offsets([place]))[place]
    end = (await consumer.end_offsets([place]))[place]
    end = min(end, await _offset_at(consumer, place, end_ms, end))
    first = max(kept, min(end, await _offset_at(consumer, place, begin_ms, kept)))
    if first == 0:
        return _End(Span(topic, place.partition, 0, end), None)
    cut_ms = begin_ms
    if first == kept or cut_ms is None:
        cut_ms = TIME_MS_MAX  # nothing is left that could say when the rest was published
        async for record in read_range(consumer, place, first, min(first + 1, end)):
            cut_ms = record.timestamp + CLOCKS_MS
    epoch = 0
    async for record in read_range(consumer, place, max(kept, first - TAIL_RECORDS), first):
        epoch = max(epoch, epoch_of(record))
    return _End(Span(topic, place.partition, first, end, epoch), cut_ms)


async def _offset_at(
    consumer: AIOKafkaConsumer, place: TopicPartition, at_ms: int | None, otherwise: int
) -> int:
    """The first offset published at or after a time; ``otherwise`` where no time is asked."""
    if at_ms is None:
        return otherwise
    found = (await consumer.offsets_for_times({place: max(0, at_ms)}))[place]
    if found is None:
        end: int = (await consumer.end_offsets([place]))[place]
        return end
    offset: int = found.offset
    return offset


def _names(topics: Topics) -> dict[TruthTopic, str]:
    return {"decisions": topics.decisions, "ledger": topics.ledger}


def _partitions(topics: Topics, name: str) -> list[TopicPartition]:
    (count,) = (topic.partitions for topic in topics.all() if topic.name == name)
    return [TopicPartition(name, number) for number in range(count)]


@asynccontextmanager
async def consuming(bootstrap: str) -> AsyncIterator[AIOKafkaConsumer]:
    """A started consumer without a group; what Kafka's client raises becomes Unavailable."""
    consumer = new_consumer(bootstrap, fetch_bytes=FETCH_BYTES)
    async with unavailable_as_error():
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()


async def continued(history: KafkaHistory) -> KafkaHistory:
    """What has come since ``history`` was opened; its spans begin where those of it end."""
    async with consuming(history.bootstrap) as consumer:
        spans = []
        for span in history.extent.spans:
            place = TopicPartition(history.names[span.topic], span.partition)
            end = (await consumer.end_offsets([place]))[place]
            spans.append(span._replace(first=span.end, end=max(end, span.end)))
    extent = history.extent._replace(spans=tuple(spans))
    return KafkaHistory(history.bootstrap, history.topics, extent)
