"""Trains one model from split samples: trees, then calibration, then the papers.

The same samples and seed give the same bytes: one thread, fixed parameters, and no time or
chance in any file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from features.catalogue import CATALOGUE, FEATURE_NAMES, catalogue_digest
from models.bundle import Bundle, FeatureList, make_bundle
from models.calibrate import Calibration, fit
from models.card import card
from models.dataset import Part, Samples, Split
from models.drift_reference import KEY, reference_of
from models.evaluate import evaluate
from models.native import NativeModel
from models.plots import plots
from models.wording import Wording, wording_of

ROUNDS: Final = 300
GOLDEN: Final = 48
# Frauds are rare: small trees, leaves that need evidence (a sum of hessians below 1 lets a few
# frauds blow a leaf up), fine bins for the tail of the amounts, and no class weights, which
# would ruin ranking and calibration.
PARAMETERS: Final[Mapping[str, float | int | str | bool]] = {
    "objective": "binary",
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 20,
    "min_sum_hessian_in_leaf": 2.0,
    "lambda_l2": 5.0,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 1023,
    "min_data_in_bin": 1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True, slots=True)
class Trained:
    """A bundle, the parameters of its run, and its metrics and pictures on the test part."""

    bundle: Bundle
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    plots: Mapping[str, bytes]


def train(samples: Samples, split: Split, seed: int, source: str, rounds: int = ROUNDS) -> Trained:
    """A calibrated model from ``split.train``, measured on ``split.test``.

    ``source`` says in words where the payments come from; it stands on the card. Raises
    BadModel where the model ranks no better than its inverse.
    """
    text = _boost(samples, split.train, seed, rounds)
    model = NativeModel(text)
    held_out = np.ascontiguousarray(samples.matrix[split.validation.rows])
    table = fit(model.raw(held_out), split.validation.fraud)
    later = np.ascontiguousarray(samples.matrix[split.test.rows])
    scores = Calibration(table).of(model.raw(later))
    metrics = evaluate(split.test.fraud, scores)
    parameters = {name: str(value) for name, value in PARAMETERS.items()} | {
        "rounds": str(rounds),
        "seed": str(seed),
        "source": source,
        "features": str(len(FEATURE_NAMES)),
    }
    learned = samples.matrix[split.train.rows]
    reference = msgspec.to_builtins(reference_of(FEATURE_NAMES, learned, scores))
    told = {**metrics, KEY: reference}
    papers = {
        "metrics.json": (json.dumps(told, indent=1, sort_keys=True) + "\n").encode(),
        "card.md": card(split, metrics, parameters, table, importance(model)).encode(),
    }
    features = FeatureList(catalogue=catalogue_digest(), names=FEATURE_NAMES)
    bundle = make_bundle(
        text, features, table, golden(samples, split, scores), papers,
        wording(learned, split.train.fraud),
    )  # fmt: skip
    return Trained(bundle, parameters, metrics, plots(split.test.fraud, scores))


def _boost(samples: Samples, part: Part, seed: int, rounds: int) -> str:
    """LightGBM's native text of the model trained on ``part``."""
    import lightgbm

    data = lightgbm.Dataset(samples.matrix[part.rows], part.fraud, feature_name=list(FEATURE_NAMES))
    booster = lightgbm.train({**PARAMETERS, "seed": seed}, data, num_boost_round=rounds)
    text: str = booster.model_to_string()
    return text


def golden(samples: Samples, split: Split, scores: np.ndarray) -> np.ndarray:
    """Rows across the whole range of scores, and one where everything is missing."""
    order = np.argsort(scores, kind="stable")
    places = np.unique(np.linspace(0, len(order) - 1, GOLDEN - 1).round().astype(np.int64))
    chosen = samples.matrix[split.test.rows[order[places]]]
    return np.vstack([chosen, np.full((1, chosen.shape[1]), np.nan)])


def wording(matrix: np.ndarray, fraud: np.ndarray) -> Wording:
    """The catalogue's sentences, and what is usual in the good rows of ``matrix`` (n, F)."""
    return wording_of({spec.name: spec for spec in CATALOGUE}, FEATURE_NAMES, matrix, fraud)


def importance(model: NativeModel) -> list[tuple[str, float]]:
    """(feature, share of the total gain), the most useful first."""
    gains = np.zeros(len(FEATURE_NAMES))
    for tree in model.dump()["tree_info"]:
        waiting = [tree["tree_structure"]]
        while waiting:
            node = waiting.pop()
            if "split_feature" in node:
                gains[node["split_feature"]] += node["split_gain"]
                waiting += [node["left_child"], node["right_child"]]
    total = max(float(gains.sum()), 1e-12)
    order = np.argsort(-gains, kind="stable")
    return [(FEATURE_NAMES[place], float(gains[place] / total)) for place in order]
