"""What else the account did: logins, resets, changes, new beneficiaries."""

from __future__ import annotations

from typing import Final

from features.spec import INSIDE, OUTSIDE, WINDOW_WORDS, FeatureSpec
from features.steps import Past, count, newest_age, oldest_same_age, seconds

_DONE: Final = {
    "logins": ("login", "Successful logins"),
    "failed_logins": ("login_failed", "Failed logins"),
    "password_resets": ("password_reset", "Password resets"),
    "device_changes": ("device_change", "Changes of device"),
    "beneficiaries_added": ("beneficiary_added", "Beneficiaries added"),
}


def done(entity: str, what: str, window: str) -> FeatureSpec:
    """How often something other than a payment happened in a window.

    >>> done("account", "failed_logins", "24h").sentence
    'Failed logins for this account in the last 24 hours.'
    """
    kind, words = _DONE[what]
    past = Past(entity, window, (kind,))
    return FeatureSpec(
        name=f"{entity}_{what}_{window}",
        entity=entity,
        window_ms=past.window_ms,
        dtype="integer",
        unit="events",
        sentence=f"{words} for this {entity} in the last {WINDOW_WORDS[window]}.",
        step=count(past),
        example=f"{OUTSIDE[window]} ago {kind}; {INSIDE[window]} ago {kind}; now -> 1",
        owner="identity",
        monotone=1 if what == "failed_logins" else 0,
    )


def since(kind: str, words: str) -> FeatureSpec:
    """Seconds since the account last did something; missing where it did not in 30 days.

    >>> since("password_reset", "password reset").name
    'account_since_password_reset'
    """
    return FeatureSpec(
        name=f"account_since_{kind}",
        entity="account",
        window_ms=None,
        dtype="decimal",
        unit="s",
        sentence=f"Seconds since the last {words} of this account, up to 30 days.",
        step=seconds(newest_age(Past("account", "30d", (kind,)))),
        example=f"3d ago {kind}; 5m ago {kind}; 1m ago payment; now -> 300",
        owner="identity",
    )


def since_added() -> FeatureSpec:
    """Seconds since the account stored the beneficiary that this payment goes to.

    >>> since_added().name
    'account_beneficiary_since_added'
    """
    return FeatureSpec(
        name="account_beneficiary_since_added",
        entity="account",
        window_ms=None,
        dtype="decimal",
        unit="s",
        sentence=(
            "Seconds since this account first stored the beneficiary of this payment, up to 30"
            " days."
        ),
        step=seconds(
            oldest_same_age(Past("account", "30d", ("beneficiary_added",)), "counterparty")
        ),
        example=(
            "10m ago beneficiary_added beneficiary ben-1; 2m ago beneficiary_added beneficiary"
            " ben-2; now transfer beneficiary ben-1 -> 600"
        ),
        owner="identity",
    )


FEATURES: Final = (
    done("account", "logins", "24h"),
    done("account", "failed_logins", "1h"),
    done("account", "failed_logins", "24h"),
    done("account", "password_resets", "24h"),
    done("account", "device_changes", "24h"),
    done("account", "beneficiaries_added", "24h"),
    done("ip", "failed_logins", "1h"),
    since("password_reset", "password reset"),
    since("login_failed", "failed login"),
    since("device_change", "change of device"),
    since("beneficiary_added", "new beneficiary"),
    since_added(),
)
