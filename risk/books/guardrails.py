"""When a fresh book is rolled back: a pure function over counts of decisions."""

from __future__ import annotations

import math
from typing import Final

import msgspec

# One-sided 99.9 %: a book is watched many times, and a false alarm costs a publication.
Z: Final = 3.09


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Decisions of one book. ``good_stopped`` is the sum of 1 - score over what was blocked."""

    payments: int = 0
    blocks: int = 0
    reviews: int = 0
    good_stopped: float = 0.0
    slow: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            payments=self.payments + other.payments,
            blocks=self.blocks + other.blocks,
            reviews=self.reviews + other.reviews,
            good_stopped=self.good_stopped + other.good_stopped,
            slow=self.slow + other.slow,
        )


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """A share may reach ``factor`` times that of the book before, and at least its floor.

    Without ``payments_min`` decisions of the fresh book nothing is said.
    """

    payments_min: int = 200
    factor: float = 2.0
    block_floor: float = 0.05
    review_floor: float = 0.10
    good_stopped_floor: float = 0.02
    slow_floor: float = 0.02


def breach(before: Counts, fresh: Counts, limits: Limits) -> str:
    """Why the fresh book must go, "" where it may stay.

    Only a share whose lower bound (Wilson 1927, one-sided 99.9 %) is above what is allowed
    counts, so that few decisions prove nothing.
    """
    if fresh.payments < limits.payments_min:
        return ""
    for what, now, then, floor in (
        ("blocked", fresh.blocks, before.blocks, limits.block_floor),
        ("sent to review", fresh.reviews, before.reviews, limits.review_floor),
        ("good and blocked", fresh.good_stopped, before.good_stopped, limits.good_stopped_floor),
        ("answered late", fresh.slow, before.slow, limits.slow_floor),
    ):
        usual = then / before.payments if before.payments else 0.0
        allowed = max(floor, limits.factor * usual)
        if lower_bound(now, fresh.payments) > allowed:
            return (
                f"{now / fresh.payments:.1%} of {fresh.payments} payments were {what};"
                f" {allowed:.1%} is allowed, {usual:.1%} of {before.payments} were before"
            )
    return ""


def lower_bound(hits: float, total: int) -> float:
    """Wilson's lower bound of the share ``hits / total``, with ``total`` above 0.

    >>> round(lower_bound(50, 100), 3)
    0.354
    """
    share, square = hits / total, Z * Z
    middle = share + square / (2 * total)
    spread = Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    # Rounding may not lift it above the share itself.
    return min(share, max(0.0, (middle - spread) / (1 + square / total)))
