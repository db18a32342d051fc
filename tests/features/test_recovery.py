"""Recovery: what Kafka knows comes back, what is stale stays out, whoever dies on the way."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from features.connection import Connection
from features.local_truth import LocalPublisher, LocalTruth
from features.logs import unpack_log
from features.records import HOLE_RECORD, RECORD_BYTES
from features.trips import Argument
from features.truth import Place, Truth, TruthRecord, TruthTopic
from risk.domain.errors import StaleEpoch, Unavailable
from risk.domain.observation import (
    Arrival,
    Claimed,
    Delivery,
    Observed,
    Publication,
    Receipt,
    Stored,
)
from risk.local.redis import RedisServer
from tests.support.memory import Node, arrival, decided, new_prefix, opened, payment

pytestmark = pytest.mark.services


async def walk(node: Node, *arrivals: Arrival) -> list[Delivery]:
    """Observe, decide, publish and acknowledge."""
    publications = await decide(node, *arrivals)
    deliveries = node.truth.deliver(publications, node.memory.epoch)
    await node.memory.acknowledge(deliveries)
    return deliveries


async def decide(node: Node, *arrivals: Arrival) -> list[Publication]:
    """Observe and decide; nothing is published."""
    seen = await node.memory.observe(arrivals)
    publications = [
        decided(of, one) for of, one in zip(arrivals, seen, strict=True) if isinstance(one, Claimed)
    ]
    await node.memory.decide(publications)
    return publications


async def forget(node: Node, *, scripts: bool = False) -> None:
    """Lose the whole world of ``node``, as FLUSHALL would, or only what a restart forgets."""
    if scripts:
        await node.connection.call("SCRIPT FLUSH")
        return
    keys = await node.connection.call("KEYS", node.keys.prefix + "*")
    await node.connection.call("DEL", *keys)


async def dump(node: Node) -> dict[bytes, bytes]:
    """Logs and event values of the node's world."""
    keys = sorted(await node.connection.call("KEYS", node.keys.prefix + "{b00}:*:*:*"))
    values = await node.connection.call("MGET", *keys) if keys else []
    return dict(zip(keys, values, strict=True))


def records_of(state: dict[bytes, bytes], node: Node, kind: str, name: str) -> list[bytes]:
    log = unpack_log(state[node.keys.log("main", kind, name)])
    raw = bytes(log.records)
    return [raw[at : at + RECORD_BYTES] for at in range(0, len(raw), RECORD_BYTES)]


@pytest.fixture
async def node(redis_url: str) -> AsyncIterator[Node]:
    node = await opened(redis_url, lock_ms=400)
    yield node
    await node.close()


async def test_a_second_process_joins_the_open_epoch(node: Node, redis_url: str) -> None:
    other = await opened(redis_url, node.keys.prefix, node.truth)
    assert other.memory.epoch == node.memory.epoch == 1
    assert other.recovery.last is None
    await other.close()


async def test_forgotten_scripts_end_the_epoch(node: Node) -> None:
    await walk(node, payment(1))
    before = await dump(node)
    await forget(node, scripts=True)
    with pytest.raises(StaleEpoch):
        await node.memory.observe([payment(2)])
    await node.memory.recover()
    assert node.memory.epoch == 2
    assert await dump(node) == before
    assert node.recovery.last is not None
    assert node.recovery.last.read == 0  # the watermarks say that all of it is known


async def test_another_world_at_the_same_epoch_does_not_hide_a_restart(
    node: Node, redis_url: str
) -> None:
    await walk(node, payment(1))
    await forget(node, scripts=True)
    other = await opened(redis_url)
    assert other.memory.epoch == node.memory.epoch
    with pytest.raises(StaleEpoch):
        await node.memory.observe([payment(2)])
    await other.close()


async def test_the_next_epoch_continues_the_sequences(node: Node) -> None:
    await walk(node, payment(1), payment(2))
    await forget(node, scripts=True)
    await node.memory.recover()
    (seen,) = await node.memory.observe([payment(3)])
    assert isinstance(seen, Claimed)
    assert {(one.incarnation, one.base, one.sequence) for one in seen.positions} == {(2, 2, 2)}
    (after,) = await node.memory.observe([payment(4)])
    assert isinstance(after, Claimed)
    assert {(one.incarnation, one.base, one.sequence) for one in after.positions} == {(2, 2, 3)}


