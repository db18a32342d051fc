"""The models that a proof needs, by the digests that decisions name: cached, or registered."""

from __future__ import annotations

from features.catalogue import FEATURE_NAMES
from models.names import LIVE_WORLD, model_name
from models.registry import Registry
from models.scorer import Scorer
from models.source import ModelRef, ModelSource
from risk.domain.errors import BadModel, Unavailable


class ModelsAtHand:
    """Implements ``features.parity.Models``; each pair of digests is looked for once.

    Looks into the cache of ``source`` first, then among the versions of ``registry`` (None
    where there is no server), whose files come into the cache. ``names`` are the features of
    the catalogue that the decisions name, in order. Blocking.
    """

    def __init__(
        self,
        source: ModelSource,
        registry: Registry | None,
        names: tuple[str, ...] = FEATURE_NAMES,
    ) -> None:
        self._source = source
        self._names = names
        self._registry = registry
        self._found: dict[tuple[str, str], Scorer | None] = {}

    def of(self, model_digest: str, calibration_digest: str) -> Scorer | None:
        """The scorer of exactly these digests, None where it is not to be had."""
        named = (model_digest, calibration_digest)
        if named not in self._found:
            self._found[named] = self._cached(*named) or self._registered(*named)
        return self._found[named]

    def _cached(self, model: str, calibration: str) -> Scorer | None:
        bundle = self._source.cached(model, calibration)
        if bundle is None or bundle.features.names != self._names:
            return None
        return bundle.scorer()

    def _registered(self, model: str, calibration: str) -> Scorer | None:
        if self._registry is None:
            return None
        try:
            for known in self._registry.versions():
                if (known.model, known.calibration) == (model, calibration):
                    ref = ModelRef(
                        name=known.name,
                        version=known.version,
                        run_id=known.run_id,
                        bundle=known.bundle,
                        signature=known.signature,
                    )
                    return self._source.load(ref)
        except (BadModel, Unavailable):
            return None
        return None


def registered_names(world: str) -> tuple[str, ...]:
    """The registered models that a world may have served: its own, and the live world's."""
    return tuple(dict.fromkeys((model_name(world), model_name(LIVE_WORLD))))
