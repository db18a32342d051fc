"""A replayed world starts with the live world's champion, as a version of its own."""

from __future__ import annotations

from pathlib import Path

from models.names import CHAMPION, LIVE_WORLD, model_name
from models.registry import Registry
from models.signature import ModelKeys
from models.source import Catalogue, ModelSource


def adopt_champion(
    mlflow: str, world: str, cache: Path, catalogue: Catalogue, keys: ModelKeys | None = None
) -> str | None:
    """Register the live champion in ``world``, where that has none; its version there.

    None where the world has a champion or the live world has none. Raises Unavailable where
    MLflow does not answer, BadModel where the live champion may not serve.
    """
    registry = Registry(mlflow, model_name(world), keys)
    if any(CHAMPION in version.aliases for version in registry.versions()):
        return None
    live = ModelSource(mlflow, model_name(LIVE_WORLD), cache, catalogue, keys)
    ref = live.resolve(CHAMPION)
    if ref is None:
        return None
    scorer = live.load(ref)
    bundle = live.cached(scorer.model_digest, scorer.calibration_digest)
    if bundle is None:
        return None
    origin = f"champion of the live world, version {ref.version}"
    return registry.publish(bundle, {"adopted_from": origin})
