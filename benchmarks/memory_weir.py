"""Weir's feature memory as a contestant: the real scripts, claims and logs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.memory_usual import KINDS, Happening
from features import vectors as compiled
from features.connection import Connection
from features.keys import Keys
from features.local_truth import LocalTruth
from features.logs import Log, fold_at
from features.records import Facts, facts, records
from features.recovery import Recovery
from features.redis_memory import RedisMemory
from features.tails import Tail
from risk.domain.clock import SystemClock
from risk.domain.decoding import canonical
from risk.domain.event import AnyEvent, Payment, Refund
from risk.domain.kinds import event_key, record_kind
from risk.domain.limits import BATCH_PAYMENTS_MAX, LOG_TTL_S
from risk.domain.observation import Arrival, Delivery, Publication
from risk.domain.times import from_ms

TENANT = "main"
BODY_BYTES = 4_000  # about what a decision with its evidence has
CURRENCY = "EUR"


class Weir:
    """One log an entity, through the observe script: claims, appends, trims, reads tails."""

    name = "weir"
    # MGET reads the tails; the one inside the script counts twice, less than 0.1 us an entity.
    commands = ("evalsha", "mget")

    def __init__(self, url: str) -> None:
        self._connection = Connection(url)
        self._keys = Keys("w.bench.")
        recovery = Recovery(self._connection, self._keys, LocalTruth(), to_base)
        self._clock = SystemClock()
        self._vectors_s = 0.0
        self._computes = False
        self._memory = RedisMemory(
            self._connection, self._keys, self._vectors, recovery, self._clock
        )

    async def open(self) -> None:
        """Open the first epoch."""
        await self._memory.open()

    def key(self, kind: str, name: str) -> bytes:
        """Where the log of an entity stands."""
        return self._keys.log(TENANT, kind, name)

    async def fill(self, events: Sequence[Happening]) -> None:
        """Observe the events; their claims are forgotten then, as receipts are in the end."""
        self._computes = False
        for start in range(0, len(events), BATCH_PAYMENTS_MAX):
            batch = [arrival(event) for event in events[start : start + BATCH_PAYMENTS_MAX]]
            await self._memory.observe(batch)
            await self._forget(batch)

    async def fill_one(self, kind: str, name: str, events: Sequence[Happening]) -> None:
        """Write the log that ``events`` leave with one entity, without observing each."""
        log = Log(self._memory.epoch, 0, 0, bytearray())
        for event in events:
            payment = payment_of(event)
            of = facts(payment, record_kind(payment), event.amount_minor)
            log.records += next(one for own, _, one in records(payment, of) if own == kind)
        log.trim(fold_at(len(events)))
        await self._connection.call("SET", self.key(kind, name), log.pack(), "EX", LOG_TTL_S)

    async def probe(self, events: Sequence[Happening]) -> float:
        """Observe the events in one trip; seconds that their vectors took."""
        batch = [arrival(event) for event in events]
        self._computes, self._vectors_s = True, 0.0
        await self._memory.observe(batch)
        return self._vectors_s

    async def clean(self, events: Sequence[Happening]) -> None:
        """Forget the claims of probes."""
        for start in range(0, len(events), BATCH_PAYMENTS_MAX):
            await self._forget([arrival(one) for one in events[start : start + BATCH_PAYMENTS_MAX]])

    async def publish(self, events: Sequence[Happening]) -> list[bytes]:
        """Take the events through observe, decide and acknowledge; the keys of the receipts."""
        self._computes = False
        keys = []
        for start in range(0, len(events), BATCH_PAYMENTS_MAX):
            batch = [arrival(event) for event in events[start : start + BATCH_PAYMENTS_MAX]]
            await self._memory.observe(batch)
            out = [_publication(one) for one in batch]
            await self._memory.decide(out)
            await self._memory.acknowledge(
                [Delivery(one, number % 8, start + number) for number, one in enumerate(out)]
            )
            keys += [self._keys.event(one.tenant, one.event_key) for one in out]
        return keys

    async def close(self) -> None:
        """Close the connections."""
        await self._memory.close()

    async def _forget(self, batch: Sequence[Arrival]) -> None:
        keys = [self._keys.event(TENANT, event_key(one.event)) for one in batch]
        await self._connection.call("DEL", self._keys.pending, *keys)

    def _vectors(
        self,
        items: Sequence[tuple[Arrival, tuple[Tail, ...]]],
        known: Sequence[Facts] | None = None,
        windows: tuple[str, ...] = (),
    ) -> tuple[NDArray[np.float64], list[tuple[str, ...]]]:
        if not self._computes:
            return np.zeros((len(items), 1)), [()] * len(items)
        began_s = self._clock.monotonic_s()
        found = compiled.vectors(items, known, windows)
        self._vectors_s += self._clock.monotonic_s() - began_s
        return found


def payment_of(event: Happening) -> Payment:
    """The event as Weir reads it."""
    names: dict[str, Any] = dict(zip(KINDS, event.names, strict=True))
    return Payment(
        id=event.identity,
        occurred_at=from_ms(event.time_ms),
        amount_minor=event.amount_minor,
        currency=CURRENCY,
        mcc="5411",
        channel="ecom",
        country="DE",
        card_country="DE",
        ip_country="DE",
        **names,
    )


def arrival(event: Happening) -> Arrival:
    """The event as a door hands it to the engine."""
    payment, body, fingerprint = canonical(payment_of(event))
    return Arrival(payment, body, fingerprint, "stream", event.time_ms, event.amount_minor)


def to_base(event: AnyEvent, rates: str) -> int | None:
    """Everything is in the base currency."""
    return event.amount_minor if isinstance(event, Payment | Refund) else None


def _publication(of: Arrival) -> Publication:
    event = of.event
    return Publication(
        tenant=event.tenant,
        event_key=event_key(event),
        topic="decisions",
        key=f"{event.tenant}:{event.id}".encode(),
        body=of.body.ljust(BODY_BYTES),
        outcome="allow",
        score=0.01,
    )
