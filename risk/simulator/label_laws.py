"""Label laws: who finds a fraud out, by which label, how late, and how often nobody does."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

_HOUR_MS: Final = 3_600_000
Reporter = Literal["cardholder", "account holder", "issuer", "merchant", "bank's analyst"]
FraudLabel = Literal["chargeback", "fraud_report", "analyst_fraud"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way in which a case is found out, taken by ``share`` of the cases.

    The delay from the first payment of the case to the label is ``earliest_hours`` plus a
    log-normal wait whose logarithm spreads by ``sigma``; ``median_hours`` is the median of the
    whole. Of the labels that are disputes the merchant wins ``won_share``, each time
    ``won_median_hours`` (median, same spread) after the first label. Raises ValueError where a
    number is out of range.
    """

    reporter: Reporter
    label: FraudLabel
    share: float
    median_hours: float
    earliest_hours: float = 0.5
    sigma: float = 0.9
    won_share: float = 0.0
    won_median_hours: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or not 0 <= self.won_share <= 1:
            raise ValueError(f"{self.label}: a share lies between 0 and 1")
        if not 0 <= self.earliest_hours < self.median_hours or self.sigma < 0:
            raise ValueError(
                f"{self.label}: the median must be later than the earliest hour, sigma at least 0"
            )
        if (self.won_share > 0) != (self.won_median_hours > 0):
            raise ValueError(f"{self.label}: disputes won need a share and a median")

    def delay_ms(self, rng: Random) -> int:
        """Milliseconds from the first payment of the case to the label, at least the earliest."""
        wait_hours = (self.median_hours - self.earliest_hours) * _spread(rng, self.sigma)
        return round((self.earliest_hours + wait_hours) * _HOUR_MS)


@dataclass(frozen=True, slots=True)
class Notice:
    """What becomes known of one case: ``delay_ms`` after its first payment, and by which label.

    ``won_after_ms`` is the wait from the label to the dispute won; None where none is won.
    """

    reporter: Reporter
    label: FraudLabel
    delay_ms: int
    won_after_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LabelLaw:
    """How cases become known: at most one of ``ways``, else never.

    ``declined_share`` of the declined attempts of a case that is found out get a label too; a
    declined attempt took no money, so in place of a chargeback it gets a fraud report.
    """

    ways: tuple[Way, ...]
    declined_share: float = 0.6

    def __post_init__(self) -> None:
        if not self.ways or self.known_share > 1 + 1e-9:
            raise ValueError("a label law has at least one way, and shares of at most 1 together")
        if not 0 <= self.declined_share <= 1:
            raise ValueError("declined_share lies between 0 and 1")

    @property
    def known_share(self) -> float:
        """Share of cases that ever get a label."""
        return math.fsum(way.share for way in self.ways)

    @property
    def never_share(self) -> float:
        """Share of cases that nobody ever reports."""
        return max(0.0, 1 - self.known_share)

    def draw(self, rng: Random) -> Notice | None:
        """The fate of one case; None where nobody ever reports it."""
        chance = rng.random()
        for way in self.ways:
            if chance < way.share:
                delay_ms = way.delay_ms(rng)
                if rng.random() >= way.won_share:
                    return Notice(way.reporter, way.label, delay_ms)
                won_ms = round(way.won_median_hours * _spread(rng, way.sigma) * _HOUR_MS)
                return Notice(way.reporter, way.label, delay_ms, max(1, won_ms))
            chance -= way.share
        return None


def _spread(rng: Random, sigma: float) -> float:
    """A log-normal factor with median 1."""
    return math.exp(rng.gauss(0.0, sigma)) if sigma else 1.0
