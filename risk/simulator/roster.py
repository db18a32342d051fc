"""Who has an account when, and on which hour of the month what comes by itself: small arrays."""

from __future__ import annotations

from array import array
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from risk.simulator.households import employer_of
from risk.simulator.numbers import mix, mix_all
from risk.simulator.personas import PERSONA_OF, PERSONAS, Persona
from risk.simulator.seasons import DAY_MS, LAST_DUE, Day

NEVER_MS: Final = 2**62
JOINING: Final = 0.12  # of all accounts, within the year after the start
_JOINING_DAYS: Final = 365
SLEEPERS: Final = 0.06  # fall silent in the year around the start: half of them before it
_SLEEPING_DAYS: Final = 400

SALARY, RENT, SUBSCRIPTION = 0, 1, 2  # slots of an account; subscriptions take the rest
SLOTS: Final = 6
_NOT_DUE: Final = 0xFFFF
_OTHER_PAYDAYS: Final = (1, 15, 25)
_SALARY_HOURS: Final = (6, 12)
_RENT_HOURS: Final = (5, 9)
_PAYROLL_DAY: Final = 27
_OF_PLACE: Final = np.array([PERSONAS.index(persona) for persona in PERSONA_OF])


class Roster:
    """``count`` accounts from ``start_ms`` on; 30 bytes for each, whatever is asked of them.

    ``joined_ms`` is 0 for those who were there at the start; ``silent_ms`` is when an account
    falls silent. Number 0 is there all the time, so that no world is empty.
    """

    def __init__(self, seed: int, count: int, start_ms: int) -> None:
        numbers = np.arange(count, dtype=np.uint64)
        self._seed, self._count = seed, count
        joined = _moments(seed, numbers, 11, JOINING, (start_ms, _JOINING_DAYS))
        joined[joined == NEVER_MS] = 0
        early_ms = start_ms - _SLEEPING_DAYS * DAY_MS
        silent = _moments(seed, numbers, 12, SLEEPERS, (early_ms, 2 * _SLEEPING_DAYS))
        silent[joined > 0] = NEVER_MS
        self.joined_ms = array("q", joined.tobytes())
        self.silent_ms = array("q", silent.tobytes())
        self._newcomers = np.flatnonzero(joined)
        self._newcomers = self._newcomers[np.argsort(joined[self._newcomers], kind="stable")]
        self._joins: list[int] = joined[self._newcomers].tolist()
        self._ends: list[int] = np.sort(silent[silent < NEVER_MS]).tolist()
        self._due = _due(seed, numbers)

    def present(self, at_ms: int) -> int:
        """How many accounts are in use at ``at_ms``."""
        waiting = len(self._joins) - bisect_right(self._joins, at_ms)
        return max(1, self._count - waiting - bisect_right(self._ends, at_ms))

    def is_present(self, number: int, at_ms: int) -> bool:
        """True from the day an account is opened until it falls silent."""
        return self.joined_ms[number] <= at_ms < self.silent_ms[number]

    def wake(self, number: int) -> None:
        """The account is used again from now on."""
        silent_ms = self.silent_ms[number]
        if silent_ms < NEVER_MS:
            self._ends.remove(silent_ms)
            self.silent_ms[number] = NEVER_MS

    def silence(self, number: int, from_ms: int) -> None:
        """The account is silent from ``from_ms`` on, whatever it was before."""
        self.wake(number)
        insort(self._ends, from_ms)
        self.silent_ms[number] = from_ms

    def joining(self, from_ms: int, to_ms: int) -> Iterator[tuple[int, int]]:
        """(number, moment) of those who open their account in the time given, in order."""
        for place in range(bisect_right(self._joins, from_ms - 1), len(self._joins)):
            if self._joins[place] >= to_ms:
                return
            yield int(self._newcomers[place]), self._joins[place]

    def due(self, hour_ms: int, day: Day, hour: int) -> Iterator[tuple[int, int]]:
        """(number, slot) of what comes by itself in the hour that begins at ``hour_ms``."""
        now = self._due == 24 * day.day + hour
        now[:, SALARY] = np.isin(self._due[:, SALARY], [24 * pay + hour for pay in day.paydays])
        numbers, slots = np.nonzero(now)
        for number, slot in zip(numbers.tolist(), slots.tolist(), strict=True):
            if self.is_present(number, hour_ms):
                yield number, slot

    def payday(self, number: int) -> int:
        """The day of the month on which the account is paid; 0 where it is not."""
        code = int(self._due[number, SALARY])
        return 0 if code == _NOT_DUE else code // 24


def _moments(
    seed: int, numbers: NDArray[np.uint64], salt: int, share: float, span: tuple[int, int]
) -> NDArray[np.int64]:
    """A moment within ``span`` (from, days) for ``share`` of the accounts, else never."""
    chance = mix_all(seed, numbers, salt).astype(np.float64) / 2.0**64
    first_ms, days = span
    part = np.minimum(chance / share, 1.0)
    moments = first_ms + 1 + (part * days * DAY_MS).astype(np.int64)
    moments[chance >= share] = NEVER_MS
    moments[:1] = NEVER_MS
    return moments


def _due(seed: int, numbers: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """24 x day of the month + local hour of every slot of every account, shape (n, SLOTS)."""
    persona = _OF_PLACE[numbers.astype(np.int64) % 100]
    due = np.full((len(numbers), SLOTS), _NOT_DUE, dtype=np.uint16)
    draw = mix_all(seed, numbers, 13)
    usual = _of_personas(lambda persona: persona.payday)[persona]
    other = np.array(_OTHER_PAYDAYS)[_part(draw, 8, 3)]
    days = np.where((_part(draw, 16, 10) >= 7) & (usual > 0), other, usual)
    hours = _SALARY_HOURS[0] + _part(draw, 24, _SALARY_HOURS[1] - _SALARY_HOURS[0])
    for number in range(len(numbers)):
        if (employer := employer_of(number, len(numbers))) is not None:
            days[number], hours[number] = _PAYROLL_DAY, 9 + mix(seed, employer, 14) % 3
    due[:, SALARY] = np.where(days > 0, 24 * days + hours, _NOT_DUE)
    draw = mix_all(seed, numbers, 15)
    rent_days = np.minimum(days + 1 + _part(draw, 8, 4), LAST_DUE)
    has_rent = (
        _part(draw, 16, 100) < _of_personas(lambda persona: round(100 * persona.rent))[persona]
    )
    hours = _RENT_HOURS[0] + _part(draw, 24, _RENT_HOURS[1] - _RENT_HOURS[0])
    due[:, RENT] = np.where(has_rent, 24 * rent_days + hours, _NOT_DUE)
    draw = mix_all(seed, numbers, 16)
    held = _part(draw, 0, 1 + _of_personas(lambda persona: persona.subscriptions)[persona])
    for slot in range(SUBSCRIPTION, SLOTS):
        draw = mix_all(seed, numbers, 17 + slot)
        code = 24 * (1 + _part(draw, 0, LAST_DUE)) + _part(draw, 16, 24)
        due[:, slot] = np.where(slot - SUBSCRIPTION < held, code, _NOT_DUE)
    return due


def _of_personas(field: Callable[[Persona], int]) -> NDArray[np.int64]:
    return np.array([field(persona) for persona in PERSONAS], dtype=np.int64)


def _part(
    draw: NDArray[np.uint64], shift: int, below: int | NDArray[np.int64]
) -> NDArray[np.int64]:
    """16 bits of ``draw`` as numbers from 0 to less than ``below``."""
    return ((draw >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64) % below
