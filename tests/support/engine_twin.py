"""An engine and a runtime in memory, for tests of the HTTP door alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from risk.alerts.feed import Feed
from risk.domain.clock import Clock, Deadline
from risk.domain.decision import Decision, Digests, Evidence, Reason, encode_decision
from risk.domain.errors import Unavailable
from risk.domain.event import Payment
from risk.domain.kinds import event_key
from risk.domain.money import ExchangeRates
from risk.domain.observation import Arrival
from risk.domain.outcome import Outcome
from risk.domain.times import rfc3339
from risk.engine import Verdict, within
from risk.observability.metrics import Metrics
from risk.observability.readiness import PartState

REVIEW_ABOVE_MINOR = 100_000
RATES = ExchangeRates(base="EUR", as_of="2026-01-01", source="test", rates_e9={"USD": 900_000_000})


def a_decision(arrival: Arrival, outcome: Outcome, *, authoritative: bool = True) -> bytes:
    """The bytes of a decision with evidence."""
    at = rfc3339(arrival.arrived_at_ms)
    evidence = Evidence(
        event=msgspec.Raw(arrival.body),
        fingerprint=arrival.fingerprint.hex(),
        door="http",
        arrived_at=at,
        vector=[1.5, None],
        inexact=[],
        positions=[],
        features_lost=None,
        digests=Digests(
            catalogue="c", model="m", calibration="k", book="b", lists="", policy="p", rates="r"
        ),
        rule_errors=[],
        engine="0.1.0",
        libraries={},
    )
    decision = Decision(
        payment_id=arrival.event.id,
        tenant=arrival.event.tenant,
        outcome=outcome,
        score=0.125,
        reasons=[Reason(code="TEST", sentence="A test.", customer="We checked.")],
        rule_hits=[],
        expected_cost=None,
        degraded=[] if authoritative else ["fallback"],
        authoritative=authoritative,
        decided_at=at,
        expires_at=at,
        evidence=evidence,
    )
    return encode_decision(decision)


@dataclass
class TwinEngine:
    """Follows ``api.runtime.DecisionEngine``: the first content of an id stands.

    ``down`` makes it Unavailable, ``delay_s`` slow; ``poison`` ids are defects, ``unread``
    ids are decided and cannot be read. ``batches``
    holds the size of each call.
    """

    down: bool = False
    delay_s: float = 0.0
    poison: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    stood: dict[tuple[str, str], tuple[bytes, bytes]] = field(default_factory=dict)
    published: list[bytes] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    fallbacks: list[int] = field(default_factory=list)

    async def decide(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[Verdict]:
        await self._step(arrivals, deadline)
        return [self._verdict(arrival) for arrival in arrivals]

    async def remember(self, arrivals: Sequence[Arrival], deadline: Deadline) -> list[bool]:
        await self._step(arrivals, deadline)
        return [self._stand(arrival, b"ledger")[0] == arrival.fingerprint for arrival in arrivals]

    async def fall_back(self, arrivals: Sequence[Arrival]) -> list[Verdict]:
        self.fallbacks.append(len(arrivals))
        return [
            Verdict(
                a_decision(arrival, Outcome.REVIEW, authoritative=False),
                Outcome.REVIEW,
                authoritative=False,
            )
            for arrival in arrivals
        ]

    async def _step(self, arrivals: Sequence[Arrival], deadline: Deadline) -> None:
        self.batches.append(len(arrivals))
        if self.down:
            raise Unavailable("redis", "switched off at 10.1.2.3")
        await within(deadline, asyncio.sleep(self.delay_s))
        if any(arrival.event.id in self.poison for arrival in arrivals):
            raise RuntimeError("a defect that quotes acc_private")

    def _verdict(self, arrival: Arrival) -> Verdict:
        event = arrival.event
        assert isinstance(event, Payment)
        high = event.amount_minor > REVIEW_ABOVE_MINOR
        outcome = Outcome.REVIEW if high else Outcome.ALLOW
        fingerprint, body = self._stand(arrival, a_decision(arrival, outcome))
        if fingerprint != arrival.fingerprint:
            return Verdict(b"", Outcome.REVIEW, mismatch=True)
        if event.id in self.unread:
            return Verdict(b"", outcome, repeated=True, unread=True)
        return Verdict(body, outcome)

    def _stand(self, arrival: Arrival, body: bytes) -> tuple[bytes, bytes]:
        place = (arrival.event.tenant, event_key(arrival.event))
        if place not in self.stood:
            self.stood[place] = (arrival.fingerprint, body)
            self.published.append(body)
        return self.stood[place]


@dataclass
class TwinAlerts:
    """Follows ``api.runtime.Alerts``."""

    memory: Feed = field(default_factory=lambda: Feed({0: 0, 1: 0}))
    down: bool = False

    async def feed(self) -> Feed:
        if self.down:
            raise Unavailable("kafka", "switched off at 10.1.2.3")
        return self.memory


@dataclass
class TwinRuntime:
    """Follows ``api.runtime.Runtime`` over a ``TwinEngine``."""

    clock: Clock
    engine: TwinEngine = field(default_factory=TwinEngine)
    rates: ExchangeRates = RATES
    metrics: Metrics = field(default_factory=Metrics)
    alerts: TwinAlerts = field(default_factory=TwinAlerts)
    states: list[PartState] = field(default_factory=lambda: [PartState("redis", "ready")])
    parked: list[tuple[Arrival, str]] = field(default_factory=list)

    async def park(self, arrival: Arrival, payment_id: str) -> None:
        self.parked.append((arrival, payment_id))

    async def decision_of(self, tenant: str, payment_id: str) -> bytes | None:
        if self.engine.down:
            raise Unavailable("kafka", "switched off at 10.1.2.3")
        found = self.engine.stood.get((tenant, f"p:{payment_id}"))
        return found[1] if found else None

    async def parts(self) -> list[PartState]:
        await asyncio.sleep(self.engine.delay_s)
        return self.states
