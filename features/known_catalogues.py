"""Catalogues of other versions of the code, by digest, as the state folder keeps them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from features.backfill import in_this_catalogue
from features.backfill_store import definition
from features.spec import FeatureSpec


class KnownCatalogues:
    """``has`` implements ``features.backfill.Has``.

    ``bodies`` gives the bytes of a catalogue by their SHA-256, None where they are not kept. They
    are the JSON ``[bounds, declared]`` that ``features.catalogue.catalogue_digest`` hashes. A
    catalogue that is not kept, or whose bytes are others, has no feature that counts.
    """

    def __init__(self, bodies: Callable[[str], bytes | None]) -> None:
        self._bodies = bodies
        self._held: dict[str, frozenset[str]] = {}

    def has(self, digest: str, spec: FeatureSpec) -> bool:
        """Whether a vector of that catalogue holds this feature, by the same computation."""
        if in_this_catalogue(digest, spec):
            return True
        if digest not in self._held:
            self._held[digest] = self._read(digest)
        return definition(spec) in self._held[digest]

    def _read(self, digest: str) -> frozenset[str]:
        try:
            body = self._bodies(digest)
            if body is None or hashlib.sha256(body).hexdigest() != digest:
                return frozenset()
            bounds, declared = json.loads(body)
            return frozenset(_definition(bounds, one) for one in declared)
        except (ValueError, TypeError):
            return frozenset()


def _definition(bounds: Any, declared: Any) -> str:
    return hashlib.sha256(json.dumps([bounds, declared]).encode()).hexdigest()