async def test_an_empty_redis_is_refilled(node: Node) -> None:
    login = arrival("login", id="l1", account="a1")
    for number in range(0, 700, 50):
        await walk(node, *(payment(one) for one in range(number, number + 50)))
    await walk(node, login, payment(9000))
    before = await dump(node)
    await forget(node)
    with pytest.raises(StaleEpoch):
        await node.memory.observe([payment(1)])
    await node.memory.recover()
    assert await dump(node) == before
    (again,) = await node.memory.observe([payment(1)])
    assert isinstance(again, Receipt)


async def test_unknown_sequences_become_holes(node: Node) -> None:
    await walk(node, payment(1))
    await decide(node, payment(2))  # claimed and decided, never published
    await walk(node, payment(3))
    before = await dump(node)
    await forget(node)
    await node.memory.recover()
    after = await dump(node)
    kept, restored = (records_of(one, node, "card", "c1") for one in (before, after))
    assert restored == [kept[0], HOLE_RECORD, kept[2]]
    assert node.keys.event("main", "p:p2") not in after
    (again,) = await node.memory.observe([payment(2)])
    assert isinstance(again, Claimed)
    assert {one.sequence for one in again.positions} == {3}


async def test_published_but_unacknowledged_is_found_again(node: Node) -> None:
    publications = await decide(node, payment(1))
    (delivery,) = node.truth.deliver(publications, node.memory.epoch)
    await forget(node, scripts=True)
    await node.memory.recover()
    (seen,) = await node.memory.observe([payment(1)])
    assert isinstance(seen, Receipt)
    assert (seen.partition, seen.offset) == (delivery.partition, delivery.offset)
    assert await node.memory.pending(2**50, 10) == []


async def test_a_decision_of_a_stale_publisher_is_void(node: Node) -> None:
    publications = await decide(node, payment(1))
    old = node.memory.epoch
    await forget(node)
    await node.memory.recover()
    node.truth.deliver(publications, old)  # a zombie comes back
    (seen,) = await node.memory.observe([payment(1)])
    assert isinstance(seen, Claimed)
    other = decided(payment(1), seen, "block")
    await node.memory.decide([other])
    (delivery,) = node.truth.deliver([other], node.memory.epoch)
    await forget(node)
    await node.memory.recover()
    (again,) = await node.memory.observe([payment(1)])
    assert isinstance(again, Receipt)
    assert (again.outcome, again.offset) == ("block", delivery.offset)
    assert node.recovery.last is not None
    assert node.recovery.last.void == 1


async def test_a_fallback_is_not_restored(node: Node) -> None:
    (publication,) = await decide(node, payment(1))
    body = publication.body.replace(b'"authoritative":true', b'"authoritative":false')
    assert body != publication.body
    node.truth.deliver([replace(publication, body=body)], node.memory.epoch)
    await forget(node)
    await node.memory.recover()
    assert await dump(node) == {}


async def test_surviving_claims_are_saved_on_the_ledger(node: Node) -> None:
    (claimed,) = await node.memory.observe([payment(1)])
    publications = await decide(node, payment(2))
    await forget(node, scripts=True)
    await node.memory.recover()
    assert node.recovery.last is not None
    assert node.recovery.last.claims_saved == 2
    await forget(node)  # now even Redis forgets them
    await node.memory.recover()
    again = await node.memory.observe([payment(1), payment(2), payment(3)])
    assert isinstance(claimed, Claimed)
    assert [same_claim(again[0], claimed), isinstance(again[1], Claimed)] == [True, True]
    assert isinstance(again[2], Claimed)
    assert {one.sequence for one in again[2].positions} == {2}
    assert publications[0].body  # it was never published: it may be decided again


def same_claim(seen: Observed, claimed: Claimed) -> bool:
    return (
        isinstance(seen, Claimed)
        and seen.positions == claimed.positions
        and seen.vector is not None
        and claimed.vector is not None
        and seen.vector.tobytes() == claimed.vector.tobytes()
    )


async def test_foreign_bytes_are_named_and_stop_nobody(node: Node) -> None:
    (publication,) = await decide(node, payment(1))
    node.truth.deliver([replace(publication, body=b"{}")], node.memory.epoch)
    node.truth.deliver([publication], node.memory.epoch)
    await forget(node)
    await node.memory.recover()
    assert node.recovery.last is not None
    assert [text.split("@")[0] for text in node.recovery.last.unreadable] in (
        ["decisions:0"],
        ["decisions:1"],
    )
    assert isinstance((await node.memory.observe([payment(1)]))[0], Receipt)


