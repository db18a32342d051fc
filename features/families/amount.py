"""How much: sums, means, spread, and this amount against the entity's own history.

Amounts are minor units of the base currency, of payments, transfers and withdrawals
(attempted, whatever came of them). Records without an exchange rate are left out.
"""

from __future__ import annotations

from typing import Final

from features.operations import REPORTING_MINOR, ROUND_MINOR
from features.spec import INSIDE, OUTSIDE, WINDOW_WORDS, Dtype, FeatureSpec
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
    count,
    divide,
    fact,
    just_under,
    known,
    multiples,
    recent_median,
    subtract,
)

_MINOR: Final = "minor units of the base currency"
_SMALL_MINOR: Final = 500
_RECENT: Final = 15  # amounts whose median is taken


# What the features of the same story are.
_VALUES: Final = {
    "amount_sum": "4000", "amount_mean": "2000", "amount_max": "3000", "amount_spread": "1000",
    "amount_ratio": "2", "amount_zscore": "2", "amount_rank": "1", "round_share": "1",
}  # fmt: skip


def _own() -> Step:
    return fact("amount")


def _amount(past: Past, what: str, unit: str, sentence: str, step: Step) -> FeatureSpec:
    dtype: Dtype = "integer" if what in ("amount_sum", "amount_max") else "decimal"
    outside, inside = OUTSIDE[past.window], INSIDE[past.window]
    story = f"{outside} ago payment amount 9; {inside} ago payment amount 1000"
    return FeatureSpec(
        name=f"{past.entity}_{what}_{past.window}",
        entity=past.entity,
        window_ms=past.window_ms,
        dtype=dtype,
        unit=unit,
        sentence=f"{sentence} of this {past.entity} in the last {WINDOW_WORDS[past.window]}.",
        step=step,
        example=f"{story}; 1m ago payment amount 3000; now amount 4000 -> {_VALUES[what]}",
        owner="payments",
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
        example=f"{INSIDE[window]} ago payment amount 500; 2s ago payment amount 501; now -> 1",
        owner="payments",
    )


def round_share(entity: str, window: str) -> FeatureSpec:
    """Share of round amounts: multiples of 1,000 minor units of the payment's own currency.

    >>> round_share("card", "30d").name
    'card_round_share_30d'
    """
    past = Past(entity, window, SPENDING)
    sentence = f"Share of multiples of {ROUND_MINOR:,} minor units among the earlier amounts"
    step = divide(multiples(past, ROUND_MINOR), count(past))
    return _amount(past, "round_share", "share", sentence, step)


def under_share(entity: str, window: str) -> FeatureSpec:
    """Share of the amounts that are just under the reporting threshold.

    >>> under_share("account", "30d").name
    'account_under_reporting_share_30d'
    """
    past = Past(entity, window, SPENDING)
    return FeatureSpec(
        name=f"{entity}_under_reporting_share_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="decimal",
        unit="share",
        sentence=(
            "Share of amounts less than a tenth below the reporting threshold of"
            f" {REPORTING_MINOR:,} minor units of this {entity} in the last"
            f" {WINDOW_WORDS[window]}."
        ),
        step=divide(just_under(past, REPORTING_MINOR), known(past, "amount")),
        example="2d ago payment amount 950000; 1d ago payment amount 2000; now -> 0.5",
        owner="payments",
    )


def median(entity: str) -> tuple[FeatureSpec, FeatureSpec]:
    """Median of the 15 amounts that came last, and this amount over it.

    >>> [spec.name for spec in median("card")]
    ['card_amount_median', 'card_amount_over_median']
    """
    past = Past(entity, "30d", SPENDING)
    of_last = recent_median(past, _RECENT)
    story = "3d ago payment amount 900; 2d ago payment amount 100; 1h ago payment amount 200"
    return (
        FeatureSpec(
            name=f"{entity}_amount_median",
            entity=entity,
            window_ms=None,
            dtype="decimal",
            unit=_MINOR,
            sentence=(
                f"Median of the {_RECENT} amounts of this {entity} that came last, of at most 30"
                " days."
            ),
            step=of_last,
            example=f"{story}; now amount 1000 -> 200",
            owner="payments",
        ),
        FeatureSpec(
            name=f"{entity}_amount_over_median",
            entity=entity,
            window_ms=None,
            dtype="decimal",
            unit="ratio",
            sentence=(
                f"This amount divided by the median of the {_RECENT} amounts of this {entity} that"
                " came last."
            ),
            step=divide(_own(), of_last),
            example=f"{story}; now amount 1000 -> 5",
            owner="payments",
        ),
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
    round_share("account", "30d"),
    under_share("account", "30d"),
    *median("account"),
    *median("card"),
)
