"""Bytes to events, strictly: one typed error for each way an event can be wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

import msgspec
from msgspec.structs import force_setattr

from risk.domain import limits
from risk.domain.codes import COUNTRY_INDEX, CURRENCY_INDEX
from risk.domain.errors import InvalidEvent
from risk.domain.event import (
    SCHEMA_VERSION,
    AnyEvent,
    Attributes,
    Decided,
    Event,
    Label,
    Payment,
    Refund,
)
from risk.domain.ids import fingerprint, looks_like_card_number
from risk.domain.times import from_ms, to_ms

_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)
_STORED_DECODER: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent | Decided)
_ENCODER = msgspec.json.Encoder(order="deterministic")
_PATH = re.compile(r" - at `\$([^`]*)`$")
_FIELD = re.compile(r"(?:required|unknown) field `([^`]*)`")
_TEXT_FIELDS = (
    "id", "account", "card", "merchant", "beneficiary", "device", "ip", "payment_id",
    "terminal", "ip_prefix", "email_hash", "phone_hash", "reason",
)  # fmt: skip
_OPENED_MS_MIN = -2_208_988_800_000  # the year 1900
_COUNTRY_FIELDS = ("country", "card_country", "ip_country")


class Canonical(NamedTuple):
    """An event, its canonical bytes, and their fingerprint (16 bytes)."""

    event: AnyEvent
    body: bytes
    fingerprint: bytes


def decode_event(raw: bytes) -> Canonical:
    """The event in ``raw``, or InvalidEvent with code, reason and JSON pointer.

    Times are cut to milliseconds and moved to UTC, so equal events have equal bytes.
    """
    if len(raw) > limits.EVENT_BYTES_MAX:
        raise InvalidEvent(
            "TOO_LARGE", f"{len(raw)} bytes, at most {limits.EVENT_BYTES_MAX} are read"
        )
    try:
        event = _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        raise _explain(str(error), raw) from None
    except UnicodeDecodeError as error:
        raise InvalidEvent("INVALID_UTF8", f"byte {error.start} is not UTF-8") from None
    except msgspec.DecodeError as error:
        raise InvalidEvent("INVALID_JSON", str(error)) from None
    except RecursionError:
        raise InvalidEvent("TOO_DEEP", "nested deeper than any event") from None
    return canonical(event)


def decode_stored(body: bytes) -> Canonical:
    """An event that Weir itself stored or published: as ``decode_event``, and ``Decided`` too.

    Raises msgspec.DecodeError where the bytes are not an event's.
    """
    return canonical(_STORED_DECODER.decode(body))


def canonical(event: AnyEvent) -> Canonical:
    """``event`` checked beyond its types and brought to its one canonical form."""
    _normalise_times(event)
    if isinstance(event, Payment):
        _check_payment(event)
    if isinstance(event, Refund):
        _check_currency(event.currency)
    _check_identifiers(event)
    try:
        body = _ENCODER.encode(event)
    except UnicodeEncodeError as error:
        raise InvalidEvent("INVALID_UTF8", f"a lone surrogate in {error.object!r}") from None
    return Canonical(event, body, fingerprint(body))


def encode_event(event: AnyEvent) -> bytes:
    """The canonical bytes of ``event``."""
    return canonical(event).body


def _explain(message: str, raw: bytes) -> InvalidEvent:
    """An InvalidEvent for what msgspec said of ``raw``."""
    at = _PATH.search(message)
    path = _pointer(at.group(1)) if at else ""
    reason = _PATH.sub("", message)
    named = _FIELD.search(message)
    if named and "required" in message:
        return InvalidEvent("MISSING_FIELD", reason, f"{path}/{named.group(1)}")
    if named:
        return InvalidEvent("UNKNOWN_FIELD", reason, f"{path}/{named.group(1)}")
    if path == "/type":
        return InvalidEvent("UNKNOWN_TYPE", reason, path)
    if path == "/schema_version":
        return InvalidEvent(
            "UNSUPPORTED_VERSION", f"{reason}; this Weir reads version {SCHEMA_VERSION}", path
        )
    if re.search(r"got `|^Expected `object`", reason):
        return InvalidEvent("WRONG_TYPE", reason, path)
    if "RFC3339" in reason or "timezone" in reason:
        return InvalidEvent("INVALID_TIME", f"{reason}; write 2026-01-31T12:00:00.000Z", path)
    return InvalidEvent("OUT_OF_RANGE", reason, path)


def _pointer(path: str) -> str:
    """msgspec's path (``.a[...]``) as a JSON pointer (``/a``)."""
    return path.replace("[...]", "").replace(".", "/").replace("[", "/").replace("]", "")


