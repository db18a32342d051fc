"""The compiled kernel: tails and facts in, vectors out, the same bits on every machine.

Numba compiles without fastmath, so nothing is reordered or fused: integers, + - * / and sqrt
of IEEE 754 only. Numba's cache looks at the file of the entry function alone, this one: so
``PARTS`` names the text of the others that are compiled into it, and changes with them, and
limits come as arguments.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features import operations as ops
from features import rollup_kernel
from features.compiled import compiled
from features.geodesy import distance_km
from features.program import Program, catalogue_program
from features.records import AMOUNT_UNKNOWN, RECORD_WORDS
from features.reductions import (
    AGE,
    BIT,
    HELD,
    MINOR,
    NEVER,
    TIME,
    clean_after_run,
    counted,
    distinct,
    extreme_age,
    gone,
    just_under,
    labelled_run,
    multiples,
    near_hour,
    newest,
    recent_median,
    same_weekday,
    spread,
)
from features.rollup_kernel import CELL_WORDS, with_tiles
from risk.domain.kinds import HOLE
from risk.domain.limits import (
    AMOUNT_SQUARED_CLAMP,
    HORIZON_MS,
    HOUR_TILES_MS,
    SKEW_MS_MAX,
    TILE_WINDOW_MS_MIN,
    TILES_KEPT_MS,
)

# SHA-256 (its start) of operations.py, geodesy.py, reductions.py and rollup_kernel.py; a test
# says what it is.
PARTS: Final = "fa761e7c784ba6bf"

Ints = NDArray[np.int64]
Places = NDArray[np.uint32]  # unsigned: numba need not look for indices from the end


_NO_CELLS: Final = np.empty((0, CELL_WORDS), np.uint32)
_NO_TILES: Final = np.empty((0, 0, 0), np.int64)


class Batch(NamedTuple):
    """n events. ``words`` (N, 9) uint32: the records of all tails. ``spans`` (n, slots, 3):
    where those of each event begin (-1: no such entity) and end, and whether the tail is
    truncated. ``facts`` (n, facts): the events, by ``features.operations.FACTS``. ``cells``
    (M, 7): what is known of the records before truncated tails (``features.folded``);
    ``tiles`` (n, slots, 3): where those of each tail begin (-1: not known) and end, and the
    time of the newest record that they hold.
    """

    words: NDArray[np.uint32]
    spans: Ints
    facts: Ints
    cells: NDArray[np.uint32] = _NO_CELLS
    tiles: Ints = _NO_TILES


class _Work(NamedTuple):
    """What one call uses again for each event."""

    held: Ints
    chosen: Places
    marks: Ints
    values: NDArray[np.float64]
    doubts: NDArray[np.uint8]
    limits: Ints
    recent: Ints


_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_LIMITS: Final = np.array(
    [
        SKEW_MS_MAX, HORIZON_MS, AMOUNT_SQUARED_CLAMP, HOUR_TILES_MS, TILES_KEPT_MS,
        TILE_WINDOW_MS_MIN,
    ],
    np.int64,
)  # fmt: skip
# Own role of each slot: account, card, device, ip, merchant, beneficiary.
_OWN_ROLE: Final = (0, 1, 2, 3, 4, 4)

_COMPARING: Final = (
    ops.SAME, ops.AT_MOST_OWN, ops.OLDEST_SAME_AGE, ops.LAST_DIFFERS, ops.DISTANCE,
    ops.DISTINCT_OTHER,
)  # fmt: skip

_NO_RECORD: Final = -(1 << 60)  # age of the first record of an empty tail


@compiled
def _decode(
    words: NDArray[np.uint32], span: Ints, slot: int, now: int, work: _Work
) -> tuple[int, int, int]:
    """Fill ``work.held`` (fields, then time, age, kind bit, own amount) with what is seen.

    Returns how many records that are, their kinds as a mask, and the age of the first record
    that is no hole (far below zero where there is none).
    """
    held, skew, horizon = work.held, work.limits[0], work.limits[1]
    own = _OWN_ROLE[slot]
    firsts, seconds = held[0 if own > 0 else 1], held[1 if own > 1 else 2]
    thirds, fourths = held[2 if own > 2 else 3], held[3 if own > 3 else 4]
    owns, countries, mccs, channels, currencies = held[own], held[5], held[6], held[7], held[8]
    amounts, lats, lons, times = held[9], held[10], held[11], held[TIME]
    ages, bits, minors = held[AGE], held[BIT], held[MINOR]
    seen, kinds = np.uint64(0), 0
    first_age = _NO_RECORD
    for at in range(np.uint64(span[0]), np.uint64(span[1])):
        w1 = np.int64(words[at, 1])
        kind = int(w1 >> 10 & 31)
        if kind == HOLE:
            continue
        time = int(np.int64(words[at, 0]) | (w1 & 1023) << 32)
        age = now - time
        if first_age == _NO_RECORD:
            first_age = age
        if age < -skew or age >= horizon:
            continue
        w3, w6, w7 = np.int64(words[at, 3]), np.int64(words[at, 6]), np.int64(words[at, 7])
        base, place = np.int64(words[at, 4]), np.int64(words[at, 5])
        firsts[seen] = w6 & 0xFFFFF
        seconds[seen] = w6 >> 20 | (w7 & 0xFF) << 12
        thirds[seen] = w7 >> 8 & 0xFFFFF
        fourths[seen] = np.int64(words[at, 8]) & 0xFFFFF
        owns[seen] = 0
        countries[seen] = w3 >> 8 & 0xFF
        mccs[seen] = w3 >> 16
        channels[seen] = w1 >> 15 & 15
        currencies[seen] = w1 >> 24
        amounts[seen] = -1 if base == AMOUNT_UNKNOWN else base
        lats[seen] = place & 0xFFFF
        lons[seen] = place >> 16
        times[seen] = time
        ages[seen] = max(age, 0)
        bits[seen] = 1 << kind
        minors[seen] = np.int64(words[at, 2]) | (w3 & 0xFF) << 32
        kinds |= 1 << kind
        seen += np.uint64(1)
    return int(seen), kinds, first_age


@compiled
def _of_newest(row: Ints, held: Ints, chosen: Places, facts: Ints) -> tuple[float, int]:
    """Operations that look at one record; also how far back it lies, else the window."""
    op, window, field = row[0], row[2], row[4]
    values = held[BIT] if op == ops.NEWEST_AGE else held[field]
    at = newest(values, held[TIME], chosen)
    if at < 0:
        return math.nan, window
    depth = facts[ops.FACT_TIME] - held[TIME, at]
    if op == ops.LAST_DIFFERS:
        return (1.0 if held[field, at] != facts[field] else 0.0), depth
    if op == ops.DISTANCE:
        return distance_km(
            facts[ops.FIELD_LAT],
            facts[ops.FIELD_LON],
            held[ops.FIELD_LAT, at],
            held[ops.FIELD_LON, at],
        ), depth
    return float(held[AGE, at]), depth


@compiled
def _choose(held: Ints, seen: int, mask: int, chosen: Places) -> int:
    """Fill ``chosen`` with the records of some kinds, in sequence order."""
    n = 0
    for at in range(seen):
        chosen[n] = at
        n += held[BIT, at] & mask != 0
    return n


@compiled
def _narrow(ages: Ints, chosen: Places, wider: int, window: int) -> int:
    """Keep those of the ``wider`` chosen records that lie in the window."""
    n = 0
    for place in range(wider):
        at = chosen[place]
        chosen[n] = at
        n += ages[at] < window
    return n


@compiled
def _over_tail_more(
    row: Ints, facts: Ints, work: _Work, chosen: Places, generation: int
) -> tuple[float, int]:
    """``_over_tail`` for the operations that few rows ask for."""
    held = work.held
    op, window, number = row[0], row[2], row[7]
    if op == ops.SAME_WEEKDAY:
        return same_weekday(held[TIME], chosen, facts[ops.FACT_WEEKDAY]), window
    if op == ops.MULTIPLES:
        return multiples(held[MINOR], chosen, number), window
    if op == ops.JUST_UNDER:
        return just_under(held[ops.FIELD_AMOUNT], chosen, number), window
    if op == ops.GONE:
        return gone(row, held, chosen, facts[ops.FACT_TIME])
    if op == ops.RECENT_MEDIAN:
        value, enough = recent_median(held[ops.FIELD_AMOUNT], chosen, work.recent, number)
        return value, (NEVER if enough else int(window))
    if op == ops.RUN_CLEAN:
        return clean_after_run(row, held, chosen, work.marks, generation)
    return labelled_run(row, held, chosen, work.marks, generation)


@compiled
def _over_tail(row: Ints, facts: Ints, work: _Work, n: int, generation: int) -> tuple[float, int]:
    """The value of one row of the program, and how far back in ms it had to look."""
    held, chosen = work.held, work.chosen[:n]
    op, window, field = row[0], row[2], row[4]
    if op == ops.COUNT:
        return float(n), window
    missing = -1 if field == ops.FIELD_AMOUNT else 0
    if op in _COMPARING and facts[field] == missing:
        return math.nan, NEVER
    if op in (ops.NEWEST_AGE, ops.LAST_DIFFERS, ops.DISTANCE, ops.PLACE_AGE):
        return _of_newest(row, held, chosen, facts)
    if op == ops.SPREAD:
        return spread(held[field], chosen, work.limits[2]), window
    if op in (ops.DISTINCT, ops.DISTINCT_OTHER):
        left_out = int(facts[field]) if op == ops.DISTINCT_OTHER else 0
        return distinct(held[field], chosen, work.marks, generation, left_out), window
    if op == ops.NEAR_HOUR:
        return near_hour(held[TIME], chosen, facts[ops.FACT_HOUR]), window
    if op in (ops.OLDEST_AGE, ops.OLDEST_SAME_AGE):
        return extreme_age(op, held[field], held[AGE], chosen, facts[field]), window
    if op >= ops.SAME_WEEKDAY:
        return _over_tail_more(row, facts, work, chosen, generation)
    compared = row[7] if op == ops.AT_MOST else facts[field]
    return counted(op, held[field], chosen, missing, compared), window


@compiled
def _combine(op: int, left: float, right: float, number: int) -> float:
    """Operations over earlier results; a missing input gives a missing result."""
    if op == ops.DIVIDE:
        return left / right if right != 0.0 else math.nan
    if op == ops.SUBTRACT:
        return left - right
    if op == ops.IS_ZERO:
        return math.nan if math.isnan(left) else (1.0 if left == 0.0 else 0.0)
    if op == ops.SECONDS:
        return left / 1000.0
    if op == ops.SCALE:
        return left * float(number)
    return left * _HOUR_MS / (right if right > _MINUTE_MS or math.isnan(right) else _MINUTE_MS)


@compiled
def _tiled(row: Ints, limits: Ints) -> bool:
    """Whether tiles can tell what lies before the tail; see ``Step.tiled``."""
    if row[2] < limits[5]:
        return False
    if row[0] == ops.COUNT:
        return True
    return row[4] == ops.FIELD_AMOUNT and row[0] in (ops.SUM, ops.KNOWN, ops.MAXIMUM)


@compiled
def _run_tails(batch: Batch, item: int, program: Program, work: _Work, generation: int) -> int:
    """Fill values and doubts of the rows over tails; returns the next free generation."""
    values, doubts = work.values, work.doubts
    facts = batch.facts[item]
    for slot in range(len(program.ends) - 1):
        begin, end = program.ends[slot], program.ends[slot + 1]
        span = batch.spans[item, slot]
        if span[0] < 0 or begin == end:
            values[begin:end] = math.nan
            doubts[begin:end] = 0
            continue
        seen, kinds, first_age = _decode(batch.words, span, slot, facts[ops.FACT_TIME], work)
        window, mask, n = np.int64(-1), np.int64(-1), 0
        for at in range(begin, end):
            row = program.table[at]
            if row[3] != mask:
                window, mask = np.int64(-1), row[3]
                n = _choose(work.held, seen, mask, work.chosen) if kinds & mask != 0 else 0
            if row[2] != window:
                window = row[2]
                n = _narrow(work.held[AGE], work.chosen, n, window)
            generation += 1
            value, depth = _over_tail(row, facts, work, n, generation)
            doubt = span[2] != 0 and depth > first_age
            if doubt and batch.tiles[item, slot, 0] >= 0 and _tiled(row, work.limits):
                value, doubt = with_tiles(
                    row, value, batch.cells, batch.tiles[item, slot], facts[ops.FACT_TIME],
                    work.limits,
                )  # fmt: skip
            values[at] = value
            doubts[at] = doubt
    return generation


@compiled
def _run_rest(facts: Ints, program: Program, work: _Work) -> None:
    """Fill values and doubts of the rows over the event and over earlier rows."""
    values, doubts = work.values, work.doubts
    for at in range(program.ends[-1], len(program.table)):
        row = program.table[at]
        if row[0] == ops.FACT:
            fact = facts[row[4]]
            values[at] = math.nan if fact == row[7] else float(fact)
            doubts[at] = 0
        else:
            left = row[5]
            right = row[6] if row[6] >= 0 else left
            values[at] = _combine(row[0], values[left], values[right], row[7])
            doubts[at] = doubts[left] | doubts[right]


@njit(cache=True, nogil=True)
def evaluate(
    batch: Batch,
    program: Program,
    limits: Ints,
    out: NDArray[np.float64],
    inexact: NDArray[np.uint8],
) -> None:
    """Fill ``out`` and ``inexact`` (n, F). ``limits``: skew, horizon, clamp of squares, for how
    long tiles are an hour wide and are kept at all, shortest window that is told by tiles.
    """
    longest = 1
    for item in range(len(batch.spans)):
        for slot in range(batch.spans.shape[1]):
            longest = max(longest, batch.spans[item, slot, 1] - batch.spans[item, slot, 0])
    places = 16
    while places < 2 * longest:
        places *= 2
    rows = len(program.table)
    work = _Work(
        np.empty((HELD, longest), np.int64),
        np.empty(longest + 1, np.uint32),
        np.zeros(places, np.int64),
        np.empty(rows, np.float64),
        np.empty(rows, np.uint8),
        limits,
        np.empty(ops.RECENT_MAX, np.int64),
    )
    generation = 0
    for item in range(len(batch.spans)):
        generation = _run_tails(batch, item, program, work, generation)
        _run_rest(batch.facts[item], program, work)
        for feature in range(len(program.outputs)):
            at = program.outputs[feature]
            value = work.values[at]
            out[item, feature] = program.defaults[feature] if math.isnan(value) else value
            inexact[item, feature] = work.doubts[at]


def words_of(records: bytes) -> NDArray[np.uint32]:
    """Concatenated records as the (N, 9) words that ``Batch`` wants, without a copy.

    Numba compiles read-only arrays apart from others, so all callers come through here.
    """
    return np.frombuffer(records, dtype="<u4").reshape(-1, RECORD_WORDS)


def run(program: Program, batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Vectors and inexact flags, both (n, F), of the n events of ``batch``."""
    if not batch.tiles.size:
        batch = batch._replace(tiles=np.full(batch.spans.shape, -1, np.int64))
    out = np.empty((len(batch.spans), len(program.outputs)), np.float64)
    inexact = np.empty(out.shape, np.uint8)
    evaluate(batch, program, _LIMITS, out, inexact)
    return out, inexact


def warm() -> None:
    """Compile the kernel, or load it from numba's cache (``NUMBA_CACHE_DIR`` when set)."""
    program = catalogue_program()
    words = words_of(b"")
    spans = np.full((1, len(program.ends) - 1, 3), -1, np.int64)
    run(program, Batch(words, spans, np.zeros((1, len(ops.FACTS)), np.int64)))
    rollup_kernel.warm()
