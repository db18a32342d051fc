"""How often: attempts, approvals, declines and kinds of payment in a window."""

from __future__ import annotations

from typing import Final

from features.spec import INSIDE, OUTSIDE, WINDOW_WORDS, FeatureSpec
from features.steps import Past, count, divide, scale
from risk.domain.kinds import ATTEMPTS

_COUNTED: Final = {
    "payments": (ATTEMPTS, "Payments of any type attempted"),
    "approvals": (("authorised",), "Payments reported as authorised"),
    "declines": (("declined",), "Payments reported as declined"),
    "top_ups": (("top_up",), "Top-ups attempted"),
    "transfers": (("transfer",), "Transfers attempted"),
    "withdrawals": (("withdrawal",), "Withdrawals attempted"),
}
_USUAL_DAYS: Final = 30


def counted(entity: str, what: str, window: str) -> FeatureSpec:
    """The number of records of one sort in a window; 0 where there are none.

    >>> counted("card", "declines", "1h").name
    'card_declines_1h'
    >>> counted("card", "declines", "1h").sentence
    'Payments reported as declined for this card in the last hour, without this one.'
    """
    kinds, words = _COUNTED[what]
    past = Past(entity, window, kinds)
    inside, kind = INSIDE[window], kinds[0]
    return FeatureSpec(
        name=f"{entity}_{what}_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="integer",
        unit="payments",
        sentence=f"{words} for this {entity} in the last {WINDOW_WORDS[window]}, without this one.",
        step=count(past),
        example=f"{OUTSIDE[window]} ago {kind}; {inside} ago {kind}; {inside} ago login; now -> 1",
        owner="payments",
        monotone=1 if what == "declines" else 0,
    )


def decline_share(entity: str, window: str) -> FeatureSpec:
    """Declines over reported outcomes; missing where no outcome is known.

    >>> decline_share("card", "24h").name
    'card_decline_share_24h'
    """
    declined = Past(entity, window, ("declined",))
    reported = Past(entity, window, ("authorised", "declined"))
    return FeatureSpec(
        name=f"{entity}_decline_share_{window}",
        entity=entity,
        window_ms=declined.window_ms,
        dtype="decimal",
        unit="share",
        sentence=(
            f"Declined among the payments of this {entity} whose outcome was reported in the"
            f" last {WINDOW_WORDS[window]}."
        ),
        step=divide(count(declined), count(reported)),
        example=(
            f"{INSIDE[window]} ago declined; 1m ago authorised; 30s ago authorised;"
            " 2s ago declined; now -> 0.5"
        ),
        owner="payments",
        monotone=1,
    )


def approved_today(entity: str) -> FeatureSpec:
    """Approvals of 24 hours over the mean day of the last 30; 30 where there was no other day.

    >>> approved_today("card").name
    'card_approvals_over_usual_24h'
    """
    today, usual = Past(entity, "24h", ("authorised",)), Past(entity, "30d", ("authorised",))
    return FeatureSpec(
        name=f"{entity}_approvals_over_usual_24h",
        entity=entity,
        window_ms=today.window_ms,
        dtype="decimal",
        unit="ratio",
        sentence=(
            f"Payments of this {entity} reported as authorised in the last 24 hours, divided by"
            f" its mean per day over {_USUAL_DAYS} days."
        ),
        step=scale(divide(count(today), count(usual)), _USUAL_DAYS),
        example="9d ago authorised; 5d ago authorised; 3h ago authorised; now -> 10",
        owner="payments",
    )


FEATURES: Final = (
    *(counted("account", "payments", window) for window in WINDOW_WORDS),
    *(counted("card", "payments", window) for window in WINDOW_WORDS),
    *(counted("device", "payments", window) for window in ("1h", "24h", "7d")),
    *(counted("ip", "payments", window) for window in ("5m", "1h", "24h")),
    *(counted("merchant", "payments", window) for window in ("1h", "24h")),
    *(counted("account", "declines", window) for window in ("1h", "24h")),
    *(counted("card", "declines", window) for window in ("1h", "24h")),
    counted("ip", "declines", "1h"),
    decline_share("card", "24h"),
    decline_share("merchant", "24h"),
    counted("account", "approvals", "24h"),
    counted("card", "approvals", "24h"),
    approved_today("account"),
    approved_today("card"),
    counted("account", "withdrawals", "24h"),
    counted("account", "top_ups", "24h"),
    counted("account", "transfers", "24h"),
)
