"""In what rhythm: gaps between payments, and the hours at which they are usual."""

from __future__ import annotations

from typing import Final

from features.spec import WINDOW_WORDS, FeatureSpec
from features.steps import (
    Past,
    count,
    divide,
    near_hour,
    newest_age,
    oldest_age,
    same_weekday,
    seconds,
)


def gap_mean(entity: str, window: str) -> FeatureSpec:
    """Time since the oldest payment of the window, over their number.

    So many gaps lie between them and this payment.

    >>> gap_mean("card", "24h").name
    'card_gap_mean_24h'
    """
    past = Past(entity, window)
    return FeatureSpec(
        name=f"{entity}_gap_mean_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="decimal",
        unit="s",
        sentence=(
            f"Mean seconds between the payments of this {entity} in the last"
            f" {WINDOW_WORDS[window]}, up to and with this one."
        ),
        step=seconds(divide(oldest_age(past), count(past))),
        example="60s ago payment; 20s ago payment; now -> 30",
        owner="identity",
    )


def gap_ratio(entity: str, window: str) -> FeatureSpec:
    """Time since the last payment, over the mean gap: far below 1 is a burst.

    >>> gap_ratio("account", "30d").name
    'account_gap_ratio_30d'
    """
    past = Past(entity, window)
    return FeatureSpec(
        name=f"{entity}_gap_ratio_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="decimal",
        unit="ratio",
        sentence=(
            f"Time since the last payment of this {entity}, divided by the mean gap between its"
            f" payments in the last {WINDOW_WORDS[window]}."
        ),
        step=divide(newest_age(past), divide(oldest_age(past), count(past))),
        example="60s ago payment; 15s ago payment; now -> 0.5",
        owner="identity",
    )


def hour_share(entity: str, window: str) -> FeatureSpec:
    """Share of the earlier payments within one hour of the day of this one.

    >>> hour_share("account", "30d").name
    'account_hour_share_30d'
    """
    past = Past(entity, window)
    return FeatureSpec(
        name=f"{entity}_hour_share_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="decimal",
        unit="share",
        sentence=(
            f"Share of the payments of this {entity} in the last {WINDOW_WORDS[window]} that were"
            " made in this hour of the day (UTC), the one before or the one after."
        ),
        step=divide(near_hour(past), count(past)),
        example="23h ago payment; 18h ago payment; 10h ago payment; 1h ago payment; now -> 0.5",
        owner="identity",
    )


def weekday_share(entity: str, window: str) -> FeatureSpec:
    """Share of the earlier payments on the weekday of this one.

    >>> weekday_share("account", "30d").name
    'account_weekday_share_30d'
    """
    past = Past(entity, window)
    return FeatureSpec(
        name=f"{entity}_weekday_share_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="decimal",
        unit="share",
        sentence=(
            f"Share of the payments of this {entity} in the last {WINDOW_WORDS[window]} that were"
            " made on this day of the week (UTC)."
        ),
        step=divide(same_weekday(past), count(past)),
        example="14d ago payment; 7d ago payment; 2d ago payment; 1d ago payment; now -> 0.5",
        owner="identity",
    )


FEATURES: Final = (
    gap_mean("account", "7d"),
    gap_mean("card", "24h"),
    gap_ratio("account", "30d"),
    gap_ratio("card", "30d"),
    hour_share("account", "30d"),
    hour_share("card", "30d"),
    weekday_share("account", "30d"),
)
