"""Finds the payment that a label or an outcome speaks of, through its decision."""

from __future__ import annotations

from typing import Protocol

import msgspec

from risk.domain.decision import decode_decision
from risk.domain.decoding import canonical, decode_event
from risk.domain.observation import Arrival, Receipt, Stored
from streams.intake import Intake, entities_of


class Decided(Protocol):
    """What the feature memory knows of decided events."""

    async def look_up(self, tenant: str, event_key: str) -> Stored | Receipt | None: ...


class Published(Protocol):
    """Where decisions can be read again."""

    async def read(self, topic: str, partition: int, offset: int) -> bytes | None: ...


class Resolver:
    """Gives labels and outcomes the entities of their payment."""

    def __init__(self, decided: Decided, published: Published, intake: Intake) -> None:
        self._decided = decided
        self._published = published
        self._intake = intake

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
        evidence = decode_decision(body).evidence if body else None
        if evidence is None:
            return None
        payment = decode_event(bytes(evidence.event)).event
        event = msgspec.structs.replace(arrival.event, **entities_of(payment))
        return self._intake.arrival(canonical(event), arrival.arrived_at_ms)
