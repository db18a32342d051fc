"""Ports on loopback: the default one, or a free one where it is taken."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
import threading
from pathlib import Path

from risk.domain.errors import Unavailable

HOST = "127.0.0.1"
# Below the range from which the kernel takes ports for outgoing connections.
FIRST_PORT, LAST_PORT = 20_000, 30_000
# A prime step spreads processes that look for ports at the same moment.
STEP = 37

# Port to the open file whose lock says that this process has it.
_handed_out: dict[int, int] = {}
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
    """The preferred port if it is free, else a free one; never the same twice on one machine.

    Between our look and the server's bind another start may look as well. Whoever then met the
    other's server would take it for its own, so a port is claimed by a lock that lives as
    long as this process. Raises ``Unavailable`` if none is free.
    """
    span = LAST_PORT - FIRST_PORT
    start = os.getpid() * STEP
    with _lock:
        for port in (preferred or 0, *(FIRST_PORT + (start + i) % span for i in range(span))):
            if port and port not in _handed_out and is_free(port):
                claim = _claim(port)
                if claim is not None:
                    _handed_out[port] = claim
                    return port
    raise Unavailable("network", f"no free port between {FIRST_PORT} and {LAST_PORT}")


def give_back(port: int) -> None:
    """Let ``pick`` hand the port out again."""
    with _lock:
        claim = _handed_out.pop(port, None)
        if claim is not None:
            os.close(claim)


def _claim(port: int) -> int | None:
    """An open file with the lock of ``port``; None where another process has it."""
    folder = Path(tempfile.gettempdir()) / f"weir-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    file = os.open(folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        return None
    return file
