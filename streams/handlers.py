"""Puts the doors of a worker together from the parts of its process."""

from __future__ import annotations

import random
from typing import NamedTuple, Protocol

from risk.domain.base_amount import amount_in_base
from risk.domain.clock import Clock
from risk.domain.event import AnyEvent
from risk.domain.money import ExchangeRates
from risk.observability.metrics import Metrics
from streams.batch import Handler
from streams.door import Aside, Delivering, StreamDoor
from streams.intake import Intake
from streams.junction import Junction
from streams.own_decisions import DecisionsDoor
from streams.parking_lot import Archived, Doors, ParkingLot
from streams.resolve import Decided, Published, Resolver
from streams.topics import Topics
from streams.watchdog import Watchdog
from streams.worker import Engine, Walker


class Outlet(Delivering, Published, Protocol):
    """The publisher: it delivers, and reads again what it delivered."""


class Parts(Protocol):
    """What a worker needs of its process (``risk.bootstrap.Runtime`` has it)."""

    @property
    def topics(self) -> Topics: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def rates(self) -> ExchangeRates: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def memory(self) -> Decided: ...
    @property
    def publisher(self) -> Outlet: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def live(self) -> bool: ...


def build_handlers(
    parts: Parts, watchdog: Watchdog, deadline_ms: int, jitter: random.Random
) -> dict[str, Handler]:
    """A handler for each topic that a worker reads, by the topic's short name."""

    def to_base(event: AnyEvent) -> int | None:
        return amount_in_base(event, parts.rates)

    intake = Intake(to_base, live=parts.live)

    def batched(size: int) -> None:
        parts.metrics.observe("weir_batch_payments", size, door="stream")

    junction = Junction(parts.engine, batched)
    walker = Walker(junction, parts.clock, deadline_ms, jitter)
    aside = Aside(parts.publisher, parts.topics, parts.metrics)
    resolver = Resolver(parts.memory, parts.publisher)
    events = StreamDoor(intake, resolver, walker, aside, parts.clock, watchdog.touch)
    decisions = DecisionsDoor(intake, walker, aside, parts.clock, watchdog.touch)
    return {"events": events, "labels": events, "decisions": decisions}


class LotSettings(NamedTuple):
    """How long one retry may take, and how long an event waits for its payment."""

    deadline_ms: int
    window_ms: int
    jitter: random.Random


def build_parking(parts: Parts, archived: Archived, lot: LotSettings) -> ParkingLot:
    """What retries events whose payment was not known when they came."""
    walker = Walker(parts.engine, parts.clock, lot.deadline_ms, lot.jitter)
    doors = Doors(
        Resolver(parts.memory, parts.publisher),
        walker,
        Aside(parts.publisher, parts.topics, parts.metrics),
        parts.publisher,
        parts.topics,
    )
    return ParkingLot(doors, archived, parts.clock, parts.metrics, lot.window_ms)
