"""The feature memory in Redis: the claim protocol of the design (section 6), one script a step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

from features.claims import (
    DecidedValue,
    ReceiptValue,
    pack_decided,
    pack_facts,
    pack_place,
    unpack_value,
)
from features.connection import Connection
from features.keys import Keys, watermark_field
from features.logs import positions, tail_in
from features.records import Facts, facts, records
from features.recovery import Recovered, Recovery
from features.scripts import Script
from features.seeing import Answer, Seen, Vectors, with_vectors
from features.tails import Tail
from risk.domain.clock import Clock
from risk.domain.errors import StaleEpoch
from risk.domain.event import is_scored
from risk.domain.kinds import event_key, record_kind
from risk.domain.limits import BATCH_PAYMENTS_MAX
from risk.domain.observation import (
    Arrival,
    Delivery,
    Lost,
    Mismatch,
    Observed,
    Publication,
    Receipt,
    Stored,
)


class _Asked(NamedTuple):
    """What is needed of an arrival to read the answer to it."""

    facts: Facts
    names: list[tuple[str, str]]
    logs: list[bytes]
    scored: bool


class RedisMemory:
    """Implements ``risk.domain.observation.Memory`` on one Redis or Valkey node.

    Call ``open`` before anything else. ``rates`` is the digest of the exchange rates that
    arrivals are converted with; it goes into the claims.
    """

    def __init__(
        self,
        connection: Connection,
        keys: Keys,
        vectors: Vectors,
        recovery: Recovery,
        clock: Clock,
        rates: str = "",
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._vectors = vectors
        self._recovery = recovery
        self._clock = clock
        self._rates = rates
        self._epoch = 0
        self._scripts: dict[str, Script] = {}

    @property
    def epoch(self) -> int:
        """The epoch that every call works for; 0 before ``open``."""
        return self._epoch

    @property
    def recovered(self) -> Recovered | None:
        """What the last recovery that this process ran has done; None where it ran none."""
        return self._recovery.last

    async def open(self) -> None:
        """Join the open epoch, or recover. Raises BadConfiguration on a Redis Cluster."""
        await self._connection.refuse_cluster()
        await self.recover()

    async def recover(self) -> None:
        """Wait until recovery (ours or another's) has opened an epoch, and join it."""
        epoch, scripts = await self._recovery.join()
        self._epoch, self._scripts = epoch, scripts

    async def observe(
        self, arrivals: Sequence[Arrival], windows: tuple[str, ...] = ()
    ) -> list[Observed]:
        """See ``Memory.observe``. More than one batch is split into several calls."""
        script = self._script("observe")
        seen: list[Answer] = []
        for start in range(0, len(arrivals), BATCH_PAYMENTS_MAX):
            batch = arrivals[start : start + BATCH_PAYMENTS_MAX]
            seen += await self._observe_batch(script, batch)
        return with_vectors(arrivals, seen, self._vectors, windows)

    async def _observe_batch(self, script: Script, arrivals: Sequence[Arrival]) -> list[Answer]:
        keys = [self._keys.epoch, self._keys.pending]
        # When they are claimed, not when they arrived: a backlog's events arrived long ago,
        # and the sweeper must not take what is in flight for left behind.
        arguments: list[bytes | str] = [str(self._clock.now_ms())]
        asked: list[_Asked] = []
        wanted: dict[bytes, int] = {}
        for arrival in arrivals:
            event = arrival.event
            of = facts(event, record_kind(event), arrival.amount_base)
            left = records(event, of)
            logs = [self._keys.log(event.tenant, kind, name) for kind, name, _ in left]
            keys.append(self._keys.event(event.tenant, event_key(event)))
            keys += logs
            arguments += (
                arrival.fingerprint,
                pack_facts(arrival, self._rates),
                b"".join([record for _, _, record in left]),
            )
            scored = is_scored(event)
            if scored:
                # A log that several events share is read once.
                for key in logs:
                    wanted.setdefault(key, len(wanted))
            asked.append(_Asked(of, [(kind, name) for kind, name, _ in left], logs, scored))
        rows, held = await self._connection.run_and_get(script, keys, arguments, list(wanted))
        values = dict(zip(wanted, held, strict=True))
        return [_answer(row, of, values) for row, of in zip(rows, asked, strict=True)]

    async def decide(self, publications: Sequence[Publication]) -> list[Stored | Receipt]:
        """See ``Memory.decide``."""
        script = self._script("decide")
        stand: list[Stored | Receipt] = []
        for start in range(0, len(publications), BATCH_PAYMENTS_MAX):
            batch = publications[start : start + BATCH_PAYMENTS_MAX]
            rows = await self._connection.run(
                script,
                [self._keys.epoch, self._keys.pending, *self._event_keys(batch)],
                *(pack_decided(one) for one in batch),
            )
            stand += [
                Stored(one.body) if row == b"O" else _stand(row)
                for row, one in zip(rows, batch, strict=True)
            ]
        return stand

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """See ``Memory.acknowledge``."""
        script = self._script("acknowledge")
        for start in range(0, len(deliveries), BATCH_PAYMENTS_MAX):
            batch = deliveries[start : start + BATCH_PAYMENTS_MAX]
            of = [delivery.publication for delivery in batch]
            places = (
                (one.publication.digest, pack_place(one.partition, one.offset)) for one in batch
            )
            await self._connection.run(
                script,
                [
                    self._keys.epoch,
                    self._keys.pending,
                    self._keys.watermarks,
                    *self._event_keys(of),
                ],
                *chain.from_iterable(places),
                *_watermarks(batch),
            )

    async def look_up(self, tenant: str, event_key: str) -> Stored | Receipt | None:
        """What is decided under an id; None where nothing is. ``Stored`` is not published yet."""
        value = await self._connection.call("GET", self._keys.event(tenant, event_key))
        return None if value is None or value[:1] == b"C" else _stand(value)

    async def pending(self, before_ms: int, at_most: int) -> list[tuple[bytes, bytes | None]]:
        """Event keys claimed before a time and not acknowledged, oldest first, with their values.

        See ``features.claims``. The value is None where the claim has expired.
        """
        flat = await self._connection.run(
            self._script("pending"),
            [self._keys.epoch, self._keys.pending],
            before_ms,
            at_most,
        )
        return list(zip(flat[::2], flat[1::2], strict=True))

    async def pending_count(self) -> int:
        """Events that are claimed or decided, and not acknowledged."""
        return int(await self._connection.call("ZCARD", self._keys.pending))

    async def settle(self, event_keys: Sequence[bytes]) -> None:
        """Take claims that are on the ledger out of the pending set; they stay claims."""
        script = self._script("settle")
        await self._connection.run(script, [self._keys.epoch, self._keys.pending, *event_keys])

    async def close(self) -> None:
        """Stop a recovery that is under way, and close the connections."""
        await self._recovery.close()
        await self._connection.close()

    def _script(self, name: str) -> Script:
        if not self._scripts:
            raise StaleEpoch("no epoch has been joined yet; call open")
        return self._scripts[name]

    def _event_keys(self, publications: Sequence[Publication]) -> list[bytes]:
        return [self._keys.event(one.tenant, one.event_key) for one in publications]


def _answer(row: list[Any], of: _Asked, values: dict[bytes, bytes | None]) -> Answer:
    """What one row of the observe script's reply means, with the logs that were read after it."""
    state, value = row
    if state == b"M":
        return Mismatch(value)
    if state != b"C":
        return _stand(value)
    places = positions(of.names, value)
    if not of.scored:
        return Seen(places, None, of.facts)
    tails: list[Tail] = []
    for place, key in zip(places, of.logs, strict=True):
        seen = tail_in(place, values[key])
        if seen is None:
            return Lost(place, places)
        tails.append(seen)
    return Seen(places, tuple(tails), of.facts)


def _stand(value: bytes) -> Stored | Receipt:
    of = unpack_value(value)
    if isinstance(of, ReceiptValue):
        return of.receipt
    if isinstance(of, DecidedValue):
        return Stored(of.body)
    raise ValueError("a claim is no decision")


def _watermarks(deliveries: Sequence[Delivery]) -> list[str]:
    """Pairs of field and the highest offset of each partition."""
    highest: dict[str, int] = {}
    for one in deliveries:
        field = watermark_field(one.publication.topic, one.partition)
        highest[field] = max(one.offset, highest.get(field, 0))
    return list(chain.from_iterable((field, str(offset)) for field, offset in highest.items()))
