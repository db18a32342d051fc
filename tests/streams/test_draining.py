"""What the transport does with a fetch, with aiokafka's side played by a twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from faust.types import TP

from risk.domain.clock import ManualClock
from streams.app import WorkerApp, WorkerConfig, build_app
from streams.batch import Batch, Record
from streams.topics import Topics
from streams.transport import BATCH_RECORDS_MAX, BatchConsumer, BatchConsumerThread
from streams.watchdog import Watchdog
from tests.support.stream_records import EVENTS, NOW_MS, Raw

LABELS = Topics("live").labels
ONE, TWO, LABEL = TP(EVENTS, 1), TP(EVENTS, 2), TP(LABELS, 0)
Fetch = dict[TP, list[Record]]


async def nothing() -> None:
    """What happens during most fetches."""


class Thread(BatchConsumerThread):
    """The consumer's thread, never started: what it would seek is written down."""

    async def seek_to_beginning(self, *partitions: TP) -> None:
        self.consumer.seeks += [(TP(*tp), 0) for tp in partitions]


class Fed(BatchConsumer):
    """A consumer whose fetches are given, and whose seeks are written down."""

    def __init__(self, app: WorkerApp) -> None:
        super().__init__(
            app.transport,
            callback=self._receive,
            on_partitions_revoked=self._nothing,
            on_partitions_assigned=self._nothing,
        )
        self.batches: list[Batch] = []
        self.seeks: list[tuple[TP, int]] = []
        self.fetches: list[Fetch] = []
        self.during_fetch: Callable[[], Awaitable[object]] = nothing
        self.asked_s: list[float] = []
        self.lost: set[TP] = set()
        self._active_partitions = {ONE, TWO}
        self.flow_active = True
        self.can_resume_flow.set()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    async def _receive(self, message: Any) -> None:
        self.batches.append(message.value)

    async def _nothing(self, _partitions: object) -> None:
        return None

    async def _getmany(
        self, active_partitions: set[TP] | None, timeout: float
    ) -> Mapping[TP, list[Record]]:
        self.asked_s.append(timeout)
        await self.during_fetch()
        return self.fetches.pop(0) if self.fetches else {}

    async def _seek(self, partition: TP, offset: int) -> None:
        if partition in self.lost:
            raise IllegalStateError("not assigned")
        self.seeks.append((partition, offset))

    async def seek_to_committed(self) -> Mapping[TP, int]:
        return {ONE: 5}

    def highwater(self, tp: TP) -> int:
        return 10

    def places(self) -> list[tuple[int, int, int]]:
        return [(one.partition, one.first_offset, one.last_offset) for one in self.batches]


def records(first: int, last: int) -> list[Record]:
    return [Raw(offset, b"{}") for offset in range(first, last + 1)]


@pytest.fixture
async def app(tmp_path: Path) -> WorkerApp:
    config = WorkerConfig("127.0.0.1:1", Topics("live"), "0", tmp_path)
    built = build_app(config, {}, Watchdog(ManualClock(NOW_MS), 40.0))
    built.finalize()
    built.consumer_generation_id = 1
    return built


@pytest.fixture
async def fed(app: WorkerApp) -> AsyncIterator[Fed]:
    made = Fed(app)
    made._read_offset[ONE] = made._read_offset[TWO] = 0
    yield made
    made._thread.thread_loop.close()  # its thread was never started


async def test_a_fetch_is_cut_and_partitions_take_turns(fed: Fed) -> None:
    last = 2 * BATCH_RECORDS_MAX + 4
    fed.fetches = [{ONE: records(0, last), TWO: records(0, 1)}]
    await fed._drain_once()
    assert sorted(fed.places()) == [
        (1, 0, BATCH_RECORDS_MAX - 1),
        (1, BATCH_RECORDS_MAX, 2 * BATCH_RECORDS_MAX - 1),
        (1, 2 * BATCH_RECORDS_MAX, last),
        (2, 0, 1),
    ]
    assert fed.places()[-1][0] == 1, "the short one does not wait behind the long one"
    assert (fed._read_offset[ONE], fed._read_offset[TWO]) == (last + 1, 2)


async def test_a_hole_belongs_to_the_batch_after_it(fed: Fed) -> None:
    fed.fetches = [{ONE: records(7, 8)}]
    await fed._drain_once()
    assert fed.places() == [(1, 0, 8)]


async def test_what_was_fetched_while_positions_moved_is_read_again(fed: Fed) -> None:
    fed.during_fetch = fed.perform_seek
    fed.fetches = [{ONE: records(0, 3)}]
    await fed._drain_once()
    assert (fed.places(), fed.seeks) == ([], [(ONE, 5)])


async def test_a_rebalance_during_a_fetch_leaves_it_unread(fed: Fed, app: WorkerApp) -> None:
    async def rebalance() -> None:
        app.consumer_generation_id = 2

    fed.lost = {TWO}
    fed.during_fetch = rebalance
    fed.fetches = [{TWO: records(0, 3)}]
    await fed._drain_once()
    assert (fed.places(), fed.seeks) == ([], [])


