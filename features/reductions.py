"""What compiled code makes of the chosen records of one tail.

Part of the kernel: see there what a change here needs. ``chosen`` are places in the rows of
decoded records, in sequence order.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features import operations as ops
from features.compiled import compiled

Ints = NDArray[np.int64]
Places = NDArray[np.uint32]  # unsigned: numba need not look for indices from the end

# Rows of decoded records, after the fields.
TIME: Final = len(ops.FIELDS)
AGE: Final = TIME + 1
BIT: Final = TIME + 2
MINOR: Final = TIME + 3
HELD: Final = TIME + 4
_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS
_THURSDAY: Final = 3  # 1970-01-01
NEVER: Final = -(1 << 61)  # looks back less far than any tail


@compiled
def spread(amounts: Ints, chosen: Places, clamp: int) -> float:
    """Population standard deviation; missing for fewer than two amounts.

    Two passes about the whole part of the mean, so that 256 squares fit in 64 bits.
    """
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


@compiled
def distinct(values: Ints, chosen: Places, marks: Ints, generation: int, left_out: int) -> float:
    """How many different values, without 0 and ``left_out``.

    A hash set in ``marks`` (a power of two long); ``generation`` makes it empty.
    """
    last = len(marks) - 1
    n = 0
    for at in chosen:
        value = values[at]
        if value in (0, left_out):
            continue
        mark = generation << 32 | value
        place = (value * 2654435761 >> 8) & last
        while marks[place] != mark and marks[place] >> 32 == generation:
            place = (place + 1) & last
        if marks[place] != mark:
            marks[place] = mark
            n += 1
    return float(n)


@compiled
def counted(op: int, values: Ints, chosen: Places, missing: int, compared: int) -> float:
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


@compiled
def newest(values: Ints, times: Ints, chosen: Places) -> int:
    """The latest record with a value, by time and then by sequence; -1 where there is none."""
    found = -1
    for at in chosen:
        if values[at] != 0 and (found < 0 or times[at] >= times[found]):
            found = at
    return found


@compiled
def extreme_age(op: int, values: Ints, ages: Ints, chosen: Places, own: int) -> float:
    """OLDEST_AGE and OLDEST_SAME_AGE."""
    oldest = -1
    for at in chosen:
        if op == ops.OLDEST_AGE or values[at] == own:
            oldest = max(oldest, ages[at])
    return math.nan if oldest < 0 else float(oldest)


@compiled
def near_hour(times: Ints, chosen: Places, hour: int) -> float:
    """How many lie at most one hour of the day (UTC) from ``hour``."""
    total = 0
    for at in chosen:
        apart = abs(times[at] // _HOUR_MS % 24 - hour)
        total += min(apart, 24 - apart) <= 1
    return float(total)


@compiled
def same_weekday(times: Ints, chosen: Places, weekday: int) -> float:
    """How many fall on ``weekday`` (UTC, 0 Monday)."""
    total = 0
    for at in chosen:
        total += (times[at] // _DAY_MS + _THURSDAY) % 7 == weekday
    return float(total)


@compiled
def multiples(amounts: Ints, chosen: Places, number: int) -> float:
    """How many amounts above 0 are a multiple of ``number``; the quotient is only guessed."""
    inverse = 1.0 / float(number)
    total = 0
    for at in chosen:
        amount = amounts[at]
        total += amount > 0 and int(float(amount) * inverse + 0.5) * number == amount
    return float(total)


@compiled
def just_under(amounts: Ints, chosen: Places, threshold: int) -> float:
    """How many amounts are below ``threshold``, by a tenth of it at most."""
    lowest = threshold - threshold // 10
    total = 0
    for at in chosen:
        total += lowest <= amounts[at] < threshold
    return float(total)


@compiled
def recent_median(amounts: Ints, chosen: Places, recent: Ints, size: int) -> tuple[float, bool]:
    """Median of the ``size`` known amounts that came last; also whether there were so many."""
    n = 0
    for place in range(len(chosen) - 1, -1, -1):
        amount = amounts[chosen[place]]
        if amount < 0:
            continue
        at = n
        while at > 0 and recent[at - 1] > amount:
            recent[at] = recent[at - 1]
            at -= 1
        recent[at] = amount
        n += 1
        if n == size:
            break
    if n == 0:
        return math.nan, False
    return float(recent[(n - 1) // 2] + recent[n // 2]) / 2.0, n == size


@compiled
def _place_of(marks: Ints, mark: int) -> int:
    """Where ``mark`` (generation and value) stands in the hash set, or would stand."""
    last = len(marks) - 1
    place = ((mark & 0xFFFFFFFF) * 2654435761 >> 8) & last
    while marks[place] != mark and marks[place] >> 32 == mark >> 32:
        place = (place + 1) & last
    return place


@compiled
def labelled_run(
    row: Ints, held: Ints, chosen: Places, marks: Ints, generation: int
) -> tuple[float, int]:
    """RUN_LENGTH and RUN_AGE; ends are by sequence, so a run that ended needs no older record."""
    op, window, field, labels = row[0], int(row[2]), row[4], row[7]
    some, length, first = False, 0, np.int64(0)
    for place in range(len(chosen) - 1, -1, -1):
        at = np.int64(chosen[place])
        mark = np.int64(generation) << 32 | held[field, at]
        if held[BIT, at] & labels != 0:
            marks[_place_of(marks, mark)] = mark
            some = True
        elif some and held[field, at] != 0 and marks[_place_of(marks, mark)] == mark:
            length += 1
            first = at
        elif length > 0:
            window = NEVER
            break
    if op == ops.RUN_LENGTH:
        return float(length), window
    return (float(held[AGE, first]) if length > 0 else math.nan), window


@compiled
def clean_after_run(
    row: Ints, held: Ints, chosen: Places, marks: Ints, generation: int
) -> tuple[float, int]:
    """RUN_CLEAN; what is newer than the run's newest record decides, so the rest need not be held.

    The delay of a label is that of the newest label on the account of the run's newest record.
    """
    field, labels = row[4], row[7]
    some, found = False, np.int64(-1)
    for place in range(len(chosen) - 1, -1, -1):
        at = np.int64(chosen[place])
        mark = np.int64(generation) << 32 | held[field, at]
        if held[BIT, at] & labels != 0:
            marks[_place_of(marks, mark)] = mark
            some = True
        elif some and held[field, at] != 0 and marks[_place_of(marks, mark)] == mark:
            found = np.int64(place)
            break
    if found < 0:
        return math.nan, int(row[2])
    newest_of_run = np.int64(chosen[found])
    delay = np.int64(0)
    for at in chosen[found:]:
        if held[BIT, at] & labels != 0 and held[field, at] == held[field, newest_of_run]:
            delay = held[TIME, at] - held[TIME, newest_of_run]
    clean = 0
    for at in chosen[found + 1 :]:
        known = held[field, at] != 0 and held[BIT, at] & labels == 0
        clean += known and held[AGE, at] >= delay
    return float(clean), NEVER


@compiled
def gone(row: Ints, held: Ints, chosen: Places, now: int) -> tuple[float, int]:
    """What the others took in the hour after the newest of some kinds, over its amount."""
    times, amounts, bits = held[TIME], held[ops.FIELD_AMOUNT], held[BIT]
    found = np.int64(-1)
    for at in chosen:
        if bits[at] & row[7] != 0 and (found < 0 or times[at] >= times[found]):
            found = np.int64(at)
    if found < 0:
        return math.nan, row[2]
    since = times[found]
    total = 0
    for at in chosen:
        if bits[at] & row[7] == 0 and since <= times[at] < since + _HOUR_MS and amounts[at] >= 0:
            total += amounts[at]
    whole = amounts[found]
    return (float(total) / float(whole) if whole > 0 else math.nan), now - since
