"""How good scores are, each figure with a bootstrap interval over accounts.

An account's payments belong together, so accounts are drawn again, not payments (Field and Welsh
2007, cluster bootstrap); low and high are the 2.5 % and 97.5 % points. Where there are several
parts (folds), a figure is the mean over them, and an account is drawn for all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.calibrate import at_prevalence
from models.evaluate import ECE_BINS

DAY_MS: Final = 24 * 60 * 60 * 1000
CARDS: Final = 100
REPLICATES: Final = 200
NAMES: Final = (
    "auc_roc", "average_precision", "card_precision_at_100", "brier", "ece",
    "precision_at_threshold", "recall_at_threshold", "fraud_money_caught",
    "good_stopped_per_fraud",
)  # fmt: skip

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and its 95 % interval; null in JSON where it cannot be had."""

    value: float
    low: float
    high: float


class Graded(NamedTuple):
    """Payments with their truth, a column each: ``account`` is 0 or more, ``amount`` minor units.

    ``score`` is calibrated at the reference prevalence. A payment at or above ``threshold`` is
    stopped: reviewed or blocked.
    """

    fraud: Flags
    score: Floats
    account: Ints
    time_ms: Ints
    amount: Ints
    threshold: float


def measured(
    parts: Sequence[Graded], seed: int = 1, replicates: int = REPLICATES
) -> dict[str, Interval]:
    """Every figure of ``NAMES``.

    ``auc_roc``, ``average_precision``, ``card_precision_at_100`` as in ``models.evaluate`` and
    ``models.card_precision``. ``brier`` and ``ece`` compare with what happened, so they are taken
    at the part's own prevalence. ``fraud_money_caught`` is the share of the money of frauds that
    was stopped; ``good_stopped_per_fraud`` good payments stopped for one fraud stopped.
    """
    ready = [_Ready(part) for part in parts]
    accounts = 1 + max(int(part.account.max()) for part in parts)
    paying = np.unique(np.concatenate([part.account for part in parts]))
    whole = _mean([one.under(np.ones(accounts)) for one in ready])
    rng = np.random.Generator(np.random.PCG64(seed))
    rows = []
    for _ in range(replicates):
        drawn = rng.integers(0, len(paying), len(paying))
        weight = np.bincount(paying[drawn], minlength=accounts).astype(np.float64)
        rows.append(_mean([one.under(weight) for one in ready]))
    return {
        name: _interval(value, np.array(column))
        for name, value, column in zip(NAMES, whole, zip(*rows, strict=True), strict=True)
    }


def _interval(value: float, drawn: Floats) -> Interval:
    known = drawn[np.isfinite(drawn)]
    if len(known) == 0:
        return Interval(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(known, (0.025, 0.975)).tolist()
    return Interval(value=value, low=low, high=high)


def _mean(rows: Sequence[Sequence[float]]) -> list[float]:
    return [float(np.mean(column)) for column in zip(*rows, strict=True)]


class _Ready:
    """A part sorted once, so that each drawing costs a few sums."""

    def __init__(self, of: Graded) -> None:
        order = np.argsort(-of.score, kind="stable")
        score = of.score[order]
        self._fraud = of.fraud[order].astype(np.float64)
        self._account = of.account[order]
        self._amount = np.maximum(of.amount[order], 0).astype(np.float64)
        self._ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))
        self._stopped = int(np.count_nonzero(score >= of.threshold))
        self._probability = at_prevalence(score, min(max(float(of.fraud.mean()), 1e-9), 1 - 1e-9))
        self._bins = [rows for rows in np.array_split(np.arange(len(score)), ECE_BINS) if len(rows)]
        self._days = _days(of)

    def under(self, by_account: Floats) -> list[float]:
        """The figures where each account counts ``by_account`` times, in the order of NAMES."""
        weight = by_account[self._account]
        fraud = weight * self._fraud
        good = weight - fraud
        return [
            *self._ranking(fraud, good),
            self._card_precision(by_account),
            *self._calibration(weight, fraud),
            *self._at_threshold(fraud, good),
        ]

    def _ranking(self, fraud: Floats, good: Floats) -> tuple[float, float]:
        caught, passed = np.cumsum(fraud)[self._ends], np.cumsum(good)[self._ends]
        frauds, goods = float(caught[-1]), float(passed[-1])
        if frauds == 0.0 or goods == 0.0:
            return float("nan"), float("nan")
        gained, passing = np.diff(caught, prepend=0.0), np.diff(passed, prepend=0.0)
        auc = float((gained * (goods - passed + passing / 2.0)).sum()) / (frauds * goods)
        # Where nothing of an account was drawn there is no precision, and nothing is gained.
        seen = np.maximum(caught + passed, 1e-300)
        return auc, float((gained * caught / seen).sum()) / frauds

    def _card_precision(self, by_account: Floats) -> float:
        found = np.zeros(len(by_account), np.bool_)
        shares = []
        for account, defrauded in self._days:
            kept = ~found[account]
            weight = by_account[account[kept]]
            before = np.cumsum(weight) - weight
            called = np.clip(CARDS - before, 0.0, weight) * defrauded[kept]
            found[account[kept][called > 0]] = True
            shares.append(float(called.sum()) / CARDS)
        return float(np.mean(shares))

    def _calibration(self, weight: Floats, fraud: Floats) -> tuple[float, float]:
        total = max(float(weight.sum()), 1e-300)
        said = weight * self._probability
        brier = float((weight * (self._probability - self._fraud) ** 2).sum()) / total
        apart = sum(abs(float(said[rows].sum() - fraud[rows].sum())) for rows in self._bins)
        return brier, apart / total

    def _at_threshold(self, fraud: Floats, good: Floats) -> tuple[float, float, float, float]:
        stopped = slice(0, self._stopped)
        caught, harmed = float(fraud[stopped].sum()), float(good[stopped].sum())
        money = fraud * self._amount
        return (
            _over(caught, caught + harmed),
            _over(caught, float(fraud.sum())),
            _over(float(money[stopped].sum()), float(money.sum())),
            _over(harmed, caught),
        )


def _over(above: float, below: float) -> float:
    return above / below if below else float("nan")


def _days(of: Graded) -> list[tuple[Ints, Flags]]:
    """Per day the accounts, riskiest first, and whether each was defrauded on it."""
    day = of.time_ms // DAY_MS
    days = []
    for today in np.unique(day):
        rows = np.flatnonzero(day == today)
        people, place = np.unique(of.account[rows], return_inverse=True)
        riskiest = np.full(len(people), -np.inf)
        np.maximum.at(riskiest, place, of.score[rows])
        defrauded = np.zeros(len(people), np.bool_)
        np.logical_or.at(defrauded, place, of.fraud[rows])
        order = np.argsort(-riskiest, kind="stable")
        days.append((people[order], defrauded[order]))
    return days


def as_json(figures: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    """Plain dictionaries of ``value``, ``low`` and ``high``."""
    return {name: msgspec.structs.asdict(one) for name, one in figures.items()}
