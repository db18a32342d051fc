"""Every feature, in the order of the vector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from typing import Final

from features.families import (
    amount,
    behaviour,
    counterparties,
    geography,
    payment,
    recency,
    reputation,
    timing,
    velocity,
)
from features.operations import KERNEL_VERSION
from features.records import RECORD_BYTES
from features.spec import FeatureSpec
from risk.domain.limits import AMOUNT_SQUARED_CLAMP, HORIZON_MS, SKEW_MS_MAX

FAMILIES: Final[dict[str, tuple[FeatureSpec, ...]]] = {
    "velocity": velocity.FEATURES,
    "amount": amount.FEATURES,
    "counterparties": counterparties.FEATURES,
    "recency": recency.FEATURES,
    "geography": geography.FEATURES,
    "timing": timing.FEATURES,
    "reputation": reputation.FEATURES,
    "behaviour": behaviour.FEATURES,
    "payment": payment.FEATURES,
}
CATALOGUE: Final[tuple[FeatureSpec, ...]] = tuple(
    spec for family in FAMILIES.values() for spec in family
)
FEATURE_NAMES: Final[tuple[str, ...]] = tuple(spec.name for spec in CATALOGUE)


def by_name(specs: Sequence[FeatureSpec]) -> dict[str, FeatureSpec]:
    """``specs`` by their names; raises ValueError where two share one."""
    named = {spec.name: spec for spec in specs}
    if len(named) != len(specs):
        raise ValueError("two features have one name")
    return named


_BY_NAME: Final = by_name(CATALOGUE)


@cache
def catalogue_digest() -> str:
    """SHA-256, in hex, of all that decides the bits of a vector, in order.

    Names, versions, defaults and computations; units and sentences may be reworded.
    """
    declared = [
        [spec.name, spec.version, repr(spec.default), spec.computation] for spec in CATALOGUE
    ]
    bounds = [KERNEL_VERSION, RECORD_BYTES, SKEW_MS_MAX, HORIZON_MS, AMOUNT_SQUARED_CLAMP]
    return hashlib.sha256(json.dumps([bounds, declared]).encode()).hexdigest()


def feature(name: str) -> FeatureSpec:
    """The declaration of ``name``; KeyError for an unknown one."""
    return _BY_NAME[name]
