"""How the values of each feature are spread over a history: for people, not for models."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FAMILIES, FEATURE_NAMES, catalogue_digest

_HEAD: Final = """\
# Distributions of the features

Made by `weir features distribution --markdown`; do not edit. Catalogue digest
`{digest}`.

Over {source}: {payments} payments,
{frauds} of them known as fraud at its end. Shares are in percent; quartiles and the 99th
percentile are of the values that are not missing, to four digits. What each feature means stands
in [features.md](features.md).
"""
_COLUMNS: Final = (
    "name", "missing %", "zero %", "25 %", "50 %", "75 %", "99 %",
    "missing % of fraud", "50 % of fraud", "99 % of fraud",
)  # fmt: skip


class Spread(NamedTuple):
    """Of one feature over some payments. Shares 0 to 1; NaN where no value is known."""

    missing: float
    zero: float
    q25: float
    q50: float
    q75: float
    q99: float


class Distribution(NamedTuple):
    """Of one feature over all payments, and over the frauds alone."""

    name: str
    whole: Spread
    fraud: Spread


def distributions(
    matrix: NDArray[np.float64], fraud: NDArray[np.bool_]
) -> tuple[Distribution, ...]:
    """Per feature, in vector order; ``matrix`` (n, F), ``fraud`` (n,)."""
    return tuple(
        Distribution(name, _spread(matrix[:, place]), _spread(matrix[fraud, place]))
        for place, name in enumerate(FEATURE_NAMES)
    )


def _spread(values: NDArray[np.float64]) -> Spread:
    n = max(1, len(values))
    known = np.sort(values[~np.isnan(values)])
    places = (
        [known[int(share * (len(known) - 1))] for share in (0.25, 0.5, 0.75, 0.99)]
        if len(known)
        else [np.nan] * 4
    )
    zero = float(np.count_nonzero(known == 0.0)) / n
    return Spread((len(values) - len(known)) / n, zero, *(float(place) for place in places))


def markdown(found: tuple[Distribution, ...], source: str, payments: int, frauds: int) -> str:
    """The page, family by family."""
    by_name = {one.name: one for one in found}
    digest = catalogue_digest()
    lines = [_HEAD.format(digest=digest, source=source, payments=payments, frauds=frauds)]
    for family, specs in FAMILIES.items():
        lines += [f"## {family.capitalize()}", "", f"| {' | '.join(_COLUMNS)} |"]
        lines.append("|---|" + "--:|" * (len(_COLUMNS) - 1))
        lines += [f"| {' | '.join(_cells(by_name[spec.name]))} |" for spec in specs]
        lines.append("")
    return "\n".join(lines)


def _cells(of: Distribution) -> list[str]:
    whole, fraud = of.whole, of.fraud
    values = [_shown(one) for one in (whole.q25, whole.q50, whole.q75, whole.q99)]
    return [
        f"`{of.name}`",
        f"{100 * whole.missing:.1f}",
        f"{100 * whole.zero:.1f}",
        *values,
        f"{100 * fraud.missing:.1f}",
        _shown(fraud.q50),
        _shown(fraud.q99),
    ]


def _shown(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"
