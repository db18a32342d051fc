"""How long training takes without tuning: made-up rows, fixed settings, calibration.

    weir bench train --rows 1000000 --features 120 --report train.json

Exit code 1 where it took more than 10 minutes or 6 GB (scaled down with the rows, for time).
Report keys: rows, features, frauds, rounds, seconds, boost_seconds, calibrate_seconds, rss_mb,
seconds_max, rss_mb_max, passed.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from models.boosting import FIXED, ROUNDS, boost
from models.calibration_choice import choose
from models.native import NativeModel
from risk.domain.clock import SystemClock

SECONDS_MAX: Final = 600.0
RSS_MB_MAX: Final = 6 * 1024.0
_FULL: Final = 1_000_000
_FRAUD_SHARE: Final = 0.005


def main() -> int:
    """Measure, print, write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=_FULL)
    parser.add_argument("--features", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--report", type=Path)
    asked = parser.parse_args()
    found = measure(asked.rows, asked.features, asked.seed)
    print(json.dumps(found, indent=1))
    if asked.report:
        asked.report.write_text(json.dumps(found, indent=1) + "\n")
    return 0 if found["passed"] else 1


def measure(rows: int, features: int, seed: int) -> dict[str, Any]:
    """Train on four fifths of made-up rows, calibrate on the rest."""
    clock = SystemClock()
    rng = np.random.Generator(np.random.PCG64(seed))
    matrix = rng.gamma(1.5, 4.0, size=(rows, features))
    matrix[:, ::3] = np.round(matrix[:, ::3])  # counts among amounts
    strength = matrix[:, :8].sum(axis=1) + rng.normal(0.0, 6.0, rows)
    fraud = strength > np.quantile(strength, 1.0 - _FRAUD_SHARE)
    names = [f"feature_{number}" for number in range(features)]
    cut = rows * 4 // 5
    began_s = clock.monotonic_s()
    text = boost(matrix[:cut], fraud[:cut], FIXED, ROUNDS, seed, names, constraints=[0] * features)
    boosted_s = clock.monotonic_s()
    choose(NativeModel(text).raw(matrix[cut:]), fraud[cut:])
    ended_s = clock.monotonic_s()
    rss_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    seconds_max = SECONDS_MAX * min(1.0, rows / _FULL)
    seconds = ended_s - began_s
    return {
        "rows": rows, "features": features, "frauds": int(fraud.sum()), "rounds": ROUNDS,
        "seconds": round(seconds, 2), "boost_seconds": round(boosted_s - began_s, 2),
        "calibrate_seconds": round(ended_s - boosted_s, 2), "rss_mb": round(rss_mb, 1),
        "seconds_max": seconds_max, "rss_mb_max": RSS_MB_MAX,
        "passed": seconds <= seconds_max and rss_mb <= RSS_MB_MAX,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
