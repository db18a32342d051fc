"""Ports on loopback: the default one, or a free one where it is taken."""

from __future__ import annotations

import errno
import os
import socket
import threading

from risk.domain.errors import Unavailable

HOST = "127.0.0.1"
# Below the range from which the kernel takes ports for outgoing connections.
FIRST_PORT, LAST_PORT = 20_000, 30_000
# A prime step spreads processes that look for ports at the same moment.
STEP = 37

_handed_out: set[int] = set()
_lock = threading.Lock()


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as problem:
            if problem.errno in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
                return False
            raise
        return True


def pick(preferred: int | None = None) -> int:
    """The preferred port if it is free, else a free one; never the same twice in one process.

    Raises ``Unavailable`` if none is free.
    """
    span = LAST_PORT - FIRST_PORT
    start = os.getpid() * STEP
    with _lock:
        for port in (preferred or 0, *(FIRST_PORT + (start + i) % span for i in range(span))):
            if port and port not in _handed_out and is_free(port):
                _handed_out.add(port)
                return port
    raise Unavailable("network", f"no free port between {FIRST_PORT} and {LAST_PORT}")


def give_back(port: int) -> None:
    """Let ``pick`` hand the port out again."""
    with _lock:
        _handed_out.discard(port)
