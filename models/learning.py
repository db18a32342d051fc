"""The whole of `weir train`: split by time, tune, train, calibrate, price, measure, compare.

Everything that is chosen is chosen on the train and validation parts. The test part comes last in
time and is only measured.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from features.catalogue import FEATURE_NAMES, catalogue_digest
from models.boosting import FIXED, ROUNDS, Parameters, boost, check
from models.bundle import Bundle, FeatureList, make_bundle
from models.calibrate import Calibration
from models.calibration_choice import choose
from models.card import card
from models.comparison import Compared, compare, compared
from models.dataset import Part, Split, split_by_time
from models.drift_reference import KEY, reference_of
from models.evaluate import evaluate
from models.measures import Graded, as_json, measured
from models.native import NativeModel
from models.pictures import pictures
from models.rows import Rows
from models.thresholds import Capacity, Plan, Seen, plan
from models.train import golden, importance, wording
from models.tune import Chosen, Parts
from risk.policy import Policy

Floats = NDArray[np.float64]
Say = Callable[[str, float], None]
Tuner = Callable[[Parts, str], Chosen]
RuleScores = Callable[[Rows, NDArray[np.int64]], Floats]
Clock = Callable[[], float]
SEGMENT_ROWS_MIN: Final = 200
SEGMENTS_MAX: Final = 40
_SHAP_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """How to train. ``tuner`` is None for fixed settings; ``rules`` scores by the rule set.

    ``monotonic_s`` times the comparison; ``with_rivals`` is False where none is wanted.
    """

    label_delay_ms: int
    seed: int
    policy: Policy
    monotonic_s: Clock
    capacity: Capacity = field(default_factory=Capacity)
    tuner: Tuner | None = None
    rules: RuleScores | None = None
    with_rivals: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """A model with its papers. ``files`` are artifacts by path, ``metrics`` plain numbers."""

    bundle: Bundle
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    figures: Mapping[str, Any]
    segments: Mapping[str, Any]
    comparison: list[Compared]
    plan: Plan
    constant: tuple[str, ...]
    files: Mapping[str, bytes]


def learn(rows: Rows, request: Request, say: Say = lambda stage, share: None) -> Learned:
    """A model of ``rows``, measured on its last part.

    Raises BadConfiguration where the rows cannot be learned from, BadModel where the model is
    no better than chance.
    """
    samples = rows.samples
    split = split_by_time(samples, rows.until_ms, request.label_delay_ms)
    train = np.ascontiguousarray(samples.matrix[split.train.rows])
    constant = check(train, split.train.fraud, "train")
    held = np.ascontiguousarray(samples.matrix[split.validation.rows])
    parameters, rounds, tuned = _settings(rows, request, split, train, held, say)
    say(f"Training on {len(train)} payments", 0.5)
    began_s = request.monotonic_s()
    text = boost(train, split.train.fraud, parameters, rounds, request.seed)
    boosted_s = request.monotonic_s() - began_s
    model = NativeModel(text)
    say("Calibrating", 0.65)
    table, losses = choose(model.raw(held), split.validation.fraud)
    calibration = Calibration(table)
    later = np.ascontiguousarray(samples.matrix[split.test.rows])
    scores = calibration.of(model.raw(later))
    say("Setting thresholds from money", 0.7)
    chosen = plan(
        _seen(rows, split.validation, calibration.of(model.raw(held))),
        request.policy, request.capacity, request.seed,
    )  # fmt: skip
    say("Measuring on the test part", 0.75)
    graded = _graded(rows, split.test, scores, request.policy.review_at)
    figures = as_json(measured([graded], request.seed))
    segments = by_segment(rows, split.test, scores, request)
    if request.with_rivals:
        say("Comparing with other models", 0.85)
    comparison = _comparison(rows, split, (train, later), (scores, boosted_s), request)
    flat = evaluate(split.test.fraud, scores)
    told = {name: str(value) for name, value in parameters.items()} | {
        "rounds": str(rounds), "seed": str(request.seed), "features": str(len(FEATURE_NAMES)),
        "source": json.dumps(rows.told["source"], sort_keys=True)[:400],
        "calibration": table.method, "constant_features": str(len(constant)),
        "tuning": "fixed settings" if tuned is None else f"{tuned.trials} trials",
    }  # fmt: skip
    gain = importance(model)
    papers = {
        "metrics.json": _json({**flat, KEY: reference_of(FEATURE_NAMES, train, scores)}),
        "card.md": card(split, flat, told, table, gain).encode(),
    }
    features = FeatureList(catalogue=catalogue_digest(), names=FEATURE_NAMES)
    shap = mean_shap(text, later)
    files = {
        **{f"plots/{name}": body for name, body in
           pictures(split.test.fraud, scores, gain, shap).items()},
        "data.json": _json(dict(rows.told)),
        "figures.json": _json(figures),
        "segments.json": _json(segments),
        "comparison.json": _json([msgspec.to_builtins(one) for one in comparison]),
        "thresholds.json": _json(msgspec.to_builtins(chosen)),
        "importance.json": _json({"gain": dict(gain), "shap": dict(shap)}),
        "calibration_losses.json": _json(losses),
    }  # fmt: skip
    bundle = make_bundle(
        text, features, table, golden(samples, split, scores), papers,
        wording(train, split.train.fraud),
    )  # fmt: skip
    return Learned(
        bundle=bundle, parameters=told, metrics=flat, figures=figures, segments=segments,
        comparison=comparison, plan=chosen, constant=constant, files=files,
    )  # fmt: skip


def _settings(
    rows: Rows, request: Request, split: Split, train: Floats, held: Floats, say: Say
) -> tuple[Parameters, int, Chosen | None]:
    if request.tuner is None:
        return FIXED, ROUNDS, None
    say("Tuning", 0.05)
    parts = Parts(train, split.train.fraud, held, split.validation.fraud)
    ends = f"{split.train.from_ms} {split.train.to_ms} {split.validation.to_ms}"
    tuned = request.tuner(parts, f"{rows.told['sha256']} {ends}")
    return tuned.parameters, tuned.rounds, tuned


def _seen(rows: Rows, part: Part, scores: Floats) -> Seen:
    return Seen(
        part.fraud, scores, rows.samples.amount_base[part.rows], rows.samples.time_ms[part.rows],
        rows.account[part.rows], rows.segments["channel"][part.rows],
    )  # fmt: skip


def _graded(rows: Rows, part: Part, scores: Floats, threshold: float) -> Graded:
    return Graded(
        part.fraud, scores, rows.account[part.rows], rows.samples.time_ms[part.rows],
        rows.samples.amount_base[part.rows], threshold,
    )  # fmt: skip


def by_segment(rows: Rows, part: Part, scores: Floats, request: Request) -> dict[str, Any]:
    """The figures of each segment with enough payments and both classes, by kind and word."""
    found: dict[str, Any] = {}
    whole = _graded(rows, part, scores, request.policy.review_at)
    for kind, words in rows.segments.items():
        here = words[part.rows]
        names, counts = np.unique(here.astype(str), return_counts=True)
        largest = np.argsort(-counts, kind="stable")[:SEGMENTS_MAX]
        found[kind] = {}
        for name in sorted(names[largest].tolist()):
            mask = here == name
            told: dict[str, Any] = {"n": int(mask.sum()), "frauds": int(part.fraud[mask].sum())}
            if told["n"] >= SEGMENT_ROWS_MIN and 0 < told["frauds"] < told["n"]:
                one = Graded(
                    whole.fraud[mask], whole.score[mask], whole.account[mask],
                    whole.time_ms[mask], whole.amount[mask], whole.threshold,
                )  # fmt: skip
                told |= as_json(measured([one], request.seed, replicates=40))
            found[kind][name] = told
    return found


def _comparison(
    rows: Rows,
    split: Split,
    parts: tuple[Floats, Floats],
    own: tuple[Floats, float],
    request: Request,
) -> list[Compared]:
    train, later = parts
    fraud = split.test.fraud
    table = [compared("weir", fraud, *own, len(train))]
    if not request.with_rivals:
        return table
    if request.rules is not None:
        began_s = request.monotonic_s()
        ruled = request.rules(rows, split.test.rows)
        table.append(compared("rule_set", fraud, ruled, request.monotonic_s() - began_s, 0))
    return table + compare(train, split.train.fraud, later, fraud, request.monotonic_s)


def mean_shap(text: str, matrix: Floats) -> list[tuple[str, float]]:
    """(feature, mean absolute exact SHAP value in log-odds) over evenly spaced rows."""
    import lightgbm

    chosen = np.unique(np.linspace(0, len(matrix) - 1, _SHAP_ROWS).astype(np.int64))
    booster = lightgbm.Booster(model_str=text)
    values = np.asarray(booster.predict(matrix[chosen], pred_contrib=True, num_threads=1))
    strength = np.abs(values[:, :-1]).mean(axis=0)
    order = np.argsort(-strength, kind="stable")
    return [(FEATURE_NAMES[place], float(strength[place])) for place in order]


def _json(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content, order="deterministic")) + b"\n"
