"""What doors leave half done is finished, once, and never under a wrong epoch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec.structs import replace

from features.local_truth import LocalPublisher, LocalTruth
from features.sweeper import Sweeper, Swept
from risk.domain.decision import decode_ledger
from risk.domain.errors import StaleEpoch
from risk.domain.limits import SWEEP_AFTER_MS
from risk.domain.observation import Claimed, Delivery, Publication, Receipt
from tests.support.memory import START_MS, Node, arrival, decided, opened, payment

pytestmark = pytest.mark.services
LATER_MS = START_MS + SWEEP_AFTER_MS + 1


@pytest.fixture
async def node(redis_url: str) -> AsyncIterator[Node]:
    node = await opened(redis_url)
    yield node
    await node.close()


def sweeper(node: Node) -> Sweeper:
    return Sweeper(node.memory, node.keys, LocalPublisher(node.truth))


def published(truth: LocalTruth, topic: str) -> list[bytes]:
    return [
        record.value
        for place, records in truth.partitions.items()
        for record in records
        if place.topic == topic and not record.marker
    ]


async def test_young_work_is_left_to_its_door(node: Node) -> None:
    await node.memory.observe([payment(1)])
    assert await sweeper(node).sweep(START_MS + SWEEP_AFTER_MS) == Swept(0, 0)


async def test_a_decided_payment_is_published_and_acknowledged(node: Node) -> None:
    (seen,) = await node.memory.observe([payment(1)])
    assert isinstance(seen, Claimed)
    publication = decided(payment(1), seen)
    await node.memory.decide([publication])
    assert await sweeper(node).sweep(LATER_MS) == Swept(1, 0)
    assert published(node.truth, "decisions") == [publication.body]
    assert isinstance((await node.memory.observe([payment(1)]))[0], Receipt)
    assert await sweeper(node).sweep(LATER_MS) == Swept(0, 0)


async def test_a_backlog_that_is_being_decided_is_left_to_its_door(node: Node) -> None:
    old = replace(payment(1), arrived_at_ms=START_MS - 3_600_000)
    (seen,) = await node.memory.observe([old])
    assert isinstance(seen, Claimed)
    await node.memory.decide([decided(old, seen)])
    assert await sweeper(node).sweep(START_MS + SWEEP_AFTER_MS) == Swept(0, 0)
    assert await sweeper(node).sweep(LATER_MS) == Swept(1, 0)


async def test_a_claim_goes_to_the_ledger_once_and_can_still_be_decided(node: Node) -> None:
    login = arrival("login", id="l1", account="a1")
    seen = await node.memory.observe([payment(1), login])
    assert await sweeper(node).sweep(LATER_MS) == Swept(0, 2)
    assert await sweeper(node).sweep(LATER_MS) == Swept(0, 0)
    ledger = {
        entry.event_id: entry for entry in map(decode_ledger, published(node.truth, "ledger"))
    }
    assert set(ledger) == {"p1", "l1"}
    for of, one in zip((payment(1), login), seen, strict=True):
        assert isinstance(one, Claimed)
        entry = ledger[of.event.id]
        assert entry.pending
        assert bytes(entry.event) == of.body
        assert entry.fingerprint == of.fingerprint.hex()
        assert tuple(entry.positions) == one.positions
    (again,) = await node.memory.observe([payment(1)])
    assert isinstance(again, Claimed)
    await node.memory.decide([decided(payment(1), again)])
    assert await sweeper(node).sweep(LATER_MS) == Swept(1, 0)


async def test_more_than_one_round(node: Node) -> None:
    await node.memory.observe([payment(number) for number in range(150)])
    assert await sweeper(node).sweep(LATER_MS) == Swept(0, 150)


async def test_a_claim_decided_while_it_is_swept_stays_in_the_outbox(node: Node) -> None:
    class Slow(LocalPublisher):
        """A door decides while the sweeper waits for Kafka."""

        async def publish(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
            (seen,) = await node.memory.observe([payment(1)])
            if isinstance(seen, Claimed):
                await node.memory.decide([decided(payment(1), seen)])
            return await super().publish(publications, epoch)

    await node.memory.observe([payment(1)])
    slow = Sweeper(node.memory, node.keys, Slow(node.truth))
    assert await slow.sweep(LATER_MS) == Swept(1, 1)
    assert len(published(node.truth, "decisions")) == 1
    assert await node.memory.pending(LATER_MS, 10) == []


async def test_what_was_read_before_a_loss_is_not_acknowledged_after_it(node: Node) -> None:
    class Losing(LocalPublisher):
        """Redis forgets its scripts, and is recovered, while the sweeper waits for Kafka."""

        async def publish(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
            await node.connection.call("SCRIPT FLUSH")
            await node.memory.recover()
            return await super().publish(publications, epoch)

    await node.memory.observe([payment(1)])
    assert await Sweeper(node.memory, node.keys, Losing(node.truth)).sweep(LATER_MS) == Swept(0, 0)
    ledger = [decode_ledger(body).event_id for body in published(node.truth, "ledger")]
    assert ledger == ["p1", "p1"]  # recovery's, and the void one


async def test_a_lost_epoch_is_said(node: Node) -> None:
    await node.connection.call("SET", node.keys.epoch, "closed:1")
    with pytest.raises(StaleEpoch):
        await sweeper(node).sweep(LATER_MS)


async def test_an_expired_claim_leaves_the_pending_set(node: Node) -> None:
    await node.memory.observe([payment(1)])
    await node.connection.call("DEL", node.keys.event("main", "p:p1"))
    assert await sweeper(node).sweep(LATER_MS) == Swept(0, 0)
    assert await node.memory.pending(LATER_MS, 10) == []


@pytest.mark.parametrize("foreign", [b"X", b"D" + bytes(60), b"C" + bytes(17) + b"{}"])
async def test_one_unreadable_entry_does_not_stall_the_others(node: Node, foreign: bytes) -> None:
    key = node.keys.event("main", "p:p0")
    await node.connection.call("SET", key, foreign)
    await node.connection.call("ZADD", node.keys.pending, 1, key)
    (seen,) = await node.memory.observe([payment(1)])
    assert isinstance(seen, Claimed)
    await node.memory.decide([decided(payment(1), seen)])
    assert await sweeper(node).sweep(LATER_MS) == Swept(1, 0, 1)
    assert await sweeper(node).sweep(LATER_MS) == Swept(0, 0, 1)
    assert await node.memory.pending(LATER_MS, 10) == [(key, foreign)]
