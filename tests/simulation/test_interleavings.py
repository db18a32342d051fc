"""The interleavings of the protocol model, replayed on the real Lua, a real Redis, the real engine.

Two workers with different models meet one payment, the HTTP door meets another on the same
logs, the sweeper comes at any time. Workers die and come back, the door dies, Redis restarts
and forgets its last commands, and a zombie publishes in the middle of the recovery.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pytest

from features.connection import Connection
from features.records import HOLE_RECORD, facts, records
from features.tails import Tail
from features.truth import Standing
from features.vectors import vectors
from risk.domain.decision import (
    Evidence,
    LogPosition,
    decode_decision,
    decode_ledger,
)
from risk.domain.decoding import decode_event
from risk.domain.kinds import record_kind
from risk.domain.observation import Arrival
from risk.domain.times import parse_rfc3339
from risk.local.redis import RedisServer
from tests.support.guards import Guards
from tests.support.interleaving import FINISHED, Bench, Budget, State, Topics
from tests.support.memory import new_prefix, to_base

pytestmark = pytest.mark.services

Place = tuple[str, str, int]
ID = {"X": "p1", "Y": "p3"}
STATES_MAX = 150_000


class World(NamedTuple):
    """Who takes part (A and B: workers on X, H: the door on Y), and what may go wrong."""

    names: str
    budget: Budget
    forgets: int = 0  # a restart may forget up to so many commands

    def __str__(self) -> str:
        faults = [f"{number} {name}" for name, number in self.budget._asdict().items() if number]
        return " ".join([self.names, *faults])


WORLDS = (
    World("ABH", Budget(crashes=1)),
    World("AB", Budget(crashes=1, restarts=1), forgets=2),
    World("AH", Budget(restarts=1), forgets=2),
    World("AH", Budget(crashes=1, early_sweeps=1)),
)
# Enough to miss any single guard.
SMALL = (
    World("AB", Budget()),
    World("AB", Budget(restarts=1), forgets=2),
    World("AH", Budget(restarts=1), forgets=2),
)
# Minutes each: behind `make soak`.
LARGE = (
    World("AH", Budget(crashes=1, restarts=1), forgets=2),
    World("ABH", Budget(early_sweeps=1)),
    World("ABH", Budget(restarts=1), forgets=1),
)


class Reading:
    """What a consumer reads from the topics: decisions that stand, and who is at which place."""

    def __init__(self, topics: Topics, *, void: bool = True) -> None:
        self.bodies: dict[str, set[bytes]] = {}
        self.at: dict[Place, bytes] = {}
        self.problem = ""
        self._evidence: list[Evidence] = []
        for place, log in topics:
            standing = Standing(None)
            for record in log:
                admitted = standing.admits(record)
                if record.marker or (void and not admitted):
                    continue
                if place.topic == "ledger":
                    entry = decode_ledger(record.value)
                    self._put(bytes(entry.event), entry.positions)
                    continue
                decision = decode_decision(record.value)
                assert decision.evidence is not None
                self._put(bytes(decision.evidence.event), decision.evidence.positions)
                self.bodies.setdefault(decision.payment_id, set()).add(record.value)
                self._evidence.append(decision.evidence)
        self.unprovable = sum(not self._proves(one) for one in self._evidence)

    def _put(self, body: bytes, positions: list[LogPosition]) -> None:
        event = decode_event(body).event
        of = facts(event, record_kind(event), to_base(event))
        left = {(kind, name): record for kind, name, record in records(event, of)}
        for one in positions:
            record = left[one.kind, one.identifier]
            if self.at.setdefault((one.kind, one.identifier, one.sequence), record) != record:
                self.problem = f"two events stand at {one}"

    def _proves(self, evidence: Evidence) -> bool:
        """Whether all that a decision saw is on the topics; its vector must then be the same."""
        tails = []
        for one in evidence.positions:
            seen = [
                self.at.get(
                    (one.kind, one.identifier, place), HOLE_RECORD if place < one.base else b""
                )
                for place in range(one.sequence)
            ]
            if not all(seen):
                return False
            older, last = b"".join(seen[: one.tail_from]), b"".join(seen[one.tail_from :])
            tails.append(Tail(one.kind, last, one.tail_from > 0, older, b""))
        event, body, fingerprint = decode_event(bytes(evidence.event))
        at_ms = parse_rfc3339(evidence.arrived_at)
        arrival = Arrival(event, body, fingerprint, evidence.door, at_ms, to_base(event))
        matrix, _ = vectors([(arrival, tuple(tails))])
        recorded = [np.nan if value is None else value for value in evidence.vector or ()]
        if matrix[0].tobytes() != np.array(recorded).tobytes():
            self.problem = f"the vector of {event.id} is not that of its places"
        return True


def violation(reading: Reading, state: State) -> str | None:
    """What is wrong with ``state`` at any time, None where nothing is."""
    if reading.problem:
        return reading.problem
    for payment, bodies in reading.bodies.items():
        if len(bodies) > 1:
            return f"{len(bodies)} decisions of {payment}"
    for payment, answer in state.answers:
        if answer not in reading.bodies.get(ID[payment], ()):
            return f"an answer for {payment} that is not published"
    for actor in state.actors:
        if actor.step == "done" and ID[actor.payment] not in reading.bodies:
            return f"{actor.payment} was acknowledged and has no decision"
    return None


class Explorer:
    """Walks through the states of a bench and judges each."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        void = bench.guards.markers_void_old_epochs
        self._read: Callable[[Topics], Reading] = lru_cache(4096)(
            lambda topics: Reading(topics, void=void)
        )

    def wrong(self, state: State) -> str | None:
        reading = self._read(state.topics)
        problem = violation(reading, state)
        if problem is None and reading.unprovable and not state.lost and self._ended(state):
            return "a decision is unprovable although Redis forgot nothing"
        return problem

    def _ended(self, state: State) -> bool:
        """Nobody works any more, and the sweeper finds nothing."""
        ended = all(one.step in (*FINISHED, "idle") for one in state.actors)
        return ended and self.bench.keys.pending not in state.redis

    async def everything(self, first: State) -> tuple[int, list[str]]:
        """(states seen, the shortest path to a violation); the path is empty if there is none."""
        came: dict[State, tuple[State, str] | None] = {first: None}
        queue = deque([first])
        while queue:
            state = queue.popleft()
            problem = self.wrong(state)
            if problem is not None:
                return len(came), _path(came, state, problem)
            for label, step in self.bench.choices(state):
                after = await step()
                if after is not None and after not in came:
                    came[after] = (state, label)
                    queue.append(after)
            assert len(came) < STATES_MAX, "more states than a test may explore"
        return len(came), []

    async def at_random(self, first: State, rng: random.Random) -> list[str]:
        """One walk to its end; the steps and the problem, empty where there was none."""
        state, path = first, []
        while choices := list(self.bench.choices(state)):
            label, step = rng.choice(choices)
            after = await step()
            if after is None:
                continue
            state = after
            path.append(label)
            problem = self.wrong(state)
            if problem is not None:
                return [*path, problem]
        return []


