"""``run.json``: who runs in a state folder, and under which addresses. Mode 0600."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from risk.domain.clock import Deadline, SystemClock
from risk.domain.errors import AlreadyRunning
from risk.local.private import write_private

RUN = "run"
FILE, LOCK = "run.json", "run.lock"
# A reader that looks whether the lock is held takes it for a moment.
LOCK_WAIT_MS = 500
# Parts of a run that was killed stop within their grace.
LEFTOVER_WAIT_MS = 15_000
POLL_S = 0.05


class RunRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run: ``command`` is ``run``, or the name of a command that started parts for itself.

    Addresses are as in the settings; ``pids`` holds one process id per started part.
    """

    pid: int
    command: str
    started_at_ms: int
    kafka: str = ""
    redis: str = ""
    mlflow: str = ""
    api: str = ""
    metrics: str = ""
    demo_key: str = ""
    pids: dict[str, int] = {}


class RunFile:
    """The state folder, held by this process."""

    def __init__(self, state: Path) -> None:
        self._path = state / FILE

    def write(self, record: RunRecord) -> None:
        """Publish what runs, replacing what was written before."""
        text = msgspec.json.format(msgspec.json.encode(record), indent=2).decode()
        write_private(self._path, text + "\n")

    def remove(self) -> None:
        """Say that nothing runs."""
        self._path.unlink(missing_ok=True)


@contextmanager
def hold(state: Path) -> Iterator[RunFile]:
    """Hold the state folder until the block ends; the run file is gone afterwards.

    Raises ``AlreadyRunning`` if another process holds it. Waits for what a killed run left behind.
    """
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _lock(descriptor, LOCK_WAIT_MS):
            raise AlreadyRunning(_who(state))
        _wait_for_leftovers(_read(state))
        file = RunFile(state)
        file.remove()
        try:
            yield file
        finally:
            file.remove()
    finally:
        os.close(descriptor)


def read_live(state: Path) -> RunRecord | None:
    """The run that holds the folder now, or none. A file left by a killed run does not count."""
    record = _read(state)
    if record is None:
        return None
    try:
        descriptor = os.open(state / LOCK, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        return None if _lock(descriptor, 0) else record
    finally:
        os.close(descriptor)


def _read(state: Path) -> RunRecord | None:
    try:
        return msgspec.json.decode((state / FILE).read_bytes(), type=RunRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _lock(descriptor: int, within_ms: int) -> bool:
    deadline = Deadline(SystemClock(), within_ms)
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            if problem.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            if deadline.spent():
                return False
            time.sleep(POLL_S)
        else:
            return True


def _who(state: Path) -> str:
    record = _read(state)
    if record is None:
        return f"another process is starting in {state}"
    api = f", {record.api}" if record.api else ""
    return f"`weir {record.command}` (process {record.pid}{api}) already runs in {state}"


def _wait_for_leftovers(record: RunRecord | None) -> None:
    deadline = Deadline(SystemClock(), LEFTOVER_WAIT_MS)
    pids = record.pids.values() if record else ()
    while any(map(_alive, pids)) and not deadline.spent():
        time.sleep(POLL_S)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        # The id belongs to someone else by now.
        return False
    return True
