"""What a log keeps of the records that fell off it: counts and sums by tile and record kind.

A rollup holds exactly the records before ``folded``, but for ``gaps``: sequences that nobody
had told when they were folded, and which are folded when somebody tells them (a recovery reads
partition by partition). So every record counts once, in whatever order and however often it is
told. Bytes, little-endian: time of the newest record in ms 6, folded 6, number of gaps 4, then
each gap (first sequence 6, the first one after it 6), then the cells of
``features.rollup_kernel``.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.records import RECORD_BYTES, RECORD_WORDS
from features.rollup_kernel import CELL_WORDS, LIMITS, fold
from risk.domain.kinds import HOLE

ROLLUP_HEADER_BYTES: Final = 16
GAP_BYTES: Final = 12
CELL_BYTES: Final = 4 * CELL_WORDS
_HEAD: Final = struct.Struct("<IHIHI")
_GAP: Final = struct.Struct("<IHIH")
_LOW: Final = 0xFFFFFFFF


def no_cells() -> NDArray[np.uint32]:
    """No cells, in the shape of some."""
    return np.empty((0, CELL_WORDS), np.uint32)


@dataclass(slots=True)
class Rollup:
    """The records of one log before ``folded``. ``gaps`` are disjoint and rise."""

    newest_ms: int = 0
    folded: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    cells: NDArray[np.uint32] = field(default_factory=no_cells)

    def fold(self, first: int, records: bytes | bytearray | memoryview, keep: int) -> None:
        """Fold sequences up to ``keep``, of which ``records`` begin at ``first``.

        Sequences without a record, and holes, become gaps. Nothing that is folded is folded
        again.
        """
        if keep <= self.folded:
            return
        begin = min(max(first, self.folded), keep)
        self._gap(self.folded, begin)
        words = _words(records)[begin - first : keep - first]
        holes = np.flatnonzero(words[:, 1] >> 10 & 31 == HOLE)
        for at in holes.tolist():
            self._gap(begin + at, begin + at + 1)
        self._gap(begin + len(words), keep)
        self.folded = keep
        self._add(words)

    def tell(self, sequence: int, record: bytes) -> None:
        """Fold a record before ``folded`` that may have been a gap until now."""
        at = bisect_right(self.gaps, (sequence, 1 << 62)) - 1
        if at < 0 or sequence >= self.gaps[at][1]:
            return
        words = _words(record)
        if words[0, 1] >> 10 & 31 == HOLE:
            return
        low, high = self.gaps[at]
        parts = ((low, sequence), (sequence + 1, high))
        self.gaps[at : at + 1] = [part for part in parts if part[0] < part[1]]
        self._add(words)

    def _gap(self, low: int, high: int) -> None:
        if low >= high:
            return
        if self.gaps and self.gaps[-1][1] == low:
            low = self.gaps.pop()[0]
        self.gaps.append((low, high))

    def _add(self, words: NDArray[np.uint32]) -> None:
        held = len(self.cells)
        room = np.empty((held + len(words), CELL_WORDS), np.uint32)
        room[:held] = self.cells
        held, newest_ms = fold(room, held, self.newest_ms, words, (0, len(words)), LIMITS)
        self.cells, self.newest_ms = room[:held], int(newest_ms)

    def pack(self) -> bytes:
        """The bytes as they stand in a log."""
        newest, folded = self.newest_ms, self.folded
        gaps = b"".join(
            [_GAP.pack(low & _LOW, low >> 32, high & _LOW, high >> 32) for low, high in self.gaps]
        )
        head = _HEAD.pack(newest & _LOW, newest >> 32, folded & _LOW, folded >> 32, len(self.gaps))
        return head + gaps + self.cells.astype("<u4", copy=False).tobytes()


def unpack_rollup(value: bytes | memoryview) -> Rollup:
    """The inverse of ``Rollup.pack``."""
    newest, newest_high, folded, folded_high, count = _HEAD.unpack_from(value)
    cells_at = ROLLUP_HEADER_BYTES + count * GAP_BYTES
    gaps = [
        (low | low_high << 32, high | high_high << 32)
        for low, low_high, high, high_high in _GAP.iter_unpack(value[ROLLUP_HEADER_BYTES:cells_at])
    ]
    cells = np.frombuffer(bytes(value[cells_at:]), dtype="<u4").reshape(-1, CELL_WORDS)
    return Rollup(newest | newest_high << 32, folded | folded_high << 32, gaps, cells)


def cells_in(rolled: bytes | memoryview) -> tuple[int, bytes | memoryview]:
    """The time of the newest record of a packed rollup, and its packed cells."""
    if not rolled:
        return 0, b""
    newest, newest_high, _, _, count = _HEAD.unpack_from(rolled)
    return newest | newest_high << 32, rolled[ROLLUP_HEADER_BYTES + count * GAP_BYTES :]


def _words(records: bytes | bytearray | memoryview) -> NDArray[np.uint32]:
    """Records as (n, 9) words. Read-only, so that numba compiles the fold only once."""
    if len(records) % RECORD_BYTES:
        raise ValueError(f"{len(records)} bytes are no whole records")
    return np.frombuffer(bytes(records), dtype="<u4").reshape(-1, RECORD_WORDS)
