"""Puts the parts of a process together: the only module that knows every concrete class."""

from __future__ import annotations

import asyncio
import importlib.metadata
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

import msgspec
import structlog

from features import kernel
from features.catalogue import CATALOGUE, FEATURE_NAMES, catalogue_body, catalogue_digest
from features.connection import Connection
from features.keys import Keys
from features.recovery import Recovered, Recovery
from features.redis_memory import RedisMemory
from features.sweeper import Sweeper
from features.vectors import vectors
from models.drift_reference import Reference, stored
from models.drift_watch import DriftWatch
from models.follow import Follower
from models.following import ModelFollowing
from models.names import CHALLENGER, model_name
from models.shadow import Shadow
from models.signature import ModelKeys, keys_folder
from models.source import Catalogue, ModelSource
from risk.domain.base_amount import amount_in_base
from risk.domain.clock import Clock, SystemClock
from risk.domain.errors import BadModel, Unavailable
from risk.domain.event import AnyEvent, Payment, Refund
from risk.domain.ids import digest
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival, Claimed, Receipt
from risk.engine import Engine, Onlooker
from risk.judgement import Constants, Judgement, Versions
from risk.observability.metrics import Metrics
from risk.observability.readiness import PartState
from risk.policy import Policy
from risk.rules.book import Book
from risk.rules.book_check import check_book
from risk.rules.book_file import read_book
from risk.rules.compiler import Tables
from risk.rules.evaluator import CompiledBook
from risk.rules.schema import Schema
from risk.scheduler import Scheduler
from risk.settings import Settings
from risk.tables.load import RateTables, exchange_rates
from risk.versions.serving import Serving
from risk.versions.store import VersionStore
from risk.versions.version import Kind, Version
from streams import partitioner
from streams.admin import ensure_topics
from streams.alert_reading import AlertSource
from streams.control import Control
from streams.following import TURN_PAUSE_S, Following
from streams.parking import outgoing_parked, parked
from streams.publish import KafkaPublisher, Outgoing
from streams.topics import LIVE_WORLD, Topics, redis_prefix
from streams.truth import KafkaTruth

_LOG = structlog.get_logger("weir.bootstrap")
LIBRARIES = ("lightgbm", "numba", "numpy")  # what may move a bit of a vector or a score
SWEEP_EVERY_S = 2.0
FOLLOW_EVERY_S = 1.0
SHADOW_EVERY_S = 0.5
DRIFT_EVERY_S = 60.0
SHIPPED_BY = "weir"
PART_ANSWERS_WITHIN_S = 1.0


class _Note(msgspec.Struct):
    problem: str = ""


def proof_note(settings: Settings) -> Path:
    """Where `weir prove` of this world writes what it found (``streams.prover.Note``)."""
    return settings.state / "parity" / f"{settings.world}.json"


def archive_note(settings: Settings) -> Path:
    """Where `weir archive run` of this world writes how far it is."""
    return settings.state / "archive" / f"{settings.world}.json"


@dataclass(frozen=True, slots=True)
class Runtime:
    """A process's parts, connected. Made by ``build_runtime``."""

    settings: Settings
    topics: Topics
    clock: Clock
    rates: ExchangeRates
    metrics: Metrics
    memory: RedisMemory
    publisher: KafkaPublisher
    judgement: Judgement
    engine: Engine
    follower: Follower
    following: Following
    model_following: ModelFollowing
    alerts: AlertSource

    @property
    def live(self) -> bool:
        """Whether the wall clock is the clock; in a replayed world event time is."""
        return self.topics.world == LIVE_WORLD

    async def decision_of(self, tenant: str, payment_id: str) -> bytes | None:
        """The published bytes of a payment's decision, None where there is none."""
        found = await self.memory.look_up(tenant, f"p:{payment_id}")
        if not isinstance(found, Receipt):
            return None
        body = await self.engine.find(found)
        # Other bytes, perhaps another tenant's: the topic is not the one that was written to.
        return body if body and digest(body) == found.digest else None

    async def park(self, arrival: Arrival, payment_id: str) -> None:
        """Keep ``arrival``, delivered, until its payment is known; a worker then remembers it."""
        one = parked(arrival, payment_id, self.clock.now_ms())
        partitions = self.publisher.partitions(self.topics.parked)
        await self.publisher.deliver([outgoing_parked(one, self.topics, partitions)])
        self.metrics.count("weir_parked_events_total", door=arrival.door)

    async def parts(self) -> list[PartState]:
        """The state of Kafka, Redis, the model and what else judges."""
        scorer = self.follower.scorer
        model = PartState("model", "ready")
        if scorer is None:
            model = PartState(
                "model", "degraded", self.follower.refusal or "no model is registered"
            )
        elif self.model_following.problem:
            model = PartState("model", "degraded", self.model_following.problem)
        kafka = PartState("kafka", "ready")
        if not await self.publisher.answers(PART_ANSWERS_WITHIN_S):
            kafka = PartState("kafka", "down", "no broker answers in time")
        versions = PartState("versions", "ready")
        if self.following.problem:
            versions = PartState("versions", "degraded", self.following.problem)
        return [kafka, await self._memory_part(), model, versions, *self._proof_parts()]

    def _proof_parts(self) -> list[PartState]:
        """What `weir prove` and `weir archive run` on this machine wrote down, where they did."""
        notes = {"parity": proof_note(self.settings), "archive": archive_note(self.settings)}
        found = []
        for part, path in notes.items():
            try:
                problem = msgspec.json.decode(path.read_bytes(), type=_Note).problem
            except (OSError, msgspec.DecodeError):
                continue
            found.append(
                PartState(part, "degraded", problem) if problem else PartState(part, "ready")
            )
        return found

    async def _memory_part(self) -> PartState:
        try:
            async with asyncio.timeout(PART_ANSWERS_WITHIN_S):
                await self.memory.look_up("main", "p:readiness")
        except (Unavailable, TimeoutError) as error:
            return PartState("redis", "down", str(error) or "it does not answer in time")
        return PartState("redis", "ready")


