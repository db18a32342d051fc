"""The layout of an entity log and the arithmetic of its sequences.

A log is one string: a header of 20 bytes (incarnation 4, base 6, first held sequence 6, length
of the rollup 4, little-endian), the rollup of what fell off (nothing for most logs), and
records of 36 bytes in sequence order. Its next sequence is the first one plus the number of
records. What a log holds and what an event may see are pure functions of sequences, so that
every worker, retry and rebuild agrees.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from features.records import HOLE_RECORD, RECORD_BYTES
from features.rollups import Rollup, unpack_rollup
from features.tails import Tail
from risk.domain.decision import LogPosition
from risk.domain.limits import LOG_SLACK, TAIL_CAP

HEADER_BYTES: Final = 20
PLACE_BYTES: Final = 16  # incarnation, base, sequence: the widths of a header's first three
_SIX = struct.Struct("<IIHIH")
_LENGTH = struct.Struct("<I")


def pack_three(incarnation: int, six: int, other_six: int) -> bytes:
    """Four, six and six bytes, little-endian: a place, or the beginning of a header."""
    return _SIX.pack(
        incarnation, six & 0xFFFFFFFF, six >> 32, other_six & 0xFFFFFFFF, other_six >> 32
    )


def unpack_three(raw: bytes, at: int = 0) -> tuple[int, int, int]:
    """The inverse of ``pack_three``, from ``raw[at:]``."""
    incarnation, low, high, other_low, other_high = _SIX.unpack_from(raw, at)
    return incarnation, low | high << 32, other_low | other_high << 32


def tail_from(sequence: int) -> int:
    """The first sequence that the event at ``sequence`` may see.

    >>> tail_from(3), tail_from(TAIL_CAP + 3)
    (0, 3)
    """
    return sequence - TAIL_CAP if sequence > TAIL_CAP else 0


def fold_at(following: int) -> int:
    """The first sequence that a log must hold when ``following`` is its next one.

    At least one cap behind the newest tail, in steps of the slack.

    >>> fold_at(2 * TAIL_CAP + LOG_SLACK), fold_at(2 * TAIL_CAP + LOG_SLACK + 1)
    (0, 64)
    """
    return max(0, (following - 2 * TAIL_CAP - 1) // LOG_SLACK * LOG_SLACK)


def positions(names: list[tuple[str, str]], places: bytes) -> tuple[LogPosition, ...]:
    """Places as they stand in a claim, with the (kind, identifier) of their logs."""
    return tuple(
        [
            LogPosition(
                kind,
                identifier,
                incarnation,
                low | high << 32,
                other_low | other_high << 32,
                tail_from(other_low | other_high << 32),
            )
            for (kind, identifier), (incarnation, low, high, other_low, other_high) in zip(
                names, _SIX.iter_unpack(places), strict=True
            )
        ]
    )


def tail(
    position: LogPosition,
    held: bytes | memoryview,
    older: bytes | memoryview = b"",
    rolled: bytes | memoryview = b"",
) -> Tail:
    """What the event at ``position`` sees, from the records the store still has.

    ``older`` are those between its rollup and the tail, ``rolled`` is the rollup. A log that
    was restored from Kafka may begin later than the tail: what is missing in front was never
    known in this incarnation and reads as holes.
    """
    missing = position.sequence - position.tail_from - len(held) // RECORD_BYTES
    if missing > 0:
        held = HOLE_RECORD * missing + bytes(held)
    if position.tail_from == 0:
        return Tail(position.kind, held, False)
    return Tail(position.kind, held, True, older, rolled)


def tail_in(position: LogPosition, value: bytes | None) -> Tail | None:
    """What the event at ``position`` sees in the value of its log; None where that is lost."""
    sequence, start = position.sequence, position.tail_from
    if sequence == 0:
        return Tail(position.kind, b"", False)
    if not value:
        return None
    first = unpack_three(value)[2]
    records_at = HEADER_BYTES + _rollup_bytes(value)
    following = first + (len(value) - records_at) // RECORD_BYTES
    if following <= sequence or start < fold_at(following):
        return None
    begin = records_at + (max(start, first) - first) * RECORD_BYTES
    stop = records_at + (sequence - first) * RECORD_BYTES
    view = memoryview(value)
    return tail(
        position, view[begin : max(begin, stop)], view[records_at:begin],
        view[HEADER_BYTES:records_at],
    )  # fmt: skip


def _rollup_bytes(value: bytes) -> int:
    """How long the rollup in the value of a log is."""
    length: int = _LENGTH.unpack_from(value, PLACE_BYTES)[0]
    return length


@dataclass(slots=True)
class Log:
    """One log in memory. ``records`` begin at sequence ``first``.

    ``rollup`` is what fell off, None where nothing did.
    """

    incarnation: int
    base: int
    first: int
    records: bytearray
    rollup: Rollup | None = None

    @property
    def following(self) -> int:
        """The next sequence."""
        return self.first + len(self.records) // RECORD_BYTES

    def append(self, epoch: int, record: bytes) -> int:
        """Append one record in ``epoch`` and trim; the sequence it got."""
        sequence = self.following
        if self.incarnation != epoch:
            self.incarnation, self.base = epoch, sequence
        self.records += record
        self.trim(fold_at(self.following))
        return sequence

    def tail(self, position: LogPosition) -> Tail | None:
        """What the event at ``position`` sees; None where that is lost."""
        sequence, start = position.sequence, position.tail_from
        if sequence == 0:
            return Tail(position.kind, b"", False)
        if self.following <= sequence or start < fold_at(self.following):
            return None
        begin = (max(start, self.first) - self.first) * RECORD_BYTES
        stop = max(begin, (sequence - self.first) * RECORD_BYTES)
        rolled = self.rollup.pack() if self.rollup is not None and start > 0 else b""
        older = bytes(self.records[:begin])
        return tail(position, bytes(self.records[begin:stop]), older, rolled)

    def put(self, sequence: int, record: bytes) -> bool:
        """Put a record at its recorded sequence; sequences never heard of become holes.

        Any order of calls gives the same log, and the same rollup. A record that stands is not
        replaced; False where it is another one.
        """
        if not self.records:
            self.first = sequence
        keep = fold_at(max(self.following, sequence + 1))
        self.trim(keep)
        if self.rollup is not None and sequence < keep:
            self.rollup.tell(sequence, record)
            return True
        if not self.records:
            self.first = sequence
        if sequence < self.first:
            self.records[:0] = HOLE_RECORD * (self.first - sequence)
            self.first = sequence
        if sequence >= self.following:
            self.records += HOLE_RECORD * (sequence + 1 - self.following)
        at = (sequence - self.first) * RECORD_BYTES
        held = bytes(self.records[at : at + RECORD_BYTES])
        if held == HOLE_RECORD:
            held = self.records[at : at + RECORD_BYTES] = record
        # What is missing in front reads as holes anyway.
        while self.records.startswith(HOLE_RECORD):
            self._drop(self.first + 1)
        return held == record

    def trim(self, keep: int) -> None:
        """Fold what is before ``keep``, and drop it: no retry may ask for it any more."""
        if keep <= 0:
            return
        if self.rollup is None:
            self.rollup = Rollup()
        self.rollup.fold(self.first, self.records, keep)
        self._drop(keep)

    def _drop(self, keep: int) -> None:
        if keep > self.first:
            del self.records[: (keep - self.first) * RECORD_BYTES]
            self.first = keep

    def pack(self) -> bytes:
        """The value as it stands in Redis."""
        rollup = self.rollup.pack() if self.rollup is not None else b""
        place = pack_three(self.incarnation, self.base, self.first)
        return b"".join((place, _LENGTH.pack(len(rollup)), rollup, self.records))


def unpack_log(value: bytes) -> Log:
    """The inverse of ``Log.pack``."""
    incarnation, base, first = unpack_three(value)
    records_at = HEADER_BYTES + _rollup_bytes(value)
    rolled = value[HEADER_BYTES:records_at]
    rollup = unpack_rollup(rolled) if rolled else None
    return Log(incarnation, base, first, bytearray(value[records_at:]), rollup)
