"""What the payment says of itself, without any memory."""

from __future__ import annotations

from typing import Final

from features.operations import REPORTING_MINOR, ROUND_MINOR
from features.spec import Dtype, FeatureSpec
from features.steps import fact


def own(
    name: str, dtype: Dtype, unit: str, sentence: str, example: str, *, missing: int = -1
) -> FeatureSpec:
    """A fact of the event under ``payment_{name}``; ``missing`` is its code for "none".

    >>> own("hour", "integer", "h", "Hour of the day in UTC.", "now -> 12").computation
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
        example=example,
        owner="payments",
    )


FEATURES: Final = (
    own("amount", "integer", "minor units of the base currency",
        "Amount of this payment; missing without an exchange rate.", "now amount 4999 -> 4999"),
    own("kind", "code", "1 to 4", "1 payment, 2 transfer, 3 withdrawal, 4 top-up.",
        "now withdrawal -> 3"),
    own("channel", "code", "1 to 8",
        "1 ecom, 2 pos_chip, 3 pos_swipe, 4 pos_contactless, 5 atm, 6 moto, 7 app, 8 p2p.",
        "now channel atm -> 5", missing=0),
    own("mcc", "code", "ISO 18245", "Merchant category code.", "now mcc 5411 -> 5411", missing=0),
    own("hour", "integer", "h", "Hour of the day, 0 to 23, in UTC.", "now -> 12"),
    own("weekday", "integer", "days", "Day of the week in UTC, 0 Monday to 6 Sunday.", "now -> 2"),
    own("foreign", "flag", "0 or 1",
        "1 where the country differs from the card's; missing where either is unknown.",
        "now country FR card_country DE -> 1"),
    own("ip_foreign", "flag", "0 or 1",
        "1 where the country of the IP address differs from the country of the payment.",
        "now country FR ip_country FR -> 0"),
    own("ip_card_foreign", "flag", "0 or 1",
        "1 where the country of the IP address differs from the country of the card.",
        "now card_country DE ip_country FR -> 1"),
    own("card_absent", "flag", "0 or 1",
        "1 where the channel needs no card at hand (ecom, moto, app).", "now channel moto -> 1"),
    own("round_amount", "flag", "0 or 1",
        f"1 where the amount in its own currency is a multiple of {ROUND_MINOR:,} minor units.",
        "now amount 3000 -> 1"),
    own("under_reporting", "flag", "0 or 1",
        "1 where the amount is less than a tenth below the reporting threshold of"
        f" {REPORTING_MINOR:,} minor units.", "now amount 950000 -> 1"),
    own("account_age_days", "integer", "days",
        "Whole days since the account was opened; 0 where that lies in the future.",
        "now opened 40d -> 40"),
    own("kyc_level", "integer", "level", "How well the customer was identified, 0 to 9.",
        "now kyc 2 -> 2"),
    own("no_device", "flag", "0 or 1", "1 where the payment names no device.",
        "now device device-1 -> 0"),
    own("no_ip", "flag", "0 or 1", "1 where the payment names no IP address.", "now -> 1"),
    own("no_card", "flag", "0 or 1", "1 where the payment names no card.",
        "now card card-1 -> 0"),
)  # fmt: skip
