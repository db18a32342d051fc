"""The events Weir reads: one versioned definition for both doors and every schema text.

Scored types (payment, transfer, withdrawal, top_up) get a decision. Remembered types
(activity, outcomes, labels) only leave records. Instances come from
``risk.domain.decoding``; times are aware and cut to milliseconds there.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from risk.domain.limits import AMOUNT_MINOR_MAX, ATTRIBUTES_MAX, IDENTIFIER_CHARS_MAX
from risk.domain.times import to_ms

SCHEMA_VERSION = 1

Identifier = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=IDENTIFIER_CHARS_MAX,
        pattern="^[^\x00-\x1f\x7f]+$",
        description="Opaque text; all-digit text of 13 to 19 digits is refused.",
    ),
]
Tenant = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
AmountMinor = Annotated[
    int, Meta(ge=0, le=AMOUNT_MINOR_MAX, description="Minor units of the currency.")
]
CurrencyCode = Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217.")]
CountryCode = Annotated[str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2.")]
Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339 with milliseconds.")]
AttributeValue = str | int | float | bool
Attributes = Annotated[dict[str, AttributeValue], Meta(max_length=ATTRIBUTES_MAX)]
Channel = Literal["ecom", "pos_chip", "pos_swipe", "pos_contactless", "atm", "moto", "app", "p2p"]
CHANNELS: tuple[str, ...] = (
    "ecom", "pos_chip", "pos_swipe", "pos_contactless", "atm", "moto", "app", "p2p",
)  # fmt: skip


class Event(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    tag_field="type",
):
    """What every event has. ``id`` is unique per tenant and type of happening."""

    id: Identifier
    occurred_at: Moment
    tenant: Tenant = "main"
    schema_version: Literal[1] = 1
    account: Identifier | None = None
    card: Identifier | None = None
    merchant: Identifier | None = None
    beneficiary: Identifier | None = None
    device: Identifier | None = None
    ip: Identifier | None = None

    @property
    def kind(self) -> str:
        """The value of ``type``."""
        return str(self.__struct_config__.tag)

    @property
    def occurred_at_ms(self) -> int:
        return to_ms(self.occurred_at)


class Payment(Event, frozen=True, kw_only=True, tag="payment"):
    """A payment to be decided. Missing fields are values that features and rules know."""

    account: Identifier
    amount_minor: AmountMinor
    currency: CurrencyCode
    payment_id: Identifier | None = None
    mcc: Annotated[str, Meta(pattern="^[0-9]{4}$")] | None = None
    terminal: Identifier | None = None
    ip_prefix: Identifier | None = None
    channel: Channel | None = None
    country: CountryCode | None = None
    card_country: CountryCode | None = None
    ip_country: CountryCode | None = None
    bin: Annotated[str, Meta(pattern="^[0-9]{6,8}$")] | None = None
    lat: Annotated[float, Meta(ge=-90, le=90)] | None = None
    lon: Annotated[float, Meta(ge=-180, le=180)] | None = None
    email_hash: Identifier | None = None
    phone_hash: Identifier | None = None
    account_opened_at: Moment | None = None
    kyc_level: Annotated[int, Meta(ge=0, le=9)] | None = None
    attributes: Attributes | None = None


class Transfer(Payment, frozen=True, kw_only=True, tag="transfer"):
    """Money from an account to a beneficiary."""


class Withdrawal(Payment, frozen=True, kw_only=True, tag="withdrawal"):
    """Cash out."""


class TopUp(Payment, frozen=True, kw_only=True, tag="top_up"):
    """Money into an account."""


class Activity(Event, frozen=True, kw_only=True, tag="activity"):
    """Base of what an account does besides paying."""

    account: Identifier
    attributes: Attributes | None = None


class Login(Activity, frozen=True, kw_only=True, tag="login"):
    """A login attempt; ``succeeded`` false is a failed one."""

    succeeded: bool = True


class DeviceChange(Activity, frozen=True, kw_only=True, tag="device_change"):
    """The account moved to another device."""


class BeneficiaryAdded(Activity, frozen=True, kw_only=True, tag="beneficiary_added"):
    """A new beneficiary was stored."""


class PasswordReset(Activity, frozen=True, kw_only=True, tag="password_reset"):
    """The password was reset."""


class Refund(Activity, frozen=True, kw_only=True, tag="refund"):
    """Money back to the account, of the payment ``payment_id`` where it is known."""

    amount_minor: AmountMinor
    currency: CurrencyCode
    payment_id: Identifier | None = None


class OutcomeReport(Event, frozen=True, kw_only=True, tag="outcome"):
    """What the payment flow then did with the payment ``payment_id``."""

    payment_id: Identifier
    result: Literal["authorised", "declined", "settled", "refunded"]
    reason: Annotated[str, Meta(max_length=IDENTIFIER_CHARS_MAX)] | None = None


class Decided(OutcomeReport, frozen=True, kw_only=True, tag="decided"):
    """What Weir itself decided of the payment ``payment_id``, where it was not allowed.

    Made by the agent on the decisions topic only; no door accepts it from outside. It
    carries the entities of its payment.
    """

    result: Literal["decided_review", "decided_block"]  # type: ignore[assignment]


class Label(Event, frozen=True, kw_only=True, tag="label"):
    """The truth about the payment ``payment_id``, known to us at ``known_at``."""

    payment_id: Identifier
    label: Literal["chargeback", "fraud_report", "dispute_won", "analyst_fraud", "analyst_legit"]
    known_at: Moment

    @property
    def known_at_ms(self) -> int:
        return to_ms(self.known_at)


ScoredEvent = Payment | Transfer | Withdrawal | TopUp
RememberedEvent = (
    Login | DeviceChange | BeneficiaryAdded | PasswordReset | Refund | OutcomeReport | Label
)
AnyEvent = ScoredEvent | RememberedEvent

SCORED_TYPES = ("payment", "transfer", "withdrawal", "top_up")
REMEMBERED_TYPES = (
    "login", "device_change", "beneficiary_added", "password_reset", "refund", "outcome", "label",
)  # fmt: skip


def is_scored(event: Event) -> bool:
    """True where the event gets a decision."""
    return isinstance(event, Payment)
