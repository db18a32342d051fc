"""The compiled kernel: tails and facts in, vectors out, the same bits on every machine.

Numba compiles without fastmath, so nothing is reordered or fused: integers, + - * / and sqrt
of IEEE 754 only. Everything compiled stands in this file, because numba's cache looks at
the file of the entry function alone; limits come as arguments for the same reason.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from features import operations as ops
from features.program import Program, catalogue_program
from features.records import AMOUNT_UNKNOWN, RECORD_WORDS
from risk.domain.kinds import HOLE
from risk.domain.limits import AMOUNT_SQUARED_CLAMP, HORIZON_MS, SKEW_MS_MAX

Ints = NDArray[np.int64]
Places = NDArray[np.uint32]  # unsigned: numba need not look for indices from the end


class Batch(NamedTuple):
    """n events. ``words`` (N, 9) uint32: the records of all tails. ``spans`` (n, slots, 3):
    where those of each event begin (-1: no such entity) and end, and whether the tail is
    truncated. ``facts`` (n, facts): the events, by ``features.operations.FACTS``.
    """

    words: NDArray[np.uint32]
    spans: Ints
    facts: Ints


class _Work(NamedTuple):
    """What one call uses again for each event."""

    held: Ints
    chosen: Places
    marks: Ints
    values: NDArray[np.float64]
    doubts: NDArray[np.uint8]
    limits: Ints


# Rows of decoded records, after the fields.
_TIME: Final = len(ops.FIELDS)
_AGE: Final = _TIME + 1
_BIT: Final = _TIME + 2
_HELD: Final = _TIME + 3
_HOUR_MS: Final = 3_600_000
_MINUTE_MS: Final = 60_000
_LIMITS: Final = np.array([SKEW_MS_MAX, HORIZON_MS, AMOUNT_SQUARED_CLAMP], np.int64)
# Own role of each slot: account, card, device, ip, merchant, beneficiary.
_OWN_ROLE: Final = (0, 1, 2, 3, 4, 4)

_NO_RECORD: Final = -(1 << 60)  # age of the first record of an empty tail
_NEVER: Final = -(1 << 61)  # looks back less far than any tail

# Distances on a sphere of this radius. Places in records are rounded down to 1/65534 of their
# range, at most 0.7 km; between such places the result is right to 1 mm, and to 1 m from
# 19,000 km on, where the haversine formula itself loses digits.
_EARTH_KM: Final = 6371.0088
_TURN_STEPS: Final = 65534
_HALF_PI: Final = math.pi / 2.0
_STEP_RADIANS: Final = math.pi / 65534.0
# Taylor series on [0, pi/2], error below 3e-16; and of arcsin on [0, 1/2], below 1e-17.
_SIN: Final = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(10))
_ARCSIN: Final = tuple(math.comb(2 * k, k) / (4**k * (2 * k + 1)) for k in range(26))


@njit(cache=True, nogil=True)
def _sin(x: float) -> float:
    square = x * x
    total = 0.0
    for k in range(len(_SIN) - 1, -1, -1):
        total = total * square + _SIN[k]
    return total * x


@njit(cache=True, nogil=True)
def _arcsin(x: float) -> float:
    reduced = math.sqrt((1.0 - x) * 0.5) if x > 0.5 else x
    square = reduced * reduced
    total = 0.0
    for k in range(len(_ARCSIN) - 1, -1, -1):
        total = total * square + _ARCSIN[k]
    total *= reduced
    return _HALF_PI - 2.0 * total if x > 0.5 else total


@njit(cache=True, nogil=True)
def distance_km(lat: int, lon: int, other_lat: int, other_lon: int) -> float:
    """Great circle (haversine) between two places in record units, 1 to 65535."""
    north = lat - 1
    other_north = other_lat - 1
    east = abs(lon - other_lon)
    east = min(east, _TURN_STEPS - east)
    # cos(latitude) is the sine of the angle from the nearer pole.
    circle = _sin(min(north, _TURN_STEPS - north) * _STEP_RADIANS)
    other_circle = _sin(min(other_north, _TURN_STEPS - other_north) * _STEP_RADIANS)
    half_north = _sin(abs(north - other_north) * _STEP_RADIANS * 0.5)
    half_east = _sin(east * _STEP_RADIANS)
    haversine = half_north * half_north + circle * other_circle * half_east * half_east
    return 2.0 * _EARTH_KM * _arcsin(math.sqrt(min(haversine, 1.0)))


@njit(cache=True, nogil=True)
def _decode(
    words: NDArray[np.uint32], span: Ints, slot: int, now: int, work: _Work
) -> tuple[int, int, int]:
    """Fill ``work.held`` (fields, then time, age, kind bit) with what the event may see.

    Returns how many records that are, their kinds as a mask, and the age of the first record
    that is no hole (far below zero where there is none).
    """
    held, limits = work.held, work.limits
    own = _OWN_ROLE[slot]
    seen, kinds = 0, 0
    first_age = _NO_RECORD
    for at in range(span[0], span[1]):
        w1 = np.int64(words[at, 1])
        kind = int(w1 >> 10 & 31)
        if kind == HOLE:
            continue
        time = int(np.int64(words[at, 0]) | (w1 & 1023) << 32)
        age = now - time
        if first_age == _NO_RECORD:
            first_age = age
        if age < -limits[0] or age >= limits[1]:
            continue
        w6 = np.int64(words[at, 6])
        w7 = np.int64(words[at, 7])
        w3 = np.int64(words[at, 3])
        base = np.int64(words[at, 4])
        place = np.int64(words[at, 5])
        others = (
            w6 & 0xFFFFF, w6 >> 20 | (w7 & 0xFF) << 12, w7 >> 8 & 0xFFFFF,
            np.int64(words[at, 8]) & 0xFFFFF,
        )  # fmt: skip
        for role in range(4):
            held[role if role < own else role + 1, seen] = others[role]
        held[own, seen] = 0
        held[5, seen] = w3 >> 8 & 0xFF
        held[6, seen] = w3 >> 16
        held[7, seen] = w1 >> 15 & 15
        held[8, seen] = w1 >> 24
        held[9, seen] = -1 if base == AMOUNT_UNKNOWN else base
        held[10, seen] = place & 0xFFFF
        held[11, seen] = place >> 16
        held[12, seen] = time
        held[13, seen] = max(age, 0)
        held[14, seen] = 1 << kind
        kinds |= 1 << kind
        seen += 1
    return seen, kinds, first_age


@njit(cache=True, nogil=True)
def _spread(amounts: Ints, chosen: Places, clamp: int) -> float:
    """Two passes about the whole part of the mean, so that 256 squares fit in 64 bits."""
    total = 0
    n = 0
    for at in chosen:
        if amounts[at] >= 0:
            total += min(amounts[at], clamp)
            n += 1
    if n < 2:
        return math.nan
    middle = total // n
    rest = total - n * middle
    squares = 0
    for at in chosen:
        if amounts[at] >= 0:
            off = min(amounts[at], clamp) - middle
            squares += off * off
    return math.sqrt((float(squares) - float(rest * rest) / float(n)) / float(n))


@njit(cache=True, nogil=True)
def _distinct(values: Ints, chosen: Places, marks: Ints, generation: int) -> float:
    """A hash set in ``marks`` (a power of two long); ``generation`` makes it empty."""
    last = len(marks) - 1
    n = 0
    for at in chosen:
        value = values[at]
        if value == 0:
            continue
        mark = generation << 32 | value
        place = (value * 2654435761 >> 8) & last
        while marks[place] != mark and marks[place] >> 32 == generation:
            place = (place + 1) & last
        if marks[place] != mark:
            marks[place] = mark
            n += 1
    return float(n)


@njit(cache=True, nogil=True)
def _counted(op: int, values: Ints, chosen: Places, missing: int, compared: int) -> float:
    """Sums, counts and the largest of the values that are not missing."""
    total = -1 if op == ops.MAXIMUM else 0
    for at in chosen:
        value = values[at]
        if value == missing:
            continue
        if op == ops.SUM:
            total += value
        elif op == ops.MAXIMUM:
            total = max(total, value)
        elif op == ops.KNOWN:
            total += 1
        elif op == ops.SAME:
            total += value == compared
        else:
            total += value <= compared
    return math.nan if total < 0 else float(total)


@njit(cache=True, nogil=True)
def _newest(values: Ints, times: Ints, chosen: Places) -> int:
    """The latest record with a value, by time and then by sequence; -1 where there is none."""
    found = -1
    for at in chosen:
        if values[at] != 0 and (found < 0 or times[at] >= times[found]):
            found = at
    return found


@njit(cache=True, nogil=True)
def _extreme_age(op: int, values: Ints, ages: Ints, chosen: Places, own: int) -> float:
    """OLDEST_AGE and OLDEST_SAME_AGE."""
    oldest = -1
    for at in chosen:
        if op == ops.OLDEST_AGE or values[at] == own:
            oldest = max(oldest, ages[at])
    return math.nan if oldest < 0 else float(oldest)


@njit(cache=True, nogil=True)
def _near_hour(times: Ints, chosen: Places, hour: int) -> float:
    total = 0
    for at in chosen:
        apart = abs(times[at] // _HOUR_MS % 24 - hour)
        total += min(apart, 24 - apart) <= 1
    return float(total)


@njit(cache=True, nogil=True)
def _of_newest(row: Ints, held: Ints, chosen: Places, facts: Ints) -> tuple[float, int]:
    """Operations that look at one record; also how far back it lies, else the window."""
    op, window, field = row[0], row[2], row[4]
    values = held[_BIT] if op == ops.NEWEST_AGE else held[field]
    at = _newest(values, held[_TIME], chosen)
    if at < 0:
        return math.nan, window
    depth = facts[ops.FACT_TIME] - held[_TIME, at]
    if op == ops.LAST_DIFFERS:
        return (1.0 if held[field, at] != facts[field] else 0.0), depth
    if op == ops.DISTANCE:
        return distance_km(
            facts[ops.FIELD_LAT],
            facts[ops.FIELD_LON],
            held[ops.FIELD_LAT, at],
            held[ops.FIELD_LON, at],
        ), depth
    return float(held[_AGE, at]), depth


@njit(cache=True, nogil=True)
def _choose(held: Ints, seen: int, mask: int, chosen: Places) -> int:
    """Fill ``chosen`` with the records of some kinds, in sequence order."""
    n = 0
    for at in range(seen):
        chosen[n] = at
        n += held[_BIT, at] & mask != 0
    return n


@njit(cache=True, nogil=True)
def _narrow(ages: Ints, chosen: Places, wider: int, window: int) -> int:
    """Keep those of the ``wider`` chosen records that lie in the window."""
    n = 0
    for place in range(wider):
        at = chosen[place]
        chosen[n] = at
        n += ages[at] < window
    return n


@njit(cache=True, nogil=True)
def _over_tail(row: Ints, facts: Ints, work: _Work, n: int, generation: int) -> tuple[float, int]:
    """The value of one row of the program, and how far back in ms it had to look."""
    held, chosen = work.held, work.chosen[:n]
    op, window, field = row[0], row[2], row[4]
    if op == ops.COUNT:
        return float(n), window
    missing = -1 if field == ops.FIELD_AMOUNT else 0
    if (
        op in (ops.SAME, ops.AT_MOST_OWN, ops.OLDEST_SAME_AGE, ops.LAST_DIFFERS, ops.DISTANCE)
        and facts[field] == missing
    ):
        return math.nan, _NEVER
    if op in (ops.NEWEST_AGE, ops.LAST_DIFFERS, ops.DISTANCE, ops.PLACE_AGE):
        return _of_newest(row, held, chosen, facts)
    if op == ops.SPREAD:
        return _spread(held[field], chosen, work.limits[2]), window
    if op == ops.DISTINCT:
        return _distinct(held[field], chosen, work.marks, generation), window
    if op == ops.NEAR_HOUR:
        return _near_hour(held[_TIME], chosen, facts[ops.FACT_HOUR]), window
    if op in (ops.OLDEST_AGE, ops.OLDEST_SAME_AGE):
        return _extreme_age(op, held[field], held[_AGE], chosen, facts[field]), window
    compared = row[7] if op == ops.AT_MOST else facts[field]
    return _counted(op, held[field], chosen, missing, compared), window


@njit(cache=True, nogil=True)
def _combine(op: int, left: float, right: float) -> float:
    """Operations over earlier results; a missing input gives a missing result."""
    if op == ops.DIVIDE:
        return left / right if right != 0.0 else math.nan
    if op == ops.SUBTRACT:
        return left - right
    if op == ops.IS_ZERO:
        return math.nan if math.isnan(left) else (1.0 if left == 0.0 else 0.0)
    if op == ops.SECONDS:
        return left / 1000.0
    return left * _HOUR_MS / (right if right > _MINUTE_MS or math.isnan(right) else _MINUTE_MS)


@njit(cache=True, nogil=True)
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
                n = _narrow(work.held[_AGE], work.chosen, n, window)
            generation += 1
            value, depth = _over_tail(row, facts, work, n, generation)
            values[at] = value
            doubts[at] = span[2] != 0 and depth > first_age
    return generation


@njit(cache=True, nogil=True)
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
            values[at] = _combine(row[0], values[left], values[right])
            doubts[at] = doubts[left] | doubts[right]


@njit(cache=True, nogil=True)
def evaluate(
    batch: Batch,
    program: Program,
    limits: Ints,
    out: NDArray[np.float64],
    inexact: NDArray[np.uint8],
) -> None:
    """Fill ``out`` and ``inexact`` (n, F). ``limits``: skew, horizon, clamp of squares."""
    longest = 1
    for item in range(len(batch.spans)):
        for slot in range(batch.spans.shape[1]):
            longest = max(longest, batch.spans[item, slot, 1] - batch.spans[item, slot, 0])
    places = 16
    while places < 2 * longest:
        places *= 2
    rows = len(program.table)
    work = _Work(
        np.empty((_HELD, longest), np.int64),
        np.empty(longest + 1, np.uint32),
        np.zeros(places, np.int64),
        np.empty(rows, np.float64),
        np.empty(rows, np.uint8),
        limits,
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
