"""Seeded traffic as it really comes: late, duplicated, corrected, and by both doors."""

from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, NamedTuple

import httpx
import msgspec
from aiokafka import AIOKafkaProducer

from risk.domain.decoding import encode_event
from risk.domain.event import AnyEvent, Payment, is_scored
from risk.domain.ids import digest
from risk.simulator.traffic import Traffic
from streams.paced import destination
from streams.topics import Topics

Way = Literal["stream", "http", "both"]

STEP_MS: Final = 1_000
PER_S: Final = 50.0  # of event time; sent as fast as they are decided
ACCOUNT_PAYMENTS: Final = 400  # more than a log's cap of 256
ACCOUNTS_MIN: Final = 20
BY_HTTP: Final = 0.08
BY_BOTH: Final = 0.01
WAYS: Final[tuple[Way, ...]] = ("stream", "http", "both")
WEIGHTS: Final = (1 - BY_HTTP - BY_BOTH, BY_HTTP, BY_BOTH)
LATE: Final = 0.03  # happened hours before it comes
HELD_BACK: Final = 0.05  # comes after events that happened later
DUPLICATED: Final = 0.03
CORRECTED: Final = 0.01
LATE_MS_MAX: Final = 12 * 3_600_000
BEHIND_MAX: Final = 2_000  # how many events later something held back comes
ASKING: Final = 16  # requests at once
TRIES_PAUSE_S: Final = 0.2


class Sending(NamedTuple):
    """One event on its way. ``corrects`` is true where its id was sent with other content."""

    event: AnyEvent
    way: Way
    corrects: bool = False


class Rough:
    """Traffic of ``payments`` payments with what goes wrong on the way; a function of the seed.

    ``counts`` tells how much of each there was so far.
    """

    def __init__(self, seed: int, payments: int, start_ms: int) -> None:
        accounts = max(ACCOUNTS_MIN, payments // ACCOUNT_PAYMENTS)
        self._traffic = Traffic(seed, PER_S, start_ms, accounts)
        self._rng = random.Random(seed)
        self._payments = payments
        self._now_ms = start_ms
        self._held: list[tuple[int, int, Sending]] = []
        self._given = 0
        self.counts: Counter[str] = Counter()

    def __iter__(self) -> Iterator[Sending]:
        for event in self._events():
            first = self._first(event)
            if self._rng.random() < HELD_BACK:
                self.counts["held_back"] += 1
                self._hold(first, 0)
            else:
                yield self._out(first)
            yield from self._due()
        while self._held:
            yield self._out(heapq.heappop(self._held)[2])

    def _events(self) -> Iterator[AnyEvent]:
        scored = 0
        while scored < self._payments:
            self._now_ms += STEP_MS
            for event in self._traffic.due(self._now_ms):
                scored += is_scored(event)
                if scored > self._payments:
                    return
                yield event

    def _first(self, event: AnyEvent) -> Sending:
        """The event as it comes first; what follows it is held."""
        rng = self._rng
        way: Way = "stream"
        if is_scored(event):
            way = rng.choices(WAYS, WEIGHTS)[0]
            if rng.random() < LATE:
                self.counts["late"] += 1
                back = timedelta(milliseconds=rng.randrange(60_000, LATE_MS_MAX))
                event = msgspec.structs.replace(event, occurred_at=event.occurred_at - back)
        first = Sending(event, way)
        if rng.random() < DUPLICATED:
            self.counts["duplicated"] += 1
            self._hold(first, BEHIND_MAX)
        if isinstance(event, Payment) and way != "both" and rng.random() < CORRECTED:
            self.counts["corrected"] += 1
            other = msgspec.structs.replace(event, amount_minor=event.amount_minor + 1)
            self._hold(Sending(other, way, corrects=True), BEHIND_MAX)
        return first

    def _hold(self, one: Sending, at_least: int) -> None:
        """Until so many others were given, and a random number more."""
        after = self._given + at_least + self._rng.randrange(1, BEHIND_MAX)
        heapq.heappush(self._held, (after, self._rng.getrandbits(60), one))

    def _due(self) -> Iterator[Sending]:
        while self._held and self._held[0][0] <= self._given:
            yield self._out(heapq.heappop(self._held)[2])

    def _out(self, one: Sending) -> Sending:
        self._given += 1
        self.counts["events"] += 1
        self.counts[f"by_{one.way}"] += is_scored(one.event)
        return one


@dataclass
class Sent:
    """What was sent and answered.

    ``answers`` are digests of the bytes that the HTTP door gave for a payment, evidence
    included; ``corrections`` the places of corrected events that came by the stream.
    """

    payments: set[str] = field(default_factory=set)
    answers: dict[str, set[str]] = field(default_factory=dict)
    corrections: set[tuple[str, int, int]] = field(default_factory=set)
    refused: int = 0
    fallbacks: int = 0
    tried_again: int = 0
    problems: list[str] = field(default_factory=list)


class Sender:
    """Sends to both doors at once; ``finish`` waits until all of it is answered."""

    def __init__(self, kafka: str, topics: Topics, api: str, token: str) -> None:
        self._topics = topics
        self._producer = AIOKafkaProducer(
            bootstrap_servers=kafka, acks="all", linger_ms=5, enable_idempotence=True
        )
        self._client = httpx.AsyncClient(
            base_url=api, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )
        self._asking = asyncio.Semaphore(ASKING)
        self._open: set[asyncio.Task[None]] = set()
        self.sent = Sent()

    async def __aenter__(self) -> Sender:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._client.aclose()
        await self._producer.stop()

    async def send(self, one: Sending) -> None:
        """Put it on its way; waits only while too many requests are open."""
        if is_scored(one.event):
            self.sent.payments.add(one.event.id)
        if one.way != "http":
            await self._produce(one)
        if one.way != "stream":
            await self._asking.acquire()
            self._start(self._ask(one))

    async def finish(self) -> None:
        """Wait until everything is confirmed and answered. Raises what went wrong."""
        await self._producer.flush()
        while self._open:
            await asyncio.gather(*self._open)

    async def _produce(self, one: Sending) -> None:
        topic, key = destination(one.event, self._topics)
        confirmed = await self._producer.send(topic, value=encode_event(one.event), key=key)
        if one.corrects:
            self._start(self._note(confirmed))

    async def _note(self, confirmed: Any) -> None:
        place = await confirmed
        self.sent.corrections.add((place.topic, place.partition, place.offset))

    def _start(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _ask(self, one: Sending) -> None:
        """Ask until there is an authoritative answer, or a correction is refused."""
        try:
            while not await self._asked(one):
                self.sent.tried_again += 1
                await asyncio.sleep(TRIES_PAUSE_S)
        finally:
            self._asking.release()

    async def _asked(self, one: Sending) -> bool:
        body = encode_event(one.event)
        headers = {"Content-Type": "application/json"}
        try:
            answer = await self._client.post(
                "/v1/decisions?evidence=true", content=body, headers=headers
            )
        except httpx.HTTPError:
            return False
        if answer.status_code in (429, 500, 503):
            return False
        if answer.status_code == 409:
            self.sent.refused += 1
            if not one.corrects:
                self.sent.problems.append(f"{one.event.id}: refused as another payment")
            return True
        if answer.status_code != 200:
            self.sent.problems.append(f"{one.event.id}: {answer.status_code} {answer.text[:200]}")
            return True
        if not answer.json()["authoritative"]:
            self.sent.fallbacks += 1
            return False
        if one.corrects:
            self.sent.problems.append(f"{one.event.id}: a correction was decided")
        self.sent.answers.setdefault(one.event.id, set()).add(digest(answer.content))
        return True
