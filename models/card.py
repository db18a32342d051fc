"""The model card: what the model is for, what it was trained on, and how well it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from models.calibrate import CalibrationTable
from models.dataset import Part, Split
from models.evaluate import THRESHOLDS
from risk.domain.times import rfc3339

_SHOWN: Final = 15


def card(
    split: Split,
    metrics: Mapping[str, float],
    parameters: Mapping[str, str],
    table: CalibrationTable,
    importance: Sequence[tuple[str, float]],
) -> str:
    """Markdown. Holds nothing but what the arguments say, so equal trainings give equal cards."""
    return "\n".join(
        [
            "# Risk of payments",
            "",
            "Gives the probability that a payment is fraud, from the features of its account,",
            "card, device, IP and merchant. It advises; the policy and the rules decide.",
            "",
            f"Payments come from: {parameters['source']}.",
            "Figures from simulated payments say nothing about real ones.",
            "",
            "## Parts, by time",
            "| part | from | to | labels known by | payments | frauds |",
            "|---|---|---|---|---|---|",
            _part("train", split.train),
            _part("validation (calibration)", split.validation),
            _part("test", split.test),
            "",
            "Between the parts lies the label delay. A fraud nobody had reported by then counts",
            "as a good payment, in training and in these figures.",
            "",
            "## On the test part",
            f"AUC {metrics['auc']:.4f}, average precision {metrics['average_precision']:.4f},"
            f" Brier {metrics['brier']:.5f}, ECE {metrics['ece']:.5f}.",
            "",
            "| score at least | payments stopped | precision | recall |",
            "|---|---|---|---|",
            *(_threshold(metrics, threshold) for threshold in THRESHOLDS),
            "",
            "## Calibration",
            f"Scores are probabilities at a prevalence of {table.reference_prevalence:.2%}."
            f" Fitted on validation payments at {table.fitted_prevalence:.2%}:"
            f" slope {table.slope:.4f}, intercept {table.intercept:.4f}.",
            "",
            "## Features that helped most",
            "| feature | share of gain |",
            "|---|---|",
            *(f"| {name} | {share:.1%} |" for name, share in importance[:_SHOWN]),
            "",
            "## Parameters",
            *(f"- {name}: {value}" for name, value in sorted(parameters.items())),
            "",
        ]
    )


def _part(name: str, part: Part) -> str:
    return (
        f"| {name} | {rfc3339(part.from_ms)} | {rfc3339(part.to_ms)} | {rfc3339(part.as_of_ms)}"
        f" | {len(part.rows)} | {int(part.fraud.sum())} |"
    )


def _threshold(metrics: Mapping[str, float], threshold: float) -> str:
    at = f"{round(threshold * 100):02d}"
    return (
        f"| {threshold:.2f} | {metrics[f'share_at_{at}']:.2%} |"
        f" {metrics[f'precision_at_{at}']:.1%} | {metrics[f'recall_at_{at}']:.1%} |"
    )