@asynccontextmanager
async def build_runtime(
    settings: Settings, process: Literal["api", "worker", "run"] = "worker"
) -> AsyncIterator[Runtime]:
    """Connect everything that ``settings`` names, and let go of it in reverse order.

    Raises Unavailable where Kafka or Redis does not answer. A model that cannot be had is
    not an error: decisions are then made without one, and say so.
    """
    topics = Topics(settings.world)
    clock = SystemClock()
    metrics = Metrics()
    metrics.set("weir_build_info", 1, version=_version("weir"), process=process)
    rates = exchange_rates(settings.rates, settings.base_currency)
    async with AsyncExitStack() as stack:
        await ensure_topics(settings.kafka, topics)
        publisher = await stack.enter_async_context(KafkaPublisher(settings.kafka, topics))
        keys = Keys(redis_prefix(settings.world))
        memory = await _memory(
            stack, settings, keys, KafkaTruth(settings.kafka, topics, publisher), rates
        )
        follower, challenger = _followers(settings)
        judgement = new_judgement(rates)
        model_following = ModelFollowing(follower, challenger, judgement, metrics)
        shadow = Shadow(lambda: challenger.scorer, _keep(publisher, topics), metrics)
        drift = DriftWatch(_reference(settings), metrics)
        engine = Engine(memory, judgement, publisher, metrics, _Onlookers(shadow, drift))
        store = VersionStore(settings.state / "versions")
        control = Control(settings.kafka, topics, store, publisher)
        serving = Serving(judgement, Schema.of(CATALOGUE), Tables(rates), store)
        following = Following(control, serving, metrics)
        stack.push_async_callback(following.close)
        await following.start(shipped_versions(rates, clock.now_ms()))
        alerts = AlertSource(settings.kafka, topics)
        stack.push_async_callback(alerts.close)
        runtime = Runtime(
            settings, topics, clock, rates, metrics, memory, publisher, judgement, engine,
            follower, following, model_following, alerts,
        )  # fmt: skip
        # Compiled code is loaded now, not while the first payment waits.
        await asyncio.to_thread(kernel.warm)
        await asyncio.to_thread(partitioner.warm)
        scheduler = await stack.enter_async_context(Scheduler())
        await model_following.turn()
        scheduler.every(FOLLOW_EVERY_S, "follow the model", model_following.turn)
        scheduler.every(SHADOW_EVERY_S, "score with the challenger", shadow.turn)
        scheduler.every(DRIFT_EVERY_S, "measure drift", drift.turn)
        scheduler.every(TURN_PAUSE_S, "follow the control topic", following.turn)
        sweeper = Sweeper(memory, keys, publisher)
        scheduler.every(SWEEP_EVERY_S, "sweep", lambda: _sweep(sweeper, runtime))
        scheduler.every(SWEEP_EVERY_S, "count recoveries", _RecoveryCount(runtime).look)
        yield runtime


async def _memory(
    stack: AsyncExitStack,
    settings: Settings,
    keys: Keys,
    truth: KafkaTruth,
    rates: ExchangeRates,
) -> RedisMemory:
    connection = Connection(settings.redis)

    tables = RateTables(settings.state, rates)

    def to_base(event: AnyEvent, digest: str) -> int | None:
        # A table is only looked for where there is something to convert.
        amounts = isinstance(event, Payment | Refund)
        return amount_in_base(event, tables.of(digest)) if amounts else None

    recovery = Recovery(connection, keys, truth, to_base)
    memory = RedisMemory(connection, keys, vectors, recovery, SystemClock(), rates.digest())
    stack.push_async_callback(memory.close)
    await memory.open()
    return memory


