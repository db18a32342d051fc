"""Entries of a list as it travels: sorted keys and expiries, immutable, addressed by content.

A list is a chain of segments, the oldest first; what a later one says of a key wins. A change
is a small segment, merged with its neighbours while they are no more than twice its size, so a
chain of N entries has about log2(N) segments and each entry is written about log2(N) times.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from risk.domain.errors import BadVersion
from risk.domain.ids import digest
from risk.lists.keys import KEY_BYTES, NO_LENGTHS, Lengths, entry_key, lengths_of

NEVER_MS: Final = 2**63 - 1  # an entry without expiry
GONE_MS: Final = -1  # an entry that was removed
SEGMENT_ENTRIES_MAX: Final = 100_000  # 2.4 MB: a segment is one version on the control topic
_MAGIC: Final = b"WLE1"
_HEAD: Final = struct.Struct("<4sI5s17s")


class SegmentRef(msgspec.Struct, frozen=True, array_like=True):
    """A segment by the digest of its body, and its number of keys."""

    digest: str
    entries: int


@dataclass(frozen=True, slots=True)
class Segment:
    """``keys`` (n, 16) uint8 sorted and unique, ``until_ms`` (n,) int64, prefix ``lengths``."""

    keys: NDArray[np.uint8]
    until_ms: NDArray[np.int64]
    lengths: Lengths = NO_LENGTHS

    @property
    def entries(self) -> int:
        return len(self.until_ms)

    @classmethod
    def of(cls, type_name: str, entries: Iterable[tuple[str, int]]) -> Segment:
        """The segment of canonical values and their expiries; the last of a value wins."""
        held = dict(entries)
        keys = b"".join(entry_key(type_name, value) for value in held)
        lengths = NO_LENGTHS
        if type_name == "ip":
            bits = [lengths_of(type_name, value) for value in held]
            lengths = _union(bits)
        return sorted_segment(keys, np.fromiter(held.values(), np.int64, len(held)), lengths)

    def body(self) -> bytes:
        """The canonical bytes."""
        four, six = self.lengths
        head = _HEAD.pack(_MAGIC, self.entries, four.to_bytes(5), six.to_bytes(17))
        return head + self.keys.tobytes() + self.until_ms.astype("<i8").tobytes()


def read_segment(body: bytes) -> Segment:
    """The segment of these bytes, without a copy. Raises BadVersion."""
    if len(body) < _HEAD.size or not body.startswith(_MAGIC):
        raise BadVersion("entries of a list: these bytes are none")
    _, count, four, six = _HEAD.unpack_from(body)
    if len(body) != _HEAD.size + count * (KEY_BYTES + 8):
        raise BadVersion(f"entries of a list: {count} do not fit into {len(body)} bytes")
    keys = np.frombuffer(body, np.uint8, count * KEY_BYTES, _HEAD.size)
    until_ms = np.frombuffer(body, "<i8", count, _HEAD.size + count * KEY_BYTES)
    lengths = (int.from_bytes(four), int.from_bytes(six))
    return Segment(keys.reshape(count, KEY_BYTES), until_ms, lengths)


def sorted_segment(keys: bytes, until_ms: NDArray[np.int64], lengths: Lengths) -> Segment:
    """A segment of keys in any order, ``until_ms`` in theirs; the last of equal keys wins."""
    return _sorted(np.frombuffer(keys, np.uint8).reshape(-1, KEY_BYTES), until_ms, lengths)


def merged(segments: Sequence[Segment], *, whole: bool) -> Segment:
    """One segment in place of neighbours, the oldest first.

    ``whole`` says that nothing older is left, so what was removed need not be remembered.
    """
    one = _sorted(
        np.concatenate([segment.keys for segment in segments]),
        np.concatenate([segment.until_ms for segment in segments]),
        _union([segment.lengths for segment in segments]),
    )
    if not whole:
        return one
    kept = one.until_ms != GONE_MS
    return Segment(one.keys[kept], one.until_ms[kept], one.lengths)


def extended(
    chain: Sequence[SegmentRef], segment: Segment, find: Callable[[str], Segment]
) -> tuple[tuple[SegmentRef, ...], Segment]:
    """``chain`` with ``segment`` behind it, and the segment that was made of it.

    ``find`` gives a segment by its digest.
    """
    held = list(chain)
    while held and _joins(held[-1].entries, segment.entries):
        older = find(held.pop().digest)
        segment = merged([older, segment], whole=not held)
    return (*held, ref_of(segment)), segment


def ref_of(segment: Segment) -> SegmentRef:
    """How a chain names ``segment``."""
    return SegmentRef(digest(segment.body()), segment.entries)


def _joins(older: int, newer: int) -> bool:
    return older <= 2 * newer and older + newer <= SEGMENT_ENTRIES_MAX


def _sorted(keys: NDArray[np.uint8], until_ms: NDArray[np.int64], lengths: Lengths) -> Segment:
    halves = np.ascontiguousarray(keys).view(">u8").astype(np.uint64).reshape(-1, 2)
    order = np.lexsort((halves[:, 1], halves[:, 0]))  # stable: equal keys stay in their order
    halves = halves[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = (halves[1:] != halves[:-1]).any(axis=1)
    chosen = order[last]
    return Segment(np.ascontiguousarray(keys[chosen]), until_ms[chosen], lengths)


def _union(lengths: Sequence[Lengths]) -> Lengths:
    four = six = 0
    for one in lengths:
        four, six = four | one[0], six | one[1]
    return four, six