async def test_impossible_places_are_named_and_stop_nobody(node: Node) -> None:
    (publication,) = await decide(node, payment(1))
    wrong = (
        publication.body.replace(b'"card","c1"', b'"card","c2"'),
        publication.body.replace(b'"card","c1",1,0,0,0', b'"card","c1",1,0,-1,0'),
    )
    assert publication.body not in wrong
    bodies = [replace(publication, body=body) for body in wrong]
    node.truth.deliver(bodies, node.memory.epoch)
    await forget(node)
    await node.memory.recover()
    assert node.recovery.last is not None
    assert len(node.recovery.last.unreadable) == 2
    assert await dump(node) == {}


async def test_a_foreign_value_in_redis_is_named_and_kept(node: Node) -> None:
    await node.memory.observe([payment(1), payment(2)])
    await node.connection.call("SET", node.keys.event("main", "p:p1"), b"D")
    await forget(node, scripts=True)
    await node.memory.recover()
    assert node.recovery.last is not None
    assert len(node.recovery.last.unreadable) == 1
    assert node.recovery.last.claims_saved == 1


async def test_racing_recoverers_make_one_epoch(redis_url: str) -> None:
    prefix, truth = new_prefix(), LocalTruth()
    nodes = await asyncio.gather(*(opened(redis_url, prefix, truth) for _ in range(4)))
    assert {node.memory.epoch for node in nodes} == {1}
    await walk(nodes[0], payment(1))
    await forget(nodes[0])
    await asyncio.gather(*(node.memory.recover() for node in nodes))
    assert {node.memory.epoch for node in nodes} == {2}
    assert sum(node.recovery.last is not None for node in nodes) >= 1
    assert await truth.last_epoch() == 2
    for node in nodes:
        await node.close()


async def test_a_waiter_that_gives_up_does_not_stop_the_recovery(node: Node) -> None:
    await forget(node)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0001):
            await node.memory.recover()
    await node.memory.recover()
    assert node.memory.epoch == 2


class Died(BaseException):
    """The process is gone: nothing of it may run any more, not even what cleans up."""


class Mortal(Connection):
    """A connection whose process dies just before or just after a given call."""

    def __init__(self, url: str, dies_at: int, *, after: bool) -> None:
        super().__init__(url)
        self._left = dies_at
        self._after = after

    async def call(self, *command: Argument) -> object:
        self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._after):
            raise Died
        answer = await super().call(*command)
        if self._left == 0:
            raise Died
        return answer


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_recoverer_may_die_at_any_call(redis_url: str, after: bool) -> None:
    for dies_at in range(1, 40):
        truth = LocalTruth()
        first = await opened(redis_url, truth=truth)
        await walk(first, payment(1), payment(2))
        (claimed,) = await first.memory.observe([payment(3)])
        before = await dump(first)
        await forget(first, scripts=True)
        mortal = Node(Mortal(redis_url, dies_at, after=after), first.keys.prefix, truth, lock_ms=30)
        died = False
        try:
            await mortal.memory.recover()
        except Died:
            died = True
        heir = await opened(redis_url, first.keys.prefix, truth, lock_ms=30)
        assert heir.memory.epoch > 1
        assert await dump(heir) == before
        (again,) = await heir.memory.observe([payment(3)])
        assert isinstance(claimed, Claimed)
        assert same_claim(again, claimed)
        assert isinstance((await heir.memory.observe([payment(1)]))[0], Receipt)
        for node in (first, mortal, heir):
            await node.connection.close()
        if not died:
            return
    pytest.fail("a recovery takes fewer calls than that")


