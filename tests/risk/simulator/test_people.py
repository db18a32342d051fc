"""Who people are: households, homes, journeys, and who is there when."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from risk.simulator.households import employer_of, household, parent_of
from risk.simulator.merchants import Market
from risk.simulator.numbers import mix, mix_all
from risk.simulator.personas import PERSONA_OF, PERSONAS
from risk.simulator.population import DORMANT_DAYS, Population
from risk.simulator.roster import NEVER_MS, SALARY, SLOTS, Roster
from risk.simulator.seasons import DAY_MS, HOUR_MS, day_of, days_since, hour_of
from risk.simulator.trips import trip_in

START_MS = 1_780_000_000_000
YEAR_MS = 365 * DAY_MS


def people(count: int = 2_000, seed: int = 4) -> Population:
    return Population(seed, count, Market(seed, 600), START_MS)


def test_a_hundred_numbers_are_the_personas_in_their_shares() -> None:
    assert len(PERSONA_OF) == 100
    for persona in PERSONAS:
        assert PERSONA_OF.count(persona) == persona.per_cent


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32), st.integers(0, 99))
def test_mixing_at_once_equals_mixing_one_by_one(seed: int, number: int, salt: int) -> None:
    numbers = np.array([number, number + 1], dtype=np.uint64)
    expected = [mix(seed, number, salt), mix(seed, number + 1, salt)]
    assert mix_all(seed, numbers, salt).tolist() == expected


@given(st.integers(0, 5_000), st.integers(1, 5_001))
def test_households_are_a_partition(number: int, more: int) -> None:
    count = number + more
    members = household(number, count)
    assert number in members
    assert list(members) == sorted(set(members))
    assert members[-1] < count
    assert all(household(member, count) == members for member in members)
    parent = parent_of(number, count)
    assert parent is None or (parent in members and parent != number)
    employer = employer_of(number, count)
    assert employer is None or PERSONA_OF[employer % 100].title == "business"


def test_families_share_home_address_and_tablet_and_pay_each_other() -> None:
    population = people()
    shared = 0
    for number in range(0, 2_000, 7):
        account = population.account(number)
        for member in household(number, 2_000):
            other = population.account(member)
            assert (other.home, other.ip, other.tablet) == (
                account.home,
                account.ip,
                account.tablet,
            )
            assert member == number or other.payee in account.friends
            assert member == number or other.device != account.device
            shared += member != number
    assert shared > 100


def test_an_account_is_the_same_whatever_was_asked_before() -> None:
    one, two = people(), people()
    for number in (900, 3, 77):
        one.account(number)
    assert one.account(77) == two.account(77)


def test_trips_stay_inside_their_fortnight_and_go_somewhere_else() -> None:
    traveller = next(persona for persona in PERSONAS if persona.title == "traveller")
    found = [
        (period, trip)
        for number in range(200)
        for period in range(1400, 1426)
        if (trip := trip_in(number, traveller, 3, period))
    ]
    assert 15 < len(found) / 200 < 27
    for period, trip in found:
        assert period * 14 * DAY_MS <= trip.start_ms < trip.end_ms <= (period + 1) * 14 * DAY_MS
        days = (trip.end_ms - trip.start_ms) / DAY_MS
        assert traveller.trip_days[0] <= days <= traveller.trip_days[1]
        assert trip.where != 3


def test_more_people_travel_in_summer() -> None:
    family = next(persona for persona in PERSONAS if persona.title == "family")
    by_month: dict[int, int] = {}
    for number in range(2_000):
        for period in range(1430, 1430 + 26):
            if trip := trip_in(number, family, 0, period):
                month = day_of(trip.start_ms).month
                by_month[month] = by_month.get(month, 0) + 1
    assert by_month[7] + by_month[8] > 2 * (by_month[2] + by_month[11])


def test_the_calendar_of_a_year() -> None:
    new_year_ms = 1_767_225_600_000  # 2026-01-01, a Thursday
    days = [day_of(new_year_ms + number * DAY_MS) for number in range(365)]
    assert [day.weekday for day in days[:4]] == [3, 4, 5, 6]
    assert days[0].kind == 2
    paid = [payday for day in days for payday in day.paydays]
    assert sorted(paid) == sorted(day.day for day in days)
    assert all(day.paydays == () for day in days if day.weekday >= 5)
    assert max(day.pace for day in days) == max(day.pace for day in days if day.month >= 11)
    assert 0.95 < sum(day.pace for day in days) / 365 < 1.05
    assert hour_of(new_year_ms) == 1
    assert [days_since(day, 28) for day in (27, 28, 29)] == [29, 0, 1]


def test_who_joins_and_who_falls_silent() -> None:
    count = 20_000
    roster = Roster(3, count, START_MS)
    joins = [moment for moment in roster.joined_ms if moment]
    ends = [moment for moment in roster.silent_ms if moment < NEVER_MS]
    assert 0.10 < len(joins) / count < 0.14
    assert 0.04 < len(ends) / count < 0.07
    assert all(START_MS < moment <= START_MS + YEAR_MS + 1 for moment in joins)
    assert roster.present(START_MS) < count
    given = list(roster.joining(START_MS, START_MS + YEAR_MS + 2))
    assert [moment for _, moment in given] == sorted(joins)
    assert all(roster.joined_ms[number] == moment for number, moment in given)
    assert (roster.joined_ms[0], roster.silent_ms[0]) == (0, NEVER_MS)


def test_one_who_wakes_is_there_again() -> None:
    roster = Roster(3, 5_000, START_MS)
    silent = next(n for n in range(5_000) if roster.silent_ms[n] <= START_MS)
    before = roster.present(START_MS)
    roster.wake(silent)
    roster.wake(silent)
    assert roster.present(START_MS) == before + 1


def test_what_is_due_comes_once_a_month() -> None:
    roster = Roster(3, 400, START_MS)
    month: dict[tuple[int, int], int] = {}
    first_ms = START_MS - START_MS % HOUR_MS
    for hour in range(30 * 24):
        hour_ms = first_ms + hour * HOUR_MS
        for key in roster.due(hour_ms, day_of(hour_ms), hour_of(hour_ms)):
            month[key] = month.get(key, 0) + 1
    slots = [slot for _, slot in month]
    assert set(slots) == set(range(SLOTS))
    assert slots.count(SALARY) > 300
    # From 28 May to 27 June; what falls on a weekend comes up to two days early.
    assert sum(count == 1 for count in month.values()) > 0.85 * len(month)
    assert max(month.values()) <= 2


def test_anyone_is_in_use_and_the_dormant_are_not() -> None:
    population = people(5_000)
    rng = Random(1)
    roster = population.roster
    for _ in range(500):
        number = population.anyone(rng).number
        assert roster.is_present(number, START_MS)
        sleeper = population.dormant(rng)
        assert sleeper is not None
        assert roster.silent_ms[sleeper.number] <= START_MS - DORMANT_DAYS * DAY_MS
    assert people(1).dormant(rng) is None
    assert people(1).anyone(rng).number == 0
