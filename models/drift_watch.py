"""Watches the drift of what is served: the newest vectors, as metrics and a line in the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import structlog

from features.catalogue import FEATURE_NAMES
from models.drift import Drift
from models.drift_reference import Reference, drift
from risk.domain.observation import Arrival, Claimed
from risk.judgement import Versions
from risk.observability.metrics import Metrics

KEPT: Final = 4_096  # the newest payments, about 4 MB
FEWEST: Final = 500
_LOG = structlog.get_logger("weir.drift")
Seen = tuple[Arrival, Claimed, float | None]
Find = Callable[[str, str], Reference | None]


class DriftWatch:
    """Keeps the newest vectors and scores of the model that serves (an onlooker of the engine).

    ``find`` gives the reference of a model by its two digests, None where it has none; it may
    read files. Vectors of another model than the newest are let go of.
    """

    def __init__(self, find: Find, metrics: Metrics) -> None:
        self._find = find
        self._metrics = metrics
        self._named = ("", "")
        self._reference: Reference | None = None
        self._looked_for = ("", "")
        self._matrix = np.full((KEPT, len(FEATURE_NAMES)), np.nan)
        self._scores = np.zeros(KEPT)
        self._next = self._filled = 0
        self._told: set[str] = set()

    def saw(self, seen: Sequence[Seen], versions: Versions) -> None:
        """Keep what was decided. Never waits, never raises."""
        named = (versions.digests.model, versions.digests.calibration)
        if named != self._named:
            self._named, self._next, self._filled = named, 0, 0
        for _, claimed, score in seen:
            if claimed.vector is None or score is None:
                continue
            self._matrix[self._next], self._scores[self._next] = claimed.vector, score
            self._next = (self._next + 1) % KEPT
            self._filled = min(KEPT, self._filled + 1)

    async def turn(self) -> None:
        """Measure what is kept, once there is enough of it."""
        if self._filled < FEWEST:
            return
        named, count = self._named, self._filled
        matrix, scores = self._matrix[:count].copy(), self._scores[:count].copy()
        if named != self._looked_for:
            self._reference = await asyncio.to_thread(self._find, *named)
            self._looked_for = named
        if self._reference is None:
            return
        features, score = await asyncio.to_thread(
            drift, self._reference, FEATURE_NAMES, matrix, scores
        )
        self._tell(features, score, count)

    def _tell(self, features: Sequence[Drift], score: Drift, count: int) -> None:
        for one in features:
            self._metrics.set("weir_drift_psi", one.psi, feature=one.name)
        self._metrics.set("weir_drift_score_psi", score.psi)
        drifted = {one.name for one in (*features, score) if one.drifted}
        for one in (*features, score):
            if one.drifted and one.name not in self._told:
                _LOG.warning(
                    "values have drifted from training",
                    part=one.name, count=count, reason=f"PSI {one.psi:.3f}, JS {one.js:.3f}",
                )  # fmt: skip
        self._told = drifted
