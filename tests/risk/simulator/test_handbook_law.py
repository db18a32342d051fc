"""Each rule of the Handbook world against a slow, plain reading of the published law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from risk.simulator.handbook_law import DAY_MS, Law, Places, Table, draw

START_MS = 1_522_540_800_000


@dataclass
class Paid:
    """One payment of the plain reading; amounts in minor units."""

    time_ms: int
    customer: int
    terminal: int
    amount: int
    day: int
    scenario: int = 0


def plain(law: Law, seed: int) -> list[Paid]:
    """The law read aloud: one payment at a time, from the same random numbers."""
    streams = [
        np.random.Generator(np.random.PCG64(child))
        for child in np.random.SeedSequence(seed).spawn(6)
    ]
    customers = streams[0].random((law.customers, 2)).tolist()
    terminals = streams[0].random((law.terminals, 2)).tolist()
    rates = streams[1].uniform(0, 4, law.customers)
    means = streams[1].uniform(500, 10_000, law.customers).tolist()
    numbers = streams[2].poisson(rates[:, None], (law.customers, law.days)).tolist()
    reach = [
        [
            number
            for number, (x, y) in enumerate(terminals)
            if (100 * here[0] - 100 * x) ** 2 + (100 * here[1] - 100 * y) ** 2 < 25
        ]
        for here in customers
    ]
    wishes = [
        (customer, day)
        for customer in range(law.customers)
        for day in range(law.days)
        for _ in range(numbers[customer][day])
        if reach[customer]
    ]
    seconds = streams[2].normal(43_200, 20_000, len(wishes)).tolist()
    made = [
        Paid(START_MS + day * DAY_MS + int(second * 1000 // 1), customer, -1, -1, day)
        for (customer, day), second in zip(wishes, seconds, strict=True)
        if 0 <= second < 86_400
    ]
    set_amounts(made, means, streams[2])
    for payment, luck in zip(made, streams[2].random(len(made)).tolist(), strict=True):
        around = reach[payment.customer]
        payment.terminal = around[int(luck * len(around))]
    commit_frauds(law, made, streams[4], streams[5])
    return sorted(made, key=lambda payment: (payment.time_ms, payment.customer))


def set_amounts(made: list[Paid], means: list[float], rng: np.random.Generator) -> None:
    mean = [means[payment.customer] for payment in made]
    first = rng.normal(mean, [m / 2 for m in mean]).tolist()
    below = [row for row, amount in enumerate(first) if amount < 0]
    for row, again in zip(below, rng.uniform(0, [2 * mean[row] for row in below]), strict=True):
        first[row] = float(again)
    for payment, amount in zip(made, first, strict=True):
        payment.amount = round(amount)


def commit_frauds(
    law: Law, made: list[Paid], bad: np.random.Generator, leak: np.random.Generator
) -> None:
    for payment in made:
        if payment.amount > 220_00:
            payment.scenario = 1
    for day in range(law.days):
        turned = set(bad.choice(law.terminals, 2, replace=False).tolist())
        for payment in made:
            if payment.terminal in turned and day <= payment.day <= day + 27:
                payment.scenario = 2
    for day in range(law.days):
        theirs = [
            payment
            for customer in leak.choice(law.customers, 3, replace=False).tolist()
            for payment in made
            if payment.customer == customer and day <= payment.day <= day + 13
        ]
        for row in leak.choice(len(theirs), len(theirs) // 3, replace=False).tolist():
            theirs[row].amount *= 5
            theirs[row].scenario = 3


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    days=st.integers(1, 40),
    customers=st.integers(3, 30),
    terminals=st.integers(2, 400),
)
@example(seed=1, days=40, customers=20, terminals=10)
@example(seed=2, days=1, customers=3, terminals=2)
def test_the_law_read_aloud(seed: int, days: int, customers: int, terminals: int) -> None:
    law = Law(START_MS, days, customers, terminals)
    _, table = draw(law, seed)
    expected = plain(law, seed)
    assert table.time_ms.tolist() == [payment.time_ms for payment in expected]
    assert table.customer.tolist() == [payment.customer for payment in expected]
    assert table.terminal.tolist() == [payment.terminal for payment in expected]
    assert table.amount_minor.tolist() == [payment.amount for payment in expected]
    assert table.scenario.tolist() == [payment.scenario for payment in expected]
    assert table.fraud.tolist() == [payment.scenario > 0 for payment in expected]
    assert table.number.tolist() == list(range(len(expected)))


def small(seed: int = 3) -> tuple[Law, Places, Table]:
    """A world where everybody has terminals near, and frauds are many."""
    law = Law(START_MS, 60, 120, 4_000)
    return law, *draw(law, seed)


def test_everybody_pays_only_nearer_than_five() -> None:
    _, places, table = small()
    apart = places.customers[table.customer] - places.terminals[table.terminal]
    assert np.sqrt((apart**2).sum(axis=1)).max() < 5
    assert len(np.unique(table.customer)) == 120


def test_times_lie_in_their_days_around_noon() -> None:
    law, _, table = small()
    assert table.time_ms.min() >= START_MS
    assert table.time_ms.max() < START_MS + law.days * DAY_MS
    hours = table.time_ms % DAY_MS / 3_600_000
    assert hours.mean() == pytest.approx(12, abs=0.15)
    # A normal of 20,000 s cut at 12 hours from its mean spreads by 0.899 of that.
    assert hours.std() == pytest.approx(0.899 * 20_000 / 3600, rel=0.02)


def test_payments_are_ordered_and_amounts_positive() -> None:
    _, _, table = small()
    keys = list(zip(table.time_ms.tolist(), table.customer.tolist(), strict=True))
    assert keys == sorted(keys)
    assert table.amount_minor.min() >= 0


def test_equal_times_are_ordered_by_customer() -> None:
    _, table = draw(Law(START_MS, 3, 5_000, 10_000), 1)
    same = np.flatnonzero(np.diff(table.time_ms) == 0)
    assert len(same) > 1
    assert (table.customer[same] <= table.customer[same + 1]).all()


def test_every_amount_over_220_is_fraud_and_only_a_leak_makes_larger_ones() -> None:
    _, _, table = small()
    assert table.fraud[table.amount_minor > 220_00].all()
    assert (table.amount_minor[table.scenario == 1] > 220_00).all()
    assert (table.amount_minor[table.scenario == 3] % 5 == 0).all()


def test_streams_are_apart_so_more_terminals_move_no_customer() -> None:
    few, _ = draw(Law(START_MS, 2, 50, 1_000), 9)
    many, _ = draw(Law(START_MS, 2, 50, 2_000), 9)
    assert (few.customers == many.customers).all()


def test_nobody_near_a_terminal_pays_nothing() -> None:
    places, table = draw(Law(START_MS, 5, 3, 2), 0)
    assert np.diff(places.first).sum() == 0
    assert len(table) == 0


@pytest.mark.parametrize(
    "start_ms, days, customers, terminals, says",
    [
        (START_MS + 1, 5, 10, 10, "midnight"),
        (START_MS, 0, 10, 10, "at least 1 day"),
        (START_MS, 5, 2, 10, "3 customers"),
        (START_MS, 5, 10, 1, "2 terminals"),
        (START_MS, 200, 50_001, 10, "times days are at most 10,000,000, not 10,000,200"),
        (START_MS, 1, 500_001, 10_000, "times terminals are at most"),
    ],
)
def test_worlds_too_small_or_too_large_are_refused(
    start_ms: int, days: int, customers: int, terminals: int, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Law(start_ms, days, customers, terminals)
