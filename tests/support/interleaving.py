"""The real protocol, one step at a time: any actor may go next, from any state seen before.

The engine, the sweeper, the recovery and the Lua are the real ones, on a real Redis; Kafka is
its twin. An actor is started again for each of its steps: what earlier calls answered is
played back to it, the next call is real, and at the one after that it is stopped. So a state
can be kept, and gone on from in every possible way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar, cast

import numpy as np
from msgspec.structs import replace as replaced
from numpy.typing import NDArray

from features.connection import Connection
from features.keys import Keys
from features.local_truth import LocalPublisher, LocalTruth
from features.recovery import Recovery
from features.redis_memory import RedisMemory
from features.scripts import Script
from features.sweeper import Sweeper
from features.truth import Place, TruthRecord, TruthTopic
from features.vectors import vectors
from models.explain import Contribution
from risk.bootstrap import new_judgement
from risk.domain.clock import Deadline, ManualClock
from risk.domain.errors import StaleEpoch
from risk.domain.observation import Arrival, Delivery, Observed, Publication, Receipt, Stored
from risk.engine import Engine
from risk.judgement import Judgement
from risk.observability.metrics import Metrics
from risk.tables.load import exchange_rates
from tests.support.guards import Guards, scripts_of
from tests.support.memory import START_MS, payment, to_base

T = TypeVar("T")
FAR_MS: Final = START_MS + 3_600_000
FINISHED: Final = ("done", "dead")
# Where a zombie's publish may come in between: points of the recovery, in its order.
RACES: Final = ("last_epoch", "between markers", "read", "publish_ledger")
_TAKE: Final = """
local keys, found = redis.call('KEYS', ARGV[1] .. '*'), {}
table.sort(keys)
for at, key in ipairs(keys) do
  found[at * 2 - 1], found[at * 2] = key, redis.call('DUMP', key)
end
return found
"""
_PUT: Final = """
for _, key in ipairs(redis.call('KEYS', ARGV[1] .. '*')) do redis.call('DEL', key) end
for at = 2, #ARGV, 2 do redis.call('RESTORE', ARGV[at], 0, ARGV[at + 1]) end
"""

Snapshot = tuple[bytes, ...]  # key, dump, key, dump, ...
Topics = tuple[tuple[Place, tuple[TruthRecord, ...]], ...]


class Actor(NamedTuple):
    """Who goes on with ``step``. ``shown`` tells apart what it holds in memory."""

    name: str
    payment: str
    epoch: int
    step: str
    shown: str = ""


class Budget(NamedTuple):
    """How many faults may still come. An early sweep meets payments that are being handled."""

    crashes: int = 0
    restarts: int = 0
    early_sweeps: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """Everything. ``played`` is what each actor's calls have answered so far."""

    redis: Snapshot
    loaded: int  # epoch of the scripts that Redis knows; 0 after a restart
    past: tuple[Snapshot, ...]  # what a restart may go back to
    lost: bool  # Redis has forgotten commands at least once
    topics: Topics
    actors: tuple[Actor, ...]
    answers: frozenset[tuple[str, bytes]]
    budget: Budget
    played: tuple[tuple[Any, ...], ...] = field(compare=False)


class Model:
    """Scores every payment the same; two of them make different decisions."""

    def __init__(self, name: str, score: float) -> None:
        self.model_digest = name.encode().hex().ljust(64, "0")
        self.calibration_digest = "c" * 64
        self._score = score

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.full(len(matrix), self._score)

    def reasons(self, matrix: NDArray[np.float64]) -> list[list[Contribution]]:
        return [[] for _ in matrix]


class Pause(BaseException):
    """The actor stands before its next step. No ``except`` of the product may catch it."""


