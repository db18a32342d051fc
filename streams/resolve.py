"""Finds the payment that a label or an outcome speaks of, through its decision."""

from __future__ import annotations

from typing import Protocol

from msgspec.structs import replace

from risk.domain.ids import digest
from risk.domain.observation import Arrival, Receipt, Stored
from risk.domain.resolving import with_entities


class Decided(Protocol):
    """What the feature memory knows of decided events."""

    async def look_up(self, tenant: str, event_key: str) -> Stored | Receipt | None: ...


class Published(Protocol):
    """Where decisions can be read again."""

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None: ...


class Resolver:
    """Gives labels and outcomes the entities of their payment."""

    def __init__(self, decided: Decided, published: Published) -> None:
        self._decided = decided
        self._published = published

    async def resolve(self, arrival: Arrival, payment_id: str) -> Arrival | None:
        """``arrival`` with the entities of its payment; None where no decision is known.

        The same payment always gives the same entities, so a repeated label is the same
        event. Raises Unavailable and StaleEpoch.
        """
        stands = await self._decided.look_up(arrival.event.tenant, f"p:{payment_id}")
        if stands is None:
            return None
        body: bytes | None
        if isinstance(stands, Stored):
            body = stands.body
        else:
            body = await self._published.read("decisions", stands.partition, stands.offset)
            # Bytes of another decision: the topic was made anew under a Redis that was not.
            if body and digest(body) != stands.digest:
                return None
        return self.with_decision(arrival, body) if body else None

    def with_decision(self, arrival: Arrival, body: bytes) -> Arrival | None:
        """``arrival`` with the entities of the payment that the decision ``body`` is about."""
        found = with_entities(arrival.event, body)
        if found is None:
            return None
        return replace(arrival, event=found.event, body=found.body, fingerprint=found.fingerprint)
