"""What an answer of Redis means to a door: wait for recovery, or Redis is away."""

from __future__ import annotations

import asyncio

import pytest

from features.connection import CONNECTIONS_MAX, Connection
from risk.domain.errors import Unavailable
from tests.support.memory import new_prefix


@pytest.mark.services
async def test_a_refused_command_means_that_redis_cannot_serve(redis_url: str) -> None:
    connection = Connection(redis_url)
    key = new_prefix() + "text"
    await connection.call("SET", key, b"text")
    with pytest.raises(Unavailable, match="redis"):
        await connection.call("INCR", key)
    await connection.close()


async def test_a_server_that_is_no_redis_means_that_redis_is_away() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(f"redis://127.0.0.1:{port}/0", socket_timeout_s=2.0)
    with pytest.raises(Unavailable, match="redis"):
        await connection.call("GET", "key")
    await connection.close()
    server.close()
    await server.wait_closed()


async def test_a_server_that_says_nothing_is_given_up() -> None:
    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connection = Connection(f"redis://127.0.0.1:{port}/0", socket_timeout_s=0.2)
    with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
        await connection.call("GET", "key")
    await connection.close()
    server.close()
    await server.wait_closed()


@pytest.mark.services
async def test_more_callers_than_connections_wait_for_one(redis_url: str) -> None:
    connection = Connection(redis_url)
    key = new_prefix() + "many"
    await connection.call("SET", key, b"text")
    calls = (connection.call("GET", key) for _ in range(10 * CONNECTIONS_MAX))
    assert set(await asyncio.gather(*calls)) == {b"text"}
    await connection.close()
