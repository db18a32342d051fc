"""What the payment says of itself, without any memory."""

from __future__ import annotations

from typing import Final

from features.spec import Dtype, FeatureSpec
from features.steps import fact


def own(name: str, dtype: Dtype, unit: str, sentence: str, *, missing: int = -1) -> FeatureSpec:
    """A fact of the event under ``payment_{name}``; ``missing`` is its code for "none".

    >>> own("hour", "integer", "h", "Hour of the day in UTC.").computation
    'fact(hour, missing -1)'
    """
    return FeatureSpec(
        name=f"payment_{name}",
        entity="payment",
        window_ms=None,
        dtype=dtype,
        unit=unit,
        sentence=sentence,
        step=fact(name, missing),
    )


FEATURES: Final = (
    own("amount", "integer", "minor units of the base currency",
        "Amount of this payment; missing without an exchange rate."),
    own("kind", "code", "1 to 4", "1 payment, 2 transfer, 3 withdrawal, 4 top-up."),
    own("channel", "code", "1 to 8",
        "1 ecom, 2 pos_chip, 3 pos_swipe, 4 pos_contactless, 5 atm, 6 moto, 7 app, 8 p2p.",
        missing=0),
    own("mcc", "code", "ISO 18245", "Merchant category code.", missing=0),
    own("hour", "integer", "h", "Hour of the day, 0 to 23, in UTC."),
    own("weekday", "integer", "days", "Day of the week in UTC, 0 Monday to 6 Sunday."),
    own("foreign", "flag", "0 or 1",
        "1 where the country differs from the card's; missing where either is unknown."),
    own("ip_foreign", "flag", "0 or 1",
        "1 where the country of the IP address differs from the country of the payment."),
    own("card_absent", "flag", "0 or 1",
        "1 where the channel needs no card at hand (ecom, moto, app)."),
    own("account_age_days", "integer", "days",
        "Whole days since the account was opened; 0 where that lies in the future."),
    own("kyc_level", "integer", "level", "How well the customer was identified, 0 to 9."),
    own("no_device", "flag", "0 or 1", "1 where the payment names no device."),
    own("no_ip", "flag", "0 or 1", "1 where the payment names no IP address."),
    own("no_card", "flag", "0 or 1", "1 where the payment names no card."),
)  # fmt: skip
