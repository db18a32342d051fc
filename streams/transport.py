"""A Faust transport that hands over whole fetches: one Faust event is a batch of records.

Faust's cost is per event, not per byte, so one event stands for up to ``BATCH_RECORDS_MAX``
records of a partition. Agents, rebalancing, commits and the life cycle stay Faust's; what
is overridden here is how records are fetched and grouped, and how their offsets are
acknowledged (design, section 7). ``streams.private_names`` lists what this leans on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from aiokafka.errors import KafkaError
from faust.serializers.schemas import Schema
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from streams.batch import Batch, Record
from streams.underway import Underway

BATCH_RECORDS_MAX = 128
# A fetch must not sleep through data of a partition that becomes free meanwhile.
FETCH_MAX_WAIT_MS = 10
BUFFERED_WAIT_S = 0.02
BUSY_WAIT_S = 0.005
IDLE_WAIT_S = 0.25
POLL_S = 1.0


class BatchSchema(Schema):  # type: ignore[misc]  # Faust has no types
    """No codec: what the transport put into a message is the value that an agent sees."""

    def loads_key(
        self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None
    ) -> Any:
        return message.key

    def loads_value(
        self, app: Any, message: Any, *, loads: Any = None, serializer: Any = None
    ) -> Any:
        return message.value


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer; fetches urgent topics first."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_MAX_WAIT_MS
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Mapping[TP, list[Record]]:
        urgent = {tp for tp in active_partitions if tp.topic in self.transport.urgent_topics}
        if not urgent or len(urgent) == len(active_partitions):
            fetched: Mapping[TP, list[Record]] = await super()._fetch_records(
                consumer, active_partitions, timeout=timeout, max_records=max_records
            )
            return fetched
        first = dict(
            await super()._fetch_records(consumer, urgent, timeout=0, max_records=max_records)
        )
        # Idle urgent partitions are named again, so that their data ends the wait as well.
        # To aiokafka an empty set means all partitions; the others keep this one filled.
        rest = await super()._fetch_records(
            consumer,
            active_partitions - first.keys(),
            timeout=0 if first else timeout,
            max_records=max_records,
        )
        return {**first, **rest}


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """A Faust consumer whose messages are batches.

    Acknowledging: Faust acks the offset of a message when the agent's body is done, and
    commits as far as acked offsets are consecutive. A message has the offset of its batch's
    last record; ``confirm`` registers the offsets before it, and must be the last thing
    that happens in the body.
    """

    _n_acked: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._freed = asyncio.Event()
        self._seeks = 0
        self._underway: Underway[TP] = Underway()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def confirm(self, batch: Batch) -> None:
        """Say that every record of ``batch`` is done.

        Raises RuntimeError where the partition was reassigned meanwhile: Faust waits for
        running bodies before it gives partitions away, so this never happens in order.
        """
        if batch.generation != self.app.consumer_generation_id:
            raise RuntimeError(
                f"{batch} was fetched in generation {batch.generation}, "
                f"now it is {self.app.consumer_generation_id}"
            )
        tp = TP(batch.topic, batch.partition)
        await self._add_gap(tp, batch.first_offset, batch.last_offset - 1)
        self._underway.end(tp)
        self._freed.set()

    def on_buffer_drop(self, tp: TP) -> None:
        super().on_buffer_drop(tp)
        self._freed.set()

    def resume_partitions(self, tps: Any) -> None:
        super().resume_partitions(tps)
        self._freed.set()

    async def perform_seek(self) -> None:
        self._seeks += 1
        try:
            await super().perform_seek()
        finally:
            self._seeks += 1

    async def _wait_next_records(
        self, timeout: float
    ) -> tuple[Mapping[TP, list[Record]] | None, set[TP] | None]:
        """Fetch from the active partitions, without sleeping past one that becomes free."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        try:
            self.not_waiting_next_records.clear()
            self._freed.clear()
            state = (self.app.consumer_generation_id, self._seeks)
            waiting = self._underway.waiting(state, self.loop.time())
            active = self._get_active_partitions()
            # A copy: the set changes on this thread while the other one reads it.
            ready = active - waiting
            held_back = self._buffered_partitions or waiting
            if ready:
                waited_s = timeout
                if held_back:
                    waited_s = BUSY_WAIT_S if waiting else BUFFERED_WAIT_S
                return await self._getmany(ready, waited_s), active
            with suppress(TimeoutError):
                wait_s = BUFFERED_WAIT_S if held_back else IDLE_WAIT_S
                await asyncio.wait_for(self._freed.wait(), wait_s)
            return {}, active
        finally:
            self.not_waiting_next_records.set()

    async def _drain_messages(self, fetcher: Any) -> None:
        """Hand batches to the agents until the consumer or the fetcher stops."""
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                await asyncio.sleep(0)
                await self._drain_once()
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _drain_once(self) -> None:
        """Fetch once, and deliver in turns between topics and between partitions."""
        before = (self.app.consumer_generation_id, self._seeks)
        fetched, active = await self._wait_next_records(POLL_S)
        if fetched is None or active is None or self.should_stop:
            return
        generation = self.app.consumer_generation_id
        if not self.flow_active or before != (generation, self._seeks):
            # Read before the positions moved: whatever came must not look like a hole.
            await self._read_again(fetched)
            return
        grouped = {tp: list(_chunks(records)) for tp, records in fetched.items() if records}
        paused = set()
        for tp, records in self.scheduler.iterate(grouped):
            if not self.flow_active or self.app.consumer_generation_id != generation:
                return
            if tp not in active and tp not in self._buffered_partitions:
                paused.add(tp)
            if tp not in paused:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                await self._deliver(tp, records, generation)
        await self._read_again(paused)

    async def _read_again(self, partitions: Iterable[TP]) -> None:
        """Drop what was fetched from ``partitions``: read on from the next offset wanted."""
        try:
            for tp in partitions:
                read = self._read_offset[tp]
                if read is None:
                    await self._thread.seek_to_beginning(driver.ensure_aiokafka_TP(tp))
                else:
                    await self._seek(tp, read)
        except (KafkaError, *self.consumer_stopped_errors) as error:
            # Not ours any more: whoever reads it next starts at the committed offset.
            self.log.warning("not reading again: %r", error)

    async def _deliver(self, tp: TP, records: list[Record], generation: int) -> None:
        """Hand the unread part of ``records`` to the streams as one message."""
        read = self._read_offset[tp]
        # ``read`` is the next offset wanted, as a committed offset is: compare with >=.
        if read is not None and records[0].offset < read:
            records = [record for record in records if record.offset >= read]
            if not records:
                return
        elif read is not None and records[0].offset > read:
            self.log.warning("%s has no offsets %s to %s", tp, read, records[0].offset - 1)
        batch = Batch(
            topic=tp.topic,
            partition=tp.partition,
            generation=generation,
            first_offset=records[0].offset if read is None else read,
            records=records,
        )
        if self._commit_every is not None and self._n_acked >= self._commit_every:
            self._n_acked = 0
            await self.commit()
        self._underway.begin(tp, len(records), self.loop.time())
        await self.wait_first(self.callback(_message(tp, batch)), self.suspend_flow.wait())
        if self.flow_active and self.app.consumer_generation_id == generation:
            self._read_offset[tp] = batch.last_offset + 1


def _chunks(records: list[Record]) -> Iterator[list[Record]]:
    for start in range(0, len(records), BATCH_RECORDS_MAX):
        yield records[start : start + BATCH_RECORDS_MAX]


def _message(tp: TP, batch: Batch) -> Any:
    """``batch`` as Faust's message; its offset is that of the last record."""
    last = batch.records[-1]
    return ConsumerMessage(
        tp.topic,
        tp.partition,
        last.offset,
        last.timestamp / 1000.0,
        0,
        (),
        b"",
        batch,
        None,
        0,
        0,
        tp,
        generation_id=batch.generation,
    )


class IdempotentProducer(driver.Producer):  # type: ignore[misc]
    """Faust's own producer, made safe. Decisions go through ``streams.publish`` instead."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """The aiokafka transport with batches. ``urgent_topics`` are fetched before others."""

    Consumer: ClassVar[Any] = BatchConsumer
    Producer: ClassVar[Any] = IdempotentProducer

    def __init__(self, *args: Any, urgent_topics: frozenset[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.urgent_topics = urgent_topics
