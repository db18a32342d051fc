"""Reads the alerts topic: for `weir alerts tail`, and into the memory of an API process."""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from risk.alerts.alert import Alert, read_alert
from risk.alerts.feed import Feed
from risk.domain.errors import Unavailable
from streams.reader import new_consumer, unavailable_as_error
from streams.topics import Topics

FETCH_BYTES: Final = 1024 * 1024
POLL_MS: Final = 500
BACK_RECORDS: Final = 5_000  # of each partition, before the end, that an API process reads
AWAY_S: Final = 1.0
LOAD_S: Final = 10.0
LOOK_S: Final = 0.05
_LOG = structlog.get_logger("weir.alerts")


class Placed(NamedTuple):
    """An alert and where it stands; None where the record is no alert."""

    partition: int
    offset: int
    alert: Alert | None
    body: bytes


class AlertReading:
    """Follows the alerts topic outside any consumer group."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._bootstrap = bootstrap
        name = topics.alerts
        count = next(one.partitions for one in topics.all() if one.name == name)
        self._places = [TopicPartition(name, number) for number in range(count)]
        self._consumer: AIOKafkaConsumer | None = None
        self._ends: dict[TopicPartition, int] = {}
        self.following: dict[int, int] = {}
        """The next offset of each partition; kept when the connection is closed."""

    async def open(self, from_ms: int | None = None, back: int | None = None) -> dict[int, int]:
        """Begin, or go on after ``close``; the offsets at which it begins. Raises Unavailable.

        At the records of ``from_ms`` and later, else ``back`` records before the end, else at the
        first one kept.
        """
        consumer = new_consumer(self._bootstrap, fetch_bytes=FETCH_BYTES)
        async with unavailable_as_error():
            try:
                await consumer.start()
                self._ends = await consumer.end_offsets(self._places)
                begins = await consumer.beginning_offsets(self._places)
                wanted = begins
                if from_ms is not None:
                    times = dict.fromkeys(self._places, max(0, from_ms))
                    found = await consumer.offsets_for_times(times)
                    wanted = {
                        place: self._ends[place] if (at := found.get(place)) is None else at.offset
                        for place in self._places
                    }
                elif back is not None:
                    wanted = {place: self._ends[place] - back for place in self._places}
                consumer.assign(self._places)
                for place in self._places:
                    held = self.following.get(place.partition)
                    first = wanted[place] if held is None or held > self._ends[place] else held
                    self.following[place.partition] = max(first, begins[place])
                    consumer.seek(place, self.following[place.partition])
            except BaseException:
                await consumer.stop()
                raise
        self._consumer = consumer
        return dict(self.following)

    @property
    def at_end(self) -> bool:
        """Whether everything was read that stood there when it began."""
        return all(
            self.following.get(place.partition, 0) >= end for place, end in self._ends.items()
        )

    async def poll(self, timeout_ms: int) -> list[Placed]:
        """What has come since the last call. Raises Unavailable."""
        if self._consumer is None:
            await self.open()
        assert self._consumer is not None
        async with unavailable_as_error():
            found = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=2_000)
        read = []
        for place, records in found.items():
            for record in records:
                self.following[place.partition] = record.offset + 1
                read.append(_placed(place.partition, record.offset, record.value or b""))
        return read

    async def close(self) -> None:
        """Close the connection."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()


class AlertSource:
    """The memory of alerts of an API process; it is filled from the first question on."""

    def __init__(self, bootstrap: str, topics: Topics) -> None:
        self._reading = AlertReading(bootstrap, topics)
        self._loaded: asyncio.Future[Feed] | None = None
        self._task: asyncio.Task[None] | None = None
        self._problem: Unavailable | None = None

    async def feed(self) -> Feed:
        """The memory, read up to now. Raises Unavailable while the topic cannot be read."""
        if self._task is None:
            self._loaded = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._follow(self._loaded), name="read alerts")
        assert self._loaded is not None
        try:
            async with asyncio.timeout(LOAD_S):
                while self._problem is None and not self._loaded.done():
                    await asyncio.wait({self._loaded}, timeout=LOOK_S)
        except TimeoutError:
            raise Unavailable("kafka", "the alerts could not be read in time") from None
        if self._problem is not None:
            raise Unavailable("kafka", str(self._problem))
        return self._loaded.result()

    async def close(self) -> None:
        """Stop reading."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._reading.close()

    async def _follow(self, loaded: asyncio.Future[Feed]) -> None:
        feed: Feed | None = None
        while True:
            try:
                if feed is None:
                    feed = Feed(await self._reading.open(back=BACK_RECORDS))
                for one in await self._reading.poll(POLL_MS):
                    feed.passed(one.partition, one.offset)
                    if one.alert is not None:
                        feed.add(one.partition, one.offset, one.alert, one.body)
                self._problem = None
                if self._reading.at_end and not loaded.done():
                    loaded.set_result(feed)
            except Unavailable as error:
                self._problem = error
                _LOG.warning("alerts cannot be read", code=error.code, part=error.part)
                await self._reading.close()
                await asyncio.sleep(AWAY_S)


def _placed(partition: int, offset: int, body: bytes) -> Placed:
    try:
        alert = read_alert(body)
    except (msgspec.DecodeError, ValueError):
        _LOG.error("a record of the alerts topic is unfit", partition=partition, offset=offset)
        return Placed(partition, offset, None, body)
    return Placed(partition, offset, alert, body)
