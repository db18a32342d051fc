"""Card precision: how many of the customers whom a team could call each day were defrauded."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def card_precision(
    day: NDArray[np.integer],
    customer: NDArray[np.integer],
    fraud: NDArray[np.bool_],
    score: NDArray[np.float64],
    top: int = 100,
) -> float:
    """Mean over days of the share of defrauded customers among the day's ``top`` riskiest.

    Columns are (n,), a payment each. A customer ranks by the riskiest payment of the day, equal
    scores by customer number, and is defrauded if any payment of the day is fraud. Those found
    leave the later days. The share is of ``top``, also where fewer customers pay. Days are those
    that occur; NaN where there are none. Published in the Fraud Detection Handbook.

    >>> two_days = np.array([1, 1, 2, 2])
    >>> card_precision(two_days, np.array([5, 6, 5, 6]), np.array([True, False, True, True]),
    ...                np.array([0.9, 0.1, 0.9, 0.8]), top=1)
    1.0
    """
    found: NDArray[np.integer] = customer[:0]
    shares: list[float] = []
    for today in np.unique(day):
        rows = np.flatnonzero((day == today) & ~np.isin(customer, found))
        people, place = np.unique(customer[rows], return_inverse=True)
        riskiest = np.full(len(people), -np.inf)
        np.maximum.at(riskiest, place, score[rows])
        defrauded = np.zeros(len(people), dtype=np.bool_)
        np.logical_or.at(defrauded, place, fraud[rows])
        called = np.argsort(-riskiest, kind="stable")[:top]
        caught = people[called[defrauded[called]]]
        found = np.concatenate([found, caught])
        shares.append(len(caught) / top)
    return float(np.mean(shares)) if shares else float("nan")
