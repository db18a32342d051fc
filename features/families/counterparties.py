"""With how many others: distinct entities, countries and trades in a window."""

from __future__ import annotations

from typing import Final

from features.spec import WINDOW_WORDS, FeatureSpec
from features.steps import Past, distinct

_PLURAL: Final = {
    "account": "accounts", "card": "cards", "device": "devices", "ip": "ips",
    "counterparty": "merchants", "country": "countries",
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
)