def _path(came: dict[State, tuple[State, str] | None], state: State, problem: str) -> list[str]:
    path, at = [problem], came[state]
    while at is not None:
        path.append(at[1])
        at = came[at[0]]
    return path[::-1]


@pytest.fixture
async def url(redis_factory: Callable[[], RedisServer]) -> AsyncIterator[str]:
    """A Redis of the test's own: its scripts are flushed. Losses are made by hand, not by kills."""
    server = redis_factory()
    connection = Connection(server.url)
    await connection.call("CONFIG", "SET", "appendonly", "no")
    yield server.url
    await connection.close()


async def explore(url: str, world: World, guards: Guards) -> tuple[int, list[str]]:
    """(states seen, the shortest path to a violation)."""
    bench = Bench(url, new_prefix(), guards)
    try:
        first = await bench.start(world.names, world.budget, world.forgets)
        return await Explorer(bench).everything(first)
    finally:
        await bench.close()


@pytest.mark.parametrize("world", WORLDS, ids=str)
async def test_no_interleaving_breaks_the_protocol(url: str, world: World) -> None:
    states, path = await explore(url, world, Guards())
    assert path == []
    assert states > 500, "the exploration is trivial"


@pytest.mark.soak
@pytest.mark.parametrize("world", LARGE, ids=str)
async def test_no_interleaving_of_a_larger_world_breaks_the_protocol(
    url: str, world: World
) -> None:
    _, path = await explore(url, world, Guards())
    assert path == []


@pytest.mark.parametrize("seed", range(4))
async def test_no_random_walk_with_every_fault_breaks_the_protocol(url: str, seed: int) -> None:
    bench = Bench(url, new_prefix(), Guards())
    explorer, rng = Explorer(bench), random.Random(seed)
    first = await bench.start("ABH", Budget(crashes=2, restarts=2, early_sweeps=2), forgets=3)
    for _ in range(150):
        assert await explorer.at_random(first, rng) == []
    await bench.close()


@pytest.mark.parametrize("guard", [field.name for field in fields(Guards)])
async def test_every_guard_is_needed(url: str, guard: str) -> None:
    weak = replace(Guards(), **{guard: False})
    for world in SMALL:
        _, path = await explore(url, world, weak)
        if path:
            return
    pytest.fail(f"without {guard} nothing breaks: the guard or this test is pointless")
