"""What would have been stopped, judged by the payments that were let through by chance.

What is stopped seldom gets a label. Of payments that only the model would have stopped, up to an
amount, the policy lets a share through, and each decision states that share (its propensity) as it
was then. An explored payment stands for ``1 / propensity`` that qualified (Horvitz and Thompson
1952); shares are ratios of such sums (Hajek 1971). Only payments that had the whole label delay
count. Nothing is learned of larger payments, nor of those that rules or lists stopped.

Intervals: 95 %, Wilson (1927) with the effective number of payments of Kish (1965),
``(sum w)^2 / sum w^2``: they say something also where no fraud, or nothing but fraud, was found.
"""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.measures import Interval
from risk.domain.errors import BadConfiguration

_Z: Final = 1.959963984540054  # of the normal distribution, 95 % two-sided


class Explored(NamedTuple):
    """Served payments, a column each: ``propensity`` NaN where not explored, ``amount`` in base
    minor units (-1 without a rate), ``age_ms``, and whether fraud is known."""

    propensity: NDArray[np.float64]
    amount: NDArray[np.int64]
    age_ms: NDArray[np.int64]
    fraud: NDArray[np.bool_]


class Unbiased(msgspec.Struct, frozen=True, kw_only=True):
    """The report. ``precision`` is the share of fraud among all payments that qualified: how often
    stopping them was right, or would have been; ``good_share`` is the rest.

    ``stand_for`` and ``frauds`` are estimated numbers of payments that qualified and of frauds
    among them; ``fraud_minor`` and ``good_minor`` their money, base minor units.
    """

    n: int
    explored: int
    immature: int
    frauds_found: int
    propensity_least: float
    amount_most_minor: int
    stand_for: float
    frauds: float
    fraud_minor: float
    good_minor: float
    precision: Interval
    good_share: Interval


def unbiased(of: Explored, label_delay_ms: int) -> Unbiased:
    """The estimate; raises BadConfiguration where the arm was off, or is too young to tell."""
    explored = np.flatnonzero(~np.isnan(of.propensity))
    if len(explored) == 0:
        raise BadConfiguration(
            f"performance: --unbiased: none of {len(of.fraud)} payments was let through by chance;"
            " the exploration arm was off: set explore_share and explore_amount_max_minor of the"
            " policy"
        )
    mature = explored[of.age_ms[explored] >= label_delay_ms]
    if len(mature) == 0:
        raise BadConfiguration(
            f"performance: --unbiased: {len(explored)} payments were let through by chance, and all"
            " are younger than the label delay; wait, or take a shorter --label-delay-days"
        )
    weight = 1.0 / of.propensity[mature]
    fraud, amount = of.fraud[mature], np.maximum(of.amount[mature], 0)
    whole = float(weight.sum())
    share = float(weight[fraud].sum()) / whole
    low, high = wilson(share, whole**2 / float((weight**2).sum()))
    return Unbiased(
        n=len(of.fraud),
        explored=len(explored),
        immature=len(explored) - len(mature),
        frauds_found=int(fraud.sum()),
        propensity_least=float(of.propensity[mature].min()),
        amount_most_minor=int(amount.max()),
        stand_for=whole,
        frauds=share * whole,
        fraud_minor=float((weight * amount)[fraud].sum()),
        good_minor=float((weight * amount)[~fraud].sum()),
        precision=Interval(value=share, low=low, high=high),
        good_share=Interval(value=1.0 - share, low=1.0 - high, high=1.0 - low),
    )


def wilson(share: float, n: float) -> tuple[float, float]:
    """Both ends of the 95 % interval of a share that was seen among ``n``.

    >>> [round(end, 3) for end in wilson(0.0, 10.0)]
    [0.0, 0.278]
    """
    spread = _Z**2 / n
    middle = (share + spread / 2.0) / (1.0 + spread)
    half = _Z * sqrt(share * (1.0 - share) / n + spread / (4.0 * n)) / (1.0 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
