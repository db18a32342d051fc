"""Since when: time since the last and the first, and what is new for an entity.

"New" looks back 30 days over earlier payments.
"""

from __future__ import annotations

from typing import Final

from features.spec import FeatureSpec
from features.steps import (
    Past,
    is_zero,
    last_differs,
    newest_age,
    oldest_age,
    oldest_same_age,
    same,
    seconds,
)

_FIELD: Final = {"merchant": "counterparty"}
_WORDS: Final = {
    "ip": "IP address",
    "merchant": "merchant or beneficiary",
}


def since_last(entity: str) -> FeatureSpec:
    """Seconds since the newest earlier payment; missing where there is none.

    >>> since_last("card").name
    'card_since_last'
    """
    return FeatureSpec(
        name=f"{entity}_since_last",
        entity=entity,
        window_ms=None,
        dtype="decimal",
        unit="s",
        sentence=f"Seconds since the last payment of this {entity}, up to 30 days.",
        step=seconds(newest_age(Past(entity))),
        example="2h ago payment; 30s ago payment; 5s ago login; now -> 30",
        owner="identity",
    )


def since_first(entity: str) -> FeatureSpec:
    """Seconds since the oldest payment of the last 30 days.

    >>> since_first("device").name
    'device_since_first'
    """
    return FeatureSpec(
        name=f"{entity}_since_first",
        entity=entity,
        window_ms=None,
        dtype="decimal",
        unit="s",
        sentence=f"Seconds since the first payment of this {entity} in the last 30 days.",
        step=seconds(oldest_age(Past(entity))),
        example="40d ago payment; 2h ago payment; 30s ago payment; now -> 7200",
        owner="identity",
    )


def new(entity: str, field: str) -> FeatureSpec:
    """1 where no earlier payment of the entity had this value of ``field``.

    >>> new("account", "device").name
    'account_new_device'
    """
    known, other = ("DE", "FR") if field == "country" else (f"{field}-8", f"{field}-9")
    return FeatureSpec(
        name=f"{entity}_new_{field}",
        entity=entity,
        window_ms=None,
        dtype="flag",
        unit="0 or 1",
        sentence=(
            f"1 where this {entity} made no payment with this {_WORDS.get(field, field)} in the"
            " last 30 days."
        ),
        step=is_zero(same(Past(entity), _FIELD.get(field, field))),
        example=f"2h ago payment {field} {known}; now {field} {other} -> 1",
        owner="identity",
    )


def known_for(entity: str, field: str) -> FeatureSpec:
    """Seconds since the entity first paid with this value of ``field``.

    >>> known_for("account", "device").name
    'account_device_since_first'
    """
    return FeatureSpec(
        name=f"{entity}_{field}_since_first",
        entity=entity,
        window_ms=None,
        dtype="decimal",
        unit="s",
        sentence=(
            f"Seconds since this {entity} first paid with this {_WORDS.get(field, field)} in the"
            " last 30 days."
        ),
        step=seconds(oldest_same_age(Past(entity), _FIELD.get(field, field))),
        example=(
            f"3h ago payment {field} {field}-9; 2h ago payment {field} {field}-8; 1h ago payment"
            f" {field} {field}-8; now {field} {field}-8 -> 7200"
        ),
        owner="identity",
    )


def changed(entity: str, field: str) -> FeatureSpec:
    """1 where the last payment that knew ``field`` had another value.

    >>> changed("card", "country").name
    'card_country_changed'
    """
    return FeatureSpec(
        name=f"{entity}_{field}_changed",
        entity=entity,
        window_ms=None,
        dtype="flag",
        unit="0 or 1",
        sentence=f"1 where the last payment of this {entity} was in another {field}.",
        step=last_differs(Past(entity), field),
        example=f"2h ago payment {field} FR; 1h ago payment {field} DE; now {field} FR -> 1",
        owner="identity",
    )


FEATURES: Final = (
    *(since_last(entity) for entity in ("account", "card", "device", "ip", "merchant")),
    since_first("account"),
    since_first("device"),
    *(new("account", field) for field in ("device", "ip", "card", "merchant", "country")),
    *(new("card", field) for field in ("device", "merchant", "country")),
    new("device", "account"),
    known_for("account", "device"),
    known_for("account", "merchant"),
    changed("card", "country"),
)
