"""The parts whose address is not given: the running ones, else started for this command."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from risk.domain.clock import SystemClock
from risk.local import runfile
from risk.local.kafka import KafkaServer
from risk.local.mlflow import MlflowServer
from risk.local.redis import RedisServer
from risk.local.runfile import RunRecord
from risk.local.server import Server
from risk.settings import Settings

# In the order in which they are stopped: Kafka, the truth, goes last.
PARTS = ("mlflow", "redis", "kafka")
DEFAULT_PORTS = {"kafka": 9092, "redis": 6379, "mlflow": 5000, "api": 8080}

Say = Callable[[str], None]


def jar_cache(state: Path) -> Path:
    """Where the Kafka jars of a state folder are kept."""
    return state / "cache" / "maven"


def make_server(name: str, state: Path) -> Server:
    """The embedded server of one part, with its data and log in the state folder."""
    data, log, port = state / name, state / "logs" / f"{name}.log", DEFAULT_PORTS[name]
    if name == "kafka":
        return KafkaServer(data, jar_cache(state), log, port)
    return {"redis": RedisServer, "mlflow": MlflowServer}[name](data, log, port)


class Parts:
    """Embedded servers of one state folder, started side by side and stopped in order.

    Hold the folder (``runfile.hold``) before starting any: two brokers cannot share it.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._servers: dict[str, Server] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each started part, by its name in the settings."""
        return {name: server.url for name, server in self._servers.items()}

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each started part."""
        return {name: server.pid for name, server in self._servers.items()}

    @property
    def ended(self) -> list[Server]:
        """The started parts that do not run any more."""
        return [server for server in self._servers.values() if not server.running]

    def server(self, name: str) -> Server:
        """A started part."""
        return self._servers[name]

    def start(self, names: Collection[str], say: Say = lambda _line: None) -> dict[str, str]:
        """Start the named parts at once; returns their addresses when all of them answer.

        ``say`` gets a line as each becomes ready, from any thread. Raises ``Unavailable`` or
        ``BadConfiguration`` for the first that does not; the others are stopped then.
        """
        self._servers = {name: make_server(name, self._state) for name in PARTS if name in names}

        def start_one(name: str) -> None:
            clock = SystemClock()
            began_s = clock.monotonic_s()
            self._servers[name].start()
            say(f"{name} is ready after {clock.monotonic_s() - began_s:.1f} s")

        with ThreadPoolExecutor(len(PARTS), thread_name_prefix="start") as pool:
            try:
                for started in [pool.submit(start_one, name) for name in self._servers]:
                    started.result()
            except BaseException:
                # Before the pool waits for its threads: they wait for these servers.
                self.stop()
                raise
        return self.addresses

    def stop(self) -> None:
        """Stop what was started, in order."""
        for server in self._servers.values():
            server.stop()


@contextmanager
def resolve(
    settings: Settings,
    needs: Collection[str] = PARTS,
    *,
    command: str,
    say: Say = lambda _line: None,
) -> Iterator[Settings]:
    """The settings with the addresses of the needed parts filled in.

    What the settings name stays; else the parts of the live ``weir run`` are taken; else they are
    started for this command and stopped when the block ends. Raises ``AlreadyRunning`` when another
    command has started parts for itself in this folder.
    """
    lacking = [name for name in needs if not getattr(settings, name)]
    live = running(settings.state)
    if live is not None:
        found = {name: getattr(live, name) for name in (*lacking, "api") if getattr(live, name)}
        settings = settings.model_copy(update={"api": live.api} | found)
        lacking = [name for name in lacking if name not in found]
    if not lacking:
        yield settings
        return
    with runfile.hold(settings.state) as file, Parts(settings.state) as parts:
        addresses = parts.start(lacking, say)
        file.write(
            RunRecord(
                pid=os.getpid(),
                command=command,
                started_at_ms=SystemClock().now_ms(),
                pids=parts.pids,
                **addresses,
            )
        )
        yield settings.model_copy(update=addresses)


def running(state: Path) -> RunRecord | None:
    """The live ``weir run`` of a state folder, or none."""
    live = runfile.read_live(state)
    return live if live is not None and live.command == runfile.RUN else None
