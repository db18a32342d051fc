"""Which partitions wait with their next records until those before are done.

A partition's batches are done one after the other, and each is a walk, however small. Were
every record handed over as soon as it comes, a partition would spend all its time on walks
of one, one behind the other. While it waits, its records gather, and the next walk takes all
of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Place = TypeVar("Place")

# So many records are worth a walk of their own: one more batch may wait behind them.
ENOUGH_RECORDS: Final = 32
BATCHES_MAX: Final = 2
# Should a batch ever vanish unnoticed, its partition is not left waiting for it.
PATIENCE_S: Final = 2.0


@dataclass(slots=True)
class _Batches:
    count: int = 0
    last_records: int = 0
    since_s: float = 0.0


class Underway(Generic[Place]):
    """Batches handed over and not done. ``state`` is what makes all before it void."""

    def __init__(self) -> None:
        self._state: object = None
        self._batches: dict[Place, _Batches] = {}

    def begin(self, place: Place, records: int, now_s: float) -> None:
        """A batch of ``records`` is handed over."""
        held = self._batches.setdefault(place, _Batches())
        held.count += 1
        held.last_records = records
        held.since_s = now_s

    def end(self, place: Place) -> None:
        """The oldest batch of ``place`` is done."""
        held = self._batches.get(place)
        if held is not None:
            held.count -= 1
            if held.count <= 0:
                del self._batches[place]

    def waiting(self, state: object, now_s: float) -> set[Place]:
        """The places from which nothing should be fetched now.

        Where ``state`` has changed, what was under way will never be reported as done.
        """
        if state != self._state:
            self._state = state
            self._batches.clear()
        return {place for place, held in self._batches.items() if _full(held, now_s)}


def _full(held: _Batches, now_s: float) -> bool:
    if now_s - held.since_s > PATIENCE_S:
        return False
    return held.count >= BATCHES_MAX or held.last_records < ENOUGH_RECORDS
