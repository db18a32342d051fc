"""Of each kind of fraud of a made-up world, the share that reviewing the riskiest 1 % finds.

The truth is the simulator's, not what was reported. Where many payments have the score at which
the 1 % ends, each of them counts as reviewed by the share of them that fits, so that no order
among equals makes a figure better. Intervals: 95 %, accounts drawn again with all their payments,
the score at which the 1 % ends kept.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.measures import REPLICATES, Interval

Floats = NDArray[np.float64]
REVIEW_SHARE: Final = 0.01


class OfScenario(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario: its payments, and the share of them that was reviewed."""

    payments: int
    recall: Interval


class Recalls(msgspec.Struct, frozen=True, kw_only=True):
    """All frauds together, and by name. ``good_reviewed`` honest payments were reviewed too."""

    review_share: float
    reviewed: int
    score_at_least: float
    payments: int
    good_reviewed: float
    recall: Interval
    by_name: dict[str, OfScenario]


def by_scenario(
    scenario: NDArray[np.object_],
    score: Floats,
    account: NDArray[np.int64],
    seed: int = 1,
    share: float = REVIEW_SHARE,
) -> Recalls | None:
    """Recall where ``share`` of the payments is reviewed, those with the highest scores.

    Columns are (n,), ``scenario`` "" for honest payments. None where there is no fraud.

    >>> of = by_scenario(np.array(["", "", "theft", "", "theft"], dtype=object),
    ...                  np.array([0.1, 0.2, 0.9, 0.3, 0.1]), np.arange(5), share=0.2)
    >>> of.reviewed, of.by_name["theft"].recall.value
    (1, 0.5)
    """
    names = sorted({str(one) for one in scenario} - {""})
    if not names:
        return None
    reviewed = max(1, round(share * len(score)))
    cut = float(np.partition(score, len(score) - reviewed)[len(score) - reviewed])
    above, level = score > cut, score == cut
    fits = (reviewed - int(above.sum())) / int(level.sum())
    weight = np.where(above, 1.0, np.where(level, fits, 0.0))
    masks = {"": scenario != "", **{name: scenario == name for name in names}}
    return Recalls(
        review_share=share,
        reviewed=reviewed,
        score_at_least=cut,
        payments=int(masks[""].sum()),
        good_reviewed=float(weight[~masks[""]].sum()),
        recall=_recall(weight, account, masks[""], seed),
        by_name={
            name: OfScenario(
                payments=int(masks[name].sum()), recall=_recall(weight, account, masks[name], seed)
            )
            for name in names
        },
    )


def _recall(
    weight: Floats, account: NDArray[np.int64], mask: NDArray[np.bool_], seed: int
) -> Interval:
    """The mean of ``weight`` over ``mask``; only accounts with such payments can change it."""
    _, place = np.unique(account[mask], return_inverse=True)
    found, payments = np.bincount(place, weights=weight[mask]), np.bincount(place)
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = rng.integers(0, len(found), (REPLICATES, len(found)))
    shares = found[drawn].sum(axis=1) / payments[drawn].sum(axis=1)
    low, high = np.quantile(shares, (0.025, 0.975)).tolist()
    return Interval(value=float(found.sum() / payments.sum()), low=low, high=high)
