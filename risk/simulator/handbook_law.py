"""The published law of the Handbook world, drawn as columns.

Fraud Detection Handbook (Le Borgne et al.), read from its description: customers and terminals
evenly on a square of 100 x 100, a customer pays at terminals nearer than 5; payments a day are
Poisson with the customer's own rate; the time of day is normal(12:00, 20,000 s), dropped outside
the day; the amount is normal(m, m/2), a negative one drawn again evenly on 0 to 2m. Frauds come
in the order of ``SCENARIOS``; the last one that takes a payment names its scenario.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

DAY_MS: Final = 86_400_000
SQUARE: Final = 100.0
RADIUS: Final = 5.0
RATE_MAX: Final = 4.0  # payments a day
MEAN_MIN_MINOR, MEAN_MAX_MINOR = 500.0, 10_000.0
NOON_S, TIME_SPREAD_S = 43_200.0, 20_000.0
LARGE_MINOR: Final = 22_000  # fraud above it
BAD_TERMINALS_A_DAY, BAD_DAYS = 2, 28
LEAKS_A_DAY, LEAK_DAYS = 3, 14
LEAK_PART, LEAK_FACTOR = 3, 5  # one payment of three, five times its amount

LARGE, TERMINAL, LEAK = 1, 2, 3
SCENARIOS: Final = ("large_amount", "bad_terminal", "leaked_customer")  # codes 1, 2, 3

CUSTOMER_DAYS_MAX: Final = 10_000_000  # about 20 million payments, and 2 GB while they are drawn
PAIRS_MAX: Final = 5_000_000_000  # of a customer and a terminal; 1 in 130 is in reach

_ROWS = 256  # customers whose distances are taken at once

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Law:
    """The sizes of a world. Raises ValueError where they are too small or too large to draw."""

    start_ms: int
    days: int
    customers: int
    terminals: int

    def __post_init__(self) -> None:
        if self.days < 1 or self.start_ms % DAY_MS:
            raise ValueError("a Handbook world starts at midnight UTC and lasts at least 1 day")
        if self.customers < LEAKS_A_DAY or self.terminals < BAD_TERMINALS_A_DAY:
            raise ValueError(
                f"a Handbook world has at least {LEAKS_A_DAY} customers"
                f" and {BAD_TERMINALS_A_DAY} terminals"
            )
        if self.customers * self.days > CUSTOMER_DAYS_MAX:
            raise ValueError(
                f"a Handbook world is drawn in memory: customers times days are at most"
                f" {CUSTOMER_DAYS_MAX:,}, not {self.customers * self.days:,}"
            )
        if self.customers * self.terminals > PAIRS_MAX:
            raise ValueError(
                f"a Handbook world is drawn in memory: customers times terminals are at most"
                f" {PAIRS_MAX:,}, not {self.customers * self.terminals:,}"
            )


@dataclass(frozen=True, slots=True)
class Places:
    """Where customers (C, 2) and terminals (T, 2) are, and whom a customer can reach.

    The terminals of customer c are ``near[first[c]:first[c + 1]]``, lowest number first.
    """

    customers: Floats
    terminals: Floats
    near: Ints
    first: Ints


@dataclass(frozen=True, slots=True)
class Table:
    """The payments of a world, a column each, in the order of the payment numbers 0 to n - 1.

    They are ordered by time, then customer, then draw. ``amount_minor`` is what was charged:
    frauds of a leaked customer stand five times as high. ``scenario`` is 0 for honest payments.
    """

    time_ms: Ints
    customer: NDArray[np.int32]
    terminal: NDArray[np.int32]
    amount_minor: Ints
    scenario: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.time_ms)

    @property
    def fraud(self) -> NDArray[np.bool_]:
        """Which payments are fraud, shape (n,)."""
        return self.scenario > 0

    @property
    def number(self) -> Ints:
        """The payment numbers."""
        return np.arange(len(self), dtype=np.int64)


def draw(law: Law, seed: int) -> tuple[Places, Table]:
    """The world of ``seed``: the same sizes and seed give the same columns.

    Every part has a random stream of its own, spawned from the seed in this order: places,
    habits, payments, large amounts (draws nothing), bad terminals, leaks.
    """
    streams = [
        np.random.Generator(np.random.PCG64(child))
        for child in np.random.SeedSequence(seed).spawn(6)
    ]
    places = _places(law, streams[0])
    day, customer, terminal, within_ms, amount = _payments(law, places, streams[1], streams[2])
    scenario = np.zeros(len(day), dtype=np.int8)
    scenario[amount > LARGE_MINOR] = LARGE
    scenario[_bad_terminals(law, streams[4])[terminal, day]] = TERMINAL
    _leak(law, streams[5], customer * law.days + day, amount, scenario)
    after_ms = day * DAY_MS + within_ms
    order = np.argsort(after_ms * law.customers + customer, kind="stable")
    return places, Table(
        time_ms=law.start_ms + after_ms[order],
        customer=customer[order].astype(np.int32),
        terminal=terminal[order].astype(np.int32),
        amount_minor=amount[order],
        scenario=scenario[order],
    )


def _places(law: Law, rng: np.random.Generator) -> Places:
    customers = rng.random((law.customers, 2)) * SQUARE
    terminals = rng.random((law.terminals, 2)) * SQUARE
    near: list[Ints] = []
    counts: list[Ints] = []
    for start in range(0, law.customers, _ROWS):
        some = customers[start : start + _ROWS]
        apart_x = some[:, :1] - terminals[:, 0]
        apart_y = some[:, 1:] - terminals[:, 1]
        reached = apart_x * apart_x + apart_y * apart_y < RADIUS * RADIUS
        near.append(np.nonzero(reached)[1])
        counts.append(reached.sum(axis=1))
    first = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return Places(customers, terminals, np.concatenate(near), first)


def _payments(
    law: Law, places: Places, habits: np.random.Generator, rng: np.random.Generator
) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Day, customer, terminal, ms within the day and amount, by customer, then day, then draw.

    A customer without a terminal in reach pays nothing; at full size nobody is.
    """
    rate = habits.uniform(0.0, RATE_MAX, law.customers)
    mean = habits.uniform(MEAN_MIN_MINOR, MEAN_MAX_MINOR, law.customers)
    reached = np.diff(places.first)
    counts = rng.poisson(rate[:, None], (law.customers, law.days))
    counts[reached == 0] = 0
    cell = np.repeat(np.arange(law.customers * law.days), counts.ravel())
    moment = np.floor(rng.normal(NOON_S, TIME_SPREAD_S, len(cell)) * 1000.0)
    kept = (moment >= 0) & (moment < DAY_MS)
    customer, day = np.divmod(cell[kept], law.days)
    amount = _amounts(mean[customer], rng)
    choice = (rng.random(len(customer)) * reached[customer]).astype(np.int64)
    terminal = places.near[places.first[customer] + choice]
    return day, customer, terminal, moment[kept].astype(np.int64), amount


