"""Journeys: some days in another city, found from the number of the account alone."""

from __future__ import annotations

from typing import Final, NamedTuple

from risk.simulator.numbers import mix
from risk.simulator.personas import Persona
from risk.simulator.places import PLACES
from risk.simulator.seasons import DAY_MS, HOUR_MS, day_of

_PERIOD_DAYS: Final = 14  # at most one journey in each, all of it inside
_PERIOD_MS: Final = _PERIOD_DAYS * DAY_MS
_PERIODS_PER_YEAR: Final = 26
ON_THE_WAY_MS: Final = 5 * HOUR_MS  # there, and back again: nobody is in a shop


class Trip(NamedTuple):
    """From ``start_ms`` to ``end_ms`` the account is in the place ``where``, or on the way."""

    start_ms: int
    end_ms: int
    where: int
    key: int


def trip_in(number: int, persona: Persona, home: int, period: int) -> Trip | None:
    """The journey of the account in the fortnight ``period`` since 1970; mostly none."""
    first_ms = period * _PERIOD_MS
    draw = mix(number, period, 21)
    chance = persona.trips_per_year / _PERIODS_PER_YEAR * day_of(first_ms + _PERIOD_MS // 2).trips
    if (draw & 0xFFFF) >= chance * 0x10000:
        return None
    least, most = persona.trip_days
    days = least + (draw >> 16) % (most - least + 1)
    start_ms = first_ms + ((draw >> 24) % ((_PERIOD_DAYS - days) * 24 + 1)) * HOUR_MS
    where = (draw >> 44) % (len(PLACES) - 1)
    where += where >= home
    return Trip(start_ms, start_ms + days * DAY_MS, where, draw)


def period_of(at_ms: int) -> int:
    """The fortnight since 1970 of a moment."""
    return at_ms // _PERIOD_MS
