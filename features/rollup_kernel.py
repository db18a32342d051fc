"""The compiled fold of records into cells: one for each tile and record kind that occurs.

A cell is seven little-endian 32-bit words, and cells stand in rising order of their key:

====  ==========================================================================
c0    key: first hour of the tile since 1970 (bits 5-31) and record kind (0-4)
c1    time of its newest record, in ms from the beginning of the tile
c2    records
c3    records whose amount is known
c4    sum of the known amounts in minor units of the base currency, low 32 bits
c5    the same, high 32 bits
c6    the largest of the known amounts
====  ==========================================================================

A tile is an hour wide, and a day wide where all of its day ended ``HOUR_TILES_MS`` before the
newest record or earlier. What began ``TILES_KEPT_MS`` before that is dropped. Both follow from
the newest record alone, so the cells are a function of the set of folded records: the order
and the batches in which they came change nothing.

Part of the kernel: see there what a change here needs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features.compiled import compiled
from features.operations import COUNT, KNOWN, MAXIMUM, SUM
from features.records import AMOUNT_UNKNOWN
from risk.domain.kinds import HOLE
from risk.domain.limits import HOUR_TILES_MS, TILES_KEPT_MS

Words = NDArray[np.uint32]
Ints = NDArray[np.int64]

CELL_WORDS: Final = 7
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
LIMITS: Final = np.array([HOUR_TILES_MS, TILES_KEPT_MS], np.int64)
_LOW: Final = 0xFFFFFFFF


@compiled
def begins_ms(newest_ms: int, back_ms: int) -> int:
    """The beginning of the day that lies ``back_ms`` before the newest record."""
    return (newest_ms - back_ms) // DAY_MS * DAY_MS


@compiled
def _key(time_ms: int, coarse_ms: int) -> int:
    """The key, without its kind, of the tile that a time lies in."""
    hour = time_ms // DAY_MS * 24 if time_ms < coarse_ms else time_ms // HOUR_MS
    return hour << 5


@compiled
def _add(cells: Words, held: int, key: int, newest_ms: int, of: tuple[int, int, int, int]) -> int:
    """Add records, known ones, sum and largest to the cell of ``key``; how many cells are held."""
    at = held
    while at > 0 and np.int64(cells[at - 1, 0]) > key:
        at -= 1
    newest = newest_ms - (key >> 5) * HOUR_MS
    if at == 0 or np.int64(cells[at - 1, 0]) != key:
        for later in range(held, at, -1):
            for word in range(CELL_WORDS):
                cells[later, word] = cells[later - 1, word]
        cells[at, 0], cells[at, 1] = key, newest
        cells[at, 2], cells[at, 3] = of[0], of[1]
        cells[at, 4], cells[at, 5], cells[at, 6] = of[2] & _LOW, of[2] >> 32, of[3]
        return held + 1
    at -= 1
    total = (np.int64(cells[at, 4]) | np.int64(cells[at, 5]) << 32) + of[2]
    cells[at, 1] = max(int(np.int64(cells[at, 1])), newest)
    cells[at, 2] = np.int64(cells[at, 2]) + of[0]
    cells[at, 3] = np.int64(cells[at, 3]) + of[1]
    cells[at, 4], cells[at, 5] = total & _LOW, total >> 32
    cells[at, 6] = max(int(np.int64(cells[at, 6])), of[3])
    return held


@compiled
def _move_on(cells: Words, held: int, coarse_ms: int, dropped_ms: int) -> int:
    """Make day tiles of what lies before ``coarse_ms``, and drop what is too old."""
    left = 0
    for at in range(held):
        key = int(np.int64(cells[at, 0]))
        hour, kind = key >> 5, key & 31
        if hour * HOUR_MS < dropped_ms:
            continue
        newest_ms = hour * HOUR_MS + int(np.int64(cells[at, 1]))
        total = int(np.int64(cells[at, 4]) | np.int64(cells[at, 5]) << 32)
        of = (
            int(np.int64(cells[at, 2])),
            int(np.int64(cells[at, 3])),
            total,
            int(np.int64(cells[at, 6])),
        )
        left = _add(cells, left, _key(hour * HOUR_MS, coarse_ms) | kind, newest_ms, of)
    return left


@compiled
def fold(
    cells: Words, held: int, newest_ms: int, words: Words, span: tuple[int, int], limits: Ints
) -> tuple[int, int]:
    """Fold the records of a span of ``words`` into the first ``held`` of ``cells``.

    ``cells`` has room for one more cell for each record. Holes are passed over. Returns how
    many cells are held and the time of the newest record.
    """
    before_ms = newest_ms
    for at in range(span[0], span[1]):
        w1 = np.int64(words[at, 1])
        if w1 >> 10 & 31 != HOLE:
            newest_ms = max(newest_ms, int(np.int64(words[at, 0]) | (w1 & 1023) << 32))
    coarse_ms = begins_ms(newest_ms, limits[0])
    dropped_ms = begins_ms(newest_ms, limits[1])
    if held > 0 and coarse_ms != begins_ms(before_ms, limits[0]):
        held = _move_on(cells, held, coarse_ms, dropped_ms)
    for at in range(span[0], span[1]):
        w1 = np.int64(words[at, 1])
        kind = int(w1 >> 10 & 31)
        time_ms = int(np.int64(words[at, 0]) | (w1 & 1023) << 32)
        if kind == HOLE or time_ms < dropped_ms:
            continue
        amount = int(np.int64(words[at, 4]))
        known = int(amount != AMOUNT_UNKNOWN)
        of = (1, known, amount * known, amount * known)
        held = _add(cells, held, _key(time_ms, coarse_ms) | kind, time_ms, of)
    return held, newest_ms


@njit(cache=True, nogil=True)
def fold_tails(words: Words, cells: Words, asked: Ints, limits: Ints, out: Words) -> Ints:
    """The cells that events see: those of a rollup, and of the records that follow it.

    Rows of ``asked``: where the cells of the rollup begin and end, the time of its newest
    record, where the records behind it begin and end in ``words``. A row that goes on from the
    one before it (same beginnings, no earlier end) takes over its cells. Fills ``out``; returns
    rows of where the cells begin and end there, and the time of the newest record.
    """
    told = np.empty((len(asked), 3), np.int64)
    free = 0
    for row in range(len(asked)):
        begin, end, newest_ms = asked[row, 0], asked[row, 1], asked[row, 2]
        since, until = asked[row, 3], asked[row, 4]
        before = row - 1
        if (
            before >= 0
            and asked[before, 0] == begin
            and asked[before, 3] == since
            and asked[before, 4] <= until
        ):
            held = told[before, 1] - told[before, 0]
            out[free : free + held] = out[told[before, 0] : told[before, 1]]
            newest_ms, since = told[before, 2], asked[before, 4]
        else:
            held = end - begin
            out[free : free + held] = cells[begin:end]
        held, newest_ms = fold(out[free:], held, newest_ms, words, (since, until), limits)
        told[row, 0], told[row, 1], told[row, 2] = free, free + held, newest_ms
        free += held
    return told


@compiled
def with_tiles(
    row: Ints, value: float, cells: Words, tiles: Ints, now_ms: int, limits: Ints
) -> tuple[float, bool]:
    """``value`` of a row over a tail with what the tiles before the tail add to it.

    The old edge of the window is rounded to the nearest edge of a tile. Also whether that is
    in doubt: where a tile holds both records that the event sees and newer ones, or is dropped,
    or too wide for the window.
    """
    mask, window_ms = row[3], row[2]
    coarse_ms, dropped_ms = begins_ms(tiles[2], limits[3]), begins_ms(tiles[2], limits[4])
    edge_ms = now_ms - window_ms
    doubt = edge_ms < dropped_ms or (edge_ms < coarse_ms and window_ms <= limits[3])
    total, largest = 0, -1
    for at in range(tiles[1] - 1, tiles[0] - 1, -1):
        key = int(np.int64(cells[at, 0]))
        begin_ms = (key >> 5) * HOUR_MS
        width_ms = DAY_MS if begin_ms < coarse_ms else HOUR_MS
        if begin_ms + width_ms // 2 <= edge_ms:
            break
        if mask >> (key & 31) & 1 == 0 or begin_ms > now_ms + limits[0]:
            continue
        if begin_ms + int(np.int64(cells[at, 1])) > now_ms + limits[0]:
            doubt = True
            continue
        if row[0] == COUNT:
            total += int(np.int64(cells[at, 2]))
        elif row[0] == KNOWN:
            total += int(np.int64(cells[at, 3]))
        elif row[0] == SUM:
            total += int(np.int64(cells[at, 4]) | np.int64(cells[at, 5]) << 32)
        elif cells[at, 3] > 0:
            largest = max(largest, int(np.int64(cells[at, 6])))
    if row[0] != MAXIMUM:
        return value + float(total), doubt
    if largest < 0 or value >= float(largest):
        return value, doubt
    return float(largest), doubt


def warm() -> None:
    """Compile the fold, or load it from numba's cache."""
    words = np.frombuffer(b"", dtype="<u4").reshape(-1, 9)
    cells = np.empty((1, CELL_WORDS), np.uint32)
    fold(cells, 0, 0, words, (0, 0), LIMITS)
    fold_tails(words, words_of_cells(b""), np.zeros((1, 5), np.int64), LIMITS, cells)


def words_of_cells(cells: bytes) -> Words:
    """Packed cells as (n, 7) words, read-only: numba compiles such arrays apart from others."""
    return np.frombuffer(cells, dtype="<u4").reshape(-1, CELL_WORDS)