def _normalise_times(event: Event) -> None:
    _normalise(event, "occurred_at", event.occurred_at, limits.TIME_MS_MIN)
    if isinstance(event, Payment):
        if event.account_opened_at is not None:
            _normalise(event, "account_opened_at", event.account_opened_at, _OPENED_MS_MIN)
    elif isinstance(event, Label):
        _normalise(event, "known_at", event.known_at, limits.TIME_MS_MIN)
        if event.known_at < event.occurred_at:
            raise InvalidEvent("INCONSISTENT", "known_at is before occurred_at", "/known_at")


def _normalise(event: Event, name: str, moment: datetime, oldest_ms: int) -> None:
    ms = to_ms(moment)
    if not oldest_ms <= ms < limits.TIME_MS_MAX:
        raise InvalidEvent(
            "INVALID_TIME", "the time is before the year 2000 or after 2099", f"/{name}"
        )
    if moment.tzinfo is not UTC or moment.microsecond % 1000:
        force_setattr(event, name, from_ms(ms))


@cache
def _text_fields(of: type[Event]) -> tuple[str, ...]:
    return tuple(name for name in _TEXT_FIELDS if name in of.__struct_fields__)


def _check_payment(event: Payment) -> None:
    _check_currency(event.currency)
    for name in _COUNTRY_FIELDS:
        code = getattr(event, name)
        if code is not None and code not in COUNTRY_INDEX:
            raise InvalidEvent("UNKNOWN_COUNTRY", f"{code!r} is not in ISO 3166-1", f"/{name}")
    if event.payment_id is not None:
        if event.payment_id != event.id:
            raise InvalidEvent("INCONSISTENT", "payment_id differs from id", "/payment_id")
        force_setattr(event, "payment_id", None)
    if (event.lat is None) != (event.lon is None):
        raise InvalidEvent("INCONSISTENT", "lat and lon come together", "/lat")


def _check_currency(code: str) -> None:
    if code not in CURRENCY_INDEX:
        raise InvalidEvent(
            "UNKNOWN_CURRENCY", f"{code!r} is not a currency of ISO 4217", "/currency"
        )


def _check_identifiers(event: Event) -> None:
    for name in _text_fields(type(event)):
        text = getattr(event, name)
        # Shorter text, the rule among identifiers, needs no closer look.
        if text is not None and len(text) >= 13 and looks_like_card_number(text):
            _refuse_card_number(f"/{name}")
    if getattr(event, "attributes", None):
        _check_attributes(event.attributes)  # type: ignore[attr-defined]


def _check_attributes(attributes: Attributes) -> None:
    for key, value in attributes.items():
        place = f"/attributes/{key}"
        if len(key) > limits.ATTRIBUTE_KEY_CHARS_MAX:
            raise InvalidEvent("OUT_OF_RANGE", "an attribute's name is too long", "/attributes")
        if looks_like_card_number(key):
            _refuse_card_number("/attributes")
        if isinstance(value, str):
            if len(value) > limits.ATTRIBUTE_TEXT_CHARS_MAX:
                raise InvalidEvent("OUT_OF_RANGE", "the text is too long", place)
            if looks_like_card_number(value):
                _refuse_card_number(place)
        elif isinstance(value, int) and abs(value) >= 10**12:
            _refuse_card_number(place)


def _refuse_card_number(place: str) -> None:
    raise InvalidEvent(
        "CARD_NUMBER",
        "13 to 19 digits could be a card number; send a token, or put a prefix before it",
        place,
    )
