"""BLAKE2b in compiled code, for the fingerprints and short hashes of a history's records.

Source: RFC 7693. ``hashlib`` does the same, one call of Python for each text.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.compiled import compiled

Bytes = NDArray[np.uint8]
U64 = NDArray[np.uint64]

BLOCK_BYTES: Final = 128
_WORDS: Final = BLOCK_BYTES // 8
_IV: Final = (
    0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
    0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
)  # fmt: skip
_ORDER: Final = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    np.uint8,
)  # fmt: skip
_STATE: Final = np.array(_IV, np.uint64)


class Hasher(NamedTuple):
    """What one call uses again: ``start`` (8,) of a kind of hash, and room for a block."""

    start: U64
    state: U64
    block: U64


def hasher(digest_bytes: int, person: bytes) -> Hasher:
    """For ``hashlib.blake2b(..., digest_size=digest_bytes, person=person)``."""
    start = np.array(_IV, np.uint64)
    start[0] ^= np.uint64(0x01010000 ^ digest_bytes)
    start[6:8] ^= np.frombuffer(person.ljust(16, b"\x00"), "<u8")
    return Hasher(start, np.zeros(8, np.uint64), np.zeros(_WORDS, np.uint64))


@compiled
def _turned(value: np.uint64, right: int) -> np.uint64:
    return value >> np.uint64(right) | value << np.uint64(64 - right)


@compiled
def _mixed(
    a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64, x: np.uint64, y: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """The function G."""
    a = a + b + x
    d = _turned(d ^ a, 32)
    c = c + d
    b = _turned(b ^ c, 24)
    a = a + b + y
    d = _turned(d ^ a, 16)
    c = c + d
    b = _turned(b ^ c, 63)
    return a, b, c, d


@compiled
def _compress(h: U64, m: U64, count: int, last: bool) -> None:
    """The function F."""
    v0, v1, v2, v3, v4, v5, v6, v7 = h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]
    v8, v9, v10, v11 = _STATE[0], _STATE[1], _STATE[2], _STATE[3]
    v12, v13, v14, v15 = _STATE[4] ^ np.uint64(count), _STATE[5], _STATE[6], _STATE[7]
    if last:
        v14 = ~v14
    for turn in range(12):
        s = _ORDER[turn]
        v0, v4, v8, v12 = _mixed(v0, v4, v8, v12, m[s[0]], m[s[1]])
        v1, v5, v9, v13 = _mixed(v1, v5, v9, v13, m[s[2]], m[s[3]])
        v2, v6, v10, v14 = _mixed(v2, v6, v10, v14, m[s[4]], m[s[5]])
        v3, v7, v11, v15 = _mixed(v3, v7, v11, v15, m[s[6]], m[s[7]])
        v0, v5, v10, v15 = _mixed(v0, v5, v10, v15, m[s[8]], m[s[9]])
        v1, v6, v11, v12 = _mixed(v1, v6, v11, v12, m[s[10]], m[s[11]])
        v2, v7, v8, v13 = _mixed(v2, v7, v8, v13, m[s[12]], m[s[13]])
        v3, v4, v9, v14 = _mixed(v3, v4, v9, v14, m[s[14]], m[s[15]])
    h[0] ^= v0 ^ v8
    h[1] ^= v1 ^ v9
    h[2] ^= v2 ^ v10
    h[3] ^= v3 ^ v11
    h[4] ^= v4 ^ v12
    h[5] ^= v5 ^ v13
    h[6] ^= v6 ^ v14
    h[7] ^= v7 ^ v15


@compiled
def _word(text: Bytes, at: int, end: int) -> np.uint64:
    """Eight bytes from ``at`` on, little-endian; zeros from ``end`` on."""
    value = np.uint64(0)
    if at + 8 <= end:
        for place in range(8):
            value |= np.uint64(text[np.uint64(at + place)]) << np.uint64(8 * place)
        return value
    for place in range(end - at):
        value |= np.uint64(text[at + place]) << np.uint64(8 * place)
    return value


@compiled
def blake(of: Hasher, text: Bytes, begin: int, end: int) -> None:
    """Leave the hash of ``text[begin:end]`` in ``of.state``, eight bytes to a word."""
    h, m = of.state, of.block
    for word in range(len(h)):
        h[word] = of.start[word]
    at = begin
    while True:
        last = end - at <= BLOCK_BYTES
        for word in range(_WORDS):
            m[word] = _word(text, at + 8 * word, end)
        _compress(h, m, min(at + BLOCK_BYTES, end) - begin, last)
        if last:
            return
        at += BLOCK_BYTES


@compiled
def big_endian(word: np.uint64, count: int) -> np.uint64:
    """The number of which the first ``count`` bytes of a hash are the big-endian text."""
    value = np.uint64(0)
    for place in range(count):
        value = value << np.uint64(8) | word >> np.uint64(8 * place) & np.uint64(0xFF)
    return value