def _amounts(mean: Floats, rng: np.random.Generator) -> Ints:
    drawn = rng.normal(mean, mean / 2.0)
    negative = np.flatnonzero(drawn < 0)
    drawn[negative] = rng.uniform(0.0, 2.0 * mean[negative])
    return np.rint(drawn).astype(np.int64)


def _bad_terminals(law: Law, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which terminal is bad on which day, shape (T, days)."""
    bad = np.zeros((law.terminals, law.days), dtype=np.bool_)
    for day in range(law.days):
        turned = rng.choice(law.terminals, BAD_TERMINALS_A_DAY, replace=False)
        bad[turned, day : day + BAD_DAYS] = True
    return bad


def _leak(
    law: Law, rng: np.random.Generator, cell: Ints, amount: Ints, scenario: NDArray[np.int8]
) -> None:
    """Pick a third, rounded down, of the payments of each day's leaked customers together.

    ``cell`` is customer x days + day, ascending. A payment picked by two leaks pays twice for it.
    """
    first = np.searchsorted(cell, np.arange(law.customers * law.days + 1))
    for day in range(law.days):
        leaked = rng.choice(law.customers, LEAKS_A_DAY, replace=False)
        end = min(day + LEAK_DAYS, law.days)
        rows = np.concatenate(
            [np.arange(first[c * law.days + day], first[c * law.days + end]) for c in leaked]
        )
        picked = rows[rng.choice(len(rows), len(rows) // LEAK_PART, replace=False)]
        amount[picked] *= LEAK_FACTOR
        scenario[picked] = LEAK
