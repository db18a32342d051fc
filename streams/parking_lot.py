"""Retries what is parked until its payment is known, or the time allowed has passed.

Every step may be repeated: a remembered event is claimed once, and what has gone is told last.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import msgspec

from risk.domain.clock import Clock
from risk.domain.ids import digest
from risk.domain.observation import Arrival
from risk.observability.metrics import Metrics
from streams.batch import Record
from streams.dead_letters import PAYLOAD_MISMATCH, DeadLetter, dead_letter, named
from streams.door import Delivering, Item, runs
from streams.parking import ParkedEvent, decode_parked, outgoing_gone
from streams.resolve import Resolver
from streams.topics import Topics
from streams.worker import Walker

PAUSE_MS_MIN: Final = 1_000
PAUSE_MS_MAX: Final = 10 * 60 * 1000
SEARCH_EVERY_MS: Final = 6 * 60 * 60 * 1000  # the archive, which only grows by known payments
TURN_MAX: Final = 256  # looked up in one turn
PARKED_MAX: Final = 100_000  # of one process, about 100 MB; beyond it the oldest are given up
UNRESOLVED: Final = "UNRESOLVED_PAYMENT"
_LOG = logging.getLogger("weir.streams")

PaymentName = tuple[str, str]
"""Tenant and payment id."""


class Archived(Protocol):
    """Decisions that Redis has forgotten. Blocking."""

    def find(self, wanted: Sequence[PaymentName]) -> Mapping[PaymentName, bytes]:
        """The decision that stands, by payment, where the archive has it."""
        ...


class Setting(Protocol):
    """Where dead letters go (``streams.door.Aside``)."""

    async def put(self, letters: Sequence[DeadLetter]) -> None: ...


class Place(NamedTuple):
    """A record of the topic of what is parked, or the one that a dead letter is about."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    timestamp: int = 0
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(slots=True)
class _Waiting:
    one: ParkedEvent
    place: Place
    due_ms: int
    searched_ms: int | None = None


class Doors(NamedTuple):
    """What the lot needs of the stream door's parts."""

    resolver: Resolver
    walker: Walker
    aside: Setting
    publisher: Delivering
    topics: Topics


