"""Thresholds from money: where to review and where to block, so that payments cost least.

Costs are those of ``risk.policy.expected_cost``, taken at what really happened: an allowed fraud
costs loss and fee, a blocked good payment goodwill and margin, a review its minutes, and the
shares of both that a reviewer gets wrong. Reviewers have only so many minutes a day: where
reviews would be more, each costs a price on top, the same in every segment, just high enough
(a Lagrange multiplier). A segment with few frauds keeps the thresholds of the whole.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from risk.domain.errors import BadConfiguration
from risk.policy import Policy

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

DAY_MS: Final = 24 * 60 * 60 * 1000
FRAUDS_MIN: Final = 30  # in a segment, else it keeps the thresholds of the whole
REPLICATES: Final = 60
ALL: Final = "all"
_GRID: Final = 120
_LOWEST, _HIGHEST = 1e-4, 0.9995
_PRICES: Final = 40
_PRICE_MAX: Final = 1e9
# Thresholds that are tried: even steps of log-odds, and 1 for never.
GRID: Final = np.concatenate(
    [
        1.0 / (1.0 + np.exp(-np.linspace(np.log(_LOWEST / (1 - _LOWEST)),
                                         np.log(_HIGHEST / (1 - _HIGHEST)), _GRID))),
        [1.0],
    ]
)  # fmt: skip


class Capacity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the reviewers can do: ``reviewers`` people, minutes of work a day, minutes a review."""

    reviewers: float = 2.0
    minutes_a_day: float = 420.0
    minutes_a_review: float = 4.0

    def __post_init__(self) -> None:
        if self.reviewers < 0 or self.minutes_a_day < 0 or not self.minutes_a_review > 0:
            raise BadConfiguration(
                "capacity: reviewers and minutes a day are 0 or more, minutes a review more than 0"
            )

    @property
    def reviews_a_day(self) -> float:
        return self.reviewers * self.minutes_a_day / self.minutes_a_review


