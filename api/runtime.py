"""What the HTTP door needs of the rest of Weir, as protocols; ``risk.bootstrap`` provides it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from risk.alerts.feed import Feed
from risk.domain.clock import Clock, Deadline
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival
from risk.engine import Verdict
from risk.observability.metrics import Metrics
from risk.observability.readiness import PartState


class DecisionEngine(Protocol):
    """The engine behind both doors (``risk.engine.Engine``)."""

    async def decide(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[Verdict]:
        """Verdicts in order, published; raises Unavailable or DeadlineExceeded."""
        ...

    async def remember(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[bool]:
        """False for an id that was seen with other content; raises as ``decide``."""
        ...

    async def fall_back(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        """The configured fallback, never authoritative."""
        ...


class Alerts(Protocol):
    """The alerts of this world."""

    async def feed(self) -> Feed:
        """Their memory, read up to now. Raises Unavailable."""
        ...


class Runtime(Protocol):
    """The parts of one process, opened."""

    @property
    def engine(self) -> DecisionEngine: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def rates(self) -> ExchangeRates: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def alerts(self) -> Alerts: ...

    async def decision_of(self, tenant: str, payment_id: str) -> bytes | None:
        """The published bytes of a payment's decision, None where there is none.

        Reads only. Raises Unavailable.
        """
        ...

    async def park(self, arrival: Arrival, payment_id: str) -> None:
        """Keep ``arrival`` until its payment is known. Raises Unavailable."""
        ...

    async def parts(self) -> list[PartState]:
        """The state of memory, publisher and model, without waiting for long."""
        ...
