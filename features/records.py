"""The fixed-width record that an event leaves in each log of its entities.

36 bytes, nine little-endian 32-bit words:

====  =========================================================================
w0    event time, milliseconds since 1970, low 32 bits
w1    bits 0-9 time high, 10-14 kind, 15-18 channel, 19-23 flags, 24-31 currency
w2    amount in minor units of its currency, low 32 bits
w3    bits 0-7 amount high, 8-15 country, 16-31 MCC (0 missing)
w4    amount in minor units of the base currency; AMOUNT_UNKNOWN where no rate is known
w5    bits 0-15 latitude, 16-31 longitude (0 missing, else 1-65535 over the range)
w6    bits 0-19 first other entity, 20-31 second low
w7    bits 0-7 second high, 8-27 third, 28-31 record id low
w8    bits 0-19 fourth other entity, 20-31 record id high
====  =========================================================================

"Other entities" are the five roles account, card, device, ip, counterparty (merchant, else
beneficiary) without the log's own role, in that order; 0 is missing. Labels and outcomes
carry the time at which they became known.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from risk.domain import limits
from risk.domain.codes import COUNTRY_INDEX, CURRENCY_INDEX
from risk.domain.event import CHANNELS, Event, Label, Payment, Refund
from risk.domain.ids import hash20, record_id
from risk.domain.kinds import HOLE, RECORD_KIND_CODE, entities

RECORD_BYTES: Final = 36
RECORD_WORDS: Final = 9
AMOUNT_UNKNOWN: Final = 2**32 - 1
ROLES: Final = ("account", "card", "device", "ip", "counterparty")
ROLE_OF_KIND: Final = {
    "account": 0, "card": 1, "device": 2, "ip": 3, "merchant": 4, "beneficiary": 4,
}  # fmt: skip
CHANNEL_INDEX: Final = {name: place for place, name in enumerate(CHANNELS, start=1)}

FLAG_FOREIGN: Final = 1  # country differs from the card's country
FLAG_CARD_ABSENT: Final = 2  # ecom, moto, app
_CARD_ABSENT: Final = frozenset(("ecom", "moto", "app"))
_WORDS = struct.Struct("<9I")
_PACK_HEAD = struct.Struct("<6I").pack
_PACK_OTHERS = struct.Struct("<3I").pack


class Facts(NamedTuple):
    """What records and features need of an event, as integers. 0 is missing.

    ``hashes`` are by role (account, card, device, ip, counterparty).
    """

    time_ms: int
    kind: int
    channel: int
    flags: int
    currency: int
    amount_minor: int
    amount_base: int
    country: int
    mcc: int
    lat: int
    lon: int
    hashes: tuple[int, int, int, int, int]
    record_id: int


def facts(event: Event, kind: str, amount_base: int | None) -> Facts:
    """The integers of ``event``; ``amount_base`` is None where no exchange rate is known."""
    tenant = event.tenant
    hashes = (
        _hash(tenant, "account", event.account),
        _hash(tenant, "card", event.card),
        _hash(tenant, "device", event.device),
        _hash(tenant, "ip", event.ip),
        _hash(tenant, "counterparty", event.merchant or event.beneficiary),
    )
    own = own_facts(event, kind, amount_base)
    return Facts(*own, hashes, record_id(tenant, event.id, kind))


OwnFacts = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""The fields of ``Facts`` before its hashes."""


