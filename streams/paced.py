"""Sends events to a world at a constant rate, whatever the service does (open loop)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from aiokafka import AIOKafkaProducer

from risk.domain.clock import Clock
from risk.domain.decoding import encode_event
from risk.domain.event import AnyEvent, Label, is_scored
from streams.topics import Topics

TICK_S = 0.01


def destination(event: AnyEvent, topics: Topics) -> tuple[str, bytes]:
    """The topic and the key of an event (design, section 12)."""
    if isinstance(event, Label):
        return topics.labels, f"{event.tenant}:{event.payment_id}".encode()
    return topics.events, f"{event.tenant}:{event.account or event.id}".encode()


class PacedSender:
    """Sends ``rate`` scored events a second, with the remembered events between them."""

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
        self,
        traffic: Iterator[AnyEvent],
        rate: float,
        seconds: float | None,
        on_payment: Callable[[str], None],
    ) -> None:
        """Send until ``seconds`` have passed or ``traffic`` ends; None is for ever."""
        started_s = self._clock.monotonic_s()
        payments = 0
        while True:
            elapsed_s = self._clock.monotonic_s() - started_s
            if seconds is not None and elapsed_s >= seconds:
                break
            while payments < elapsed_s * rate:
                event = next(traffic, None)
                if event is None:
                    return
                payments += await self._send(event, on_payment)
            await asyncio.sleep(TICK_S)

    async def _send(self, event: AnyEvent, on_payment: Callable[[str], None]) -> int:
        topic, key = destination(event, self._topics)
        body = encode_event(event)
        scored = is_scored(event)
        if scored:
            on_payment(event.id)
        await self._producer.send(topic, value=body, key=key)
        self.events += 1
        return int(scored)
