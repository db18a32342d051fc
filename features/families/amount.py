"""How much: sums, means, spread, and this amount against the entity's own history.

Amounts are minor units of the base currency, of payments, transfers and withdrawals
(attempted, whatever came of them). Records without an exchange rate are left out.
"""

from __future__ import annotations

from typing import Final

from features.spec import WINDOW_WORDS, Dtype, FeatureSpec
from features.steps import (
    SPENDING,
    Past,
    Step,
    amount_maximum,
    amount_mean,
    amount_spread,
    amount_sum,
    amounts_at_most,
    amounts_at_most_own,
    divide,
    fact,
    known,
    subtract,
)

_MINOR: Final = "minor units of the base currency"
_SMALL_MINOR: Final = 500


def _own() -> Step:
    return fact("amount")


def _amount(past: Past, what: str, unit: str, sentence: str, step: Step) -> FeatureSpec:
    dtype: Dtype = "integer" if what in ("amount_sum", "amount_max") else "decimal"
    return FeatureSpec(
        name=f"{past.entity}_{what}_{past.window}",
        entity=past.entity,
        window_ms=past.window_ms,
        dtype=dtype,
        unit=unit,
        sentence=f"{sentence} of this {past.entity} in the last {WINDOW_WORDS[past.window]}.",
        step=step,
    )


def spent(entity: str, window: str) -> FeatureSpec:
    """Sum of the earlier amounts; 0 where there are none.

    >>> spent("card", "24h").name
    'card_amount_sum_24h'
    """
    past = Past(entity, window, SPENDING)
    return _amount(past, "amount_sum", _MINOR, "Sum of the earlier amounts", amount_sum(past))


def history(entity: str, window: str) -> tuple[FeatureSpec, ...]:
    """Mean, largest and spread of the earlier amounts; missing without a history.

    >>> [spec.name for spec in history("card", "30d")]
    ['card_amount_mean_30d', 'card_amount_max_30d', 'card_amount_spread_30d']
    """
    past = Past(entity, window, SPENDING)
    return (
        _amount(past, "amount_mean", _MINOR, "Mean of the earlier amounts", amount_mean(past)),
        _amount(past, "amount_max", _MINOR, "Largest earlier amount", amount_maximum(past)),
        _amount(
            past,
            "amount_spread",
            _MINOR,
            "Standard deviation of the earlier amounts, two or more,",
            amount_spread(past),
        ),
    )


def against_history(entity: str, window: str) -> tuple[FeatureSpec, ...]:
    """This amount as a ratio to the mean, and as a z-score, of the earlier amounts.

    >>> [spec.name for spec in against_history("card", "30d")]
    ['card_amount_ratio_30d', 'card_amount_zscore_30d']
    """
    past = Past(entity, window, SPENDING)
    z_score = divide(subtract(_own(), amount_mean(past)), amount_spread(past))
    return (
        _amount(
            past,
            "amount_ratio",
            "ratio",
            "This amount divided by the mean of the earlier amounts",
            divide(_own(), amount_mean(past)),
        ),
        _amount(
            past,
            "amount_zscore",
            "standard deviations",
            "How far this amount lies above the mean of the earlier amounts",
            z_score,
        ),
    )


def rank(entity: str, window: str) -> FeatureSpec:
    """Share of the earlier amounts that are not above this one.

    >>> rank("account", "30d").name
    'account_amount_rank_30d'
    """
    past = Past(entity, window, SPENDING)
    share = divide(amounts_at_most_own(past), known(past, "amount"))
    sentence = "Share that is not above this amount among the earlier amounts"
    return _amount(past, "amount_rank", "share", sentence, share)


def small_payments(entity: str, window: str) -> FeatureSpec:
    """Amounts of at most 500 minor units: the trace of card testing.

    >>> small_payments("card", "1h").name
    'card_small_payments_1h'
    """
    past = Past(entity, window, SPENDING)
    return FeatureSpec(
        name=f"{entity}_small_payments_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="integer",
        unit="payments",
        sentence=(
            f"Earlier amounts of at most {_SMALL_MINOR} minor units of this {entity} in the"
            f" last {WINDOW_WORDS[window]}."
        ),
        step=amounts_at_most(past, _SMALL_MINOR),
    )


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
    )


FEATURES: Final = (
    *(spent("account", window) for window in ("1h", "24h", "7d", "30d")),
    *(spent("card", window) for window in ("1h", "24h", "7d")),
    spent("beneficiary", "24h"),
    *history("account", "30d"),
    *history("card", "30d"),
    *history("merchant", "7d"),
    *against_history("account", "30d"),
    *against_history("card", "30d"),
    *against_history("merchant", "7d"),
    rank("account", "30d"),
    small_payments("card", "1h"),
    small_payments("merchant", "1h"),
    top_up_sum("24h"),
)
