"""The check of a model before it serves: run as a process of its own, with hard limits.

    python -m models.inspection FOLDER

Prints one line of JSON, ``{"problem": null}`` or the reason, and ends with 0 or 1. A model
that crashes, loops or eats memory takes only this process with it.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from pathlib import Path
from typing import Final

import numpy as np

from models.bundle import Bundle, Golden, read_bundle
from models.calibrate import REFERENCE_PREVALENCE
from models.scorer import Scorer
from risk.domain.errors import BadModel

_GIB: Final = 1 << 30
_LIMITS: Final = (
    (resource.RLIMIT_AS, 4 * _GIB),  # libraries map far more than they use
    (resource.RLIMIT_CPU, 10),
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_NOFILE, 64),
    (resource.RLIMIT_CORE, 0),
)
_RAW_MAX: Final = 1e6  # log-odds; an honest model stays below 1,000
_GOLDEN_MIN: Final = 16
_PROBES: Final = 256
_ROW_MS_MAX: Final = 5.0
_VALUE_LINE: Final = re.compile(r"^(leaf_value|internal_value)=(.*)$", re.MULTILINE)


def inspect(bundle: Bundle) -> None:
    """Raise BadModel unless ``bundle`` may serve; says what is wrong with it."""
    _inspect_text(bundle.files["model.txt"].decode())
    if bundle.calibration.reference_prevalence != REFERENCE_PREVALENCE:
        raise BadModel(
            f"scores are calibrated at prevalence {bundle.calibration.reference_prevalence},"
            f" this service reads them at {REFERENCE_PREVALENCE}"
        )
    scorer = bundle.scorer()
    _replay_golden(scorer, bundle.golden)
    _probe(scorer)


def _inspect_text(text: str) -> None:
    """Bound every possible raw score from the text alone."""
    if not re.search(r"^objective=binary(?: |$)", text, re.MULTILINE):
        raise BadModel("the model's objective is not binary")
    if re.search(r"^is_linear=1", text, re.MULTILINE):
        raise BadModel("models with linear leaves are not served: their scores have no bound")
    reach = 0.0
    for name, line in _VALUE_LINE.findall(text):
        values = np.array(line.split(), dtype=np.float64)
        if not np.isfinite(values).all():
            raise BadModel("a leaf of the model holds NaN or infinity")
        if name == "leaf_value":
            reach += float(np.abs(values).max(initial=0.0))
    if not 0.0 < reach < _RAW_MAX:
        raise BadModel(f"the leaves of the model add up to {reach}: no score comes of that")


def _replay_golden(scorer: Scorer, golden: Golden) -> None:
    """Every golden vector must give the recorded bits, alone and in a batch."""
    width = len(scorer.names)
    if any(len(vector) != width for vector in golden.vectors):
        raise BadModel(f"golden vectors must have {width} values each")
    if len(golden.vectors) < _GOLDEN_MIN or len(golden.scores) != len(golden.vectors):
        raise BadModel(f"at least {_GOLDEN_MIN} golden vectors with a score each are needed")
    vectors, expected = golden.matrix(), np.array(golden.scores)
    alone = np.array([scorer.score(row[None, :])[0] for row in vectors])
    for got in (alone, scorer.score(vectors)):
        if not np.array_equal(got, expected):
            place = int(np.flatnonzero(got != expected)[0])
            raise BadModel(
                f"golden vector {place} scores {got[place]!r} here,"
                f" {expected[place]!r} was recorded"
            )


def _probe(scorer: Scorer) -> None:
    """Rows unlike any payment, all missing included, must give probabilities, and soon."""
    width = len(scorer.names)
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(_PROBES, width)) * 10.0 ** rng.integers(-3, 13, size=(_PROBES, 1))
    rows[rng.random(rows.shape) < 0.2] = np.nan
    rows[0] = np.nan
    rows[1], rows[2] = np.inf, -np.inf
    scorer.warm()
    before_s = _cpu_s()
    scores = np.concatenate([scorer.score(row[None, :]) for row in rows])
    row_ms = (_cpu_s() - before_s) * 1000.0 / _PROBES
    if not ((scores > 0.0) & (scores < 1.0)).all():
        raise BadModel("the model gives scores that are no probabilities")
    if row_ms > _ROW_MS_MAX:
        raise BadModel(f"one row takes {row_ms:.1f} ms, at most {_ROW_MS_MAX} ms are allowed")


def _cpu_s() -> float:
    """Processor time of this process: a busy machine must not make a model look slow."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def main() -> int:
    """Limit this process, then inspect the bundle named by the first argument."""
    problem: str | None = None
    os.nice(10)  # the payments go first
    for kind, most in _LIMITS:
        hard = resource.getrlimit(kind)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (least, least))
        except (ValueError, OSError):  # macOS refuses some; the time limit of the parent stays
            continue
    try:
        inspect(read_bundle(Path(sys.argv[1])))
    except BadModel as error:
        problem = str(error)
    except (ValueError, MemoryError, KeyError) as error:
        problem = f"{type(error).__name__}: {error}"
    print(json.dumps({"problem": problem}))
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
