"""The Handbook world's published protocol: 15 baseline features, splits, metrics.

A label is known 7 days after its payment. Rows are payment numbers of the world's table
everywhere, so that features of any other origin can be measured on the same splits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from models.card_precision import card_precision
from models.evaluate import auc, average_precision
from risk.domain.errors import BadConfiguration
from risk.simulator.handbook_law import DAY_MS, Table

DELAY_DAYS: Final = 7
TRAIN_DAYS: Final = 7
TEST_DAYS: Final = 7
WINDOW_DAYS: Final = (1, 7, 30)
NIGHT_ENDS_HOUR: Final = 7
CARDS: Final = 100

FEATURES: Final = (
    "amount_minor", "weekend", "night",
    *(f"customer_{what}_{days}d" for days in WINDOW_DAYS for what in ("payments", "mean_minor")),
    *(f"terminal_{what}_{days}d" for days in WINDOW_DAYS for what in ("payments", "fraud_share")),
)  # fmt: skip

Protocol = Literal["one", "folds", "choice"]
_WEEK_MS = 7 * DAY_MS
_ONE_MS = 1_532_476_800_000  # 2018-07-25T00:00:00Z
# Where training starts: the one split; the four test folds; the four folds (from 2018-06-20)
# on which models are chosen, since that may never be done on the test folds.
STARTS_MS: Final[dict[Protocol, tuple[int, ...]]] = {
    "one": (_ONE_MS,),
    "folds": tuple(_ONE_MS + week * _WEEK_MS for week in range(4)),
    "choice": tuple(_ONE_MS + week * _WEEK_MS for week in range(-5, -1)),
}

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fold:
    """Payment numbers to train and to test on, ascending; the test starts at ``test_ms``."""

    train: Ints
    test: Ints
    start_ms: int
    test_ms: int


@dataclass(frozen=True, slots=True)
class Metrics:
    """AUC ROC, average precision and CP@100 on the test part of a fold."""

    auc_roc: float
    average_precision: float
    card_precision_at_100: float


def baseline_features(table: Table) -> Floats:
    """The published features in the order of ``FEATURES``, shape (n, 15), never NaN.

    With t the payment's time and w = 1, 7, 30 days: count and mean amount of the customer's
    payments in (t - w, t], itself and others of the same millisecond included; count and share of
    frauds of the terminal's payments in (t - 7 d - w, t - 7 d], 0 where there are none. Weekend
    and night (00:00-06:59) are UTC.
    """
    matrix = np.empty((len(table), len(FEATURES)))
    matrix[:, 0] = table.amount_minor
    matrix[:, 1] = (table.time_ms // DAY_MS + 3) % 7 >= 5  # 1970-01-01 was a Thursday
    matrix[:, 2] = table.time_ms % DAY_MS < NIGHT_ENDS_HOUR * 3_600_000
    customers = _History(table.customer, table.time_ms, table.amount_minor)
    terminals = _History(table.terminal, table.time_ms, table.fraud.astype(np.int64))
    for column, days in enumerate(WINDOW_DAYS):
        count, total = customers.window(0, days * DAY_MS)
        matrix[:, 3 + 2 * column] = count
        matrix[:, 4 + 2 * column] = total / count
        count, total = terminals.window(DELAY_DAYS * DAY_MS, days * DAY_MS)
        matrix[:, 9 + 2 * column] = count
        matrix[:, 10 + 2 * column] = total / np.maximum(count, 1)
    return matrix


def folds(table: Table, protocol: Protocol) -> list[Fold]:
    """The folds of a published protocol, earliest first.

    Raises BadConfiguration where the world does not reach from the first to the last of them.
    """
    return [fold(table, start_ms) for start_ms in STARTS_MS[protocol]]


def fold(table: Table, start_ms: int) -> Fold:
    """Train for 7 days from ``start_ms``, wait 7 days, test for 7 days.

    From each test day every customer is taken out who had a fraud between the first day of
    training and 8 days before that test day: those frauds are known, their cards blocked.
    """
    test_ms = start_ms + (TRAIN_DAYS + DELAY_DAYS) * DAY_MS
    time_ms = table.time_ms
    last_day_ms = test_ms + (TEST_DAYS - 1) * DAY_MS
    if len(table) == 0 or time_ms[0] >= start_ms + DAY_MS or time_ms[-1] < last_day_ms:
        raise BadConfiguration(
            f"handbook: the world has no payments for training from {start_ms} and testing until"
            f" {last_day_ms + DAY_MS} (ms since 1970); draw it at its full length"
        )
    train = np.flatnonzero((time_ms >= start_ms) & (time_ms < start_ms + TRAIN_DAYS * DAY_MS))
    kept = []
    for day in range(TEST_DAYS):
        day_ms = test_ms + day * DAY_MS
        rows = np.flatnonzero((time_ms >= day_ms) & (time_ms < day_ms + DAY_MS))
        known = (time_ms >= start_ms) & (time_ms < day_ms - DELAY_DAYS * DAY_MS)
        blocked = np.unique(table.customer[known & table.fraud])
        kept.append(rows[~np.isin(table.customer[rows], blocked)])
    return Fold(train, np.concatenate(kept), start_ms, test_ms)


def measure(table: Table, of: Fold, score: Floats) -> Metrics:
    """Metrics of ``score``, shape (len(of.test),), higher for riskier."""
    fraud = table.fraud[of.test]
    return Metrics(
        auc(fraud, score),
        average_precision(fraud, score),
        card_precision(
            table.time_ms[of.test] // DAY_MS, table.customer[of.test], fraud, score, CARDS
        ),
    )


def mean_and_spread(measured: Sequence[Metrics]) -> tuple[Metrics, Metrics]:
    """Mean and population standard deviation over folds, as published."""
    rows = np.array(
        [[one.auc_roc, one.average_precision, one.card_precision_at_100] for one in measured]
    )
    return Metrics(*rows.mean(axis=0).tolist()), Metrics(*rows.std(axis=0).tolist())


class _History:
    """Windows over the past of entities: binary search in keys that put each entity's apart."""

    def __init__(self, entity: NDArray[np.int32], time_ms: Ints, amount: Ints) -> None:
        first_ms = int(time_ms[0]) if len(time_ms) else 0
        last_ms = int(time_ms[-1]) if len(time_ms) else 0
        # Longer than the span and the longest window, so that no window reaches a neighbour.
        stride = last_ms - first_ms + (max(WINDOW_DAYS) + DELAY_DAYS + 1) * DAY_MS
        self._key = entity.astype(np.int64) * stride + (time_ms - first_ms)
        order = np.argsort(self._key, kind="stable")
        self._order = order
        self._sorted = self._key[order]
        self._sums = np.concatenate([[0], np.cumsum(amount[order])])

    def window(self, ago_ms: int, width_ms: int) -> tuple[Ints, Ints]:
        """Count and sum over (t - ago - width, t - ago], both (n,), in the rows' own order."""
        start = np.searchsorted(self._sorted, self._sorted - (ago_ms + width_ms), side="right")
        end = np.searchsorted(self._sorted, self._sorted - ago_ms, side="right")
        count = np.empty(len(self._order), dtype=np.int64)
        total = np.empty(len(self._order), dtype=np.int64)
        count[self._order] = end - start
        total[self._order] = self._sums[end] - self._sums[start]
        return count, total
