"""What every feature memory promises: one suite over Redis and its in-memory twin."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from features.local_memory import LocalMemory
from features.redis_memory import RedisMemory
from risk.domain.errors import StaleEpoch
from risk.domain.ids import digest
from risk.domain.limits import TAIL_CAP
from risk.domain.observation import Claimed, Lost, Mismatch, Receipt, Stored
from tests.support.memory import arrival, decided, delivered, opened, payment, witness

EitherMemory = LocalMemory | RedisMemory


@pytest.fixture(params=["local", pytest.param("redis", marks=pytest.mark.services)])
async def memory(request: pytest.FixtureRequest) -> AsyncIterator[EitherMemory]:
    if request.param == "local":
        yield LocalMemory(witness)
        return
    node = await opened(request.getfixturevalue("redis_url"))
    yield node.memory
    await node.close()


async def claim(memory: EitherMemory, number: int, **fields: object) -> Claimed:
    (seen,) = await memory.observe([payment(number, **fields)])  # type: ignore[arg-type]
    assert isinstance(seen, Claimed)
    return seen


def sequences(seen: Claimed) -> list[int]:
    return [position.sequence for position in seen.positions]


def same(one: Claimed, other: Claimed) -> bool:
    return (
        one.positions == other.positions
        and one.inexact == other.inexact
        and one.vector is not None
        and other.vector is not None
        and one.vector.tobytes() == other.vector.tobytes()
    )


async def test_the_first_event_of_an_entity_sees_nothing(memory: EitherMemory) -> None:
    seen = await claim(memory, 1)
    assert [(place.kind, place.identifier) for place in seen.positions] == [
        ("account", "a1"),
        ("card", "c1"),
    ]
    assert {(place.base, place.sequence, place.tail_from) for place in seen.positions} == {
        (0, 0, 0)
    }
    assert {place.incarnation for place in seen.positions} == {memory.epoch}
    assert seen.vector is not None
    assert seen.vector[0] == len(b"account|card")


async def test_events_of_one_batch_see_the_earlier_ones(memory: EitherMemory) -> None:
    together = await memory.observe([payment(number) for number in range(3)])
    assert [sequences(cast("Claimed", seen)) for seen in together] == [[0, 0], [1, 1], [2, 2]]


async def test_a_retry_appends_nothing_and_sees_the_same(memory: EitherMemory) -> None:
    await claim(memory, 1)
    first = await claim(memory, 2)
    await claim(memory, 3)
    assert same(await claim(memory, 2), first)
    assert sequences(await claim(memory, 4)) == [3, 3]


async def test_an_id_twice_in_one_batch_is_one_claim(memory: EitherMemory) -> None:
    first, again, after = await memory.observe([payment(1), payment(1), payment(2)])
    assert same(cast("Claimed", first), cast("Claimed", again))
    assert sequences(cast("Claimed", after)) == [1, 1]


async def test_other_content_under_an_id_touches_no_log(memory: EitherMemory) -> None:
    await claim(memory, 1)
    (seen,) = await memory.observe([payment(1, amount_minor=99)])
    assert seen == Mismatch(payment(1).fingerprint)
    assert sequences(await claim(memory, 2)) == [1, 1]


async def test_the_first_writer_of_a_decision_wins(memory: EitherMemory) -> None:
    seen = await claim(memory, 1)
    first, second = decided(payment(1), seen), decided(payment(1), seen, "block")
    assert await memory.decide([first]) == [Stored(first.body)]
    assert await memory.decide([second]) == [Stored(first.body)]
    assert await memory.observe([payment(1)]) == [Stored(first.body)]
    assert await memory.look_up("main", "p:p1") == Stored(first.body)


async def test_two_decisions_of_one_batch_are_one(memory: EitherMemory) -> None:
    seen = await claim(memory, 1)
    first, second = decided(payment(1), seen), decided(payment(1), seen, "block")
    assert await memory.decide([first, second]) == [Stored(first.body)] * 2


async def test_an_acknowledged_decision_becomes_a_receipt(memory: EitherMemory) -> None:
    publication = decided(payment(1), await claim(memory, 1))
    await memory.decide([publication])
    await memory.acknowledge([delivered(publication, partition=3, offset=2**40)])
    receipt = Receipt("allow", 0.25, digest(publication.body), 3, 2**40)
    assert await memory.observe([payment(1)]) == [receipt]
    assert await memory.decide([publication]) == [receipt]
    assert await memory.look_up("main", "p:p1") == receipt
    assert await memory.observe([payment(1, amount_minor=99)]) == [Mismatch(payment(1).fingerprint)]


async def test_a_second_acknowledgement_changes_nothing(memory: EitherMemory) -> None:
    publication = decided(payment(1), await claim(memory, 1))
    await memory.decide([publication])
    await memory.acknowledge([delivered(publication, offset=4)])
    await memory.acknowledge([delivered(publication, offset=9)])
    assert cast("Receipt", await memory.look_up("main", "p:p1")).offset == 4


async def test_nothing_is_acknowledged_beside_other_bytes(memory: EitherMemory) -> None:
    one, other = decided(payment(1), await claim(memory, 1)), await claim(memory, 2)
    right, wrong = decided(payment(2), other), decided(payment(2), other, "block")
    await memory.decide([one, right])
    with pytest.raises(StaleEpoch):
        await memory.acknowledge([delivered(one), delivered(wrong)])
    assert await memory.observe([payment(1)]) == [Stored(one.body)]


async def test_an_undecided_claim_cannot_be_acknowledged(memory: EitherMemory) -> None:
    publication = decided(payment(1), await claim(memory, 1))
    with pytest.raises(StaleEpoch):
        await memory.acknowledge([delivered(publication)])


async def test_without_a_claim_nothing_is_decided(memory: EitherMemory) -> None:
    seen = await claim(memory, 1)
    with pytest.raises(StaleEpoch):
        await memory.decide([decided(payment(1), seen), decided(payment(2), seen)])
    assert isinstance((await memory.observe([payment(1)]))[0], Claimed)


async def test_remembered_events_leave_records_and_get_no_vector(memory: EitherMemory) -> None:
    login = arrival("login", id="l1", account="a1")
    (seen,) = await memory.observe([login])
    assert isinstance(seen, Claimed)
    assert seen.vector is None
    publication = decided(login, seen)
    await memory.decide([publication])
    await memory.acknowledge([delivered(publication)])
    assert isinstance((await memory.observe([login]))[0], Receipt)
    assert sequences(await claim(memory, 1)) == [1, 0]


async def test_a_payment_its_outcome_and_its_label_may_share_an_id(memory: EitherMemory) -> None:
    fields: dict[str, Any] = {"id": "x1", "payment_id": "x1", "account": "a1"}
    seen = await memory.observe(
        [
            arrival(id="x1", account="a1"),
            arrival("outcome", result="authorised", **fields),
            arrival("outcome", result="settled", **fields),
            arrival("label", label="chargeback", known_at="2026-01-01T00:00:00Z", **fields),
        ]
    )
    assert [sequences(cast("Claimed", one)) for one in seen] == [[0], [1], [2], [3]]


async def test_tenants_share_nothing(memory: EitherMemory) -> None:
    await claim(memory, 1)
    assert sequences(await claim(memory, 1, tenant="other")) == [0, 0]


async def test_an_identifier_cannot_reach_into_another_log(memory: EitherMemory) -> None:
    await claim(memory, 1, account="a", card="x:e:p:p9")
    assert sequences(await claim(memory, 2, account="a:card:x", card="{b01}")) == [0, 0]


async def test_more_than_a_batch_and_nothing_at_all(memory: EitherMemory) -> None:
    seen = await memory.observe([payment(number) for number in range(150)])
    assert [sequences(cast("Claimed", one))[0] for one in seen] == list(range(150))
    publications = [
        decided(payment(number), cast("Claimed", one)) for number, one in enumerate(seen)
    ]
    assert len(await memory.decide(publications)) == 150
    await memory.acknowledge([delivered(one) for one in publications])
    assert await memory.observe([]) == []
    assert await memory.decide([]) == []
    await memory.acknowledge([])


async def test_a_tail_ends_at_its_cap_and_a_late_retry_is_lost(memory: EitherMemory) -> None:
    await memory.observe([payment(number) for number in range(TAIL_CAP + 10)])
    seen = await claim(memory, TAIL_CAP + 10)
    (account, _) = seen.positions
    assert (account.sequence, account.tail_from) == (TAIL_CAP + 10, 10)
    assert seen.inexact == ("account", "card")
    await memory.observe([payment(number) for number in range(1000, 1000 + TAIL_CAP)])
    assert same(await claim(memory, TAIL_CAP + 10), seen)
    await memory.observe([payment(number) for number in range(2000, 2000 + TAIL_CAP)])
    (lost,) = await memory.observe([payment(TAIL_CAP + 10)])
    assert lost == Lost(seen.positions[0], seen.positions)
    # Who saw nothing at first still knows exactly what that was.
    assert sequences(await claim(memory, 0)) == [0, 0]


async def test_many_small_batches_hold_the_same_as_one(memory: EitherMemory) -> None:
    for number in range(TAIL_CAP * 3):
        last = await claim(memory, number)
    twin = LocalMemory(witness, memory.epoch)
    seen = await twin.observe([payment(number) for number in range(TAIL_CAP * 3)])
    assert same(last, cast("Claimed", seen[-1]))
