"""What a payment's entities remember, as it is usually kept in Redis: sorted sets, or tiles.

Both as a careful engineer writes them: one pipeline without a transaction for all payments of
a batch. Neither de-duplicates what is retried, and neither can prove what it answered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis

KINDS: Final = ("account", "card", "device", "ip", "merchant")
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
HORIZON_MS: Final = 30 * DAY_MS
WINDOWS_MS: Final = (300_000, HOUR_MS, DAY_MS, 7 * DAY_MS, HORIZON_MS)
TTL_S: Final = 45 * 86_400
HOURS: Final = 25  # tiles that a window of 24 hours may touch
DAYS: Final = 31
CHUNK: Final = 5_000


class Happening(NamedTuple):
    """A payment as the contestants see it; ``names`` are of ``KINDS``, in that order."""

    identity: str
    time_ms: int
    amount_minor: int
    names: tuple[str, ...]


class SortedSets:
    """One sorted set an entity, scored by time; each member tells what windows need.

    A payment writes its member, drops what is older than 30 days, and reads five windows.
    """

    name = "zset"
    commands = ("zadd", "zremrangebyscore", "zrangebyscore", "expire")

    def __init__(self, url: str) -> None:
        self._redis: Any = Redis.from_url(url)

    def key(self, kind: str, name: str) -> bytes:
        """Where the set of an entity stands."""
        return f"z:{kind}:{name}".encode()

    async def fill(self, events: Sequence[Happening]) -> None:
        """Leave what the events would leave one by one."""
        for place, kind in enumerate(KINDS):
            sets: dict[str, dict[str, int]] = {}
            for event in events:
                sets.setdefault(event.names[place], {})[_member(event, place)] = event.time_ms
            for name, members in sets.items():
                await self._add(self.key(kind, name), members)

    async def fill_one(self, kind: str, name: str, events: Sequence[Happening]) -> None:
        """Leave what ``events`` leave in the set of one entity."""
        place = KINDS.index(kind)
        members = {_member(event, place): event.time_ms for event in events}
        await self._add(self.key(kind, name), members)

    async def probe(self, events: Sequence[Happening]) -> float:
        """Write the events and read their windows, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            for place, kind in enumerate(KINDS):
                key, at_ms = self.key(kind, event.names[place]), event.time_ms
                pipeline.zadd(key, {_member(event, place): at_ms})
                pipeline.zremrangebyscore(key, "-inf", at_ms - HORIZON_MS)
                for window_ms in WINDOWS_MS:
                    pipeline.zrangebyscore(key, at_ms - window_ms, at_ms)
                pipeline.expire(key, TTL_S)
        await pipeline.execute()
        return 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _add(self, key: bytes, members: dict[str, int]) -> None:
        items = list(members.items())
        for start in range(0, len(items), CHUNK):
            await self._redis.zadd(key, dict(items[start : start + CHUNK]))
        await self._redis.expire(key, TTL_S)


class Tiles:
    """One hash an entity, with a count and a sum for each hour and each day.

    A payment adds to its tiles, deletes those that have left the windows, and reads what 24
    hours, 7 and 30 days are made of. No distinct counts, no window under an hour, and each
    window is as wide as its tiles: it answers less than the others.
    """

    name = "tiles"
    commands = ("hincrby", "hdel", "hmget", "expire")

    def __init__(self, url: str) -> None:
        self._redis: Any = Redis.from_url(url)

    def key(self, kind: str, name: str) -> bytes:
        """Where the hash of an entity stands."""
        return f"t:{kind}:{name}".encode()

    async def fill(self, events: Sequence[Happening]) -> None:
        """Leave what the events would leave one by one."""
        newest_ms = max(event.time_ms for event in events)
        for place, kind in enumerate(KINDS):
            hashes: dict[str, list[Happening]] = {}
            for event in events:
                hashes.setdefault(event.names[place], []).append(event)
            for name, of in hashes.items():
                await self._write(self.key(kind, name), of, newest_ms)

    async def fill_one(self, kind: str, name: str, events: Sequence[Happening]) -> None:
        """Leave what ``events`` leave in the hash of one entity."""
        await self._write(self.key(kind, name), events, max(event.time_ms for event in events))

    async def probe(self, events: Sequence[Happening]) -> float:
        """Write the events and read their tiles, in one round trip."""
        pipeline = self._redis.pipeline(transaction=False)
        for event in events:
            hour, day = event.time_ms // HOUR_MS, event.time_ms // DAY_MS
            read = [
                *(f"{letter}{hour - back}" for back in range(HOURS) for letter in ("hn", "hs")),
                *(f"{letter}{day - back}" for back in range(DAYS) for letter in ("dn", "ds")),
            ]
            left = [f"hn{hour - HOURS}", f"hs{hour - HOURS}", f"dn{day - DAYS}", f"ds{day - DAYS}"]
            for place, kind in enumerate(KINDS):
                key = self.key(kind, event.names[place])
                for field, amount in _added(event):
                    pipeline.hincrby(key, field, amount)
                pipeline.hdel(key, *left)
                pipeline.expire(key, TTL_S)
                pipeline.hmget(key, read)
        await pipeline.execute()
        return 0.0

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _write(self, key: bytes, events: Sequence[Happening], newest_ms: int) -> None:
        held: Counter[str] = Counter()
        for event in events:
            recent = (newest_ms - event.time_ms) // HOUR_MS < HOURS
            for field, amount in _added(event):
                if recent or field.startswith("d"):
                    held[field] += amount
        await self._redis.hset(key, mapping=held)
        await self._redis.expire(key, TTL_S)


def _member(event: Happening, place: int) -> str:
    """The payment, its amount and the other side: what sums and distinct counts need."""
    other = event.names[0 if place == len(KINDS) - 1 else -1]
    return f"{event.identity}:{event.amount_minor}:{other}"


def _added(event: Happening) -> tuple[tuple[str, int], ...]:
    hour, day = event.time_ms // HOUR_MS, event.time_ms // DAY_MS
    return (
        (f"hn{hour}", 1),
        (f"hs{hour}", event.amount_minor),
        (f"dn{day}", 1),
        (f"ds{day}", event.amount_minor),
    )
