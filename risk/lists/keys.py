"""Values as keys of 128 bits, and which keys a payment's value is looked up by."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

KEY_BYTES: Final = 16
KEYS_KEPT: Final = 16_384
_MAPPED: Final = bytes(10) + b"\xff\xff"
Lengths = tuple[int, int]  # prefix lengths in use as bits: of IPv4, of IPv6
NO_LENGTHS: Final[Lengths] = (0, 0)


@lru_cache(maxsize=KEYS_KEPT)
def text_key(value: str) -> bytes:
    """The key of a text. 128 bits, so that nobody can search for a text that collides."""
    return hashlib.blake2b(value.encode(), digest_size=KEY_BYTES, person=b"weir-list").digest()


def entry_key(type_name: str, value: str) -> bytes:
    """The key of ``value``, canonical, as an entry of a list of ``type_name``."""
    if type_name != "ip":
        return text_key(value)
    network = ipaddress.ip_network(value)
    return _network_key(network.network_address.packed, network.prefixlen)


def lengths_of(type_name: str, value: str) -> Lengths:
    """The bit of the prefix length of ``value``; no bits for what is no network."""
    if type_name != "ip":
        return NO_LENGTHS
    network = ipaddress.ip_network(value)
    bit = 1 << network.prefixlen
    return (bit, 0) if network.version == 4 else (0, bit)


def network_keys(address: str, lengths: Lengths) -> Iterator[bytes]:
    """The keys of every network of ``lengths`` that ``address`` lies in; none for no address."""
    packed = _packed(address)
    if packed is None:
        return
    bits = len(packed) * 8
    number = int.from_bytes(packed)
    in_use = lengths[0] if bits == 32 else lengths[1]
    while in_use:
        length = in_use.bit_length() - 1
        in_use ^= 1 << length
        rest = bits - length
        yield _network_key((number >> rest << rest).to_bytes(len(packed)), length)


def _network_key(packed: bytes, length: int) -> bytes:
    body = packed + bytes((length,))
    return hashlib.blake2b(body, digest_size=KEY_BYTES, person=b"weir-list-net").digest()


@lru_cache(maxsize=KEYS_KEPT)
def _packed(address: str) -> bytes | None:
    """4 or 16 bytes; an IPv4 address that is written as IPv6 has 4."""
    try:
        return socket.inet_pton(socket.AF_INET, address)
    except (OSError, ValueError):
        pass
    try:
        packed = socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return None
    return packed[12:] if packed.startswith(_MAPPED) else packed
