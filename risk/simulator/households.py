"""Who lives together: homes, devices and addresses are shared there, and money goes around."""

from __future__ import annotations

from typing import Final

from risk.simulator.numbers import mix
from risk.simulator.personas import first_of

_COMMUTER: Final = first_of("commuter")
_FAMILY: Final = first_of("family")
_STUDENT: Final = first_of("student")
_RETIREE: Final = first_of("retiree")
_GAMER: Final = first_of("gamer")
_BUSINESS: Final = first_of("business")
_COUPLES_PER_CENT: Final = {_COMMUTER: 40, _RETIREE: 60}
_HIRED_OF: Final = 5  # one in so many commuters works for a business of this world


def household(number: int, count: int) -> tuple[int, ...]:
    """Numbers of the people who live with account ``number``, itself included, smallest first.

    Each hundred numbers hold 11 families of two parents and a student, some couples among
    commuters and retirees, and people who live alone.
    """
    base, place = number - number % 100, number % 100
    if _FAMILY <= place < _FAMILY + 33:
        which = (place - _FAMILY) // 2 if place < _STUDENT else place - _STUDENT
        members = (_FAMILY + 2 * which, _FAMILY + 2 * which + 1, _STUDENT + which)
        return tuple(base + member for member in members if base + member < count)
    for first, end in ((_COMMUTER, _FAMILY), (_RETIREE, _GAMER)):
        if first <= place < end:
            older = base + place - (place - first) % 2
            if older + 1 < count and mix(older, 5) % 100 < _COUPLES_PER_CENT[first]:
                return (older, older + 1)
    return (number,)


def parent_of(number: int, count: int) -> int | None:
    """Who pays the allowance of a student; None where nobody does."""
    if not _STUDENT <= number % 100 < _RETIREE:
        return None
    members = household(number, count)
    return members[0] if len(members) > 1 else None


def employer_of(number: int, count: int) -> int | None:
    """The business account that pays the salary of ``number``; None where it is of another bank."""
    if not _COMMUTER <= number % 100 < _FAMILY or mix(number, 6) % _HIRED_OF:
        return None
    employer = number - number % 100 + _BUSINESS
    return employer if employer < count else None