class ParkingLot:
    """What waits in the partitions that this process owns.

    ``window_ms`` is the time allowed; of more than ``parked_max`` the oldest are given up.
    """

    def __init__(
        self,
        doors: Doors,
        archived: Archived,
        clock: Clock,
        metrics: Metrics,
        window_ms: int,
        parked_max: int = PARKED_MAX,
    ) -> None:
        self._parked_max = parked_max
        self._doors = doors
        self._archived = archived
        self._clock = clock
        self._metrics = metrics
        self._window_ms = window_ms
        self._held: dict[int, dict[bytes, _Waiting]] = {}

    def forget(self, partitions: Sequence[int]) -> None:
        """Partitions that others own now, or that will be read again from their begin."""
        for partition in partitions:
            self._held.pop(partition, None)

    def take(self, record: Record) -> None:
        """The next record of an owned partition."""
        held = self._held.setdefault(record.partition, {})
        key = record.key or b""
        if record.value is None:
            held.pop(key, None)
            return
        try:
            one = decode_parked(record.value)
            one.arrival()
        except (msgspec.DecodeError, ValueError) as error:
            _LOG.error("a parked event cannot be read", exc_info=error)
            return
        known = held.get(key)
        place = Place(record.topic, record.partition, record.offset, record.value)
        # Parked again before it went: its time goes on.
        first = known.one if known is not None and known.one.parked_ms < one.parked_ms else one
        held[key] = _Waiting(first, place, self._clock.now_ms())

    def __len__(self) -> int:
        return sum(len(held) for held in self._held.values())

    async def turn(self, partitions: Sequence[int]) -> None:
        """Look at what is due in partitions that were read to their end.

        Raises Unavailable, DeadlineExceeded or StaleEpoch; the next turn goes on.
        """
        now_ms = self._clock.now_ms()
        waiting = [one for part in partitions for one in self._held.get(part, {}).values()]
        over = await self._give_up(waiting, now_ms)
        due = [one for one in waiting if one.due_ms <= now_ms and id(one) not in over][:TURN_MAX]
        found = await self._resolved(due, now_ms)
        await self._remember(found)
        self._metrics.set("weir_parked", len(self))

    async def _give_up(self, waiting: Sequence[_Waiting], now_ms: int) -> set[int]:
        """Dead letters for what waited too long, and for the oldest where too many wait."""
        over = [one for one in waiting if now_ms - one.one.parked_ms >= self._window_ms]
        if len(waiting) - len(over) > self._parked_max:
            oldest = sorted(waiting, key=lambda one: one.one.parked_ms)
            over = oldest[: max(len(over), len(waiting) - self._parked_max)]
            _LOG.error("too many parked events: the oldest are given up")
        await self._finish(over, [self._letter(one, UNRESOLVED, now_ms) for one in over])
        return {id(one) for one in over}

    async def _resolved(
        self, due: Sequence[_Waiting], now_ms: int
    ) -> list[tuple[_Waiting, Arrival]]:
        """Those whose payment is known, to Redis or else to the archive; the others wait on."""
        found: list[tuple[_Waiting, Arrival]] = []
        left: list[_Waiting] = []
        for one in due:
            arrival = await self._look_up(one.one)
            if arrival is None:
                left.append(one)
            else:
                found.append((one, arrival))
        found += await self._searched(left, now_ms)
        known = {id(one) for one, _ in found}
        for one in left:
            if id(one) not in known:
                age_ms = now_ms - one.one.parked_ms
                one.due_ms = now_ms + max(PAUSE_MS_MIN, min(age_ms // 4, PAUSE_MS_MAX))
        return found

    async def _look_up(self, one: ParkedEvent) -> Arrival | None:
        arrival = one.arrival()
        return await self._doors.walker.patiently(
            lambda _deadline: self._doors.resolver.resolve(arrival, one.payment_id)
        )

    async def _searched(
        self, left: Sequence[_Waiting], now_ms: int
    ) -> list[tuple[_Waiting, Arrival]]:
        asked = [
            one
            for one in left
            if one.searched_ms is None or now_ms - one.searched_ms >= SEARCH_EVERY_MS
        ]
        if not asked:
            return []
        names = sorted({(one.one.tenant, one.one.payment_id) for one in asked})
        bodies = await asyncio.to_thread(self._archived.find, names)
        found = []
        for one in asked:
            one.searched_ms = now_ms
            body = bodies.get((one.one.tenant, one.one.payment_id))
            arrival = body and self._doors.resolver.with_decision(one.one.arrival(), body)
            if arrival:
                found.append((one, arrival))
        return found

    async def _remember(self, found: Sequence[tuple[_Waiting, Arrival]]) -> None:
        items = [(one, Item(one.place, arrival)) for one, arrival in found]
        owner = {id(item): one for one, item in items}
        for run in runs([item for _, item in items]):
            codes = await self._doors.walker.walk([item.arrival for item in run])
            of = [owner[id(item)] for item in run]
            now_ms = self._clock.now_ms()
            letters = [
                self._letter(one, code, now_ms)
                for one, code in zip(of, codes, strict=True)
                if code is not None
            ]
            await self._finish(of, letters)

    async def _finish(self, done: Sequence[_Waiting], letters: Sequence[DeadLetter]) -> None:
        """Letters first, then that they have gone: a kill in between repeats letters only."""
        if not done:
            return
        doors = self._doors
        partitions = doors.publisher.partitions(doors.topics.parked)
        gone = [outgoing_gone(one.one, doors.topics, partitions) for one in done]
        if letters:
            await doors.walker.patiently(lambda _deadline: doors.aside.put(letters))
        await doors.walker.patiently(lambda _deadline: doors.publisher.deliver(gone))
        for one in done:
            self._held.get(one.place.partition, {}).pop(one.one.key, None)

    def _letter(self, one: _Waiting, code: str, now_ms: int) -> DeadLetter:
        source, event = one.one.source, bytes(one.one.event)
        place = one.place
        if source:
            topic, partition, offset = source.rsplit(":", 2)
            place = Place(topic, int(partition), int(offset), event)
        field = "/id" if code == PAYLOAD_MISMATCH else ""
        letter = dead_letter(place, code, now_ms, field=field)
        name = one.one.payment_id if code == UNRESOLVED else one.one.arrival().event.id
        sha256 = one.one.sha256 if source else digest(event)
        return named(msgspec.structs.replace(letter, sha256=sha256), name)
