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
    flow,
    geography,
    links,
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
    "links": links.FEATURES,
    "behaviour": behaviour.FEATURES,
    "flow": flow.FEATURES,
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
def catalogue_body() -> bytes:
    """All that decides the bits of a vector, in order: what a digest stands for.

    Names, versions, defaults, computations and types; units and sentences may be reworded.
    """
    declared = [spec.declared for spec in CATALOGUE]
    bounds = [KERNEL_VERSION, RECORD_BYTES, SKEW_MS_MAX, HORIZON_MS, AMOUNT_SQUARED_CLAMP]
    return json.dumps([bounds, declared]).encode()


@cache
def catalogue_digest() -> str:
    """SHA-256 of ``catalogue_body``, in hex."""
    return hashlib.sha256(catalogue_body()).hexdigest()


def types_in(body: bytes) -> tuple[tuple[str, str], ...]:
    """Name and dtype of every feature, in order, of a catalogue's body, also of an older one.

    Raises ValueError where it is none.
    """
    try:
        _bounds, declared = json.loads(body)
        return tuple((str(one[0]), str(one[4])) for one in declared)
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"not the body of a catalogue: {error}") from None


def feature(name: str) -> FeatureSpec:
    """The declaration of ``name``; KeyError for an unknown one."""
    return _BY_NAME[name]
