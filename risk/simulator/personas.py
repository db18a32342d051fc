"""Kinds of people: when, how often and how they pay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# What a person sets out to do: shop, buy online, transfer, withdraw, top up, look at the account.
ERRANDS: Final = ("shop", "online", "transfer", "withdrawal", "top_up", "browse")


@dataclass(frozen=True, slots=True)
class Persona:
    """Habits that people share.

    ``per_cent`` is the share of accounts; ``payments_per_day`` their mean pace; ``hours`` 24
    weights of the local hour; ``errands`` weights in the order of ``ERRANDS``; ``purse`` scales
    prices; ``novelty`` is how often a place is new; ``travel_permille`` weeks spent away.
    """

    title: str
    per_cent: int
    payments_per_day: float
    hours: tuple[int, ...]
    errands: tuple[int, ...]
    purse: float
    novelty: float
    travel_permille: int


_DAY = (1, 1, 1, 1, 1, 2, 5, 9, 10, 9, 9, 10, 13, 11, 9, 9, 11, 14, 14, 11, 8, 6, 4, 2)
_LATE = (7, 5, 3, 2, 1, 1, 1, 2, 3, 5, 7, 9, 11, 11, 10, 10, 11, 12, 13, 14, 14, 13, 12, 10)
_WORK = (1, 1, 1, 1, 1, 3, 8, 13, 10, 7, 7, 9, 14, 10, 7, 7, 9, 15, 15, 10, 7, 5, 3, 2)
_MORNING = (1, 1, 1, 1, 1, 3, 6, 11, 15, 16, 15, 12, 9, 8, 9, 9, 8, 6, 4, 3, 2, 2, 1, 1)

PERSONAS: Final = (
    Persona("commuter", 30, 2.6, _WORK, (64, 14, 6, 3, 3, 10), 1.0, 0.12, 25),
    Persona("family", 22, 3.0, _DAY, (60, 20, 8, 3, 1, 8), 1.5, 0.15, 20),
    Persona("student", 16, 1.8, _LATE, (46, 26, 7, 4, 7, 10), 0.6, 0.22, 30),
    Persona("retiree", 14, 1.2, _MORNING, (68, 5, 5, 13, 1, 8), 0.9, 0.08, 15),
    Persona("gamer", 8, 4.0, _LATE, (24, 54, 4, 2, 8, 8), 0.7, 0.25, 10),
    Persona("traveller", 6, 4.5, _DAY, (58, 24, 5, 5, 1, 7), 1.8, 0.40, 350),
    Persona("business", 4, 16.0, _WORK, (36, 30, 26, 1, 2, 5), 2.6, 0.30, 120),
)
PAYMENTS_PER_ACCOUNT_DAY: Final = (
    sum(persona.per_cent * persona.payments_per_day for persona in PERSONAS) / 100
)
