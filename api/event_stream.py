"""A stream of alerts to one client: server-sent events, resumable, bounded, never in the way."""

from __future__ import annotations

import asyncio
import json
from typing import Final

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth import key_of, still_admitted
from api.door import Door
from risk.alerts.feed import Feed, Held, Position, Wanted, after, position_text

TURN_S: Final = 0.5
RETRY_MS: Final = 2_000


class AlertStream(Response):
    """Sends what the feed has from ``position`` on (None: from now on), until it has to end.

    Raises a Problem where too many streams are open.
    """

    media_type = "text/event-stream"

    def __init__(
        self, request: Request, door: Door, feed: Feed, wanted: Wanted, position: Position | None
    ) -> None:
        super().__init__(b"", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._request = request
        self._door = door
        self._feed = feed
        self._wanted = wanted
        self._key = key_of(request)
        self._given = position
        # What comes once the client has its headers is for it, whenever its stream gets a turn.
        self._now = (feed.end, feed.number)
        self._send: Send | None = None
        door.streams.enter(self._key.key_id)
        self._count()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves, or the stream has to end."""
        try:
            self._send = send
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            work = asyncio.create_task(self._stream())
            left = asyncio.create_task(_left(receive))
            try:
                await asyncio.wait({work, left}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, left):
                    task.cancel()
                results = await asyncio.gather(work, left, return_exceptions=True)
            for result in results:
                # A client that takes nothing any more has left, one way or another.
                if isinstance(result, Exception) and not isinstance(result, TimeoutError | OSError):
                    raise result
        finally:
            self._door.streams.leave(self._key.key_id)
            self._count()

    async def _stream(self) -> None:
        clock, limits = self._door.runtime.clock, self._door.streams.limits
        began_s = sent_s = checked_s = clock.monotonic_s()
        await self._put(f"retry: {RETRY_MS}\n\n".encode())
        position, number = await self._begin()
        while True:
            found, gap = self._feed.newer(self._key.tenant, number)
            number, end = self._feed.number, self._feed.end
            if gap:
                await self._gap(position, _first(found, end))
            if await self._alerts(position, found) or gap:
                sent_s = clock.monotonic_s()
            position = end
            now_s = clock.monotonic_s()
            if self._door.stopping() or now_s - began_s >= limits.stream_s:
                break
            if now_s - checked_s >= limits.key_check_s:
                checked_s = now_s
                if not await still_admitted(self._request, "read"):
                    break
            if now_s - sent_s >= limits.keep_alive_s:
                sent_s = now_s
                await self._put(_id(position) + b": keep-alive\n\n")
            await self._feed.wait(TURN_S)
        # With the place where it ended, also if nothing of it was for this client.
        await self._put(_id(position) + b": the end; connect again\n\n")
        assert self._send is not None
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _begin(self) -> tuple[Position, int]:
        """Send what came since the client was here; the place and the number behind it."""
        if self._given is None:
            end, number = self._now
            await self._put(_id(end) + b": from now on\n\n")
            return end, number
        number, end = self._feed.number, self._feed.end
        found, oldest = self._feed.since(self._key.tenant, self._given)
        if oldest is not None:
            await self._gap(self._given, oldest)
        await self._alerts(oldest or self._given, found)
        return end, number

    async def _alerts(self, position: Position, found: list[Held]) -> bool:
        """Send those of ``found`` that are wanted; whether there were any."""
        sent = False
        for one in found:
            position = after(position, (one,))
            if self._wanted.takes(one.alert, one.at_ms):
                await self._put(_id(position) + b"event: alert\ndata: " + one.body + b"\n\n")
                sent = True
        return sent

    async def _gap(self, from_position: Position, to_position: Position) -> None:
        told = {"from": position_text(from_position), "to": position_text(to_position)}
        await self._put(_id(to_position) + f"event: gap\ndata: {json.dumps(told)}\n\n".encode())

    async def _put(self, body: bytes) -> None:
        assert self._send is not None
        async with asyncio.timeout(self._door.streams.limits.send_s):
            await self._send({"type": "http.response.body", "body": body, "more_body": True})

    def _count(self) -> None:
        self._door.runtime.metrics.set("weir_alerts_streams", self._door.streams.total)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _first(found: list[Held], end: Position) -> Position:
    """The place of the first of ``found`` in each partition, else the end."""
    places = dict(end)
    for one in reversed(found):
        places[one.partition] = one.offset
    return places


def _id(position: Position) -> bytes:
    return f"id: {position_text(position)}\n".encode()
