"""The processes of `weir run` that are ours: doors, and what proves, archives and watches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from risk.domain.clock import Clock, Deadline
from risk.domain.errors import Unavailable
from risk.local.services import answers_ready, start_service

if TYPE_CHECKING:
    from pathlib import Path

    from risk.local.parts import Parts
    from risk.local.process import Child
    from risk.settings import Settings

READY_MS: Final = 90_000
BAD_INPUT: Final = 2  # one that will not start however often it is tried
RESTARTS_WITHIN_S: Final = 300.0
WATCH_S: Final = 0.2
ARCHIVE: Final = "archive"
PROVE: Final = "prove"
ALERTS: Final = "alerts"
GUARD: Final = "guard"
KEEPERS: Final = (ARCHIVE, PROVE, ALERTS, GUARD)


@dataclass(frozen=True, slots=True)
class Rule:
    """What is done when a service ends: started again after a pause, at most so often in 300 s.

    Where that is no help the run ends too, or (``fatal`` false) goes on without, and fails at
    its end: payments come before their proof.
    """

    pause_s: float
    restarts_max: int
    fatal: bool


API: Final = Rule(0.0, 0, fatal=True)
WORKER: Final = Rule(1.0, 60, fatal=True)
KEEPER: Final = Rule(5.0, 5, fatal=False)
# Until a keeper has finished what is there; then it is killed, which harms none.
KEEPER_STOP_S: Final = {ARCHIVE: 30.0, PROVE: 120.0, ALERTS: 30.0}


class Services:
    """Started in order, watched, started again by their rules, stopped.

    ``say`` gets a line for people, ``on_pid`` the process id of what was started again.
    """

    def __init__(
        self,
        settings: Settings,
        workers: int,
        parts: Parts,
        clock: Clock,
        say: Callable[[str], None],
        on_pid: Callable[[str, int], None],
    ) -> None:
        self._settings = settings
        self._workers = [f"worker-{slot}" for slot in range(workers)]
        self._parts = parts
        self._clock = clock
        self._say = say
        self._on_pid = on_pid
        self._running: dict[str, Child] = {}
        self._arguments: dict[str, list[str]] = {}
        self._ends_s: dict[str, list[float]] = {}
        self.given_up: list[str] = []
        """Why a keeper stays away, for each that does."""

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each."""
        return {name: child.pid for name, child in self._running.items()}

    def start_doors(self, api_port: int) -> None:
        """Start the workers and the API."""
        for slot, name in enumerate(self._workers):
            self._start(name, ["worker", "--slot", str(slot)])
        self._start("api", ["api", "--host", "127.0.0.1", "--port", str(api_port)])

    def wait_for_doors(self, api: str) -> None:
        """Until the API takes payments and every worker has its partitions."""
        deadline = Deadline(self._clock, READY_MS)
        self._running["api"].wait_ready(lambda: answers_ready(api), READY_MS / 1000)
        for name in self._workers:
            ready = self._ready_file(name)
            self._running[name].wait_ready(ready.exists, max(1.0, deadline.remaining_s()))

    def start_keepers(self, commands: Mapping[str, list[str]]) -> None:
        """Start what archives and what proves; nobody waits for them."""
        for name, arguments in commands.items():
            self._start(name, arguments)
            self._on_pid(name, self._running[name].pid)

    async def watch(self) -> None:
        """Start again what ended, until cancelled. Raises Unavailable where the run must end."""
        while True:
            for server in self._parts.ended:
                why = f"it ended; see {server.log}"
                if not self._may_start(server.name, WORKER):
                    raise Unavailable(server.name, f"{why}; it was started again too often")
                self._say(f"{server.name}: {why}; starting it again")
                await asyncio.to_thread(server.restart)
                self._on_pid(server.name, server.pid)
            for name, child in list(self._running.items()):
                if not child.running:
                    await self._again(name, child)
            await asyncio.sleep(WATCH_S)

    async def finish_keepers(self) -> None:
        """Let the keepers archive, prove and alert of what there is now; then they end."""
        children = [self._running.pop(name) for name in KEEPERS if name in self._running]
        for child in children:
            child.ask_to_stop()
        for child in children:
            await asyncio.to_thread(child.stop)

    def stop(self) -> None:
        """Stop all of them at once. A prover only reads, so it need not end in order."""
        for name, child in self._running.items():
            if name == PROVE:
                child.kill()
            else:
                child.ask_to_stop()
        for child in self._running.values():
            child.stop()

    async def _again(self, name: str, child: Child) -> None:
        rule = self._rule(name)
        child.stop()  # it has ended; this closes what we hold of it
        why = f"it ended with code {child.exit_code}; see {child.command.log}"
        if child.exit_code == BAD_INPUT or not self._may_start(name, rule):
            if rule.fatal:
                raise Unavailable(name, why)
            del self._running[name]
            self.given_up.append(f"{name}: {why}")
            return
        self._say(f"{name}: {why}; starting it again")
        await asyncio.sleep(rule.pause_s)
        await asyncio.to_thread(self._start, name, self._arguments[name])
        self._on_pid(name, self._running[name].pid)

    def _rule(self, name: str) -> Rule:
        if name in KEEPERS:
            return KEEPER
        return WORKER if name in self._workers else API

    def _may_start(self, name: str, rule: Rule) -> bool:
        """Whether it has not ended too often lately."""
        now_s = self._clock.monotonic_s()
        ends_s = [at_s for at_s in self._ends_s.get(name, []) if now_s - at_s < RESTARTS_WITHIN_S]
        self._ends_s[name] = [*ends_s, now_s]
        return len(ends_s) < rule.restarts_max

    def _start(self, name: str, arguments: list[str]) -> None:
        self._arguments[name] = arguments
        if name in self._workers:
            self._ready_file(name).unlink(missing_ok=True)
        self._running[name] = start_service(
            name, arguments, self._settings, KEEPER_STOP_S.get(name)
        )

    def _ready_file(self, worker: str) -> Path:
        """What a worker writes when it has its partitions."""
        return self._settings.state / "ready" / worker