class Gate:
    """The memory and the publisher of one actor: plays back, lets one call through, stops."""

    def __init__(
        self, actor: Actor, played: Sequence[Any], memory: RedisMemory, publisher: LocalPublisher
    ) -> None:
        self.epoch = actor.epoch
        self.played = list(played)
        self.step = actor.step
        self.shown: list[str] = []
        self._at = 0
        self._moved = False
        self._memory = memory
        self._publisher = publisher

    async def _pass(self, step: str, given: Any, call: Callable[[], Awaitable[T]]) -> T:
        self.shown.append(f"{step} {given!r}")
        if self._at < len(self.played):
            self._at += 1
            return cast("T", self.played[self._at - 1])
        self.step = step
        if self._moved:
            raise Pause
        self._moved = True
        answer = await call()
        self.played.append(answer)
        self._at += 1
        return answer

    async def observe(
        self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
    ) -> list[Observed]:
        return await self._pass("observe", "", lambda: self._memory.observe(arrivals, windows))

    async def decide(self, publications: Sequence[Publication]) -> list[Stored | Receipt]:
        if not publications:
            return []
        return await self._pass("decide", publications, lambda: self._memory.decide(publications))

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        if deliveries:
            await self._pass(
                "acknowledge", deliveries, lambda: self._memory.acknowledge(deliveries)
            )

    async def recover(self) -> None:
        self.step = "recover"
        raise Pause

    async def pending(self, before_ms: int, at_most: int) -> list[tuple[bytes, bytes | None]]:
        return await self._pass("pending", "", lambda: self._memory.pending(before_ms, at_most))

    async def settle(self, event_keys: Sequence[bytes]) -> None:
        await self._pass("settle", event_keys, lambda: self._memory.settle(event_keys))

    async def publish(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
        return await self._pass(
            "publish", (publications, epoch), lambda: self._publisher.publish(publications, epoch)
        )

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None:
        return await self._pass(
            "read",
            (topic, partition, offset),
            lambda: self._publisher.read(topic, partition, offset),
        )


class Raced(LocalTruth):
    """The topics, and what a zombie does at one point of a recovery that reads them."""

    def __init__(self, topics: Topics, guards: Guards) -> None:
        super().__init__()
        self.partitions = {place: list(records) for place, records in topics}
        self._guards = guards
        self.race: tuple[str, Callable[[], Awaitable[None]]] | None = None

    def topics(self) -> Topics:
        return tuple((place, tuple(records)) for place, records in self.partitions.items())

    async def _reach(self, point: str) -> None:
        if self.race is not None and self.race[0] == point:
            run, self.race = self.race[1], None
            await run()

    def deliver(self, publications: Sequence[Publication], epoch: int) -> list[Delivery]:
        if not self._guards.epoch_of_observe_in_header:
            epoch = max(r.epoch for records in self.partitions.values() for r in records)
        return super().deliver(publications, epoch)

    async def last_epoch(self) -> int:
        await self._reach("last_epoch")
        return await super().last_epoch()

    async def write_markers(self, epoch: int) -> dict[Place, int]:
        marks = {}
        for number, place in enumerate(self.partitions):
            if number == len(self.partitions) // 2:
                await self._reach("between markers")
            marks[place] = self._append(place, epoch, b"", b"", marker=True)
        return marks

    async def read(
        self, topic: TruthTopic, partition: int, from_offset: int, to_offset: int
    ) -> AsyncGenerator[TruthRecord, None]:
        await self._reach("read")
        if not self._guards.restore_before_open:
            return
        standing = 0
        for record in list(self.partitions[Place(topic, partition)]):
            standing = record.epoch if record.marker else standing
            if from_offset <= record.offset < to_offset:
                all_stand = not self._guards.markers_void_old_epochs
                yield replace(record, epoch=standing) if all_stand else record

    async def publish_ledger(self, publications: Sequence[Publication], epoch: int) -> None:
        await self._reach("publish_ledger")
        if self._guards.orphans_to_ledger:
            self.deliver(publications, epoch)


class _Joined(Recovery):
    """Knows the epoch already."""

    joined: tuple[int, dict[str, Script]]

    async def join(self) -> tuple[int, dict[str, Script]]:
        return self.joined


class Bench:
    """Steps from state to state on one world of one Redis that nobody else uses."""

    def __init__(self, url: str, prefix: str, guards: Guards) -> None:
        self.guards = guards
        self.keys = Keys(prefix)
        self.connection = Connection(url)
        self._memories: dict[int, RedisMemory] = {}
        self._engines = (
            Metrics(),
            {
                name: _judgement(name, score)
                for name, score in (("A", 0.01), ("B", 0.9), ("H", 0.2))
            },
        )
        self._arrivals = {"X": payment(1), "Y": replaced(payment(3, device="d1"), door="http")}
        self._held: tuple[Snapshot, int] | None = None

    async def start(self, names: str, budget: Budget, forgets: int = 2) -> State:
        """Epoch 1 is open. ``names`` of the actors: A and B handle X, H handles Y."""
        truth = Raced(_no_records(), self.guards)
        self._held = None
        await self.connection.call("SCRIPT FLUSH")
        await self.connection.call("EVAL", _PUT, 0, self.keys.prefix)
        epoch, _ = await Recovery(self.connection, self.keys, truth, to_base).join()
        await self._load(epoch)
        redis = await self._take()
        actors = [Actor(name, "Y" if name == "H" else "X", epoch, "observe") for name in names]
        actors.append(Actor("S", "", epoch, "idle"))
        past = (redis,) * forgets if budget.restarts else ()
        played: tuple[tuple[Any, ...], ...] = ((),) * len(actors)
        return State(
            redis, epoch, past, False, truth.topics(), tuple(actors), frozenset(), budget, played
        )

    async def close(self) -> None:
        await self.connection.close()

    def choices(self, state: State) -> Iterator[tuple[str, Callable[[], Awaitable[State | None]]]]:
        """What may happen next. A choice that comes to nothing in this state gives None."""
        for place, actor in enumerate(state.actors):
            if actor.step in FINISHED or (actor.name == "S" and not self._may_sweep(state, actor)):
                continue
            if actor.step == "recover":
                yield f"{actor.name} recover", partial(self._recover, state, place, None)
                for other in self._zombies(state, place):
                    for point in RACES:
                        label = f"{actor.name} recover, {state.actors[other].name} at {point}"
                        yield label, partial(self._recover, state, place, (other, point))
            else:
                yield f"{actor.name} {actor.step}", partial(self._advance, state, place)
            if state.budget.crashes and actor.name != "S":
                yield f"{actor.name} dies", partial(_die, state, place)
        if state.budget.restarts:
            for redis in dict.fromkeys((state.redis, *state.past)):
                forgets = "" if redis == state.redis else " and forgets"
                yield f"redis restarts{forgets}", partial(_restart, state, redis)

    def _may_sweep(self, state: State, actor: Actor) -> bool:
        if actor.step != "idle":
            return True
        busy = any(one.step not in FINISHED for one in state.actors if one.name != "S")
        return self.keys.pending in state.redis and (not busy or state.budget.early_sweeps > 0)

    @staticmethod
    def _zombies(state: State, place: int) -> list[int]:
        if state.loaded:
            return []  # it only joins
        return [
            number
            for number, one in enumerate(state.actors)
            if number != place and one.step == "publish"
        ]

    # -- steps ---------------------------------------------------------------------------

    async def _advance(self, state: State, place: int) -> State:
        await self._put(state)
        truth = Raced(state.topics, self.guards)
        budget = state.budget
        actor = state.actors[place]
        busy = any(one.step not in FINISHED for one in state.actors if one.name != "S")
        if actor.step == "idle" and busy:
            budget = budget._replace(early_sweeps=budget.early_sweeps - 1)
        after = await self._move(replace(state, budget=budget), place, truth)
        return await self._changed(after, truth)

    async def _move(self, state: State, place: int, truth: Raced) -> State:
        """One call of an actor; Redis is taken up by the caller."""
        actor = state.actors[place]
        gate = Gate(
            actor, state.played[place], await self._memory(actor.epoch), LocalPublisher(truth)
        )
        if not self.guards.ack_before_answer and actor.name != "S" and actor.step == "publish":
            gate = Hasty(gate)
        try:
            if actor.name == "S":
                await Sweeper(cast("RedisMemory", gate), self.keys, gate).sweep(FAR_MS)
                return _with(state, place, actor._replace(step="idle", shown=""))
            metrics, judgements = self._engines
            engine = Engine(gate, judgements[actor.name], gate, metrics)
            deadline = Deadline(ManualClock(START_MS), 60_000)
            (verdict,) = await engine.handle([self._arrivals[actor.payment]], deadline)
        except StaleEpoch:
            return _with(state, place, Actor(actor.name, actor.payment, 0, "recover"))
        except Pause:
            return _paused(state, place, gate)
        done = _with(state, place, Actor(actor.name, actor.payment, 0, "done"))
        if not verdict.body:
            return done
        return replace(done, answers=done.answers | {(actor.payment, verdict.body)})

    async def _recover(
        self, state: State, place: int, race: tuple[int, str] | None
    ) -> State | None:
        await self._put(state)
        truth = Raced(state.topics, self.guards)
        moved = state
        if race is not None:
            other, point = race

            async def publish() -> None:
                nonlocal moved
                moved = await self._move(state, other, truth)

            truth.race = (point, publish)
        epoch, _ = await Recovery(self.connection, self.keys, truth, to_base).join()
        if truth.race is not None:
            self._held = None
            return None
        await self._load(epoch)
        actor = state.actors[place]
        step = "idle" if actor.name == "S" else "observe"
        after = _with(moved, place, Actor(actor.name, actor.payment, epoch, step))
        return await self._changed(replace(after, loaded=epoch), truth)

    async def _changed(self, state: State, truth: Raced) -> State:
        redis = await self._take()
        past = state.past
        if redis != state.redis:
            past = (state.redis, *past)[: len(past)]
        self._held = redis, state.loaded
        return replace(state, redis=redis, past=past, topics=truth.topics())

    # -- Redis ---------------------------------------------------------------------------

    async def _memory(self, epoch: int) -> RedisMemory:
        if epoch not in self._memories:
            joined = _Joined(self.connection, self.keys, LocalTruth(), to_base)
            joined.joined = epoch, scripts_of(epoch, self.keys.prefix, self.guards)
            self._memories[epoch] = RedisMemory(
                self.connection, self.keys, vectors, joined, ManualClock(START_MS)
            )
            await self._memories[epoch].recover()
        return self._memories[epoch]

    async def _load(self, epoch: int) -> None:
        for script in scripts_of(epoch, self.keys.prefix, self.guards).values():
            await self.connection.load(script)

    async def _take(self) -> Snapshot:
        return tuple(await self.connection.call("EVAL", _TAKE, 0, self.keys.prefix))

    async def _put(self, state: State) -> None:
        redis, loaded = self._held or ((), -1)
        if loaded != state.loaded:
            await self.connection.call("SCRIPT FLUSH")
            if state.loaded:
                plain = scripts_of(state.loaded, self.keys.prefix, Guards())
                for script in plain.values():
                    await self.connection.load(script)
            if state.loaded or not self.guards.epoch_in_scripts:
                await self._load(state.loaded)
        if redis != state.redis:
            await self.connection.call("EVAL", _PUT, 0, self.keys.prefix, *state.redis)
        self._held = None


class Hasty(Gate):
    """Answers as soon as a decision is published; without the acknowledgement."""

    def __init__(self, of: Gate) -> None:
        self.__dict__.update(of.__dict__)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        return None


def _judgement(name: str, score: float) -> Judgement:
    made = new_judgement(exchange_rates(None, "EUR"))
    held = made.versions
    made.versions = made.constants.versions(Model(name, score), held.rules, held.policy)
    return made


def _paused(state: State, place: int, gate: Gate) -> State:
    actor = state.actors[place]
    if gate.step == "recover":
        return _with(state, place, Actor(actor.name, actor.payment, 0, "recover"))
    if gate.step == "pending":
        return _with(state, place, actor._replace(step="idle", shown=""))
    shown = "; ".join(gate.shown) if actor.name == "S" else gate.shown[-1]
    return _with(state, place, actor._replace(step=gate.step, shown=shown), tuple(gate.played))


def _with(state: State, place: int, actor: Actor, played: tuple[Any, ...] = ()) -> State:
    actors, all_played = list(state.actors), list(state.played)
    actors[place], all_played[place] = actor, played
    return replace(state, actors=tuple(actors), played=tuple(all_played))


async def _die(state: State, place: int) -> State:
    """A worker is started again and reads its record again; the door's caller gives up."""
    actor = state.actors[place]
    after = "dead" if actor.name == "H" else "recover"
    budget = state.budget._replace(crashes=state.budget.crashes - 1)
    dead = _with(state, place, Actor(actor.name, actor.payment, 0, after))
    return replace(dead, budget=budget)


async def _restart(state: State, redis: Snapshot) -> State:
    """Redis comes back as it was some commands ago, and knows no script."""
    left = state.budget.restarts - 1
    return replace(
        state,
        redis=redis,
        loaded=0,
        past=(redis,) * len(state.past) if left else (),
        lost=state.lost or redis != state.redis,
        budget=state.budget._replace(restarts=left),
    )


def _no_records() -> Topics:
    return tuple((place, ()) for place in LocalTruth().partitions)
