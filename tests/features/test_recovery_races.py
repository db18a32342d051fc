"""Recoveries that meet another one, a slow Kafka, or records they have read before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from features.connection import Connection
from features.local_truth import LocalPublisher, LocalTruth
from features.scripts import Script
from features.sweeper import Sweeper, Swept
from features.trips import Argument
from features.truth import Place
from risk.domain.errors import StaleEpoch
from risk.domain.observation import Claimed, Delivery, Publication, Receipt
from tests.support.memory import START_MS, Node, arrival, decided, new_prefix, opened, payment

pytestmark = pytest.mark.services


@pytest.fixture
async def node(redis_url: str) -> AsyncIterator[Node]:
    node = await opened(redis_url)
    yield node
    await node.close()


async def published(node: Node, number: int) -> None:
    """A payment that is decided and published; nobody has acknowledged it."""
    (seen,) = await node.memory.observe([payment(number)])
    assert isinstance(seen, Claimed)
    one = decided(payment(number), seen)
    await node.memory.decide([one])
    node.truth.deliver([one], node.memory.epoch)


class Before(Connection):
    """A connection that lets something happen before its first call of one command."""

    def __init__(self, url: str, command: str, hook: Callable[[], Awaitable[None]]) -> None:
        super().__init__(url)
        self._command = command
        self._hook = hook

    async def call(self, *command: Argument) -> object:
        if command[0] == self._command:
            self._command = ""
            await self._hook()
        return await super().call(*command)


async def test_whoever_takes_the_lock_too_late_joins_what_was_made(
    node: Node, redis_url: str
) -> None:
    await published(node, 1)
    await node.connection.call("SCRIPT FLUSH")
    late = Node(Before(redis_url, "SET", node.memory.recover), node.keys.prefix, node.truth)
    await late.memory.open()
    assert late.memory.epoch == node.memory.epoch == 2
    assert (node.recovery.last is None, late.recovery.last is None) == (False, True)
    assert late.memory.recovered is None
    assert await node.connection.call("GET", node.keys.lock) is None
    await late.close()


class Overtaken(LocalTruth):
    """A Kafka so slow that the lock is lost while its markers are awaited."""

    def __init__(self, of: LocalTruth, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.partitions = of.partitions
        self._meanwhile = meanwhile
        self.given_up = False

    async def write_markers(self, epoch: int) -> dict[Place, int]:
        try:
            await self._meanwhile()
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.given_up = True
            raise
        return await super().write_markers(epoch)


async def test_a_recoverer_notices_a_lost_lock_while_it_waits_for_kafka(
    node: Node, redis_url: str
) -> None:
    await published(node, 1)
    await node.connection.call("SCRIPT FLUSH")

    recoveries: list[asyncio.Task[None]] = []

    async def lose_the_lock() -> None:
        await node.connection.call("DEL", node.keys.lock)
        # A process of its own: it goes on when this attempt is given up.
        recoveries.append(asyncio.create_task(node.memory.recover()))

    slow = Overtaken(node.truth, lose_the_lock)
    other = Node(Connection(redis_url), node.keys.prefix, slow, lock_ms=60)
    async with asyncio.timeout(20):
        await other.memory.open()
        await asyncio.gather(*recoveries)
    assert slow.given_up
    assert other.memory.epoch == node.memory.epoch
    assert other.memory.recovered is None
    await other.close()


async def test_reading_the_same_records_again_changes_nothing(node: Node) -> None:
    await published(node, 1)
    # Its tails were lost before it had places: such a decision is restored without any.
    nowhere = decided(payment(2), Claimed((), None, ()))
    node.truth.deliver([nowhere], node.memory.epoch)
    await node.connection.call("SCRIPT FLUSH")
    await node.memory.recover()
    first = await node.memory.observe([payment(1), payment(2)])
    assert all(isinstance(one, Receipt) for one in first)
    await node.connection.call("DEL", node.keys.watermarks)
    await node.connection.call("SCRIPT FLUSH")
    await node.memory.recover()
    told = node.memory.recovered
    assert told is not None
    assert (told.read, told.void) == (2, 0)
    assert await node.memory.observe([payment(1), payment(2)]) == first


async def test_what_a_recovery_did_is_told(node: Node) -> None:
    await published(node, 1)
    (waiting,) = await node.memory.observe([payment(2)])
    assert isinstance(waiting, Claimed)
    assert await node.memory.pending_count() == 2
    await node.connection.call("SCRIPT FLUSH")
    await node.memory.recover()
    told = node.memory.recovered
    assert told is not None
    assert (told.epoch, told.read, told.restored, told.claims_saved) == (2, 1, 1, 1)
    assert await node.memory.pending_count() == 0


async def test_a_memory_that_is_not_open_answers_nothing(redis_url: str) -> None:
    node = Node(Connection(redis_url), new_prefix(), LocalTruth())
    assert node.memory.epoch == 0
    with pytest.raises(StaleEpoch, match="call open"):
        await node.memory.observe([payment(1)])
    await node.close()


async def test_what_is_decided_can_be_looked_up(node: Node) -> None:
    login = arrival("login", id="l1", account="a1")
    assert await node.memory.look_up("main", "p:p1") is None
    seen = await node.memory.observe([payment(1), login])
    assert await node.memory.look_up("main", "p:p1") is None
    publications = [
        decided(of, one)
        for of, one in zip((payment(1), login), seen, strict=True)
        if isinstance(one, Claimed)
    ]
    stored = await node.memory.decide(publications)
    assert await node.memory.look_up("main", "p:p1") == stored[0]
    deliveries = node.truth.deliver(publications, node.memory.epoch)
    await node.memory.acknowledge(deliveries)
    assert isinstance(await node.memory.look_up("main", "p:p1"), Receipt)
    assert isinstance(await node.memory.look_up("main", "login:l1"), Receipt)


async def test_a_sweep_ends_although_new_work_keeps_coming(node: Node) -> None:
    class Flood(LocalPublisher):
        """Another old claim appears for every round that is published."""

        rounds = 0

        async def publish(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
            self.rounds += 1
            await node.memory.observe([payment(self.rounds)])
            return await super().publish(publications, epoch)

    flood = Flood(node.truth)
    await node.memory.observe([payment(0)])
    async with asyncio.timeout(60):
        swept = await Sweeper(node.memory, node.keys, flood).sweep(START_MS + 10**9)
    assert swept == Swept(0, flood.rounds)
    assert flood.rounds == 100
    assert await node.memory.pending_count() == 1


class Confused(Connection):
    """A Redis that answers a claim where a decision was promised."""

    async def run_and_get(
        self,
        script: Script,
        keys: Sequence[bytes],
        arguments: Sequence[Argument],
        wanted: Sequence[bytes],
    ) -> tuple[Any, list[bytes | None]]:
        rows, values = await super().run_and_get(script, keys, arguments, wanted)
        if rows[0][0] == b"C":
            rows[0] = [b"D", await self.call("GET", keys[2])]
        return rows, values


async def test_a_claim_is_never_taken_for_a_decision(redis_url: str) -> None:
    node = Node(Confused(redis_url), new_prefix(), LocalTruth())
    await node.memory.open()
    with pytest.raises(ValueError, match="a claim is no decision"):
        await node.memory.observe([payment(1)])
    await node.close()
