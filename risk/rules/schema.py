"""What a rule may name: the fields of the payment, the score, features and lists."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol

from risk.domain.codes import COUNTRY_INDEX, CURRENCY_INDEX
from risk.domain.errors import BadConfiguration
from risk.domain.event import CHANNELS, SCORED_TYPES, Payment
from risk.domain.observation import Arrival
from risk.domain.times import to_ms
from risk.rules.functions import DAY_MS
from risk.rules.syntax import Type

Value = float | str | None
Payer = Payment  # every scored event is a Payment


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the payment. ``values`` are the only texts that it can hold, if few.

    ``read`` gives float or NaN for numbers and moments, str or None for text.
    """

    name: str
    type: Type
    unit: str
    sentence: str
    read: Callable[[Arrival, Payer], Value]
    values: frozenset[str] | None = None


def _text(
    name: str, sentence: str, unit: str = "text", values: Iterable[str] | None = None
) -> Field:
    def read(_arrival: Arrival, event: Payer) -> Value:
        text: str | None = getattr(event, name)
        return text

    return Field(name, Type.TEXT, unit, sentence, read, frozenset(values) if values else None)


def _amount(arrival: Arrival, _event: Payer) -> Value:
    return math.nan if arrival.amount_base is None else float(arrival.amount_base)


def _opened_at(_arrival: Arrival, event: Payer) -> Value:
    opened = event.account_opened_at
    return math.nan if opened is None else float(to_ms(opened))


def _age_days(_arrival: Arrival, event: Payer) -> Value:
    opened = event.account_opened_at
    if opened is None:
        return math.nan
    return float(max(0, (to_ms(event.occurred_at) - to_ms(opened)) // DAY_MS))


def _kyc_level(_arrival: Arrival, event: Payer) -> Value:
    return math.nan if event.kyc_level is None else float(event.kyc_level)


FIELDS: Final = (
    Field("amount", Type.INTEGER, "minor units of the base currency",
          "The amount; unknown without an exchange rate.", _amount),
    Field("amount_minor", Type.INTEGER, "minor units of its currency",
          "The amount as it was sent.", lambda _a, event: float(event.amount_minor)),
    _text("currency", "The currency of amount_minor.", "ISO 4217", CURRENCY_INDEX),
    Field("type", Type.TEXT, "text", "payment, transfer, withdrawal or top_up.",
          lambda _a, event: event.kind, frozenset(SCORED_TYPES)),
    _text("channel", "How the payment was made.", "text", CHANNELS),
    _text("country", "Where the payment was made.", "ISO 3166-1", COUNTRY_INDEX),
    _text("card_country", "Where the card was issued.", "ISO 3166-1", COUNTRY_INDEX),
    _text("ip_country", "Where the IP address is.", "ISO 3166-1", COUNTRY_INDEX),
    _text("mcc", "Merchant category, four digits as text.", "ISO 18245"),
    _text("merchant", "The merchant."),
    _text("account", "The account that pays."),
    _text("card", "The card's token."),
    _text("device", "The device."),
    _text("ip", "The IP address."),
    _text("beneficiary", "Who gets a transfer."),
    _text("bin", "The first 6 to 8 digits of the card's number.", "digits"),
    _text("terminal", "The terminal."),
    Field("lat", Type.NUMBER, "degrees", "Where the payment was made: latitude.",
          lambda _a, event: math.nan if event.lat is None else event.lat),
    Field("lon", Type.NUMBER, "degrees", "Where the payment was made: longitude.",
          lambda _a, event: math.nan if event.lon is None else event.lon),
    Field("kyc_level", Type.INTEGER, "level", "How well the customer was identified, 0 to 9.",
          _kyc_level),
    Field("occurred_at", Type.TIME, "moment", "When the payment was made.",
          lambda _a, event: float(to_ms(event.occurred_at))),
    Field("account_opened_at", Type.TIME, "moment", "When the account was opened.", _opened_at),
    Field("account_age_days", Type.INTEGER, "days", "Whole days since the account was opened.",
          _age_days),
    Field("hour", Type.INTEGER, "h", "Hour of the day in UTC, 0 to 23.",
          lambda _a, event: float(event.occurred_at.hour)),
    Field("weekday", Type.INTEGER, "days", "Day of the week in UTC, 0 Monday to 6 Sunday.",
          lambda _a, event: float(event.occurred_at.weekday())),
)  # fmt: skip
FIELD_BY_NAME: Final = {field.name: field for field in FIELDS}
NO_LIST_TYPES: Final[Mapping[str, str]] = MappingProxyType({})
SCORE: Final = "score"  # calibrated probability 0 to 1; unknown without a model

TYPE_OF_DTYPE: Final = {
    "integer": Type.INTEGER, "code": Type.INTEGER, "decimal": Type.NUMBER, "flag": Type.BOOLEAN,
}  # fmt: skip


class Declared(Protocol):
    """What the schema needs of a feature's declaration."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Schema:
    """Names and their types. ``features`` are in the order of the vector.

    ``lists`` are the names that may stand right of ``in``, with the type of their values
    (``risk.lists.values.TYPES``).
    """

    features: tuple[tuple[str, Type], ...] = ()
    lists: Mapping[str, str] = field(default_factory=lambda: NO_LIST_TYPES)

    def __post_init__(self) -> None:
        names = [*FIELD_BY_NAME, SCORE, *(name for name, _ in self.features), *self.lists]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise BadConfiguration(f"rules: two meanings for the name {min(twice)}")

    @classmethod
    def of(cls, features: Sequence[Declared], lists: Mapping[str, str] = NO_LIST_TYPES) -> Schema:
        """The schema of a feature catalogue (flags are conditions, codes are integers)."""
        return cls(
            tuple((feature.name, TYPE_OF_DTYPE[feature.dtype]) for feature in features), lists
        )

    def with_lists(self, lists: Mapping[str, str]) -> Schema:
        """The same with these lists; raises BadConfiguration where a name has two meanings."""
        return Schema(self.features, lists)

    def types(self) -> Mapping[str, Type]:
        """Every name that has a value, with its type."""
        known = {field.name: field.type for field in FIELDS}
        known[SCORE] = Type.NUMBER
        known.update(self.features)
        return known
