"""Follows the decisions of a world: publishes alerts, none lost, none doubled, and keeps holds.

Alerts are delivered before it is saved how far the decisions were read, so after a crash the
same decisions are read again. Their alerts have the same ids, and what stands on the topic
already is known from the topic itself. Whom rules hold is put on lists before it is saved, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from features.truth import Standing
from risk.alerts.alert import Alert, PaymentEvidence, encode_alert, read_alert
from risk.alerts.desk import AlertDesk, Counts
from risk.alerts.holds import RuleHolds
from risk.alerts.seen import Features
from risk.domain.clock import Clock
from risk.domain.errors import BadVersion, Unavailable
from risk.lists.desk import ListDesk
from risk.observability.metrics import Metrics
from risk.rules.book import Book
from risk.versions.serving import book_in
from streams.alert_state import AlertState, StateFile
from streams.batch import Record
from streams.control import Control
from streams.partitioner import partition_of
from streams.publish import KafkaPublisher, Outgoing
from streams.reader import new_consumer, read_range, unavailable_as_error
from streams.topics import LIVE_WORLD, Topics
from streams.truth import truth_record

FETCH_BYTES: Final = 4 * 1024 * 1024
POLL_MS: Final = 200
RECORDS_MAX: Final = 2_000
RULES_COUNTED_MAX: Final = 500  # as labels of a counter
SAVE_EVERY_S: Final = 5.0
_LOG = structlog.get_logger("weir.alerts")


@dataclass(slots=True)
class _Place:
    """One partition of decisions: where reading goes on, and the last time that was seen."""

    following: int
    standing: Standing
    end: int
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a follower works with. ``shipped`` judges until another book is live.

    ``back_ms`` is how far back the first reading of a live world begins.
    """

    bootstrap: str
    topics: Topics
    control: Control
    publisher: KafkaPublisher
    file: StateFile
    features: Features
    shipped: Book
    back_ms: int
    lists: ListDesk


@dataclass(slots=True)
class _Reading:
    consumer: AIOKafkaConsumer
    places: dict[TopicPartition, _Place] = field(default_factory=dict)


