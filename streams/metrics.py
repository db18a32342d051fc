"""The worker's own small port, on loopback only: metrics and whether it lives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

from risk.observability.metrics import CONTENT_TYPE, Metrics

HOST: Final = "127.0.0.1"
READ_S: Final = 5.0
LINE_BYTES_MAX: Final = 8 * 1024
_TEXT: Final = "text/plain; charset=utf-8"


@asynccontextmanager
async def metrics_port(
    metrics: Metrics, port: int, problem: Callable[[], str | None]
) -> AsyncIterator[str]:
    """Serve ``/metrics`` and ``/healthz`` while open; yields the address. 0 is a free port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, ValueError):
            async with asyncio.timeout(READ_S):
                asked = await reader.readline()
                while (await reader.readline()).strip():
                    continue
                writer.write(_response(asked, metrics, problem()))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, port, limit=LINE_BYTES_MAX)
    async with server:
        yield f"http://{HOST}:{server.sockets[0].getsockname()[1]}"


def _response(asked: bytes, metrics: Metrics, problem: str | None) -> bytes:
    method, _, rest = asked.partition(b" ")
    path = rest.split(b" ")[0].split(b"?")[0]
    status, kind, body = "404 Not Found", _TEXT, b"/metrics or /healthz\n"
    if method != b"GET":
        status, body = "405 Method Not Allowed", b"GET only\n"
    elif path == b"/metrics":
        status, kind, body = "200 OK", CONTENT_TYPE, metrics.render()
    elif path == b"/healthz":
        status = "503 Service Unavailable" if problem else "200 OK"
        body = f"{problem or 'ok'}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body
