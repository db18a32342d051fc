"""The HTTP door: one object that the routes share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from fastapi import Request
from msgspec.structs import replace

from api.arrivals import arrival_of
from api.coalescer import Coalescer
from api.desks import Desks
from api.limits import RateLimit
from api.runtime import Runtime
from api.streams import Streams
from risk.domain.clock import Deadline
from risk.domain.errors import DeadlineExceeded, PayloadMismatch, Unavailable
from risk.domain.observation import Arrival
from risk.domain.resolving import payment_wanted, with_entities
from risk.engine import Verdict, within
from risk.keys import KeyRing
from risk.settings import Settings

# What a fallback answer may take after the deadline has passed: the publish is tried, and
# the caller must not wait for a broker that is down.
FALLBACK_MS: Final = 1_000

_log = structlog.get_logger("api")


class Door:
    """Turns bodies into arrivals and hands them to the engine in batches."""

    def __init__(
        self, runtime: Runtime, settings: Settings, keys: KeyRing, desks: Desks | None = None
    ) -> None:
        self.runtime = runtime
        self.desks = desks or Desks()
        self.keys = keys
        self.rates = RateLimit(runtime.clock)
        self.streams = Streams()
        self.stopping: Callable[[], bool] = lambda: False
        """Whether the server wants long answers to end."""
        self._settings = settings
        self._refresh: asyncio.Task[None] | None = None
        batch_max = settings.batch_payments_max
        self._decisions: Coalescer[Verdict] = Coalescer(
            runtime.engine.decide, batch_max, self._count_batch
        )
        self._fallbacks: Coalescer[Verdict] = Coalescer(self._fall_back, batch_max)
        self._memories: Coalescer[bool] = Coalescer(
            runtime.engine.remember, batch_max, self._count_batch
        )

    def arrival(self, raw: bytes, tenant: str) -> Arrival:
        """The arrival in ``raw``; raises InvalidEvent or a Problem."""
        return arrival_of(raw, tenant, self._settings.world, self.runtime)

    async def decide(self, arrival: Arrival) -> Verdict:
        """The verdict: published, or after the deadline the fallback, which is never final.

        Raises PayloadMismatch where the id was decided with other content.
        """
        try:
            verdict = await self._decisions.submit(arrival, self._deadline())
            if verdict.unread:
                raise Unavailable("kafka", "the decision's bytes cannot be read now")
        except (Unavailable, DeadlineExceeded):
            deadline = Deadline(self.runtime.clock, FALLBACK_MS)
            verdict = await self._fallbacks.submit(arrival, deadline)
        if verdict.mismatch:
            raise PayloadMismatch(arrival.event.id)
        return verdict

    async def remember(self, arrival: Arrival) -> bool:
        """Append a remembered event and publish it on the ledger.

        False where it names only a payment that is not known: it is parked then, durably.
        Raises PayloadMismatch; Unavailable or DeadlineExceeded where the caller must retry.
        """
        deadline = self._deadline()
        resolved = await within(deadline, self._resolved(arrival))
        if resolved is None:
            wanted = payment_wanted(arrival.event) or ""
            await within(deadline, self.runtime.park(arrival, wanted))
            return False
        if not await self._memories.submit(resolved, deadline):
            raise PayloadMismatch(arrival.event.id)
        return True

    def refresh_keys(self) -> None:
        """Read the keys anew beside the requests, one reader at a time."""
        if self._refresh is None or self._refresh.done():
            self._refresh = asyncio.create_task(self._read_keys())

    async def drain(self) -> None:
        """Wait for what is in flight; called when the server stops."""
        for queue in (self._decisions, self._fallbacks, self._memories):
            await queue.drain()
        if self._refresh is not None:
            await self._refresh

    async def _resolved(self, arrival: Arrival) -> Arrival | None:
        """``arrival`` with the entities of its payment, where it names none itself.

        None where no decision of that payment is published.
        """
        event = arrival.event
        wanted = payment_wanted(event)
        if wanted is None:
            return arrival
        body = await self.runtime.decision_of(event.tenant, wanted)
        found = with_entities(event, body) if body else None
        if found is None:
            return None
        return replace(arrival, event=found.event, body=found.body, fingerprint=found.fingerprint)

    async def _read_keys(self) -> None:
        try:
            await asyncio.to_thread(self.keys.refresh)
        except Unavailable as error:
            # Requests are refused by themselves once the keys in memory are too old.
            _log.warning("keys were not read", code=error.code, part=error.part)

    def _deadline(self) -> Deadline:
        return Deadline(self.runtime.clock, self._settings.http_deadline_ms)

    async def _fall_back(self, arrivals: Sequence[Arrival], _deadline: Deadline) -> list[Verdict]:
        return await self.runtime.engine.fall_back(arrivals)

    def _count_batch(self, size: int) -> None:
        self.runtime.metrics.observe("weir_batch_payments", size, door="http")


def door_of(request: Request) -> Door:
    """The door that ``api.app.build_app`` put on the application."""
    door = request.app.state.door
    assert isinstance(door, Door)
    return door
