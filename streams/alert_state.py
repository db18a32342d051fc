"""Where the publisher of alerts keeps how far it is; one publisher for each state folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from risk.alerts.desk import DeskState
from risk.domain.errors import AlreadyRunning


class AlertState(msgspec.Struct, kw_only=True):
    """The desk, and where reading goes on.

    ``decisions`` is (next offset, epoch in force) by partition, ``alerts`` the offset from which
    on alerts may stand that the desk does not know of.
    """

    decisions: dict[int, tuple[int, int]] = {}
    alerts: dict[int, int] = {}
    desk: DeskState = msgspec.field(default_factory=DeskState)


class StateFile:
    """The file ``state.msgpack`` of a world's folder; written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "state.msgpack"

    def load(self) -> AlertState | None:
        """What was saved last; None where nothing was, or it is damaged.

        Without it reading begins anew, and what stands on the topic already is not raised again.
        """
        try:
            return msgspec.msgpack.decode(self._file.read_bytes(), type=AlertState)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def save(self, state: AlertState) -> None:
        """Replace what was saved."""
        fresh = self._file.with_name(f".{self._file.name}.new")
        with fresh.open("wb") as file:
            file.write(msgspec.msgpack.encode(state))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)


def alerts_folder(state: Path, world: str) -> Path:
    """The folder of a world's publisher of alerts."""
    return state / "alerts" / world


@contextmanager
def held_state(folder: Path) -> Iterator[StateFile]:
    """The state file, held by this process alone. Raises AlreadyRunning."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (folder / "lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(f"another process publishes the alerts of {folder.name}") from None
        yield StateFile(folder)
