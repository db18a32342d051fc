"""What the three embedded servers have in common: a folder, an address, a life."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from risk.domain.errors import Unavailable
from risk.local import ports
from risk.local.process import Child, Command

START_TRIES = 3


class Server(ABC):
    """One embedded part. ``data`` is its folder; ``port`` is replaced by a free one if taken.

    Once started it keeps its port, so that ``restart`` brings it back under the same address.
    """

    name: str
    ready_s: float = 60.0

    def __init__(self, data: Path, log: Path | None = None, port: int | None = None) -> None:
        self.data = data.resolve()
        self.log = log or self.data / f"{self.name}.log"
        self._preferred = port
        self._port = 0
        self._child: Child | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address as settings take it."""

    @abstractmethod
    def prepare(self) -> None:
        """Write what the server reads when it starts."""

    @abstractmethod
    def command(self) -> Command:
        """How it is started."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves requests."""

    @property
    def port(self) -> int:
        """The loopback port; chosen at the first start."""
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return self._living().pid

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._child is not None and self._child.running

    def start(self) -> None:
        """Start it and wait until it answers. Raises ``Unavailable``."""
        # Events and decisions lie here: nobody else on this machine may read them.
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data.chmod(0o700)
        for last in (False,) * (START_TRIES - 1) + (True,):
            self._port = self._port or ports.pick(self._preferred)
            try:
                self._start_once()
            except Unavailable:
                # Another process may have taken the port between our look and the bind.
                if last or ports.is_free(self._port):
                    raise
                self._port = 0
            else:
                return

    def stop(self) -> None:
        """Stop it in order; harmless if it does not run."""
        if self._child is not None:
            self._child.stop()

    def kill(self) -> None:
        """Kill it as a crash would."""
        self._living().kill()

    def restart(self) -> None:
        """Start it again under the same address, on the same data."""
        self.stop()
        self.start()

    def _start_once(self) -> None:
        self.prepare()
        # Kept before it is ready, so that another thread can stop it while it starts.
        self._child = Child.start(self.command())
        try:
            self._child.wait_ready(self.answers, self.ready_s)
        except BaseException:
            self._child.stop()
            raise

    def _living(self) -> Child:
        if self._child is None:
            raise Unavailable(self.name, "it was not started")
        return self._child
