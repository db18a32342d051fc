"""What Faust commits after batches: pinned, because upstream has a known off-by-one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from risk.domain.clock import ManualClock
from streams.app import WorkerApp, WorkerConfig, batch_consumer, build_app
from streams.batch import Batch, Handler
from streams.topics import Topics
from streams.transport import BatchConsumer
from streams.watchdog import Watchdog
from tests.support.stream_records import EVENTS, NOW_MS, Raw

TP_EVENTS = TP(EVENTS, 3)


class Nothing(Handler):
    async def handle(self, batch: Batch) -> None:
        """Leave the batch as it is."""


@pytest.fixture
async def app(tmp_path: Path) -> WorkerApp:
    config = WorkerConfig("127.0.0.1:1", Topics("live"), "0", tmp_path)
    built = build_app(config, {"events": Nothing()}, Watchdog(ManualClock(NOW_MS), 40.0))
    built.finalize()
    built.consumer_generation_id = 1
    return built


@pytest.fixture
async def consumer(app: WorkerApp) -> AsyncIterator[BatchConsumer]:
    made = batch_consumer(app)
    yield made
    made._thread.thread_loop.close()  # its thread was never started


def of(first: int, last: int, generation: int = 1) -> Batch:
    records = [Raw(offset, b"{}") for offset in range(first, last + 1)]
    return Batch(EVENTS, 3, generation, first, records)


def ack(consumer: BatchConsumer, offset: int) -> None:
    """What a compiled stream does when the agent's body is done."""
    consumer._acked_index[TP_EVENTS].add(offset)
    consumer._acked[TP_EVENTS].append(offset)


async def finish(consumer: BatchConsumer, batch: Batch) -> None:
    await consumer.confirm(batch)
    ack(consumer, batch.last_offset)


@pytest.mark.parametrize("committed", [None, 0, 100])
async def test_a_finished_batch_is_committed_to_its_end(
    consumer: BatchConsumer, committed: int | None
) -> None:
    consumer._committed_offset[TP_EVENTS] = committed
    first = committed or 0
    await finish(consumer, of(first, first + 63))
    assert consumer._new_offset(TP_EVENTS) == first + 64


async def test_batches_of_one_and_many_follow_each_other(consumer: BatchConsumer) -> None:
    consumer._committed_offset[TP_EVENTS] = 100
    for first, last in ((100, 100), (101, 101), (102, 150), (151, 151)):
        await finish(consumer, of(first, last))
        offset = consumer._new_offset(TP_EVENTS)
        assert offset == last + 1
        consumer._committed_offset[TP_EVENTS] = offset


async def test_several_batches_between_two_commits(consumer: BatchConsumer) -> None:
    consumer._committed_offset[TP_EVENTS] = 100
    for first in (100, 164, 228):
        await finish(consumer, of(first, first + 63))
    assert consumer._new_offset(TP_EVENTS) == 292


async def test_nothing_is_committed_past_an_unfinished_batch(consumer: BatchConsumer) -> None:
    consumer._committed_offset[TP_EVENTS] = 100
    await finish(consumer, of(100, 163))
    # 164..227 is in flight: neither confirmed nor acked.
    assert consumer._new_offset(TP_EVENTS) == 164
    consumer._committed_offset[TP_EVENTS] = 164
    assert consumer._new_offset(TP_EVENTS) is None


async def test_an_ack_without_confirmation_commits_nothing(consumer: BatchConsumer) -> None:
    consumer._committed_offset[TP_EVENTS] = 100
    ack(consumer, 163)
    assert consumer._new_offset(TP_EVENTS) is None


async def test_holes_before_a_batch_are_committed_with_it(consumer: BatchConsumer) -> None:
    consumer._committed_offset[TP_EVENTS] = 100
    records = [Raw(offset, b"{}") for offset in (500, 507, 510)]
    await finish(consumer, Batch(EVENTS, 3, 1, 100, records))
    assert consumer._new_offset(TP_EVENTS) == 511


async def test_a_batch_of_another_generation_is_refused(consumer: BatchConsumer) -> None:
    with pytest.raises(RuntimeError, match="generation 7"):
        await consumer.confirm(of(100, 163, generation=7))
    assert not consumer._gap[TP_EVENTS]


async def test_upstream_still_takes_a_head_gap_of_one_for_compacted(
    consumer: BatchConsumer,
) -> None:
    """Faust issue 606. When this fails it was mended upstream: read ``_add_gap`` again,
    which leaves the committed offset itself out of every gap and so relies on it."""
    consumer._committed_offset[TP_EVENTS] = 2585
    for offset in range(2586, 2590):
        ack(consumer, offset)
    assert consumer._new_offset(TP_EVENTS) == 2590


async def test_delivery_starts_at_the_committed_offset(
    app: WorkerApp, consumer: BatchConsumer
) -> None:
    delivered: list[Batch] = []

    async def receive(message: Any) -> None:
        delivered.append(message.value)

    consumer.callback = receive
    consumer._read_offset[TP_EVENTS] = 100
    await consumer._deliver(TP_EVENTS, [Raw(offset, b"{}") for offset in (98, 99, 100, 101)], 1)
    await consumer._deliver(TP_EVENTS, [Raw(offset, b"{}") for offset in (102, 103)], 1)
    await consumer._deliver(TP_EVENTS, [Raw(103, b"{}")], 1)
    assert [(one.first_offset, one.last_offset) for one in delivered] == [(100, 101), (102, 103)]
    assert consumer._read_offset[TP_EVENTS] == 104
