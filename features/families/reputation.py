"""With what record: fraud and dispute labels, from the moment at which they became known.

BINs have no log: their reputation comes from lists and rules, since one log more would cost
each payment a fifth of its Redis work and a BIN's 256 newest records span minutes. Terminals
share the log of their merchant; a terminal that is to have a record of its own is a merchant.
"""

from __future__ import annotations

from typing import Final, Literal

from features.spec import INSIDE, OUTSIDE, WINDOW_WORDS, FeatureSpec
from features.steps import (
    Past,
    clean_after_run,
    count,
    divide,
    labelled_run,
    labelled_run_age,
    newest_age,
    seconds,
)
from risk.domain.kinds import FRAUD_LABELS

# What is known to be bad is mended: a terminal is repaired, a card replaced, an account locked.
# More labels may then mean that it is over, so a model is free to learn how long it lasts.
_MENDED: Final = ("account", "card", "merchant")


def _monotone(entity: str) -> Literal[0, 1]:
    return 0 if entity in _MENDED else 1


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
        example=(
            f"{OUTSIDE[window]} ago chargeback; {INSIDE[window]} ago chargeback; 1m ago"
            " analyst_fraud; 1m ago analyst_legit; now -> 2"
        ),
        owner="disputes",
        monotone=_monotone(entity),
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
        example=(f"{INSIDE[window]} ago payment; 2m ago payment; 1m ago fraud_report; now -> 0.5"),
        owner="disputes",
        monotone=_monotone(entity),
    )


def disputes(entity: str, window: str) -> FeatureSpec:
    """Chargebacks that became known in the window, whatever became of them.

    >>> disputes("merchant", "30d").name
    'merchant_disputes_30d'
    """
    past = Past(entity, window, ("chargeback",))
    return FeatureSpec(
        name=f"{entity}_disputes_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="integer",
        unit="labels",
        sentence=(
            f"Chargebacks on payments of this {entity} that became known in the last"
            f" {WINDOW_WORDS[window]}."
        ),
        step=count(past),
        example=f"{INSIDE[window]} ago chargeback; 1m ago fraud_report; now -> 1",
        owner="disputes",
        monotone=1,
    )


def dispute_share(entity: str, window: str) -> FeatureSpec:
    """Chargebacks over earlier payments; missing without payments.

    >>> dispute_share("merchant", "30d").name
    'merchant_dispute_share_30d'
    """
    past, disputed = Past(entity, window), Past(entity, window, ("chargeback",))
    return FeatureSpec(
        name=f"{entity}_dispute_share_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="decimal",
        unit="labels per payment",
        sentence=(
            f"Chargebacks on this {entity} that became known in the last {WINDOW_WORDS[window]},"
            " divided by its payments in that time."
        ),
        step=divide(count(disputed), count(past)),
        example=f"{INSIDE[window]} ago payment; 2m ago payment; 1m ago chargeback; now -> 0.5",
        owner="disputes",
        monotone=1,
    )


def since_fraud(entity: str) -> FeatureSpec:
    """Seconds since the newest fraud label; missing where there is none in 30 days.

    >>> since_fraud("merchant").name
    'merchant_since_fraud'
    """
    return FeatureSpec(
        name=f"{entity}_since_fraud",
        entity=entity,
        window_ms=None,
        dtype="decimal",
        unit="s",
        sentence=f"Seconds since fraud on this {entity} last became known, up to 30 days.",
        step=seconds(newest_age(Past(entity, "30d", FRAUD_LABELS))),
        example="2d ago chargeback; 90s ago fraud_report; 5s ago payment; now -> 90",
        owner="disputes",
    )


_RUN_STORY: Final = (
    "9d ago payment account account-5; 8d ago payment account account-6; 7d ago payment account"
    " account-7; 2d ago chargeback account account-6; 1d ago chargeback account account-7; 1h ago"
    " payment account account-8; now"
)


def run(entity: str) -> tuple[FeatureSpec, FeatureSpec]:
    """Length and age of the newest unbroken row of payments that turned out as fraud.

    Records of labels name no payment: a payment belongs to the row where its account got a
    fraud label here after it. Later payments, which no label can have reached yet, do not
    break the row; an older one without a label does.

    >>> [spec.name for spec in run("merchant")]
    ['merchant_fraud_run', 'merchant_fraud_run_age']
    """
    return (
        FeatureSpec(
            name=f"{entity}_fraud_run",
            entity=entity,
            window_ms=None,
            dtype="integer",
            unit="payments",
            sentence=(
                f"How many payments of this {entity} in a row, the newest such row of 30 days,"
                " were by accounts of which fraud here became known afterwards."
            ),
            step=labelled_run(entity),
            example=f"{_RUN_STORY} -> 2",
            owner="disputes",
        ),
        FeatureSpec(
            name=f"{entity}_fraud_run_age",
            entity=entity,
            window_ms=None,
            dtype="decimal",
            unit="s",
            sentence=(
                f"Seconds since the first payment of the newest unbroken row of fraud at this"
                f" {entity}, up to 30 days."
            ),
            step=seconds(labelled_run_age(entity)),
            example=f"{_RUN_STORY} -> 691200",
            owner="disputes",
        ),
    )


def run_clean(entity: str) -> FeatureSpec:
    """Payments that show that the row of fraud has ended; missing where there is no row.

    A label that is late tells nothing about the newest payments. Those count here that have
    been there for as long as the row's newest label needed, and got none.

    >>> run_clean("merchant").name
    'merchant_fraud_run_clean_30d'
    """
    step = clean_after_run(entity)
    return FeatureSpec(
        name=f"{entity}_fraud_run_clean_30d",
        entity=entity,
        window_ms=Past(entity, "30d").window_ms,
        dtype="integer",
        unit="payments",
        sentence=(
            f"Payments of this {entity} after its newest row of fraud in the last 30 days that"
            " are without a label although they are at least as old as the row's newest label"
            " was late."
        ),
        step=step,
        example=(
            "9d ago payment account account-5; 7d ago payment account account-7; 6d ago payment"
            " account account-8; 5d ago payment account account-9; 2d ago chargeback account"
            " account-7; 1h ago payment account account-6; now -> 2"
        ),
        owner="disputes",
    )


FEATURES: Final = (
    *(fraud(entity, "30d") for entity in ("account", "card", "device", "ip", "merchant")),
    fraud("beneficiary", "30d"),
    fraud("merchant", "7d"),
    *(fraud_share(entity, "30d") for entity in ("merchant", "device", "ip")),
    fraud_share("merchant", "7d"),
    disputes("merchant", "30d"),
    dispute_share("merchant", "30d"),
    since_fraud("merchant"),
    *run("merchant"),
    run_clean("merchant"),
)
