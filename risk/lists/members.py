"""Who stands on a list, as payments ask: the cost of an answer does not grow with the list.

The large segments of a chain become one table of sorted keys behind a directory of about as many
places as keys: a look-up reads its place and one or two keys. It takes 28 to 32 bytes an entry. The
small segments behind it, which change often, become a dictionary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from risk.domain.findings import Members
from risk.lists.keys import KEY_BYTES, NO_LENGTHS, Lengths, network_keys, text_key
from risk.lists.segments import GONE_MS, NEVER_MS, Segment, SegmentRef, merged
from risk.lists.values import BIN_CHARS

LARGE: Final = 4_096  # keys from which a segment belongs into the table


class KeyTable:
    """Keys and until when they stand. Immutable; safe to read from any thread."""

    __slots__ = ("_first", "_keys", "_shift", "_until_ms")

    def __init__(self, segment: Segment) -> None:
        count = segment.entries
        bits = min(32, max(1, (max(count, 2) - 1).bit_length()))
        self._shift: Final = 32 - bits
        self._keys: Final = segment.keys.tobytes()
        heads = np.frombuffer(self._keys, ">u4")[:: KEY_BYTES // 4].astype(np.int64)
        places = np.arange(2**bits + 1, dtype=np.int64) << self._shift
        first = np.searchsorted(heads, places).astype(np.uint32)
        self._first: Final = memoryview(first.tobytes()).cast("I")
        self._until_ms: Final = memoryview(segment.until_ms.astype("<i8").tobytes()).cast("q")

    def __len__(self) -> int:
        return len(self._until_ms)

    @property
    def size_bytes(self) -> int:
        """What the table takes in memory."""
        return len(self._keys) + self._first.nbytes + self._until_ms.nbytes

    def until_ms(self, key: bytes) -> int:
        """Until when ``key`` stands; ``GONE_MS`` where it does not."""
        place = int.from_bytes(key[:4]) >> self._shift
        keys = self._keys
        for at in range(self._first[place], self._first[place + 1]):
            if keys[KEY_BYTES * at : KEY_BYTES * at + KEY_BYTES] == key:
                return self._until_ms[at]
        return GONE_MS


_NO_KEYS: Final = KeyTable(
    Segment(np.zeros((0, KEY_BYTES), np.uint8), np.zeros(0, np.int64), NO_LENGTHS)
)


@dataclass(frozen=True, slots=True)
class Listed:
    """The entries of one list at one version. ``lengths`` are the prefix lengths of networks."""

    table: KeyTable
    recent: Mapping[bytes, int]
    lengths: Lengths

    def stands(self, key: bytes, at_ms: float) -> bool:
        """Whether ``key`` stands at ``at_ms``; NaN asks whatever the time."""
        until_ms = self.recent.get(key)
        if until_ms is None:
            until_ms = self.table.until_ms(key)
        return until_ms != GONE_MS and not at_ms >= until_ms


@dataclass(frozen=True, slots=True)
class TextMembers:
    """A list whose values are compared as they stand."""

    listed: Listed

    def holds(self, value: str, at_ms: float) -> bool:
        """Whether ``value`` is on the list at ``at_ms``."""
        return self.listed.stands(text_key(value), at_ms)


@dataclass(frozen=True, slots=True)
class NetworkMembers:
    """A list of addresses and networks: one look-up for each prefix length that it has."""

    listed: Listed

    def holds(self, value: str, at_ms: float) -> bool:
        """Whether the address ``value`` lies in a network of the list at ``at_ms``."""
        listed = self.listed
        return any(listed.stands(key, at_ms) for key in network_keys(value, listed.lengths))


@dataclass(frozen=True, slots=True)
class BinMembers:
    """A list of first digits: a payment's eight digits match entries of six and seven too."""

    listed: Listed

    def holds(self, value: str, at_ms: float) -> bool:
        """Whether ``value`` begins with an entry of the list at ``at_ms``."""
        return any(
            self.listed.stands(text_key(value[:chars]), at_ms)
            for chars in BIN_CHARS
            if chars <= len(value)
        )


class Tables:
    """Makes members of chains. A table is kept while the lists of the last version use it."""

    def __init__(self, find: Callable[[str], Segment]) -> None:
        """``find`` gives a segment by its digest; raises BadVersion where there is none."""
        self._find = find
        self._held: dict[tuple[str, ...], tuple[KeyTable, Lengths]] = {}

    def members(self, type_name: str, chain: Sequence[SegmentRef]) -> Members:
        """The list of this chain."""
        large = max((at + 1 for at, ref in enumerate(chain) if ref.entries >= LARGE), default=0)
        table, four_six = self._table(tuple(ref.digest for ref in chain[:large]))
        recent: dict[bytes, int] = {}
        four, six = four_six
        for ref in chain[large:]:
            segment = self._find(ref.digest)
            recent.update(_pairs(segment))
            four, six = four | segment.lengths[0], six | segment.lengths[1]
        return _of_type(type_name, Listed(table, recent, (four, six)))

    def keep(self, chains: Sequence[Sequence[SegmentRef]]) -> None:
        """Let go of every table that none of ``chains`` begins with."""
        used = {tuple(ref.digest for ref in chain) for chain in chains}
        self._held = {
            key: table
            for key, table in self._held.items()
            if any(one[: len(key)] == key for one in used)
        }

    def _table(self, digests: tuple[str, ...]) -> tuple[KeyTable, Lengths]:
        if not digests:
            return _NO_KEYS, NO_LENGTHS
        held = self._held.get(digests)
        if held is None:
            one = merged([self._find(digest) for digest in digests], whole=True)
            held = self._held[digests] = (KeyTable(one), one.lengths)
        return held


def members_of(type_name: str, values: Sequence[str]) -> Members:
    """A list of these canonical values, none of which expires."""
    segment = Segment.of(type_name, ((value, NEVER_MS) for value in values))
    return _of_type(type_name, Listed(_NO_KEYS, _pairs(segment), segment.lengths))


def _pairs(segment: Segment) -> dict[bytes, int]:
    keys = segment.keys.tobytes()
    cut = (keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES))
    return dict(zip(cut, segment.until_ms.tolist(), strict=True))


def _of_type(type_name: str, listed: Listed) -> Members:
    if type_name == "ip":
        return NetworkMembers(listed)
    return BinMembers(listed) if type_name == "bin" else TextMembers(listed)
