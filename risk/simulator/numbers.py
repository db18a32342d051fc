"""Integer mixing and names: cheap, seeded, equal on every machine."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_MASK: Final = 2**64 - 1
_GOLDEN: Final = 0x9E3779B97F4A7C15
_FIRST: Final = 0xBF58476D1CE4E5B9
_SECOND: Final = 0x94D049BB133111EB


def mix(*parts: int) -> int:
    """64 bits that depend on every one of ``parts`` (splitmix64 steps)."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def mix_all(seed: int, numbers: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """``mix(seed, number, salt)`` for every one of ``numbers``, shape (n,).

    >>> [int(mixed) for mixed in mix_all(7, np.array([3], dtype=np.uint64), 1)] == [mix(7, 3, 1)]
    True
    """
    state = np.full(len(numbers), mix(seed), dtype=np.uint64)
    for part in (numbers, np.uint64(salt)):
        state = state + part + np.uint64(_GOLDEN)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
        state = state ^ (state >> np.uint64(31))
    return state


def name(prefix: str, *parts: int) -> str:
    """An identifier that can never be all digits.

    >>> name("acc", 1, 2) == name("acc", 1, 2), name("acc", 1, 2).startswith("acc_")
    (True, True)
    """
    return f"{prefix}_{mix(*parts):016x}"
