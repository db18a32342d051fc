"""The Handbook protocol through the real path: events, memory, catalogue, labels 7 days late.

The rows are those of ``models.handbook``; the features are Weir's own, observed by the memory
and the kernel that serve, from payments and from fraud reports that arrive as records.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.boosting import FIXED, ROUNDS, Parameters, boost, check, out_of_fold
from models.bundle import Bundle, FeatureList, make_bundle
from models.calibrate import Calibration, CalibrationTable, fit
from models.comparison import COMPARED, SCORERS, Clock
from models.dataset import observe
from models.handbook import (
    STARTS_MS,
    TEST_DAYS,
    TRAIN_DAYS,
    WINDOW_DAYS,
    Fold,
    Metrics,
    Protocol,
    baseline_features,
    folds,
    mean_and_spread,
    measure,
)
from models.measures import Graded, Interval, measured
from models.native import NativeModel
from models.train import GOLDEN
from risk.domain.event import AnyEvent
from risk.domain.ids import digest
from risk.domain.money import ExchangeRates
from risk.policy import Policy
from risk.simulator.handbook import HandbookWorld
from risk.simulator.handbook_law import DAY_MS, Table

Floats = NDArray[np.float64]
Say = Callable[[str, float], None]
# LightGBM's settings, chosen on the folds before the published ones, in draws of other seeds.
ROUNDS_HERE: Final = ROUNDS
# The same trees in half the time where rows are few and bins are many.
_SETTINGS: Final[Parameters] = {
    **{name: value for name, value in FIXED.items() if name != "force_row_wise"},
    "force_col_wise": True,
}
_AFTER_DAYS: Final = TRAIN_DAYS + 7 + TEST_DAYS
_OBSERVED: Final = 0.7


@dataclass(frozen=True, slots=True)
class Observed:
    """Vectors of the payments ``first`` to ``first + len(matrix)`` of the world's table."""

    table: Table
    first: int
    matrix: Floats

    def rows(self, numbers: NDArray[np.int64]) -> Floats:
        """The vectors of payments by number."""
        return np.ascontiguousarray(self.matrix[numbers - self.first])


