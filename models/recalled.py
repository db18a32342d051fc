"""The model of a stored decision, also where its features are not those of today's code."""

from __future__ import annotations

from pathlib import Path

from models.at_hand import registered_names
from models.registry import Registry
from models.scorer import Scorer
from models.source import Catalogue, ModelRef, ModelSource
from risk.domain.errors import BadModel, Unavailable


def recalled_model(
    address: str, world: str, cache: Path, catalogue: Catalogue, digests: tuple[str, str]
) -> Scorer | None:
    """The scorer with these digests of model and calibration, from cache or registry.

    ``catalogue`` is the decision's own. ``address`` "" means that there is no MLflow. None where
    the model is not to be had. Blocking.
    """
    for name in registered_names(world):
        source = ModelSource(address, name, cache, catalogue)
        bundle = source.cached(*digests)
        if bundle is not None and bundle.features.names == catalogue.names:
            return bundle.scorer()
        try:
            known = Registry(address, name).versions() if address else []
            for one in known:
                if (one.model, one.calibration) == digests:
                    ref = ModelRef(
                        name=one.name, version=one.version, run_id=one.run_id, bundle=one.bundle
                    )
                    return source.load(ref)
        except (BadModel, Unavailable):
            continue
    return None
