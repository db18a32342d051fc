"""The numbers of logs by tenant, kind and identifier, in arrays that compiled code reads.

A key is the kind's place in ``ENTITY_KINDS`` as a byte, the tenant, a zero byte and the
identifier in UTF-8. Numba's cache looks at this file only: ``PARTS`` names the text of the
others that are compiled into it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from features.compiled import compiled
from features.proof.blake import U64, Hasher, big_endian, blake, hasher
from features.proof.scan import Bytes, Ints
from features.proof.scan_event import ENTITIES
from features.proof.scan_record import (
    OF_TENANT,
    PLACE,
    PLACE_COLUMNS,
    PLACES,
    READ,
    STATUS,
    TEXT_MAX,
)
from features.records import ROLE_OF_KIND, ROLES
from risk.domain.ids import HASH20_MAX
from risk.domain.kinds import ENTITY_KINDS

# SHA-256 (its start) of blake.py, scan_event.py and scan_record.py; a test says what it is.
PARTS: Final = "bb0617c830ff64f1"
FULL: Final = -1  # the arrays must grow first
KEY_BYTES: Final = 2 * TEXT_MAX + 2
_LOGS: Final = 1 << 12
_BYTES_A_LOG: Final = 32
_FNV_BASIS: Final = np.uint64(0xCBF29CE484222325)
_FNV_PRIME: Final = np.uint64(0x100000001B3)
_ROLES: Final = tuple(ROLES[ROLE_OF_KIND[kind]].encode() for kind in ENTITY_KINDS)
_ROLE_TEXT: Final = np.frombuffer(b"".join(_ROLES), np.uint8).copy()
_ROLE_STARTS: Final = np.cumsum([0] + [len(role) for role in _ROLES]).astype(np.int64)


class Names(NamedTuple):
    """``table``: a hash table of numbers + 1. By number: ``marks`` the hash of its key,
    ``starts`` where that begins in ``pool`` (one more says where the last ends), ``hashes`` the
    20 bits that records hold of the entity. ``used``: how many numbers there are.
    """

    table: Ints
    marks: U64
    starts: Ints
    pool: Bytes
    hashes: Ints
    used: Ints


class Room(NamedTuple):
    """What one call uses again."""

    key: Bytes
    text: Bytes
    entities: Hasher


def new_names(logs: int = _LOGS) -> Names:
    """Room for so many logs."""
    return Names(
        np.zeros(2 * logs, np.int64),
        np.zeros(logs, np.uint64),
        np.zeros(logs + 1, np.int64),
        np.zeros(logs * _BYTES_A_LOG, np.uint8),
        np.zeros(logs, np.int64),
        np.zeros(1, np.int64),
    )


def room(key_bytes: int = KEY_BYTES) -> Room:
    """A new one, for keys of so many bytes."""
    longest = key_bytes + len(max(_ROLES, key=len))
    return Room(np.zeros(longest, np.uint8), np.zeros(longest, np.uint8), hasher(8, b"weir-entity"))


def grown(held: Names, key_bytes: int) -> Names:
    """Twice the room, and enough for one more key of so many bytes."""
    count = int(held.used[0])
    more = new_names(2 * len(held.marks))
    pool = np.zeros(2 * len(held.pool) + key_bytes, np.uint8)
    pool[: len(held.pool)] = held.pool
    more.marks[:count], more.hashes[:count] = held.marks[:count], held.hashes[:count]
    more.starts[: count + 1] = held.starts[: count + 1]
    more.used[0] = count
    _fill(more.table, more.marks, count)
    return more._replace(pool=pool)


def key_of(tenant: str, kind: str, identifier: str) -> bytes:
    """The key of a log."""
    return bytes([ENTITY_KINDS.index(kind)]) + f"{tenant}\x00{identifier}".encode()


def name_of(held: Names, number: int) -> tuple[str, str, str]:
    """Tenant, kind and identifier of a log."""
    key = held.pool[held.starts[number] : held.starts[number + 1]].tobytes()
    tenant, _, identifier = key[1:].partition(b"\x00")
    return tenant.decode(), ENTITY_KINDS[key[0]], identifier.decode()


@compiled
def _fill(table: Ints, marks: U64, count: int) -> None:
    last = len(table) - 1
    for number in range(count):
        at = np.int64(marks[number] & np.uint64(last))
        while table[at] != 0:
            at = (at + 1) & last
        table[at] = number + 1


@compiled
def _hash20(key: Bytes, end: int, of: Room) -> int:
    """As ``risk.domain.ids.hash20`` of the tenant, the role and the identifier."""
    text, n, at = of.text, 0, 1
    while key[np.uint64(at)] != 0:
        text[n] = key[np.uint64(at)]
        n += 1
        at += 1
    text[n] = 0
    n += 1
    for place in range(_ROLE_STARTS[key[0]], _ROLE_STARTS[key[0] + 1]):
        text[n] = _ROLE_TEXT[place]
        n += 1
    while at < end:
        text[n] = key[np.uint64(at)]
        n += 1
        at += 1
    blake(of.entities, text, 0, n)
    number = np.int64(big_endian(of.entities.state[0], 8) % np.uint64(HASH20_MAX))
    return 1 + int(number)


@compiled
def number_of(held: Names, key: Bytes, end: int, of: Room) -> int:
    """The number of the key ``key[:end]``, a new one for a new log; FULL where there is no room."""
    mark = _FNV_BASIS
    for place in range(end):
        mark = (mark ^ np.uint64(key[np.uint64(place)])) * _FNV_PRIME
    mark ^= mark >> np.uint64(32)
    last = len(held.table) - 1
    at = np.int64(mark & np.uint64(last))
    while held.table[at] != 0:
        number = held.table[at] - 1
        begin = held.starts[number]
        if held.marks[number] == mark and held.starts[number + 1] - begin == end:
            differing = 0
            for place in range(end):
                differing += held.pool[np.uint64(begin + place)] != key[np.uint64(place)]
            if differing == 0:
                return int(number)
        at = (at + 1) & last
    number = held.used[0]
    begin = held.starts[number]
    if number == len(held.marks) or begin + end > len(held.pool):
        return FULL
    held.table[at] = number + 1
    held.marks[number] = mark
    for place in range(end):
        held.pool[begin + place] = key[place]
    held.starts[number + 1] = begin + end
    held.hashes[number] = _hash20(key, end, of)
    held.used[0] = number + 1
    return int(number)


@compiled
def number_rows(buf: Bytes, rows: Ints, held: Names, of: Room, logs: Ints, begin: int) -> int:
    """Fill ``logs`` (n, KINDS) with the numbers of the places of the rows that were read, from
    row ``begin`` on; returns how far it came (the arrays may have to grow).
    """
    key = of.key
    for record in range(begin, len(rows)):
        row = rows[record]
        if row[STATUS] != READ:
            continue
        n = 1
        for at in range(row[OF_TENANT], row[OF_TENANT + 1]):
            key[n] = buf[np.uint64(at)]
            n += 1
        key[n] = 0
        n += 1
        for place in range(row[PLACES]):
            kind = row[PLACE + place * PLACE_COLUMNS]
            key[0] = kind
            end = n
            for at in range(row[ENTITIES + 2 * kind], row[ENTITIES + 2 * kind + 1]):
                key[end] = buf[np.uint64(at)]
                end += 1
            logs[record, place] = number_of(held, key, end, of)
            if logs[record, place] == FULL:
                return record
    return len(rows)
