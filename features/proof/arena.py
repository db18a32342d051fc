"""Every log of a history in one array of words, so that tails are spans of it and never copied.

Places may come in any order. A log takes the room it needs, doubling; what lies more than
``KEEP`` places behind its newest one, and that nobody waits for, is dropped as it grows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.proof.arena_kernel import (
    CLASSES,
    NOBODY,
    PLACE_WORDS,
    Entries,
    Ints,
    Logs,
    Places,
    Rooms,
    Seen,
    put,
    see,
)  # fmt: skip
from features.proof.names import (
    FULL,
    KEY_BYTES,
    grown,
    key_of,
    name_of,
    new_names,
    number_of,
    number_rows,
    room,
)
from features.proof.scan_record import KINDS
from features.records import RECORD_WORDS

LogName = tuple[str, str, str]
"""Tenant, kind, identifier."""
_ROOM: Final = 1 << 16
_LOGS: Final = 1 << 12


class Arena:
    """The arrays, which grow, the names of the logs, and the hashes of their entities."""

    def __init__(self, cut_ms: int | None, *, clocked: bool = True) -> None:
        self._whole = cut_ms is None
        # Without a cut nothing is missing, so no log needs an anchor; nor can it have one where
        # arrivals are not told by the wall clock.
        self._cut_ms = NOBODY if cut_ms is None or not clocked else cut_ms
        self.places = _new_places(_ROOM)
        self.logs = _new_logs(_LOGS)
        self._rooms = Rooms(np.full(CLASSES, -1, np.int64), np.zeros(1, np.int64))
        self._pinned: Ints = np.empty(0, np.int64)
        self.names = new_names(_LOGS)
        self._room = room()

    @property
    def hashes(self) -> Ints:
        """By log, the 20 bits that records hold of its entity."""
        return self.names.hashes

    def numbers(self, tenant: str, names: Sequence[tuple[str, str]]) -> list[int]:
        """The numbers of logs by kind and identifier, new ones for new logs."""
        return [self._number(key_of(tenant, kind, identifier)) for kind, identifier in names]

    def _number(self, key: bytes) -> int:
        of = self._room if len(key) <= KEY_BYTES else room(len(key))
        of.key[: len(key)] = np.frombuffer(key, np.uint8)
        while (number := number_of(self.names, of.key, len(key), of)) == FULL:
            self._grow(len(key))
        return number

    def number_rows(self, buf: NDArray[np.uint8], rows: Ints) -> Ints:
        """Numbers (n, kinds) of the logs of the places in rows of ``features.proof.scan_record``.

        Rows that were not read are left as they come.
        """
        logs = np.empty((len(rows), KINDS), np.int64)
        done = 0
        while (done := number_rows(buf, rows, self.names, self._room, logs, done)) < len(rows):
            self._grow(KEY_BYTES)
        return logs

    def _grow(self, key_bytes: int) -> None:
        self.names = grown(self.names, key_bytes)
        while len(self.logs.start) < len(self.names.marks):
            self.logs = _grown_logs(self.logs)

    def name(self, number: int) -> LogName:
        """Tenant, kind and identifier of a log."""
        return name_of(self.names, number)

    @property
    def log_count(self) -> int:
        """How many logs were met."""
        return int(self.names.used[0])

    @property
    def words(self) -> NDArray[np.uint32]:
        """The rows of all places, which begin with the words that the kernel wants: read-only."""
        view = self.places.words.view()
        view.flags.writeable = False
        return view

    def put(self, words: NDArray[np.uint32], entries: Ints) -> NDArray[np.uint8]:
        """Put records (n, 9) at their places; rows of ``entries``: log, sequence, state,
        origin, arrived ms. The result of each: STORED, REPEATED, CONFLICT or DROPPED.
        """
        of = Entries(words, entries, np.empty(len(entries), np.uint8))
        done = 0
        while True:
            done = put(self.places, self.logs, self._rooms, of, done, self._cut_ms)
            if done == len(entries):
                return of.results
            self.places = _grown_places(self.places)

    def see(self, asked: Ints) -> Ints:
        """Rows of ``Seen`` for rows of log, tail_from, sequence and base."""
        out = np.empty((len(asked), len(Seen._fields)), np.int64)
        see(self.places, self.logs, asked, self._whole, out)
        return out

    def pin(self, asked: Ints) -> None:
        """Keep what these rows of log, tail_from ... look at, and nothing else, for later."""
        self.logs.pin[self._pinned] = self.logs.folded[self._pinned]
        self._pinned = asked[:, 0]
        np.minimum.at(self.logs.pin, self._pinned, asked[:, 1])

    def at(self, log: int, sequence: int) -> int:
        """Where a held sequence stands in the arrays."""
        return int(self.logs.start[log] + sequence - self.logs.first[log])


def _new_logs(count: int) -> Logs:
    empty = {"room": -1, "anchor": NOBODY}
    row = np.array([empty.get(name, 0) for name in Logs._fields], np.int64)
    return _columns(np.tile(row, (count, 1)))


def _columns(table: Ints) -> Logs:
    """The columns of a table with one row, and one line of the processor's cache, for each log."""
    return Logs(*[table[:, column] for column in range(table.shape[1])])


def _grown_logs(held: Logs) -> Logs:
    more = _new_logs(len(held.start))
    return _columns(np.concatenate((np.column_stack(held), np.column_stack(more))))


def _new_places(count: int) -> Places:
    line_bytes = 4 * PLACE_WORDS
    room = np.empty((count + 1) * line_bytes, np.uint8)
    begin = -room.ctypes.data % line_bytes
    words = room[begin : begin + count * line_bytes].view(np.uint32).reshape(count, PLACE_WORDS)
    numbers = words.view(np.int64)
    return Places(words, words[:, RECORD_WORDS], numbers[:, 5], numbers[:, 6])


def _grown_places(held: Places) -> Places:
    grown = _new_places(2 * len(held.words))
    grown.words[: len(held.words)] = held.words
    return grown