async def test_a_partition_paused_during_the_fetch_is_read_again(fed: Fed) -> None:
    async def pause() -> None:
        fed._active_partitions.discard(TWO)

    fed.during_fetch = pause
    fed.fetches = [{ONE: records(0, 1), TWO: records(0, 1)}]
    await fed._drain_once()
    assert (fed.places(), fed.seeks) == ([(1, 0, 1)], [(TWO, 0)])


async def test_buffers_shorten_the_wait_and_a_freed_partition_ends_it(fed: Fed) -> None:
    await fed._drain_once()
    fed._buffered_partitions = {TWO}
    await fed._drain_once()
    assert fed.asked_s[0] > fed.asked_s[1]
    fed._active_partitions = set()
    waiting = asyncio.create_task(fed._drain_once())
    await asyncio.sleep(0)
    fed.resume_partitions({ONE})
    await waiting
    fed._active_partitions = set()
    fed._buffered_partitions = {TWO}
    fed.on_buffer_drop(TWO)
    assert fed._freed.is_set()
    assert len(fed.asked_s) == 2, "nothing is fetched from nobody"


async def test_draining_ends_with_the_fetcher_and_only_then_takes_a_cancellation(
    fed: Fed, app: WorkerApp
) -> None:
    stopped = asyncio.Event()
    fetcher = SimpleNamespace(_stopped=stopped)

    async def stop() -> None:
        stopped.set()

    fed.during_fetch = stop
    await fed._drain_messages(fetcher)
    assert len(fed.asked_s) == 1
    stopped.clear()
    fed.during_fetch = nothing
    draining = asyncio.create_task(fed._drain_messages(fetcher))
    await asyncio.sleep(0.01)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining


class Fetcher:
    """aiokafka's fetcher: tells what it was asked for, and has records of some partitions."""

    _closed = False

    def __init__(self, held: Fetch) -> None:
        self._held = held
        self._subscriptions = self
        self.asked: list[tuple[set[TP], float | None]] = []

    @contextmanager
    def fetch_context(self) -> Any:
        yield

    async def fetched_records(
        self, partitions: set[TP], timeout: float | None, max_records: int | None
    ) -> Fetch:
        self.asked.append((set(partitions), timeout))
        return {tp: held for tp, held in self._held.items() if tp in partitions}


async def fetched(fed: Fed, held: Fetch, active: set[TP]) -> tuple[Fetch, Fetcher]:
    fetcher = Fetcher(held)
    thread: BatchConsumerThread = fed._thread
    consumer = SimpleNamespace(_closed=False, _fetcher=fetcher)
    return dict(await thread._fetch_records(consumer, active, timeout=1.0)), fetcher


async def test_labels_are_fetched_before_payments_and_nobody_waits_for_them(fed: Fed) -> None:
    both: Fetch = {ONE: records(0, 3), LABEL: records(0, 0)}
    found, fetcher = await fetched(fed, both, {ONE, LABEL})
    assert list(found) == [LABEL, ONE]
    assert fetcher.asked == [({LABEL}, 0), ({ONE}, 0)]


async def test_where_no_label_waits_the_wait_is_for_both(fed: Fed) -> None:
    found, fetcher = await fetched(fed, {ONE: records(0, 3)}, {ONE, LABEL})
    assert list(found) == [ONE]
    assert fetcher.asked == [({LABEL}, 0), ({ONE, LABEL}, 1.0)]


@pytest.mark.parametrize("active", [{ONE, TWO}, {LABEL}], ids=["payments", "labels"])
async def test_one_kind_alone_is_fetched_in_one_call(fed: Fed, active: set[TP]) -> None:
    _, fetcher = await fetched(fed, {}, active)
    assert fetcher.asked == [(active, 1.0)]


async def test_a_first_fetch_in_vain_is_read_again_from_the_beginning(fed: Fed) -> None:
    async def another_seek() -> None:
        fed._seeks += 1

    fed._read_offset[ONE] = None
    fed.during_fetch = another_seek
    fed.fetches = [{ONE: records(5, 6)}]
    await fed._drain_once()
    assert (fed.places(), fed.seeks) == ([], [(ONE, 0)])


async def test_a_suspended_consumer_delivers_nothing_and_waits(fed: Fed) -> None:
    async def suspend() -> None:
        fed.flow_active = False

    fed.during_fetch = suspend
    fed.fetches = [{ONE: records(0, 1)}]
    await fed._drain_once()
    assert (fed.places(), fed.seeks) == ([], [(ONE, 0)])
    fed.can_resume_flow.clear()
    waiting = asyncio.create_task(fed._drain_once())
    await asyncio.sleep(0.01)
    assert len(fed.asked_s) == 1
    fed.during_fetch = nothing
    fed.flow_active = True
    fed.fetches = [{ONE: records(0, 1)}]
    fed.can_resume_flow.set()
    await waiting
    assert fed.places() == [(1, 0, 1)]
