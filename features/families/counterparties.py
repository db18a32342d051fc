"""With how many others: distinct entities, countries and trades in a window."""

from __future__ import annotations

from typing import Final

from features.spec import INSIDE, OUTSIDE, WINDOW_WORDS, FeatureSpec
from features.steps import Past, distinct

_PLURAL: Final = {
    "account": "accounts", "card": "cards", "device": "devices", "ip": "ips",
    "counterparty": "merchants", "country": "countries",
}  # fmt: skip
_EXAMPLE: Final = {
    "counterparty": ("merchant", "shop-8", "shop-9"), "country": ("country", "DE", "FR"),
}  # fmt: skip
_WORDS: Final = {
    "ips": "IP addresses",
    "merchants": "merchants or beneficiaries",
}


def different(entity: str, field: str, window: str) -> FeatureSpec:
    """Distinct values of ``field`` among the earlier payments, without this one's.

    >>> different("device", "account", "7d").name
    'device_accounts_7d'
    """
    plural = _PLURAL[field]
    past = Past(entity, window)
    key, first, other = _EXAMPLE.get(field, (field, f"{field}-8", f"{field}-9"))
    inside = INSIDE[window]
    return FeatureSpec(
        name=f"{entity}_{plural}_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="integer",
        unit=_WORDS.get(plural, plural),
        sentence=(
            f"Different {_WORDS.get(plural, plural)} in the earlier payments of this {entity}"
            f" in the last {WINDOW_WORDS[window]}."
        ),
        step=distinct(past, field),
        example=(
            f"{OUTSIDE[window]} ago payment {key} {other}; {inside} ago payment {key} {first};"
            f" {inside} ago payment {key} {first}; 1m ago payment {key} {other}; now -> 2"
        ),
        owner="network",
        monotone=1 if field == "account" and entity in ("card", "device") else 0,
    )


FEATURES: Final = (
    different("account", "device", "24h"),
    different("account", "device", "7d"),
    different("account", "card", "24h"),
    different("account", "ip", "24h"),
    different("account", "counterparty", "24h"),
    different("account", "country", "7d"),
    different("card", "account", "30d"),
    different("card", "device", "7d"),
    different("card", "ip", "24h"),
    different("card", "counterparty", "1h"),
    different("card", "counterparty", "24h"),
    different("card", "country", "24h"),
    different("card", "country", "7d"),
    different("device", "account", "24h"),
    different("device", "account", "7d"),
    different("device", "card", "24h"),
    different("ip", "account", "1h"),
    different("ip", "account", "24h"),
    different("ip", "card", "1h"),
    different("ip", "card", "24h"),
    different("merchant", "card", "1h"),
    different("beneficiary", "account", "7d"),
    different("ip", "device", "24h"),
)
