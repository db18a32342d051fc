"""Serves the application with uvicorn until it is told to stop."""

from __future__ import annotations

import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from risk.domain.errors import BadConfiguration

BACKLOG: Final = 1_024
CONNECTIONS_MAX: Final = 4_096
KEEP_ALIVE_S: Final = 30
STOP_S: Final = 8  # for requests in flight; all of Weir stops within 10 s


def bind(host: str, port: int, *, exposed: bool) -> socket.socket:
    """A socket on ``host`` and ``port`` (0 is a free one).

    Raises BadConfiguration for an address beyond this machine that is not ``exposed`` on
    purpose, and for one that cannot be had.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        raise BadConfiguration(f"--host {host}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    if not exposed and not ipaddress.ip_address(address[0]).is_loopback:
        raise BadConfiguration(
            f"--host {host} can be reached from other machines: put TLS in front, then give "
            "--expose as well"
        )
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise BadConfiguration(
            f"--host {host} --port {port}: {error.strerror}; give another, or 0 for a free one"
        ) from None
    sock.set_inheritable(False)
    return sock


def address_of(sock: socket.socket) -> str:
    """The http address of a bound socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(app: FastAPI, sock: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are answered first."""
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # a line for each request would hold ids; metrics count instead
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )
    server = uvicorn.Server(config)
    if hasattr(app.state, "door"):  # an application without one has no streams to end
        app.state.door.stopping = lambda: server.should_exit
    with _quiet_signals():
        await server.serve(sockets=[sock])


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises the signal again when it has stopped; we have things to close then."""

    def heard(_number: int, _frame: object) -> None:
        """The server stopped for this signal already."""

    before: dict[int, Callable[..., object] | int | None] = {}
    for number in (int(signal.SIGINT), int(signal.SIGTERM)):
        before[number] = signal.signal(number, heard)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
