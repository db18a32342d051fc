"""Trips to Redis: answers stay with their questions whatever becomes of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from features.trips import KEPT_MAX, Trips
from tests.support.memory import new_prefix

pytestmark = pytest.mark.services


@asynccontextmanager
async def _trips(url: str, timeout_s: float = 5.0, connections: int = 32) -> AsyncIterator[Trips]:
    pool = BlockingConnectionPool.from_url(
        url, timeout=timeout_s, socket_timeout=None, max_connections=connections
    )
    trips = Trips(pool, timeout_s)
    try:
        yield trips
    finally:
        await trips.close()
        await pool.aclose()


async def test_answers_come_in_order_for_every_kind_of_argument(redis_url: str) -> None:
    key = new_prefix() + "kinds"
    async with _trips(redis_url) as trips:
        big = bytes(range(256)) * 4096
        found = await trips.go(
            ("SET", key, big), ("GET", key), ("SET", key, 7), ("INCRBY", key, 5), ("GET", b"none")
        )
        assert found == [b"OK", big, b"OK", 12, None]


async def test_an_error_is_raised_when_all_answers_are_read(redis_url: str) -> None:
    key = new_prefix() + "error"
    async with _trips(redis_url, connections=1) as trips:
        with pytest.raises(ResponseError, match="not an integer"):
            await trips.go(("SET", key, b"text"), ("INCR", key), ("GET", key))
        assert await trips.go(("ECHO", b"mine")) == [b"mine"]


async def test_a_connection_that_died_is_replaced_once(redis_url: str) -> None:
    async with _trips(redis_url) as trips, _trips(redis_url) as other:
        (number,) = await trips.go(("CLIENT", "ID"))
        assert await other.go(("CLIENT", "KILL", "ID", number)) == [1]
        (fresh,) = await trips.go(("CLIENT", "ID"))
        assert fresh != number
        with pytest.raises(RedisConnectionError):
            await trips.go(("QUIT",), ("GET", b"after the end"))
        assert await trips.go(("ECHO", b"mine")) == [b"mine"]


async def test_what_was_given_up_is_not_answered_to_the_next(redis_url: str) -> None:
    key = new_prefix() + "empty"
    async with _trips(redis_url, timeout_s=0.2, connections=1) as trips:
        with pytest.raises(RedisTimeoutError, match=r"no answer within 0\.2 s"):
            await trips.go(("BLPOP", key, 1))
        assert await trips.go(("ECHO", b"mine")) == [b"mine"]
        waiting = asyncio.create_task(trips.go(("BLPOP", key, 1)))
        await asyncio.sleep(0.05)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await trips.go(("ECHO", b"mine")) == [b"mine"]


async def test_more_trips_than_connections_wait_for_one(redis_url: str) -> None:
    async with _trips(redis_url, connections=2 * KEPT_MAX) as trips:
        found = await asyncio.gather(*(trips.go(("ECHO", str(n))) for n in range(40 * KEPT_MAX)))
        assert found == [[str(n).encode()] for n in range(40 * KEPT_MAX)]
