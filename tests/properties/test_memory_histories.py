"""Random histories: batch sizes, retries and interleaved processes never change what is seen."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from features.local_memory import LocalMemory
from features.local_truth import LocalTruth
from features.records import facts, records
from features.tails import Tail
from risk.domain.event import is_scored
from risk.domain.kinds import event_key, record_kind
from risk.domain.limits import TAIL_CAP
from risk.domain.observation import Arrival, Claimed, Mismatch, Observed, Receipt, Stored
from tests.support.memory import (
    arrival,
    decided,
    delivered,
    new_prefix,
    opened,
    payment,
    witness,
)


@dataclass(frozen=True)
class Call:
    """One call of a process: observe these payments, and perhaps finish them."""

    process: int
    arrivals: tuple[Arrival, ...]
    decide: bool
    acknowledge: bool


@dataclass
class Oracle:
    """The obvious memory: whole logs, never trimmed, and a dictionary of claims."""

    logs: dict[tuple[str, str, str], list[bytes]] = field(default_factory=dict)
    claims: dict[tuple[str, str], tuple[bytes, dict[tuple[str, str], int]]] = field(
        default_factory=dict
    )

    def see(self, of: Arrival) -> Mismatch | tuple[list[int], tuple[Tail, ...]]:
        event = of.event
        left = records(event, facts(event, record_kind(event), of.amount_base))
        key = (event.tenant, event_key(event))
        if key not in self.claims:
            places = {}
            for kind, identifier, record in left:
                log = self.logs.setdefault((event.tenant, kind, identifier), [])
                places[kind, identifier] = len(log)
                log.append(record)
            self.claims[key] = (of.fingerprint, places)
        fingerprint, places = self.claims[key]
        if fingerprint != of.fingerprint:
            return Mismatch(fingerprint)
        tails = tuple(
            Tail(
                kind,
                b"".join(
                    self.logs[event.tenant, kind, identifier][
                        max(0, sequence - TAIL_CAP) : sequence
                    ]
                ),
                sequence > TAIL_CAP,
                b"".join(self.logs[event.tenant, kind, identifier][: max(0, sequence - TAIL_CAP)]),
                b"",
            )
            for (kind, identifier), sequence in places.items()
        )
        return list(places.values()), tails


def some_arrival() -> SearchStrategy[Arrival]:
    """Few ids, few entities: duplicates, retries and mismatches come by themselves."""
    return st.builds(
        lambda number, kind, card, device, amount: arrival(
            kind,
            id=f"e{number}",
            account=f"a{number % 3}",
            **({} if kind == "login" else {"card": card, "amount_minor": amount}),
            device=device,
        ),
        st.integers(0, 12),
        st.sampled_from(["payment", "payment", "transfer", "login"]),
        st.sampled_from(["c1", "c2", None]),
        st.sampled_from(["d1", "d2", None]),
        st.sampled_from([100, 100, 200]),
    )


def some_call() -> SearchStrategy[Call]:
    return st.builds(
        Call,
        st.integers(0, 1),
        st.lists(some_arrival(), min_size=1, max_size=9).map(tuple),
        st.booleans(),
        st.booleans(),
    )


def check(oracle: Oracle, call: Call, seen: list[Observed]) -> None:
    """What is claimed stands where the oracle says and shows what the oracle shows."""
    for of, one in zip(call.arrivals, seen, strict=True):
        expected = oracle.see(of)
        if isinstance(expected, Mismatch) or isinstance(one, Mismatch):
            assert one == expected
            continue
        if isinstance(one, Stored | Receipt):
            continue
        assert isinstance(one, Claimed)
        assert [place.sequence for place in one.positions] == expected[0]
        if is_scored(of.event):
            assert one.vector is not None
            assert np.array_equal(one.vector, witness([(of, expected[1])])[0][0])
        else:
            assert one.vector is None


def alike(one: Observed, other: Observed) -> bool:
    if not isinstance(one, Claimed) or not isinstance(other, Claimed):
        return one == other
    if one.vector is None or other.vector is None:
        return one.vector is other.vector and one.positions == other.positions
    same_vector = one.vector.tobytes() == other.vector.tobytes()
    return same_vector and one.positions == other.positions and one.inexact == other.inexact


@pytest.mark.services
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(calls=st.lists(some_call(), min_size=1, max_size=12))
def test_two_processes_a_twin_and_an_oracle_agree(redis_url: str, calls: list[Call]) -> None:
    asyncio.run(_compare(redis_url, calls))


async def _compare(url: str, calls: list[Call]) -> None:
    prefix, truth = new_prefix(), LocalTruth()
    nodes = [await opened(url, prefix, truth), await opened(url, prefix, truth)]
    twin, oracle = LocalMemory(witness, nodes[0].memory.epoch), Oracle()
    for call in calls:
        memory = nodes[call.process].memory
        seen, mirrored = await memory.observe(call.arrivals), await twin.observe(call.arrivals)
        assert all(map(alike, seen, mirrored))
        check(oracle, call, seen)
        if not call.decide:
            continue
        publications = [
            decided(of, one)
            for of, one in zip(call.arrivals, seen, strict=True)
            if isinstance(one, Claimed)
        ]
        assert await memory.decide(publications) == await twin.decide(publications)
        if call.acknowledge:
            deliveries = [delivered(one) for one in publications]
            await memory.acknowledge(deliveries)
            await twin.acknowledge(deliveries)
    for node in nodes:
        await node.close()


@pytest.mark.services
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    sizes=st.lists(st.integers(1, 100), min_size=8, max_size=14),
    retries=st.lists(st.integers(0, 600), max_size=20),
)
def test_batch_sizes_do_not_matter_past_the_caps(
    redis_url: str, sizes: list[int], retries: list[int]
) -> None:
    asyncio.run(_past_the_caps(redis_url, sizes, retries))


async def _past_the_caps(url: str, sizes: list[int], retries: list[int]) -> None:
    node = await opened(url)
    twin = LocalMemory(witness, node.memory.epoch)
    number = 0
    for size in sizes:
        batch = [payment(one) for one in range(number, number + size)]
        number += size
        seen = await node.memory.observe(batch)
        mirrored = [(await twin.observe([one]))[0] for one in batch]
        assert all(map(alike, seen, mirrored))
    again = [payment(one % number) for one in retries]
    assert all(map(alike, await node.memory.observe(again), await twin.observe(again)))
    await node.close()
