"""Finishes what a door left half done: publishes old claims and decisions that nobody did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from features.claims import UNREADABLE, ClaimedValue, DecidedValue, pending_record, unpack_value
from features.keys import Keys
from features.redis_memory import RedisMemory
from risk.domain.ids import digest
from risk.domain.limits import BATCH_PAYMENTS_MAX, SWEEP_AFTER_MS
from risk.domain.observation import Publication, Publisher

_ROUNDS_MAX: Final = 100  # a sweep ends, so that a flood cannot keep its caller for ever


@dataclass(frozen=True, slots=True)
class Swept:
    """How many decisions were delivered, and how many claims were put on the ledger.

    ``unreadable`` entries are left where they are: not what this Weir writes.
    """

    decisions: int
    claims: int
    unreadable: int = 0


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
        decisions = claims = unreadable = 0
        for _ in range(_ROUNDS_MAX):
            swept = await self._round(now_ms - SWEEP_AFTER_MS)
            if swept is None:
                break
            decisions += swept.decisions
            claims += swept.claims
            unreadable = swept.unreadable
            if not swept.decisions + swept.claims:
                break
        return Swept(decisions, claims, unreadable)

    async def _round(self, before_ms: int) -> Swept | None:
        epoch = self._memory.epoch
        found = await self._memory.pending(before_ms, BATCH_PAYMENTS_MAX)
        if not found or self._memory.epoch != epoch:
            return None
        outbox: list[Publication] = []
        claims: list[Publication] = []
        over: list[bytes] = []
        unreadable = 0
        for key, value in found:
            try:
                kept = None if value is None else _publication(*self._keys.parse_event(key), value)
            except UNREADABLE:
                unreadable += 1
                continue
            if value is not None and value[:1] == b"D" and kept is not None:
                outbox.append(kept)
                continue
            over.append(key)
            claims += [kept] if kept else []
        if not outbox and not over:
            return Swept(0, 0, unreadable)
        deliveries = await self._publisher.publish(outbox + claims, epoch)
        if self._memory.epoch != epoch:
            return None
        await self._memory.acknowledge(deliveries[: len(outbox)])
        if over and self._memory.epoch == epoch:
            await self._memory.settle(over)
        return Swept(len(outbox), len(claims), unreadable)


def _publication(tenant: str, event_key: str, held: bytes) -> Publication | None:
    """What has to be published for an unfinished event; None for a finished one."""
    value = unpack_value(held)
    if isinstance(value, DecidedValue):
        if digest(value.body) != value.digest:
            raise ValueError("the stored bytes are not those of their digest")
        return value.publication(tenant, event_key)
    return pending_record(value) if isinstance(value, ClaimedValue) else None
