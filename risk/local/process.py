"""A child process with a log file, a group of its own and an end that always comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from risk.domain.clock import Deadline, SystemClock
from risk.domain.errors import Unavailable
from risk.local import guard

LOG_BYTES_MAX = 10 * 1024 * 1024
POLL_S = 0.05
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH")


def plain_environment() -> dict[str, str]:
    """What a foreign part needs from our environment, and nothing that is secret."""
    return {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. ``env`` is the whole environment; ``stop_s`` is the grace after SIGTERM."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=plain_environment)
    folder: Path | None = None
    stop_s: float = 8.0


class Child:
    """A running command. It stops when told, and when the process that started it is gone."""

    def __init__(self, command: Command, process: subprocess.Popen[bytes], pid: int) -> None:
        self.command = command
        self.pid = pid
        self._guard = process

    @classmethod
    def start(cls, command: Command) -> Child:
        """Start it under a guard. Raises ``Unavailable`` if it cannot be executed."""
        command.log.parent.mkdir(parents=True, exist_ok=True)
        _rotate(command.log)
        guarded = [
            *(sys.executable, "-I", "-S", str(Path(guard.__file__).resolve())),
            *(str(os.getpid()), str(command.stop_s)),
            *command.argv,
        ]
        with command.log.open("ab") as log:
            process = subprocess.Popen(
                guarded,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=dict(command.env),
                cwd=command.folder,
                start_new_session=True,
            )
        if process.stdout is None:
            raise Unavailable(command.name, "its guard has no output")
        with process.stdout as told:
            line = told.readline()
        if not line.strip():
            _close_input(process)
            process.wait()
            raise Unavailable(command.name, f"cannot be executed: {log_tail(command.log)}")
        return cls(command, process, int(line))

    @property
    def running(self) -> bool:
        """Whether the command has not ended."""
        return self._guard.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Its exit code, 128 + n after signal n, or none while it runs."""
        return self._guard.poll()

    def wait_ready(self, answers: Callable[[], bool], within_s: float) -> None:
        """Ask until it answers. Raises ``Unavailable`` with the end of its log if it does not."""
        name, log = self.command.name, self.command.log
        deadline = Deadline(SystemClock(), int(within_s * 1000))
        while not answers():
            if not self.running:
                raise Unavailable(name, f"ended with code {self.stop()}: {log_tail(log)}")
            if deadline.spent():
                self.stop()
                raise Unavailable(name, f"not ready in {within_s:.0f} s: {log_tail(log)}")
            time.sleep(POLL_S)

    def wait(self, within_s: float) -> int | None:
        """Wait for its end; the exit code, or none if it still runs."""
        with suppress(subprocess.TimeoutExpired):
            return self._guard.wait(within_s)
        return None

    def ask_to_stop(self) -> None:
        """Begin the end without waiting for it."""
        _close_input(self._guard)

    def stop(self) -> int:
        """SIGTERM to its group, SIGKILL after the grace; returns when all of it is gone."""
        self.ask_to_stop()
        return self._guard.wait()

    def kill(self) -> None:
        """SIGKILL at once, as a crash would."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.stop()


def log_tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return "no log was written"
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        last = file.read().decode(errors="replace").strip().splitlines()[-lines:]
    return " | ".join(line.strip() for line in last) or f"see {log.name}"


def _close_input(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with suppress(BrokenPipeError):
            process.stdin.close()


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
        log.replace(log.with_suffix(log.suffix + ".1"))
