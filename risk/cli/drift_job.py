"""What `weir drift` and `weir performance` do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.bundle import Bundle
    from risk.cli.train_data import Wanted
    from risk.settings import Settings


def drift_of(wanted: Wanted, alias: str, psi_max: float, *, alert: bool) -> dict[str, Any]:
    """Measure the drift of a model's features, score and calibration; the report.

    Raises BadModel where the model has no reference, BadConfiguration for a range without
    payments.
    """
    import msgspec

    from features.catalogue import FEATURE_NAMES
    from models.drift_reference import calibration_drift, drift, stored
    from risk.cli.train_data import DAY_MS, rows_wanted
    from risk.cli.train_job import settings_of

    settings = settings_of(wanted.world)
    scorer, bundle = bundle_of(settings, alias, "drift")
    reference = stored(bundle)
    rows = rows_wanted(settings, wanted)
    samples = rows.samples
    scores = scorer.score(samples.matrix)
    features, score = drift(reference, FEATURE_NAMES, samples.matrix, scores, psi_max)
    mature = samples.time_ms + round(wanted.label_delay_days * DAY_MS) <= rows.until_ms
    fraud = samples.fraud_at(rows.until_ms)
    labelled = calibration_drift(reference, scores[mature], fraud[mature], psi_max)
    drifted = [one.name for one in (*features, score) if one.drifted]
    if labelled is not None and labelled.drifted:
        drifted.append("calibration")
    found: dict[str, Any] = {
        "n": len(rows),
        "reference_n": reference.n,
        "mature": int(mature.sum()),
        "model_digest": scorer.model_digest,
        "psi_max": psi_max,
        "drifted": drifted,
        "features": msgspec.to_builtins(features),
        "score": msgspec.to_builtins(score),
        "calibration": msgspec.to_builtins(labelled),
        "alerted": False,
        "data": dict(rows.told),
    }
    if alert and drifted:
        _alert(settings, found)
        found["alerted"] = True
    return found


def performance_of(
    wanted: Wanted, alias: str | None, threshold: float | None, seed: int
) -> dict[str, Any]:
    """Measure how payments were judged; the report. Raises BadConfiguration without frauds."""
    import msgspec
    import numpy as np

    from models.performance import Judged, performance
    from risk.cli.train_data import DAY_MS, rows_wanted
    from risk.cli.train_job import model_of, settings_of
    from risk.policy import Policy

    settings = settings_of(wanted.world)
    rows = rows_wanted(settings, wanted)
    samples, served, named = rows.samples, rows.served, None
    if served is None or alias is not None:
        scorer = model_of(settings, alias or "champion", "performance")
        scores, named, served = scorer.score(samples.matrix), scorer.model_digest, None
    else:
        scores = served.score
    if served is not None and threshold is None:
        stopped = np.isin(served.outcome, ["review", "block"])
    else:
        threshold = Policy().review_at if threshold is None else threshold
        stopped = np.nan_to_num(scores, nan=-1.0) >= threshold
    since = samples.fraud_since(rows.until_ms)
    age = np.maximum(rows.until_ms - samples.time_ms, 0)
    delay = np.where(since < 0, -1, np.clip(since - samples.time_ms, 0, age))
    judged = Judged(scores, stopped, samples.amount_base, rows.account, age, delay)
    found = performance(judged, round(wanted.label_delay_days * DAY_MS), seed)
    blocked = np.zeros(len(rows), np.bool_) if served is None else served.outcome == "block"
    told: dict[str, Any] = msgspec.to_builtins(found)
    return told | {
        "served": served is not None,
        "blocked": int(blocked.sum()),
        "blocked_labelled": sum(1 for row in np.flatnonzero(blocked) if row in samples.labels),
        "threshold": threshold,
        "model_digest": named,
        "data": dict(rows.told),
    }


def unbiased_of(wanted: Wanted) -> dict[str, Any]:
    """What would have been stopped, by the exploration arm; the report.

    Raises BadConfiguration where nothing was served, or let through by chance.
    """
    import msgspec
    import numpy as np

    from models.exploration import Explored, unbiased
    from risk.cli.train_data import DAY_MS, rows_wanted
    from risk.cli.train_job import settings_of
    from risk.domain.errors import BadConfiguration

    rows = rows_wanted(settings_of(wanted.world), wanted)
    samples, served = rows.samples, rows.served
    if served is None:
        raise BadConfiguration("performance: --unbiased needs what was served: name a --world")
    age = np.maximum(rows.until_ms - samples.time_ms, 0)
    fraud = samples.fraud_at(rows.until_ms)
    of = Explored(served.propensity, samples.amount_base, age, fraud)
    told: dict[str, Any] = msgspec.to_builtins(
        unbiased(of, round(wanted.label_delay_days * DAY_MS))
    )
    return told | {"data": dict(rows.told)}


def bundle_of(settings: Settings, alias: str, command: str) -> tuple[Any, Bundle]:
    """The checked model that ``alias`` names, and its files. Raises BadModel."""
    from risk.cli.train_job import model_of
    from risk.domain.errors import BadModel

    scorer = model_of(settings, alias, command)
    bundle = cached_bundle(settings, scorer.model_digest, scorer.calibration_digest)
    if bundle is None:
        raise BadModel("the model's files have left the cache meanwhile; run it again")
    return scorer, bundle


def cached_bundle(settings: Settings, model: str, calibration: str) -> Bundle | None:
    """The bundle in this machine's cache that has these digests."""
    from features.catalogue import FEATURE_NAMES, catalogue_digest
    from models.names import model_name
    from models.signature import ModelKeys, keys_folder
    from models.source import Catalogue, ModelSource

    source = ModelSource(
        settings.mlflow,
        model_name(settings.world),
        settings.state / "cache" / "models",
        Catalogue(FEATURE_NAMES, catalogue_digest()),
        ModelKeys(keys_folder(settings.state)),
    )
    return source.cached(model, calibration)


def _alert(settings: Settings, found: dict[str, Any]) -> None:
    import asyncio

    from risk.alerts.alert import DriftAlert
    from risk.domain.clock import SystemClock
    from risk.local.parts import resolve
    from streams.drift_alerts import tell

    with resolve(settings, ("kafka",), command="drift") as ready:
        asyncio.run(
            tell(
                ready.kafka,
                settings.world,
                DriftAlert(
                    at_ms=SystemClock().now_ms(),
                    model_digest=found["model_digest"],
                    drifted=found["drifted"],
                    psi={one["name"]: one["psi"] for one in found["features"] if one["drifted"]}
                    | ({"score": found["score"]["psi"]} if found["score"]["drifted"] else {}),
                    n=found["n"],
                ),
            )
        )
