"""What a list may hold, which fields of a payment it is compared with, and its canonical form."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Literal

from risk.domain.codes import COUNTRY_INDEX, CURRENCY_INDEX
from risk.domain.ids import looks_like_card_number
from risk.domain.limits import IDENTIFIER_CHARS_MAX

Effect = Literal["block", "allow", "hold", "none"]
EFFECTS: Final[tuple[Effect, ...]] = ("block", "allow", "hold", "none")

_CONTROL: Final = re.compile("[\x00-\x1f\x7f]")
_BIN: Final = re.compile("[0-9]{6,8}")
_MCC: Final = re.compile("[0-9]{4}")
BIN_CHARS: Final = (6, 7, 8)


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of values. ``fields`` are those of a payment that it may be compared with."""

    name: str
    sentence: str
    fields: tuple[str, ...]


_NAMED: Final = (
    "account", "card", "device", "merchant", "beneficiary", "terminal",
    "email_hash", "phone_hash",
)  # fmt: skip
_COUNTRIES: Final = ("country", "card_country", "ip_country")
TYPES: Final[dict[str, ValueType]] = {
    one.name: one
    for one in (
        *(
            ValueType(name, f"Identifiers, compared with {name} as they stand.", (name,))
            for name in _NAMED
        ),
        ValueType("ip", "IP addresses and networks in CIDR notation.", ("ip",)),
        ValueType("country", "Countries by ISO 3166-1 alpha-2.", _COUNTRIES),
        ValueType("currency", "Currencies by ISO 4217.", ("currency",)),
        ValueType("mcc", "Merchant categories, four digits.", ("mcc",)),
        ValueType("bin", "The first 6 to 8 digits of card numbers; longer ones match.", ("bin",)),
        ValueType(
            "text",
            "Any text; it acts on the fields that the list names, and in any rule.",
            (*_NAMED, "ip", *_COUNTRIES, "currency", "mcc", "bin", "channel", "ip_prefix"),
        ),
    )
}


class BadValue(ValueError):
    """A value that its type cannot have; the text says why."""


def canonical(type_name: str, text: str) -> str:
    """``text`` as its type writes it, which is how it is stored. Raises BadValue.

    >>> canonical("ip", "192.0.2.0/24"), canonical("ip", "2001:DB8::1"), canonical("country", "de")
    ('192.0.2.0/24', '2001:db8::1', 'DE')
    """
    text = text.strip()
    if type_name == "ip":
        return _network(text)
    if type_name in ("country", "currency"):
        return _code(type_name, text.upper())
    if type_name == "mcc" and not _MCC.fullmatch(text):
        raise BadValue(f"{_short(text)} is no merchant category of four digits")
    if type_name == "bin" and not _BIN.fullmatch(text):
        raise BadValue(f"{_short(text)} is not the first 6 to 8 digits of a card number")
    if not 0 < len(text) <= IDENTIFIER_CHARS_MAX or _CONTROL.search(text):
        raise BadValue(f"a value has 1 to {IDENTIFIER_CHARS_MAX} characters, none of them control")
    if looks_like_card_number(text):
        raise BadValue("it looks like a card number; list the card's token")
    return text


def _network(text: str) -> str:
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise BadValue(f"{_short(text)} is no IP address and no network") from None
    if found.network_address != ipaddress.ip_interface(text).ip:
        raise BadValue(f"{_short(text)} has bits behind its prefix; write {found}")
    mapped = found.network_address.ipv4_mapped if found.version == 6 else None
    if mapped is not None and found.prefixlen >= 96:
        found = ipaddress.ip_network(f"{mapped}/{found.prefixlen - 96}")
    single = found.prefixlen == found.max_prefixlen
    return str(found.network_address) if single else str(found)


def _code(type_name: str, text: str) -> str:
    known, what = (
        (COUNTRY_INDEX, "country of ISO 3166-1") if type_name == "country"
        else (CURRENCY_INDEX, "currency of ISO 4217")
    )  # fmt: skip
    if text not in known:
        raise BadValue(f"{_short(text)} is no {what}")
    return text


def _short(text: str) -> str:
    """``text`` for a message; what looks like a card number is not repeated."""
    if looks_like_card_number(text):
        return "what looks like a card number"
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
