"""Copies topics into the archive: every record once, raw, in files by day.

It belongs to no consumer group and commits no offset. Where to go on is read from the names
of the files, so it may be killed at any moment, and no two places can tell different stories.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, cast

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from risk.domain.clock import Clock
from risk.domain.errors import BadConfiguration, Unavailable
from risk.domain.times import rfc3339
from streams.admin import check_topics, ensure_topics
from streams.archive_merge import merge_day
from streams.archive_names import Span, day_of
from streams.archive_rows import Epochs, Meta, TimedRecord, digest_of
from streams.archive_store import ArchiveWriter, Hole
from streams.reader import new_consumer, read_range, unavailable_as_error
from streams.topics import Topics

ARCHIVED: Final = ("decisions", "ledger", "labels")
FETCH_BYTES: Final = 1024 * 1024
POLL_MS: Final = 200
# Bounds memory and the work that a kill can undo.
PART_BYTES_MAX: Final = 16 * 1024 * 1024
HELD_BYTES_MAX: Final = 64 * 1024 * 1024
RECORD_OVERHEAD_BYTES: Final = 200
REFILL_ROWS: Final = 4096
RETENTION: Final = "RETENTION"
_MADE_ANEW: Final = "the topic was made anew; use a new world, or move its archive away"


class ArchiveReport(msgspec.Struct, kw_only=True, rename={"first": "from", "last": "to"}):
    """What a run archived. ``rows`` by topic; ``first`` and ``last`` are its records' times.

    ``absent`` offsets were never records. ``holes`` are all that the archive knows of,
    ``missing`` (by topic) what was archived and is gone.
    """

    world: str
    rows: dict[str, int]
    files: int = 0
    bytes: int = 0
    first: str | None = None
    last: str | None = None
    absent: int = 0
    merged: int = 0
    holes: list[Hole] = []
    damaged: list[str] = []
    missing: dict[str, list[str]] = {}
    seconds: float = 0.0
    per_s: float = 0.0


class ArchiveState(NamedTuple):
    """How far a running archiver is. ``rows`` by topic, since it started.

    ``lag`` records are in no file yet. ``holes`` and ``missing`` are runs of offsets, and with
    ``damaged`` files they are of the whole archive.
    """

    rows: dict[str, int]
    lag: int
    holes: int
    damaged: int
    missing: int


@dataclass(slots=True)
class _Place:
    """One partition on its way into the archive; ``following`` is the next offset to archive.

    ``proof`` is the last archived record, still to be compared with the topic's.
    """

    topic: str
    kafka: TopicPartition
    following: int
    epochs: Epochs
    end: int
    proof: Meta | None = None
    held: list[TimedRecord] = field(default_factory=list)
    held_bytes: int = 0
    since_s: float = 0.0


class Archiver:
    """Archives the topics of one world. ``every_s`` is how long a record may wait for a file."""

    def __init__(
        self,
        bootstrap: str,
        topics: Topics,
        writer: ArchiveWriter,
        clock: Clock,
        names: Sequence[str] = ARCHIVED,
        every_s: float = 30.0,
        say: Callable[[str], None] = lambda _line: None,
    ) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._writer = writer
        self._clock = clock
        self._names = names
        self._every_s = every_s
        self._say = say
        self._places: dict[TopicPartition, _Place] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self.report = ArchiveReport(world=topics.world, rows=dict.fromkeys(names, 0))

    async def run(self, stop: asyncio.Event, *, once: bool, refill: bool = False) -> ArchiveReport:
        """Archive until ``stop``, or with ``once`` up to where the topics end now.

        What was read is in files when it returns. ``refill`` then archives again what is
        missing, as far as the topics still hold it. Without ``once`` topics are made where
        they are missing. Raises Unavailable where Kafka stays away, BadConfiguration where
        the topics are not those that were archived, OSError.
        """
        began_s = self._clock.monotonic_s()
        await (check_topics if once else ensure_topics)(self._bootstrap, self._topics)
        consumer = new_consumer(self._bootstrap, fetch_bytes=FETCH_BYTES)
        try:
            async with unavailable_as_error():
                await consumer.start()
            await self._begin(consumer)
            self._consumer = consumer
            while not stop.is_set() and not (once and await self._at_end(consumer)):
                await self._fetch(consumer)
                await self._write_due()
            if not self._unproven:
                for place in self._places.values():
                    await self._write(place)
                if refill:
                    await self._refill(consumer)
        finally:
            self._consumer = None
            await consumer.stop()
        return self._finished(self._clock.monotonic_s() - began_s)

    @property
    def state(self) -> ArchiveState | None:
        """How far it is; None while it does not follow the topics."""
        consumer = self._consumer
        if consumer is None:
            return None
        ends = {kafka: consumer.highwater(kafka) for kafka in self._places}
        return ArchiveState(
            rows=dict(self.report.rows),
            lag=sum(
                max(0, (ends[kafka] or place.end) - place.following)
                for kafka, place in self._places.items()
            ),
            holes=sum(len(self._writer.holes(name)) for name in self._names),
            damaged=len(dict.fromkeys(self._writer.damaged)),
            missing=sum(len(self._writer.missing[name]) for name in self._names),
        )

    # -- where to go on ------------------------------------------------------------------

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        """Look up where each partition goes on, and record what is gone already."""
        wanted = {
            TopicPartition(topic.name, partition): name
            for name in self._names
            for topic in self._topics.all()
            if topic.name == getattr(self._topics, name)
            for partition in range(topic.partitions)
        }
        begins, ends = await _bounds(consumer, list(wanted))
        for kafka, name in wanted.items():
            following = self._writer.next_offset(name, kafka.partition)
            epochs = self._writer.epochs(name, kafka.partition)
            place = _Place(name, kafka, following, epochs, ends[kafka])
            _check_end(place, ends[kafka])
            last = self._writer.last_meta(name, kafka.partition)
            place.proof = last if last and last.last_offset >= begins[kafka] else None
            self._places[kafka] = place
        for kafka, place in self._places.items():
            await self._skip_removed(place, begins[kafka])
        # Without an await in between: a partition without a position is an error.
        consumer.assign(list(wanted))
        for kafka, place in self._places.items():
            consumer.seek(kafka, place.proof.last_offset if place.proof else place.following)

    async def _skip_removed(self, place: _Place, begin: int) -> None:
        """Record what retention removed before it was archived."""
        if begin <= place.following:
            return
        hole = Hole(
            topic=place.topic,
            partition=place.kafka.partition,
            first=place.following,
            last=begin - 1,
            cause=RETENTION,
            noticed_at=rfc3339(self._clock.now_ms()),
        )
        await asyncio.to_thread(self._writer.add_hole, hole)
        self._say(f"{place.topic}: {hole.span} were removed before they were archived")
        place.following = begin
        place.epochs = Epochs(place.epochs.epoch, known=False)

    # -- reading and writing -------------------------------------------------------------

    async def _fetch(self, consumer: AIOKafkaConsumer) -> None:
        try:
            async with unavailable_as_error():
                found = await consumer.getmany(timeout_ms=POLL_MS)
        except Unavailable as error:
            if not isinstance(error.__cause__, OffsetOutOfRangeError):
                raise
            await self._go_on_behind(consumer, list(error.__cause__.args[0]))
            return
        now_s = self._clock.monotonic_s()
        for kafka, records in found.items():
            place = self._places[kafka]
            if not place.held:
                place.since_s = now_s
            for record in _compared(place, records):
                place.held.append(record)
                place.held_bytes += len(record.value or b"") + RECORD_OVERHEAD_BYTES

    async def _go_on_behind(
        self, consumer: AIOKafkaConsumer, gone: Sequence[TopicPartition]
    ) -> None:
        """Retention has overtaken reading."""
        begins, ends = await _bounds(consumer, gone)
        for kafka in gone:
            place = self._places[kafka]
            place.proof = None
            await self._write(place)
            _check_end(place, ends[kafka])
            await self._skip_removed(place, begins[kafka])
            consumer.seek(kafka, place.following)

    async def _at_end(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether everything up to the ends seen at the start was read."""
        for kafka, place in self._places.items():
            # The position, as the last offsets may be marks that are no records.
            behind = place.proof is not None or place.end > place.following
            if behind and await consumer.position(kafka) < place.end:
                return False
        return True

    @property
    def _unproven(self) -> bool:
        """Whether these may be other topics than the archived: then nothing is added yet."""
        return any(place.proof for place in self._places.values())

    async def _write_due(self) -> None:
        if self._unproven:
            return
        now_s = self._clock.monotonic_s()
        for place in self._places.values():
            waited = place.held and now_s - place.since_s >= self._every_s
            if waited or place.held_bytes >= PART_BYTES_MAX:
                await self._write(place)
        while sum(place.held_bytes for place in self._places.values()) > HELD_BYTES_MAX:
            await self._write(max(self._places.values(), key=lambda place: place.held_bytes))

    async def _write(self, place: _Place) -> None:
        """Put what is held of a partition into files, one after the other."""
        if not place.held:
            return
        records, place.held, place.held_bytes = place.held, [], 0
        place.following = await self._add(place, records, place.following, place.epochs)
        self.report.merged += await asyncio.to_thread(
            merge_day, self._writer, place.topic, place.kafka.partition
        )

    async def _add(
        self, place: _Place, records: Sequence[TimedRecord], following: int, epochs: Epochs
    ) -> int:
        """Put ``records``, all from ``following`` on, into files; the offset behind them."""
        for run in runs(records):
            span = Span(place.kafka.partition, following, run[-1].offset)
            _, size = await asyncio.to_thread(self._writer.add, place.topic, span, run, epochs)
            following = span.last + 1
            self._count(place.topic, span, run, size)
        return following

    async def _refill(self, consumer: AIOKafkaConsumer) -> None:
        """Archive again what is missing between files, as far as Kafka still has it."""
        begins, _ = await _bounds(consumer, list(self._places))
        for kafka, place in self._places.items():
            for gap in self._writer.missing[place.topic]:
                following = max(gap.first, begins[kafka])
                if gap.partition != kafka.partition or following > gap.last:
                    continue
                epochs = self._writer.epochs(place.topic, kafka.partition, following)
                for start in range(following, gap.last + 1, REFILL_ROWS):
                    end = min(start + REFILL_ROWS, gap.last + 1)
                    async with unavailable_as_error():
                        found = [one async for one in read_range(consumer, kafka, start, end)]
                    records = cast("list[TimedRecord]", found)
                    following = await self._add(place, records, following, epochs)
        self._writer.look_again()

    def _count(self, topic: str, span: Span, records: Sequence[TimedRecord], size: int) -> None:
        report = self.report
        report.rows[topic] += len(records)
        report.files += 1
        report.bytes += size
        report.absent += span.last - span.first + 1 - len(records)
        first = rfc3339(min(record.timestamp for record in records))
        last = rfc3339(max(record.timestamp for record in records))
        report.first = min(first, report.first or first)
        report.last = max(last, report.last or last)

    def _finished(self, seconds: float) -> ArchiveReport:
        report = self.report
        report.holes = [hole for name in self._names for hole in self._writer.holes(name)]
        report.damaged = list(dict.fromkeys(self._writer.damaged))
        report.missing = {name: list(map(str, self._writer.missing[name])) for name in self._names}
        report.seconds = round(seconds, 3)
        report.per_s = round(sum(report.rows.values()) / seconds, 1) if seconds else 0.0
        return report


