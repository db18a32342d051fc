"""Finishes what a door left half done: publishes old claims and decisions that nobody did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from features.claims import ClaimedValue, DecidedValue, pending_record
from features.keys import Keys
from features.redis_memory import RedisMemory
from risk.domain.limits import BATCH_PAYMENTS_MAX, SWEEP_AFTER_MS
from risk.domain.observation import Publication, Publisher

_ROUNDS_MAX: Final = 100  # a sweep ends, so that a flood cannot keep its caller for ever


@dataclass(frozen=True, slots=True)
class Swept:
    """How many decisions were delivered, and how many claims were put on the ledger."""

    decisions: int
    claims: int


class Sweeper:
    """Looks at the pending set; any number of processes may sweep at the same time.

    A decided event is published with the stored bytes and acknowledged. A claimed one is
    published on the ledger with its places, so that its neighbours stay provable; the claim
    stays, and a later retry decides it.
    """

    def __init__(self, memory: RedisMemory, keys: Keys, publisher: Publisher) -> None:
        self._memory = memory
        self._keys = keys
        self._publisher = publisher

    async def sweep(self, now_ms: int) -> Swept:
        """Everything that arrived more than SWEEP_AFTER_MS before ``now_ms``.

        Raises StaleEpoch (what was read is void, sweep again after recovery) or Unavailable.
        """
        decisions = claims = 0
        for _ in range(_ROUNDS_MAX):
            swept = await self._round(now_ms - SWEEP_AFTER_MS)
            if swept is None:
                break
            decisions += swept.decisions
            claims += swept.claims
        return Swept(decisions, claims)

    async def _round(self, before_ms: int) -> Swept | None:
        epoch = self._memory.epoch
        found = await self._memory.pending(before_ms, BATCH_PAYMENTS_MAX)
        if not found or self._memory.epoch != epoch:
            return None
        outbox: list[Publication] = []
        claims: list[Publication] = []
        over: list[bytes] = []
        for key, value in found:
            if isinstance(value, DecidedValue):
                outbox.append(value.publication(*self._keys.parse_event(key)))
                continue
            over.append(key)
            if isinstance(value, ClaimedValue):
                claims.append(pending_record(value))
        deliveries = await self._publisher.publish(outbox + claims, epoch)
        if self._memory.epoch != epoch:
            return None
        await self._memory.acknowledge(deliveries[: len(outbox)])
        if over and self._memory.epoch == epoch:
            await self._memory.settle(over)
        return Swept(len(outbox), len(claims))