class Costs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file of costs: both parts may be left out, and any of their fields."""

    policy: Policy = Policy()
    capacity: Capacity = Capacity()


class Seen(NamedTuple):
    """Payments of a later time with their truth, a column each; ``amount`` minor units.

    ``score`` is calibrated at the reference prevalence; ``segment`` a word per row.
    """

    fraud: Flags
    score: Floats
    amount: Ints
    time_ms: Ints
    account: Ints
    segment: NDArray[np.object_]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """What a pair of thresholds does; money in base minor units over the whole time."""

    review_at: float
    block_at: float
    cost_minor: float
    cost_allowing_all_minor: float
    reviews_a_day: float
    blocked: int
    reviewed: int
    frauds_caught: int
    good_stopped: int


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A segment's thresholds. Intervals are 95 % of choices on accounts drawn again."""

    segment: str
    payments: int
    frauds: int
    own: bool
    point: Point
    review_at_interval: tuple[float, float]
    block_at_interval: tuple[float, float]
    cost_interval_minor: tuple[float, float]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen thresholds, by segment and for the whole, and the curve of the whole.

    ``price_minor`` is what one more review a day would be worth, 0 while capacity suffices.
    """

    days: float
    capacity_a_day: float
    price_minor: float
    chosen: list[Chosen]
    curve: list[Point]


def plan(seen: Seen, policy: Policy, capacity: Capacity, seed: int = 1) -> Plan:
    """Thresholds for all payments and for each segment.

    Raises BadConfiguration without frauds or without good payments.
    """
    frauds = int(seen.fraud.sum())
    if frauds == 0 or frauds == len(seen.fraud):
        raise BadConfiguration(
            f"thresholds: {frauds} frauds among {len(seen.fraud)} payments; take a longer range,"
            " whose labels are known"
        )
    days = max(1.0, (int(seen.time_ms.max()) - int(seen.time_ms.min())) / DAY_MS)
    whole = _Sums(seen, policy, np.ones(len(seen.fraud)))
    price = _price([whole], capacity.reviews_a_day * days)
    rows = {ALL: np.ones(len(seen.fraud), np.bool_)}
    for word in sorted(set(seen.segment.tolist())):
        rows[word] = seen.segment == word
    own = {
        word: mask
        for word, mask in rows.items()
        if word != ALL and FRAUDS_MIN <= int((seen.fraud & mask).sum()) < int(mask.sum())
    }
    parts = [_Sums(_part(seen, mask), policy, np.ones(int(mask.sum()))) for mask in own.values()]
    rest = ~np.any(list(own.values()), axis=0) if own else np.zeros(len(seen.fraud), np.bool_)
    if rest.any() and own:
        parts.append(_Sums(_part(seen, rest), policy, np.ones(int(rest.sum()))))
    by_segment = _price(parts, capacity.reviews_a_day * days) if parts else price
    chosen = []
    for word, mask in rows.items():
        alone = word == ALL or word in own
        asked = price if word == ALL else by_segment
        fixed = None if alone else whole.best(price)
        chosen.append(_chosen(word, _part(seen, mask), policy, (asked, days, seed), fixed))
    return Plan(
        days=days,
        capacity_a_day=capacity.reviews_a_day,
        price_minor=by_segment,
        chosen=chosen,
        curve=[whole.point(at, at, days) for at in range(0, len(GRID) - 1, 2)],
    )


class _Sums:
    """What outcomes cost by threshold: sums over the payments at or above each of ``GRID``."""

    def __init__(self, seen: Seen, policy: Policy, weight: Floats) -> None:
        amount = np.maximum(seen.amount, 0).astype(np.float64)
        fraud = seen.fraud.astype(np.float64) * weight
        good = weight - fraud
        allow = fraud * (policy.loss_share * amount + policy.fee_minor)
        block = good * (policy.stopped_customer_minor + policy.margin_share * amount)
        review = (
            weight * policy.review_minor
            + policy.review_miss_share * allow
            + policy.review_stop_share * block
        )
        place = np.searchsorted(GRID, seen.score, side="right")
        self.count = _above(place, weight)
        self.frauds = _above(place, fraud)
        self._allow, self._block = _above(place, allow), _above(place, block)
        self._review = _above(place, review)
        self._all = float(allow.sum())

    def cost(self, review: Ints | int, block: Ints | int, price: float = 0.0) -> Floats:
        """Cost where payments at GRID[review] or more are reviewed, at GRID[block] blocked."""
        reviewed = self._review[review] - self._review[block]
        reviewed = reviewed + price * (self.count[review] - self.count[block])
        return np.asarray(self._all - self._allow[review] + reviewed + self._block[block])

    def best(self, price: float) -> tuple[int, int]:
        """Places of the cheapest thresholds, review below block; the highest where equal."""
        review, block = np.triu_indices(len(GRID), 1)
        cost = self.cost(review, block, price)
        at = len(cost) - 1 - int(np.argmin(cost[::-1]))
        return int(review[at]), int(block[at])

    def reviews(self, pair: tuple[int, int]) -> float:
        """How many payments a pair of places sends to review."""
        return float(self.count[pair[0]] - self.count[pair[1]])

    def point(self, review: int, block: int, days: float) -> Point:
        """What a pair of places does."""
        return Point(
            review_at=float(GRID[review]),
            block_at=float(GRID[block]),
            cost_minor=float(self.cost(review, block)),
            cost_allowing_all_minor=self._all,
            reviews_a_day=self.reviews((review, block)) / days,
            blocked=round(float(self.count[block])),
            reviewed=round(self.reviews((review, block))),
            frauds_caught=round(float(self.frauds[review])),
            good_stopped=round(float(self.count[review] - self.frauds[review])),
        )


def _above(place: Ints, value: Floats) -> Floats:
    """Sums of ``value`` over the rows at or above each threshold; 0 above the last."""
    at = np.bincount(place, value, minlength=len(GRID) + 1)
    return np.asarray(np.cumsum(at[::-1])[::-1][1 : len(GRID) + 1], dtype=np.float64)


def _price(parts: list[_Sums], reviews_max: float) -> float:
    """The least price of a review at which all parts together ask for at most so many."""

    def asked(price: float) -> float:
        return sum(part.reviews(part.best(price)) for part in parts)

    if asked(0.0) <= reviews_max:
        return 0.0
    low, high = 0.0, 100.0
    while asked(high) > reviews_max and high < _PRICE_MAX:
        low, high = high, high * 4.0
    for _ in range(_PRICES):
        middle = (low + high) / 2.0
        low, high = (low, middle) if asked(middle) <= reviews_max else (middle, high)
    return high


def _chosen(
    word: str,
    seen: Seen,
    policy: Policy,
    asked: tuple[float, float, int],
    fixed: tuple[int, int] | None,
) -> Chosen:
    price, days, seed = asked
    costs = _Sums(seen, policy, np.ones(len(seen.fraud)))
    pair = fixed or costs.best(price)
    rng = np.random.Generator(np.random.PCG64(seed))
    people, place = np.unique(seen.account, return_inverse=True)
    drawn = []
    for _ in range(REPLICATES):
        times = np.bincount(rng.integers(0, len(people), len(people)), minlength=len(people))
        again = _Sums(seen, policy, times[place].astype(np.float64))
        other = fixed or again.best(price)
        drawn.append((GRID[other[0]], GRID[other[1]], float(again.cost(*pair))))
    ends = np.quantile(np.array(drawn), (0.025, 0.975), axis=0).T.tolist()
    review, block, cost = ((low, high) for low, high in ends)
    return Chosen(
        segment=word,
        payments=len(seen.fraud),
        frauds=int(seen.fraud.sum()),
        own=fixed is None,
        point=costs.point(*pair, days),
        review_at_interval=review,
        block_at_interval=block,
        cost_interval_minor=cost,
    )


def _part(seen: Seen, mask: Flags) -> Seen:
    return Seen(
        seen.fraud[mask], seen.score[mask], seen.amount[mask], seen.time_ms[mask],
        seen.account[mask], seen.segment[mask],
    )  # fmt: skip
