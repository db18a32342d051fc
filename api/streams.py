"""How many long answers a process gives at once, and each key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from api.problems import Problem

_RETRY: Final = {"Retry-After": "5"}


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many of a process and of a key; seconds of a stream and within it.

    A client that takes nothing for ``send_s`` has left. The key is looked at every
    ``key_check_s``.
    """

    streams_max: int = 64
    of_key_max: int = 8
    stream_s: float = 900.0
    keep_alive_s: float = 15.0
    key_check_s: float = 2.0
    send_s: float = 10.0


class Streams:
    """Counts the open streams of a process, by key."""

    def __init__(self, limits: StreamLimits | None = None) -> None:
        self.limits = limits or StreamLimits()
        self._open: dict[str, int] = {}

    @property
    def total(self) -> int:
        """How many are open."""
        return sum(self._open.values())

    def enter(self, key_id: str) -> None:
        """Count one more. Raises a Problem where there are too many."""
        held = self._open.get(key_id, 0)
        if held >= self.limits.of_key_max:
            raise Problem(
                "TOO_MANY_STREAMS", f"the key has {held} streams open already", headers=_RETRY
            )
        if self.total >= self.limits.streams_max:
            raise Problem(
                "TOO_MANY_STREAMS", f"{self.total} streams are open already", headers=_RETRY
            )
        self._open[key_id] = held + 1

    def leave(self, key_id: str) -> None:
        """Count one less."""
        self._open[key_id] -= 1
        if not self._open[key_id]:
            del self._open[key_id]
