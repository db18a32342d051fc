"""The control topic: versions, immutable, and pointers to those that are live.

One partition, compacted. ``version:KIND:DIGEST:PIECE`` holds a piece of a version's body,
``live:KIND`` the live pointer. The record that stands last wins, for every reader alike.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition

from risk.domain.errors import BadConfiguration, BadVersion, Unavailable
from risk.versions.store import VersionStore
from risk.versions.version import Kind, Live, Version
from streams.batch import Record
from streams.publish import KafkaPublisher, Outgoing
from streams.reader import new_consumer, read_range, unavailable_as_error
from streams.topics import Topics

PIECE_BYTES: Final = 256 * 1024
FETCH_BYTES: Final = 1024 * 1024
WAIT_MS: Final = 200
_LOG = structlog.get_logger("weir.control")


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a version. ``of`` is the version with only this part of its body."""

    of: Version
    piece: int
    pieces: int


def pieces(version: Version) -> list[Piece]:
    """``version`` in parts that fit into a Kafka record."""
    body = version.body
    cut = [body[at : at + PIECE_BYTES] for at in range(0, max(1, len(body)), PIECE_BYTES)]
    return [
        Piece(of=msgspec.structs.replace(version, body=one), piece=number, pieces=len(cut))
        for number, one in enumerate(cut)
    ]


class Control:
    """Writes to and follows the control topic of a world; versions go to ``store``.

    ``live`` are the pointers as far as the topic has been read. Without ``publisher`` it only
    reads.
    """

    def __init__(
        self,
        bootstrap: str,
        topics: Topics,
        store: VersionStore,
        publisher: KafkaPublisher | None = None,
    ) -> None:
        self._bootstrap = bootstrap
        self._place = TopicPartition(topics.control, 0)
        self._publisher = publisher
        self._next = 0
        self._parts: dict[str, dict[int, Piece]] = {}
        self._known: set[tuple[Kind, str]] = set()
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()
        self.store = store
        self.live: dict[Kind, Live] = {}

    # -- writing -------------------------------------------------------------------------

    async def publish(self, versions: Iterable[Version]) -> list[Version]:
        """Put versions on the topic; those that it has already are left out. Confirmed.

        Raises Unavailable; a repeated call then completes it.
        """
        fresh = [one for one in versions if (one.kind, one.digest) not in self._known]
        outgoing = []
        for version in fresh:
            self.store.put(version)
            for one in pieces(version):
                key = f"version:{version.kind}:{version.digest}:{one.piece}".encode()
                outgoing.append(self._outgoing(key, msgspec.json.encode(one)))
        if outgoing:
            await self._deliver(outgoing)
        return fresh

    async def set_live(
        self, version: Version, *, author: str, at_ms: int, reason: str = ""
    ) -> Live:
        """Make ``version`` live, everywhere; returns the pointer. Confirmed by Kafka."""
        await self.look()
        await self.publish([version])
        held = self.live.get(version.kind)
        live = Live(
            kind=version.kind,
            digest=version.digest,
            previous=held.digest if held else "",
            number=held.number + 1 if held else 1,
            author=author,
            at_ms=at_ms,
            reason=reason,
        )
        key = f"live:{version.kind}".encode()
        await self._deliver([self._outgoing(key, msgspec.json.encode(live))])
        await self.look()
        return live

    async def _deliver(self, outgoing: list[Outgoing]) -> None:
        if self._publisher is None:
            raise BadConfiguration("this reader of the control topic cannot publish")
        await self._publisher.deliver(outgoing)

    def _outgoing(self, key: bytes, value: bytes) -> Outgoing:
        return Outgoing(self._place.topic, self._place.partition, key, value)

    # -- following -----------------------------------------------------------------------

    async def load(self) -> None:
        """Read the topic up to where it ends now. Raises Unavailable."""
        async with self._turn, unavailable_as_error():
            consumer = await self._started()
            end = (await consumer.end_offsets([self._place]))[self._place]
            if end > self._next:
                async for record in read_range(consumer, self._place, self._next, end):
                    self._take(record)
            self._next = max(self._next, end)

    async def look(self) -> None:
        """The same; a connection that broke is made anew."""
        try:
            await self.load()
        except Unavailable:
            await self.close()
            raise

    async def wait(self) -> None:
        """Return when there may be news; at the latest after ``WAIT_MS``."""
        async with self._turn, unavailable_as_error():
            consumer = await self._started()
            consumer.assign([self._place])
            consumer.seek(self._place, self._next)
            found = await consumer.getmany(self._place, timeout_ms=WAIT_MS)
            for record in found.get(self._place, ()):
                self._take(record)

    async def close(self) -> None:
        """Close the connection; the next look opens another."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = new_consumer(self._bootstrap, fetch_bytes=FETCH_BYTES)
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    def _take(self, record: Record) -> None:
        self._next = record.offset + 1
        try:
            self._read(record)
        except (msgspec.DecodeError, BadVersion, UnicodeDecodeError) as error:
            # What is live stays; nobody can make use of such a record.
            _LOG.error("a record of the control topic is unfit", offset=record.offset,
                       reason=" ".join(str(error).split()))  # fmt: skip

    def _read(self, record: Record) -> None:
        sort, _, rest = (record.key or b"").decode().partition(":")
        if sort == "live":
            live = msgspec.json.decode(record.value or b"", type=Live)
            if live.kind != rest:
                raise BadVersion(f"a pointer of {live.kind} stands under the key live:{rest}")
            self.live[live.kind] = live
        elif sort == "version":
            self._join(msgspec.json.decode(record.value or b"", type=Piece))

    def _join(self, piece: Piece) -> None:
        parts = self._parts.setdefault(piece.of.digest, {})
        parts[piece.piece] = piece
        if len(parts) < piece.pieces:
            return
        del self._parts[piece.of.digest]
        body = b"".join(parts[number].of.body for number in range(piece.pieces))
        version = msgspec.structs.replace(piece.of, body=body)
        self.store.put(version)
        self._known.add((version.kind, version.digest))
