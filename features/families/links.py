"""With whom it is linked: other accounts here that were labelled as fraud.

The log of a device holds the fraud labels of every account that paid with it, from the moment
at which each became known; so do those of IP addresses and cards.
"""

from __future__ import annotations

from typing import Final

from features.spec import INSIDE, WINDOW_WORDS, FeatureSpec
from features.steps import Past, distinct_other
from risk.domain.kinds import FRAUD_LABELS

_WORDS: Final = {"ip": "IP address"}


def linked(entity: str, window: str) -> FeatureSpec:
    """Accounts other than the payment's own that share the entity and were labelled as fraud.

    >>> linked("device", "30d").name
    'device_fraud_accounts_30d'
    """
    past = Past(entity, window, FRAUD_LABELS)
    return FeatureSpec(
        name=f"{entity}_fraud_accounts_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="integer",
        unit="accounts",
        sentence=(
            f"Other accounts that share this {_WORDS.get(entity, entity)} and of which fraud"
            f" became known in the last {WINDOW_WORDS[window]}."
        ),
        step=distinct_other(past, "account"),
        example=(
            f"{INSIDE[window]} ago chargeback account account-2; 2d ago fraud_report account"
            " account-2; 1d ago chargeback account account-1; 1h ago payment account account-3;"
            " now -> 1"
        ),
        owner="network",
        monotone=1,
    )


FEATURES: Final = tuple(linked(entity, "30d") for entity in ("device", "ip", "card"))
