"""A latency histogram of bounded size: log-spaced buckets, 1 % wide."""

from __future__ import annotations

import math

_GROWTH = math.log(1.01)
_SMALLEST_MS = 0.01
_BUCKETS = 2048  # 0.01 ms * 1.01^2047 is over 7,000 s


class Histogram:
    """Counts of latencies in milliseconds; percentiles are right to 1 %."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0

    def add(self, value_ms: float) -> None:
        """Count one latency."""
        place = int(math.log(max(value_ms, _SMALLEST_MS) / _SMALLEST_MS) / _GROWTH)
        self._counts[min(place, _BUCKETS - 1)] += 1
        self.count += 1

    def percentile(self, share: float) -> float | None:
        """The latency in milliseconds that ``share`` (0 to 1) of the counted do not exceed.

        None where nothing was counted.
        """
        if not self.count:
            return None
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for place, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return round(_SMALLEST_MS * math.exp((place + 1) * _GROWTH), 3)
        raise AssertionError("counts do not add up")

    def summary(self) -> dict[str, float | None]:
        """p50, p99 and p999 in milliseconds, as reports carry them."""
        return {
            "p50": self.percentile(0.50),
            "p99": self.percentile(0.99),
            "p999": self.percentile(0.999),
        }
