"""What values looked like in training, in bins: the reference that travels with a model.

It is part of ``metrics.json`` of the bundle, so its bytes are those that were registered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.calibrate import at_prevalence
from models.drift import PSI_MAX, Counts, Drift, compared, js, psi
from risk.domain.errors import BadModel

KEY: Final = "reference"
BINS: Final = 10
SCORE: Final = "score"

Floats = NDArray[np.float64]


class Bins(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column: ``edges`` ascending; bin ``i`` is over edge ``i - 1`` up to edge ``i``, included.

    ``counts`` has one more for what is over the last edge, and one more for what is missing. The
    first edge lies just below the least value of training, the last is the greatest, so what
    training never saw falls into bins of its own.
    """

    edges: list[float]
    counts: list[int]

    def count(self, column: Floats) -> NDArray[np.int64]:
        """How many values of ``column`` (n,) lie in each bin; NaN is missing."""
        place = np.searchsorted(np.array(self.edges), column, side="left")
        place[np.isnan(column)] = len(self.edges) + 1
        return np.bincount(place, minlength=len(self.edges) + 2)

    @staticmethod
    def of(column: Floats) -> Bins:
        """Tenths of ``column`` (n,), fewer where values repeat."""
        known = column[np.isfinite(column)]
        edges: list[float] = []
        if len(known):
            points = np.quantile(known, np.linspace(0.0, 1.0, BINS + 1), method="lower")
            edges = np.unique([np.nextafter(points[0], -np.inf), *points[1:]]).tolist()
        empty = Bins(edges=edges, counts=[])
        return Bins(edges=edges, counts=empty.count(column).tolist())


class Reference(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Features by name on the training part; scores on the part that was only measured."""

    version: Literal[1] = 1
    n: int
    features: dict[str, Bins]
    score: Bins


class CalibrationDrift(msgspec.Struct, frozen=True, kw_only=True):
    """Where frauds lie among the scores, against where the scores say they lie.

    ``psi`` and ``js`` compare, over the bins of the score, the frauds that were found with those
    that the probabilities (moved to the prevalence of these payments) add up to, rounded.
    ``expected`` is their sum at the prevalence of the reference, ``frauds`` what was found.
    """

    n: int
    frauds: int
    expected: float
    psi: float
    js: float
    drifted: bool


def reference_of(names: Sequence[str], matrix: Floats, scores: Floats) -> Reference:
    """The reference of training vectors ``matrix`` (n, F) and of ``scores`` (m,)."""
    columns = {name: Bins.of(matrix[:, place]) for place, name in enumerate(names)}
    return Reference(n=len(matrix), features=columns, score=Bins.of(scores))


def stored(bundle: Bundle) -> Reference:
    """The reference of a registered model; raises BadModel where it has none."""
    try:
        found = msgspec.json.decode(bundle.files["metrics.json"])
        return msgspec.convert(found[KEY], Reference)
    except (KeyError, TypeError, msgspec.DecodeError, msgspec.ValidationError):
        raise BadModel(
            "this model was registered without the reference that drift is measured against;"
            " train again with `weir train`"
        ) from None


def drift(
    of: Reference, names: Sequence[str], matrix: Floats, scores: Floats, psi_max: float = PSI_MAX
) -> tuple[list[Drift], Drift]:
    """The drift of each feature that the reference knows, the largest first, and of the score."""
    found = [
        compared(name, bins.counts, bins.count(matrix[:, names.index(name)]), psi_max)
        for name, bins in of.features.items()
        if name in names
    ]
    found.sort(key=lambda one: (-one.psi, one.name))
    return found, compared(SCORE, of.score.counts, of.score.count(scores), psi_max)


def calibration_drift(
    of: Reference, scores: Floats, fraud: NDArray[np.bool_], psi_max: float = PSI_MAX
) -> CalibrationDrift | None:
    """The drift of calibration on payments whose labels are mature; None without both classes.

    It is told only of what is far over chance: see ``models.drift.compared``.
    """
    frauds = int(fraud.sum())
    if frauds in (0, len(fraud)):
        return None
    probability = at_prevalence(scores, frauds / len(fraud))
    said = _by_bin(of.score, scores, probability)
    seen: Counts = np.round(_by_bin(of.score, scores, fraud.astype(np.float64))).astype(np.int64)
    told: Counts = np.round(said).astype(np.int64)
    return CalibrationDrift(
        n=len(fraud),
        frauds=frauds,
        expected=float(scores.sum()),
        psi=psi(told, seen),
        js=js(told, seen),
        drifted=compared("calibration", told, seen, psi_max).drifted,
    )


def _by_bin(bins: Bins, scores: Floats, weight: Floats) -> Floats:
    place = np.searchsorted(np.array(bins.edges), scores, side="left")
    found = np.bincount(place, weights=weight, minlength=len(bins.edges) + 2)
    return found.astype(np.float64)