class AlertFollower:
    """The publisher of a world's alerts. ``turn`` is called again and again, by one task."""

    def __init__(self, parts: Parts, clock: Clock, metrics: Metrics) -> None:
        self._parts = parts
        self._clock = clock
        self._metrics = metrics
        held = parts.file.load()
        self._holds = RuleHolds(parts.lists, self._book_of)
        self._desk = AlertDesk(self._book_of, parts.features, held.desk if held else None)
        self._alerts: dict[int, int] = dict(held.alerts) if held else {}
        self._resume: dict[int, tuple[int, int]] = dict(held.decisions) if held else {}
        self._doubtful = True
        """Whether alerts may stand on the topic that this process does not know of."""
        self._reading: _Reading | None = None
        self._pending: list[Alert] = []
        self._counted: set[str] = set()
        self._saved_s = clock.monotonic_s()

    async def turn(self) -> int:
        """Look at what was decided since the last turn; how many records there were.

        Raises Unavailable, or BadList where people must mend a list that rules hold by; the next
        turn goes on where this one was.
        """
        try:
            reading = self._reading or await self._start()
            async with unavailable_as_error():
                found = await reading.consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            # After the fetch: whatever book judged these decisions stands on the topic by now.
            await self._parts.control.look()
        except Unavailable:
            await self._stop_reading()
            raise
        self._desk.watch(self._live_book())
        for kafka, records in found.items():
            place = reading.places[kafka]
            for record in records:
                self._look(place, record)
                place.following = record.offset + 1
        self._advance(reading)
        self._pending += self._desk.take()
        await self._deliver()
        await self._hold()
        if self._clock.monotonic_s() - self._saved_s >= SAVE_EVERY_S:
            self.save()
        return sum(map(len, found.values()))

    @property
    def lag(self) -> int:
        """Decisions that were not looked at yet, as far as is known."""
        reading = self._reading
        if reading is None:
            return 0
        return sum(
            max(0, _end(reading.consumer, kafka, place) - place.following)
            for kafka, place in reading.places.items()
        )

    def save(self) -> None:
        """Save how far it is; nothing is where alerts or holds wait. Raises OSError."""
        if self._reading is None or self._pending or self._holds.waiting:
            return
        decisions = {
            kafka.partition: (place.following, place.standing.epoch)
            for kafka, place in self._reading.places.items()
        }
        self._parts.file.save(
            AlertState(decisions=decisions, alerts=dict(self._alerts), desk=self._desk.state)
        )
        self._saved_s = self._clock.monotonic_s()

    async def close(self) -> None:
        """Let go of Kafka, and of the control topic."""
        await self._stop_reading()
        await self._parts.control.close()

    # -- decisions -----------------------------------------------------------------------

    def _look(self, place: _Place, record: Record) -> None:
        told = truth_record(record)
        stands = place.standing.admits(told)
        if told.marker or not told.value or not stands:
            return
        try:
            at_ms = self._desk.decided(told.value, record.partition, record.offset)
            self._holds.look(told.value)
        except (msgspec.DecodeError, ValueError) as error:
            self._metrics.count("weir_alerts_unseen_total")
            _LOG.error("a decision is unfit", partition=record.partition, offset=record.offset,
                       error=type(error).__name__)  # fmt: skip
            return
        if at_ms is not None:
            place.at_ms = at_ms

    def _advance(self, reading: _Reading) -> None:
        """Tell the desk up to what time every decision was looked at, where that is known."""
        behind = [
            place
            for kafka, place in reading.places.items()
            if place.following < _end(reading.consumer, kafka, place)
        ]
        times = [place.at_ms for place in behind or reading.places.values()]
        known = [at_ms for at_ms in times if at_ms is not None]
        if behind:
            # What lags may still tell of the time before: the slowest says how far it is.
            if len(known) == len(times):
                self._desk.advance(min(known))
        elif self._parts.topics.world == LIVE_WORLD:
            self._desk.advance(self._clock.now_ms())
            self._metrics.set("weir_alerts_seen_seconds", self._clock.now_ms() / 1000)
        elif known:
            self._desk.advance(max(known))
        self._count()

    def _count(self) -> None:
        counts, self._desk.counts = self._desk.counts, Counts()
        self._metrics.count("weir_alerts_suppressed_total", counts.suppressed)
        self._metrics.count("weir_alerts_unknown_books_total", counts.unknown_books)
        self._metrics.count("weir_alerts_series_dropped_total", counts.dropped_series)
        for rule, times in counts.hits.items():
            if rule in self._counted or len(self._counted) < RULES_COUNTED_MAX:
                self._counted.add(rule)
                self._metrics.count("weir_rule_hits_total", times, rule=rule)
            else:
                self._metrics.count("weir_rule_hits_total", times, rule="other")
        self._metrics.set("weir_alerts_lag", self.lag)

    def _book_of(self, digest: str) -> Book | None:
        if digest == self._parts.shipped.digest():
            return self._parts.shipped
        try:
            version = self._parts.control.store.get("book", digest) if digest else None
            return None if version is None else book_in(version)
        except BadVersion as error:
            _LOG.error("a book cannot be read", reason=str(error))
            return None

    def _live_book(self) -> Book:
        live = self._parts.control.live.get("book")
        book = None if live is None else self._book_of(live.digest)
        return book or self._parts.shipped

    # -- alerts --------------------------------------------------------------------------

    async def _deliver(self) -> None:
        """Publish what waits, confirmed. Raises Unavailable: then nobody knows what was taken,
        and the topic is looked at before anything is sent again."""
        if not self._pending:
            return
        name = self._parts.topics.alerts
        partitions = self._parts.publisher.partitions(name)
        outgoing = []
        for alert in self._pending:
            key = _key(alert)
            place = partition_of(key, partitions)
            outgoing.append(Outgoing(name, place, key, encode_alert(alert)))
        try:
            offsets = await self._parts.publisher.deliver(outgoing)
        except Unavailable:
            self._doubtful = True
            await self._stop_reading()
            raise
        for one, offset in zip(outgoing, offsets, strict=True):
            self._alerts[one.partition] = max(self._alerts.get(one.partition, 0), offset + 1)
        for alert in self._pending:
            self._metrics.count("weir_alerts_total", type=alert.type, severity=alert.severity)
        self._pending.clear()

    async def _hold(self) -> None:
        """Put on lists whom rules hold; what waits after an error is put the next time."""
        if self._holds.waiting:
            live = self._parts.topics.world == LIVE_WORLD
            now_ms = self._clock.now_ms() if live else 0
            put = await asyncio.to_thread(self._holds.apply, now_ms)
            self._metrics.count("weir_holds_total", put)

    # -- where to begin ------------------------------------------------------------------

    async def _start(self) -> _Reading:
        await self._parts.control.look()
        consumer = new_consumer(self._parts.bootstrap, fetch_bytes=FETCH_BYTES)
        async with unavailable_as_error():
            try:
                await consumer.start()
                if self._doubtful:
                    await self._read_known(consumer)
                    self._doubtful = False
                reading = _Reading(consumer)
                await self._seek(reading)
            except BaseException:
                await consumer.stop()
                raise
        self._reading = reading
        return reading

    async def _read_known(self, consumer: AIOKafkaConsumer) -> None:
        """Learn which alerts stand on the topic already, beyond what is known."""
        standing = set()
        name = self._parts.topics.alerts
        places = [
            TopicPartition(name, number) for number in range(self._parts.publisher.partitions(name))
        ]
        for place, end in (await consumer.end_offsets(places)).items():
            start = self._alerts.get(place.partition, 0)
            async for record in read_range(consumer, place, start if start <= end else 0, end):
                try:
                    alert = read_alert(record.value or b"")
                    self._desk.known(alert)
                    standing.add(alert.id)
                except (msgspec.DecodeError, ValueError):
                    _LOG.error("a record of the alerts topic is unfit", offset=record.offset)
            self._alerts[place.partition] = end
        self._pending = [alert for alert in self._pending if alert.id not in standing]

    async def _seek(self, reading: _Reading) -> None:
        name = self._parts.topics.decisions
        count = next(one.partitions for one in self._parts.topics.all() if one.name == name)
        places = [TopicPartition(name, number) for number in range(count)]
        ends = await reading.consumer.end_offsets(places)
        begins = await reading.consumer.beginning_offsets(places)
        firsts = await self._firsts(reading.consumer, places, begins, ends)
        for place in places:
            following, epoch = self._resume.get(place.partition, (firsts[place], 0))
            if following > ends[place]:
                _LOG.error("decisions were made anew", partition=place.partition)
                following, epoch = begins[place], 0
            if following < begins[place]:
                gone = begins[place] - following
                self._metrics.count("weir_alerts_unseen_total", gone)
                _LOG.error("decisions are gone unseen", partition=place.partition, count=gone)
                following = begins[place]
            standing = Standing(epoch or None)
            reading.places[place] = _Place(following, standing, ends[place])
        reading.consumer.assign(places)
        for place in places:
            reading.consumer.seek(place, reading.places[place].following)

    async def _firsts(
        self,
        consumer: AIOKafkaConsumer,
        places: list[TopicPartition],
        begins: dict[TopicPartition, int],
        ends: dict[TopicPartition, int],
    ) -> dict[TopicPartition, int]:
        """Where a world is begun that nobody followed yet."""
        if self._parts.topics.world != LIVE_WORLD:
            return begins
        since_ms = max(0, self._clock.now_ms() - self._parts.back_ms)
        found = await consumer.offsets_for_times(dict.fromkeys(places, since_ms))
        return {
            place: ends[place] if (first := found.get(place)) is None else first.offset
            for place in places
        }

    async def _stop_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            self._resume = {
                kafka.partition: (place.following, place.standing.epoch)
                for kafka, place in reading.places.items()
            }
            await reading.consumer.stop()


def _end(consumer: AIOKafkaConsumer, kafka: TopicPartition, place: _Place) -> int:
    """Where a partition ends, as far as is known."""
    newest: int | None = consumer.highwater(kafka)
    return place.end if newest is None else max(newest, place.end)


def _key(alert: Alert) -> bytes:
    """tenant:account, or what else the alert belongs to."""
    of = alert.evidence
    return (
        f"{alert.tenant}:{of.account if isinstance(of, PaymentEvidence) else alert.group}".encode()
    )
