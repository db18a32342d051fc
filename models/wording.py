"""What a model may say of a payment: sentences of features, and what is usual for good payments.

The file ``usual.json`` of a bundle. Its digest stands in ``calibration.json``, which decisions name
by digest: so the words of a decision can be made again, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isnan
from typing import Annotated, Final, Literal, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from risk.domain.errors import BadModel
from risk.judgement import plain

USUAL: Final = "usual.json"
_LOW, _HIGH = 0.05, 0.95

_Text = Annotated[str, msgspec.Meta(max_length=400)]


class Described(Protocol):
    """A feature with its sentence (ends with a stop) and unit."""

    @property
    def name(self) -> str: ...

    @property
    def sentence(self) -> str: ...

    @property
    def unit(self) -> str: ...


class Usual(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One feature over good payments of training: its median, and where nine tenths lie.

    ``says`` is the feature's sentence without its stop. ``median`` is null where the value is
    mostly missing; the ends are those of the values that are there.
    """

    says: _Text
    unit: _Text
    median: float | None
    low: float | None
    high: float | None

    def words(self, value: float) -> str:
        """A sentence: what the feature says, ``value`` (NaN is missing), and what is usual.

        >>> Usual(says="Payments", unit="payments", median=1.0, low=0.0, high=4.0).words(9.0)
        'Payments: 9, usually 1; for 90 of 100 good payments 0 to 4 (payments).'
        """
        said = f"{self.says}: {plain(value)}, usually {_told(self.median)}"
        if self.low is not None and self.high is not None:
            said += f"; for 90 of 100 good payments {plain(self.low)} to {plain(self.high)}"
        return f"{said} ({self.unit})."


class Wording(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file ``usual.json``."""

    version: Literal[1] = 1
    features: dict[str, Usual]

    def check(self, names: tuple[str, ...]) -> None:
        """Raise BadModel unless it speaks of exactly the features ``names``."""
        different = sorted(set(self.features) ^ set(names))
        if different:
            raise BadModel(f"{USUAL} and features.json differ in {', '.join(different[:5])}")


def wording_of(
    described: Mapping[str, Described],
    names: tuple[str, ...],
    matrix: NDArray[np.float64],
    fraud: NDArray[np.bool_],
) -> Wording:
    """What is usual in the good rows of ``matrix`` (n, F), whose columns are ``names``."""
    good = ~fraud
    return Wording(
        features={
            name: _usual(described[name], matrix[good, place]) for place, name in enumerate(names)
        }
    )


def _usual(of: Described, column: NDArray[np.float64]) -> Usual:
    known = column[~np.isnan(column)]
    low, median, high = (
        np.quantile(known, (_LOW, 0.5, _HIGH), method="lower").tolist()
        if len(known)
        else (None, None, None)
    )
    mostly_there = 2 * len(known) > len(column)
    return Usual(
        says=of.sentence.rstrip("."),
        unit=of.unit,
        median=median if mostly_there else None,
        low=low,
        high=high,
    )


def _told(value: float | None) -> str:
    return "missing" if value is None or isnan(value) else plain(value)
