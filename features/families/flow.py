"""What flows through: money in against money out, top-ups that leave at once, refunds."""

from __future__ import annotations

from typing import Final

from features.spec import INSIDE, WINDOW_WORDS, FeatureSpec
from features.steps import SPENDING, Past, amount_sum, count, divide, gone
from risk.domain.kinds import ATTEMPTS

_MINOR: Final = "minor units of the base currency"
_OUT: Final = ("transfer", "withdrawal")


def top_up_sum(window: str) -> FeatureSpec:
    """Money that came into the account by top-ups.

    >>> top_up_sum("24h").name
    'account_top_up_sum_24h'
    """
    past = Past("account", window, ("top_up",))
    return FeatureSpec(
        name=f"account_top_up_sum_{window}",
        entity="account",
        window_ms=past.window_ms,
        dtype="integer",
        unit=_MINOR,
        sentence=f"Sum of the top-ups of this account in the last {WINDOW_WORDS[window]}.",
        step=amount_sum(past),
        example=f"{INSIDE[window]} ago top_up amount 500; 1m ago payment amount 7; now -> 500",
        owner="treasury",
    )


def out_over_in(window: str) -> FeatureSpec:
    """Transfers and withdrawals over top-ups; missing without a top-up.

    >>> out_over_in("24h").name
    'account_out_over_in_24h'
    """
    out, into = Past("account", window, _OUT), Past("account", window, ("top_up",))
    return FeatureSpec(
        name=f"account_out_over_in_{window}",
        entity="account",
        window_ms=out.window_ms,
        dtype="decimal",
        unit="ratio",
        sentence=(
            "Sum of the transfers and withdrawals of this account in the last"
            f" {WINDOW_WORDS[window]}, divided by the sum of its top-ups."
        ),
        step=divide(amount_sum(out), amount_sum(into)),
        example=f"{INSIDE[window]} ago top_up amount 500; 1m ago transfer amount 400; now -> 0.8",
        owner="treasury",
    )


def top_up_gone() -> FeatureSpec:
    """How much of the last top-up had left within the hour; above 1 more left than came.

    >>> top_up_gone().name
    'account_top_up_gone_24h'
    """
    return FeatureSpec(
        name="account_top_up_gone_24h",
        entity="account",
        window_ms=Past("account", "24h").window_ms,
        dtype="decimal",
        unit="share",
        sentence=(
            "Amounts that left this account in the hour after its last top-up of the last 24"
            " hours, divided by that top-up."
        ),
        step=gone("account", "24h", ("top_up",), SPENDING),
        example=(
            "5h ago payment amount 900; 3h ago top_up amount 1000; 170m ago transfer amount 600;"
            " 1h ago payment amount 300; now -> 0.6"
        ),
        owner="treasury",
    )


def refunds(entity: str, window: str) -> FeatureSpec:
    """Refunds made to an entity, or by a merchant.

    >>> refunds("account", "30d").name
    'account_refunds_30d'
    """
    past = Past(entity, window, ("refund",))
    return FeatureSpec(
        name=f"{entity}_refunds_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="integer",
        unit="refunds",
        sentence=f"Refunds on payments of this {entity} in the last {WINDOW_WORDS[window]}.",
        step=count(past),
        example=f"{INSIDE[window]} ago refund amount 50; 1m ago payment; now -> 1",
        owner="treasury",
    )


def refund_share(entity: str, window: str) -> FeatureSpec:
    """Refunds over payments; missing without payments.

    >>> refund_share("merchant", "30d").name
    'merchant_refund_share_30d'
    """
    attempted, refunded = Past(entity, window, ATTEMPTS), Past(entity, window, ("refund",))
    return FeatureSpec(
        name=f"{entity}_refund_share_{window}",
        entity=entity,
        window_ms=attempted.window_ms,
        dtype="decimal",
        unit="refunds per payment",
        sentence=(
            f"Refunds of this {entity} in the last {WINDOW_WORDS[window]}, divided by its payments"
            " in that time."
        ),
        step=divide(count(refunded), count(attempted)),
        example=f"{INSIDE[window]} ago payment; 5m ago payment; 1m ago refund; now -> 0.5",
        owner="treasury",
    )


FEATURES: Final = (
    top_up_sum("24h"),
    out_over_in("24h"),
    top_up_gone(),
    refunds("account", "30d"),
    refund_share("merchant", "30d"),
)