def own_facts(event: Event, kind: str, amount_base: int | None) -> OwnFacts:
    """What ``facts`` takes from the event itself, without its entities and its id."""
    code = RECORD_KIND_CODE[kind]
    if not isinstance(event, Payment | Refund):
        time_ms = event.known_at_ms if isinstance(event, Label) else event.occurred_at_ms
        return (time_ms, code, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    base = AMOUNT_UNKNOWN if amount_base is None else min(amount_base, limits.AMOUNT_BASE_MAX)
    currency, amount_minor = CURRENCY_INDEX[event.currency], event.amount_minor
    time_ms = event.occurred_at_ms
    if isinstance(event, Refund):
        return (time_ms, code, 0, 0, currency, amount_minor, base, 0, 0, 0, 0)
    return (
        time_ms,
        code,
        CHANNEL_INDEX.get(event.channel or "", 0),
        _flags(event),
        currency,
        amount_minor,
        base,
        COUNTRY_INDEX.get(event.country or "", 0),
        int(event.mcc or 0),
        _angle(event.lat, 90.0),
        _angle(event.lon, 180.0),
    )


def _hash(tenant: str, role: str, identifier: str | None) -> int:
    return 0 if identifier is None else hash20(tenant, role, identifier)


def _flags(payment: Payment) -> int:
    foreign = (
        payment.country is not None
        and payment.card_country is not None
        and payment.country != payment.card_country
    )
    absent = payment.channel in _CARD_ABSENT
    return (FLAG_FOREIGN if foreign else 0) | (FLAG_CARD_ABSENT if absent else 0)


def _angle(degrees: float | None, reach: float) -> int:
    """``degrees`` from -reach to reach as 1 to 65535, 0 where missing."""
    if degrees is None:
        return 0
    return 1 + int((degrees + reach) * 65534.0 / (2.0 * reach))


def pack(of: Facts, entity_kind: str) -> bytes:
    """The 36 bytes that ``of`` leaves in a log of ``entity_kind``."""
    return _head(of) + _others(of, ROLE_OF_KIND[entity_kind])


def records(event: Event, of: Facts) -> list[tuple[str, str, bytes]]:
    """(entity kind, identifier, record) for every log of ``event``, in claim order."""
    head = _head(of)
    return [
        (kind, identifier, head + _others(of, ROLE_OF_KIND[kind]))
        for kind, identifier in entities(event)
    ]


def _head(of: Facts) -> bytes:
    """Words 0 to 5, the same in every log of an event."""
    return _PACK_HEAD(
        of.time_ms & 0xFFFFFFFF,
        of.time_ms >> 32 | of.kind << 10 | of.channel << 15 | of.flags << 19 | of.currency << 24,
        of.amount_minor & 0xFFFFFFFF,
        of.amount_minor >> 32 | of.country << 8 | of.mcc << 16,
        of.amount_base,
        of.lat | of.lon << 16,
    )


def _others(of: Facts, own: int) -> bytes:
    """Words 6 to 8: the other entities than that of role ``own``, and the record id."""
    first, second, third, fourth = of.hashes[:own] + of.hashes[own + 1 :]
    return _PACK_OTHERS(
        first | (second & 0xFFF) << 20,
        second >> 12 | third << 8 | (of.record_id & 0xF) << 28,
        fourth | (of.record_id >> 4) << 20,
    )


HOLE_RECORD: Final = struct.pack("<9I", 0, HOLE << 10, 0, 0, 0, 0, 0, 0, 0)


def unpack(record: bytes, entity_kind: str) -> Facts:
    """The integers in a record of a log of ``entity_kind``: ``pack`` read backwards.

    The own role's hash, and what records do not hold of an event, are 0.
    """
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = _WORDS.unpack(record)
    others = [
        w6 & 0xFFFFF,
        w6 >> 20 | (w7 & 0xFF) << 12,
        w7 >> 8 & 0xFFFFF,
        w8 & 0xFFFFF,
    ]
    others.insert(ROLE_OF_KIND[entity_kind], 0)
    account, card, device, ip, counterparty = others
    return Facts(
        time_ms=w0 | (w1 & 0x3FF) << 32,
        kind=w1 >> 10 & 31,
        channel=w1 >> 15 & 15,
        flags=w1 >> 19 & 31,
        currency=w1 >> 24,
        amount_minor=w2 | (w3 & 0xFF) << 32,
        amount_base=w4,
        country=w3 >> 8 & 0xFF,
        mcc=w3 >> 16,
        lat=w5 & 0xFFFF,
        lon=w5 >> 16,
        hashes=(account, card, device, ip, counterparty),
        record_id=w7 >> 28 | (w8 >> 20) << 4,
    )
