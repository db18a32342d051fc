"""What the law of the Handbook world lets us expect, beside what one draw of it has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from risk.simulator import handbook_law as law_of
from risk.simulator.handbook_law import SCENARIOS, Law, Table

PUBLISHED_PAYMENTS: Final = 1_754_000  # "about", at full size
PUBLISHED_FRAUD_SHARE: Final = 0.0084
PERCENTILES: Final = (1, 5, 25, 50, 75, 95, 99)
_STEPS = 2_000  # of the integrals over the customers' means


def counts(law: Law, table: Table) -> dict[str, Any]:
    """What ``table`` has, beside what ``law`` lets expect and what is published at full size.

    Keys: ``payments``, ``frauds``, ``fraud_share``, ``payments_a_day``, ``customers_a_day``
    (those who pay, mean over days), each with its ``expected_`` value (and ``published_`` where
    there is one, null for worlds of another size); ``by_scenario`` by name ``{payments, share,
    expected_share}``, shares of all payments; ``amount_minor`` with ``mean`` and percentiles
    ``p01`` to ``p99``, each ``{value, expected}``.
    """
    expected = expectations(law)
    full = (law.days, law.customers, law.terminals) == (183, 5_000, 10_000)
    payments = len(table)
    frauds = int(table.fraud.sum())
    return {
        "payments": payments,
        "expected_payments": round(expected["payments"]),
        "published_payments": PUBLISHED_PAYMENTS if full else None,
        "frauds": frauds,
        "fraud_share": _share(frauds, payments),
        "expected_fraud_share": sum(expected[name] for name in SCENARIOS),
        "published_fraud_share": PUBLISHED_FRAUD_SHARE if full else None,
        "payments_a_day": payments / law.days,
        "expected_payments_a_day": expected["payments"] / law.days,
        "customers_a_day": _customers_a_day(law, table),
        "expected_customers_a_day": expected["customers_a_day"],
        "by_scenario": {
            name: {
                "payments": (found := int((table.scenario == code).sum())),
                "share": _share(found, payments),
                "expected_share": expected[name],
            }
            for code, name in enumerate(SCENARIOS, 1)
        },
        "amount_minor": _amounts(table, expected),
    }


def expectations(law: Law) -> dict[str, float]:
    """Expected values by name, from the law alone.

    A payment falls inside its day with P = 1 - 2 F(-2.16), F the normal distribution; rates are
    even on 0 to 4. The share of each scenario is what the later ones leave of it. Everybody is
    taken to have a terminal in reach, which holds at full size.
    """
    inside = 1 - 2 * _normal(-law_of.NOON_S / law_of.TIME_SPREAD_S)
    payments = law.customers * law.days * inside * law_of.RATE_MAX / 2
    busiest = law_of.RATE_MAX * inside
    days = range(law.days)
    # A payment of day d is taken by a window that began on any of min(d + 1, length) days.
    good_terminal = 1 - law_of.BAD_TERMINALS_A_DAY / law.terminals
    terminal = _mean(1 - good_terminal ** min(day + 1, law_of.BAD_DAYS) for day in days)
    leaked = _mean(1 - math.prod(1 - _picked(law, inside, day, at) for at in _starts(day))
                   for day in days)  # fmt: skip
    over = 1 - _honest_share_below(law_of.LARGE_MINOR + 0.5)
    found = {
        "payments": payments,
        "customers_a_day": law.customers * (1 - (1 - math.exp(-busiest)) / busiest),
        "large_amount": over * (1 - terminal) * (1 - leaked),
        "bad_terminal": terminal * (1 - leaked),
        "leaked_customer": leaked,
    }
    mean = (law_of.MEAN_MIN_MINOR + law_of.MEAN_MAX_MINOR) / 2
    # The mean of |drawn| and redrawn amounts is m (1 + f(2) / 2), f the normal density.
    honest = mean * (1 + math.exp(-2.0) / math.sqrt(2 * math.pi) / 2)
    found["amount_mean"] = honest * (1 + (law_of.LEAK_FACTOR - 1) * leaked)
    for percent in PERCENTILES:
        found[_percentile(percent)] = _solve(
            lambda amount: (
                (1 - leaked) * _honest_share_below(amount)
                + leaked * _honest_share_below(amount / law_of.LEAK_FACTOR)
            ),
            percent / 100,
        )
    return found


def _picked(law: Law, inside: float, day: int, start: int) -> float:
    """Chance that the leak begun on day ``start`` picks a given payment of ``day``.

    Of N payments floor(N / 3) are picked, on average (E N - 1) / 3.
    """
    length = min(law_of.LEAK_DAYS, law.days - start)
    pool = law_of.LEAKS_A_DAY * law_of.RATE_MAX / 2 * inside * length
    return law_of.LEAKS_A_DAY / law.customers * max(0.0, 1 - 1 / pool) / law_of.LEAK_PART


def _starts(day: int) -> range:
    return range(max(0, day - law_of.LEAK_DAYS + 1), day + 1)


def _honest_share_below(amount_minor: float) -> float:
    """Share of amounts below ``amount_minor`` before the frauds, over all customers' means.

    For mean m: F(2 a / m - 2) - F(-2) of the first draw, F(-2) times a / 2m of the second.
    """
    mean = _means()
    first = _normals(2 * amount_minor / mean - 2) - _normal(-2.0)
    second = _normal(-2.0) * np.minimum(1.0, amount_minor / (2 * mean))
    return float((first + second).mean())


def _means() -> NDArray[np.float64]:
    """Midpoints of equal steps over the range of the customers' mean amounts."""
    steps = (np.arange(_STEPS) + 0.5) / _STEPS
    return law_of.MEAN_MIN_MINOR + steps * (law_of.MEAN_MAX_MINOR - law_of.MEAN_MIN_MINOR)


def _solve(share_below: Callable[[float], float], share: float) -> float:
    low, high = 0.0, 200_000.0
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if share_below(middle) < share else (low, middle)
    return (low + high) / 2


def _normal(x: float) -> float:
    return 0.5 * (1 + math.erf(x / math.sqrt(2)))


def _normals(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([_normal(value) for value in x.tolist()])


def _customers_a_day(law: Law, table: Table) -> float:
    day = (table.time_ms - law.start_ms) // law_of.DAY_MS
    return len(np.unique(day * law.customers + table.customer)) / law.days


def _amounts(table: Table, expected: dict[str, float]) -> dict[str, dict[str, float | None]]:
    amounts = table.amount_minor
    none = len(table) == 0
    found: dict[str, dict[str, float | None]] = {
        "mean": {
            "value": None if none else float(amounts.mean()),
            "expected": expected["amount_mean"],
        }
    }
    for percent in PERCENTILES:
        name = _percentile(percent)
        value = None if none else float(np.percentile(amounts, percent))
        found[name] = {"value": value, "expected": expected[name]}
    return found


def _percentile(percent: int) -> str:
    return f"p{percent:02d}"


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return math.fsum(listed) / len(listed)
