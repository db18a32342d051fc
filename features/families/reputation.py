"""With what record: fraud labels, counted from the moment at which they became known."""

from __future__ import annotations

from typing import Final

from features.spec import WINDOW_WORDS, FeatureSpec
from features.steps import Past, count, divide
from risk.domain.kinds import FRAUD_LABELS


def fraud(entity: str, window: str) -> FeatureSpec:
    """Fraud labels that became known in the window; a payment may carry several.

    >>> fraud("merchant", "30d").name
    'merchant_fraud_30d'
    """
    past = Past(entity, window, FRAUD_LABELS)
    return FeatureSpec(
        name=f"{entity}_fraud_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="integer",
        unit="labels",
        sentence=(
            f"Fraud labels on payments of this {entity} that became known in the last"
            f" {WINDOW_WORDS[window]}."
        ),
        step=count(past),
    )


def fraud_share(entity: str, window: str) -> FeatureSpec:
    """Fraud labels over earlier payments; missing without payments.

    >>> fraud_share("merchant", "30d").name
    'merchant_fraud_share_30d'
    """
    past = Past(entity, window)
    return FeatureSpec(
        name=f"{entity}_fraud_share_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="decimal",
        unit="labels per payment",
        sentence=(
            f"Fraud labels on this {entity} that became known in the last {WINDOW_WORDS[window]},"
            " divided by its payments in that time."
        ),
        step=divide(count(Past(entity, window, FRAUD_LABELS)), count(past)),
    )


FEATURES: Final = (
    *(fraud(entity, "30d") for entity in ("account", "card", "device", "ip", "merchant")),
    fraud_share("merchant", "30d"),
)
