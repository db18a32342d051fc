"""The calendar of a world: weekdays, holidays, seasons, and when people are paid.

Local time is UTC plus one hour all year round.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from typing import Final

from risk.domain.times import from_ms

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
ZONE_MS: Final = HOUR_MS  # most homes keep the winter time of Vienna
LAST_DUE: Final = 28  # what comes every month comes on a day that every month has

_WEEKDAY_PACE: Final = (0.95, 0.96, 0.98, 1.02, 1.15, 1.12, 0.82)
_MONTH_PACE: Final = (0.92, 0.95, 0.98, 1.00, 1.00, 1.02, 1.00, 0.96, 1.00, 1.00, 1.08, 1.16)
# How much likelier a trip is than in the average month.
_MONTH_TRIPS: Final = (0.6, 0.9, 0.7, 1.0, 1.0, 1.1, 1.8, 2.0, 1.0, 0.8, 0.5, 0.6)
_CLOSED: Final = {(1, 1), (12, 25), (12, 26)}
_WORKDAY, _SATURDAY, _SUNDAY = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Day:
    """One local day. ``weekday`` counts from Monday as 0.

    ``pace`` multiplies payments; ``gifts`` multiplies what shops are paid; ``trips`` how many
    people set out; ``kind`` is 0 for workdays, 1 for Saturdays, 2 for Sundays and holidays, plus 3
    before Christmas; ``paydays`` are the days of the month whose pay comes on this day.
    """

    weekday: int
    day: int
    month: int
    pace: float
    gifts: float
    trips: float
    kind: int
    paydays: tuple[int, ...]


def day_of(at_ms: int) -> Day:
    """The local day of the moment ``at_ms``."""
    return _day((at_ms + ZONE_MS) // DAY_MS)


def hour_of(at_ms: int) -> int:
    """The local hour of the day, 0 to 23."""
    return (at_ms + ZONE_MS) % DAY_MS // HOUR_MS


def days_since(day: int, due: int) -> int:
    """Days from the last ``due`` day of a month to ``day`` of a month, a month counted as 30.

    >>> days_since(3, 1), days_since(3, 28)
    (2, 5)
    """
    return (day - due) % 30


@lru_cache(maxsize=64)
def _day(number: int) -> Day:
    date = from_ms(number * DAY_MS)
    weekday = date.weekday()
    closed = (date.month, date.day) in _CLOSED
    christmas = date.month == 12 and date.day <= 24
    pace = _WEEKDAY_PACE[weekday] * _MONTH_PACE[date.month - 1]
    if closed:
        pace *= 0.55
    if date.month == 11 and weekday == 4 and date.day >= 23:
        pace *= 1.35  # the sales on the last Friday of November
    if date.month == 12:
        pace *= 1.12 if date.day <= 23 else 0.85
    kind = _SUNDAY if closed or weekday == 6 else _SATURDAY if weekday == 5 else _WORKDAY
    return Day(
        weekday=weekday,
        day=date.day,
        month=date.month,
        pace=pace,
        gifts=1.15 if christmas else 1.0,
        trips=_MONTH_TRIPS[date.month - 1],
        kind=kind + 3 * christmas,
        paydays=_paydays(number, weekday),
    )


def _paydays(number: int, weekday: int) -> tuple[int, ...]:
    """Pay comes on workdays; what falls on a weekend comes on the Friday before."""
    if weekday >= 5:
        return ()
    date = from_ms(number * DAY_MS)
    ahead = range(3) if weekday == 4 else range(1)
    return tuple((date + timedelta(days=later)).day for later in ahead)
