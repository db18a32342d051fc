"""How far and how fast: from the last payment with a place to this one."""

from __future__ import annotations

from typing import Final

from features.spec import FeatureSpec
from features.steps import Past, distance, per_hour, place_age


def travelled(entity: str) -> tuple[FeatureSpec, FeatureSpec]:
    """Distance and speed from the last located payment; missing where either has no place.

    >>> [spec.name for spec in travelled("card")]
    ['card_distance', 'card_speed']
    """
    past = Past(entity)
    return (
        FeatureSpec(
            name=f"{entity}_distance",
            entity=entity,
            window_ms=None,
            dtype="decimal",
            unit="km",
            sentence=f"Kilometres from the place of the last located payment of this {entity}.",
            step=distance(past),
            example="2h ago payment at 52.5,13.4; 1h ago payment; now at 48.1,11.6 -> 505.693",
            owner="identity",
        ),
        FeatureSpec(
            name=f"{entity}_speed",
            entity=entity,
            window_ms=None,
            dtype="decimal",
            unit="km/h",
            sentence=(
                f"Speed needed from the last located payment of this {entity}; less than one"
                " minute counts as one minute."
            ),
            step=per_hour(distance(past), place_age(past)),
            example="2h ago payment at 52.5,13.4; 1h ago payment; now at 48.1,11.6 -> 252.847",
            owner="identity",
        ),
    )


FEATURES: Final = (*travelled("account"), *travelled("card"))
