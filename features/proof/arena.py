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
    Entries,
    Ints,
    Logs,
    Places,
    Rooms,
    Seen,
    put,
    see,
)  # fmt: skip
from features.records import RECORD_WORDS, ROLE_OF_KIND, ROLES
from risk.domain.ids import hash20
from risk.domain.kinds import ENTITY_KINDS

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
        self.hashes = np.zeros(_LOGS, np.int64)
        self._numbers: dict[str, dict[str, dict[str, int]]] = {}
        self._names: list[LogName] = []

    def numbers(self, tenant: str, names: Sequence[tuple[str, str]]) -> list[int]:
        """The numbers of logs by kind and identifier, new ones for new logs."""
        held = self._numbers.get(tenant)
        if held is None:
            held = self._numbers[tenant] = {kind: {} for kind in ENTITY_KINDS}
        try:
            return [held[kind][identifier] for kind, identifier in names]
        except KeyError:
            return [
                number
                if (number := held[kind].get(identifier)) is not None
                else self._new(held[kind], (tenant, kind, identifier))
                for kind, identifier in names
            ]

    def _new(self, held: dict[str, int], name: LogName) -> int:
        tenant, kind, identifier = name
        found = held[identifier] = len(self._names)
        self._names.append(name)
        if found >= len(self.logs.start):
            self.logs = _grown_logs(self.logs)
            self.hashes = np.concatenate((self.hashes, np.zeros_like(self.hashes)))
        self.hashes[found] = hash20(tenant, ROLES[ROLE_OF_KIND[kind]], identifier)
        return found

    def name(self, number: int) -> LogName:
        """Tenant, kind and identifier of a log."""
        return self._names[number]

    @property
    def log_count(self) -> int:
        """How many logs were met."""
        return len(self._names)

    @property
    def words(self) -> NDArray[np.uint32]:
        """The words of all places, as the kernel wants them: read-only."""
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
        self.logs.pin[:] = self.logs.folded
        np.minimum.at(self.logs.pin, asked[:, 0], asked[:, 1])

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
    """Origin and arrival of a place lie side by side, as they are written together."""
    pair = np.zeros((count, 2), np.int64)
    words = np.empty((count, RECORD_WORDS), np.uint32)
    return Places(words, np.zeros(count, np.uint8), pair[:, 0], pair[:, 1])


def _grown_places(held: Places) -> Places:
    count = len(held.state)
    grown = _new_places(2 * count)
    grown.words[:count], grown.state[:count] = held.words, held.state
    grown.origin[:count], grown.arrived_ms[:count] = held.origin, held.arrived_ms
    return grown
