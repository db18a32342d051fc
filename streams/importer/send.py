"""Playing a data set into a world: through the stream door, in event-time order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from risk.domain.clock import Clock
from risk.domain.decoding import encode_event
from risk.domain.errors import BadConfiguration, Unavailable
from risk.domain.event import AnyEvent, is_scored
from streams.admin import ensure_topics
from streams.importer.dataset import Manifest, read_manifest, sort_ms
from streams.importer.merge import Timed, ordered
from streams.paced import destination
from streams.topics import LIVE_WORLD, Topics

WINDOW: Final = 2_000  # events in flight: how far one partition may be ahead of another
SPEEDS: Final = "1x, 60x (any whole number before the x) or max"


class SendReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent. ``rejected`` are events that the broker refused for their size."""

    dataset: str
    world: str
    events: int
    rejected: int
    seconds: float
    per_s: float
    first_ms: int | None
    last_ms: int | None


def speed_of(text: str) -> float | None:
    """How many times faster than they happened events are released; None for ``max``.

    >>> speed_of("60x"), speed_of("max")
    (60.0, None)
    """
    if text == "max":
        return None
    number = text.removesuffix("x")
    if text.endswith("x") and number.isascii() and number.isdigit() and 0 < int(number) <= 10**6:
        return float(number)
    raise BadConfiguration(f"--speed {text!r}: write {SPEEDS}")


def sendable(folder: Path) -> Manifest:
    """The manifest of a data set that may be played: every import of it has ended."""
    manifest = read_manifest(folder)
    for one in manifest.imports:
        if not one.complete:
            raise BadConfiguration(
                f"the import of {one.file} into {folder.name!r} was cut off; run it again"
            )
    return manifest


async def send_dataset(
    folder: Path,
    world: str,
    speed: float | None,
    bootstrap: str,
    clock: Clock,
    progress: Callable[[int, int], None] | None = None,
    on_payment: Callable[[str], None] = lambda _payment_id: None,
) -> SendReport:
    """Send every event of the data set to the topics of ``world``, made where they are missing.

    At most ``WINDOW`` events are unacknowledged at any time, so neither topic nor partition gets
    far ahead of the others. Sending again is harmless: every id is decided once. The live world
    is refused, as its clock is the wall's and old events would be too late. ``on_payment`` gets
    the id of each scored event before it is sent.
    """
    if world == LIVE_WORLD:
        raise BadConfiguration(
            "--world live: a data set is history, give it a world of its own (--world NAME)"
        )
    manifest = sendable(folder)
    sender = _Sender(bootstrap, Topics(world), clock, on_payment)
    started_s = clock.monotonic_s()
    events = ordered(folder, manifest)
    await sender.send(events, speed, lambda sent: progress and progress(sent, manifest.events))
    seconds = max(clock.monotonic_s() - started_s, 1e-9)
    return SendReport(
        dataset=manifest.name,
        world=world,
        events=sender.events,
        rejected=sender.rejected,
        seconds=round(seconds, 3),
        per_s=round(sender.events / seconds, 1),
        first_ms=manifest.first_ms,
        last_ms=manifest.last_ms,
    )


async def send_events(
    events: Iterable[AnyEvent], world: str, bootstrap: str, clock: Clock
) -> tuple[int, int]:
    """Send ``events``, which are in event-time order, as fast as the broker takes them.

    The rules are those of ``send_dataset``. Returns how many were sent, and how many the broker
    refused for their size.
    """
    if world == LIVE_WORLD:
        raise BadConfiguration(
            "--world live: these events are history, give them a world of their own (--world NAME)"
        )
    sender = _Sender(bootstrap, Topics(world), clock, lambda _payment_id: None)
    timed = (Timed(sort_ms(event), encode_event(event), event) for event in events)
    await sender.send(timed, None, lambda _sent: None)
    return sender.events, sender.rejected


async def send_timed(
    events: Iterable[Timed],
    topics: Topics,
    bootstrap: str,
    clock: Clock,
    progress: Callable[[int], object] = lambda sent: None,
) -> int:
    """Send ``events`` in their order, as fast as the broker takes them; how many it took.

    Raises Unavailable where Kafka is.
    """
    sender = _Sender(bootstrap, topics, clock, lambda _payment_id: None)
    await sender.send(events, None, progress)
    return sender.events


class _Sender:
    """One producer and the window of what it has in flight."""

    def __init__(
        self, bootstrap: str, topics: Topics, clock: Clock, on_payment: Callable[[str], None]
    ) -> None:
        self._bootstrap = bootstrap
        self._on_payment = on_payment
        self._topics = topics
        self._clock = clock
        self._flying: list[asyncio.Future[object]] = []
        self.events = 0
        self.rejected = 0

    async def send(
        self, events: Iterable[Timed], speed: float | None, shown: Callable[[int], object]
    ) -> None:
        """Make the topics where they are missing, and send; Unavailable where Kafka is."""
        await ensure_topics(self._bootstrap, self._topics)
        try:
            await self._run(events, speed, shown)
        except (KafkaError, OSError) as error:
            raise Unavailable("kafka", f"{type(error).__name__}: {error}") from error

    async def _run(
        self, events: Iterable[Timed], speed: float | None, shown: Callable[[int], object]
    ) -> None:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, linger_ms=5
        )
        await producer.start()
        try:
            first_ms, began_s = None, self._clock.monotonic_s()
            for timed in events:
                if first_ms is None:
                    first_ms = timed.at_ms
                if speed is not None:
                    await self._wait_until(began_s + (timed.at_ms - first_ms) / 1000 / speed)
                await self._send(producer, timed)
                if len(self._flying) >= WINDOW:
                    await self._land()
                    shown(self.events)
            await self._land()
            shown(self.events)
        finally:
            await producer.stop()

    async def _wait_until(self, moment_s: float) -> None:
        wait_s = moment_s - self._clock.monotonic_s()
        if wait_s > 0.001:
            # A gap is a place to look at what was sent: nothing is in flight while we sleep.
            await self._land()
            await asyncio.sleep(max(0.0, moment_s - self._clock.monotonic_s()))

    async def _send(self, producer: AIOKafkaProducer, timed: Timed) -> None:
        topic, key = destination(timed.event, self._topics)
        if is_scored(timed.event):
            self._on_payment(timed.event.id)
        try:
            self._flying.append(await producer.send(topic, value=timed.body, key=key))
        except MessageSizeTooLargeError:
            self.rejected += 1

    async def _land(self) -> None:
        for result in await asyncio.gather(*self._flying, return_exceptions=True):
            if isinstance(result, MessageSizeTooLargeError):
                self.rejected += 1
            elif isinstance(result, BaseException):
                raise result
            else:
                self.events += 1
        self._flying.clear()