@dataclass(frozen=True, slots=True)
class FoldModel:
    """What one fold made: the model, its calibration, and scores of ``of.test``."""

    of: Fold
    text: str
    calibration: CalibrationTable
    score: Floats
    constant: tuple[str, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the model's text."""
        return digest(self.text.encode())


def first_kept(table: Table, protocol: Protocol) -> int:
    """The first payment of the first training day: what ``Observed`` begins with."""
    return int(np.searchsorted(table.time_ms, STARTS_MS[protocol][0]))


def observe_world(
    world: HandbookWorld,
    protocol: Protocol,
    rates: ExchangeRates,
    say: Say = lambda stage, share: None,
) -> Observed:
    """Vectors of all payments that the folds of ``protocol`` may ask for.

    Events older than the longest window before the first training day are left out: no feature
    of these payments sees them.
    """
    table = world.table()
    end_ms = STARTS_MS[protocol][-1] + _AFTER_DAYS * DAY_MS
    before_ms = STARTS_MS[protocol][0] - (max(WINDOW_DAYS) + 1) * DAY_MS
    first, kept = int(np.searchsorted(table.time_ms, before_ms)), first_kept(table, protocol)
    total = int(np.searchsorted(table.time_ms, end_ms)) - first

    def shown() -> Iterator[AnyEvent]:
        for event in world.events():
            if event.occurred_at_ms >= end_ms:
                return
            if event.occurred_at_ms >= before_ms:
                yield event

    def progress(events: int) -> None:
        say("Computing the features of the Handbook world", _OBSERVED * min(1.0, events / total))

    samples = observe(shown(), rates, progress)
    return Observed(table, kept, samples.matrix[kept - first :])


def train_fold(seen: Observed, of: Fold, seed: int, rounds: int = ROUNDS_HERE) -> FoldModel:
    """A model of the fold's training week, scores of its test week.

    Calibrated on scores that models without that day gave to each day of the training week:
    there is no other stretch of time whose labels are known. Raises BadConfiguration, BadModel.
    """
    matrix, fraud = seen.rows(of.train), seen.table.fraud[of.train]
    constant = check(matrix, fraud, "train")
    day = (seen.table.time_ms[of.train] - of.start_ms) // DAY_MS

    def score(train: NDArray[np.bool_], held: NDArray[np.bool_]) -> Floats:
        text = boost(matrix[train], fraud[train], _SETTINGS, rounds, seed)
        return NativeModel(text).raw(np.ascontiguousarray(matrix[held]))

    raw = out_of_fold(day // 2, fraud, score)
    known = np.isfinite(raw)
    table = fit(raw[known], fraud[known])
    text = boost(matrix, fraud, _SETTINGS, rounds, seed)
    scores = Calibration(table).of(NativeModel(text).raw(seen.rows(of.test)))
    return FoldModel(of, text, table, scores, constant)


def train_protocol(
    seen: Observed, protocol: Protocol, seed: int, say: Say = lambda stage, share: None
) -> list[FoldModel]:
    """A model for each fold, earliest first."""
    models = []
    asked = folds(seen.table, protocol)
    for place, of in enumerate(asked):
        say("Training on the folds", _OBSERVED + 0.2 * place / len(asked))
        models.append(train_fold(seen, of, seed))
    return models


def figures(
    seen: Observed, models: Sequence[FoldModel], threshold: float, seed: int = 1
) -> dict[str, Interval]:
    """``models.measures`` over the folds: means of the folds, intervals over customers."""
    return measured([graded(seen.table, model, threshold) for model in models], seed)


def graded(table: Table, model: FoldModel, threshold: float) -> Graded:
    """The test week of a fold with its scores."""
    rows = model.of.test
    return Graded(
        table.fraud[rows], model.score, table.customer[rows].astype(np.int64),
        table.time_ms[rows], table.amount_minor[rows], threshold,
    )  # fmt: skip


def own_metrics(table: Table, models: Sequence[FoldModel]) -> Metrics:
    """AUC, average precision and CP@100 of Weir's models: the mean over the folds."""
    return mean_and_spread([measure(table, one.of, one.score) for one in models])[0]


def rival_metrics(
    table: Table, asked: Sequence[Fold], name: str, matrix: Floats | None = None
) -> Mapping[str, float]:
    """A rival of ``models.comparison`` on the 15 features: means over the folds, by name."""
    matrix = baseline_features(table) if matrix is None else matrix
    found = []
    for of in asked:
        score = SCORERS[name](matrix[of.train], table.fraud[of.train], matrix[of.test])
        found.append(measure(table, of, score))
    return as_row(mean_and_spread(found)[0])


def compare_folds(
    seen: Observed, models: Sequence[FoldModel], monotonic_s: Clock, *, with_rivals: bool
) -> list[dict[str, Any]]:
    """Weir's models, and others on the 15 published features, as rows of the comparison."""
    table, asked = seen.table, [one.of for one in models]
    rows: list[dict[str, Any]] = [
        {"model": "weir", **as_row(own_metrics(table, models)), "seconds": 0.0}
    ]
    matrix = baseline_features(table) if with_rivals else None
    for name in COMPARED if with_rivals else ():
        began_s = monotonic_s()
        mean = rival_metrics(table, asked, name, matrix)
        rows.append({"model": name, **mean, "seconds": round(monotonic_s() - began_s, 3)})
    return rows


def bundle_of(
    seen: Observed, models: Sequence[FoldModel], protocol: str, seed: int, policy: Policy
) -> tuple[dict[str, Interval], Bundle, dict[str, str]]:
    """The figures over the folds, and the last fold's model as a bundle with its parameters."""
    found = figures(seen, models, policy.review_at, seed)
    last = models[-1]
    told = {name: str(value) for name, value in _SETTINGS.items()} | {
        "rounds": str(ROUNDS_HERE), "seed": str(seed), "features": str(len(FEATURE_NAMES)),
        "source": f"the Handbook world, seed {seed}, protocol {protocol}, last fold",
    }  # fmt: skip
    flat = {name: figure.value for name, figure in found.items()}
    lines = ["# Risk of payments: the Handbook world", "", f"From {told['source']}.", ""]
    lines += [f"- {name}: {figure.value:.4f} ({figure.low:.4f} to {figure.high:.4f})"
              for name, figure in found.items()]  # fmt: skip
    lines += ["", "Figures from simulated payments say nothing about real ones.", ""]
    order = np.argsort(last.score, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, GOLDEN - 1).round().astype(np.int64))
    vectors = seen.rows(last.of.test[order[places]])
    blank = np.full((1, vectors.shape[1]), np.nan)
    bundle = make_bundle(
        last.text,
        FeatureList(catalogue=catalogue_digest(), names=FEATURE_NAMES),
        last.calibration,
        np.vstack([vectors, blank]),
        {
            "metrics.json": (json.dumps(flat, indent=1, sort_keys=True) + "\n").encode(),
            "card.md": "\n".join(lines).encode(),
        },
    )
    return found, bundle, told


def as_row(mean: Metrics) -> dict[str, float]:
    """Metrics by name."""
    return {
        "auc_roc": mean.auc_roc,
        "average_precision": mean.average_precision,
        "card_precision_at_100": mean.card_precision_at_100,
    }