async def _bounds(
    consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]
) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Where the partitions begin and end now. The beginnings are read last: they move up."""
    async with unavailable_as_error():
        ends = await consumer.end_offsets(places)
        return await consumer.beginning_offsets(places), ends


def _check_end(place: _Place, end: int) -> None:
    if place.following > end:
        raise BadConfiguration(
            f"{_name(place.kafka)} ends at {end}, but {place.following} offsets are archived: "
            f"{_MADE_ANEW}"
        )


def _compared(place: _Place, records: Sequence[TimedRecord]) -> Sequence[TimedRecord]:
    """``records`` that are new. Raises BadConfiguration where the topic is not the archived one."""
    proof = place.proof
    if proof is None:
        return records
    place.proof = None
    first = records[0]
    if first.offset != proof.last_offset or digest_of(first) != proof.last_digest:
        raise BadConfiguration(
            f"{_name(place.kafka)} holds another record at offset {proof.last_offset} than the "
            f"archive: {_MADE_ANEW}"
        )
    return [record for record in records if record.offset >= place.following]


def _name(place: TopicPartition) -> str:
    return f"{place.topic}[{place.partition}]"


def runs(records: Sequence[Any]) -> Iterator[list[TimedRecord]]:
    """``records`` cut where the day (UTC) of the timestamp changes, and at ``PART_BYTES_MAX``.

    Clocks of several publishers differ, so around midnight days may alternate: each change
    begins another file, and every row is in the folder of its own day.
    """
    run: list[TimedRecord] = []
    day, size = "", 0
    for record in records:
        of = day_of(record.timestamp)
        if run and (of != day or size >= PART_BYTES_MAX):
            yield run
            run, size = [], 0
        day = of
        run.append(record)
        size += len(record.value or b"")
    if run:
        yield run
