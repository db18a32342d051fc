"""Kinds of people: when, how often and how they pay, and what they live on."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Final

# What a person sets out to do: shop, buy online, transfer, withdraw, top up, look at the account.
ERRANDS: Final = ("shop", "online", "transfer", "withdrawal", "top_up", "browse")


@dataclass(frozen=True, slots=True, kw_only=True)
class Persona:
    """Habits that people share.

    ``per_cent`` is the share of accounts; ``payments_per_day`` their mean pace; ``hours`` 24
    weights of the local hour; ``errands`` weights in the order of ``ERRANDS``; ``purse`` scales
    prices; ``novelty`` is how often a place is new; ``weekend`` multiplies the pace on Saturdays
    and Sundays. ``trips_per_year`` of ``trip_days`` (least, most) days. ``payday`` is the usual
    day of the month on which ``income_eur`` arrives, 0 where none does; ``rent`` the share of
    people with a standing order, ``subscriptions`` how many they have at most.
    """

    title: str
    per_cent: int
    payments_per_day: float
    hours: tuple[int, ...]
    errands: tuple[int, ...]
    purse: float
    novelty: float
    weekend: float
    trips_per_year: float
    trip_days: tuple[int, int]
    payday: int
    income_eur: float
    rent: float
    subscriptions: int


_DAY = (1, 1, 1, 1, 1, 2, 5, 9, 10, 9, 9, 10, 13, 11, 9, 9, 11, 14, 14, 11, 8, 6, 4, 2)
_LATE = (7, 5, 3, 2, 1, 1, 1, 2, 3, 5, 7, 9, 11, 11, 10, 10, 11, 12, 13, 14, 14, 13, 12, 10)
_WORK = (1, 1, 1, 1, 1, 3, 8, 13, 10, 7, 7, 9, 14, 10, 7, 7, 9, 15, 15, 10, 7, 5, 3, 2)
_MORNING = (1, 1, 1, 1, 1, 3, 6, 11, 15, 16, 15, 12, 9, 8, 9, 9, 8, 6, 4, 3, 2, 2, 1, 1)

PERSONAS: Final = (
    Persona(
        title="commuter", per_cent=30, payments_per_day=2.6, hours=_WORK,
        errands=(64, 14, 6, 3, 2, 11), purse=1.0, novelty=0.12, weekend=0.95,
        trips_per_year=2.2, trip_days=(2, 10), payday=27, income_eur=2300, rent=0.7,
        subscriptions=3,
    ),
    Persona(
        title="family", per_cent=22, payments_per_day=3.0, hours=_DAY,
        errands=(60, 20, 8, 3, 1, 8), purse=1.5, novelty=0.15, weekend=1.10,
        trips_per_year=1.8, trip_days=(4, 12), payday=1, income_eur=2900, rent=0.8,
        subscriptions=4,
    ),
    Persona(
        title="student", per_cent=16, payments_per_day=1.8, hours=_LATE,
        errands=(46, 26, 8, 4, 6, 10), purse=0.6, novelty=0.22, weekend=1.10,
        trips_per_year=2.0, trip_days=(2, 8), payday=5, income_eur=650, rent=0.4,
        subscriptions=3,
    ),
    Persona(
        title="retiree", per_cent=14, payments_per_day=1.2, hours=_MORNING,
        errands=(68, 5, 6, 12, 1, 8), purse=0.9, novelty=0.08, weekend=0.90,
        trips_per_year=1.2, trip_days=(5, 13), payday=1, income_eur=1700, rent=0.5,
        subscriptions=2,
    ),
    Persona(
        title="gamer", per_cent=8, payments_per_day=4.0, hours=_LATE,
        errands=(24, 54, 4, 2, 8, 8), purse=0.7, novelty=0.25, weekend=1.20,
        trips_per_year=0.8, trip_days=(2, 7), payday=15, income_eur=1800, rent=0.5,
        subscriptions=4,
    ),
    Persona(
        title="traveller", per_cent=6, payments_per_day=4.5, hours=_DAY,
        errands=(58, 24, 5, 5, 1, 7), purse=1.8, novelty=0.40, weekend=1.00,
        trips_per_year=20.0, trip_days=(2, 11), payday=25, income_eur=4200, rent=0.7,
        subscriptions=3,
    ),
    Persona(
        title="business", per_cent=4, payments_per_day=16.0, hours=_WORK,
        errands=(36, 30, 26, 1, 2, 5), purse=2.6, novelty=0.30, weekend=0.25,
        trips_per_year=8.0, trip_days=(1, 4), payday=0, income_eur=0, rent=1.0,
        subscriptions=4,
    ),
)  # fmt: skip
FIRST_OF: Final = (0, *accumulate(persona.per_cent for persona in PERSONAS))
PERSONA_OF: Final = tuple(persona for persona in PERSONAS for _ in range(persona.per_cent))
PAYMENTS_PER_ACCOUNT_DAY: Final = (
    sum(persona.per_cent * persona.payments_per_day for persona in PERSONAS) / 100
)


def first_of(title: str) -> int:
    """The first number, within each hundred, of the accounts of the persona ``title``."""
    return FIRST_OF[[persona.title for persona in PERSONAS].index(title)]
