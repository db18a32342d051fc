"""The pictures of a model for its run in MLflow, as SVG text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import numpy as np

from models.evaluate import Flags, Floats
from models.plots import Points, curve, plots

_POINTS: Final = 200
_BINS: Final = 40
_FLOOR: Final = 1e-6
_BAR, _TEXT, _REACH = 18, 260, 320


def pictures(
    fraud: Flags,
    score: Floats,
    gain: Sequence[tuple[str, float]],
    shap: Sequence[tuple[str, float]],
) -> dict[str, bytes]:
    """File name to SVG: precision by recall, calibration, ROC, gain, lift, scores by class,
    and the features that helped most by gain and by mean absolute SHAP value.
    """
    return {
        **plots(fraud, score),
        "roc.svg": curve(
            "good payments stopped", "frauds caught", roc(fraud, score), diagonal=True
        ),
        "gain.svg": curve("payments stopped", "frauds caught", gains(fraud, score), diagonal=True),
        "lift.svg": _lift(fraud, score),
        "scores.svg": _scores(fraud, score),
        "importance_gain.svg": bars("share of gain", gain),
        "importance_shap.svg": bars("mean |SHAP|, log-odds", shap),
    }


def roc(fraud: Flags, score: Floats) -> list[tuple[float, float]]:
    """(share of good payments, share of frauds) at or above falling thresholds."""
    order = np.argsort(-score, kind="stable")
    caught, passed = np.cumsum(fraud[order]), np.cumsum(~fraud[order])
    return _thinned(passed / max(1, int(passed[-1])), caught / max(1, int(caught[-1])))


def gains(fraud: Flags, score: Floats) -> list[tuple[float, float]]:
    """(share of payments, share of frauds) at or above falling thresholds."""
    caught = np.cumsum(fraud[np.argsort(-score, kind="stable")])
    share = np.arange(1, len(caught) + 1) / len(caught)
    return _thinned(share, caught / max(1, int(caught[-1])))


def bars(label: str, values: Sequence[tuple[str, float]], shown: int = 25) -> bytes:
    """The largest values as horizontal bars, names beside them."""
    kept = list(values)[:shown]
    most = max((value for _, value in kept), default=1.0) or 1.0
    height = _BAR * (len(kept) + 2)
    rows = "".join(
        f'<text x="{_TEXT - 6}" y="{_BAR * (at + 1)}" text-anchor="end">{escape(name)}</text>'
        f'<rect x="{_TEXT}" y="{_BAR * (at + 1) - 11}" width="{_REACH * value / most:.1f}"'
        ' height="13" fill="#1663c7"/>'
        for at, (name, value) in enumerate(kept)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_TEXT + _REACH + 20}"'
        f' height="{height}" font-family="sans-serif" font-size="12">'
        f'<rect width="{_TEXT + _REACH + 20}" height="{height}" fill="#fff"/>{rows}'
        f'<text x="{_TEXT}" y="{height - 6}">{escape(label)}, longest bar {most:.4g}</text></svg>\n'
    ).encode()


def _lift(fraud: Flags, score: Floats) -> bytes:
    """How many times as many frauds as by chance among the riskiest payments."""
    found = [(share, caught / share) for share, caught in gains(fraud, score)]
    most = max(lift for _, lift in found) or 1.0
    scaled = [(share, lift / most) for share, lift in found]
    return curve("payments stopped", f"lift (0 to {most:.3g})", scaled)


def _scores(fraud: Flags, score: Floats) -> bytes:
    """Shares of good payments and of frauds by log-odds of the score."""
    bounded = np.clip(score, _FLOOR, 1.0 - _FLOOR)
    log_odds = np.log(bounded / (1.0 - bounded))
    edges = np.linspace(log_odds.min(), log_odds.max() + 1e-9, _BINS + 1)
    lines: list[Points] = []
    for mask in (~fraud, fraud):
        count = np.histogram(log_odds[mask], edges)[0] / max(1, int(mask.sum()))
        lines.append([(at / (_BINS - 1), float(value)) for at, value in enumerate(count)])
    most = max(value for line in lines for _, value in line) or 1.0
    good, bad = ([(x, y / most) for x, y in line] for line in lines)
    label = f"log-odds {edges[0]:.1f} to {edges[-1]:.1f}; blue good, red fraud"
    return curve(label, f"share (0 to {most:.3g})", good, more=bad)


def _thinned(x: Floats, y: Floats) -> list[tuple[float, float]]:
    chosen = np.unique(np.linspace(0, len(x) - 1, _POINTS).astype(np.int64))
    return [(float(x[at]), float(y[at])) for at in chosen]
