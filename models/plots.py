"""Small pictures as SVG text: precision by recall, calibration, and any curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from models.calibrate import at_prevalence
from models.evaluate import Flags, Floats, precision_recall, reliability

_SIZE: Final = 320
_MARGIN: Final = 44
_POINTS: Final = 200
Points = Sequence[tuple[float, float]]


def plots(fraud: Flags, score: Floats) -> dict[str, bytes]:
    """File name to SVG: precision by recall, and observed by predicted share of fraud."""
    precision, recall, _ = precision_recall(fraud, score)
    chosen = np.unique(np.linspace(0, len(recall) - 1, _POINTS).astype(np.int64))
    points = [(float(recall[at]), float(precision[at])) for at in chosen]
    bins = reliability(fraud, at_prevalence(score, float(fraud.mean())))
    most = max(max(mean, share) for mean, share, _ in bins) or 1.0
    shares = [(mean / most, share / most) for mean, share, _ in bins]
    scale = f"(0 to {most:.3g})"
    return {
        "precision_recall.svg": curve("recall", "precision", points),
        "calibration.svg": curve(
            f"predicted share {scale}", f"observed share {scale}", shares, diagonal=True
        ),
    }


def curve(
    x_label: str, y_label: str, points: Points, *, diagonal: bool = False, more: Points = ()
) -> bytes:
    """One line through ``points`` (both from 0 to 1) on a square with labelled sides.

    ``more`` is a second line, in red.
    """
    end = _MARGIN + _SIZE
    side = end + _MARGIN
    line, other = (
        " ".join(f"{_MARGIN + x * _SIZE:.1f},{end - y * _SIZE:.1f}" for x, y in one)
        for one in (points, more)
    )
    second = f'<polyline points="{other}" fill="none" stroke="#c71f16" stroke-width="2"/>'
    guide = (
        f'<line x1="{_MARGIN}" y1="{end}" x2="{end}" y2="{_MARGIN}" stroke="#bbb"/>'
        if diagonal
        else ""
    )
    middle = _MARGIN + _SIZE // 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{side}"'
        ' font-family="sans-serif" font-size="12">'
        f'<rect width="{side}" height="{side}" fill="#fff"/>'
        f'<rect x="{_MARGIN}" y="{_MARGIN}" width="{_SIZE}" height="{_SIZE}" fill="none"'
        ' stroke="#888"/>'
        f"{guide}"
        f'<polyline points="{line}" fill="none" stroke="#1663c7" stroke-width="2"/>'
        f"{second if more else ''}"
        f'<text x="{middle}" y="{end + 28}" text-anchor="middle">{x_label}</text>'
        f'<text x="16" y="{middle}" text-anchor="middle"'
        f' transform="rotate(-90 16 {middle})">{y_label}</text>'
        "</svg>\n"
    ).encode()
