"""Sends live traffic to a world as it falls due, whatever the service does (open loop)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from aiokafka import AIOKafkaProducer

from risk.domain.clock import Clock
from risk.domain.decoding import encode_event
from risk.domain.event import AnyEvent, Label, is_scored
from streams.topics import Topics

TICK_S = 0.01


class Due(Protocol):
    """Traffic that says which events are due."""

    def due(self, now_ms: int) -> list[AnyEvent]: ...


def destination(event: AnyEvent, topics: Topics) -> tuple[str, bytes]:
    """The topic and the key of an event (design, section 12)."""
    if isinstance(event, Label):
        return topics.labels, f"{event.tenant}:{event.payment_id}".encode()
    return topics.events, f"{event.tenant}:{event.account or event.id}".encode()


class PacedSender:
    """Sends every event when it is due, in event-time order."""

    def __init__(self, bootstrap: str, topics: Topics, clock: Clock) -> None:
        self._bootstrap = bootstrap
        self._topics = topics
        self._clock = clock
        self.events = 0

    async def __aenter__(self) -> PacedSender:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", linger_ms=2, enable_idempotence=True
        )
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def run(
        self, traffic: Due, seconds: float | None, on_payment: Callable[[str], None]
    ) -> None:
        """Send for ``seconds`` (None: until cancelled); ``on_payment`` gets each payment's id."""
        started_s = self._clock.monotonic_s()
        while seconds is None or self._clock.monotonic_s() - started_s < seconds:
            for event in traffic.due(self._clock.now_ms()):
                await self._send(event, on_payment)
            await asyncio.sleep(TICK_S)
        await self._producer.flush()

    async def _send(self, event: AnyEvent, on_payment: Callable[[str], None]) -> None:
        topic, key = destination(event, self._topics)
        body = encode_event(event)
        if is_scored(event):
            on_payment(event.id)
        await self._producer.send(topic, value=body, key=key)
        self.events += 1
