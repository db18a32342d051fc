"""Compiled pieces that read canonical JSON: each takes a place in the bytes and gives the next.

A piece takes only what Weir's encoder writes, and gives NOT for everything else, also for what
would be good JSON: such a record is read by ``features.proof.told``. Every piece given NOT gives
NOT, so that they can follow each other without a look between. The bytes must end in zeros,
which no piece takes.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int64]

NOT: Final = -1
PADDING: Final = bytes(256)  # longer than any literal
_QUOTE: Final = 34
_BACKSLASH: Final = 92
_ZERO: Final = 48
_NINE: Final = 57
_MINUS: Final = 45
_DIGITS_MAX: Final = 15
_MANTISSA_DIGITS: Final = 18
_MANTISSA_MAX: Final = 1 << 53
_DAY_S: Final = 86_400
_MONTH_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_POWERS: Final = np.array([10.0**power for power in range(23)], np.float64)


def literals(texts: list[bytes]) -> tuple[Bytes, Ints]:
    """All ``texts`` in one array, and where each begins; one more says where the last ends."""
    ends = np.cumsum([0] + [len(text) for text in texts])
    return np.frombuffer(b"".join(texts), np.uint8).copy(), ends.astype(np.int64)


@compiled
def literal(buf: Bytes, at: int, texts: Bytes, starts: Ints, number: int) -> int:
    """The place behind one of the literals."""
    if at < 0:
        return NOT
    begin = starts[number]
    for place in range(starts[number + 1] - begin):
        if buf[np.uint64(at + place)] != texts[np.uint64(begin + place)]:
            return NOT
    return at + int(starts[number + 1] - begin)


@compiled
def one_of(
    buf: Bytes, at: int, texts: Bytes, starts: Ints, first: int, end: int
) -> tuple[int, int]:
    """The place behind that of the literals ``first`` up to ``end`` which stands here."""
    for number in range(first, end):
        behind = literal(buf, at, texts, starts, number)
        if behind >= 0:
            return behind, number
    return NOT, NOT


@compiled
def plain_text(buf: Bytes, at: int) -> int:
    """The place of the quote that ends a text of printable ASCII without escapes."""
    if at < 0:
        return NOT
    while True:
        of = buf[np.uint64(at)]
        if of == _QUOTE:
            return at
        if of < 32 or of > 126 or of == _BACKSLASH:
            return NOT
        at += 1


@compiled
def byte(buf: Bytes, at: int, of: int) -> int:
    """The place behind one byte."""
    return at + 1 if at >= 0 and buf[np.uint64(at)] == of else NOT


@compiled
def whole(buf: Bytes, at: int) -> tuple[int, int]:
    """The place behind a number of at most 15 digits that is not negative, and its value."""
    if at < 0:
        return NOT, 0
    value, begin = 0, at
    while _ZERO <= buf[np.uint64(at)] <= _NINE:
        value = value * 10 + int(buf[np.uint64(at)]) - _ZERO
        at += 1
        if at - begin > _DIGITS_MAX:
            return NOT, 0
    if at == begin or (buf[np.uint64(begin)] == _ZERO and at > begin + 1):
        return NOT, 0
    return at, value


@compiled
def number(buf: Bytes, at: int) -> int:
    """The place behind any JSON number whose size a float can hold."""
    if at < 0:
        return NOT
    if buf[np.uint64(at)] == _MINUS:
        at += 1
    begin = at
    while _ZERO <= buf[np.uint64(at)] <= _NINE:
        at += 1
    if at == begin or at > begin + 30 or (buf[np.uint64(begin)] == _ZERO and at > begin + 1):
        return NOT
    if buf[np.uint64(at)] == 46:
        at += 1
        begin = at
        while _ZERO <= buf[np.uint64(at)] <= _NINE:
            at += 1
        if at == begin or at > begin + 30:
            return NOT
    if buf[np.uint64(at)] == 101:
        at += 1
        if buf[np.uint64(at)] == _MINUS or buf[np.uint64(at)] == 43:
            at += 1
        begin = at
        while _ZERO <= buf[np.uint64(at)] <= _NINE:
            at += 1
        if at == begin or at > begin + 2:
            return NOT
    return at


@compiled
def decimal(buf: Bytes, at: int) -> tuple[int, float, bool]:
    """The place behind a number without exponent, its value, and whether that is rounded right.

    It is where both the digits as a whole number and the power of ten below it are exact
    floats, as one division then rounds once (Clinger 1990). Else the value is off by a few
    units in its last place. More than 18 digits are not taken.
    """
    if at < 0:
        return NOT, 0.0, False
    negative = buf[np.uint64(at)] == _MINUS
    at += int(negative)
    mantissa, begin, digits, point = 0, at, 0, NOT
    while True:
        of = buf[np.uint64(at)]
        if of == 46 and point < 0 and at > begin:
            point = at + 1
        elif _ZERO <= of <= _NINE:
            mantissa = mantissa * 10 + int(of) - _ZERO
            digits += 1
            if digits > _MANTISSA_DIGITS:
                return NOT, 0.0, False
        else:
            break
        at += 1
    leading = buf[np.uint64(begin)] == _ZERO and digits > 1 and point != begin + 2
    if digits == 0 or leading or point == at:
        return NOT, 0.0, False
    value = float(mantissa)
    if point >= 0:
        value /= _POWERS[at - point]
    return at, (-value if negative else value), mantissa <= _MANTISSA_MAX


@compiled
def _two(buf: Bytes, at: int, most: int) -> int:
    """The value of two digits; far below zero where they are none, or more than ``most``."""
    tens, ones = int(buf[np.uint64(at)]) - _ZERO, int(buf[np.uint64(at + 1)]) - _ZERO
    if tens < 0 or tens > 9 or ones < 0 or ones > 9 or tens * 10 + ones > most:
        return -1_000_000
    return tens * 10 + ones


@compiled
def moment(buf: Bytes, at: int) -> tuple[int, int]:
    """The place behind the quote after RFC 3339 text in UTC from 1970 to 2099, and its
    milliseconds. Its fraction has no, three or six digits.
    """
    if at < 0:
        return NOT, 0
    century, rest = _two(buf, at, 20), _two(buf, at + 2, 99)
    year = century * 100 + rest
    month, day = _two(buf, at + 5, 12), _two(buf, at + 8, 31)
    hour, minute, second = _two(buf, at + 11, 23), _two(buf, at + 14, 59), _two(buf, at + 17, 59)
    good = year >= 1970 and month >= 1 and day >= 1 and hour >= 0 and minute >= 0 and second >= 0
    marks = buf[at + 4] == 45 and buf[at + 7] == 45 and buf[at + 10] == 84
    if not (good and marks and buf[at + 13] == 58 and buf[at + 16] == 58):
        return NOT, 0
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _MONTH_DAYS[month - 1] + int(leap and month == 2):
        return NOT, 0
    # Days since 1970 by Hinnant's algorithm for civil dates, in years that begin in March.
    march, moved = year - int(month <= 2), (month + 9) % 12
    of_era = march % 400
    days = march // 400 * 146_097 + of_era * 365 + of_era // 4 - of_era // 100
    days += (153 * moved + 2) // 5 + day - 1 - 719_468
    at += 19
    ms = 0
    if buf[np.uint64(at)] == 46:
        at += 1
        begin = at
        while _ZERO <= buf[np.uint64(at)] <= _NINE and at < begin + 7:
            if at < begin + 3:
                ms = ms * 10 + int(buf[np.uint64(at)]) - _ZERO
            at += 1
        if at - begin not in (3, 6):
            return NOT, 0
    at = byte(buf, byte(buf, at, 90), _QUOTE)
    return at, ((days * _DAY_S + hour * 3600 + minute * 60 + second) * 1000 + ms)


@compiled
def same(buf: Bytes, one: int, one_end: int, other: int, other_end: int) -> bool:
    """Whether two stretches of the bytes are alike."""
    if one_end - one != other_end - other:
        return False
    for place in range(one_end - one):
        if buf[np.uint64(one + place)] != buf[np.uint64(other + place)]:
            return False
    return True
