"""A rebuilt Redis holds what the original held, and corrupts nobody who works on it."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from features.connection import Connection
from features.local_truth import LocalPublisher, LocalTruth
from features.log_digest import held_logs, redis_digest
from features.proof.held import HeldLogs
from features.proof.history import Extent, HistoryRecord, Span
from features.truth import TruthRecord, TruthTopic
from risk.domain.errors import StaleEpoch, Unavailable
from risk.domain.observation import Arrival, Claimed, Receipt
from tests.support.memory import START_MS, Node, arrival, decided, new_prefix, opened, to_base

pytestmark = pytest.mark.services


class BreakingTruth(LocalTruth):
    """Stops answering after so many records, once."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None
        self.told = 0

    async def read(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        async for record in super().read(topic, partition, from_offset, to_offset):
            if self.left is not None:
                if self.left == 0:
                    self.left = None
                    raise Unavailable("kafka", "it stopped")
                self.left -= 1
            self.told += 1
            yield record


@pytest.fixture
async def node(redis_url: str) -> AsyncIterator[Node]:
    made = await opened(redis_url, new_prefix(), BreakingTruth())
    yield made
    await made.close()


def _events(seed: int, count: int, first: int = 0) -> list[Arrival]:
    rng = random.Random(seed)
    return [
        arrival(
            rng.choice(("payment", "payment", "login")),
            START_MS + number * 1_000,
            id=f"e{number}",
            account=f"a{rng.randrange(2)}",
            card=rng.choice((None, "c1", "c2")),
            device=rng.choice((None, "d1")),
        )
        for number in range(first, first + count)
    ]


async def _serve(node: Node, events: list[Arrival]) -> None:
    publisher = LocalPublisher(node.truth)
    for start in range(0, len(events), 50):
        batch = events[start : start + 50]
        out = []
        for one, seen in zip(batch, await node.memory.observe(batch), strict=True):
            assert isinstance(seen, Claimed)
            out.append(decided(one, seen))
        await node.memory.decide(out)
        await node.memory.acknowledge(await publisher.publish(out, node.memory.epoch))


async def _forget(node: Node, share: float, seed: int) -> int:
    """Take away that share of the world's keys; the gate stays as it is where any is left."""
    rng = random.Random(seed)
    kept = {node.keys.epoch, node.keys.pending, node.keys.watermarks} if share < 1 else set()
    # Sorted, because Redis gives them in another order each time: the same keys are to go.
    everything = sorted(await node.connection.call("KEYS", f"{node.keys.prefix}*"))
    gone = [key for key in everything if key not in kept and rng.random() < share]
    await node.connection.call("DEL", *gone)
    return len(gone)


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
async def test_the_digest_is_the_originals(node: Node, share: float) -> None:
    await _serve(node, _events(1, 900))
    before = await redis_digest(node.connection, node.keys)
    receipts = [await node.memory.look_up("main", f"p:e{number}") for number in range(900)]
    assert await _forget(node, share, 2) > 0
    damaged = await redis_digest(node.connection, node.keys)
    assert damaged.hex != before.hex
    read = 0

    def told(count: int) -> None:
        nonlocal read
        read += count

    report = await node.recovery.rebuild(told)
    after = await redis_digest(node.connection, node.keys)
    assert (after.hex, after.logs) == (before.hex, before.logs)
    assert report.epoch == node.memory.epoch + 1
    assert report.restored == 900
    assert read >= 900
    again = [await node.memory.look_up("main", f"p:e{number}") for number in range(900)]
    assert again == receipts
    assert any(isinstance(one, Receipt) for one in receipts)


async def test_history_alone_gives_the_same_digest(node: Node) -> None:
    await _serve(node, _events(3, 700))
    held = HeldLogs(*_extent(node.truth), to_base)
    everything = [
        HistoryRecord(place.topic, place.partition, one.offset, 0, one.epoch, one.marker, one.value)
        for place, records in node.truth.partitions.items()
        for one in records
    ]
    # Whatever the order of the partitions, and told twice.
    held.take(everything)
    held.take([one for one in reversed(everything) if one.epoch == 1 and not one.marker])
    assert held.conflicts == held.damaged == []
    assert held.digest().hex == (await redis_digest(node.connection, node.keys)).hex


def _extent(truth: LocalTruth) -> tuple[Extent]:
    spans = [Span(*place, 0, len(records)) for place, records in truth.partitions.items()]
    return (Extent(tuple(spans)),)


async def test_a_running_process_waits_and_goes_on(node: Node, redis_url: str) -> None:
    await _serve(node, _events(4, 300))
    await _forget(node, 0.5, 5)
    other = await opened(redis_url, node.keys.prefix, node.truth)
    await other.recovery.rebuild()
    with pytest.raises(StaleEpoch):
        await node.memory.observe(_events(4, 1, first=300))
    await node.memory.recover()
    before = node.memory.epoch
    await _serve(node, _events(4, 100, first=300))
    assert node.memory.epoch == before
    # What both processes wrote is one history.
    held = HeldLogs(*_extent(node.truth), to_base)
    for place, records in node.truth.partitions.items():
        held.take(
            [
                HistoryRecord(*place, one.offset, 0, one.epoch, one.marker, one.value)
                for one in records
            ]
        )
    assert held.conflicts == []
    assert held.digest().hex == (await redis_digest(node.connection, node.keys)).hex
    await other.close()


@pytest.mark.parametrize("left", [1, 250, 600])
async def test_an_interrupted_rebuild_goes_on(node: Node, left: int) -> None:
    await _serve(node, _events(6, 900))
    before = await redis_digest(node.connection, node.keys)
    await _forget(node, 1.0, 7)
    truth = node.truth
    assert isinstance(truth, BreakingTruth)
    truth.left = left
    with pytest.raises(Unavailable):
        await node.recovery.rebuild()
    gate = await node.connection.call("GET", node.keys.epoch)
    assert gate.startswith(b"closed:")
    truth.told = 0
    report = await node.recovery.rebuild()
    assert report.resumed
    assert truth.told <= 950 - left + 250  # a chunk of each partition may come again
    assert (await redis_digest(node.connection, node.keys)).hex == before.hex


async def test_a_worker_finishes_what_a_rebuild_began(node: Node, redis_url: str) -> None:
    await _serve(node, _events(8, 900))
    before = await redis_digest(node.connection, node.keys)
    await _forget(node, 1.0, 9)
    assert isinstance(node.truth, BreakingTruth)
    node.truth.left = 500
    with pytest.raises(Unavailable):
        await node.recovery.rebuild()
    other = await opened(redis_url, node.keys.prefix, node.truth)
    assert other.memory.recovered is not None
    assert other.memory.recovered.resumed
    assert (await redis_digest(node.connection, node.keys)).hex == before.hex
    # The next one begins at the beginning: nothing is left of the interrupted one.
    report = await other.recovery.rebuild()
    assert not report.resumed
    assert report.restored == 900
    await other.close()


async def test_other_worlds_and_other_keys_are_not_counted(node: Node, redis_url: str) -> None:
    await _serve(node, _events(10, 50))
    before = await redis_digest(node.connection, node.keys)
    other = await opened(redis_url)
    await _serve(other, _events(11, 50))
    assert (await redis_digest(node.connection, node.keys)).hex == before.hex
    connection = Connection(redis_url)
    names = [name async for name, _ in held_logs(connection, other.keys)]
    assert {kind for _, kind, _ in names} <= {"account", "card", "device"}
    assert {tenant for tenant, _, _ in names} == {"main"}
    await connection.close()
    await other.close()
