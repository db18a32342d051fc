"""Distances on a sphere, compiled: the same bits on every machine.

Part of the kernel: see there what a change here needs.
"""

from __future__ import annotations

import math
from typing import Final

from features.compiled import compiled

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


@compiled
def _sin(x: float) -> float:
    square = x * x
    total = 0.0
    for k in range(len(_SIN) - 1, -1, -1):
        total = total * square + _SIN[k]
    return total * x


@compiled
def _arcsin(x: float) -> float:
    reduced = math.sqrt((1.0 - x) * 0.5) if x > 0.5 else x
    square = reduced * reduced
    total = 0.0
    for k in range(len(_ARCSIN) - 1, -1, -1):
        total = total * square + _ARCSIN[k]
    total *= reduced
    return _HALF_PI - 2.0 * total if x > 0.5 else total


@compiled
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