class Hooked(LocalTruth):
    """A topic twin that lets something happen before one of its methods goes on."""

    def __init__(self, of: LocalTruth, at: str, hook: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.partitions = of.partitions
        self._at = at
        self._hook = hook

    async def _reach(self, name: str) -> None:
        if name == self._at:
            self._at = ""
            await self._hook()

    async def last_epoch(self) -> int:
        await self._reach("last_epoch")
        return await super().last_epoch()

    async def write_markers(self, epoch: int) -> dict[Place, int]:
        await self._reach("write_markers")
        return await super().write_markers(epoch)

    async def read(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        await self._reach("read")
        async for record in super().read(topic, partition, from_offset, to_offset):
            yield record

    async def publish_ledger(self, publications: Sequence[Publication], epoch: int) -> None:
        await self._reach("publish_ledger")
        await super().publish_ledger(publications, epoch)


STEPS = ["last_epoch", "write_markers", "read", "publish_ledger"]


@pytest.mark.parametrize("step", STEPS)
async def test_kafka_away_means_unavailable_and_begin_again(redis_url: str, step: str) -> None:
    truth = LocalTruth()
    first = await opened(redis_url, truth=truth)
    await walk(first, payment(1))
    await first.memory.observe([payment(2)])
    before = await dump(first)
    await forget(first, scripts=True)

    async def away() -> None:
        raise Unavailable("kafka", "the broker is away")

    node = Node(Connection(redis_url), first.keys.prefix, Hooked(truth, step, away))
    with pytest.raises(Unavailable):
        await node.memory.open()
    await node.memory.open()  # the lock was given back, nobody waits for it
    assert await dump(node) == before
    for one in (first, node):
        await one.close()


@pytest.mark.parametrize("step", STEPS)
async def test_a_restart_during_recovery_begins_again(
    redis_factory: Callable[[], RedisServer], step: str
) -> None:
    server = redis_factory()
    truth = LocalTruth()
    first = await opened(server.url, truth=truth)
    await walk(first, payment(1))
    await first.memory.observe([payment(2)])
    before = await dump(first)

    async def restart() -> None:
        server.kill()
        server.restart()

    await restart()
    node = Node(Connection(server.url), first.keys.prefix, Hooked(truth, step, restart))
    await node.memory.open()
    assert node.memory.epoch >= 2
    assert await dump(node) == before
    with pytest.raises(StaleEpoch):
        await first.memory.observe([payment(2)])
    for one in (first, node):
        await one.close()


@pytest.mark.parametrize("step", STEPS)
async def test_a_recoverer_that_lost_its_lock_changes_nothing(redis_url: str, step: str) -> None:
    truth = LocalTruth()
    first = await opened(redis_url, truth=truth)
    await walk(first, payment(1))
    (claimed,) = await first.memory.observe([payment(2)])
    await forget(first, scripts=True)
    prefix = first.keys.prefix
    others: list[Node] = []

    async def overtaken() -> None:
        """While the first sleeps its lock runs out, and another does all the work."""
        await first.connection.call("DEL", first.keys.lock)
        others.append(await opened(redis_url, prefix, truth))
        await walk(others[0], payment(3))

    node = Node(Connection(redis_url), prefix, Hooked(truth, step, overtaken))
    await node.memory.open()
    assert node.recovery.last is None
    assert node.memory.epoch == others[0].memory.epoch
    assert isinstance(claimed, Claimed)
    assert same_claim((await node.memory.observe([payment(2)]))[0], claimed)
    await walk(node, payment(4))
    before = await dump(node)
    await forget(node)  # its late markers must not make the other's records void
    await node.memory.recover()
    assert await dump(node) == before
    for one in (first, node, *others):
        await one.close()


class Paused(Connection):
    """A connection that lets something happen after its first MGET has been answered."""

    def __init__(self, url: str, hook: Callable[[], Awaitable[None]]) -> None:
        super().__init__(url)
        self._hook: Callable[[], Awaitable[None]] | None = hook

    async def call(self, *command: Argument) -> object:
        answer = await super().call(*command)
        if command[0] == "MGET" and self._hook is not None:
            hook, self._hook = self._hook, None
            await hook()
        return answer


async def test_values_read_before_the_lock_was_lost_are_not_written(redis_url: str) -> None:
    truth = LocalTruth()
    first = await opened(redis_url, truth=truth)
    await walk(first, payment(1))
    await forget(first)
    others: list[Node] = []

    async def overtaken() -> None:
        await first.connection.call("DEL", first.keys.lock)
        others.append(await opened(redis_url, first.keys.prefix, truth))
        await walk(others[0], payment(2))

    node = Node(Paused(redis_url, overtaken), first.keys.prefix, truth)
    await node.memory.open()
    (seen,) = await node.memory.observe([payment(3)])
    assert isinstance(seen, Claimed)
    assert {place.sequence for place in seen.positions} == {2}
    for one in (first, node, *others):
        await one.close()


async def test_a_long_recovery_keeps_its_lock(redis_url: str) -> None:
    truth = LocalTruth()

    async def slow() -> None:
        await asyncio.sleep(0.5)

    prefix = new_prefix()
    node = Node(Connection(redis_url), prefix, Hooked(truth, "read", slow), lock_ms=100)
    other = Node(Connection(redis_url), prefix, truth, lock_ms=100)
    await asyncio.gather(node.memory.open(), _a_little_later(other))
    assert node.recovery.last is not None
    assert other.recovery.last is None
    assert await truth.last_epoch() == 1
    for one in (node, other):
        await one.close()


async def _a_little_later(node: Node) -> None:
    await asyncio.sleep(0.05)
    await node.memory.open()


@pytest.mark.parametrize("lose", ["DEL", "SET"])
async def test_a_closed_gate_stops_every_step(node: Node, lose: str) -> None:
    """The scripts are still known here: only the epoch key says that the epoch is over."""
    seen = await node.memory.observe([payment(1), payment(2)])
    first, second = (
        decided(of, one)
        for of, one in zip((payment(1), payment(2)), seen, strict=True)
        if isinstance(one, Claimed)
    )
    await node.memory.decide([first])
    (delivery,) = node.truth.deliver([first], node.memory.epoch)
    key = node.keys.epoch
    await node.connection.call(*(("SET", key, "closed:1") if lose == "SET" else ("DEL", key)))
    with pytest.raises(StaleEpoch):
        await node.memory.observe([payment(3)])
    with pytest.raises(StaleEpoch):
        await node.memory.decide([second])
    with pytest.raises(StaleEpoch):
        await node.memory.acknowledge([delivery])
    with pytest.raises(StaleEpoch):
        await node.memory.pending(2**50, 1)
    with pytest.raises(StaleEpoch):
        await node.memory.settle([node.keys.event("main", "p:p2")])
    await node.memory.recover()
    assert node.memory.epoch == 2


async def test_lost_last_commands_come_back_from_kafka(
    redis_factory: Callable[[], RedisServer], tmp_path: Path
) -> None:
    server = redis_factory()
    node = await opened(server.url)
    await walk(node, payment(1), payment(2))
    kept = tmp_path / "earlier"
    shutil.copytree(server.data / "data", kept)
    await walk(node, payment(3))
    lost = await decide(node, payment(4))
    await walk(node, payment(5))
    server.kill()
    shutil.rmtree(server.data / "data")
    shutil.copytree(kept, server.data / "data")
    server.restart()
    with pytest.raises(StaleEpoch):
        await node.memory.decide(lost)
    await node.memory.recover()
    card = records_of(await dump(node), node, "card", "c1")
    assert [record == HOLE_RECORD for record in card] == [False, False, False, True, False]
    seen = await node.memory.observe([payment(number) for number in range(1, 6)])
    assert [type(one) for one in seen] == [Receipt, Receipt, Receipt, Claimed, Receipt]
    assert node.recovery.last is not None
    assert node.recovery.last.read == 2
    await node.close()


async def test_a_silent_redis_is_unavailable(redis_factory: Callable[[], RedisServer]) -> None:
    server = redis_factory()
    node = await opened(server.url)
    server.kill()
    with pytest.raises(Unavailable, match="redis"):
        await node.memory.observe([payment(1)])
    with pytest.raises(Unavailable, match="redis"):
        await node.memory.recover()
    await node.close()


async def test_twins_of_the_topics_follow_the_protocols() -> None:
    truth: Truth = LocalTruth()
    assert await truth.last_epoch() == 0
    publisher = LocalPublisher(LocalTruth())
    one = Publication("main", "p:1", "decisions", b"main:1", b"{}", "allow", None)
    (delivery,) = await publisher.publish([one], 1)
    assert await publisher.read("decisions", delivery.partition, delivery.offset) == b"{}"
    assert await publisher.read("decisions", delivery.partition, 9) is None


async def test_a_decision_that_survived_is_still_in_the_outbox(node: Node) -> None:
    (publication,) = await decide(node, payment(1))
    await forget(node, scripts=True)
    await node.memory.recover()
    assert await node.memory.observe([payment(1)]) == [Stored(publication.body)]
    assert len(await node.memory.pending(2**50, 10)) == 1
