"""How far today's values lie from those of training: exact definitions, without memory.

A column is counted in bins that its reference fixes (``models.drift_reference``); what is missing
has a bin of its own. With the shares ``e`` of the reference and ``a`` of today:

- PSI is ``sum((a - e) * ln(a / e))``, the population stability index (Siddiqi, Credit Risk
  Scorecards, 2006), which is Jeffreys' divergence. So that an empty bin does not make it endless,
  half a value is added to every bin of both sides before shares are taken.
- JS is ``H((a + e) / 2) - (H(a) + H(e)) / 2`` with entropies ``H`` in bits, the Jensen-Shannon
  divergence (Lin, Divergence measures based on the Shannon entropy, 1991), of plain shares: 0
  where they are equal, 1 where no bin is shared.
- Where nothing drifted, PSI is about ``(1/n + 1/m)`` times a chi-square number of as many degrees
  of freedom as bins less one (Yurdakul, Statistical Properties of PSI, 2018). ``noise`` is its
  99.9 % point: below that a value says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

Counts = Sequence[int] | NDArray[np.int64]
PSI_MAX: Final = 0.2
ADDED: Final = 0.5
_NOISE_Z: Final = 3.0902  # the 99.9 % point of the normal distribution


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column has moved. ``drifted``: PSI is over the threshold and the noise."""

    name: str
    psi: float
    js: float
    noise: float
    missing: float
    missing_reference: float
    drifted: bool


def psi(reference: Counts, today: Counts) -> float:
    """The population stability index of counts in the same bins; 0 or more.

    >>> psi([50, 50], [50, 50])
    0.0
    >>> round(psi([500, 500], [800, 200]), 3)
    0.415
    """
    e, a = _smoothed(reference), _smoothed(today)
    return float(np.sum((a - e) * np.log(a / e)))


def js(reference: Counts, today: Counts) -> float:
    """The Jensen-Shannon divergence in bits, 0 to 1; 0 where either side is empty.

    >>> js([10, 0], [0, 3]), js([1, 1], [2, 2])
    (1.0, 0.0)
    """
    e, a = np.asarray(reference, np.float64), np.asarray(today, np.float64)
    if not e.sum() or not a.sum():
        return 0.0
    e, a = e / e.sum(), a / a.sum()
    found = _entropy((a + e) / 2.0) - (_entropy(a) + _entropy(e)) / 2.0
    return min(1.0, max(0.0, found))


def noise(reference: Counts, today: Counts) -> float:
    """The PSI that chance alone exceeds once in a thousand times; endless where a side is empty.

    The chi-square point is that of Wilson and Hilferty (1931). Bins that both sides lack do not
    count.
    """
    e, a = np.asarray(reference), np.asarray(today)
    n, m = int(e.sum()), int(a.sum())
    if n == 0 or m == 0:
        return float("inf")
    freedom = max(1, int(np.count_nonzero(e + a)) - 1)
    part = 2.0 / (9.0 * freedom)
    return (1.0 / n + 1.0 / m) * freedom * float((1.0 - part + _NOISE_Z * part**0.5) ** 3)


def compared(name: str, reference: Counts, today: Counts, psi_max: float = PSI_MAX) -> Drift:
    """The drift of one column; the last bin of both is that of what is missing."""
    index, floor = psi(reference, today), noise(reference, today)
    return Drift(
        name=name,
        psi=index,
        js=js(reference, today),
        noise=floor,
        missing=_last(today),
        missing_reference=_last(reference),
        drifted=index > psi_max and index > floor,
    )


def _last(counts: Counts) -> float:
    total = int(np.sum(counts))
    return int(counts[-1]) / total if total else 0.0


def _smoothed(counts: Counts) -> NDArray[np.float64]:
    added = np.asarray(counts, np.float64) + ADDED
    return np.asarray(added / added.sum())


def _entropy(shares: NDArray[np.float64]) -> float:
    known = shares[shares > 0.0]
    return float(-(known * np.log(known)).sum() / log(2.0))
