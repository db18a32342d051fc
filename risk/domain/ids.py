"""Identifiers: fingerprints, record ids, short hashes, and what may not be an identifier."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

_CARD_SEPARATORS = str.maketrans("", "", " -")
HASH20_MAX = 2**20 - 1
HASHES_KEPT: Final = 65_536  # about 15 MB: the accounts, merchants and devices of the last minutes


def looks_like_card_number(text: str) -> bool:
    """True for 13 to 19 digits, also when spaces or hyphens part them.

    >>> looks_like_card_number("4111 1111 1111 1111"), looks_like_card_number("u-41111111111111")
    (True, False)
    """
    if len(text) < 13 or not (text[0].isdigit() or text[0] in " -"):
        return False
    digits = text.translate(_CARD_SEPARATORS)
    return 13 <= len(digits) <= 19 and digits.isdigit()


def fingerprint(canonical: bytes) -> bytes:
    """16 bytes that tell one content of an event from another."""
    return hashlib.blake2b(canonical, digest_size=16, person=b"weir-event").digest()


def digest(body: bytes) -> str:
    """SHA-256 in hex, of bytes that are published or stored."""
    return hashlib.sha256(body).hexdigest()


@lru_cache(maxsize=HASHES_KEPT)
def hash20(tenant: str, kind: str, identifier: str) -> int:
    """A number from 1 to 2^20 - 1 for an entity; 0 is kept for "missing"."""
    body = f"{tenant}\x00{kind}\x00{identifier}".encode()
    number = int.from_bytes(hashlib.blake2b(body, digest_size=8, person=b"weir-entity").digest())
    return 1 + number % HASH20_MAX


def record_id(tenant: str, event_id: str, kind: str) -> int:
    """16 bits that help a reader tell neighbours in a log apart; sequences identify them."""
    body = f"{tenant}\x00{event_id}\x00{kind}".encode()
    return int.from_bytes(hashlib.blake2b(body, digest_size=2, person=b"weir-record").digest())
