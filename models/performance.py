"""How well payments were judged, although many labels have not come yet.

**Mature**: only payments that had the whole label delay; labels count as they stand.

**Corrected**: every payment old enough. Of the frauds as old as ``t`` the share ``F(t)`` has been
reported, so each that is known counts ``1 / F(t)`` times (inverse probability weighting: Horvitz
and Thompson, 1952). ``F`` comes from the delays of past labels. Those are truncated: a fraud of age
``t`` is only seen with a delay up to ``t``. So ``F(d) = product over delays u > d of
(1 - N(u) / R(u))``: ``N(u)`` frauds came after exactly ``u``; ``R(u)`` came by ``u`` and are at
least ``u`` old (the product-limit estimate of right-truncated times: Lagakos, Barraj and De
Gruttola 1988; Kalbfleisch and Lawless 1989). It knows nothing of delays longer than any that was
seen. Payments so young that ``F`` is under ``REPORTED_MIN`` are left out and counted.

Intervals: 95 %, accounts drawn again with all their payments, ``F`` estimated anew each time.
What was blocked seldom gets a label, whatever it was: see ``blocked`` and ``blocked_labelled``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.measures import Interval
from risk.domain.errors import BadConfiguration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

DAY_MS: Final = 24 * 60 * 60 * 1000
REPORTED_MIN: Final = 0.1
FRAUDS_MIN: Final = 5
REPLICATES: Final = 200
NAMES: Final = (
    "average_precision", "precision", "recall", "fraud_money_caught", "good_stopped_per_fraud",
    "frauds", "fraud_minor", "fraud_caught_minor", "good_stopped_minor",
)  # fmt: skip
_AGES_DAYS: Final = (0.25, 0.5, 1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60, 90, 120)


class Judged(NamedTuple):
    """Payments, a column each: ``age_ms`` and ``delay_ms`` (of frauds; -1 of others) at one moment.

    ``stopped`` were reviewed or blocked; ``amount`` is in base minor units, -1 without a rate;
    ``score`` NaN where there was none; ``account`` a number from 0.
    """

    score: Floats
    stopped: Flags
    amount: Ints
    account: Ints
    age_ms: Ints
    delay_ms: Ints


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """``n`` payments looked at and the figures of ``NAMES`` by name."""

    n: int
    figures: dict[str, Interval]


class Performance(msgspec.Struct, frozen=True, kw_only=True):
    """The report. Shares are of all payments; ``curve`` is ``F`` by age in days."""

    n: int
    frauds_known: int
    immature_share: float
    too_young_share: float
    curve: list[tuple[float, float]]
    longest_delay_days: float
    mature: Figures | None
    corrected: Figures


def reported(
    delay_ms: Ints, age_ms: Ints, weight: Floats | None = None
) -> Callable[[Ints], Floats]:
    """``F``: the share of frauds that are known at an age, from those known by now.

    ``delay_ms`` (k,) is how long each took, ``age_ms`` (k,) how old it is, not less.

    >>> share = reported(np.array([1, 2]), np.array([9, 9]))
    >>> share(np.array([0, 1, 2, 5])).tolist()
    [0.0, 0.5, 1.0, 1.0]
    """
    weight = np.ones(len(delay_ms)) if weight is None else weight
    delays, place = np.unique(delay_ms, return_inverse=True)
    came = np.bincount(place, weights=weight, minlength=len(delays))
    order = np.argsort(age_ms, kind="stable")
    gone = np.concatenate([[0.0], np.cumsum(weight[order])])
    at_risk = np.cumsum(came) - gone[np.searchsorted(age_ms[order], delays, side="left")]
    stays = 1.0 - np.divide(came, at_risk, out=np.zeros(len(delays)), where=at_risk > 0)
    # The share by delay i is what is left after the factors of all longer delays.
    shares = np.append(np.cumprod(np.maximum(stays, 0.0)[::-1])[::-1], 1.0)

    def share(ages: Ints) -> Floats:
        return np.asarray(shares[np.searchsorted(delays, ages, side="right")])

    return share


def performance(
    of: Judged, label_delay_ms: int, seed: int = 1, replicates: int = REPLICATES
) -> Performance:
    """Measure ``of``; raises BadConfiguration where too few frauds are known."""
    fraud = of.delay_ms >= 0
    known = int(fraud.sum())
    if known < FRAUDS_MIN:
        raise BadConfiguration(
            f"performance: {known} frauds are known in {len(fraud)} payments, at least"
            f" {FRAUDS_MIN} are needed; take a longer or an earlier range"
        )
    share = reported(of.delay_ms[fraud], of.age_ms[fraud])
    mature = of.age_ms >= label_delay_ms
    told = share(of.age_ms) >= REPORTED_MIN
    ages = [(float(days), _at(share, days)) for days in _AGES_DAYS]
    return Performance(
        n=len(fraud),
        frauds_known=known,
        immature_share=1.0 - float(mature.mean()),
        too_young_share=1.0 - float(told.mean()),
        curve=ages,
        longest_delay_days=float(of.delay_ms.max()) / DAY_MS,
        mature=None
        if not fraud[mature].any()
        else _figures(_part(of, mature), seed, replicates, corrected=False),
        corrected=_figures(of, seed, replicates, corrected=True),
    )


def _at(share: Callable[[Ints], Floats], days: float) -> float:
    return float(share(np.array([round(days * DAY_MS)]))[0])


def _part(of: Judged, kept: Flags | Ints) -> Judged:
    return Judged(
        of.score[kept], of.stopped[kept], of.amount[kept], of.account[kept], of.age_ms[kept],
        of.delay_ms[kept],
    )  # fmt: skip


def _figures(of: Judged, seed: int, replicates: int, *, corrected: bool) -> Figures:
    ready = _Ready(of, corrected=corrected)
    people = np.unique(of.account)
    size = int(of.account.max()) + 1
    value = ready.under(np.ones(size))
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = []
    for _ in range(replicates):
        again = people[rng.integers(0, len(people), len(people))]
        drawn.append(ready.under(np.bincount(again, minlength=size).astype(np.float64)))
    columns = {name: np.array([one[name] for one in drawn]) for name in NAMES}
    return Figures(
        n=ready.n, figures={name: _interval(value[name], columns[name]) for name in NAMES}
    )


def _interval(value: float, drawn: Floats) -> Interval:
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return Interval(value=value, low=float("nan"), high=float("nan"))
    low, high = np.quantile(known, (0.025, 0.975)).tolist()
    return Interval(value=value, low=low, high=high)


class _Ready:
    """Payments sorted by score once, those without a score last."""

    def __init__(self, of: Judged, *, corrected: bool) -> None:
        order = np.argsort(-np.nan_to_num(of.score, nan=-1.0), kind="stable")
        self._of = _part(of, order)
        self._corrected = corrected
        self._fraud = self._of.delay_ms >= 0
        self._amount = np.maximum(self._of.amount, 0).astype(np.float64)
        score = np.nan_to_num(self._of.score, nan=-1.0)
        self._ends = np.flatnonzero(np.append(score[1:] != score[:-1], True))
        self.n = int(self._weights(np.ones(len(score)))[0].astype(bool).sum())

    def _weights(self, weight: Floats) -> tuple[Floats, Floats]:
        """Of each payment how often it counts, and how many frauds it stands for."""
        fraud = weight * self._fraud
        if not self._corrected:
            return weight, fraud
        kept = self._fraud & (weight > 0)
        if not kept.any():
            return np.zeros(len(weight)), np.zeros(len(weight))
        of = self._of
        share = reported(of.delay_ms[kept], of.age_ms[kept], weight[kept])(of.age_ms)
        told = share >= REPORTED_MIN
        return weight * told, np.where(told, fraud / np.maximum(share, REPORTED_MIN), 0.0)

    def under(self, by_account: Floats) -> Mapping[str, float]:
        """The figures where each account counts ``by_account`` times."""
        count, fraud = self._weights(by_account[self._of.account])
        stopped = self._of.stopped
        frauds, caught = float(fraud.sum()), float(fraud[stopped].sum())
        harmed = max(0.0, float(count[stopped].sum()) - caught)
        money = fraud * self._amount
        stopped_minor = float((count * self._amount)[stopped].sum())
        caught_minor = float(money[stopped].sum())
        return {
            "average_precision": self._ranking(count, fraud),
            "precision": _over(caught, caught + harmed),
            "recall": _over(caught, frauds),
            "fraud_money_caught": _over(caught_minor, float(money.sum())),
            "good_stopped_per_fraud": _over(harmed, caught),
            "frauds": frauds,
            "fraud_minor": float(money.sum()),
            "fraud_caught_minor": caught_minor,
            "good_stopped_minor": max(0.0, stopped_minor - caught_minor),
        }

    def _ranking(self, count: Floats, fraud: Floats) -> float:
        caught, seen = np.cumsum(fraud)[self._ends], np.cumsum(count)[self._ends]
        if caught[-1] == 0.0:
            return float("nan")
        # A few young frauds may stand for more than all payments above them.
        precision = np.minimum(1.0, caught / np.maximum(seen, 1e-300))
        return float((np.diff(caught, prepend=0.0) * precision).sum() / caught[-1])


def _over(above: float, below: float) -> float:
    return above / below if below else float("nan")