def _followers(settings: Settings) -> tuple[Follower, Follower]:
    """What keeps the model that serves, and the one in the shadow."""
    source = _source(settings)
    return Follower(source, settings.model_alias), Follower(source, CHALLENGER, optional=True)


def _source(settings: Settings) -> ModelSource:
    return ModelSource(
        settings.mlflow,
        model_name(settings.world),
        settings.state / "cache" / "models",
        Catalogue(FEATURE_NAMES, catalogue_digest()),
        ModelKeys(keys_folder(settings.state)),
    )


def _reference(settings: Settings) -> Callable[[str, str], Reference | None]:
    """What a model that served here was trained on, in bins; None where it does not say."""
    source = _source(settings)

    def find(model: str, calibration: str) -> Reference | None:
        bundle = source.cached(model, calibration)
        try:
            return None if bundle is None else stored(bundle)
        except BadModel:
            return None

    return find


class _Onlookers:
    """Tells each of several onlookers of the engine."""

    def __init__(self, *each: Onlooker) -> None:
        self._each = each

    def saw(
        self, seen: Sequence[tuple[Arrival, Claimed, float | None]], versions: Versions
    ) -> None:
        for one in self._each:
            one.saw(seen, versions)


def _keep(
    publisher: KafkaPublisher, topics: Topics
) -> Callable[[Sequence[bytes]], Awaitable[None]]:
    """Puts what the challenger scored on the topic ``shadow``, on its partitions in turn."""
    places = itertools.cycle(range(publisher.partitions(topics.shadow)))

    async def keep(batches: Sequence[bytes]) -> None:
        await publisher.deliver(
            [Outgoing(topics.shadow, next(places), None, one) for one in batches]
        )

    return keep


def new_judgement(rates: ExchangeRates) -> Judgement:
    """The judgement with the book and the policy that ship; the model joins when it is there."""
    constants = Constants(
        feature_names=FEATURE_NAMES,
        catalogue_digest=catalogue_digest(),
        rates_digest=rates.digest(),
        engine=f"weir {_version('weir')}",
        libraries={name: _version(name) for name in LIBRARIES},
    )
    schema, tables, book = Schema.of(CATALOGUE), Tables(rates), shipped_book()
    # Whether a rule has expired is a matter of publishing; here it only falls silent.
    check_book(book, schema, tables, now_ms=0)
    rules = CompiledBook(book, schema, tables)
    return Judgement(constants, constants.versions(None, rules, Policy()))


def shipped_book() -> Book:
    """The book that judges until another one is live."""
    with as_file(files("risk.rules") / "starter_book.yaml") as path:
        return read_book(path)


def shipped_versions(rates: ExchangeRates, now_ms: int) -> list[Version]:
    """What every digest of a first decision stands for, but the model."""
    encode = msgspec.json.encode
    bodies: list[tuple[Kind, bytes]] = [
        ("book", encode(shipped_book(), order="sorted")),
        ("policy", Policy().body()),
        ("lists", encode({})),
        ("rates", encode(rates, order="sorted")),
        ("catalogue", catalogue_body()),
    ]
    return [Version.of(kind, body, SHIPPED_BY, now_ms) for kind, body in bodies]


async def _sweep(sweeper: Sweeper, runtime: Runtime) -> None:
    metrics, memory = runtime.metrics, runtime.memory
    metrics.set("weir_epoch", memory.epoch)
    metrics.set("weir_pending", await memory.pending_count())
    swept = await sweeper.sweep(runtime.clock.now_ms())
    metrics.count("weir_sweeper_total", swept.decisions, kind="decision")
    metrics.count("weir_sweeper_total", swept.claims, kind="ledger")
    if swept.unreadable:
        _LOG.error("the sweeper cannot read what is pending", count=swept.unreadable)


class _RecoveryCount:
    """Counts each recovery of this process once, and says what it could not read."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._seen: Recovered | None = None

    async def look(self) -> None:
        recovered = self._runtime.memory.recovered
        if recovered is None or recovered is self._seen:
            return
        self._seen = recovered
        metrics = self._runtime.metrics
        metrics.count("weir_recoveries_total")
        if recovered.unreadable:
            metrics.count("weir_recovery_unreadable_total", len(recovered.unreadable))
            for place in recovered.unreadable:
                _LOG.error("recovery cannot read a record", reason=place)


def _version(distribution: str) -> str:
    return importlib.metadata.version(distribution)
