"""Integer mixing and names: cheap, seeded, equal on every machine."""

from __future__ import annotations

_MASK = 2**64 - 1


def mix(*parts: int) -> int:
    """64 bits that depend on every one of ``parts`` (splitmix64 steps)."""
    state = 0
    for part in parts:
        state = (state + part + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def name(prefix: str, *parts: int) -> str:
    """An identifier that can never be all digits.

    >>> name("acc", 1, 2) == name("acc", 1, 2), name("acc", 1, 2).startswith("acc_")
    (True, True)
    """
    return f"{prefix}_{mix(*parts):016x}"
