"""A served model: feature vectors in, calibrated probabilities and their reasons out."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.calibrate import Calibration
from models.explain import Contribution, LeafTable, strongest
from models.native import NativeModel
from models.wording import Wording
from risk.domain.errors import BadModel


class Scorer:
    """Pure and immutable: the same row gives the same bits, alone or in a batch.

    ``names`` are the features in the order of the columns. ``version`` is the number in the
    registry, "" where the model came from nowhere else than a folder. ``wording`` is None for
    models from before there was one. Scores are numbers
    always: ``models.inspection`` has bounded the sum of the leaves before a model gets here.
    """

    def __init__(
        self,
        model: NativeModel,
        calibration: Calibration,
        names: tuple[str, ...],
        digests: tuple[str, str],
        version: str = "",
        wording: Wording | None = None,
    ) -> None:
        if model.features != len(names):
            raise BadModel(f"the model reads {model.features} features, {len(names)} are named")
        if wording is not None:
            wording.check(names)
        self._model = model
        self._wording = wording
        self._calibration = calibration
        self.names = names
        self.model_digest, self.calibration_digest = digests
        self.version = version

    def score(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Calibrated probabilities, shape (n,), of vectors (n, F); NaN is missing."""
        rows = self._rows(matrix)
        if len(rows) == 1:
            return np.array([self._calibration.of_one(self._model.raw_row(rows))])
        return self._calibration.of(self._model.raw(rows))

    def raw(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Log-odds before calibration, shape (n,)."""
        return self._model.raw(self._rows(matrix))

    def shap(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Exact TreeSHAP values (Lundberg 2018), log-odds, shape (n, F + 1).

        The last column is what the model expects; a row adds up to its ``raw`` score.
        """
        return self._model.shap(self._rows(matrix))

    def thresholds(self, feature: str) -> list[float]:
        """Where the trees split on ``feature``, ascending; empty where they never do."""
        return self._model.thresholds(self.names.index(feature))

    def reasons(self, matrix: NDArray[np.float64], count: int = 3) -> list[list[Contribution]]:
        """For each row the features that raised its score most, strongest first.

        They carry words where the model has a wording.
        """
        rows = self._rows(matrix)
        if len(rows) == 0:
            return []
        moved = self._leaf_table.contributions(self._model.leaves(rows))
        found = [
            strongest(self.names, row, log_odds, count)
            for row, log_odds in zip(rows, moved, strict=True)
        ]
        wording = self._wording
        if wording is None:
            return found
        return [
            [one._replace(words=wording.features[one.feature].words(one.value)) for one in row]
            for row in found
        ]

    def warm(self) -> None:
        """Build what the first payment would otherwise wait for."""
        self.reasons(np.full((1, len(self.names)), np.nan))

    @cached_property
    def _leaf_table(self) -> LeafTable:
        return LeafTable(self._model)

    def _rows(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        if matrix.ndim != 2 or matrix.shape[1] != len(self.names):
            raise ValueError(f"vectors of shape (n, {len(self.names)}) needed: {matrix.shape}")
        return np.ascontiguousarray(matrix, dtype=np.float64)
