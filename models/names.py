"""What a model is called in the registry, and the tags that carry its digests."""

from __future__ import annotations

from typing import Final

BASE_NAME: Final = "weir-risk"
LIVE_WORLD: Final = "live"
CHAMPION: Final = "champion"
CHALLENGER: Final = "challenger"
ARTIFACT_FOLDER: Final = "model"

TAG_BUNDLE: Final = "weir.bundle"
TAG_MODEL: Final = "weir.model"
TAG_CALIBRATION: Final = "weir.calibration"
TAG_CATALOGUE: Final = "weir.catalogue"
TAG_SIGNATURE: Final = "weir.signature"
TAG_RETIRED: Final = "weir.retired"
TAG_LIFE: Final = "weir.life."  # and six digits: one change of the registered model each


def model_name(world: str) -> str:
    """The registered model of a world.

    >>> model_name("live"), model_name("replay-1")
    ('weir-risk', 'weir-risk-replay-1')
    """
    return BASE_NAME if world == LIVE_WORLD else f"{BASE_NAME}-{world}"
